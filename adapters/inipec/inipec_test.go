package inipec

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The conformance of the bare adapter against the mock. INI-PEC answers lists only, so that every question is a ticket
// there, and a lasting fault may leave it pending.
func TestConformance(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	b, _, a := open(t, func(c *Config, env *contracts.Env) {
		env.Log = capture.Logger()
		c.HTTP.Timeout, c.HTTP.RetryAfterMax, c.HTTP.RetryBurst = 500*time.Millisecond, time.Second, 1000
		c.PollMax = c.PollFirst // the clock jumps to the next poll, also under a login in flight: small jumps do no harm
	})
	domiciletest.Run(t, domiciletest.Harness{
		Harness: contracttest.Harness{
			Runner: contracttest.Direct(a, b.Clock(), contracttest.Advancing(b.Advance)), Far: b, Wire: "inipec *", Capture: capture,
			Reset:    a.gateway.CloseIdle, // a refusal concerns new connections: each case begins without idle ones
			Ticketed: true,
			Caller:   contracts.Caller{Service: "suite", Purpose: "activation", User: "system", Case: "SUITE-1"},
		},
		Register: Register,
		Found:    tale("company-with-pec"), None: query("company-unknown"), Several: tale("lawyer-as-professional"),
		OtherCapacity: as(query("company-with-pec"), domicile.Professional),
		NotCovered:    []domicile.Query{query("personal-domicile"), query("lawyer-hiring-a-carer"), query("body-with-domicile")},
	})
}

func as(q domicile.Query, c domicile.Capacity) domicile.Query {
	q.Capacity = c
	return q
}
