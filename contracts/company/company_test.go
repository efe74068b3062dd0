package company_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/contracttest"
)

const (
	aPerson = "RSSMRA85T10A562S"
	aFirm   = "12345678903"
	aName   = "Cantine Bellavista"
	aStreet = "Via dei Serpenti 12"
	aBox    = "cantine@pec.example"
)

var at = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func code(s string) contracts.CodiceFiscale {
	return contracttest.Sure(contracts.ParseCodiceFiscale(s))
}

func subject() contracts.Subject {
	return contracts.Subject{CodiceFiscale: code(aFirm), PartitaIVA: contracttest.Sure(contracts.ParsePartitaIVA(aFirm))}
}

// whole is an answer with every field filled.
func whole() company.Company {
	return company.Company{
		CodiceFiscale: code(aFirm), PartitaIVA: subject().PartitaIVA, Name: contracts.NewPrivate(aName), Status: company.Active,
		LegalForm:  company.Coded{Code: "SR", Text: "SOCIETA' A RESPONSABILITA' LIMITATA"},
		Activities: []company.Coded{{Code: "01.21", Text: "Coltivazione di uva"}, {Code: "11.02"}},
		Seat:       company.Seat{Comune: "Roma", Province: "RM", CAP: "00184", Street: contracts.NewPrivate(aStreet)},
		Domicile:   contracttest.Sure(contracts.ParseAddress(aBox)), REA: company.REA{Chamber: "RM", Number: "1234567"},
		Registered: "2001-02-03", Unknown: []company.Attribute{company.Form}, Register: "Registro Imprese", AsOf: at,
	}
}

func TestRequestsNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request contracts.Validator
		says    []string
	}{
		"a query":                      {company.Query{Subject: subject()}, nil},
		"a query by number alone":      {company.Query{Subject: contracts.Subject{PartitaIVA: subject().PartitaIVA}}, nil},
		"a query about nobody":         {company.Query{}, []string{"subject"}},
		"a mandate":                    {company.Mandate{Person: code(aPerson), Subject: subject()}, nil},
		"a mandate of a legal person":  {company.Mandate{Person: code("01234567897"), Subject: subject()}, nil},
		"a mandate of nobody":          {company.Mandate{Subject: subject()}, []string{"person"}},
		"a mandate for nobody":         {company.Mandate{Person: code(aPerson)}, []string{"subject"}},
		"a mandate of nobody for none": {company.Mandate{}, []string{"person", "subject"}},
		"a holder":                     {company.Holder{Person: code(aPerson)}, nil},
		"a holder that is nobody":      {company.Holder{}, []string{"person"}},
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
	if len(company.Ops()) != 3 {
		t.Error("an operation is not listed")
	}
	for _, op := range company.Ops() {
		if op.Effect != contracts.Read || !strings.HasPrefix(op.Name, "company.") {
			t.Errorf("%s is %s", op.Name, op.Effect)
		}
		for _, text := range []string{`{}`, `{"subject":{"codice_fiscale":"` + aFirm + `"},"person":"` + aPerson + `","colour":1}`, `[]`} {
			if _, err := op.Request([]byte(text)); contracts.KindOf(orNone(err)) != contracts.Invalid {
				t.Errorf("%s: %s is accepted, or refused as %v", op.Name, text, err)
			}
		}
	}
	got, err := company.OpRepresents.Request([]byte(`{"person":"` + aPerson + `","subject":{"codice_fiscale":"` + aFirm + `"}}`))
	if want := (company.Mandate{Person: code(aPerson), Subject: contracts.Subject{CodiceFiscale: code(aFirm)}}); err != nil || got != want {
		t.Errorf("represents: %v, %v", got, err)
	}
}

func orNone(err error) error {
	if err == nil {
		return contracts.Internal
	}
	return err
}

