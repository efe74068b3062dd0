package contracts

import (
	"encoding/json"
	"log/slog"
	"time"
)

// An EvidenceKind says what a carrier of legal messages attests. The names are those of ETSI EN 319 522-1 section 6
// where it has one, so that PEC's receipts and the evidence of registered e-mail (REM) are told in one language.
type EvidenceKind string

// The kinds, with the receipt of PEC that each stands for (RFC 6109 section 2).
const (
	SubmissionAcceptance      EvidenceKind = "SubmissionAcceptance"      // accettazione
	SubmissionRejection       EvidenceKind = "SubmissionRejection"       // non-accettazione
	RelayAcceptance           EvidenceKind = "RelayAcceptance"           // presa-in-carico
	RelayRejection            EvidenceKind = "RelayRejection"            // rilevazione-virus, between providers
	ContentConsignment        EvidenceKind = "ContentConsignment"        // avvenuta-consegna: terms run from it
	ContentConsignmentFailure EvidenceKind = "ContentConsignmentFailure" // errore-consegna
	// ConsignmentDelay is PEC's notice that a recipient was not reached within 12 or 24 hours
	// (preavviso-errore-consegna); which of the two is a matter of time, not of its form. ETSI has no name for it.
	ConsignmentDelay EvidenceKind = "ConsignmentDelay"
)

// Evidence is one attestation about one message, whatever the scheme: what a detector found in bytes from the far side,
// and how far it can be believed. It stands in an Event's Data under "evidence"; the bytes are the Event's Proof. A
// message that attests nothing, or cannot be read, has no Kind.
type Evidence struct {
	Scheme  string       `json:"scheme"` // "PEC"
	Kind    EvidenceKind `json:"kind"`
	Message string       `json:"message"` // our own key of the message: its Message-ID, without angle brackets; empty where the document names none
	// Generation counts legal sendings of the same message: 1, unless a person ordered a second.
	Generation int       `json:"generation"`
	ID         string    `json:"id"`                // the carrier's name of the submission (identificativo)
	Mailbox    string    `json:"mailbox,omitempty"` // the configured name of the mailbox where it was found
	IssuedAt   time.Time `json:"issued_at"`         // by the issuer's document
	SeenAt     time.Time `json:"seen_at"`           // by our clock
	Issuer     string    `json:"issuer,omitempty"`  // the provider, by its document
	Signer     string    `json:"signer,omitempty"`  // the certificate's address: a provider's, no person's
	Verdict    string    `json:"verdict"`           // of the signature check
	// Counts reports whether it may move a ticket: the verdict is good, and nothing else contradicts it.
	Counts bool   `json:"counts"`
	Doubt  string `json:"doubt,omitempty"` // why it does not count, or is weaker than it might be: a stable word of the scheme

	About       Address   `json:"about,omitzero"`        // the one recipient it is about; zero: the whole message
	Recipients  []Address `json:"recipients,omitempty"`  // with SubmissionAcceptance: whom the carrier names
	Uncertified []Address `json:"uncertified,omitempty"` // of those, whom no certified receipt will ever come from
	Reason      string    `json:"reason,omitempty"`      // UNKNOWN_MAILBOX and the like, where it is no success
	Code        string    `json:"code,omitempty"`        // the carrier's own: "5.1.1"
}

// LogValue masks in logs.
func (e Evidence) LogValue() slog.Value { return LogText(e) }

// EvidenceOf gives the evidence that an event carries, if it carries any.
func EvidenceOf(e Event) (Evidence, bool) {
	var data struct {
		Evidence *Evidence `json:"evidence"`
	}
	if json.Unmarshal(e.Data, &data) != nil || data.Evidence == nil {
		return Evidence{}, false
	}
	return *data.Evidence, true
}
