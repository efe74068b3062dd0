package lab

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Mock plays one supplier. Attach opens what it serves on the bench and returns; what it started ends with the bench
// (see Bench.Closing and Bench.OnClose).
//
// Five more methods are optional. Cast() []Member brings people of the mock's own, whom then every mock on the bench knows.
// Stanza(Files) (Stanza, error) is what a hub must be told to talk to the mock. Business() []string gives the globs over "mock label" that Misbehave spoils; without
// it, all of the mock's exchanges. Problem(status int) (contentType string, body []byte) gives the body of an injected
// status in the supplier's own shape. Own() []Misdeed lists what the mock does itself (see FaultOf).
type Mock interface {
	Name() string
	Attach(b *Bench) error
}

// Options say how a bench is opened; the zero value will do.
type Options struct {
	Clock *Clock // nil: a running clock that the bench closes
	Seed  uint64 // of faults by chance and of every name that mocks draw
	Dir   string // durable state and credential files; empty: a temporary folder, removed on Close

	// What the journal keeps; 0: 200,000 lines and 128 MiB of raw bytes.
	JournalLines, JournalBytes int
}

// A Bench is what mocks stand on. Its methods are safe for concurrent use.
type Bench struct {
	clock    *Clock
	ownClock bool
	seed     uint64
	dir      string
	ownDir   bool
	ca       *CA
	journal  journal

	mu        sync.Mutex
	mocks     []Mock
	faults    []*armed
	injected  int
	inFlight  int
	servers   []*server
	endpoints map[string]string // "mock service"
	bases     map[string]string // mock
	listeners []net.Listener
	closers   []func() error
	closed    bool
	admin     string
	desk      *http.ServeMux // of the admin endpoint
	cast      []Member       // the common one, and those of the mocks
	byCode    map[string]Member

	done     chan struct{}
	handlers sync.WaitGroup
}

// New opens a bench for a program.
func New(opt Options) (*Bench, error) {
	b := &Bench{
		clock: opt.Clock, seed: opt.Seed, dir: opt.Dir, done: make(chan struct{}),
		endpoints: map[string]string{}, bases: map[string]string{},
		cast: members(), byCode: byCode(),
	}
	b.journal.counts = map[string]int{}
	b.journal.maxLines, b.journal.maxBytes = journalLines, journalBytes
	if opt.JournalLines > 0 {
		b.journal.maxLines = opt.JournalLines
	}
	if opt.JournalBytes > 0 {
		b.journal.maxBytes = opt.JournalBytes
	}
	if b.clock == nil {
		b.clock, b.ownClock = RunningClock(), true
	}
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Bench) open() (err error) {
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "raccordo-lab-"); err != nil {
			return fmt.Errorf("lab: make a folder: %w", err)
		}
		b.ownDir = true
	} else if err = os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("lab: make the folder: %w", err)
	}
	if b.ca, err = newCA(b.dir, b.clock.Now()); err != nil {
		return err
	}
	return b.serveAdmin()
}

// Start opens a bench for a test, with a clock frozen at 2026-11-21T08:00:00Z and seed 1, attaches the mocks and closes
// everything with the test.
func Start(t testing.TB, mocks ...Mock) *Bench {
	t.Helper()
	b, err := New(Options{Clock: NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("lab: close: %v", err)
		}
	})
	if err := b.Attach(mocks...); err != nil {
		t.Fatal(err)
	}
	return b
}

// Client talks to the mocks in a test of theirs. It follows no redirect, and its connections end with the test.
func (b *Bench) Client(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: b.CA().ClientTLS()}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Cast is the common cast and, behind it, the people whom the attached mocks brought, in the order of the mocks.
func (b *Bench) Cast() []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.cast)
}

// Who is the first member with a story, in the cast of this bench. An unknown story is a fault of the program and panics.
func (b *Bench) Who(story string) Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	return who(b.cast, story)
}

// ByCode finds a member of this bench's cast by codice fiscale, in any case; the first of those who share one.
func (b *Bench) ByCode(code string) (Member, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.byCode[strings.ToUpper(code)]
	return m, ok
}

