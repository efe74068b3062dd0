package evidence

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"raccordo/contracts"
	"raccordo/hub/ledger"
)

// Frozen is bytes that were frozen for a ticket before they left.
type Frozen struct {
	Name  string
	Sum   contracts.Sum
	Bytes []byte
}

// Rooms is what an export needs of a hub.
type Rooms interface {
	// Show gives a ticket with its story; NotFound when there is none, or its retention is over.
	Show(ctx context.Context, id string) (contracts.Ticket, error)
	// Frozen gives what was frozen for a ticket, and whether its request carries a secret.
	Frozen(ctx context.Context, id string) (kept []Frozen, secret bool, err error)
	// Proof opens archived bytes; NotFound when they were erased or never kept. Reading fails where they were changed.
	Proof(sum contracts.Sum) (io.ReadCloser, error)
	// Enter appends to the ledger and forces it to the disk.
	Enter(ctx context.Context, e contracts.Entry) (contracts.Entry, error)
}

// A Request is who wants which evidence, and why.
type Request struct {
	Of       string `json:"of"` // a ticket or a case
	Operator string `json:"operator"`
	Reason   string `json:"reason"`
}

const (
	maxTickets = 1000 // of one case
	maxEntries = 10_000
	maxWords   = 500 // bytes of an operator's name, and of a reason
)

// Validate says what is missing.
func (q Request) Validate() error {
	switch {
	case strings.TrimSpace(q.Of) == "":
		return contracts.Errorf(contracts.Invalid, "evidence export: name a ticket or a case")
	case strings.TrimSpace(q.Operator) == "" || strings.TrimSpace(q.Reason) == "":
		return contracts.Errorf(contracts.Invalid, "evidence export: say who you are and why: it goes into the ledger")
	case len(q.Of) > maxWords || len(q.Operator) > maxWords || len(q.Reason) > maxWords:
		return contracts.Errorf(contracts.Invalid, "evidence export: ticket or case, name and reason have at most %d bytes each", maxWords)
	}
	return nil
}

// An exporter makes one export.
type exporter struct {
	rooms  Rooms
	ledger *ledger.Ledger
	out    *packer
	m      Manifest
}

// Export writes the evidence of a ticket, or of all tickets of a case, as a stream for Unpack. It holds one message or
// the facts of the case in memory, no more. Invalid: the request lacks something; NotFound: the ledger knows neither
// ticket nor case of that name.
func Export(ctx context.Context, w io.Writer, rooms Rooms, l *ledger.Ledger, q Request) error {
	if err := q.Validate(); err != nil {
		return err
	}
	x := &exporter{rooms: rooms, ledger: l, out: newPacker(w), m: Manifest{Format: Format}}
	ids, ofCase, err := x.find(ctx, q.Of)
	if err != nil {
		return err
	}
	begun := contracts.Entry{
		Phase: contracts.PhaseOperator, Outcome: outcomeBegun, Op: OpExport, Reason: q.Reason,
		Caller: contracts.Caller{Service: "hub", Purpose: "operation", User: q.Operator},
	}
	if ofCase {
		begun.Caller.Case = q.Of
	} else {
		begun.Ref = q.Of
	}
	if x.m.Begun, err = rooms.Enter(ctx, begun); err != nil {
		return fmt.Errorf("evidence export: %w", err)
	}
	said := &x.m.Begun // as the ledger has it
	x.m.Of, x.m.Made, x.m.Operator, x.m.Reason = said.Ref+said.Caller.Case, said.At, said.Caller.User, said.Reason
	for _, id := range ids {
		dir := ""
		if ofCase {
			dir = word(id)
		}
		if err := x.ticket(ctx, id, dir); err != nil {
			return err
		}
	}
	written, err := x.close(ctx, begun)
	if err != nil {
		return err
	}
	if err := x.chain(ctx, written.Seq); err != nil {
		return err
	}
	return x.out.w.Close()
}

