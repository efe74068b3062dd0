package inad

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is the register, the platform in front of it and a client with a voucher.
type stage struct {
	*testing.T
	b     *lab.Bench
	m     *Mock
	p     *pdnd.Mock
	http  *http.Client
	token string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	m, p := New(), pdnd.New()
	p.Set(func(s *pdnd.Settings) { s.Life = 96 * time.Hour })
	b := lab.Start(t, m, p) // the order of attachment must not matter
	s := &stage{T: t, b: b, m: m, p: p, http: b.Client(t)}
	var err error
	if s.token, err = p.Voucher("inad", pdnd.Activation); err != nil {
		t.Fatal(err)
	}
	return s
}

type answer struct{ lab.Answer }

func (s *stage) try(method, path, contentType, body string) (answer, error) {
	s.Helper()
	a, err := lab.Try(s.T, s.http, method, s.b.URL("inad")+path, body, lab.With(contentType, s.token))
	if err == nil && a.Body == nil {
		err = errors.New("the answer is no JSON object")
	}
	return answer{a}, err
}

func (s *stage) get(path string) answer {
	s.Helper()
	a, err := s.try("GET", path, "", "")
	if err != nil {
		s.Fatal(err)
	}
	return a
}

func (s *stage) extract(story string) answer {
	s.Helper()
	return s.get("/extract/" + lab.Who(story).CodiceFiscale + "?practicalReference=P-1")
}

