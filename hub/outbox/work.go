package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const (
	// look is how often, in real time, the rows are looked at though nothing rang: a clock that was set may have made
	// something due that no timer knows of.
	look = 15 * time.Second
	// sweepEvery is how often settled tickets beyond their retention are deleted.
	sweepEvery = time.Hour
	// grace is how long a worker that was broken off may take to notice.
	grace = 2 * time.Second
)

// Work carries tickets out until ctx ends. Then it claims nothing more, waits Config.Drain for what is in flight, breaks
// the rest off, and puts back what it still holds; it returns an error when an adapter did not even notice that. One
// Work at a time.
func (b *Box) Work(ctx context.Context) error {
	b.mu.Lock()
	if b.working {
		b.mu.Unlock()
		return b.fault(contracts.Conflict, "work", "the workers are already running")
	}
	b.working = true
	b.mu.Unlock()
	b.stopping.Store(false)

	// What is in flight outlives ctx by the time of draining.
	flight, breakOff := context.WithCancelCause(context.WithoutCancel(ctx))
	defer breakOff(nil)
	last, over := context.WithCancel(context.WithoutCancel(ctx))
	defer over()
	w := &crew{b: b, places: make(chan struct{}, b.cfg.Workers), ctx: flight, last: last}
	stopBeat := make(chan struct{})
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		b.beatUntil(last, stopBeat)
	}()
	b.dispatch(ctx, w)

	b.stopping.Store(true)
	err := b.drain(w, breakOff)
	close(stopBeat)
	<-beating
	b.mu.Lock()
	b.working = false
	b.mu.Unlock()
	return err
}

// A crew is the workers: as many goroutines as there are jobs, as many jobs as there are places.
type crew struct {
	b      *Box
	ctx    context.Context // of exchanges; ends when they are broken off
	last   context.Context // of what is stored about them
	places chan struct{}
	wg     sync.WaitGroup
}

// start runs a job; a place has been taken for it.
func (w *crew) start(j *job) {
	b := w.b
	ctx, cancel := context.WithCancelCause(w.ctx)
	j.cancel, j.commit = cancel, w.last
	b.mu.Lock()
	j.seen = b.mono()
	j.began = j.seen
	b.jobs[j.key()] = j
	b.mu.Unlock()
	end := b.begin()
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		defer func() {
			cancel(nil)
			b.mu.Lock()
			if b.jobs[j.key()] == j {
				delete(b.jobs, j.key())
			}
			b.mu.Unlock()
			end()
			<-w.places
			b.ring()
		}()
		b.carry(ctx, j)
	}()
}

// dispatch claims work for the free places until ctx ends.
func (b *Box) dispatch(ctx context.Context, w *crew) {
	var lastSweep time.Time
	for ctx.Err() == nil {
		room := w.reserve(ctx)
		if room == 0 {
			return
		}
		if now := b.clock.Now(); now.Sub(lastSweep).Abs() >= sweepEvery {
			lastSweep = now
			b.sweep(ctx)
		}
		used, next, err := b.pass(ctx, w, room)
		w.release(room - used)
		switch {
		case err != nil && ctx.Err() == nil:
			b.log.Warn("outbox: no work can be claimed now", slog.Any("error", err))
			b.idle(ctx, nanos(b.clock.Now().Add(time.Second)))
		case err == nil && used == 0:
			b.endRecovery(ctx)
			b.idle(ctx, next)
		}
	}
}

// reserve waits for a place and takes all that are free; zero when ctx ended.
func (w *crew) reserve(ctx context.Context) (room int) {
	select {
	case w.places <- struct{}{}:
		room++
	case <-ctx.Done():
		return 0
	}
	for {
		select {
		case w.places <- struct{}{}:
			room++
		default:
			return room
		}
	}
}

func (w *crew) release(n int) {
	for range n {
		<-w.places
	}
}

