package registroimprese

import (
	"bytes"
	"strings"
	"testing"

	"raccordo/adapters/internal/oracle"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
	mock "raccordo/mocks/registroimprese"
)

// What road wspa sends is valid by the published files: InfoCamere's own for seat, existence and list (in the form that
// makes them satisfiable, anyOf for oneOf), the largest client's for the one representative, which InfoCamere has not
// published.
//
// Named exceptions, where the wire is known to differ from the file:
//   - POST /authentication: the file, written by a client, asks for a bearer token also where one is obtained.
func TestRequestsAreValidByTheOfficialContracts(t *testing.T) {
	t.Parallel()
	seat := oracle.Load(t, "registro-imprese/derived/Sede.anyof.json")
	client := oracle.Load(t, "inipec/infocamere-combined-client.yaml")
	files := map[string][]*oracle.Contract{
		"POST /sede/{cf}":                            {seat, client},
		"GET /esistenzari/{cf}":                      {seat},
		"GET /legaleRappresentante/{cfPersona}":      {client},
		"GET /listaLegaleRappresentante/{cfPersona}": {oracle.Load(t, "registro-imprese/derived/LrElenco.anyof.json"), client},
		"POST /authentication":                       {oracle.Load(t, "inipec/wspa-authentication.yaml")},
	}
	exceptions := map[string]string{"POST /authentication": "no bearer token"}

	s, g := overGateway(t, nil)
	for _, story := range []string{"ri-active", "ri-unknown", "sole-trader-as-enterprise"} {
		_, _ = find(t, g, s.query(story))
	}
	_, _ = find(t, g, companytest.Query("", s.Who("ri-active").PartitaIVA))
	if _, err := represents(t, g, s.mandate("ri-active")); err != nil {
		t.Fatal(err)
	}
	if _, err := represented(t, g, companytest.Holder(s.Who("ri-active").Representative)); err != nil {
		t.Fatal(err)
	}
	requests := map[string][]byte{}
	for _, x := range s.Journal() {
		contracts, ok := files[x.Label]
		if !ok {
			t.Fatalf("%s stands in no file", x.Label)
		}
		requests[x.Label] = x.Request
		for _, contract := range contracts {
			err := contract.Request(x.Request, mock.WSPAPrefix)
			except, known := exceptions[x.Label]
			switch {
			case known && (err == nil || !strings.Contains(err.Error(), except)):
				t.Errorf("%s: %v: the named exception no longer holds, take it off the list", x.Label, err)
			case !known && err != nil:
				t.Errorf("%s: %v", x.Label, err)
			}
		}
	}
	if len(requests) != len(files) {
		t.Errorf("%d operations were sent, want %d", len(requests), len(files))
	}
	// The oracle must be able to say no.
	for label, spoil := range map[string][2]string{
		"POST /sede/{cf}":                            {"client_id=", "clientid="},
		"GET /esistenzari/{cf}":                      {"Authorization: Bearer ", "Authorization: "},
		"GET /legaleRappresentante/{cfPersona}":      {"cfImpresa=", "cf="},
		"GET /listaLegaleRappresentante/{cfPersona}": {"client_id=", "clientid="},
	} {
		bad := bytes.Replace(requests[label], []byte(spoil[0]), []byte(spoil[1]), 1)
		if files[label][0].Request(bad, mock.WSPAPrefix) == nil {
			t.Errorf("%s: takes %q for %q: the oracle is blind", label, spoil[1], spoil[0])
		}
	}
	if raw := requests["POST /sede/{cf}"]; !bytes.HasSuffix(raw, []byte("\r\n\r\n")) || bytes.Contains(raw, []byte("Content-Type")) {
		t.Error("the seat was asked for with a body, and the contract has none")
	}
}

// What road pdnd sends is valid by the contract that we model.
func TestRequestsAreValidByTheModelledContract(t *testing.T) {
	t.Parallel()
	contract := oracle.Modelled(t, "../../mocks/registroimprese/spec/ri-pdnd.yaml")
	s, e := overPDND(t, nil)
	m := s.Who("ri-active")
	for _, q := range []struct{ cf, vat string }{{m.CodiceFiscale, ""}, {"", m.PartitaIVA}, {s.Who("sole-trader-as-enterprise").CodiceFiscale, ""}} {
		if _, err := find(t, e, companytest.Query(q.cf, q.vat)); err != nil {
			t.Fatal(err)
		}
	}
	q := domiciletest.Query(m.CodiceFiscale, m.PartitaIVA, domicile.Enterprise)
	if _, err := e.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), q); err != nil {
		t.Fatal(err)
	}
	if err := e.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var last []byte
	n := 0
	for _, x := range s.Journal() {
		if x.Mock != "registroimprese" {
			continue
		}
		n, last = n+1, x.Request
		if err := contract.Request(x.Request, mock.PDNDPrefix); err != nil {
			t.Errorf("%s: %v", x.Label, err)
		}
	}
	if n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
	for _, spoil := range [][2]string{{"profilo=sintetico", "profilo=breve"}, {"/imprese/", "/impresa/"}, {nobody, "1"}} {
		if contract.Request(bytes.Replace(last, []byte(spoil[0]), []byte(spoil[1]), 1), mock.PDNDPrefix) == nil {
			t.Errorf("takes %q for %q: the oracle is blind", spoil[1], spoil[0])
		}
	}
}
