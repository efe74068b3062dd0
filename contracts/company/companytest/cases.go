package companytest

import (
	"slices"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/contracttest"
)

type (
	trial = contracttest.T
	rule  = contracttest.Case
)

var (
	find        = company.OpFind.OpInfo
	represents  = company.OpRepresents.OpInfo
	represented = company.OpRepresented.OpInfo
)

// Cases lists the suite's cases for a harness, in the order in which they run.
func Cases(h Harness) []contracttest.Case {
	s := suite{h}
	return slices.Concat(
		s.served(find, s.finds()), s.finding().Cases(h.Harness),
		s.served(represents, s.mandates()), s.representing().Cases(h.Harness),
		s.served(represented, s.portfolios()), s.holding().Cases(h.Harness),
		[]rule{h.NeverAnAnswer(s.truths()...), h.SecrecyCase(s.secrets(), s.everything)},
	)
}

type suite struct{ Harness }

// unserved says why the cases of an operation do not apply; empty: it is served.
func (s suite) unserved(op *contracts.OpInfo) string {
	if s.Ops == nil || slices.Contains(s.Ops, op) {
		return ""
	}
	return "the harness declares that this road does not serve " + op.Name
}

// served are the cases of an operation, declared absent where it is not served.
func (s suite) served(op *contracts.OpInfo, cases []rule) []rule {
	if why := s.unserved(op); why != "" {
		for i := range cases {
			cases[i].Absent = why
		}
	}
	return cases
}

func (s suite) knows(a company.Attribute) bool { return slices.Contains(s.Knows, a) }

const noStory = "the harness declares that the road has no such story: "

// absent gives the reason why a case does not apply, where a story is missing.
func absent(missing bool, story string) string {
	if missing {
		return noStory + story
	}
	return ""
}

func (s suite) finds() []rule {
	standing := func(name, field, why string, st Story, want company.Status) rule {
		missing := absent(st.isZero(), field)
		if missing == "" && !s.knows(company.Standing) {
			missing = "the harness declares that this road knows no standing"
		}
		return rule{Name: name, Why: why, Absent: missing, Run: func(x *trial) {
			if c := s.story(x, st); c.Status != want {
				x.Errorf("status %q, want %q", c.Status, want)
			}
		}}
	}
	noDomicile := absent(s.NoDomicile.isZero(), "NoDomicile")
	if noDomicile == "" && !s.knows(company.Domicile) {
		noDomicile = "the harness declares that this road knows no domicile"
	}
	return []rule{
		{
			Name: "find-tells-what-the-register-holds", Why: "what is wrong here is decided upon: the competent office, the right to employ",
			Run: func(x *trial) { s.story(x, s.Active) },
		},
		{
			Name: "find-tells-what-it-cannot-know", Why: "an empty field that is not marked reads as the register's word that there is none",
			Run: func(x *trial) {
				for _, st := range s.stories() {
					c := s.found(x, st.Query)
					for _, a := range company.Attributes() {
						if !s.knows(a) && c.Knows(a) {
							x.Errorf("%s is not marked Unknown, and this road cannot know it", a)
						}
					}
				}
			},
		},
		standing("find-tells-an-active-enterprise", "Active", "only who is active may employ", s.Active, company.Active),
		standing("find-tells-an-inactive-enterprise", "Inactive", "enrolled is not active", s.Inactive, company.Inactive),
		standing("find-tells-a-suspended-enterprise", "Suspended", "who is suspended is for a person to judge, and not gone", s.Suspended, company.Suspended),
		standing("find-tells-a-liquidation", "Liquidation", "who winds up its business may still have rights, and begins nothing new", s.Liquidation, company.Liquidation),
		standing("find-tells-an-insolvency", "Insolvent", "who speaks for an insolvent enterprise is somebody else", s.Insolvent, company.Insolvent),
		standing("find-tells-a-ceased-enterprise", "Ceased", "that it has ceased is an answer; that none was ever enrolled would be another", s.Ceased, company.Ceased),
		{
			Name: "find-guesses-at-no-odd-standing", Why: "a word that nobody agreed on, read as ceased, shuts somebody out; read as active, it lets a ghost employ",
			Absent: absent(s.OddStatus.isZero(), "OddStatus"),
			Run: func(x *trial) {
				c := s.story(x, s.OddStatus)
				if c.Status != "" || c.Knows(company.Standing) {
					x.Errorf("status %q for a word that nobody agreed on, want none, and Unknown", c.Status)
				}
				if got := c.Trading(); got != contracts.CannotTell {
					x.Errorf("trading: %s, want %s", got, contracts.CannotTell)
				}
			},
		},
		{
			Name: "find-tells-that-there-is-no-domicile", Why: "none is an answer, and whoever cannot know it asks elsewhere",
			Absent: noDomicile,
			Run: func(x *trial) {
				if c := s.story(x, s.NoDomicile); !c.Knows(company.Domicile) || !c.Domicile.IsZero() {
					x.Errorf("the domicile is Unknown, or is there, and the register says that there is none")
				}
			},
		},
		{
			Name: "find-goes-by-the-partita-iva", Why: "an employer may know only that number",
			Absent: absent(s.ByPartitaIVA.isZero(), "ByPartitaIVA"),
			Run:    func(x *trial) { s.story(x, s.ByPartitaIVA) },
		},
		{
			Name: "find-tells-every-other-story", Why: "fields that are null, missing or spelled otherwise are still the register's",
			Absent: absent(len(s.Others) == 0, "Others"),
			Run: func(x *trial) {
				for _, st := range s.Others {
					s.story(x, st)
				}
			},
		},
		{
			Name: "find-of-none-is-not-found", Why: "only the register's own word that there is none lets somebody be told so",
			Absent: absent(s.None == company.Query{}, "None"),
			Run: func(x *trial) {
				_, err := s.find(x, s.None)
				contracttest.WantKind(x, err, find.Name, contracts.NotFound)
			},
		},
		{
			Name: "find-of-what-the-far-side-breaks-on-is-not-not-found", Why: "a fault that concerns one enterprise alone looks most like an answer about it",
			Absent: absent(s.Broken == company.Query{}, "Broken"),
			Run: func(x *trial) {
				_, err := s.find(x, s.Broken)
				contracttest.WantKind(x, err, find.Name, broken...)
			},
		},
		{
			Name: "find-of-an-unaskable-code-is-not-not-found", Why: "that a register cannot be asked about a code is no answer about the enterprise",
			Absent: absent(s.Unaskable == company.Query{}, "Unaskable"),
			Run: func(x *trial) {
				_, err := s.find(x, s.Unaskable)
				contracttest.WantKind(x, err, find.Name, contracts.Invalid)
			},
		},
	}
}

