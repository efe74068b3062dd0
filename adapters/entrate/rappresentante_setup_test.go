package entrate

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
	mock "raccordo/mocks/entrate"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

const (
	represents = "entrate POST /SPCBooleanoRappWS/VerificaRappresentanteEnteService"
	ordering   = "entrate POST /redditi/v1 RichiediRedditi"
	fetching   = "entrate POST /redditi/v1 RitiraRedditi"
)

// onSOAP is the agency on one bench, and the adapter's two SOAP services in front of it.
func onSOAP(t testing.TB, change func(*Config, *contracts.Env)) *stage {
	t.Helper()
	m := mock.New()
	b := lab.Start(t, pdnd.New(), m)
	cfg := Default().(*Config)
	saml := SAML{
		Issuer: m.Issuer(), Body: m.Ente(), Office: m.Ufficio(), IP: "192.0.2.10", Life: leastLife,
		Key: contracts.Secret("secret://file/" + m.SigningKeyPath()), Certificate: m.SigningCertificatePath(),
	}
	cfg.Rappresentante.SAML, cfg.Redditi.SAML = saml, saml
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, b.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for http, url := range map[*wire.Config]string{&cfg.Rappresentante.HTTP: m.RappresentanteURL(), &cfg.Redditi.HTTP: m.RedditiURL()} {
		http.Endpoint, http.CA = url, ca
		http.ClientCertificate, http.ClientKey = m.ClientCertificatePath(), contracts.Secret("secret://file/"+m.ClientKeyPath())
	}
	env := contracts.Env{Instance: "entrate", Environment: contracts.Collaudo, Clock: b.Clock(), Secret: contracttest.SecretFile}
	if change != nil {
		change(cfg, &env)
	}
	return &stage{b, m, contracttest.Open(t, cfg, env).(*Adapter)}
}

// soaps changes the settings of both services' HTTP.
func soaps(c *Config, change func(*wire.Config)) {
	change(&c.Rappresentante.HTTP)
	change(&c.Redditi.HTTP)
}

// reset closes the idle connections of the SOAP services.
func (s *stage) reset() {
	for _, p := range s.a.parts {
		switch p := p.part.(type) {
		case *representatives:
			p.wire.Close()
		case *incomes:
			p.wire.Close()
		}
	}
}

// mandate asks whether the representative of a story's hero is that.
func (s *stage) mandate(story string) company.Mandate {
	m := s.Who(story)
	return companytest.Mandate(m.Representative, m.CodiceFiscale, m.PartitaIVA)
}

// represent asks as the pipeline does.
func (s *stage) represent(ctx context.Context, m company.Mandate) (company.Representation, error) {
	return do(ctx, s.a, company.OpRepresents, m)
}

// last is the last exchange that fits the label, and what the mock understood of it.
func (s *stage) last(t testing.TB, label string) (lab.Exchange, mock.Asked) {
	t.Helper()
	all := s.all(label)
	if len(all) == 0 {
		t.Fatalf("nothing was sent to %s", label)
	}
	x := all[len(all)-1]
	asked, _ := x.Parsed.(mock.Asked)
	return x, asked
}

func (s *stage) all(label string) (out []lab.Exchange) {
	for _, x := range s.Journal() {
		if x.Mock+" "+x.Label == label {
			out = append(out, x)
		}
	}
	return out
}

// envelopeOf is the body of a request as it stood on the wire.
func envelopeOf(t testing.TB, x lab.Exchange) []byte {
	t.Helper()
	_, body, ok := bytes.Cut(x.Request, []byte("\r\n\r\n"))
	if !ok || len(body) == 0 {
		t.Fatal("the request has no body")
	}
	return body
}

// headerOf is the security header in an envelope.
func headerOf(t testing.TB, envelope []byte) []byte {
	t.Helper()
	from, to := bytes.Index(envelope, []byte("<wsse:Security ")), bytes.Index(envelope, []byte("</wsse:Security>"))
	if from < 0 || to < from {
		t.Fatal("the envelope has no security header")
	}
	return envelope[from : to+len("</wsse:Security>")]
}

// A mouth is a far side that says whatever a test puts into it: bytes that no honest mock would write.
type mouth struct {
	*httptest.Server

	mu    sync.Mutex
	says  func(http.ResponseWriter)
	asked int
}

// speaking opens a mouth, and the adapter's two SOAP services in front of it.
func speaking(t testing.TB, change func(*Config, *contracts.Env)) (*mouth, *Adapter) {
	t.Helper()
	far := &mouth{}
	far.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		far.mu.Lock()
		defer far.mu.Unlock()
		far.asked++
		far.says(w)
	}))
	t.Cleanup(far.Close)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	saml := identity(t)
	cfg := Default().(*Config)
	cfg.Rappresentante.SAML, cfg.Redditi.SAML = saml, saml
	soaps(cfg, func(c *wire.Config) {
		c.Endpoint = far.URL
		c.CA = file("ca.pem", certificatePEM(far.TLS))
		c.ClientCertificate, c.ClientKey = saml.Certificate, saml.Key
		c.RetryAfterMax, c.Attempts = 0, 1
	})
	env := contracts.Env{Instance: "entrate", Environment: contracts.Collaudo, Clock: contracttest.NewClock(noon), Secret: contracttest.SecretFile}
	if change != nil {
		change(cfg, &env)
	}
	return far, contracttest.Open(t, cfg, env).(*Adapter)
}

func certificatePEM(c *tls.Config) []byte {
	return pemOf("CERTIFICATE", c.Certificates[0].Certificate[0])
}

// say puts an answer into the mouth: status 200 and text/xml.
func (f *mouth) say(body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.says = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		_, _ = io.WriteString(w, body)
	}
}

// enveloped is a reply with that in its Body.
func enveloped(body string) string {
	return `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>` + body + `</e:Body></e:Envelope>`
}
