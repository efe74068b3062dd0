package hub_test

import (
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/mocks/lab"
)

// The business register, by both its roads, through the pipeline and across the network.

// mandate is that a member's own representative speaks for it.
func mandate(m lab.Member) company.Mandate {
	return companytest.Mandate(m.Representative, m.CodiceFiscale, "")
}

func (r *rig) enterprise(story string, status company.Status) companytest.Story {
	m := r.bench.Who(story)
	st := companytest.Story{Query: companytest.Query(m.CodiceFiscale, m.PartitaIVA)}
	st.Holds.CodiceFiscale, st.Holds.Status = st.Query.Subject.CodiceFiscale, status
	return st
}

func TestCompanySuiteOnTheRegistersGateway(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			no := mandate(r.bench.Who("ri-active"))
			no.Subject = mandate(r.bench.Who("ri-inactive")).Subject
			three := r.bench.Who("ri-holder-of-three")
			holding := companytest.Holding{Holder: companytest.Holder(three.Representative)}
			for _, m := range r.bench.Cast() {
				if m.Representative == three.Representative {
					holding.Enterprises = append(holding.Enterprises, company.Represented{
						CodiceFiscale: companytest.Query(m.CodiceFiscale, "").Subject.CodiceFiscale,
					})
				}
			}
			companytest.Run(t, companytest.Harness{
				Harness:  r.harness(f, "registroimprese", capture),
				Register: "Registro Imprese", Knows: []company.Attribute{company.Name, company.Office},
				Active: r.enterprise("ri-active", ""), None: r.enterprise("ri-unknown", "").Query, Broken: r.enterprise("ri-broken", "").Query,
				Speaks: mandate(r.bench.Who("ri-active")), SpeaksNot: no, CannotTell: mandate(r.bench.Who("ri-represents-odd")),
				NotHeld: mandate(r.bench.Who("ri-represents-not-found")), Several: holding,
				Nobody: companytest.Holder(r.bench.Who("personal-domicile").CodiceFiscale),
			})
		})
	}
}

func TestCompanySuiteOnTheRegistersEService(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			h := r.harness(f, "registroimprese-pdnd", capture)
			h.Wire = "registroimprese *"
			companytest.Run(t, companytest.Harness{
				Harness: h, Register: "Registro Imprese", Knows: company.Attributes(), Ops: []*contracts.OpInfo{company.OpFind.OpInfo},
				Active: r.enterprise("ri-active", company.Active), Liquidation: r.enterprise("ri-liquidation", company.Liquidation),
				Ceased: r.enterprise("ri-ceased", company.Ceased),
				None:   r.enterprise("ri-unknown", "").Query, Broken: r.enterprise("ri-broken", "").Query,
			})
		})
	}
}
