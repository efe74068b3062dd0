package registroimprese

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

// request is what a mux would hand over.
func request(t *testing.T, name, code, rawQuery, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetPathValue(name, code)
	r.URL.RawQuery = rawQuery
	return r
}

// FuzzRequests: a question is refused for a rule, or keeps all of them, and is then answered in words that JSON can say.
func FuzzRequests(f *testing.F) {
	m := New()
	b := lab.Start(f, m)
	f.Add("71000011001", "client_id=ministero-collaudo&cfImpresa=71000011001", "")
	f.Add("RSSMRA85T10A562S", "profilo=completo", "{}")
	f.Add("rssmra85t10a56ns", "cfImpresa=%zz;&profilo=sintetico", "\x00")
	f.Add(b.Who("ri-holder-of-three").Representative, "cfImpresa="+b.Who("ri-null-seat").CodiceFiscale, "")
	f.Fuzz(func(t *testing.T, code, rawQuery, body string) {
		q, _ := url.ParseQuery(rawQuery)
		if a, rule := readCompany(request(t, "cf", code, rawQuery, body)); rule == "" {
			if !codePattern.MatchString(a.Company) || body != "" {
				t.Errorf("accepted %q with the body %q", a.Company, body)
			}
		}
		for _, list := range []bool{true, false} {
			a, rule := readMandate(request(t, "cfPersona", code, rawQuery, body), list)
			if rule != "" {
				continue
			}
			if !codePattern.MatchString(a.Person) || !list && !codePattern.MatchString(a.Company) || list && q.Has("cfImpresa") {
				t.Errorf("accepted %+v", a)
			}
			if verdict := m.verdict(m.register(), a); verdict == "" {
				t.Errorf("no verdict for %+v", a)
			}
		}
		if a, rule := readEnterprise(request(t, "codiceFiscale", code, rawQuery, body)); rule == "" {
			if !codePattern.MatchString(a.Company) || a.Profile != "sintetico" && a.Profile != "completo" {
				t.Errorf("accepted %+v", a)
			}
			if held := m.register().find(a.Company); held != nil {
				if raw, err := json.Marshal([]any{m.tell(held, true), m.tellSeat(held)}); err != nil {
					t.Errorf("%v: %s", err, raw)
				}
			}
		}
	})
}

// FuzzEvidence: nothing but the client's own signature is let in.
func FuzzEvidence(f *testing.F) {
	m := New()
	lab.Start(f, m, pdnd.New())
	f.Add("e30.e30.c2ln", "Bearer e30.e30.c2ln")
	f.Add("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.bnVsbA.c2ln", "Bearer e30.eyJkaWdlc3QiOnsiYWxnIjoiU0hBMjU2IiwidmFsdWUiOiIifX0.c2ln")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, compact, authorization string) {
		r := request(t, "codiceFiscale", "", "", "")
		r.Header[evidenceHeader] = []string{compact}
		r.Header["Authorization"] = []string{authorization}
		if user, rule := m.checkEvidence(r); rule == "" {
			t.Errorf("accepted for %q: %q", user, compact)
		}
		if _, rule := m.openEvidence(compact); rule == "" {
			t.Errorf("opened: %q", compact)
		}
		readBound(authorization)
	})
}
