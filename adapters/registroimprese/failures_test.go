package registroimprese

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/contracttest"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/registroimprese"
	"raccordo/mocks/wspa"
)

func TestFailuresAreNeverAnswers(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, func(c *Config, _ *contracts.Env) { c.HTTP.Attempts = 1 })
	all := seatCall + "|" + existsCall + "|" + representsCall + "|" + representedCall
	for _, tc := range []struct {
		name  string
		fault lab.Fault
		kind  contracts.Kind
		code  string
	}{
		{"400, a request that is not valid", lab.Fault{Do: lab.Status, Status: 400}, contracts.Invalid, "WSPA_ERR_400"},
		{"401 twice", lab.Fault{Do: lab.StaleVoucher}, contracts.Denied, "401"},
		{"403", lab.Fault{Do: lab.Status, Status: 403}, contracts.Denied, "WSPA_ERR_403"},
		{"404, no such service", lab.Fault{Do: lab.Status, Status: 404}, contracts.Malformed, "WSPA_ERR_404"},
		{"404 with the register's word for nothing found", lab.Fault{Do: lab.Status, Status: 404, Body: []byte(`{"code":"WSPA_ERR_04"}`)}, contracts.Malformed, "WSPA_ERR_04"},
		{"429 that says until when", lab.Fault{Do: lab.Throttle}, contracts.Throttled, ""},
		{"429 that does not", lab.Fault{Do: lab.Status, Status: 429}, contracts.Throttled, "WSPA_ERR_429"},
		{"500", lab.Fault{Do: lab.Status, Status: 500}, contracts.Unavailable, "WSPA_ERR_500"},
		{"503", lab.Fault{Do: lab.Status, Status: 503}, contracts.Unavailable, "WSPA_ERR_503"},
		{"a lost connection", lab.Fault{Do: lab.Drop}, contracts.Unavailable, ""},
		{"a page", lab.Fault{Do: lab.WrongType}, contracts.Malformed, ""},
		{"half an answer", lab.Fault{Do: lab.Truncate}, contracts.Malformed, ""},
	} {
		s.Clear()
		tc.fault.Match = all
		s.Inject(tc.fault)
		errs := askAll(t, s, g, "")
		if len(errs) != 4 {
			t.Fatalf("%d questions", len(errs))
		}
		for _, err := range errs {
			e := wantKind(t, err, tc.kind)
			if tc.code != "" && e.Code != tc.code {
				t.Errorf("%s: code %q, want %q", tc.name, e.Code, tc.code)
			}
			if tc.kind == contracts.Throttled && e.After == 0 {
				t.Errorf("%s: nobody knows when to come back", tc.name)
			}
		}
	}
}

func TestATimeOutIsNeverAnAnswer(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, func(c *Config, _ *contracts.Env) { c.HTTP.Attempts, c.HTTP.Timeout = 1, 200*time.Millisecond })
	askAll(t, s, g, "") // log-ins are not what times out here
	s.Inject(lab.Fault{Match: seatCall + "|" + existsCall + "|" + representsCall + "|" + representedCall, Do: lab.Slow})
	for _, err := range askAll(t, s, g, "") {
		wantKind(t, err, contracts.Unavailable)
	}
}

func TestARefusedTokenIsReplacedOnceInBothStyles(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	for _, style := range []wspa.Style{wspa.Gateway, wspa.BackEnd} {
		s.m.Set(func(x *mock.Settings) { x.Unauthorized = style })
		askAll(t, s, g, seatCall)
		s.Inject(lab.Fault{Match: seatCall, Do: lab.StaleVoucher, Times: 1})
		if n := s.sent(loginCall, func() {
			if _, err := find(t, g, s.query("ri-active")); err != nil {
				t.Error(err)
			}
		}); n != 1 {
			t.Errorf("%s: %d log-ins, want exactly one more", style, n)
		}
		s.Inject(lab.Fault{Match: seatCall, Do: lab.StaleVoucher})
		if e := wantKind(t, second(find(t, g, s.query("ri-active"))), contracts.Denied); e.Code != "401" {
			t.Errorf("%s: code %q", style, e.Code)
		}
		s.Clear()
	}
}

