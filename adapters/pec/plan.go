package pec

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"raccordo/contracts/delivery"
)

// What receipts weigh, in bytes, as seen of real providers: 12.5 KB without a message in them, of which the signature with
// its chain is the larger part.
const (
	receiptBytes = 13 << 10 // an acceptance, or a delivery receipt that carries nothing back
	hashBytes    = 512      // what stands for an attachment in one of form breve
	briefBytes   = 8 << 10  // what one of form breve carries back of a message, where only its size is known
)

// expected is what the receipts of a message lay into our mailbox that is size bytes long, encoded.
func expected(size int, m delivery.Message, form string) int64 {
	each := int64(receiptBytes)
	switch form {
	case formBrief:
		each += max(int64(size-encoded(m)), 0) + int64(m.Text.Len()) + int64(len(m.Attachments))*hashBytes
	case formComplete:
		each += int64(size)
	}
	return receiptBytes + each*int64(len(m.To))
}

// A Load is what to plan for: messages of one role, and the pool of mailboxes that shall carry them.
type Load struct {
	Messages   int
	Size       int       // bytes of one message, encoded
	Recipients int       // of one message
	From, By   time.Time // when sending begins, and when all shall be settled; By zero: no matter
	Pool       []PlannedMailbox
	BreveAbove int // bytes times recipients, beyond which receipts do not return the message

	Submission time.Duration // one message's time on the wire
	Delivery   time.Duration // from the 250 to the delivery receipt
	Poll       time.Duration // at most, until a receipt that came is read
}

// A PlannedMailbox is what a plan needs to know of a mailbox.
type PlannedMailbox struct {
	Name      string
	PerMinute int
	Quota     int64  // bytes; zero: without limit
	Used      int64  // bytes of it
	Receipt   string // form asked for: completa, breve, sintetica
}

// Assumptions of a Load that Config.Load makes. Providers answer within a second; within one provider receipts take a
// second or two, and recipients whose provider is slow come later, up to 24 hours, without holding up the others.
const (
	DefaultSubmission = 500 * time.Millisecond
	DefaultDelivery   = time.Minute
)

// A Forecast is what becomes of a Load.
type Forecast struct {
	Fits       bool      // all is settled by Load.By
	Carried    int       // messages that the pool takes at all, before its mailboxes are full
	Done       time.Time // when the last receipt is read; zero: never, for not all are carried
	PerHour    float64   // messages, while every mailbox sends
	Receipts   int64     // bytes of receipts
	Bottleneck string    // "rate", "quota" or, where all is settled by then, ""
	Mailboxes  []Share
	Advice     []string
}

// A Share is one mailbox's part of a Forecast.
type Share struct {
	Name     string
	Messages int
	Receipts int64   // bytes
	Fill     float64 // share of the quota that is used in the end; 0 where there is none
	Brief    int     // messages whose receipts were asked for without the message, though it was to come back
}

const (
	longest   = 10 * 366 * 24 * time.Hour // plans look no further
	mostAdded = 10_000                    // mailboxes that advice looks at
)

// Plan foretells how a role's pool carries a load, by the rules that the sender itself keeps: per mailbox one message at a
// time and no more than its rate in any minute, the fairest first; receipts that return the message no more from 85 % of
// the quota on, and no message from 95 % on. Hours of queueing by others, outages and slow recipients are not foreseen.
func Plan(l Load) Forecast {
	f := l.foretell()
	if !f.Fits {
		f.Advice = l.advise(f)
	}
	for _, s := range f.Mailboxes {
		if s.Fill >= fillWarn && f.Bottleneck != "quota" {
			f.Advice = append(f.Advice, fmt.Sprintf("mailbox %s ends at %.0f %% of its quota: make room before", s.Name, 100*s.Fill))
		}
	}
	return f
}

func (l Load) foretell() Forecast {
	var f Forecast
	pool := make([]carrier, len(l.Pool))
	most := 0
	for i, m := range l.Pool {
		pool[i] = l.carrier(m)
		most += min(pool[i].most, l.Messages) // in sum no overflow
		f.PerHour += pool[i].perHour()
	}
	f.Carried = min(most, l.Messages)
	// The earliest second at which all that can be carried has left.
	seconds := sort.Search(int(longest/time.Second), func(s int) bool {
		return count(pool, time.Duration(s)*time.Second) >= f.Carried
	})
	left := time.Duration(seconds) * time.Second
	slow := left == longest // or never
	if slow {
		f.Carried = count(pool, left)
	}
	rest := f.Carried - count(pool, left-time.Second)
	for i, m := range l.Pool {
		n := pool[i].sent(left - time.Second)
		more := min(pool[i].sent(left)-n, rest)
		rest -= more
		f.Mailboxes = append(f.Mailboxes, pool[i].share(m, n+more))
		f.Receipts += f.Mailboxes[i].Receipts
	}
	if f.Carried == l.Messages && l.Messages > 0 {
		f.Done = l.From.Add(left + l.Delivery + l.Poll)
	}
	if l.Messages == 0 {
		f.Done = l.From
	}
	f.Fits = !f.Done.IsZero() && (l.By.IsZero() || !f.Done.After(l.By))
	switch {
	case f.Fits:
	case f.Carried < l.Messages && !slow:
		f.Bottleneck = "quota"
	default:
		f.Bottleneck = "rate"
		for i, s := range f.Mailboxes {
			if s.Messages == pool[i].most && s.Messages < l.Messages { // it stopped, and left the others its part
				f.Bottleneck = "quota"
			}
		}
	}
	return f
}

