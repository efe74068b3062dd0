package hub_test

import (
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/tax"
	"raccordo/contracts/tax/taxtest"
)

// The tax agency's four services through the pipeline and across the network.

func TestTaxSuiteOnTheAgency(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			h := r.harness(f, "entrate", capture)
			h.Wire = "entrate POST /verifica"
			h.Known = []string{"code-503-once", "vat-503-once"} // the gateway asks for more patience than a call has
			code := func(story string) tax.CodeQuery { return taxtest.Code(r.bench.Who(story).CodiceFiscale) }
			vat := func(story string, holds tax.VAT) taxtest.VATStory {
				return taxtest.VATStory{Query: taxtest.VAT(r.bench.Who(story).PartitaIVA), Holds: holds}
			}
			taxtest.Run(t, taxtest.Harness{
				Harness: h, Register: "Anagrafe tributaria", Ops: []*contracts.OpInfo{tax.OpCode.OpInfo, tax.OpVAT.OpInfo},
				Valid: code("personal-domicile"), Superseded: code("entrate-code-superseded"),
				InvalidCode: code("entrate-code-unknown"), Unclear: code("entrate-code-words-no"), BrokenCode: code("entrate-code-500"),
				Active:     vat("entrate-vat-undated", tax.VAT{Assigned: true, Status: tax.VATActive}),
				Unassigned: vat("entrate-vat-unassigned", tax.VAT{}),
			})
		})
	}
}

func TestTaxSuiteOnTheAgencysIncomes(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			h := r.harness(f, "entrate", capture)
			h.Wire, h.Ticketed = "entrate POST /redditi/*", true
			income := func(story string, year int) taxtest.IncomeStory {
				m := r.bench.Who(story)
				return taxtest.IncomeStory{
					Query: taxtest.Income(m.CodiceFiscale, year),
					Holds: tax.Income{Year: year, Income: tax.Euro(declared(m.CodiceFiscale, year))},
				}
			}
			zero := income("entrate-income-zero", 2024)
			zero.Holds.Income, zero.Holds.Turnover = tax.Euro(0), tax.Euro(0)
			taxtest.Run(t, taxtest.Harness{
				Harness: h, Register: "Anagrafe tributaria", Ops: []*contracts.OpInfo{tax.OpIncome.OpInfo},
				Declared: income("personal-domicile", 2024), OtherYear: income("personal-domicile", 2023), Zero: zero,
				NoneDeclared:    income("entrate-income-none", 2024).Query,
				UnaskableIncome: income("entrate-income-wrong-code", 2024).Query,
			})
		})
	}
}

func TestCompanySuiteOnTheAgency(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			h := r.harness(f, "entrate", capture)
			h.Wire = "entrate POST /SPCBooleanoRappWS/*"
			h.Known = []string{"represents-500-once"} // a SOAP fault is an answer: it is not repeated
			no := mandate(r.bench.Who("entrate-body"))
			no.Person = mandate(r.bench.Who("body-with-domicile")).Person
			companytest.Run(t, companytest.Harness{
				Harness: h, Register: "Anagrafe tributaria", Ops: []*contracts.OpInfo{company.OpRepresents.OpInfo},
				Speaks: mandate(r.bench.Who("entrate-body")), SpeaksNot: no,
				CannotTell:         mandate(r.bench.Who("entrate-body-no-verdict")),
				BrokenMandate:      mandate(r.bench.Who("entrate-body-timeout")),
				NotCoveredMandates: []company.Mandate{companytest.Mandate(no.Person.Reveal(), r.bench.Who("personal-domicile").CodiceFiscale, "")},
			})
		})
	}
}
