package entrate

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

const (
	// VCFPrefix and PIVAPrefix are the paths of the REST services, RappresentantePath and RedditiPath of the SOAP ones.
	VCFPrefix          = "/govway/rest/in/AgenziaEntrate/vcf2-verifica-cf/v1"
	PIVAPrefix         = "/govway/rest/in/AgenziaEntrate/verifica-piva/v3"
	RappresentantePath = "/SPCBooleanoRappWS/VerificaRappresentanteEnteService"
	RedditiPath        = "/redditi/v1"

	// VCFService and PIVAService are the e-services on the PDND.
	VCFService  = "entrate-vcf"
	PIVAService = "entrate-piva"

	// Host is the gateway's name in the catalogue, from which the audiences are made; OtherHost is what it may also go by.
	Host      = "modipa-val.agenziaentrate.it"
	OtherHost = "modipa-val.agenziaentrate.gov.it"

	// MaxSubjects is how many persons one request for incomes may ask for.
	MaxSubjects = 100
	// Kept is how long incomes are kept after they were asked for.
	Kept = 30 * 24 * time.Hour
)

// A Form is how a refusal for too many requests says when to come back.
type Form string

// The forms.
const (
	Seconds   Form = "seconds" // Retry-After in seconds
	Date      Form = "date"    // Retry-After as an HTTP date
	ResetOnly Form = "reset"   // X-RateLimit-Reset alone
	Silent    Form = "silent"  // no word of it
)

// A Shape is how a SOAP answer is written.
type Shape string

// The shapes. All but the last five say the same in other words.
const (
	Default  Shape = ""           // the agency's own: a prefixed envelope, a default namespace inside
	Prefixed Shape = "prefixed"   // prefixes everywhere, declared at the root
	Latin1   Shape = "iso-8859-1" // another charset, with a letter that tells
	Huge     Shape = "huge"       // 10 MB of nothing in front
	Twice    Shape = "twice"      // the answer stands twice in the Body
	TwoRoots Shape = "two-roots"  // a second document behind the first
	Doctype  Shape = "doctype"    // a document type with an entity
	Page     Shape = "page"       // a page of HTML, with status 200
	Empty    Shape = "empty"      // no body, with status 200
)

// Codes are what a SOAP answer says of itself.
type Codes struct{ Ritorno, Dettaglio string }

// Settings are the mock's switches.
type Settings struct {
	Lenient    bool          // codes against the contract's pattern are told "non valido" instead of refused
	Host       string        // what the gateway takes for its own name, in audiences; Host
	Quota      int           // answers of a REST service per QuotaEvery of bench time; 10,000
	QuotaEvery time.Duration // 1 minute
	Windowed   bool          // X-RateLimit-Limit says "100, 100;w=60" instead of "100"
	Concurrent int           // REST exchanges at a time; 500
	Retry      Form          // Seconds
	Slow       time.Duration // real time that the first answer about a slow member takes; 2 seconds

	Shape          Shape // of SOAP answers about members without a shape of their own
	Processed      bool  // XX01 and XX02 come with codiceRitorno 00, and without valido
	LenientSAML    bool  // assertions may live 10 hours and have an ID that is no NCName, as a client in production makes them
	SecurityFaults bool  // a refused assertion is answered by a Fault instead of XX04
	Once           bool  // an assertion is taken once: each attempt must bring its own

	Representative Codes         // said by the representative's check instead of working; zero: it works
	Order, Fetch   Codes         // the same, of the two operations of the income service
	Delay          time.Duration // bench time before incomes are ready; 20 minutes
}

// Mock is the agency. New makes one; Attach serves it.
type Mock struct {
	*lab.Switches[Settings]

	mu     sync.Mutex // guards tries, the quotas, and what is in the orders
	tries  map[string]int
	quotas map[string]*quota
	orders *lab.Shelf[*order] // by protocollo
	byID   *lab.Shelf[*order] // by idRichiesta
	busy   atomic.Int64       // REST exchanges under way

	tales    map[string]tale // by story
	known    func() register
	used     lab.Once // IDs of assertions
	bench    *lab.Bench
	names    *lab.Names
	platform *pdnd.Mock
	base     string

	client, signer         *rsa.PrivateKey
	clientKey, signerKey   string // paths
	clientPath, signerPath string
	clientCert, signerCert *x509.Certificate
}

// New is an agency with the default settings.
func New() *Mock {
	return &Mock{
		Switches: lab.NewSwitches(Settings{
			Host: Host, Quota: 10_000, QuotaEvery: time.Minute, Concurrent: 500, Retry: Seconds,
			Slow: 2 * time.Second, Delay: 20 * time.Minute,
		}),
		tries: map[string]int{}, quotas: map[string]*quota{}, tales: tales(),
	}
}

// Name is "entrate".
func (m *Mock) Name() string { return "entrate" }

