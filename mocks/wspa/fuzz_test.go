package wspa

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
	m := newToy()
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
