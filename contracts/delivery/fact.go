package delivery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"raccordo/contracts"
)

const maxFacts = 1000 // receipts counted for one message

// A fact is what an attestation contributes to a dispatch, in the form that Dispatch.Seen keeps. The state is computed
// from the set of facts alone, so that neither the order in which receipts come nor their repetition can change it. It
// names recipients by their place in the message, for Seen is printed and addresses must not be.
type fact struct {
	kind     contracts.EvidenceKind
	id       string // the carrier's name of the submission
	at       time.Time
	about    int   // place of the recipient; -1 for facts about the whole message
	external []int // with an acceptance: places of recipients without a certified mailbox
	missing  []int // with an acceptance: places of recipients it does not list
	reason   string
	code     string
}

const factFields = 8

// key writes a fact as it is kept and compared.
func (f fact) key() string {
	return strings.Join([]string{
		string(f.kind), f.id, f.at.UTC().Format(time.RFC3339), strconv.Itoa(f.about),
		places(f.external), places(f.missing), f.reason, f.code,
	}, "|")
}

func parseFact(key string) (f fact, err error) {
	p := strings.Split(key, "|")
	if len(p) != factFields {
		return f, fmt.Errorf("fact with %d fields", len(p))
	}
	f = fact{kind: contracts.EvidenceKind(p[0]), id: p[1], reason: p[6], code: p[7]}
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

func toFact(m Message, e contracts.Evidence) (fact, error) {
	f := fact{kind: e.Kind, id: e.ID, at: e.IssuedAt, about: -1}
	switch e.Kind {
	case contracts.SubmissionAcceptance:
		for i, to := range m.To {
			same := func(a contracts.Address) bool { return a.Equal(to.Address) }
			switch {
			case !slices.ContainsFunc(e.Recipients, same):
				f.missing = append(f.missing, i)
			case slices.ContainsFunc(e.Uncertified, same):
				f.external = append(f.external, i)
			}
		}
		return f, nil
	case contracts.SubmissionRejection:
		f.reason, f.code = e.Reason, e.Code
		return f, nil
	}
	f.about = slices.IndexFunc(m.To, func(to Recipient) bool { return to.Address.Equal(e.About) })
	if f.about < 0 {
		return f, contracts.Errorf(contracts.Malformed, "fold %s: about somebody who is no recipient of the message", e.Kind)
	}
	if e.Kind != contracts.ContentConsignment {
		f.reason, f.code = e.Reason, e.Code
	}
	return f, nil
}

func remembered(d Dispatch) ([]fact, error) {
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
