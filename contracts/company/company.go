// Package company is the need to know what an enterprise is, and who may speak for an enterprise or another body: its
// standing in the register, its seat, and its legal representatives.
//
// Law: legge 580/1993, art. 8, and D.P.R. 581/1995 (Registro delle imprese); D.P.R. 445/2000, art. 43 and 71 (checks on
// what an applicant declares); D.P.R. 605/1973 for bodies outside that register, whose representatives the Anagrafe
// tributaria knows.
package company

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"raccordo/contracts"
)

// A Query asks about one enterprise. Registers are keyed by codice fiscale, and take a partita IVA where there is none.
type Query struct {
	Subject contracts.Subject `json:"subject"`
}

// Validate wants a subject.
func (q Query) Validate() error { return q.Subject.Validate() }

// LogValue masks in logs.
func (q Query) LogValue() slog.Value { return contracts.LogText(q) }

// An Attribute is one thing that a register may know about an enterprise.
type Attribute string

// The attributes, each named as its field of Company in JSON.
const (
	Name       Attribute = "name"
	Standing   Attribute = "status"
	Form       Attribute = "legal_form"
	Activity   Attribute = "activities"
	Office     Attribute = "seat"
	Domicile   Attribute = "domicile"
	Number     Attribute = "rea"
	Registered Attribute = "registered"
)

// Attributes lists them all.
func Attributes() []Attribute {
	return []Attribute{Name, Standing, Form, Activity, Office, Domicile, Number, Registered}
}

// A Status is the standing of an enterprise in the register.
type Status string

// The statuses. A register's word that is none of these is not guessed at: Status is then empty, Standing stands among
// Unknown, and the adapter raises an alarm.
const (
	Active      Status = "active"      // attiva
	Inactive    Status = "inactive"    // inattiva: enrolled, has not begun to trade
	Suspended   Status = "suspended"   // sospesa
	Liquidation Status = "liquidation" // in scioglimento o liquidazione: may end its business, not begin any
	Insolvent   Status = "insolvent"   // con procedure concorsuali in corso
	Ceased      Status = "ceased"      // cessata, cancellata: it is no longer there
)

// Valid reports whether s is one of the six.
func (s Status) Valid() bool {
	return slices.Contains([]Status{Active, Inactive, Suspended, Liquidation, Insolvent, Ceased}, s)
}

// A Company is what a register says of an enterprise that it holds. That the answer exists says that the enterprise is
// enrolled, or was.
type Company struct {
	CodiceFiscale contracts.CodiceFiscale `json:"codice_fiscale"`
	PartitaIVA    contracts.PartitaIVA    `json:"partita_iva,omitzero"`
	Name          contracts.Private       `json:"name,omitzero"`        // denominazione; a sole trader's holds the person's name
	Status        Status                  `json:"status,omitempty"`     // empty: not known
	LegalForm     Coded                   `json:"legal_form,omitzero"`  // natura giuridica, by the register's own code
	Activities    []Coded                 `json:"activities,omitempty"` // ATECO codes, the prevailing one first
	Seat          Seat                    `json:"seat,omitzero"`
	Domicile      contracts.Address       `json:"domicile,omitzero"` // PEC in the register; empty and not Unknown: it has none
	REA           REA                     `json:"rea,omitzero"`
	Registered    contracts.Date          `json:"registered,omitzero"` // day of enrolment
	// Unknown lists what this road to the register cannot know or could not tell this time. What is not listed is known:
	// an empty field is then the register's answer that there is none.
	Unknown  []Attribute `json:"unknown,omitempty"`
	Register string      `json:"register"` // that vouches for it: "Registro Imprese"
	AsOf     time.Time   `json:"as_of"`    // the instant the register answers for
}

// LogValue masks in logs.
func (c Company) LogValue() slog.Value { return contracts.LogText(c) }

// Knows reports whether the register answers for an attribute.
func (c Company) Knows(a Attribute) bool { return !slices.Contains(c.Unknown, a) }

// Trading says whether the enterprise is active in the register: No only for one that has ceased. One that is not active
// and has not ceased (in liquidation, suspended) is for a person to judge: CannotTell.
func (c Company) Trading() contracts.Finding {
	switch c.Status {
	case Active:
		return contracts.Yes
	case Ceased:
		return contracts.No
	}
	return contracts.CannotTell
}

// A Coded is an entry of one of the register's code lists.
type Coded struct {
	Code string `json:"code"`
	Text string `json:"text,omitempty"` // as the register words it, in Italian
}

// IsZero reports whether there is none.
func (c Coded) IsZero() bool { return c == Coded{} }

