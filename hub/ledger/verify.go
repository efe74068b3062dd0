package ledger

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// maxProblems bounds a report: whoever has changed a hundred things has changed all.
const maxProblems = 100

// A Report is what Verify found.
type Report struct {
	Chain    string   `json:"chain"`
	Entries  uint64   `json:"entries"` // how many were examined
	First    uint64   `json:"first"`   // the first entry examined
	Last     uint64   `json:"last"`    // the entry at which the chain ends, or should
	Segments int      `json:"segments"`
	Dropped  int      `json:"dropped"` // segments dropped as retention allows
	Problems []string `json:"problems,omitempty"`
	More     int      `json:"more,omitempty"` // problems beyond those listed
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// Err is nil when nothing was found, and otherwise names the first problem.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	return contracts.Errorf(contracts.Internal, "ledger %s does not verify: %s (%d problems)", r.Chain, r.Problems[0], len(r.Problems)+r.More)
}

// A verifier walks segment by segment: begin with a head, its entries, finish. After a problem it goes on from what the
// heads state, so that one change is not reported a thousand times.
type verifier struct {
	Report
	keys  keys
	begun bool
	head  *Head         // of the present segment
	seq   uint64        // of the entry before
	prev  contracts.Sum // its sum
	any   bool          // entries were seen in this segment
	fits  bool          // so far its entries link to each other
	after Head          // the closed head before, when known
	drops map[contracts.Sum]bool
	watch store.Head // compared in passing, when its Chain is set
}

func newVerifier(chain string, k keys) *verifier {
	return &verifier{Report: Report{Chain: chain}, keys: k, drops: map[contracts.Sum]bool{}}
}

func (v *verifier) problem(format string, args ...any) {
	if len(v.Problems) >= maxProblems {
		v.More++
		return
	}
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

// begin takes up the segment of a head.
func (v *verifier) begin(h *Head) {
	v.Segments++
	name := "head of segment"
	if !h.Closed {
		name = "running head of segment"
	}
	if bad := v.keys.check(h); bad != "" {
		v.problem("%s %d %s", name, h.Segment, bad)
	}
	if h.Chain != v.Chain {
		v.problem("%s %d is of chain %q", name, h.Segment, h.Chain)
	}
	if v.begun {
		switch want := v.after.Segment + 1; {
		case h.Segment > want:
			v.problem("%s missing, entries %d to %d with it", segments(want, h.Segment-1), v.seq+1, h.First-1)
		case h.Segment < want:
			v.problem("%s %d stands behind that of segment %d", name, h.Segment, v.after.Segment)
		case h.Before != v.after.Digest():
			v.problem("%s %d does not follow the head of segment %d", name, h.Segment, v.after.Segment)
		case h.First != v.seq+1 || h.Prev != v.prev:
			v.problem("segment %d does not begin where segment %d ends", h.Segment, v.after.Segment)
		}
	} else {
		v.First = h.First
		if h.Segment == 1 && (h.First != 1 || !h.Prev.IsZero() || !h.Before.IsZero()) {
			v.problem("segment 1 does not begin the chain")
		}
	}
	v.begun, v.head, v.any, v.fits = true, h, false, true
	v.seq, v.prev = h.First-1, h.Prev
}

func segments(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("segment %d is", from)
	}
	return fmt.Sprintf("segments %d to %d are", from, to)
}

// entry takes the next entry: its place, its recorded sum and its encoding.
func (v *verifier) entry(seq uint64, sum contracts.Sum, data []byte) (e contracts.Entry, ok bool) {
	v.any = true
	v.Entries++
	if seq > v.seq+1 {
		v.missing(v.seq+1, seq-1)
		v.prev = contracts.Sum{} // unknown: the link is not to be blamed as well
		v.fits = false
	}
	linked := v.prev
	known := v.fits || !linked.IsZero()
	v.seq, v.prev, v.fits = seq, sum, true
	if sumOf(data) != sum {
		v.problem("entry %d was changed: its digest does not fit", seq)
		return e, false
	}
	e, err := decode(data)
	switch {
	case err != nil:
		v.problem("entry %d cannot be read: %v", seq, err)
		return e, false
	case e.Seq != seq:
		v.problem("entry %d was swapped: in its place stands entry %d", seq, e.Seq)
		v.prev = contracts.Sum{}
		v.fits = false
		return e, false
	case e.Chain != v.Chain:
		v.problem("entry %d is of chain %q", seq, e.Chain)
	case known && e.Prev != linked:
		v.problem("the link from entry %d back to entry %d is broken", seq, seq-1)
	}
	if v.watch.Chain == v.Chain && v.watch.Seq == seq && v.watch.Sum != sum {
		v.problem("entry %d is not the one that the head file remembers", seq)
	}
	if e.Op == OpDrop && e.Phase == contracts.PhaseOperator {
		for _, p := range e.Proof {
			v.drops[p] = true
		}
	}
	return e, true
}

