package audit

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/mocks/inad"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

var began = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// row is a row of the list about a member of the cast.
func row(t *testing.T, id, story string) input.Row {
	t.Helper()
	m := lab.Who(story)
	r := input.Row{ID: id, Query: domicile.Query{Capacity: domicile.Capacity(m.Capacity)}}
	var err error
	if r.Query.Subject.CodiceFiscale, err = contracts.ParseCodiceFiscale(m.CodiceFiscale); err != nil {
		t.Fatal(err)
	}
	if m.PartitaIVA != "" {
		if r.Query.Subject.PartitaIVA, err = contracts.ParsePartitaIVA(m.PartitaIVA); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func message(id string, to ...string) pec.Submitted {
	return pec.Submitted{Subject: "Codice di attivazione - pratica " + id, Recipients: to, Accepted: true}
}

const (
	firmAddress   = "officine-tormalina@pec.imprese.test"
	personAddress = "bruno.marescotti@pec.cittadini.test"
	traderFirm    = "ristoro-zanforlin@pec.imprese.test"
	traderOwn     = "oreste.zanforlin@pec.cittadini.test"
)

func TestAuditFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	bench := lab.Start(t)
	firm, person := row(t, "A1", "company-with-pec"), row(t, "A2", "personal-domicile")
	sound := []pec.Submitted{message("A1", firmAddress), message("A2", personAddress)}
	rows := []input.Row{firm, person}
	repeated := firm
	repeated.Repeated = true
	for _, c := range []struct {
		rule string
		run  Run
		want Report
	}{
		{"nothing is wrong", Run{Rows: rows, Taken: sound}, Report{}},
		{"addresses are compared as mail does", Run{Rows: rows, Taken: []pec.Submitted{message("A1", strings.ToUpper(firmAddress)), sound[1]}}, Report{}},
		{"a message was lost", Run{Rows: rows, Taken: sound[:1]}, Report{Lost: []string{"A2"}}},
		{"all were lost", Run{Rows: rows}, Report{Lost: []string{"A1", "A2"}}},
		{"one was sent twice", Run{Rows: rows, Taken: append(slices.Clone(sound), sound[0])}, Report{Duplicates: []string{"A1"}}},
		{"one was sent twice, once refused by a notice", Run{Rows: rows, Taken: append(slices.Clone(sound), pec.Submitted{Subject: sound[0].Subject, Recipients: sound[0].Recipients})}, Report{Duplicates: []string{"A1"}}},
		{"one went to another address", Run{Rows: rows, Taken: []pec.Submitted{sound[0], message("A2", firmAddress)}}, Report{Unexpected: []string{"A2"}}},
		{"one went to one address too many", Run{Rows: rows, Taken: []pec.Submitted{sound[0], message("A2", personAddress, firmAddress)}}, Report{Unexpected: []string{"A2"}}},
		{"one belongs to nobody's row", Run{Rows: rows, Taken: append(slices.Clone(sound), message("B9", personAddress))}, Report{Unexpected: []string{"B9 (1 messages of no row)"}}},
		{"one says of no row that it is its own", Run{Rows: rows, Taken: append(slices.Clone(sound), pec.Submitted{Subject: "Saluti"})}, Report{Unexpected: []string{"? (1 messages of no row)"}}},
		{"a repeated row has its message with the first", Run{Rows: append(slices.Clone(rows), repeated), Taken: sound}, Report{}},
		{"a repeated row has no second message", Run{Rows: append(slices.Clone(rows), repeated), Taken: append(slices.Clone(sound), sound[0])}, Report{Duplicates: []string{"A1"}}},

		{
			"a firm that the business register knows without PEC does not slide to INAD",
			Run{Rows: []input.Row{row(t, "C1", "company-without-pec")}, Taken: []pec.Submitted{message("C1", "vetreria-lunaspina@pec.cittadini.test")}},
			Report{Unexpected: []string{"C1"}},
		},
		{"and its code is not lost", Run{Rows: []input.Row{row(t, "C1", "company-without-pec")}}, Report{}},
		{
			"a sole trader who asks as a person is not reached at the firm's",
			Run{Rows: []input.Row{row(t, "C2", "sole-trader-as-person")}, Taken: []pec.Submitted{message("C2", traderFirm)}},
			Report{Unexpected: []string{"C2"}},
		},
		{"but at their own", Run{Rows: []input.Row{row(t, "C2", "sole-trader-as-person")}, Taken: []pec.Submitted{message("C2", traderOwn)}}, Report{}},
		{"and as an enterprise at the firm's", Run{Rows: []input.Row{row(t, "C3", "sole-trader-as-enterprise")}, Taken: []pec.Submitted{message("C3", traderFirm)}}, Report{}},
		{
			"a lawyer who hires a carer is not reached at the order's",
			Run{Rows: []input.Row{row(t, "C4", "lawyer-hiring-a-carer")}, Taken: []pec.Submitted{message("C4", "avv.torregiani@pec.studi.test")}},
			Report{Unexpected: []string{"C4"}},
		},
		{"but is as a professional", Run{Rows: []input.Row{row(t, "C5", "lawyer-as-professional")}, Taken: []pec.Submitted{message("C5", "avv.torregiani@pec.studi.test")}}, Report{}},
		{"a professional of no order is in INAD", Run{Rows: []input.Row{row(t, "C6", "unregulated-professional")}}, Report{Lost: []string{"C6"}}},
		{
			"a ceased domicile is none",
			Run{Rows: []input.Row{row(t, "C7", "ceased-domicile")}, Taken: []pec.Submitted{message("C7", "alba.pierlorenzi@pec.cittadini.test")}},
			Report{Unexpected: []string{"C7"}},
		},
		{
			"a changed domicile is the new one",
			Run{Rows: []input.Row{row(t, "C8", "changed-domicile")}, Taken: []pec.Submitted{message("C8", "remo.bonacolsi@pec.studi.test")}},
			Report{Unexpected: []string{"C8"}},
		},
		{"nobody can be asked about an omocodic code", Run{Rows: []input.Row{row(t, "C9", "omocodic-code")}}, Report{}},
		{"no message is due to what is no address", Run{Rows: []input.Row{row(t, "D1", "invalid-email")}}, Report{}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			c.run.Began, c.run.Bench = began, bench
			got := Messages(c.run)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
			if clean := len(c.want.Lost)+len(c.want.Duplicates)+len(c.want.Unexpected) == 0; got.OK() != clean {
				t.Errorf("OK %v, want %v", got.OK(), clean)
			}
		})
	}
}

