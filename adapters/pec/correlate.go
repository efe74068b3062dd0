package pec

import (
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"raccordo/contracts"
)

// Our Message-IDs are "h1.<ticket>.<generation>@<the mailbox's domain>". They are derived, so that a second try, a
// restart and a restored copy of the store name the same message, and made of characters that no provider's encoding
// or change of case can alter. The generation rises only when a second legal sending is ordered.
var (
	ours     = regexp.MustCompile(`^h1\.([a-z0-9-]{1,64})\.([1-9][0-9]{0,3})@([a-z0-9.-]+)$`)
	ticketID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
)

const maxMessageID = 120 // bytes, without angle brackets

// messageID gives the identifier of a ticket's message, without angle brackets.
func messageID(ticket string, from contracts.Address) (string, error) {
	id := "h1." + ticket + ".1@" + from.Domain()
	if !ticketID.MatchString(ticket) || len(id) > maxMessageID {
		return "", contracts.Errorf(contracts.Internal, "message id: the hold's id or the mailbox's domain does not fit one")
	}
	return id, nil
}

// match reads a Message-ID of ours out of what a receipt returned: exactly, else URL-decoded, else without regard to
// case, with a note that only the weaker form matched.
func match(id string, mailbox contracts.Address) (ticket string, generation int, note string) {
	decoded := unescape(id)
	for _, f := range []struct{ id, note string }{{id, ""}, {decoded, NoteDecoded}, {strings.ToLower(decoded), NoteCase}} {
		if m := ours.FindStringSubmatch(f.id); m != nil && m[3] == mailbox.Domain() && len(f.id) <= maxMessageID {
			n, _ := strconv.Atoi(m[2]) // at most four digits
			return m[1], n, f.note
		}
	}
	return "", 0, ""
}

func unescape(id string) string {
	decoded, err := url.PathUnescape(id)
	if err != nil {
		return id
	}
	return unbracket(decoded)
}

// plain is the form in which a header and a document are compared.
func plain(id string) string { return strings.ToLower(unescape(unbracket(id))) }

// correlate names the ticket and settles the kind, from the document; the outer header may only contradict it.
func (r *reader) correlate(out *reading, o *opened, marker marked) {
	doc, named := o.daticert, o.root.get("x-riferimento-message-id")
	ticket, generation, note := match(unbracket(doc.MsgID), r.address)
	if note != "" {
		out.receipt.Notes = append(out.receipt.Notes, note)
	}
	out.receipt.Evidence.Generation = generation
	if ticket != "" {
		out.receipt.Evidence.Message = plain(doc.MsgID)
	}
	switch {
	case contradicts(o, marker):
		out.receipt.Reason, out.ref = ReasonMismatch, ticket
	case doc.Tipo == tipoBusta:
		// Envelopes carry the Message-ID too; when we write to ourselves ours comes back. It is mail, not a receipt.
		out.kind = KindEnvelope
	case ticket == "" && doc.MsgID == "":
		// All our messages have a Message-ID. The unsigned header is no proof and only says which ticket to ask: there the
		// document's identificativo must be one that a receipt with our Message-ID has named before (delivery.Fold).
		ticket, generation, _ = match(unbracket(named), r.address)
		switch {
		case ticket == "":
			out.kind, out.receipt.Reason = KindForeign, ReasonOtherUser
		case !out.receipt.Sender.Equal(r.address):
			out.receipt.Reason, out.ref = ReasonSender, ticket
		default:
			out.kind, out.ref, out.receipt.Evidence.Generation = kindPrefix+doc.Tipo, ticket, generation
			out.receipt.Notes = append(out.receipt.Notes, NoteNoMsgID)
		}
	case ticket == "":
		out.kind, out.receipt.Reason = KindForeign, ReasonOtherUser
	case !out.receipt.Sender.Equal(r.address):
		out.receipt.Reason, out.ref = ReasonSender, ticket
	default:
		out.kind, out.ref = kindPrefix+doc.Tipo, ticket
	}
}

// contradicts tells whether the outer header claims what the document does not say.
func contradicts(o *opened, marker marked) bool {
	doc := o.daticert
	if marker.tipo != doc.Tipo || marker.odd || marker.virus && doc.Errore != erroreVirus {
		return true
	}
	for _, f := range o.root.fields {
		if f.name == "x-riferimento-message-id" && f.value != "" && doc.MsgID != "" && plain(f.value) != plain(doc.MsgID) {
			return true
		}
	}
	return false
}

// oddities are notes about how the document and its wrapping fit each other and the rules (pec.md sections 2, 4 and 5).
func (o *opened) oddities() (notes []string) {
	doc := o.daticert
	odd := func(note string, is bool) {
		if is {
			notes = append(notes, note)
		}
	}
	odd(NoteErrore, !slices.Contains(errori, doc.Errore))
	odd(NoteVirus, doc.Errore == erroreVirus && doc.Tipo != tipoVirus && !is(o.root, "x-verificasicurezza", "errore"))
	claimed := subjectTipo(o.root.get("subject"))
	odd(NoteSubject, claimed != "" && claimed != doc.Tipo)
	odd(NoteNoForm, doc.Tipo == tipoConsegna && doc.Ricevuta == "")
	whole := doc.Tipo == tipoBusta || doc.Tipo == tipoConsegna && (doc.Ricevuta == formComplete || doc.Ricevuta == formBrief)
	odd(NoteNoReturn, whole && o.returned == nil)
	odd(NoteReturns, !whole && o.returned != nil && doc.Tipo+doc.Ricevuta != tipoConsegna)
	return notes
}

// prefixes are how subjects of certified messages begin.
var prefixes = []struct{ prefix, tipo string }{
	{"ACCETTAZIONE:", tipoAccettazione},
	{"AVVISO DI NON ACCETTAZIONE:", tipoRifiuto},
	{"AVVISO DI NON ACCETTAZIONE PER VIRUS:", tipoRifiuto},
	{"PRESA IN CARICO:", tipoPresaInCarico},
	{"CONSEGNA:", tipoConsegna},
	{"AVVENUTA CONSEGNA:", tipoConsegna}, // so a few tools write it
	{"AVVISO DI MANCATA CONSEGNA:", tipoErrore},
	{"AVVISO DI MANCATA CONSEGNA PER VIRUS:", tipoErrore},
	{"AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO:", tipoPreavviso},
	{"PROBLEMA DI SICUREZZA:", tipoVirus},
	{"POSTA CERTIFICATA:", tipoBusta},
	{"ANOMALIA MESSAGGIO:", tipoAnomalia},
}

// subjectTipo tells which kind of message has such a subject; "" for subjects that are none's. The prefix is ASCII and
// stands before the first encoded word, or within it.
func subjectTipo(subject string) string {
	if len(subject) > maxIdentifier {
		subject = subject[:maxIdentifier]
	}
	if strings.HasPrefix(subject, "=?") {
		if plain, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
			subject = plain
		}
	}
	words := strings.ToUpper(strings.Join(strings.Fields(subject), " "))
	for _, p := range prefixes {
		if strings.HasPrefix(words, p.prefix) {
			return p.tipo
		}
	}
	return ""
}
