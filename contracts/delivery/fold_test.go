package delivery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

var submittedAt = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

const (
	hours   = time.Hour
	foldID  = "mock1.20261121103000.00042@gestore-uno.test"
	otherID = "mock1.20261121103100.00043@gestore-uno.test"
)

// three is a message to two certified recipients and an ordinary one.
func three() Message {
	return to("a@pec.azienda.test", "b@pec.altro.test", "c@posta.test")
}

func to(addresses ...string) Message {
	m := Message{Sender: "centrale"}
	for _, s := range addresses {
		m.To = append(m.To, Recipient{Address: contracttest.Sure(contracts.ParseAddress(s)), Basis: Basis{Kind: Elected}})
	}
	return m
}

func sofar(m Message) Dispatch {
	d := Dispatch{MessageID: "<h1.abc.1@pec.ente.test>", Mailbox: "centrale", Submitted: submittedAt, Sum: contracts.SumOf([]byte("frozen"))}
	for _, r := range m.To {
		d.Recipients = append(d.Recipients, Delivery{Address: r.Address, Status: Sent})
	}
	return d
}

type option func(*contracts.Evidence)

func about(address string) option {
	return func(r *contracts.Evidence) { r.About = to(address).To[0].Address }
}

func after(d time.Duration) option {
	return func(r *contracts.Evidence) { r.IssuedAt = submittedAt.Add(d) }
}

func because(cause, code string) option {
	return func(e *contracts.Evidence) { e.Reason, e.Code = cause, code }
}
func under(id string) option { return func(r *contracts.Evidence) { r.ID = id } }
func judged(verdict, doubt string) option {
	return func(e *contracts.Evidence) { e.Verdict, e.Doubt, e.Counts = verdict, doubt, false }
}

func external(addr string) option {
	return func(e *contracts.Evidence) {
		for _, a := range e.Recipients {
			if a.Reveal() == addr {
				e.Uncertified = append(e.Uncertified, a)
			}
		}
	}
}

// told makes the event of valid evidence for three().
func told(kind contracts.EvidenceKind, options ...option) contracts.Event {
	e := contracts.Evidence{
		Scheme: "PEC", Kind: kind, Mailbox: "centrale", Verdict: "VALID", Counts: true, ID: foldID, Message: "h1.abc.1@pec.ente.test",
		Generation: 1, IssuedAt: submittedAt.Add(time.Second), SeenAt: submittedAt.Add(100 * hours),
	}
	if kind == contracts.SubmissionAcceptance {
		for _, x := range three().To {
			e.Recipients = append(e.Recipients, x.Address)
		}
	}
	for _, o := range options {
		o(&e)
	}
	data, err := json.Marshal(map[string]any{"evidence": e, "tipo": "x"})
	if err != nil {
		panic(err)
	}
	return contracts.Event{ID: contracts.SumOf(data).String(), Kind: "pec.x", Ref: "abc", At: e.IssuedAt, Data: data}
}

func foldAll(t interface{ Fatalf(string, ...any) }, m Message, d Dispatch, events []contracts.Event) (Dispatch, contracts.Move) {
	var to contracts.Move
	for _, e := range events {
		var err error
		if d, to, err = Fold(m, d, e); err != nil {
			t.Fatalf("fold %s: %v", e.Kind, err)
		}
	}
	return d, to
}

