package ledger

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"

	"raccordo/contracts"
)

// Segment gives the head of the segment that holds an entry; of the one that still grows, the head as it stands now.
// NotFound: there is no such entry, or its segment was dropped as retention allows.
func (l *Ledger) Segment(ctx context.Context, entry uint64) (Head, error) {
	snap, err := l.snapshot(ctx)
	if err != nil {
		return Head{}, err
	}
	for _, s := range snap.segments {
		h := s.head
		if h == nil && snap.running != nil && snap.running.Segment == s.id {
			h = snap.running
		}
		if h == nil || entry < h.First || entry > h.Last {
			continue
		}
		if s.dropped {
			return *h, contracts.Errorf(contracts.NotFound, "export ledger: segment %d was dropped", h.Segment)
		}
		return *h, nil
	}
	return Head{}, contracts.Errorf(contracts.NotFound, "export ledger: there is no entry %d", entry)
}

// ExportSegment writes one segment, as far as its head reaches, in the form of Export: whoever holds it and the public
// key can tell which entries stand in it, where, and that none was changed.
func (l *Ledger) ExportSegment(ctx context.Context, w io.Writer, h Head) error {
	l.sweep.RLock()
	defer l.sweep.RUnlock()
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	if err := enc.Encode(exportLine{Ledger: &exportStart{exportFormat, l.chain, l.clock.Now().Round(0).UTC(), l.signer.id}}); err != nil {
		return err
	}
	n, err := l.exportSegment(ctx, enc, &h)
	if err != nil {
		return err
	}
	if n != h.Last-h.First+1 {
		return contracts.Errorf(contracts.Internal, "export ledger: segment %d lacks entries; verify the ledger", h.Segment)
	}
	if err := enc.Encode(exportLine{End: &exportEnd{Segments: 1, Entries: n}}); err != nil {
		return err
	}
	return out.Flush()
}

// Signed is the bytes that the head's Signature is over, for whoever checks it with other tools.
func (h *Head) Signed() []byte { return h.encode() }

// MarshalPublicKey writes a public key as other tools read it: PEM, PKIX.
func MarshalPublicKey(pub ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// UnmarshalPublicKey reads what MarshalPublicKey writes.
func UnmarshalPublicKey(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("want an Ed25519 public key in PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM block holds no public key")
	}
	pub, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("want an Ed25519 public key")
	}
	return pub, nil
}
