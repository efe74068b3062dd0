package ledger

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"time"

	"raccordo/contracts"
)

// An export is JSON lines: one "ledger" line, then for each segment its "head" and its entries, then one "end" line.
type exportLine struct {
	Ledger *exportStart     `json:"ledger,omitempty"`
	Head   *Head            `json:"head,omitempty"`
	Entry  *contracts.Entry `json:"entry,omitempty"`
	End    *exportEnd       `json:"end,omitempty"`
}

type exportStart struct {
	Format int       `json:"format"`
	Chain  string    `json:"chain"`
	Made   time.Time `json:"made"`
	Key    string    `json:"key"` // KeyID of the key that signs now
}

type exportEnd struct {
	Segments int    `json:"segments"`
	Entries  uint64 `json:"entries"`
}

const exportFormat = 1

// Export writes whole segments: those whose day (UTC) lies between from's and to's, both included; a zero time leaves
// that side open. Each begins with its signed head, the one that still grows with its running head. Dropped segments are
// left out. It reads page by page and holds one page in memory.
func (l *Ledger) Export(ctx context.Context, w io.Writer, from, to time.Time) error {
	l.sweep.RLock()
	defer l.sweep.RUnlock()
	snap, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	if err := enc.Encode(exportLine{Ledger: &exportStart{exportFormat, l.chain, l.clock.Now().Round(0).UTC(), l.signer.id}}); err != nil {
		return err
	}
	end := exportEnd{}
	for _, s := range snap.segments {
		h := s.head
		if h == nil && snap.running != nil && snap.running.Segment == s.id {
			h = snap.running
		}
		if h == nil {
			return contracts.Errorf(contracts.Internal, "export ledger: segment %d has no head; verify the ledger", s.id)
		}
		if s.dropped || !from.IsZero() && s.day < from.UTC().Format(time.DateOnly) || !to.IsZero() && s.day > to.UTC().Format(time.DateOnly) {
			continue
		}
		n, err := l.exportSegment(ctx, enc, h)
		if err != nil {
			return err
		}
		end.Segments++
		end.Entries += n
	}
	if err := enc.Encode(exportLine{End: &end}); err != nil {
		return err
	}
	return out.Flush()
}

func (l *Ledger) exportSegment(ctx context.Context, enc *json.Encoder, h *Head) (n uint64, err error) {
	if err := enc.Encode(exportLine{Head: h}); err != nil {
		return 0, err
	}
	for after := h.First - 1; after < h.Last; {
		page, err := l.page(ctx, after, h.Last)
		if err != nil {
			return n, err
		}
		for _, r := range page {
			e, err := decode(r.data)
			if err != nil {
				return n, contracts.Errorf(contracts.Internal, "export ledger: entry %d: %w; verify the ledger", r.seq, err)
			}
			if err := enc.Encode(exportLine{Entry: &e}); err != nil {
				return n, err
			}
			n++
		}
		if len(page) < maxPage {
			break
		}
		after = page[len(page)-1].seq
	}
	return n, nil
}

// maxLine bounds a line of an export that is read: JSON spells an entry out at no more than six times its length.
const maxLine = 6*maxEntry + 64<<10

// VerifyExport examines an export without the hub: every entry, link and head, against public keys that the reader
// trusts. An export begins where it begins: that segments before or behind it are missing cannot be seen in it. The error
// names the first problem, or says why it could not be examined.
func VerifyExport(r io.Reader, pubs ...ed25519.PublicKey) (Report, error) {
	return WalkExport(r, func(Head, contracts.Entry) {}, pubs...)
}

// WalkExport is VerifyExport, and lets visit see each entry that is whole and in its place, with the head of its segment.
// That the segment holds together shows at the end: what was seen counts only when no problem is reported.
func WalkExport(r io.Reader, visit func(Head, contracts.Entry), pubs ...ed25519.PublicKey) (Report, error) {
	k, err := trusted(pubs)
	if err != nil {
		return Report{}, err
	}
	v := newVerifier("", k)
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var end *exportEnd
	for n := 1; lines.Scan(); n++ {
		var line exportLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return v.Report, contracts.Errorf(contracts.Malformed, "verify export: line %d: not a line of an export", n)
		}
		switch {
		case n == 1 && (line.Ledger == nil || line.Ledger.Format != exportFormat):
			return v.Report, contracts.Errorf(contracts.Malformed, "verify export: line 1: not the beginning of an export of format %d", exportFormat)
		case n == 1:
			v.Chain = line.Ledger.Chain
		case end != nil:
			v.problem("line %d stands behind the end", n)
		case line.Head != nil:
			v.finish()
			v.begin(line.Head)
		case line.Entry != nil && v.head == nil:
			v.problem("line %d: entry %d stands before any head", n, line.Entry.Seq)
		case line.Entry != nil && line.Entry.Seq <= v.seq:
			v.Entries++
			v.problem("entry %d stands behind entry %d", line.Entry.Seq, v.seq)
		case line.Entry != nil:
			x := normal(*line.Entry)
			if e, ok := v.entry(x.Seq, x.Sum, encode(&x)); ok {
				visit(*v.head, e)
			}
		case line.End != nil:
			end = line.End
		default:
			return v.Report, contracts.Errorf(contracts.Malformed, "verify export: line %d: neither entry nor head", n)
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return v.Report, contracts.Errorf(contracts.Malformed, "verify export: a line is longer than %d bytes", maxLine)
		}
		return v.Report, err
	}
	if v.Chain == "" {
		return v.Report, contracts.Errorf(contracts.Malformed, "verify export: it is empty")
	}
	v.finish()
	switch {
	case end == nil:
		v.problem("the export is cut short: its end line is missing")
	case end.Segments != v.Segments || end.Entries != v.Entries:
		v.problem("the export states %d segments and %d entries, and holds %d and %d", end.Segments, end.Entries, v.Segments, v.Entries)
	}
	return v.Report, v.Err()
}
