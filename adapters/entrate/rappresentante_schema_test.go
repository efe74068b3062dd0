package entrate

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"raccordo/adapters/entrate/internal/rappresentante"
	"raccordo/adapters/entrate/internal/redditi"
	"raccordo/adapters/internal/oracle"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/tax"
)

const (
	ourMessages  = "internal/rappresentante/messaggi.xsd"
	ourTypes     = "internal/rappresentante/tipi.xsd"
	ourService   = "internal/rappresentante/rappresentante.wsdl"
	ourIncomes   = "internal/redditi/redditi.xsd"
	theirIncomes = "../../mocks/entrate/spec/redditi.xsd"
)

// published is the folder of the agency's own files.
func published(t testing.TB, file string) string {
	t.Helper()
	return filepath.Join(oracle.Folder(t), "agenzia-entrate", "VerificaRappresentanteEnte", file)
}

// xmllint holds a document against a schema, and gives what it says.
func xmllint(t testing.TB, schema string, doc []byte) (string, error) {
	t.Helper()
	program := tool(t, "xmllint", "libxml2-utils")
	file := filepath.Join(t.TempDir(), "message.xml")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), program, "--nonet", "--noout", "--schema", schema, file).CombinedOutput()
	return string(said), err
}

// bodyIn is the one element in an envelope's Body.
func bodyIn(t testing.TB, envelope []byte) []byte {
	t.Helper()
	_, rest, ok1 := bytes.Cut(envelope, []byte("<soap:Body>"))
	body, _, ok2 := bytes.Cut(rest, []byte("</soap:Body>"))
	if !ok1 || !ok2 {
		t.Fatal("the envelope has no Body")
	}
	return body
}

// What is sent is valid by the agency's own schema, and by ours: the least that can be asked, and the most.
func TestRequestsAreValidByThePublishedSchema(t *testing.T) {
	t.Parallel()
	schema := published(t, "definitorio.xsd")
	s := onSOAP(t, nil)
	omocodic, provisional := s.Who("omocodic-code-full").CodiceFiscale, s.Who("provisional-code").CodiceFiscale
	for name, m := range map[string]company.Mandate{
		"minimal": companytest.Mandate(provisional, s.Who("entrate-body").CodiceFiscale, ""),
		"full":    companytest.Mandate(omocodic, s.Who("company-codes-differ").CodiceFiscale, s.Who("company-codes-differ").PartitaIVA),
	} {
		_, _ = s.represent(t.Context(), m)
		x, _ := s.last(t, represents)
		if x.Refused != "" && !strings.HasPrefix(x.Refused, "cf") {
			t.Errorf("%s: the mock refuses it: %s", name, x.Refused)
		}
		for _, file := range []string{schema, ourMessages} {
			if said, err := xmllint(t, file, bodyIn(t, envelopeOf(t, x))); err != nil {
				t.Errorf("%s, %s: %s", name, filepath.Base(file), said)
			}
		}
	}
	if err := s.a.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	x, _ := s.last(t, represents)
	if said, err := xmllint(t, schema, bodyIn(t, envelopeOf(t, x))); err != nil {
		t.Errorf("check: %s", said)
	}
}

// Nothing that is required is left out for being Go's zero. Of the agency's message every zero breaks a pattern, and only
// that: the adapter sends none.
func TestZeroValuesAreSent(t *testing.T) {
	t.Parallel()
	said, err := xmllint(t, published(t, "definitorio.xsd"), marshalled(t, &rappresentante.CheckValidityRappresentanteType{}))
	if err == nil || strings.Contains(said, "Missing child") || strings.Contains(said, "not expected") || strings.Count(said, "is not accepted by the pattern") < 2 {
		t.Errorf("a request of zeros: %s", said)
	}
	no := rappresentante.Boolean(false)
	said, err = xmllint(t, published(t, "definitorio.xsd"), marshalled(t, &rappresentante.CheckValidityRappresentanteRespType{Valido: &no}))
	if err != nil {
		t.Errorf("an answer of zeros: %s", said)
	}
	zero := redditi.ImportoType("0")
	row := &redditi.EsitoType{Progressivo: 1, CodiceFiscale: "12345678903", AnnoImposta: 2000, RedditoComplessivo: &zero}
	for name, doc := range map[string]any{
		"an answer with zero amounts": &redditi.RitiraRedditiRespType{Esito: []*redditi.EsitoType{row}},
		"an answer of nothing":        &redditi.RichiediRedditiRespType{},
	} {
		if said, err := xmllint(t, ourIncomes, marshalled(t, doc)); err != nil {
			t.Errorf("%s: %s", name, said)
		}
	}
}

