package lab

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// The capacities in which a member asks.
const (
	Enterprise   = "enterprise"
	Body         = "body"
	Person       = "person"
	Professional = "professional"
)

// A Member is one of the cast: a synthetic person, firm or body with one story. No code, name or address belongs to
// anybody: numbers of firms begin with 7, which no office has assigned, and every domain is under .test.
//
// Who asks in two capacities is two members with the same codes; what the registers hold is then the same for both.
type Member struct {
	ID            string // "m001"; stable while the cast is
	Story         string // the name that Who knows; members of the crowd share theirs
	CodiceFiscale string
	PartitaIVA    string // empty without one
	Name          string // denominazione
	Capacity      string
	// Representative is the codice fiscale of the legal representative: of firms and bodies alone. A sole trader speaks
	// for himself.
	Representative string

	INAD   []Domicile // what INAD holds, history included; none: "CF non trovato"
	INIPEC *Listing   // what INI-PEC holds under the codice fiscale; nil: the code is unknown there
	Quirk  Quirk      // how INAD misbehaves about this member
}

// A Domicile is an address in INAD.
type Domicile struct {
	Address    string
	Profession string    // of a professional address; empty for a personal one and a body's
	From       time.Time // elected
	Until      time.Time // last valid instant; zero: in force without an end
	Motivation string    // CESSAZIONE_VOLONTARIA or CESSAZIONE_UFFICIO, with Until
	Usage      Usage     // how an address without an end is told
	Past       bool      // no longer shown by an extraction: only a verification at a past day knows of it
}

// Usage says what stands in usageInfo for an address without an end.
type Usage string

// The contract demands usageInfo; real answers leave it out or say null while an address is in force.
const (
	UsageContract Usage = ""        // as the contract demands: an end beyond all dates
	UsageNull     Usage = "null"    // null
	UsageOmitted  Usage = "omitted" // not there
)

// A Quirk is a member's trouble with INAD.
type Quirk string

// The quirks. Those of single look-ups spare the list form.
const (
	QuirkAbsentInList Quirk = "absent-in-list" // digitalAddress is left out of list answers
	QuirkBroken       Quirk = "500"            // single look-ups always answer 500
	QuirkBusy         Quirk = "503"            // the first two single look-ups answer 503
	QuirkReset        Quirk = "reset"          // the answer to the first single look-up is lost by a reset
	QuirkSlow         Quirk = "slow"           // the first single look-up takes long
)

// A Listing is what INI-PEC holds under a code.
type Listing struct {
	Enterprise    string   // pecImpresa
	Professionals []string // addresses from professional orders
}

// NewFirm is a company whose codice fiscale is its partita IVA, for a cast of a mock's own. serial (7 digits) must begin
// with 7 and be nobody else's; office is 1 to 100.
func NewFirm(story string, serial, office int, name string, listing *Listing) Member {
	return firm(story, serial, office, name, listing)
}

// NewBody is a private-law body without partita IVA, for a cast of a mock's own; see NewFirm. serial begins with 97.
func NewBody(story string, serial, office int, name string, domiciles ...Domicile) Member {
	return body(story, serial, office, name, domiciles...)
}

// NewPerson is a natural person, for a cast of a mock's own. place is the cadastral code of a comune, or Z and three
// digits for a state abroad.
func NewPerson(story, surname, name string, born time.Time, female bool, place string, domiciles ...Domicile) Member {
	return person(story, birth{surname, name, born, female, place}, domiciles...)
}

// NewDomicile is a personal address in INAD, and a firm's listing in INI-PEC has the same form of address; local is its
// part before the @.
func NewDomicile(local string) Domicile { return personal(local + "@" + DomainCitizens) }

// NewListing is a firm's address in INI-PEC; local is its part before the @.
func NewListing(local string) *Listing { return pec(local + "@" + DomainFirms) }

// VATNumber computes a partita IVA; see NewFirm.
func VATNumber(serial, office int) string { return elevenCode(serial, office) }

// members is the cast, computed once: it is a constant too long to write down.
var members = sync.OnceValue(func() []Member {
	cast := append(stories(), crowd()...)
	for i := range cast {
		cast[i].ID = fmt.Sprintf("m%03d", i+1)
	}
	return cast
})

// Cast is the common cast, in an order that does not change: the stories told one by one, then the crowd.
// Mocks may bring people of their own (see Mock); Bench.Cast has them all.
func Cast() []Member { return slices.Clone(members()) }

// Who is the first member of the common cast with a story. An unknown story is a fault of the program and panics.
func Who(story string) Member { return who(members(), story) }

func who(cast []Member, story string) Member {
	for _, m := range cast {
		if m.Story == story {
			return m
		}
	}
	panic("lab: nobody in the cast has the story " + story)
}

// CastOf is the common cast and, behind it, the people of mocks that bring their own.
func CastOf(mocks ...Mock) []Member { return slices.Clone(casting(mocks)) }

func casting(mocks []Mock) []Member {
	cast := members()
	for _, m := range mocks {
		if own, ok := m.(interface{ Cast() []Member }); ok {
			cast = append(slices.Clip(cast), own.Cast()...)
		}
	}
	for i := len(members()); i < len(cast); i++ {
		cast[i].ID = fmt.Sprintf("m%03d", i+1)
	}
	return cast
}

// Stories lists the stories of a cast, each once, in its order.
func Stories(cast []Member) []string {
	var out []string
	for _, m := range cast {
		if !slices.Contains(out, m.Story) {
			out = append(out, m.Story)
		}
	}
	return out
}

// byCode finds the members of each codice fiscale, upper case; the first of those who share one.
var byCode = sync.OnceValue(func() map[string]Member { return indexed(members()) })

func indexed(cast []Member) map[string]Member {
	index := map[string]Member{}
	for _, m := range cast {
		if _, ok := index[m.CodiceFiscale]; !ok {
			index[m.CodiceFiscale] = m
		}
	}
	return index
}

// ByCode finds a member of the common cast by codice fiscale, in any case. The registers are keyed by it, never by partita IVA.
func ByCode(code string) (Member, bool) {
	m, ok := byCode()[strings.ToUpper(code)]
	return m, ok
}

// InForce lists the domiciles in INAD that hold at an instant.
func (m Member) InForce(at time.Time) []Domicile {
	var out []Domicile
	for _, d := range m.INAD {
		if !at.Before(d.From) && (d.Until.IsZero() || !at.After(d.Until)) {
			out = append(out, d)
		}
	}
	return out
}
