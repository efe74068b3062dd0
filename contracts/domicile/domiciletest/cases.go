package domiciletest

import (
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
)

type (
	trial = contracttest.T
	rule  = contracttest.Case
)

var (
	lookup = domicile.OpLookup.OpInfo
	verify = domicile.OpVerify.OpInfo
)

// Cases lists the suite's cases for a harness, in the order in which they run.
func Cases(h Harness) []contracttest.Case {
	s := suite{h}
	return slices.Concat(s.lookups(), s.claims(), s.lists(), s.looking().Cases(h.Harness), s.verifyFaults(), []rule{h.NeverAnAnswer(s.truths()...), h.SecrecyCase(s.secrets(), s.everything)})
}

type suite struct{ Harness }

// ask does one look-up as the suite's caller.
func (s suite) ask(x *trial, q domicile.Query) (domicile.Answer, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return domicile.Via(s.Through()).Lookup(ctx, q)
}

func (s suite) verify(x *trial, c domicile.Claim) (domicile.Verdict, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return domicile.Via(s.Through()).Verify(ctx, c)
}

// found does a look-up that must find something, and checks what every answer must be.
func (s suite) found(x *trial, q domicile.Query) domicile.Answer {
	a, err := s.ask(x, q)
	if err != nil {
		x.Fatalf("lookup: %v, want a domicile", err)
	}
	s.sound(x, q, a)
	return a
}

// sound checks what every answer must be.
func (s suite) sound(x *trial, q domicile.Query, a domicile.Answer) {
	if len(a.Domiciles) == 0 {
		x.Errorf("an answer without a domicile: none is NotFound, never an empty list")
	}
	if a.AsOf.IsZero() {
		x.Errorf("as_of is missing: nobody can say for which instant the register answers")
	}
	for i, d := range a.Domiciles {
		if d.Address.IsZero() {
			x.Errorf("domicile %d has no address", i)
		}
		if d.Register == "" || s.Register != "" && d.Register != s.Register {
			x.Errorf("domicile %d is vouched for by %q, want %q", i, d.Register, s.Register)
		}
		if want := roles[q.Capacity]; want != "" && d.Role != want {
			x.Errorf("domicile %d has role %q for somebody asked for as %s, want %q", i, d.Role, q.Capacity, want)
		}
		if !d.Until.IsZero() && d.Until.Before(a.AsOf) {
			x.Errorf("domicile %d had ceased when the register answered", i)
		}
		for _, e := range a.Domiciles[:i] {
			if e.Address.Equal(d.Address) && e.Profession == d.Profession {
				x.Errorf("domicile %d stands twice", i)
			}
		}
	}
}

// roles are what an address must be for the capacity asked; a body's is not told apart by registers.
var roles = map[domicile.Capacity]string{
	domicile.Enterprise:   "enterprise",
	domicile.Person:       "personal",
	domicile.Professional: "professional",
}

const noStory = "the harness declares that the register has no such story: "

// absent gives the reason why a case does not apply, where a story is missing.
func absent(missing bool, story string) string {
	if missing {
		return noStory + story
	}
	return ""
}

func (s suite) lookups() []rule {
	return []rule{
		{
			Name: "lookup-finds-the-domicile-in-force", Why: "the first address is the one to which acts are sent",
			Run: func(x *trial) { s.story(x, s.Found) },
		},
		{
			Name: "lookup-of-none-is-not-found", Why: "only the register's own word that there is none lets the procedure go on without a domicile",
			Absent: absent(isZero(s.None), "None"),
			Run:    func(x *trial) { s.notFound(x, s.None) },
		},
		{
			Name: "lookup-of-a-ceased-domicile-is-not-found", Why: "an act sent to an address that has ceased is void",
			Absent: absent(isZero(s.Ceased), "Ceased"),
			Run:    func(x *trial) { s.notFound(x, s.Ceased) },
		},
		{
			Name: "lookup-tells-until-when", Why: "an address that will cease is valid today, and the caller must know for how long",
			Absent: absent(isZero(s.Ceasing.Query), "Ceasing"),
			Run: func(x *trial) {
				a := s.story(x, s.Ceasing)
				if d := a.Domiciles[0]; d.Until.IsZero() || !d.Until.After(a.AsOf) {
					x.Errorf("until is missing or past for an address that will cease")
				}
			},
		},
		{
			Name: "lookup-gives-several-in-order", Why: "the one to use stands first; which one that is must not depend on the register's mood",
			Absent: absent(isZero(s.Several.Query), "Several"),
			Run: func(x *trial) {
				if a := s.story(x, s.Several); len(a.Domiciles) < 2 {
					x.Errorf("one domicile, want several")
				}
			},
		},
		{
			Name: "lookup-in-another-capacity-is-not-found", Why: "a lawyer who hires a carer asks as a person, and the order's address must not answer",
			Absent: absent(isZero(s.OtherCapacity), "OtherCapacity"),
			Run:    func(x *trial) { s.notFound(x, s.OtherCapacity) },
		},
		{
			Name: "lookup-of-an-unaskable-code-is-not-not-found", Why: "that a register cannot be asked about a code is no answer about the person",
			Absent: absent(isZero(s.Unaskable), "Unaskable"),
			Run: func(x *trial) {
				_, err := s.ask(x, s.Unaskable)
				contracttest.WantKind(x, err, lookup.Name, contracts.Invalid)
			},
		},
	}
}