func TestFoldFollowsTheTable(t *testing.T) {
	const a, b, c = "a@pec.azienda.test", "b@pec.altro.test", "c@posta.test"
	accepted := told(contracts.SubmissionAcceptance, external(c))
	all := told(contracts.SubmissionAcceptance)
	for _, tc := range []struct {
		name   string
		to     []string // empty: a and b
		events []contracts.Event
		want   string // statuses of the recipients, then flags of each and of the message
		state  contracts.State
		code   string
		kind   contracts.Kind
	}{
		{name: "an acceptance alone leaves all accepted", events: []contracts.Event{accepted}, want: "accepted accepted", state: contracts.StateWaiting},
		{
			name: "an ordinary recipient is final at once", to: []string{a, c}, events: []contracts.Event{accepted},
			want: "accepted uncertified", state: contracts.StateWaiting,
		},
		{
			name: "ordinary recipients alone end without proof", to: []string{c}, events: []contracts.Event{accepted},
			want: "uncertified", state: contracts.StateFailed, code: ReasonUncertified, kind: contracts.Conflict,
		},
		{
			name: "each delivery counts for its recipient", events: []contracts.Event{all, told(contracts.ContentConsignment, about(a))},
			want: "delivered accepted", state: contracts.StateWaiting,
		},
		{
			name: "all delivered is done", events: []contracts.Event{all, told(contracts.ContentConsignment, about(a)), told(contracts.ContentConsignment, about(b))},
			want: "delivered delivered", state: contracts.StateDone,
		},
		{
			name: "one delivered and one failed is failed", events: []contracts.Event{
				all, told(contracts.ContentConsignment, about(a)),
				told(contracts.ContentConsignmentFailure, about(b), because(ReasonUnknownMailbox, "5.1.1")),
			},
			want: "delivered failed", state: contracts.StateFailed, code: ReasonUnknownMailbox, kind: contracts.NotFound,
		},
		{
			name: "a virus is the message's fault", to: []string{a}, events: []contracts.Event{all, told(contracts.ContentConsignmentFailure, about(a), because(ReasonVirus, "5.7.1"))},
			want: "failed", state: contracts.StateFailed, code: ReasonVirus, kind: contracts.Invalid,
		},
		{
			name: "a full mailbox is the state of things", to: []string{a}, events: []contracts.Event{all, told(contracts.ContentConsignmentFailure, about(a), because(ReasonMailboxFull, "5.2.2"))},
			want: "failed", state: contracts.StateFailed, code: ReasonMailboxFull, kind: contracts.Conflict,
		},
		{
			name: "the notice of 12 hours is a delay", to: []string{a}, events: []contracts.Event{all, told(contracts.ConsignmentDelay, about(a), after(12*hours), because(ReasonTimeout, "4.4.7"))},
			want: "delayed", state: contracts.StateWaiting,
		},
		{
			name: "a notice after 20 hours is definitive", to: []string{a}, events: []contracts.Event{all, told(contracts.ConsignmentDelay, about(a), after(23*hours), because(ReasonTimeout, "4.4.7"))},
			want: "timed_out", state: contracts.StateFailed, code: ReasonTimeout, kind: contracts.Conflict,
		},
		{
			name: "a second notice is definitive at any hour", to: []string{a}, events: []contracts.Event{
				all,
				told(contracts.ConsignmentDelay, about(a), after(12*hours), because(ReasonTimeout, "")), told(contracts.ConsignmentDelay, about(a), after(13*hours), because(ReasonTimeout, "")),
			},
			want: "timed_out", state: contracts.StateFailed, code: ReasonTimeout, kind: contracts.Conflict,
		},
		{
			name: "a notice with 5.4.1 is definitive at once", to: []string{a}, events: []contracts.Event{all, told(contracts.ConsignmentDelay, about(a), after(12*hours), because(ReasonTimeout, "5.4.1"))},
			want: "timed_out", state: contracts.StateFailed, code: ReasonTimeout, kind: contracts.Conflict,
		},
		{
			name: "a delivery after the first notice is no late one", to: []string{a}, events: []contracts.Event{
				all,
				told(contracts.ConsignmentDelay, about(a), after(12*hours), because(ReasonTimeout, "4.4.7")), told(contracts.ContentConsignment, about(a), after(15*hours)),
			},
			want: "delivered", state: contracts.StateDone,
		},
		{
			name: "a delivery after the second notice is late and counts", to: []string{a}, events: []contracts.Event{
				all,
				told(contracts.ConsignmentDelay, about(a), after(24*hours), because(ReasonTimeout, "5.4.1")), told(contracts.ContentConsignment, about(a), after(30*hours)),
			},
			want: "delivered:LATE", state: contracts.StateDone,
		},
		{
			name: "a delivery after a failure leaves the failure and conflicts", to: []string{a}, events: []contracts.Event{
				all,
				told(contracts.ContentConsignmentFailure, about(a), because(ReasonOther, "")), told(contracts.ContentConsignment, about(a), after(hours)),
			},
			want: "failed:CONFLICT", state: contracts.StateFailed, code: ReasonOther, kind: contracts.Conflict,
		},
		{
			name: "a failure after a delivery leaves the delivery and conflicts", to: []string{a}, events: []contracts.Event{
				all,
				told(contracts.ContentConsignment, about(a)), told(contracts.ContentConsignmentFailure, about(a), after(hours), because(ReasonOther, "")),
			},
			want: "delivered:CONFLICT", state: contracts.StateDone,
		},
		{
			name: "a failure names the reason that a notice could not", to: []string{a}, events: []contracts.Event{
				all,
				told(contracts.ConsignmentDelay, about(a), after(24*hours), because(ReasonTimeout, "5.4.1")), told(contracts.ContentConsignmentFailure, about(a), after(25*hours), because(ReasonUnknownDomain, "5.1.2")),
			},
			want: "failed", state: contracts.StateFailed, code: ReasonUnknownDomain, kind: contracts.NotFound,
		},
		{
			name: "a delivery before the acceptance counts and the acceptance is missed", to: []string{a, b}, events: []contracts.Event{told(contracts.ContentConsignment, about(a))},
			want: "delivered sent ACCEPTANCE_MISSING", state: contracts.StateWaiting,
		},
		{
			name: "an acceptance that comes second is no longer missed", to: []string{a, b}, events: []contracts.Event{told(contracts.ContentConsignment, about(a), after(2*time.Second)), all},
			want: "delivered accepted", state: contracts.StateWaiting,
		},
		{
			name: "a delivery without acceptance is done all the same", to: []string{a}, events: []contracts.Event{told(contracts.ContentConsignment, about(a))},
			want: "delivered ACCEPTANCE_MISSING", state: contracts.StateDone,
		},
		{
			name: "a repeated receipt changes nothing", to: []string{a}, events: []contracts.Event{all, told(contracts.ContentConsignment, about(a)), told(contracts.ContentConsignment, about(a)), all},
			want: "delivered", state: contracts.StateDone,
		},
		{
			name: "two acceptances prove a double submission", to: []string{a}, events: []contracts.Event{all, told(contracts.SubmissionAcceptance, under(otherID), after(time.Minute))},
			want: "accepted DOUBLE_SUBMISSION", state: contracts.StateWaiting,
		},
		{
			name: "a refusal covers everybody", events: []contracts.Event{told(contracts.SubmissionRejection, because(ReasonOther, "5.6.0"))},
			want: "not_accepted not_accepted", state: contracts.StateFailed, code: ReasonOther, kind: contracts.Invalid,
		},
		{
			name: "a delivery of a refused message conflicts", to: []string{a}, events: []contracts.Event{told(contracts.SubmissionRejection, because(ReasonOther, "5.6.0")), told(contracts.ContentConsignment, about(a))},
			want: "not_accepted CONFLICT", state: contracts.StateFailed, code: ReasonOther, kind: contracts.Invalid,
		},
		{
			name: "a refusal after the acceptance conflicts and the acceptance stands", to: []string{a}, events: []contracts.Event{all, told(contracts.SubmissionRejection, after(time.Minute), because(ReasonOther, ""))},
			want: "accepted CONFLICT", state: contracts.StateWaiting,
		},
		{
			name: "a receipt of an identificativo that nobody accepted waits for its acceptance", to: []string{a}, events: []contracts.Event{all, told(contracts.ContentConsignment, about(a), under(otherID))},
			want: "accepted ACCEPTANCE_MISSING", state: contracts.StateWaiting,
		},
		{
			name: "its acceptance makes it count", to: []string{a}, events: []contracts.Event{all, told(contracts.ContentConsignment, about(a), under(otherID)), told(contracts.SubmissionAcceptance, under(otherID))},
			want: "delivered DOUBLE_SUBMISSION", state: contracts.StateDone,
		},
		{
			name: "an acceptance that leaves out a recipient conflicts", to: []string{a, "z@pec.altro.test"}, events: []contracts.Event{all},
			want: "accepted sent:CONFLICT", state: contracts.StateWaiting,
		},
		{name: "what the acceptance says of others does not matter", to: []string{a}, events: []contracts.Event{accepted, told(contracts.ContentConsignment, about(a))}, want: "delivered", state: contracts.StateDone},
		{name: "case of an address does not matter", to: []string{"A@PEC.azienda.test"}, events: []contracts.Event{all, told(contracts.ContentConsignment, about(a))}, want: "delivered ADDRESS_CASE", state: contracts.StateDone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.to == nil {
				tc.to = []string{a, b}
			}
			m := to(tc.to...)
			for _, start := range []struct {
				name string
				d    Dispatch
			}{{"submitted", sofar(m)}, {"uncertain", Dispatch{}}} {
				d, move := foldAll(t, m, start.d, tc.events)
				if got := sketch(d); got != tc.want || move.To != tc.state {
					t.Errorf("%s: %q and move %q, want %q and %q", start.name, got, move.To, tc.want, tc.state)
				}
				if d.MessageID != "<h1.abc.1@pec.ente.test>" || d.Mailbox != "centrale" {
					t.Errorf("%s: message %q of mailbox %q", start.name, d.MessageID, d.Mailbox)
				}
				if d.Sum != start.d.Sum || !d.Submitted.Equal(start.d.Submitted) {
					t.Errorf("%s: what was known at sending is lost", start.name)
				}
				if (move.Err != nil) != (tc.state == contracts.StateFailed) {
					t.Fatalf("%s: error %v with state %s", start.name, move.Err, tc.state)
				}
				if move.Err != nil && (move.Err.Code != tc.code || move.Err.Kind != tc.kind) {
					t.Errorf("%s: %s [%s], want %s [%s]", start.name, move.Err.Kind, move.Err.Code, tc.kind, tc.code)
				}
			}
		})
	}
}

