package pdnd

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"raccordo/adapters/internal/keys"
)

const (
	testClient  = "11111111-2222-4333-8444-555555555501"
	testPurpose = "11111111-2222-4333-8444-555555555502"
	testAud     = "auth.uat.interop.pagopa.it/client-assertion"
)

var testNow = time.Unix(1795248000, 0)

type signing struct {
	key   *rsa.PrivateKey
	rules Rules
	sign  func([]byte) (string, error)
}

func newSigning(t testing.TB) signing {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	id, err := Thumbprint(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sign, err := keys.RS256(key, map[string]any{"kid": id})
	if err != nil {
		t.Fatal(err)
	}
	return signing{key, Rules{Audience: testAud, Client: testClient, Kid: id, Key: key.Public(), Now: testNow, Purpose: true}, sign}
}

func goodClaims() map[string]any {
	return map[string]any{
		"iss": testClient, "sub": testClient, "aud": testAud, "jti": NewID(),
		"iat": testNow.Unix(), "exp": testNow.Unix() + 120, "purposeId": testPurpose,
	}
}

// Every reason for which the platform answers its opaque 400 has a row here.
func TestEveryInternalReasonIsFoundBeforeSending(t *testing.T) {
	t.Parallel()
	s := newSigning(t)
	with := func(change func(map[string]any)) func(h, c map[string]any) {
		return func(_, c map[string]any) { change(c) }
	}
	set := func(name string, v any) func(h, c map[string]any) {
		return with(func(c map[string]any) { c[name] = v })
	}
	drop := func(name string) func(h, c map[string]any) { return with(func(c map[string]any) { delete(c, name) }) }
	head := func(name string, v any) func(h, c map[string]any) {
		return func(h, _ map[string]any) {
			if h[name] = v; v == nil {
				delete(h, name)
			}
		}
	}
	digest := func(v any) func(h, c map[string]any) { return set("digest", v) }
	sum := strings.Repeat("ab", 32)
	for _, tc := range []struct {
		name   string
		change func(header, claims map[string]any)
		want   error
	}{
		{"a good one", func(_, _ map[string]any) {}, nil},
		{"aud as an array", set("aud", []string{"x", testAud}), nil},
		{"typ left out", head("typ", nil), nil},
		{"a good digest", digest(map[string]any{"alg": "SHA256", "value": sum}), nil},
		{"alg absent", head("alg", nil), errAlgAbsent},
		{"alg none", head("alg", "none"), errAlg},
		{"alg ES256", head("alg", "ES256"), errAlg},
		{"kid absent", head("kid", nil), errKidAbsent},
		{"kid format", head("kid", "short"), errKidFormat},
		{"kid of another key", head("kid", strings.Repeat("A", 43)), errKidOther},
		{"typ other", head("typ", "at+jwt"), errTyp},
		{"unknown header", head("x5c", []string{"x"}), errHeaderUnknown},
		{"audience absent", drop("aud"), errAudAbsent},
		{"audience of another environment", set("aud", "auth.interop.pagopa.it/client-assertion"), errAud},
		{"audience with a scheme", set("aud", "https://"+testAud), errAud},
		{"audience as an array without ours", set("aud", []string{"x"}), errAud},
		{"audience as a number", set("aud", 1), errAud},
		{"iss absent", drop("iss"), errIssAbsent},
		{"iss other", set("iss", "x"), errIss},
		{"sub absent", drop("sub"), errSubAbsent},
		{"sub not the client", set("sub", testPurpose), errSub},
		{"jti absent", drop("jti"), errJti},
		{"iat absent", drop("iat"), errIatAbsent},
		{"iat as text", set("iat", "1795248000"), errIatAbsent},
		{"iat in the future", set("iat", testNow.Unix()+3600), errIatFuture},
		{"exp absent", drop("exp"), errExpAbsent},
		{"expired", set("exp", testNow.Unix()), errExpired},
		{"not before", set("nbf", testNow.Unix()), errNotBefore},
		{"purposeId absent", drop("purposeId"), errPurposeAbsent},
		{"purposeId format", set("purposeId", "x"), errPurposeFormat},
		{"digest no object", digest("x"), errDigest},
		{"digest with more", digest(map[string]any{"alg": "SHA256", "value": sum, "x": 1}), errDigest},
		{"digest without value", digest(map[string]any{"alg": "SHA256", "valu": sum}), errDigest},
		{"digest algorithm", digest(map[string]any{"alg": "SHA512", "value": sum}), errDigestAlg},
		{"digest length: base64", digest(map[string]any{"alg": "SHA256", "value": "uPUlzeLk0SIcUDKXH+0Dmr88F2RESsDkT693nT3Oz+Y="}), errDigestLength},
		{"unknown claim", set("scope", "x"), errClaimUnknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			header := map[string]any{"alg": "RS256", "kid": s.rules.Kid, "typ": "JWT"}
			claims := goodClaims()
			tc.change(header, claims)
			if got := s.rules.CheckAssertion(s.jws(t, header, claims)); !errors.Is(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

// jws signs any header: by RS256 whatever it says, so that only the rule under test is broken.
func (s signing) jws(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	signed := signRaw(t, s.key, encode(t, header)+"."+encode(t, claims))
	return signed
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestSignatureAndFormatAreChecked(t *testing.T) {
	t.Parallel()
	s, other := newSigning(t), newSigning(t)
	payload, err := json.Marshal(goodClaims())
	if err != nil {
		t.Fatal(err)
	}
	good, err := s.sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.rules.CheckAssertion(good); err != nil {
		t.Fatalf("what our signer makes is refused: %v", err)
	}
	forged := other.jws(t, map[string]any{"alg": "RS256", "kid": s.rules.Kid}, goodClaims())
	if err := s.rules.CheckAssertion(forged); !errors.Is(err, errSignature) {
		t.Errorf("%v, want a wrong signature", err)
	}
	for _, bad := range []string{"", "a.b", "a.b.c", good + "=", good + ".x", "bm8." + strings.SplitN(good, ".", 2)[1], "bnVsbA.bnVsbA.x"} {
		if err := s.rules.CheckAssertion(bad); !errors.Is(err, errFormat) {
			t.Errorf("%.20q: %v, want a format fault", bad, err)
		}
	}
}

func TestTheFormIsCheckedToo(t *testing.T) {
	t.Parallel()
	s := newSigning(t)
	for _, tc := range []struct {
		name, field, value string
		want               error
	}{
		{"assertion type", "client_assertion_type", "x", errAssertionType},
		{"grant type", "grant_type", "password", errGrantType},
		{"client_id format", "client_id", "raccordo", errClientID},
		{"client_id of another", "client_id", testPurpose, errClientID},
		{"no assertion", "client_assertion", "", errFormat},
	} {
		form := url.Values{
			"client_id": {testClient}, "client_assertion": {s.jws(t, map[string]any{"alg": "RS256", "kid": s.rules.Kid}, goodClaims())},
			"client_assertion_type": {assertionType}, "grant_type": {grantType},
		}
		if err := s.rules.Check(form); err != nil {
			t.Fatal(err)
		}
		form.Set(tc.field, tc.value)
		if err := s.rules.Check(form); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestAPlatformClientHasNoPurpose(t *testing.T) {
	t.Parallel()
	s := newSigning(t)
	s.rules.Purpose = false
	c := goodClaims()
	if err := s.rules.CheckAssertion(s.jws(t, map[string]any{"alg": "RS256", "kid": s.rules.Kid}, c)); !errors.Is(err, errPurposeUnwanted) {
		t.Errorf("%v, want an unwanted purposeId", err)
	}
	delete(c, "purposeId")
	if err := s.rules.CheckAssertion(s.jws(t, map[string]any{"alg": "RS256", "kid": s.rules.Kid}, c)); err != nil {
		t.Error(err)
	}
}

func FuzzCheckAssertion(f *testing.F) {
	s := newSigning(f)
	payload, err := json.Marshal(goodClaims())
	if err != nil {
		f.Fatal(err)
	}
	good, err := s.sign(payload)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("e30.e30.e30")
	f.Add("eyJhbGciOiJub25lIn0.e30.x")
	f.Fuzz(func(t *testing.T, a string) {
		if err := s.rules.CheckAssertion(a); err == nil && strings.SplitN(a, ".", 3)[1] != strings.SplitN(good, ".", 3)[1] {
			t.Error("accepted what was not signed")
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"access_token":"e30.e30.e30","token_type":"Bearer","expires_in":600}`))
	f.Add([]byte(`{"access_token":"e30.e30.e30","token_type":"DPoP","expires_in":600}`))
	f.Add([]byte(`{"access_token":"e30.e30.e30","token_type":"Bearer","expires_in":1e9}`))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		token, life, err := parseToken(body)
		if err != nil {
			return
		}
		if life <= 0 || life > 7*24*time.Hour || !compact.MatchString(token) {
			t.Errorf("accepted a token of %d bytes for %v", len(token), life)
		}
	})
}
