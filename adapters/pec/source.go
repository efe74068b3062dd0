package pec

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

// An intake is the reading side of the adapter: one source for each mailbox, and what they share.
type intake struct {
	sources map[string]*source
	share   int64         // bytes of small messages that one batch of one source holds
	room    *room         // bytes of big messages that all sources hold
	cpus    chan struct{} // signatures being checked
	duties  duties
	known   acquainted
}

const (
	smallRoom = 64 << 20 // bytes of small messages that the sources' batches hold together: one each, and one ahead
	bigRoom   = 64 << 20 // bytes of big messages that they hold together; a single one may be bigger
	minShare  = 64 << 10
	maxShare  = 8 << 20
	renewIdle = 9 * time.Minute // real time
	maxLies   = 3               // sizes found to be wrong in one call
	aheadFor  = 5 * time.Minute // real time
)

func newIntake(a *Adapter) *intake {
	in := &intake{
		sources: make(map[string]*source, len(a.boxes)),
		share:   min(max(smallRoom/int64(2*max(len(a.boxes), 1)), minShare), maxShare),
		room:    newRoom(bigRoom),
		cpus:    make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	for _, b := range a.boxes {
		in.sources[b.Name] = newSource(a, in, b)
	}
	return in
}

func (in *intake) close() {
	var wg sync.WaitGroup
	for _, s := range in.sources {
		wg.Go(s.close) // each says goodbye for two seconds at most
	}
	wg.Wait()
}

// Sources gives one feeder for each mailbox, under its configured name.
func (a *Adapter) Sources() map[string]contracts.Feeder {
	out := make(map[string]contracts.Feeder, len(a.intake.sources))
	for name, s := range a.intake.sources {
		out[name] = s
	}
	return out
}

// A source reads one mailbox over a connection of its own, which it keeps from call to call. It is made for one reader:
// a call waits for the one before.
type source struct {
	a    *Adapter
	in   *intake
	box  *mailbox
	wake chan struct{} // at most one hint

	turn    chan struct{} // holds one token: whoever has it may use what follows
	closed  bool
	ahead   *batch // read already, for the next call
	session *mail.Session
	folders []string // the watched ones, by the server's own spelling; empty: not asked yet
	respell bool     // one was not there
	hitch   hitch
	down    string               // kind of the last failure; empty: the last call worked
	absent  map[string]bool      // watched folders that are not there, told of once
	gaps    map[string]*gap      // messages that another reader took away, by folder
	rewound map[string]time.Time // when folders were last read anew for a UIDNEXT that went back
	level   int                  // marks that the quota has passed
	rounds  rounds

	aheadFor time.Duration // how long a batch may take that nobody has asked for yet

	life  context.Context // until close
	stop  context.CancelFunc
	watch sync.WaitGroup
	began sync.Once
}

var (
	_ contracts.Feeder = (*source)(nil)
	_ contracts.Waker  = (*source)(nil)
)

func newSource(a *Adapter, in *intake, b *mailbox) *source {
	s := &source{
		a: a, in: in, box: b, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		absent: map[string]bool{}, gaps: map[string]*gap{}, rewound: map[string]time.Time{}, aheadFor: aheadFor,
	}
	s.life, s.stop = context.WithCancel(context.Background())
	s.turn <- struct{}{}
	return s
}

// Every is how long to leave the mailbox alone when it brought nothing.
func (s *source) Every() time.Duration { return s.a.config.Poll }

// Wake tells that the server has spoken of new mail, where it does (IDLE). The mailbox is read on time without it.
func (s *source) Wake() <-chan struct{} { return s.wake }

func (s *source) hint() {
	select {
	case s.wake <- struct{}{}:
	default: // one means the same as many
	}
}

// Feed reads what came after the cursor into the watched folders, archives each receipt as fetched, judges its signature
// and names the ticket it bears on. Flags in the mailbox are left alone. What was read before a failure counts: then the
// failure shows at the next call. While there is more, the next batch is read as the caller commits this one. When nothing
// new is there, the rounds are made that need no haste: quota, receipts that somebody moved, receipts that are overdue,
// purging.
func (s *source) Feed(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return nil, from, s.fault(contracts.Errorf(contracts.Unavailable, "not read: %w", ctx.Err()))
	}
	if s.closed {
		s.turn <- struct{}{}
		return nil, from, s.fault(contracts.Errorf(contracts.Canceled, "the adapter is closed"))
	}
	b := s.ahead
	s.ahead = nil
	if b == nil || b.from != string(from) || len(b.events) == 0 { // an empty one is as old as its reading, not as this call
		b = s.batch(ctx, from)
	}
	s.told(b.err)
	if b.more && b.err == nil {
		s.watch.Go(func() { // it has the turn
			ctx, cancel := context.WithTimeout(s.life, s.aheadFor)
			defer cancel()
			s.ahead = s.batch(ctx, b.next)
			s.turn <- struct{}{}
		})
	} else {
		s.turn <- struct{}{}
	}
	if b.err != nil && len(b.events) == 0 {
		return nil, from, s.fault(b.err)
	}
	return b.events, b.next, nil
}

// A batch is what one reading brought, and from where to where it went.
type batch struct {
	from   string
	next   contracts.Cursor
	events []contracts.Event
	more   bool
	err    error
}

