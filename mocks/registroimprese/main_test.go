package registroimprese

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/wspa"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is the register with the platform beside it, and a client that may take either road.
type stage struct {
	*testing.T
	b       *lab.Bench
	m       *Mock
	p       *pdnd.Mock
	http    *http.Client
	token   string
	voucher string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	m, p := New(), pdnd.New()
	m.Set(func(s *Settings) { s.TokenLife, s.Slow = 96*time.Hour, time.Millisecond })
	p.Set(func(s *pdnd.Settings) { s.Life = 96 * time.Hour })
	b := lab.Start(t, m, p) // the order of attachment must not matter
	s := &stage{T: t, b: b, m: m, p: p, http: b.Client(t)}
	s.token = s.enter(wspa.ScopeSeat + " " + wspa.ScopeSpeaks)
	var err error
	if s.voucher, err = p.Voucher("registroimprese", pdnd.Activation); err != nil {
		t.Fatal(err)
	}
	return s
}

type answer struct{ lab.Answer }

func (s *stage) try(method, url, bearer, body string, header http.Header) (answer, error) {
	s.Helper()
	all := lab.With("", bearer)
	maps.Copy(all, header)
	a, err := lab.Try(s.T, s.http, method, url, body, all)
	return answer{a}, err
}

func (s *stage) send(method, url, bearer, body string, header http.Header) answer {
	s.Helper()
	a, err := s.try(method, url, bearer, body, header)
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// enter logs in at the gateway; it must succeed.
func (s *stage) enter(scope string) string {
	s.Helper()
	assertion := s.compact(s.m.ClientKey(), map[string]any{
		"typ": "JWT", "use": "sig", "x5c": []string{base64.StdEncoding.EncodeToString(s.m.Certificate().Raw)},
	}, map[string]any{
		"aud": s.m.WSPAURL(), "iss": s.m.ClientID(), "sub": s.m.ClientID(), "jti": s.m.UUID(),
		"exp": s.b.Clock().Now().Add(30 * time.Second).Unix(), "scope": scope,
	})
	a := s.send("POST", s.m.WSPAURL()+"/authentication"+query, "", assertion, http.Header{"Content-Type": {"text/plain"}})
	if a.Status != 200 || strings.Count(a.Raw, ".") != 2 {
		s.Fatalf("login: %d %s", a.Status, a.Reason())
	}
	return a.Raw
}

func (s *stage) compact(key any, header, claims map[string]any) string {
	s.Helper()
	opts := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for k, v := range header {
		opts.ExtraHeaders[jose.HeaderKey(k)] = v
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, opts)
	if err != nil {
		s.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		s.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		s.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		s.Fatal(err)
	}
	return out
}

const query = "?client_id=ministero-collaudo"

// gateway asks on the first road, seat and existence, and who represents which enterprise.
func (s *stage) gateway(method, path string) answer {
	s.Helper()
	return s.send(method, s.m.WSPAURL()+path, s.token, "", nil)
}

func (s *stage) seat(code string) answer   { return s.gateway("POST", "/sede/"+code+query) }
func (s *stage) exists(code string) answer { return s.gateway("GET", "/esistenzari/"+code+query) }
func (s *stage) represents(person, company string) answer {
	return s.gateway("GET", "/legaleRappresentante/"+person+query+"&cfImpresa="+company)
}

func (s *stage) represented(person string) answer {
	return s.gateway("GET", "/listaLegaleRappresentante/"+person+query)
}

// record asks on the second road.
func (s *stage) record(code, profile string) answer {
	s.Helper()
	return s.send("GET", s.m.PDNDURL()+"/imprese/"+code+"?profilo="+profile, s.voucher, "", nil)
}

func (s *stage) who(story string) lab.Member { return s.b.Who(story) }

// at reads a member of an answer by its path; nil where there is none.
func (a answer) at(path ...string) any {
	var v any = a.Body
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

// says tells whether the gateway answered "not found" with authority.
func (a answer) says(app, description string) bool {
	return a.Status == 200 && a.Body["code"] == "WSPA_ERR_04" && a.Body["appName"] == app &&
		a.Body["description"] == description && a.Body["timestamp"] != nil
}
