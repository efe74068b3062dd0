package taxtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

var today = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// A mistake is one thing that a registry's adapter may get wrong. Each is the least that turns its case red.
type mistake string

const (
	valid, replaced, superseded, invalid = "RSSMRA85T10A562S", "KMRRJN90C15Z222U", "RHMTNM96S47Z249R", "HSSHMD84A31Z336W"
	unclear, brokenCode, unaskableCode   = "FOXLIX00E49Z210Q", "70000000011", "KMRRJN90C15Z22NJ"

	active, ceased, suspended, unassigned = "12345678903", "01234567897", "02345678904", "06363391001"
	group, member, timeless, odd          = "00743110157", "70000000029", "70000000037", "70000000045"
	plain, brokenVAT, unaskableVAT        = "70000000052", "70000000060", "70000000078"

	zero, loss, noTurnover, late      = "70000000086", "70000000094", "70000000102", "70000000110"
	noneDeclared, brokenIncome, wrong = "RSSMRA85T10A56NH", "70000000011", "RSSMRAURTMLARSNL"
)

// A registry is an adapter and its far side in one, in memory. With no mistake it is right.
type registry struct {
	*contracttest.Mistaken[mistake]
}

func (r *registry) Bindings() []contracts.Binding {
	return []contracts.Binding{
		contracts.Bind(tax.OpCode, r.code),
		contracts.Bind(tax.OpVAT, r.vat),
		contracts.Bind(tax.OpIncome, nil, contracts.AsList(tax.OpIncome, 100, r.start, r.collect)),
	}
}

var states = map[string]tax.CodeState{
	valid: tax.CodeValid, replaced: tax.CodeValidSuperseded, superseded: tax.CodeSuperseded, invalid: tax.CodeInvalid, unclear: tax.CodeUnclear,
}

func (r *registry) code(ctx context.Context, q tax.CodeQuery) (tax.CodeCheck, error) {
	op, cf := tax.OpCode.OpInfo, q.CodiceFiscale.Reveal()
	if cf == unaskableCode && !r.Wrong("unaskable is an answer") {
		return tax.CodeCheck{}, r.Fails(contracts.Invalid, op, "400")
	}
	if err := r.Ask(ctx, op); err != nil {
		if r.Wrong("faults are invalid codes") {
			return tax.CodeCheck{State: tax.CodeInvalid, Register: "MEMORY", AsOf: r.Now()}, nil
		}
		return tax.CodeCheck{}, err
	}
	if r.Wrong("logs the subject") {
		r.Log.Info("code", "subject", cf)
	}
	if cf == brokenCode && !r.Wrong("broken is an answer") {
		return tax.CodeCheck{}, r.Fails(contracts.Unavailable, op, "500")
	}
	n := r.Nth()
	out := tax.CodeCheck{State: states[cf], Register: "MEMORY", AsOf: r.Now()}
	if out.State == tax.CodeUnclear {
		out.Text = contracts.NewPrivate("Codice fiscale sospeso in attesa di verifica")
	}
	switch {
	case r.Wrong("goes by the flag alone") && out.State == tax.CodeValidSuperseded:
		out.State = tax.CodeValid
	case r.Wrong("goes by the flag alone") && (out.State == tax.CodeSuperseded || out.State == tax.CodeUnclear):
		out.State, out.Text = tax.CodeInvalid, contracts.Private{}
	case r.Wrong("everything is invalid"), r.Wrong("mixes subjects up") && n%7 == 0, r.Wrong("tires of a question") && n%2 == 0:
		out.State, out.Text = tax.CodeInvalid, contracts.Private{}
	case r.Wrong("invalid is not found") && out.State == tax.CodeInvalid:
		return out, r.Fails(contracts.NotFound, op, "")
	case r.Wrong("forgets the words"):
		out.Text = contracts.Private{}
	case r.Wrong("repeats the words"):
		out.Text = contracts.NewPrivate("Codice fiscale valido")
	case r.Wrong("does not say when"):
		out.AsOf = time.Time{}
	case r.Wrong("does not say who vouches"):
		out.Register = ""
	}
	return out, nil
}

// number is what the registry holds of a partita IVA.
func number(p string) tax.VAT {
	v := tax.VAT{
		Assigned: true, Status: tax.VATActive, Name: contracts.NewPrivate("Cantine " + p[5:]), Since: "2001-02-03", Register: "MEMORY",
	}
	switch p {
	case ceased:
		v.Status, v.Ceased = tax.VATCeased, "2020-05-06"
	case suspended:
		v.Status, v.Suspended = tax.VATSuspended, "2025-07-08"
	case unassigned:
		v = tax.VAT{Register: "MEMORY"}
	case group:
		v.Group = true
	case member:
		v.Member = &tax.Membership{Group: contracttest.Sure(contracts.ParsePartitaIVA(group)), Since: "2019-01-01"}
	case timeless, plain:
		v.Since = ""
	case odd:
		v.Status = ""
	}
	return v
}

