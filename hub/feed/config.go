package feed

import (
	"errors"
	"time"

	"raccordo/contracts"
)

// A Config is what a person writes about events.
type Config struct {
	// Batch is how many events are kept by one transaction at most; big ones fill it earlier.
	Batch int `yaml:"batch"`
	// PullFor is how long one reading of a far side may take.
	PullFor time.Duration `yaml:"pull_for"`
	// BackoffMax bounds the growing wait after readings that failed.
	BackoffMax time.Duration `yaml:"backoff_max"`
	// Retention is how long events are kept that their owner has acknowledged, or that have none.
	Retention time.Duration `yaml:"retention"`
	// Unread is how long events are kept that their owner has not acknowledged; at least Retention.
	Unread time.Duration `yaml:"unread"`
}

// Default gives settings for one machine.
func Default() Config {
	return Config{
		Batch:      200,
		PullFor:    5 * time.Minute,
		BackoffMax: 15 * time.Minute,
		Retention:  180 * 24 * time.Hour,
		Unread:     730 * 24 * time.Hour,
	}
}

// Validate gives every fault at once, as joined *contracts.Fault.
func (c Config) Validate() error {
	var faults []error
	span := func(path string, have, min, max time.Duration) {
		if have < min || have > max {
			faults = append(faults, contracts.Faultf(path, "want %s to %s, have %s", min, max, have))
		}
	}
	const day = 24 * time.Hour
	if c.Batch < 1 || c.Batch > 10_000 {
		faults = append(faults, contracts.Faultf("batch", "want 1 to 10000, have %d", c.Batch))
	}
	span("pull_for", c.PullFor, time.Second, time.Hour)
	span("backoff_max", c.BackoffMax, time.Second, day)
	span("retention", c.Retention, time.Hour, 3650*day)
	span("unread", c.Unread, c.Retention, 7300*day)
	return errors.Join(faults...)
}
