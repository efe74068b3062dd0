package taxtest

import (
	"fmt"
	"slices"
	"strings"

	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

func (s suite) coding() contracttest.Probe[tax.CodeQuery, tax.CodeCheck] {
	return contracttest.Probe[tax.CodeQuery, tax.CodeCheck]{
		Name: "code", Op: tax.OpCode, Absent: s.unserved(code), Boundless: true,
		Good:  append([]tax.CodeQuery{s.Valid}, present(s.ValidSuperseded, s.Superseded, s.InvalidCode, s.Unclear)...),
		Wrong: []tax.CodeQuery{{}},
		Lie:   notState(tax.CodeValid),
		Same: func(a, b tax.CodeCheck) bool {
			return a.State == b.State && a.Text == b.Text && a.Register == b.Register
		},
	}
}

// present are the questions that a harness names.
func present[Req comparable](all ...Req) []Req {
	var zero Req
	return slices.DeleteFunc(all, func(q Req) bool { return q == zero })
}

// notState finds untruth in every state but one.
func notState(want tax.CodeState) func(tax.CodeCheck) string {
	return func(c tax.CodeCheck) string {
		if c.State == want {
			return ""
		}
		return fmt.Sprintf("said %q, and the registry would say %q", c.State, want)
	}
}

func (s suite) numbering() contracttest.Probe[tax.VATQuery, tax.VAT] {
	p := contracttest.Probe[tax.VATQuery, tax.VAT]{
		Name: "vat", Op: tax.OpVAT, Absent: s.unserved(vat), Boundless: true, Wrong: []tax.VATQuery{{}},
		Lie:  func(v tax.VAT) string { return misnumbered(s.Active, v) },
		Same: sameVAT,
	}
	for _, st := range s.vatStories() {
		p.Good = append(p.Good, st.Query)
	}
	return p
}

// sameVAT compares two answers to one question, whatever their instants.
func sameVAT(a, b tax.VAT) bool {
	if (a.Member == nil) != (b.Member == nil) || a.Member != nil && *a.Member != *b.Member {
		return false
	}
	a.Member, b.Member, a.AsOf = nil, nil, b.AsOf
	return a == b
}

func (s suite) vatStories() []VATStory {
	all := []VATStory{s.Active}
	for _, st := range append([]VATStory{s.Ceased, s.Suspended, s.Unassigned, s.Group, s.Member, s.UnknownDays, s.OddStatus}, s.OtherVAT...) {
		if !st.isZero() {
			all = append(all, st)
		}
	}
	return all
}

func (s suite) declaring() contracttest.Probe[tax.IncomeQuery, tax.Income] {
	p := contracttest.Probe[tax.IncomeQuery, tax.Income]{
		Name: "income", Op: tax.OpIncome, Absent: s.unserved(income), Boundless: true,
		Wrong: []tax.IncomeQuery{
			{},
			{CodiceFiscale: s.Declared.Query.CodiceFiscale},
			{Year: s.Declared.Query.Year},
			{CodiceFiscale: s.Declared.Query.CodiceFiscale, Year: 1999},
			{CodiceFiscale: s.Declared.Query.CodiceFiscale, Year: 2100},
		},
		Lie:  func(i tax.Income) string { return undeclared(s.Declared, i) },
		Same: func(a, b tax.Income) bool { a.AsOf = b.AsOf; return a == b },
	}
	for _, st := range s.declarations() {
		p.Good = append(p.Good, st.Query)
	}
	p.Good = append(p.Good, present(s.NoneDeclared)...)
	return p
}

// declarations are all incomes that must be told, that of Declared first.
func (s suite) declarations() []IncomeStory {
	all := []IncomeStory{s.Declared}
	for _, st := range append([]IncomeStory{s.Zero, s.Loss, s.NoTurnover, s.OtherYear}, s.OtherIncome...) {
		if !st.isZero() {
			all = append(all, st)
		}
	}
	return all
}

// truths are what no fault may turn into something else. Incomes are not among them: their answers take days, and the
// matrix of faults asks whether they are true as well.
func (s suite) truths() (all []contracttest.Truth) {
	h := s.Harness.Harness
	if s.unserved(code) == "" {
		all = append(all, s.coding().Truth(h))
		if s.InvalidCode != (tax.CodeQuery{}) {
			all = append(all, contracttest.TruthOf(h, "code, where it is invalid", tax.OpCode, s.InvalidCode, notState(tax.CodeInvalid)))
		}
	}
	if s.unserved(vat) == "" {
		all = append(all, s.numbering().Truth(h))
		if !s.Unassigned.isZero() {
			all = append(all, contracttest.TruthOf(h, "vat, where it is unassigned", tax.OpVAT, s.Unassigned.Query,
				func(v tax.VAT) string { return misnumbered(s.Unassigned, v) }))
		}
	}
	return all
}

// everything asks all that the harness names, for what it shows.
func (s suite) everything(h contracttest.Harness, x *trial) {
	s.Harness.Harness = h
	s.coding().Everything(h, x)
	s.numbering().Everything(h, x)
	s.declaring().Everything(h, x)
	if s.unserved(code) == "" {
		for _, q := range present(s.BrokenCode, s.UnaskableCode) {
			_, _ = s.checkCode(x, q)
		}
	}
	if s.unserved(vat) == "" {
		for _, q := range present(s.BrokenVAT, s.UnaskableVAT) {
			_, _ = s.checkVAT(x, q)
		}
	}
	if s.unserved(income) == "" {
		for _, q := range present(s.BrokenIncome, s.UnaskableIncome) {
			_, _ = s.income(x, q)
		}
	}
}

// secrets are every identifier, name and amount that the harness names: amounts as the contract writes them, with a
// comma, and as Go prints a Money that nobody masks; from a thousand euro on, since smaller numbers stand in logs for
// other reasons.
func (s suite) secrets() []string {
	var all []string
	add := func(texts ...string) {
		for _, text := range texts {
			if text != "" && !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	amount := func(m tax.Money) {
		if cents, known := m.Cents(); known && (cents >= 100_000 || cents <= -100_000) {
			text, _ := m.MarshalText()
			add(string(text), strings.ReplaceAll(string(text), ".", ","), fmt.Sprintf("{%d true}", cents), fmt.Sprintf("cents:%d,", cents))
		}
	}
	for _, q := range append(s.coding().Good, s.BrokenCode, s.UnaskableCode) {
		add(q.CodiceFiscale.Reveal())
	}
	for _, st := range s.vatStories() {
		add(st.Query.PartitaIVA.Reveal(), st.Holds.Name.Reveal())
		if st.Holds.Member != nil {
			add(st.Holds.Member.Group.Reveal())
		}
	}
	add(s.BrokenVAT.PartitaIVA.Reveal(), s.UnaskableVAT.PartitaIVA.Reveal())
	for _, st := range s.declarations() {
		add(st.Query.CodiceFiscale.Reveal())
		amount(st.Holds.Income)
		amount(st.Holds.Turnover)
	}
	for _, q := range []tax.IncomeQuery{s.NoneDeclared, s.BrokenIncome, s.UnaskableIncome} {
		add(q.CodiceFiscale.Reveal())
	}
	return all
}
