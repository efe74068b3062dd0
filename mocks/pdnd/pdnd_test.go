package pdnd

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"raccordo/mocks/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const audience = "https://erogatore.test/rest/prova/v1"

// stage is a platform with one e-service, "prova", and a client.
type stage struct {
	*testing.T
	b    *lab.Bench
	m    *Mock
	http *http.Client
}

func newStage(t *testing.T) *stage {
	t.Helper()
	m := New()
	m.Register("prova", audience)
	b := lab.Start(t, m)
	return &stage{t, b, m, b.Client(t)}
}

// request is a token request before it is sent: a case changes what its rule is about.
type request struct {
	header, claims map[string]any
	form           url.Values
	key            *rsa.PrivateKey
	alg            jose.SignatureAlgorithm
	contentType    string
	dpop           string
	mangle         func(string) string // of the compact assertion
}

func (s *stage) request() *request {
	now := s.b.Clock().Now()
	return &request{
		header: map[string]any{"kid": s.m.KeyID(), "typ": "JWT"},
		claims: map[string]any{
			"iss": s.m.ClientID(), "sub": s.m.ClientID(), "aud": AssertionAudience, "jti": s.m.names.UUID(),
			"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "purposeId": s.m.Purposes("prova")[Activation],
		},
		form: url.Values{
			"client_id": {s.m.ClientID()}, "client_assertion_type": {assertionType},
			"grant_type": {"client_credentials"},
		},
		key: s.m.ClientKey(), alg: jose.RS256, contentType: "application/x-www-form-urlencoded",
	}
}

