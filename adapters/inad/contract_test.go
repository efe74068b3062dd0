package inad

import (
	"bytes"
	"strings"
	"testing"

	"raccordo/adapters/internal/oracle"
	"raccordo/contracts/domicile"
	mock "raccordo/mocks/inad"
	"raccordo/mocks/lab"
)

// What the adapter sends is valid by AgID's own file, its patterns included.
func TestRequestsAreValidByTheOfficialContract(t *testing.T) {
	t.Parallel()
	contract := oracle.Load(t, "inad/inad-api-extraction.yaml")
	b, a := open(t, nil)
	b.Mock("inad").(*mock.Mock).Set(func(s *mock.Settings) { s.Polls = 0 })
	qs := []domicile.Query{query("personal-domicile"), query("body-with-domicile"), query("provisional-code"), query("no-domicile")}
	for _, q := range qs {
		_, _ = a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), q)
	}
	if _, err := a.Verify(asking(t.Context(), domicile.OpVerify.OpInfo), claim("personal-domicile", 0, benchNow)); err != nil {
		t.Fatal(err)
	}
	if _, err := gather(t, a, order(t, a, qs), qs); err != nil {
		t.Fatal(err)
	}
	if err := a.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var body []byte
	for _, x := range b.Journal() {
		if x.Mock != "inad" {
			continue
		}
		seen[x.Label] = true
		if err := contract.Request(x.Request, mock.Prefix); err != nil {
			t.Errorf("%s: %v", x.Label, err)
		}
		if strings.HasPrefix(x.Label, "POST") {
			body = x.Request
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d operations were sent, want all 5: %v", len(seen), seen)
	}
	// The oracle must be able to say no: the other spelling in the body is refused.
	if contract.Request(bytes.ReplaceAll(body, []byte("praticalReference"), []byte("practicalReference")), mock.Prefix) == nil {
		t.Error("the contract takes the other spelling: the oracle is blind")
	}
}

// Why omocodic codes are not sent: the contract's pattern refuses them.
func TestTheOfficialContractRefusesOmocodicCodes(t *testing.T) {
	t.Parallel()
	contract := oracle.Load(t, "inad/inad-api-extraction.yaml")
	for _, story := range []string{"omocodic-code", "omocodic-code-full", "personal-domicile"} {
		raw := "GET /extract/" + lab.Who(story).CodiceFiscale + "?practicalReference=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n"
		if err := contract.Request([]byte(raw), ""); (err == nil) != (story == "personal-domicile") {
			t.Errorf("%s: %v", story, err)
		}
	}
}
