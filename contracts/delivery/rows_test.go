package delivery

import (
	"testing"
	"time"

	"raccordo/contracts"
)

// TestFoldOfRareOrders are rows of pec.md section 7 that need more than one step to be reached: what comes before or after
// an end that it does not fit.
func TestFoldOfRareOrders(t *testing.T) {
	const a, b, c = "a@pec.azienda.test", "b@pec.altro.test", "c@posta.test"
	all := told(contracts.SubmissionAcceptance)
	ordinary := told(contracts.SubmissionAcceptance, external(c))
	refusal := told(contracts.SubmissionRejection, because(ReasonOther, "5.6.0"))
	notice := func(of string, at time.Duration) contracts.Event {
		return told(contracts.ConsignmentDelay, about(of), after(at), because(ReasonTimeout, "4.4.7"))
	}
	failure := func(of string, at time.Duration) contracts.Event {
		return told(contracts.ContentConsignmentFailure, about(of), after(at), because(ReasonUnknownMailbox, "5.1.1"))
	}
	delivery := func(of string, at time.Duration) contracts.Event {
		return told(contracts.ContentConsignment, about(of), after(at))
	}
	for _, tc := range []struct {
		name   string
		to     []string
		events []contracts.Event
		want   string
		state  contracts.State
	}{
		{"an error after the first notice is a failure", []string{a}, []contracts.Event{all, notice(a, 12*hours), failure(a, 13*hours)}, "failed", contracts.StateFailed},
		{"an error before the acceptance counts and the acceptance is missed", []string{a, b}, []contracts.Event{failure(a, 2*time.Second)}, "failed sent ACCEPTANCE_MISSING", contracts.StateWaiting},
		{"an acceptance that comes after an error is no longer missed", []string{a, b}, []contracts.Event{failure(a, 2*time.Second), all}, "failed accepted", contracts.StateWaiting},
		{"an error concerns its own recipient alone", []string{a, b}, []contracts.Event{all, failure(b, time.Minute)}, "accepted failed", contracts.StateWaiting},
		{"a notice concerns its own recipient alone", []string{a, b}, []contracts.Event{all, notice(b, 12*hours)}, "accepted delayed", contracts.StateWaiting},
		{"every outcome side by side", []string{a, b, c}, []contracts.Event{ordinary, delivery(a, time.Minute), notice(b, 12*hours), notice(b, 23*hours)}, "delivered timed_out uncertified", contracts.StateFailed},
		{"the delivery of the last recipient does not hide who was not reached", []string{a, b}, []contracts.Event{all, failure(a, time.Minute), delivery(b, 2*time.Minute)}, "failed delivered", contracts.StateFailed},
		{"a notice about an ordinary recipient changes nothing", []string{c}, []contracts.Event{ordinary, notice(c, 23*hours)}, "uncertified", contracts.StateFailed},
		{"an ordinary recipient whose notice came before the acceptance", []string{c}, []contracts.Event{notice(c, 12*hours), ordinary}, "uncertified", contracts.StateFailed},
		{"an error about an ordinary recipient is a failure", []string{c}, []contracts.Event{ordinary, failure(c, time.Minute)}, "failed", contracts.StateFailed},
		{"a delivery to an ordinary recipient contradicts the acceptance", []string{c}, []contracts.Event{ordinary, delivery(c, time.Minute)}, "delivered:CONFLICT", contracts.StateDone},
		{"an acceptance of a refused message conflicts", []string{a}, []contracts.Event{refusal, told(contracts.SubmissionAcceptance, after(time.Minute))}, "not_accepted CONFLICT", contracts.StateFailed},
		{"an error of a refused message conflicts", []string{a}, []contracts.Event{refusal, failure(a, time.Minute)}, "not_accepted CONFLICT", contracts.StateFailed},
		{"a notice of a refused message conflicts", []string{a}, []contracts.Event{refusal, notice(a, 12*hours)}, "not_accepted CONFLICT", contracts.StateFailed},
		{"the refusal once more does not", []string{a}, []contracts.Event{refusal, refusal}, "not_accepted", contracts.StateFailed},
		{"another delivery receipt an hour later changes nothing", []string{a}, []contracts.Event{all, delivery(a, time.Minute), delivery(a, 61*time.Minute)}, "delivered", contracts.StateDone},
		{"a delivery under each of two identificativi", []string{a}, []contracts.Event{
			all, told(contracts.SubmissionAcceptance, under(otherID), after(time.Hour)), delivery(a, time.Minute), told(contracts.ContentConsignment, about(a), under(otherID), after(2*time.Hour)),
		}, "delivered DOUBLE_SUBMISSION", contracts.StateDone},
		{"first notices of two sendings are no second notice", []string{a}, []contracts.Event{
			all, told(contracts.SubmissionAcceptance, under(otherID), after(time.Hour)), notice(a, 12*hours),
			told(contracts.ConsignmentDelay, about(a), under(otherID), after(13*hours), because(ReasonTimeout, "4.4.7")),
		}, "delayed DOUBLE_SUBMISSION", contracts.StateWaiting},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := to(tc.to...)
			d, move := foldAll(t, m, sofar(m), tc.events)
			if got := sketch(d); got != tc.want || move.To != tc.state {
				t.Errorf("%q and move %q, want %q and %q", got, move.To, tc.want, tc.state)
			}
		})
	}
}

// The instant from which terms run is that of the first delivery receipt, whatever comes after it.
func TestTheFirstDeliveryReceiptStands(t *testing.T) {
	m := to("a@pec.azienda.test")
	first := told(contracts.ContentConsignment, about("a@pec.azienda.test"), after(time.Minute))
	again := told(contracts.ContentConsignment, about("a@pec.azienda.test"), after(time.Hour))
	for _, order := range [][]contracts.Event{{first, again}, {again, first}} {
		d, _ := foldAll(t, m, sofar(m), order)
		if want := submittedAt.Add(time.Minute); !d.Recipients[0].At.Equal(want) || len(d.Seen) != 2 {
			t.Errorf("delivered at %v with %d receipts, want %v and both", d.Recipients[0].At, len(d.Seen), want)
		}
	}
}