// find tells a ticket from a case. A ticket that the hub holds no longer is still known to the ledger.
func (x *exporter) find(ctx context.Context, of string) (ids []string, ofCase bool, err error) {
	_, err = x.rooms.Show(ctx, of)
	if err == nil {
		return []string{of}, false, nil
	}
	if contracts.KindOf(err) != contracts.NotFound {
		return nil, false, fmt.Errorf("evidence export: %w", err)
	}
	seen := map[string]bool{}
	submitted := func(q ledger.Query) error {
		return x.entries(ctx, q, func(e contracts.Entry) {
			if e.Phase == contracts.PhaseSubmitted && !seen[e.Ref] && len(ids) <= maxTickets {
				seen[e.Ref] = true
				ids = append(ids, e.Ref)
			}
		})
	}
	if err = submitted(ledger.Query{Ref: of}); err == nil && len(ids) == 0 {
		ofCase = true
		err = submitted(ledger.Query{Case: of})
	}
	switch {
	case err != nil:
		return nil, false, err
	case len(ids) == 0:
		return nil, false, contracts.Errorf(contracts.NotFound, "evidence export: there is no ticket and no case of that name")
	case len(ids) > maxTickets:
		return nil, false, contracts.Errorf(contracts.Invalid, "evidence export: the case has more than %d tickets; export them one by one", maxTickets)
	}
	return ids, ofCase, nil
}

// entries reads page by page.
func (x *exporter) entries(ctx context.Context, q ledger.Query, fn func(contracts.Entry)) error {
	q.Max = 1000
	for n := 0; n < 100*maxEntries; {
		page, err := x.ledger.Entries(ctx, q)
		if err != nil {
			return fmt.Errorf("evidence export: %w", err)
		}
		for _, e := range page {
			fn(e)
		}
		if len(page) < q.Max {
			return nil
		}
		n += len(page)
		q.After = page[len(page)-1].Seq
	}
	return contracts.Errorf(contracts.Invalid, "evidence export: too many entries in the ledger")
}

// ticket writes what belongs to one ticket.
func (x *exporter) ticket(ctx context.Context, id, dir string) error {
	t := Ticket{ID: id, Dir: dir}
	err := x.entries(ctx, ledger.Query{Ref: id}, func(e contracts.Entry) {
		if belongs(e, id, x.m.Begun.Seq) && len(t.Entries) < maxEntries {
			t.Entries = append(t.Entries, e)
		}
	})
	if err != nil {
		return err
	}
	shown, err := x.rooms.Show(ctx, id)
	switch {
	case contracts.KindOf(err) == contracts.NotFound && err != nil:
		t.Missing = append(t.Missing, Missing{What: "story", Why: Gone})
	case err != nil:
		return fmt.Errorf("evidence export: %w", err)
	}
	t.State = shown.State
	story := until(shown.Story, t.Entries)
	secret, err := x.messages(ctx, &t, story)
	if err != nil {
		return err
	}
	if err := x.receipts(&t, story, secret); err != nil {
		return err
	}
	t.silence(story)
	text, err := marshal(story)
	if err != nil {
		return err
	}
	if _, err := x.out.bytes(path.Join(dir, "story.json"), text); err != nil {
		return err
	}
	for _, v := range voices() {
		told, err := v.tell(x.m, t)
		if err != nil {
			return err
		}
		if _, err := x.out.bytes(path.Join(dir, v.file), told); err != nil {
			return err
		}
	}
	x.m.Tickets = append(x.m.Tickets, t)
	return nil
}

// belongs reports whether an entry is part of a ticket's evidence in an export that was begun with entry begun. Other
// exports are not: they tell of readers, not of the case.
func belongs(e contracts.Entry, id string, begun uint64) bool {
	return e.Ref == id && e.Op != OpExport && e.Seq < begun
}

// until gives the events of which the entries know, and those of the hub's own. What came later belongs to a later export.
func until(story []contracts.Event, entries []contracts.Entry) []contracts.Event {
	known := map[contracts.Sum]bool{}
	for _, e := range entries {
		for _, p := range e.Proof {
			known[p] = true
		}
	}
	kept := []contracts.Event{} // not null in JSON
	for _, e := range story {
		if !slices.ContainsFunc(e.Proof, func(p contracts.Sum) bool { return !known[p] }) {
			kept = append(kept, e)
		}
	}
	return kept
}

