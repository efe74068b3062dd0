package wire

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func client(t *testing.T, endpoint string, change func(*Config)) *Client {
	t.Helper()
	cfg := Default()
	cfg.Endpoint = endpoint
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(contracts.Collaudo, "http"); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), cfg, contracts.Env{Instance: "peer", Clock: contracttest.NewClock(noon)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(s.Close)
	return s
}

// with gives a context with a call of an effect and a trail.
func with(ctx context.Context, effect contracts.Effect) (context.Context, *contracttest.Trail) {
	tr := &contracttest.Trail{}
	ctx = contracts.WithTrail(ctx, tr)
	if effect == 0 {
		return ctx, tr // no call at all
	}
	op := &contracts.OpInfo{Name: "need.verb", Effect: effect}
	return contracts.WithCall(ctx, &contracts.Call{Op: op, Caller: contracts.Caller{Service: "s", Purpose: "p", Case: "c-1"}}), tr
}

// reset closes a connection so that the peer sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func wantKind(t testing.TB, err error, want contracts.Kind) *contracts.Error {
	t.Helper()
	return contracttest.ErrorOf(t, err, want, "peer")
}

var get = Request{Method: http.MethodGet, Route: "GET /thing/{id}", Path: "/thing/SECRET", Query: "who=SECRET"}

func post(body string) *Request {
	return &Request{Method: http.MethodPost, Route: "POST /thing", Path: "/thing", Body: []byte(body)}
}

func TestStatusesRepeatByEffect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		effect contracts.Effect
		status int
		tries  int
	}{
		{"a read repeats 500", contracts.Read, 500, 3},
		{"a read repeats 502", contracts.Read, 502, 3},
		{"a read repeats 503", contracts.Read, 503, 3},
		{"a read repeats 504", contracts.Read, 504, 3},
		{"a read repeats 429", contracts.Read, 429, 3},
		{"a read does not repeat 501", contracts.Read, 501, 1},
		{"a read does not repeat 400", contracts.Read, 400, 1},
		{"a read does not repeat 401", contracts.Read, 401, 1},
		{"a read does not follow 303", contracts.Read, 303, 1},
		{"a write repeats 503", contracts.Write, 503, 3},
		{"a write repeats 500 with its key", contracts.Write, 500, 3},
		{"a once repeats no 503", contracts.Once, 503, 1},
		{"a once repeats no 429", contracts.Once, 429, 1},
		{"no call counts as once", 0, 500, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				seen.Add(1)
				w.Header().Set("Location", "/elsewhere%zz") // not even a broken one is looked at
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, "<html>gateway</html>")
			})
			c := client(t, s.URL, nil)
			ctx, tr := with(t.Context(), tc.effect)
			resp, err := c.Do(ctx, post("x"))
			if err != nil {
				t.Fatal(err)
			}
			if resp.Status != tc.status || string(resp.Body) != "<html>gateway</html>" {
				t.Errorf("reply %d with %d bytes: the last reply must survive", resp.Status, len(resp.Body))
			}
			if int(seen.Load()) != tc.tries || len(tr.Attempts()) != tc.tries || resp.Attempts() != tc.tries {
				t.Errorf("seen %d, trail %d, counted %d, want %d", seen.Load(), len(tr.Attempts()), resp.Attempts(), tc.tries)
			}
		})
	}
}

func TestLostConnectionsByEffect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		effect contracts.Effect
		tries  int
		kind   contracts.Kind
	}{
		{"a read is tried again and Unavailable", contracts.Read, 3, contracts.Unavailable},
		{"a write is tried again and Uncertain", contracts.Write, 3, contracts.Uncertain},
		{"a once is not tried again and Uncertain", contracts.Once, 1, contracts.Uncertain},
		{"no call counts as once", 0, 1, contracts.Uncertain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				reset(w)
			})
			ctx, tr := with(t.Context(), tc.effect)
			_, err := client(t, s.URL, nil).Do(ctx, post("x"))
			wantKind(t, err, tc.kind)
			if n := len(tr.Attempts()); n != tc.tries {
				t.Errorf("%d attempts, want %d", n, tc.tries)
			}
			for _, a := range tr.Attempts() {
				if !a.Sent || a.Status != "connection lost" || a.RequestSum != contracts.SumOf([]byte("x")) {
					t.Errorf("attempt %+v: want sent, lost, with the body's sum", a)
				}
			}
		})
	}
}

func TestRefusedBeforeSendingIsUnavailableForEveryEffect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + l.Addr().String()
	_ = l.Close()
	for _, effect := range []contracts.Effect{contracts.Read, contracts.Write, contracts.Once, 0} {
		ctx, tr := with(t.Context(), effect)
		_, err := client(t, endpoint, nil).Do(ctx, post("x"))
		wantKind(t, err, contracts.Unavailable)
		if n := len(tr.Attempts()); n != 3 {
			t.Errorf("%v: %d attempts, want 3: nothing was sent", effect, n)
		}
		for _, a := range tr.Attempts() {
			if a.Sent || a.Status != "connection refused" {
				t.Errorf("%v: attempt %+v, want unsent and refused", effect, a)
			}
		}
	}
}

