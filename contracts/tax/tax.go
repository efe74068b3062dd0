// Package tax is the need to know what the tax administration holds about an employer: whether a codice fiscale is in
// use, what a partita IVA stands for, and what income or turnover was declared for a year.
//
// Law: D.P.R. 605/1973 (Anagrafe tributaria and codice fiscale); D.P.R. 633/1972, art. 35 and 70-bis to 70-duodecies
// (partita IVA, VAT groups); D.P.R. 445/2000, art. 43 and 71 (checks on what an applicant declares).
package tax

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"raccordo/contracts"
)

// A CodeQuery asks whether a codice fiscale is registered and in use. It says nothing about name, birth or life.
type CodeQuery struct {
	CodiceFiscale contracts.CodiceFiscale `json:"codice_fiscale"`
}

// Validate wants the code.
func (q CodeQuery) Validate() error {
	if q.CodiceFiscale.IsZero() {
		return errors.New("codice_fiscale: missing")
	}
	return nil
}

// LogValue masks in logs.
func (q CodeQuery) LogValue() slog.Value { return contracts.LogText(q) }

// A CodeState is what the registry says of a codice fiscale.
type CodeState string

// The states. The code that replaced a superseded one is never told: ask the person for it.
const (
	CodeValid           CodeState = "valid"
	CodeValidSuperseded CodeState = "valid_superseded" // registered, and replaced by another code
	CodeSuperseded      CodeState = "superseded"       // replaced by another code, and not to be used
	CodeInvalid         CodeState = "invalid"          // unknown to the registry
	CodeUnclear         CodeState = "unclear"          // the registry's words are none of those agreed: nothing is concluded
)

// A CodeCheck answers a CodeQuery. That a code is invalid is an answer, not a failure.
type CodeCheck struct {
	State CodeState `json:"state"`
	// Text is, with CodeUnclear alone, what the registry wrote.
	Text     contracts.Private `json:"text,omitzero"`
	Register string            `json:"register"`
	AsOf     time.Time         `json:"as_of"`
}

// LogValue masks in logs.
func (c CodeCheck) LogValue() slog.Value { return contracts.LogText(c) }

// Usable says whether the code may stand in an application: Yes for one that is in use, replaced or not.
func (c CodeCheck) Usable() contracts.Finding {
	switch c.State {
	case CodeValid, CodeValidSuperseded:
		return contracts.Yes
	case CodeSuperseded, CodeInvalid:
		return contracts.No
	}
	return contracts.CannotTell
}

// A VATQuery asks what a partita IVA stands for.
type VATQuery struct {
	PartitaIVA contracts.PartitaIVA `json:"partita_iva"`
}

// Validate wants the number.
func (q VATQuery) Validate() error {
	if q.PartitaIVA.IsZero() {
		return errors.New("partita_iva: missing")
	}
	return nil
}

// LogValue masks in logs.
func (q VATQuery) LogValue() slog.Value { return contracts.LogText(q) }

// A VATStatus is the state of an assigned number.
type VATStatus string

// The states.
const (
	VATActive    VATStatus = "active"
	VATCeased    VATStatus = "ceased"
	VATSuspended VATStatus = "suspended"
)

// A VAT answers a VATQuery. Assigned false is an answer, not a failure; the other facts are then empty.
type VAT struct {
	Assigned  bool              `json:"assigned"`         // the number belongs to somebody; it does not mean active
	Status    VATStatus         `json:"status,omitempty"` // empty: the registry does not say, or in words that are not agreed
	Name      contracts.Private `json:"name,omitzero"`
	Since     contracts.Date    `json:"since,omitzero"`     // of the activity
	Ceased    contracts.Date    `json:"ceased,omitzero"`    // with VATCeased
	Suspended contracts.Date    `json:"suspended,omitzero"` // with VATSuspended
	// Group says that this is the number of a VAT group: it is not the employer, whose own number must be asked for.
	Group    bool        `json:"group,omitempty"`
	Member   *Membership `json:"member,omitempty"` // nil: takes part in no VAT group, as far as the registry says
	Register string      `json:"register"`
	AsOf     time.Time   `json:"as_of"`
}

// LogValue masks in logs.
func (v VAT) LogValue() slog.Value { return contracts.LogText(v) }