func marshalled(t testing.TB, v any) []byte {
	t.Helper()
	text, err := xml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Orders and fetches are valid by the modelled schema: ours, and the mock's own text of it.
func TestOrdersAreValidByTheModelledSchema(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	var many []tax.IncomeQuery
	for year := 2000; year < 2000+MaxIncomes; year++ {
		many = append(many, s.incomeOf("omocodic-code-full", year))
	}
	for name, qs := range map[string][]tax.IncomeQuery{"minimal": {s.incomeOf("provisional-code", 2000)}, "full": many} {
		handle, err := startIncomes(t.Context(), s.a, "lot-"+name, qs...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.gather(t, handle, qs...); contracts.KindOf(err) != contracts.Pending {
			t.Fatal(err)
		}
		for _, label := range []string{ordering, fetching} {
			x, _ := s.last(t, label)
			for _, file := range []string{ourIncomes, theirIncomes} {
				if said, err := xmllint(t, file, bodyIn(t, envelopeOf(t, x))); err != nil {
					t.Errorf("%s, %s by %s: %s", name, label, file, said)
				}
			}
		}
	}
}

// A node is an element of a schema or a WSDL.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
}

func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// facts are what files of WSDL and XML Schema say, each in a line, without what is taste: prefixes, order of declarations,
// comments, how a file is cut into several, and how a pattern is written.
func facts(t testing.TB, files ...string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var root node
		if err := xml.Unmarshal(text, &root); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		gather(out, &root, root.XMLName.Local+" "+root.attr("targetNamespace"))
	}
	return out
}

func gather(out map[string]bool, n *node, path string) {
	for i := range n.Children {
		c := &n.Children[i]
		name := c.XMLName.Local
		switch name {
		case "import", "include", "annotation", "documentation", "pattern", "address", "types":
			continue
		}
		line := fmt.Sprintf("%s > %s", path, name)
		if n.XMLName.Local == "sequence" {
			line = fmt.Sprintf("%s > %d %s", path, i, name)
		}
		for _, a := range []string{"name", "type", "element", "base", "minOccurs", "maxOccurs", "value", "soapAction", "style", "transport", "use", "message", "binding"} {
			v := c.attr(a)
			if a == "name" && (name == "input" || name == "output") || v == "" || a == "minOccurs" && v == "1" {
				continue // names of inputs and outputs are not on the wire
			}
			if a != "value" && a != "soapAction" && a != "transport" {
				v = v[strings.LastIndexByte(v, ':')+1:] // a prefix is taste
			}
			line += " " + a + "=" + v
		}
		out[line] = true
		gather(out, c, line)
	}
}

// Our text of the agency's contract says what the agency's own says, and no more.
func TestOurDescriptionAgreesWithThePublishedOne(t *testing.T) {
	t.Parallel()
	theirs := facts(t, published(t, "definitorio.xsd"), published(t, "types.xsd"),
		published(t, "verificaRappresentanteEnteLogicoErogatore.wsdl"), published(t, "verificaRappresentanteEnteImplementativoErogatore.wsdl"))
	ours := facts(t, ourMessages, ourTypes, ourService)
	for _, fact := range slices.Sorted(maps.Keys(theirs)) {
		if !ours[fact] {
			t.Errorf("ours lacks: %s", fact)
		}
	}
	for _, fact := range slices.Sorted(maps.Keys(ours)) {
		if !theirs[fact] {
			t.Errorf("ours adds: %s", fact)
		}
	}
	if len(theirs) < 25 {
		t.Errorf("only %d facts were read", len(theirs))
	}
	// Patterns are compared by what they take.
	for _, code := range []string{
		"RSSMRA85T10A562S", "rssmra85t10a562s", "RSSMRA85T10A56NH", "RSSMRAURTMLARSNL", "RSSMRA85T10A562", "RSSMRA85T10A562SS", "RSSMR185T10A562S",
		"ÀSSMRA85T10A562S", "RSSMRAOOT10A562S", "12345678903", "1234567890", "123456789012", "1234567890A", "", " 12345678903", "12345678903 ",
	} {
		doc := marshalled(t, &rappresentante.CheckValidityRappresentanteType{CfRappresentante: rappresentante.CodiceFiscaleType(code), CfEnte: "12345678903"})
		_, them := xmllint(t, published(t, "definitorio.xsd"), doc)
		if _, us := xmllint(t, ourMessages, doc); (us == nil) != (them == nil) {
			t.Errorf("%q: ours %v, theirs %v", code, us, them)
		}
	}
}

// The two texts of the modelled contract, the mock's and ours, are of one contract.
func TestOurModelAgreesWithTheMocks(t *testing.T) {
	t.Parallel()
	theirs := facts(t, theirIncomes, "../../mocks/entrate/spec/redditi.wsdl")
	ours := facts(t, ourIncomes, "internal/redditi/redditi.wsdl")
	for fact := range theirs {
		if !ours[fact] {
			t.Errorf("ours lacks: %s", fact)
		}
	}
	for fact := range ours {
		if !theirs[fact] {
			t.Errorf("ours adds: %s", fact)
		}
	}
}
