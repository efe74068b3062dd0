package audit

import (
	"fmt"
	"slices"
	"testing"

	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/mocks/entrate"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/pec"
	"raccordo/mocks/registroimprese"
)

// rowOf is a row about a member, for whom their own representative applies.
func rowOf(t *testing.T, b *lab.Bench, story string) input.Row {
	t.Helper()
	m := b.Who(story)
	r := input.Row{ID: "R1", Query: domicile.Query{Capacity: domicile.Capacity(m.Capacity)}}
	var err error
	if r.Query.Subject.CodiceFiscale, err = contracts.ParseCodiceFiscale(m.CodiceFiscale); err != nil {
		t.Fatal(err)
	}
	if m.PartitaIVA != "" {
		if r.Query.Subject.PartitaIVA, err = contracts.ParsePartitaIVA(m.PartitaIVA); err != nil {
			t.Fatal(err)
		}
	}
	if m.Representative != "" {
		if r.Representative, err = contracts.ParseCodiceFiscale(m.Representative); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestWhoIsRefusedIsDueNoCode: the registers' truth decides, and what they had told when the message was taken.
func TestWhoIsRefusedIsDueNoCode(t *testing.T) {
	t.Parallel()
	bench := lab.Start(t, pdnd.New(), registroimprese.New(), entrate.New())
	const (
		imprese  = "GET /imprese/{codiceFiscale}"
		speaks   = "GET /legaleRappresentante/{cfPersona}"
		codes    = "POST /govway/rest/in/AgenziaEntrate/vcf2-verifica-cf/v1/verifica"
		numbers  = "POST /govway/rest/in/AgenziaEntrate/verifica-piva/v3/verifica"
		speaksOf = "POST /SPCBooleanoRappWS/VerificaRappresentanteEnteService"
	)
	other := bench.Who("ri-active").Representative
	for _, c := range []struct {
		story, label string
		stranger     bool // somebody else's representative applies
	}{
		{story: "ri-ceased", label: imprese},
		{story: "ri-unknown", label: imprese},
		{story: "ri-exists-false", label: imprese},
		{story: "ri-represents-other", label: speaks},
		{story: "company-with-pec", label: speaks, stranger: true},
		{story: "body-with-domicile", label: speaksOf, stranger: true},
		{story: "entrate-code-superseded", label: codes},
		{story: "entrate-code-unknown", label: codes},
		{story: "entrate-vat-ceased", label: numbers},
		{story: "entrate-vat-suspended", label: numbers},
		{story: "entrate-vat-unassigned", label: numbers},
	} {
		r := rowOf(t, bench, c.story)
		if c.stranger {
			var err error
			if r.Representative, err = contracts.ParseCodiceFiscale(other); err != nil {
				t.Fatal(err)
			}
		}
		run := Run{Rows: []input.Row{r}, Bench: bench, Began: began}
		taken := message("R1", run.dueAddress(r.Query))
		exchange := func(n uint64, status, fault string) lab.Exchange {
			e := lab.Exchange{N: n, Mock: "entrate", Label: c.label, Status: status, Fault: fault}
			code := r.Query.Subject.CodiceFiscale.Reveal()
			e.Parsed = entrate.Asked{Codes: []string{code}}
			if slices.Contains([]string{imprese, speaks}, c.label) {
				e.Mock, e.Parsed = "registroimprese", registroimprese.Asked{Company: code}
			}
			return e
		}
		sent := lab.Exchange{N: 5, Mock: "pec", Label: "smtp message", Status: "250", Parsed: taken}
		for _, s := range []struct {
			rule    string
			journal []lab.Exchange
			taken   []pec.Submitted
			ok      bool
		}{
			{"it said so, and nothing was sent", []lab.Exchange{exchange(1, "200", "")}, nil, true},
			{"nobody asked, and nothing was sent", nil, nil, true},
			{"it said so, and a code was sent", []lab.Exchange{exchange(1, "200", ""), sent}, []pec.Submitted{taken}, false},
			{"it was down, and a code was sent", []lab.Exchange{exchange(1, "503", ""), sent}, []pec.Submitted{taken}, true},
			{"its answer was lost, and a code was sent", []lab.Exchange{exchange(1, "200", "drop-after-accept"), sent}, []pec.Submitted{taken}, true},
			{"it said so after a code was sent", []lab.Exchange{sent, exchange(9, "200", "")}, []pec.Submitted{taken}, true},
		} {
			run.Journal, run.Taken = s.journal, s.taken
			if got := Messages(run); got.OK() != s.ok {
				t.Errorf("%s: %s: %+v, want it found well: %v", c.story, s.rule, got, s.ok)
			}
		}
	}
}

// TestWhatIsNoRefusal: whoever a register does not refuse with authority is due their code, whatever it says.
func TestWhatIsNoRefusal(t *testing.T) {
	t.Parallel()
	bench := lab.Start(t, pdnd.New(), registroimprese.New(), entrate.New())
	for _, story := range []string{
		"company-with-pec", "ri-active", "ri-inactive", "ri-suspended", "ri-liquidation", "ri-insolvent", "ri-represents-odd",
		"ri-represents-not-found", "body-with-domicile", "entrate-code-valid-superseded", "entrate-code-words-no",
		"entrate-code-contradiction", "entrate-code-no-verdict", "entrate-vat-group", "entrate-vat-words", "entrate-vat-no-state",
		"entrate-vat-contradiction", "entrate-vat-no-verdict", "entrate-body-no-verdict", "entrate-body-done-with-error", "entrate-income-none",
	} {
		run := Run{Rows: []input.Row{rowOf(t, bench, story)}, Bench: bench, Began: began}
		if got := fmt.Sprint(Messages(run).Lost); got != "[R1]" {
			t.Errorf("%s: lost %s, want the code to be due", story, got)
		}
	}
}
