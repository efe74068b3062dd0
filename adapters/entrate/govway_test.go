package entrate

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

const govwayUUID = "2cf87a0f-27a6-4b0d-a0a1-16bd22c2a5d3"

// problem is GovWay's error body; its detail names somebody, as free text may.
func problem(status int, name string) string {
	return fmt.Sprintf(`{"type":"https://govway.org/handling-errors/%d/%s.html","title":"%s","status":%d,"detail":"richiesta per %s rifiutata","govway_id":"%s"}`,
		status, name, name, status, someCode.Reveal(), govwayUUID)
}

func troubled(status int, name string, headers ...string) http.HandlerFunc {
	return replying(status, problem(status, name), append([]string{"Content-Type", "application/problem+json"}, headers...)...)
}

// once makes one attempt of each call, so that tables are quick.
func once(c *Config, _ *contracts.Env) {
	c.CodiceFiscale.HTTP.Attempts, c.PartitaIVA.HTTP.Attempts = 1, 1
}

func TestEachGovWayErrorHasItsKindAndItsName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		names  []string
		want   contracts.Kind
	}{
		{400, []string{"InvalidRequestContent", "InteroperabilityInvalidRequest", "BadRequest"}, contracts.Invalid},
		{401, []string{
			"AuthenticationRequired", "TokenExpired", "TokenAuthenticationRequired", "TokenAuthenticationFailed", "TokenNotBefore",
		}, contracts.Denied},
		{403, []string{"AuthorizationDeny", "TokenRequiredClaimsNotFound"}, contracts.Denied},
		{404, []string{"NotFound", "UndefinedOperation"}, contracts.Malformed},
		{429, []string{"TooManyRequests", "LimitExceeded"}, contracts.Throttled},
		{500, []string{"InternalError"}, contracts.Unavailable},
		{502, []string{
			"InvalidResponse", "InvalidResponseContent", "InteroperabilityInvalidResponse", "InteroperabilityResponseManagementFailed",
			"BadResponse", "GatewayError",
		}, contracts.Unavailable},
		{503, []string{"APIUnavailable", "APISuspended"}, contracts.Unavailable},
		{504, []string{"EndpointReadTimeout", "EndpointRequestTimedOut"}, contracts.Unavailable},
	} {
		for _, name := range tc.names {
			t.Run(strconv.Itoa(tc.status)+" "+name, func(t *testing.T) {
				t.Parallel()
				capture := contracttest.NewCapture()
				_, a := answering(t, troubled(tc.status, name), func(c *Config, env *contracts.Env) {
					once(c, env)
					env.Log = capture.Logger()
				})
				_, err := checkCode(t, a)
				_, err2 := checkVAT(t, a)
				for i, err := range []error{err, err2} {
					e := wantKind(t, err, tc.want)
					if op := []string{"tax.code", "tax.vat"}[i]; e.Code != name || e.Operation != op || !strings.Contains(e.Error(), govwayUUID) {
						t.Errorf("%v: want code %s, operation %s and GovWay's id", e, name, op)
					}
					capture.Error(err)
				}
				nobodyNamed(t, capture, "richiesta per")
			})
		}
	}
}

