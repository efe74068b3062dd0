package tax_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

const (
	aCode   = "RSSMRA85T10A562S"
	aNumber = "12345678903"
	aGroup  = "01234567897"
	aName   = "Cantine Bellavista"
	aWord   = "Codice fiscale di Rossi in verifica"
)

var at = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func code() contracts.CodiceFiscale { return contracttest.Sure(contracts.ParseCodiceFiscale(aCode)) }

func number(s string) contracts.PartitaIVA {
	return contracttest.Sure(contracts.ParsePartitaIVA(s))
}

func TestRequestsNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request contracts.Validator
		says    []string
	}{
		"a code":                  {tax.CodeQuery{CodiceFiscale: code()}, nil},
		"no code":                 {tax.CodeQuery{}, []string{"codice_fiscale"}},
		"a number":                {tax.VATQuery{PartitaIVA: number(aNumber)}, nil},
		"no number":               {tax.VATQuery{}, []string{"partita_iva"}},
		"an income":               {tax.IncomeQuery{CodiceFiscale: code(), Year: 2025}, nil},
		"the first year":          {tax.IncomeQuery{CodiceFiscale: code(), Year: 2000}, nil},
		"the last year":           {tax.IncomeQuery{CodiceFiscale: code(), Year: 2099}, nil},
		"a year too early":        {tax.IncomeQuery{CodiceFiscale: code(), Year: 1999}, []string{"year"}},
		"a year too late":         {tax.IncomeQuery{CodiceFiscale: code(), Year: 2100}, []string{"year"}},
		"an income without year":  {tax.IncomeQuery{CodiceFiscale: code()}, []string{"year"}},
		"an income of nobody":     {tax.IncomeQuery{Year: 2025}, []string{"codice_fiscale"}},
		"an income of no one yet": {tax.IncomeQuery{}, []string{"codice_fiscale", "year"}},
	} {
		err := c.request.Validate()
		if (err == nil) != (len(c.says) == 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, field := range c.says {
			if !strings.Contains(err.Error(), field+":") {
				t.Errorf("%s: %q does not name %s", name, err, field)
			}
		}
	}
}

func TestOperationsReadTheirWire(t *testing.T) {
	t.Parallel()
	if len(tax.Ops()) != 3 {
		t.Error("an operation is not listed")
	}
	for _, op := range tax.Ops() {
		if op.Effect != contracts.Read || !strings.HasPrefix(op.Name, "tax.") {
			t.Errorf("%s is %s", op.Name, op.Effect)
		}
		for _, text := range []string{`{}`, `{"codice_fiscale":"` + aCode + `","partita_iva":"` + aNumber + `","year":2025,"colour":1}`, `[]`} {
			if _, err := op.Request([]byte(text)); err == nil || contracts.KindOf(err) != contracts.Invalid {
				t.Errorf("%s: %s is accepted, or refused as %v", op.Name, text, err)
			}
		}
	}
	got, err := tax.OpIncome.Request([]byte(`{"codice_fiscale":"` + aCode + `","year":2025}`))
	if want := (tax.IncomeQuery{CodiceFiscale: code(), Year: 2025}); err != nil || got != want {
		t.Errorf("income: %v, %v", got, err)
	}
}

func TestRequestsAndAnswersAreStoredWhole(t *testing.T) {
	t.Parallel()
	contracttest.StoredWhole(t, []string{aCode, aNumber, aGroup, aName, aWord, "41200", "4120055"}, map[string]contracttest.Stored{
		"code query":   {Value: tax.CodeQuery{CodiceFiscale: code()}, Decode: tax.OpCode.StoredRequest},
		"code check":   {Value: tax.CodeCheck{State: tax.CodeUnclear, Text: contracts.NewPrivate(aWord), Register: "r", AsOf: at}, Decode: tax.OpCode.Response},
		"VAT query":    {Value: tax.VATQuery{PartitaIVA: number(aNumber)}, Decode: tax.OpVAT.StoredRequest},
		"unassigned":   {Value: tax.VAT{Register: "r", AsOf: at}, Decode: tax.OpVAT.Response},
		"income query": {Value: tax.IncomeQuery{CodiceFiscale: code(), Year: 2025}, Decode: tax.OpIncome.StoredRequest},
		"VAT": {Value: tax.VAT{
			Assigned: true, Status: tax.VATSuspended, Name: contracts.NewPrivate(aName), Since: "2001-02-03", Ceased: "2020-01-01", Suspended: "2025-07-08",
			Group: true, Member: &tax.Membership{Group: number(aGroup), Since: "2019-01-01"}, Register: "r", AsOf: at,
		}, Decode: tax.OpVAT.Response},
		"income": {Value: tax.Income{
			Year: 2025, Income: tax.Euro(-4_120_055), Turnover: tax.Euro(0), Presented: "2026-06-30", Register: "r", AsOf: at,
		}, Decode: tax.OpIncome.Response},
		"income without amounts": {Value: tax.Income{Year: 2025, Register: "r", AsOf: at}, Decode: tax.OpIncome.Response},
	})
}