// story checks a subject against what the register must say of it.
func (s suite) story(x *trial, st Story) domicile.Answer {
	a := s.found(x, st.Query)
	if len(a.Domiciles) == 0 {
		x.Fatalf("nothing to compare")
	}
	if !st.told(a) {
		x.Errorf("%d domiciles, want %d, or not those of the story, or not in its order", len(a.Domiciles), len(st.Addresses))
	}
	if !st.Until.IsZero() && !a.Domiciles[0].Until.Equal(st.Until) {
		x.Errorf("until is %v, want %v", a.Domiciles[0].Until, st.Until)
	}
	return a
}

// told reports whether the addresses are those of the story, where it names any.
func (st Story) told(a domicile.Answer) bool {
	return st.Addresses == nil || slices.EqualFunc(a.Domiciles, st.Addresses,
		func(d contracts.DigitalDomicile, want contracts.Address) bool { return d.Address.Equal(want) })
}

func (s suite) notFound(x *trial, q domicile.Query) {
	_, err := s.ask(x, q)
	contracttest.WantKind(x, err, lookup.Name, contracts.NotFound)
}

func (s suite) claims() []rule {
	one := func(name, story, why string, c domicile.Claim, want bool) rule {
		return rule{Name: name, Why: why, Absent: absent(c == domicile.Claim{}, story), Run: func(x *trial) {
			v, err := s.verify(x, c)
			if err != nil {
				x.Fatalf("verify: %v, want a verdict: that it is not theirs is an answer too", err)
			}
			if v.Theirs != want {
				x.Errorf("theirs is %t, want %t", v.Theirs, want)
			}
			if v.CheckedAt.IsZero() {
				x.Errorf("checked_at is missing: the verdict proves nothing")
			}
		}}
	}
	return []rule{
		one("verify-confirms-their-address", "Theirs", "the proof that a notice went to the right place", s.Theirs, true),
		one("verify-denies-another-address", "NotTheirs", "false is an answer with authority, not a failure", s.NotTheirs, false),
		one("verify-goes-by-the-day-past", "PastTheirs", "a dispute is about the day of sending, not about today", s.PastTheirs, true),
		one("verify-denies-before-the-day", "PastNotTheirs", "an address elected later does not heal an earlier notice", s.PastNotTheirs, false),
		{
			Name: "verify-refuses-a-wrong-claim-before-the-wire", Why: "a claim without address or day asks nothing",
			Absent: absent(s.Theirs == domicile.Claim{}, "Theirs"),
			Run: func(x *trial) {
				for _, spoil := range []func(*domicile.Claim){
					func(c *domicile.Claim) { c.Address = contracts.Address{} },
					func(c *domicile.Claim) { c.At = time.Time{} },
					func(c *domicile.Claim) { c.Subject = contracts.Subject{} },
					func(c *domicile.Claim) { c.Capacity = "" },
				} {
					c := s.Theirs
					spoil(&c)
					before := s.Sent()
					_, err := s.verify(x, c)
					contracttest.WantKind(x, err, verify.Name, contracts.Invalid)
					if n := s.Sent() - before; n != 0 {
						x.Errorf("%d exchanges reached the register, want none", n)
					}
				}
			},
		},
	}
}

// queries are all look-ups that the register can be asked.
func (s suite) queries() []domicile.Query {
	all := []domicile.Query{s.Found.Query}
	for _, q := range []domicile.Query{s.None, s.Ceased, s.Ceasing.Query, s.Several.Query, s.OtherCapacity} {
		if !isZero(q) {
			all = append(all, q)
		}
	}
	return all
}

func (s suite) lists() []rule {
	noList := ""
	if s.List == nil {
		noList = "the harness declares that the register has no second, list form"
	}
	return []rule{
		{
			Name: "list-answers-like-single-questions", Why: "which form was used depends on the hour, and the answer must not",
			Absent: noList,
			Run: func(x *trial) {
				qs := s.queries()
				ctx, stop := s.Ask(x.Context())
				got, err := s.List(ctx, qs)
				stop()
				if err != nil {
					x.Fatalf("list: %v", err)
				}
				if len(got) != len(qs) {
					x.Fatalf("%d answers to %d questions", len(got), len(qs))
				}
				for i, q := range qs {
					single, err := s.ask(x, q)
					s.looking().Alike(x, i, single, err, got[i].Value, got[i].Err)
				}
			},
		},
	}
}

// alike reports whether two answers name the same domiciles in the same order.
func alike(a, b domicile.Answer) bool { return slices.EqualFunc(a.Domiciles, b.Domiciles, equal) }

func equal(a, b contracts.DigitalDomicile) bool {
	return a.Address.Equal(b.Address) && a.Register == b.Register && a.Role == b.Role && a.Profession == b.Profession &&
		a.Since.Equal(b.Since) && a.Until.Equal(b.Until)
}