func (r *request) compact(s *stage) string {
	s.Helper()
	opts := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for k, v := range r.header {
		opts.ExtraHeaders[jose.HeaderKey(k)] = v
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: r.alg, Key: r.key}, opts)
	if err != nil {
		s.Fatal(err)
	}
	payload, err := json.Marshal(r.claims)
	if err != nil {
		s.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		s.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// send sends it and reads the answer.
func (s *stage) send(r *request) lab.Answer {
	s.Helper()
	form := maps.Clone(r.form)
	if !form.Has("client_assertion") {
		assertion := r.compact(s)
		if r.mangle != nil {
			assertion = r.mangle(assertion)
		}
		form.Set("client_assertion", assertion)
	}
	header := lab.With(r.contentType, "")
	if r.dpop != "" {
		header.Set("DPoP", r.dpop)
	}
	return lab.Ask(s.T, s.http, "POST", s.b.URL("pdnd")+"/token.oauth2", form.Encode(), header)
}

// voucher gets a voucher, which must be given.
func (s *stage) voucher(r *request) string {
	s.Helper()
	a := s.send(r)
	var out struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Life  int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(a.Raw), &out); err != nil || a.Status != 200 || out.Type != "Bearer" {
		s.Fatalf("status %d (%s), error %v", a.Status, a.Reason(), err)
	}
	return out.Token
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, v any) func(*stage, *request) {
		return func(_ *stage, r *request) { r.claims[name] = v }
	}
	without := func(name string) func(*stage, *request) {
		return func(_ *stage, r *request) { delete(r.claims, name) }
	}
	header := func(name string, v any) func(*stage, *request) {
		return func(_ *stage, r *request) { r.header[name] = v }
	}
	form := func(name, v string) func(*stage, *request) {
		return func(_ *stage, r *request) { r.form.Set(name, v) }
	}
	for _, c := range []struct {
		rule   string // the reason that the journal must give
		change func(*stage, *request)
	}{
		{"content type: want application/x-www-form-urlencoded", func(_ *stage, r *request) { r.contentType = "application/json" }},
		{"form: cannot be read", func(_ *stage, r *request) { r.form = nil; r.mangle = nil }},
		{"DPoP is not offered by this mock", func(_ *stage, r *request) { r.dpop = "proof" }},
		{"client_assertion_type: want " + assertionType, form("client_assertion_type", "jwt-bearer")},
		{"grant_type: want client_credentials", form("grant_type", "authorization_code")},
		{"client_id: not a UUID", form("client_id", "raccordo")},
		{"client_id: unknown client", form("client_id", "11111111-2222-4333-8444-555555555599")},
		{"client_assertion: missing", form("client_assertion", "")},
		{"assertion: not a compact JWS", form("client_assertion", "a.b")},
		{"assertion: header and payload must be JSON objects in base64url", form("client_assertion", "e30.bm8.c2ln")},
		{"header: unknown member use", header("use", "sig")},
		{"alg: missing", form("client_assertion", "e30.e30.c2ln")},
		{"alg: only RS256 is allowed", func(_ *stage, r *request) { r.alg = jose.PS256 }},
		{"typ: want JWT or nothing", header("typ", "at+jwt")},
		{"kid: missing", func(_ *stage, r *request) { delete(r.header, "kid") }},
		{"kid: not a thumbprint of 43 characters", header("kid", "my-key")},
		{"kid: no key is registered under it", header("kid", thumbprint(&stranger.PublicKey))},
		{"signature: does not verify with the registered key", func(_ *stage, r *request) { r.key = stranger }},
		{"claims: unknown claim nbf", claim("nbf", 1)},
		{"iss: missing", without("iss")},
		{"sub: missing", without("sub")},
		{"aud: missing", without("aud")},
		{"jti: missing", without("jti")},
		{"iat: missing", without("iat")},
		{"exp: missing", without("exp")},
		{"sub: not the client", claim("sub", "11111111-2222-4333-8444-555555555599")},
		{"iss: not the client", claim("iss", "raccordo")},
		{"aud: not this authorisation server", claim("aud", "https://"+AssertionAudience)},
		{"jti: not a text", claim("jti", 7)},
		{"iat: not a whole number of seconds", claim("iat", "now")},
		{"exp: not a whole number of seconds", claim("exp", 1.5)},
		{"exp: expired", func(s *stage, r *request) { r.claims["exp"] = s.b.Clock().Now().Unix() }},
		{"iat: in the future", func(s *stage, r *request) { r.claims["iat"] = s.b.Clock().Now().Add(11 * time.Second).Unix() }},
		{"digest: want an object of alg and value", claim("digest", map[string]any{"alg": "SHA256", "value": "x", "more": 1})},
		{"digest: alg must be SHA256", claim("digest", Digest{"SHA-256", strings.Repeat("a", 64)})},
		{"digest: value must have 64 characters", claim("digest", Digest{"SHA256", "uPUlzeLk0SIcUDKXH+0Dmr88F2RESsDkT693nT3Oz+Y="})},
		{"purposeId: missing", without("purposeId")},
		{"purposeId: not a UUID", claim("purposeId", "activation")},
		{"purposeId: unknown purpose", claim("purposeId", "11111111-2222-4333-8444-555555555599")},
		{"purposeId: the purpose is not active", func(s *stage, r *request) { r.claims["purposeId"] = s.m.Purposes("prova")[Suspended] }},
		{"jti: used before", func(s *stage, r *request) { s.voucher(r) }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			r := s.request()
			c.change(s, r)
			if r.form == nil { // a body that is no form
				a := lab.Ask(s.T, s.http, "POST", s.b.URL("pdnd")+"/token.oauth2", "%zz", lab.With(r.contentType, ""))
				s.refused(a, c.rule)
				return
			}
			a := s.send(r)
			s.refused(a, c.rule)
			var p problem
			if err := json.Unmarshal([]byte(a.Raw), &p); err != nil {
				t.Fatal(err)
			}
			p.CorrelationID = ""
			want := problem{
				"about:blank", 400, "The request contains bad syntax or cannot be fulfilled.", "Bad request",
				[]problemError{{"015-0008", "Unable to generate a token for the given request"}},
				"",
			}
			if got, _ := json.Marshal(p); string(got) != string(mustJSON(t, want)) {
				t.Errorf("the client can learn the reason: %s", got)
			}
		})
	}
}

