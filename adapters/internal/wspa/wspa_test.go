package wspa

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	mock "raccordo/mocks/inipec"
	"raccordo/mocks/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

// A gateway lets everybody in, remembers what it was asked, and answers as it is told.
type gateway struct {
	mu     sync.Mutex
	status int
	header http.Header
	body   string
	seen   []*http.Request
	scopes []string
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.URL.Path == "/authentication" {
		_, _ = w.Write([]byte(jwt(`{"exp":99999999999}`)))
		return
	}
	g.seen = append(g.seen, r)
	g.scopes = append(g.scopes, r.Header.Get("Scope"))
	for name, values := range g.header {
		w.Header()[name] = values
	}
	w.WriteHeader(g.status)
	_, _ = w.Write([]byte(g.body))
}

func (g *gateway) will(status int, body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status, g.body, g.header = status, body, http.Header{"Content-Type": {"application/json"}}
}

// credentials are the files of a client that InfoCamere knows.
func credentials(t *testing.T) (*lab.Bench, Config) {
	t.Helper()
	m := mock.New()
	b := lab.Start(t, m)
	cfg := Default()
	cfg.Client, cfg.Certificate, cfg.Key = m.ClientID(), m.CertificatePath(), contracts.Secret("secret://file/"+m.KeyPath())
	return b, cfg
}

