package inad

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // a verification is about a day in Italy, on machines without a zone file too

	"raccordo/mocks/lab"
)

// The contract's own patterns. The first lacks a group, so that each half anchors one end only: twelve digits pass, and
// no omocodic code does.
var (
	codePattern    = regexp.MustCompile(`^([0-9]{11})|([A-Za-z]{6}[0-9]{2}[A-Za-z]{1}[0-9]{2}[A-Za-z]{1}[0-9]{3}[A-Za-z]{1})$`)
	addressPattern = regexp.MustCompile(`^[a-zA-Z0-9_.+-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+$`)
	rome           = mustLoad("Europe/Rome")
)

func mustLoad(zone string) *time.Location {
	l, err := time.LoadLocation(zone)
	if err != nil {
		panic("inad: " + err.Error()) // the zones are compiled in
	}
	return l
}

// An Asked is what the mock understood of a request; the journal shows it as Parsed.
type Asked struct {
	Codes     []string
	Reference string
	Address   string // verify
	Day       string // verify
	List      string // id of a list asked for or read
}

// element is one address of an answer. usageInfo is a pointer to a pointer so that null can be told from absent.
type element struct {
	Address    string  `json:"digitalAddress"`
	Profession string  `json:"practicedProfession,omitempty"`
	Usage      **usage `json:"usageInfo,omitempty"`
}

type usage struct {
	Motivation string `json:"motivation"`
	End        string `json:"dateEndValidity"`
}

// extraction is an answer about one code; the pointer tells an empty array from none.
type extraction struct {
	Code      string     `json:"codiceFiscale"`
	Since     string     `json:"since"`
	Addresses *[]element `json:"digitalAddress,omitempty"`
}

// checkCode applies the contract's pattern; false when a refusal was written.
func checkCode(w http.ResponseWriter, r *http.Request, code string) bool {
	if codePattern.MatchString(code) {
		return true
	}
	refuse(w, r, http.StatusBadRequest, "Codice fiscale non valido", "codice_fiscale: against the contract's pattern")
	return false
}

// checkParameter wants a parameter exactly once and not empty; false when a refusal was written.
func checkParameter(w http.ResponseWriter, r *http.Request, q url.Values, name string) bool {
	if len(q[name]) == 1 && q.Get(name) != "" {
		return true
	}
	refuse(w, r, http.StatusBadRequest, "Parametro "+name+" assente o non valido", name+": missing, empty or repeated")
	return false
}

// extract is GET /extract/{codice_fiscale}.
func (m *Mock) extract(w http.ResponseWriter, r *http.Request) {
	code, q := r.PathValue("codice_fiscale"), r.URL.Query()
	lab.Parsed(r.Context(), Asked{Codes: []string{code}, Reference: q.Get("practicalReference")})
	if !checkCode(w, r, code) || !checkParameter(w, r, q, "practicalReference") {
		return
	}
	member, ok := m.bench.ByCode(code)
	if !ok {
		member = lab.Member{CodiceFiscale: code}
	}
	if m.troubled(w, r, member) {
		return
	}
	answer := m.about(member, false)
	if answer.Addresses == nil || len(*answer.Addresses) == 0 {
		writeProblem(w, http.StatusNotFound, "CF non trovato") // an answer with authority, not a refusal
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// troubled plays the quirks of single look-ups; true when the answer was written.
func (m *Mock) troubled(w http.ResponseWriter, r *http.Request, member lab.Member) bool {
	if member.Quirk == "" {
		return false
	}
	slow := m.Settings().Slow
	m.mu.Lock()
	m.tries[member.CodiceFiscale]++
	try := m.tries[member.CodiceFiscale]
	m.mu.Unlock()
	switch {
	case member.Quirk == lab.QuirkBroken:
		writeProblem(w, http.StatusInternalServerError, "Errore interno")
		return true
	case member.Quirk == lab.QuirkBusy && try <= 2:
		writeProblem(w, http.StatusServiceUnavailable, "Servizio non disponibile")
		return true
	case member.Quirk == lab.QuirkReset && try == 1:
		lab.Misdo(r.Context(), lab.Fault{Do: lab.DropAfterAccept})
	case member.Quirk == lab.QuirkSlow && try == 1:
		lab.Pause(r.Context(), m.bench, slow)
	}
	return false
}

// about tells what is held about a member now. An address that has ceased is still told, with its end; one that was
// replaced is not.
func (m *Mock) about(member lab.Member, listed bool) extraction {
	now, settings := m.bench.Clock().Now(), m.Settings()
	elements := []element{}
	for _, d := range member.INAD {
		if !d.Past && !now.Before(d.From) {
			elements = append(elements, tell(d, settings.Usage))
		}
	}
	out := extraction{Code: strings.ToUpper(member.CodiceFiscale), Since: stamp(now), Addresses: &elements}
	if listed && len(elements) == 0 && (settings.EmptyAbsent || member.Quirk == lab.QuirkAbsentInList) {
		out.Addresses = nil
	}
	return out
}

// endless stands for "no end" where the contract demands one.
var endless = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

func tell(d lab.Domicile, def lab.Usage) element {
	e := element{Address: d.Address, Profession: d.Profession}
	u := &usage{Motivation: "CESSAZIONE_VOLONTARIA", End: stamp(endless)}
	how := d.Usage
	if how == lab.UsageContract {
		how = def
	}
	switch {
	case !d.Until.IsZero():
		u = &usage{Motivation: d.Motivation, End: stamp(d.Until)}
	case how == lab.UsageOmitted:
		return e
	case how == lab.UsageNull:
		u = nil
	}
	e.Usage = &u
	return e
}

// verify is GET /verify/{codice_fiscale}: was that address tied to that code on that day?
func (m *Mock) verify(w http.ResponseWriter, r *http.Request) {
	code, q := r.PathValue("codice_fiscale"), r.URL.Query()
	address, since := q.Get("digital_address"), q.Get("since")
	lab.Parsed(r.Context(), Asked{Codes: []string{code}, Reference: q.Get("practicalReference"), Address: address, Day: since})
	if !checkCode(w, r, code) || !checkParameter(w, r, q, "practicalReference") ||
		!checkParameter(w, r, q, "digital_address") || !checkParameter(w, r, q, "since") {
		return
	}
	if !addressPattern.MatchString(address) {
		refuse(w, r, http.StatusBadRequest, "Indirizzo non valido", "digital_address: against the contract's pattern")
		return
	}
	asked, err := time.ParseInLocation(time.DateOnly, since, rome)
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "Data non valida", "since: not a day as yyyy-MM-dd")
		return
	}
	member, ok := m.bench.ByCode(code)
	if !ok || len(member.INAD) == 0 {
		writeProblem(w, http.StatusNotFound, "CF non trovato")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"outcome": heldOn(member, address, asked), "dateTimeCheck": stamp(m.bench.Clock().Now()),
	})
}

// heldOn compares days in Italy: an address counts on the day it was elected and on the day it ended.
func heldOn(member lab.Member, address string, asked time.Time) bool {
	next := asked.AddDate(0, 0, 1)
	for _, d := range member.INAD {
		if strings.EqualFold(d.Address, address) && d.From.Before(next) && (d.Until.IsZero() || !d.Until.Before(asked)) {
			return true
		}
	}
	return false
}