// A Membership is a part in a VAT group.
type Membership struct {
	Group contracts.PartitaIVA `json:"group"` // the group's number
	Since contracts.Date       `json:"since,omitzero"`
}

// Format masks with every verb: behind a pointer fmt prints some of them without asking the number.
func (m Membership) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "{%v %v}", m.Group, m.Since) }

// Operating says whether the number stands for a business that is going on. A group's own number stands for none and
// against none: CannotTell. So does an answer that no register vouches for, the zero VAT above all.
func (v VAT) Operating() contracts.Finding {
	switch {
	case v.Register == "":
		return contracts.CannotTell
	case !v.Assigned:
		return contracts.No
	case v.Group:
		return contracts.CannotTell
	case v.Status == VATActive:
		return contracts.Yes
	case v.Status == VATCeased, v.Status == VATSuspended:
		return contracts.No
	}
	return contracts.CannotTell
}

// An IncomeQuery asks what was declared for one tax year. The answer may take days: submit it, and hear of it as an
// event. Both fields are required.
type IncomeQuery struct {
	CodiceFiscale contracts.CodiceFiscale `json:"codice_fiscale"`
	Year          int                     `json:"year"` // periodo d'imposta: 2000 to 2099
}

// Validate names every missing or wrong field.
func (q IncomeQuery) Validate() (err error) {
	if q.CodiceFiscale.IsZero() {
		err = errors.New("codice_fiscale: missing")
	}
	if q.Year < 2000 || q.Year > 2099 {
		err = errors.Join(err, fmt.Errorf("year: want a tax year, 2000 to 2099"))
	}
	return err
}

// LogValue masks in logs.
func (q IncomeQuery) LogValue() slog.Value { return contracts.LogText(q) }

// An Income is what was declared. NotFound is the registry's word that nothing was declared for that year.
type Income struct {
	Year int `json:"year"`
	// Income is the taxable income: reddito complessivo of a person, reddito d'impresa of an enterprise. Zero is an answer.
	Income Money `json:"income,omitzero"`
	// Turnover is the volume d'affari of the VAT declaration; absent for who need not declare one.
	Turnover  Money          `json:"turnover,omitzero"`
	Presented contracts.Date `json:"presented,omitzero"` // day of the declaration
	Register  string         `json:"register"`
	AsOf      time.Time      `json:"as_of"`
}

// LogValue masks in logs.
func (i Income) LogValue() slog.Value { return contracts.LogText(i) }

// A Registry is the tax administration as far as these facts go.
type Registry interface {
	// CheckCode says whether a codice fiscale is in use.
	CheckCode(ctx context.Context, q CodeQuery) (CodeCheck, error)
	// CheckVAT says what a partita IVA stands for.
	CheckVAT(ctx context.Context, q VATQuery) (VAT, error)
	// Income gives what was declared for a year. Where it takes longer than ctx lasts it fails with Pending, and the
	// error's ticket is where the answer will be.
	Income(ctx context.Context, q IncomeQuery) (Income, error)
}

// The operations.
var (
	OpCode   = contracts.NewOp[CodeQuery, CodeCheck]("tax.code", contracts.Read)
	OpVAT    = contracts.NewOp[VATQuery, VAT]("tax.vat", contracts.Read)
	OpIncome = contracts.NewOp[IncomeQuery, Income]("tax.income", contracts.Read)
)

// Ops lists the operations of this need.
func Ops() []*contracts.OpInfo {
	return []*contracts.OpInfo{OpCode.OpInfo, OpVAT.OpInfo, OpIncome.OpInfo}
}

// Via is a Registry that asks through r.
func Via(r contracts.Runner) Registry { return via{r} }

type via struct{ r contracts.Runner }

func (v via) CheckCode(ctx context.Context, q CodeQuery) (CodeCheck, error) {
	return contracts.Do(ctx, v.r, OpCode, q)
}

func (v via) CheckVAT(ctx context.Context, q VATQuery) (VAT, error) {
	return contracts.Do(ctx, v.r, OpVAT, q)
}

func (v via) Income(ctx context.Context, q IncomeQuery) (Income, error) {
	return contracts.Do(ctx, v.r, OpIncome, q)
}
