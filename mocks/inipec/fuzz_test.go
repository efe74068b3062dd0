package inipec

import (
	"net/http"
	"strings"
	"testing"
)

func post(t *testing.T, contentType, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/richiestaElencoPec"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return r
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
