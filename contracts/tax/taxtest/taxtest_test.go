package taxtest_test

import (
	"context"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
	"raccordo/contracts/tax/taxtest"
)

func vatStory(p string) taxtest.VATStory {
	return taxtest.VATStory{Query: taxtest.VAT(p), Holds: number(p)}
}

func incomeStory(cf string, year int) taxtest.IncomeStory {
	return taxtest.IncomeStory{Query: taxtest.Income(cf, year), Holds: declaration(cf, year)}
}

func harness(m mistake) taxtest.Harness {
	r := &registry{contracttest.NewMistaken(today, m)}
	rig, run := r.Harness(r)
	rig.Ticketed = true
	return taxtest.Harness{
		Harness:  rig,
		Register: "MEMORY",

		Valid: taxtest.Code(valid), ValidSuperseded: taxtest.Code(replaced), Superseded: taxtest.Code(superseded),
		InvalidCode: taxtest.Code(invalid), Unclear: taxtest.Code(unclear),
		BrokenCode: taxtest.Code(brokenCode), UnaskableCode: taxtest.Code(unaskableCode),

		Active: vatStory(active), Ceased: vatStory(ceased), Suspended: vatStory(suspended), Unassigned: vatStory(unassigned),
		Group: vatStory(group), Member: vatStory(member), UnknownDays: vatStory(timeless), OddStatus: vatStory(odd),
		OtherVAT: []taxtest.VATStory{vatStory(plain)}, BrokenVAT: taxtest.VAT(brokenVAT), UnaskableVAT: taxtest.VAT(unaskableVAT),

		Declared: incomeStory(valid, 2025), Zero: incomeStory(zero, 2025), Loss: incomeStory(loss, 2025),
		NoTurnover: incomeStory(noTurnover, 2025), OtherYear: incomeStory(valid, 2024),
		OtherIncome:  []taxtest.IncomeStory{incomeStory(late, 2023)},
		NoneDeclared: taxtest.Income(noneDeclared, 2025), BrokenIncome: taxtest.Income(brokenIncome, 2025),
		UnaskableIncome: taxtest.Income(wrong, 2025),
		List: func(ctx context.Context, qs []tax.IncomeQuery) ([]contracts.Result[tax.Income], error) {
			return contracttest.List(ctx, run, tax.OpIncome, qs)
		},
	}
}

func TestRightAdapterPasses(t *testing.T) {
	t.Parallel()
	taxtest.Run(t, harness(""))
}

// reds names, for each case, a mistake that the case must find.
func reds() map[string]mistake {
	all := map[string]mistake{
		"code-in-use-is-valid":                              "everything is invalid",
		"code-replaced-and-in-use-is-told-apart":            "goes by the flag alone",
		"code-replaced-is-told-apart":                       "goes by the flag alone",
		"code-unknown-is-invalid":                           "invalid is not found",
		"code-of-odd-words-is-unclear":                      "goes by the flag alone",
		"code-that-the-far-side-breaks-on-is-no-answer":     "broken is an answer",
		"code-that-is-unaskable-is-no-answer":               "unaskable is an answer",
		"vat-active-is-told":                                "everything is unassigned",
		"vat-ceased-is-told":                                "assigned is active",
		"vat-suspended-is-told":                             "assigned is active",
		"vat-unassigned-is-told":                            "unassigned is not found",
		"vat-of-a-group-is-no-employer":                     "overlooks groups",
		"vat-of-a-member-names-the-group":                   "overlooks groups",
		"vat-of-an-odd-status-is-not-guessed":               "odd is ceased",
		"vat-leaves-unknown-days-empty":                     "tells days beyond all time",
		"vat-tells-every-other-story":                       "forgets the day",
		"vat-that-the-far-side-breaks-on-is-no-answer":      "broken is an answer",
		"vat-that-is-unaskable-is-no-answer":                "unaskable is an answer",
		"income-tells-what-was-declared":                    "another's income",
		"income-of-zero-is-zero":                            "zero is nothing",
		"income-of-a-loss-is-negative":                      "loses the sign",
		"income-without-turnover-is-not-a-turnover-of-zero": "no turnover is zero",
		"income-goes-by-the-year":                           "any year will do",
		"income-tells-every-other-story":                    "forgets the day",
		"income-of-none-declared-is-not-found":              "none declared is zero",
		"income-that-the-far-side-breaks-on-is-no-answer":   "broken is an answer",
		"income-that-is-unaskable-is-no-answer":             "unaskable is an answer",
		"income-list-gives-each-its-own":                    "swaps two",
		"income-list-goes-by-the-order-asked":               "answers in its own order",
		"income-list-of-one-is-a-list":                      "a list of one is none",
		"income-tickets-keep-their-own-answers":             "any year will do",
		"a-fault-is-never-an-answer":                        contracttest.FaultsAreNotFound,
		"nobody-can-be-read-of":                             "logs the subject",
	}
	for _, op := range []string{"code", "vat", "income"} {
		all[op+"-refuses-a-wrong-request-before-the-wire"] = contracttest.AsksUnread
		all[op+"-wants-a-caller-and-a-purpose"] = contracttest.AsksForNobody
		all[op+"-given-up-beforehand-touches-no-wire"] = contracttest.AsksForTheGone
		all[op+"-repeated-is-harmless"] = "tires of a question"
		all[op+"-keeps-the-deadline"] = contracttest.IgnoresDeadline
		all[op+"-in-parallel-mixes-nothing-up"] = "mixes subjects up"
	}
	return all
}

