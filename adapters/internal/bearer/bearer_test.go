package bearer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClock() *contracttest.Clock {
	return contracttest.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
}

// cache counts fetches of tokens that live for life; fail, when set, is what a fetch says.
func cache(t *testing.T, clock *contracttest.Clock, life time.Duration, fail func() error) (*Cache, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	c := New(Options{
		Clock: clock, RenewBefore: 2 * time.Minute, Timeout: 5 * time.Second,
		Fetch: func(ctx context.Context, key string) (Token, error) {
			i := n.Add(1)
			if fail != nil {
				if err := fail(); err != nil {
					return Token{}, err
				}
			}
			return NewToken(fmt.Sprintf("%s-%d", key, i), clock.Now().Add(life)), nil
		},
	})
	t.Cleanup(c.Close)
	return c, &n
}

func must(t *testing.T, c *Cache, key string) Token {
	t.Helper()
	tok, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestATokenIsKeptUntilTwoMinutesBeforeItsEnd(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c, n := cache(t, clock, 10*time.Minute, nil)
	must(t, c, "a")
	clock.Advance(8*time.Minute - time.Second)
	must(t, c, "a")
	if n.Load() != 1 {
		t.Fatalf("%d fetches, want 1", n.Load())
	}
	clock.Advance(time.Second)
	must(t, c, "a")
	must(t, c, "b")
	if n.Load() != 3 {
		t.Errorf("%d fetches, want a renewal and one for another key", n.Load())
	}
}

func TestAShortTokenIsNotFetchedForEveryCall(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c, n := cache(t, clock, time.Minute, nil) // shorter than the early renewal
	for range 10 {
		must(t, c, "a")
		clock.Advance(4 * time.Second)
	}
	if n.Load() != 1 {
		t.Errorf("%d fetches within three quarters of a life, want 1", n.Load())
	}
}

func TestWhileARenewalFailsTheOldTokenServes(t *testing.T) {
	t.Parallel()
	clock := newClock()
	var down atomic.Bool
	c, _ := cache(t, clock, 10*time.Minute, func() error {
		if down.Load() {
			return contracts.Errorf(contracts.Unavailable, "down")
		}
		return nil
	})
	first := must(t, c, "a")
	down.Store(true)
	clock.Advance(9 * time.Minute)
	if second := must(t, c, "a"); second != first {
		t.Error("another token while none could be had")
	}
	clock.Advance(time.Minute)
	if _, err := c.Get(t.Context(), "a"); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("an ended token served: %v", err)
	}
}

func TestARefusalWithAWaitIsNotAskedAgainBeforeItsEnd(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c, n := cache(t, clock, 10*time.Minute, func() error {
		return &contracts.Error{Kind: contracts.Throttled, After: time.Minute}
	})
	for _, left := range []time.Duration{time.Minute, 30 * time.Second} {
		_, err := c.Get(t.Context(), "a")
		var e *contracts.Error
		if !errors.As(err, &e) || e.Kind != contracts.Throttled || e.After != left {
			t.Fatalf("%v, want throttled for %v", err, left)
		}
		clock.Advance(30 * time.Second)
	}
	if n.Load() != 1 {
		t.Errorf("%d fetches, want 1", n.Load())
	}
	if _, err := c.Get(t.Context(), "a"); err == nil || n.Load() != 2 {
		t.Errorf("%d fetches after the wait, want 2", n.Load())
	}
}

func TestOneFetchForAllWhoWaitAndNoneIsHeldByAnother(t *testing.T) {
	t.Parallel()
	clock := newClock()
	begun, let := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	c := New(Options{Clock: clock, Timeout: 5 * time.Second, Fetch: func(ctx context.Context, _ string) (Token, error) {
		if n.Add(1) == 1 {
			close(begun)
		}
		select {
		case <-let:
			return NewToken("t", clock.Now().Add(time.Hour)), nil
		case <-ctx.Done():
			return Token{}, ctx.Err()
		}
	}})
	t.Cleanup(c.Close)

	first, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := c.Get(first, "a"); gone <- err }()
	<-begun
	cancel() // who caused the fetch leaves; the fetch goes on
	if err := <-gone; contracts.KindOf(err) != contracts.Canceled {
		t.Errorf("%v, want canceled at once", err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := c.Get(t.Context(), "a"); err != nil {
				t.Errorf("a waiter: %v", err)
			}
		})
	}
	close(let)
	wg.Wait()
	if n.Load() != 1 {
		t.Errorf("%d fetches, want 1", n.Load())
	}
}

