package call

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A question is the request of the test operations.
type question struct {
	N int `json:"n"`
}

func (q question) Validate() error {
	if q.N < 0 {
		return errors.New("n: want 0 or more")
	}
	return nil
}

var (
	opRead  = contracts.NewOp[question, int]("test.read", contracts.Read)
	opWrite = contracts.NewOp[question, int]("test.write", contracts.Write)
	opOnce  = contracts.NewOp[question, int]("test.once", contracts.Once)
)

func aCall(op contracts.Op[question, int], n int) *contracts.Call {
	c := &contracts.Call{
		Op: op.OpInfo, Request: question{n}, At: "far",
		Caller: contracts.Caller{Service: "core", Purpose: "flussi", User: "u1", Case: fmt.Sprintf("case-%d", n)},
	}
	if op.Effect != contracts.Read {
		c.Key = fmt.Sprintf("key-%d", n)
	}
	return c
}

// A testClock stands still until told otherwise, and nobody waits by it.
type testClock struct{ *contracttest.Clock }

func newClock() testClock {
	return testClock{contracttest.NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))}
}

func (testClock) Timer(time.Time) (<-chan time.Time, func()) { panic("nobody waits by this clock") }

// A proofs is a Prover that remembers, and fails when told to.
type proofs struct {
	mu       sync.Mutex
	intents  []string
	outcomes []proof
	fail     error
}

type proof struct {
	caller contracts.Caller
	Outcome
}

func (p *proofs) Intent(ctx context.Context, c *contracts.Call) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return "", p.fail
	}
	if ctx.Err() != nil {
		return "", contracts.AsError(ctx.Err())
	}
	p.intents = append(p.intents, c.Key)
	return fmt.Sprintf("intent-%d", len(p.intents)), nil
}

func (p *proofs) Outcome(ctx context.Context, c *contracts.Call, o *Outcome) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.outcomes = append(p.outcomes, proof{c.Caller, *o})
	return nil
}

func (p *proofs) all() []proof {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]proof(nil), p.outcomes...)
}

// A dayCounts is a DayStore in memory.
type dayCounts struct {
	mu     sync.Mutex
	used   map[string]int64 // by day and key
	claims int
	fail   error
}

func newDayCounts() *dayCounts { return &dayCounts{used: map[string]int64{}} }

func (d *dayCounts) Claim(_ context.Context, key, day string, n, limit int64) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return 0, d.fail
	}
	d.claims++
	k := day + " " + key
	got := max(0, min(n, limit-d.used[k]))
	d.used[k] += got
	return got, nil
}

func (d *dayCounts) Return(_ context.Context, key, day string, n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used[day+" "+key] -= n
	return nil
}

func (d *dayCounts) of(key, day string) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used[day+" "+key]
}

// answers makes an innermost Func of a function.
func answers(out any, err error) Func {
	return func(context.Context, *contracts.Call) (any, error) { return out, err }
}

// counting makes an innermost Func that counts how often it was asked, one attempt each.
func counting(n *int, next Func) Func {
	var mu sync.Mutex
	return func(ctx context.Context, c *contracts.Call) (any, error) {
		mu.Lock()
		*n++
		mu.Unlock()
		contracts.TrailFrom(ctx).Attempt(contracts.Attempt{Sent: true, Status: "200"})
		return next(ctx, c)
	}
}

func wantKind(t testing.TB, err error, want contracts.Kind) *contracts.Error {
	t.Helper()
	return contracttest.ErrorOf(t, err, want, "")
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// pause lets time pass in a bubble.
func pause(d time.Duration) { <-time.After(d) }
