package inad

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/adapters/internal/cost"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
	"raccordo/mocks/pdnd"
)

func TestMain(m *testing.M) {
	cost.Play(farSide())
	goleak.VerifyTestMain(m)
}

// The conformance of the bare adapter against the mock.
func TestConformance(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	b, a := open(t, func(c *Config, env *contracts.Env) {
		env.Log = capture.Logger()
		c.HTTP.Timeout, c.HTTP.RetryAfterMax, c.HTTP.RetryBurst = 500*time.Millisecond, time.Second, 1000
	})
	direct := contracttest.Direct(a, b.Clock(), contracttest.Advancing(b.Advance))
	who := contracts.Caller{Service: "suite", Purpose: pdnd.Activation, User: "system", Case: "SUITE-1"}
	before := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) // in the days of the first of two addresses
	other := claim("personal-domicile", 0, benchNow)
	other.Address = claim("two-addresses", 0, benchNow).Address
	domiciletest.Run(t, domiciletest.Harness{
		Harness: contracttest.Harness{
			Runner: direct, Far: b, Wire: "inad *", Caller: who, Capture: capture,
			Reset: a.wire.Close,
		}, // a refusal concerns new connections: each case begins without idle ones
		Register: Register,
		Found:    tale("personal-domicile"), None: query("no-domicile"), Ceased: query("ceased-domicile"),
		Ceasing: tale("ceasing-domicile"), Several: tale("two-addresses"), OtherCapacity: query("professional-only"),
		Unaskable:  query("omocodic-code"),
		NotCovered: []domicile.Query{query("company-with-pec"), query("sole-trader-as-enterprise")},
		Theirs:     claim("personal-domicile", 0, benchNow), NotTheirs: other,
		PastTheirs: claim("changed-domicile", 0, before), PastNotTheirs: claim("changed-domicile", 1, before),
		List: func(ctx context.Context, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error) {
			return contracttest.List(ctx, direct, domicile.OpLookup, qs)
		},
	})
}