func TestALimitIsToldWithTheTermsOfTheAgreement(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		s, g := overGateway(t, nil)
		s.m.Set(func(x *mock.Settings) { x.PerMinute, x.BareThrottle = 1, bare })
		if _, err := find(t, g, s.query("ri-active")); err != nil {
			t.Fatal(err)
		}
		e := wantKind(t, second(find(t, g, s.query("ri-active"))), contracts.Throttled)
		if e.After <= 0 || e.After > time.Minute || !strings.Contains(e.Error(), "900 requests a minute and 400,000 a day") {
			t.Errorf("bare %t: after %v: %v", bare, e.After, e)
		}
		if faults := contracttest.ErrorFaults(e, company.OpFind.Name); faults != nil {
			t.Error(faults)
		}
	}
}

func TestTheNightIsToldAsMaintenance(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, func(c *Config, _ *contracts.Env) { c.HTTP.Attempts = 1 })
	s.m.Set(func(x *mock.Settings) { x.Night = true })
	if err := g.Check(t.Context()); err != nil { // at 9 in the morning
		t.Fatal(err)
	}
	s.Advance(15 * time.Hour)
	for _, err := range append(askAll(t, s, g, ""), g.Check(t.Context())) {
		if wantKind(t, err, contracts.Unavailable); strings.Count(err.Error(), "hours of maintenance") != 1 {
			t.Error(err)
		}
	}
	s.Advance(9 * time.Hour)
	s.Inject(lab.Fault{Match: seatCall, Do: lab.Status, Status: 503})
	if err := wantKind(t, second(find(t, g, s.query("ri-active"))), contracts.Unavailable); strings.Contains(err.Error(), "maintenance") {
		t.Errorf("by day: %v", err)
	}
}

// farSide is a supplier that answers every question alike, and lets everybody in.
func farSide(t testing.TB, header http.Header, status int, body string) (endpoint string) {
	t.Helper()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/authentication") {
			_, _ = w.Write([]byte("e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":99999999999}`)) + ".c2ln"))
			return
		}
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(far.Close)
	return far.URL
}

// bothRoads lead to the same far side.
func bothRoads(t *testing.T, header http.Header, status int, body string) (s *stage, roads map[string]finder) {
	t.Helper()
	endpoint := farSide(t, header, status, body)
	to := func(c *Config, _ *contracts.Env) { c.HTTP.Endpoint, c.HTTP.CA, c.HTTP.Attempts = endpoint, "", 1 }
	s, g := overGateway(t, to)
	_, e := overPDND(t, to)
	return s, map[string]finder{RoadWSPA: g, RoadPDND: e}
}

// Retry-After comes in seconds or as a date (RFC 9110, section 10.2.3); the mock speaks the one form.
func TestBothFormsOfRetryAfter(t *testing.T) {
	t.Parallel()
	for form, value := range map[string]string{"seconds": "90", "a date": "Sat, 21 Nov 2026 08:01:30 GMT"} {
		s, roads := bothRoads(t, http.Header{"Retry-After": {value}}, http.StatusTooManyRequests, "")
		for road, r := range roads {
			e := wantKind(t, second(find(t, r, s.query("ri-active"))), contracts.Throttled)
			if e.After < 89*time.Second || e.After > 90*time.Second {
				t.Errorf("%s, road %s: after %v, want 90s", form, road, e.After)
			}
		}
	}
}

// What calls itself a page is no answer, whatever is on it.
func TestAnAnswerThatSaysItIsAPageIsNone(t *testing.T) {
	t.Parallel()
	code := lab.Who("company-with-pec").CodiceFiscale
	for media, want := range map[string]bool{"text/html": false, "application/json; charset=utf-8": true} {
		s, roads := bothRoads(t, http.Header{"Content-Type": {media}}, http.StatusOK, `{"codiceFiscale":"`+code+`","cf":"`+code+`","denominazione":"X"}`)
		for road, r := range roads {
			err := second(find(t, r, s.query("company-with-pec")))
			if (err == nil) != want || err != nil && contracts.KindOf(err) != contracts.Malformed {
				t.Errorf("%s, road %s: %v", media, road, err)
			}
		}
	}
}
