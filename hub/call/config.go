package call

import (
	"errors"
	"maps"
	"slices"
	"time"

	"raccordo/contracts"
)

// MaxWait bounds every wait inside a call: a longer one goes back to the outbox, or to the caller with its After.
const MaxWait = 2 * time.Second

// CallerLimits is what one calling service may do. Zero means: no such limit.
type CallerLimits struct {
	Places    int     `yaml:"places"`     // calls in flight at once
	PerSecond float64 `yaml:"per_second"` // calls a second, on average
	Burst     int     `yaml:"burst"`      // calls at once after a pause; at least 1 where PerSecond is set
}

func (l CallerLimits) faults(path string) []error {
	return join(
		atLeast(path+".places", l.Places, 0),
		rateFaults(path, l.PerSecond, l.Burst),
	)
}

// AdmitConfig is the Admission's part of the configuration.
type AdmitConfig struct {
	Budget  time.Duration           `yaml:"budget"`  // deadline of a call whose context has none
	Others  CallerLimits            `yaml:"others"`  // of each service that Callers does not name
	Callers map[string]CallerLimits `yaml:"callers"` // by service
}

// Default fills c with what suits a handful of core services on one machine.
func (c *AdmitConfig) Default() {
	*c = AdmitConfig{Budget: 30 * time.Second, Others: CallerLimits{Places: 200, PerSecond: 1000, Burst: 1000}}
}

// Validate gives every fault at once, each with its place below path.
func (c *AdmitConfig) Validate(path string) error {
	errs := join(between(path+".budget", c.Budget, 10*time.Millisecond, time.Hour), c.Others.faults(path+".others"))
	for _, name := range slices.Sorted(maps.Keys(c.Callers)) {
		errs = append(errs, c.Callers[name].faults(path+".callers."+name)...)
	}
	return errors.Join(errs...)
}

// ShareConfig is the Sharer's part of an instance's policy.
type ShareConfig struct {
	Timeout time.Duration            `yaml:"timeout"` // of a flight, whatever its passengers' deadlines
	Keep    map[string]time.Duration `yaml:"keep"`    // by operation: how long an answer may be given again; none by default
	Size    int                      `yaml:"size"`    // answers kept at most; the least recently used goes first
}

// Default fills c: flights of at most a minute, nothing kept.
func (c *ShareConfig) Default() { *c = ShareConfig{Timeout: time.Minute, Size: 10_000} }

// Validate gives every fault at once, each with its place below path.
func (c *ShareConfig) Validate(path string) error {
	errs := join(between(path+".timeout", c.Timeout, 10*time.Millisecond, time.Hour), atLeast(path+".size", c.Size, 1))
	for _, op := range slices.Sorted(maps.Keys(c.Keep)) {
		errs = append(errs, between(path+".keep."+op, c.Keep[op], time.Second, 24*time.Hour)...)
	}
	return errors.Join(errs...)
}

// AnyPurpose names, in LimitConfig.PerDay, the allowance of each purpose that has no line of its own.
const AnyPurpose = "*"

// LimitConfig is the Limiter's part of an instance's policy. Zero means: no such limit.
type LimitConfig struct {
	Places    int              `yaml:"places"`     // exchanges in flight at once
	PerSecond float64          `yaml:"per_second"` // exchanges a second, on average
	Burst     int              `yaml:"burst"`      // exchanges at once after a pause; at least 1 where PerSecond is set
	PerDay    map[string]int64 `yaml:"per_day"`    // by purpose ("*": every other): exchanges from midnight to midnight in Rome
	Wait      time.Duration    `yaml:"wait"`       // how long an exchange may wait for a place or its turn; at most 2s
}

// Default fills c: eight places, and nothing else until the supplier's terms are known.
func (c *LimitConfig) Default() { *c = LimitConfig{Places: 8, Wait: time.Second} }

