package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// An AnchorConfig says where the heads of closed segments go, so that whoever has the key and the database cannot write
// another history unnoticed. Both ways may be used at once; empty: none.
type AnchorConfig struct {
	// Folder takes a file per chain to which each head is appended; best a disk or a mount that whoever administers the
	// hub cannot write otherwise.
	Folder string `yaml:"folder"`
	// To is the certified address of another administrator, to whom each head is sent.
	To string `yaml:"to"`
	// Sender is the role that sends it.
	Sender string `yaml:"sender"`
	// Purpose stands in the ledger for these messages; empty: "anchor".
	Purpose string `yaml:"purpose"`
}

// Sends reports whether heads go by message.
func (c AnchorConfig) Sends() bool { return c.To != "" }

// On reports whether heads go anywhere.
func (c AnchorConfig) On() bool { return c.To != "" || c.Folder != "" }

func (c AnchorConfig) validate() (faults []error) {
	if (c.To == "") != (c.Sender == "") {
		faults = append(faults, contracts.Faultf("anchor.to", "to and sender go together"))
	}
	if c.To != "" {
		if _, err := contracts.ParseAddress(c.To); err != nil {
			faults = append(faults, contracts.Faultf("anchor.to", "want the address of a mailbox"))
		}
	}
	return faults
}

// The ways in which heads are anchored, for Anchored and NoteAnchored.
const (
	AnchorFile    = "file"
	AnchorMessage = "message"
)

// OpClose is the operation of the entry with which a new day begins when nothing else has begun it.
const OpClose = "ledger.close"

// Turn closes the present segment when its day (UTC) is over, though nothing has happened since: the first entry of the
// new day says so. It does nothing on a chain without entries.
func (l *Ledger) Turn(ctx context.Context) error {
	over := func(q store.Querier) (last, bool, error) {
		at, err := l.last(q)
		return at, err == nil && at.segment > 0 && l.clock.Now().UTC().Format(time.DateOnly) > at.day, err
	}
	due := false
	if err := l.db.Read(ctx, func(v *store.View) (err error) {
		_, due, err = over(v)
		return err
	}); err != nil || !due {
		return err
	}
	return l.st.Write(ctx, store.Settle, func(tx *store.Tx) error {
		at, due, err := over(tx)
		if err != nil || !due {
			return err
		}
		tx.Flush()
		_, err = l.Append(tx, contracts.Entry{
			Phase: contracts.PhaseOutcome, Outcome: "ok", Op: OpClose, System: "hub",
			Caller: contracts.Caller{Service: "hub", Purpose: "operation", User: "system"},
			Reason: fmt.Sprintf("segment %d (%s) is closed", at.segment, at.day),
		})
		return err
	})
}

// Closed gives the heads of the closed segments behind a number, oldest first, dropped ones included; max at most.
func (l *Ledger) Closed(ctx context.Context, after uint64, max int) (heads []Head, err error) {
	err = l.db.Read(ctx, func(v *store.View) error {
		heads = nil
		rows, err := v.Query("SELECT head FROM ledger_segment WHERE head IS NOT NULL AND id > ? ORDER BY id LIMIT ?", int64(min(after, maxSeq)), max)
		if err != nil {
			return err
		}
		for rows.Next() {
			var text string
			var h Head
			if err := rows.Scan(&text); err != nil {
				return err
			}
			if json.Unmarshal([]byte(text), &h) != nil {
				return contracts.Errorf(contracts.Internal, "read heads: one behind segment %d cannot be read; verify the ledger", after)
			}
			heads = append(heads, h)
		}
		return rows.Err()
	})
	return heads, err
}

// Anchored is up to which segment heads were anchored in a way; zero: never.
func (l *Ledger) Anchored(ctx context.Context, by string) (segment uint64, err error) {
	err = l.db.Read(ctx, func(v *store.View) error {
		var n int64
		err := v.QueryRow("SELECT coalesce(max(segment), 0) FROM ledger_anchor WHERE way = ?", by).Scan(&n)
		segment = uint64(n)
		return err
	})
	return segment, err
}

// Unanchored is how many closed segments lie behind the one up to which heads were anchored in a way.
func (l *Ledger) Unanchored(ctx context.Context, by string) (n int, err error) {
	err = l.db.Read(ctx, func(v *store.View) error {
		return v.QueryRow(`SELECT count(*) FROM ledger_segment WHERE head IS NOT NULL
			AND id > (SELECT coalesce(max(segment), 0) FROM ledger_anchor WHERE way = ?)`, by).Scan(&n)
	})
	return n, err
}

