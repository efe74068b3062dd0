package companytest_test

import (
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
)

func story(cf string) companytest.Story {
	holds := firm(cf)
	if st, ok := standings[cf]; ok {
		holds.Status = st
	}
	return companytest.Story{Query: companytest.Query(cf, ""), Holds: holds}
}

func enterprises(cfs ...string) (all []company.Represented) {
	for _, cf := range cfs {
		all = append(all, company.Represented{CodiceFiscale: firm(cf).CodiceFiscale, Name: firm(cf).Name})
	}
	return all
}

func harness(m mistake) companytest.Harness {
	r := &register{contracttest.NewMistaken(today, m)}
	rig, _ := r.Harness(r)
	byVAT := companytest.Story{Query: companytest.Query("", byNumber), Holds: firm(byNumber)}
	unclear := companytest.Story{Query: companytest.Query(odd, ""), Untold: []company.Attribute{company.Standing}}
	boxless := story(liquidation)
	boxless.Holds.Domicile, boxless.Lacks = contracts.Address{}, []company.Attribute{company.Domicile}
	return companytest.Harness{
		Harness:  rig,
		Register: "MEMORY",
		Knows:    []company.Attribute{company.Name, company.Standing, company.Form, company.Office, company.Domicile, company.Number},

		Active: story(active), Inactive: story(inactive), Suspended: story(suspended), Liquidation: boxless,
		Insolvent: story(insolvent), Ceased: story(ceased), OddStatus: unclear, NoDomicile: boxless, ByPartitaIVA: byVAT,
		Others: []companytest.Story{
			byVAT, {Query: companytest.Query(bare, bare)}, {Query: companytest.Query(seatless, ""), Untold: []company.Attribute{company.Office}},
		},
		None: companytest.Query(none, ""), Broken: companytest.Query(brokenFirm, ""), Unaskable: companytest.Query(unaskable, ""),
		NotCovered: []company.Query{companytest.Query(abroad, "")},

		Speaks: companytest.Mandate(rossi, active, ""), SpeaksNot: companytest.Mandate(verdi, active, ""),
		CannotTell: companytest.Mandate(cryptic, active, ""), LegalPerson: companytest.Mandate(holding, active, ""),
		NotHeld: companytest.Mandate(nobody, active, ""), BrokenMandate: companytest.Mandate(rossi, brokenFirm, ""),
		UnaskableMandate:   companytest.Mandate(rossi, unaskable, ""),
		NotCoveredMandates: []company.Mandate{companytest.Mandate(rossi, abroad, "")},

		Several:           companytest.Holding{Holder: companytest.Holder(rossi), Enterprises: enterprises(active, inactive)},
		One:               companytest.Holding{Holder: companytest.Holder(bianchi), Enterprises: enterprises(suspended)},
		Nobody:            companytest.Holder(nobody),
		NotCoveredHolders: []company.Holder{companytest.Holder(abroad)},
	}
}

func TestRightAdapterPasses(t *testing.T) {
	t.Parallel()
	companytest.Run(t, harness(""))
}

