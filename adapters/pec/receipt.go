package pec

import (
	"cmp"
	"crypto/x509"
	"errors"
	"slices"
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

// Notes: what is worth knowing and changes nothing.
const (
	NoteDecoded = "MSGID_DECODED" // our Message-ID matched only after URL decoding
	NoteCase    = "MSGID_CASE"    // or without regard to case
	NoteSHA1    = "SHA1"
	NoteReturn  = "RETURNS_MESSAGE" // carries postacert.eml
)

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

	SignedAt    time.Time     `json:"signed_at,omitzero"`
	Certificate contracts.Sum `json:"certificate,omitzero"`
	Daticert    contracts.Sum `json:"daticert,omitzero"` // digest of the document as decoded
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
	signer  string // our provider's signing address or domain; empty: any
	roots   *x509.CertPool
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
	return reading{kind: KindAnomaly, receipt: Receipt{Received: received.UTC(), Evidence: contracts.Evidence{
		Scheme: scheme, Mailbox: r.mailbox, SeenAt: now.UTC(), Verdict: string(Malformed),
	}}}
}

// judge settles whether the reading may move a ticket.
func (out *reading) judge() {
	r := &out.receipt
	r.Evidence.Counts = r.Verdict().Counts() && r.Reason == "" && r.Evidence.Kind != ""
	r.Evidence.Doubt = cmp.Or(r.Reason, r.Doubt)
}

func (r *reader) classify(out *reading, raw []byte, received time.Time) {
	root, err := readEntity(raw)
	if err != nil {
		out.receipt.Reason = string(unreadableMIME)
		return
	}
	doc, err := r.open(root, received, &out.receipt)
	marker := mark(root)
	switch {
	case marker.anomaly:
		out.receipt.Reason = ReasonAnomalyEnv
		if doc != nil {
			out.receipt.Reason = ReasonMismatch
		}
		return
	case err != nil && marker.tipo == "" && errors.Is(err, noDaticert):
		out.kind, out.receipt.Reason = KindForeign, ReasonOrdinary
		return
	case err != nil:
		var why unreadable
		if !errors.As(err, &why) {
			why = unreadableMIME
		}
		out.receipt.Reason = string(why)
		return
	}
	out.fill(doc)
	r.correlate(out, root, marker, doc)
}

// open finds signed part and document, and checks the signature. The document is given whatever the verdict: a bad
// signature must still tell which message it is about.
func (r *reader) open(root entity, received time.Time, receipt *Receipt) (*daticert, error) {
	kind, _ := root.contentType()
	body := root
	switch kind {
	case "multipart/signed":
		parts, err := root.parts()
		if err != nil || len(parts) != 2 {
			receipt.Doubt = "STRUCTURE"
			return nil, unreadableMIME
		}
		if body, err = readEntity(parts[0]); err != nil {
			receipt.Doubt = "STRUCTURE"
			return nil, unreadableMIME
		}
		receipt.prove(r.check(root, parts, received))
	case "multipart/mixed":
		receipt.doubt(Unsigned, "NO_SIGNATURE")
	default:
		receipt.doubt(Unsigned, "NO_SIGNATURE")
		return nil, noDaticert
	}
	doc, err := document(body, receipt)
	if err == nil && receipt.Verdict().Counts() && r.foreignSigner(doc, receipt.Evidence.Signer) {
		receipt.doubt(UntrustedChain, "NOT_OUR_PROVIDER")
	}
	return doc, err
}

func (r *reader) check(root entity, parts [][]byte, received time.Time) proof {
	p7s, err := readEntity(parts[1])
	if err != nil {
		return proof{verdict: Malformed, doubt: "P7S_PART"}
	}
	if kind, _ := p7s.contentType(); kind != "application/pkcs7-signature" && kind != "application/x-pkcs7-signature" {
		return proof{verdict: Unverifiable, doubt: "P7S_TYPE"}
	}
	der, err := p7s.decoded(maxSignature)
	if err != nil {
		return proof{verdict: Malformed, doubt: "P7S_ENCODING"}
	}
	return verify(r.roots, parts[0], der, sender(root), received)
}

