package registroimprese

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const evidenceHeader = "Agid-JWT-TrackingEvidence"

var dnoncePattern = regexp.MustCompile(`^[0-9]{13}$`)

// evidence is the payload of a tracking evidence by AUDIT_REST_02.
type evidence struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	PurposeID string `json:"purposeId"`
	DNonce    string `json:"dnonce"`
	User      string `json:"userID"`
	Location  string `json:"userLocation"`
	LoA       string `json:"LoA"`
	JTI       string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
}

// bound is what a voucher says of its evidence and purpose. The voucher itself is the guard's to check.
type bound struct {
	PurposeID string `json:"purposeId"`
	Digest    struct {
		Value string `json:"value"`
	} `json:"digest"`
}

// checkEvidence applies AUDIT_REST_02: evidence signed by the client's key, about this e-service and this purpose, whose
// SHA-256 the voucher bears: the platform takes no other digest.
func (m *Mock) checkEvidence(r *http.Request) (user, rule string) {
	compact := r.Header.Get(evidenceHeader)
	if compact == "" {
		return "", "evidence: missing"
	}
	v, ok := readBound(r.Header.Get("Authorization"))
	sum := sha256.Sum256([]byte(compact))
	switch {
	case !ok:
		return "", "evidence: no voucher that could be bound to it"
	case !strings.EqualFold(v.Digest.Value, hex.EncodeToString(sum[:])):
		return "", "evidence: not the one that the voucher is bound to"
	}
	e, rule := m.openEvidence(compact)
	if rule != "" {
		return "", rule
	}
	now := m.bench.Clock().Now()
	switch {
	case e.Issuer != m.platform.ClientID():
		return "", "evidence: iss is not the client"
	case e.Audience != Audience:
		return "", "evidence: aud is not this e-service"
	case e.PurposeID != v.PurposeID:
		return "", "evidence: another purpose than the voucher's"
	case !dnoncePattern.MatchString(e.DNonce):
		return "", "evidence: dnonce is not 13 digits"
	case e.User == "" || e.Location == "" || e.LoA == "":
		return "", "evidence: want userID, userLocation and LoA"
	case e.JTI == "" || e.IssuedAt == 0:
		return "", "evidence: want jti and iat"
	case now.Unix() >= e.Expires:
		return "", "evidence: expired"
	case now.Unix()+60 < max(e.IssuedAt, e.NotBefore):
		return "", "evidence: not valid yet"
	case !m.jtis.Use(e.JTI, now, time.Unix(e.Expires, 0)):
		return "", "evidence: jti used before"
	}
	return e.User, ""
}

func (m *Mock) openEvidence(compact string) (e evidence, rule string) {
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(jws.Signatures) != 1 {
		return e, "evidence: not a compact JWS signed with RS256"
	}
	header := jws.Signatures[0].Protected
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != "JWT" || header.KeyID != m.platform.KeyID() {
		return e, "evidence: typ or kid not as demanded"
	}
	payload, err := jws.Verify(&m.platform.ClientKey().PublicKey)
	if err != nil {
		return e, "evidence: the signature does not verify"
	}
	if json.Unmarshal(payload, &e) != nil {
		return e, "evidence: the payload cannot be read"
	}
	return e, ""
}

func readBound(authorization string) (v bound, ok bool) {
	parts := strings.Split(strings.TrimPrefix(authorization, "Bearer "), ".")
	if len(parts) != 3 {
		return v, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	return v, err == nil && json.Unmarshal(raw, &v) == nil
}
