package companytest

import (
	"slices"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/contracttest"
)

func (s suite) finding() contracttest.Probe[company.Query, company.Company] {
	p := contracttest.Probe[company.Query, company.Company]{
		Name: "find", Op: company.OpFind, Absent: s.unserved(find),
		Wrong: []company.Query{{}}, NotCovered: s.NotCovered,
		Lie:  func(c company.Company) string { return s.lie(s.Active, c) },
		Same: sameCompany,
	}
	for _, st := range s.stories() {
		p.Good = append(p.Good, st.Query)
	}
	if s.None != (company.Query{}) {
		p.Good = append(p.Good, s.None)
	}
	return p
}

func (s suite) representing() contracttest.Probe[company.Mandate, company.Representation] {
	p := contracttest.Probe[company.Mandate, company.Representation]{
		Name: "represents", Op: company.OpRepresents, Absent: s.unserved(represents),
		Good: []company.Mandate{s.Speaks}, NotCovered: s.NotCoveredMandates,
		Wrong: []company.Mandate{{}, {Person: s.Speaks.Person}, {Subject: s.Speaks.Subject}},
		Lie:   not(contracts.Yes),
		Same: func(a, b company.Representation) bool {
			return a.Represents == b.Represents && a.Reason == b.Reason && a.Register == b.Register
		},
	}
	for _, m := range []company.Mandate{s.SpeaksNot, s.CannotTell, s.LegalPerson, s.NotHeld} {
		if m != (company.Mandate{}) {
			p.Good = append(p.Good, m)
		}
	}
	return p
}

// not finds untruth in every finding but one.
func not(want contracts.Finding) func(company.Representation) string {
	return func(r company.Representation) string {
		if r.Represents == want {
			return ""
		}
		return "said " + r.Represents.String() + ", and the register would say " + want.String()
	}
}

func (s suite) holding() contracttest.Probe[company.Holder, company.Portfolio] {
	p := contracttest.Probe[company.Holder, company.Portfolio]{
		Name: "represented", Op: company.OpRepresented, Absent: s.unserved(represented),
		Good: []company.Holder{s.Several.Holder}, Wrong: []company.Holder{{}}, NotCovered: s.NotCoveredHolders,
		Lie: func(p company.Portfolio) string { return untruth(s.Several, p) },
		Same: func(a, b company.Portfolio) bool {
			return slices.Equal(a.Enterprises, b.Enterprises) && a.Register == b.Register
		},
	}
	for _, h := range []company.Holder{s.One.Holder, s.Nobody} {
		if h != (company.Holder{}) {
			p.Good = append(p.Good, h)
		}
	}
	return p
}

// stories are all enterprises that must be found, the active one first.
func (s suite) stories() []Story {
	all := []Story{s.Active}
	for _, st := range append([]Story{s.Inactive, s.Suspended, s.Liquidation, s.Insolvent, s.Ceased, s.OddStatus, s.NoDomicile, s.ByPartitaIVA}, s.Others...) {
		if !st.isZero() {
			all = append(all, st)
		}
	}
	return all
}

// truths are what no fault may turn into something else.
func (s suite) truths() (all []contracttest.Truth) {
	if s.unserved(find) == "" {
		all = append(all, s.finding().Truth(s.Harness.Harness))
	}
	if s.unserved(represents) == "" {
		all = append(all, s.representing().Truth(s.Harness.Harness))
		for want, m := range map[contracts.Finding]company.Mandate{contracts.No: s.SpeaksNot, contracts.CannotTell: s.CannotTell} {
			if m != (company.Mandate{}) {
				all = append(all, contracttest.TruthOf(s.Harness.Harness, "represents, where it is "+want.String(), company.OpRepresents, m, not(want)))
			}
		}
	}
	if s.unserved(represented) == "" {
		all = append(all, s.holding().Truth(s.Harness.Harness))
	}
	return all
}

// everything asks all that the harness names, for what it shows.
func (s suite) everything(h contracttest.Harness, x *trial) {
	s.Harness.Harness = h
	s.finding().Everything(h, x)
	s.representing().Everything(h, x)
	s.holding().Everything(h, x)
	for _, q := range []company.Query{s.Broken, s.Unaskable} {
		if q != (company.Query{}) && s.unserved(find) == "" {
			_, _ = s.find(x, q)
		}
	}
	for _, m := range []company.Mandate{s.BrokenMandate, s.UnaskableMandate} {
		if m != (company.Mandate{}) && s.unserved(represents) == "" {
			_, _ = s.represents(x, m)
		}
	}
}

// secrets are every identifier, name, street and address that the harness names.
func (s suite) secrets() []string {
	var all []string
	add := func(texts ...string) {
		for _, text := range texts {
			if text != "" && !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	subject := func(sub contracts.Subject) { add(sub.CodiceFiscale.Reveal(), sub.PartitaIVA.Reveal()) }
	for _, st := range s.stories() {
		subject(st.Query.Subject)
		add(st.Holds.CodiceFiscale.Reveal(), st.Holds.PartitaIVA.Reveal(), st.Holds.Name.Reveal(), st.Holds.Seat.Street.Reveal(), st.Holds.Domicile.Reveal())
	}
	for _, q := range append([]company.Query{s.None, s.Broken, s.Unaskable}, s.NotCovered...) {
		subject(q.Subject)
	}
	mandates := []company.Mandate{s.Speaks, s.SpeaksNot, s.CannotTell, s.LegalPerson, s.NotHeld, s.BrokenMandate, s.UnaskableMandate}
	for _, m := range append(mandates, s.NotCoveredMandates...) {
		add(m.Person.Reveal())
		subject(m.Subject)
	}
	for _, h := range []Holding{s.Several, s.One} {
		add(h.Holder.Person.Reveal())
		for _, e := range h.Enterprises {
			add(e.CodiceFiscale.Reveal(), e.Name.Reveal())
		}
	}
	for _, h := range append([]company.Holder{s.Nobody}, s.NotCoveredHolders...) {
		add(h.Person.Reveal())
	}
	return all
}