// Own lists the misdeeds that the mock does itself, since its services say an error in two languages.
func (m *Mock) Own() []lab.Misdeed {
	return []lab.Misdeed{lab.Status, lab.Throttle, lab.StaleVoucher}
}

// Attach serves the four services on one listener; the bench must hold the mock of PDND too.
func (m *Mock) Attach(b *lab.Bench) (err error) {
	platform, ok := b.Mock("pdnd").(*pdnd.Mock)
	if !ok {
		return errors.New("entrate: attach pdnd as well: vouchers are issued and checked there")
	}
	m.platform, m.bench, m.names = platform, b, b.Names("entrate")
	m.known = sync.OnceValue(func() register { return registerOf(b.Cast()) })
	m.orders = lab.NewShelf[*order](b.Clock(), maxOrders, Kept)
	m.byID = lab.NewShelf[*order](b.Clock(), maxOrders, Kept)
	if err := m.credentials(); err != nil {
		return err
	}
	platform.Register(VCFService, "https://"+Host+VCFPrefix)
	platform.Register(PIVAService, "https://"+Host+PIVAPrefix)
	mux := http.NewServeMux()
	mux.Handle("GET "+VCFPrefix+"/status", m.gateway(http.HandlerFunc(m.status)))
	mux.Handle("POST "+VCFPrefix+"/verifica", m.gateway(m.guarded(VCFPrefix, m.checkCode)))
	mux.Handle("POST "+PIVAPrefix+"/verifica", m.gateway(m.guarded(PIVAPrefix, m.checkVAT)))
	mux.HandleFunc("POST "+RappresentantePath, m.soap(m.represent, operation{checkElement, checkAction}))
	mux.HandleFunc("POST "+RedditiPath, m.soap(m.incomes, operation{orderElement, orderAction}, operation{fetchElement, fetchAction}))
	mux.Handle("/", m.gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.refuse(w, r, http.StatusNotFound, "UndefinedOperation", "path: no such operation")
	})))
	m.base, err = b.ServeMutual(m.Name(), router{mux})
	return err
}

// A router tells the operations of a SOAP service apart in labels, where the request names its action.
type router struct{ *http.ServeMux }

// Handler is the mux's own, with the action behind the pattern.
func (x router) Handler(r *http.Request) (http.Handler, string) {
	h, pattern := x.ServeMux.Handler(r)
	action := strings.Trim(r.Header.Get("SOAPAction"), `"`)
	if strings.HasSuffix(pattern, RedditiPath) && (action == orderAction || action == fetchAction) {
		pattern += " " + action
	}
	return h, pattern
}

// URL is where all four services begin; VCFURL, PIVAURL, RappresentanteURL and RedditiURL are their endpoints.
func (m *Mock) URL() string { return m.base }

// VCFURL is the base of the fiscal-code check.
func (m *Mock) VCFURL() string { return m.base + VCFPrefix }

// PIVAURL is the base of the VAT check.
func (m *Mock) PIVAURL() string { return m.base + PIVAPrefix }

// RappresentanteURL is the endpoint of the representative's check.
func (m *Mock) RappresentanteURL() string { return m.base + RappresentantePath }

// RedditiURL is the endpoint of the income service.
func (m *Mock) RedditiURL() string { return m.base + RedditiPath }

// Issuer is the identity provider's name that was agreed.
func (m *Mock) Issuer() string { return "raccordo.collaudo.ministero.test" }

// Ente is the codice fiscale of the body that asks.
func (m *Mock) Ente() string { return lab.VATNumber(9719998, 58) }

// Ufficio is its office: three characters.
func (m *Mock) Ufficio() string { return "R01" }

// ClientCertificatePath is the file with the certificate for mutual TLS, PEM.
func (m *Mock) ClientCertificatePath() string { return m.clientPath }

// ClientKeyPath is the file with its key, PKCS#8 PEM.
func (m *Mock) ClientKeyPath() string { return m.clientKey }

// SigningCertificatePath is the file with the registered certificate of the assertions' signer, PEM.
func (m *Mock) SigningCertificatePath() string { return m.signerPath }

// SigningKeyPath is the file with its key, PKCS#8 PEM.
func (m *Mock) SigningKeyPath() string { return m.signerKey }

// ClientCertificate is the pair for mutual TLS, for tests that speak to the mock themselves.
func (m *Mock) ClientCertificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{m.clientCert.Raw}, PrivateKey: m.client, Leaf: m.clientCert}
}

// Signer is the key and the registered certificate of assertions, for tests that make them.
func (m *Mock) Signer() (*rsa.PrivateKey, *x509.Certificate) { return m.signer, m.signerCert }

// turn counts the times that a member's story comes up in a service, from 1.
func (m *Mock) turn(service, code string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries[service+" "+code]++
	return m.tries[service+" "+code]
}
