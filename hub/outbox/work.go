package outbox

import (
	"context"
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
	w := &crew{b: b, tokens: make(chan struct{}, b.cfg.Workers), ctx: flight, last: last}
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

// A crew is the workers: as many goroutines as there are jobs. Pooled jobs are as many as their places; for each other
// one a worker's token has been taken.
type crew struct {
	b      *Box
	ctx    context.Context // of exchanges; ends when they are broken off
	last   context.Context // of what is stored about them
	tokens chan struct{}
	wg     sync.WaitGroup
}

// start runs a job, and those that its worker claims behind it.
func (w *crew) start(j *job) {
	b := w.b
	ctx := w.register(j)
	end := b.begin()
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		defer b.ring()
		defer end()
		if j.place == nil {
			defer func() { <-w.tokens }()
		}
		for j != nil {
			next := w.run(ctx, j)
			if next != nil {
				ctx = w.register(next)
			}
			j = next
		}
	}()
}

// register lists a job among those in flight and gives it its context.
func (w *crew) register(j *job) context.Context {
	b := w.b
	ctx, cancel := context.WithCancelCause(w.ctx)
	j.cancel, j.commit = cancel, w.last
	b.mu.Lock()
	defer b.mu.Unlock()
	j.seen = b.mono()
	j.began = j.seen
	b.jobs[j.key()] = j
	return ctx
}

// run carries out one job.
func (w *crew) run(ctx context.Context, j *job) (next *job) {
	b := w.b
	defer func() {
		j.cancel(nil)
		b.mu.Lock()
		if b.jobs[j.key()] == j {
			delete(b.jobs, j.key())
		}
		b.mu.Unlock()
		if j.place != nil {
			j.place.release()
		}
	}()
	return b.carry(ctx, j)
}

// dispatch claims work for free workers and free places until ctx ends.
func (b *Box) dispatch(ctx context.Context, w *crew) {
	var lastSweep time.Time
	for ctx.Err() == nil {
		room := w.reserve()
		if now := b.clock.Now(); now.Sub(lastSweep).Abs() >= sweepEvery {
			lastSweep = now
			b.sweep(ctx)
		}
		used, next, err := b.pass(ctx, w, room)
		switch {
		case err != nil && ctx.Err() == nil:
			b.log.Warn("outbox: no work can be claimed now", slog.Any("error", err))
			rest(ctx, time.Second)
		case err == nil && used == 0:
			b.endRecovery(ctx)
			b.idle(ctx, next)
		}
	}
}

// reserve takes the tokens of all workers that are free.
func (w *crew) reserve() (room int) {
	for {
		select {
		case w.tokens <- struct{}{}:
			room++
		default:
			return room
		}
	}
}

func (w *crew) release(n int) {
	for range n {
		<-w.tokens
	}
}

// pass looks once at what is due and starts what there is room for: room tokens have been taken. used counts work of any
// sort, so that another look follows at once.
func (b *Box) pass(ctx context.Context, w *crew, room int) (used int, next int64, err error) {
	defer b.begin()()
	b.turn.Add(1)
	defer func() { w.release(room) }()
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
			p.giveBack()
			return 0, 0, err
		}
		b.ring()
	}
	if !p.some() {
		return 0, p.next, nil
	}
	jobs, err := b.claim(ctx, p, room)
	if err != nil {
		return 0, 0, err
	}
	for _, j := range jobs {
		if j.place == nil {
			room--
		}
		w.start(j)
	}
	if len(jobs) == 0 { // others were quicker
		b.ring()
	}
	return len(jobs), p.next, nil
}

// rest waits a moment of real time: for a store that refuses, no clock of ours tells when it will not.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
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