func TestWhatIsNotLost(t *testing.T) {
	t.Parallel()
	bench := lab.Start(t)
	rows := []input.Row{row(t, "A1", "company-with-pec"), row(t, "A2", "personal-domicile")}
	t.Run("a run that was broken off had not come to it", func(t *testing.T) {
		t.Parallel()
		got := Messages(Run{Rows: rows, Began: began, Bench: bench, Unfinished: func(id string) bool { return id == "A2" }})
		if !slices.Equal(got.Lost, []string{"A1"}) {
			t.Errorf("found %+v, want A1 lost, of which the run said that it had ended", got)
		}
	})
	broken := []input.Row{row(t, "B1", "register-broken")}
	code := lab.Who("register-broken").CodiceFiscale
	asked := func(codes ...string) []lab.Exchange {
		return []lab.Exchange{{Mock: "inad", Parsed: inad.Asked{Codes: codes}}}
	}
	for _, c := range []struct {
		rule    string
		journal []lab.Exchange
		lost    bool
	}{
		{"a register that never answers was asked", asked(code), false},
		{"it was not even asked", asked("another"), true},
		{"it was asked by list too, and lists are answered", append(asked(code), asked("another", code)...), true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			got := Messages(Run{Rows: broken, Began: began, Bench: bench, Journal: c.journal})
			if len(got.Lost) > 0 != c.lost || len(got.Unanswered) > 0 == c.lost {
				t.Errorf("found %+v, lost: want %v", got, c.lost)
			}
		})
	}
}

// TestAuditDoesNotBelieveTheHub reads the whole closure of what the audit is made of.
func TestAuditDoesNotBelieveTheHub(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "raccordo/cmd/demo/audit").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for pkg := range strings.Lines(string(out)) {
		pkg = strings.TrimSpace(pkg)
		if pkg == "raccordo/hub" || strings.HasPrefix(pkg, "raccordo/hub/") || strings.HasPrefix(pkg, "raccordo/adapters") {
			t.Errorf("the audit is made of %s too", pkg)
		}
		if strings.HasPrefix(pkg, "raccordo/") {
			seen++
		}
	}
	if seen < 4 {
		t.Errorf("only %d packages of ours were seen", seen)
	}
}
