package pdnd

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"raccordo/mocks/lab"
)

// The identity of the environment collaudo. Neither has a scheme.
const (
	AssertionAudience = "auth.uat.interop.pagopa.it/client-assertion"
	Issuer            = "uat.interop.pagopa.it"
)

// The purposes that every e-service gets at registration.
const (
	Activation   = "activation"   // active
	Verification = "verification" // active
	Suspended    = "suspended"    // registered, not active
)

// A Mode says what a provider's check of vouchers does.
type Mode string

// The modes.
const (
	On     Mode = "on"     // check; the default
	Off    Mode = "off"    // let everything pass
	Broken Mode = "broken" // refuse everything with 401, as a provider with stale keys would
)

// Settings are the mock's switches.
type Settings struct {
	Life         time.Duration // of a voucher; 10 minutes
	CommaAud     bool          // vouchers name two audiences in one comma-separated string
	RateLimit    int           // token requests per RateInterval of bench time; 1,000
	RateInterval time.Duration // 1 second
	Skew         time.Duration // what the platform's clock is ahead of the bench's
	Guard        Mode          // of every provider's check
}

// Mock is the platform. New makes one; Attach serves it.
type Mock struct {
	*lab.Switches[Settings]

	mu       sync.Mutex
	services map[string]*eservice
	inactive map[string]bool // purpose ids that are not active
	keys     []*rsa.PrivateKey
	rotated  int
	window   time.Time
	used     int

	bench   *lab.Bench
	names   *lab.Names
	jtis    lab.Once
	client  *rsa.PrivateKey
	keyPath string
}

type eservice struct {
	name, audience string
	purposes       map[string]string
}

// New is a platform with the default settings.
func New() *Mock {
	return &Mock{
		Switches: lab.NewSwitches(Settings{Life: 10 * time.Minute, RateLimit: 1000, RateInterval: time.Second, Guard: On}),
		services: map[string]*eservice{}, inactive: map[string]bool{},
	}
}

// Name is "pdnd".
func (m *Mock) Name() string { return "pdnd" }

// Business is empty: a token is nobody's business in itself. Faults reach this mock under its own name ("pdnd:503").
func (m *Mock) Business() []string { return nil }

// Own lists the misdeeds that the mock does itself, on vouchers.
func (m *Mock) Own() []lab.Misdeed { return []lab.Misdeed{lab.BadSignature, lab.StaleVoucher} }

// Attach serves POST /token.oauth2, GET /.well-known/jwks.json and GET /status, and writes the client's key into the
// bench's folder.
func (m *Mock) Attach(b *lab.Bench) (err error) {
	m.bench, m.names = b, b.Names("pdnd")
	if m.client, m.keyPath, err = b.Key("pdnd-client"); err != nil {
		return err
	}
	for range 2 {
		if err := m.Rotate(); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token.oauth2", m.token)
	mux.HandleFunc("GET /.well-known/jwks.json", m.jwks)
	mux.HandleFunc("GET /status", m.status)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { m.write(w, http.StatusNotFound) })
	_, err = b.ServeHTTP(m.Name(), mux)
	return err
}

// clock is the platform's time.
func (m *Mock) clock() time.Time { return m.bench.Clock().Now().Add(m.Settings().Skew) }

// Register makes an e-service known, with its audience and its three purposes. Mocks of providers call it when they
// are attached; a test may register more.
func (m *Mock) Register(service, audience string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &eservice{name: service, audience: audience, purposes: map[string]string{}}
	for _, p := range []string{Activation, Verification, Suspended} {
		s.purposes[p] = derived("purpose", service, p)
	}
	m.inactive[s.purposes[Suspended]] = true
	m.services[service] = s
}

// ClientID is the registered client, a UUID.
func (m *Mock) ClientID() string { return derived("client", "raccordo") }

// KeyPath is the file with the client's private key, PKCS#8 PEM.
func (m *Mock) KeyPath() string { return m.keyPath }

// KeyID is the RFC 7638 thumbprint under which the client's key is registered.
func (m *Mock) KeyID() string { return thumbprint(&m.client.PublicKey) }

// ClientKey is the client's private key, for tests that build assertions.
func (m *Mock) ClientKey() *rsa.PrivateKey { return m.client }

// Purposes are the ids of an e-service's purposes by name; nil for an unknown e-service.
func (m *Mock) Purposes(service string) map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.services[service]; s != nil {
		return maps.Clone(s.purposes)
	}
	return nil
}

// Audience is an e-service's audience; empty for an unknown one.
func (m *Mock) Audience(service string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.services[service]; s != nil {
		return s.audience
	}
	return ""
}

// SetActive activates or suspends a purpose by id, for new vouchers and for those already issued.
func (m *Mock) SetActive(purpose string, active bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if active {
		delete(m.inactive, purpose)
	} else {
		m.inactive[purpose] = true
	}
}

// Rotate makes a new signing key. The one before stays published; the one before that is gone, and vouchers signed by
// it with it.
func (m *Mock) Rotate() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, _, err := m.bench.Key(fmt.Sprintf("pdnd-platform-%d", m.rotated+1))
	if err != nil {
		return err
	}
	m.rotated++
	m.keys = append(m.keys, key)
	if len(m.keys) > 2 {
		m.keys = m.keys[1:]
	}
	return nil
}

// find gives the e-service of a purpose and whether the purpose is active.
func (m *Mock) find(purpose string) (s *eservice, active bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.services {
		for _, id := range s.purposes {
			if id == purpose {
				return s, !m.inactive[purpose]
			}
		}
	}
	return nil, false
}

// derived is a UUID that depends on its parts alone: registrations do not change from run to run.
func derived(parts ...string) string {
	h := sha256.Sum256(fmt.Append(nil, parts))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func thumbprint(pub *rsa.PublicKey) string {
	sum, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		panic("pdnd: thumbprint of an RSA key: " + err.Error()) // cannot happen
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}
