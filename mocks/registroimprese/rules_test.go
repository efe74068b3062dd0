package registroimprese

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/wspa"
)

func (s *stage) refused(a answer, status int, rule string) {
	s.Helper()
	j := s.b.Journal()
	if got := j[len(j)-1].Refused; a.Status != status || got != rule || a.Reason() != rule {
		s.Errorf("status %d for %q, want %d for %q", a.Status, got, status, rule)
	}
	if strings.Contains(a.Raw, NoSuchEnterprise) || strings.Contains(a.Raw, "WSPA_ERR_04") {
		s.Error("a refusal reads like the register's word that there is none")
	}
}

func TestGatewayRefusals(t *testing.T) {
	t.Parallel()
	company, person := lab.Who("company-with-pec").CodiceFiscale, lab.Who("company-with-pec").Representative
	ask := func(method, path string) func(*stage) answer {
		return func(s *stage) answer { return s.gateway(method, path) }
	}
	for _, c := range []struct {
		rule   string
		status int
		app    string // empty: the gateway's own style
		ask    func(*stage) answer
	}{
		{"client_id: not a registered client", 401, "", ask("POST", "/sede/"+company)},
		{"token: no bearer token", 401, "", func(s *stage) answer { s.token = ""; return s.seat(company) }},
		{"token: expired", 401, "", func(s *stage) answer { s.b.Advance(96 * time.Hour); return s.exists(company) }},
		{"token: without the scope sede-impresa-pa", 401, "", func(s *stage) answer {
			s.token = s.enter(wspa.ScopeSpeaks)
			return s.seat(company)
		}},
		{"token: without the scope sede-impresa-pa", 401, "", func(s *stage) answer {
			s.token = s.enter(wspa.ScopeSpeaks)
			return s.exists(company)
		}},
		{"token: without the scope lr-pa", 401, "", func(s *stage) answer {
			s.token = s.enter(wspa.ScopeSeat)
			return s.represents(person, company)
		}},
		{"token: without the scope lr-pa", 401, "", func(s *stage) answer {
			s.token = s.enter(wspa.ScopeSeat)
			return s.represented(person)
		}},
		{"path: no such operation", 404, appSeat, ask("GET", "/sede/"+company+query)},
		{"path: no such operation", 404, appSeat, ask("POST", "/esistenzari/"+company+query)},
		{"path: no such operation", 404, appSeat, ask("POST", "/listaLegaleRappresentante/"+person+query)},
		{"path: no such operation", 404, appSeat, ask("GET", "/sede"+query)},
		{"body: want none", 400, appSeat, func(s *stage) answer {
			return s.send("POST", s.m.WSPAURL()+"/sede/"+company+query, s.token, "{}", nil)
		}},
		{"cf: neither 11 digits nor a person's code", 400, appSeat, ask("POST", "/sede/123"+query)},
		{"cf: neither 11 digits nor a person's code", 400, appSeat, ask("GET", "/esistenzari/IT"+company+query)},
		{"query: a parameter that is not the operation's", 400, appSeat, ask("POST", "/sede/"+company+query+"&cf="+company)},
		{"cfPersona: neither 11 digits nor a person's code", 400, appSpeaks, ask("GET", "/legaleRappresentante/X"+query+"&cfImpresa="+company)},
		{"cfImpresa: missing or repeated", 400, appSpeaks, ask("GET", "/legaleRappresentante/"+person+query)},
		{"cfImpresa: missing or repeated", 400, appSpeaks, ask("GET", "/legaleRappresentante/"+person+query+"&cfImpresa="+company+"&cfImpresa="+company)},
		{"cfImpresa: neither 11 digits nor a person's code", 400, appSpeaks, ask("GET", "/legaleRappresentante/"+person+query+"&cfImpresa=1")},
		{"query: a parameter that is not the operation's", 400, appSpeaks, ask("GET", "/listaLegaleRappresentante/"+person+query+"&cfImpresa="+company)},
		{"cfPersona: neither 11 digits nor a person's code", 400, appSpeaks, ask("GET", "/listaLegaleRappresentante/X"+query)},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			a := c.ask(s)
			s.refused(a, c.status, c.rule)
			if c.app == "" && a.Body["httpCode"] != "401" || c.app != "" && (a.Body["appName"] != c.app || a.Body["code"] == nil) {
				t.Errorf("not the gateway's error: %s", a.Raw)
			}
			if a.Header.Get("X-Tracking-trackingId") == "" {
				t.Error("no tracking identifier")
			}
		})
	}
}

