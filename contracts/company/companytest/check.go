package companytest

import (
	"slices"

	"raccordo/contracts"
	"raccordo/contracts/company"
)

func (s suite) find(x *trial, q company.Query) (company.Company, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return company.Via(s.Through()).Find(ctx, q)
}

func (s suite) represents(x *trial, m company.Mandate) (company.Representation, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return company.Via(s.Through()).Represents(ctx, m)
}

func (s suite) represented(x *trial, h company.Holder) (company.Portfolio, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return company.Via(s.Through()).Represented(ctx, h)
}

// found asks for an enterprise that must be found, and checks what every answer must be.
func (s suite) found(x *trial, q company.Query) company.Company {
	c, err := s.find(x, q)
	if err != nil {
		x.Fatalf("find: %v, want an enterprise", err)
	}
	if c.CodiceFiscale.IsZero() {
		x.Errorf("the codice fiscale is missing")
	}
	if asked := q.Subject.CodiceFiscale; !asked.IsZero() && c.CodiceFiscale != asked {
		x.Errorf("the answer bears another codice fiscale than was asked for")
	}
	if asked := q.Subject.PartitaIVA; !asked.IsZero() && !c.PartitaIVA.IsZero() && c.PartitaIVA != asked {
		x.Errorf("the answer bears another partita IVA than was asked for")
	}
	if c.Register != s.Register {
		x.Errorf("vouched for by %q, want %q", c.Register, s.Register)
	}
	if c.AsOf.IsZero() {
		x.Errorf("as_of is missing: nobody can say for which instant the register answers")
	}
	for i, a := range c.Unknown {
		switch {
		case !slices.Contains(company.Attributes(), a):
			x.Errorf("%q among Unknown is no attribute", a)
		case slices.Contains(c.Unknown[:i], a):
			x.Errorf("%s stands twice among Unknown", a)
		case !empty(c, a):
			x.Errorf("%s is Unknown, and is told", a)
		}
	}
	s.wellFormed(x, c)
	return c
}

// wellFormed checks what is told against the notation of the contract.
func (s suite) wellFormed(x *trial, c company.Company) {
	if c.Status != "" && !c.Status.Valid() {
		x.Errorf("status %q is none of the contract's", c.Status)
	}
	if c.Status == "" && c.Knows(company.Standing) {
		x.Errorf("the standing is known, and there is none: an enterprise has one")
	}
	for _, a := range c.Activities {
		if a.Code == "" {
			x.Errorf("an activity without a code")
		}
	}
	if p := c.Seat.Province; p != "" && !letters(p) {
		x.Errorf("the seat's province is not two capital letters")
	}
	if p := c.Seat.CAP; p != "" && !digits(p, 5, 5) {
		x.Errorf("the seat's CAP is not five digits")
	}
	if !c.REA.IsZero() && (!letters(c.REA.Chamber) || !digits(c.REA.Number, 1, 9)) {
		x.Errorf("the REA is not two capital letters and up to nine digits")
	}
	if d := c.Registered; !d.IsZero() {
		if _, err := contracts.ParseDate(string(d)); err != nil {
			x.Errorf("the day of enrolment is not a day")
		}
	}
}

func letters(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func digits(s string, least, most int) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) >= least && len(s) <= most
}

// story asks for an enterprise and checks what is told against what the register holds.
func (s suite) story(x *trial, st Story) company.Company {
	c := s.found(x, st.Query)
	if lie := s.lie(st, c); lie != "" {
		x.Errorf("%s", lie)
	}
	return c
}

// lie says what is untrue in an answer about a story; empty: nothing.
func (s suite) lie(st Story, c company.Company) string {
	for _, a := range s.Knows {
		switch {
		case slices.Contains(st.Untold, a):
			if c.Knows(a) {
				return string(a) + " is told, and the register told it not, or not in words agreed on: it is Unknown"
			}
		case slices.Contains(st.Lacks, a):
			if !c.Knows(a) || !empty(c, a) {
				return string(a) + " is told or Unknown, and the register says that there is none"
			}
		case !empty(st.Holds, a):
			if !c.Knows(a) {
				return string(a) + " is Unknown, and the register told it"
			}
			if !agrees(c, st.Holds, a) {
				return string(a) + " is not what the register holds"
			}
		}
	}
	want := st.Holds
	if !want.CodiceFiscale.IsZero() && c.CodiceFiscale != want.CodiceFiscale || !want.PartitaIVA.IsZero() && !c.PartitaIVA.IsZero() && c.PartitaIVA != want.PartitaIVA {
		return "the codes are another's"
	}
	return ""
}

