package outbox_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/hub/feed"
	"raccordo/hub/outbox"
	"raccordo/hub/store"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", checks); err != nil { // a default: the command line comes later
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var morning = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// The operations of an imaginary need.
type ask struct {
	Who    string `json:"who"`
	Lane   string `json:"lane,omitempty"`
	Pos    uint64 `json:"pos,omitempty"`
	Secret string `json:"secret,omitempty"`
	Digest string `json:"digest,omitempty"`
}

func (a ask) Redacted() (any, bool) {
	if a.Secret == "" {
		return a, false
	}
	a.Digest, a.Secret = contracts.SumOf([]byte(a.Secret)).String(), ""
	return a, true
}

type reply struct {
	Who  string   `json:"who"`
	Seen []string `json:"seen,omitempty"`
}

var (
	opRead   = contracts.NewOp[ask, reply]("test.read", contracts.Read)
	opWrite  = contracts.NewOp[ask, reply]("test.write", contracts.Write)
	opOnce   = contracts.NewOp[ask, reply]("test.once", contracts.Once)
	opKeyed  = contracts.NewOp[ask, reply]("test.keyed", contracts.Once).InLane(func(a ask) contracts.Lane { return contracts.Lane{Name: a.Lane, Rule: contracts.Keyed} })
	opStrict = contracts.NewOp[ask, reply]("test.strict", contracts.Write).InLane(func(a ask) contracts.Lane {
		return contracts.Lane{Name: a.Lane, Rule: contracts.Strict, Position: a.Pos}
	})
)

// A desk routes to bindings that a test makes.
type desk struct {
	mu       sync.Mutex
	ops      map[string]*contracts.OpInfo
	routes   map[string][]string
	bindings map[string]*contracts.Binding
}

var errOurs = errors.New("our own limit")

func newDesk() *desk {
	d := &desk{ops: map[string]*contracts.OpInfo{}, routes: map[string][]string{}, bindings: map[string]*contracts.Binding{}}
	for _, op := range []*contracts.OpInfo{opRead.OpInfo, opWrite.OpInfo, opOnce.OpInfo, opKeyed.OpInfo, opStrict.OpInfo, opPooled.OpInfo} {
		d.ops[op.Name] = op
	}
	return d
}

func (d *desk) bind(instance string, b contracts.Binding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bindings[b.Op.Name+"@"+instance] == nil {
		d.routes[b.Op.Name] = append(d.routes[b.Op.Name], instance)
	}
	d.bindings[b.Op.Name+"@"+instance] = &b
}

func (d *desk) Op(name string) *contracts.OpInfo { return d.ops[name] }

func (d *desk) Binding(op, instance string) *contracts.Binding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bindings[op+"@"+instance]
}

func (d *desk) Next(c *contracts.Call, after string) (string, *contracts.Binding, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	route := d.routes[c.Op.Name]
	from := 0
	if after != "" {
		from = slices.Index(route, after) + 1
	}
	for _, instance := range route[from:] {
		b := d.bindings[c.Op.Name+"@"+instance]
		if c.At != "" && c.At != instance || b.Covers != nil && b.Covers(c.Request) != nil {
			continue
		}
		return instance, b, true
	}
	return "", nil, false
}

func (d *desk) Do(ctx context.Context, c *contracts.Call) (any, error) {
	return d.Binding(c.Op.Name, c.At).Do(ctx, c.Request)
}

func (d *desk) Start(ctx context.Context, c *contracts.Call, reqs []any) ([]byte, error) {
	return d.Binding(c.Op.Name, c.At).List.Start(ctx, reqs)
}

func (d *desk) Collect(ctx context.Context, c *contracts.Call, handle []byte, reqs []any) ([]contracts.Result[any], error) {
	return d.Binding(c.Op.Name, c.At).List.Collect(ctx, handle, reqs)
}

func (d *desk) Resolve(ctx context.Context, c *contracts.Call) (any, error) {
	return d.Binding(c.Op.Name, c.At).Resolve(ctx, c.Request)
}

func (d *desk) Refused(err error) bool { return errors.Is(err, errOurs) }

// A ledger remembers the entries that were committed.
type ledger struct {
	mu      sync.Mutex
	entries []contracts.Entry
}

func (l *ledger) Append(tx *store.Tx, e contracts.Entry) (contracts.Entry, error) {
	tx.After(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.entries = append(l.entries, e)
	})
	return e, nil
}

func (l *ledger) all() []contracts.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// of gives "phase outcome@system" of every entry about ref.
func (l *ledger) of(ref string) (lines []string) {
	for _, e := range l.all() {
		if e.Ref == ref {
			lines = append(lines, strings.TrimSpace(e.Phase+" "+e.Outcome)+"@"+e.System)
		}
	}
	return lines
}

// late breaks the circle of feed and box.
type late struct{ box *outbox.Box }

func (l *late) Fold(tx *store.Tx, instance string, e contracts.Event) (string, error) {
	return l.box.Fold(tx, instance, e)
}

// A rig is a box at work, with all around it.
type rig struct {
	testing.TB
	path   string
	clock  *contracttest.Clock
	desk   *desk
	ledger *ledger
	store  *store.Store
	feed   *feed.Feed
	box    *outbox.Box
	opt    outbox.Options
	cfg    outbox.Config
	stop   func()
}

