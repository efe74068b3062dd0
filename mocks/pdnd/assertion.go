package pdnd

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An Assertion is what a client's assertion said, once accepted; the journal shows it as Parsed.
type Assertion struct {
	ClientID, PurposeID, JTI string
	IssuedAt, Expires        time.Time
	Digest                   *Digest
}

// A Digest ties a voucher to one tracking evidence: it is copied from the assertion as it came.
type Digest struct {
	Alg   string `json:"alg"`
	Value string `json:"value"`
}

const (
	issuedAhead   = 10 * time.Second // tolerance for clients whose clock is ahead
	assertionSize = 16 << 10
)

var (
	kidPattern  = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

func isUUID(s string) bool { return uuidPattern.MatchString(s) }

// checkAssertion applies the platform's rules, one after another; the reason names the first that is broken.
func (m *Mock) checkAssertion(compact string) (Assertion, string) {
	header, payload, reason := open(compact)
	if reason == "" {
		reason = m.checkHeader(header)
	}
	if reason == "" {
		reason = m.checkSignature(compact)
	}
	if reason != "" {
		return Assertion{}, reason
	}
	a, reason := m.checkClaims(payload)
	if reason == "" {
		reason = checkDigest(payload, &a)
	}
	if reason == "" {
		reason = m.checkPurpose(payload, &a)
	}
	if reason == "" && !m.jtis.Use(a.JTI, m.clock(), a.Expires) {
		reason = "jti: used before"
	}
	return a, reason
}

// open splits a compact JWS into the members of its header and payload.
func open(compact string) (header, payload map[string]json.RawMessage, reason string) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 || len(compact) > assertionSize {
		return nil, nil, "assertion: not a compact JWS"
	}
	for i, into := range []*map[string]json.RawMessage{&header, &payload} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil || *into == nil {
			return nil, nil, "assertion: header and payload must be JSON objects in base64url"
		}
	}
	return header, payload, ""
}

func (m *Mock) checkHeader(h map[string]json.RawMessage) string {
	if x := unknown(h, "alg", "kid", "typ"); x != "" {
		return "header: unknown member " + x
	}
	if h["alg"] == nil {
		return "alg: missing"
	}
	if str(h["alg"]) != "RS256" {
		return "alg: only RS256 is allowed"
	}
	if h["typ"] != nil && !strings.EqualFold(str(h["typ"]), "JWT") {
		return "typ: want JWT or nothing"
	}
	switch kid := str(h["kid"]); {
	case h["kid"] == nil:
		return "kid: missing"
	case !kidPattern.MatchString(kid):
		return "kid: not a thumbprint of 43 characters"
	case kid != m.KeyID():
		return "kid: no key is registered under it"
	}
	return ""
}

func (m *Mock) checkSignature(compact string) string {
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err == nil {
		_, err = jws.Verify(&m.client.PublicKey)
	}
	if err != nil {
		return "signature: does not verify with the registered key"
	}
	return ""
}

func (m *Mock) checkClaims(p map[string]json.RawMessage) (a Assertion, reason string) {
	if x := unknown(p, "iss", "sub", "aud", "jti", "iat", "exp", "purposeId", "digest"); x != "" {
		return a, "claims: unknown claim " + x
	}
	for _, name := range []string{"iss", "sub", "aud", "jti", "iat", "exp"} {
		if p[name] == nil {
			return a, name + ": missing"
		}
	}
	if !isUUID(str(p["sub"])) || str(p["sub"]) != m.ClientID() {
		return a, "sub: not the client"
	}
	if str(p["iss"]) != m.ClientID() {
		return a, "iss: not the client"
	}
	if !slices.Contains(list(p["aud"]), AssertionAudience) {
		return a, "aud: not this authorisation server"
	}
	a.ClientID, a.JTI = m.ClientID(), str(p["jti"])
	if a.JTI == "" {
		return a, "jti: not a text"
	}
	var ok1, ok2 bool
	a.IssuedAt, ok1 = instant(p["iat"])
	a.Expires, ok2 = instant(p["exp"])
	now := m.clock()
	switch {
	case !ok1:
		return a, "iat: not a whole number of seconds"
	case !ok2:
		return a, "exp: not a whole number of seconds"
	case !a.Expires.After(now):
		return a, "exp: expired"
	case a.IssuedAt.After(now.Add(issuedAhead)):
		return a, "iat: in the future"
	}
	return a, ""
}

func checkDigest(p map[string]json.RawMessage, a *Assertion) string {
	if p["digest"] == nil {
		return ""
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(p["digest"], &members) != nil || unknown(members, "alg", "value") != "" {
		return "digest: want an object of alg and value"
	}
	d := Digest{str(members["alg"]), str(members["value"])}
	switch {
	case d.Alg != "SHA256":
		return "digest: alg must be SHA256"
	case len(d.Value) != 64:
		return "digest: value must have 64 characters"
	}
	a.Digest = &d
	return ""
}

func (m *Mock) checkPurpose(p map[string]json.RawMessage, a *Assertion) string {
	a.PurposeID = str(p["purposeId"])
	if p["purposeId"] == nil {
		return "purposeId: missing"
	}
	if !isUUID(a.PurposeID) {
		return "purposeId: not a UUID"
	}
	switch s, active := m.find(a.PurposeID); {
	case s == nil:
		return "purposeId: unknown purpose"
	case !active:
		return "purposeId: the purpose is not active"
	}
	return ""
}

// unknown names the first member, in alphabetical order, that is not among the known.
func unknown(members map[string]json.RawMessage, known ...string) string {
	for _, k := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, k) {
			return k
		}
	}
	return ""
}

// str is a JSON string's value, empty for anything else.
func str(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// list is a JSON string, or an array of them.
func list(raw json.RawMessage) []string {
	var many []string
	if json.Unmarshal(raw, &many) == nil {
		return many
	}
	return []string{str(raw)}
}

func instant(raw json.RawMessage) (time.Time, bool) {
	var s int64
	if json.Unmarshal(raw, &s) != nil || s <= 0 {
		return time.Time{}, false
	}
	return time.Unix(s, 0).UTC(), true
}