// sketch prints statuses with their flags, then the message's flags.
func sketch(d Dispatch) string {
	var words []string
	for _, r := range d.Recipients {
		words = append(words, strings.Join(append([]string{string(r.Status)}, r.Flags...), ":"))
	}
	return strings.Join(append(words, d.Flags...), " ")
}

func TestFoldIgnoresWhatPassesBetweenProviders(t *testing.T) {
	m := three()
	for _, kind := range []contracts.EvidenceKind{contracts.RelayAcceptance, contracts.RelayRejection} {
		d, to, err := Fold(m, sofar(m), told(kind))
		if err != nil || to != (contracts.Move{}) || len(d.Seen) != 0 {
			t.Errorf("%s: %+v %v %v, want nothing changed", kind, d, to, err)
		}
	}
}

func TestFoldRefuses(t *testing.T) {
	m := three()
	for _, tc := range []struct {
		name string
		e    contracts.Event
	}{
		{"data that is no receipt", contracts.Event{Kind: "pec.x", Data: json.RawMessage(`[]`)}},
		{"a bad signature", told(contracts.SubmissionAcceptance, judged("BAD_SIGNATURE", "SIGNATURE"))},
		{"no signature", told(contracts.SubmissionAcceptance, judged("UNSIGNED", ""))},
		{"an untrusted chain", told(contracts.SubmissionAcceptance, judged("UNTRUSTED_CHAIN", "CHAIN"))},
		{"what cannot be verified", told(contracts.SubmissionAcceptance, judged("UNVERIFIABLE", "ALGORITHM"))},
		{"a broken message", told(contracts.SubmissionAcceptance, judged("MALFORMED", ""))},
		{"an anomaly", told(contracts.SubmissionAcceptance, judged("VALID", "HEADER_DATICERT_MISMATCH"))},
		{"a kind that nobody knows", told("ContentHandover")},
		{"a message that attests nothing", told("")},
		{"a stranger's delivery", told(contracts.ContentConsignment, about("z@pec.altro.test"))},
		{"another mailbox's receipt", told(contracts.SubmissionAcceptance, func(r *contracts.Evidence) { r.Mailbox = "altra" })},
		{"another message's receipt", told(contracts.SubmissionAcceptance, func(r *contracts.Evidence) { r.Message = "h1.abd.1@pec.ente.test" })},
		{"another generation's receipt", told(contracts.SubmissionAcceptance, func(r *contracts.Evidence) { r.Generation = 2 })},
		{"an identificativo that would forge the state", told(contracts.SubmissionAcceptance, under("a|b"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := sofar(m)
			d, to, err := Fold(m, before, tc.e)
			if err == nil || to != (contracts.Move{}) || !reflect.DeepEqual(d, before) {
				t.Fatalf("folded to %+v, move %v, error %v; want it set aside", d, to, err)
			}
			if strings.Contains(err.Error(), "@") {
				t.Errorf("the error holds an address: %v", err)
			}
		})
	}
}

// A receipt that is signed and names our message is never lost to a wrong clock, ours or the provider's: it counts, and
// the dispatch says that a clock is wrong.
func TestWrongClocksAreFlaggedAndLoseNoReceipt(t *testing.T) {
	m := to("a@pec.azienda.test")
	for _, tc := range []struct {
		name   string
		issued time.Duration // after submission; it is read after 100 hours
		want   string
	}{
		{"five minutes before it was submitted", -5 * time.Minute, "delivered"},
		{"five minutes after it was read", 100*hours + 5*time.Minute, "delivered"},
		{"an hour before it was submitted", -hours, "delivered CLOCK"},
		{"a year before it was submitted", -365 * 24 * hours, "delivered CLOCK"},
		{"an hour after it was read", 101 * hours, "delivered CLOCK"},
		{"a year after it was read", 365 * 24 * hours, "delivered CLOCK"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			receipts := []contracts.Event{
				told(contracts.SubmissionAcceptance, after(tc.issued)), told(contracts.ContentConsignment, about("a@pec.azienda.test"), after(tc.issued)),
			}
			d, to := foldAll(t, m, sofar(m), receipts)
			if got := sketch(d); got != tc.want || to.To != contracts.StateDone {
				t.Errorf("%q and move %q, want %q and done", got, to.To, tc.want)
			}
			again, _ := foldAll(t, m, d, receipts)
			if sketch(again) != tc.want {
				t.Errorf("told again: %q", sketch(again))
			}
		})
	}
}

