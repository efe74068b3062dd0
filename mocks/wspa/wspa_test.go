package wspa

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"raccordo/mocks/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toy is a register behind the gate, with one operation.
type toy struct {
	*lab.Switches[Settings]
	*Gate
}

func newToy() *toy {
	m := &toy{Switches: lab.NewSwitches(Defaults())}
	m.Gate = New("wspa-toy", m.Settings)
	return m
}

func (m *toy) Name() string { return "toy" }

func (m *toy) Attach(b *lab.Bench) error {
	if err := m.Open(b, m.Name()); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Prefix+"/authentication", m.Authenticate)
	mux.HandleFunc("GET "+Prefix+"/thing", m.Entitled(ScopeSeat, func(w http.ResponseWriter, r *http.Request) {
		m.Answer(w, http.StatusOK, m.Failure("wspa-thing", "WSPA_ERR_04", "Not found"))
	}))
	mux.HandleFunc("GET "+Prefix+"/refused", m.Entitled(ScopeSeat, func(w http.ResponseWriter, r *http.Request) {
		m.Refuse(w, r, "wspa-thing", http.StatusBadRequest, "WSPA_ERR_01", "the rule")
	}))
	mux.HandleFunc("/", m.Unknown)
	base, err := b.ServeHTTP(m.Name(), lab.Under(Prefix, mux))
	m.Stand(base)
	return err
}

// stage is the gate and a client that may log in.
type stage struct {
	*testing.T
	b     *lab.Bench
	m     *toy
	http  *http.Client
	token string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	m := newToy()
	b := lab.Start(t, m)
	return &stage{T: t, b: b, m: m, http: b.Client(t)}
}

type answer = lab.Answer

func (s *stage) send(method, path, contentType, body string) answer {
	s.Helper()
	return lab.Ask(s.T, s.http, method, s.b.URL("toy")+path, body, lab.With(contentType, s.token))
}

// login is an assertion before it is sent: a case changes what its rule is about.
type login struct {
	header, claims map[string]any
	key            *rsa.PrivateKey
	alg            jose.SignatureAlgorithm
	client         string
	contentType    string
	dress          func(string) string
}

func (s *stage) login() *login {
	return &login{
		header: map[string]any{"typ": "JWT", "use": "sig", "x5c": []string{base64.StdEncoding.EncodeToString(s.m.Certificate().Raw)}},
		claims: map[string]any{
			"aud": s.m.base, "iss": clientID, "sub": clientID, "jti": s.m.UUID(),
			"exp": s.b.Clock().Now().Add(30 * time.Second).Unix(), "scope": ScopeSeat,
		},
		key: s.m.ClientKey(), alg: jose.RS256, client: clientID, contentType: "text/plain", dress: func(s string) string { return s },
	}
}

func (s *stage) try(l *login) answer {
	s.Helper()
	opts := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for k, v := range l.header {
		opts.ExtraHeaders[jose.HeaderKey(k)] = v
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: l.alg, Key: l.key}, opts)
	if err != nil {
		s.Fatal(err)
	}
	jws, err := signer.Sign(marshal(l.claims))
	if err != nil {
		s.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		s.Fatal(err)
	}
	return s.send("POST", "/authentication?client_id="+l.client, l.contentType, l.dress(compact))
}

// enter logs in; it must succeed.
func (s *stage) enter() {
	s.Helper()
	a := s.try(s.login())
	if a.Status != 200 || a.Header.Get("Content-Type") != "text/plain;charset=UTF-8" || strings.Count(a.Raw, ".") != 2 {
		s.Fatalf("login: %d %s", a.Status, a.Reason())
	}
	s.token = a.Raw
}

const query = "?client_id=" + clientID

func (s *stage) ask(path string) answer { return s.send("GET", path+query, "", "") }

func TestLoginRefusals(t *testing.T) {
	t.Parallel()
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	header := func(name string, v any) func(*stage, *login) { return func(_ *stage, l *login) { l.header[name] = v } }
	claim := func(name string, v any) func(*stage, *login) { return func(_ *stage, l *login) { l.claims[name] = v } }
	without := func(name string) func(*stage, *login) { return func(_ *stage, l *login) { delete(l.claims, name) } }
	for _, c := range []struct {
		rule   string
		change func(*stage, *login)
	}{
		{"client_id: not a registered client", func(_ *stage, l *login) { l.client = "somebody" }},
		{"content type: want text/plain or application/json", func(_ *stage, l *login) { l.contentType = "application/x-www-form-urlencoded" }},
		{"body: not one compact JWS", func(_ *stage, l *login) { l.dress = func(string) string { return "nonsense" } }},
		{"body: not one compact JWS", func(_ *stage, l *login) { l.dress = func(s string) string { return `{"token":"` + s + `"}` } }},
		{"header: unknown member kid", header("kid", "k")},
		{"typ: want JWT", header("typ", "jose")},
		{"alg: want RS256", func(_ *stage, l *login) { l.alg = jose.RS512 }},
		{"use: want sig", func(_ *stage, l *login) { delete(l.header, "use") }},
		{"x5c: want the certificate", func(_ *stage, l *login) { delete(l.header, "x5c") }},
		{"x5c: not the registered certificate", header("x5c", []string{"MIID"})},
		{"signature: does not verify with the registered certificate", func(_ *stage, l *login) { l.key = stranger }},
		{"aud: not this environment's base", claim("aud", "https://icapis.infocamere.it/ic/pe/wspa/wspa/rest")},
		{"iss: not the client", claim("iss", "somebody")},
		{"sub: not the client", claim("sub", "somebody")},
		{"jti: missing", without("jti")},
		{"exp: missing, or not a whole number of seconds", without("exp")},
		{"exp: expired", func(s *stage, l *login) { l.claims["exp"] = s.b.Clock().Now().Unix() }},
		{"exp: more than 10 minutes ahead", func(s *stage, l *login) {
			l.claims["exp"] = s.b.Clock().Now().Add(10*time.Minute + time.Second).Unix()
		}},
		{"scope: missing", without("scope")},
		{"scope: not one of this client's", claim("scope", "pec-pa everything")},
		{"jti: used before", func(s *stage, l *login) { s.try(l) }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			l := s.login()
			c.change(s, l)
			s.refused(s.try(l), 401, c.rule)
		})
	}
}

