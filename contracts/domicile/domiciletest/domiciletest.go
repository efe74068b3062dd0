// Package domiciletest is the conformance suite of the need to know a digital domicile: what every Directory must do,
// whichever register stands behind it.
package domiciletest

import (
	"context"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
)

// A Story is a subject of the cast and what the register holds for it.
type Story struct {
	Query domicile.Query
	// Addresses must come in this order; nil: it is only checked that there is one.
	Addresses []contracts.Address
	// Until is the last valid instant of the first address; zero: it is not checked.
	Until time.Time
}

// A Harness is a register under test and its cast, each subject named for its story. A zero subject declares that the
// register has no such story: the case is then skipped with that reason.
type Harness struct {
	contracttest.Harness

	Register string // as it stands in DigitalDomicile.Register: "INAD"

	Found   Story          // has a domicile in force; required
	None    domicile.Query // the register knows of none, with authority
	Ceased  domicile.Query // had one that has ceased
	Ceasing Story          // has one that will cease, on a day that is known
	Several Story          // has several
	// OtherCapacity has an address, but not in the capacity in which it is asked for.
	OtherCapacity domicile.Query
	// Unaskable bears a well-formed code that this register's own contract refuses (INAD and omocodia). A register that
	// takes such codes leaves it zero and may put one in Found.
	Unaskable domicile.Query
	// NotCovered are subjects and capacities that the register does not hold by law; nil: there are none.
	NotCovered []domicile.Query

	// The claims; a register that cannot verify leaves all zero.
	Theirs        domicile.Claim // the subject's address, today
	NotTheirs     domicile.Claim // another's address
	PastTheirs    domicile.Claim // was the subject's on that day, and is not today
	PastNotTheirs domicile.Claim // is the subject's today, and was not on that day

	// List asks for many at once in the register's list form; nil: it has none, or no other.
	List func(ctx context.Context, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error)
}

// Query is a question of a test's own words; codes that are none are the test's fault: it panics. vat may be empty.
func Query(cf, vat string, in domicile.Capacity) domicile.Query {
	q := domicile.Query{Capacity: in}
	q.Subject.CodiceFiscale = contracttest.Sure(contracts.ParseCodiceFiscale(cf))
	if vat != "" {
		q.Subject.PartitaIVA = contracttest.Sure(contracts.ParsePartitaIVA(vat))
	}
	return q
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if isZero(h.Found.Query) {
		t.Fatal("harness: Found is required: a register in which nobody is found proves nothing")
	}
	contracttest.Run(t, h.Harness, Cases(h))
}

func isZero(q domicile.Query) bool { return q == domicile.Query{} }