// pass looks once at what is due and starts what there is room for. used counts work of any sort, so that another look
// follows at once.
func (b *Box) pass(ctx context.Context, w *crew, room int) (used int, next int64, err error) {
	defer b.begin()()
	var p *plan
	err = b.store.Read(ctx, func(v *store.View) (err error) {
		p, err = b.survey(v, b.now(), room)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	if p.promote {
		if err := b.promote(ctx); err != nil {
			return 0, 0, err
		}
		b.ring()
	}
	if len(p.lots)+len(p.resolve)+len(p.singles) == 0 {
		return 0, p.next, nil
	}
	jobs, err := b.claim(ctx, p, room)
	if err != nil {
		return 0, 0, err
	}
	for _, j := range jobs {
		w.start(j)
	}
	if len(jobs) == 0 { // others were quicker
		b.ring()
	}
	return len(jobs), p.next, nil
}

// idle waits for the bell, for the clock to reach next, or for the next look.
func (b *Box) idle(ctx context.Context, next int64) {
	var due <-chan time.Time
	if next != never {
		timer, stop := b.clock.Timer(time.Unix(0, next))
		defer stop()
		due = timer
	}
	again := time.NewTimer(look)
	defer again.Stop()
	select {
	case <-b.bell:
	case <-due:
	case <-again.C:
	case <-ctx.Done():
	}
}

// drain waits for what is in flight, breaks it off when it takes too long, and puts back what is left.
func (b *Box) drain(w *crew, breakOff context.CancelCauseFunc) error {
	done := make(chan struct{})
	go func() { // ends with the last worker, which drain waits for unless an adapter hangs
		w.wg.Wait()
		close(done)
	}()
	for _, step := range []struct {
		wait time.Duration
		then func()
	}{{b.cfg.Drain, func() { breakOff(errDrained) }}, {grace, func() {}}} {
		timer := time.NewTimer(step.wait)
		select {
		case <-done:
			timer.Stop()
			return nil
		case <-timer.C:
			step.then()
		}
	}
	b.mu.Lock()
	var stuck []*job
	for _, j := range b.jobs {
		stuck = append(stuck, j)
	}
	b.mu.Unlock()
	for _, j := range stuck {
		b.revoke(context.Background(), j)
	}
	return b.fault(contracts.Unavailable, "work", "%d exchanges did not end when they were broken off", len(stuck))
}

// revoke takes a job away from a worker that gives no sign of life, as a crash would.
func (b *Box) revoke(ctx context.Context, j *job) {
	b.mu.Lock()
	if j.taken {
		b.mu.Unlock()
		return
	}
	j.taken = true
	b.mu.Unlock()
	j.cancel(errLost)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		if j.list != nil {
			return b.recoverLot(tx, j.id, b.lease, j.fence)
		}
		return b.recoverRow(tx, j.n, b.lease, j.fence)
	})
	if err != nil {
		b.log.Error("outbox: a ticket could not be taken from a worker that hangs", slog.String("ticket", j.id), slog.Any("error", err))
	}
}

// beatUntil stores a sign of life of what is in flight, a few times per lease in real time: a lease is about processes,
// not about instants.
func (b *Box) beatUntil(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(b.cfg.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.beat(ctx)
			if b.shared {
				b.watch(ctx)
			}
		case <-stop:
			return
		}
	}
}

// beat renews the leases of what is in flight, breaks off what was lost, and gives up on workers that have been silent
// beyond the time of an exchange.
func (b *Box) beat(ctx context.Context) {
	var all, hung []*job
	b.mu.Lock()
	for _, j := range b.jobs {
		switch {
		case j.taken:
		case b.mono()-j.began > b.cfg.CallFor+b.cfg.Lease:
			hung = append(hung, j)
		default:
			all = append(all, j)
		}
	}
	b.mu.Unlock()
	for _, j := range hung {
		b.log.Error("outbox: an exchange did not end when its time was over; its ticket is taken away", slog.String("ticket", j.id),
			slog.String("operation", j.op), slog.String("instance", j.at))
		b.revoke(ctx, j)
	}
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Lease/4)
	defer cancel()
	var lost map[*job]bool
	err := b.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		lost = map[*job]bool{}
		for _, j := range all {
			text, arg := `UPDATE outbox_ticket SET beat = beat + 1 WHERE n = ? AND lease = ? AND fence = ?`, any(j.n)
			if j.list != nil {
				text, arg = `UPDATE outbox_lot SET beat = beat + 1 WHERE id = ? AND lease = ? AND fence = ?`, any(j.id)
			}
			res, err := tx.Exec(text, arg, b.lease, j.fence)
			if err != nil {
				return fmt.Errorf("renew leases: %w", err)
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				lost[j] = true
			}
		}
		return nil
	})
	now := b.mono()
	for _, j := range all {
		b.mu.Lock()
		if err == nil && !lost[j] {
			j.seen = now
		}
		silent := now - j.seen
		b.mu.Unlock()
		if lost[j] || silent > b.cfg.Lease { // another holds it, or could: no further step
			j.cancel(errLost)
		}
	}
}
