package call

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAProofHasItsOwnTime(t *testing.T) {
	t.Parallel()
	type key struct{}
	for _, waits := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
			cancel()
			p := &proofContext{Context: parent, deadline: time.Now().Add(proofTime)}
			if waits {
				p.Done()
			}
			equal(t, "value", p.Value(key{}), any(1))
			equal(t, "error", p.Err(), nil)
			child, cancel := context.WithTimeout(p, time.Hour)
			defer cancel()
			start := time.Now()
			<-child.Done()
			equal(t, "ended after", time.Since(start), proofTime)
			equal(t, "error", p.Err(), context.DeadlineExceeded)
			equal(t, "child's error", child.Err(), context.DeadlineExceeded)
			p.end(context.Canceled)
			equal(t, "error", p.Err(), context.DeadlineExceeded)
			<-p.Done()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := &proofContext{Context: t.Context(), deadline: time.Now().Add(proofTime)}
		p.end(context.Canceled)
		<-p.Done()
		equal(t, "error", p.Err(), context.Canceled)
		p = &proofContext{Context: t.Context(), deadline: time.Now().Add(proofTime)}
		pause(proofTime)
		equal(t, "error", p.Err(), context.DeadlineExceeded)
	})
}
