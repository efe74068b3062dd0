package pdnd

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"raccordo/mocks/lab"
)

// voucher is the payload of an access token.
type voucher struct {
	JTI          string          `json:"jti"`
	Issuer       string          `json:"iss"`
	Audience     json.RawMessage `json:"aud"`
	ClientID     string          `json:"client_id"`
	Subject      string          `json:"sub"`
	IssuedAt     int64           `json:"iat"`
	NotBefore    int64           `json:"nbf"`
	Expires      int64           `json:"exp"`
	PurposeID    string          `json:"purposeId"`
	ProducerID   string          `json:"producerId,omitempty"`
	ConsumerID   string          `json:"consumerId,omitempty"`
	EServiceID   string          `json:"eserviceId,omitempty"`
	DescriptorID string          `json:"descriptorId,omitempty"`
	Digest       *Digest         `json:"digest,omitempty"`
}

// issue signs a voucher for an accepted assertion, spoiled as the misdeed says.
func (m *Mock) issue(a Assertion, misdeed lab.Misdeed) (string, error) {
	settings, now := m.Settings(), m.clock()
	if misdeed == lab.StaleVoucher {
		now = now.Add(-settings.Life - time.Minute)
	}
	s, _ := m.find(a.PurposeID)
	aud := s.audience
	if settings.CommaAud {
		aud = "https://altro-erogatore.test/rest/v1," + aud
	}
	rawAud, err := json.Marshal(aud)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(voucher{
		JTI: m.names.UUID(), Issuer: Issuer, Audience: rawAud, ClientID: a.ClientID, Subject: a.ClientID,
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(settings.Life).Unix(), PurposeID: a.PurposeID,
		ProducerID: derived("producer", s.name), ConsumerID: derived("consumer", "raccordo"),
		EServiceID: derived("eservice", s.name), DescriptorID: derived("descriptor", s.name), Digest: a.Digest,
	})
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	current := m.keys[len(m.keys)-1]
	m.mu.Unlock()
	key := current
	if misdeed == lab.BadSignature {
		if key, _, err = m.bench.Key("pdnd-forger"); err != nil {
			return "", err
		}
	}
	return sign(payload, key, thumbprint(&current.PublicKey))
}

func sign(payload []byte, key *rsa.PrivateKey, kid string) (string, error) {
	opts := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("use", "sig")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opts)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

func (m *Mock) keySet() jose.JSONWebKeySet {
	m.mu.Lock()
	defer m.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range m.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.PublicKey, KeyID: thumbprint(&k.PublicKey), Use: "sig", Algorithm: "RS256"})
	}
	return set
}

// Guard is a provider's check of the voucher: signature by a published key, type, issuer, audience, validity on the
// bench's clock, a purpose of that very e-service that is still active. deny answers in the provider's own shape, with
// 401 for a voucher that does not hold and 403 for a purpose that is not entitled; the rule broken stands in the
// journal and in X-Lab-Reason.
func (m *Mock) Guard(audience string, deny func(w http.ResponseWriter, r *http.Request, status int)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if status, rule := m.admits(audience, r.Header.Get("Authorization")); status != 0 {
				lab.Refused(r.Context(), rule)
				w.Header().Set("X-Lab-Reason", rule)
				deny(w, r, status)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// admits gives status 0 when the voucher holds.
func (m *Mock) admits(audience, authorization string) (status int, rule string) {
	switch m.Settings().Guard {
	case Off:
		return 0, ""
	case Broken:
		return http.StatusUnauthorized, "voucher: the check is broken"
	}
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return http.StatusUnauthorized, "voucher: no bearer token"
	}
	v, rule := m.read(token)
	if rule != "" {
		return http.StatusUnauthorized, rule
	}
	now := m.bench.Clock().Now()
	switch {
	case v.Issuer != Issuer:
		return http.StatusUnauthorized, "voucher: another issuer"
	case !names(v.Audience, audience):
		return http.StatusUnauthorized, "voucher: another audience"
	case now.Unix() >= v.Expires:
		return http.StatusUnauthorized, "voucher: expired"
	case now.Unix() < v.NotBefore:
		return http.StatusUnauthorized, "voucher: not valid yet"
	}
	switch s, active := m.find(v.PurposeID); {
	case s == nil || s.audience != audience:
		return http.StatusForbidden, "purpose: not of this e-service"
	case !active:
		return http.StatusForbidden, "purpose: not active"
	}
	return 0, ""
}

// read opens a voucher with the published keys.
func (m *Mock) read(token string) (v voucher, rule string) {
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(jws.Signatures) != 1 {
		return v, "voucher: not a compact JWS signed with RS256"
	}
	header := jws.Signatures[0].Protected
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != "at+jwt" {
		return v, "voucher: typ must be at+jwt"
	}
	set := m.keySet()
	keys := set.Key(header.KeyID)
	if len(keys) != 1 {
		return v, "voucher: signed by a key that is not published"
	}
	payload, err := jws.Verify(keys[0].Key)
	if err != nil {
		return v, "voucher: the signature does not verify"
	}
	if json.Unmarshal(payload, &v) != nil {
		return v, "voucher: the payload cannot be read"
	}
	return v, ""
}

// names tells whether an aud holds an audience: a text, several in one text divided by commas, or an array.
func names(aud json.RawMessage, audience string) bool {
	return slices.ContainsFunc(list(aud), func(s string) bool {
		return slices.Contains(strings.Split(s, ","), audience)
	})
}

// Voucher issues a voucher for a purpose of an e-service by name, without the token endpoint: for tests of providers.
func (m *Mock) Voucher(service, purpose string) (string, error) {
	id := m.Purposes(service)[purpose]
	if id == "" {
		return "", fmt.Errorf("pdnd: voucher: %s has no purpose %s", service, purpose)
	}
	return m.issue(Assertion{ClientID: m.ClientID(), PurposeID: id}, "")
}
