package entrate

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

func TestRESTRefusals(t *testing.T) {
	t.Parallel()
	vcf := func(body string) func(*stage) reply {
		return func(s *stage) reply { return s.rest(VCFService, s.m.VCFURL(), body) }
	}
	piva := func(body string) func(*stage) reply {
		return func(s *stage) reply { return s.rest(PIVAService, s.m.PIVAURL(), body) }
	}
	plain := func(method, path, contentType string) func(*stage) reply {
		return func(s *stage) reply {
			out, err := s.send(method, s.m.URL()+path, http.Header{
				"Content-Type": {contentType}, "Authorization": {"Bearer " + s.tokens[VCFService]},
			}, `{"codiceFiscale":"06363391001"}`)
			if err != nil {
				s.Fatal(err)
			}
			return out
		}
	}
	for _, c := range []struct {
		rule   string
		status int
		name   string
		ask    func(*stage) reply
	}{
		{"voucher: no bearer token", 401, "AuthenticationRequired", func(s *stage) reply {
			s.tokens = nil
			return s.code("06363391001")
		}},
		{"voucher: expired", 401, "TokenExpired", func(s *stage) reply {
			s.b.Advance(96 * time.Hour)
			return s.code("06363391001")
		}},
		{"voucher: not valid yet", 401, "TokenNotBefore", func(s *stage) reply {
			s.b.Clock().Step(-time.Hour)
			return s.vat("06363391001")
		}},
		{"voucher: another audience", 401, "TokenAuthenticationFailed", func(s *stage) reply {
			s.tokens[VCFService] = s.tokens[PIVAService]
			return s.code("06363391001")
		}},
		{"voucher: another audience", 401, "TokenAuthenticationFailed", func(s *stage) reply {
			s.m.Set(func(x *Settings) { x.Host = OtherHost })
			return s.code("06363391001")
		}},
		{"purpose: not active", 403, "AuthorizationDeny", func(s *stage) reply {
			s.p.SetActive(s.p.Purposes(PIVAService)[pdnd.Activation], false)
			return s.vat("06363391001")
		}},
		{"path: no such operation", 404, "UndefinedOperation", plain("POST", VCFPrefix+"/altro", "application/json")},
		{"path: no such operation", 404, "UndefinedOperation", plain("GET", VCFPrefix+"/verifica", "application/json")},
		{"path: no such operation", 404, "UndefinedOperation", plain("GET", RappresentantePath, "text/xml")},
		{"content type: want application/json", 400, "InvalidRequestContent", plain("POST", VCFPrefix+"/verifica", "text/plain")},
		{"body: not a JSON object", 400, "InvalidRequestContent", vcf(`[]`)},
		{"body: not a JSON object", 400, "InvalidRequestContent", vcf(`null`)},
		{"body: more than one JSON value", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":"06363391001"}{}`)},
		{"body: more than codiceFiscale", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":"06363391001","nome":"x"}`)},
		{"codiceFiscale: missing", 400, "InvalidRequestContent", vcf(`{"codicefiscale":"06363391001"}`)},
		{"codiceFiscale: not a text", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":6363391001}`)},
		{"codiceFiscale: not a text", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":null}`)},
		{"codiceFiscale: fewer than 11 characters, or more than 16", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":"0636339100"}`)},
		{"codiceFiscale: fewer than 11 characters, or more than 16", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":"06363391001000000"}`)},
		{"codiceFiscale: against the contract's pattern", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":"AAAZZZ00H00T000Z"}`)},
		{"codiceFiscale: against the contract's pattern", 400, "InvalidRequestContent", vcf(`{"codiceFiscale":"rssmra85t10a562s"}`)},
		{"partitaIva: want 11 digits", 400, "InvalidRequestContent", piva(`{"partitaIva":"IT06363391001"}`)},
		{"partitaIva: missing", 400, "InvalidRequestContent", piva(`{}`)},
		{"gateway: over the quota", 429, "LimitExceeded", func(s *stage) reply {
			s.m.Set(func(x *Settings) { x.Quota = 1 })
			s.vat("06363391001")
			return s.vat("06363391001")
		}},
		{"gateway: too many exchanges at a time", 429, "TooManyRequests", func(s *stage) reply {
			s.m.Set(func(x *Settings) { x.Concurrent = 0 })
			return s.code("06363391001")
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			r := c.ask(s)
			j := s.b.Journal()
			if got := j[len(j)-1].Refused; got != c.rule || r.Reason() != c.rule {
				t.Errorf("refused for %q (%q), want %q", got, r.Reason(), c.rule)
			}
			checkProblem(t, r, c.status, c.name)
		})
	}
}

// checkProblem wants GovWay's style.
func checkProblem(t *testing.T, r reply, status int, name string) {
	t.Helper()
	if r.Status != status || r.Header.Get("Content-Type") != "application/problem+json" || r.Body["title"] != name ||
		r.Body["type"] != fmt.Sprintf("https://govway.org/handling-errors/%d/%s.html", status, name) || r.Body["status"] != float64(status) {
		t.Errorf("want %d %s: %d %s", status, name, r.Status, r.Raw)
	}
	if id := r.Header.Get("GovWay-Transaction-ID"); id == "" || r.Body["govway_id"] != id || r.Header.Get("GovWay-Transaction-ErrorType") != name {
		t.Errorf("not GovWay's names of the exchange: %v %s", r.Header, r.Raw)
	}
	if (status == 401) != (r.Header.Get("WWW-Authenticate") != "") {
		t.Errorf("WWW-Authenticate with %d: %q", status, r.Header.Get("WWW-Authenticate"))
	}
	if (status == 429 || status == 503) != (r.Header.Get("Retry-After") != "") {
		t.Errorf("Retry-After with %d: %q", status, r.Header.Get("Retry-After"))
	}
}

func TestCodesTellTheirStories(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Slow = time.Millisecond })
	for _, c := range []struct {
		story   string
		valid   any
		message any
	}{
		{"personal-domicile", true, MessageValid},
		{"omocodic-code-full", true, MessageValid},
		{"provisional-code", true, MessageValid},
		{"company-codes-differ", true, MessageValid},
		{"entrate-code-valid-superseded", true, MessageValidSuperseded},
		{"entrate-code-superseded", false, MessageSuperseded},
		{"entrate-code-unknown", false, MessageInvalid},
		{"entrate-code-words", true, "Codice fiscale valido, in corso di verifica"},
		{"entrate-code-words-no", false, "Codice fiscale sospeso"},
		{"entrate-code-contradiction", false, MessageValid},
		{"entrate-code-contradiction-yes", true, MessageInvalid},
		{"entrate-code-no-verdict", nil, MessageValid},
		{"entrate-code-no-message", true, nil},
		{"entrate-code-slow", true, MessageValid},
	} {
		code := s.b.Who(c.story).CodiceFiscale
		if r := s.code(code); r.Status != 200 || r.Body["codiceFiscale"] != code || r.Body["valido"] != c.valid || r.Body["messaggio"] != c.message {
			t.Errorf("%s: %d %s", c.story, r.Status, r.Raw)
		}
	}
	if r := s.code(s.b.Who("entrate-code-nothing").CodiceFiscale); r.Raw != "{}" {
		t.Errorf("nothing: %s", r.Raw)
	}
	if r := s.code(s.b.Who("entrate-code-another").CodiceFiscale); r.Body["codiceFiscale"] != groupNumber() {
		t.Errorf("another: %s", r.Raw)
	}
	for what, code := range map[string]string{
		"a representative": s.b.Who("company-with-pec").Representative, "a second one": SecondRepresentative(),
	} {
		if r := s.code(code); r.Body["valido"] != true {
			t.Errorf("%s: %s", what, r.Raw)
		}
	}
	for what, code := range map[string]string{
		"nobody's": "RSSMRA85T10A562S", "a partita IVA that is no codice fiscale": s.b.Who("company-codes-differ").PartitaIVA,
		"twelve digits, which the pattern lets pass": "063633910011",
	} {
		if r := s.code(code); r.Body["valido"] != false || r.Body["messaggio"] != MessageInvalid {
			t.Errorf("%s: %s", what, r.Raw)
		}
	}
	s.m.Set(func(x *Settings) { x.Lenient = true })
	if r := s.code("AAAZZZ00H00T000Z"); r.Status != 200 || r.Body["messaggio"] != MessageInvalid {
		t.Errorf("lenient: %d %s", r.Status, r.Raw)
	}
}

func TestEveryRowOfTheGatewaysErrorsHasSomebody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, c := range []struct {
		story string
		rows  []string // status and name, one for each call; "200" in the end
	}{
		{"entrate-code-400", []string{"400 InvalidRequestContent", "400 InvalidRequestContent"}},
		{"entrate-code-401", []string{"401 TokenExpired", "401 TokenExpired"}},
		{"entrate-code-401-once", []string{"401 TokenExpired", "200"}},
		{"entrate-code-403", []string{"403 AuthorizationDeny"}},
		{"entrate-code-429", []string{"429 LimitExceeded", "429 LimitExceeded"}},
		{"entrate-code-429-once", []string{"429 TooManyRequests", "200"}},
		{"entrate-code-500", []string{"500 GatewayError"}},
		{"entrate-code-502", []string{"502 InvalidResponse"}},
		{"entrate-code-502-wrapped", []string{"502 BadResponse"}},
		{"entrate-code-503", []string{"503 APIUnavailable", "503 APIUnavailable"}},
		{"entrate-code-503-once", []string{"503 APIUnavailable", "200"}},
		{"entrate-code-504", []string{"504 EndpointReadTimeout"}},
		{"entrate-vat-429", []string{"429 LimitExceeded"}},
		{"entrate-vat-500", []string{"500 GatewayError", "500 GatewayError"}},
		{"entrate-vat-500-once", []string{"500 GatewayError", "200"}},
		{"entrate-vat-502", []string{"502 InvalidResponse"}},
		{"entrate-vat-503", []string{"503 APIUnavailable"}},
	} {
		for i, row := range c.rows {
			ask, code := s.code, s.b.Who(c.story).CodiceFiscale
			if strings.HasPrefix(c.story, "entrate-vat") {
				ask = s.vat
			}
			r := ask(code)
			if row == "200" {
				if r.Status != 200 {
					t.Errorf("%s, call %d: %d %s", c.story, i+1, r.Status, r.Raw)
				}
				continue
			}
			status, name := 0, ""
			if _, err := fmt.Sscan(row, &status, &name); err != nil {
				t.Fatal(err)
			}
			checkProblem(t, r, status, name)
		}
	}
}

func TestNumbersTellTheirStories(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Slow = time.Millisecond })
	type m = map[string]any
	for _, c := range []struct {
		story string
		want  m // nil: not told
	}{
		{"company-with-pec", m{"valida": true, "stato": "ATTIVA", "isGruppoIva": nil, "isPartecipanteGruppoIva": nil, "dataCessazioneAttivita": nil}},
		{"sole-trader-as-enterprise", m{"valida": true, "stato": "ATTIVA"}},
		{"entrate-vat-group", m{"isGruppoIva": true, "stato": "ATTIVA"}},
		{"entrate-vat-group-member", m{"isPartecipanteGruppoIva": true, "dataInizioPartecipazioneGruppoIva": "2019-01-01", "partitaIvaGruppo": groupNumber()}},
		{"entrate-vat-group-member-undated", m{"isPartecipanteGruppoIva": true, "dataInizioPartecipazioneGruppoIva": "1001-01-01"}},
		{"entrate-vat-ceased", m{"stato": "CESSATA", "dataCessazioneAttivita": "2024-06-30"}},
		{"entrate-vat-ceased-undated", m{"stato": "CESSATA", "dataCessazioneAttivita": "9999-12-31"}},
		{"entrate-vat-suspended", m{"stato": "SOSPESA", "dataInizioSospensione": "2025-09-15"}},
		{"entrate-vat-suspended-undated", m{"stato": "SOSPESA", "dataInizioSospensione": "1001-01-01"}},
		{"entrate-vat-undated", m{"stato": "ATTIVA", "dataInizioAttivita": "1001-01-01"}},
		{"entrate-vat-unassigned", m{"valida": false, "stato": nil, "denominazione": nil, "dataInizioAttivita": nil}},
		{"entrate-vat-words", m{"valida": true, "stato": "IN LIQUIDAZIONE"}},
		{"entrate-vat-no-state", m{"valida": true, "stato": nil}},
		{"entrate-vat-no-verdict", m{"valida": nil, "stato": "ATTIVA"}},
		{"entrate-vat-contradiction", m{"valida": false, "stato": "ATTIVA"}},
		{"entrate-vat-another", m{"partitaIva": groupNumber()}},
		{"entrate-vat-odd-day", m{"dataInizioAttivita": "15/09/2005"}},
		{"entrate-vat-nothing", m{"partitaIva": nil, "valida": nil}},
		{"entrate-vat-slow", m{"valida": true}},
	} {
		who := s.b.Who(c.story)
		r := s.vat(who.PartitaIVA)
		for field, want := range c.want {
			if r.Status != 200 || r.Body[field] != want {
				t.Errorf("%s, %s: %d %s", c.story, field, r.Status, r.Raw)
			}
		}
		if name := r.Body["denominazione"]; name != nil && name != who.Name {
			t.Errorf("%s: %s", c.story, r.Raw)
		}
	}
	if r := s.vat("01043931007"); r.Status != 200 || len(r.Body) != 2 || r.Body["valida"] != false {
		t.Errorf("nobody's: %s", r.Raw)
	}
}

func TestQuotasAreToldInEveryForm(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Quota = 2 })
	for i, c := range []struct {
		form             Form
		retry, reset     string
		limit, remaining string
	}{
		{Seconds, "60", "60", "2", "0"},
		{Date, "Sat, 21 Nov 2026 08:01:00 GMT", "60", "2", "0"},
		{ResetOnly, "", "60", "2", "0"},
		{Silent, "", "", "2, 2;w=60", "0"},
	} {
		s.m.Set(func(x *Settings) { x.Retry, x.Windowed = c.form, c.form == Silent })
		for left := range 2 {
			r := s.code("06363391001")
			if i == 0 && (r.Status != 200 || r.Header.Get("X-RateLimit-Remaining") != fmt.Sprint(1-left) || r.Header.Get("X-RateLimit-Reset") != "") {
				t.Errorf("within the quota: %d %v", r.Status, r.Header)
			}
		}
		h := s.code("06363391001").Header
		if h.Get("Retry-After") != c.retry || h.Get("X-RateLimit-Reset") != c.reset || h.Get("X-RateLimit-Limit") != c.limit || h.Get("X-RateLimit-Remaining") != c.remaining {
			t.Errorf("%s: %v", c.form, h)
		}
	}
	if r := s.vat("06363391001"); r.Status != 200 {
		t.Errorf("the other service's quota is its own: %d", r.Status)
	}
	s.b.Advance(time.Minute)
	if r := s.code("06363391001"); r.Status != 200 {
		t.Errorf("a minute later: %d", r.Status)
	}
}