func (r *registry) vat(ctx context.Context, q tax.VATQuery) (tax.VAT, error) {
	op, p := tax.OpVAT.OpInfo, q.PartitaIVA.Reveal()
	if p == unaskableVAT && !r.Wrong("unaskable is an answer") {
		return tax.VAT{}, r.Fails(contracts.Invalid, op, "400")
	}
	if err := r.Ask(ctx, op); err != nil {
		if r.Wrong("faults are invalid codes") {
			return tax.VAT{Register: "MEMORY", AsOf: r.Now()}, nil
		}
		return tax.VAT{}, err
	}
	if p == brokenVAT && !r.Wrong("broken is an answer") {
		return tax.VAT{}, r.Fails(contracts.Malformed, op, "")
	}
	n := r.Nth()
	v := number(p)
	switch {
	case r.Wrong("assigned is active") && v.Assigned:
		v.Status, v.Ceased, v.Suspended = tax.VATActive, "", ""
	case r.Wrong("unassigned is not found") && !v.Assigned:
		return v, r.Fails(contracts.NotFound, op, "")
	case r.Wrong("overlooks groups"):
		v.Group, v.Member = false, nil
	case r.Wrong("tells days beyond all time") && v.Since == "":
		v.Since = "1001-01-01"
	case r.Wrong("odd is ceased") && p == odd:
		v.Status = tax.VATCeased
	case r.Wrong("forgets the name"), r.Wrong("tires of a question") && n%2 == 0:
		v.Name = contracts.Private{}
	case r.Wrong("mixes subjects up") && n%7 == 0:
		v = number(ceased)
	case r.Wrong("everything is unassigned"):
		v = number(unassigned)
	case r.Wrong("forgets the day") && p == plain:
		v.Since = "2001-01-01"
	}
	v.AsOf = r.Now()
	if spoil := spoils[r.Mistake]; spoil.vat != nil {
		spoil.vat(&v)
	}
	return v, nil
}

// spoils are mistakes about what is told of every number or taxpayer, and a case that finds them.
var spoils = map[mistake]struct {
	in     string
	vat    func(*tax.VAT)
	income func(*tax.Income)
}{
	"number without an instant":    {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.AsOf = time.Time{} }},
	"number vouched for by nobody": {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.Register = "" }},
	"the registry's own words":     {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.Status = "ATTIVA" }},
	"the registry's own days":      {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.Since = "03/02/2001" }},
	"ceases for ever":              {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.Ceased = "9999-12-31" }},
	"active, and ceased":           {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.Ceased = "2020-05-06" }},
	"everybody is a group":         {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.Group = true }},
	"everybody is a member":        {in: "vat-active-is-told", vat: func(v *tax.VAT) { v.Member = &tax.Membership{} }},
	"names nobody's number":        {in: "vat-unassigned-is-told", vat: func(v *tax.VAT) { v.Name = contracts.NewPrivate("NON ASSEGNATA") }},
	"one without days is nobody's": {in: "vat-tells-every-other-story", vat: func(v *tax.VAT) { v.Assigned = v.Since != "" }},
	"one without days is a group":  {in: "vat-tells-every-other-story", vat: func(v *tax.VAT) { v.Group = v.Group || v.Since == "" }},
	"one without days is ceased": {in: "vat-tells-every-other-story", vat: func(v *tax.VAT) {
		if v.Since == "" {
			v.Status = tax.VATCeased
		}
	}},
	"suspended when": {in: "vat-suspended-is-told", vat: func(v *tax.VAT) { v.Suspended = "" }},
	"member of another": {in: "vat-of-a-member-names-the-group", vat: func(v *tax.VAT) {
		v.Member = &tax.Membership{Group: contracttest.Sure(contracts.ParsePartitaIVA(active)), Since: "2019-01-01"}
	}},
	"member since ever": {in: "vat-of-a-member-names-the-group", vat: func(v *tax.VAT) {
		if v.Member != nil {
			v.Member.Since = "1001-01-01"
		}
	}},
	"income without an instant":    {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.AsOf = time.Time{} }},
	"income vouched for by nobody": {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.Register = "" }},
	"another year":                 {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.Year-- }},
	"no year":                      {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.Year = 0 }},
	"another turnover":             {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.Turnover = i.Income }},
	"no income":                    {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.Income = tax.Money{} }},
	"whole euro for cents":         {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.Income = tax.Euro(4_120_000) }},
	"another day":                  {in: "income-tells-what-was-declared", income: func(i *tax.Income) { i.Presented = "2026-07-01" }},
	"a ticket without an instant":  {in: "income-tickets-keep-their-own-answers", income: func(i *tax.Income) { i.AsOf = time.Time{} }},
	"a list vouched for by nobody": {in: "income-list-gives-each-its-own", income: func(i *tax.Income) { i.Register = "" }},
}

