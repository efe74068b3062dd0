package outbox

import (
	"context"
	"time"
)

// Seams for the tests of this package.

// SetMono replaces the monotonic time by which leases are judged.
func (o *Options) SetMono(mono func() time.Duration) { o.mono = mono }

// SetJitter replaces the random part of a backoff.
func (o *Options) SetJitter(jitter func() float64) { o.jitter = jitter }

// Watch looks once at foreign leases.
func (b *Box) Watch(ctx context.Context) { b.watch(ctx) }

// Ring makes the workers look, as the passing of real time would.
func (b *Box) Ring() { b.ring() }
