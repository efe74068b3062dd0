package entrate

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/adapters/internal/cost"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

func TestMain(m *testing.M) {
	cost.Play(agencyElsewhere())
	goleak.VerifyTestMain(m)
}

// noon is when the clocks of these tests stand.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const (
	codePath   = "/govway/rest/in/AgenziaEntrate/vcf2-verifica-cf/v1"
	numberPath = "/govway/rest/in/AgenziaEntrate/verifica-piva/v3"
)

// Who is asked about in tests that need no story.
var (
	someCode   = contracttest.Sure(contracts.ParseCodiceFiscale("KMRRJN90C15Z222U"))
	someNumber = contracttest.Sure(contracts.ParsePartitaIVA("12345678903"))
)

// An agency is a far side that answers whatever a test puts in its mouth, headers and bytes included, and issues vouchers
// that it looks at no further.
type agency struct {
	*httptest.Server
	answer http.HandlerFunc

	mu       sync.Mutex
	audience any    // of the vouchers
	vouchers int    // issued
	asked    int    // questions about somebody
	last     string // body of the last of them
}

// answering opens an agency and the adapter's two REST services in front of it.
func answering(t testing.TB, answer http.HandlerFunc, change func(*Config, *contracts.Env)) (*agency, *Adapter) {
	t.Helper()
	far := &agency{answer: answer}
	far.Server = httptest.NewServer(far)
	t.Cleanup(far.Close)
	far.audience = far.URL + codePath

	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, testKey(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default().(*Config)
	for section, path := range map[*REST]string{&cfg.CodiceFiscale: codePath, &cfg.PartitaIVA: numberPath} {
		section.HTTP.Endpoint = far.URL + path
		section.HTTP.RetryAfterMax = 0 // no test waits because a reply says so
		section.Voucher.Endpoint = far.URL + "/token.oauth2"
		section.Voucher.Client = "5d1c1fd2-3e0a-4b0c-9d51-6a4d9b6f1a01"
		section.Voucher.Key = contracts.Secret("secret://file/" + key)
		section.Voucher.Purposes = map[string]string{"activation": "5d1c1fd2-3e0a-4b0c-9d51-6a4d9b6f1a02"}
	}
	env := contracts.Env{
		Instance: "entrate", Environment: contracts.Collaudo, Clock: contracttest.NewClock(noon), Secret: contracttest.SecretFile,
	}
	if change != nil {
		change(cfg, &env)
	}
	return far, contracttest.Open(t, cfg, env).(*Adapter)
}

// testKey is one key for all tests: making one takes long.
var testKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: contracttest.Sure(x509.MarshalPKCS8PrivateKey(key))})
})

func (f *agency) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/token.oauth2"):
		f.vouchers++
		token := voucherFor(f.audience)
		f.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 600})
		return
	case strings.HasSuffix(r.URL.Path, "/verifica"):
		f.asked++
		f.last = string(body)
	}
	f.mu.Unlock()
	f.answer(w, r)
}

// counts are the vouchers issued and the questions asked so far.
func (f *agency) counts() (vouchers, asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.vouchers, f.asked
}

func (f *agency) issueFor(audience any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.audience = audience
}

func voucherFor(audience any) string {
	return jwtWith(string(contracttest.Sure(json.Marshal(map[string]any{"aud": audience}))))
}

func jwtWith(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

// saying answers 200 with a JSON body.
func saying(body string) http.HandlerFunc {
	return replying(http.StatusOK, body, "Content-Type", "application/json")
}

// replying answers with a status, a body and headers (name, value, …).
func replying(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// asking is a context as the pipeline makes it.
func asking(ctx context.Context, op *contracts.OpInfo) context.Context {
	who := contracts.Caller{Service: "core", Purpose: "activation", Case: "CASE-7"}
	return contracts.WithCall(contracts.WithCaller(ctx, who), &contracts.Call{Op: op, Caller: who})
}

// do carries out one operation of an adapter, as the pipeline does.
func do[Req, Resp any](ctx context.Context, a *Adapter, op contracts.Op[Req, Resp], req Req) (Resp, error) {
	for _, b := range a.Bindings() {
		if b.Op == op.OpInfo {
			out, err := b.Do(asking(ctx, op.OpInfo), req)
			return out.(Resp), err
		}
	}
	panic("not bound: " + op.Name)
}

// checkCode asks about someCode.
func checkCode(t testing.TB, a *Adapter) (tax.CodeCheck, error) {
	t.Helper()
	return do(t.Context(), a, tax.OpCode, tax.CodeQuery{CodiceFiscale: someCode})
}

// checkVAT asks about someNumber.
func checkVAT(t testing.TB, a *Adapter) (tax.VAT, error) {
	t.Helper()
	return do(t.Context(), a, tax.OpVAT, tax.VATQuery{PartitaIVA: someNumber})
}

func wantKind(t testing.TB, err error, want contracts.Kind) *contracts.Error {
	t.Helper()
	return contracttest.ErrorOf(t, err, want, "entrate")
}

// nobodyNamed searches what people get to see for those who were asked about.
func nobodyNamed(t testing.TB, c *contracttest.Capture, more ...string) {
	t.Helper()
	for _, leak := range c.Leaks(append([]string{someCode.Reveal(), someNumber.Reveal()}, more...)) {
		t.Errorf("secret %d stands in %s, as %s", leak.Secret, leak.Source, leak.As)
	}
}