func TestPDNDRefusals(t *testing.T) {
	t.Parallel()
	company := lab.Who("company-with-pec").CodiceFiscale
	ask := func(method, path string) func(*stage) answer {
		return func(s *stage) answer { return s.send(method, s.m.PDNDURL()+path, s.voucher, "", nil) }
	}
	for _, c := range []struct {
		rule   string
		status int
		ask    func(*stage) answer
	}{
		{"voucher: no bearer token", 401, func(s *stage) answer { s.voucher = ""; return s.record(company, "completo") }},
		{"voucher: expired", 401, func(s *stage) answer { s.b.Advance(96 * time.Hour); return s.record(company, "completo") }},
		{"voucher: typ must be at+jwt", 401, func(s *stage) answer { s.voucher = s.token; return s.record(company, "completo") }},
		{"voucher: another audience", 401, func(s *stage) answer {
			s.p.Register("other", "https://altro.test/v1")
			s.voucher, _ = s.p.Voucher("other", pdnd.Activation)
			return s.record(company, "completo")
		}},
		{"purpose: not active", 403, func(s *stage) answer {
			s.p.SetActive(s.p.Purposes("registroimprese")[pdnd.Activation], false)
			return s.record(company, "completo")
		}},
		{"path: no such operation", 404, ask("GET", "/imprese?profilo=completo")},
		{"path: no such operation", 404, ask("POST", "/imprese/"+company+"?profilo=completo")},
		{"codiceFiscale: neither 11 digits nor a person's code", 400, ask("GET", "/imprese/123?profilo=completo")},
		{"profilo: missing or repeated", 400, ask("GET", "/imprese/"+company)},
		{"profilo: missing or repeated", 400, ask("GET", "/imprese/"+company+"?profilo=completo&profilo=sintetico")},
		{"profilo: neither sintetico nor completo", 400, ask("GET", "/imprese/"+company+"?profilo=pieno")},
		{"query: a parameter that is not the operation's", 400, ask("GET", "/imprese/"+company+"?profilo=completo&client_id=x")},
		{"quota: the minute's is used up", 429, func(s *stage) answer {
			s.m.Set(func(x *Settings) { x.Granted = 1 })
			if a := s.record(company, "completo"); a.Status != 200 || a.Header.Get("X-RateLimit-Remaining") != "0" {
				s.Errorf("the last one: %d %v", a.Status, a.Header)
			}
			return s.record(company, "completo")
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			a := c.ask(s)
			s.refused(a, c.status, c.rule)
			if a.Header.Get("Content-Type") != "application/problem+json" || a.Body["status"] != float64(c.status) || a.Body["type"] != "about:blank" {
				t.Errorf("not a problem: %s", a.Raw)
			}
			if left := a.Header.Get("Retry-After"); (c.status == 429) != (left == "60") {
				t.Errorf("Retry-After %q", left)
			}
		})
	}
}

