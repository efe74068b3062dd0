package call

import (
	"context"
	"errors"
	"testing"

	"raccordo/contracts"
)

func TestRecordWritesIntentBeforeAndOutcomeBeforeRelease(t *testing.T) {
	t.Parallel()
	p := &proofs{}
	run := Chain(func(ctx context.Context, _ *contracts.Call) (any, error) {
		equal(t, "intents on disk before anything leaves", len(p.intents), 1)
		contracts.TrailFrom(ctx).Attempt(contracts.Attempt{Status: "503"})
		contracts.TrailFrom(ctx).Attempt(contracts.Attempt{Status: "200"})
		return 7, nil
	}, NewRecorder(p).Stage)
	out, err := run(t.Context(), aCall(opWrite, 1))
	ok(t, err)
	equal(t, "answer", out.(int), 7)
	got := p.all()
	equal(t, "outcomes", len(got), 1)
	equal(t, "its intent", got[0].Intent, "intent-1")
	equal(t, "attempts", len(got[0].Attempts), 2)
	equal(t, "second attempt", got[0].Attempts[1].Status, "200")
	equal(t, "answer in the outcome", got[0].Answer.(int), 7)
}

func TestRecordWritesOneEntryOfARead(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, contracts.Errorf(contracts.NotFound, "none"), contracts.Errorf(contracts.Unavailable, "down")} {
		p := &proofs{}
		_, got := Chain(answers(1, err), NewRecorder(p).Stage)(t.Context(), aCall(opRead, 1))
		equal(t, "error", got, err)
		equal(t, "intents", len(p.intents), 0)
		equal(t, "outcomes", len(p.all()), 1)
	}
}

func TestNoProofNoCall(t *testing.T) {
	t.Parallel()
	full := &contracts.Error{Kind: contracts.Throttled, After: 3, Err: errors.New("queue full")}
	for _, tt := range []struct {
		rule    string
		op      contracts.Op[question, int]
		fail    error // of the proof
		answer  error // of the far side
		want    contracts.Kind
		asked   int
		refused bool
	}{
		{"a write without intent is not asked", opWrite, errors.New("disk"), nil, contracts.Unavailable, 0, true},
		{"nor is what happens once", opOnce, errors.New("disk"), nil, contracts.Unavailable, 0, true},
		{"a full queue says when to come back", opOnce, full, nil, contracts.Throttled, 0, true},
		{"a read's answer without entry is withheld", opRead, errors.New("disk"), nil, contracts.Unavailable, 1, false},
		{"and so is its refusal", opRead, errors.New("disk"), contracts.NotFound, contracts.Unavailable, 1, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			p, asked := &proofs{fail: tt.fail}, 0
			out, err := Chain(counting(&asked, answers(1, tt.answer)), NewRecorder(p).Stage)(t.Context(), aCall(tt.op, 1))
			wantKind(t, err, tt.want)
			equal(t, "answer", out, any(nil))
			equal(t, "asked", asked, tt.asked)
			equal(t, "our own refusal", Refused(err), tt.refused)
		})
	}
}

func TestAWriteWhoseOutcomeCannotBeStored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule   string
		answer error
		want   contracts.Kind
	}{
		{"is uncertain when it succeeded", nil, contracts.Uncertain},
		{"is uncertain when it was", contracts.Uncertain, contracts.Uncertain},
		{"is uncertain when its answer was no answer", contracts.Malformed, contracts.Uncertain},
		{"is uncertain when it is under way", contracts.Pending, contracts.Uncertain},
		{"is uncertain when something broke", contracts.Internal, contracts.Uncertain},
		{"is unavailable when nothing happened", contracts.Unavailable, contracts.Unavailable},
		{"is unavailable when it was refused", contracts.Conflict, contracts.Unavailable},
		{"is unavailable when it never left", contracts.Canceled, contracts.Unavailable},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			p := &proofs{}
			_, err := Chain(func(context.Context, *contracts.Call) (any, error) {
				p.fail = errors.New("disk")
				return 1, tt.answer
			}, NewRecorder(p).Stage)(t.Context(), aCall(opOnce, 1))
			wantKind(t, err, tt.want)
			equal(t, "our own refusal", Refused(err), false)
		})
	}
}

func TestRecordWritesThoughTheCallerIsGone(t *testing.T) {
	t.Parallel()
	p := &proofs{}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Chain(func(ctx context.Context, _ *contracts.Call) (any, error) {
		cancel()
		return nil, ctx.Err()
	}, NewRecorder(p).Stage)(ctx, aCall(opRead, 1))
	equal(t, "kind", contracts.KindOf(err), contracts.Canceled)
	equal(t, "outcomes", len(p.all()), 1)
}

func TestAReadThatWeRefusedLeavesNoEntry(t *testing.T) {
	t.Parallel()
	ours := refuse(contracts.Throttled, "far", aCall(opRead, 1), 1, "our own limit")
	p := &proofs{}
	_, err := Chain(answers(nil, ours), NewRecorder(p).Stage)(t.Context(), aCall(opRead, 1))
	equal(t, "error", err, ours)
	equal(t, "outcomes", len(p.all()), 0)

	asked := 0 // but one that consulted somebody before does
	_, err = Chain(counting(&asked, answers(nil, ours)), NewRecorder(p).Stage)(t.Context(), aCall(opRead, 1))
	equal(t, "error", err, ours)
	equal(t, "outcomes", len(p.all()), 1)

	_, err = Chain(answers(nil, ours), NewRecorder(p).Stage)(t.Context(), aCall(opWrite, 1)) // its intent stands there
	equal(t, "error", err, ours)
	equal(t, "outcomes", len(p.all()), 2)
}

func TestTrailsNest(t *testing.T) {
	t.Parallel()
	outer, inner, above := &proofs{}, &proofs{}, &counter{}
	run := Chain(func(ctx context.Context, _ *contracts.Call) (any, error) {
		contracts.TrailFrom(ctx).Attempt(contracts.Attempt{Status: "200"})
		return 1, nil
	}, NewRecorder(outer).Stage, NewRecorder(inner).Stage)
	_, err := run(contracts.WithTrail(t.Context(), above), aCall(opRead, 1))
	ok(t, err)
	equal(t, "attempts of the outer", len(outer.all()[0].Attempts), 1)
	equal(t, "attempts of the inner", len(inner.all()[0].Attempts), 1)
	equal(t, "attempts above", above.n, 1)
}

type counter struct{ n int }

func (c *counter) Attempt(contracts.Attempt) { c.n++ }

func TestAttemptsStayBounded(t *testing.T) {
	t.Parallel()
	p := &proofs{}
	_, err := Chain(func(ctx context.Context, _ *contracts.Call) (any, error) {
		for range maxAttempts + 5 {
			contracts.TrailFrom(ctx).Attempt(contracts.Attempt{})
		}
		return 1, nil
	}, NewRecorder(p).Stage)(t.Context(), aCall(opRead, 1))
	ok(t, err)
	equal(t, "attempts", len(p.all()[0].Attempts), maxAttempts)
	equal(t, "dropped", p.all()[0].Dropped, 5)
}