// NoteAnchored notes up to which segment heads were anchored in a way. It never goes back.
func (l *Ledger) NoteAnchored(ctx context.Context, by string, segment uint64) error {
	return l.st.Write(ctx, store.Settle, func(tx *store.Tx) error {
		tx.Flush()
		_, err := tx.Exec("INSERT INTO ledger_anchor VALUES (?, ?) ON CONFLICT (way) DO UPDATE SET segment = max(segment, excluded.segment)", by, int64(segment))
		return err
	})
}

// AnchorKey names a head as no other: chain, segment and digest. A ticket's id derives from it, and a message's
// Message-ID from that, so that a carrier's receipt which names the message vouches for the head.
func (h *Head) AnchorKey() string {
	return fmt.Sprintf("anchor/%s/%d/%s", h.Chain, h.Segment, h.Digest())
}

// AnchorLine is a head as it is handed out: a line of JSON, as in an export.
func (h *Head) AnchorLine() ([]byte, error) {
	b, err := json.Marshal(exportLine{Head: h})
	return append(b, '\n'), err
}

// maxAnchor bounds a line of an anchor file that is read.
const maxAnchor = 8 << 10

// ReadAnchors reads heads as AnchorLine writes them. A line that cannot be read is given by its number, but for one that a
// crash cut short and that stands again, whole, on the next line.
func ReadAnchors(r io.Reader) (heads []Head, bad []int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxAnchor), maxAnchor)
	cut, cutAt := []byte(nil), 0
	settle := func(next []byte) {
		if cut != nil && !bytes.HasPrefix(next, cut) {
			bad = append(bad, cutAt)
		}
		cut = nil
	}
	n := 0
	for lines.Scan() {
		n++
		text := lines.Bytes()
		settle(text)
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		var l exportLine
		if json.Unmarshal(text, &l) != nil || l.Head == nil || l.Head.Segment == 0 {
			cut, cutAt = bytes.Clone(text), n
			continue
		}
		heads = append(heads, *l.Head)
	}
	if err := lines.Err(); err != nil {
		return heads, append(bad, n+1), nil // a line that is too long is none of ours
	}
	settle(nil)
	return heads, bad, nil
}

// AppendAnchors appends to the chain's file in a folder those of the heads, oldest first, that it does not hold yet, and
// forces it to the disk. It fails with Conflict when the file holds another head for a segment: then somebody has changed
// the file, or the chain.
func AppendAnchors(folder string, heads []Head) error {
	if len(heads) == 0 {
		return nil
	}
	if err := appendAnchors(filepath.Join(folder, heads[0].Chain+".jsonl"), heads); err != nil {
		var known *contracts.Error
		if errors.As(err, &known) {
			return err
		}
		return contracts.Errorf(contracts.Unavailable, "anchor: %w", err)
	}
	return nil
}