// foreignSigner tells of a receipt that only our own provider may issue and another one signed.
func (r *reader) foreignSigner(doc *daticert, signer string) bool {
	if r.signer == "" {
		return false
	}
	switch {
	case doc.Tipo == tipoAccettazione, doc.Tipo == tipoRifiuto, doc.Tipo == tipoPreavviso,
		doc.Tipo == tipoErrore && doc.Errore == "virus":
		_, domain, _ := strings.Cut(signer, "@")
		return !strings.EqualFold(signer, r.signer) && !strings.EqualFold(domain, r.signer)
	}
	return false
}

// document looks for daticert.xml among the direct children of the signed multipart/mixed and nowhere deeper: a
// returned message may itself contain a certified message with a document of its own.
func document(body entity, receipt *Receipt) (*daticert, error) {
	if kind, _ := body.contentType(); kind != "multipart/mixed" {
		return nil, noDaticert
	}
	parts, err := body.parts()
	if err != nil {
		return nil, unreadableMIME
	}
	var named, typed []entity
	for _, p := range parts {
		child, err := readEntity(p)
		if err != nil {
			return nil, unreadableMIME
		}
		kind, _ := child.contentType()
		switch {
		case child.filename() == "daticert.xml":
			named = append(named, child)
		case kind == "application/xml", kind == "text/xml":
			typed = append(typed, child)
		case kind == "message/rfc822":
			receipt.Notes = append(receipt.Notes, NoteReturn)
		}
	}
	if len(named) == 0 {
		named = typed // some tools leave the name out: the only XML child, if its root is a postacert
	}
	if len(named) != 1 {
		return nil, noDaticert
	}
	b, err := named[0].decoded(maxDaticert)
	if err != nil {
		return nil, unreadableXML
	}
	receipt.Daticert = contracts.SumOf(b)
	return readDaticert(b)
}

func (r *Receipt) doubt(v Verdict, why string) { r.Evidence.Verdict, r.Doubt = string(v), why }

func (r *Receipt) prove(p proof) {
	r.doubt(p.verdict, p.doubt)
	r.Evidence.Signer, r.SignedAt, r.Certificate = p.signer, p.signedAt, p.certificate
	if p.sha1 {
		r.Notes = append(r.Notes, NoteSHA1)
	}
}

// A marked is what the unsigned outer header claims the message to be.
type marked struct {
	tipo    string
	anomaly bool
	odd     bool // claims more than one thing
}

func mark(root entity) marked {
	ricevuta, trasporto := strings.ToLower(root.get("x-ricevuta")), strings.ToLower(root.get("x-trasporto"))
	m := marked{odd: root.count("x-ricevuta")+root.count("x-trasporto") > 1}
	switch {
	case trasporto == "errore" && ricevuta == "":
		m.anomaly = true
	case ricevuta != "":
		m.tipo = ricevuta
	default:
		m.tipo = trasporto
	}
	return m
}

func (out *reading) fill(doc *daticert) {
	r, e := &out.receipt, &out.receipt.Evidence
	r.Tipo, r.Errore, r.MessageID, r.Form, r.Sender = doc.Tipo, doc.Errore, doc.MsgID, doc.Ricevuta, address(doc.Mittente)
	r.Subject, r.Extended = contracts.NewPrivate(doc.Oggetto), contracts.NewPrivate(doc.Esteso)
	for _, a := range doc.Ricezione {
		r.Covers = append(r.Covers, address(a))
	}
	e.Kind, e.Message, e.ID, e.IssuedAt, e.Issuer = evidenceKind(doc.Tipo), doc.MsgID, doc.ID, doc.Data.UTC(), doc.Gestore
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
	if slices.Contains([]string{tipoRifiuto, tipoErrore, tipoPreavviso, tipoVirus}, doc.Tipo) {
		e.Reason, e.Code = doc.cause()
	}
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
