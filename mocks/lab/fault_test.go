package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEachMisdeedDoesWhatItSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		do     Misdeed
		worked bool // the mock did its work
		broken bool // the client saw no whole answer
		status int
		body   string
	}{
		{Refuse, false, true, 0, ""},
		{Drop, false, true, 0, ""},
		{DropAfterAccept, true, true, 0, ""},
		{Truncate, true, true, 200, ""},
		{Garbage, true, false, 200, "not a document"},
		{Status, false, false, 503, "Service Unavailable"},
		{StaleVoucher, false, false, 401, "Unauthorized"},
		{Throttle, false, false, 429, "Too Many Requests"},
		{Slow, true, false, 200, "done"},
		{Huge, true, false, 200, "filler"},
		{WrongType, true, false, 200, "<html>"},
		{BadSignature, true, false, 200, "done"}, // left to the mock, which signs nothing
	} {
		t.Run(string(c.do), func(t *testing.T) {
			t.Parallel()
			mock := &toy{name: "toy"}
			b := Start(t, mock)
			match := "toy POST /task/*"
			if c.do == Refuse {
				match = "toy *connect"
			}
			b.Inject(Fault{Match: match, Times: 1, Do: c.do, Status: 503, Wait: time.Millisecond})
			cl := b.Client(t)
			status, body, err := ask(t, cl, b, "/task/1")
			if (err != nil) != c.broken || status != c.status && c.status != 0 && err == nil {
				t.Errorf("status %d, error %v", status, err)
			}
			if err == nil && !strings.Contains(body, c.body) {
				t.Errorf("body %.80q, want %q in it", body, c.body)
			}
			if (mock.done() == 1) != c.worked {
				t.Errorf("the mock worked %d times, want worked=%v", mock.done(), c.worked)
			}
			if status, _, err := ask(t, cl, b, "/task/2"); err != nil || status != 200 {
				t.Errorf("once means once: then status %d, error %v", status, err)
			}
			if j := b.Journal(); c.do != Refuse && (len(j) != 2 || j[0].Fault != string(c.do)) {
				t.Errorf("the journal does not tell the misdeed: %d lines", len(j))
			}
		})
	}
}

func TestRefusalReachesAConnectionThatStoodIdle(t *testing.T) {
	t.Parallel()
	mock := &toy{name: "toy"}
	b := Start(t, mock)
	cl := b.Client(t)
	if _, _, err := ask(t, cl, b, "/task/1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Misbehave("refuse", 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, cl, b, "/task/2"); err == nil {
		t.Error("the idle connection evaded the refusal")
	}
	b.Clear()
	if _, _, err := ask(t, cl, b, "/task/3"); err != nil {
		t.Errorf("cleared, and still: %v", err)
	}
	if mock.done() != 2 {
		t.Errorf("the mock worked %d times, want 2", mock.done())
	}
}