// Installations wrap names, and hide them: the status decides, whatever the body says.
func TestTheStatusDecidesAndNotTheName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule   string
		status int
		body   string
		header string // GovWay-Transaction-ErrorType
		want   contracts.Kind
		code   string
	}{
		{"a 400 that names a 429", 400, problem(400, "LimitExceeded"), "", contracts.Invalid, "LimitExceeded"},
		{"a 502 that names a 401", 502, problem(502, "TokenExpired"), "", contracts.Unavailable, "TokenExpired"},
		{"a 403 that names a 503", 403, problem(403, "APIUnavailable"), "", contracts.Denied, "APIUnavailable"},
		{"a body that says 200", 503, `{"type":"about:blank","title":"Service Unavailable","status":200}`, "", contracts.Unavailable, ""},
		{"a type without a title", 503, `{"type":"https://govway.org/handling-errors/503/APIUnavailable.html"}`, "", contracts.Unavailable, "APIUnavailable"},
		{"a type before a title", 502, `{"type":"https://govway.org/handling-errors/502/BadResponse.html","title":"Wrapped"}`, "", contracts.Unavailable, "BadResponse"},
		{"a title without a type", 503, `{"title":"APIUnavailable"}`, "", contracts.Unavailable, "APIUnavailable"},
		{"a type without a page", 503, `{"type":"https://govway.org/handling-errors/503/APIUnavailable"}`, "", contracts.Unavailable, "APIUnavailable"},
		{"the header alone", 502, `<html>502</html>`, "InvalidResponse", contracts.Unavailable, "InvalidResponse"},
		{"a type that is another's", 500, `{"type":"https://erogatore.test/errors/42"}`, "", contracts.Unavailable, ""},
		{"a codice fiscale as the title", 400, `{"title":"` + someCode.Reveal() + `"}`, "", contracts.Invalid, ""},
		{"a codice fiscale without digits as the title", 400, `{"title":"KMRRJNVLCMRZNNNP"}`, "", contracts.Invalid, ""},
		{"a sentence as the title", 400, `{"title":"Richiesta non valida"}`, "", contracts.Invalid, ""},
		{"a page", 503, "<html><body>manutenzione</body></html>", "", contracts.Unavailable, ""},
		{"nothing", 503, "", "", contracts.Unavailable, ""},
		{"an id that is none", 503, `{"title":"APIUnavailable","govway_id":"` + someCode.Reveal() + `"}`, "", contracts.Unavailable, "APIUnavailable"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			_, a := answering(t, replying(tc.status, tc.body, "GovWay-Transaction-ErrorType", tc.header), func(c *Config, env *contracts.Env) {
				once(c, env)
				env.Log = capture.Logger()
			})
			_, err := checkCode(t, a)
			if e := wantKind(t, err, tc.want); e.Code != tc.code {
				t.Errorf("code %q, want %q", e.Code, tc.code)
			}
			capture.Error(err)
			nobodyNamed(t, capture, "KMRRJNVLCMRZNNNP")
		})
	}
}

// No page, no silence and no address without a service is an answer, whatever its status.
func TestAGatewaySpeakingForItselfIsNeverAnAnswer(t *testing.T) {
	t.Parallel()
	page := "<html><body>" + saidInvalid + "</body></html>"
	for _, tc := range []struct {
		rule   string
		answer http.HandlerFunc
		want   contracts.Kind
	}{
		{"a page with status 200", replying(200, page, "Content-Type", "text/html"), contracts.Malformed},
		{"a page that says it is JSON", replying(200, page, "Content-Type", "application/json"), contracts.Malformed},
		{"an answer that says it is a page", replying(200, verdictJSON(someCode.Reveal(), false, saidInvalid), "Content-Type", "text/html"), contracts.Malformed},
		{"an empty body", replying(200, "", "Content-Type", "application/json"), contracts.Malformed},
		{"no content", replying(204, ""), contracts.Malformed},
		{"accepted", replying(202, verdictJSON(someCode.Reveal(), false, saidInvalid), "Content-Type", "application/json"), contracts.Malformed},
		{"a redirect", replying(302, "", "Location", "/altrove"), contracts.Malformed},
		{"a 404 with a page", replying(404, page, "Content-Type", "text/html"), contracts.Malformed},
		{"a 404 of GovWay's", troubled(404, "NotFound"), contracts.Malformed},
		{"a 404 with the words of an answer", replying(404, verdictJSON(someCode.Reveal(), false, saidInvalid), "Content-Type", "application/json"), contracts.Malformed},
		{"a 410", replying(410, ""), contracts.Malformed},
		{"a 405", replying(405, ""), contracts.Malformed},
		{"a 400 with the words of an answer", replying(400, verdictJSON(someCode.Reveal(), false, saidInvalid), "Content-Type", "application/json"), contracts.Invalid},
		{"a 500 with the words of an answer", replying(500, verdictJSON(someCode.Reveal(), false, saidInvalid), "Content-Type", "application/json"), contracts.Unavailable},
		{"a 503 with a page", replying(503, page, "Content-Type", "text/html"), contracts.Unavailable},
		{"a reply beyond all measure", saying(strings.Repeat(" ", 1<<20) + verdictJSON(someCode.Reveal(), false, saidInvalid)), contracts.Malformed},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			_, a := answering(t, tc.answer, once)
			got, err := checkCode(t, a)
			wantKind(t, err, tc.want)
			vat, err2 := checkVAT(t, a)
			wantKind(t, err2, tc.want)
			if got.State != "" || vat.Register != "" {
				t.Error("an answer beside the error")
			}
		})
	}
}

func TestHowLongToStayAwayInEveryForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule    string
		status  int
		headers []string
		want    time.Duration
	}{
		{"429, Retry-After in seconds", 429, []string{"Retry-After", "7"}, 7 * time.Second},
		{"429, Retry-After as a date", 429, []string{"Retry-After", noon.Add(40 * time.Second).Format(http.TimeFormat)}, 40 * time.Second},
		{"429, Reset alone", 429, []string{"X-RateLimit-Reset", "30"}, 30 * time.Second},
		{"429, Reset with its policies", 429, []string{"X-RateLimit-Limit", "100, 100;w=60", "X-RateLimit-Remaining", "0, 0;w=60", "X-RateLimit-Reset", "30, 30;w=60"}, 30 * time.Second},
		{"429, Retry-After before Reset", 429, []string{"Retry-After", "7", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30"}, 7 * time.Second},
		{"429, Retry-After that is noise", 429, []string{"Retry-After", "presto", "X-RateLimit-Reset", "30"}, 30 * time.Second},
		{"429, nothing said", 429, nil, 10 * time.Second},
		{"429, the limit alone", 429, []string{"X-RateLimit-Limit", "100, 100;w=60"}, 10 * time.Second},
		{"503, Retry-After in seconds", 503, []string{"Retry-After", "90"}, 90 * time.Second},
		{"503, Retry-After as a date", 503, []string{"Retry-After", noon.Add(time.Hour).Format(http.TimeFormat)}, time.Hour},
		{"503, nothing said", 503, nil, 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			name := map[int]string{429: "LimitExceeded", 503: "APIUnavailable"}[tc.status]
			far, a := answering(t, troubled(tc.status, name, tc.headers...), once)
			_, err := checkCode(t, a)
			if e := contracts.AsError(err); !e.Retryable() || e.After != tc.want {
				t.Errorf("%v, after %v, want %v", err, e.After, tc.want)
			}
			if _, asked := far.counts(); asked != 1 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// then answers first, and afterwards otherwise, by the question's number.
func then(answers ...http.HandlerFunc) http.HandlerFunc {
	next := make(chan http.HandlerFunc, len(answers))
	for _, a := range answers {
		next <- a
	}
	last := answers[len(answers)-1]
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case answer := <-next:
			answer(w, r)
		default:
			last(w, r)
		}
	}
}

func TestWhatIsTriedAgainAndHowOften(t *testing.T) {
	t.Parallel()
	good := saying(verdictJSON(someCode.Reveal(), true, saidValid))
	for _, tc := range []struct {
		rule   string
		answer http.HandlerFunc
		want   contracts.Kind // Internal: an answer
		asked  int
	}{
		{"a 502 passes", then(troubled(502, "InvalidResponse"), good), contracts.Internal, 2},
		{"a 502 that stays is tried a few times", troubled(502, "InvalidResponse"), contracts.Unavailable, 3},
		{"a 503 passes", then(troubled(503, "APIUnavailable"), troubled(503, "APIUnavailable"), good), contracts.Internal, 3},
		{"a 503 that asks for more than a moment is given back", troubled(503, "APIUnavailable", "Retry-After", "60"), contracts.Unavailable, 1},
		{"a 504 that stays", troubled(504, "EndpointReadTimeout"), contracts.Unavailable, 3},
		{"a 429 that asks for more than a moment is given back", troubled(429, "LimitExceeded", "X-RateLimit-Reset", "60"), contracts.Throttled, 1},
		{"a 429 that asks for no more than a moment passes", then(troubled(429, "TooManyRequests", "Retry-After", "0"), good), contracts.Internal, 2},
		{"a 400 is asked once", troubled(400, "InvalidRequestContent"), contracts.Invalid, 1},
		{"a 403 is asked once", troubled(403, "AuthorizationDeny"), contracts.Denied, 1},
		{"a 404 is asked once", troubled(404, "NotFound"), contracts.Malformed, 1},
		{"a 401 is asked twice", troubled(401, "TokenExpired"), contracts.Denied, 2},
		{"a page is asked once", replying(200, "<html>", "Content-Type", "text/html"), contracts.Malformed, 1},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			far, a := answering(t, tc.answer, nil)
			_, err := checkCode(t, a)
			if tc.want == contracts.Internal && err != nil || tc.want != contracts.Internal && contracts.KindOf(err) != tc.want {
				t.Errorf("%v, want kind %q", err, tc.want)
			}
			if _, asked := far.counts(); asked != tc.asked {
				t.Errorf("asked %d times, want %d", asked, tc.asked)
			}
		})
	}
}