// broken is what becomes of a far side that fails about one subject.
var broken = []contracts.Kind{contracts.Unavailable, contracts.Malformed, contracts.Denied, contracts.Throttled, contracts.Pending}

func (s suite) mandates() []rule {
	one := func(name, field, why string, m company.Mandate, want contracts.Finding) rule {
		return rule{Name: name, Why: why, Absent: absent(m == company.Mandate{}, field), Run: func(x *trial) {
			r, err := s.represents(x, m)
			if err != nil {
				x.Fatalf("represents: %v, want a finding", err)
			}
			s.reliable(x, r)
			if r.Represents != want {
				x.Errorf("represents: %s, want %s", r.Represents, want)
			}
		}}
	}
	fails := func(name, field, why string, m company.Mandate, kinds ...contracts.Kind) rule {
		return rule{Name: name, Why: why, Absent: absent(m == company.Mandate{}, field), Run: func(x *trial) {
			_, err := s.represents(x, m)
			contracttest.WantKind(x, err, represents.Name, kinds...)
		}}
	}
	return []rule{
		one("represents-says-yes", "Speaks", "who has the right to sign must be let in", s.Speaks, contracts.Yes),
		one("represents-says-no", "SpeaksNot", "no, by the register's word, is an answer and not a failure", s.SpeaksNot, contracts.No),
		one("represents-says-that-it-cannot-tell", "CannotTell", "an answer that decides nothing, read as no, shuts somebody out", s.CannotTell, contracts.CannotTell),
		one("represents-knows-legal-persons", "LegalPerson", "an enterprise may be represented by another", s.LegalPerson, contracts.Yes),
		fails("represents-of-what-is-not-held-is-not-found", "NotHeld", "another register may know, and is asked only then", s.NotHeld, contracts.NotFound),
		fails("represents-of-what-the-far-side-breaks-on-is-no-answer", "BrokenMandate", "a fault that concerns one person alone looks most like an answer about them", s.BrokenMandate, broken...),
		fails("represents-of-an-unaskable-code-is-no-answer", "UnaskableMandate", "that a register cannot be asked about a code is no answer about the person", s.UnaskableMandate, contracts.Invalid),
	}
}

func (s suite) portfolios() []rule {
	return []rule{
		{
			Name: "represented-lists-several", Why: "an enterprise that is left out cannot be chosen by who speaks for it",
			Run: func(x *trial) { s.holds(x, s.Several) },
		},
		{
			Name: "represented-lists-one", Why: "one is a list too",
			Absent: absent(s.One.isZero(), "One"),
			Run:    func(x *trial) { s.holds(x, s.One) },
		},
		{
			Name: "represented-of-nobody-is-not-found", Why: "none is NotFound, never an empty list",
			Absent: absent(s.Nobody == company.Holder{}, "Nobody"),
			Run: func(x *trial) {
				_, err := s.represented(x, s.Nobody)
				contracttest.WantKind(x, err, represented.Name, contracts.NotFound)
			},
		},
		{
			Name: "represented-agrees-with-represents", Why: "two answers about one mandate cannot both be believed",
			Absent: s.unserved(represents),
			Run: func(x *trial) {
				for _, e := range s.holds(x, s.Several).Enterprises {
					r, err := s.represents(x, company.Mandate{Person: s.Several.Holder.Person, Subject: contracts.Subject{CodiceFiscale: e.CodiceFiscale}})
					if err != nil || r.Represents != contracts.Yes {
						x.Errorf("an enterprise that is listed, asked for alone: %s, %v", r.Represents, err)
					}
				}
			},
		},
	}
}