func TestExchangesAtATimeAreThoseUnderWay(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Concurrent, x.Slow = 1, time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", s.m.VCFURL()+"/verifica",
		strings.NewReader(fmt.Sprintf(`{"codiceFiscale":%q}`, s.b.Who("entrate-code-slow").CodiceFiscale)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + s.tokens[VCFService]}}
	var wg sync.WaitGroup
	wg.Go(func() {
		if resp, err := s.http.Do(req); err == nil {
			resp.Body.Close()
			t.Error("the slow one was answered")
		}
	})
	until := func(busy int64) {
		for deadline := time.Now().Add(10 * time.Second); s.m.busy.Load() != busy; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("never were %d exchanges under way", busy)
			}
		}
	}
	until(1)
	if r := s.vat("06363391001"); r.Status != 429 { // of the other service: the gateway is one
		t.Errorf("beside a slow one: %d", r.Status)
	}
	cancel()
	wg.Wait()
	until(0)
	if r := s.vat("06363391001"); r.Status != 200 {
		t.Errorf("when it has gone: %d", r.Status)
	}
}

func TestAGatewayThatGoesByAnotherNameTakesVouchersForThat(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Host = OtherHost })
	s.p.Register(VCFService, "https://"+OtherHost+VCFPrefix)
	var err error
	if s.tokens[VCFService], err = s.p.Voucher(VCFService, pdnd.Activation); err != nil {
		t.Fatal(err)
	}
	if r := s.code("06363391001"); r.Status != 200 {
		t.Errorf("%d %s", r.Status, r.Raw)
	}
}

