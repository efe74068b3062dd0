package lab

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// An Exchange is one line of the journal: a request and what became of it.
type Exchange struct {
	N        uint64    // counts from 1, without gaps
	At       time.Time // bench time at which the work was done
	Mock     string
	Label    string // METHOD and route pattern, or protocol and command; never an identifier
	Status   string // what was answered, in the protocol's own terms: "202", "250"
	Request  []byte // raw, at most 1 MiB of it; nil once dropped
	Response []byte // raw, as the mock meant it: a fault may have kept it from arriving so
	Parsed   any    // what the mock understood
	Refused  string // the rule that refused the request, in words; empty when accepted
	Fault    string // the misdeed applied, empty when none
}

const (
	journalLines = 200_000   // exchanges kept by default
	journalBytes = 128 << 20 // raw bytes kept by default
	rawLimit     = 1 << 20   // raw bytes kept of one request or answer
	labelLimit   = 4096      // distinct labels counted apart
)

// journal keeps the last lines and the last raw bytes; the counts are never dropped.
type journal struct {
	mu       sync.Mutex
	lines    []Exchange
	n        uint64
	raw      int // bytes held
	stripped int // lines, from the oldest kept, whose raw bytes are gone
	dropped  int
	counts   map[string]int
	maxLines int
	maxBytes int

	watchers []*watcher
}

type watcher struct{ fn func(Exchange) }

func (j *journal) add(e Exchange) Exchange {
	j.mu.Lock()
	j.n++
	e.N = j.n
	e.Request, e.Response = cut(e.Request), cut(e.Response)
	j.lines = append(j.lines, e)
	j.raw += len(e.Request) + len(e.Response)
	key := e.Mock + " " + e.Label
	if _, ok := j.counts[key]; !ok && len(j.counts) >= labelLimit {
		key = e.Mock + " (other)"
	}
	j.counts[key]++
	for j.raw > j.maxBytes && j.stripped < len(j.lines) {
		old := &j.lines[j.stripped]
		j.raw -= len(old.Request) + len(old.Response)
		old.Request, old.Response = nil, nil
		j.stripped++
	}
	if len(j.lines) > j.maxLines {
		j.drop()
	}
	watchers := slices.Clone(j.watchers)
	j.mu.Unlock()
	for _, w := range watchers {
		w.fn(e)
	}
	return e
}

// drop lets a tenth of the lines go at once, so that a full journal does not move all its lines for each new one.
func (j *journal) drop() {
	n := max(len(j.lines)-j.maxLines, j.maxLines/10)
	for _, old := range j.lines[:n] {
		j.raw -= len(old.Request) + len(old.Response)
	}
	j.lines = slices.Delete(j.lines, 0, n)
	j.stripped = max(j.stripped-n, 0)
	j.dropped += n
}

func cut(raw []byte) []byte {
	if len(raw) > rawLimit {
		raw = raw[:rawLimit]
	}
	return slices.Clone(raw)
}

// Journal is a copy of the lines kept, oldest first. It is bounded: the oldest raw bytes go first, then lines; Dropped
// tells how many.
func (b *Bench) Journal() []Exchange {
	b.journal.mu.Lock()
	defer b.journal.mu.Unlock()
	return slices.Clone(b.journal.lines)
}

// Dropped is the number of lines the journal had to let go.
func (b *Bench) Dropped() int {
	b.journal.mu.Lock()
	defer b.journal.mu.Unlock()
	return b.journal.dropped
}

// Sent counts the exchanges, accepted or refused, whose "mock label" matches the glob (see Fault.Match), those dropped
// from the journal included.
func (b *Bench) Sent(match string) int {
	b.journal.mu.Lock()
	defer b.journal.mu.Unlock()
	n := 0
	for key, c := range b.journal.counts {
		if matches(match, key) {
			n += c
		}
	}
	return n
}

// Counts gives, by "mock label", how many exchanges there were, those dropped from the journal included.
func (b *Bench) Counts() map[string]int {
	b.journal.mu.Lock()
	defer b.journal.mu.Unlock()
	return maps.Clone(b.journal.counts)
}

// Watch has fn called for every exchange, on the exchange's own goroutine: after the work was done, before a byte of
// the answer is written. fn may block, which delays the answer, and must be safe for concurrent calls.
func (b *Bench) Watch(fn func(Exchange)) (stop func()) {
	w := &watcher{fn}
	j := &b.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.watchers = append(j.watchers, w)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.watchers = slices.DeleteFunc(slices.Clone(j.watchers), func(x *watcher) bool { return x == w })
	}
}

// An Open is an exchange under way.
type Open struct {
	b           *Bench
	mock, label string
	fault       Fault
	faulty      bool
	end         sync.Once
}

// Begin marks an exchange in flight and looks for the fault that applies to it. Mocks on ServeHTTP have this done for
// them; others begin an exchange per command. End must follow.
func (b *Bench) Begin(mock, label string) *Open {
	b.mu.Lock()
	b.inFlight++
	b.mu.Unlock()
	o := &Open{b: b, mock: mock, label: label}
	o.fault, o.faulty = b.take(mock, label, "")
	return o
}

// Fault is the fault that applies; it was used up by Begin.
func (o *Open) Fault() (Fault, bool) { return o.fault, o.faulty }

// Afflict gives the exchange a fault of the mock's own choosing, which the journal's line will name. One that the bench
// chose stays.
func (o *Open) Afflict(f Fault) {
	if !o.faulty {
		o.fault, o.faulty = f, true
	}
}

// Record writes the journal's line and calls the watchers. It belongs after the work and before the first byte of the
// answer. refused names the rule that refused the request, empty when it was accepted.
func (o *Open) Record(status string, request, response []byte, parsed any, refused string) {
	e := Exchange{
		At: o.b.clock.Now(), Mock: o.mock, Label: o.label, Status: status, Request: request,
		Response: response, Parsed: parsed, Refused: refused,
	}
	if o.faulty {
		e.Fault = string(o.fault.Do)
	}
	o.b.journal.add(e)
}

// End takes the exchange out of flight; it belongs after the answer's last byte. Calling it again is harmless.
func (o *Open) End() {
	o.end.Do(func() {
		o.b.mu.Lock()
		o.b.inFlight--
		o.b.mu.Unlock()
	})
}

// InFlight is the number of exchanges begun and not ended. Idle connections do not count.
func (b *Bench) InFlight() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inFlight
}