// silence notes what the events do not tell. Receipts that were only seen in the mailbox while a doubt was resolved are not
// archived.
func (t *Ticket) silence(story []contracts.Event) {
	left := len(t.Messages) > 0 && len(sentSums(t.Entries)) > 0
	accepted := false
	for _, e := range story {
		ev, ok := contracts.EvidenceOf(e)
		if ok && len(e.Proof) == 0 {
			t.Missing = append(t.Missing, Missing{What: "receipt", Why: NoFile})
		}
		accepted = accepted || ok && ev.Counts && (ev.Kind == contracts.SubmissionAcceptance || ev.Kind == contracts.SubmissionRejection)
	}
	if left && !accepted {
		t.Missing = append(t.Missing, Missing{What: "acceptance", Why: Unheard})
	}
}

// close writes what tells of the whole, and enters its digest in the ledger.
func (x *exporter) close(ctx context.Context, entry contracts.Entry) (contracts.Entry, error) {
	for _, r := range readmes() {
		if _, err := x.out.bytes(r.name, r.text); err != nil {
			return entry, err
		}
	}
	x.m.Files = x.out.take()
	text, err := marshal(x.m)
	if err != nil {
		return entry, err
	}
	manifest, err := x.out.bytes(manifestName, text)
	if err != nil {
		return entry, err
	}
	list, err := x.out.bytes(sumsName, sums(append(x.m.Files, manifest)))
	if err != nil {
		return entry, err
	}
	x.out.take()
	entry.Outcome, entry.Proof = outcomeWritten, []contracts.Sum{list.Sum}
	if entry, err = x.rooms.Enter(ctx, entry); err != nil {
		return entry, fmt.Errorf("evidence export: %w", err)
	}
	return entry, nil
}

const (
	manifestName = "manifest.json"
	sumsName     = "SHA256SUMS"
	chainDir     = "ledger"
	keyName      = chainDir + "/key.pem"
	chainSums    = chainDir + "/" + sumsName
)

func segmentName(n uint64) string   { return fmt.Sprintf("%s/segment-%06d.jsonl", chainDir, n) }
func headName(n uint64) string      { return fmt.Sprintf("%s/head-%06d.bin", chainDir, n) }
func signatureName(n uint64) string { return fmt.Sprintf("%s/head-%06d.sig", chainDir, n) }

// chain writes the segments in which the entries stand, and with what they are verified.
func (x *exporter) chain(ctx context.Context, written uint64) error {
	need := []uint64{x.m.Begun.Seq, written}
	for _, t := range x.m.Tickets {
		for _, e := range t.Entries {
			need = append(need, e.Seq)
		}
	}
	slices.Sort(need)
	var done ledger.Head // the segment last written, or found dropped
	for _, seq := range need {
		if seq <= done.Last {
			continue
		}
		h, err := x.segment(ctx, seq)
		if err != nil {
			return err
		}
		done = h
	}
	key, err := ledger.MarshalPublicKey(x.ledger.PublicKey())
	if err != nil {
		return err
	}
	if _, err := x.out.bytes(keyName, key); err != nil {
		return err
	}
	_, err = x.out.bytes(chainSums, sums(x.out.take()))
	return err
}

// segment writes the segment that holds an entry.
func (x *exporter) segment(ctx context.Context, seq uint64) (ledger.Head, error) {
	h, err := x.ledger.Segment(ctx, seq)
	if err != nil {
		return h, fmt.Errorf("evidence export: %w", err)
	}
	if _, err := x.out.file(segmentName(h.Segment), func(w io.Writer) error { return x.ledger.ExportSegment(ctx, w, h) }); err != nil {
		return h, fmt.Errorf("evidence export: %w", err)
	}
	if _, err := x.out.bytes(headName(h.Segment), h.Signed()); err != nil {
		return h, err
	}
	_, err = x.out.bytes(signatureName(h.Segment), h.Signature)
	return h, err
}
