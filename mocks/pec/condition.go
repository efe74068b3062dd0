package pec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Condition is what one mailbox suffers from. The zero value is health. Conditions do not outlive the mock.
type Condition struct {
	Profile   string `json:"profile"`    // see Profiles
	Quota     int64  `json:"quota"`      // bytes; 0: the profile's; negative: none. Mail that comes beyond it is lost
	PerMinute int    `json:"per_minute"` // messages; 0: the profile's, or the mock's; negative: no limit
	RateReply int    `json:"rate_reply"` // to one message too many: 550 (the default, with "Class Of Service"), 421 or 451
	Sessions  int    `json:"sessions"`   // IMAP sessions; 0: the profile's, or the mock's

	Locked bool `json:"locked"` // 535, also to MAIL, and NO [AUTHENTICATIONFAILED]; sessions that read are cut when it is set
	// LockedUntil locks the mailbox until an instant of the bench's clock.
	LockedUntil time.Time     `json:"locked_until,omitzero"`
	Latency     time.Duration `json:"latency"` // real time before the work of each SMTP submission and IMAP command
	Late        time.Duration `json:"late"`    // real time between the work and its answer
	Deaf        bool          `json:"deaf"`    // IDLE announces nothing, as over a link that died unnoticed
	Hold        bool          `json:"hold"`    // submissions and commands wait until this is lifted, or the bench closes

	Snatch       int `json:"snatch"`        // so many mails are deleted by another reader the moment they arrive; negative: all
	RefuseLogins int `json:"refuse_logins"` // so many logins are answered NO [LIMIT]
	CutFetches   int `json:"cut_fetches"`   // so many fetches break off amid a message's bytes
	Drop421      int `json:"drop_421"`      // so many submissions meet 421 and a closed connection at MAIL
}

// SetMailbox changes the condition of a mailbox. Change must not call the mock.
func (m *Mock) SetMailbox(address string, change func(*Condition)) error {
	address = strings.ToLower(address)
	if !m.reads(address) {
		return errors.New("pec: set mailbox: no account has this address")
	}
	now := m.clock.Now()
	m.mu.Lock()
	c := m.conditions[address]
	next := Condition{}
	if c != nil {
		next = c.Condition
	}
	was := next
	change(&next)
	if err := next.validate(); err != nil {
		m.mu.Unlock()
		return fmt.Errorf("pec: set mailbox: %w", err)
	}
	cutNow := next.Locked && !was.Locked || now.Before(next.LockedUntil) && !now.Before(was.LockedUntil)
	freed := was.Hold && !next.Hold
	if c == nil {
		c = &condition{}
		m.conditions[address] = c
	}
	if next.Hold && c.lifted == nil {
		c.lifted = make(chan struct{})
	}
	c.Condition = next
	if freed {
		close(c.lifted)
		c.lifted = nil
	}
	quota := m.quotaLocked(address)
	m.mu.Unlock()
	if cutNow {
		m.throwOut(address)
	}
	m.store.setQuota(address, quota)
	return nil
}

// throwOut cuts every session that reads a mailbox; one that submits meets 535 at its next MAIL.
func (m *Mock) throwOut(address string) {
	m.mu.Lock()
	open := slices.Collect(maps.Keys(m.sessions[address]))
	m.mu.Unlock()
	for _, a := range open {
		if a.reads {
			a.cut()
		}
	}
}

// Mailbox tells the condition of a mailbox, with what is left of what is counted.
func (m *Mock) Mailbox(address string) (Condition, error) {
	address = strings.ToLower(address)
	if !m.reads(address) {
		return Condition{}, errors.New("pec: mailbox: no account has this address")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conditionOf(address).Condition, nil
}

// A condition is one mailbox's, with what waits for it; guarded by Mock.mu.
type condition struct {
	Condition
	lifted chan struct{} // closed when Hold is lifted
}

func (c Condition) validate() error {
	if _, ok := profileOf(c.Profile); !ok {
		return fmt.Errorf("no profile is called %q", c.Profile)
	}
	if !slices.Contains([]int{0, 550, 421, 451}, c.RateReply) {
		return fmt.Errorf("rate reply: want 550, 421 or 451")
	}
	if c.Latency < 0 || c.Late < 0 || c.RefuseLogins < 0 || c.CutFetches < 0 || c.Drop421 < 0 || c.Sessions < 0 {
		return fmt.Errorf("times and counts must not be negative")
	}
	return nil
}

// conditionOf needs mu; what it gives may be changed when the mailbox has a condition of its own.
func (m *Mock) conditionOf(address string) *condition {
	if c := m.conditions[address]; c != nil {
		return c
	}
	return &condition{}
}

// suffer is conditionOf for the mock's own stories: it makes the condition.
func (m *Mock) suffer(address string, change func(*Condition)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.conditions[address]
	if c == nil {
		c = &condition{}
		m.conditions[address] = c
	}
	change(&c.Condition)
}

// use takes one off a counter of a mailbox; false when none is left.
func (m *Mock) use(address string, counter func(*Condition) *int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.conditions[address]
	if c == nil {
		return false
	}
	n := counter(&c.Condition)
	switch {
	case *n == 0:
		return false
	case *n > 0:
		*n--
	}
	return true
}

// locked tells whether a mailbox lets nobody in.
func (m *Mock) locked(address string) bool {
	now := m.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.conditionOf(address)
	return c.Locked || now.Before(c.LockedUntil)
}

// profile is a mailbox's.
func (m *Mock) profile(address string) Profile {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.profileLocked(address)
}

func (m *Mock) profileLocked(address string) Profile {
	name := m.conditionOf(address).Profile
	if name == "" {
		if a, ok := m.byAddress[address]; ok {
			name = a.Profile
		}
	}
	p, _ := profileOf(name) // both were checked
	return p
}

func (m *Mock) quotaLocked(address string) int64 {
	if q := m.conditionOf(address).Quota; q != 0 {
		return max(q, 0)
	}
	return m.profileLocked(address).Quota
}

func (m *Mock) sessionsLocked(address string) int {
	if n := m.conditionOf(address).Sessions; n > 0 {
		return n
	}
	if n := m.profileLocked(address).Sessions; n > 0 {
		return n
	}
	return m.sw.imapSessions
}

// limits are the access point's for a mailbox.
func (m *Mock) limitsOf(address string) Limits {
	l, p := m.limits, m.profile(address)
	if p.MaxProduct > 0 {
		l.MaxProduct = min(l.MaxProduct, p.MaxProduct)
	}
	if p.Recipients > 0 {
		l.MaxRecipients = min(l.MaxRecipients, p.Recipients)
	}
	return l
}

// endure has a mailbox's latency and hold pass before the work; late is what is to pass after it.
func (m *Mock) endure(address string) (late time.Duration) {
	m.mu.Lock()
	c := m.conditionOf(address)
	before, after, lifted := c.Latency, c.Late, c.lifted
	m.mu.Unlock()
	if before > 0 {
		m.wait(before)
	}
	if lifted != nil {
		select {
		case <-lifted:
		case <-m.bench.Closing():
		case <-m.ctx.Done():
		}
	}
	return after
}

// wait lets real time pass, unless the bench or the mock closes.
func (m *Mock) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, d)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-m.bench.Closing():
	}
}