// otherReds are further mistakes and a case that finds them.
func otherReds() map[mistake]string {
	all := map[mistake]string{
		"faults are invalid codes":       "a-fault-is-never-an-answer",
		contracttest.FaultsAreAnswers:    "vat-garbage-lasting",
		contracttest.FaultsAreInternal:   "code-503-lasting",
		contracttest.WithoutSystem:       "vat-garbage-lasting",
		contracttest.NeverRepeats:        "code-drop-after-accept-once",
		contracttest.ThrottledWithout:    "vat-throttle-lasting",
		contracttest.StaleIsUnavailable:  "code-stale-voucher-lasting",
		"forgets the words":              "code-of-odd-words-is-unclear",
		"repeats the words":              "code-in-use-is-valid",
		"does not say when":              "code-in-use-is-valid",
		"does not say who vouches":       "code-in-use-is-valid",
		"forgets the name":               "vat-active-is-told",
		"answers one at most":            "income-list-gives-each-its-own",
		"one wrong code spoils the list": "income-list-gives-each-its-own",
		"shows the amount":               "nobody-can-be-read-of",
	}
	for m, spoil := range spoils {
		all[m] = spoil.in
	}
	return all
}

var proof = contracttest.Proof[mistake]{
	Cases: func(m mistake) []contracttest.Case { return taxtest.Cases(harness(m)) },
	Reds:  reds(), Else: contracttest.FaultsAreNotFound, Further: otherReds(),
}

func TestEachCaseCanFail(t *testing.T)        { t.Parallel(); proof.EachCase(t) }
func TestFurtherMistakesAreSeen(t *testing.T) { t.Parallel(); proof.FurtherMistakes(t) }

func TestStoriesThatAreMissingAreDeclared(t *testing.T) {
	t.Parallel()
	full := harness("")
	h := taxtest.Harness{
		Harness: contracttest.Harness{Runner: full.Runner}, Register: full.Register,
		Valid: full.Valid, Active: full.Active, Declared: full.Declared,
	}
	contracttest.WantAbsent(t, taxtest.Cases(h), 20)
	taxtest.Run(t, h)
}

func TestSectionsServeWhatTheyDeclare(t *testing.T) {
	t.Parallel()
	full := harness("")
	h := taxtest.Harness{
		Harness: full.Harness, Register: full.Register, Active: full.Active,
		Ops: []*contracts.OpInfo{tax.OpVAT.OpInfo},
	}
	contracttest.WantUnasked(t, taxtest.Cases(h), "code", "income")
	taxtest.Run(t, h)
}
