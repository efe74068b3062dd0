package registroimprese

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"raccordo/adapters/internal/keys"
	"raccordo/adapters/internal/pdnd"
	"raccordo/contracts"
)

// evidenceHeader and evidenceLife are of ModI's AUDIT_REST_02: who asks is told the supplier in a signed evidence, to which
// the voucher of that one request is bound by its digest.
const (
	evidenceHeader = "Agid-JWT-TrackingEvidence"
	evidenceLife   = 2 * time.Minute
)

// An auditor signs evidence with the key of the PDND client.
type auditor struct {
	audience, client string
	purposes         map[string]string
	sign             func(payload []byte) (string, error)
}

// openAuditor reads the key once more: the voucher's client shows it to nobody.
func openAuditor(ctx context.Context, c *Config, env contracts.Env) (*auditor, error) {
	fail := func(format string, args ...any) (*auditor, error) {
		return nil, &contracts.Error{
			Kind: contracts.Invalid, System: env.Instance, Operation: "open", Err: contracts.Faultf("voucher.key", format, args...),
		}
	}
	secret, err := env.Secret(ctx, c.Voucher.Key)
	if err != nil {
		return fail("cannot be read")
	}
	key, err := keys.RSA(secret)
	if err != nil {
		return fail("%v", err)
	}
	kid := c.Voucher.Kid
	if kid == "" {
		if kid, err = pdnd.Thumbprint(key.Public()); err != nil {
			return fail("%v", err)
		}
	}
	a := &auditor{audience: c.Audit, client: c.Voucher.Client, purposes: c.Voucher.Purposes}
	if a.sign, err = keys.RS256(key, map[string]any{"kid": kid}); err != nil {
		return fail("%v", err)
	}
	return a, nil
}

type evidence struct {
	Iss       string `json:"iss"`
	Aud       string `json:"aud"`
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

// covers says what a caller must tell of itself for evidence to be made.
func (*auditor) covers(who contracts.Caller) error {
	if who.User != "" && who.Site != "" && who.LoA != "" {
		return nil
	}
	e := contracts.Errorf(contracts.Invalid, "the e-service demands tracking evidence: the caller must name user, site and level of assurance")
	e.Code = "RI_AUDIT"
	return e
}

// firstNonce is the least number of thirteen digits.
const firstNonce = 1_000_000_000_000

// evidence is a fresh one: its thirteen random digits keep the digest, which the platform sees, from being guessed.
func (a *auditor) evidence(now time.Time, who contracts.Caller) (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(9*firstNonce))
	if err != nil {
		return "", contracts.Errorf(contracts.Internal, "tracking evidence: no random numbers")
	}
	payload, err := json.Marshal(evidence{
		Iss: a.client, Aud: a.audience, PurposeID: a.purposes[who.Purpose], DNonce: strconv.FormatInt(firstNonce+n.Int64(), 10),
		User: who.User, Location: who.Site, LoA: who.LoA, JTI: pdnd.NewID(),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(evidenceLife).Unix(),
	})
	if err != nil {
		return "", contracts.Errorf(contracts.Internal, "tracking evidence: %w", err)
	}
	compact, err := a.sign(payload)
	if err != nil {
		return "", contracts.Errorf(contracts.Internal, "tracking evidence: the key does not sign")
	}
	return compact, nil
}

// authorize puts on each attempt evidence of its own, and the voucher that is bound to it.
func (s *EService) authorize(who contracts.Caller) func(context.Context, *http.Request) error {
	return func(ctx context.Context, r *http.Request) error {
		compact, err := s.audit.evidence(s.env.Clock.Now(), who)
		if err != nil {
			return err
		}
		voucher, err := s.voucher.Bound(ctx, who.Purpose, contracts.SumOf([]byte(compact)))
		if err != nil {
			return err
		}
		voucher.Put(r)
		r.Header[evidenceHeader] = []string{compact}
		return nil
	}
}