// Attach puts mocks on the bench. All are known by name before the first is attached, so their order does not matter.
func (b *Bench) Attach(mocks ...Mock) error {
	b.mu.Lock()
	for _, m := range mocks {
		if slices.ContainsFunc(b.mocks, func(x Mock) bool { return x.Name() == m.Name() }) {
			b.mu.Unlock()
			return fmt.Errorf("lab: attach %s: a mock of that name is attached already", m.Name())
		}
		b.mocks = append(b.mocks, m)
	}
	b.cast = casting(b.mocks)
	b.byCode = indexed(b.cast)
	b.mu.Unlock()
	for _, m := range mocks {
		if err := m.Attach(b); err != nil {
			return fmt.Errorf("lab: attach %s: %w", m.Name(), err)
		}
	}
	return nil
}

// Close ends every listener and connection, waits for the exchanges under way, runs what OnClose was given, newest
// first, and removes a temporary folder. Closing again is harmless.
func (b *Bench) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	servers, listeners, closers := b.servers, b.listeners, b.closers
	b.mu.Unlock()
	close(b.done)
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, s := range servers {
		s.close()
	}
	b.handlers.Wait()
	for _, fn := range slices.Backward(closers) {
		errs = append(errs, fn())
	}
	if b.ownClock {
		b.clock.Close()
	}
	if b.ownDir {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

// enter counts an exchange that Close waits for; false when the bench is closing.
func (b *Bench) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.handlers.Add(1)
	}
	return !b.closed
}

// OnClose has fn called by Close, after the listeners were closed: a mock waits there for what it started.
func (b *Bench) OnClose(fn func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closers = append(b.closers, fn)
}

// Closing is closed when the bench begins to close: whatever waits must give up then.
func (b *Bench) Closing() <-chan struct{} { return b.done }

// Dir is the folder for durable state and credential files.
func (b *Bench) Dir() string { return b.dir }

// Seed is what chance on this bench derives from.
func (b *Bench) Seed() uint64 { return b.seed }

// Rand is a source of its own for each name, which replays with the seed. It is not safe for concurrent use.
func (b *Bench) Rand(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(b.seed, h.Sum64()))
}

// Clock is the bench's time.
func (b *Bench) Clock() *Clock { return b.clock }

// Advance is Clock().Advance.
func (b *Bench) Advance(d time.Duration) { b.clock.Advance(d) }

// CA is the certification authority of every mock on this bench.
func (b *Bench) CA() *CA { return b.ca }

// Mock finds an attached mock by name; nil when there is none.
func (b *Bench) Mock(name string) Mock {
	for _, m := range b.attached() {
		if m.Name() == name {
			return m
		}
	}
	return nil
}

// Mocks lists the attached mocks in the order in which they came.
func (b *Bench) Mocks() []Mock { return b.attached() }

func (b *Bench) attached() []Mock {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mocks)
}

// URL is the base of an HTTP mock, path included, without a slash at its end; empty when there is none.
func (b *Bench) URL(mock string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bases[mock]
}

// Endpoint is where a service of a mock listens, as "127.0.0.1:port"; HTTP mocks have the service "https". Empty when
// there is none.
func (b *Bench) Endpoint(mock, service string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.endpoints[mock+" "+service]
}

// AdminURL is the base of the admin endpoint, http on loopback, ending in "/_lab/".
func (b *Bench) AdminURL() string { return b.admin }

// Listen opens a plain TCP listener on loopback for a service of a mock and closes it with the bench. A Refuse that
// matches "mock service connect" resets connections as they come.
func (b *Bench) Listen(mock, service string) (net.Listener, error) {
	l, err := b.listen(mock, service, service+" connect")
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.listeners = append(b.listeners, l)
	b.mu.Unlock()
	return l, nil
}

func (b *Bench) listen(mock, service, label string) (net.Listener, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errors.New("lab: listen: the bench is closed")
	}
	key := mock + " " + service
	if _, ok := b.endpoints[key]; ok {
		return nil, fmt.Errorf("lab: listen: %s has a service %s already", mock, service)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lab: listen: %w", err)
	}
	b.endpoints[key] = l.Addr().String()
	return &refusing{Listener: l, b: b, mock: mock, label: label}, nil
}

// A refusing listener resets the connections that a Refuse is armed for.
type refusing struct {
	net.Listener
	b           *Bench
	mock, label string
}

func (l *refusing) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, ok := l.b.take(l.mock, l.label, Refuse); !ok {
			return c, nil
		}
		Reset(c)
	}
}

// Reset closes a TCP connection so that the other side sees a reset, not an end.
func Reset(c net.Conn) {
	if n, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = n.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
