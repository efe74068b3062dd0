package delivery

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
)

// Flags of a dispatch or of one recipient.
const (
	FlagLate         = "LATE"               // delivered after the notice that it was not
	FlagConflict     = "CONFLICT"           // two receipts say what cannot both be so; an operator must look
	FlagDouble       = "DOUBLE_SUBMISSION"  // two names of submissions for one Message-ID: the message went out twice
	FlagNoAcceptance = "ACCEPTANCE_MISSING" // receipts are here whose acceptance is not
	FlagClock        = "CLOCK"              // a receipt is dated before the message left, or after it was read: some clock is wrong
	FlagCase         = "ADDRESS_CASE"       // a receipt writes a recipient's local part in other letters than we did
)

// Reasons of a refusal or a failed delivery, in Delivery.Reason, Evidence.Reason and Error.Code.
const (
	ReasonVirus          = "VIRUS"
	ReasonUnknownMailbox = "UNKNOWN_MAILBOX"
	ReasonUnknownDomain  = "UNKNOWN_DOMAIN"
	ReasonMailboxFull    = "MAILBOX_FULL"
	ReasonTooBig         = "TOO_BIG"
	ReasonTimeout        = "TIMEOUT"
	ReasonOther          = "OTHER"
	ReasonUncertified    = "UNCERTIFIED" // the address is no certified mailbox: no proof will ever come
)

const clockLeeway = 5 * time.Minute // between a provider's clock and ours

// Fold moves a dispatch by the evidence in one event, whatever its scheme (for PEC, RFC 6109; pec.md section 7). It is
// pure: request, answer so far and event are all it knows. An error means that the event may move nothing: the hub sets
// it aside for a person, with the error as its reason.
func Fold(m Message, sofar Dispatch, event contracts.Event) (Dispatch, contracts.Move, error) {
	e, ok := contracts.EvidenceOf(event)
	if !ok {
		return sofar, contracts.Move{}, contracts.Errorf(contracts.Malformed, "fold %s: its data holds no evidence", event.Kind)
	}
	if err := admissible(event.Kind, e, sofar); err != nil {
		return sofar, contracts.Move{}, err
	}
	switch e.Kind {
	case contracts.RelayAcceptance, contracts.RelayRejection: // between providers: they settle nothing
		return sofar, contracts.Move{}, nil
	}
	f, err := toFact(m, e)
	if err != nil {
		return sofar, contracts.Move{}, err
	}
	facts, err := remembered(sofar)
	if err != nil {
		return sofar, contracts.Move{}, err
	}
	if !slices.ContainsFunc(facts, func(g fact) bool { return g.key() == f.key() }) {
		if len(facts) >= maxFacts {
			return sofar, contracts.Move{}, contracts.Errorf(contracts.Malformed, "fold %s: more than %d receipts for one message", event.Kind, maxFacts)
		}
		facts = append(facts, f)
	}
	if sofar.MessageID == "" { // uncertain: nobody had told us yet
		sofar.MessageID, sofar.Mailbox = "<"+e.Message+">", e.Mailbox
	}
	sofar.Flags = append(slices.Clone(sofar.Flags), oddities(m, e, sofar.Submitted)...)
	next := derive(m, sofar, facts)
	return next, move(next), nil
}

// admissible applies the rules by which evidence may count at all (pec.md sections 6 and 9). That it comes from our own
// mailbox's sender and that its signature holds is in Counts.
func admissible(kind string, e contracts.Evidence, sofar Dispatch) error {
	refuse := func(why string, args ...any) error {
		return contracts.Errorf(contracts.Malformed, "fold %s: "+why, append([]any{kind}, args...)...)
	}
	switch {
	case !e.Counts:
		return refuse("verdict %s (%s)", e.Verdict, cmp.Or(e.Doubt, "does not count"))
	case !known(e.Kind):
		return refuse("not a receipt")
	case e.Generation != 1:
		return refuse("about generation %d of the message", e.Generation)
	case sofar.Mailbox != "" && sofar.Mailbox != e.Mailbox:
		return refuse("found in mailbox %s, sent from %s", e.Mailbox, sofar.Mailbox)
	case e.Message == "" && (sofar.AcceptedAt.IsZero() || !slices.Contains(sofar.IDs, e.ID)):
		return refuse("it names no message, and a submission that no acceptance has named")
	case sofar.MessageID != "" && e.Message != "" && sofar.MessageID != "<"+e.Message+">":
		return refuse("about another message of this ticket")
	case strings.Contains(e.ID, "|") || strings.Contains(e.Code, "|") || strings.Contains(e.Reason, "|"):
		return refuse("a name of the submission with a character that no provider uses")
	}
	return nil
}

// oddities are flags of what counts all the same. A date outside of the window of pec.md section 6 is one: nobody can
// sign a receipt for our Message-ID before he has the message, for it is derived from a random name, so that a date
// which cannot be says only that a clock is wrong; were such a receipt set aside, a hub whose own clock is wrong would
// lose every term that runs. Dates are compared with each other, never with our clock, in all that follows.
func oddities(m Message, e contracts.Evidence, submitted time.Time) (flags []string) {
	if !submitted.IsZero() && e.IssuedAt.Before(submitted.Add(-clockLeeway)) || e.IssuedAt.After(e.SeenAt.Add(clockLeeway)) {
		flags = append(flags, FlagClock)
	}
	for _, a := range append(slices.Clone(e.Recipients), e.About) {
		for _, to := range m.To {
			// the domain is lower case in every Address
			if a.Equal(to.Address) && a != to.Address && !slices.Contains(flags, FlagCase) {
				flags = append(flags, FlagCase)
			}
		}
	}
	return flags
}

func known(k contracts.EvidenceKind) bool {
	switch k {
	case contracts.SubmissionAcceptance, contracts.SubmissionRejection, contracts.RelayAcceptance, contracts.RelayRejection,
		contracts.ContentConsignment, contracts.ContentConsignmentFailure, contracts.ConsignmentDelay:
		return true
	}
	return false
}

// move says what the state makes of the ticket.
func move(d Dispatch) contracts.Move {
	switch {
	case !d.Final():
		return contracts.Move{To: contracts.StateWaiting}
	case d.Delivered():
		return contracts.Move{To: contracts.StateDone}
	}
	return contracts.Move{To: contracts.StateFailed, Err: failure(d)}
}

// failure is why a message whose every outcome is known was not delivered to all. Kind and Code are those of the first
// recipient without delivery, in the message's order:
//
//   - NotFound: the address does not exist, says the provider that would know (UNKNOWN_MAILBOX, UNKNOWN_DOMAIN);
//   - Invalid: the message itself was refused (not accepted at all, VIRUS, TOO_BIG);
//   - Conflict: it could not be delivered as things stood (MAILBOX_FULL, TIMEOUT, UNCERTIFIED, OTHER).
func failure(d Dispatch) *contracts.Error {
	var first *Delivery
	without := 0
	for i := range d.Recipients {
		if d.Recipients[i].Status != Delivered {
			without++
			if first == nil {
				first = &d.Recipients[i]
			}
		}
	}
	e := contracts.Errorf(contracts.Conflict, "send: %d of %d recipients without delivery; the dispatch tells each one's reason", without, len(d.Recipients))
	e.Code = cmp.Or(first.Reason, ReasonOther)
	switch {
	case first.Status == NotAccepted, first.Reason == ReasonVirus, first.Reason == ReasonTooBig:
		e.Kind = contracts.Invalid
	case first.Reason == ReasonUnknownMailbox, first.Reason == ReasonUnknownDomain:
		e.Kind = contracts.NotFound
	}
	return e
}