func (s *stage) refused(a answer, status int, rule string) {
	s.Helper()
	j := s.b.Journal()
	if got := j[len(j)-1].Refused; a.Status != status || got != rule || a.Reason() != rule {
		s.Errorf("status %d for %q, want %d for %q", a.Status, got, status, rule)
	}
	if a.Header.Get("X-Tracking-trackingId") == "" {
		s.Error("no tracking identifier")
	}
	if status == 401 && a.Body["httpCode"] != "401" || status != 401 && (a.Body["code"] == nil || a.Body["timestamp"] == nil) {
		s.Errorf("not the gateway's error: %s", a.Raw)
	}
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule   string
		status int
		ask    func(*stage) answer
	}{
		{"client_id: not a registered client", 401, func(s *stage) answer { return s.send("GET", "/thing", "", "") }},
		{"token: no bearer token", 401, func(s *stage) answer { s.token = ""; return s.ask("/thing") }},
		{"token: not one of this gateway's", 401, func(s *stage) answer { s.token = "nonsense"; return s.ask("/thing") }},
		{"token: not signed by this gateway", 401, func(s *stage) answer {
			s.b.Inject(lab.Fault{Match: "toy POST /authentication", Times: 1, Do: lab.BadSignature})
			s.enter()
			return s.ask("/thing")
		}},
		{"token: expired", 401, func(s *stage) answer { s.b.Advance(10 * time.Minute); return s.ask("/thing") }},
		{"token: without the scope sede-impresa-pa", 401, func(s *stage) answer {
			l := s.login()
			l.claims["scope"] = "pec-pa lr-pa"
			s.token = s.try(l).Raw
			return s.ask("/thing")
		}},
		{"path: no such operation", 404, func(s *stage) answer { return s.ask("/nothing") }},
		{"the rule", 400, func(s *stage) answer { return s.ask("/refused") }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.enter()
			s.refused(c.ask(s), c.status, c.rule)
		})
	}
}

func TestErrorsNameTheBackEndThatSpeaks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.enter()
	for path, app := range map[string]string{"/thing": "wspa-thing", "/refused": "wspa-thing", "/nothing": "wspa-toy"} {
		if a := s.ask(path); a.Body["appName"] != app {
			t.Errorf("%s: %s", path, a.Raw)
		}
	}
	if _, body := s.m.Problem(503); !strings.Contains(string(body), `"code":"WSPA_ERR_503","appName":"wspa-toy"`) {
		t.Errorf("injected: %s", body)
	}
}

func TestTheOther401(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Unauthorized = BackEnd })
	a := s.ask("/thing")
	if a.Status != 401 || a.Body["status"] != 401.0 || a.Body["path"] != "/wspa/auth/token" {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}

// One administration has one agreement: what it registered holds at every service of the gateway, and a token of one
// listener is good at another.
func TestGatesShareTheClientAndTheSigner(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.enter()
	twin := newToy().Gate
	if err := twin.Open(s.b, "twin"); err != nil {
		t.Fatal(err)
	}
	if twin.KeyPath() != s.m.KeyPath() || !twin.Certificate().Equal(s.m.Certificate()) {
		t.Error("another client")
	}
	r := post(t, "text/plain", "")
	r.Header.Set("Authorization", "Bearer "+s.token)
	if rule := twin.checkToken(r, ScopeSeat); rule != "" {
		t.Error(rule)
	}
}

func TestLoginTakesEveryDressAndBothAudiences(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, contentType := range []string{"text/plain", "application/json", "application/json; charset=utf-8"} {
		for name, dress := range map[string]func(string) string{
			"bare": func(s string) string { return s }, "quoted": func(s string) string { return `"` + s + `"` },
			"with a line end": func(s string) string { return s + "\n" },
		} {
			l := s.login()
			l.contentType, l.dress = contentType, dress
			if a := s.try(l); a.Status != 200 {
				t.Errorf("%s, %s: %d", contentType, name, a.Status)
			}
		}
	}
	l := s.login()
	l.claims["aud"], l.claims["scope"] = OfficialBase, "pec-pa lr-pa"
	if a := s.try(l); a.Status != 200 {
		t.Errorf("the official audience: %d", a.Status)
	}
}

func TestCertificateNamesItsOrganisation(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, n := range s.m.Certificate().Subject.Names {
		if n.Type.String() == "2.5.4.97" && n.Value != "" {
			return
		}
	}
	t.Error("no organizationIdentifier")
}