// The carrier's names of the submission are those that it accepted or refused; while none is known, the first that came.
func TestNamesOfSubmissions(t *testing.T) {
	m := to("a@pec.azienda.test")
	accepted := told(contracts.SubmissionAcceptance)
	delivered := func(id string, at time.Duration) contracts.Event {
		return told(contracts.ContentConsignment, about("a@pec.azienda.test"), under(id), after(at))
	}
	for _, tc := range []struct {
		name   string
		events []contracts.Event
		want   []string
	}{
		{"one accepted", []contracts.Event{accepted}, []string{foldID}},
		{"none accepted yet", []contracts.Event{delivered(otherID, 2*time.Second)}, []string{otherID}},
		{"none accepted, two heard of", []contracts.Event{delivered(foldID, 3*time.Second), delivered(otherID, 2*time.Second)}, []string{otherID}},
		{"one accepted, another heard of", []contracts.Event{delivered(otherID, 0), accepted}, []string{foldID}},
		{"one refused", []contracts.Event{told(contracts.SubmissionRejection)}, []string{foldID}},
		{"two accepted, in order of time", []contracts.Event{told(contracts.SubmissionAcceptance, under(otherID), after(hours)), accepted}, []string{foldID, otherID}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d, _ := foldAll(t, m, sofar(m), tc.events); !slices.Equal(d.IDs, tc.want) {
				t.Errorf("%v, want %v", d.IDs, tc.want)
			}
		})
	}
}

