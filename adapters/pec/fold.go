package pec

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// Flags of a dispatch or of one recipient.
const (
	FlagLate         = "LATE"               // delivered after the notice that it was not
	FlagConflict     = "CONFLICT"           // two receipts say what cannot both be so; an operator must look
	FlagDouble       = "DOUBLE_SUBMISSION"  // two identificativi for one Message-ID: the message went out twice
	FlagNoAcceptance = "ACCEPTANCE_MISSING" // receipts are here whose acceptance is not
)

const (
	maxFacts     = 1000            // receipts counted for one message
	clockLeeway  = 5 * time.Minute // between a provider's clock and ours
	secondNotice = 20 * time.Hour  // after acceptance a notice of delay is the definitive one: type and header of both are alike
)

// A fact is what a receipt contributes to a dispatch, in the form that Dispatch.Seen keeps. The state is computed from
// the set of facts alone, so that neither the order in which receipts come nor their repetition can change it. It names
// recipients by their place in the message, for Seen is printed and addresses must not be.
type fact struct {
	tipo     string
	id       string // identificativo
	at       time.Time
	about    int   // place of the recipient; -1 for facts about the whole message
	external []int // with an acceptance: places of recipients without a PEC mailbox
	missing  []int // with an acceptance: places of recipients it does not list
	reason   string
	code     string
}

const factFields = 8

// key writes a fact as it is kept and compared.
func (f fact) key() string {
	return strings.Join([]string{
		f.tipo, f.id, f.at.UTC().Format(time.RFC3339), strconv.Itoa(f.about),
		places(f.external), places(f.missing), f.reason, f.code,
	}, "|")
}

func parseFact(key string) (f fact, err error) {
	p := strings.Split(key, "|")
	if len(p) != factFields {
		return f, fmt.Errorf("fact with %d fields", len(p))
	}
	f = fact{tipo: p[0], id: p[1], reason: p[6], code: p[7]}
	if f.at, err = time.Parse(time.RFC3339, p[2]); err != nil {
		return f, err
	}
	if f.about, err = strconv.Atoi(p[3]); err != nil {
		return f, err
	}
	if f.external, err = parsePlaces(p[4]); err != nil {
		return f, err
	}
	f.missing, err = parsePlaces(p[5])
	return f, err
}

func places(ns []int) string {
	words := make([]string, len(ns))
	for i, n := range ns {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

func parsePlaces(s string) (ns []int, err error) {
	if s == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		ns = append(ns, n)
	}
	return ns, nil
}

// fold moves a dispatch by one event (pec.md section 7). It is pure: request, state so far and event are all it knows.
// An error means that the event may move nothing; the hub sets it aside for a person.
func fold(m delivery.Message, sofar delivery.Dispatch, e contracts.Event) (delivery.Dispatch, contracts.Move, error) {
	var r Receipt
	if err := json.Unmarshal(e.Data, &r); err != nil {
		return sofar, contracts.Move{}, contracts.Errorf(contracts.Malformed, "fold %s: its data is no receipt", e.Kind)
	}
	if err := admissible(e, &r, sofar); err != nil {
		return sofar, contracts.Move{}, err
	}
	switch r.Tipo {
	case tipoPresaInCarico, tipoVirus, tipoBusta: // between providers, or mail: they settle nothing
		return sofar, contracts.Move{}, nil
	}
	f, err := toFact(m, &r)
	if err != nil {
		return sofar, contracts.Move{}, err
	}
	facts, err := remembered(sofar)
	if err != nil {
		return sofar, contracts.Move{}, err
	}
	if !slices.ContainsFunc(facts, func(g fact) bool { return g.key() == f.key() }) {
		if len(facts) >= maxFacts {
			return sofar, contracts.Move{}, contracts.Errorf(contracts.Malformed, "fold %s: more than %d receipts for one message", e.Kind, maxFacts)
		}
		facts = append(facts, f)
	}
	if sofar.MessageID == "" { // uncertain: nobody had told us yet
		sofar.MessageID, sofar.Mailbox = "<"+plain(r.MessageID)+">", r.Mailbox
	}
	next := derive(m, sofar, facts)
	return next, move(next), nil
}

// admissible applies the rules by which a receipt may count at all (pec.md sections 6 and 9).
func admissible(e contracts.Event, r *Receipt, sofar delivery.Dispatch) error {
	refuse := func(why string, args ...any) error {
		return contracts.Errorf(contracts.Malformed, "fold %s: "+why, append([]any{e.Kind}, args...)...)
	}
	switch {
	case r.Reason != "" || e.Kind != kindPrefix+r.Tipo:
		return refuse("not a plain receipt (%s)", r.Reason)
	case !r.Verdict.Counts():
		return refuse("verdict %s (%s)", r.Verdict, r.Doubt)
	case r.Generation != 1:
		return refuse("about generation %d of the message", r.Generation)
	case sofar.Mailbox != "" && sofar.Mailbox != r.Mailbox:
		return refuse("found in mailbox %s, sent from %s", r.Mailbox, sofar.Mailbox)
	case sofar.MessageID != "" && !strings.EqualFold(unbracket(sofar.MessageID), unescape(r.MessageID)):
		return refuse("about another message of this ticket")
	case strings.Contains(r.ID, "|") || strings.Contains(r.Code, "|"):
		return refuse("identificativo with a character that no provider uses")
	case !sofar.Submitted.IsZero() && r.Issued.Before(sofar.Submitted.Add(-clockLeeway)):
		return refuse("issued %s before the message was submitted", sofar.Submitted.Sub(r.Issued).Round(time.Second))
	case r.Issued.After(r.Read.Add(clockLeeway)):
		return refuse("issued %s in the future", r.Issued.Sub(r.Read).Round(time.Second))
	}
	return nil
}

func toFact(m delivery.Message, r *Receipt) (fact, error) {
	f := fact{tipo: r.Tipo, id: r.ID, at: r.Issued, about: -1}
	switch r.Tipo {
	case tipoAccettazione:
		for i, to := range m.To {
			listed := slices.IndexFunc(r.Recipients, func(p Recipient) bool { return p.Address.Equal(to.Address) })
			switch {
			case listed < 0:
				f.missing = append(f.missing, i)
			case r.Recipients[listed].External:
				f.external = append(f.external, i)
			}
		}
		return f, nil
	case tipoRifiuto:
		f.reason, f.code = r.Cause, r.Code
		return f, nil
	}
	f.about = slices.IndexFunc(m.To, func(to delivery.Recipient) bool { return to.Address.Equal(r.About) })
	if f.about < 0 {
		return f, contracts.Errorf(contracts.Malformed, "fold %s: about somebody who is no recipient of the message", kindPrefix+r.Tipo)
	}
	if r.Tipo != tipoConsegna {
		f.reason, f.code = r.Cause, r.Code
	}
	return f, nil
}

func remembered(d delivery.Dispatch) ([]fact, error) {
	facts := make([]fact, 0, len(d.Seen)+1)
	for _, key := range d.Seen {
		f, err := parseFact(key)
		if err != nil {
			return nil, contracts.Errorf(contracts.Internal, "fold: stored state cannot be read: %w", err)
		}
		facts = append(facts, f)
	}
	return facts, nil
}
