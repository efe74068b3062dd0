package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func TestCancellationByEffect(t *testing.T) {
	t.Parallel()
	for effect, kind := range map[contracts.Effect]contracts.Kind{
		contracts.Read: contracts.Canceled, contracts.Write: contracts.Uncertain, contracts.Once: contracts.Uncertain,
	} {
		t.Run(effect.String(), func(t *testing.T) {
			t.Parallel()
			arrived := make(chan struct{})
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				close(arrived)
				<-r.Context().Done()
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { <-arrived; cancel() }()
			ctx, _ = with(ctx, effect)
			_, err := client(t, s.URL, nil).Do(ctx, post("x"))
			wantKind(t, err, kind)
		})
	}
}

func TestGivenUpBeforehandTouchesNoWire(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ctx, tr := with(ctx, contracts.Once)
	_, err := client(t, s.URL, nil).Do(ctx, post("x"))
	wantKind(t, err, contracts.Canceled)
	if len(tr.Attempts()) != 0 {
		t.Error("an attempt stands in the trail")
	}
}

// A far side that came up again knows none of the connections that stood idle: one attempt finds out, and the next goes
// over a new one.
func TestDeadIdleConnectionsCostOneAttempt(t *testing.T) {
	t.Parallel()
	const idle = 8
	var together sync.WaitGroup
	together.Add(idle)
	var seen sync.Map
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, known := seen.LoadOrStore(r.RemoteAddr, true); known {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if body, _ := io.ReadAll(r.Body); string(body) == "open" {
			together.Done()
			together.Wait()
		}
	})
	c := client(t, s.URL, func(c *Config) { c.Attempts = 2 })
	ctx, _ := with(t.Context(), contracts.Read)
	var wg sync.WaitGroup
	for range idle {
		wg.Go(func() {
			if _, err := c.Do(ctx, post("open")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ctx, tr := with(t.Context(), contracts.Read)
	if _, err := c.Do(ctx, post("x")); err != nil {
		t.Errorf("%v after %d attempts", err, len(tr.Attempts()))
	}
}

func TestASlowPeerIsAnAttemptsTimeout(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	c := client(t, s.URL, func(c *Config) { c.Timeout = 30 * time.Millisecond; c.Attempts = 2 })
	for effect, kind := range map[contracts.Effect]contracts.Kind{
		contracts.Read: contracts.Unavailable, contracts.Once: contracts.Uncertain,
	} {
		ctx, tr := with(t.Context(), effect)
		_, err := c.Do(ctx, post("x"))
		wantKind(t, err, kind)
		if a := tr.Attempts()[0]; a.Status != "timeout" || !a.Sent {
			t.Errorf("attempt %+v, want a timeout after sending", a)
		}
	}
}

func TestLongRetryAfterGoesBackToTheCaller(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, header string
		status       int
		after        time.Duration
		kind         contracts.Kind
	}{
		{"seconds", "120", 429, 2 * time.Minute, contracts.Throttled},
		{"a date, by the clock", noon.Add(90 * time.Second).Format(http.TimeFormat), 503, 90 * time.Second, contracts.Unavailable},
		{"beyond a week", "99999999999", 429, mostAfter, contracts.Throttled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", tc.header)
				w.WriteHeader(tc.status)
			})
			ctx, tr := with(t.Context(), contracts.Read)
			resp, err := client(t, s.URL, nil).Do(ctx, &get)
			if err != nil {
				t.Fatal(err)
			}
			e := wantKind(t, resp.Err(ctx, ""), tc.kind)
			if e.After != tc.after || len(tr.Attempts()) != 1 {
				t.Errorf("after %v in %d attempts, want %v in 1", e.After, len(tr.Attempts()), tc.after)
			}
		})
	}
}

func TestWhoIsThrottledIsToldAWait(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) })
	ctx, _ := with(t.Context(), contracts.Once)
	resp, err := client(t, s.URL, nil).Do(ctx, &get)
	if err != nil {
		t.Fatal(err)
	}
	if e := wantKind(t, resp.Err(ctx, ""), contracts.Throttled); e.After != unsaid {
		t.Errorf("after %v, want ours where the peer says none", e.After)
	}
}

func TestAnUnexpectedSuccessIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	for effect, kind := range map[contracts.Effect]contracts.Kind{
		contracts.Read: contracts.Malformed, contracts.Write: contracts.Uncertain, contracts.Once: contracts.Uncertain,
	} {
		ctx, _ := with(t.Context(), effect)
		resp, err := client(t, s.URL, nil).Do(ctx, post("x"))
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, resp.Err(ctx, ""), kind)
		wantKind(t, resp.Malformed(ctx, "no body"), kind)
	}
}

func TestNoWaitOverrunsTheDeadline(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(503)
	})
	ctx, tr := with(t.Context(), contracts.Read)
	ctx, cancel := context.WithTimeout(ctx, 800*time.Millisecond)
	defer cancel()
	start := time.Now()
	resp, err := client(t, s.URL, nil).Do(ctx, &get)
	if err != nil {
		t.Fatalf("%v: the reply that was there must come back", err)
	}
	if resp.Status != 503 || len(tr.Attempts()) != 1 || time.Since(start) > 700*time.Millisecond {
		t.Errorf("status %d, %d attempts: the wait should not have begun", resp.Status, len(tr.Attempts()))
	}
}