func TestWithoutAPlatformTheSecondRoadIsClosedAndTheFirstOpen(t *testing.T) {
	t.Parallel()
	m := New()
	s := &stage{T: t, b: lab.Start(t, m), m: m}
	s.http = s.b.Client(t)
	s.token = s.enter(wspa.ScopeSeat)
	code := s.who("ri-active").CodiceFiscale
	a := s.record(code, "completo")
	s.refused(a, 401, "voucher: no platform on this bench")
	if a := s.seat(code); a.Status != 200 || a.Body["cf"] != code {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
	stanza, err := m.Stanza(lab.Files{Dir: t.TempDir(), CA: "ca.pem"})
	if err != nil || len(stanza.Instances) != 1 || stanza.Instances[0].Name != "registroimprese" {
		t.Errorf("%+v, %v", stanza, err)
	}
}

func TestStanzaNamesPDNDFirst(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	stanza, err := s.m.Stanza(lab.Files{Dir: t.TempDir(), CA: "ca.pem"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range stanza.Instances {
		names = append(names, i.Name+" "+strings.Join(i.Needs, "+"))
		url := s.m.PDNDURL()
		if i.Name == "registroimprese" {
			url = s.m.WSPAURL()
		}
		if !strings.HasPrefix(i.YAML, "kind: registroimprese\nroad: ") || !strings.Contains(i.YAML, url) {
			t.Errorf("%s: %s", i.Name, i.YAML)
		}
	}
	if want := []string{"registroimprese-pdnd company+domicile", "registroimprese company"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if !reflect.DeepEqual(stanza.Purposes, []string{pdnd.Activation, pdnd.Verification}) {
		t.Errorf("purposes %v", stanza.Purposes)
	}
}

func TestStatusNeedsNoVoucher(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.send("GET", s.m.PDNDURL()+"/status", "", "", nil)
	if a.Status != 200 || a.Header.Get("Content-Type") != "application/problem+json" || a.Body["status"] != 200.0 {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}

func TestSwitchesOfShape(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set   func(*Settings)
		check func(*stage, lab.Member) bool
	}{
		"the published spelling": {func(x *Settings) { x.Number = GetNCivico }, func(s *stage, m lab.Member) bool {
			return s.seat(m.CodiceFiscale).at("indirizzoLocalizzazione", "getnCivico") != nil
		}},
		"the name inside": {func(x *Settings) { x.NameInside = true }, func(s *stage, m lab.Member) bool {
			return s.seat(m.CodiceFiscale).at("indirizzoLocalizzazione", "denominazione") != nil
		}},
		"another word for yes": {func(x *Settings) { x.Yes = "VerificaOk" }, func(s *stage, m lab.Member) bool {
			return s.represents(m.Representative, m.CodiceFiscale).Body["esitoVerifica"] == "VerificaOk"
		}},
		"answers about somebody else": {func(x *Settings) { x.Crossed = true }, func(s *stage, m lab.Member) bool {
			a, c := s.seat(m.CodiceFiscale).Body["cf"], s.record(m.CodiceFiscale, "completo").Body["codiceFiscale"]
			represents, represented := s.represents(m.Representative, m.CodiceFiscale), s.represented(m.Representative)
			return a != nil && a != m.CodiceFiscale && c == a && represents.Body["cfPersona"] == m.Representative &&
				represents.Body["cfImpresa"] == a && represented.Body["cfPersona"] != m.Representative
		}},
		"the other 401": {func(x *Settings) { x.Unauthorized = wspa.BackEnd }, func(s *stage, m lab.Member) bool {
			s.token = ""
			a := s.seat(m.CodiceFiscale)
			return a.Status == 401 && a.Body["status"] == 401.0 && a.Body["path"] == "/wspa/auth/token"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.m.Set(c.set)
			if !c.check(s, s.who("ri-active")) {
				t.Error("the switch does nothing")
			}
		})
	}
}

func TestQuotasAreCountedPerServiceAndRenewed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		set   func(*Settings)
		after string // Retry-After
		rule  string
		renew time.Duration
	}{
		{"minute", func(x *Settings) { x.PerMinute = 3 }, "60", "quota: the minute's is used up", time.Minute},
		{"day", func(x *Settings) { x.PerDay = 3 }, "54000", "quota: the day's is used up", 15 * time.Hour}, // from 9 to midnight in Italy
		{"bare", func(x *Settings) { x.PerMinute, x.BareThrottle = 3, true }, "", "quota: the minute's is used up", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.m.Set(c.set)
			m := s.who("ri-active")
			for range 3 {
				if a := s.exists(m.CodiceFiscale); a.Status != 200 {
					t.Fatalf("%d %s", a.Status, a.Raw)
				}
			}
			a := s.seat(m.CodiceFiscale) // of the same service
			s.refused(a, http.StatusTooManyRequests, c.rule)
			if a.Header.Get("Retry-After") != c.after || a.Body["httpCode"] != "429" {
				t.Errorf("Retry-After %q: %s", a.Header.Get("Retry-After"), a.Raw)
			}
			if a := s.represented(m.Representative); a.Status != 200 {
				t.Errorf("another service: %d", a.Status)
			}
			s.b.Advance(c.renew - time.Second)
			if a := s.seat(m.CodiceFiscale); a.Status != 429 {
				t.Errorf("a second early: %d", a.Status)
			}
			s.b.Advance(time.Second)
			if a := s.seat(m.CodiceFiscale); a.Status != 200 {
				t.Errorf("renewed: %d", a.Status)
			}
		})
	}
}

func TestMaintenanceIsAtNightInItaly(t *testing.T) {
	t.Parallel()
	s := newStage(t) // at 9 in Italy
	s.m.Set(func(x *Settings) { x.Night = true })
	code := s.who("ri-active").CodiceFiscale
	for _, c := range []struct {
		advance time.Duration
		status  int
	}{
		{0, 200}, {12*time.Hour - time.Second, 200}, {time.Second, 503}, {11*time.Hour - time.Second, 503}, {time.Second, 200},
	} {
		s.b.Advance(c.advance)
		if a := s.seat(code); a.Status != c.status || a.Status == 503 && (a.Body["code"] != "WSPA_ERR_503" || a.Body["appName"] == nil) {
			t.Errorf("at %s: %d %s", s.b.Clock().Now(), a.Status, a.Raw)
		}
		if a := s.record(code, "completo"); a.Status != 200 {
			t.Errorf("over PDND at %s: %d", s.b.Clock().Now(), a.Status)
		}
	}
	s.m.Set(func(x *Settings) { x.Night = false })
	s.b.Advance(13 * time.Hour)
	if a := s.seat(code); a.Status != 200 {
		t.Errorf("without the switch: %d", a.Status)
	}
}

func TestFaultsSpeakTheRoadsOwnShape(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := s.who("ri-active").CodiceFiscale
	for fault, status := range map[string]int{"500": 500, "503": 503, "denied": 403, "stale-voucher": 401, "throttle": 429} {
		if err := s.b.Misbehave("registroimprese:"+fault, 2); err != nil {
			t.Fatal(err)
		}
		a, c := s.seat(code), s.record(code, "completo")
		if a.Status != status || a.Header.Get("Content-Type") != "application/json" || status == 401 && a.Body["httpCode"] != "401" ||
			status != 401 && a.Body["appName"] == nil {
			t.Errorf("%s on the gateway: %d %s", fault, a.Status, a.Raw)
		}
		if c.Status != status || c.Header.Get("Content-Type") != "application/problem+json" || c.Body["status"] != float64(status) {
			t.Errorf("%s on PDND: %d %s", fault, c.Status, c.Raw)
		}
		if after := "2"; status == 429 && (a.Header.Get("Retry-After") != after || c.Header.Get("Retry-After") != after) {
			t.Error("no Retry-After")
		}
		if a := s.seat(code); a.Status != 200 {
			t.Errorf("%s stays: %d", fault, a.Status)
		}
	}
	s.b.Inject(lab.Fault{Match: "registroimprese GET /imprese/{codiceFiscale}", Times: 1, Do: lab.Status, Status: 404, Body: []byte("<html>")})
	if a := s.seat(code); a.Status != 200 {
		t.Errorf("a fault of the other road: %d", a.Status)
	}
	if a := s.record(code, "completo"); a.Status != 404 || a.Raw != "<html>" {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}

func TestMisbehaveSparesTheLogin(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if err := s.b.Misbehave("503", 0); err != nil {
		t.Fatal(err)
	}
	s.token = s.enter(wspa.ScopeSeat + " " + wspa.ScopeSpeaks)
	for op, ask := range s.questions(s.who("ri-active")) {
		if a := ask(); a.Status != 503 {
			t.Errorf("%s: %d", op, a.Status)
		}
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.b.Inject(lab.Fault{Match: "registroimprese POST /authentication", Times: 1, Do: lab.BadSignature})
	s.token = s.enter(wspa.ScopeSeat)
	s.refused(s.seat(s.who("ri-active").CodiceFiscale), 401, "token: not signed by this gateway")
}

// The journal knows routes without prefix and without codes, and what was understood.
func TestJournalTellsTheRoadsApartByTheirOperations(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	m := s.who("ri-active")
	for _, ask := range s.questions(m) {
		ask()
	}
	for label, want := range map[string]Asked{
		"POST /sede/{cf}":                            {Company: m.CodiceFiscale},
		"GET /esistenzari/{cf}":                      {Company: m.CodiceFiscale},
		"GET /legaleRappresentante/{cfPersona}":      {Company: m.CodiceFiscale, Person: m.Representative},
		"GET /listaLegaleRappresentante/{cfPersona}": {Person: m.Representative},
		"GET /imprese/{codiceFiscale}":               {Company: m.CodiceFiscale, Profile: "completo"},
	} {
		if n := s.b.Sent("registroimprese " + label); n != 1 {
			t.Errorf("%s: %d", label, n)
		}
		for _, e := range s.b.Journal() {
			if e.Label == label && e.Parsed != want {
				t.Errorf("%s: %+v", label, e.Parsed)
			}
		}
	}
}

func TestTheSameSeedGivesTheSameAnswers(t *testing.T) {
	t.Parallel()
	run := func() []string {
		s := newStage(t)
		m := s.who("ri-holder-of-three")
		var out []string
		for _, a := range []answer{
			s.seat(m.CodiceFiscale), s.exists(m.CodiceFiscale), s.represents(m.Representative, m.CodiceFiscale),
			s.represented(m.Representative), s.record(m.CodiceFiscale, "completo"),
		} {
			out = append(out, a.Header.Get("X-Tracking-trackingId")+" "+a.Raw)
		}
		return out
	}
	if one, two := run(), run(); !reflect.DeepEqual(one, two) {
		t.Errorf("%v\n%v", one, two)
	}
}