func (s *stage) refused(a lab.Answer, rule string) {
	s.Helper()
	j := s.b.Journal()
	if a.Status != 400 || j[len(j)-1].Refused != rule || a.Reason() != rule {
		s.Errorf("status %d, refused for %q, want 400 for %q", a.Status, j[len(j)-1].Refused, rule)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTokenAnswerBearsLifeAndLimits(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Life = time.Second; x.RateLimit = 2 })
	digest := Digest{"SHA256", strings.Repeat("B1", 32)}
	r := s.request()
	r.claims["aud"] = []string{AssertionAudience}
	r.claims["digest"] = digest
	a := s.send(r)
	if a.Status != 200 || a.Header.Get("Cache-Control") != "no-cache, no-store" ||
		a.Header.Get("X-Rate-Limit-Limit") != "2" || a.Header.Get("X-Rate-Limit-Remaining") != "1" ||
		a.Header.Get("X-Rate-Limit-Interval") != "1000" {
		t.Errorf("status %d, headers %v", a.Status, a.Header)
	}
	if a.Body["expires_in"] != 1.0 {
		t.Errorf("%v", a.Body)
	}
	v, rule := s.m.read(a.Body["access_token"].(string))
	if rule != "" || v.Digest == nil || *v.Digest != digest || v.Expires-v.IssuedAt != 1 || v.Issuer != Issuer {
		t.Errorf("voucher %+v, %s", v, rule)
	}
	s.voucher(s.request())
	a = s.send(s.request())
	if a.Status != http.StatusTooManyRequests || a.Header.Get("X-Rate-Limit-Remaining") != "0" {
		t.Errorf("beyond the limit: status %d", a.Status)
	}
	s.b.Advance(time.Second)
	s.voucher(s.request())
}

// provider serves an e-service behind the guard and asks it once.
func (s *stage) provider(authorization string) (status int, rule string) {
	guard := s.m.Guard(audience, func(w http.ResponseWriter, _ *http.Request, status int) { w.WriteHeader(status) })
	r, err := http.NewRequestWithContext(s.Context(), "GET", "/", nil)
	if err != nil {
		s.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := &recorder{header: http.Header{}}
	guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })).ServeHTTP(w, r)
	return w.status, w.header.Get("X-Lab-Reason")
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }

