package inad

import (
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"raccordo/mocks/lab"
)

// A stored list is one request for many codes.
type stored struct {
	codes     []string
	asked     time.Time
	polls     int
	available bool
}

const maxLists = 10_000 // held at a time; beyond it 503

var idPattern = regexp.MustCompile(`^[{]?[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}[}]?$`)

// order is POST /listDigitalAddress. The body's name of the reference lacks a letter, in the contract too.
func (m *Mock) order(w http.ResponseWriter, r *http.Request) {
	codes, reference, rule := readOrder(r, m.Settings().Lenient)
	lab.Parsed(r.Context(), Asked{Codes: codes, Reference: reference})
	if rule != "" {
		refuse(w, r, http.StatusBadRequest, "Richiesta non valida", rule)
		return
	}
	now := m.bench.Clock().Now()
	id := m.names.UUID()
	if !m.lists.Put(id, &stored{codes: codes, asked: now}) {
		refuse(w, r, http.StatusServiceUnavailable, "Servizio non disponibile", "lists: too many at a time")
		return
	}
	lab.Parsed(r.Context(), Asked{Codes: codes, Reference: reference, List: id})
	w.Header().Set("Location", m.location("state", id))
	writeJSON(w, http.StatusAccepted, map[string]string{
		"state":   "PRESA_IN_CARICO",
		"message": "Richiesta elenco presa in carico", "id": id, "dateTimeRequest": stamp(now),
	})
}

// readOrder gives the first rule that the request breaks.
func readOrder(r *http.Request, lenient bool) (codes []string, reference, rule string) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, "", "content type: want application/json"
	}
	var body struct {
		Codes     []string `json:"codiciFiscali"`
		Reference *string  `json:"praticalReference"`
		Other     *string  `json:"practicalReference"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, "", "body: not the JSON object of the contract"
	}
	if body.Reference == nil && lenient {
		body.Reference = body.Other
	}
	switch {
	case body.Reference == nil:
		return body.Codes, "", "praticalReference: missing"
	case *body.Reference == "":
		return body.Codes, "", "praticalReference: empty"
	case len(body.Codes) == 0:
		return body.Codes, *body.Reference, "codiciFiscali: missing or empty"
	case len(body.Codes) > MaxList:
		return body.Codes, *body.Reference, "codiciFiscali: more than 1,000"
	}
	for _, c := range body.Codes {
		if !codePattern.MatchString(c) {
			return body.Codes, *body.Reference, "codiciFiscali: one is against the contract's pattern"
		}
	}
	return body.Codes, *body.Reference, ""
}

func (m *Mock) location(what, id string) string {
	base := m.base
	if other := m.Settings().Location; other != "" {
		base = other
	}
	return base + "/listDigitalAddress/" + what + "/" + id
}

// find gives the list of a path's id; when there is none the refusal was written.
func (m *Mock) find(w http.ResponseWriter, r *http.Request) (*stored, string) {
	id := r.PathValue("id")
	lab.Parsed(r.Context(), Asked{List: id})
	if len(id) < 20 || len(id) > 40 || !idPattern.MatchString(id) {
		refuse(w, r, http.StatusBadRequest, "Identificativo non valido", "id: against the contract's pattern")
		return nil, ""
	}
	id = strings.ToLower(strings.Trim(id, "{}"))
	l, ok := m.lists.Find(id)
	if !ok {
		refuse(w, r, http.StatusNotFound, "Richiesta elenco non trovata", "id: unknown list, or kept no longer")
	}
	return l, id
}

// state is GET /listDigitalAddress/state/{id}: 200 while it is not ready, 303 once it is.
func (m *Mock) state(w http.ResponseWriter, r *http.Request) {
	l, id := m.find(w, r)
	if l == nil {
		return
	}
	s := m.Settings()
	m.mu.Lock()
	l.polls++
	polls := l.polls
	l.available = l.available || polls > s.Polls && m.bench.Clock().Now().Sub(l.asked) >= s.Delay
	available := l.available
	m.mu.Unlock()
	switch {
	case available:
		w.Header().Set("Location", m.location("response", id))
		writeJSON(w, http.StatusSeeOther, map[string]string{"state": "DISPONIBILE", "message": "Richiesta elenco disponibile"})
	case polls == 1:
		writeJSON(w, http.StatusOK, map[string]string{"state": "PRESA_IN_CARICO", "message": "Richiesta elenco presa in carico"})
	default:
		writeJSON(w, http.StatusOK, map[string]string{"state": "IN_ELABORAZIONE", "message": "Richiesta elenco in elaborazione"})
	}
}

// response is GET /listDigitalAddress/response/{id}. Each code asked for is in the answer, once per time it was asked.
func (m *Mock) response(w http.ResponseWriter, r *http.Request) {
	l, _ := m.find(w, r)
	if l == nil {
		return
	}
	m.mu.Lock()
	available := l.available
	m.mu.Unlock()
	if !available {
		refuse(w, r, http.StatusNotFound, "Richiesta elenco non disponibile", "id: the list is not ready")
		return
	}
	entries := make([]extraction, 0, len(l.codes))
	for _, code := range l.codes {
		member, ok := m.bench.ByCode(code)
		if !ok {
			member = lab.Member{CodiceFiscale: code}
		}
		entries = append(entries, m.about(member, true))
	}
	writeJSON(w, http.StatusOK, map[string]any{"list": entries})
}
