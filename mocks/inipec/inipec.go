package inipec

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
	"sync"
	"time"

	"raccordo/mocks/lab"
)

const (
	// Prefix is the path of the gateway; the mock's URL includes it.
	Prefix = "/ic/ce/wspa/wspa/rest"
	// OfficialBase is the base of the real test environment, which an assertion's aud may name.
	OfficialBase = "https://icapiscl.infocamere.it/ic/ce/wspa/wspa/rest"
	// MaxList is how many codes one list may ask for.
	MaxList = 10_000
	// Kept is how long a list is kept after it was asked for.
	Kept = 72 * time.Hour

	clientID = "ministero-collaudo"
	scope    = "pec-pa"
)

// A Shape is how a list tells the addresses of professionals.
type Shape string

// The shapes.
const (
	ShapeOfficial Shape = "official" // pecProfessionistas: [{pecProfessionista}]
	Shape2024     Shape = "2024"     // pecProfessionista: [{pec}]
)

// A Style is one of two ways of saying the same.
type Style string

// The styles of 401 and of a list that is not ready.
const (
	Gateway  Style = "gateway"  // httpCode, httpMessage, moreInformation
	BackEnd  Style = "back-end" // timestamp, status, error, path
	Status   Style = "404"      // as the manual says
	InsideOK Style = "200"      // WSPA_ERR_05 inside a 200, as seen live
)

// Settings are the mock's switches.
type Settings struct {
	Polls         int           // fetches answered "not ready" before a list is; 2
	Delay         time.Duration // bench time before a list is ready, on top of Polls; 0
	NotReady      Style         // InsideOK or Status; InsideOK
	Unauthorized  Style         // Gateway or BackEnd; Gateway
	Professionals Shape         // ShapeOfficial or Shape2024; ShapeOfficial
	NullList      bool          // elencoPec is null
	MissingCodes  bool          // codes without any address are left out, instead of told without fields
	ListError     string        // descrizioneErrore; empty: none
	TokenLife     time.Duration // 10 minutes
}

// Mock is the gateway. New makes one; Attach serves it.
type Mock struct {
	*lab.Switches[Settings]

	mu    sync.Mutex // guards what is in the lists
	lists *lab.Shelf[*stored]

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

// New is a gateway with the default settings.
func New() *Mock {
	return &Mock{Switches: lab.NewSwitches(Settings{
		Polls: 2, NotReady: InsideOK, Unauthorized: Gateway,
		Professionals: ShapeOfficial, TokenLife: 10 * time.Minute,
	})}
}

// Name is "inipec".
func (m *Mock) Name() string { return "inipec" }

// Business is everything but the login, which faults reach by name ("inipec:503" spoils business only; inject on
// "inipec POST /authentication").
func (m *Mock) Business() []string {
	return []string{"inipec * /richiestaElencoPec", "inipec * /getElencoPec/*", "inipec * /attestazioniPec/*"}
}

// Own lists the misdeeds that the mock does itself, on tokens.
func (m *Mock) Own() []lab.Misdeed { return []lab.Misdeed{lab.BadSignature} }

// Attach serves the gateway, and writes the client's key and certificate into the bench's folder.
func (m *Mock) Attach(b *lab.Bench) (err error) {
	m.bench, m.names = b, b.Names("inipec")
	m.lists = lab.NewShelf[*stored](b.Clock(), maxLists, Kept)
	if m.client, m.keyPath, err = b.Key("inipec-client"); err != nil {
		return err
	}
	if m.signer, _, err = b.Key("inipec-gateway"); err != nil {
		return err
	}
	if err := m.certify(filepath.Join(b.Dir(), "inipec-client.cert.pem")); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Prefix+"/authentication", m.authenticate)
	mux.HandleFunc("POST "+Prefix+"/richiestaElencoPec", m.entitled(m.order))
	mux.HandleFunc("GET "+Prefix+"/getElencoPec/{identificativoRichiesta}", m.entitled(m.fetch))
	mux.HandleFunc("GET "+Prefix+"/attestazioniPec/{cf}", m.entitled(m.attest))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		m.refuse(w, r, http.StatusNotFound, "WSPA_ERR_404", "path: no such operation")
	})
	m.base, err = b.ServeHTTP(m.Name(), lab.Under(Prefix, mux))
	return err
}