func TestAnExpiredVoucherIsRenewedOnce(t *testing.T) {
	t.Parallel()
	good := saying(verdictJSON(someCode.Reveal(), true, saidValid))
	far, a := answering(t, then(good, troubled(401, "TokenExpired", "WWW-Authenticate", `Bearer realm="x", error="invalid_token"`), good), nil)
	for range 2 {
		if got, err := checkCode(t, a); err != nil || got.State != tax.CodeValid {
			t.Fatalf("%s, %v", got.State, err)
		}
	}
	if vouchers, asked := far.counts(); vouchers != 2 || asked != 3 {
		t.Errorf("%d vouchers and %d questions, want 2 and 3", vouchers, asked)
	}
}

// The agency's gateway compares a voucher's audience with its own name, and has two: the error must say which differ.
func TestARefusedVoucherIsExplainedByItsAudience(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule      string
		audience  func(far *agency) any
		want      []string
		endpoints bool // the text names the endpoint's host
	}{
		{
			"another host", func(*agency) any { return "https://modipa.agenziaentrate.gov.it" + codePath },
			[]string{"made out to modipa.agenziaentrate.gov.it,", "http.endpoint says", "write the e-service's audience"},
			true,
		},
		{
			"another host in capitals", func(*agency) any { return "https://MODIPA.agenziaentrate.gov.it" + codePath },
			[]string{"made out to modipa.agenziaentrate.gov.it,"},
			true,
		},
		{
			"another host, without a scheme", func(*agency) any { return "modipa.agenziaentrate.gov.it" + codePath },
			[]string{"made out to modipa.agenziaentrate.gov.it,"},
			true,
		},
		{
			"another host in a list", func(*agency) any { return []string{"https://modipa.agenziaentrate.gov.it" + codePath} },
			[]string{"made out to modipa.agenziaentrate.gov.it,"},
			true,
		},
		{
			"several in one text", func(*agency) any { return "https://modipa.agenziaentrate.gov.it/a,https://altro.test/b" },
			[]string{"made out to modipa.agenziaentrate.gov.it,"},
			true,
		},
		{"another route of the same host", func(far *agency) any {
			return far.URL + strings.Replace(codePath, "AgenziaEntrate", "AgenziaEntrate-PDND", 1)
		}, []string{"made out to /govway/rest/in/AgenziaEntrate-PDND/vcf2-verifica-cf/v1/,", "http.endpoint says " + codePath}, false},
		{"this endpoint", func(far *agency) any { return far.URL + codePath }, []string{"made out to this endpoint", "purpose", "clock"}, false},
		{"this endpoint, with a slash", func(far *agency) any { return far.URL + codePath + "/" }, []string{"made out to this endpoint"}, false},
		{"this endpoint among others", func(far *agency) any { return "https://altro.test/b," + far.URL + codePath }, []string{"made out to this endpoint"}, false},
		{"this host alone", func(far *agency) any { return far.URL }, []string{"made out to this endpoint"}, false},
		{"nothing that can be read", func(*agency) any { return 42 }, []string{"audience names no address"}, false},
		{"a name that is no address", func(*agency) any { return "AgenziaEntrate/vcf2" }, []string{"audience names no address"}, false},
		{"another route of the same host, among others", func(far *agency) any { return "https://altro.test/b," + far.URL + "/govway/v0" }, []string{"made out to /govway/v0/,"}, false},
		{"no host at all", func(*agency) any { return "::" }, []string{"audience names no address"}, false},
		{"a text to be laughed at", func(*agency) any { return "https://x\n<b>/" + someCode.Reveal() + "?" }, []string{"audience names no address"}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			far, a := answering(t, troubled(401, "TokenAuthenticationFailed"), func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
			far.issueFor(tc.audience(far))
			_, err := checkCode(t, a)
			e := wantKind(t, err, contracts.Denied)
			if e.Code != "TokenAuthenticationFailed" {
				t.Errorf("code %q", e.Code)
			}
			want := tc.want
			if tc.endpoints {
				want = append(want, "http.endpoint says "+strings.TrimPrefix(far.URL, "http://")+":")
			}
			for _, w := range append(want, "voucher refused, a new one too") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v: want %q", err, w)
				}
			}
			if vouchers, asked := far.counts(); vouchers != 2 || asked != 2 {
				t.Errorf("%d vouchers, %d questions, want 2 and 2", vouchers, asked)
			}
			capture.Error(err)
			nobodyNamed(t, capture, voucherFor(tc.audience(far)))
		})
	}
}