func (s *source) batch(ctx context.Context, from contracts.Cursor) *batch {
	b, at := &batch{from: string(from)}, s.places(from)
	if b.events, b.more, b.err = s.read(ctx, at); b.err != nil && len(b.events) == 0 {
		return b
	}
	next, err := at.cursor()
	if err != nil {
		return &batch{from: string(from), err: err}
	}
	b.next = next
	return b
}

func (s *source) fault(err error) error {
	e := *contracts.AsError(err)
	e.System, e.Operation = s.a.env.Instance, "feed"
	e.Err = contracts.Errorf(e.Kind, "mailbox %s: %w", s.box.Name, e.Err).Err
	return &e
}

// read takes a batch, on a connection that may have died since the last call: then on a new one.
func (s *source) read(ctx context.Context, at *places) (events []contracts.Event, more bool, err error) {
	kept := s.session != nil
	events, more, err = s.readOnce(ctx, at)
	if err != nil && kept && s.session == nil && len(events) == 0 && ctx.Err() == nil && contracts.KindOf(err) == contracts.Unavailable {
		return s.readOnce(ctx, at)
	}
	return events, more, err
}

func (s *source) readOnce(ctx context.Context, at *places) (events []contracts.Event, more bool, err error) {
	defer func() { s.rest(err == nil && len(events) == 0) }()
	for range maxLies {
		if err = s.connect(ctx); err != nil {
			return nil, false, err
		}
		events, more, err = s.collect(ctx, at)
		switch {
		case len(events) == 0 && errors.Is(err, mail.ErrTooBig): // the connection was ended over it; it is known now
			s.drop()
		case err != nil || more || len(events) > 0:
			return events, more, err
		default:
			events, err = s.makeRounds(ctx, at)
			return events, false, err
		}
	}
	return nil, false, err
}

// connect puts the kept connection, or a new one, to work under ctx.
func (s *source) connect(ctx context.Context) error {
	if s.session != nil {
		if !s.session.Broken() && s.session.Use(ctx) == nil {
			return nil
		}
		s.drop()
	}
	session, err := mail.Connect(ctx, s.box.in, s.hint)
	if err != nil {
		s.box.refused(ctx, err)
		return busy(err)
	}
	if err := session.Use(ctx); err != nil {
		_ = session.Close() // the error says more
		return err
	}
	s.session, s.folders = session, nil
	s.began.Do(func() { s.watch.Go(s.renew) })
	return nil
}

// busy makes whoever was refused for too many connections stay away for a minute at least.
func busy(err error) error {
	if contracts.KindOf(err) != contracts.Throttled {
		return err
	}
	e := *contracts.AsError(err)
	e.After = max(e.After, time.Minute)
	return &e
}

// rest lays the connection down, listening for news if all is read.
func (s *source) rest(listen bool) {
	switch {
	case s.session == nil:
	case s.session.Broken(), s.session.Rest(listen) != nil:
		s.drop()
	}
}

func (s *source) drop() {
	if s.session != nil {
		_ = s.session.Close() // it only ever says goodbye
		s.session = nil
	}
}

// renew keeps IDLE alive until close, and finds links that are half open: nobody waits for it, and it waits for nobody.
func (s *source) renew() {
	tick := time.NewTicker(renewIdle)
	defer tick.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-tick.C:
		}
		select {
		case <-s.turn:
			if s.session != nil && s.session.Renew() != nil {
				s.drop()
			}
			s.turn <- struct{}{}
		default: // somebody reads: the link is tried
		}
	}
}

// close ends the connection after the call that uses it, and what is read ahead at once. It is safe to repeat.
func (s *source) close() {
	s.stop()
	<-s.turn
	s.closed, s.ahead = true, nil
	s.drop()
	s.turn <- struct{}{}
	s.watch.Wait()
}

// told logs when the mailbox stops or begins again to be readable, not each time it is so.
func (s *source) told(err error) {
	now := ""
	if err != nil {
		now = contracts.KindOf(err).String()
	}
	was := s.down
	s.down = now
	switch {
	case was == now:
	case err != nil:
		s.a.env.Log.Warn("mailbox cannot be read", "instance", s.a.env.Instance, "mailbox", s.box.Name, "kind", now, "error", err)
	default:
		s.a.env.Log.Info("mailbox is read", "instance", s.a.env.Instance, "mailbox", s.box.Name)
	}
}

// A room is bytes that may be held at a time. Whoever wants more than there is gets all of it, alone.
type room struct {
	mu   sync.Mutex
	size int64
	free int64
	gone chan struct{} // closed and replaced when something is given back
}

func newRoom(size int64) *room { return &room{size: size, free: size, gone: make(chan struct{})} }

func (r *room) take(ctx context.Context, n int64) (give func(), err error) {
	n = min(n, r.size)
	for {
		r.mu.Lock()
		if r.free >= n {
			r.free -= n
			r.mu.Unlock()
			return sync.OnceFunc(func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.free += n
				close(r.gone)
				r.gone = make(chan struct{})
			}), nil
		}
		gone := r.gone
		r.mu.Unlock()
		select {
		case <-gone:
		case <-ctx.Done():
			return nil, contracts.Errorf(contracts.Unavailable, "not read: no room for a big message: %w", ctx.Err())
		}
	}
}
