package inipec

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"time"

	"raccordo/mocks/lab"
)

// A stored list is one request for many codes.
type stored struct {
	codes []string
	asked time.Time
	polls int
}

const maxLists = 10_000 // held at a time; beyond it 503

// An Asked is what the mock understood of a request; the journal shows it as Parsed.
type Asked struct {
	Codes []string
	List  string // identifier of a list asked for or fetched
	Day   string // of an attestation
}

// order is POST /richiestaElencoPec.
func (m *Mock) order(w http.ResponseWriter, r *http.Request) {
	codes, rule := readOrder(r)
	lab.Parsed(r.Context(), Asked{Codes: codes})
	if rule != "" {
		m.refuse(w, r, http.StatusBadRequest, "WSPA_ERR_01", rule)
		return
	}
	now, id := m.bench.Clock().Now(), m.UUID()
	if !m.lists.Put(id, &stored{codes: codes, asked: now}) {
		m.refuse(w, r, http.StatusServiceUnavailable, "WSPA_ERR_503", "lists: too many at a time")
		return
	}
	lab.Parsed(r.Context(), Asked{Codes: codes, List: id})
	m.Answer(w, http.StatusOK, map[string]string{"identificativoRichiesta": id, "dataOraEstrazione": m.Stamp()})
}

// readOrder gives the first rule that the request breaks.
func readOrder(r *http.Request) (codes []string, rule string) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, "content type: want application/json"
	}
	var body struct {
		At    string `json:"dataOraRichiesta"`
		Codes []struct {
			Code string `json:"cf"`
		} `json:"elencoCf"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, "body: not the JSON object of the contract"
	}
	for _, c := range body.Codes {
		codes = append(codes, c.Code)
	}
	switch {
	case !isInstant(body.At):
		return codes, "dataOraRichiesta: not a date and time"
	case len(codes) == 0:
		return codes, "elencoCf: missing or empty"
	case len(codes) > MaxList:
		return codes, "elencoCf: more than 10,000"
	}
	for _, c := range codes {
		if len(c) != 16 && len(c) != 11 {
			return codes, "elencoCf: a code has neither 16 nor 11 characters"
		}
	}
	return codes, ""
}

// isInstant takes a date and time with a zone, as the contract says, or without, as a client in production sends it.
func isInstant(s string) bool {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05.999999999"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// fetch is GET /getElencoPec/{identificativoRichiesta}. An unknown list and, by the manual, one that is not ready both
// answer 404.
func (m *Mock) fetch(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("identificativoRichiesta")
	lab.Parsed(r.Context(), Asked{List: id})
	l, found := m.lists.Find(id)
	s, ready := m.Settings(), false
	if found {
		m.mu.Lock()
		l.polls++
		ready = l.polls > s.Polls && m.bench.Clock().Now().Sub(l.asked) >= s.Delay
		m.mu.Unlock()
	}
	switch {
	case !found:
		m.refuse(w, r, http.StatusNotFound, "WSPA_ERR_404", "identificativoRichiesta: unknown list, or kept no longer")
	case !ready && s.NotReady == Status:
		m.Answer(w, http.StatusNotFound, m.Failure(app, "WSPA_ERR_05", "List PEC in progress"))
	case !ready:
		m.Answer(w, http.StatusOK, m.Failure(app, "WSPA_ERR_05", "List PEC in progress"))
	default:
		m.Answer(w, http.StatusOK, m.tell(id, l.codes, s))
	}
}

// tell is the answer to a list: an element per code, in the shape of the day.
func (m *Mock) tell(id string, codes []string, s Settings) map[string]any {
	out := map[string]any{"dataOraDownload": m.Stamp(), "identificativoRichiesta": id}
	if s.ListError != "" {
		out["descrizioneErrore"] = s.ListError
	}
	if s.NullList {
		out["elencoPec"] = nil
		return out
	}
	elements := []map[string]any{}
	for _, code := range codes {
		e := map[string]any{"cf": code}
		if member, ok := m.bench.ByCode(code); ok && member.INIPEC != nil {
			fill(e, *member.INIPEC, s.Professionals)
		}
		if len(e) > 1 || !s.MissingCodes {
			elements = append(elements, e)
		}
	}
	out["elencoPec"] = elements
	return out
}

func fill(e map[string]any, l lab.Listing, shape Shape) {
	if l.Enterprise != "" {
		e["pecImpresa"] = l.Enterprise
	}
	if len(l.Professionals) == 0 {
		return
	}
	list, item := "pecProfessionistas", "pecProfessionista"
	if shape == Shape2024 {
		list, item = "pecProfessionista", "pec"
	}
	var addresses []map[string]string
	for _, a := range l.Professionals {
		addresses = append(addresses, map[string]string{item: a})
	}
	e[list] = addresses
}

// attest is GET /attestazioniPec/{cf}?data=: a stand-in for the signed PDF, which says that it is one.
func (m *Mock) attest(w http.ResponseWriter, r *http.Request) {
	code, on := r.PathValue("cf"), r.URL.Query().Get("data")
	lab.Parsed(r.Context(), Asked{Codes: []string{code}, Day: on})
	if _, err := time.Parse(time.DateOnly, on); err != nil {
		m.refuse(w, r, http.StatusBadRequest, "WSPA_ERR_01", "data: not a day as yyyy-MM-dd")
		return
	}
	member, ok := m.bench.ByCode(code)
	if !ok || member.INIPEC == nil || member.INIPEC.Enterprise == "" && len(member.INIPEC.Professionals) == 0 {
		m.Answer(w, http.StatusOK, m.Failure(app, "WSPA_ERR_04", "No data found")) // an answer with authority
		return
	}
	m.Track(w)
	w.Header().Set("Content-Type", "application/pdf")
	fmt.Fprintf(w, "%%PDF-1.4\n%% Stand-in for a signed attestation, made by a mock, without legal value\n%% %s %s\n%%%%EOF\n",
		member.INIPEC.Enterprise, on)
}
