package wspa

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"raccordo/mocks/lab"
)

const (
	// Prefix is the path of the gateway.
	Prefix = "/ic/ce/wspa/wspa/rest"
	// OfficialBase is the base of the real test environment, which an assertion's aud may name.
	OfficialBase = "https://icapiscl.infocamere.it/ic/ce/wspa/wspa/rest"

	clientID = "ministero-collaudo"
)

// The scopes of the services.
const (
	ScopePEC    = "pec-pa"          // INI-PEC
	ScopeSeat   = "sede-impresa-pa" // the business register: seats and existence
	ScopeSpeaks = "lr-pa"           // the business register: legal representatives
)

// Scopes lists those of the one client.
func Scopes() []string { return []string{ScopePEC, ScopeSeat, ScopeSpeaks} }

// A Style is one of two ways of saying the same.
type Style string

// The styles of 401.
const (
	Gateway Style = "gateway"  // httpCode, httpMessage, moreInformation
	BackEnd Style = "back-end" // timestamp, status, error, path
)

// Settings are the gate's switches, which a mock embeds in its own.
type Settings struct {
	Unauthorized Style         // Gateway or BackEnd; Gateway
	TokenLife    time.Duration // 10 minutes
}

// Defaults are the settings that a mock begins with.
func Defaults() Settings { return Settings{Unauthorized: Gateway, TokenLife: 10 * time.Minute} }

// A Gate is the login and the token check in front of one mock, which embeds it. It is safe for concurrent use once it
// is open and its base is told.
type Gate struct {
	settings func() Settings
	app      string

	bench    *lab.Bench
	names    *lab.Names
	jtis     lab.Once
	base     string
	client   *rsa.PrivateKey
	keyPath  string
	certPath string
	cert     *x509.Certificate
	signer   *rsa.PrivateKey
}

// New is a gate that behaves as settings say at the moment. app is the back end named in errors that belong to no
// service, such as those of an unknown path.
func New(app string, settings func() Settings) *Gate { return &Gate{app: app, settings: settings} }

// Open takes the gate's place on a bench for a mock of that name, and writes the client's key and certificate into the
// bench's folder.
func (g *Gate) Open(b *lab.Bench, mock string) (err error) {
	g.bench, g.names = b, b.Names(mock)
	if g.client, g.keyPath, err = b.Key("wspa-client"); err != nil {
		return err
	}
	if g.signer, _, err = b.Key("wspa-gateway"); err != nil {
		return err
	}
	return g.certify(filepath.Join(b.Dir(), "wspa-client.cert.pem"))
}

// Stand tells the gate the base of its mock, Prefix included, which assertions name as their audience.
func (g *Gate) Stand(base string) { g.base = base }

// certify keeps the client's certificate: a seal that names its organisation, OID 2.5.4.97, as InfoCamere demands.
func (g *Gate) certify(file string) error {
	if raw, err := os.ReadFile(file); err == nil {
		if block, _ := pem.Decode(raw); block != nil {
			g.certPath = file
			g.cert, err = x509.ParseCertificate(block.Bytes)
			return err
		}
		return fmt.Errorf("wspa: read %s: no PEM block", file)
	}
	der, err := g.bench.CA().Issue(&x509.Certificate{
		Subject: pkix.Name{
			Country: []string{"IT"}, Organization: []string{"Ministero di prova"}, CommonName: "Sigillo di prova",
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "CF:IT-97000000585"}},
		},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}, &g.client.PublicKey)
	if err != nil {
		return err
	}
	if g.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("wspa: read the client's certificate: %w", err)
	}
	g.certPath = file
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// ClientID is the client that was agreed upon.
func (g *Gate) ClientID() string { return clientID }

// KeyPath is the file with the client's private key, PKCS#8 PEM.
func (g *Gate) KeyPath() string { return g.keyPath }

// CertificatePath is the file with the client's registered certificate, PEM.
func (g *Gate) CertificatePath() string { return g.certPath }

// ClientKey is the client's private key, for tests that build assertions.
func (g *Gate) ClientKey() *rsa.PrivateKey { return g.client }

// Certificate is the client's registered certificate.
func (g *Gate) Certificate() *x509.Certificate { return g.cert }

// Own lists the misdeeds that the gate does itself, on tokens.
func (g *Gate) Own() []lab.Misdeed { return []lab.Misdeed{lab.BadSignature} }

// A Failure is the error body of the services, with an error status or inside a 200.
type Failure struct {
	Code        string `json:"code"`
	AppName     string `json:"appName"`
	Description string `json:"description"`
	Timestamp   string `json:"timestamp"`
}

// Failure is the error body of a service's back end.
func (g *Gate) Failure(app, code, description string) Failure {
	return Failure{code, app, description, g.Stamp()}
}

// Stamp is the bench's now as the services write it, with a zone.
func (g *Gate) Stamp() string {
	return g.bench.Clock().Now().Format("2006-01-02T15:04:05.000000Z07:00")
}

// Problem is the error body for an injected status.
func (g *Gate) Problem(status int) (contentType string, body []byte) {
	return "application/json", marshal(g.problem(g.app, fmt.Sprintf("WSPA_ERR_%d", status), status))
}

func (g *Gate) problem(app, code string, status int) any {
	if status != http.StatusUnauthorized {
		return g.Failure(app, code, http.StatusText(status))
	}
	if g.settings().Unauthorized == BackEnd {
		return map[string]any{"timestamp": g.Stamp(), "status": 401, "error": "Unauthorized", "path": "/wspa/auth/token"}
	}
	return map[string]string{"httpCode": "401", "httpMessage": "Unauthorized", "moreInformation": "Invalid client id or secret."}
}

// Refuse answers an error as that back end would, and tells the journal which rule was broken. A 401 has no code of the
// back end's.
func (g *Gate) Refuse(w http.ResponseWriter, r *http.Request, app string, status int, code, rule string) {
	lab.Refused(r.Context(), rule)
	w.Header().Set("X-Lab-Reason", rule)
	g.Answer(w, status, g.problem(app, code, status))
}

// Unknown refuses a path that is no operation's.
func (g *Gate) Unknown(w http.ResponseWriter, r *http.Request) {
	g.Refuse(w, r, g.app, http.StatusNotFound, "WSPA_ERR_404", "path: no such operation")
}

// Answer writes JSON under a tracking identifier.
func (g *Gate) Answer(w http.ResponseWriter, status int, v any) {
	g.Track(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(marshal(v))
}

// Track sets the tracking identifier, which every answer of the gateway bears.
func (g *Gate) Track(w http.ResponseWriter) { w.Header().Set("X-Tracking-trackingId", g.names.UUID()) }

// UUID draws an identifier that replays with the bench's seed.
func (g *Gate) UUID() string { return g.names.UUID() }

func marshal(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic("wspa: an answer of plain fields: " + err.Error()) // cannot happen
	}
	return out
}