const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func testConfig() outbox.Config {
	cfg := outbox.Default()
	cfg.Drain = 2 * time.Second
	return cfg
}

// newRig makes a rig; its test runs beside others from here on.
func newRig(t testing.TB) *rig {
	if t, ok := t.(*testing.T); ok && os.Getenv(crashDir) == "" {
		t.Parallel()
	}
	r := &rig{TB: t, path: filepath.Join(t.TempDir(), "hub.db"), clock: contracttest.NewClock(morning), desk: newDesk(), ledger: &ledger{}, cfg: testConfig()}
	r.opt.SetJitter(func() float64 { return 1 })
	return r
}

func openStore(t testing.TB, path string, c contracts.Clock, recovered bool, before func(uint64)) *store.Store {
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = path, "secret://env/KEY", 0
	s, err := store.Open(context.Background(), cfg, store.Options{
		Clock: c, Recovered: recovered, BeforeCommit: before,
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(testKey), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens store, feed and box, and lets nobody work yet.
func (r *rig) open() *rig {
	r.Helper()
	r.store = openStore(r, r.path, r.clock, r.opt.Recovered, nil)
	s := r.store
	r.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.Error(err)
		}
	})
	return r.attach()
}

// attach opens feed and box on the store.
func (r *rig) attach() *rig {
	r.Helper()
	l := &late{}
	var err error
	if r.feed, err = feed.Open(context.Background(), r.store, l, r.ledger, feed.Default(), feed.Options{Clock: r.clock}); err != nil {
		r.Fatal(err)
	}
	r.opt.Clock = r.clock
	if r.box, err = outbox.Open(context.Background(), r.store, r.ledger, r.feed, r.desk, r.cfg, r.opt); err != nil {
		r.Fatal(err)
	}
	l.box = r.box
	return r
}

// start lets the workers work until the test ends or stop is called.
func (r *rig) start() *rig {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.box.Work(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.Error(err)
			}
		})
	}
	r.Cleanup(r.stop)
	return r
}

// reopen ends the workers and opens everything again.
func (r *rig) reopen() *rig {
	r.Helper()
	if r.stop != nil {
		r.stop()
	}
	if err := r.store.Close(); err != nil {
		r.Fatal(err)
	}
	return r.open()
}

func caller() contracts.Caller {
	return contracts.Caller{Service: "core", Purpose: "check", User: "u1", Case: "case-1"}
}

func newCall[Req, Resp any](op contracts.Op[Req, Resp], key string, req Req) *contracts.Call {
	return &contracts.Call{Op: op.OpInfo, Request: req, Caller: caller(), Key: key}
}

func (r *rig) submit(c *contracts.Call) contracts.Ticket {
	r.Helper()
	t, err := r.box.Submit(context.Background(), c)
	if err != nil {
		r.Fatal(err)
	}
	return t
}

func (r *rig) ticket(id string) contracts.Ticket {
	r.Helper()
	t, err := r.box.Ticket(context.Background(), "", id)
	if err != nil {
		r.Fatal(err)
	}
	return t
}

const patience = 20 * time.Second

// quiet waits, in real time, until nothing is in flight or due, and gives the next instant.
func (r *rig) quiet() time.Time {
	r.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if next, ok := r.box.Idle(); ok {
			return next
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			r.Fatal("the box is never quiet")
		}
	}
}

// jump lets time pass, from one due thing to the next, until done holds or the horizon is reached.
func (r *rig) jump(horizon time.Duration, done func() bool) {
	r.Helper()
	end := r.clock.Now().Add(horizon)
	for {
		next := r.quiet()
		if done != nil && done() {
			return
		}
		if next.IsZero() || next.After(end) {
			if done != nil {
				r.Fatalf("within %s it did not come about; next %s", horizon, next)
			}
			return
		}
		r.clock.Set(next)
	}
}

// until waits, in real time, for something that nobody can be asked to wait for.
func (r *rig) until(what string, done func() bool) {
	r.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			r.Fatal("it never comes about: " + what)
		}
	}
}

// settled jumps until the ticket is settled.
func (r *rig) settled(id string) contracts.Ticket {
	r.Helper()
	r.jump(1000*time.Hour, func() bool { return r.ticket(id).State.Settled() })
	return r.ticket(id)
}

// state waits until nothing is due now, and gives the ticket's state.
func (r *rig) state(id string) contracts.State {
	r.Helper()
	r.quiet()
	return r.ticket(id).State
}

// tell lets an instance tell events.
func (r *rig) tell(instance string, events ...contracts.Event) int {
	r.Helper()
	n, err := r.feed.Pull(context.Background(), instance, &feeder{events: events})
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// A feeder tells what it was given.
type feeder struct{ events []contracts.Event }

func (f *feeder) Feed(context.Context, contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	return f.events, contracts.Cursor(fmt.Sprint(len(f.events))), nil
}
func (f *feeder) Every() time.Duration { return time.Minute }

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: have %v, want %v", what, got, want)
	}
}

func lines(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\nhave %s\nwant %s", what, strings.Join(got, " | "), strings.Join(want, " | "))
	}
}

func kind(t testing.TB, what string, err error, want contracts.Kind) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: have no error, want %s", what, want)
	} else if got := contracts.KindOf(err); got != want {
		t.Errorf("%s: have %s (%v), want %s", what, got, err, want)
	}
}
