package pec

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
	"raccordo/contracts/delivery"
)

var submittedAt = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

const (
	hours   = time.Hour
	foldID  = "mock1.20261121103000.00042@gestore-uno.test"
	otherID = "mock1.20261121103100.00043@gestore-uno.test"
)

// three is a message to two certified recipients and an ordinary one.
func three() delivery.Message {
	return to("a@pec.azienda.test", "b@pec.altro.test", "c@posta.test")
}

func sofar(m delivery.Message) delivery.Dispatch {
	d := delivery.Dispatch{MessageID: "<h1.abc.1@pec.ente.test>", Mailbox: "centrale", Submitted: submittedAt, Sum: contracts.SumOf([]byte("frozen"))}
	for _, r := range m.To {
		d.Recipients = append(d.Recipients, delivery.Delivery{Address: r.Address, Status: delivery.Sent})
	}
	return d
}

type receiptOption func(*Receipt)

func about(address string) receiptOption {
	return func(r *Receipt) { r.About = to(address).To[0].Address }
}

func after(d time.Duration) receiptOption { return func(r *Receipt) { r.Issued = submittedAt.Add(d) } }

func because(cause, code string) receiptOption {
	return func(r *Receipt) { r.Cause, r.Code = cause, code }
}
func under(id string) receiptOption  { return func(r *Receipt) { r.ID = id } }
func judged(v Verdict) receiptOption { return func(r *Receipt) { r.Verdict = v } }
func external(addr string) receiptOption {
	return func(r *Receipt) {
		for i := range r.Recipients {
			r.Recipients[i].External = r.Recipients[i].External || r.Recipients[i].Address.Reveal() == addr
		}
	}
}

// told makes the event of a valid receipt for three().
func told(tipo string, options ...receiptOption) contracts.Event {
	r := Receipt{
		Mailbox: "centrale", Verdict: Valid, Tipo: tipo, ID: foldID, MessageID: "h1.abc.1@pec.ente.test", Generation: 1,
		Issued: submittedAt.Add(time.Second), Read: submittedAt.Add(100 * hours),
	}
	for _, x := range three().To {
		r.Recipients = append(r.Recipients, Recipient{Address: x.Address})
	}
	for _, o := range options {
		o(&r)
	}
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return contracts.Event{ID: string(contracts.SumOf(data).String()), Kind: kindPrefix + tipo, Ref: "abc", At: r.Issued, Data: data}
}

func foldAll(t interface{ Fatalf(string, ...any) }, m delivery.Message, d delivery.Dispatch, events []contracts.Event) (delivery.Dispatch, contracts.Move) {
	var to contracts.Move
	for _, e := range events {
		var err error
		if d, to, err = fold(m, d, e); err != nil {
			t.Fatalf("fold %s: %v", e.Kind, err)
		}
	}
	return d, to
}

