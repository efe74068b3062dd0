package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/lab"
)

// down has a source hang up on everybody until an instant of the run.
func down(match string, until time.Duration) func(*job) {
	return func(j *job) {
		j.bench.Inject(lab.Fault{Match: match, Do: lab.Drop})
		j.bench.Clock().At(start.Add(until), j.bench.Clear)
	}
}

// outage runs a list of one story while a source is down, and gives its row.
func outage(t *testing.T, story, match string) (*result, *row) {
	t.Helper()
	r := attempt(t.Context(), options{input: listOf(t, story), json: true, seed: 1, probe: down(match, time.Minute)})
	r.adds(t)
	if r.code != exitOK {
		t.Errorf("exit status %d: %s", r.code, r.stderr)
	}
	if r.job == nil || len(r.job.core.rows) != 1 {
		t.Fatal("the run has not one row")
	}
	return r, r.job.core.rows[0]
}

// TestASourceThatIsDownStopsNobody: the row is marked, the code goes out, and the answer comes later to the same row.
func TestASourceThatIsDownStopsNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		match string
		late  topic
	}{
		{"entrate POST *vcf*", aboutCode},
		{"entrate POST *piva*", aboutVAT},
		{"registroimprese GET /legaleRappresentante/*", aboutMandate},
	} {
		t.Run(string(c.late), func(t *testing.T) {
			t.Parallel()
			r, one := outage(t, "company-with-pec", c.match)
			if one.outcome != delivered || one.verdict != incomplete || r.n(t, "check_incomplete") != 1 {
				t.Errorf("%s (%s), verdict %s; want it delivered and incomplete", one.outcome, one.reason, one.verdict)
			}
			for i := range one.facts {
				f := &one.facts[i]
				if f.known != holds || f.late != (f.topic == c.late || f.topic == aboutIncome) || f.register == "" || f.asOf.IsZero() {
					t.Errorf("%s (late %v)", f.says(), f.late)
				}
			}
			if n := r.n(t, "late_facts"); n != 2 {
				t.Errorf("%d late facts, want the missing one and the income", n)
			}
		})
	}
}

// TestWhereToSendToIsAskedByTicketWhenTheRegisterIsDown: the ticket of the check is the look-up; there is no second.
func TestWhereToSendToIsAskedByTicketWhenTheRegisterIsDown(t *testing.T) {
	t.Parallel()
	r, one := outage(t, "personal-domicile", "inad *")
	if f := one.fact(aboutDomicile); one.outcome != delivered || !f.late || one.verdict != incomplete {
		t.Errorf("%s (%s), %s", one.outcome, one.reason, f.says())
	}
	answers := 0
	for _, e := range r.job.bench.Journal() {
		if e.Mock == "inad" && e.Fault == "" {
			answers++
		}
	}
	if answers != 1 {
		t.Errorf("the register answered %d times, want once", answers)
	}
}

// TestALateNoAfterTheCodeIsTold: a code that was sent cannot be called back; what the register says later is not hidden.
func TestALateNoAfterTheCodeIsTold(t *testing.T) {
	t.Parallel()
	r, one := outage(t, "entrate-vat-ceased", "entrate POST *piva*")
	f := one.fact(aboutVAT)
	if one.outcome != delivered || f.known != against || !f.late || r.n(t, "check_failed") != 0 {
		t.Errorf("%s (%s), %s", one.outcome, one.reason, f.says())
	}
	var b bytes.Buffer
	r.job.sum.print(&b, true)
	for _, want := range []string{`1 late answers say "no" after the code was sent`, "L1, line 2: vat: the partita IVA is not in use: ceased"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not told:\n%s", want, b.String())
		}
	}
}

// TestALateNoBeforeTheCodeStopsIt: where to send to is not known either, so that nothing has left yet.
func TestALateNoBeforeTheCodeStopsIt(t *testing.T) {
	t.Parallel()
	r, one := outage(t, "ri-ceased", "registroimprese GET /imprese/*")
	if one.outcome != checkFailed || one.message != "" || len(r.taken) > 0 || r.n(t, "check_failed") != 1 {
		t.Errorf("%s (%s), %d messages; want it stopped", one.outcome, one.reason, len(r.taken))
	}
	if one.verdict != incomplete {
		t.Errorf("the employer was told %s, and nothing was known yet", one.verdict)
	}
}
