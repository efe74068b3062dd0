package wspa

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"raccordo/mocks/lab"
)

const maxAhead = 10 * time.Minute // of an assertion's exp

// A Login is what an accepted assertion said; the journal shows it as Parsed.
type Login struct {
	ClientID, JTI, Scope string
	Expires              time.Time
}

// Authenticate is POST /authentication: the assertion is the whole body, bare or as a JSON string, whatever it is
// labelled; the token is the whole answer.
func (g *Gate) Authenticate(w http.ResponseWriter, r *http.Request) {
	login, rule := g.checkLogin(r)
	if rule != "" {
		g.Refuse(w, r, g.app, http.StatusUnauthorized, "", rule)
		return
	}
	lab.Parsed(r.Context(), login)
	key, kid := g.signer, "wspa-1"
	if f, _ := lab.FaultOf(r.Context()); f.Do == lab.BadSignature {
		key = g.client
	}
	now := g.bench.Clock().Now()
	token, err := sign(token{
		Issuer: "wspa", Subject: login.ClientID, Scope: login.Scope, JTI: g.names.UUID(),
		IssuedAt: now.Unix(), Expires: now.Add(g.settings().TokenLife).Unix(),
	}, key, kid)
	if err != nil {
		g.Refuse(w, r, g.app, http.StatusInternalServerError, "WSPA_ERR_500", err.Error())
		return
	}
	g.Track(w)
	w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	io.WriteString(w, token)
}

// token is the payload of the gateway's token.
type token struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Scope    string `json:"scope"`
	JTI      string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

func sign(payload token, key *rsa.PrivateKey, kid string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(marshal(payload))
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// checkLogin applies the manual's rules, one after another; the rule names the first that is broken.
func (g *Gate) checkLogin(r *http.Request) (Login, string) {
	if r.URL.Query().Get("client_id") != clientID {
		return Login{}, "client_id: not a registered client"
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "text/plain" && t != "application/json" {
		return Login{}, "content type: want text/plain or application/json"
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return Login{}, "body: cannot be read"
	}
	compact := string(bytes.TrimSpace(raw))
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		compact = quoted
	}
	header, claims, ok := open(compact)
	if !ok {
		return Login{}, "body: not one compact JWS"
	}
	if rule := g.checkHeader(header); rule != "" {
		return Login{}, rule
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err == nil {
		_, err = jws.Verify(g.cert.PublicKey)
	}
	if err != nil {
		return Login{}, "signature: does not verify with the registered certificate"
	}
	return g.checkClaims(claims)
}

func open(compact string) (header, claims map[string]json.RawMessage, ok bool) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	for i, into := range []*map[string]json.RawMessage{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil || *into == nil {
			return nil, nil, false
		}
	}
	return header, claims, true
}

func (g *Gate) checkHeader(h map[string]json.RawMessage) string {
	for _, k := range slices.Sorted(maps.Keys(h)) {
		if !slices.Contains([]string{"typ", "alg", "use", "x5c"}, k) {
			return "header: unknown member " + k
		}
	}
	var chain []string
	switch {
	case text(h["typ"]) != "JWT":
		return "typ: want JWT"
	case text(h["alg"]) != "RS256":
		return "alg: want RS256"
	case text(h["use"]) != "sig":
		return "use: want sig"
	case json.Unmarshal(h["x5c"], &chain) != nil || len(chain) == 0:
		return "x5c: want the certificate"
	}
	der, err := base64.StdEncoding.DecodeString(chain[0])
	if err != nil || !bytes.Equal(der, g.cert.Raw) {
		return "x5c: not the registered certificate"
	}
	return ""
}

func (g *Gate) checkClaims(c map[string]json.RawMessage) (l Login, rule string) {
	var exp int64
	now := g.bench.Clock().Now()
	l = Login{ClientID: clientID, JTI: text(c["jti"]), Scope: text(c["scope"])}
	if aud := text(c["aud"]); aud != g.base && aud != OfficialBase {
		return l, "aud: not this environment's base"
	}
	switch {
	case text(c["iss"]) != clientID:
		return l, "iss: not the client"
	case text(c["sub"]) != clientID:
		return l, "sub: not the client"
	case l.JTI == "":
		return l, "jti: missing"
	case json.Unmarshal(c["exp"], &exp) != nil:
		return l, "exp: missing, or not a whole number of seconds"
	}
	l.Expires = time.Unix(exp, 0).UTC()
	switch {
	case !l.Expires.After(now):
		return l, "exp: expired"
	case l.Expires.After(now.Add(maxAhead)):
		return l, "exp: more than 10 minutes ahead"
	case l.Scope == "":
		return l, "scope: missing"
	}
	for s := range strings.FieldsSeq(l.Scope) {
		if !slices.Contains(Scopes(), s) {
			return l, "scope: not one of this client's"
		}
	}
	if !g.jtis.Use(l.JTI, now, l.Expires) {
		return l, "jti: used before"
	}
	return l, ""
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// Entitled lets a business call pass that names the client and bears its token with a scope.
func (g *Gate) Entitled(scope string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if rule := g.checkToken(r, scope); rule != "" {
			g.Refuse(w, r, g.app, http.StatusUnauthorized, "", rule)
			return
		}
		next(w, r)
	}
}

func (g *Gate) checkToken(r *http.Request, scope string) string {
	if r.URL.Query().Get("client_id") != clientID {
		return "client_id: not a registered client"
	}
	compact, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "token: no bearer token"
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return "token: not one of this gateway's"
	}
	payload, err := jws.Verify(&g.signer.PublicKey)
	if err != nil {
		return "token: not signed by this gateway"
	}
	var t token
	switch {
	case json.Unmarshal(payload, &t) != nil:
		return "token: cannot be read"
	case g.bench.Clock().Now().Unix() >= t.Expires:
		return "token: expired"
	case !slices.Contains(strings.Fields(t.Scope), scope):
		return "token: without the scope " + scope
	}
	return ""
}
