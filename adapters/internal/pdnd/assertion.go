package pdnd

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"raccordo/contracts"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	grantType     = "client_credentials"
)

// Thumbprint is the kid under which the platform knows a key: RFC 7638, SHA-256, base64url.
func Thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", errors.New("key has no thumbprint")
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

type digestClaim struct {
	Alg   string `json:"alg"`
	Value string `json:"value"`
}

type assertionClaims struct {
	Iss     string       `json:"iss"`
	Sub     string       `json:"sub"`
	Aud     string       `json:"aud"`
	Jti     string       `json:"jti"`
	Iat     int64        `json:"iat"`
	Exp     int64        `json:"exp"`
	Purpose string       `json:"purposeId"`
	Digest  *digestClaim `json:"digest,omitempty"`
}

func (c *Client) assertion(now time.Time, purposeID string, digest contracts.Sum) (string, error) {
	claims := assertionClaims{
		Iss: c.cfg.Client, Sub: c.cfg.Client, Aud: c.audience, Jti: NewID(),
		Iat: now.Unix(), Exp: now.Add(c.cfg.AssertionLife).Unix(), Purpose: purposeID,
	}
	if !digest.IsZero() {
		claims.Digest = &digestClaim{Alg: "SHA256", Value: digest.String()}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return c.sign(payload)
}

// NewID is a random UUID (RFC 9562, version 4), for jti.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Rules are the platform's published rules of a token request, with what they are applied to.
type Rules struct {
	Audience string
	Client   string
	Kid      string
	Key      crypto.PublicKey // of the registered key
	Now      time.Time
	Purpose  bool // whether the client is for e-services, which need a purposeId
}

// The reasons for which the platform refuses a token request, all of which it hides behind one opaque 400. Each is a
// rule of client-assertion-validation; "state of purpose, agreement or e-service" cannot be checked from here.
var (
	errAssertionType   = errors.New("client_assertion_type is not jwt-bearer")
	errGrantType       = errors.New("grant_type is not client_credentials")
	errClientID        = errors.New("client_id is not the client's UUID")
	errFormat          = errors.New("assertion is not a compact JWS of JSON objects")
	errAlgAbsent       = errors.New("header: alg is absent")
	errAlg             = errors.New("header: alg is not RS256")
	errKidAbsent       = errors.New("header: kid is absent")
	errKidFormat       = errors.New("header: kid is not 43 characters of base64url")
	errKidOther        = errors.New("header: kid is not that of the registered key")
	errTyp             = errors.New("header: typ is not JWT")
	errHeaderUnknown   = errors.New("header: holds more than alg, kid and typ")
	errAudAbsent       = errors.New("aud is absent")
	errAud             = errors.New("aud is not the environment's audience")
	errIssAbsent       = errors.New("iss is absent")
	errIss             = errors.New("iss is not the client")
	errSubAbsent       = errors.New("sub is absent")
	errSub             = errors.New("sub is not the client")
	errJti             = errors.New("jti is absent")
	errIatAbsent       = errors.New("iat is absent or no number")
	errIatFuture       = errors.New("iat is in the future")
	errExpAbsent       = errors.New("exp is absent or no number")
	errExpired         = errors.New("exp has passed")
	errPurposeAbsent   = errors.New("purposeId is absent")
	errPurposeFormat   = errors.New("purposeId is not a UUID")
	errPurposeUnwanted = errors.New("purposeId does not belong to a platform client")
	errNotBefore       = errors.New("nbf is refused in strict mode")
	errDigest          = errors.New("digest is not an object of alg and value")
	errDigestAlg       = errors.New("digest.alg is not SHA256")
	errDigestLength    = errors.New("digest.value is not 64 hexadecimal characters")
	errClaimUnknown    = errors.New("holds a claim that the platform does not know")
	errSignature       = errors.New("signature does not verify with the registered key")
)

var (
	compact = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)
	hex64   = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// Check applies the rules to a whole token request and gives the first one that is broken.
func (r Rules) Check(form url.Values) error {
	if form.Get("client_assertion_type") != assertionType {
		return errAssertionType
	}
	if form.Get("grant_type") != grantType {
		return errGrantType
	}
	if id := form.Get("client_id"); form.Has("client_id") && (!uuid.MatchString(id) || id != r.Client) {
		return errClientID
	}
	return r.CheckAssertion(form.Get("client_assertion"))
}

// CheckAssertion applies the rules to a client assertion and gives the first one that is broken.
func (r Rules) CheckAssertion(assertion string) error {
	if !compact.MatchString(assertion) {
		return errFormat
	}
	parts := strings.Split(assertion, ".")
	header, err := object(parts[0])
	if err != nil {
		return err
	}
	claims, err := object(parts[1])
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return r.checkHeader(header) },
		func() error { return r.checkParties(claims) },
		func() error { return r.checkTimes(claims) },
		func() error { return r.checkPurpose(claims) },
		func() error { return checkDigest(claims["digest"]) },
		func() error { return checkKnown(claims) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	jws, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return errFormat
	}
	if _, ok := r.Key.(*rsa.PublicKey); !ok {
		return errSignature
	}
	if _, err := jws.Verify(r.Key); err != nil {
		return errSignature
	}
	return nil
}