func (v *verifier) missing(from, to uint64) {
	v.problem("%s missing", entries(from, to, "is", "are"))
}

func entries(from, to uint64, one, many string) string {
	if from == to {
		return fmt.Sprintf("entry %d %s", from, one)
	}
	return fmt.Sprintf("entries %d to %d %s", from, to, many)
}

// finish compares the segment with its head.
func (v *verifier) finish() {
	h := v.head
	if h == nil {
		return
	}
	switch {
	case !v.any:
		v.problem("segment %d (%s) is missing: entries %d to %d", h.Segment, h.Day, h.First, h.Last)
	case v.seq < h.Last && h.Closed:
		v.missing(v.seq+1, h.Last)
	case v.seq < h.Last:
		v.problem("the tail is cut: the chain ends with entry %d, its running head states %d", v.seq, h.Last)
	case v.seq > h.Last:
		v.problem("%s added behind the end that the head states", entries(h.Last+1, v.seq, "was", "were"))
	case v.fits && v.prev != h.Sum:
		v.problem("entry %d, the last of segment %d, is not the one that its head states", h.Last, h.Segment)
	}
	v.skip()
}

// skip goes on behind the present segment as its head states it.
func (v *verifier) skip() {
	v.seq, v.prev, v.Last, v.after, v.head = v.head.Last, v.head.Sum, v.head.Last, *v.head, nil
}

// A segmentRow is a segment as the database has it.
type segmentRow struct {
	id, first    uint64
	day          string
	prev, before contracts.Sum
	dropped      bool
	head         *Head // nil while it grows
	bad          string
}

// A snapshot is what Verify and Export walk along: what is appended later is not looked at.
type snapshot struct {
	segments []segmentRow
	running  *Head
	last     uint64 // of the table
}