func open(t *testing.T) (*gateway, *contracttest.Clock, *Client) {
	t.Helper()
	_, cfg := credentials(t)
	g := &gateway{}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	clock := contracttest.NewClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	http := wire.Default()
	http.Endpoint, http.Attempts = s.URL, 1
	c, err := Open(t.Context(), cfg, http, contracts.Env{Instance: "gate", Clock: clock, Secret: contracttest.SecretFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return g, clock, c
}

func ask(ctx context.Context, c *Client, scope string) error {
	resp, err := c.Do(ctx, scope, &wire.Request{Method: http.MethodGet, Route: "GET /x/{y}", Path: "/x/1", Effect: contracts.Read})
	if err != nil {
		return err
	}
	if e := c.Failure(ctx, resp); e != nil {
		return e
	}
	return nil
}

func TestEveryScopeHasATokenAndIsNamed(t *testing.T) {
	t.Parallel()
	b, cfg := credentials(t)
	gate := wire.Default()
	gate.Endpoint, gate.CA = b.URL("inipec"), filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(gate.CA, b.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), cfg, gate, contracts.Env{Instance: "gate", Clock: b.Clock(), Secret: contracttest.SecretFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for range 2 {
		for _, scope := range []string{"sede-impresa-pa", "lr-pa"} {
			_ = ask(t.Context(), c, scope)
		}
	}
	if n := b.Sent("inipec POST /authentication"); n != 2 {
		t.Errorf("%d log-ins for two scopes asked twice, want one each", n)
	}
	if err := c.Check(t.Context(), "sede-impresa-pa", "lr-pa"); err != nil || b.Sent("inipec POST /authentication") != 4 {
		t.Errorf("%v after %d log-ins, want each scope proved anew", err, b.Sent("inipec POST /authentication"))
	}
}

func TestARequestBearsClientScopeAndToken(t *testing.T) {
	t.Parallel()
	g, _, c := open(t)
	g.will(200, `{"x":1}`)
	if err := ask(t.Context(), c, "lr-pa"); err != nil {
		t.Fatal(err)
	}
	r := g.seen[0]
	if r.URL.RawQuery != "client_id=ministero-collaudo" || r.Header.Get("Scope") != "lr-pa" ||
		!strings.HasPrefix(r.Header.Get("Authorization"), "Bearer e30.") || r.Header.Get("Content-Type") != "" {
		t.Errorf("%s %v", r.URL.RawQuery, r.Header)
	}
}

func TestAFailureAtNightNamesTheHoursOfMaintenance(t *testing.T) {
	t.Parallel()
	g, clock, c := open(t)
	for _, tc := range []struct {
		name   string
		rome   int // hour, in Italy in winter
		status int
		kind   contracts.Kind
		says   bool
	}{
		{"at noon", 12, 503, contracts.Unavailable, false},
		{"at the last minute of the day", 20, 500, contracts.Unavailable, false},
		{"when the night begins", 21, 503, contracts.Unavailable, true},
		{"at three", 3, 500, contracts.Unavailable, true},
		{"at the last minute of the night", 7, 500, contracts.Unavailable, true},
		{"when the night has ended", 8, 503, contracts.Unavailable, false},
		{"a refusal at night is no maintenance", 3, 403, contracts.Denied, false},
		{"nor is a limit", 3, 429, contracts.Throttled, false},
	} {
		clock.Set(time.Date(2026, 11, 30, tc.rome-1, 59, 0, 0, time.UTC)) // Italy is an hour ahead
		g.will(tc.status, `{}`)
		err := ask(t.Context(), c, "lr-pa")
		contracttest.ErrorOf(t, err, tc.kind, "gate")
		if strings.Contains(err.Error(), "hours of maintenance") != tc.says {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestErrorObjects(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"code":"WSPA_ERR_04","description":"LR Not found","appName":"wspa-lrpf","timestamp":"x"}`: "WSPA_ERR_04",
		`{"code":"WSPA_ERR_01"}`: "WSPA_ERR_01",
		`{"appName":"x"}`:        "", `{"description":"x"}`: "", `{"timestamp":"x"}`: "", `{"code":5}`: "", `{"code":"a b"}`: "",
		`{"code":null,"appName":null}`: "no error", `{"esito":true}`: "no error", `[]`: "no error", `<html>`: "no error", ``: "no error",
	} {
		code, is := ErrorIn([]byte(body))
		if !is {
			code = "no error"
		}
		if code != want {
			t.Errorf("%s: %q, want %q", body, code, want)
		}
	}
}

func TestWhatAReplyIs(t *testing.T) {
	t.Parallel()
	g, _, c := open(t)
	for _, tc := range []struct {
		name   string
		status int
		body   string
		kind   contracts.Kind
		code   string
	}{
		{"another code inside 200", 200, `{"code":"WSPA_ERR_01","description":"RSSMRA85T10A562S"}`, contracts.Unavailable, "WSPA_ERR_01"},
		{"nothing found inside 200", 200, `{"code":"WSPA_ERR_04"}`, contracts.Unavailable, CodeNone},
		{"a request that is not valid", 400, `{"code":"WSPA_ERR_02"}`, contracts.Invalid, "WSPA_ERR_02"},
		{"a path that is not there", 404, `{"code":"WSPA_ERR_404"}`, contracts.Malformed, "WSPA_ERR_404"},
		{"the gateway's style of refusal", 403, `{"httpCode":"403","httpMessage":"Forbidden"}`, contracts.Denied, "403"},
		{"the back end's, which has a timestamp and so looks like an error object", 401, `{"timestamp":"x","status":401,"error":"Unauthorized"}`, contracts.Denied, "401"},
		{"a page", 503, `<html>`, contracts.Unavailable, ""},
	} {
		g.will(tc.status, tc.body)
		err := ask(t.Context(), c, "lr-pa")
		if e := contracttest.ErrorOf(t, err, tc.kind, "gate"); e.Code != tc.code || strings.Contains(e.Error(), "RSSMRA") {
			t.Errorf("%s: %v, want code %q and no text of theirs", tc.name, e, tc.code)
		}
	}
	g.will(200, `{"esito":true}`)
	g.header.Set("Content-Type", "text/html")
	contracttest.ErrorOf(t, ask(t.Context(), c, "lr-pa"), contracts.Malformed, "gate")
}

func TestAnotherKeysCertificateIsRefused(t *testing.T) {
	t.Parallel()
	b, cfg := credentials(t)
	env := contracts.Env{Instance: "gate", Clock: b.Clock(), Secret: contracttest.SecretFile}
	gate := wire.Default()
	gate.Endpoint = b.URL("inipec")
	_, other, err := b.Key("inipec-gateway")
	if err != nil {
		t.Fatal(err)
	}
	bad := cfg
	bad.Key = contracts.Secret("secret://file/" + other)
	_, err = Open(t.Context(), bad, gate, env)
	contracttest.ErrorOf(t, err, contracts.Invalid, "gate")
	if !strings.Contains(err.Error(), "login.certificate: is not that of key") {
		t.Error(err)
	}
	junk := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad = cfg
	bad.Certificate = junk
	if err := bad.Validate(contracts.Collaudo, "login"); err == nil || !strings.Contains(err.Error(), "login.certificate: ") {
		t.Errorf("%v, want a fault at login.certificate", err)
	}
	bad = cfg
	bad.Key = contracts.Secret("secret://file/" + junk)
	_, err = Open(t.Context(), bad, gate, env)
	contracttest.ErrorOf(t, err, contracts.Invalid, "gate")
}

func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{
		jwt(`{"exp":1795248030}`), `"` + jwt(`{"exp":1795248030}`) + `"`, jwt(`{"exp":"x"}`), jwt(`{"exp":1e300}`),
		`{"httpCode":"401"}`, "..", "a.b.c",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		token, expires, err := parseToken(body)
		if err == nil && (strings.ContainsAny(token, " \r\n\"") || expires.Year() > 40_000 || expires.Unix() < 1) {
			t.Errorf("accepted a token of %d bytes until %v", len(token), expires)
		}
	})
}

func FuzzErrorIn(f *testing.F) {
	for _, seed := range []string{
		`{"code":"WSPA_ERR_05","appName":"wspa-pedf","description":"List PEC in progress","timestamp":"2026-11-21T10:00:01.598877+01:00"}`,
		`{"httpCode":"401","httpMessage":"Unauthorized","moreInformation":"Invalid client id or secret."}`,
		`{"timestamp":"x","status":401,"error":"Unauthorized","path":"/wspa/auth/token"}`, `{"code":{}}`, `null`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		code, is := ErrorIn(body)
		for _, c := range []string{code, refusalCode(body)} {
			if len(c) > 128 || strings.ContainsAny(c, " \r\n") {
				t.Error(fmt.Errorf("a code of %d bytes", len(c)))
			}
		}
		if code != "" && !is {
			t.Error("a code without an error")
		}
	})
}
