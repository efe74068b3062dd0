package lab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Misdeed is one way of misbehaving on the wire.
type Misdeed string

// The misdeeds. What the bench cannot do by itself (BadSignature) is left to the mock, which finds it in the exchange;
// a mock that signs nothing ignores it.
const (
	Refuse          Misdeed = "refuse"            // the connection is reset before anything was read
	Drop            Misdeed = "drop"              // the request was read, nothing done, the connection is reset
	DropAfterAccept Misdeed = "drop-after-accept" // the work was done and the answer is lost: the one that matters most
	Truncate        Misdeed = "truncate"          // the work was done, half of the answer arrives
	Garbage         Misdeed = "garbage"           // the work was done, the answer's body makes no sense
	Status          Misdeed = "status"            // nothing done, the answer is Fault.Status
	BadSignature    Misdeed = "bad-signature"     // the answer is signed wrongly
	StaleVoucher    Misdeed = "stale-voucher"     // nothing done: the credentials are said to have expired
	Throttle        Misdeed = "throttle"          // nothing done: too many requests, Retry-After 2 s
	Slow            Misdeed = "slow"              // the work is done and answered after Fault.Wait
	Huge            Misdeed = "huge"              // the work was done, the answer's body is 64 MiB
	WrongType       Misdeed = "wrong-type"        // the work was done, the answer is a page of HTML
)

// Misdeeds lists them all.
func Misdeeds() []Misdeed {
	return []Misdeed{
		Refuse, Drop, DropAfterAccept, Truncate, Garbage, Status, BadSignature, StaleVoucher, Throttle,
		Slow, Huge, WrongType,
	}
}

// A Fault is a misdeed waiting for the exchanges it matches.
type Fault struct {
	// Match is one or more globs, separated by "|", over "mock label": "inad GET /extract/*". A star stands for any run
	// of characters. A Refuse meets connections, whose label ends in "connect"; where it meets a request on a
	// connection that stands already, it acts as Drop.
	Match string
	Times int           // how many exchanges it spoils; 0: until cleared
	Wait  time.Duration // real time waited first; Slow waits between work and answer, and without it 20 s
	Do    Misdeed
	// Status is the answer's status, for Do Status.
	Status int
	// Body replaces the answer's body, for Status, Garbage and Huge (repeated).
	Body []byte
	// Chance is the share of matching exchanges that are spoiled, drawn from the bench's seed; 0 or 1: all.
	Chance float64
}

const defaultSlow = 20 * time.Second

type armed struct {
	Fault
	left int // 0: until cleared
	rand *rand.Rand
}

// Inject adds a fault. When several match an exchange, the one injected first applies.
func (b *Bench) Inject(f Fault) {
	b.mu.Lock()
	b.injected++
	name := fmt.Sprintf("fault %d", b.injected)
	b.faults = append(b.faults, &armed{Fault: f, left: f.Times, rand: b.Rand(name)})
	servers := slices.Clone(b.servers)
	b.mu.Unlock()
	if f.Do != Refuse {
		return
	}
	for _, s := range servers { // a refusal must not be evaded on a connection that stands already
		s.retire()
	}
	for _, m := range b.attached() {
		if r, ok := m.(retiring); ok {
			r.Retire(func(label string) bool { return matches(f.Match, m.Name()+" "+label) })
		}
	}
}

// A retiring mock closes, when connections begin to be refused, those of the matching labels ("smtps connect") that stand
// already, once no exchange is under way on them. The bench does that itself for mocks on ServeHTTP.
type retiring interface {
	Retire(matches func(label string) bool)
}

// Clear drops all faults.
func (b *Bench) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// Faults lists what is still armed, with Times as what is left of it.
func (b *Bench) Faults() []Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Fault, 0, len(b.faults))
	for _, a := range b.faults {
		f := a.Fault
		f.Times = a.left
		out = append(out, f)
	}
	return out
}

// take finds the fault for an exchange and uses it up once.
func (b *Bench) take(mock, label string, only Misdeed) (Fault, bool) {
	name := mock + " " + label
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, a := range b.faults {
		if only != "" && a.Do != only || !matches(a.Match, name) {
			continue
		}
		if a.Chance > 0 && a.Chance < 1 && a.rand.Float64() >= a.Chance {
			continue
		}
		if a.left > 0 {
			if a.left--; a.left == 0 {
				b.faults = slices.Delete(b.faults, i, i+1)
			}
		}
		return a.Fault, true
	}
	return Fault{}, false
}

// A businesslike mock says which of its exchanges are the business that Misbehave should spoil, as globs over
// "mock label". A mock without this method offers all of its exchanges; one that gives none is spoiled only when it is
// named ("pdnd:503").
type businesslike interface{ Business() []string }

// Misbehave injects a fault by name for times exchanges (0: until Clear), matching every business call of every
// attached mock; a prefix limits it to one ("inad:503"). Names: refuse, drop, drop-after-accept, truncate, garbage,
// 500, 503, throttle, slow, huge, wrong-type, denied (status 403), stale-voucher, bad-signature.
func (b *Bench) Misbehave(fault string, times int) error {
	mock, name, named := strings.Cut(fault, ":")
	if !named {
		mock, name = "", fault
	}
	f := Fault{Times: times, Do: Misdeed(name)}
	switch name {
	case "denied":
		f.Do, f.Status = Status, 403
	case "500", "503":
		f.Do = Status
		f.Status, _ = strconv.Atoi(name)
	case string(Status):
		return fmt.Errorf("lab: misbehave: give the status itself, 500, 503 or denied, or use Inject")
	default:
		if !slices.Contains(Misdeeds(), f.Do) {
			return fmt.Errorf("lab: misbehave: no fault is called %q", name)
		}
	}
	if times < 0 {
		return fmt.Errorf("lab: misbehave: times must not be negative")
	}
	var globs []string
	for _, m := range b.attached() {
		if named && m.Name() != mock {
			continue
		}
		all := []string{m.Name() + " *"}
		if bl, ok := m.(businesslike); ok {
			if own := bl.Business(); len(own) > 0 || !named {
				all = own
			}
		}
		if f.Do == Refuse && len(all) > 0 {
			all = []string{m.Name() + " *connect"}
		}
		globs = append(globs, all...)
	}
	if len(globs) == 0 {
		return fmt.Errorf("lab: misbehave: no attached mock offers business calls for %q", fault)
	}
	f.Match = strings.Join(globs, "|")
	b.Inject(f)
	return nil
}

// matches tells whether one of the globs, separated by "|", fits the whole name.
func matches(globs, name string) bool {
	for g := range strings.SplitSeq(globs, "|") {
		if glob(g, name) {
			return true
		}
	}
	return false
}

// glob is linear in its arguments for one star after another: it backtracks to the last star only.
func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// validate tells what makes a fault from outside unusable.
func (f Fault) validate() error {
	switch {
	case f.Match == "":
		return fmt.Errorf("match: want a glob over \"mock label\"")
	case !slices.Contains(Misdeeds(), f.Do):
		return fmt.Errorf("do: no misdeed is called %q", f.Do)
	case f.Do == Status && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status: want 200 to 599")
	case f.Times < 0, f.Wait < 0, f.Chance < 0, f.Chance > 1:
		return fmt.Errorf("times and wait must not be negative, chance lies between 0 and 1")
	}
	return nil
}
