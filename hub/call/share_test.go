package call

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"raccordo/contracts"
)

// A bubble is a Sharer below a Recorder, over a far side that takes a while. Inside synctest time is the bubble's.
type bubble struct {
	proofs *proofs
	sharer *Sharer
	asked  int
	run    Func
}

func newBubble(cfg ShareConfig, clock contracts.Clock, takes time.Duration, out any, err error) *bubble {
	b := &bubble{proofs: &proofs{}}
	b.sharer = NewSharer(cfg, clock, b.proofs)
	slow := func(ctx context.Context, _ *contracts.Call) (any, error) {
		select {
		case <-time.After(takes):
			return out, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	b.run = Chain(counting(&b.asked, slow), NewRecorder(b.proofs).Stage, b.sharer.Stage)
	return b
}

// together runs all calls at once and gives their errors.
func (b *bubble) together(ctx context.Context, calls ...*contracts.Call) []error {
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	for i, c := range calls {
		wg.Go(func() { _, errs[i] = b.run(ctx, c) })
	}
	wg.Wait()
	b.sharer.Wait()
	return errs
}

// A supplier that is told who asks may refuse one user for what is wrong with their name: that says nothing to another, nor
// may the other's question run under it.
func TestTwinsOfASupplierThatIsToldWhoAsksAreOneUsers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(ShareConfig{Timeout: time.Minute, Size: 1}, contracts.SystemClock{}, time.Second, 7, nil)
		b.sharer.Named = func(op string) bool { return op == opRead.Name }
		calls := make([]*contracts.Call, 6)
		for i := range calls {
			calls[i] = aCall(opRead, 1)
		}
		calls[1].Caller.Case = "another case" // which no supplier is told
		calls[2].Caller.User, calls[3].Caller.IP = "another user", "192.0.2.7"
		calls[4].Caller.Site, calls[5].Caller.LoA = "another site", "HIGH"
		for _, err := range b.together(t.Context(), calls...) {
			ok(t, err)
		}
		equal(t, "asked", b.asked, 5)
	})
}

func TestTwinsInFlightShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(ShareConfig{Timeout: time.Minute, Size: 1}, contracts.SystemClock{}, time.Second, 7, nil)
		one, two, three := aCall(opRead, 1), aCall(opRead, 1), aCall(opRead, 1)
		two.Caller.Case, three.Caller.User = "another case", "another user"
		for _, err := range b.together(t.Context(), one, two, three) {
			ok(t, err)
		}
		equal(t, "asked", b.asked, 1)

		var flight string
		cases := map[string]bool{}
		for _, p := range b.proofs.all() {
			if p.Own {
				flight = p.Flight
				equal(t, "who the flight belongs to", p.caller, contracts.Caller{Service: "core", Purpose: "flussi"})
				equal(t, "attempts of the flight", len(p.Attempts), 1)
				continue
			}
			cases[p.caller.Case+p.caller.User] = true
			equal(t, "attempts of a twin", len(p.Attempts), 0)
			equal(t, "flight that a twin names", p.Flight, flight) // the flight's own entry comes first
		}
		equal(t, "entries", len(b.proofs.all()), 4)
		equal(t, "twins accounted for", len(cases), 3)
		if !strings.HasPrefix(flight, "flight-") {
			t.Fatalf("flight %q", flight)
		}
	})
}

func TestALoneReadHasOneEntryWithItsAttempts(t *testing.T) {
	t.Parallel()
	b := newBubble(ShareConfig{Timeout: time.Minute, Size: 1}, newClock(), 0, 7, nil)
	_, err := b.run(t.Context(), aCall(opRead, 1))
	ok(t, err)
	got := b.proofs.all()
	equal(t, "entries", len(got), 1)
	equal(t, "flight", got[0].Flight, "")
	equal(t, "attempts", len(got[0].Attempts), 1)
}

func TestWhatDiffersIsNoTwin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule string
		edit func(*contracts.Call)
	}{
		{"another request", func(c *contracts.Call) { c.Request = question{2} }},
		{"another instance", func(c *contracts.Call) { c.At = "farther" }},
		{"another service", func(c *contracts.Call) { c.Caller.Service = "core2" }},
		{"another purpose", func(c *contracts.Call) { c.Caller.Purpose = "other" }},
		{"another operation", func(c *contracts.Call) {
			c.Op = contracts.NewOp[question, int]("test.other", contracts.Read).OpInfo
		}},
		{"a write", func(c *contracts.Call) { c.Op, c.Key = opWrite.OpInfo, "k" }},
		{"texts that run together", func(c *contracts.Call) { c.Caller.Service, c.Caller.Purpose = "coref", "lussi" }},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(ShareConfig{Timeout: time.Minute, Size: 1}, contracts.SystemClock{}, time.Second, 7, nil)
				other := aCall(opRead, 1)
				tt.edit(other)
				for _, err := range b.together(t.Context(), aCall(opRead, 1), other) {
					ok(t, err)
				}
				equal(t, "asked", b.asked, 2)
			})
		})
	}
}

func TestEachCallerLeavesAtItsOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(ShareConfig{Timeout: time.Minute, Size: 1}, contracts.SystemClock{}, 10*time.Second, 7, nil)
		start := time.Now()
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { // the first, who starts the flight, leaves early
			_, err := b.run(hasty, aCall(opRead, 1))
			wantKind(t, err, contracts.Canceled)
			equal(t, "left after", time.Since(start), time.Second)
		})
		synctest.Wait()
		wg.Go(func() {
			out, err := b.run(t.Context(), aCall(opRead, 1))
			ok(t, err)
			equal(t, "answer", out.(int), 7)
			equal(t, "answered after", time.Since(start), 10*time.Second)
		})
		wg.Wait()
		b.sharer.Wait()
		equal(t, "asked", b.asked, 1)
		equal(t, "entries", len(b.proofs.all()), 3)
	})
}