func appendAnchors(file string, heads []Head) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644) //nolint:gosec // others read it: that is what it is for
	if err != nil {
		return err
	}
	defer f.Close() // synced below, where something was written
	old, _, err := ReadAnchors(f)
	if err != nil {
		return err
	}
	have := map[uint64]contracts.Sum{}
	for _, h := range old {
		have[h.Segment] = h.Digest()
	}
	var out bytes.Buffer
	for _, h := range heads {
		if sum, ok := have[h.Segment]; ok {
			if sum != h.Digest() {
				return contracts.Errorf(contracts.Conflict, "anchor: %s holds another head for segment %d than the chain: find out who changed which; move the file away once you know", file, h.Segment)
			}
			continue
		}
		line, err := h.AnchorLine()
		if err != nil {
			return err
		}
		out.Write(line)
	}
	if out.Len() == 0 {
		return nil
	}
	if size, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	} else if size > 0 { // what a crash cut short stays as it is: the file is only ever appended to
		var end [1]byte
		if _, err := f.ReadAt(end[:], size-1); err != nil {
			return err
		}
		if end[0] != '\n' {
			out = *bytes.NewBuffer(append([]byte{'\n'}, out.Bytes()...))
		}
	}
	if _, err := f.Write(out.Bytes()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// An Anchor is one head as somebody else has it.
type Anchor struct {
	Head   Head
	Source string    // where it was found
	At     time.Time // when a carrier vouched for it; zero for a file, which vouches for no time
}

// A Witness is a carrier's word about a message that is named for a head (AnchorKey) but not shown.
type Witness struct {
	Key    string // of the head
	Source string
	At     time.Time
}

// How anchors are judged by time.
const (
	anchorSkew = 5 * time.Minute // clocks differ
	anchorSlow = 72 * time.Hour  // an anchor later than that protects late, which the report says
	anchorDue  = 48 * time.Hour  // a closed head that nothing covers after that is a problem
)

// An AnchorReport is what CompareAnchors found.
type AnchorReport struct {
	Chain    string        `json:"chain"`
	Closed   int           `json:"closed"` // heads of closed segments
	Segments []SegmentMark `json:"segments,omitempty"`
	// Bare are segments whose own head nobody else has. One before an anchored segment is covered by that one's head.
	Bare []uint64 `json:"bare,omitempty"`
	// Covered is the last segment that an anchor vouches for: up to its end the chain is as it was when that was made.
	Covered  uint64   `json:"covered"`
	Late     []string `json:"late,omitempty"`  // anchors made long after their segment was closed
	Other    int      `json:"other,omitempty"` // anchors of other chains
	Problems []string `json:"problems,omitempty"`
	More     int      `json:"more,omitempty"`
}

// A SegmentMark is what vouches for one segment's head.
type SegmentMark struct {
	Segment uint64    `json:"segment"`
	Day     string    `json:"day"`
	Files   int       `json:"files,omitempty"`
	Carried int       `json:"carried,omitempty"` // messages and receipts
	At      time.Time `json:"at,omitzero"`       // the earliest time that a carrier vouches for
}

// Problem adds one, within bounds.
func (r *AnchorReport) Problem(format string, args ...any) {
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Err is nil when there is no problem, and otherwise names the first.
func (r *AnchorReport) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return contracts.Errorf(contracts.Internal, "anchors of ledger %s: %s (%d problems)", r.Chain, r.Problems[0], len(r.Problems)+r.More)
}

// CompareAnchors compares the heads of a chain's closed segments, which verify by themselves, with those that others
// have. An anchored head that is not the chain's means that one of the two was made anew, whoever signed it.
func CompareAnchors(chain string, heads []Head, anchors []Anchor, seen []Witness, now time.Time) AnchorReport {
	r := AnchorReport{Chain: chain, Closed: len(heads)}
	marks, bySegment, byKey := make([]SegmentMark, len(heads)), map[uint64]int{}, map[string]int{}
	for i := range heads {
		h := &heads[i]
		marks[i] = SegmentMark{Segment: h.Segment, Day: h.Day}
		bySegment[h.Segment], byKey[h.AnchorKey()] = i, i
	}
	carried := func(i int, at time.Time, source string) {
		h, m := &heads[i], &marks[i]
		if at.Before(h.At.Add(-anchorSkew)) {
			r.Problem("%s vouches for the head of segment %d at %s, before the head says that it was made (%s)", source, h.Segment, at.UTC().Format(time.RFC3339), h.At.Format(time.RFC3339))
			return
		}
		m.Carried++
		if m.At.IsZero() || at.Before(m.At) {
			m.At = at.UTC()
		}
	}
	for _, a := range anchors {
		i, ok := bySegment[a.Head.Segment]
		switch {
		case a.Head.Chain != chain:
			r.Other++
		case !a.Head.Closed:
			r.Problem("%s holds a running head of segment %d, which is no anchor", a.Source, a.Head.Segment)
		case !ok:
			r.Problem("%s holds a head of segment %d, which the chain has not: its end was cut off, or it was restored from before", a.Source, a.Head.Segment)
		case a.Head.Digest() != heads[i].Digest():
			r.Problem("the head of segment %d (%s) is not the one in %s: the chain was written anew, or the anchor", a.Head.Segment, heads[i].Day, a.Source)
		case a.At.IsZero():
			marks[i].Files++
		default:
			carried(i, a.At, a.Source)
		}
	}
	for _, w := range seen {
		i, ok := byKey[w.Key]
		if !ok {
			r.Problem("%s vouches for a head that the chain has not", w.Source)
			continue
		}
		carried(i, w.At, w.Source)
	}
	r.judge(heads, marks, now)
	return r
}

// judge tells what is covered, what is late and what is bare.
func (r *AnchorReport) judge(heads []Head, marks []SegmentMark, now time.Time) {
	for _, m := range marks {
		if m.Files+m.Carried > 0 {
			r.Covered = m.Segment
		}
	}
	var open []string
	for i, m := range marks {
		switch {
		case m.Files+m.Carried == 0:
			r.Bare = append(r.Bare, m.Segment)
			if m.Segment > r.Covered && now.Sub(heads[i].At) > anchorDue {
				open = append(open, fmt.Sprint(m.Segment))
			}
			continue
		case !m.At.IsZero() && m.At.Sub(heads[i].At) > anchorSlow:
			r.Late = append(r.Late, fmt.Sprintf("segment %d (%s) was closed %s and vouched for %s", m.Segment, m.Day, heads[i].At.Format(time.RFC3339), m.At.Format(time.RFC3339)))
		}
		r.Segments = append(r.Segments, m)
	}
	if len(open) > 0 {
		const most = 10
		if len(open) > most {
			open = append(open[:most], "…")
		}
		r.Problem("nobody vouches for the heads of segments %s, nor for a later one", strings.Join(open, ", "))
	}
}