func object(part string) (map[string]any, error) {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, errFormat
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var m map[string]any
	if dec.Decode(&m) != nil || m == nil {
		return nil, errFormat
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errFormat
	}
	return m, nil
}

func (r Rules) checkHeader(h map[string]any) error {
	switch alg, _ := h["alg"].(string); alg {
	case "RS256":
	case "":
		return errAlgAbsent
	default:
		return errAlg
	}
	id, _ := h["kid"].(string)
	switch {
	case id == "":
		return errKidAbsent
	case !kid.MatchString(id):
		return errKidFormat
	case id != r.Kid:
		return errKidOther
	}
	if typ, ok := h["typ"]; ok && typ != "JWT" {
		return errTyp
	}
	for name := range h {
		if name != "alg" && name != "kid" && name != "typ" {
			return errHeaderUnknown
		}
	}
	return nil
}

func (r Rules) checkParties(c map[string]any) error {
	switch aud := c["aud"].(type) {
	case nil:
		return errAudAbsent
	case string:
		if aud != r.Audience {
			return errAud
		}
	case []any:
		found := false
		for _, a := range aud {
			found = found || a == r.Audience
		}
		if !found {
			return errAud
		}
	default:
		return errAud
	}
	for _, p := range []struct {
		claim          string
		absent, differ error
	}{{"iss", errIssAbsent, errIss}, {"sub", errSubAbsent, errSub}} {
		switch v, _ := c[p.claim].(string); v {
		case r.Client:
		case "":
			return p.absent
		default:
			return p.differ
		}
	}
	if jti, _ := c["jti"].(string); jti == "" {
		return errJti
	}
	return nil
}

// skewAllowed is how far ahead of the platform's clock an iat may lie: its published tolerance is nil, ours is a minute,
// since a clock that is a little wrong is not a reason to refuse ourselves.
const skewAllowed = time.Minute

func (r Rules) checkTimes(c map[string]any) error {
	iat, ok := instant(c["iat"])
	if !ok {
		return errIatAbsent
	}
	if iat.After(r.Now.Add(skewAllowed)) {
		return errIatFuture
	}
	exp, ok := instant(c["exp"])
	if !ok {
		return errExpAbsent
	}
	if !exp.After(r.Now) {
		return errExpired
	}
	if _, ok := c["nbf"]; ok {
		return errNotBefore
	}
	return nil
}

func instant(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	sec, err := n.Int64()
	if err != nil || sec <= 0 || sec > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(sec, 0), true
}

func (r Rules) checkPurpose(c map[string]any) error {
	v, present := c["purposeId"]
	if !r.Purpose {
		if present {
			return errPurposeUnwanted
		}
		return nil
	}
	id, _ := v.(string)
	if id == "" {
		return errPurposeAbsent
	}
	if !uuid.MatchString(id) {
		return errPurposeFormat
	}
	return nil
}

func checkDigest(v any) error {
	if v == nil {
		return nil
	}
	d, ok := v.(map[string]any)
	if !ok || len(d) != 2 {
		return errDigest
	}
	alg, okAlg := d["alg"].(string)
	value, okValue := d["value"].(string)
	switch {
	case !okAlg || !okValue:
		return errDigest
	case alg != "SHA256":
		return errDigestAlg
	case !hex64.MatchString(value):
		return errDigestLength
	}
	return nil
}

func checkKnown(c map[string]any) error {
	for name := range c {
		switch name {
		case "iss", "sub", "aud", "jti", "iat", "exp", "purposeId", "digest":
		default:
			return errClaimUnknown
		}
	}
	return nil
}
