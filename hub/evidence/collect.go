package evidence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"path"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
)

// messages writes what was frozen for the ticket, unless it is secret. It gives whether it is: the request says so while
// there are bytes, and the ledger when they were erased.
func (x *exporter) messages(ctx context.Context, t *Ticket, story []contracts.Event) (secret bool, err error) {
	kept, secret, err := x.rooms.Frozen(ctx, t.ID)
	if err != nil && contracts.KindOf(err) != contracts.NotFound {
		return false, fmt.Errorf("evidence export: %w", err)
	}
	sent := sentSums(t.Entries)
	if len(kept) == 0 {
		secret = slices.ContainsFunc(t.Entries, func(e contracts.Entry) bool { return erases(e, story, sent) })
	}
	for _, k := range kept {
		if k.Name != theMessage && !slices.Contains(sent, k.Sum) {
			continue // frozen for another use, and never sent
		}
		m := Message{Sum: k.Sum}
		switch {
		case secret:
			t.Missing = append(t.Missing, Missing{What: "message", Sum: k.Sum, Why: Withheld})
		case contracts.SumOf(k.Bytes) != k.Sum:
			t.Missing = append(t.Missing, Missing{What: "message", Sum: k.Sum, Why: Damaged})
		default:
			m.File = path.Join(t.Dir, messageName(k.Name))
			m.MessageID, m.Subject = header(k.Bytes)
			if _, err := x.out.bytes(m.File, k.Bytes); err != nil {
				return secret, err
			}
		}
		t.Messages = append(t.Messages, m)
	}
	for _, sum := range sent { // left, and no longer here
		if slices.ContainsFunc(t.Messages, func(m Message) bool { return m.Sum == sum }) {
			continue
		}
		why := Erased
		if secret {
			why = Withheld
		}
		t.Messages = append(t.Messages, Message{Sum: sum})
		t.Missing = append(t.Missing, Missing{What: "message", Sum: sum, Why: why})
	}
	return secret, nil
}

// theMessage is the name under which an adapter freezes the message itself; what is frozen under other names is a message
// only if it was sent.
const theMessage = "message"

func messageName(kept string) string {
	if kept == theMessage {
		return "message.eml"
	}
	return "message-" + word(kept) + ".eml"
}

// sentSums gives the digests of what may have left, in order.
func sentSums(entries []contracts.Entry) (sums []contracts.Sum) {
	for _, e := range entries {
		for _, a := range e.Attempts {
			if a.Sent && !a.RequestSum.IsZero() && !slices.Contains(sums, a.RequestSum) {
				sums = append(sums, a.RequestSum)
			}
		}
	}
	return sums
}

// header reads Message-ID and subject of a message; what cannot be read is empty.
func header(b []byte) (id, subject string) {
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return "", ""
	}
	id = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(m.Header.Get("Message-Id")), "<"), ">")
	subject = m.Header.Get("Subject")
	if plain, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = plain
	}
	return id, strings.ToValidUTF8(subject, "\uFFFD")
}

// receipts writes each receipt that the ledger knows of.
func (x *exporter) receipts(t *Ticket, story []contracts.Event, secret bool) error {
	t.Receipts = receiptsOf(t.Entries, story)
	for i := range t.Receipts {
		r := &t.Receipts[i]
		var seen scanned
		err := x.proof(r.Sum, &seen)
		why := Why("")
		switch {
		case contracts.KindOf(err) == contracts.NotFound && err != nil:
			why = Erased
		case contracts.KindOf(err) == contracts.Internal && err != nil:
			why = Damaged
		case err != nil:
			return fmt.Errorf("evidence export: %w", err)
		case secret && seen.returns:
			why = Returned
		}
		if why != "" {
			t.Missing = append(t.Missing, Missing{What: "receipt", Sum: r.Sum, Why: why})
			continue
		}
		r.File = path.Join(t.Dir, "receipts", fmt.Sprintf("%03d-%s.eml", i+1, word(r.Kind)))
		r.Commands = commands(*r, seen.signed)
		if _, err := x.out.file(r.File, func(w io.Writer) error { return x.proof(r.Sum, w) }); err != nil {
			return fmt.Errorf("evidence export: %w", err)
		}
		if err := x.open(r, seen.size); err != nil {
			return err
		}
	}
	return nil
}

// open writes what is inside a receipt as files of their own.
func (x *exporter) open(r *Receipt, size int64) error {
	if size > maxOpened {
		return nil
	}
	var raw bytes.Buffer
	if err := x.proof(r.Sum, &raw); err != nil {
		return fmt.Errorf("evidence export: %w", err)
	}
	for _, in := range inside(raw.Bytes()) {
		f, err := x.out.bytes(innerName(r.File, in), in.bytes)
		if err != nil {
			return err
		}
		r.Inside = append(r.Inside, f)
	}
	return nil
}

func innerName(receipt string, in inner) string {
	return strings.TrimSuffix(receipt, ".eml") + "." + in.ext
}

