package outbox

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"raccordo/contracts"
)

// A Config is what a person writes about tickets.
type Config struct {
	// Workers is how many exchanges run at once, besides those of pooled lanes, which are as many as their places.
	Workers int `yaml:"workers"`
	// Lease is how long a worker that gives no sign of life keeps its ticket.
	Lease time.Duration `yaml:"lease"`
	// CallFor is how long one exchange may take, its retries on the wire included.
	CallFor time.Duration `yaml:"call_for"`
	// Attempts is how many tries a ticket has before it fails; refusals of our own limits cost none.
	Attempts int `yaml:"attempts"`
	// Backoff spaces the tries.
	Backoff Backoff `yaml:"backoff"`
	// GatherFor is how long the first of a list waits for others.
	GatherFor time.Duration `yaml:"gather_for"`
	// CollectAfter is how long after a list was handed over its answers are first asked for; what the far side answers
	// says when to come back. A list that is expected within minutes is asked about after a tenth of that time already.
	CollectAfter time.Duration `yaml:"collect_after"`
	// LotMin is the least number of requests worth a list where there is a single form too.
	LotMin int `yaml:"lot_min"`
	// MaxTickets is how many unsettled tickets are held; beyond it submissions are Throttled.
	MaxTickets int `yaml:"max_tickets"`
	// ResolveEvery is the shortest time between two questions about one uncertain ticket; it grows to an hour with age.
	ResolveEvery time.Duration `yaml:"resolve_every"`
	// Patience is how long a far side may keep answering "not ready" before the ticket fails. It is the last bound: adapters
	// give up sooner where their supplier promises more, and tax data may rightly take six days.
	Patience time.Duration `yaml:"patience"`
	// RecoverHold is how long after a restored start a Write or Once that nobody can vouch for waits for events before
	// it leaves, and how long what is submitted anew is first looked for at the far side.
	RecoverHold time.Duration `yaml:"recover_hold"`
	// Warn is how long before its caller's deadline an unsettled ticket counts as due soon.
	Warn time.Duration `yaml:"warn"`
	// Retention is how long settled tickets are kept.
	Retention time.Duration `yaml:"retention"`
	// Drain is how long Work waits for what is in flight before it breaks it off.
	Drain time.Duration `yaml:"drain"`
}

// A Backoff is the time between tries: full jitter below a bound that doubles with each try.
type Backoff struct {
	First time.Duration `yaml:"first"` // the bound after the first try
	Max   time.Duration `yaml:"max"`   // the bound stops growing here
}

// Default gives settings for one machine.
func Default() Config {
	return Config{
		Workers:      8,
		Lease:        2 * time.Minute,
		CallFor:      10 * time.Minute,
		Attempts:     12,
		Backoff:      Backoff{First: 2 * time.Second, Max: time.Hour},
		GatherFor:    2 * time.Second,
		CollectAfter: time.Minute,
		LotMin:       20,
		MaxTickets:   600_000,
		ResolveEvery: time.Minute,
		Patience:     14 * 24 * time.Hour,
		RecoverHold:  24 * time.Hour,
		Warn:         time.Hour,
		Retention:    180 * 24 * time.Hour,
		Drain:        8 * time.Second,
	}
}

// Validate gives every fault at once, as joined *contracts.Fault.
func (c Config) Validate() error {
	var faults []error
	whole := func(path string, have, min, max int) {
		if have < min || have > max {
			faults = append(faults, contracts.Faultf(path, "want %d to %d, have %d", min, max, have))
		}
	}
	span := func(path string, have, min, max time.Duration) {
		if have < min || have > max {
			faults = append(faults, contracts.Faultf(path, "want %s to %s, have %s", min, max, have))
		}
	}
	const day = 24 * time.Hour
	whole("workers", c.Workers, 1, 1024)
	span("lease", c.Lease, 5*time.Second, time.Hour)
	span("call_for", c.CallFor, time.Second, day)
	whole("attempts", c.Attempts, 1, 1000)
	span("backoff.first", c.Backoff.First, time.Millisecond, time.Hour)
	span("backoff.max", c.Backoff.Max, c.Backoff.First, day)
	span("gather_for", c.GatherFor, 0, time.Hour)
	span("collect_after", c.CollectAfter, 0, time.Hour)
	whole("lot_min", c.LotMin, 1, 100_000)
	whole("max_tickets", c.MaxTickets, 1, 100_000_000)
	span("resolve_every", c.ResolveEvery, time.Second, day)
	span("patience", c.Patience, time.Minute, 30*day)
	span("recover_hold", c.RecoverHold, 0, 30*day)
	span("warn", c.Warn, 0, 30*day)
	span("retention", c.Retention, time.Hour, 3650*day)
	if c.Retention <= c.Patience { // the members of a list must be there when it is answered
		faults = append(faults, contracts.Faultf("retention", "want more than patience, %s", c.Patience))
	}
	span("drain", c.Drain, 0, 10*time.Minute)
	return errors.Join(faults...)
}

// after is the wait before the next try, when tries have been made: uniform below a bound of First doubled tries-1
// times, at most Max. jitter gives a number in [0,1).
func (b Backoff) after(tries int, jitter func() float64) time.Duration {
	bound := float64(b.First) * math.Pow(2, float64(max(tries-1, 0)))
	bound = min(bound, float64(b.Max))
	return max(time.Duration(bound*jitter()), time.Millisecond)
}

func jitter() float64 { return rand.Float64() }