// Without its acceptance a notice of delay is told from the definitive one by the time since the message left.
func TestNoticesWithoutAcceptance(t *testing.T) {
	m := to("a@pec.azienda.test")
	notice := func(at time.Duration) contracts.Event {
		return told(contracts.ConsignmentDelay, about("a@pec.azienda.test"), after(at), because(ReasonTimeout, ""))
	}
	for _, tc := range []struct {
		name   string
		from   Dispatch
		events []contracts.Event
		want   string
	}{
		{"after 12 hours", sofar(m), []contracts.Event{notice(12 * hours)}, "delayed ACCEPTANCE_MISSING"},
		{"after 23 hours", sofar(m), []contracts.Event{notice(23 * hours)}, "timed_out ACCEPTANCE_MISSING"},
		{"after 23 hours, of a message that nobody saw leave", Dispatch{}, []contracts.Event{notice(23 * hours)}, "delayed ACCEPTANCE_MISSING"},
		{"twice, of a message that nobody saw leave", Dispatch{}, []contracts.Event{notice(12 * hours), notice(23 * hours)}, "timed_out ACCEPTANCE_MISSING"},
		{"after 23 hours, and the acceptance comes last", sofar(m), []contracts.Event{notice(23 * hours), told(contracts.SubmissionAcceptance, after(4*hours))}, "delayed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d, _ := foldAll(t, m, tc.from, tc.events); sketch(d) != tc.want {
				t.Errorf("%q, want %q", sketch(d), tc.want)
			}
		})
	}
}

