package hub

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"raccordo/contracts"
	"raccordo/hub/feed"
)

// HeldEvents gives the events that moved no ticket, oldest first behind a number: those that could not be understood, or
// with unmatched those that name no ticket that is here. At most 1000.
func (h *Hub) HeldEvents(ctx context.Context, unmatched bool, after uint64, max int) ([]feed.Held, error) {
	if unmatched {
		return h.feed.Unmatched(ctx, after, max)
	}
	return h.feed.Quarantined(ctx, after, max)
}

// RetryEvent folds an event that had been set aside once more, after the adapter was mended.
func (h *Hub) RetryEvent(ctx context.Context, seq uint64, operator, reason string) error {
	if err := signed("retry event", operator, reason); err != nil {
		return err
	}
	return h.feed.Retry(ctx, seq, operator, reason)
}

// ReadProof writes the bytes of a proof, which may name people; who wanted them and why goes into the ledger before.
func (h *Hub) ReadProof(ctx context.Context, w io.Writer, sum contracts.Sum, operator, reason string) error {
	if err := signed("read proof", operator, reason); err != nil {
		return err
	}
	proof, err := h.archive.Open(sum)
	if err != nil {
		return err
	}
	defer func() { _ = proof.Close() }() // only read from
	if _, err := (rooms{h}).Enter(ctx, contracts.Entry{
		Phase: contracts.PhaseOperator, Outcome: "proof read", System: "hub", Reason: reason, Proof: []contracts.Sum{sum},
		Caller: contracts.Caller{Service: "hub", Purpose: "operation", User: operator},
	}); err != nil {
		return err
	}
	_, err = io.Copy(w, proof)
	return err
}

// signed refuses an intervention without a name and a reason.
func signed(what, operator, reason string) error {
	if strings.TrimSpace(operator) == "" || strings.TrimSpace(reason) == "" {
		return contracts.Errorf(contracts.Invalid, "%s: say who you are and why: it goes into the ledger", what)
	}
	if len(operator) > maxWords || len(reason) > maxWords {
		return contracts.Errorf(contracts.Invalid, "%s: name and reason have at most %d bytes each", what, maxWords)
	}
	return nil
}

// serveProof streams a proof. What goes wrong before the first byte is an answer of its own; later, it stands in a trailer.
func (h *Hub) serveProof(w http.ResponseWriter, r *http.Request) {
	var (
		d   decision
		sum contracts.Sum
	)
	r.Body = http.MaxBytesReader(w, r.Body, maxOperatorBody)
	err := json.NewDecoder(r.Body).Decode(&d)
	if err != nil || sum.UnmarshalText([]byte(r.PathValue("name"))) != nil || sum.IsZero() {
		err = contracts.Errorf(contracts.Invalid, "read proof: want a digest of 64 hexadecimal characters, and a decision as JSON")
	}
	w.Header().Set("Trailer", exportFault)
	out := &begun{w: w}
	if err == nil {
		err = h.ReadProof(r.Context(), out, sum, d.Operator, d.Reason)
	}
	streamFault(w, out, err)
}

func (r *remote) HeldEvents(ctx context.Context, unmatched bool, after uint64, max int) (page []feed.Held, err error) {
	v := url.Values{"unmatched": {strconv.FormatBool(unmatched)}, "after": {strconv.FormatUint(after, 10)}, "max": {strconv.Itoa(max)}}
	return page, r.call(ctx, http.MethodGet, "/events?"+v.Encode(), nil, &page)
}

func (r *remote) RetryEvent(ctx context.Context, seq uint64, operator, reason string) error {
	return r.call(ctx, http.MethodPost, "/events/"+strconv.FormatUint(seq, 10)+"/retry", decision{Operator: operator, Reason: reason}, nil)
}

func (r *remote) ReadProof(ctx context.Context, w io.Writer, sum contracts.Sum, operator, reason string) error {
	return r.stream(ctx, "/proofs/"+sum.String(), decision{Operator: operator, Reason: reason}, w)
}