func TestGovWaysIDStandsInTheTrail(t *testing.T) {
	t.Parallel()
	_, a := answering(t, then(troubled(502, "InvalidResponse", "GovWay-Transaction-ID", "id-1"),
		replying(200, verdictJSON(someCode.Reveal(), true, saidValid), "Content-Type", "application/json", "GovWay-Transaction-ID", "id-2")), nil)
	tr := &contracttest.Trail{}
	if _, err := do(contracts.WithTrail(t.Context(), tr), a, tax.OpCode, tax.CodeQuery{CodiceFiscale: someCode}); err != nil {
		t.Fatal(err)
	}
	all := tr.Attempts()
	if len(all) != 2 || all[0].RemoteID != "id-1" || all[1].RemoteID != "id-2" {
		t.Errorf("%+v: want both attempts with GovWay's ids, and no voucher's", all)
	}
	for _, attempt := range all { // trying all codes would undo them
		if !attempt.RequestSum.IsZero() || !attempt.ResponseSum.IsZero() {
			t.Errorf("%+v: the ledger would keep the digest of a code", attempt)
		}
	}
}

func TestAPurposeThatIsNotMappedAsksNothing(t *testing.T) {
	t.Parallel()
	far, a := answering(t, saying(`{}`), nil)
	who := contracts.Caller{Service: "core", Purpose: "curiosity", Case: "C"}
	_, err := a.Bindings()[0].Do(contracts.WithCaller(t.Context(), who), tax.CodeQuery{CodiceFiscale: someCode})
	if e := wantKind(t, err, contracts.Denied); e.Code != "PURPOSE" {
		t.Errorf("code %q", e.Code)
	}
	if vouchers, asked := far.counts(); vouchers+asked != 0 {
		t.Errorf("%d vouchers, %d questions, want none", vouchers, asked)
	}
}

func TestCheckConsultsNobody(t *testing.T) {
	t.Parallel()
	alive := replying(200, `{"status":200,"title":"OK"}`, "Content-Type", "application/problem+json")
	for _, tc := range []struct {
		rule   string
		answer http.HandlerFunc
		want   contracts.Kind // Internal: well
	}{
		{"both services are up", alive, contracts.Internal},
		{"down for maintenance", troubled(503, "APIUnavailable"), contracts.Unavailable},
		{"no such service", replying(404, "<html>"), contracts.Malformed},
		{"a voucher is wanted", troubled(401, "AuthenticationRequired"), contracts.Denied},
		{"a page", replying(200, "<html>", "Content-Type", "text/html"), contracts.Malformed},
		{"nothing", replying(200, "", "Content-Type", "application/problem+json"), contracts.Malformed},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			far, a := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/status") || r.Header.Get("Authorization") != "" {
					t.Errorf("%s below %s", r.Method, r.URL.Path)
				}
				tc.answer(w, r)
			}, once)
			err := a.Check(t.Context())
			vouchers, asked := far.counts()
			if asked != 0 {
				t.Errorf("%d questions about somebody", asked)
			}
			if tc.want == contracts.Internal {
				if err != nil || vouchers != 2 {
					t.Errorf("%v, %d vouchers, want one for each service", err, vouchers)
				}
				return
			}
			e := wantKind(t, err, tc.want)
			if e.Operation != "check" || !strings.Contains(e.Error(), "codice_fiscale: ") || !strings.Contains(e.Error(), "partita_iva: ") {
				t.Errorf("%v: want operation check, and both services named", err)
			}
		})
	}
}

func TestAStatusThatWantsAVoucherIsNotBlamedOnAVoucher(t *testing.T) {
	t.Parallel()
	far, a := answering(t, troubled(401, "AuthenticationRequired"), once)
	err := a.Check(t.Context())
	if e := wantKind(t, err, contracts.Denied); strings.Contains(e.Error(), "refused") || !strings.Contains(e.Error(), "wants none") {
		t.Errorf("%v: no voucher was sent", err)
	}
	if vouchers, _ := far.counts(); vouchers != 0 {
		t.Errorf("%d vouchers", vouchers)
	}
}

