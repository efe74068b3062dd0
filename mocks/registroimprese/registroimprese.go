package registroimprese

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/wspa"
)

const (
	// WSPAPrefix is the path of the road over the gateway.
	WSPAPrefix = wspa.Prefix
	// PDNDPrefix is the path of the road over PDND.
	PDNDPrefix = "/ri/impresa/v1"
	// Audience is the e-service's on PDND; modelled.
	Audience = "https://registroimprese.test/ri/impresa/v1"

	// PerMinute and PerDay are the gateway's service levels for one client and one service: what Settings may enforce.
	PerMinute = 900
	PerDay    = 400_000
)

// A Spelling is how the gateway calls the street number.
type Spelling string

// The spellings.
const (
	NCivico    Spelling = "nCivico"    // as a client in production reads it
	GetNCivico Spelling = "getnCivico" // as the published file says
)

// Settings are the mock's switches.
type Settings struct {
	wspa.Settings // of the gateway's login

	Number     Spelling // NCivico or GetNCivico; NCivico
	NameInside bool     // denominazione stands in indirizzoLocalizzazione instead of beside it
	Yes        string   // esitoVerifica of a representative; "OK"
	Crossed    bool     // whatever is asked, on either road, the answer is about another enterprise or person

	PerMinute, PerDay int  // what the gateway lets pass per service, day by the Italian calendar; 0: without bound
	BareThrottle      bool // the gateway's 429 comes without Retry-After
	Night             bool // the gateway is in maintenance between 21 and 8, Italian time

	Granted int  // calls per minute on PDND; 60,000
	Audit   bool // PDND demands evidence by AUDIT_REST_02, bound to the voucher

	Slow time.Duration // real time that a slow enterprise's first look-up takes; 2 seconds
}

// Mock is the register. New makes one; Attach serves it.
type Mock struct {
	*lab.Switches[Settings]
	*wspa.Gate

	bench    *lab.Bench
	platform *pdnd.Mock // nil: none on this bench
	base     string
	jtis     lab.Once // of evidence
	quota    meter

	open sync.Once
	book book // of who is enrolled, read at the first question

	mu    sync.Mutex
	tries map[string]int // look-ups of enterprises with a quirk, by operation
}

// New is a register with the default settings.
func New() *Mock {
	m := &Mock{
		Switches: lab.NewSwitches(Settings{
			Settings: wspa.Defaults(), Number: NCivico, Yes: "OK", Granted: 60_000, Slow: 2 * time.Second,
		}),
		tries: map[string]int{},
	}
	m.Gate = wspa.New(appSeat, func() wspa.Settings { return m.Settings().Settings })
	return m
}

// Name is "registroimprese".
func (m *Mock) Name() string { return "registroimprese" }

// Business is everything on both roads but the login, which faults reach by name (inject on "registroimprese POST
// /authentication").
func (m *Mock) Business() []string {
	return []string{
		"registroimprese * /sede/*", "registroimprese * /esistenzari/*", "registroimprese * /legaleRappresentante/*",
		"registroimprese * /listaLegaleRappresentante/*", "registroimprese * /imprese/*",
	}
}

// Own lists the misdeeds that the mock does itself: on tokens, and those whose answer must have the shape of the road
// that was taken.
func (m *Mock) Own() []lab.Misdeed {
	return append(m.Gate.Own(), lab.Status, lab.StaleVoucher, lab.Throttle)
}

// Attach serves both roads on one listener. The bench may hold the mock of PDND; without it that road lets nobody in.
func (m *Mock) Attach(b *lab.Bench) (err error) {
	m.bench = b
	if err := m.Gate.Open(b, m.Name()); err != nil {
		return err
	}
	guard := m.closed
	if platform, ok := b.Mock("pdnd").(*pdnd.Mock); ok {
		m.platform = platform
		platform.Register(m.Name(), Audience)
		guard = platform.Guard(Audience, func(w http.ResponseWriter, _ *http.Request, status int) {
			writeProblem(w, status, "", "Voucher non valido")
		})
	}
	mux := http.NewServeMux()
	gateway := func(method, path, scope, app string, h http.HandlerFunc) {
		mux.HandleFunc(method+" "+WSPAPrefix+path, m.Entitled(scope, m.limited(app, h)))
	}
	mux.HandleFunc("POST "+WSPAPrefix+"/authentication", m.Authenticate)
	gateway("POST", "/sede/{cf}", wspa.ScopeSeat, appSeat, m.seat)
	gateway("GET", "/esistenzari/{cf}", wspa.ScopeSeat, appSeat, m.exists)
	gateway("GET", "/legaleRappresentante/{cfPersona}", wspa.ScopeSpeaks, appSpeaks, m.represents)
	gateway("GET", "/listaLegaleRappresentante/{cfPersona}", wspa.ScopeSpeaks, appSpeaks, m.represented)
	mux.Handle("GET "+PDNDPrefix+"/imprese/{codiceFiscale}", guard(m.granted(http.HandlerFunc(m.enterprise))))
	mux.HandleFunc("GET "+PDNDPrefix+"/status", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusOK, "", "Il servizio risponde")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if onPDND(r) {
			refuse(w, r, http.StatusNotFound, "Risorsa non trovata", "path: no such operation")
			return
		}
		m.Unknown(w, r)
	})
	m.base, err = b.ServeHTTP(m.Name(), roads{mux, m})
	m.Stand(m.WSPAURL())
	return err
}

// WSPAURL is the base of the road over the gateway.
func (m *Mock) WSPAURL() string { return m.base + WSPAPrefix }

// PDNDURL is the base of the road over PDND.
func (m *Mock) PDNDURL() string { return m.base + PDNDPrefix }

func onPDND(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, PDNDPrefix+"/") }

// roads serve both prefixes; labels in the journal leave them out.
type roads struct {
	*http.ServeMux
	m *Mock
}

func (h roads) Handler(r *http.Request) (http.Handler, string) {
	next, pattern := h.ServeMux.Handler(r)
	return next, strings.NewReplacer(" "+WSPAPrefix+"/", " /", " "+PDNDPrefix+"/", " /").Replace(pattern)
}

// ServeHTTP does first what ends an exchange on either road: an injected status in that road's shape, and the gateway's
// night.
func (h roads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, _ := lab.FaultOf(r.Context())
	switch f.Do {
	case lab.Status:
		h.m.inject(w, r, f.Status, f.Body)
	case lab.StaleVoucher:
		h.m.inject(w, r, http.StatusUnauthorized, f.Body)
	case lab.Throttle:
		w.Header().Set("Retry-After", "2")
		h.m.inject(w, r, http.StatusTooManyRequests, f.Body)
	default:
		if !onPDND(r) && h.m.asleep() {
			h.m.Refuse(w, r, appSeat, http.StatusServiceUnavailable, "WSPA_ERR_503", "maintenance: between 21 and 8")
			return
		}
		h.ServeMux.ServeHTTP(w, r)
	}
}

func (m *Mock) inject(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	contentType, own := m.Problem(status)
	if onPDND(r) {
		contentType, own = "application/problem+json", problem(status, "", http.StatusText(status))
	}
	if body == nil {
		body = own
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(body)
}

// An Asked is what the mock understood of a request; the journal shows it as Parsed.
type Asked struct {
	Company string // codice fiscale or partita IVA
	Person  string // codice fiscale of a representative
	Profile string // on PDND
	User    string // userID of the evidence, with Audit
}