func (s *stage) order(codes ...string) answer {
	s.Helper()
	body, err := json.Marshal(map[string]any{"codiciFiscali": codes, "praticalReference": "P-1"})
	if err != nil {
		s.Fatal(err)
	}
	a, err := s.try("POST", "/listDigitalAddress", "application/json", string(body))
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// addresses are the elements of an extraction.
func (a answer) addresses(t *testing.T) []map[string]any {
	t.Helper()
	list, ok := a.Body["digitalAddress"].([]any)
	if !ok {
		t.Fatalf("status %d, no digitalAddress in %s", a.Status, a.Raw)
	}
	var out []map[string]any
	for _, e := range list {
		out = append(out, e.(map[string]any))
	}
	return out
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	code := lab.Who("personal-domicile").CodiceFiscale
	list := func(body string) func(*stage) (answer, error) {
		return func(s *stage) (answer, error) {
			return s.try("POST", "/listDigitalAddress", "application/json", body)
		}
	}
	get := func(path string) func(*stage) (answer, error) {
		return func(s *stage) (answer, error) { return s.try("GET", path, "", "") }
	}
	verify := func(q string) func(*stage) (answer, error) { return get("/verify/" + code + "?" + q) }
	const ref, address, since = "practicalReference=P-1", "digital_address=a%40b.it", "since=2026-11-20"
	many := `{"praticalReference":"P-1","codiciFiscali":["` + strings.Repeat(code+`","`, MaxList) + code + `"]}`
	for _, c := range []struct {
		rule   string
		status int
		ask    func(*stage) (answer, error)
	}{
		{"voucher: no bearer token", 401, func(s *stage) (answer, error) {
			s.token = ""
			return s.try("GET", "/extract/"+code+"?"+ref, "", "")
		}},
		{"voucher: expired", 401, func(s *stage) (answer, error) {
			s.b.Advance(96 * time.Hour)
			return s.try("GET", "/extract/"+code+"?"+ref, "", "")
		}},
		{"purpose: not active", 403, func(s *stage) (answer, error) {
			s.p.SetActive(s.p.Purposes("inad")[pdnd.Activation], false)
			return s.try("GET", "/extract/"+code+"?"+ref, "", "")
		}},
		{"path: no such operation", 404, get("/list")},
		{"path: no such operation", 404, func(s *stage) (answer, error) { return s.try("DELETE", "/extract/"+code, "", "") }},
		{"codice_fiscale: against the contract's pattern", 400, get("/extract/" + lab.Who("omocodic-code").CodiceFiscale + "?" + ref)},
		{"codice_fiscale: against the contract's pattern", 400, get("/extract/123?" + ref)},
		{"practicalReference: missing, empty or repeated", 400, get("/extract/" + code)},
		{"practicalReference: missing, empty or repeated", 400, get("/extract/" + code + "?practicalReference=")},
		{"practicalReference: missing, empty or repeated", 400, get("/extract/" + code + "?praticalReference=P-1")},
		{"codice_fiscale: against the contract's pattern", 400, get("/verify/123?" + ref + "&" + address + "&" + since)},
		{"practicalReference: missing, empty or repeated", 400, verify(address + "&" + since)},
		{"digital_address: missing, empty or repeated", 400, verify(ref + "&" + since)},
		{"since: missing, empty or repeated", 400, verify(ref + "&" + address)},
		{"digital_address: against the contract's pattern", 400, verify(ref + "&digital_address=nobody&" + since)},
		{"since: not a day as yyyy-MM-dd", 400, verify(ref + "&" + address + "&since=20-11-2026")},
		{"since: not a day as yyyy-MM-dd", 400, verify(ref + "&" + address + "&since=2026-02-30")},
		{"content type: want application/json", 400, func(s *stage) (answer, error) {
			return s.try("POST", "/listDigitalAddress", "text/plain", `{"praticalReference":"P-1","codiciFiscali":["`+code+`"]}`)
		}},
		{"body: not the JSON object of the contract", 400, list(`[`)},
		{"praticalReference: missing", 400, list(`{"practicalReference":"P-1","codiciFiscali":["` + code + `"]}`)},
		{"praticalReference: empty", 400, list(`{"praticalReference":"","codiciFiscali":["` + code + `"]}`)},
		{"codiciFiscali: missing or empty", 400, list(`{"praticalReference":"P-1","codiciFiscali":[]}`)},
		{"codiciFiscali: more than 1,000", 400, list(many)},
		{"codiciFiscali: one is against the contract's pattern", 400, list(`{"praticalReference":"P-1","codiciFiscali":["` +
			code + `","` + lab.Who("omocodic-code").CodiceFiscale + `"]}`)},
		{"id: against the contract's pattern", 400, get("/listDigitalAddress/state/7")},
		{"id: unknown list, or kept no longer", 404, get("/listDigitalAddress/state/11111111-2222-4333-8444-555555555555")},
		{"id: unknown list, or kept no longer", 404, get("/listDigitalAddress/response/11111111-2222-4333-8444-555555555555")},
		{"id: the list is not ready", 404, func(s *stage) (answer, error) {
			id := s.order(code).Body["id"].(string)
			return s.try("GET", "/listDigitalAddress/response/"+id, "", "")
		}},
		{"lists: too many at a time", 503, func(s *stage) (answer, error) {
			for i := range maxLists {
				s.m.lists.Put(fmt.Sprint(i), &stored{})
			}
			return s.order(code), nil
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			a, err := c.ask(s)
			if err != nil {
				t.Fatal(err)
			}
			j := s.b.Journal()
			if rule := j[len(j)-1].Refused; a.Status != c.status || rule != c.rule {
				t.Errorf("status %d for %q, want %d for %q", a.Status, rule, c.status, c.rule)
			}
			if a.Header.Get("Content-Type") != "application/problem+json" || a.Body["status"] != fmt.Sprint(c.status) || a.Body["title"] != nil {
				t.Errorf("not the contract's problem: %s", a.Raw)
			}
			if strings.Contains(strings.ToLower(a.Raw), "cf non trovato") {
				t.Error("a refusal reads like the answer that there is no domicile")
			}
		})
	}
}

func TestExtractTellsEachStory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, c := range []struct {
		story string
		n     int // addresses; 0: CF non trovato
		check func([]map[string]any) bool
	}{
		{"personal-domicile", 1, func(e []map[string]any) bool {
			return e[0]["practicedProfession"] == nil && e[0]["usageInfo"].(map[string]any)["dateEndValidity"] == "9999-12-31T23:59:59Z"
		}},
		{"personal-and-professional", 3, func(e []map[string]any) bool {
			return e[0]["practicedProfession"] != nil && e[1]["practicedProfession"] == nil
		}},
		{"two-addresses", 2, nil},
		{"ceased-domicile", 1, func(e []map[string]any) bool {
			return e[0]["usageInfo"].(map[string]any)["dateEndValidity"] == "2026-06-30T21:59:59Z"
		}},
		{"ceased-by-office", 1, func(e []map[string]any) bool {
			return e[0]["usageInfo"].(map[string]any)["motivation"] == "CESSAZIONE_UFFICIO"
		}},
		{"ceasing-domicile", 1, func(e []map[string]any) bool {
			return e[0]["usageInfo"].(map[string]any)["dateEndValidity"] == "2031-01-10T22:59:59Z"
		}},
		{"changed-domicile", 1, func(e []map[string]any) bool {
			return e[0]["digitalAddress"] == "remo.bonacolsi@"+lab.DomainCitizens
		}},
		{"usage-null", 1, func(e []map[string]any) bool { v, there := e[0]["usageInfo"]; return there && v == nil }},
		{"usage-omitted", 1, func(e []map[string]any) bool { _, there := e[0]["usageInfo"]; return !there }},
		{"invalid-email", 1, func(e []map[string]any) bool { return !addressPattern.MatchString(e[0]["digitalAddress"].(string)) }},
		{"provisional-code", 1, nil},
		{"body-with-domicile", 1, nil},
		{"company-without-pec", 1, nil},
		{"no-domicile", 0, nil},
		{"lawyer-hiring-a-carer", 1, func(e []map[string]any) bool { return e[0]["practicedProfession"] == nil }},
	} {
		a := s.extract(c.story)
		if c.n == 0 {
			if a.Status != 404 || a.Body["type"] != "NOT_FOUND" || a.Body["detail"] != "CF non trovato" {
				t.Errorf("%s: %d %s", c.story, a.Status, a.Raw)
			}
			continue
		}
		e := a.addresses(t)
		if a.Status != 200 || len(e) != c.n || c.check != nil && !c.check(e) {
			t.Errorf("%s: %d %s", c.story, a.Status, a.Raw)
		}
		if a.Body["since"] != "2026-11-21T08:00:00Z" {
			t.Errorf("%s: since is not the instant of extraction: %s", c.story, a.Raw)
		}
	}
	for _, path := range []string{"123456789012", "zzzzzz99z99z999z"} { // what the pattern lets pass, and nobody bears
		if a := s.get("/extract/" + path + "?practicalReference=P-1"); a.Status != 404 {
			t.Errorf("a code of %d characters: %d", len(path), a.Status)
		}
	}
	if a := s.get("/extract/" + strings.ToLower(lab.Who("personal-domicile").CodiceFiscale) + "?practicalReference=P-1"); a.Status != 200 ||
		a.Body["codiceFiscale"] != lab.Who("personal-domicile").CodiceFiscale {
		t.Errorf("lower case: %d", a.Status)
	}
}

