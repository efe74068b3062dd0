package pec

import (
	"net/url"
	"regexp"
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
func (r *reader) correlate(out *reading, root entity, marker marked, doc *daticert) {
	ticket, generation, note := match(doc.MsgID, r.address)
	if note != "" {
		out.receipt.Notes = append(out.receipt.Notes, note)
	}
	out.receipt.Evidence.Generation = generation
	if ticket != "" {
		out.receipt.Evidence.Message = plain(doc.MsgID)
	}
	named := plain(root.get("x-riferimento-message-id"))
	if marker.tipo != doc.Tipo || marker.odd || (named != "" && doc.MsgID != "" && named != plain(doc.MsgID)) {
		out.receipt.Reason, out.ref = ReasonMismatch, ticket
		return
	}
	if doc.Tipo == tipoBusta {
		// Envelopes carry the Message-ID too; when we write to ourselves ours comes back. It is mail, not a receipt.
		out.kind = KindEnvelope
		return
	}
	switch {
	case ticket == "":
		out.kind, out.receipt.Reason = KindForeign, ReasonOtherUser
	case !out.receipt.Sender.Equal(r.address):
		out.receipt.Reason, out.ref = ReasonSender, ticket
	default:
		out.kind, out.ref = kindPrefix+doc.Tipo, ticket
	}
}