func TestCheckNamesTheServiceThatFails(t *testing.T) {
	t.Parallel()
	_, a := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, numberPath) {
			troubled(503, "APIUnavailable")(w, r)
			return
		}
		saying(`{"status":200}`)(w, r)
	}, once)
	err := a.Check(t.Context())
	if e := wantKind(t, err, contracts.Unavailable); !strings.Contains(e.Error(), "partita_iva: ") || strings.Contains(e.Error(), "codice_fiscale: ") {
		t.Errorf("%v: want the one service named", err)
	}
}

// That the VAT check has a GET /status is known of the PDND's replica alone.
func TestCheckForgivesAVATServiceWithoutAStatus(t *testing.T) {
	t.Parallel()
	for name, well := range map[string]bool{"UndefinedOperation": true, "UnknownAPI": false} {
		_, a := answering(t, troubled(404, name), func(c *Config, _ *contracts.Env) { c.CodiceFiscale = defaults().CodiceFiscale })
		if err := a.Check(t.Context()); (err == nil) != well {
			t.Errorf("%s: %v", name, err)
		}
		_, a = answering(t, troubled(404, name), func(c *Config, _ *contracts.Env) { c.PartitaIVA = defaults().PartitaIVA })
		wantKind(t, a.Check(t.Context()), contracts.Malformed)
	}
}

// A proxy stands in for the agency's own host, which no test must reach.
func TestCheckWarnsOfTheOtherName(t *testing.T) {
	t.Parallel()
	for audience, warns := range map[string]bool{
		"https://modipa-val.agenziaentrate.gov.it" + codePath: true,
		"https://modipa-val.agenziaentrate.it" + codePath:     false,
	} {
		capture := contracttest.NewCapture()
		var far *agency
		far, a := answering(t, saying(`{"status":200}`), func(c *Config, env *contracts.Env) {
			c.CodiceFiscale.HTTP.Proxy = "http://" + contracttest.Sure(url.Parse(c.CodiceFiscale.HTTP.Endpoint)).Host
			c.CodiceFiscale.HTTP.Endpoint = "http://modipa-val.agenziaentrate.it" + codePath
			c.PartitaIVA = defaults().PartitaIVA
			env.Log = capture.Logger()
		})
		far.issueFor(audience)
		if err := a.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(capture.Leaks([]string{"made out to modipa-val.agenziaentrate.gov.it"})) > 0; got != warns {
			t.Errorf("audience %s: warned %v, want %v", audience, got, warns)
		}
	}
}

func FuzzAudience(f *testing.F) {
	for _, seed := range []string{
		`"https://modipa.agenziaentrate.gov.it/govway/rest/in/AgenziaEntrate/vcf2-verifica-cf/v1"`, `["a.test/b","https://c.test"]`,
		`"https://altro.test/rest/v1,https://inad.test"`, `null`, `{}`, `[1]`, `"://"`, `"https://[::1]/x"`, `"%zz"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, aud string) {
		g := gateway{endpoint: &url.URL{Host: "modipa.agenziaentrate.it", Path: codePath}}
		token := "Bearer " + jwtWith(`{"aud":`+aud+`}`)
		all := audiencesOf(token)
		for _, a := range all {
			if !audienceHost.MatchString(a.host) || !strings.HasSuffix(a.folder, "/") {
				t.Errorf("location %q %q", a.host, a.folder)
			}
		}
		if text := g.misdirected(token); len(all) == 0 && text == "" || len(text) > 1000 || strings.ContainsAny(text, "\r\n<") {
			t.Errorf("text %q", text)
		}
	})
}

func FuzzGovWayProblem(f *testing.F) {
	for _, seed := range []string{
		problem(401, "TokenExpired"), `{"title":"InvalidResponse"}`, `{"type":"about:blank"}`, `{"govway_id":1}`, "<html>", "",
	} {
		f.Add([]byte(seed), "InvalidResponse")
	}
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		if n := govwayName(http.Header{"Govway-Transaction-Errortype": {header}}, body); len(n) > 127 || strings.ToUpper(n) == n && n != "" || strings.ContainsAny(n, "0123456789 ") {
			t.Errorf("name %q", n)
		}
		if id := govwayID(body); id != "" && len(id) != 36 {
			t.Errorf("id %q", id)
		}
	})
}
