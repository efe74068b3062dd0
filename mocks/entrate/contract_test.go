package entrate

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// reference is a file of the published material; the test is skipped where there is none.
func reference(t *testing.T, file string) string {
	t.Helper()
	shared := os.Getenv("RACCORDO_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	} else if !filepath.IsAbs(shared) {
		shared = filepath.Join("..", "..", shared)
	}
	file = filepath.Join(shared, "reference", "agenzia-entrate", file)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("oracle skipped: no published contracts at %s (set RACCORDO_SHARED)", shared)
	}
	return file
}

func description(t *testing.T, file string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	doc.Servers = nil // paths are compared, wherever they are served
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			op.Security = nil // the replica refers to a scheme that it does not define
		}
	}
	return doc
}

func routerOf(t *testing.T, file string) routers.Router {
	t.Helper()
	r, err := legacy.NewRouter(description(t, file), openapi3.DisableExamplesValidation())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return r
}

const replica = "/piva-verification" // the published VAT check is a replica below this path

// deviations are the members about whom the mock answers against a description, with the reason: the published one
// demands no field at all, ours those without which there is no answer.
func deviations(ours bool) map[string]string {
	out := map[string]string{
		"entrate-vat-words":   "a state that the contract does not have",
		"entrate-vat-odd-day": "a day that is none",
	}
	if ours {
		for _, story := range []string{"code-no-verdict", "code-no-message", "code-nothing", "vat-no-verdict", "vat-nothing"} {
			out["entrate-"+story] = "what was asked is not answered"
		}
	}
	return out
}

// A taken is an answer of a REST service, by the story that it tells.
type taken struct {
	service, what, path string
	reply
}

func restAnswers(t *testing.T) []taken {
	t.Helper()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Slow = time.Millisecond })
	var out []taken
	for _, m := range s.b.Cast() {
		switch {
		case strings.HasPrefix(m.Story, "entrate-code"):
			out = append(out, taken{"vcf", m.Story, "/verifica", s.code(m.CodiceFiscale)})
		case strings.HasPrefix(m.Story, "entrate-vat"):
			out = append(out, taken{"piva", m.Story, "/verifica", s.vat(m.PartitaIVA)})
		}
	}
	status, err := s.send("GET", s.m.VCFURL()+"/status", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return append(out,
		taken{"vcf", "status", "/status", status},
		taken{"vcf", "a refusal", "/verifica", s.code("x")},
		taken{"piva", "a refusal", "/verifica", s.vat("x")},
		taken{"piva", "nobody's", "/verifica", s.vat("01043931007")})
}

func TestRESTAnswersAreValidByTheContracts(t *testing.T) {
	t.Parallel()
	answers := restAnswers(t)
	t.Run("ours", func(t *testing.T) {
		routers := map[string]routers.Router{"vcf": routerOf(t, "spec/vcf.yaml"), "piva": routerOf(t, "spec/piva.yaml")}
		for _, a := range answers {
			err := valid(t.Context(), routers[a.service], a.path, a.reply)
			_, excused := deviations(true)[a.what]
			if (err != nil) != excused {
				t.Errorf("%s: %v; said to deviate: %v", a.what, err, excused)
			}
		}
	})
	t.Run("published", func(t *testing.T) {
		routers := map[string]routers.Router{
			"vcf":  routerOf(t, reference(t, "derived/VerificaCodiceFiscale.expanded.json")),
			"piva": routerOf(t, reference(t, "derived/pivaVerification_v1.0.expanded.json")),
		}
		for _, a := range answers {
			if a.service == "piva" {
				a.path = replica + a.path
			}
			err := valid(t.Context(), routers[a.service], a.path, a.reply)
			_, excused := deviations(false)[a.what]
			if (err != nil) != excused {
				t.Errorf("%s: %v; said to deviate: %v", a.what, err, excused)
			}
		}
	})
}

func valid(ctx context.Context, router routers.Router, path string, r reply) error {
	method := http.MethodPost
	if path == "/status" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, path, nil)
	if err != nil {
		return err
	}
	route, params, err := router.FindRoute(req)
	if err != nil {
		return err
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	return openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options},
		Status:                 r.Status, Header: r.Header, Body: io.NopCloser(strings.NewReader(r.Raw)), Options: options,
	})
}