// A write whose first attempt may have been done stays Uncertain, whatever befalls the later ones.
func TestAnEarlierAttemptIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		second func(http.ResponseWriter)
		kind   contracts.Kind // of the reply's Err; Internal: success
	}{
		{"throttled", func(w http.ResponseWriter) { w.WriteHeader(429) }, contracts.Uncertain},
		{"down", func(w http.ResponseWriter) { w.WriteHeader(503) }, contracts.Uncertain},
		{"turned away by a gateway", func(w http.ResponseWriter) { w.WriteHeader(404) }, contracts.Uncertain},
		{"an expired token", func(w http.ResponseWriter) { w.WriteHeader(401) }, contracts.Uncertain},
		{"turned away", func(w http.ResponseWriter) { w.WriteHeader(403) }, contracts.Uncertain},
		{"told invalid", func(w http.ResponseWriter) { w.WriteHeader(422) }, contracts.Invalid},
		{"told conflict", func(w http.ResponseWriter) { w.WriteHeader(409) }, contracts.Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if n.Add(1) == 1 {
					reset(w)
					return
				}
				tc.second(w)
			})
			ctx, _ := with(t.Context(), contracts.Write)
			resp, err := client(t, s.URL, nil).Do(ctx, post("x"))
			if err != nil {
				t.Fatal(err)
			}
			wantKind(t, resp.Err(ctx, ""), tc.kind)
		})
	}
}

// The case that net/http hides: a pooled connection dies under a request, and the library sends it again by itself, below
// any signature. Every attempt must be signed afresh and stand in the trail, and none may be seen twice.
func TestEveryAttemptOnAReusedConnectionIsSignedAndSeen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		effect contracts.Effect
		req    func() *Request
	}{
		{"a read by GET", contracts.Read, func() *Request { r := get; return &r }},
		{"a write that net/http takes for idempotent", contracts.Write, func() *Request {
			r := post("x")
			r.Header = http.Header{"Idempotency-Key": {"k"}}
			return r
		}},
		{"a once by GET", contracts.Once, func() *Request { r := get; return &r }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var seen []string
			armed := false
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				seen = append(seen, r.Header.Get("Signature"))
				kill := armed
				armed = false
				mu.Unlock()
				if kill {
					reset(w)
				}
			})
			c := client(t, s.URL, nil)
			var signed int
			do := func() (*contracttest.Trail, error) {
				ctx, tr := with(t.Context(), tc.effect)
				req := tc.req()
				req.Authorize = func(_ context.Context, r *http.Request) error {
					signed++
					r.Header.Set("Signature", fmt.Sprintf("jti-%d", signed))
					return nil
				}
				_, err := c.Do(ctx, req)
				return tr, err
			}
			if _, err := do(); err != nil { // fills the pool
				t.Fatal(err)
			}
			mu.Lock()
			armed = true
			mu.Unlock()
			tr, err := do()

			want := 3 // the first call, the killed attempt, its repeat
			if tc.effect == contracts.Once {
				want = 2
				wantKind(t, err, contracts.Uncertain)
			} else if err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(seen) != want {
				t.Errorf("the peer saw %d requests, want %d: %v", len(seen), want, seen)
			}
			unique := map[string]bool{}
			for _, s := range seen {
				if unique[s] {
					t.Errorf("signature %s was used twice", s)
				}
				unique[s] = true
			}
			if got := len(tr.Attempts()); got != want-1 || signed != want {
				t.Errorf("trail %d, signed %d, want %d and %d", got, signed, want-1, want)
			}
		})
	}
}

func TestMalformedReplies(t *testing.T) {
	t.Parallel()
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	for _, tc := range []struct {
		name string
		h    http.HandlerFunc
	}{
		{"not http", raw("\x00\x01 nonsense\r\n\r\n")},
		{"truncated body", raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")},
		{"truncated chunk", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf")},
		{"garbled chunk", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf")},
		{"a length beyond the cap", raw("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhalf")},
		{"no end", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for range 100 {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tc.h)
			c := client(t, s.URL, func(c *Config) { c.MaxBody = 2048 })
			for effect, kind := range map[contracts.Effect]contracts.Kind{
				contracts.Read: contracts.Malformed, contracts.Write: contracts.Uncertain, contracts.Once: contracts.Uncertain,
			} {
				ctx, _ := with(t.Context(), effect)
				_, err := c.Do(ctx, post("x"))
				wantKind(t, err, kind)
			}
		})
	}
}
