package pdnd

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"raccordo/mocks/lab"
)

// FuzzAssertion: whatever arrives is refused with a reason; nothing but the client's own signature is let in.
func FuzzAssertion(f *testing.F) {
	m := New()
	m.Register("prova", audience)
	lab.Start(f, m)
	f.Add("e30.e30.c2ln")
	f.Add("eyJhbGciOiJSUzI1NiIsImtpZCI6Im15LWtleSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ4In0.c2ln")
	f.Add("eyJhbGciOiJub25lIn0.eyJhdWQiOlsiYSIsImIiXX0.")
	f.Add("bnVsbA.bnVsbA.")
	f.Add(`{"iss":"x","sub":"x","aud":["x"],"jti":"x","iat":1,"exp":1e99,"digest":{"alg":"SHA256","value":null}}`)
	f.Fuzz(func(t *testing.T, compact string) {
		if _, reason := m.checkAssertion(compact); reason == "" {
			t.Errorf("accepted: %q", compact)
		}
		_, _ = m.checkClaims(claimsOf(compact))
		if status, _ := m.admits(audience, "Bearer "+compact); status == 0 {
			t.Errorf("admitted: %q", compact)
		}
	})
}

// claimsOf takes the fuzzed text as a payload too, so that the rules behind the signature are reached.
func claimsOf(compact string) map[string]json.RawMessage {
	_, payload, _ := open("e30." + base64.RawURLEncoding.EncodeToString([]byte(compact)) + ".c2ln")
	return payload
}