// declaration is what the registry holds of a taxpayer and a year.
func declaration(cf string, year int) tax.Income {
	out := tax.Income{Year: year, Income: tax.Euro(4_120_055), Turnover: tax.Euro(31_000_000), Presented: "2026-06-30", Register: "MEMORY"}
	switch cf {
	case zero:
		out.Income = tax.Euro(0)
	case loss:
		out.Income = tax.Euro(-1_250_000)
	case noTurnover:
		out.Turnover = tax.Money{}
	case late:
		out.Income, out.Presented = tax.Euro(777_700), ""
	}
	if year == 2024 {
		out.Income = tax.Euro(2_000_001)
	}
	return out
}

func (r *registry) start(ctx context.Context, qs []tax.IncomeQuery) ([]byte, error) {
	if err := r.Ask(ctx, tax.OpIncome.OpInfo); err != nil {
		return nil, err
	}
	return json.Marshal(r.Now().Add(12 * time.Hour))
}

func (r *registry) collect(ctx context.Context, handle []byte, qs []tax.IncomeQuery) ([]contracts.Result[tax.Income], error) {
	op := tax.OpIncome.OpInfo
	var ready time.Time
	if err := json.Unmarshal(handle, &ready); err != nil {
		return nil, r.Fails(contracts.Internal, op, "")
	}
	if wait := ready.Sub(r.Now()); wait > 0 {
		return nil, &contracts.Error{Kind: contracts.Pending, System: "memory", Operation: op.Name, After: wait, Ticket: "lot"}
	}
	if err := r.Ask(ctx, op); err != nil {
		return nil, err
	}
	if r.Wrong("answers one at most") && len(qs) > 1 {
		return nil, r.Fails(contracts.Malformed, op, "")
	}
	out := make([]contracts.Result[tax.Income], len(qs))
	for i, q := range qs {
		out[i].Value, out[i].Err = r.declared(q)
	}
	switch {
	case r.Wrong("answers in its own order") && len(out) > 1:
		slices.SortFunc(out, func(a, b contracts.Result[tax.Income]) int { return a.Value.Year - b.Value.Year })
		slices.Reverse(out)
	case r.Wrong("swaps two") && len(out) > 1:
		out[0], out[1] = out[1], out[0]
	case r.Wrong("one wrong code spoils the list") && len(out) > 1:
		for i := range out {
			out[i] = contracts.Result[tax.Income]{Err: r.Fails(contracts.Invalid, op, "02")}
		}
	case r.Wrong("a list of one is none") && len(out) == 1:
		out[0] = contracts.Result[tax.Income]{Err: r.Fails(contracts.NotFound, op, "")}
	}
	return out, nil
}

func (r *registry) declared(q tax.IncomeQuery) (tax.Income, error) {
	op, cf, none := tax.OpIncome.OpInfo, q.CodiceFiscale.Reveal(), tax.Income{}
	n := r.Nth()
	switch {
	case cf == wrong && !r.Wrong("unaskable is an answer"):
		return none, r.Fails(contracts.Invalid, op, "XX01")
	case cf == brokenIncome && !r.Wrong("broken is an answer"):
		return none, r.Fails(contracts.Unavailable, op, "XX03")
	case cf == noneDeclared, cf == wrong, cf == brokenIncome:
		if !r.Wrong("none declared is zero") {
			return none, r.Fails(contracts.NotFound, op, "XX05")
		}
		return tax.Income{Year: q.Year, Income: tax.Euro(0), Register: "MEMORY", AsOf: r.Now()}, nil
	}
	out := declaration(cf, q.Year)
	out.AsOf = r.Now()
	switch {
	case r.Wrong("any year will do"):
		out = declaration(cf, 2025)
		out.Year, out.AsOf = q.Year, r.Now()
	case r.Wrong("another's income"), r.Wrong("mixes subjects up") && n%7 == 0, r.Wrong("tires of a question") && n%2 == 0:
		out.Income = tax.Euro(1_234_567)
	case r.Wrong("zero is nothing") && out.Income == tax.Euro(0):
		out.Income = tax.Money{}
	case r.Wrong("loses the sign"):
		if cents, _ := out.Income.Cents(); cents < 0 {
			out.Income = tax.Euro(-cents)
		}
	case r.Wrong("no turnover is zero") && out.Turnover.IsZero():
		out.Turnover = tax.Euro(0)
	case r.Wrong("forgets the day") && out.Presented == "":
		out.Presented = "9999-12-31"
	case r.Wrong("shows the amount"):
		r.Log.Info(fmt.Sprintf("income %s", contracttest.Sure(out.Income.MarshalText())))
	}
	if spoil := spoils[r.Mistake]; spoil.income != nil {
		spoil.income(&out)
	}
	return out, nil
}
