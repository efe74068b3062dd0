package main

import (
	"errors"
	"flag"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file anew")

func traps(t testing.TB) *schemas {
	t.Helper()
	all := newSchemas()
	for _, name := range []string{"traps.wsdl", "traps.xsd", "traps-common.xsd"} {
		f, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := all.read(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	return all
}

func generated(t testing.TB) []byte {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", "generated.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// check types what was written, with the standard library only.
func check(t *testing.T, source []byte) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "fixed.go", source, parser.AllErrors|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := conf.Check("fixed", fset, []*ast.File{file}, nil); err != nil {
		t.Error(err)
	}
	if !ast.IsGenerated(file) {
		t.Error("the file does not say that it is generated")
	}
}

func TestEveryCorrectionIsMade(t *testing.T) {
	t.Parallel()
	got, err := fix(generated(t), traps(t))
	if err != nil {
		t.Fatal(err)
	}
	check(t, got)
	golden := filepath.Join("testdata", "fixed.golden")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("differs from %s; see with -update what became of it:\n%s", golden, got)
	}
	for rule, text := range map[string]string{
		"a required zero is sent":               "Quanti int32 `xml:\"quanti\"`",
		"a required empty text is sent":         "Nota string `xml:\"nota\"`",
		"an optional number may be absent":      "Opzione *int32 `xml:\"opzione,omitempty\"`",
		"an optional boolean may be absent":     "Sospeso *Boolean `xml:\"sospeso,omitempty\"`",
		"a nillable boolean may be nil":         "Valido *Boolean `xml:\"valido,omitempty\"`",
		"a required boolean is sent when false": "Attivo Boolean `xml:\"attivo\"`",
		"a required attribute is sent":          "Ordine int32 `xml:\"ordine,attr\"`",
		"an optional attribute may be absent":   "Peso *int32 `xml:\"peso,attr,omitempty\"`",
		"money is text":                         "Importo Decimal `xml:\"importo\"`",
		"maxOccurs 5 is a list":                 "Altra []*PersonaType `xml:\"altra,omitempty\"`",
		"text behind two pointers is text":      "Codice CodiceType `xml:\"codice\"`",
		"a type gowsdl does not know is text":   "Anno string `xml:\"anno,omitempty\"`",
		"another namespace is in the tag":       "Civico int32 `xml:\"urn:example:traps:common civico\"`",
		"so it is for a reference":              "Etichetta Etichetta `xml:\"urn:example:traps:common etichetta,omitempty\"`",
		"no element's name sticks to a type":    "type PersonaType struct {\n\tCodice",
		"the element is a type of its own":      "type Persona struct {\n\tXMLName xml.Name `xml:\"urn:example:traps persona\"`\n\n\tPersonaType\n}",
		"an optional anonymous type is absent":  "Interno *struct {",
		"an enumeration keeps its words":        "EsitoTypeKO EsitoType = \"KO\"",
	} {
		if !strings.Contains(string(got), text) {
			t.Errorf("%s: no %s", rule, text)
		}
	}
	if nome, attivo := strings.Index(string(got), "Nome "), strings.Index(string(got), "Attivo "); nome > attivo {
		t.Error("a choice stands behind the sequence it is in")
	}
	for _, gone := range []string{"json:", "soap.Client", "interface", "context", "AnyType"} {
		if strings.Contains(string(got), gone) {
			t.Errorf("%s is still there", gone)
		}
	}
}

func TestTheSameComesOutEachTime(t *testing.T) {
	t.Parallel()
	first, err := fix(generated(t), traps(t))
	for range 20 {
		again, err2 := fix(generated(t), traps(t))
		if err := errors.Join(err, err2); err != nil || string(again) != string(first) {
			t.Fatalf("another time it is another file: %v", err)
		}
	}
	if _, err := fix(first, traps(t)); err == nil {
		t.Error("a corrected file is corrected again")
	}
}

func TestWhatCannotBePutRightIsRefused(t *testing.T) {
	t.Parallel()
	const head = `<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x" `
	for name, text := range map[string]string{
		"unqualified local elements": head + `><xsd:complexType name="A"><xsd:sequence><xsd:element name="b" type="xsd:int"/></xsd:sequence></xsd:complexType></xsd:schema>`,
		"two types of one name":      head + `elementFormDefault="qualified"><xsd:complexType name="A"/><xsd:complexType name="a"/></xsd:schema>`,
		"not XML":                    "<",
	} {
		if err := newSchemas().read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	if _, err := fix(generated(t), newSchemas()); err == nil {
		t.Error("types without their schemas are corrected")
	}
	if _, err := fix([]byte("package"), traps(t)); err == nil {
		t.Error("what is not Go is corrected")
	}
	if err := run([]string{"only-one.go"}); err == nil {
		t.Error("no schema was wanted")
	}
}

func FuzzFix(f *testing.F) {
	f.Add(generated(f))
	all := traps(f)
	f.Fuzz(func(t *testing.T, source []byte) {
		_, _ = fix(source, all)
	})
}
