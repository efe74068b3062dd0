package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// serveAdmin opens the testers' endpoint: faults, journal, clock, seed and cast as JSON, over plain HTTP on loopback.
func (b *Bench) serveAdmin() error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_lab/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, b.adminFaults()) })
	mux.HandleFunc("POST /_lab/faults", b.adminInject)
	mux.HandleFunc("DELETE /_lab/faults", func(w http.ResponseWriter, _ *http.Request) {
		b.Clear()
		reply(w, b.adminFaults())
	})
	mux.HandleFunc("GET /_lab/journal", b.adminJournal)
	mux.HandleFunc("GET /_lab/clock", func(w http.ResponseWriter, _ *http.Request) { reply(w, b.adminClock()) })
	mux.HandleFunc("POST /_lab/clock", b.adminSet)
	mux.HandleFunc("GET /_lab/seed", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]uint64{"seed": b.seed})
	})
	mux.HandleFunc("GET /_lab/cast", func(w http.ResponseWriter, _ *http.Request) { reply(w, b.Cast()) })
	l, err := b.listen("lab", "http", "connect")
	if err != nil {
		return err
	}
	b.admin, b.desk = "http://"+l.Addr().String()+"/_lab/", mux
	b.serve(mux, l)
	return nil
}

// Admin adds a mock's own switches to the admin endpoint: pattern is a method and a path under /_lab/, such as
// "POST pec/chaos". The handler must be safe for concurrent use, and harmless once the mock is closed.
func (b *Bench) Admin(pattern string, h http.HandlerFunc) {
	method, path, _ := strings.Cut(pattern, " ")
	b.desk.HandleFunc(method+" /_lab/"+path, h)
}

// faultJSON is a Fault on the admin wire; alternatively Misbehave by name.
type faultJSON struct {
	Misbehave string  `json:"misbehave,omitempty"`
	Match     string  `json:"match,omitempty"`
	Times     int     `json:"times"`
	Wait      string  `json:"wait,omitempty"`
	Do        Misdeed `json:"do,omitempty"`
	Status    int     `json:"status,omitempty"`
	Body      string  `json:"body,omitempty"`
	Chance    float64 `json:"chance,omitempty"`
}

func (b *Bench) adminFaults() []faultJSON {
	out := []faultJSON{}
	for _, f := range b.Faults() {
		j := faultJSON{Match: f.Match, Times: f.Times, Do: f.Do, Status: f.Status, Body: string(f.Body), Chance: f.Chance}
		if f.Wait > 0 {
			j.Wait = f.Wait.String()
		}
		out = append(out, j)
	}
	return out
}

func (b *Bench) adminInject(w http.ResponseWriter, r *http.Request) {
	var j faultJSON
	if !decode(w, r, &j) {
		return
	}
	if j.Misbehave != "" {
		if err := b.Misbehave(j.Misbehave, j.Times); err != nil {
			refuse(w, err)
			return
		}
		reply(w, b.adminFaults())
		return
	}
	f := Fault{Match: j.Match, Times: j.Times, Do: j.Do, Status: j.Status, Chance: j.Chance}
	if j.Body != "" {
		f.Body = []byte(j.Body)
	}
	if j.Wait != "" {
		d, err := time.ParseDuration(j.Wait)
		if err != nil {
			refuse(w, fmt.Errorf("wait: %w", err))
			return
		}
		f.Wait = d
	}
	if err := f.validate(); err != nil {
		refuse(w, err)
		return
	}
	b.Inject(f)
	reply(w, b.adminFaults())
}

type exchangeJSON struct {
	N        uint64    `json:"n"`
	At       time.Time `json:"at"`
	Mock     string    `json:"mock"`
	Label    string    `json:"label"`
	Status   string    `json:"status"`
	Refused  string    `json:"refused,omitempty"`
	Fault    string    `json:"fault,omitempty"`
	Parsed   any       `json:"parsed,omitempty"`
	Request  string    `json:"request,omitempty"`
	Response string    `json:"response,omitempty"`
}

// adminJournal answers lines after the number given, at most max of them (1,000 by default), of those matching.
func (b *Bench) adminJournal(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, err1 := number(q.Get("after"), 0)
	limit, err2 := number(q.Get("max"), 1000)
	if err1 != nil || err2 != nil {
		refuse(w, fmt.Errorf("after and max are whole numbers"))
		return
	}
	match := q.Get("match")
	if match == "" {
		match = "*"
	}
	lines := []exchangeJSON{}
	for _, e := range b.Journal() {
		if e.N <= after || !matches(match, e.Mock+" "+e.Label) {
			continue
		}
		if uint64(len(lines)) == limit {
			break
		}
		lines = append(lines, exchangeJSON{
			e.N, e.At, e.Mock, e.Label, e.Status, e.Refused, e.Fault, parsedJSON(e.Parsed),
			text(e.Request), text(e.Response),
		})
	}
	reply(w, map[string]any{"exchanges": lines, "dropped": b.Dropped(), "in_flight": b.InFlight()})
}

func number(s string, def uint64) (uint64, error) {
	if s == "" {
		return def, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// parsedJSON keeps one value that JSON cannot say from spoiling the whole journal.
func parsedJSON(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return json.RawMessage(raw)
}

func text(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	return strconv.QuoteToASCII(string(raw))
}

func (b *Bench) adminClock() map[string]any {
	out := map[string]any{"now": b.clock.Now()}
	if next, ok := b.clock.Next(); ok {
		out["next"] = next
	}
	return out
}

// adminSet moves the clock: {"advance":"90m"}, {"to":"2026-11-22T08:00:00Z"} or {"step":"-1h"}.
func (b *Bench) adminSet(w http.ResponseWriter, r *http.Request) {
	var j struct {
		Advance string    `json:"advance"`
		To      time.Time `json:"to"`
		Step    string    `json:"step"`
	}
	if !decode(w, r, &j) {
		return
	}
	switch {
	case j.Advance != "":
		d, err := time.ParseDuration(j.Advance)
		if err != nil || d < 0 {
			refuse(w, fmt.Errorf("advance: want a duration that is not negative, such as 90m"))
			return
		}
		b.Advance(d)
	case !j.To.IsZero():
		b.clock.AdvanceTo(j.To)
	case j.Step != "":
		d, err := time.ParseDuration(j.Step)
		if err != nil {
			refuse(w, fmt.Errorf("step: want a duration, such as -1h"))
			return
		}
		b.clock.Step(d)
	default:
		refuse(w, fmt.Errorf("want advance, to or step"))
		return
	}
	reply(w, b.adminClock())
}

func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		refuse(w, fmt.Errorf("body: %w", err))
		return false
	}
	return true
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
