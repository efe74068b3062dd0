package entrate

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

// facts are what two schemas or WSDLs must share, whatever their prefixes and texts.
func facts(t *testing.T, files ...string) []string {
	t.Helper()
	var out []string
	for _, file := range files {
		doc := etree.NewDocument()
		if err := doc.ReadFromFile(file); err != nil {
			t.Fatal(err)
		}
		collect(&out, doc.Root(), "")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// collect tells an element by its place, its name and its attributes that say something; the order of siblings counts
// inside a sequence alone.
func collect(out *[]string, e *etree.Element, path string) {
	place := path + "/" + e.Tag
	if e.Tag == "definitions" {
		place = "definitions"
	}
	line := place
	if e.Tag == "definitions" {
		line += " targetNamespace=" + attr(e, "targetNamespace")
	}
	for _, key := range []string{"targetNamespace", "elementFormDefault", "name", "type", "element", "message", "binding", "base", "minOccurs", "maxOccurs", "soapAction", "style", "transport", "use", "namespace"} {
		if v := attr(e, key); v != "" && e.Tag != "definitions" {
			if key == "type" || key == "element" || key == "message" || key == "binding" || key == "base" {
				prefix, local, ok := strings.Cut(v, ":")
				if !ok {
					prefix, local = "", v
				}
				v = "{" + spaceOf(e, prefix) + "}" + local
			}
			line += " " + key + "=" + v
		}
	}
	if n := attr(e, "name"); n != "" && e.Tag != "definitions" {
		place += "[" + n + "]"
	}
	for i, c := range e.ChildElements() {
		if c.Tag == "documentation" || c.Tag == "annotation" || c.Tag == "pattern" || c.Tag == "address" || c.Tag == "import" && e.Tag == "definitions" {
			continue
		}
		at := place
		if e.Tag == "sequence" {
			at = fmt.Sprintf("%s#%d", place, i)
		}
		collect(out, c, at)
	}
	*out = append(*out, line)
}

func spaceOf(e *etree.Element, prefix string) string {
	for ; e != nil; e = e.Parent() {
		for _, a := range e.Attr {
			if a.Space == "xmlns" && a.Key == prefix || prefix == "" && a.FullKey() == "xmlns" {
				return a.Value
			}
		}
	}
	return ""
}

func TestOurWSDLAgreesWithThePublished(t *testing.T) {
	t.Parallel()
	at := func(file string) string { return reference(t, filepath.Join("VerificaRappresentanteEnte", file)) }
	ours := facts(t, "spec/rappresentante.wsdl", "spec/rappresentante.xsd", "spec/rappresentante-tipi.xsd")
	published := facts(t, at("verificaRappresentanteEnteLogicoErogatore.wsdl"), at("verificaRappresentanteEnteImplementativoErogatore.wsdl"),
		at("definitorio.xsd"), at("types.xsd"))
	if len(ours) < 30 {
		t.Fatalf("%d facts only", len(ours))
	}
	for _, f := range ours {
		if !slices.Contains(published, f) {
			t.Errorf("ours alone: %s", f)
		}
	}
	for _, f := range published {
		if !slices.Contains(ours, f) {
			t.Errorf("published alone: %s", f)
		}
	}
}

// TestPatternsOfCodesAgree: the schemas write the pattern of a code otherwise; they, and the mock, must mean the same.
func TestPatternsOfCodesAgree(t *testing.T) {
	t.Parallel()
	xmllint := tool(t, "xmllint")
	published := reference(t, filepath.Join("VerificaRappresentanteEnte", "definitorio.xsd"))
	dir := t.TempDir()
	takes := func(schema, code string) bool {
		file := filepath.Join(dir, "x.xml")
		raw := `<c:checkValidityRappresentante xmlns:c="` + nsCheck + `"><c:cfRappresentante>` + code + `</c:cfRappresentante><c:cfEnte>06363391001</c:cfEnte></c:checkValidityRappresentante>`
		if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), xmllint, "--noout", "--nonet", "--schema", schema, file).Run() == nil
	}
	for code, want := range map[string]bool{
		"RSSMRA85T10A562S": true, "RSSMRA85T10A56NH": true, "KMRRJNVLCMRZNNNP": true, "rssmra85t10a562s": true,
		"06363391001": true, "RSSMRA85T10A562": false, "RSSMRA85T10A562S1": false, "0636339100": false, "063633910011": false,
		"RSSMRA85T1OA562S": false, "RSSMRAW5T10A562S": false, "": false, " 06363391001": false, "1SSMRA85T10A562S": false,
	} {
		if a, b, c := takes("spec/rappresentante.xsd", code), takes(published, code), subjectPattern.MatchString(code); a != want || b != want || c != want {
			t.Errorf("%q: ours %v, published %v, the mock %v, want %v", code, a, b, c, want)
		}
	}
}

func TestTheModelIsMarkedAsOne(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"redditi.wsdl", "redditi.xsd"} {
		raw, err := os.ReadFile(filepath.Join("spec", file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(raw, []byte("modelled")) || !bytes.Contains(raw, []byte(nsIncome)) {
			t.Errorf("%s does not say that it is modelled, in the namespace that the mock serves", file)
		}
	}
}
