package mocks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// A front is one mock, our own description of its wire, the published ones, and where reality is known to deviate from
// these.
type front struct {
	mock      string
	ours      string
	published []string // below the reference folder; none: modelled

	// apart are "METHOD path [status]" on which our description and the published ones differ, with the reason.
	apart map[string]string
	// deviates are the answers, by the name that the driver gives them, that are invalid by the published contract, with
	// the reason. One that turns out valid fails the test: the list can only tell the truth.
	deviates map[string]string
}

func fronts() []front {
	return []front{
		{
			mock: "pdnd", ours: "pdnd/spec/openapi.yaml", published: []string{"pdnd-modi/authorizationServerApi.yml"},
			apart: map[string]string{
				"POST /token.oauth2.async":   "asynchronous exchange is not played",
				"GET /.well-known/jwks.json": "published on another host than the contract's",
				"POST /token.oauth2 500":     "in the platform's source, not in its contract",
			},
			deviates: map[string]string{"token 500": "the contract has no 500", "keys": "no published file"},
		},
		{
			mock: "inad", ours: "inad/spec/openapi.yaml", published: []string{"inad/inad-api-extraction.yaml"},
			deviates: map[string]string{
				"extract invalid-email":        "the register holds an address against its own pattern",
				"extract usage-null":           "live answers say null for an address in force",
				"extract usage-omitted":        "live answers leave usageInfo out for an address in force",
				"response absent-in-list":      "the contract's text says that the information is not there, its schema demands it",
				"extract with Usage omitted":   "the switch for the same",
				"response with EmptyAbsent":    "the switch for the same",
				"extract throttled by a proxy": "the contract has no 429",
			},
		},
		{
			mock: "inipec", ours: "inipec/spec/openapi.yaml", published: []string{
				"inipec/wspa-authentication.yaml",
				"inipec/derived/richiestaElencoPEC.anyof.json", "inipec/derived/getElencoPEC.anyof.json",
			},
			apart: map[string]string{
				"GET /attestazioniPec/{cf}": "in the manual, no OpenAPI file was published with it",
			},
			deviates: map[string]string{
				"login":              "by the manual the token is plain text; the file says JSON",
				"attestation":        "no published file",
				"attestation, none":  "no published file",
				"login 503":          "the file has no 503",
				"attestation refuse": "no published file",
			},
		},
		{
			mock: "registroimprese over wspa", ours: "registroimprese/spec/wspa.yaml", published: []string{
				"inipec/infocamere-combined-client.yaml", // of the check of one representative, a client's file alone
				"inipec/wspa-authentication.yaml",
				"registro-imprese/derived/Sede.anyof.json", "registro-imprese/derived/LrElenco.anyof.json",
			},
			apart: map[string]string{
				"POST /richiestaElencoPec":                       "INI-PEC's, in the client's file",
				"GET /getElencoPec/{identificativoRichiesta}":    "INI-PEC's, in the client's file",
				"GET /legaleRappresentante/{cfPersona} 400":      "the client's file has what the client handles",
				"GET /legaleRappresentante/{cfPersona} 404":      "the client's file has what the client handles",
				"GET /legaleRappresentante/{cfPersona} 503":      "the client's file has what the client handles",
				"POST /authentication 503":                       "the service levels foresee hours of maintenance, which no file tells",
				"POST /sede/{cf} 429":                            "quotas are in the agreement, their answer is assumed",
				"GET /esistenzari/{cf} 429":                      "quotas are in the agreement, their answer is assumed",
				"GET /legaleRappresentante/{cfPersona} 429":      "quotas are in the agreement, their answer is assumed",
				"GET /listaLegaleRappresentante/{cfPersona} 429": "quotas are in the agreement, their answer is assumed",
			},
			deviates: map[string]string{
				"login":                              "by the manual the token is plain text; the file says JSON",
				"represents body-with-domicile":      "nobody found: the client's file demands the members of an outcome",
				"represents personal-domicile":       "nobody found: the client's file demands the members of an outcome",
				"represents ri-unknown":              "nobody found: the client's file demands the members of an outcome",
				"represents ri-exists-false":         "nobody found: the client's file demands the members of an outcome",
				"represents ri-represents-not-found": "nobody found: the client's file demands the members of an outcome",
				"represents ri-error-inside":         "a failure inside a 200: the client's file demands the members of an outcome",
				"represents ri-misrouted":            "the client's file has no 404",
				"represents ri-busy":                 "the client's file has no 503",
				"represents 503":                     "the client's file has no 503",
				"represents of a code that is none":  "the client's file has no 400",
				"represents throttled":               "no file has a 429",
				"represented throttled":              "no file has a 429",
				"seat throttled":                     "no file has a 429",
				"existence throttled":                "no file has a 429",
			},
		},
		{mock: "registroimprese over pdnd", ours: "registroimprese/spec/ri-pdnd.yaml"}, // modelled
	}
}

// reference is a file of the published material; the test is skipped where there is none.
func reference(t *testing.T, name string) string {
	t.Helper()
	shared := os.Getenv("RACCORDO_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "shared")
	}
	file := filepath.Join(shared, "reference", name)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("oracle: no published contracts at %s (set RACCORDO_SHARED)", shared)
	}
	return file
}

func load(t *testing.T, file string) *openapi3.T {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte("{0,1024}"), []byte("{0,1000}")) // the most that Go's patterns repeat
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	doc.Servers = nil // paths are compared, wherever they are served
	return doc
}

