package inipec

import (
	"net/http"
	"sync"
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/wspa"
)

const (
	// Prefix is the path of the gateway; the mock's URL includes it.
	Prefix = wspa.Prefix
	// OfficialBase is the base of the real test environment, which an assertion's aud may name.
	OfficialBase = wspa.OfficialBase
	// MaxList is how many codes one list may ask for.
	MaxList = 10_000
	// Kept is how long a list is kept after it was asked for.
	Kept = 72 * time.Hour

	app = "wspa-pedf" // the back end, as its errors name it
)

// A Shape is how a list tells the addresses of professionals.
type Shape string

// The shapes.
const (
	ShapeOfficial Shape = "official" // pecProfessionistas: [{pecProfessionista}]
	Shape2024     Shape = "2024"     // pecProfessionista: [{pec}]
)

// A Style is one of two ways of saying the same.
type Style = wspa.Style

// The styles of 401 and of a list that is not ready.
const (
	Gateway        = wspa.Gateway
	BackEnd        = wspa.BackEnd
	Status   Style = "404" // as the manual says
	InsideOK Style = "200" // WSPA_ERR_05 inside a 200, as seen live
)

// Settings are the mock's switches, on top of those of the gate.
type Settings struct {
	wspa.Settings

	Polls         int           // fetches answered "not ready" before a list is; 2
	Delay         time.Duration // bench time before a list is ready, on top of Polls; 0
	NotReady      Style         // InsideOK or Status; InsideOK
	Professionals Shape         // ShapeOfficial or Shape2024; ShapeOfficial
	NullList      bool          // elencoPec is null
	MissingCodes  bool          // codes without any address are left out, instead of told without fields
	ListError     string        // descrizioneErrore; empty: none
}

// Mock is INI-PEC behind its gateway. New makes one; Attach serves it.
type Mock struct {
	*lab.Switches[Settings]
	*wspa.Gate

	mu    sync.Mutex // guards what is in the lists
	lists *lab.Shelf[*stored]
	bench *lab.Bench
	base  string
}

// New is an INI-PEC with the default settings.
func New() *Mock {
	m := &Mock{Switches: lab.NewSwitches(Settings{
		Settings: wspa.Defaults(), Polls: 2, NotReady: InsideOK, Professionals: ShapeOfficial,
	})}
	m.Gate = wspa.New(app, func() wspa.Settings { return m.Settings().Settings })
	return m
}

// Name is "inipec".
func (m *Mock) Name() string { return "inipec" }

// Business is everything but the login, which faults reach by name ("inipec:503" spoils business only; inject on
// "inipec POST /authentication").
func (m *Mock) Business() []string {
	return []string{"inipec * /richiestaElencoPec", "inipec * /getElencoPec/*", "inipec * /attestazioniPec/*"}
}

// Attach serves the gateway, and writes the client's key and certificate into the bench's folder.
func (m *Mock) Attach(b *lab.Bench) (err error) {
	m.bench = b
	m.lists = lab.NewShelf[*stored](b.Clock(), maxLists, Kept)
	if err = m.Open(b, m.Name()); err != nil {
		return err
	}
	mux := http.NewServeMux()
	route := func(method, path string, h http.HandlerFunc) {
		mux.HandleFunc(method+" "+Prefix+path, m.Entitled(wspa.ScopePEC, h))
	}
	mux.HandleFunc("POST "+Prefix+"/authentication", m.Authenticate)
	route("POST", "/richiestaElencoPec", m.order)
	route("GET", "/getElencoPec/{identificativoRichiesta}", m.fetch)
	route("GET", "/attestazioniPec/{cf}", m.attest)
	mux.HandleFunc("/", m.Unknown)
	m.base, err = b.ServeHTTP(m.Name(), lab.Under(Prefix, mux))
	m.Stand(m.base)
	return err
}

// refuse answers an error and tells the journal which rule was broken.
func (m *Mock) refuse(w http.ResponseWriter, r *http.Request, status int, code, rule string) {
	m.Refuse(w, r, app, status, code, rule)
}