func TestRequestsAndAnswersAreStoredWhole(t *testing.T) {
	t.Parallel()
	contracttest.StoredWhole(t, []string{aPerson, aFirm, aName, aStreet, aBox}, map[string]contracttest.Stored{
		"query":          {Value: company.Query{Subject: subject()}, Decode: company.OpFind.StoredRequest},
		"company":        {Value: whole(), Decode: company.OpFind.Response},
		"bare company":   {Value: company.Company{CodiceFiscale: code(aFirm), Unknown: company.Attributes(), Register: "r", AsOf: at}, Decode: company.OpFind.Response},
		"mandate":        {Value: company.Mandate{Person: code(aPerson), Subject: subject()}, Decode: company.OpRepresents.StoredRequest},
		"representation": {Value: company.Representation{Represents: contracts.No, Reason: "00", Register: "r", AsOf: at}, Decode: company.OpRepresents.Response},
		"cannot tell":    {Value: company.Representation{Reason: "XXXX", Register: "r", AsOf: at}, Decode: company.OpRepresents.Response},
		"holder":         {Value: company.Holder{Person: code(aPerson)}, Decode: company.OpRepresented.StoredRequest},
		"portfolio": {Value: company.Portfolio{
			Enterprises: []company.Represented{{CodiceFiscale: code(aFirm), Name: contracts.NewPrivate(aName)}, {CodiceFiscale: code("01234567897")}},
			Register:    "r", AsOf: at,
		}, Decode: company.OpRepresented.Response},
	})
}

func TestCompanyKnowsWhatIsNotUnknown(t *testing.T) {
	t.Parallel()
	for _, a := range company.Attributes() {
		if !(company.Company{}).Knows(a) {
			t.Errorf("%s is unknown where nothing is", a)
		}
		c := company.Company{Unknown: []company.Attribute{a}}
		for _, b := range company.Attributes() {
			if c.Knows(b) == (a == b) {
				t.Errorf("%s unknown: knows %s: %t", a, b, c.Knows(b))
			}
		}
	}
}

// Each attribute is named as its field, so that whoever reads JSON finds the field that is unknown.
func TestAttributesAreNamedAsTheirFields(t *testing.T) {
	t.Parallel()
	c := whole()
	c.Unknown = nil
	raw, err := contracts.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range company.Attributes() {
		if !strings.Contains(string(raw), `"`+string(a)+`":`) {
			t.Errorf("%s is no field", a)
		}
	}
	if len(company.Attributes()) != 8 {
		t.Errorf("%d attributes are listed", len(company.Attributes()))
	}
}

func TestOnlyTheActiveTradeAndOnlyTheCeasedDoNot(t *testing.T) {
	t.Parallel()
	for status, want := range map[company.Status]contracts.Finding{
		company.Active: contracts.Yes, company.Ceased: contracts.No,
		company.Inactive: contracts.CannotTell, company.Suspended: contracts.CannotTell,
		company.Liquidation: contracts.CannotTell, company.Insolvent: contracts.CannotTell,
		"": contracts.CannotTell, "CESSATA": contracts.CannotTell, "Active": contracts.CannotTell,
	} {
		if got := (company.Company{Status: status}).Trading(); got != want {
			t.Errorf("status %q: trading %s, want %s", status, got, want)
		}
		if valid := status != "" && status != "CESSATA" && status != "Active"; status.Valid() != valid {
			t.Errorf("status %q: valid %t", status, status.Valid())
		}
	}
}

func TestWhatIsEmptyIsNone(t *testing.T) {
	t.Parallel()
	c := whole()
	if (c.Seat.IsZero() || c.REA.IsZero() || c.LegalForm.IsZero()) || !(company.Seat{}).IsZero() || !(company.REA{}).IsZero() || !(company.Coded{}).IsZero() {
		t.Error("something is none, or none is something")
	}
}

func TestViaAsksThroughTheRunner(t *testing.T) {
	t.Parallel()
	var asked []string
	r := company.Via(contracttest.RunnerFunc(func(_ context.Context, call *contracts.Call) (any, error) {
		asked = append(asked, call.Op.Name)
		switch call.Op {
		case company.OpFind.OpInfo:
			return company.Company{Status: company.Active}, nil
		case company.OpRepresents.OpInfo:
			return company.Representation{Represents: contracts.Yes}, nil
		}
		return company.Portfolio{Register: "r"}, nil
	}))
	if c, err := r.Find(t.Context(), company.Query{}); err != nil || c.Status != company.Active {
		t.Errorf("find: %v, %v", c, err)
	}
	if p, err := r.Represents(t.Context(), company.Mandate{}); err != nil || p.Represents != contracts.Yes {
		t.Errorf("represents: %v, %v", p, err)
	}
	if p, err := r.Represented(t.Context(), company.Holder{}); err != nil || p.Register != "r" {
		t.Errorf("represented: %v, %v", p, err)
	}
	if strings.Join(asked, " ") != "company.find company.represents company.represented" {
		t.Errorf("asked %v", asked)
	}
}