func TestAnAddressInOtherLettersCountsAndIsReported(t *testing.T) {
	m := to("Rossi@pec.azienda.test")
	d, _ := foldAll(t, m, sofar(m), []contracts.Event{
		told(contracts.SubmissionAcceptance, func(e *contracts.Evidence) { e.Recipients = []contracts.Address{m.To[0].Address} }),
	})
	if got := sketch(d); got != "accepted" {
		t.Errorf("same letters: %q", got)
	}
	d, to := foldAll(t, m, d, []contracts.Event{told(contracts.ContentConsignment, about("ROSSI@pec.azienda.test"))})
	if got := sketch(d); got != "delivered ADDRESS_CASE" || to.To != contracts.StateDone {
		t.Errorf("%q and move %q", got, to.To)
	}
}

func TestFoldHoldsABoundedNumberOfReceipts(t *testing.T) {
	m := to("a@pec.azienda.test")
	d := sofar(m)
	for i := range maxFacts {
		d.Seen = append(d.Seen, fact{kind: contracts.ConsignmentDelay, id: foldID, at: submittedAt.Add(time.Duration(i) * time.Second)}.key())
	}
	if _, _, err := Fold(m, d, told(contracts.SubmissionAcceptance)); err == nil {
		t.Error("one more receipt was taken in")
	}
}

func TestSeenNamesNobody(t *testing.T) {
	m := three()
	d, _ := foldAll(t, m, sofar(m), []contracts.Event{told(contracts.SubmissionAcceptance), told(contracts.ContentConsignment, about("a@pec.azienda.test"))})
	if text := fmt.Sprintf("%v %+v", d, d); strings.Contains(text, "azienda") || strings.Contains(text, "posta.test") {
		t.Error("a dispatch prints an address")
	}
}