func TestOurOpenAPIAgreesWithThePublished(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ours, published, below string
		schemas                []string
	}{
		{"spec/vcf.yaml", "derived/VerificaCodiceFiscale.expanded.json", "", []string{"Richiesta", "VerificaCodiceFiscale"}},
		{"spec/piva.yaml", "derived/pivaVerification_v1.0.expanded.json", replica, []string{"Richiesta", "VerificaPartitaIva"}},
	} {
		ours, published := description(t, c.ours), description(t, reference(t, c.published))
		if err := ours.Validate(t.Context()); err != nil {
			t.Errorf("%s: %v", c.ours, err)
		}
		for path, item := range ours.Paths.Map() {
			theirs := published.Paths.Value(c.below + path)
			for method, op := range item.Operations() {
				if theirs == nil || theirs.GetOperation(method) == nil {
					t.Errorf("%s: %s %s is ours alone", c.ours, method, path)
					continue
				}
				if a, b := keys(op.Responses.Map()), keys(theirs.GetOperation(method).Responses.Map()); !slices.Equal(a, b) {
					t.Errorf("%s: %s %s answers %v, published %v", c.ours, method, path, a, b)
				}
			}
		}
		for _, name := range c.schemas {
			a, b := ours.Components.Schemas[name].Value, published.Components.Schemas[name].Value
			if !slices.Equal(keys(a.Properties), keys(b.Properties)) {
				t.Errorf("%s: %s has %v, published %v", c.ours, name, keys(a.Properties), keys(b.Properties))
			}
			for field, p := range a.Properties {
				q := b.Properties[field]
				if q == nil || !slices.Equal(p.Value.Type.Slice(), q.Value.Type.Slice()) || p.Value.Format != q.Value.Format && q.Value.Format != "password" {
					t.Errorf("%s: %s.%s is another type", c.ours, name, field)
				}
			}
		}
	}
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// payloads has every kind of SOAP answer given, and cuts the element out of each Body; requests are those that were sent.
func payloads(t *testing.T) (answers, requests map[string][]byte) {
	t.Helper()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Slow = time.Millisecond })
	orders := map[string]string{}
	for _, m := range s.b.Cast() {
		switch {
		case strings.HasPrefix(m.Story, "entrate-body"):
			s.call(s.checkDraft(m.Representative, m.CodiceFiscale))
		case strings.HasPrefix(m.Story, "entrate-income"):
			orders[m.Story] = told(t, s.call(s.orderDraft(m.Story, subjects(2025, m.CodiceFiscale)))).Protocol
		}
	}
	for _, p := range orders {
		if p != "" {
			s.fetch(p)
		}
	}
	s.b.Advance(s.m.Settings().Delay)
	for _, p := range orders {
		if p != "" {
			s.fetch(p)
		}
	}
	s.fetch("R-altro")
	s.order("entrate-income-zero", "06363391001")
	for _, shape := range []Shape{Prefixed, Latin1} {
		s.m.Set(func(x *Settings) { x.Shape = shape })
		s.fetch(orders["entrate-income-big"])
	}
	s.check("RSSMRA85T10A562S", s.b.Who("entrate-body").CodiceFiscale)
	d := s.checkDraft("1", "2")
	s.call(d)
	answers, requests = map[string][]byte{}, map[string][]byte{}
	for _, e := range s.b.Journal() {
		name := fmt.Sprintf("%03d", e.N)
		if e.Refused == "" {
			requests[name] = after(e.Request)
		}
		if body := element(t, after(e.Response)); body != nil && body.Tag != "Fault" {
			doc := etree.NewDocument()
			doc.SetRoot(body)
			raw, err := doc.WriteToBytes()
			if err != nil {
				t.Fatal(err)
			}
			answers[name] = raw
		}
	}
	return answers, requests
}

func after(message []byte) []byte {
	_, body, _ := bytes.Cut(message, []byte("\r\n\r\n"))
	return body
}

