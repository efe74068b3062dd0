package entrate

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/adapters/internal/oracle"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
	mock "raccordo/mocks/entrate"
)

// What the adapter sends is valid by the agency's own files, in the form in which their anchors are expanded.
//
// Named exceptions:
//   - GET /status of the fiscal-code check: the file's text says that it wants no voucher, and its security block that
//     everything does; we send none.
//   - the VAT check's paths: the file is the PDND's replica, which puts /piva-verification before them, and has paths of
//     its own, which are left out: they want a security scheme that the file does not define.
func TestRequestsAreValidByTheOfficialContracts(t *testing.T) {
	t.Parallel()
	codes := oracle.Load(t, "agenzia-entrate/derived/VerificaCodiceFiscale.expanded.json")
	numbers := replicaContract(t)
	s := onBench(t, nil)
	for _, story := range []string{"personal-domicile", "omocodic-code", "omocodic-code-full", "provisional-code", "company-with-pec", "entrate-code-unknown"} {
		if _, err := do(t.Context(), s.a, tax.OpCode, s.code(story)); err != nil {
			t.Fatal(err)
		}
	}
	for _, story := range []string{"company-with-pec", "entrate-vat-unassigned"} {
		if _, err := do(t.Context(), s.a, tax.OpVAT, s.vat(story)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.a.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	replica := func(raw []byte) []byte {
		return bytes.Replace(raw, []byte(mock.PIVAPrefix), []byte("/piva-verification"), 1)
	}
	seen := map[string][]byte{}
	for _, x := range s.Journal() {
		if x.Mock != "entrate" {
			continue
		}
		seen[x.Label] = x.Request
		var err error
		if bytes.Contains(x.Request, []byte(mock.PIVAPrefix)) {
			err = numbers.Request(replica(x.Request), "")
		} else {
			err = codes.Request(x.Request, mock.VCFPrefix)
		}
		except := strings.Contains(x.Label, mock.VCFPrefix+"/status")
		switch {
		case except && (err == nil || !strings.Contains(err.Error(), "no bearer token")):
			t.Errorf("%s: %v: the named exception no longer holds, take it off the list", x.Label, err)
		case !except && err != nil:
			t.Errorf("%s: %v", x.Label, err)
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d operations were sent, want both services' status and question", len(seen))
	}

	// The oracle must be able to say no.
	code := seen["POST "+mock.VCFPrefix+"/verifica"]
	number := replica(seen["POST "+mock.PIVAPrefix+"/verifica"])
	for rule, err := range map[string]error{
		"a code of ten digits":           codes.Request(bytes.Replace(code, []byte(`{"codiceFiscale":"`), []byte(`{"codiceFiscale":"x`), 1), mock.VCFPrefix),
		"a code in a list":               codes.Request(bytes.Replace(code, []byte(`{"codiceFiscale":"`), []byte(`{"codiceFiscale":["",`), 1), mock.VCFPrefix),
		"a question without a voucher":   codes.Request(bytes.Replace(code, []byte("Authorization"), []byte("X-Authorization"), 1), mock.VCFPrefix),
		"a question in another language": codes.Request(bytes.Replace(code, []byte("Content-Type: application/json"), []byte("Content-Type: text/xml"), 1), mock.VCFPrefix),
		"a number with its country":      numbers.Request(bytes.Replace(number, []byte(`{"partitaIva":"`), []byte(`{"partitaIva":"I`), 1), ""),
		"another path":                   numbers.Request(bytes.Replace(number, []byte("/verifica"), []byte("/verifiche"), 1), ""),
	} {
		if err == nil {
			t.Errorf("%s: the contract takes it: the oracle is blind", rule)
		}
	}
}

// replicaContract is the VAT check's file without what the replica added.
func replicaContract(t *testing.T) *oracle.Contract {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(oracle.Folder(t), "agenzia-entrate/derived/pivaVerification_v1.0.expanded.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	paths := doc["paths"].(map[string]any)
	maps.DeleteFunc(paths, func(path string, _ any) bool { return strings.Contains(path, "/data-preparation") })
	if len(paths) != 2 {
		t.Fatalf("%d paths are left, want /status and /verifica", len(paths))
	}
	file := filepath.Join(t.TempDir(), "piva.json")
	if err := os.WriteFile(file, contracttest.Sure(json.Marshal(doc)), 0o600); err != nil {
		t.Fatal(err)
	}
	return oracle.Modelled(t, file)
}