func TestTenThousandCallsWithinOneLifeFetchOnce(t *testing.T) {
	t.Parallel()
	c, n := cache(t, newClock(), 10*time.Minute, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 500 {
				if _, err := c.Get(context.Background(), "a"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n.Load() != 1 {
		t.Errorf("%d fetches, want 1", n.Load())
	}
}

func TestClosingEndsAFetch(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	c := New(Options{Clock: newClock(), Timeout: time.Hour, Fetch: func(ctx context.Context, _ string) (Token, error) {
		close(begun)
		<-ctx.Done()
		return Token{}, contracts.Errorf(contracts.Unavailable, "closed")
	}})
	failed := make(chan error, 1)
	go func() { _, err := c.Get(context.Background(), "a"); failed <- err }()
	<-begun
	c.Close()
	c.Close()
	if err := <-failed; err == nil {
		t.Error("a token from a closed cache")
	}
	if _, err := c.Get(t.Context(), "b"); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("%v, want unavailable", err)
	}
}

// supplier refuses the tokens listed, and counts.
func supplier(t *testing.T, refused func(token string) bool) (*wire.Client, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		if refused(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	cfg := wire.Default()
	cfg.Endpoint = s.URL
	w, err := wire.Open(t.Context(), cfg, contracts.Env{Instance: "peer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, &n
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		refused         func(string) bool
		status          int
		fetches, copies int32
	}{
		{"the new one is taken", func(tok string) bool { return tok == "a-1" }, 200, 2, 2},
		{"the new one is refused too", func(string) bool { return true }, 401, 2, 2},
		{"none is refused", func(string) bool { return false }, 200, 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, fetches := cache(t, newClock(), time.Hour, nil)
			w, seen := supplier(t, tc.refused)
			resp, err := c.Do(t.Context(), w, "a", &wire.Request{Method: "GET", Route: "GET /"})
			if err != nil {
				t.Fatal(err)
			}
			if resp.Status != tc.status || fetches.Load() != tc.fetches || seen.Load() != tc.copies {
				t.Errorf("status %d, %d fetches, %d requests, want %d, %d, %d",
					resp.Status, fetches.Load(), seen.Load(), tc.status, tc.fetches, tc.copies)
			}
		})
	}
}

// A write is lost on the way, its repeat is refused for an expired token, and then nobody is there: the first may have
// been done.
func TestWhatARefusedTokenLeftOpenStaysOpen(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch n.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(s.Close)
	cfg := wire.Default()
	cfg.Endpoint = s.URL
	w, err := wire.Open(t.Context(), cfg, contracts.Env{Instance: "peer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	c, _ := cache(t, newClock(), time.Hour, nil)
	op := &contracts.OpInfo{Name: "need.verb", Effect: contracts.Write}
	ctx := contracts.WithCall(t.Context(), &contracts.Call{Op: op})
	resp, err := c.Do(ctx, w, "a", &wire.Request{Method: "POST", Route: "POST /", Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if e := resp.Err(ctx, ""); e.Kind != contracts.Uncertain {
		t.Errorf("%v after %d requests, want uncertain", e, n.Load())
	}
}

func TestAFetchThatIsNotAnsweredIsNotItsCallersGivingUp(t *testing.T) {
	t.Parallel()
	c := New(Options{Clock: newClock(), Timeout: time.Millisecond, Fetch: func(ctx context.Context, _ string) (Token, error) {
		<-ctx.Done()
		return Token{}, &contracts.Error{Kind: contracts.Canceled, System: "peer", Err: ctx.Err()}
	}})
	t.Cleanup(c.Close)
	_, err := c.Get(t.Context(), "a")
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Unavailable || e.System != "peer" {
		t.Errorf("%v, want the peer unavailable", err)
	}
}

func TestDroppingAnOldTokenKeepsTheNewOne(t *testing.T) {
	t.Parallel()
	c, n := cache(t, newClock(), time.Hour, nil)
	old := must(t, c, "a")
	c.Drop("a", old)
	fresh := must(t, c, "a")
	c.Drop("a", old) // a second caller, refused with the same old token
	if must(t, c, "a") != fresh || n.Load() != 2 {
		t.Errorf("%d fetches, want 2: the new token was dropped for the old one's sake", n.Load())
	}
}

func TestATokenPrintsAsNothing(t *testing.T) {
	t.Parallel()
	tok := NewToken("SECRET", time.Time{})
	if text := fmt.Sprintf("%v %+v %#v %s %q", tok, tok, tok, tok, struct{ T Token }{tok}); strings.Contains(text, "SECRET") {
		t.Error(text)
	}
}
