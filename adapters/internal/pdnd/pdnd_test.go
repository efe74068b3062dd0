package pdnd

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/pdnd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func signRaw(t *testing.T, key *rsa.PrivateKey, input string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// platform starts the mock platform and a client of it, with one e-service.
func platform(t *testing.T, change func(*Config)) (*lab.Bench, *mock.Mock, *Client) {
	t.Helper()
	m := mock.New()
	b := lab.Start(t, m)
	m.Register("inad", "https://inad.test/rest")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, b.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.Endpoint, cfg.CA = b.URL("pdnd")+"/token.oauth2", ca
	cfg.Client, cfg.Key, cfg.Purposes = m.ClientID(), contracts.Secret("secret://file/"+m.KeyPath()), m.Purposes("inad")
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(contracts.Collaudo, "voucher"); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), cfg, contracts.Env{Instance: "inad", Environment: contracts.Collaudo, Clock: b.Clock(), Secret: contracttest.SecretFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return b, m, c
}

const tokenRoute = "pdnd POST /token.oauth2"

func authorize(t *testing.T, c *Client, purpose string) (string, error) {
	t.Helper()
	r := &http.Request{Header: http.Header{}}
	err := c.Authorize(purpose)(t.Context(), r)
	return r.Header.Get("Authorization"), err
}

func TestOneVoucherServesTenThousandCalls(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil)
	var first string
	for range 10_000 {
		got, err := authorize(t, c, mock.Activation)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = got
		}
		if got != first || !strings.HasPrefix(got, "Bearer ") {
			t.Fatal("another voucher, or none")
		}
	}
	if n := b.Sent(tokenRoute); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	if _, err := authorize(t, c, mock.Verification); err != nil || b.Sent(tokenRoute) != 2 {
		t.Errorf("another purpose must have its own voucher: %v, %d requests", err, b.Sent(tokenRoute))
	}
}

func TestAVoucherIsRenewedEarlyOnTheClock(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil) // life: 10 minutes
	for _, step := range []struct {
		advance time.Duration
		sent    int
	}{{0, 1}, {8*time.Minute - time.Second, 1}, {time.Second, 2}} {
		b.Advance(step.advance)
		if _, err := authorize(t, c, mock.Activation); err != nil {
			t.Fatal(err)
		}
		if n := b.Sent(tokenRoute); n != step.sent {
			t.Errorf("after %v more: %d token requests, want %d", step.advance, n, step.sent)
		}
	}
}

func TestAVoucherWithADigestIsNeverKept(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil)
	sum := contracts.SumOf([]byte("evidence"))
	for i := range 2 {
		tok, err := c.Bound(t.Context(), mock.Activation, sum)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Header: http.Header{}}
		tok.Put(r)
		parts := strings.Split(r.Header.Get("Authorization"), ".")
		raw, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil || !strings.Contains(string(raw), sum.String()) {
			t.Errorf("the voucher is not bound to the digest: %v", err)
		}
		if n := b.Sent(tokenRoute); n != i+1 {
			t.Errorf("%d token requests for %d vouchers", n, i+1)
		}
	}
	if got, err := authorize(t, c, mock.Activation); err != nil || b.Sent(tokenRoute) != 3 || got == "" {
		t.Errorf("a bound voucher served another call: %v", err)
	}
	if _, err := c.Bound(t.Context(), mock.Activation, contracts.Sum{}); err == nil {
		t.Error("bound to nothing")
	}
}

func TestAnOpaqueRefusalIsDiagnosed(t *testing.T) {
	t.Parallel()
	_, m, c := platform(t, nil)
	_, err := authorize(t, c, mock.Suspended)
	var e *contracts.Error
	if !errors.As(err, &e) || e.Kind != contracts.Denied || e.Code != "015-0008" {
		t.Fatalf("%v, want denied with the platform's code", err)
	}
	for _, word := range []string{"correlationId", "passes every published rule", "active"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not mention %q: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), m.ClientID()) {
		t.Error("the error quotes the client id")
	}
}

func TestAnUnmappedPurposeIsDeniedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil)
	for _, purpose := range []string{"", "unknown"} {
		if _, err := authorize(t, c, purpose); contracts.KindOf(err) != contracts.Denied {
			t.Errorf("%q: %v, want denied", purpose, err)
		}
	}
	if n := b.Sent("*"); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestARequestThatWouldBeRefusedIsNotSent(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil)
	c.cfg.AssertionLife = -time.Minute // as a broken clock or a bad setting would make it
	_, err := authorize(t, c, mock.Activation)
	if contracts.KindOf(err) != contracts.Internal || !strings.Contains(err.Error(), "exp has passed") {
		t.Errorf("%v, want our own fault with its reason", err)
	}
	if n := b.Sent("*"); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestThrottlingTellsWhenToComeBack(t *testing.T) {
	t.Parallel()
	b, m, c := platform(t, nil)
	m.Set(func(s *mock.Settings) { s.RateLimit = 1; s.RateInterval = 30 * time.Second })
	if _, err := authorize(t, c, mock.Activation); err != nil {
		t.Fatal(err)
	}
	_, err := authorize(t, c, mock.Verification)
	var e *contracts.Error
	if !errors.As(err, &e) || e.Kind != contracts.Throttled || e.After != 30*time.Second {
		t.Fatalf("%v (after %v), want throttled for the interval", err, e.After)
	}
	sent := b.Sent(tokenRoute)
	if _, err := authorize(t, c, mock.Verification); contracts.KindOf(err) != contracts.Throttled || b.Sent(tokenRoute) != sent {
		t.Errorf("the platform was asked again before its time: %v", err)
	}
	b.Advance(30 * time.Second)
	if _, err := authorize(t, c, mock.Verification); err != nil {
		t.Errorf("after the interval: %v", err)
	}
}

func TestADownPlatformIsUnavailableAndRepeated(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil)
	b.Inject(lab.Fault{Match: tokenRoute, Do: lab.Status, Status: 503, Times: 2})
	if _, err := authorize(t, c, mock.Activation); err != nil {
		t.Errorf("two 503 broke it: %v", err)
	}
	b.Inject(lab.Fault{Match: tokenRoute, Do: lab.Status, Status: 500})
	if _, err := authorize(t, c, mock.Verification); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("%v, want unavailable", err)
	}
}

// The platform takes each jti once: an assertion whose answer was lost is used up, and its repeat needs another.
func TestALostAnswerIsRepeatedWithAFreshAssertion(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil)
	b.Inject(lab.Fault{Match: tokenRoute, Do: lab.DropAfterAccept, Times: 1})
	if _, err := authorize(t, c, mock.Activation); err != nil {
		t.Errorf("a lost answer broke it: %v", err)
	}
	if n := b.Sent(tokenRoute); n != 2 {
		t.Errorf("%d token requests, want the lost one and its repeat", n)
	}
}

func TestGarbageIsMalformed(t *testing.T) {
	t.Parallel()
	b, _, c := platform(t, nil)
	for _, body := range []string{
		"<html>", `{"access_token":"x","token_type":"Bearer","expires_in":600}`,
		`{"access_token":"e30.e30.e30","token_type":"DPoP","expires_in":600}`,
		`{"access_token":"e30.e30.e30","token_type":"Bearer","expires_in":0}`,
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: tokenRoute, Do: lab.Garbage, Body: []byte(body)})
		if _, err := authorize(t, c, mock.Activation); contracts.KindOf(err) != contracts.Malformed {
			t.Errorf("%q: %v, want malformed", body, err)
		}
	}
}

func TestWrongClockIsNamed(t *testing.T) {
	t.Parallel()
	_, m, c := platform(t, nil)
	m.Set(func(s *mock.Settings) { s.Skew = -time.Hour }) // our iat lies in its future
	_, err := authorize(t, c, mock.Activation)
	if contracts.KindOf(err) != contracts.Denied || !strings.Contains(err.Error(), "clock differs") {
		t.Errorf("%v, want the difference of the clocks", err)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	bad := Config{
		Endpoint: "https://auth.interop.pagopa.it/token.oauth2", Audience: "https://auth.interop.pagopa.it/client-assertion",
		Client: "x", Key: "-----BEGIN", Kid: "x", Purposes: map[string]string{"p": "x"}, RenewBefore: -1,
	}
	err := bad.Validate(contracts.Collaudo, "voucher")
	for _, field := range []string{"endpoint", "audience", "client", "key", "kid", "purposes.p", "renew_before", "assertion_life", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), "voucher."+field+": ") {
			t.Errorf("no fault at voucher.%s in %v", field, err)
		}
	}
	empty := Default()
	for _, env := range []contracts.Environment{contracts.Attestazione, contracts.Collaudo, contracts.Produzione} {
		if err := empty.Validate(env, "v"); err == nil || strings.Contains(err.Error(), "v.endpoint") {
			t.Errorf("%s: %v: the platform's own endpoint is the default", env, err)
		}
	}
}

func TestWorkedThumbprint(t *testing.T) {
	t.Parallel()
	m := mock.New()
	_ = lab.Start(t, m)
	if got, err := Thumbprint(m.ClientKey().Public()); err != nil || got != m.KeyID() {
		t.Errorf("%s, %v, want what the platform registered", got, err)
	}
}