func TestTroublesOfSingleLookUps(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Slow = time.Millisecond })
	for _, c := range []struct {
		story string
		want  []int // 0: a connection that is reset
	}{
		{"register-broken", []int{500, 500, 500, 500}},
		{"register-busy", []int{503, 503, 200, 200}},
		{"register-reset", []int{0, 200, 200}},
		{"register-slow", []int{200, 200}},
	} {
		for i, want := range c.want {
			s.http.CloseIdleConnections() // a reset on a connection in use would be tried again unseen
			a, err := s.try("GET", "/extract/"+lab.Who(c.story).CodiceFiscale+"?practicalReference=P-1", "", "")
			if (err != nil) != (want == 0) || a.Status != want {
				t.Errorf("%s, look-up %d: status %d, error %v, want %d", c.story, i+1, a.Status, err, want)
			}
		}
	}
}

func TestVerifyAnswersByTheDayInItaly(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	old, new_ := "remo.bonacolsi@"+lab.DomainStudios, "remo.bonacolsi@"+lab.DomainCitizens
	for _, c := range []struct {
		rule, story, address, day string
		want                      bool
	}{
		{"the day before the election", "changed-domicile", old, "2025-02-28", false},
		{"the day of the election", "changed-domicile", old, "2025-03-01", true},
		{"the last day of the old address", "changed-domicile", old, "2026-06-30", true},
		{"the day after", "changed-domicile", old, "2026-07-01", false},
		{"the new address before it was elected", "changed-domicile", new_, "2026-06-30", false},
		{"the new address from its first day", "changed-domicile", new_, "2026-07-01", true},
		{"the new address today, written otherwise", "changed-domicile", strings.ToUpper(new_), "2026-11-21", true},
		{"another's address", "changed-domicile", "bruno.marescotti@" + lab.DomainCitizens, "2026-11-21", false},
		{"a ceased address while it held", "ceased-domicile", "alba.pierlorenzi@" + lab.DomainCitizens, "2026-01-01", true},
		{"a ceased address today", "ceased-domicile", "alba.pierlorenzi@" + lab.DomainCitizens, "2026-11-21", false},
	} {
		q := url.Values{"practicalReference": {"P-1"}, "digital_address": {c.address}, "since": {c.day}}
		a := s.get("/verify/" + lab.Who(c.story).CodiceFiscale + "?" + q.Encode())
		if a.Status != 200 || a.Body["outcome"] != c.want || a.Body["dateTimeCheck"] != "2026-11-21T08:00:00Z" {
			t.Errorf("%s: %d %s, want %v", c.rule, a.Status, a.Raw, c.want)
		}
	}
	a := s.get("/verify/" + lab.Who("no-domicile").CodiceFiscale + "?practicalReference=P-1&digital_address=a%40b.it&since=2026-11-21")
	if a.Status != 404 || a.Body["detail"] != "CF non trovato" {
		t.Errorf("somebody unknown: %d %s", a.Status, a.Raw)
	}
}

