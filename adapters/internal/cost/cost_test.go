//go:build unix

package cost

import (
	"context"
	"testing"
)

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestAllocationsBeyondTheLimitAreSeen(t *testing.T) {
	var kept *[64]byte
	of := func(n int) Exchange {
		return func(context.Context) error {
			for range n {
				kept = new([64]byte)
			}
			return nil
		}
	}
	for _, c := range []struct {
		rule        string
		ours, plain int
		limit       float64
		fails       bool
	}{
		{"as many", 10, 10, 1.2, false},
		{"fewer", 5, 10, 1.2, false},
		{"more, within the limit", 15, 10, 1.7, false},
		{"twice as many", 20, 10, 1.7, true},
	} {
		r := &recorder{TB: t}
		if WantAllocs(t.Context(), r, 1000, c.limit, of(c.ours), of(c.plain)); r.failed != c.fails {
			t.Errorf("%s: failed %t", c.rule, r.failed)
		}
	}
	_ = kept
}
