package inipec

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"raccordo/mocks/lab"
	"raccordo/mocks/wspa"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is the gateway and a client that may log in.
type stage struct {
	*testing.T
	b     *lab.Bench
	m     *Mock
	http  *http.Client
	token string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	m := New()
	m.Set(func(s *Settings) { s.TokenLife = 96 * time.Hour })
	b := lab.Start(t, m)
	return &stage{T: t, b: b, m: m, http: b.Client(t)}
}

type answer = lab.Answer

func (s *stage) send(method, path, contentType, body string) answer {
	s.Helper()
	return lab.Ask(s.T, s.http, method, s.b.URL("inipec")+path, body, lab.With(contentType, s.token))
}

// enter logs in with a scope; it must succeed.
func (s *stage) enter(scope string) {
	s.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: s.m.ClientKey()}, &jose.SignerOptions{
		ExtraHeaders: map[jose.HeaderKey]any{
			"typ": "JWT", "use": "sig", "x5c": []string{base64.StdEncoding.EncodeToString(s.m.Certificate().Raw)},
		},
	})
	if err != nil {
		s.Fatal(err)
	}
	jws, err := signer.Sign(marshal(map[string]any{
		"aud": s.m.URL(), "iss": s.m.ClientID(), "sub": s.m.ClientID(), "jti": s.m.UUID(),
		"exp": s.b.Clock().Now().Add(30 * time.Second).Unix(), "scope": scope,
	}))
	if err != nil {
		s.Fatal(err)
	}
	assertion, err := jws.CompactSerialize()
	if err != nil {
		s.Fatal(err)
	}
	a := s.send("POST", "/authentication"+query, "text/plain", assertion)
	if a.Status != 200 || a.Header.Get("Content-Type") != "text/plain;charset=UTF-8" || strings.Count(a.Raw, ".") != 2 {
		s.Fatalf("login: %d %s", a.Status, a.Reason())
	}
	s.token = a.Raw
}

func marshal(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return out
}

const query = "?client_id=ministero-collaudo"

func listOf(codes ...string) string {
	var out []map[string]string
	for _, c := range codes {
		out = append(out, map[string]string{"cf": c})
	}
	return string(marshal(map[string]any{"dataOraRichiesta": "2026-11-21T09:00:00", "elencoCf": out}))
}

func (s *stage) order(codes ...string) (id string) {
	s.Helper()
	a := s.send("POST", "/richiestaElencoPec"+query, "application/json", listOf(codes...))
	id, _ = a.Body["identificativoRichiesta"].(string)
	if a.Status != 200 || id == "" || a.Header.Get("X-Tracking-trackingId") == "" {
		s.Fatalf("%d %s", a.Status, a.Raw)
	}
	return id
}

func (s *stage) fetch(id string) answer { return s.send("GET", "/getElencoPec/"+id+query, "", "") }

func (s *stage) refused(a answer, status int, rule string) {
	s.Helper()
	j := s.b.Journal()
	if got := j[len(j)-1].Refused; a.Status != status || got != rule {
		s.Errorf("status %d for %q, want %d for %q", a.Status, got, status, rule)
	}
	if a.Header.Get("X-Tracking-trackingId") == "" {
		s.Error("no tracking identifier")
	}
	if status == 401 && a.Body["httpCode"] != "401" || status != 401 && (a.Body["code"] == nil || a.Body["appName"] != "wspa-pedf") {
		s.Errorf("not the gateway's error: %s", a.Raw)
	}
}

func TestBusinessRefusals(t *testing.T) {
	t.Parallel()
	code := lab.Who("company-with-pec").CodiceFiscale
	order := func(body string) func(*stage) answer {
		return func(s *stage) answer { return s.send("POST", "/richiestaElencoPec"+query, "application/json", body) }
	}
	good := listOf(code)
	for _, c := range []struct {
		rule   string
		status int
		ask    func(*stage) answer
	}{
		{"client_id: not a registered client", 401, func(s *stage) answer {
			return s.send("POST", "/richiestaElencoPec", "application/json", good)
		}},
		{"token: no bearer token", 401, func(s *stage) answer { s.token = ""; return order(good)(s) }},
		{"token: not one of this gateway's", 401, func(s *stage) answer { s.token = "nonsense"; return order(good)(s) }},
		{"token: not signed by this gateway", 401, func(s *stage) answer {
			s.b.Inject(lab.Fault{Match: "inipec POST /authentication", Times: 1, Do: lab.BadSignature})
			s.enter(wspa.ScopePEC)
			return order(good)(s)
		}},
		{"token: expired", 401, func(s *stage) answer { s.b.Advance(96 * time.Hour); return order(good)(s) }},
		{"token: without the scope pec-pa", 401, func(s *stage) answer {
			s.enter(wspa.ScopeSpeaks)
			return order(good)(s)
		}},
		{"path: no such operation", 404, func(s *stage) answer { return s.send("GET", "/elenco"+query, "", "") }},
		{"content type: want application/json", 400, func(s *stage) answer {
			return s.send("POST", "/richiestaElencoPec"+query, "text/plain", good)
		}},
		{"body: not the JSON object of the contract", 400, order(`[]`)},
		{"dataOraRichiesta: not a date and time", 400, order(strings.Replace(good, "T09", " alle 9", 1))},
		{"elencoCf: missing or empty", 400, order(`{"dataOraRichiesta":"2026-11-21T09:00:00Z"}`)},
		{"elencoCf: more than 10,000", 400, order(listOf(make([]string, MaxList+1)...))},
		{"elencoCf: a code has neither 16 nor 11 characters", 400, order(listOf(code, "123"))},
		{"identificativoRichiesta: unknown list, or kept no longer", 404, func(s *stage) answer { return s.fetch("nothing") }},
		{"identificativoRichiesta: unknown list, or kept no longer", 404, func(s *stage) answer {
			id := s.order(code)
			s.b.Advance(Kept)
			return s.fetch(id)
		}},
		{"data: not a day as yyyy-MM-dd", 400, func(s *stage) answer { return s.send("GET", "/attestazioniPec/"+code+query, "", "") }},
		{"lists: too many at a time", 503, func(s *stage) answer {
			for i := range maxLists {
				s.m.lists.Put(fmt.Sprint(i), &stored{})
			}
			return order(good)(s)
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.enter(wspa.ScopePEC)
			s.refused(c.ask(s), c.status, c.rule)
		})
	}
}

