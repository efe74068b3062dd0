package inipec

import (
	"net/http"
	"strings"
	"testing"

	"raccordo/mocks/lab"
)

func post(t *testing.T, contentType, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/authentication"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return r
}

// FuzzLogin: whatever arrives is refused for a rule; nothing but the client's own signature is let in.
func FuzzLogin(f *testing.F) {
	m := New()
	lab.Start(f, m)
	f.Add("e30.e30.c2ln")
	f.Add(`"eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsInVzZSI6InNpZyIsIng1YyI6WyJNSUlEIl19.e30.c2ln"`)
	f.Add("\n\t bnVsbA.bnVsbA. ")
	f.Fuzz(func(t *testing.T, body string) {
		if _, rule := m.checkLogin(post(t, "text/plain", body)); rule == "" {
			t.Errorf("accepted: %q", body)
		}
		if _, claims, ok := open(body); ok {
			_, _ = m.checkClaims(claims)
		}
	})
}

// FuzzOrder: a body is refused for a rule, or keeps all of them.
func FuzzOrder(f *testing.F) {
	f.Add(listOf("12345678903", "RSSMRA85T10A562S"))
	f.Add(`{"dataOraRichiesta":"2026-11-21T09:00:00.123+01:00","elencoCf":[{"cf":null}]}`)
	f.Add(`{"elencoCf":{}}`)
	f.Fuzz(func(t *testing.T, body string) {
		codes, rule := readOrder(post(t, "application/json", body))
		if rule == "" && (len(codes) == 0 || len(codes) > MaxList) {
			t.Errorf("accepted %d codes", len(codes))
		}
	})
}
