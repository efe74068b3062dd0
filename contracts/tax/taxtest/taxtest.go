// Package taxtest is the conformance suite of the need to know what the tax administration holds about an employer: what
// every Registry must do, whichever service stands behind it.
package taxtest

import (
	"context"
	"slices"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

// A VATStory is a partita IVA of the cast and what must be told of it: everything but Register and AsOf, and the name
// only where it is not empty here. A date of the wire that means "unknown" or "open" is empty here.
type VATStory struct {
	Query tax.VATQuery
	Holds tax.VAT
}

// An IncomeStory is a taxpayer and a year of the cast and what must be told of them: income and turnover, absent or zero
// as they are here, and the day of the declaration where it is not empty here.
type IncomeStory struct {
	Query tax.IncomeQuery
	Holds tax.Income
}

// A Harness is a registry under test and its cast, each subject named for its story. A zero subject declares that the
// registry has no such story: the case is then skipped with that reason.
type Harness struct {
	contracttest.Harness

	Register string // as it stands in the answers: "Anagrafe tributaria"
	// Ops are the operations that are served; nil: all of tax.Ops.
	Ops []*contracts.OpInfo

	// The codes; none of it matters where tax.code is not served.
	Valid           tax.CodeQuery // required
	ValidSuperseded tax.CodeQuery
	Superseded      tax.CodeQuery
	InvalidCode     tax.CodeQuery // unknown to the registry: an answer
	Unclear         tax.CodeQuery // answered in words that nobody agreed on
	BrokenCode      tax.CodeQuery // about this one the far side only ever fails: 500, noise
	UnaskableCode   tax.CodeQuery // a well-formed code that the registry's own contract refuses

	// The numbers; none of it matters where tax.vat is not served.
	Active       VATStory // required
	Ceased       VATStory
	Suspended    VATStory
	Unassigned   VATStory // an answer
	Group        VATStory // the number of a VAT group
	Member       VATStory // takes part in a VAT group
	UnknownDays  VATStory // days that the wire fills with dates before and beyond all time
	OddStatus    VATStory // assigned, in a state told in a word that nobody agreed on
	OtherVAT     []VATStory
	BrokenVAT    tax.VATQuery
	UnaskableVAT tax.VATQuery

	// The declarations; none of it matters where tax.income is not served.
	Declared        IncomeStory // required
	Zero            IncomeStory // declared zero
	Loss            IncomeStory // declared less than zero
	NoTurnover      IncomeStory // need not declare a turnover: absent, which is not zero
	OtherYear       IncomeStory // the taxpayer of Declared, in another year, with another income
	OtherIncome     []IncomeStory
	NoneDeclared    tax.IncomeQuery // nothing was declared, by the registry's own word: NotFound
	UnaskableIncome tax.IncomeQuery // the registry refuses the code: Invalid
	BrokenIncome    tax.IncomeQuery
	// List asks for many incomes at once in the registry's list form; nil: it has none.
	List func(ctx context.Context, qs []tax.IncomeQuery) ([]contracts.Result[tax.Income], error)
}

// Code asks about a code of a test's own words; one that is none is the test's fault: it panics.
func Code(cf string) tax.CodeQuery {
	return tax.CodeQuery{CodiceFiscale: contracttest.Sure(contracts.ParseCodiceFiscale(cf))}
}

// VAT asks about a number, like Code.
func VAT(number string) tax.VATQuery {
	return tax.VATQuery{PartitaIVA: contracttest.Sure(contracts.ParsePartitaIVA(number))}
}

// Income asks about a taxpayer and a year, like Code.
func Income(cf string, year int) tax.IncomeQuery {
	return tax.IncomeQuery{CodiceFiscale: contracttest.Sure(contracts.ParseCodiceFiscale(cf)), Year: year}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	s := suite{h}
	switch {
	case s.unserved(code) == "" && h.Valid == tax.CodeQuery{}:
		t.Fatal("harness: Valid is required: a registry in which no code is valid proves nothing")
	case s.unserved(vat) == "" && h.Active.isZero():
		t.Fatal("harness: Active is required: a registry in which no number is active proves nothing")
	case s.unserved(income) == "" && h.Declared.isZero():
		t.Fatal("harness: Declared is required: a registry in which nothing was declared proves nothing")
	case !slices.ContainsFunc([]*contracts.OpInfo{code, vat, income}, func(op *contracts.OpInfo) bool { return s.unserved(op) == "" }):
		t.Fatal("harness: Ops names no operation of this need")
	}
	contracttest.Run(t, h.Harness, Cases(h))
}

func (s VATStory) isZero() bool    { return s.Query == tax.VATQuery{} }
func (s IncomeStory) isZero() bool { return s.Query == tax.IncomeQuery{} }