// reds names, for each case, a mistake that the case must find.
func reds() map[string]mistake {
	all := map[string]mistake{
		"find-tells-what-the-register-holds":                     "finds a stranger",
		"find-tells-what-it-cannot-know":                         "marks nothing unknown",
		"find-tells-an-active-enterprise":                        "another status",
		"find-tells-an-inactive-enterprise":                      "everybody is active",
		"find-tells-a-suspended-enterprise":                      "everybody is active",
		"find-tells-a-liquidation":                               "everybody is active",
		"find-tells-an-insolvency":                               "everybody is active",
		"find-tells-a-ceased-enterprise":                         "ceased is not found",
		"find-guesses-at-no-odd-standing":                        "odd is ceased",
		"find-tells-that-there-is-no-domicile":                   "none is unknown",
		"find-goes-by-the-partita-iva":                           "forgets the partita iva",
		"find-tells-every-other-story":                           "forgets the street",
		"find-of-none-is-not-found":                              "none is an empty answer",
		"find-of-what-the-far-side-breaks-on-is-not-not-found":   "broken is not found",
		"find-of-an-unaskable-code-is-not-not-found":             "unaskable is not found",
		"represents-says-yes":                                    "nobody speaks",
		"represents-says-no":                                     "no is not found",
		"represents-says-that-it-cannot-tell":                    "cannot tell is no",
		"represents-knows-legal-persons":                         "knows no legal persons",
		"represents-of-what-is-not-held-is-not-found":            "not held is no",
		"represents-of-what-the-far-side-breaks-on-is-no-answer": "broken is not found",
		"represents-of-an-unaskable-code-is-no-answer":           "unaskable is not found",
		"represented-lists-several":                              "leaves one out",
		"represented-lists-one":                                  "lists a firm of another",
		"represented-of-nobody-is-not-found":                     "none is an empty list",
		"represented-agrees-with-represents":                     "nobody speaks",
		"a-fault-is-never-an-answer":                             "faults are not found",
		"nobody-can-be-read-of":                                  "logs the subject",
	}
	for _, op := range []string{"find", "represents", "represented"} {
		all[op+"-outside-the-register-touches-no-wire"] = "looks up everybody"
		all[op+"-refuses-a-wrong-request-before-the-wire"] = contracttest.AsksUnread
		all[op+"-wants-a-caller-and-a-purpose"] = contracttest.AsksForNobody
		all[op+"-given-up-beforehand-touches-no-wire"] = contracttest.AsksForTheGone
		all[op+"-repeated-is-harmless"] = "tires of a question"
		all[op+"-keeps-the-deadline"] = contracttest.IgnoresDeadline
		all[op+"-in-parallel-mixes-nothing-up"] = "mixes firms up"
	}
	return all
}

// otherReds are further mistakes and a case that finds them.
func otherReds() map[mistake]string {
	all := map[mistake]string{
		"faults are no":                   "a-fault-is-never-an-answer",
		contracttest.FaultsAreAnswers:     "find-garbage-lasting",
		contracttest.FaultsAreInternal:    "represents-503-lasting",
		contracttest.WithoutSystem:        "represented-garbage-lasting",
		contracttest.NeverRepeats:         "find-drop-after-accept-once",
		contracttest.ThrottledWithout:     "find-throttle-lasting",
		contracttest.StaleIsUnavailable:   "represents-stale-voucher-lasting",
		"null seat is none":               "find-tells-every-other-story",
		"none is unknown":                 "find-tells-a-liquidation",
		"gives a reason for a yes":        "represents-says-yes",
		"finding without an instant":      "represents-says-yes",
		"finding vouched for by nobody":   "represents-says-yes",
		"portfolio without an instant":    "represented-lists-several",
		"portfolio vouched for by nobody": "represented-lists-several",
		"one name for all":                "represented-lists-several",
		"everybody speaks":                "represents-says-no",
		"gives no reason":                 "represents-says-that-it-cannot-tell",
		"everything is unknown":           "find-tells-what-the-register-holds",
		"lists one twice":                 "represented-lists-several",
		"lists in any order":              "represented-repeated-is-harmless",
	}
	for m := range spoils {
		all[m] = "find-tells-what-the-register-holds"
	}
	all["marks nothing unknown"] = "find-tells-what-it-cannot-know"
	for m := range malformations {
		all[m] = "find-tells-every-other-story"
	}
	return all
}

var proof = contracttest.Proof[mistake]{
	Cases: func(m mistake) []contracttest.Case { return companytest.Cases(harness(m)) },
	Reds:  reds(), Else: contracttest.FaultsAreNotFound, Further: otherReds(),
}

func TestEachCaseCanFail(t *testing.T)        { t.Parallel(); proof.EachCase(t) }
func TestFurtherMistakesAreSeen(t *testing.T) { t.Parallel(); proof.FurtherMistakes(t) }

func TestStoriesThatAreMissingAreDeclared(t *testing.T) {
	t.Parallel()
	full := harness("")
	h := companytest.Harness{
		Harness: contracttest.Harness{Runner: full.Runner}, Register: full.Register, Knows: full.Knows,
		Active: full.Active, Speaks: full.Speaks, Several: full.Several,
	}
	contracttest.WantAbsent(t, companytest.Cases(h), 20)
	companytest.Run(t, h)
}

func TestRoadsServeWhatTheyDeclare(t *testing.T) {
	t.Parallel()
	full := harness("")
	h := companytest.Harness{
		Harness: full.Harness, Register: full.Register, Speaks: full.Speaks,
		Ops: []*contracts.OpInfo{company.OpRepresents.OpInfo},
	}
	contracttest.WantUnasked(t, companytest.Cases(h), "find", "represented-")
	companytest.Run(t, h)
}
