package pec

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"raccordo/mocks/lab"
)

// desk puts the mock's switches on the bench's admin endpoint, under /_lab/pec/.
func (m *Mock) desk(b *lab.Bench) {
	b.Admin("GET pec/stories", func(w http.ResponseWriter, _ *http.Request) { answer(w, Stories(), nil) })
	b.Admin("GET pec/profiles", func(w http.ResponseWriter, _ *http.Request) { answer(w, Profiles(), nil) })
	b.Admin("GET pec/orders", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.Orders(), nil) })
	b.Admin("DELETE pec/orders", func(w http.ResponseWriter, _ *http.Request) {
		m.Countermand()
		answer(w, m.Orders(), nil)
	})
	b.Admin("POST pec/orders", desked(func(o Order) (any, error) {
		err := m.Order(o)
		return m.Orders(), err
	}))
	b.Admin("POST pec/chaos", desked(func(j struct {
		Seed     uint64  `json:"seed"`
		Rates    Rates   `json:"rates"`
		Mischief float64 `json:"mischief"` // instead of rates: Mischief with this chance
	},
	) (any, error) {
		if j.Mischief != 0 {
			j.Rates = Mischief(j.Mischief)
		}
		return j.Rates, m.Chaos(j.Seed, j.Rates)
	}))
	b.Admin("GET pec/truth", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.Truth(), nil) })
	b.Admin("GET pec/mailboxes", func(w http.ResponseWriter, r *http.Request) {
		out, err := m.boxes(r.URL.Query().Get("mailbox"))
		answer(w, out, err)
	})
	b.Admin("POST pec/mailboxes", m.deskMailbox)
	b.Admin("POST pec/switches", desked(m.deskSwitches))
	b.Admin("POST pec/uidvalidity", desked(func(j placeJSON) (any, error) { return done{}, m.BumpUIDValidity(j.Mailbox, j.folder()) }))
	b.Admin("POST pec/put", desked(func(j placeJSON) (any, error) { return done{}, m.Put(j.Mailbox, j.folder(), []byte(j.Raw)) }))
	b.Admin("POST pec/anomaly", desked(func(j placeJSON) (any, error) { return done{}, m.DeliverAnomaly(j.Mailbox, []byte(j.Raw)) }))
	b.Admin("GET pec/mails", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		out, err := m.Mails(q.Get("mailbox"), placeJSON{Folder: q.Get("folder")}.folder())
		answer(w, out, err)
	})
	b.Admin("POST pec/take", desked(func(j takeJSON) (any, error) {
		return done{}, m.Take(j.Mailbox, placeJSON{Folder: j.Folder}.folder(), j.To, j.UIDs...)
	}))
	b.Admin("POST pec/mark", desked(func(j takeJSON) (any, error) {
		return done{}, m.Mark(j.Mailbox, placeJSON{Folder: j.Folder}.folder(), j.Flag, j.UIDs...)
	}))
	b.Admin("POST pec/issue", desked(func(e Extra) (any, error) { return done{}, m.Issue(e) }))
}

// done is the answer of what has nothing to tell.
type done struct{}

// placeJSON says where, and what.
type placeJSON struct {
	Mailbox string `json:"mailbox"`
	Folder  string `json:"folder"` // empty: INBOX
	Raw     string `json:"raw"`
}

// takeJSON is what another reader does to some mails.
type takeJSON struct {
	Mailbox string   `json:"mailbox"`
	Folder  string   `json:"folder"` // empty: INBOX
	UIDs    []uint32 `json:"uids"`
	To      string   `json:"to"`   // take: a folder; empty: the mails are deleted
	Flag    string   `json:"flag"` // mark
}

func (j placeJSON) folder() string {
	if j.Folder == "" {
		return inbox
	}
	return j.Folder
}

// A boxJSON is one mailbox as the desk shows it.
type boxJSON struct {
	Mailbox string `json:"mailbox"`
	Name    string `json:"name"`
	Used    int64  `json:"used"`
	Quota   int64  `json:"quota"`
	Lost    int    `json:"lost"`
	Condition
}

// boxes shows one mailbox, or all of them.
func (m *Mock) boxes(only string) (any, error) {
	out := []boxJSON{}
	for _, a := range m.accounts {
		if only != "" && a.Address != only {
			continue
		}
		c, err := m.Mailbox(a.Address)
		if err != nil {
			return nil, err
		}
		used, quota := m.Used(a.Address)
		out = append(out, boxJSON{Mailbox: a.Address, Name: a.Name, Used: used, Quota: quota, Lost: m.Lost(a.Address), Condition: c})
	}
	if only != "" && len(out) == 0 {
		return nil, fmt.Errorf("no account has this address")
	}
	return out, nil
}

