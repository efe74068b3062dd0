package pec

import (
	"cmp"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"raccordo/contracts"
)

// Kinds of events. A receipt's kind is "pec." and the type its document states; besides, there are:
const (
	scheme = "PEC" // in Evidence

	KindForeign = "pec.foreign" // about a message that is not ours: another program uses the mailbox, or ordinary mail
	KindAnomaly = "pec.anomaly" // cannot be read, contradicts itself, or is the provider's own anomaly envelope

	kindPrefix   = "pec."
	KindEnvelope = kindPrefix + tipoBusta // a certified message that came in, or our own to ourselves
)

// Reasons of events that are no plain receipts, beside the words for what is unreadable.
const (
	ReasonOrdinary   = "ORDINARY_MAIL"            // no certified mail at all
	ReasonOtherUser  = "OTHER_MESSAGE"            // a receipt for a message that this program did not send
	ReasonAnomalyEnv = "ANOMALY_ENVELOPE"         // a provider's wrapping of mail that cannot be certified: often a bounce
	ReasonMismatch   = "HEADER_DATICERT_MISMATCH" // unsigned header and signed document disagree
	ReasonSender     = "SENDER_MISMATCH"          // our Message-ID, but another sender
	ReasonOversize   = "TOO_LARGE"                // beyond max_receipt: not fetched, not archived
)

// Notes: what is odd, worth knowing, and changes nothing.
const (
	NoteDecoded  = "MSGID_DECODED" // our Message-ID matched only after URL decoding
	NoteCase     = "MSGID_CASE"    // or without regard to case
	NoteSHA1     = "SHA1"
	NoteNoMsgID  = "NO_MSGID"             // the header names a message of ours, the document none: its identificativo must be known
	NoteNoPolicy = "NO_PEC_POLICY"        // the certificate does not name the policy of PEC providers
	NoteErrore   = "UNKNOWN_ERRORE"       // the document gives a kind of error that the rules do not know
	NoteVirus    = "NO_VIRUS_HEADER"      // the document tells of a virus and the header does not
	NoteSubject  = "SUBJECT_PREFIX"       // the outer subject is that of another kind of message
	NoteNoForm   = "NO_RECEIPT_FORM"      // a delivery receipt that does not say how much of the message it carries
	NoteReturns  = "UNEXPECTED_POSTACERT" // returns a message that it should not
	NoteNoReturn = "MISSING_POSTACERT"    // or returns none and should
)

const maxText = 2000 // bytes of a text that only explains

// A Receipt is the data of an event: what one message in the mailbox says, and how far it can be believed. What every
// scheme has in common stands in Evidence, and beside it what PEC alone has. It carries no bytes of the message; those
// lie in the archive under the event's proof.
type Receipt struct {
	Evidence contracts.Evidence `json:"evidence"`
	Doubt    string             `json:"doubt,omitempty"`  // why the verdict is not VALID
	Reason   string             `json:"reason,omitempty"` // why this is no plain receipt
	Notes    []string           `json:"notes,omitempty"`
	Received time.Time          `json:"received"` // INTERNALDATE: the instant the certificates are judged by

	Tipo      string              `json:"tipo,omitempty"`
	Errore    string              `json:"errore,omitempty"`
	MessageID string              `json:"message_id,omitempty"` // as the document has it, without angle brackets
	Sender    contracts.Address   `json:"mittente,omitzero"`
	Covers    []contracts.Address `json:"ricezione,omitempty"`
	Form      string              `json:"ricevuta,omitempty"` // completa, breve, sintetica
	Subject   contracts.Private   `json:"oggetto,omitzero"`
	Extended  contracts.Private   `json:"errore_esteso,omitzero"`

	TrustStore  contracts.Sum `json:"trust_store,omitzero"` // digest of the file of roots by which the certificates were judged
	SignedAt    time.Time     `json:"signed_at,omitzero"`
	Certificate contracts.Sum `json:"certificate,omitzero"`
	Signature   contracts.Sum `json:"smime_p7s,omitzero"` // digests of what is inside, decoded
	Daticert    contracts.Sum `json:"daticert_xml,omitzero"`
	// Returns is the length of postacert.eml as it lies there, in bytes. Its digest is left to whoever needs it: taking
	// it would double the work for the receipts that are the largest, and the message's own digest covers it.
	Returns int `json:"postacert_eml,omitzero"`
}

// Verdict is what became of checking the signature.
func (r Receipt) Verdict() Verdict { return Verdict(r.Evidence.Verdict) }

// A reading is a message turned into an event's parts.
type reading struct {
	kind    string
	ref     string // the ticket, when the Message-ID is ours
	receipt Receipt
}

// A reader turns messages of one mailbox into readings. It decides nothing about tickets.
type reader struct {
	mailbox string
	address contracts.Address
	signer  string         // our provider's signing address or domain; empty: any
	roots   *x509.CertPool // nil: nobody is believed
	trust   contracts.Sum  // of the file that they come from
	chains  chains
}

// read classifies a message. It never fails: what cannot be read becomes an anomaly with its reason.
func (r *reader) read(raw []byte, received, now time.Time) reading {
	out := r.blank(received, now)
	if received.IsZero() {
		received = now
	}
	r.classify(&out, raw, received)
	out.judge()
	return out
}

// oversize is a message that is not fetched at all.
func (r *reader) oversize(received, now time.Time) reading {
	out := r.blank(received, now)
	out.receipt.Doubt, out.receipt.Reason = ReasonOversize, ReasonOversize
	out.receipt.Evidence.Verdict = string(Unverifiable)
	out.judge()
	return out
}

