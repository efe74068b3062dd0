package inad

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

const (
	// Prefix is the path of the service; the mock's URL includes it.
	Prefix = "/rest/inad/v1/domiciliodigitale"
	// Audience is the e-service's, as on the platform's test environment.
	Audience = "https://domiciliodigitaleapi.oscl.infocamere.it/rest/inad/v1/domiciliodigitale"

	// MaxList is how many codes one list may ask for.
	MaxList = 1000
	// Kept is how long a list's answer is kept after it was asked for.
	Kept = 48 * time.Hour
)

// Settings are the mock's switches.
type Settings struct {
	Polls       int           // state requests answered "not ready" before a list is; 2
	Delay       time.Duration // bench time before a list is ready, on top of Polls; 0
	Lenient     bool          // a list may also say practicalReference, as parameters do
	Location    string        // base of Location headers instead of the mock's own; empty: its own
	Usage       lab.Usage     // how every address without an end is told, where its owner's story does not say
	EmptyAbsent bool          // lists leave digitalAddress out for everybody without one, instead of an empty array
	Slow        time.Duration // real time that a slow member's first look-up takes; 2 seconds
}

// Mock is the register. New makes one; Attach serves it.
type Mock struct {
	*lab.Switches[Settings]

	mu    sync.Mutex
	tries map[string]int // single look-ups of members with a quirk

	lists *lab.Shelf[*stored]
	bench *lab.Bench
	names *lab.Names
	base  string
}

// New is a register with the default settings.
func New() *Mock {
	return &Mock{Switches: lab.NewSwitches(Settings{Polls: 2, Slow: 2 * time.Second}), tries: map[string]int{}}
}

// Name is "inad".
func (m *Mock) Name() string { return "inad" }

// Attach serves the five operations; the bench must hold the mock of PDND too.
func (m *Mock) Attach(b *lab.Bench) (err error) {
	platform, ok := b.Mock("pdnd").(*pdnd.Mock)
	if !ok {
		return errors.New("inad: attach pdnd as well: vouchers are issued and checked there")
	}
	platform.Register(m.Name(), Audience)
	m.bench, m.names = b, b.Names("inad")
	m.lists = lab.NewShelf[*stored](b.Clock(), maxLists, Kept)
	guard := platform.Guard(Audience, func(w http.ResponseWriter, _ *http.Request, status int) {
		writeProblem(w, status, "Voucher non valido")
	})
	mux := http.NewServeMux()
	route := func(method, path string, h http.HandlerFunc) { mux.Handle(method+" "+Prefix+path, guard(h)) }
	route("GET", "/extract/{codice_fiscale}", m.extract)
	route("GET", "/verify/{codice_fiscale}", m.verify)
	route("POST", "/listDigitalAddress", m.order)
	route("GET", "/listDigitalAddress/state/{id}", m.state)
	route("GET", "/listDigitalAddress/response/{id}", m.response)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusNotFound, "Risorsa non trovata", "path: no such operation")
	})
	m.base, err = b.ServeHTTP(m.Name(), lab.Under(Prefix, mux))
	return err
}

// Problem is the contract's error body: the status is a text and there is no title.
func (m *Mock) Problem(status int) (contentType string, body []byte) {
	return "application/problem+json", problem(status, http.StatusText(status))
}

func problem(status int, detail string) []byte {
	types := map[int]string{
		400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND",
		500: "INTERNAL_SERVER_ERROR", 503: "SERVICE_UNAVAILABLE",
	}
	body, err := json.Marshal(struct {
		Status string `json:"status"`
		Type   string `json:"type,omitempty"`
		Detail string `json:"detail"`
	}{strconv.Itoa(status), types[status], detail})
	if err != nil {
		panic("inad: a problem of plain fields: " + err.Error()) // cannot happen
	}
	return body
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(problem(status, detail))
}

// refuse answers a problem and tells the journal which rule was broken.
func refuse(w http.ResponseWriter, r *http.Request, status int, detail, rule string) {
	lab.Refused(r.Context(), rule)
	writeProblem(w, status, detail)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// stamp is an instant as the contract writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