// Validate gives every fault at once, each with its place below path.
func (c *LimitConfig) Validate(path string) error {
	errs := join(
		atLeast(path+".places", c.Places, 0),
		rateFaults(path, c.PerSecond, c.Burst),
		between(path+".wait", c.Wait, 0, MaxWait),
	)
	for _, purpose := range slices.Sorted(maps.Keys(c.PerDay)) {
		errs = append(errs, atLeast(path+".per_day."+purpose, c.PerDay[purpose], 0)...)
	}
	return errors.Join(errs...)
}

// BreakConfig is the Breaker's part of an instance's policy.
type BreakConfig struct {
	Failures  float64       `yaml:"failures"`   // share of failed exchanges, above 0 and up to 1, that opens it
	Slow      time.Duration `yaml:"slow"`       // an exchange that takes as long is slow
	SlowShare float64       `yaml:"slow_share"` // share of slow exchanges, above 0 and up to 1, that opens it
	Volume    int           `yaml:"volume"`     // exchanges within Window below which nothing is concluded
	Window    time.Duration `yaml:"window"`     // rolling, in tenths; in real time
	Break     time.Duration `yaml:"break"`      // the first break; each next one is twice as long
	MaxBreak  time.Duration `yaml:"max_break"`
	Probes    int           `yaml:"probes"`        // exchanges let through after a break; all must succeed
	Probe     time.Duration `yaml:"probe_timeout"` // deadline of each
}

// Default fills c: half of at least 20 exchanges in a minute failed, or nearly all slow, opens for ten seconds.
func (c *BreakConfig) Default() {
	*c = BreakConfig{
		Failures: 0.5, Slow: 10 * time.Second, SlowShare: 0.8, Volume: 20, Window: time.Minute,
		Break: 10 * time.Second, MaxBreak: 10 * time.Minute, Probes: 2, Probe: 15 * time.Second,
	}
}

// Validate gives every fault at once, each with its place below path.
func (c *BreakConfig) Validate(path string) error {
	errs := join(
		share(path+".failures", c.Failures),
		between(path+".slow", c.Slow, time.Millisecond, time.Hour),
		share(path+".slow_share", c.SlowShare),
		atLeast(path+".volume", c.Volume, 1),
		between(path+".window", c.Window, 10*time.Millisecond, 24*time.Hour),
		between(path+".break", c.Break, time.Millisecond, 24*time.Hour),
		between(path+".max_break", c.MaxBreak, c.Break, 24*time.Hour),
		atLeast(path+".probes", c.Probes, 1),
		between(path+".probe_timeout", c.Probe, time.Millisecond, time.Hour),
	)
	if c.Probe < c.Slow {
		errs = append(errs, contracts.Faultf(path+".probe_timeout", "want at least slow (%s), or a slow probe never ends as one", c.Slow))
	}
	return errors.Join(errs...)
}

func join(lists ...[]error) []error { return slices.Concat(lists...) }

func atLeast[N int | int64](path string, n, low N) []error {
	if n < low {
		return []error{contracts.Faultf(path, "want %d or more", low)}
	}
	return nil
}

func between(path string, d, low, high time.Duration) []error {
	if d < low || d > high {
		return []error{contracts.Faultf(path, "want %s to %s", low, high)}
	}
	return nil
}

func share(path string, f float64) []error {
	if !(f > 0 && f <= 1) { // NaN is neither
		return []error{contracts.Faultf(path, "want a share above 0 and up to 1, such as 0.5")}
	}
	return nil
}

func rateFaults(path string, perSecond float64, burst int) []error {
	var errs []error
	if !(perSecond >= 0 && perSecond <= 1e6) {
		errs = append(errs, contracts.Faultf(path+".per_second", "want 0 (no limit) to 1000000"))
	}
	if burst < 0 || perSecond > 0 && burst == 0 {
		errs = append(errs, contracts.Faultf(path+".burst", "want 1 or more where per_second is set"))
	}
	return errs
}
