package taxtest

import (
	"time"

	"raccordo/contracts"
	"raccordo/contracts/tax"
)

func (s suite) checkCode(x *trial, q tax.CodeQuery) (tax.CodeCheck, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return tax.Via(s.Through()).CheckCode(ctx, q)
}

func (s suite) checkVAT(x *trial, q tax.VATQuery) (tax.VAT, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return tax.Via(s.Through()).CheckVAT(ctx, q)
}

func (s suite) income(x *trial, q tax.IncomeQuery) (tax.Income, error) {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	return tax.Via(s.Through()).Income(ctx, q)
}

// vouched checks what every answer must be.
func (s suite) vouched(x *trial, register string, asOf time.Time) {
	if register != s.Register {
		x.Errorf("vouched for by %q, want %q", register, s.Register)
	}
	if asOf.IsZero() {
		x.Errorf("as_of is missing: nobody can say for which instant the registry answers")
	}
}

// number asks for a partita IVA and checks what is told against what the registry holds.
func (s suite) number(x *trial, st VATStory) tax.VAT {
	v, err := s.checkVAT(x, st.Query)
	if err != nil {
		x.Fatalf("vat: %v, want an answer: that a number is not assigned is one too", err)
	}
	s.vouched(x, v.Register, v.AsOf)
	if lie := misnumbered(st, v); lie != "" {
		x.Errorf("%s", lie)
	}
	return v
}

// misnumbered says what is untrue in an answer about a number; empty: nothing.
func misnumbered(st VATStory, v tax.VAT) string {
	want := st.Holds
	for _, d := range []contracts.Date{v.Since, v.Ceased, v.Suspended} {
		if lie := noDay(d); lie != "" {
			return lie
		}
	}
	if v.Member != nil {
		if lie := noDay(v.Member.Since); lie != "" {
			return lie
		}
	}
	switch {
	case v.Assigned != want.Assigned:
		return "assigned is not what the registry says"
	case v.Status != want.Status:
		return "status " + string(v.Status) + ", want " + string(want.Status)
	case v.Group != want.Group:
		return "group is not what the registry says"
	case (v.Member == nil) != (want.Member == nil), v.Member != nil && *v.Member != *want.Member:
		return "the membership is not what the registry says"
	case v.Since != want.Since, v.Ceased != want.Ceased, v.Suspended != want.Suspended:
		return "a day is not what the registry says"
	case !v.Assigned && !v.Name.IsZero():
		return "a name for a number that nobody bears"
	case !want.Name.IsZero() && v.Name != want.Name:
		return "the name is not what the registry says"
	}
	return ""
}

// noDay says why a day that is told is none.
func noDay(d contracts.Date) string {
	if d.IsZero() {
		return ""
	}
	if _, err := contracts.ParseDate(string(d)); err != nil {
		return "a day is told in another notation than the contract's"
	}
	if d < "1861" || d > "9000" { // before the state, and beyond all plans
		return "a day before or beyond all time is told: on the wire it means that none is known"
	}
	return ""
}

// declared asks for an income and checks what is told against what the registry holds.
func (s suite) declared(x *trial, st IncomeStory) {
	i, err := s.income(x, st.Query)
	if err != nil {
		x.Fatalf("income: %v, want an answer", err)
	}
	s.vouched(x, i.Register, i.AsOf)
	if lie := undeclared(st, i); lie != "" {
		x.Errorf("%s", lie)
	}
}

// undeclared says what is untrue in an answer about an income; empty: nothing. Amounts are not told.
func undeclared(st IncomeStory, i tax.Income) string {
	want := st.Holds
	switch {
	case i.Year != st.Query.Year:
		return "the year is another than was asked for"
	case i.Income.IsZero() != want.Income.IsZero():
		return "the income is there, or is not, otherwise than the registry says"
	case i.Income != want.Income:
		return "the income is not what was declared"
	case i.Turnover.IsZero() != want.Turnover.IsZero():
		return "the turnover is there, or is not, otherwise than the registry says"
	case i.Turnover != want.Turnover:
		return "the turnover is not what was declared"
	case !want.Presented.IsZero() && i.Presented != want.Presented:
		return "the day of the declaration is not what the registry says"
	}
	return noDay(i.Presented)
}