func TestListTellsEachStory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.enter(wspa.ScopePEC)
	who := func(story string) string { return lab.Who(story).CodiceFiscale }
	codes := []string{
		who("company-with-pec"), who("company-without-pec"), who("company-unknown"), who("company-codes-differ"),
		lab.Who("company-codes-differ").PartitaIVA, who("sole-trader-as-enterprise"), who("lawyer-as-professional"), who("omocodic-code"),
	}
	id := s.order(codes...)
	for range 2 {
		if a := s.fetch(id); a.Status != 200 || a.Body["code"] != "WSPA_ERR_05" || a.Body["timestamp"] == nil {
			t.Errorf("not ready: %d %s", a.Status, a.Raw)
		}
	}
	a := s.fetch(id)
	list, _ := a.Body["elencoPec"].([]any)
	if a.Status != 200 || len(list) != len(codes) || a.Body["identificativoRichiesta"] != id {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	for i, want := range []struct {
		enterprise    string
		professionals int
	}{
		{"officine-tormalina@" + lab.DomainFirms, 0},
		{},
		{},
		{"cantieri-ventomare@" + lab.DomainFirms, 0},
		{},
		{"ristoro-zanforlin@" + lab.DomainFirms, 0},
		{"", 2},
		{},
	} {
		e := list[i].(map[string]any)
		firm, _ := e["pecImpresa"].(string)
		prof, _ := e["pecProfessionistas"].([]any)
		if e["cf"] != codes[i] || firm != want.enterprise || len(prof) != want.professionals {
			t.Errorf("entry %d: %v", i, e)
		}
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	code, lawyer := lab.Who("company-with-pec").CodiceFiscale, lab.Who("lawyer-as-professional").CodiceFiscale
	ready := func(s *stage, codes ...string) answer { return s.fetch(s.order(codes...)) }
	for name, c := range map[string]struct {
		set   func(*Settings)
		check func(*stage) bool
	}{
		"not ready as 404": {func(x *Settings) { x.Polls, x.NotReady = 1, Status }, func(s *stage) bool {
			a := ready(s, code)
			return a.Status == 404 && a.Body["code"] == "WSPA_ERR_05"
		}},
		"ready by time": {func(x *Settings) { x.Delay = 3 * time.Hour }, func(s *stage) bool {
			id := s.order(code)
			early := s.fetch(id)
			s.b.Advance(3 * time.Hour)
			return early.Body["code"] == "WSPA_ERR_05" && s.fetch(id).Body["elencoPec"] != nil
		}},
		"professionals in the shape of 2024": {func(x *Settings) { x.Professionals = Shape2024 }, func(s *stage) bool {
			return strings.Contains(ready(s, lawyer).Raw, `"pecProfessionista":[{"pec":"`)
		}},
		"null list": {func(x *Settings) { x.NullList = true }, func(s *stage) bool {
			return strings.Contains(ready(s, code).Raw, `"elencoPec":null`)
		}},
		"missing codes": {func(x *Settings) { x.MissingCodes = true }, func(s *stage) bool {
			return len(ready(s, code, lab.Who("company-without-pec").CodiceFiscale).Body["elencoPec"].([]any)) == 1
		}},
		"failure of the list": {func(x *Settings) { x.ListError = "Errore" }, func(s *stage) bool {
			return ready(s, code).Body["descrizioneErrore"] == "Errore"
		}},
		"the other 401": {func(x *Settings) { x.Unauthorized = BackEnd }, func(s *stage) bool {
			s.token = ""
			a := s.fetch("x")
			return a.Status == 401 && a.Body["status"] == 401.0 && a.Body["path"] == "/wspa/auth/token"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.m.Set(func(x *Settings) { x.Polls = 0 })
			s.m.Set(c.set)
			s.enter(wspa.ScopePEC)
			if !c.check(s) {
				t.Error("the switch does nothing")
			}
		})
	}
}

func TestAttestationSaysThatItIsNone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.enter(wspa.ScopePEC)
	a := s.send("GET", "/attestazioniPec/"+lab.Who("company-with-pec").CodiceFiscale+query+"&data=2026-11-20", "", "")
	if a.Status != 200 || a.Header.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(a.Raw, "%PDF-") ||
		!strings.Contains(a.Raw, "without legal value") {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
	a = s.send("GET", "/attestazioniPec/"+lab.Who("company-unknown").CodiceFiscale+query+"&data=2026-11-20", "", "")
	if a.Status != 200 || a.Body["code"] != "WSPA_ERR_04" {
		t.Errorf("nobody: %d %s", a.Status, a.Raw)
	}
}

func TestMisbehaveSparesTheLogin(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if err := s.b.Misbehave("503", 0); err != nil {
		t.Fatal(err)
	}
	s.enter(wspa.ScopePEC)
	if a := s.fetch("x"); a.Status != 503 || a.Body["code"] != "WSPA_ERR_503" {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
	if err := s.b.Misbehave("denied", 1); err != nil {
		t.Fatal(err)
	}
}