func TestGuardRefusesOnePerRule(t *testing.T) {
	t.Parallel()
	forge := func(change func(*voucher), kid string) func(*stage) string {
		return func(s *stage) string {
			token := s.voucher(s.request())
			v, rule := s.m.read(token)
			if rule != "" {
				s.Fatal(rule)
			}
			change(&v)
			current := s.m.keys[len(s.m.keys)-1]
			if kid == "" {
				kid = thumbprint(&current.PublicKey)
			}
			out, err := sign(mustJSON(s.T, v), current, kid)
			if err != nil {
				s.Fatal(err)
			}
			return "Bearer " + out
		}
	}
	for _, c := range []struct {
		rule   string
		status int
		token  func(*stage) string
	}{
		{"voucher: no bearer token", 401, func(*stage) string { return "" }},
		{"voucher: no bearer token", 401, func(s *stage) string { return "DPoP " + s.voucher(s.request()) }},
		{"voucher: not a compact JWS signed with RS256", 401, func(*stage) string { return "Bearer nonsense" }},
		{"voucher: typ must be at+jwt", 401, func(s *stage) string { return "Bearer " + s.request().compact(s) }},
		{"voucher: signed by a key that is not published", 401, forge(func(*voucher) {}, "unknown")},
		{"voucher: the signature does not verify", 401, func(s *stage) string {
			s.b.Inject(lab.Fault{Match: "pdnd *", Times: 1, Do: lab.BadSignature})
			return "Bearer " + s.voucher(s.request())
		}},
		{"voucher: another issuer", 401, forge(func(v *voucher) { v.Issuer = "interop.pagopa.it" }, "")},
		{"voucher: another audience", 401, forge(func(v *voucher) { v.Audience = json.RawMessage(`"https://altro.test"`) }, "")},
		{"voucher: expired", 401, func(s *stage) string {
			token := s.voucher(s.request())
			s.b.Advance(10 * time.Minute)
			return "Bearer " + token
		}},
		{"voucher: expired", 401, func(s *stage) string {
			s.b.Inject(lab.Fault{Match: "pdnd *", Times: 1, Do: lab.StaleVoucher})
			return "Bearer " + s.voucher(s.request())
		}},
		{"voucher: not valid yet", 401, func(s *stage) string {
			s.m.Set(func(x *Settings) { x.Skew = time.Hour })
			r := s.request()
			r.claims["exp"] = s.b.Clock().Now().Add(2 * time.Hour).Unix()
			return "Bearer " + s.voucher(r)
		}},
		{"purpose: not of this e-service", 403, func(s *stage) string {
			s.m.Register("altra", "https://altra.test,"+audience)
			r := s.request()
			r.claims["purposeId"] = s.m.Purposes("altra")[Activation]
			return "Bearer " + s.voucher(r)
		}},
		{"purpose: not active", 403, func(s *stage) string {
			token := s.voucher(s.request())
			s.m.SetActive(s.m.Purposes("prova")[Activation], false)
			return "Bearer " + token
		}},
		{"voucher: the check is broken", 401, func(s *stage) string {
			s.m.Set(func(x *Settings) { x.Guard = Broken })
			return "Bearer " + s.voucher(s.request())
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			if status, rule := s.provider(c.token(s)); status != c.status || rule != c.rule {
				t.Errorf("status %d for %q, want %d for %q", status, rule, c.status, c.rule)
			}
		})
	}
}

func TestGuardLetsGoodVouchersPass(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := "Bearer " + s.voucher(s.request())
	pass := func(why string) {
		t.Helper()
		if status, rule := s.provider(token); status != 200 {
			t.Errorf("%s: status %d for %q", why, status, rule)
		}
	}
	pass("fresh")
	if err := s.m.Rotate(); err != nil {
		t.Fatal(err)
	}
	pass("signed by the key before the last")
	if err := s.m.Rotate(); err != nil {
		t.Fatal(err)
	}
	if status, rule := s.provider(token); status != 401 || rule != "voucher: signed by a key that is not published" {
		t.Errorf("signed by a key long gone: status %d for %q", status, rule)
	}
	s.m.Set(func(x *Settings) { x.CommaAud = true })
	direct, err := s.m.Voucher("prova", Verification)
	if err != nil {
		t.Fatal(err)
	}
	token = "Bearer " + direct
	pass("two audiences in one text")
	s.m.Set(func(x *Settings) { x.Guard = Off })
	token = ""
	pass("the check is off")
	if _, err := s.m.Voucher("prova", "nothing"); err == nil {
		t.Error("a voucher for a purpose that is not there")
	}
}

func TestPublishedKeysAreTwoAndRotate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	get := func() (kids []string) {
		resp, err := s.http.Get(s.b.URL("pdnd") + "/.well-known/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var set jose.JSONWebKeySet
		if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if !k.Valid() || !k.IsPublic() || k.Use != "sig" {
				t.Errorf("key %s is not a public signing key", k.KeyID)
			}
			kids = append(kids, k.KeyID)
		}
		return kids
	}
	before := get()
	if err := s.m.Rotate(); err != nil {
		t.Fatal(err)
	}
	after := get()
	if len(before) != 2 || len(after) != 2 || after[0] != before[1] || after[1] == before[0] {
		t.Errorf("before %v, after %v", before, after)
	}
}