// operations lists "METHOD path" and "METHOD path status" of a document, parameters by position: their names are free.
func operations(doc *openapi3.T) []string {
	var out []string
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			out = append(out, method+" "+path)
			for status := range op.Responses.Map() {
				out = append(out, method+" "+path+" "+status)
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestOurDescriptionsAgreeWithThePublished(t *testing.T) {
	t.Parallel()
	for _, f := range fronts() {
		if len(f.published) == 0 {
			continue
		}
		t.Run(f.mock, func(t *testing.T) {
			t.Parallel()
			var published []string
			for _, name := range f.published {
				published = append(published, operations(load(t, reference(t, name)))...)
			}
			ours := operations(load(t, f.ours))
			differ := append(without(published, ours), without(ours, published)...)
			for _, d := range differ {
				if !f.excuses(d) {
					t.Errorf("only one side has %s", d)
				}
			}
			for a := range f.apart {
				if !slices.ContainsFunc(differ, func(d string) bool { return d == a || strings.HasPrefix(d, a+" ") }) {
					t.Errorf("%s is said to differ and does not", a)
				}
			}
		})
	}
}

func (f front) excuses(difference string) bool {
	for a := range f.apart {
		if difference == a || strings.HasPrefix(difference, a+" ") {
			return true
		}
	}
	return false
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func TestDescriptionsAreValidDocuments(t *testing.T) {
	t.Parallel()
	for _, f := range fronts() {
		if err := load(t, f.ours).Validate(t.Context()); err != nil {
			t.Errorf("%s: %v", f.ours, err)
		}
	}
}

func TestAnswersAreValidByOurDescriptions(t *testing.T) {
	t.Parallel()
	taken := drive(t)
	for _, f := range fronts() {
		judge := newJudge(t, f.ours)
		if len(taken[f.mock]) == 0 {
			t.Errorf("%s: nothing was driven", f.mock)
		}
		for _, x := range taken[f.mock] {
			if x.name == "extract throttled by a proxy" || x.name == "login 503" {
				continue // not the supplier's own answer
			}
			if err := judge.answer(t.Context(), x); err != nil {
				t.Errorf("%s, %s: %v", f.mock, x.name, err)
			}
		}
	}
}

func TestAnswersAreValidByThePublishedContracts(t *testing.T) {
	t.Parallel()
	for _, f := range fronts() { // skipped before anything is driven
		for _, name := range f.published {
			reference(t, name)
		}
	}
	taken := drive(t)
	for _, f := range fronts() {
		if len(f.published) == 0 {
			continue
		}
		var judges []judge
		for _, name := range f.published {
			judges = append(judges, newJudge(t, reference(t, name)))
		}
		excused := maps.Clone(f.deviates)
		for _, x := range taken[f.mock] {
			err := fmt.Errorf("no published contract has %s %s", x.request.Method, x.request.URL.Path)
			for _, j := range judges {
				if j.knows(x) {
					err = j.answer(t.Context(), x)
				}
			}
			_, known := f.deviates[x.name]
			delete(excused, x.name)
			switch {
			case err != nil && !known:
				t.Errorf("%s, %s: %v", f.mock, x.name, err)
			case err == nil && known:
				t.Errorf("%s, %s is said to deviate and does not", f.mock, x.name)
			}
		}
		for name := range excused {
			t.Errorf("%s, %s is said to deviate and was never driven", f.mock, name)
		}
	}
}

// A judge validates answers by one document.
type judge struct {
	router routers.Router
}

func newJudge(t *testing.T, file string) judge {
	t.Helper()
	router, err := legacy.NewRouter(load(t, file), openapi3.DisableExamplesValidation(), openapi3.AllowExtraSiblingFields("example"))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return judge{router}
}

func (j judge) knows(x taken) bool {
	_, _, err := j.router.FindRoute(x.request)
	return err == nil
}

func (j judge) answer(ctx context.Context, x taken) error {
	route, params, err := j.router.FindRoute(x.request)
	if err != nil {
		return fmt.Errorf("no route: %w", err)
	}
	options := &openapi3filter.Options{
		IncludeResponseStatus: true, MultiError: true,
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}
	return openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: x.request, PathParams: params, Route: route, Options: options},
		Status:                 x.status, Header: x.header, Body: io.NopCloser(bytes.NewReader(x.body)), Options: options,
	})
}

// A taken is one exchange of a driver, under the name that the driver gave it. Its path is below the mock's base.
type taken struct {
	name    string
	request *http.Request
	status  int
	header  http.Header
	body    []byte
}

// taker does exchanges with one mock and keeps them.
type taker struct {
	t    *testing.T
	base string
	http *http.Client
	kept []taken
}

func (k *taker) send(name, method, path string, header http.Header, body string) taken {
	k.t.Helper()
	req, err := http.NewRequestWithContext(k.t.Context(), method, k.base+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header = header.Clone()
	resp, err := k.http.Do(req)
	if err != nil {
		k.t.Fatalf("%s: %v", name, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatalf("%s: %v", name, err)
	}
	below := *req
	if below.URL, err = url.Parse(path); err != nil {
		k.t.Fatal(err)
	}
	x := taken{name, &below, resp.StatusCode, resp.Header, raw}
	k.kept = append(k.kept, x)
	return x
}
