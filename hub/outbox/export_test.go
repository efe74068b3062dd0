package outbox

import "time"

// Seams for the tests of this package.

// SetMono replaces the monotonic time by which leases are judged.
func (o *Options) SetMono(mono func() time.Duration) { o.mono = mono }

// SetJitter replaces the random part of a backoff.
func (o *Options) SetJitter(jitter func() float64) { o.jitter = jitter }
