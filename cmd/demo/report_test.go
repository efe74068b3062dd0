package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"raccordo/cmd/demo/audit"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// TestTheTableIsForPeople: what is printed for people is aligned and plain text, in words, and names nobody.
func TestTheTableIsForPeople(t *testing.T) {
	t.Parallel()
	r := whole(t)
	var b bytes.Buffer
	sum := r.job.sum
	sum.print(&b, false)
	text := b.String()
	for _, want := range []string{
		"OUTCOME", "MEANING", "delivered", "no domicile", "Lost: 0. Sent twice: 0.", "verifies.",
		"there is no such mailbox [UNKNOWN_MAILBOX 5.1.1] (first D0042, line 43)",
		"INAD cannot be asked about an omocodic code",
		"codice_fiscale: wrong check character (line ",
		"who applies does not represent it", "Checks: ", "facts came later", "For a person to look at:",
		"2 times after it was given up",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told:\n%s", want, text)
		}
	}
	for _, m := range r.job.bench.Cast() {
		for _, private := range []string{m.CodiceFiscale, m.Name, m.Representative} {
			if private != "" && strings.Contains(text, private) {
				t.Errorf("a code or a name of the story %s is printed", m.Story)
			}
		}
	}
	if strings.Contains(text, "@") {
		t.Error("an address is printed")
	}
	for _, c := range text {
		if !unicode.IsPrint(c) && c != '\n' {
			t.Errorf("character %q is printed", c)
		}
	}
	column := -1
	for i, line := range strings.Split(text, "\n")[2:11] { // the head and eight outcomes: every meaning begins below MEANING
		at := strings.Index(line, "MEANING")
		if i == 0 {
			column = at
			continue
		}
		if len(line) <= column || line[column] == ' ' || line[column-1] != ' ' {
			t.Errorf("the table is not aligned at %d: %q", column, line)
		}
	}
	b.Reset()
	sum.print(&b, true)
	if !strings.Contains(b.String(), "pec: delivery.send: conflict [MAILBOX_FULL]: ") || strings.Contains(text, "delivery.send") {
		t.Error("errors as the hub gives them are shown with -v, and only then")
	}
}

func TestVerdictNamesWhatWentWrong(t *testing.T) {
	t.Parallel()
	s := &summary{Lost: 1, Duplicates: 2, found: audit.Report{Lost: []string{"A1"}, Duplicates: []string{"A2", "A3"}}, ledgerFault: "entry 7: broken"}
	var b bytes.Buffer
	s.verdict(&b)
	for _, want := range []string{"Lost: 1. Sent twice: 2.", "DOES NOT VERIFY: entry 7: broken", "Lost: rows [A1]", "Sent twice: rows [A2 A3]"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not told: %s", want, b.String())
		}
	}
}

func TestReasonsInWords(t *testing.T) {
	t.Parallel()
	unavailable := &contracts.Error{Kind: contracts.Unavailable, System: "inad", Code: "503"}
	for _, c := range []struct{ rule, got, want string }{
		{"silence is no answer", whyNoAnswer(unavailable), "inad does not answer [503]"},
		{"an answer that did not come in time", whyNoAnswer(&contracts.Error{Kind: contracts.Canceled, System: "inad"}), "no answer in time"},
		{"an answer that is on its way", whyNoAnswer(&contracts.Error{Kind: contracts.Pending, System: "hub", Ticket: "t"}), "the answer takes its time"},
		{"a hub without room", whyNoAnswer(&contracts.Error{Kind: contracts.Throttled, System: "hub"}), "the hub had no room for the question"},
		{"no error at all", whyNotSent(nil), "the message could not be sent"},
		{"refused on the wire", whyNotSent(contracts.Errorf(contracts.Denied, "x")), "the message could not be sent: denied"},
		{"an unknown reason", whyNotDelivered(delivery.Delivery{Status: delivery.Failure, Reason: "NEW"}), "not delivered [NEW]"},
		{"abandoned", (&row{}).why(failed, &contracts.Ticket{State: contracts.StateAbandoned}), "given up by an operator"},
		{"waiting for its turn", (&row{}).why(pending, &contracts.Ticket{}), "the message waits for its turn"},
		{
			"delayed",
			(&row{dispatch: &delivery.Dispatch{Recipients: []delivery.Delivery{{Status: delivery.Delayed}}}}).why(pending, &contracts.Ticket{}),
			"not delivered within 12 hours; the provider goes on trying",
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.rule, c.got, c.want)
		}
	}
}
