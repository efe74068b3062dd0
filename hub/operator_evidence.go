package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"raccordo/contracts"
	"raccordo/hub/evidence"
	"raccordo/hub/store"
)

// ExportEvidence writes the evidence of a ticket or a case.
func (h *Hub) ExportEvidence(ctx context.Context, w io.Writer, q evidence.Request) error {
	return evidence.Export(ctx, w, rooms{h}, h.ledger, q)
}

// rooms is what an export needs of the hub.
type rooms struct{ h *Hub }

func (r rooms) Show(ctx context.Context, id string) (contracts.Ticket, error) {
	return r.h.Show(ctx, id)
}

func (r rooms) Proof(sum contracts.Sum) (io.ReadCloser, error) { return r.h.Proof(sum) }

// Frozen gives what was frozen. A request that cannot be read is treated as one that carries a secret.
func (r rooms) Frozen(ctx context.Context, id string) (frozen []evidence.Frozen, secret bool, err error) {
	kept, err := r.h.box.Kept(ctx, id)
	if err != nil || len(kept) == 0 {
		return nil, false, err
	}
	secret = true
	if req, err := r.h.box.Request(ctx, id); err == nil {
		secret = false
		if with, ok := req.(contracts.Redactor); ok {
			_, secret = with.Redacted()
		}
	}
	for _, k := range kept {
		frozen = append(frozen, evidence.Frozen{Name: k.Name, Sum: k.Sum, Bytes: k.Bytes})
	}
	return frozen, secret, nil
}

func (r rooms) Enter(ctx context.Context, e contracts.Entry) (kept contracts.Entry, err error) {
	err = r.h.store.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		kept, err = r.h.ledger.Append(tx, e)
		return err
	})
	return kept, err
}

// serveEvidence streams an export. What goes wrong before the first byte is an answer of its own; later, it stands in a
// trailer.
func (h *Hub) serveEvidence(w http.ResponseWriter, r *http.Request) {
	var q evidence.Request
	r.Body = http.MaxBytesReader(w, r.Body, maxOperatorBody)
	err := json.NewDecoder(r.Body).Decode(&q)
	if err != nil {
		err = contracts.Errorf(contracts.Invalid, "operator: the request is not JSON")
	}
	w.Header().Set("Trailer", exportFault)
	out := &begun{w: w}
	if err == nil {
		err = h.ExportEvidence(r.Context(), out, q)
	}
	streamFault(w, out, err)
}

// streamFault ends a stream that failed: with an answer of its own where nothing was written yet, else in a trailer.
func streamFault(w http.ResponseWriter, out *begun, err error) {
	if err == nil {
		return
	}
	text, _ := json.Marshal(contracts.AsError(err)) // an Error of ours always encodes
	if out.any {
		w.Header().Set(exportFault, string(asciiOnly(text)))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(text) // the operator has hung up
}

// asciiOnly makes a text fit a header.
func asciiOnly(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, b)
}

// begun remembers whether anything was written.
type begun struct {
	w   io.Writer
	any bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.any = true
	return b.w.Write(p)
}

func (r *remote) ExportEvidence(ctx context.Context, w io.Writer, q evidence.Request) error {
	return r.stream(ctx, "/evidence/export", q, w)
}

// stream posts a request and writes the answer, however long it is, to w.
func (r *remote) stream(ctx context.Context, path string, in any, w io.Writer) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://operator"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "operator", Err: err}
	}
	defer resp.Body.Close()
	fault := func(text []byte) error {
		var e contracts.Error
		if err := json.Unmarshal(text, &e); err != nil {
			return contracts.Errorf(contracts.Internal, "operator: the hub answered %s", resp.Status)
		}
		return &e
	}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxOperatorBody))
		if err != nil {
			return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "operator", Err: err}
		}
		return fault(text)
	}
	if _, err := io.Copy(w, resp.Body); err != nil { // w may be a full disk as well
		return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "operator", Err: err}
	}
	if text := resp.Trailer.Get(exportFault); text != "" {
		return fault([]byte(text))
	}
	return nil
}