// TestOrderAndRepetitionDoNotMatter: whatever receipts come, in whatever order and however often, the end is the same,
// and every one of them stands in it.
func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	m := three()
	who := rapid.SampledFrom([]string{"a@pec.azienda.test", "b@pec.altro.test", "c@posta.test"})
	receipt := rapid.Custom(func(t *rapid.T) contracts.Event {
		options := []option{
			under(rapid.SampledFrom([]string{foldID, foldID, foldID, otherID}).Draw(t, "id")),
			after(time.Duration(rapid.IntRange(0, 30*60).Draw(t, "minutes")) * time.Minute),
		}
		kind := rapid.SampledFrom([]contracts.EvidenceKind{contracts.SubmissionAcceptance, contracts.SubmissionAcceptance, contracts.SubmissionRejection, contracts.ContentConsignment, contracts.ContentConsignmentFailure, contracts.ConsignmentDelay}).Draw(t, "kind")
		switch kind {
		case contracts.SubmissionAcceptance:
			if rapid.Bool().Draw(t, "esterno") {
				options = append(options, external("c@posta.test"))
			}
		case contracts.SubmissionRejection:
			options = append(options, because(ReasonOther, "5.6.0"))
		case contracts.ContentConsignmentFailure:
			options = append(options, about(who.Draw(t, "about")), because(ReasonUnknownMailbox, "5.1.1"))
		case contracts.ConsignmentDelay:
			options = append(options, about(who.Draw(t, "about")), because(ReasonTimeout, rapid.SampledFrom([]string{"", "5.4.1"}).Draw(t, "code")))
		default:
			options = append(options, about(who.Draw(t, "about")))
		}
		return told(kind, options...)
	})
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfN(receipt, 1, 12).Draw(t, "receipts")
		start := sofar(m)
		if rapid.Bool().Draw(t, "uncertain") {
			start = Dispatch{}
		}
		want, move := foldAll(t, m, start, set)
		other := slices.Concat(set, rapid.SliceOfN(rapid.SampledFrom(set), 0, 6).Draw(t, "again"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		got, _ := foldAll(t, m, start, other)
		if a, b := mustJSON(want), mustJSON(got); a != b {
			t.Fatalf("in order:\n%s\nshuffled:\n%s", a, b)
		}
		_, again := foldAll(t, m, got, set[len(set)-1:])
		if again.To != move.To {
			t.Fatalf("moved to %q once and to %q again", move.To, again.To)
		}
		different := map[string]bool{}
		for _, e := range set {
			different[string(e.Data)] = true
		}
		if len(got.Seen) > len(different) || len(got.Seen) == 0 {
			t.Fatalf("%d receipts of %d are remembered", len(got.Seen), len(different))
		}
		for _, e := range set {
			evidence, _ := contracts.EvidenceOf(e)
			f, _ := toFact(m, evidence)
			if !slices.Contains(got.Seen, f.key()) {
				t.Fatal("a receipt was lost")
			}
		}
		for _, key := range got.Seen {
			if f, err := parseFact(key); err != nil || f.key() != key {
				t.Fatalf("a fact does not survive storage: %v", err)
			}
		}
	})
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A document that does not name the message counts by the carrier's name of the submission, once a receipt that does name
// the message has told it.
func TestEvidenceThatNamesNoMessageCountsByTheSubmissionItNames(t *testing.T) {
	const a = "a@pec.azienda.test"
	unnamed := func(e *contracts.Evidence) { e.Message = "" }
	m := to(a)
	accepted := told(contracts.SubmissionAcceptance)
	delivered := told(contracts.ContentConsignment, about(a), after(time.Minute), unnamed)
	d, move := foldAll(t, m, sofar(m), []contracts.Event{accepted, delivered})
	if move.To != contracts.StateDone || !d.Delivered() {
		t.Errorf("%s, want done: %+v", move.To, d)
	}
	for name, events := range map[string][]contracts.Event{
		"before any acceptance":       {delivered},
		"of another submission":       {accepted, told(contracts.ContentConsignment, about(a), after(time.Minute), unnamed, under(otherID))},
		"an acceptance alone":         {told(contracts.SubmissionAcceptance, unnamed)},
		"after a delivery that named": {told(contracts.ContentConsignment, about(a)), delivered},
	} {
		last := len(events) - 1
		before, _ := foldAll(t, m, sofar(m), events[:last])
		if _, _, err := Fold(m, before, events[last]); contracts.KindOf(err) != contracts.Malformed {
			t.Errorf("%s: %v, want it set aside", name, err)
		}
	}
}
