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
const patience = 4 * time.Second

// The conformance of road wspa against the mock: on two benches, since its waits under faults are real.
func TestGatewayConforms(t *testing.T) {
	t.Parallel()
	ops := map[string][]*contracts.OpInfo{
		"what enterprises are": {company.OpFind.OpInfo},
		"who speaks for which": {company.OpRepresents.OpInfo, company.OpRepresented.OpInfo},
	}
	for name, served := range ops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			s, g := overGateway(t, quick(capture))
			h := s.overGateway()
			h.Ops = served
			h.Harness = contracttest.Harness{
				Runner: contracttest.Direct(g, s.Clock(), contracttest.Advancing(s.Advance)), Far: s, Wire: "registroimprese *",
				Caller: suiteCaller(), Capture: capture, Reset: g.gateway.CloseIdle, Patience: patience,
			}
			companytest.Run(t, h)
		})
	}
}

// overGateway is the cast as road wspa knows it.
func (s *stage) overGateway() companytest.Harness {
	no := s.mandate("ri-active")
	no.Subject = s.mandate("ri-inactive").Subject
	return companytest.Harness{
		Register: Register, Knows: []company.Attribute{company.Name, company.Office},
		Active: s.story("ri-active"), Inactive: s.story("ri-inactive"), Ceased: s.story("ri-ceased"),
		ByPartitaIVA: s.byPartitaIVA("company-codes-differ"),
		Others: []companytest.Story{
			s.untold("ri-seat-not-found", company.Name, company.Office), s.untold("ri-null-seat", company.Office),
			s.untold("ri-name-absent", company.Name), s.story("ri-getncivico"), s.story("ri-name-inside"),
			s.story("sole-trader-as-enterprise"), s.story("ri-busy"),
		},
		None: s.query("ri-unknown"), Broken: s.query("ri-broken"),
		Speaks: s.mandate("ri-active"), SpeaksNot: no, CannotTell: s.mandate("ri-represents-odd"), NotHeld: s.mandate("ri-represents-not-found"), BrokenMandate: s.mandate("ri-broken"),
		Several: s.holding("ri-holder-of-three"), One: s.holding("ri-active"), Nobody: companytest.Holder(s.Who("personal-domicile").CodiceFiscale),
	}
}

// The conformance of road pdnd against the mock, for what enterprises are.
func TestEServiceConforms(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s, e := overPDND(t, quick(capture))
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
		OddStatus:    s.untold("ri-odd-status", company.Standing),
		NoDomicile:   lacks(s.story("ri-without-pec"), company.Domicile),
		ByPartitaIVA: s.byPartitaIVA("company-codes-differ"),
		Others: []companytest.Story{
			s.untold("ri-no-status", company.Standing), s.untold("ri-odd-pec", company.Domicile),
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
