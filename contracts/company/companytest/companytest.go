// Package companytest is the conformance suite of the need to know an enterprise and who speaks for it: what every
// Register must do, whichever road leads to it.
package companytest

import (
	"slices"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/contracttest"
)

// A Story is an enterprise of the cast and what the register holds of it.
type Story struct {
	Query company.Query
	// Holds is what the register holds. Of what the road knows, every field that is not empty here must be told, and must
	// be told like this; of codes and of the seat, the parts that are not empty here.
	Holds company.Company
	// Lacks are attributes of which the register says that there is none: where the road knows them they are empty, and
	// not Unknown.
	Lacks []company.Attribute
	// Untold are attributes that the road knows and about this enterprise cannot tell, or only in words that nobody
	// agreed on: they must be Unknown.
	Untold []company.Attribute
}

// A Holding is a person of the cast and the enterprises that it represents.
type Holding struct {
	Holder company.Holder
	// Enterprises in any order; names are compared where they are not empty here.
	Enterprises []company.Represented
}

// A Harness is a road to a register under test and its cast, each subject named for its story. A zero subject declares
// that the road has no such story: the case is then skipped with that reason.
type Harness struct {
	contracttest.Harness

	Register string // as it stands in the answers: "Registro Imprese"
	// Ops are the operations that the road serves; nil: all of company.Ops.
	Ops []*contracts.OpInfo
	// Knows is what Find can know by this road. Everything else must stand among Unknown, in every answer.
	Knows []company.Attribute

	// What is found; none of it matters where company.find is not served.
	Active       Story // required
	Inactive     Story
	Suspended    Story
	Liquidation  Story
	Insolvent    Story
	Ceased       Story           // was enrolled: an answer, not NotFound
	OddStatus    Story           // its standing is told in a word that nobody agreed on
	NoDomicile   Story           // the register says that it has no PEC
	ByPartitaIVA Story           // asked for without a codice fiscale
	Others       []Story         // whatever else this wire has in store: fields that are null, other spellings
	None         company.Query   // none such is or was enrolled, by the register's own word
	Broken       company.Query   // about this one the far side only ever fails: 500, noise
	Unaskable    company.Query   // bears a well-formed code that the register refuses
	NotCovered   []company.Query // what the register does not hold by law; nil: it holds everything

	// Who speaks for whom; none of it matters where company.represents is not served.
	Speaks             company.Mandate // yes; required
	SpeaksNot          company.Mandate // no, by the register's own word
	CannotTell         company.Mandate // the register answers, and its answer decides nothing
	LegalPerson        company.Mandate // yes, and the representative is a legal person, of eleven digits
	NotHeld            company.Mandate // the register holds no such representative, or not the subject: NotFound
	BrokenMandate      company.Mandate // as Broken
	UnaskableMandate   company.Mandate // as Unaskable
	NotCoveredMandates []company.Mandate

	// Whom a person represents; none of it matters where company.represented is not served.
	Several           Holding // several enterprises; required
	One               Holding
	Nobody            company.Holder // none, by the register's own word: NotFound
	NotCoveredHolders []company.Holder
}

// Query asks about a subject of a test's own words; codes that are none are the test's fault: it panics. Either may be
// empty.
func Query(cf, vat string) company.Query { return company.Query{Subject: subject(cf, vat)} }

// Mandate asks whether a person speaks for a subject, like Query.
func Mandate(person, cf, vat string) company.Mandate {
	return company.Mandate{Person: code(person), Subject: subject(cf, vat)}
}

// Holder asks whom a person represents, like Query.
func Holder(person string) company.Holder { return company.Holder{Person: code(person)} }

func subject(cf, vat string) (s contracts.Subject) {
	if cf != "" {
		s.CodiceFiscale = code(cf)
	}
	if vat != "" {
		s.PartitaIVA = contracttest.Sure(contracts.ParsePartitaIVA(vat))
	}
	return s
}

func code(cf string) contracts.CodiceFiscale {
	return contracttest.Sure(contracts.ParseCodiceFiscale(cf))
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	s := suite{h}
	switch {
	case s.unserved(find) == "" && h.Active.isZero():
		t.Fatal("harness: Active is required: a register in which nobody is found proves nothing")
	case s.unserved(represents) == "" && h.Speaks == company.Mandate{}:
		t.Fatal("harness: Speaks is required: a register in which nobody speaks for anybody proves nothing")
	case s.unserved(represented) == "" && h.Several.isZero():
		t.Fatal("harness: Several is required: a register in which nobody is represented proves nothing")
	case !slices.ContainsFunc([]*contracts.OpInfo{find, represents, represented}, func(op *contracts.OpInfo) bool { return s.unserved(op) == "" }):
		t.Fatal("harness: Ops names no operation of this need")
	}
	contracttest.Run(t, h.Harness, Cases(h))
}

func (s Story) isZero() bool   { return s.Query == company.Query{} }
func (h Holding) isZero() bool { return h.Holder == company.Holder{} }