func TestStatusIsForEverybody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r, err := s.send("GET", s.m.VCFURL()+"/status", nil, "")
	if err != nil || r.Status != 200 || r.Header.Get("Content-Type") != "application/problem+json" || r.Body["status"] != 200.0 {
		t.Errorf("%d %s %v", r.Status, r.Raw, err)
	}
}

func TestTheBenchsStatusesInGovWaysWords(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, c := range []struct {
		fault  string
		status int
		name   string
	}{
		{"500", 500, "GatewayError"},
		{"503", 503, "APIUnavailable"},
		{"denied", 403, "AuthorizationDeny"},
		{"stale-voucher", 401, "TokenExpired"},
		{"throttle", 429, "LimitExceeded"},
	} {
		if err := s.b.Misbehave("entrate:"+c.fault, 1); err != nil {
			t.Fatal(err)
		}
		r := s.vat("06363391001")
		checkProblem(t, r, c.status, c.name)
		if r.Reason() != "" {
			t.Errorf("%s: refused, for a rule", c.fault)
		}
	}
	s.b.Inject(lab.Fault{Match: "entrate POST " + VCFPrefix + "/verifica", Times: 1, Do: lab.Status, Status: 502, Body: []byte("{}")})
	if r := s.code("06363391001"); r.Status != 502 || r.Raw != "{}" {
		t.Errorf("a body of the tester's: %d %s", r.Status, r.Raw)
	}
}

func TestWithoutThePlatformItDoesNotStart(t *testing.T) {
	t.Parallel()
	if err := lab.Start(t).Attach(New()); err == nil {
		t.Error("attached without anybody to check vouchers")
	}
}