// element is what an answer's Body holds, cut loose.
func element(t *testing.T, envelope []byte) *etree.Element {
	t.Helper()
	if s, ok := bytes.CutPrefix(envelope, []byte(`<?xml version="1.0" encoding="ISO-8859-1"?>`)); ok {
		var b strings.Builder
		for _, c := range s {
			b.WriteRune(rune(c))
		}
		envelope = []byte(b.String())
	}
	root, rule := parse(envelope)
	if rule != "" {
		t.Fatalf("%s in %s", rule, envelope)
	}
	body := only(root, name{nsEnvelope, "Body"})
	if body == nil || len(body.ChildElements()) != 1 {
		t.Fatalf("no Body with one element: %s", envelope)
	}
	out, err := detached(body.ChildElements()[0])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSOAPAnswersAreValidByTheSchemas(t *testing.T) {
	t.Parallel()
	xmllint := tool(t, "xmllint")
	answers, _ := payloads(t)
	dir := t.TempDir()
	files := map[string][]string{} // by namespace
	for name, raw := range answers {
		file := filepath.Join(dir, name+".xml")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		space := nsCheck
		if bytes.Contains(raw, []byte(nsIncome)) {
			space = nsIncome
		}
		files[space] = append(files[space], file)
	}
	lint := func(t *testing.T, schema, space string) {
		t.Helper()
		if len(files[space]) < 10 {
			t.Errorf("%s: %d answers only", space, len(files[space]))
		}
		args := append([]string{"--noout", "--nonet", "--schema", schema}, files[space]...)
		if out, err := exec.CommandContext(t.Context(), xmllint, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", schema, err, out)
		}
	}
	t.Run("ours", func(t *testing.T) {
		lint(t, "spec/rappresentante.xsd", nsCheck)
		lint(t, "spec/redditi.xsd", nsIncome)
	})
	t.Run("published", func(t *testing.T) {
		lint(t, reference(t, filepath.Join("VerificaRappresentanteEnte", "definitorio.xsd")), nsCheck)
	})
}

// TestSignaturesThatAreTakenAreTakenByAnotherImplementation: what the mock lets pass, xmlsec1 lets pass.
func TestSignaturesThatAreTakenAreTakenByAnotherImplementation(t *testing.T) {
	t.Parallel()
	xmlsec := tool(t, "xmlsec1")
	s := newStage(t)
	m := s.b.Who("entrate-body")
	if a := s.check(m.Representative, m.CodiceFiscale); a.Ritorno != "00" {
		t.Fatalf("%+v", a)
	}
	if a := s.order("r-1", m.CodiceFiscale); a.Ritorno != "00" {
		t.Fatalf("%+v", a)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "signer.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.m.signerCert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(n int, raw []byte) error {
		file := filepath.Join(dir, fmt.Sprint(n)+".xml")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), xmlsec, "--verify", "--id-attr:ID", nsAssertion+":Assertion",
			"--pubkey-cert-pem", key, "--enabled-key-data", "rsa", file).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	for i, e := range s.b.Journal() {
		raw := after(e.Request)
		if err := verify(2*i, raw); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		if err := verify(2*i+1, bytes.Replace(raw, []byte("operatore-7"), []byte("operatore-8"), 1)); err == nil {
			t.Error("xmlsec1 takes a request that was changed: it is no judge")
		}
	}
}

// TestRequestsOfTheTestsAreValidByTheSchemas keeps this package's own client honest.
func TestRequestsOfTheTestsAreValidByTheSchemas(t *testing.T) {
	t.Parallel()
	xmllint := tool(t, "xmllint")
	_, requests := payloads(t)
	dir := t.TempDir()
	for name, raw := range requests {
		body := element(t, raw)
		schema := "spec/rappresentante.xsd"
		if strings.Contains(body.Tag, "Redditi") {
			schema = "spec/redditi.xsd"
		}
		doc := etree.NewDocument()
		doc.SetRoot(body)
		file := filepath.Join(dir, name+".xml")
		if err := doc.WriteToFile(file); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), xmllint, "--noout", "--nonet", "--schema", schema, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
