package domicile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
)

const (
	aCode    = "RSSMRA85T10A562S"
	aMailbox = "mario.rossi@pec.example"
)

func claim(t *testing.T) domicile.Claim {
	t.Helper()
	c, err := contracts.ParseCodiceFiscale(aCode)
	if err != nil {
		t.Fatal(err)
	}
	a, err := contracts.ParseAddress(aMailbox)
	if err != nil {
		t.Fatal(err)
	}
	return domicile.Claim{
		Subject: contracts.Subject{CodiceFiscale: c}, Capacity: domicile.Person, Address: a,
		At: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
	}
}

func TestRequestsNameWhatIsMissing(t *testing.T) {
	full := claim(t)
	for name, c := range map[string]struct {
		spoil func(*domicile.Claim)
		says  []string
	}{
		"nothing":          {func(*domicile.Claim) {}, nil},
		"no subject":       {func(c *domicile.Claim) { c.Subject = contracts.Subject{} }, []string{"subject"}},
		"no capacity":      {func(c *domicile.Claim) { c.Capacity = "" }, []string{"capacity"}},
		"unknown capacity": {func(c *domicile.Claim) { c.Capacity = "firm" }, []string{"enterprise, body, person or professional"}},
		"no address":       {func(c *domicile.Claim) { c.Address = contracts.Address{} }, []string{"address"}},
		"no instant":       {func(c *domicile.Claim) { c.At = time.Time{} }, []string{"at"}},
		"everything":       {func(c *domicile.Claim) { *c = domicile.Claim{} }, []string{"subject", "capacity", "address", "at"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := full
			c.spoil(&v)
			err := v.Validate()
			if (err == nil) != (len(c.says) == 0) {
				t.Fatalf("error %v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part+":") && !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not speak of %s", err, part)
				}
			}
			q := domicile.Query{Subject: v.Subject, Capacity: v.Capacity}
			if wrong := v.Subject == (contracts.Subject{}) || !v.Capacity.Valid(); (q.Validate() != nil) != wrong {
				t.Errorf("the query with the same fields: %v", q.Validate())
			}
		})
	}
}

func TestOperationsReadTheirWire(t *testing.T) {
	if len(domicile.Ops()) != 2 {
		t.Error("an operation is not listed")
	}
	for _, op := range domicile.Ops() {
		if op.Effect != contracts.Read || !strings.HasPrefix(op.Name, "domicile.") {
			t.Errorf("%s is %s", op.Name, op.Effect)
		}
	}
	got, err := domicile.OpLookup.Request([]byte(`{"subject":{"codice_fiscale":"` + aCode + `"},"capacity":"person"}`))
	if err != nil || got != (domicile.Query{Subject: claim(t).Subject, Capacity: domicile.Person}) {
		t.Errorf("lookup: %v, %v", got, err)
	}
	if _, err := domicile.OpVerify.Request([]byte(`{"subject":{"codice_fiscale":"` + aCode + `"},"capacity":"person"}`)); err == nil {
		t.Error("verify: a claim without address and day was accepted")
	}
}

func TestRequestsAndAnswersAreStoredWhole(t *testing.T) {
	c := claim(t)
	a := domicile.Answer{AsOf: c.At, Domiciles: []contracts.DigitalDomicile{{Address: c.Address, Register: "INAD", Role: "personal", Until: c.At}}}
	contracttest.StoredWhole(t, []string{aCode, "rossi"}, map[string]contracttest.Stored{
		"query":   {Value: domicile.Query{Subject: c.Subject, Capacity: c.Capacity}, Decode: domicile.OpLookup.StoredRequest},
		"answer":  {Value: a, Decode: domicile.OpLookup.Response},
		"claim":   {Value: c, Decode: domicile.OpVerify.StoredRequest},
		"verdict": {Value: domicile.Verdict{Theirs: true, CheckedAt: c.At}, Decode: domicile.OpVerify.Response},
	})
}

func TestViaAsksThroughTheRunner(t *testing.T) {
	c := claim(t)
	var asked []string
	d := domicile.Via(contracttest.RunnerFunc(func(_ context.Context, call *contracts.Call) (any, error) {
		asked = append(asked, call.Op.Name)
		if call.Op == domicile.OpVerify.OpInfo {
			return domicile.Verdict{Theirs: true}, nil
		}
		return domicile.Answer{AsOf: c.At}, nil
	}))
	if a, err := d.Lookup(t.Context(), domicile.Query{}); err != nil || !a.AsOf.Equal(c.At) {
		t.Errorf("lookup: %v, %v", a, err)
	}
	if v, err := d.Verify(t.Context(), c); err != nil || !v.Theirs {
		t.Errorf("verify: %v, %v", v, err)
	}
	if strings.Join(asked, " ") != "domicile.lookup domicile.verify" {
		t.Errorf("asked %v", asked)
	}
}
