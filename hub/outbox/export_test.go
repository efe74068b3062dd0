package outbox

import (
	"context"
	"time"

	"raccordo/hub/store"
)

// Seams for the tests of this package.

// SetMono replaces the monotonic time by which leases are judged.
func (o *Options) SetMono(mono func() time.Duration) { o.mono = mono }

// SetJitter replaces the random part of a backoff.
func (o *Options) SetJitter(jitter func() float64) { o.jitter = jitter }

// Watch looks once at foreign leases.
func (b *Box) Watch(ctx context.Context) { b.watch(ctx) }

// Queries are those whose cost must not depend on how many tickets there are, with their indexes.
func Queries() map[string]string {
	return map[string]string{
		selectWake: "outbox_ticket_wake", selectGroup: "outbox_ticket_claim", selectReady: "outbox_ticket_claim", selectNext: "outbox_ticket_claim",
		selectFirst: "outbox_ticket_claim", countReady: "outbox_ticket_claim", selectLot: "outbox_ticket_claim",
		selectUncertain: "outbox_ticket_uncertain", selectPromote: "outbox_ticket_wake", selectKeyed: "outbox_ticket_lane",
		selectStrict: "outbox_ticket_strict", selectPosition: "outbox_ticket_position", selectEnded: "outbox_ticket_ended",
		selectRunning: "outbox_ticket_running", selectMembers: "sqlite_autoindex_outbox_ticket_1",
	}
}

// Claim looks for work and claims it, as a worker's turn does, and reports how much it got.
func (b *Box) Claim(ctx context.Context, room int) (int, error) {
	var p *plan
	err := b.store.Read(ctx, func(v *store.View) (err error) {
		p, err = b.survey(v, b.now(), room)
		return err
	})
	if err != nil {
		return 0, err
	}
	jobs, err := b.claim(ctx, p, room)
	for _, j := range jobs {
		if j.place != nil {
			j.place.release()
		}
	}
	return len(jobs), err
}

// Beat renews the leases of what is in flight, and gives up on what hangs.
func (b *Box) Beat(ctx context.Context) { b.beat(ctx) }

// Ring makes the workers look, as the passing of real time would.
func (b *Box) Ring() { b.ring() }