func TestAFlightThatIsNotAnsweredIsNotItsRidersGivingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(ShareConfig{Timeout: 5 * time.Second, Size: 1}, contracts.SystemClock{}, time.Hour, 7, nil)
		for _, err := range b.together(t.Context(), aCall(opRead, 1), aCall(opRead, 1)) {
			wantKind(t, err, contracts.Unavailable)
		}
		equal(t, "asked", b.asked, 1)
		for _, p := range b.proofs.all() {
			wantKind(t, p.Err, contracts.Unavailable)
		}
	})
}

func TestAFlightThatNobodyWaitsForEndsAndIsProved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(ShareConfig{Timeout: 5 * time.Second, Size: 1}, contracts.SystemClock{}, time.Hour, 7, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := b.run(ctx, aCall(opRead, 1))
		wantKind(t, err, contracts.Canceled)
		b.sharer.Wait()
		equal(t, "flown for", time.Since(start), 5*time.Second)
		got := b.proofs.all()
		equal(t, "entries", len(got), 2)
		equal(t, "attempts of the caller", len(got[0].Attempts), 0)
		equal(t, "own", got[1].Own, true)
		equal(t, "attempts of the flight", len(got[1].Attempts), 1)
	})
}

func TestAFlightWithoutProofReleasesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(ShareConfig{Timeout: time.Minute, Size: 1}, contracts.SystemClock{}, time.Second, 7, nil)
		b.proofs.fail = errors.New("disk")
		s := Chain(answersAfter(time.Second, 7), b.sharer.Stage) // no Recorder above, which would withhold it too
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				out, err := s(t.Context(), aCall(opRead, 1))
				wantKind(t, err, contracts.Unavailable)
				equal(t, "answer", out, any(nil))
			})
		}
		wg.Wait()
	})
}

func answersAfter(d time.Duration, out any) Func {
	return func(context.Context, *contracts.Call) (any, error) {
		pause(d)
		return out, nil
	}
}

func TestAPanicInAFlightIsAnErrorForAll(t *testing.T) {
	t.Parallel()
	s := NewSharer(ShareConfig{Timeout: time.Minute, Size: 1}, newClock(), &proofs{})
	_, err := Chain(func(context.Context, *contracts.Call) (any, error) { panic("RSSMRA85T10A562S") }, s.Stage)(t.Context(), aCall(opRead, 1))
	wantKind(t, err, contracts.Internal)
	var p *Panic
	if !errors.As(err, &p) || len(p.Stack) == 0 || strings.Contains(err.Error(), "RSSMRA") {
		t.Fatalf("error: %v", err)
	}
}

func TestAnswersAreKeptOnlyWhereConfigured(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule  string
		keep  time.Duration
		err   error
		asked int // for two calls 59 seconds apart and a third two seconds later
	}{
		{"by default nothing is kept", 0, nil, 3},
		{"an answer is kept for its time", time.Minute, nil, 2},
		{"an absence with authority is kept", time.Minute, contracts.NotFound, 2},
		{"a failure is not kept", time.Minute, contracts.Unavailable, 3},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			cfg := ShareConfig{Timeout: time.Minute, Size: 10}
			if tt.keep > 0 {
				cfg.Keep = map[string]time.Duration{"test.read": tt.keep}
			}
			b := newBubble(cfg, clock, 0, 7, tt.err)
			for _, wait := range []time.Duration{59 * time.Second, 2 * time.Second, 0} {
				_, err := b.run(t.Context(), aCall(opRead, 1))
				equal(t, "error", err, tt.err)
				clock.Advance(wait)
			}
			equal(t, "asked", b.asked, tt.asked)
			if tt.asked == 2 {
				var kept proof
				for _, p := range b.proofs.all() {
					if p.Kept {
						kept = p
					}
				}
				equal(t, "flight that the kept answer names", kept.Flight, b.proofs.all()[0].Flight)
				equal(t, "its attempts", len(kept.Attempts), 0)
				equal(t, "entries", len(b.proofs.all()), 5)
			}
		})
	}
}

func TestKeptAnswersStayBounded(t *testing.T) {
	t.Parallel()
	b := newBubble(ShareConfig{Timeout: time.Minute, Size: 2, Keep: map[string]time.Duration{"test.read": time.Hour}}, newClock(), 0, 7, nil)
	for _, n := range []int{1, 2, 1, 3, 1, 2} { // 3 drives out 2, which was used longer ago than 1
		_, err := b.run(t.Context(), aCall(opRead, n))
		ok(t, err)
	}
	equal(t, "asked", b.asked, 4)
	equal(t, "state", b.sharer.State(), ShareState{Kept: 2})
}

func TestFlightsStayBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSharer(ShareConfig{Timeout: time.Minute, Size: 1}, contracts.SystemClock{}, &proofs{})
		run := Chain(hangs, s.Stage)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for n := range maxFlights {
			_, err := run(gone, aCall(opRead, n))
			wantKind(t, err, contracts.Canceled)
		}
		equal(t, "flights left behind", s.State().Flights, maxFlights)
		_, err := run(t.Context(), aCall(opRead, maxFlights))
		wantKind(t, err, contracts.Throttled)
		equal(t, "our own refusal", Refused(err), true)
		s.Wait()
		equal(t, "flights once their time is over", s.State().Flights, 0)
	})
}