// A Seat is a registered office. Province decides which Sportello unico is competent; street and number may be somebody's
// home, and print as their length.
type Seat struct {
	Comune   string            `json:"comune,omitempty"`
	Province string            `json:"province,omitempty"` // two letters
	CAP      string            `json:"cap,omitempty"`      // five digits
	Street   contracts.Private `json:"street,omitzero"`    // toponimo, via and number
}

// IsZero reports whether nothing is known.
func (s Seat) IsZero() bool { return s == Seat{} }

// A REA is an entry in the Repertorio economico amministrativo of one chamber.
type REA struct {
	Chamber string `json:"chamber"` // two letters of the province
	Number  string `json:"number"`  // up to 9 digits
}

// IsZero reports whether there is none.
func (r REA) IsZero() bool { return r == REA{} }

// A Mandate is "this person speaks for that enterprise or body". Both are required.
type Mandate struct {
	Person  contracts.CodiceFiscale `json:"person"` // natural or legal
	Subject contracts.Subject       `json:"subject"`
}

// Validate names every missing field.
func (m Mandate) Validate() error {
	err := m.Subject.Validate()
	if m.Person.IsZero() {
		err = errors.Join(err, errors.New("person: want the codice fiscale of the representative"))
	}
	return err
}

// LogValue masks in logs.
func (m Mandate) LogValue() slog.Value { return contracts.LogText(m) }

// A Representation answers a Mandate.
type Representation struct {
	// Represents is No only where the register says so of a subject that it holds.
	Represents contracts.Finding `json:"represents"`
	Reason     string            `json:"reason,omitempty"` // with CannotTell: the register's own code
	Register   string            `json:"register"`
	AsOf       time.Time         `json:"as_of"`
}

// A Holder asks whom a person represents.
type Holder struct {
	Person contracts.CodiceFiscale `json:"person"`
}

// Validate wants the person.
func (h Holder) Validate() error {
	if h.Person.IsZero() {
		return errors.New("person: want the codice fiscale of the representative")
	}
	return nil
}

// LogValue masks in logs.
func (h Holder) LogValue() slog.Value { return contracts.LogText(h) }

// A Portfolio is the enterprises that a person represents: at least one (none is NotFound, never an empty list).
type Portfolio struct {
	Enterprises []Represented `json:"enterprises"`
	// Unreadable counts those that the register listed without a code that can be read: an enterprise that is not among
	// Enterprises may be one of them.
	Unreadable int       `json:"unreadable,omitempty"`
	Register   string    `json:"register"`
	AsOf       time.Time `json:"as_of"`
}

// LogValue masks in logs.
func (p Portfolio) LogValue() slog.Value { return contracts.LogText(p) }

// A Represented is one enterprise of a Portfolio.
type Represented struct {
	CodiceFiscale contracts.CodiceFiscale `json:"codice_fiscale"`
	Name          contracts.Private       `json:"name,omitzero"`
}

// A Register knows enterprises and who speaks for them.
type Register interface {
	// Find gives what the register holds. NotFound is an answer with authority: no such enterprise is or was enrolled.
	Find(ctx context.Context, q Query) (Company, error)
	// Represents says whether the person is a legal representative. NotFound: the register holds no representative of
	// that code for that subject, or not the subject; another register may.
	Represents(ctx context.Context, m Mandate) (Representation, error)
	// Represented lists the enterprises for which the person speaks. NotFound: none.
	Represented(ctx context.Context, h Holder) (Portfolio, error)
}

// The operations.
var (
	OpFind        = contracts.NewOp[Query, Company]("company.find", contracts.Read)
	OpRepresents  = contracts.NewOp[Mandate, Representation]("company.represents", contracts.Read)
	OpRepresented = contracts.NewOp[Holder, Portfolio]("company.represented", contracts.Read)
)

// Ops lists the operations of this need.
func Ops() []*contracts.OpInfo {
	return []*contracts.OpInfo{OpFind.OpInfo, OpRepresents.OpInfo, OpRepresented.OpInfo}
}

// Via is a Register that asks through r.
func Via(r contracts.Runner) Register { return via{r} }

type via struct{ r contracts.Runner }

func (v via) Find(ctx context.Context, q Query) (Company, error) {
	return contracts.Do(ctx, v.r, OpFind, q)
}

func (v via) Represents(ctx context.Context, m Mandate) (Representation, error) {
	return contracts.Do(ctx, v.r, OpRepresents, m)
}

func (v via) Represented(ctx context.Context, h Holder) (Portfolio, error) {
	return contracts.Do(ctx, v.r, OpRepresented, h)
}