// receiptsOf lists the receipts that the entries name, with what the hub found in each. One that was set aside and
// counted later is listed once, as counted.
func receiptsOf(entries []contracts.Entry, story []contracts.Event) (all []Receipt) {
	sent := sentSums(entries)
	for _, e := range entries {
		if e.Phase != contracts.PhaseEvent {
			continue
		}
		for _, sum := range told(e, story, sent) {
			r := Receipt{Sum: sum, Entry: e.Seq, Kind: e.Outcome, Aside: e.Reason != ""}
			at := slices.IndexFunc(all, func(o Receipt) bool { return o.Sum == sum })
			switch {
			case at < 0:
				all = append(all, r)
			case all[at].Aside && !r.Aside:
				all[at].Entry, all[at].Kind, all[at].Aside = r.Entry, r.Kind, false
			}
		}
	}
	for i := range all {
		for _, e := range story {
			if ev, ok := contracts.EvidenceOf(e); ok && slices.Contains(e.Proof, all[i].Sum) {
				all[i].Evidence = &ev
				all[i].beside(e)
				break
			}
		}
	}
	return all
}

// told gives the proofs of the event that an entry is about. An event that settles a ticket with a secret has an entry that
// names the erased bytes as well; the story knows which are which, and where it is gone, what was sent is known.
func told(e contracts.Entry, story []contracts.Event, sent []contracts.Sum) (proofs []contracts.Sum) {
	for _, x := range story {
		if len(x.Proof) > 0 && knows(e, x) {
			proofs = append(proofs, x.Proof...)
		}
	}
	if len(proofs) > 0 {
		return proofs
	}
	for _, p := range e.Proof {
		if !slices.Contains(sent, p) {
			proofs = append(proofs, p)
		}
	}
	return proofs
}

// erases reports whether an entry tells of erased bytes: a ticket with a secret names them among its proofs when it is
// settled, beside those of the event that settled it.
func erases(e contracts.Entry, story []contracts.Event, sent []contracts.Sum) bool {
	if e.Phase != contracts.PhaseEvent {
		return len(e.Proof) > 0
	}
	proofs := told(e, story, sent)
	return slices.ContainsFunc(e.Proof, func(p contracts.Sum) bool { return !slices.Contains(proofs, p) })
}

// knows reports whether an entry is about an event.
func knows(e contracts.Entry, x contracts.Event) bool {
	return e.Phase == contracts.PhaseEvent && e.Outcome == x.Kind && e.System == x.Source &&
		!slices.ContainsFunc(x.Proof, func(p contracts.Sum) bool { return !slices.Contains(e.Proof, p) })
}

// beside takes what an adapter tells beside the evidence: when the mailbox had the receipt, when the signer says it signed,
// and by which roots its certificates were judged.
func (r *Receipt) beside(e contracts.Event) {
	var data struct {
		Received   time.Time     `json:"received"`
		SignedAt   time.Time     `json:"signed_at"`
		TrustStore contracts.Sum `json:"trust_store"`
	}
	_ = json.Unmarshal(e.Data, &data) // what is not told is not known
	r.Received, r.SignedAt, r.TrustStore = data.Received, data.SignedAt, data.TrustStore
}

// proof reads archived bytes to their end, where it shows that they are the ones that were kept.
func (x *exporter) proof(sum contracts.Sum, w io.Writer) error {
	r, err := x.rooms.Proof(sum)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}

// scanned looks through a receipt on its way: whether it is signed as mail is, and whether it may carry a message back.
type scanned struct {
	head    []byte
	tail    []byte
	size    int64
	signed  bool
	returns bool
}

const (
	scanHead = 64 << 10
	scanTail = 32 // longer than any mark
)

func (s *scanned) Write(b []byte) (int, error) {
	s.size += int64(len(b))
	if room := scanHead - len(s.head); room > 0 {
		s.head = append(s.head, b[:min(room, len(b))]...)
		s.signed = signed(s.head)
	}
	window := bytes.ToLower(append(s.tail, b...))
	for _, mark := range []string{"message/rfc822", "message/partial", "message/external-body", "postacert.eml"} {
		s.returns = s.returns || bytes.Contains(window, []byte(mark))
	}
	s.tail = append([]byte(nil), window[max(0, len(window)-scanTail):]...)
	return len(b), nil
}

func signed(head []byte) bool {
	m, err := mail.ReadMessage(bytes.NewReader(head))
	if err != nil {
		return false
	}
	kind, _, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	return err == nil && kind == "multipart/signed"
}

// commands are those with which a signed receipt is verified by openssl alone, now and when its certificates have long
// expired: they are judged at the instant at which the signer says it signed.
func commands(r Receipt, signed bool) []string {
	if !signed {
		return nil
	}
	at := r.SignedAt
	if at.IsZero() && r.Evidence != nil {
		at = r.Evidence.IssuedAt
	}
	then := ""
	if !at.IsZero() {
		then = fmt.Sprintf(" -attime %d", at.Unix())
	}
	return []string{
		fmt.Sprintf("printf '%s  %s\\n' | sha256sum -c", r.Sum, r.File),
		fmt.Sprintf("openssl cms -verify -in %s -inform SMIME -CAfile ../roots.pem -purpose any%s -out /dev/null", r.File, then),
		fmt.Sprintf("openssl smime -pk7out -in %s | openssl pkcs7 -print_certs -noout", r.File),
	}
}