func (r *reader) blank(received, now time.Time) reading {
	return reading{kind: KindAnomaly, receipt: Receipt{Received: received.UTC(), TrustStore: r.trust, Evidence: contracts.Evidence{
		Scheme: scheme, Mailbox: r.mailbox, SeenAt: now.UTC(), Verdict: string(Malformed),
	}}}
}

// judge settles whether the reading may move a ticket.
func (out *reading) judge() {
	r := &out.receipt
	r.Evidence.Counts = r.Verdict().Counts() && r.Reason == "" && r.Evidence.Kind != ""
	r.Evidence.Doubt = cmp.Or(r.Reason, r.Doubt)
}

// classify reads what the message is. Everything it says comes from the signed document; the header only contradicts.
func (r *reader) classify(out *reading, raw []byte, seen time.Time) {
	o, err := open(raw)
	out.receipt.prove(r.prove(&o, seen))
	marker := mark(o.root)
	var why unreadable
	switch {
	case marker.anomaly && o.daticert == nil:
		out.receipt.Reason = ReasonAnomalyEnv
	case err != nil && marker.tipo == "" && errors.Is(err, noDaticert):
		out.kind, out.receipt.Reason = KindForeign, ReasonOrdinary
	case errors.As(err, &why):
		out.receipt.Reason = string(why)
		// The unsigned header is no proof, but enough to show it to a person, and to conclude nothing from silence.
		out.ref, _, _ = match(unbracket(o.root.get("x-riferimento-message-id")), r.address)
	default:
		out.fill(&o)
		r.correlate(out, &o, marker)
	}
}

// prove checks the signature.
func (r *reader) prove(o *opened, seen time.Time) proof {
	switch {
	case o.broken:
		return proof{verdict: Malformed, doubt: "STRUCTURE"}
	case o.opaque:
		return proof{verdict: Unverifiable, doubt: "OPAQUE_SIGNATURE"}
	case !o.sealed:
		return proof{verdict: Unsigned, doubt: "NO_SIGNATURE"}
	}
	if kind, _ := o.p7s.contentType(); kind != "application/pkcs7-signature" && kind != "application/x-pkcs7-signature" {
		return proof{verdict: Unverifiable, doubt: "P7S_TYPE"}
	}
	der, err := o.p7s.decoded(maxSignature)
	if err != nil {
		return proof{verdict: Malformed, doubt: "P7S_ENCODING"}
	}
	p := r.verify(o.signed, der, sender(o.root), seen)
	if p.verdict.Counts() && o.daticert != nil && r.foreignSigner(o.daticert, p.signer) {
		p = p.because(UntrustedChain, "NOT_OUR_PROVIDER")
	}
	return p
}

// foreignSigner tells of a receipt that only our own provider may issue and another one signed.
func (r *reader) foreignSigner(doc *daticert, signer string) bool {
	if r.signer == "" {
		return false
	}
	switch {
	case doc.Tipo == tipoAccettazione, doc.Tipo == tipoRifiuto, doc.Tipo == tipoPreavviso,
		doc.Tipo == tipoErrore && doc.Errore == erroreVirus:
		_, domain, _ := strings.Cut(signer, "@")
		return !strings.EqualFold(signer, r.signer) && !strings.EqualFold(domain, r.signer)
	}
	return false
}

func (r *Receipt) prove(p proof) {
	r.Evidence.Verdict, r.Doubt = string(p.verdict), p.doubt
	r.Evidence.Signer, r.SignedAt, r.Certificate, r.Signature = p.signer, p.signedAt, p.certificate, p.p7s
	r.Notes = append(r.Notes, p.notes...)
}

func (out *reading) fill(o *opened) {
	r, e, doc := &out.receipt, &out.receipt.Evidence, o.daticert
	r.Daticert = contracts.SumOf(o.document)
	r.Returns = len(o.returned)
	r.Notes = append(r.Notes, o.oddities()...)
	r.Tipo, r.Errore, r.MessageID, r.Form, r.Sender = doc.Tipo, cut(doc.Errore), unbracket(doc.MsgID), cut(doc.Ricevuta), address(doc.Mittente)
	r.Subject, r.Extended = contracts.NewPrivate(cut(doc.Oggetto)), contracts.NewPrivate(cut(doc.Esteso))
	for _, a := range doc.Ricezione {
		r.Covers = append(r.Covers, address(a))
	}
	e.Kind, e.Message, e.ID, e.IssuedAt, e.Issuer = evidenceKind(doc.Tipo), r.MessageID, doc.ID, doc.Data.UTC(), cut(doc.Gestore)
	e.About = address(doc.Consegna)
	if e.Kind == contracts.SubmissionAcceptance {
		for _, d := range doc.Destinatari {
			a := address(d.address)
			e.Recipients = append(e.Recipients, a)
			if d.esterno {
				e.Uncertified = append(e.Uncertified, a)
			}
		}
	}
	if doc.explains() {
		e.Reason, e.Code = doc.cause()
	}
}

// cut shortens text that only explains, so that an event stays small whatever it is about: all of it is in the message.
func cut(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// evidenceKind tells in terms of no scheme what a document attests. An envelope is mail and attests nothing.
func evidenceKind(tipo string) contracts.EvidenceKind {
	switch tipo {
	case tipoAccettazione:
		return contracts.SubmissionAcceptance
	case tipoRifiuto:
		return contracts.SubmissionRejection
	case tipoPresaInCarico:
		return contracts.RelayAcceptance
	case tipoVirus:
		return contracts.RelayRejection
	case tipoConsegna:
		return contracts.ContentConsignment
	case tipoErrore:
		return contracts.ContentConsignmentFailure
	case tipoPreavviso:
		return contracts.ConsignmentDelay
	}
	return ""
}