func TestFaultsByChanceReplayFromTheSeed(t *testing.T) {
	t.Parallel()
	play := func(seed uint64) string {
		b, err := New(Options{Clock: NewClock(dawn), Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		b.Inject(Fault{Match: "toy *", Do: Drop, Chance: 0.4})
		var out strings.Builder
		for range 64 {
			o := b.Begin("toy", "GET /x")
			_, faulty := o.Fault()
			fmt.Fprint(&out, faulty)
			o.End()
		}
		return out.String()
	}
	first := play(7)
	if play(7) != first {
		t.Error("the same seed played differently")
	}
	if play(8) == first {
		t.Error("another seed played the same")
	}
	if !strings.Contains(first, "true") || !strings.Contains(first, "false") {
		t.Error("a chance of 0.4 is neither never nor always")
	}
}

func TestMisbehaveKnowsItsNamesAndItsMocks(t *testing.T) {
	t.Parallel()
	b := Start(t, &toy{name: "toy"}, &toy{name: "other"})
	for _, name := range []string{
		"refuse", "drop", "drop-after-accept", "truncate", "garbage", "500", "503", "throttle",
		"slow", "huge", "wrong-type", "denied", "stale-voucher", "bad-signature", "toy:503",
	} {
		if err := b.Misbehave(name, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "explode", "status", "nobody:503", "toy:explode"} {
		if err := b.Misbehave(name, 1); err == nil {
			t.Errorf("%q was taken for a fault", name)
		}
	}
	if err := b.Misbehave("503", -1); err == nil {
		t.Error("a negative number of times was taken")
	}
	b.Clear()
	if err := b.Misbehave("other:denied", 1); err != nil {
		t.Fatal(err)
	}
	if status, _, err := ask(t, b.Client(t), b, "/task/1"); err != nil || status != 200 {
		t.Errorf("a fault of another mock: status %d, error %v", status, err)
	}
}

func TestWorkIsJournaledAfterItWasDoneAndBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	mock := &toy{name: "toy"}
	b := Start(t, mock)
	recorded, release := make(chan int, 1), make(chan struct{})
	stop := b.Watch(func(Exchange) {
		recorded <- mock.done()
		<-release
	})
	answered := make(chan struct{})
	cl := b.Client(t)
	go func() {
		defer close(answered)
		if _, _, err := ask(t, cl, b, "/task/1"); err != nil {
			t.Error(err)
		}
	}()
	if done := <-recorded; done != 1 {
		t.Errorf("recorded with the work done %d times", done)
	}
	select {
	case <-answered:
		t.Error("answered before the watcher let go")
	default:
	}
	if b.InFlight() != 1 {
		t.Errorf("%d in flight, want 1", b.InFlight())
	}
	stop()
	close(release)
	<-answered
	if _, _, err := ask(t, cl, b, "/task/2"); err != nil {
		t.Error(err)
	}
	if len(recorded) != 0 {
		t.Error("a stopped watcher was called")
	}
}

func TestLabelsAreRoutePatternsAndNeverIdentifiers(t *testing.T) {
	t.Parallel()
	b := Start(t, &toy{name: "toy"})
	cl := b.Client(t)
	for _, path := range []string{"/task/SECRET", "/nowhere/SECRET"} {
		if _, _, err := ask(t, cl, b, path); err != nil {
			t.Fatal(err)
		}
	}
	var labels []string
	for _, e := range b.Journal() {
		labels = append(labels, e.Mock+" "+e.Label)
	}
	if want := []string{"toy POST /task/{id}", "toy POST (no route)"}; !slices.Equal(labels, want) {
		t.Errorf("labels %q, want %q", labels, want)
	}
	if n := b.Sent("toy POST /task/*"); n != 1 {
		t.Errorf("Sent counts %d, want 1", n)
	}
	if n := b.Sent("toy *|nobody *"); n != 2 {
		t.Errorf("Sent counts %d, want 2", n)
	}
}

func TestAMocksOwnMistakeShows(t *testing.T) {
	t.Parallel()
	b := Start(t, &toy{name: "toy"})
	resp, err := b.Client(t).Get(b.URL("toy") + "/panic")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 500 || !strings.Contains(resp.Header.Get("X-Lab-Reason"), "a mistake in the mock") {
		t.Errorf("status %d, reason %q", resp.StatusCode, resp.Header.Get("X-Lab-Reason"))
	}
}

func TestCloseEndsASlowExchange(t *testing.T) {
	t.Parallel()
	b, err := New(Options{Clock: NewClock(dawn)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Attach(&toy{name: "toy"}); err != nil {
		t.Fatal(err)
	}
	if err := b.Misbehave("slow", 1); err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	cl := b.Client(t)
	go func() {
		_, _, err := ask(t, cl, b, "/task/1")
		asked <- err
	}()
	for b.InFlight() == 0 {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	if <-asked == nil {
		t.Error("an exchange that the bench gave up was answered")
	}
	if err := b.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true},
		{"*", "inad GET /x", true},
		{"inad *", "inad GET /extract/{c}", true},
		{"inad *", "inade GET", false},
		{"inad GET /extract/*", "inad GET /extract/{c}", true},
		{"a*b*c", "a/x/b/y/c", true},
		{"a*b*c", "a/x/c/b", false},
		{"", "", true},
		{"", "x", false},
		{"x|y *", "y z", true},
		{"pec *connect", "pec smtps connect", true},
	} {
		if got := matches(c.pattern, c.s); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.s, got)
		}
	}
}
