package pec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
)

// An Order has a story told of what comes, whoever the recipient is.
type Order struct {
	Story   string `json:"story"`
	Mailbox string `json:"mailbox,omitempty"` // the sender's; empty: any
	Times   int    `json:"times"`             // messages, attempts or commands; 0: until Countermand
}

// orders are what waits to be told, and what chance may add; guarded by Mock.mu.
type orders struct {
	given []Order
	seed  uint64
	rates map[string]float64
	names []string          // of the rates, in order
	turns map[string]uint64 // draws so far, where nothing else tells one from the next
	tries map[string]int64  // what was told once on the wire, and when first: stories by label are for the first attempt
}

// Order has a story told of the next messages of a mailbox. A story about a recipient is told of every recipient that it
// fits and that has no story of its own.
func (m *Mock) Order(o Order) error {
	if _, ok := storyNamed(o.Story); !ok {
		return fmt.Errorf("pec: order: no story is called %q", o.Story)
	}
	o.Mailbox = strings.ToLower(o.Mailbox)
	if o.Times < 0 {
		return errors.New("pec: order: times must not be negative")
	}
	if o.Mailbox != "" && !m.known(o.Mailbox) {
		return errors.New("pec: order: no account has this address")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders.given = append(m.orders.given, o)
	return nil
}

// Orders lists what is still to be told, with Times as what is left.
func (m *Mock) Orders() []Order {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.orders.given)
}

// Countermand drops every order.
func (m *Mock) Countermand() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders.given = nil
}

// Rates are the chances of stories, by name, each between 0 and 1: per message for those about a message or a mailbox, per
// recipient, per attempt on the wire, per IMAP command. At most one story about the form of receipts, and one about a
// recipient, is told of each.
type Rates map[string]float64

// Chaos has stories told by chance from now on; nil rates end it. Whether a message meets a story follows from the seed and
// its Message-ID alone, whether an attempt or a command does also from their number, so that a run is replayed by its
// seed as far as the client does the same again. What was told is in the journal and in [Mock.Truth].
func (m *Mock) Chaos(seed uint64, rates Rates) error {
	for name, rate := range rates {
		if _, ok := storyNamed(name); !ok {
			return fmt.Errorf("pec: chaos: no story is called %q", name)
		}
		if !(rate >= 0 && rate <= 1) { // not a number is neither
			return fmt.Errorf("pec: chaos: the rate of %s is not between 0 and 1", name)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders.seed, m.orders.rates = seed, maps.Clone(rates)
	m.orders.names = slices.Sorted(maps.Keys(m.orders.rates))
	m.orders.turns = make(map[string]uint64)
	return nil
}

// Mischief is a mixture for [Mock.Chaos]: every story that leaves a message a way to its end, each with the given chance.
// It leaves out those whose only end is an operator (mute, never), those that forge every receipt of a message, and those
// that take real time or much room.
func Mischief(chance float64) Rates {
	rates := make(Rates)
	for _, s := range storyList() {
		switch {
		case !s.Sound, slices.Contains([]string{"mute", "never", "huge", "lateanswer", "fullbox", "reader", "bounce", "refused", "header"}, s.Name):
		default:
			rates[s.Name] = chance
		}
	}
	return rates
}

// chance draws for a story; what tells one draw from another is in the key.
func (o *orders) chance(story, key string) bool {
	rate := o.rates[story]
	if rate <= 0 {
		return false
	}
	h := fnv.New64a()
	_ = binary.Write(h, binary.LittleEndian, o.seed) // a hash never fails
	h.Write([]byte(story + "\x00" + key))
	x := h.Sum64() // FNV's high bits are poor: finish as SplitMix64 does
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11)/(1<<53) < rate
}

// told gives the stories of some scopes that an order or chance has for a mailbox, and uses the orders up. Key tells the
// occasion from others; without one, each call is an occasion.
func (m *Mock) told(mailbox, occasion, key string, fit func(Story) bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := &m.orders
	if len(o.given) == 0 && len(o.rates) == 0 {
		return nil
	}
	var out []string
	for i := 0; i < len(o.given); i++ {
		x := &o.given[i]
		s, _ := storyNamed(x.Story)
		if x.Mailbox != "" && x.Mailbox != mailbox || !fit(s) || slices.Contains(out, x.Story) {
			continue
		}
		out = append(out, x.Story)
		if x.Times > 0 {
			if x.Times--; x.Times == 0 {
				o.given = slices.Delete(o.given, i, i+1)
				i--
			}
		}
	}
	if len(o.rates) == 0 {
		return out
	}
	if key == "" {
		turn := mailbox + " " + occasion
		if len(o.turns) < maxTurns {
			o.turns[turn]++
		}
		key = fmt.Sprintf("%s %d", turn, o.turns[turn])
	}
	for _, name := range o.names {
		if s, _ := storyNamed(name); fit(s) && !slices.Contains(out, name) && o.chance(name, occasion+" "+key) {
			out = append(out, name)
		}
	}
	return out
}

// maxTurns bounds what the mock remembers of attempts; beyond it, chance repeats itself and labels strike no more.
const maxTurns = 1 << 20

// first tells whether this is the first time of a key, and how long ago that was by the bench's clock.
func (m *Mock) first(key string) (bool, int64) {
	now := m.clock.Now().UnixNano()
	m.mu.Lock()
	defer m.mu.Unlock()
	at, seen := m.orders.tries[key]
	if !seen {
		if len(m.orders.tries) >= maxTurns {
			return false, math.MaxInt64
		}
		m.orders.tries[key] = now
		return true, 0
	}
	return false, now - at
}

// greylisted tells whether a first attempt was refused too short a time ago.
func (m *Mock) greylisted(key string) bool {
	now := m.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	at, seen := m.orders.tries[key]
	return seen && now.UnixNano()-at < int64(greylisting)
}
