package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type question struct {
	Subject contracts.CodiceFiscale `json:"subject,omitzero"`
	N       int                     `json:"n"`
	At      time.Time               `json:"at,omitzero"`
}

func (q question) Validate() error {
	if q.N < 0 {
		return errors.New("n: want 0 or more")
	}
	return nil
}

type reply struct {
	Twice int `json:"twice"`
}

var (
	opRead = contracts.NewOp[question, reply]("test.read", contracts.Read)
	opOnce = contracts.NewOp[question, reply]("test.once", contracts.Once)
	opElse = contracts.NewOp[question, reply]("other.read", contracts.Read)
)

const (
	coreToken  = "core-token-0123456789"
	coreNext   = "core-token-abcdefghij"
	otherToken = "other-token-012345678"
	someone    = "RSSMRA85T10A562S" // synthetic
)

// A fake is a Backend that answers as it is told and remembers what it was asked.
type fake struct {
	mu      sync.Mutex
	run     func(ctx context.Context, c *contracts.Call) (any, error)
	tickets map[string]contracts.Ticket
	calls   []contracts.Call
	traces  []string
	events  []contracts.Event
	acked   map[string]uint64
	down    error
}

func (f *fake) Run(ctx context.Context, c *contracts.Call) (any, error) {
	f.mu.Lock()
	f.calls = append(f.calls, *c)
	f.traces = append(f.traces, TraceFrom(ctx))
	run := f.run
	f.mu.Unlock()
	if run != nil {
		return run(ctx, c)
	}
	return reply{2 * c.Request.(question).N}, nil
}

func (f *fake) Submit(_ context.Context, c *contracts.Call) (contracts.Ticket, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, *c)
	t := contracts.Ticket{
		ID: contracts.TicketID(c.Caller.Service, c.Op.Name, c.Key), Op: c.Op.Name, Owner: c.Caller.Service,
		State: contracts.StateQueued, Since: time.Now(), Due: c.Due,
	}
	f.put(t)
	return t, nil
}

// put stores a ticket; f.mu is held, or nobody else is there.
func (f *fake) put(t contracts.Ticket) {
	if f.tickets == nil {
		f.tickets = map[string]contracts.Ticket{}
	}
	f.tickets[t.ID] = t
}

func (f *fake) move(id string, change func(*contracts.Ticket)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tickets[id]
	change(&t)
	f.tickets[id] = t
}

// Ticket gives anybody's ticket, so that the server's own check is seen to work.
func (f *fake) Ticket(ctx context.Context, id string) (contracts.Ticket, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if contracts.CallerFrom(ctx).Service == "" {
		return contracts.Ticket{}, contracts.Errorf(contracts.Denied, "no caller")
	}
	t, ok := f.tickets[id]
	if !ok {
		return t, contracts.Errorf(contracts.NotFound, "none")
	}
	return t, nil
}

func (f *fake) Ops() []*contracts.OpInfo {
	return []*contracts.OpInfo{opRead.OpInfo, opOnce.OpInfo, opElse.OpInfo}
}

func (f *fake) Events(_ context.Context, reader string, after uint64, limit int, wait time.Duration) ([]contracts.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []contracts.Event
	for _, e := range f.events {
		if e.Owner == reader && e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	if wait > testConfig().MaxWait {
		return nil, contracts.Errorf(contracts.Internal, "asked to wait %s", wait)
	}
	return out, nil
}

func (f *fake) Ack(_ context.Context, reader string, seq uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acked == nil {
		f.acked = map[string]uint64{}
	}
	f.acked[reader] = seq
	return nil
}

func (f *fake) Ready(context.Context) error { return f.down }

func testConfig() Config {
	return Config{
		MaxBody: 4096, MaxWait: 5 * time.Second,
		Callers: map[string]CallerConfig{
			"core":  {Tokens: []contracts.Secret{"secret://env/CORE", "secret://env/CORE_NEXT"}, Operations: []string{"test.*"}, Purposes: []string{"flussi", "prova"}},
			"other": {Tokens: []contracts.Secret{"secret://env/OTHER"}, Operations: []string{"*"}, Purposes: []string{"*"}},
		},
	}
}

func testSecret(_ context.Context, ref contracts.Secret) ([]byte, error) {
	switch ref {
	case "secret://env/CORE":
		return []byte(coreToken + "\n"), nil
	case "secret://env/CORE_NEXT":
		return []byte(coreNext), nil
	case "secret://env/OTHER":
		return []byte(otherToken), nil
	case "secret://env/SHORT":
		return []byte("short"), nil
	}
	return nil, errors.New("no such secret")
}

// A rig is a server over a fake, and what it logged.
type rig struct {
	*fake
	server *httptest.Server
	log    bytes.Buffer
	logMu  sync.Mutex
}

func (r *rig) Write(b []byte) (int, error) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.Write(b)
}

func (r *rig) logged() string {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.String()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{fake: &fake{}}
	s, err := NewServer(testConfig(), Options{Secret: testSecret, Log: slog.New(slog.NewJSONHandler(r, nil))}, r.fake)
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(s)
	t.Cleanup(r.server.Close)
	return r
}

func (r *rig) client(t testing.TB, token string) *Client {
	t.Helper()
	c, err := NewClient(ClientConfig{URL: r.server.URL, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// send makes a well-formed request of the core's, lets edit spoil it, and gives the answer.
func (r *rig) send(t testing.TB, method, path, body string, edit func(*http.Request)) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+coreToken)
	req.Header.Set("Hub-Purpose", "flussi")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if edit != nil {
		edit(req)
	}
	client := *r.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// problem reads a problem and checks what all of them have.
func problem(t testing.TB, resp *http.Response, body []byte) Problem {
	t.Helper()
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q, body %s", got, body)
	}
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != resp.StatusCode || p.Title == "" || p.Type == "" || !strings.HasPrefix(p.Instance, "urn:raccordo:request:") {
		t.Fatalf("problem %+v with status %d", p, resp.StatusCode)
	}
	return p
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func wantKind(t testing.TB, err error, want contracts.Kind) *contracts.Error {
	t.Helper()
	return contracttest.ErrorOf(t, err, want, "")
}

func coreContext(ctx context.Context) context.Context {
	return contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "flussi"})
}