func TestFoldFollowsTheTable(t *testing.T) {
	const a, b, c = "a@pec.azienda.test", "b@pec.altro.test", "c@posta.test"
	accepted := told(tipoAccettazione, external(c))
	all := told(tipoAccettazione)
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
			name: "each delivery counts for its recipient", events: []contracts.Event{all, told(tipoConsegna, about(a))},
			want: "delivered accepted", state: contracts.StateWaiting,
		},
		{
			name: "all delivered is done", events: []contracts.Event{all, told(tipoConsegna, about(a)), told(tipoConsegna, about(b))},
			want: "delivered delivered", state: contracts.StateDone,
		},
		{
			name: "one delivered and one failed is failed", events: []contracts.Event{
				all, told(tipoConsegna, about(a)),
				told(tipoErrore, about(b), because(ReasonUnknownMailbox, "5.1.1")),
			},
			want: "delivered failed", state: contracts.StateFailed, code: ReasonUnknownMailbox, kind: contracts.NotFound,
		},
		{
			name: "a virus is the message's fault", to: []string{a}, events: []contracts.Event{all, told(tipoErrore, about(a), because(ReasonVirus, "5.7.1"))},
			want: "failed", state: contracts.StateFailed, code: ReasonVirus, kind: contracts.Invalid,
		},
		{
			name: "a full mailbox is the state of things", to: []string{a}, events: []contracts.Event{all, told(tipoErrore, about(a), because(ReasonMailboxFull, "5.2.2"))},
			want: "failed", state: contracts.StateFailed, code: ReasonMailboxFull, kind: contracts.Conflict,
		},
		{
			name: "the notice of 12 hours is a delay", to: []string{a}, events: []contracts.Event{all, told(tipoPreavviso, about(a), after(12*hours), because(ReasonTimeout, "4.4.7"))},
			want: "delayed", state: contracts.StateWaiting,
		},
		{
			name: "a notice after 20 hours is definitive", to: []string{a}, events: []contracts.Event{all, told(tipoPreavviso, about(a), after(23*hours), because(ReasonTimeout, "4.4.7"))},
			want: "timed_out", state: contracts.StateFailed, code: ReasonTimeout, kind: contracts.Conflict,
		},
		{
			name: "a second notice is definitive at any hour", to: []string{a}, events: []contracts.Event{
				all,
				told(tipoPreavviso, about(a), after(12*hours), because(ReasonTimeout, "")), told(tipoPreavviso, about(a), after(13*hours), because(ReasonTimeout, "")),
			},
			want: "timed_out", state: contracts.StateFailed, code: ReasonTimeout, kind: contracts.Conflict,
		},
		{
			name: "a notice with 5.4.1 is definitive at once", to: []string{a}, events: []contracts.Event{all, told(tipoPreavviso, about(a), after(12*hours), because(ReasonTimeout, "5.4.1"))},
			want: "timed_out", state: contracts.StateFailed, code: ReasonTimeout, kind: contracts.Conflict,
		},
		{
			name: "a delivery after the first notice is no late one", to: []string{a}, events: []contracts.Event{
				all,
				told(tipoPreavviso, about(a), after(12*hours), because(ReasonTimeout, "4.4.7")), told(tipoConsegna, about(a), after(15*hours)),
			},
			want: "delivered", state: contracts.StateDone,
		},
		{
			name: "a delivery after the second notice is late and counts", to: []string{a}, events: []contracts.Event{
				all,
				told(tipoPreavviso, about(a), after(24*hours), because(ReasonTimeout, "5.4.1")), told(tipoConsegna, about(a), after(30*hours)),
			},
			want: "delivered:LATE", state: contracts.StateDone,
		},
		{
			name: "a delivery after a failure leaves the failure and conflicts", to: []string{a}, events: []contracts.Event{
				all,
				told(tipoErrore, about(a), because(ReasonOther, "")), told(tipoConsegna, about(a), after(hours)),
			},
			want: "failed:CONFLICT", state: contracts.StateFailed, code: ReasonOther, kind: contracts.Conflict,
		},
		{
			name: "a failure after a delivery leaves the delivery and conflicts", to: []string{a}, events: []contracts.Event{
				all,
				told(tipoConsegna, about(a)), told(tipoErrore, about(a), after(hours), because(ReasonOther, "")),
			},
			want: "delivered:CONFLICT", state: contracts.StateDone,
		},
		{
			name: "a failure names the reason that a notice could not", to: []string{a}, events: []contracts.Event{
				all,
				told(tipoPreavviso, about(a), after(24*hours), because(ReasonTimeout, "5.4.1")), told(tipoErrore, about(a), after(25*hours), because(ReasonUnknownDomain, "5.1.2")),
			},
			want: "failed", state: contracts.StateFailed, code: ReasonUnknownDomain, kind: contracts.NotFound,
		},
		{
			name: "a delivery before the acceptance counts and the acceptance is missed", to: []string{a, b}, events: []contracts.Event{told(tipoConsegna, about(a))},
			want: "delivered sent ACCEPTANCE_MISSING", state: contracts.StateWaiting,
		},
		{
			name: "an acceptance that comes second is no longer missed", to: []string{a, b}, events: []contracts.Event{told(tipoConsegna, about(a), after(2*time.Second)), all},
			want: "delivered accepted", state: contracts.StateWaiting,
		},
		{
			name: "a delivery without acceptance is done all the same", to: []string{a}, events: []contracts.Event{told(tipoConsegna, about(a))},
			want: "delivered ACCEPTANCE_MISSING", state: contracts.StateDone,
		},
		{
			name: "a repeated receipt changes nothing", to: []string{a}, events: []contracts.Event{all, told(tipoConsegna, about(a)), told(tipoConsegna, about(a)), all},
			want: "delivered", state: contracts.StateDone,
		},
		{
			name: "two acceptances prove a double submission", to: []string{a}, events: []contracts.Event{all, told(tipoAccettazione, under(otherID), after(time.Minute))},
			want: "accepted DOUBLE_SUBMISSION", state: contracts.StateWaiting,
		},
		{
			name: "a refusal covers everybody", events: []contracts.Event{told(tipoRifiuto, because(ReasonOther, "5.6.0"))},
			want: "not_accepted not_accepted", state: contracts.StateFailed, code: ReasonOther, kind: contracts.Invalid,
		},
		{
			name: "a delivery of a refused message conflicts", to: []string{a}, events: []contracts.Event{told(tipoRifiuto, because(ReasonOther, "5.6.0")), told(tipoConsegna, about(a))},
			want: "not_accepted CONFLICT", state: contracts.StateFailed, code: ReasonOther, kind: contracts.Invalid,
		},
		{
			name: "a refusal after the acceptance conflicts and the acceptance stands", to: []string{a}, events: []contracts.Event{all, told(tipoRifiuto, after(time.Minute), because(ReasonOther, ""))},
			want: "accepted CONFLICT", state: contracts.StateWaiting,
		},
		{
			name: "a receipt of an identificativo that nobody accepted waits for its acceptance", to: []string{a}, events: []contracts.Event{all, told(tipoConsegna, about(a), under(otherID))},
			want: "accepted ACCEPTANCE_MISSING", state: contracts.StateWaiting,
		},
		{
			name: "its acceptance makes it count", to: []string{a}, events: []contracts.Event{all, told(tipoConsegna, about(a), under(otherID)), told(tipoAccettazione, under(otherID))},
			want: "delivered DOUBLE_SUBMISSION", state: contracts.StateDone,
		},
		{
			name: "an acceptance that leaves out a recipient conflicts", to: []string{a, "z@pec.altro.test"}, events: []contracts.Event{all},
			want: "accepted sent:CONFLICT", state: contracts.StateWaiting,
		},
		{name: "what the acceptance says of others does not matter", to: []string{a}, events: []contracts.Event{accepted, told(tipoConsegna, about(a))}, want: "delivered", state: contracts.StateDone},
		{name: "case of an address does not matter", to: []string{"A@PEC.azienda.test"}, events: []contracts.Event{all, told(tipoConsegna, about(a))}, want: "delivered", state: contracts.StateDone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.to == nil {
				tc.to = []string{a, b}
			}
			m := to(tc.to...)
			for _, start := range []struct {
				name string
				d    delivery.Dispatch
			}{{"submitted", sofar(m)}, {"uncertain", delivery.Dispatch{}}} {
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
func sketch(d delivery.Dispatch) string {
	var words []string
	for _, r := range d.Recipients {
		words = append(words, strings.Join(append([]string{string(r.Status)}, r.Flags...), ":"))
	}
	return strings.Join(append(words, d.Flags...), " ")
}

func TestFoldIgnoresWhatPassesBetweenProviders(t *testing.T) {
	m := three()
	for _, tipo := range []string{tipoPresaInCarico, tipoVirus} {
		d, to, err := fold(m, sofar(m), told(tipo))
		if err != nil || to != (contracts.Move{}) || len(d.Seen) != 0 {
			t.Errorf("%s: %+v %v %v, want nothing changed", tipo, d, to, err)
		}
	}
}

func TestFoldRefuses(t *testing.T) {
	m := three()
	for _, tc := range []struct {
		name string
		e    contracts.Event
	}{
		{"data that is no receipt", contracts.Event{Kind: "pec.accettazione", Data: json.RawMessage(`[]`)}},
		{"a bad signature", told(tipoAccettazione, judged(BadSignature))},
		{"no signature", told(tipoAccettazione, judged(Unsigned))},
		{"an untrusted chain", told(tipoAccettazione, judged(UntrustedChain))},
		{"what cannot be verified", told(tipoAccettazione, judged(Unverifiable))},
		{"a broken message", told(tipoAccettazione, judged(Malformed))},
		{"an anomaly", told(tipoAccettazione, func(r *Receipt) { r.Reason = ReasonMismatch })},
		{"a kind that is not its type", func() contracts.Event { e := told(tipoAccettazione); e.Kind = "pec.avvenuta-consegna"; return e }()},
		{"a stranger's delivery", told(tipoConsegna, about("z@pec.altro.test"))},
		{"another mailbox's receipt", told(tipoAccettazione, func(r *Receipt) { r.Mailbox = "altra" })},
		{"another message's receipt", told(tipoAccettazione, func(r *Receipt) { r.MessageID = "h1.abd.1@pec.ente.test" })},
		{"another generation's receipt", told(tipoAccettazione, func(r *Receipt) { r.Generation = 2 })},
		{"a receipt from before the message", told(tipoAccettazione, after(-6*time.Minute))},
		{"a receipt from the future", told(tipoAccettazione, after(100*hours+6*time.Minute))},
		{"an identificativo that would forge the state", told(tipoAccettazione, under("a|b"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := sofar(m)
			d, to, err := fold(m, before, tc.e)
			if err == nil || to != (contracts.Move{}) || !reflect.DeepEqual(d, before) {
				t.Fatalf("folded to %+v, move %v, error %v; want it set aside", d, to, err)
			}
			if strings.Contains(err.Error(), "@") {
				t.Errorf("the error holds an address: %v", err)
			}
		})
	}
}

func TestFoldToleratesClocksWithinFiveMinutes(t *testing.T) {
	m := three()
	for _, d := range []time.Duration{-5 * time.Minute, 100*hours + 5*time.Minute} {
		if _, _, err := fold(m, sofar(m), told(tipoAccettazione, after(d))); err != nil {
			t.Errorf("issued %v after submission: %v", d, err)
		}
	}
}

func TestFoldHoldsABoundedNumberOfReceipts(t *testing.T) {
	m := to("a@pec.azienda.test")
	d := sofar(m)
	for i := range maxFacts {
		d.Seen = append(d.Seen, fact{tipo: tipoPreavviso, id: foldID, at: submittedAt.Add(time.Duration(i) * time.Second)}.key())
	}
	if _, _, err := fold(m, d, told(tipoAccettazione)); err == nil {
		t.Error("one more receipt was taken in")
	}
}

func TestSeenNamesNobody(t *testing.T) {
	m := three()
	d, _ := foldAll(t, m, sofar(m), []contracts.Event{told(tipoAccettazione), told(tipoConsegna, about("a@pec.azienda.test"))})
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
		options := []receiptOption{
			under(rapid.SampledFrom([]string{foldID, foldID, foldID, otherID}).Draw(t, "id")),
			after(time.Duration(rapid.IntRange(0, 30*60).Draw(t, "minutes")) * time.Minute),
		}
		tipo := rapid.SampledFrom([]string{tipoAccettazione, tipoAccettazione, tipoRifiuto, tipoConsegna, tipoErrore, tipoPreavviso}).Draw(t, "tipo")
		switch tipo {
		case tipoAccettazione:
			if rapid.Bool().Draw(t, "esterno") {
				options = append(options, external("c@posta.test"))
			}
		case tipoRifiuto:
			options = append(options, because(ReasonOther, "5.6.0"))
		case tipoErrore:
			options = append(options, about(who.Draw(t, "about")), because(ReasonUnknownMailbox, "5.1.1"))
		case tipoPreavviso:
			options = append(options, about(who.Draw(t, "about")), because(ReasonTimeout, rapid.SampledFrom([]string{"", "5.4.1"}).Draw(t, "code")))
		default:
			options = append(options, about(who.Draw(t, "about")))
		}
		return told(tipo, options...)
	})
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfN(receipt, 1, 12).Draw(t, "receipts")
		start := sofar(m)
		if rapid.Bool().Draw(t, "uncertain") {
			start = delivery.Dispatch{}
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
			var receipt Receipt
			_ = json.Unmarshal(e.Data, &receipt)
			f, _ := toFact(m, &receipt)
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
