package outbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A parcel has a content that only its carrying out needs, and may be secret.
type parcel struct {
	To      string `json:"to"`
	Content string `json:"content,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Secret  bool   `json:"secret,omitempty"`
}

func (p parcel) Slim() (any, bool) {
	if p.Content == "" {
		return p, false
	}
	p.Digest, p.Content = contracts.SumOf([]byte(p.Content)).String(), ""
	return p, true
}

func (p parcel) Redacted() (any, bool) {
	if !p.Secret || p.To == "" {
		return p, false
	}
	slim, _ := p.Slim()
	p = slim.(parcel)
	p.To = ""
	return p, true
}

var opParcel = contracts.NewOp[parcel, reply]("test.parcel", contracts.Once)

func (r *rig) slims() (n int) {
	r.Helper()
	if err := r.store.Read(context.Background(), func(v *store.View) error {
		return v.QueryRow(`SELECT count(*) FROM outbox_slim`).Scan(&n)
	}); err != nil {
		r.Fatal(err)
	}
	return n
}

func TestAFoldIsSparedWhatOnlyTheSendingNeeds(t *testing.T) {
	content := strings.Repeat("x", 100_000)
	digest := contracts.SumOf([]byte(content)).String()
	for _, c := range []struct {
		rule             string
		req, folds, late parcel
		slims            int
	}{
		{
			rule: "large", req: parcel{To: "a", Content: content},
			folds: parcel{To: "a", Digest: digest}, late: parcel{To: "a", Digest: digest}, slims: 1,
		},
		{
			rule: "large and secret", req: parcel{To: "a", Content: content, Secret: true},
			folds: parcel{To: "a", Digest: digest, Secret: true}, late: parcel{Digest: digest, Secret: true},
		},
		{rule: "small", req: parcel{To: "a"}, folds: parcel{To: "a"}, late: parcel{To: "a"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			r.cfg.Retention, r.cfg.Patience = 24*time.Hour, time.Hour
			var folded []parcel
			b, _ := says(opParcel, func(ctx context.Context, _ int, p parcel) (reply, error) {
				if p.To == "a" {
					equal(t, "sent", p, c.req)
				}
				return reply{}, contracts.HoldFrom(ctx).Depart(ctx)
			}, contracts.OnEvent(opParcel, func(p parcel, so reply, e contracts.Event) (reply, contracts.Move, error) {
				folded = append(folded, p)
				return so, contracts.Move{To: contracts.StateDone}, nil
			}))
			r.desk.ops[opParcel.Name] = opParcel.OpInfo
			r.desk.bind("pec", b)
			r.open().start()
			id := r.submit(newCall(opParcel, "k", c.req)).ID
			r.quiet()
			equal(t, "state", r.state(id), contracts.StateWaiting)
			whole, err := r.box.Request(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "request while it waits", whole.(parcel), c.req)
			r.tell("pec", event("1", "delivered", id), event("2", "delivered", id))
			equal(t, "state", r.state(id), contracts.StateDone)
			equal(t, "folds", len(folded), 2)
			equal(t, "folded", folded[0], c.folds)
			equal(t, "folded when it was settled", folded[1], c.late)
			settled, err := r.box.Request(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if c.req.Secret {
				equal(t, "request when settled", settled.(parcel), c.late)
			} else {
				equal(t, "request when settled", settled.(parcel), c.req)
			}
			equal(t, "slim requests", r.slims(), c.slims)
			if r.submit(newCall(opParcel, "k", c.req)).ID != id {
				t.Error("the same request under the same key is another ticket")
			}
			r.clock.Advance(48 * time.Hour)
			r.stop()
			r.start()
			r.submit(newCall(opParcel, "another", parcel{To: "b"})) // whose answer comes after the sweep
			r.quiet()
			equal(t, "slim requests after the retention", r.slims(), 0)
		})
	}
}