func (l *Ledger) snapshot(ctx context.Context) (snap snapshot, err error) {
	err = l.db.Read(ctx, func(v *store.View) error {
		snap = snapshot{}
		rows, err := v.Query("SELECT id, day, first, prev, before, dropped, head FROM ledger_segment ORDER BY id")
		if err != nil {
			return err
		}
		for rows.Next() {
			var s segmentRow
			var prev, before []byte
			var head sql.NullString
			if err := rows.Scan(&s.id, &s.day, &s.first, &prev, &before, &s.dropped, &head); err != nil {
				return err
			}
			if scanSum(&s.prev, prev) != nil || scanSum(&s.before, before) != nil {
				s.bad = "holds something that is no digest"
			}
			if head.Valid {
				s.head = new(Head)
				if json.Unmarshal([]byte(head.String), s.head) != nil {
					s.bad, s.head = "cannot be read", nil
				}
			}
			snap.segments = append(snap.segments, s)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		h, err := store.StoredHead(v)
		if err != nil {
			return err
		}
		if h.Chain != "" {
			snap.running = new(Head)
			if err := json.Unmarshal(h.Proof, snap.running); err != nil {
				snap.running = &Head{Chain: h.Chain, Last: h.Seq, Sum: h.Sum}
			}
		}
		return v.QueryRow("SELECT coalesce(max(seq), 0) FROM ledger_entry").Scan(&snap.last)
	})
	return snap, err
}

// Verify examines the whole chain: every entry, every link, every head, the end, and the store's head file. It reads page
// by page and may take long; the hub works meanwhile. The error names the first problem, or says why the ledger could not
// be examined (the Report is then of what was seen until there).
func (l *Ledger) Verify(ctx context.Context) (Report, error) {
	l.sweep.RLock()
	defer l.sweep.RUnlock()
	v := newVerifier(l.chain, l.keys)
	var (
		file       store.Head
		remembered bool
	)
	if l.st != nil {
		var err error
		if file, remembered, err = l.st.HeadFile(); err != nil { // before the snapshot, so that it cannot be ahead of it
			return v.Report, err
		}
	}
	if remembered {
		v.watch = file
	}
	snap, err := l.snapshot(ctx)
	if err != nil {
		return v.Report, err
	}
	if snap.running == nil && (snap.last > 0 || len(snap.segments) > 0) {
		v.problem("the running head is missing")
	}
	newest := 0 // the last dropped segment
	for i := range snap.segments {
		h := l.headOf(v, snap, i)
		if h == nil {
			continue
		}
		v.begin(h)
		if snap.segments[i].dropped {
			if newest != i {
				v.problem("segment %d is dropped and one before it is not", h.Segment)
			}
			newest = i + 1
			v.Dropped++
			v.skip()
			continue
		}
		if err := l.walk(ctx, v, h, snap.last); err != nil {
			return v.Report, err
		}
		v.finish()
	}
	if newest > 0 && snap.segments[newest-1].head != nil && !v.drops[snap.segments[newest-1].head.Digest()] {
		v.problem("segment %d is dropped, and no operator's entry says so", snap.segments[newest-1].id)
	}
	l.ends(v, snap, remembered, file)
	return v.Report, v.Err()
}

// headOf gives the head of a segment, or what stands for it when it is damaged.
func (l *Ledger) headOf(v *verifier, snap snapshot, i int) *Head {
	s := snap.segments[i]
	open := i == len(snap.segments)-1
	if s.head == nil && open && s.bad == "" {
		if snap.running != nil && snap.running.Segment == s.id {
			return snap.running
		}
		if snap.running != nil {
			v.problem("the running head is of segment %d, the last segment is %d", snap.running.Segment, s.id)
		}
		return nil
	}
	if s.head == nil {
		if s.bad == "" {
			s.bad = "is missing"
		}
		v.problem("head of segment %d %s", s.id, s.bad)
		return nil
	}
	if s.head.Segment != s.id || s.head.Day != s.day || s.head.First != s.first || s.head.Prev != s.prev || s.head.Before != s.before {
		v.problem("the row of segment %d does not agree with its head", s.id)
	}
	return s.head
}

// ends looks at where the chain ends.
func (l *Ledger) ends(v *verifier, snap snapshot, remembered bool, file store.Head) {
	if r := snap.running; r != nil && len(snap.segments) > 0 && r.Segment > snap.segments[len(snap.segments)-1].id {
		v.problem("%s missing at the end: the running head states entry %d", segments(snap.segments[len(snap.segments)-1].id+1, r.Segment), r.Last)
	}
	if r := snap.running; r != nil && len(snap.segments) == 0 {
		v.problem("%s missing: the running head states entry %d", segments(1, r.Segment), r.Last)
	}
	if remembered && file.Chain != l.chain {
		v.problem("the head file is of chain %q", file.Chain)
	} else if remembered && file.Seq > snap.last {
		v.problem("the tail is cut: the head file remembers entry %d, the chain ends with entry %d", file.Seq, snap.last)
	}
}

// A row is an entry as the database has it.
type row struct {
	seq, segment  uint64
	ref, op, kase string
	sum           contracts.Sum
	data          []byte
}

// page reads entries of which the sequence numbers lie in (after, last].
func (l *Ledger) page(ctx context.Context, after, last uint64) (page []row, err error) {
	err = l.db.Read(ctx, func(v *store.View) error {
		page = page[:0]
		rows, err := v.Query("SELECT seq, segment, ref, op, kase, sum, data FROM ledger_entry WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
			int64(after), int64(last), maxPage)
		if err != nil {
			return err
		}
		for rows.Next() {
			var r row
			var sum []byte
			if err := rows.Scan(&r.seq, &r.segment, &r.ref, &r.op, &r.kase, &sum, &r.data); err != nil {
				return err
			}
			if len(sum) == len(r.sum) { // another length is another digest, as the verifier will say
				r.sum = contracts.Sum(sum)
			}
			page = append(page, r)
		}
		return rows.Err()
	})
	return page, err
}

// walk examines the entries of the segment that was begun.
func (l *Ledger) walk(ctx context.Context, v *verifier, h *Head, end uint64) error {
	last := h.Last
	if !h.Closed {
		last = max(last, end) // what stands behind the running head was not written by us
	}
	for after := h.First - 1; ; {
		page, err := l.page(ctx, after, last)
		if err != nil {
			return err
		}
		for _, r := range page {
			if e, ok := v.entry(r.seq, r.sum, r.data); ok {
				if r.segment != h.Segment || r.ref != e.Ref || r.op != e.Op || r.kase != e.Caller.Case {
					v.problem("entry %d is filed wrongly: the columns of its row are not what it says", r.seq)
				}
			}
		}
		if len(page) < maxPage {
			return nil
		}
		after = page[len(page)-1].seq
	}
}

var errNoKeys = errors.New("verify export: name a public key to trust")

// trusted makes keys of what the caller trusts.
func trusted(pubs []ed25519.PublicKey) (keys, error) {
	if len(pubs) == 0 || slices.ContainsFunc(pubs, func(p ed25519.PublicKey) bool { return len(p) != ed25519.PublicKeySize }) {
		return nil, errNoKeys
	}
	return newKeys(pubs...), nil
}
