package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"raccordo/contracts"
)

// Format is the version of the folder's form. What the timelines say is part of it: other words are another format, and
// a verifier reads every format that ever was.
const Format = 1

// OpExport is the operation of an export's two entries in the ledger.
const OpExport = "evidence.export"

// Outcomes of the two entries of an export. The second's Proof is the digest of SHA256SUMS.
const (
	outcomeBegun   = "begun"
	outcomeWritten = "written"
)

// A Manifest is every fact of an export.
type Manifest struct {
	Format   int             `json:"format"`
	Of       string          `json:"of"`   // the ticket or the case that was asked for
	Made     time.Time       `json:"made"` // the instant of the entry
	Operator string          `json:"operator"`
	Reason   string          `json:"reason"`
	Begun    contracts.Entry `json:"begun"` // the ledger entry made before the first byte left
	Tickets  []Ticket        `json:"tickets"`
	Files    []File          `json:"files"` // all but this one, SHA256SUMS and ledger/
}

// A File is one file of the folder.
type File struct {
	Path string        `json:"path"` // with slashes, from the folder's root
	Size int64         `json:"size"`
	Sum  contracts.Sum `json:"sha256"`
}

// A Ticket is what one ticket can prove.
type Ticket struct {
	ID       string            `json:"id"`
	Dir      string            `json:"dir,omitempty"`   // where its files are; empty: the folder's root
	State    contracts.State   `json:"state,omitempty"` // as the hub states it; empty: the hub no longer holds the ticket
	Messages []Message         `json:"messages,omitempty"`
	Receipts []Receipt         `json:"receipts,omitempty"`
	Entries  []contracts.Entry `json:"entries"` // of the ledger, all that name the ticket
	Missing  []Missing         `json:"missing,omitempty"`
}

// A Message is bytes that were frozen to be sent.
type Message struct {
	File      string        `json:"file,omitempty"` // empty: see Missing
	Sum       contracts.Sum `json:"sha256"`
	MessageID string        `json:"message_id,omitempty"` // without angle brackets
	Subject   string        `json:"subject,omitempty"`
}

// A Receipt is bytes that came from a far side and were archived.
type Receipt struct {
	File     string              `json:"file,omitempty"` // empty: see Missing
	Sum      contracts.Sum       `json:"sha256"`
	Entry    uint64              `json:"entry"` // of the ledger, which names the digest
	Kind     string              `json:"kind"`  // of the event
	Aside    bool                `json:"aside,omitempty"`
	Evidence *contracts.Evidence `json:"evidence,omitempty"` // what the hub found in it
	Received time.Time           `json:"received,omitzero"`  // by the mailbox: its certificates were judged as of then
	SignedAt time.Time           `json:"signed_at,omitzero"` // the signer's claim
	// TrustStore is the digest of the roots by which the hub judged it; whoever verifies has roots of their own.
	TrustStore contracts.Sum `json:"trust_store,omitzero"`
	Inside     []File        `json:"inside,omitempty"`   // its document and its signature, taken out for people
	Commands   []string      `json:"commands,omitempty"` // with which to verify it without us, from the folder's root
}

// A Missing is something that the export does not hold.
type Missing struct {
	What string        `json:"what"` // message, receipt, segment, story, acceptance
	Sum  contracts.Sum `json:"sha256,omitzero"`
	Why  Why           `json:"why"`
}

// A Why is why something is missing.
type Why string

// The reasons. Withheld and Returned are rules, and an export with them is whole; NoFile and Unheard are facts about the
// case; Erased, Damaged and Dropped leave it incomplete.
const (
	Withheld Why = "SECRET_MESSAGE"   // a secret message: its digest stands, no export holds its bytes
	Returned Why = "RETURNS_SECRET"   // a receipt that may carry a secret message back
	NoFile   Why = "NEVER_ARCHIVED"   // an event without archived bytes: too large to be fetched
	Unheard  Why = "NO_ACCEPTANCE"    // no receipt of acceptance is among the events, though something else was heard
	Erased   Why = "ERASED"           // kept once, erased since
	Damaged  Why = "DAMAGED"          // there, but not the bytes that were kept
	Dropped  Why = "SEGMENT_DROPPED"  // the ledger's segment was dropped as retention allows
	Gone     Why = "TICKET_RETENTION" // the hub holds the ticket no longer: its retention is over
)

// incomplete reports whether an export that lacks something for this reason proves less than it should.
func (w Why) incomplete() bool { return w == Erased || w == Damaged || w == Dropped || w == Gone }

// marshal is JSON in ASCII alone: what is foreign cannot turn a terminal or a reader's eye.
func marshal(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("evidence: encode %T: %w", v, err)
	}
	var out bytes.Buffer
	out.Grow(len(b) + 1)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		switch {
		case r < 0x7f:
			out.WriteByte(byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
