package domiciletest_test

import (
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
)

var today = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func address(s string) contracts.Address { return contracttest.Sure(contracts.ParseAddress(s)) }

func person(s string) domicile.Query { return domiciletest.Query(s, "", domicile.Person) }

func claim(q domicile.Query, addr string, at time.Time) domicile.Claim {
	return domicile.Claim{Subject: q.Subject, Capacity: q.Capacity, Address: address(addr), At: at}
}

type cast struct {
	found, none, ceased, ceasing, several, lawyer, unaskable domicile.Query
	held                                                     map[contracts.CodiceFiscale][]contracts.DigitalDomicile
}

var people = func() cast {
	c := cast{
		found:     person("RSSMRA85T10A562S"),
		none:      person("KMRRJN90C15Z222U"),
		ceased:    person("RHMTNM96S47Z249R"),
		ceasing:   person("HSSHMD84A31Z336W"),
		several:   person("FOXLIX00E49Z210Q"),
		lawyer:    person("12345678903"),
		unaskable: person("KMRRJN90C15Z22NJ"),
	}
	held := func(addr, role string, since, until time.Time) contracts.DigitalDomicile {
		return contracts.DigitalDomicile{Address: address(addr), Register: "MEMORY", Role: role, Since: since, Until: until}
	}
	old, open := today.AddDate(-2, 0, 0), time.Time{}
	c.held = map[contracts.CodiceFiscale][]contracts.DigitalDomicile{
		c.found.Subject.CodiceFiscale:   {held("uno@pec.memory.test", "personal", old, open)},
		c.ceased.Subject.CodiceFiscale:  {held("zero@pec.memory.test", "personal", old, today.AddDate(0, -1, 0))},
		c.ceasing.Subject.CodiceFiscale: {held("sette@pec.memory.test", "personal", old, today.AddDate(0, 1, 0))},
		c.several.Subject.CodiceFiscale: {held("due@pec.memory.test", "personal", old, open), held("tre@pec.memory.test", "personal", old, open)},
		c.lawyer.Subject.CodiceFiscale:  {held("ordine@pec.memory.test", "professional", old, open)},
	}
	return c
}()

func TestRightAdapterPasses(t *testing.T) {
	t.Parallel()
	domiciletest.Run(t, harness(""))
}

// reds names, for each case, a mistake that the case must find. A case named with a star stands for all with that part.
var reds = map[string]mistake{
	"lookup-finds-the-domicile-in-force":             "finds a stranger",
	"lookup-of-none-is-not-found":                    "none is an empty answer",
	"lookup-of-a-ceased-domicile-is-not-found":       "forgets that addresses cease",
	"lookup-tells-until-when":                        "does not say until when",
	"lookup-gives-several-in-order":                  "gives them in any order",
	"lookup-in-another-capacity-is-not-found":        "any role will do",
	"lookup-of-an-unaskable-code-is-not-not-found":   "unaskable is not found",
	"lookup-outside-the-register-touches-no-wire":    "looks up everybody",
	"lookup-refuses-a-wrong-request-before-the-wire": contracttest.AsksUnread,
	"lookup-wants-a-caller-and-a-purpose":            contracttest.AsksForNobody,
	"lookup-given-up-beforehand-touches-no-wire":     contracttest.AsksForTheGone,
	"verify-confirms-their-address":                  "denies everything",
	"verify-denies-another-address":                  "false is not found",
	"verify-goes-by-the-day-past":                    "verifies today",
	"verify-denies-before-the-day":                   "confirms everything",
	"verify-refuses-a-wrong-claim-before-the-wire":   contracttest.AsksUnread,
	"list-answers-like-single-questions":             "list in another order",
	"lookup-repeated-is-harmless":                    "tires of a question",
	"lookup-keeps-the-deadline":                      contracttest.IgnoresDeadline,
	"lookup-in-parallel-mixes-nothing-up":            "mixes people up",
	"a-fault-is-never-an-answer":                     "faults are confirmations",
	"nobody-can-be-read-of":                          "logs the subject",
}

// otherReds are further mistakes and a case that finds them.
var otherReds = map[mistake]string{
	"errors name the subject":       "lookup-of-none-is-not-found",
	contracttest.WithoutSystem:      "lookup-garbage-lasting",
	contracttest.NeverRepeats:       "lookup-drop-after-accept-once",
	contracttest.FaultsAreAnswers:   "lookup-garbage-lasting",
	contracttest.FaultsAreInternal:  "verify-503-lasting",
	contracttest.ThrottledWithout:   "lookup-throttle-lasting",
	contracttest.StaleIsUnavailable: "lookup-stale-voucher-lasting",
	"verifies today":                "verify-denies-before-the-day",
}

var proof = contracttest.Proof[mistake]{
	Cases: func(m mistake) []contracttest.Case { return domiciletest.Cases(harness(m)) },
	Reds:  reds, Else: contracttest.FaultsAreNotFound, Further: otherReds,
}

func TestEachCaseCanFail(t *testing.T)        { t.Parallel(); proof.EachCase(t) }
func TestFurtherMistakesAreSeen(t *testing.T) { t.Parallel(); proof.FurtherMistakes(t) }

func TestStoriesThatAreMissingAreDeclared(t *testing.T) {
	t.Parallel()
	full := harness("")
	h := domiciletest.Harness{Harness: contracttest.Harness{Runner: full.Runner}, Found: full.Found}
	contracttest.WantAbsent(t, domiciletest.Cases(h), 10)
	domiciletest.Run(t, h)
}
