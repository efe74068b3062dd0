package wire

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

func TestKindOfEveryStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]contracts.Kind{
		200: contracts.Malformed, 204: contracts.Malformed, 301: contracts.Malformed, 303: contracts.Malformed,
		400: contracts.Invalid, 401: contracts.Denied, 402: contracts.Invalid, 403: contracts.Denied,
		404: contracts.Malformed, 405: contracts.Malformed, 406: contracts.Invalid, 407: contracts.Denied,
		408: contracts.Unavailable, 409: contracts.Conflict, 410: contracts.Malformed, 412: contracts.Conflict,
		413: contracts.Invalid, 415: contracts.Invalid, 422: contracts.Invalid, 425: contracts.Unavailable,
		429: contracts.Throttled, 431: contracts.Invalid, 499: contracts.Invalid,
		500: contracts.Unavailable, 501: contracts.Unavailable, 502: contracts.Unavailable, 503: contracts.Unavailable,
		504: contracts.Unavailable, 599: contracts.Unavailable, 600: contracts.Malformed, 999: contracts.Malformed,
	} {
		if got := Kind(status); got != want {
			t.Errorf("%d is %q, want %q", status, got, want)
		}
	}
}

func TestAfterReadsEveryForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		h    http.Header
		want time.Duration
		ok   bool
	}{
		{"none", nil, 0, false},
		{"seconds", http.Header{"Retry-After": {"7"}}, 7 * time.Second, true},
		{"zero", http.Header{"Retry-After": {"0"}}, 0, true},
		{"negative", http.Header{"Retry-After": {"-1"}}, 0, false},
		{"overflow", http.Header{"Retry-After": {"9223372036854775807"}}, mostAfter, true},
		{"date", http.Header{"Retry-After": {"Sat, 21 Nov 2026 12:00:30 GMT"}}, 30 * time.Second, true},
		{"past date", http.Header{"Retry-After": {"Sat, 21 Nov 2026 11:00:00 GMT"}}, 0, true},
		{"noise", http.Header{"Retry-After": {"soon"}}, 0, false},
		{"reset in seconds", http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"9"}}, 9 * time.Second, true},
		{"reset as epoch", http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1795262460"}}, time.Minute, true},
		{"reset with places left", http.Header{"X-Ratelimit-Remaining": {"5"}, "X-Ratelimit-Reset": {"9"}}, 0, false},
		{"reset alone", http.Header{"X-Ratelimit-Reset": {"9"}}, 9 * time.Second, true},
		{"reset with its policies", http.Header{"X-Ratelimit-Remaining": {"0, 0;w=60"}, "X-Ratelimit-Reset": {"9, 9;w=60"}}, 9 * time.Second, true},
		{"places left by one policy", http.Header{"X-Ratelimit-Remaining": {"5, 5;w=60"}, "X-Ratelimit-Reset": {"9"}}, 0, false},
		{"reset that is noise", http.Header{"X-Ratelimit-Reset": {";w=60"}}, 0, false},
		{"retry-after before reset", http.Header{"Retry-After": {"3"}, "X-Ratelimit-Reset": {"9"}}, 3 * time.Second, true},
	} {
		if got, ok := After(tc.h, noon); got != tc.want || ok != tc.ok {
			t.Errorf("%s: %v, %v, want %v, %v", tc.name, got, ok, tc.want, tc.ok)
		}
	}
}

