package registroimprese

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/pdnd"
)

// proof is an evidence before it is signed: a case changes what its rule is about.
type proof struct {
	header, claims map[string]any
	key            any
	digest         func(string) string
	after          func(s *stage) // between the voucher and the call
	dress          func(string) string
}

func (s *stage) proof() *proof {
	now := s.b.Clock().Now()
	return &proof{
		header: map[string]any{"typ": "JWT", "kid": s.p.KeyID()},
		claims: map[string]any{
			"iss": s.p.ClientID(), "aud": Audience, "purposeId": s.p.Purposes("registroimprese")[pdnd.Activation],
			"dnonce": "4821507396148", "userID": "operatore-0042", "userLocation": "postazione-07", "LoA": "3",
			"jti": s.m.UUID(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		},
		key:    s.p.ClientKey(),
		digest: func(s string) string { return hash(s) },
		dress:  func(s string) string { return s },
	}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// bind obtains a voucher that bears a digest, from the platform's own endpoint.
func (s *stage) bind(digest string) string {
	s.Helper()
	now := s.b.Clock().Now()
	claims := map[string]any{
		"iss": s.p.ClientID(), "sub": s.p.ClientID(), "aud": pdnd.AssertionAudience, "jti": s.m.UUID(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"purposeId": s.p.Purposes("registroimprese")[pdnd.Activation],
	}
	if digest != "" {
		claims["digest"] = map[string]string{"alg": "SHA256", "value": digest}
	}
	form := url.Values{
		"client_id": {s.p.ClientID()}, "grant_type": {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {s.compact(s.p.ClientKey(), map[string]any{"kid": s.p.KeyID()}, claims)},
	}
	a := s.send("POST", s.b.URL("pdnd")+"/token.oauth2", "", form.Encode(),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	token, _ := a.Body["access_token"].(string)
	if token == "" {
		s.Fatalf("voucher: %d %s", a.Status, a.Reason())
	}
	return token
}

// witness asks for a record with evidence.
func (s *stage) witness(p *proof) answer {
	s.Helper()
	compact := s.compact(p.key, p.header, p.claims)
	s.voucher = s.bind(p.digest(compact))
	if p.after != nil {
		p.after(s)
	}
	return s.send("GET", s.m.PDNDURL()+"/imprese/"+s.who("ri-active").CodiceFiscale+"?profilo=sintetico", s.voucher, "",
		http.Header{evidenceHeader: {p.dress(compact)}})
}

func TestEvidenceIsTakenAndRead(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Audit = true })
	p := s.proof()
	p.digest = func(c string) string { return strings.ToUpper(hash(c)) } // as a public client writes it
	if a := s.witness(p); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Reason())
	}
	j := s.b.Journal()
	if asked, _ := j[len(j)-1].Parsed.(Asked); asked.User != "operatore-0042" {
		t.Errorf("%+v", j[len(j)-1].Parsed)
	}
}

func TestEvidenceRefusals(t *testing.T) {
	t.Parallel()
	claim := func(name string, v any) func(*stage, *proof) { return func(_ *stage, p *proof) { p.claims[name] = v } }
	for _, c := range []struct {
		rule   string
		change func(*stage, *proof)
	}{
		{"evidence: missing", func(_ *stage, p *proof) { p.dress = func(string) string { return "" } }},
		{"evidence: not the one that the voucher is bound to", func(_ *stage, p *proof) { p.digest = func(string) string { return hash("other") } }},
		{"evidence: not the one that the voucher is bound to", func(_ *stage, p *proof) { p.digest = func(string) string { return "" } }},
		{"evidence: not the one that the voucher is bound to", func(_ *stage, p *proof) { p.dress = func(c string) string { return c + "A" } }},
		{"evidence: not a compact JWS signed with RS256", func(_ *stage, p *proof) {
			p.dress, p.digest = func(string) string { return "x" }, func(string) string { return hash("x") }
		}},
		{"evidence: typ or kid not as demanded", func(_ *stage, p *proof) { p.header["kid"] = "another" }},
		{"evidence: typ or kid not as demanded", func(_ *stage, p *proof) { delete(p.header, "typ") }},
		{"evidence: the signature does not verify", func(s *stage, p *proof) { p.key = s.m.ClientKey() }},
		{"evidence: the payload cannot be read", claim("iat", "now")},
		{"evidence: iss is not the client", claim("iss", "somebody")},
		{"evidence: aud is not this e-service", claim("aud", "https://altro.test")},
		{"evidence: another purpose than the voucher's", func(s *stage, p *proof) {
			p.claims["purposeId"] = s.p.Purposes("registroimprese")[pdnd.Verification]
		}},
		{"evidence: dnonce is not 13 digits", claim("dnonce", "123")},
		{"evidence: want userID, userLocation and LoA", claim("userID", "")},
		{"evidence: want userID, userLocation and LoA", claim("userLocation", "")},
		{"evidence: want userID, userLocation and LoA", claim("LoA", "")},
		{"evidence: want jti and iat", claim("jti", "")},
		{"evidence: want jti and iat", claim("iat", 0)},
		{"evidence: expired", claim("exp", 0)},
		{"evidence: expired", func(_ *stage, p *proof) { p.after = func(s *stage) { s.b.Advance(5 * time.Minute) } }},
		{"evidence: not valid yet", func(s *stage, p *proof) { p.claims["nbf"] = s.b.Clock().Now().Unix() + 61 }},
		{"evidence: jti used before", func(s *stage, p *proof) {
			first := *p
			first.claims = maps.Clone(p.claims)
			if a := s.witness(&first); a.Status != 200 {
				s.Fatal(a.Reason())
			}
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.m.Set(func(x *Settings) { x.Audit = true })
			p := s.proof()
			c.change(s, p)
			s.refused(s.witness(p), 400, c.rule)
		})
	}
}

func TestEvidenceNeedsAVoucher(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Audit = true })
	s.p.Set(func(x *pdnd.Settings) { x.Guard = pdnd.Off })
	p := s.proof()
	p.after = func(s *stage) { s.voucher = "" }
	s.refused(s.witness(p), 400, "evidence: no voucher that could be bound to it")
}

func TestEvidenceIsNotAskedForByDefault(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if a := s.record(s.who("ri-active").CodiceFiscale, "sintetico"); a.Status != 200 || !json.Valid([]byte(a.Raw)) {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}