func TestABudgetBoundsRepeats(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.Add(1); w.WriteHeader(503) })
	c := client(t, s.URL, func(c *Config) { c.RetryBurst = 4 })
	ctx, _ := with(t.Context(), contracts.Read)
	for range 40 {
		if _, err := c.Do(ctx, &get); err != nil {
			t.Fatal(err)
		}
	}
	if got := seen.Load(); got > 40+4+4 || got < 40+4 {
		t.Errorf("%d requests for 40 calls, want 40, a burst of 4 and a tenth", got)
	}
}

func TestErrorsAndLogsTellNoURLAndNoBody(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { reset(w) })
	cfg := Default()
	cfg.Endpoint = s.URL + "/base"
	c, err := Open(t.Context(), cfg, contracts.Env{
		Instance: "peer", Clock: contracttest.NewClock(noon),
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, _ := with(t.Context(), contracts.Read)
	_, err = c.Do(ctx, &get)
	wantKind(t, err, contracts.Unavailable)
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err), log.String()} {
		if strings.Contains(text, "SECRET") || strings.Contains(text, "127.0.0.1") {
			t.Errorf("tells too much: %s", text)
		}
	}
	if !strings.Contains(log.String(), "GET /thing/{id}") {
		t.Errorf("the log does not name the route: %s", log.String())
	}
}

func TestPathsKeepTheirEscapes(t *testing.T) {
	t.Parallel()
	var target atomic.Value
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { target.Store(r.RequestURI) })
	c := client(t, s.URL+"/base/", nil)
	ctx, _ := with(t.Context(), contracts.Read)
	for path, want := range map[string]string{
		"/a%2Fb": "/base/a%2Fb?q=1", "/a b": "", "/{x}": "/base/%7Bx%7D?q=1", "": "/base?q=1", "/%zz": "",
	} {
		_, err := c.Do(ctx, &Request{Method: "GET", Route: "GET /x", Path: path, Query: "q=1"})
		switch {
		case path == "/%zz":
			wantKind(t, err, contracts.Internal)
		case err != nil:
			t.Errorf("%q: %v", path, err)
		case want != "" && target.Load() != want:
			t.Errorf("%q arrived as %q, want %q", path, target.Load(), want)
		}
	}
}

func TestAuthorizeEndsTheCallUnsent(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	ctx, tr := with(t.Context(), contracts.Once)
	req := post("x")
	req.Authorize = func(context.Context, *http.Request) error {
		return &contracts.Error{Kind: contracts.Denied, Code: "V"}
	}
	_, err := client(t, s.URL, nil).Do(ctx, req)
	if e := wantKind(t, err, contracts.Denied); e.Code != "V" || len(tr.Attempts()) != 0 {
		t.Errorf("%v, %d attempts", e, len(tr.Attempts()))
	}
}

// Each attempt's body is its own, and so is the sum that proves what was sent.
func TestABodyIsComposedForEachAttempt(t *testing.T) {
	t.Parallel()
	var got []string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, string(body))
		if len(got) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	n := 0
	req := &Request{Method: http.MethodPost, Route: "POST /thing", Path: "/thing", Compose: func(context.Context) ([]byte, error) {
		n++
		return fmt.Appendf(nil, "message %d", n), nil
	}}
	ctx, tr := with(t.Context(), contracts.Read)
	if _, err := client(t, s.URL, nil).Do(ctx, req); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, ", ") != "message 1, message 2" {
		t.Errorf("sent %q", got)
	}
	for i, a := range tr.Attempts() {
		if a.RequestSum != contracts.SumOf(fmt.Appendf(nil, "message %d", i+1)) {
			t.Errorf("the sum of attempt %d is not that of what was sent", i+1)
		}
	}
	refused := contracts.Errorf(contracts.Denied, "no assertion")
	req.Compose = func(context.Context) ([]byte, error) { return nil, refused }
	ctx, tr = with(t.Context(), contracts.Once)
	_, err := client(t, s.URL, nil).Do(ctx, req)
	wantKind(t, err, contracts.Denied)
	if len(got) != 2 || len(tr.Attempts()) != 0 {
		t.Error("something was sent without a body")
	}
}

func TestAFaultThatAnswersIsNotRepeated(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "<soap:Fault/>")
	})
	ctx, _ := with(t.Context(), contracts.Write)
	req := post("x")
	req.Answered = func(r *Response) bool { return bytes.Contains(r.Body, []byte("Fault")) }
	resp, err := client(t, s.URL, nil).Do(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if seen.Load() != 1 {
		t.Errorf("sent %d times, want once", seen.Load())
	}
	wantKind(t, resp.Err(ctx, ""), contracts.Unavailable) // settled: not Uncertain
}

func TestRemoteIDIsKept(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Track", "t-1") })
	ctx, tr := with(t.Context(), contracts.Read)
	req := get
	req.RemoteID = "X-Track"
	if _, err := client(t, s.URL, nil).Do(ctx, &req); err != nil {
		t.Fatal(err)
	}
	if a := tr.Attempts()[0]; a.RemoteID != "t-1" || a.Status != "200" || !a.RequestSum.IsZero() || !a.At.Equal(noon) {
		t.Errorf("attempt %+v", a)
	}
}

func TestNoProxyIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	c := client(t, "http://supplier.example", nil)
	if c.transport.Proxy != nil {
		t.Error("a proxy function is set")
	}
}

func TestUntrustedCertificateIsNotRetried(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	ctx, tr := with(t.Context(), contracts.Once)
	_, err := client(t, s.URL, nil).Do(ctx, post("x"))
	wantKind(t, err, contracts.Unavailable)
	if a := tr.Attempts(); len(a) != 1 || a[0].Sent || a[0].Status != "certificate not trusted" {
		t.Errorf("attempts %+v", a)
	}
}