func TestJitterIsFullAndBounded(t *testing.T) {
	t.Parallel()
	for tries := 1; tries < 40; tries++ {
		bound := min(firstWait<<min(tries-1, 10), longestWait)
		low := bound
		for range 200 {
			w := jitter(tries)
			if w < 0 || w > bound {
				t.Fatalf("wait %v after %d tries, want at most %v", w, tries, bound)
			}
			low = min(low, w)
		}
		if low > bound/2 {
			t.Errorf("after %d tries no wait below half of %v: the jitter is not full", tries, bound)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	bad := Config{CA: "/nowhere/ca.pem", Proxy: "socks://x", ClientKey: "inline", MaxBody: 1, Attempts: 99, RetryAfterMax: time.Hour, RetryBurst: -1}
	err := bad.Validate(contracts.Collaudo, "http")
	for _, field := range []string{
		"endpoint", "ca", "proxy", "client_certificate", "client_key", "timeout", "connect_timeout",
		"attempts", "max_body", "retry_after_max", "retry_burst",
	} {
		if err == nil || !strings.Contains(err.Error(), "http."+field+": ") {
			t.Errorf("no fault at http.%s in %v", field, err)
		}
	}
	var fault *contracts.Fault
	if !errors.As(err, &fault) {
		t.Errorf("%T holds no *contracts.Fault", err)
	}
}

func TestProductionRefusesTestHosts(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"https://api.inad.gov.it/x": true, "http://api.inad.gov.it/x": false, "https://127.0.0.1:1": false, "https://[::1]/": false,
		"https://localhost/": false, "https://a.localhost/": false, "https://10.1.2.3/": false, "https://192.168.0.1/": false,
		"https://[::ffff:127.0.0.1]/": false, "https://169.254.1.1": false, "https://mock.test/": false, "https://x.EXAMPLE./": false,
		"https://8.8.8.8/": true, "https://user:pw@api.inad.gov.it": false, "https://api.inad.gov.it?x": false, "ftp://x": false, "": false,
	} {
		if err := EndpointFault(contracts.Produzione, "e", endpoint); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", endpoint, err, ok)
		}
	}
	if err := EndpointFault(contracts.Collaudo, "e", "http://127.0.0.1:1"); err != nil {
		t.Errorf("collaudo refuses a bench: %v", err)
	}
}

func TestParseProblemSurvivesEverything(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		want       Problem
	}{
		{"rfc 9457", `{"type":"about:blank","title":"T","status":404,"detail":"d"}`, Problem{Type: "about:blank", Title: "T", Status: "404", Detail: "d"}},
		{"inad", `{"status":"404","type":"NOT_FOUND","detail":"CF non trovato"}`, Problem{Type: "NOT_FOUND", Status: "404", Detail: "CF non trovato"}},
		{
			"pdnd", `{"type":"about:blank","status":400,"title":"t","errors":[{"code":"015-0008","detail":"x"}],"correlationId":"c-1"}`,
			Problem{Type: "about:blank", Status: "400", Title: "t", CorrelationID: "c-1", Codes: []string{"015-0008"}},
		},
		{"html", "<html>", Problem{}},
		{"nothing", "", Problem{}},
		{"null", "null", Problem{}},
		{"array", "[1]", Problem{}},
		{"other types", `{"type":{},"status":[],"errors":{}}`, Problem{}},
	} {
		got := ParseProblem([]byte(tc.body))
		if got.Type != tc.want.Type || got.Status != tc.want.Status || got.Title != tc.want.Title || got.Detail != tc.want.Detail ||
			got.CorrelationID != tc.want.CorrelationID || strings.Join(got.Codes, ",") != strings.Join(tc.want.Codes, ",") {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func FuzzParseProblem(f *testing.F) {
	for _, seed := range []string{
		`{"type":"about:blank","status":400,"title":"The request contains bad syntax","errors":[{"code":"015-0008","detail":"Unable to generate a token"}],"correlationId":"53af4f2d-0c87-41ef-a645-b726a821852b"}`,
		`{"status":"404","type":"NOT_FOUND","detail":"CF non trovato"}`, "<html></html>", "{", `{"errors":[null,{"code":1}]}`, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := ParseProblem(body)
		if len(p.Codes) > 16 || len(p.CorrelationID) > 128 {
			t.Errorf("unbounded: %d codes, id of %d bytes", len(p.Codes), len(p.CorrelationID))
		}
	})
}

func FuzzAfter(f *testing.F) {
	for _, seed := range []string{"1", "-1", "Sat, 21 Nov 2026 12:00:30 GMT", "Saturday, 21-Nov-26 12:00:30 GMT", "x", "99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, name := range []string{"Retry-After", "X-Ratelimit-Reset"} {
			d, _ := After(http.Header{name: {v}, "X-Ratelimit-Remaining": {"0"}}, noon)
			if d < 0 || d > mostAfter {
				t.Errorf("%s %q: %v", name, v, d)
			}
		}
	})
}
