package inad

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzOrder: a body is refused for a rule, or keeps all of them.
func FuzzOrder(f *testing.F) {
	f.Add(`{"codiciFiscali":["KMRRJN90C15Z222U"],"praticalReference":"P-1"}`, false)
	f.Add(`{"codiciFiscali":["KMRRJN90C15Z222U"],"practicalReference":"P-1"}`, true)
	f.Add(`{"codiciFiscali":null,"praticalReference":null}`, true)
	f.Add(`{"codiciFiscali":{},"praticalReference":[]}`, false)
	f.Add(`[[[[`, false)
	f.Fuzz(func(t *testing.T, body string, lenient bool) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		codes, reference, rule := readOrder(r, lenient)
		if rule != "" {
			return
		}
		if reference == "" || len(codes) == 0 || len(codes) > MaxList {
			t.Errorf("accepted %d codes with reference %q", len(codes), reference)
		}
		for _, c := range codes {
			if !codePattern.MatchString(c) {
				t.Errorf("accepted the code %q", c)
			}
		}
	})
}
