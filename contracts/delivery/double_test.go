package delivery

import (
	"testing"
	"time"

	"raccordo/contracts"
)

// Each sending of a message that went out twice has a first notice and a second: two first ones end nothing.
func TestNoticesOfTwoSendingsAreToldApart(t *testing.T) {
	const who = "a@pec.azienda.test"
	m := to(who)
	acceptance := func(o ...option) contracts.Event {
		return told(contracts.SubmissionAcceptance, o...)
	}
	notice := func(at time.Duration, id string) contracts.Event {
		return told(contracts.ConsignmentDelay, about(who), after(at), because(ReasonTimeout, "4.4.7"), under(id))
	}
	events := []contracts.Event{
		acceptance(), acceptance(under(otherID), after(time.Hour)), notice(12*hours, foldID), notice(13*hours, otherID),
	}
	if d, _ := foldAll(t, m, sofar(m), events); sketch(d) != "delayed DOUBLE_SUBMISSION" {
		t.Errorf("the first notice of each: %q", sketch(d))
	}
	events = append(events, notice(19*hours, otherID))
	if d, _ := foldAll(t, m, sofar(m), events); sketch(d) != "timed_out DOUBLE_SUBMISSION" {
		t.Errorf("and the second of one: %q", sketch(d))
	}
}
