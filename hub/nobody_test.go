package hub_test

import (
	"errors"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
)

// A route without the business register cannot be asked about who trades alone: that nobody was asked is told apart from a
// register's word that there is none, on both fronts and for tickets.
func TestThatNobodyWasAskedIsNoRegistersNo(t *testing.T) {
	t.Parallel()
	r := newRig(t, with("company: [registroimprese-pdnd, registroimprese, entrate]", "company: [registroimprese-pdnd, entrate]"))
	alone := mandate(r.bench.Who("entrate-body"))
	alone.Subject = query(t, r.bench.Who("personal-domicile")).Subject
	noBody := companytest.Mandate(alone.Person.Reveal(), "12345678903", "")
	for _, f := range []struct {
		name string
		hub  contracts.Submitter
	}{{"pipeline", r.hub}, {"api", r.client(nil)}} {
		for _, tc := range []struct {
			question company.Mandate
			code     string
		}{{alone, contracts.CodeNobody}, {noBody, ""}} {
			_, err := contracts.Do(r.as("C-1"), f.hub, company.OpRepresents, tc.question)
			if !errors.Is(err, contracts.NotFound) || contracts.AsError(err).Code != tc.code {
				t.Errorf("%s: %v, want not found with the code %q", f.name, err, tc.code)
			}
		}
		_, err := contracts.Submit(r.as("C-1"), f.hub, company.OpRepresents, alone)
		if !errors.Is(err, contracts.NotFound) || contracts.AsError(err).Code != contracts.CodeNobody {
			t.Errorf("%s: %v, want that nobody can be asked", f.name, err)
		}
	}
}
