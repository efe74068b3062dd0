package soap

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/adapters/internal/oracle"
)

// messages generates types from a description, corrects them, compiles them, and gives what a program prints with them:
// one Go expression each.
func messages(t *testing.T, wsdl string, schemas []string, values ...string) []string {
	t.Helper()
	dir := t.TempDir()
	run := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = in
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("", "tool", "gowsdl", "-p", "main", "-o", "types.go", "-d", dir, wsdl)
	run("", append([]string{"run", "./fixup", filepath.Join(dir, "main", "types.go"), wsdl}, schemas...)...)
	program := "package main\n\nimport (\n\"encoding/xml\"\n\"os\"\n)\n\nfunc of[T any](v T) *T { return &v }\n\nfunc main() {\nfor _, v := range []any{\n" +
		strings.Join(values, ",\n") + ",\n} {\nif err := xml.NewEncoder(os.Stdout).Encode(v); err != nil {\npanic(err)\n}\nos.Stdout.WriteString(\"\\n\")\n}\n_ = of[int]\n}\n"
	for name, text := range map[string]string{"main.go": program, "go.mod": "module messages\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, "main", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Split(strings.TrimSpace(run(filepath.Join(dir, "main"), "run", ".")), "\n")
}

// lint holds messages against a schema.
func lint(t *testing.T, schema string, texts []string) {
	t.Helper()
	bin := tool(t, "xmllint")
	for _, text := range texts {
		cmd := exec.CommandContext(t.Context(), bin, "--noout", "--nonet", "--schema", schema, "-")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s\n%s", text, out)
		}
	}
}

func TestCorrectedTypesWriteWhatTheSchemaWants(t *testing.T) {
	t.Parallel()
	tool(t, "xmllint")
	at := func(name string) string { return filepath.Join("fixup", "testdata", name) }
	texts := messages(t, at("traps.wsdl"), []string{at("traps.xsd"), at("traps-common.xsd")},
		`&RegistraType{Importo: "0", Persona: &PersonaType{Nome: "minimal"}}`,
		`&RegistraType{Importo: "0", Persona: &PersonaType{Numero: of(int32(0)), Sospeso: of(Boolean(false)), Peso: of(int32(0))}, Opzione: of(int32(0))}`,
		`&RegistraType{Quanti: 1, Importo: "12345678901234567.89", Nota: "<&>", Opzione: of(int32(2)), Anno: "2026", Persona: &PersonaType{Codice: "c", Numero: of(int32(3)), Attivo: true, Sospeso: of(Boolean(true)), Ordine: 1, Peso: of(int32(2))},
			Altra: []*PersonaType{{Nome: "a"}, {Nome: "b"}}, Indirizzo: &IndirizzoType{Via: "v", Civico: 1}, Etichetta: "e", Interno: &struct{ Piano int32 `+"`xml:\"piano\"`"+` }{0}}`,
		`&Persona{PersonaType: PersonaType{Nome: "a type that is an element too"}}`,
	)
	if len(texts) != 4 {
		t.Fatalf("%d messages", len(texts))
	}
	lint(t, at("traps.xsd"), texts)
}

func TestRequestsToTheTaxAgencyFitItsSchema(t *testing.T) {
	t.Parallel()
	tool(t, "xmllint")
	dir := filepath.Join(oracle.Folder(t), "agenzia-entrate")
	xsd := filepath.Join(dir, "VerificaRappresentanteEnte", "definitorio.xsd")
	texts := messages(t, filepath.Join(dir, "derived", "VerificaRappresentanteEnte.flat.wsdl"),
		[]string{xsd, filepath.Join(dir, "VerificaRappresentanteEnte", "types.xsd")},
		`&CheckValidityRappresentanteType{CfRappresentante: "RSSMRA85T10A562S", CfEnte: "06363391001"}`,
		`&CheckValidityRappresentanteType{CfRappresentante: "00000000000", CfEnte: "RSSMRAURTMLARSNL"}`,
		`&CheckValidityRappresentanteRespType{}`,
		`&CheckValidityRappresentanteRespType{Valido: of(Boolean(false)), DettaglioEsito: "XX00", CodiceRitorno: "00"}`,
	)
	if len(texts) != 4 {
		t.Fatalf("%d messages", len(texts))
	}
	lint(t, xsd, texts)
}
