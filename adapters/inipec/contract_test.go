package inipec

import (
	"strings"
	"testing"

	"raccordo/adapters/internal/oracle"
	"raccordo/contracts/domicile"
	mock "raccordo/mocks/inipec"
)

// What the adapter sends is valid by InfoCamere's own files (in the form that makes them satisfiable: anyOf for oneOf,
// since no property is required and every object fits both branches).
//
// Named exceptions, where the wire is known to differ from the file:
//   - POST /authentication: the file, written by a client, asks for a bearer token also where one is obtained, and calls
//     the body JSON; by the manual it is a bare JWS, without a token.
func TestRequestsAreValidByTheOfficialContract(t *testing.T) {
	t.Parallel()
	files := map[string]*oracle.Contract{
		"POST /richiestaElencoPec":                    oracle.Load(t, "inipec/derived/richiestaElencoPEC.anyof.json"),
		"GET /getElencoPec/{identificativoRichiesta}": oracle.Load(t, "inipec/derived/getElencoPEC.anyof.json"),
		"POST /authentication":                        oracle.Load(t, "inipec/wspa-authentication.yaml"),
	}
	exceptions := map[string]string{"POST /authentication": "no bearer token"}

	b, m, a := open(t, nil)
	m.Set(promptly)
	qs := []domicile.Query{query("company-with-pec"), query("company-codes-differ"), query("lawyer-as-professional")}
	if _, err := gather(t, a, order(t, a, qs), qs); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, x := range b.Journal() {
		contract, ok := files[x.Label]
		if !ok {
			t.Fatalf("%s stands in no file", x.Label)
		}
		seen[x.Label] = true
		err := contract.Request(x.Request, mock.Prefix)
		except, known := exceptions[x.Label]
		switch {
		case known && (err == nil || !strings.Contains(err.Error(), except)):
			t.Errorf("%s: %v: the named exception no longer holds, take it off the list", x.Label, err)
		case !known && err != nil:
			t.Errorf("%s: %v", x.Label, err)
		}
	}
	if len(seen) != len(files) {
		t.Errorf("%d operations were sent, want %d", len(seen), len(files))
	}
}
