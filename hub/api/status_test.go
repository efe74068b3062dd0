package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

func TestTheStatusOfEveryKind(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, k := range contracts.AllKinds() {
		fmt.Fprintf(&b, "%-12s %d  %s\n", k.String(), Status(k), title(k))
	}
	const golden = "testdata/status.golden"
	if *update {
		ok(t, os.MkdirAll("testdata", 0o755))
		ok(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	ok(t, err)
	equal(t, "table", b.String(), string(want))
}

// What an error says here is what the client says over there: for a Kind, all of it but the hub's own inside.
func TestEveryKindArrivesAsItself(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.client(t, coreToken)
	for _, kind := range contracts.AllKinds() {
		for _, op := range []contracts.Op[question, reply]{opRead, opOnce} {
			sent := &contracts.Error{
				Kind: kind, System: "inad", Operation: op.Name, Code: "E/42 è", After: 1500 * time.Millisecond,
				Err: errors.New("because \"quoted\""),
			}
			if kind == contracts.Pending {
				sent.Ticket = contracts.TicketID("core", op.Name, "key")
			}
			r.mu.Lock()
			r.run = func(context.Context, *contracts.Call) (any, error) { return nil, sent }
			r.mu.Unlock()
			ctx := contracts.WithKey(coreContext(t.Context()), "key")
			_, err := contracts.Do(ctx, c, op, question{N: 1})
			e := wantKind(t, err, kind)
			if kind == contracts.Pending {
				equal(t, "ticket", e.Ticket, sent.Ticket)
				continue
			}
			if kind == contracts.Internal {
				equal(t, "the hub's inside", e.Err, nil)
			} else {
				equal(t, "cause", e.Err.Error(), sent.Err.Error())
			}
			got := *e
			got.Err = sent.Err
			equal(t, "error", got, *sent)
		}
	}
}

func TestAnAnswerWithoutAKindIsJudgedWithCare(t *testing.T) {
	t.Parallel()
	for status := 100; status < 600; status++ {
		for _, effects := range []bool{false, true} {
			k := kindOfStatus(status, effects)
			if k == contracts.NotFound || k == contracts.Pending || k == contracts.Internal {
				t.Errorf("status %d alone says %s", status, k)
			}
			if effects && status >= 500 && k == contracts.Unavailable {
				t.Errorf("status %d says that nothing happened", status)
			}
		}
	}
	equal(t, "a gateway's fault on a read", kindOfStatus(http.StatusBadGateway, false), contracts.Unavailable)
	equal(t, "a gateway's fault on a write", kindOfStatus(http.StatusBadGateway, true), contracts.Uncertain)
}

func TestAfterIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		after time.Duration
		want  float64
	}{{-time.Second, 0}, {time.Second, 1}, {1000 * 24 * time.Hour, maxAfter.Seconds()}} {
		equal(t, "retry_after", ProblemOf(&contracts.Error{Kind: contracts.Throttled, After: tt.after}).RetryAfter, tt.want)
	}
}