func TestListGoesThroughItsStatesAndIsKept48Hours(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	codes := []string{
		lab.Who("personal-domicile").CodiceFiscale, lab.Who("no-domicile").CodiceFiscale,
		lab.Who("absent-in-list").CodiceFiscale, "00000000000", lab.Who("register-broken").CodiceFiscale,
	}
	a := s.order(codes...)
	id := a.Body["id"].(string)
	state := s.b.URL("inad") + "/listDigitalAddress/state/" + id
	if a.Status != 202 || a.Body["state"] != "PRESA_IN_CARICO" || a.Header.Get("Location") != state || a.Body["dateTimeRequest"] == nil {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	for i, want := range []string{"PRESA_IN_CARICO", "IN_ELABORAZIONE"} {
		if a := s.get("/listDigitalAddress/state/" + id); a.Status != 200 || a.Body["state"] != want {
			t.Errorf("poll %d: %d %s", i+1, a.Status, a.Raw)
		}
	}
	if a = s.get("/listDigitalAddress/state/{" + strings.ToUpper(id) + "}"); a.Status != 303 || a.Body["state"] != "DISPONIBILE" ||
		a.Header.Get("Location") != s.b.URL("inad")+"/listDigitalAddress/response/"+id {
		t.Errorf("ready: %d %s", a.Status, a.Raw)
	}
	a = s.get("/listDigitalAddress/response/" + id)
	list := a.Body["list"].([]any)
	if a.Status != 200 || len(list) != len(codes) {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	for i, want := range []any{1, 0, nil, 0, 1} { // addresses; nil: not even an empty array
		e := list[i].(map[string]any)
		got, there := e["digitalAddress"].([]any)
		if e["codiceFiscale"] != codes[i] || there != (want != nil) || there && len(got) != want {
			t.Errorf("entry %d: %v", i, e)
		}
	}
	s.b.Advance(Kept - time.Second)
	if a := s.get("/listDigitalAddress/response/" + id); a.Status != 200 {
		t.Errorf("a second before its end: %d", a.Status)
	}
	s.b.Advance(time.Second)
	if a := s.get("/listDigitalAddress/response/" + id); a.Status != 404 || a.Body["detail"] == "CF non trovato" {
		t.Errorf("after 48 hours: %d %s", a.Status, a.Raw)
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := lab.Who("no-domicile").CodiceFiscale
	s.m.Set(func(x *Settings) {
		x.Polls, x.Delay, x.Lenient, x.EmptyAbsent, x.Usage = 0, 6*time.Hour, true, true, lab.UsageOmitted
		x.Location = "https://altrove.test/prefisso"
	})
	a, err := s.try("POST", "/listDigitalAddress", "application/json; charset=utf-8", `{"practicalReference":"P-1","codiciFiscali":["`+code+`"]}`)
	if err != nil || a.Status != 202 {
		t.Fatalf("lenient: %d %v", a.Status, err)
	}
	id := a.Body["id"].(string)
	if want := "https://altrove.test/prefisso/listDigitalAddress/state/" + id; a.Header.Get("Location") != want {
		t.Errorf("Location %s", a.Header.Get("Location"))
	}
	if a := s.get("/listDigitalAddress/state/" + id); a.Status != 200 {
		t.Errorf("ready before its delay: %d", a.Status)
	}
	s.b.Advance(6 * time.Hour)
	if a := s.get("/listDigitalAddress/state/" + id); a.Status != 303 {
		t.Errorf("not ready after its delay: %d", a.Status)
	}
	a = s.get("/listDigitalAddress/response/" + id)
	if _, there := a.Body["list"].([]any)[0].(map[string]any)["digitalAddress"]; there {
		t.Errorf("EmptyAbsent: %s", a.Raw)
	}
	if _, there := s.extract("personal-domicile").addresses(t)[0]["usageInfo"]; there {
		t.Error("Usage: still told")
	}
}

func TestWithoutThePlatformItDoesNotStart(t *testing.T) {
	t.Parallel()
	if err := lab.Start(t).Attach(New()); err == nil {
		t.Error("attached without anybody to check vouchers")
	}
}
