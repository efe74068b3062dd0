package registroimprese

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
	"raccordo/mocks/pdnd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func suiteCaller() contracts.Caller {
	return contracts.Caller{Service: "suite", Purpose: pdnd.Activation, User: "system", Case: "SUITE-1"}
}

// patience of a suite: a tenth of it is waited under each fault that lasts.
const patience = 5 * time.Second

// The conformance of road wspa against the mock.
func TestGatewayConforms(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s, g := overGateway(t, quick(capture))
	untold := func(name string, what ...company.Attribute) companytest.Story {
		st := s.story(name)
		st.Untold = what
		return st
	}
	noSeat := untold("ri-seat-not-found", company.Name, company.Office)
	holder := func(stories ...string) companytest.Holding {
		h := companytest.Holding{Holder: companytest.Holder(s.Who(stories[0]).Representative)}
		for _, m := range s.Cast() {
			if m.Representative == h.Holder.Person.Reveal() {
				h.Enterprises = append(h.Enterprises, company.Represented{
					CodiceFiscale: contracttest.Sure(contracts.ParseCodiceFiscale(m.CodiceFiscale)),
				})
			}
		}
		return h
	}
	no := s.mandate("ri-active")
	no.Subject = s.mandate("ri-inactive").Subject
	companytest.Run(t, companytest.Harness{
		Harness: contracttest.Harness{
			Runner: contracttest.Direct(g, s.Clock(), contracttest.Advancing(s.Advance)), Far: s, Wire: "registroimprese *",
			Caller: suiteCaller(), Capture: capture, Reset: g.gateway.CloseIdle, Patience: patience,
		},
		Register: Register, Knows: []company.Attribute{company.Name, company.Office},
		Active: s.story("ri-active"), Inactive: s.story("ri-inactive"), Ceased: s.story("ri-ceased"),
		ByPartitaIVA: companytest.Story{Query: companytest.Query("", s.Who("company-codes-differ").PartitaIVA), Holds: s.story("company-codes-differ").Holds},
		Others: []companytest.Story{
			noSeat, untold("ri-null-seat", company.Office), untold("ri-name-absent", company.Name),
			s.story("ri-getncivico"), s.story("ri-name-inside"), s.story("sole-trader-as-enterprise"), s.story("ri-busy"),
		},
		None: s.query("ri-unknown"), Broken: s.query("ri-broken"),
		Speaks: s.mandate("ri-active"), SpeaksNot: no, NotHeld: s.mandate("ri-represents-not-found"), BrokenMandate: s.mandate("ri-broken"),
		Several: holder("ri-holder-of-three"), One: holder("ri-active"), Nobody: companytest.Holder(s.Who("personal-domicile").CodiceFiscale),
	})
}

// The conformance of road pdnd against the mock, for what enterprises are.
func TestEServiceConforms(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s, e := overPDND(t, quick(capture))
	untold := func(name string, what ...company.Attribute) companytest.Story {
		st := s.story(name)
		st.Untold = what
		return st
	}
	lacks := func(st companytest.Story, what ...company.Attribute) companytest.Story {
		st.Lacks = what
		return st
	}
	companytest.Run(t, companytest.Harness{
		Harness: contracttest.Harness{
			Runner: contracttest.Direct(e, s.Clock(), contracttest.Advancing(s.Advance)), Far: s, Wire: "registroimprese *",
			Caller: suiteCaller(), Capture: capture, Reset: e.wire.Close, Patience: patience,
		},
		Register: Register, Knows: company.Attributes(), Ops: []*contracts.OpInfo{company.OpFind.OpInfo},
		Active:    s.story("ri-active"),
		Inactive:  lacks(s.standing("ri-inactive", company.Inactive), company.Activity),
		Suspended: s.standing("ri-suspended", company.Suspended), Liquidation: s.standing("ri-liquidation", company.Liquidation),
		Insolvent: s.standing("ri-insolvent", company.Insolvent), Ceased: s.standing("ri-ceased", company.Ceased),
		OddStatus:    untold("ri-odd-status", company.Standing),
		NoDomicile:   lacks(s.story("ri-without-pec"), company.Domicile),
		ByPartitaIVA: companytest.Story{Query: companytest.Query("", s.Who("company-codes-differ").PartitaIVA), Holds: s.story("company-codes-differ").Holds},
		Others: []companytest.Story{
			untold("ri-no-status", company.Standing), untold("ri-odd-pec", company.Domicile),
			s.story("sole-trader-as-enterprise"), s.story("ri-busy"),
			s.standing("ri-exists-false", company.Ceased),
		},
		None: s.query("ri-unknown"), Broken: s.query("ri-broken"),
	})
}

// The conformance of road pdnd, for the domiciles of enterprises.
func TestEServiceConformsAsADirectory(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s, e := overPDND(t, quick(capture))
	query := func(story string, in domicile.Capacity) domicile.Query {
		m := s.Who(story)
		return domiciletest.Query(m.CodiceFiscale, m.PartitaIVA, in)
	}
	domiciletest.Run(t, domiciletest.Harness{
		Harness: contracttest.Harness{
			Runner: contracttest.Direct(e, s.Clock(), contracttest.Advancing(s.Advance)), Far: s, Wire: "registroimprese *",
			Caller: suiteCaller(), Capture: capture, Reset: e.wire.Close, Patience: patience,
		},
		Register: Register,
		Found: domiciletest.Story{
			Query: query("ri-active", domicile.Enterprise), Addresses: []contracts.Address{mailbox(s.Who("ri-active").INIPEC.Enterprise)},
		},
		None: query("ri-without-pec", domicile.Enterprise), Ceased: query("ri-ceased", domicile.Enterprise),
		NotCovered: []domicile.Query{
			query("sole-trader-as-enterprise", domicile.Person), query("lawyer-as-professional", domicile.Professional),
			query("body-with-domicile", domicile.Body),
		},
	})
}