// empty reports whether nothing is told of an attribute.
func empty(c company.Company, a company.Attribute) bool {
	switch a {
	case company.Name:
		return c.Name.IsZero()
	case company.Standing:
		return c.Status == ""
	case company.Form:
		return c.LegalForm.IsZero()
	case company.Activity:
		return len(c.Activities) == 0
	case company.Office:
		return c.Seat.IsZero()
	case company.Domicile:
		return c.Domicile.IsZero()
	case company.Number:
		return c.REA.IsZero()
	}
	return c.Registered.IsZero()
}

// agrees compares one attribute of an answer with what must be told.
func agrees(got, want company.Company, a company.Attribute) bool {
	switch a {
	case company.Name:
		return got.Name == want.Name
	case company.Standing:
		return got.Status == want.Status
	case company.Form:
		return coded(got.LegalForm, want.LegalForm)
	case company.Activity:
		return slices.EqualFunc(got.Activities, want.Activities, coded)
	case company.Office:
		g, w := got.Seat, want.Seat
		return either(g.Comune, w.Comune) && either(g.Province, w.Province) && either(g.CAP, w.CAP) && either(g.Street.Reveal(), w.Street.Reveal())
	case company.Domicile:
		return got.Domicile.Equal(want.Domicile)
	case company.Number:
		return got.REA == want.REA
	}
	return got.Registered == want.Registered
}

func coded(got, want company.Coded) bool {
	return either(got.Code, want.Code) && either(got.Text, want.Text)
}

// either: the same, or not told by the story.
func either(got, want string) bool { return want == "" || got == want }

// sameCompany compares two answers to one question, whatever their instants.
func sameCompany(a, b company.Company) bool {
	for _, at := range company.Attributes() {
		if a.Knows(at) != b.Knows(at) || !agrees(a, b, at) || !agrees(b, a, at) {
			return false
		}
	}
	return a.CodiceFiscale == b.CodiceFiscale && a.PartitaIVA == b.PartitaIVA && a.Register == b.Register
}

// reliable checks what every finding must be.
func (s suite) reliable(x *trial, r company.Representation) {
	if r.Register != s.Register {
		x.Errorf("vouched for by %q, want %q", r.Register, s.Register)
	}
	if r.AsOf.IsZero() {
		x.Errorf("as_of is missing: nobody can say for which instant the register answers")
	}
	if tells := r.Represents == contracts.CannotTell; tells != (r.Reason != "") {
		x.Errorf("%s with reason %q: a reason stands with cannot_tell, and always", r.Represents, r.Reason)
	}
}

// holds asks for a portfolio and checks it against what the register holds.
func (s suite) holds(x *trial, h Holding) company.Portfolio {
	p, err := s.represented(x, h.Holder)
	if err != nil {
		x.Fatalf("represented: %v, want enterprises", err)
	}
	if p.Register != s.Register {
		x.Errorf("vouched for by %q, want %q", p.Register, s.Register)
	}
	if p.AsOf.IsZero() {
		x.Errorf("as_of is missing: nobody can say for which instant the register answers")
	}
	if lie := untruth(h, p); lie != "" {
		x.Errorf("%s", lie)
	}
	return p
}

// untruth says what is untrue in a portfolio; empty: nothing.
func untruth(h Holding, p company.Portfolio) string {
	if len(p.Enterprises) != len(h.Enterprises) {
		return "more enterprises, or fewer, than the register holds"
	}
	for i, e := range p.Enterprises {
		if slices.ContainsFunc(p.Enterprises[:i], func(o company.Represented) bool { return o.CodiceFiscale == e.CodiceFiscale }) {
			return "an enterprise stands twice"
		}
		at := slices.IndexFunc(h.Enterprises, func(w company.Represented) bool { return w.CodiceFiscale == e.CodiceFiscale })
		if at < 0 {
			return "an enterprise that the register does not list"
		}
		if w := h.Enterprises[at]; !either(e.Name.Reveal(), w.Name.Reveal()) {
			return "the name of an enterprise is not what the register holds"
		}
	}
	return ""
}
