package lab

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Names draws identifiers that replay with the bench's seed. It is safe for concurrent use.
type Names struct {
	mu   sync.Mutex
	rand *rand.Rand
}

// Names gives a source of identifiers of its own for each name.
func (b *Bench) Names(name string) *Names { return &Names{rand: b.Rand(name)} }

// UUID draws a version 4 UUID.
func (n *Names) UUID() string {
	n.mu.Lock()
	hi, lo := n.rand.Uint64(), n.rand.Uint64()
	n.mu.Unlock()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xfff, lo>>48&0x3fff|0x8000, lo&0xffffffffffff)
}

// A Once remembers identifiers that may be used only once, each until it expires, and a bounded number of them.
type Once struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

const onceLimit = 100_000

// Use marks an identifier as used; false when it was used before. until is when it may be forgotten.
func (o *Once) Use(id string, now, until time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == nil {
		o.seen = map[string]time.Time{}
	}
	if _, ok := o.seen[id]; ok {
		return false
	}
	if len(o.seen) >= onceLimit {
		for k, t := range o.seen {
			if now.After(t) {
				delete(o.seen, k)
			}
		}
	}
	if len(o.seen) >= onceLimit {
		return false // better to refuse a good one than to let a replay pass
	}
	o.seen[id] = until
	return true
}