// deskMailbox changes what the body names of a mailbox's condition and leaves the rest: {"mailbox":"…","locked":true}.
func (m *Mock) deskMailbox(w http.ResponseWriter, r *http.Request) {
	var j struct {
		Mailbox string `json:"mailbox"`
		conditionJSON
	}
	if err := decode(w, r, &j); err != nil {
		answer(w, nil, err)
		return
	}
	if err := m.SetMailbox(j.Mailbox, j.apply); err != nil {
		answer(w, nil, err)
		return
	}
	out, err := m.boxes(j.Mailbox)
	answer(w, out, err)
}

// conditionJSON is a Condition of which only some is told; durations are text such as "90s".
type conditionJSON struct {
	Profile      *string    `json:"profile"`
	Quota        *int64     `json:"quota"`
	PerMinute    *int       `json:"per_minute"`
	RateReply    *int       `json:"rate_reply"`
	Sessions     *int       `json:"sessions"`
	Locked       *bool      `json:"locked"`
	LockedUntil  *time.Time `json:"locked_until"`
	Latency      *duration  `json:"latency"`
	Late         *duration  `json:"late"`
	Deaf         *bool      `json:"deaf"`
	Hold         *bool      `json:"hold"`
	Snatch       *int       `json:"snatch"`
	RefuseLogins *int       `json:"refuse_logins"`
	CutFetches   *int       `json:"cut_fetches"`
	Drop421      *int       `json:"drop_421"`
}

func (j conditionJSON) apply(c *Condition) {
	set(&c.Profile, j.Profile)
	set(&c.Quota, j.Quota)
	set(&c.PerMinute, j.PerMinute)
	set(&c.RateReply, j.RateReply)
	set(&c.Sessions, j.Sessions)
	set(&c.Locked, j.Locked)
	set(&c.LockedUntil, j.LockedUntil)
	set(&c.Latency, (*time.Duration)(j.Latency))
	set(&c.Late, (*time.Duration)(j.Late))
	set(&c.Deaf, j.Deaf)
	set(&c.Hold, j.Hold)
	set(&c.Snatch, j.Snatch)
	set(&c.RefuseLogins, j.RefuseLogins)
	set(&c.CutFetches, j.CutFetches)
	set(&c.Drop421, j.Drop421)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// A duration is written as Go writes one.
type duration time.Duration

// UnmarshalText reads "90s".
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

// switchesJSON are the switches for both providers; what is not named stays.
type switchesJSON struct {
	Certificate  *Certificate `json:"certificate"`
	Quirks       *Quirks      `json:"quirks"`
	Skew         *duration    `json:"skew"`
	RefuseAt     *Stage       `json:"refuse_at"`
	PerMinute    *int         `json:"per_minute"`
	Sessions     *int         `json:"sessions"`
	RefuseLogins *int         `json:"refuse_logins"`
	CutFetches   *int         `json:"cut_fetches"`
}

func (m *Mock) deskSwitches(j switchesJSON) (any, error) {
	if j.RefuseAt != nil && *j.RefuseAt != AtMail && *j.RefuseAt != AtRcpt && *j.RefuseAt != AtDot {
		return nil, fmt.Errorf("no stage is called %q", *j.RefuseAt)
	}
	if j.Certificate != nil {
		if err := m.SetCertificate(*j.Certificate); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	set(&m.sw.quirks, j.Quirks)
	set(&m.sw.skew, (*time.Duration)(j.Skew))
	set(&m.sw.stage, j.RefuseAt)
	set(&m.sw.rate, j.PerMinute)
	set(&m.sw.imapSessions, j.Sessions)
	set(&m.sw.refuseLogins, j.RefuseLogins)
	set(&m.sw.cutFetches, j.CutFetches)
	return done{}, nil
}

// desked makes a handler of something that takes one JSON object.
func desked[T any](do func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var j T
		if err := decode(w, r, &j); err != nil {
			answer(w, nil, err)
			return
		}
		out, err := do(j)
		answer(w, out, err)
	}
}

// maxDesk bounds what the desk reads.
const maxDesk = 64 << 20

func decode(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDesk))
	d.DisallowUnknownFields() // a switch that does not exist must not seem to be set
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // whoever asked may be gone
}