// Behind a pointer fmt prints with some verbs what it finds, and asks nobody.
func TestMembershipMasksBehindItsPointer(t *testing.T) {
	t.Parallel()
	m := &tax.Membership{Group: number(aGroup), Since: "2019-01-01"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{m, *m, tax.VAT{Member: m}, &tax.VAT{Member: m}, tax.VAT{}} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, aGroup) || strings.Contains(s, "PANIC") {
				t.Errorf("%s of %T tells the group's number, or panics", format, v)
			}
		}
	}
	if s := fmt.Sprint(m); !strings.Contains(s, "2019-01-01") {
		t.Errorf("prints %q", s)
	}
}

func TestUsableGoesByTheState(t *testing.T) {
	t.Parallel()
	for state, want := range map[tax.CodeState]contracts.Finding{
		tax.CodeValid: contracts.Yes, tax.CodeValidSuperseded: contracts.Yes,
		tax.CodeSuperseded: contracts.No, tax.CodeInvalid: contracts.No,
		tax.CodeUnclear: contracts.CannotTell, "": contracts.CannotTell, "INVALID": contracts.CannotTell, "revoked": contracts.CannotTell,
	} {
		if got := (tax.CodeCheck{State: state}).Usable(); got != want {
			t.Errorf("state %q: usable %s, want %s", state, got, want)
		}
	}
}

func TestOperatingIsTheEmployersOwnNumberAndActive(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		vat  tax.VAT
		want contracts.Finding
	}{
		"active":                        {tax.VAT{Register: "R", Assigned: true, Status: tax.VATActive}, contracts.Yes},
		"active, and member of a group": {tax.VAT{Register: "R", Assigned: true, Status: tax.VATActive, Member: &tax.Membership{}}, contracts.Yes},
		"ceased":                        {tax.VAT{Register: "R", Assigned: true, Status: tax.VATCeased}, contracts.No},
		"suspended":                     {tax.VAT{Register: "R", Assigned: true, Status: tax.VATSuspended}, contracts.No},
		"not assigned":                  {tax.VAT{Register: "R"}, contracts.No},
		"not assigned, with a status":   {tax.VAT{Register: "R", Status: tax.VATActive}, contracts.No},
		"a group's, active":             {tax.VAT{Register: "R", Assigned: true, Status: tax.VATActive, Group: true}, contracts.CannotTell},
		"a group's, ceased":             {tax.VAT{Register: "R", Assigned: true, Status: tax.VATCeased, Group: true}, contracts.CannotTell},
		"assigned, nothing else said":   {tax.VAT{Register: "R", Assigned: true}, contracts.CannotTell},
		"nobody vouches for it":         {tax.VAT{}, contracts.CannotTell},
		"a word that nobody agreed on":  {tax.VAT{Register: "R", Assigned: true, Status: "CESSATA"}, contracts.CannotTell},
	} {
		if got := c.vat.Operating(); got != c.want {
			t.Errorf("%s: operating %s, want %s", rule, got, c.want)
		}
	}
}

func TestViaAsksThroughTheRunner(t *testing.T) {
	t.Parallel()
	var asked []string
	r := tax.Via(contracttest.RunnerFunc(func(_ context.Context, call *contracts.Call) (any, error) {
		asked = append(asked, call.Op.Name)
		switch call.Op {
		case tax.OpCode.OpInfo:
			return tax.CodeCheck{State: tax.CodeValid}, nil
		case tax.OpVAT.OpInfo:
			return tax.VAT{Assigned: true}, nil
		}
		return nil, &contracts.Error{Kind: contracts.Pending, Ticket: "t-1"}
	}))
	if c, err := r.CheckCode(t.Context(), tax.CodeQuery{}); err != nil || c.State != tax.CodeValid {
		t.Errorf("code: %v, %v", c, err)
	}
	if v, err := r.CheckVAT(t.Context(), tax.VATQuery{}); err != nil || !v.Assigned {
		t.Errorf("vat: %v, %v", v, err)
	}
	if _, err := r.Income(t.Context(), tax.IncomeQuery{}); contracts.KindOf(err) != contracts.Pending || contracts.AsError(err).Ticket != "t-1" {
		t.Errorf("income: %v", err)
	}
	if strings.Join(asked, " ") != "tax.code tax.vat tax.income" {
		t.Errorf("asked %v", asked)
	}
}