// certify keeps the client's certificate: a seal that names its organisation, OID 2.5.4.97, as InfoCamere demands.
func (m *Mock) certify(file string) error {
	if raw, err := os.ReadFile(file); err == nil {
		if block, _ := pem.Decode(raw); block != nil {
			m.certPath = file
			m.cert, err = x509.ParseCertificate(block.Bytes)
			return err
		}
		return fmt.Errorf("inipec: read %s: no PEM block", file)
	}
	der, err := m.bench.CA().Issue(&x509.Certificate{
		Subject: pkix.Name{
			Country: []string{"IT"}, Organization: []string{"Ministero di prova"}, CommonName: "Sigillo di prova",
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "CF:IT-97000000585"}},
		},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}, &m.client.PublicKey)
	if err != nil {
		return err
	}
	if m.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("inipec: read the client's certificate: %w", err)
	}
	m.certPath = file
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// ClientID is the client that was agreed upon.
func (m *Mock) ClientID() string { return clientID }

// KeyPath is the file with the client's private key, PKCS#8 PEM.
func (m *Mock) KeyPath() string { return m.keyPath }

// CertificatePath is the file with the client's registered certificate, PEM.
func (m *Mock) CertificatePath() string { return m.certPath }

// ClientKey is the client's private key, for tests that build assertions.
func (m *Mock) ClientKey() *rsa.PrivateKey { return m.client }

// Certificate is the client's registered certificate.
func (m *Mock) Certificate() *x509.Certificate { return m.cert }

// failure is the error body of the services, with an error status or inside a 200.
type failure struct {
	Code        string `json:"code"`
	AppName     string `json:"appName"`
	Description string `json:"description"`
	Timestamp   string `json:"timestamp"`
}

func (m *Mock) failure(code, description string) failure {
	return failure{code, "wspa-pedf", description, m.stamp()}
}

// stamp is the bench's now as the services write it, with a zone.
func (m *Mock) stamp() string {
	return m.bench.Clock().Now().Format("2006-01-02T15:04:05.000000Z07:00")
}

// Problem is the error body for an injected status.
func (m *Mock) Problem(status int) (contentType string, body []byte) {
	if status == http.StatusUnauthorized {
		return "application/json", marshal(m.unauthorized())
	}
	return "application/json", marshal(m.failure(fmt.Sprintf("WSPA_ERR_%d", status), http.StatusText(status)))
}

// unauthorized is the body of a 401 in the style of the day.
func (m *Mock) unauthorized() any {
	if m.Settings().Unauthorized == BackEnd {
		return map[string]any{"timestamp": m.stamp(), "status": 401, "error": "Unauthorized", "path": "/wspa/auth/token"}
	}
	return map[string]string{"httpCode": "401", "httpMessage": "Unauthorized", "moreInformation": "Invalid client id or secret."}
}

// refuse answers an error and tells the journal which rule was broken.
func (m *Mock) refuse(w http.ResponseWriter, r *http.Request, status int, code, rule string) {
	lab.Refused(r.Context(), rule)
	w.Header().Set("X-Lab-Reason", rule)
	var body any = m.failure(code, http.StatusText(status))
	if status == http.StatusUnauthorized {
		body = m.unauthorized()
	}
	m.answer(w, status, body)
}

// answer writes JSON under a tracking identifier, which every answer of the gateway bears.
func (m *Mock) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("X-Tracking-trackingId", m.names.UUID())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(marshal(v))
}

func marshal(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic("inipec: an answer of plain fields: " + err.Error()) // cannot happen
	}
	return out
}