// A carrier is a mailbox as a plan sees it.
type carrier struct {
	rate   int
	period time.Duration // of rate messages
	each   time.Duration // of one
	whole  int           // messages whose receipts are of the form asked for
	most   int           // messages until it is full
	full   int64         // bytes of one message's receipts, as asked for
	brief  int64         // and when it is nearly full
}

func (l Load) carrier(m PlannedMailbox) carrier {
	c := carrier{rate: cmp.Or(m.PerMinute, defaultPerMinute), each: l.Submission}
	c.period = max(minute+c.each, time.Duration(c.rate)*c.each)
	weight := func(back int) int64 {
		return receiptBytes + int64(l.Recipients)*(receiptBytes+int64(back))
	}
	c.brief = weight(min(briefBytes, l.Size))
	switch {
	case m.Receipt == formShort:
		c.full, c.brief = weight(0), weight(0)
	case m.Receipt == formBrief || l.Size*l.Recipients > l.BreveAbove:
		c.full = c.brief
	default:
		c.full = weight(l.Size)
	}
	c.whole, c.most = l.Messages, l.Messages
	if m.Quota > 0 {
		quota, used := float64(m.Quota), m.Used
		until := func(mark float64, bytes int64) int { // a message leaves as long as the mark is not reached
			room := int64(mark*quota) - used
			if room <= 0 {
				return 0
			}
			return int(min((room+bytes-1)/bytes, int64(l.Messages)))
		}
		if c.whole = until(fillSparse, c.full); c.full == c.brief {
			c.whole = until(fillAlarm, c.full)
		}
		used += int64(c.whole) * c.full
		c.most = min(c.whole+until(fillAlarm, c.brief), l.Messages)
	}
	return c
}

// sent is how many messages have left after a time.
func (c carrier) sent(after time.Duration) int {
	if after < 0 {
		return 0
	}
	periods, rest := int(after/c.period), after%c.period
	last := c.rate
	if c.each > 0 {
		last = min(c.rate, int(rest/c.each))
	}
	if periods > c.most/c.rate { // no overflow
		return c.most
	}
	return min(periods*c.rate+last, c.most)
}

func (c carrier) perHour() float64 { return float64(c.rate) * float64(time.Hour) / float64(c.period) }

func (c carrier) share(m PlannedMailbox, n int) Share {
	s := Share{Name: m.Name, Messages: n, Brief: max(n-c.whole, 0)}
	s.Receipts = int64(n-s.Brief)*c.full + int64(s.Brief)*c.brief
	if m.Quota > 0 {
		s.Fill = float64(m.Used+s.Receipts) / float64(m.Quota)
	}
	return s
}

func count(pool []carrier, after time.Duration) (n int) {
	for _, c := range pool {
		n += c.sent(after)
	}
	return n
}

// advise says what would do.
func (l Load) advise(f Forecast) (advice []string) {
	if len(l.Pool) == 0 {
		return []string{"the role has no mailbox that sends"}
	}
	if !l.By.IsZero() && l.By.Before(l.From.Add(l.Submission+l.Delivery+l.Poll)) {
		return []string{"the instant is too near for the last receipts, however many mailboxes there are"}
	}
	for _, form := range []string{formBrief, formShort} {
		other := l
		other.Pool = slices.Clone(l.Pool)
		changed := false
		for i := range other.Pool {
			m := &other.Pool[i]
			if m.Receipt == "" || m.Receipt == formComplete || form == formShort && m.Receipt == formBrief {
				m.Receipt, changed = form, true
			}
		}
		if changed && other.foretell().Fits {
			advice = append(advice, fmt.Sprintf("receipts of form %s would do", form))
			break
		}
	}
	like := l.Pool[0]
	like.Used = 0
	added := sort.Search(mostAdded, func(n int) bool {
		more := l
		more.Pool = append(slices.Clone(l.Pool), slices.Repeat([]PlannedMailbox{like}, n)...)
		return more.foretell().Fits
	})
	if added < mostAdded {
		advice = append(advice, fmt.Sprintf("%d more mailboxes like %s would do", added, cmp.Or(like.Name, "these")))
	}
	if !f.Done.IsZero() && !l.By.IsZero() {
		advice = append(advice, fmt.Sprintf("or begin %s earlier", f.Done.Sub(l.By).Round(time.Minute)))
	}
	return advice
}

// Load is the pool of a role as the configuration has it, with nothing to carry yet; false when the role has none. How full
// its mailboxes are the configuration does not know.
func (c *Config) Load(role string) (Load, bool) {
	l, known := c.load(), false
	for _, m := range c.Mailboxes {
		known = known || m.Role == role
		if m.Role == role && !m.Drain {
			l.Pool = append(l.Pool, PlannedMailbox{
				Name: m.Name, PerMinute: cmp.Or(m.PerMinute, defaultPerMinute), Quota: m.Quota, Receipt: cmp.Or(m.Receipt, formComplete),
			})
		}
	}
	return l, known
}

// PoolOf is Load for n mailboxes alike that are not configured.
func (c *Config) PoolOf(n, perMinute int, receipt string) Load {
	l := c.load()
	for i := range n {
		l.Pool = append(l.Pool, PlannedMailbox{Name: fmt.Sprint(i + 1), PerMinute: perMinute, Receipt: receipt})
	}
	return l
}

func (c *Config) load() Load {
	return Load{Recipients: 1, BreveAbove: c.BreveAbove, Submission: DefaultSubmission, Delivery: DefaultDelivery, Poll: c.Poll}
}

// Roles are the sender roles that the configuration names, in order.
func (c *Config) Roles() []string {
	var roles []string
	for _, m := range c.Mailboxes {
		roles = append(roles, m.Role)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
