package registroimprese

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"raccordo/mocks/lab"
)

// The back ends, as their errors name them.
const (
	appSeat   = "wspa-sede"
	appSpeaks = "wspa-lrpf"
)

// codePattern takes a codice fiscale of either kind, omocodic ones included, or a partita IVA.
var codePattern = regexp.MustCompile(
	`^([0-9]{11}|[A-Za-z]{6}[0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{3}[A-Za-z])$`)

// readCompany reads a question about an enterprise: a code in the path, no parameter but the client's, no body.
func readCompany(r *http.Request) (Asked, string) {
	a := Asked{Company: r.PathValue("cf")}
	rule := onlyParameters(r.URL.Query(), "client_id")
	switch n, _ := io.Copy(io.Discard, r.Body); {
	case !codePattern.MatchString(a.Company):
		return a, "cf: neither 11 digits nor a person's code"
	case n > 0:
		return a, "body: want none"
	}
	return a, rule
}

// readMandate reads "does this person represent that enterprise"; list leaves the enterprise out.
func readMandate(r *http.Request, list bool) (Asked, string) {
	q := r.URL.Query()
	a := Asked{Person: r.PathValue("cfPersona"), Company: q.Get("cfImpresa")}
	known := []string{"client_id"}
	if !list {
		known = append(known, "cfImpresa")
	}
	rule := onlyParameters(q, known...)
	switch {
	case !codePattern.MatchString(a.Person):
		return a, "cfPersona: neither 11 digits nor a person's code"
	case rule == "" && !list && len(q["cfImpresa"]) != 1:
		return a, "cfImpresa: missing or repeated"
	case rule == "" && !list && !codePattern.MatchString(a.Company):
		return a, "cfImpresa: neither 11 digits nor a person's code"
	}
	return a, rule
}

func onlyParameters(q url.Values, known ...string) string {
	for name := range q {
		if !slices.Contains(known, name) {
			return "query: a parameter that is not the operation's"
		}
	}
	return ""
}

func (m *Mock) bad(w http.ResponseWriter, r *http.Request, app, rule string) {
	m.Refuse(w, r, app, http.StatusBadRequest, "WSPA_ERR_01", rule)
}

// none is the gateway's word that it holds no such thing: an answer with authority, told inside a 200.
func (m *Mock) none(w http.ResponseWriter, app, description string) {
	m.Answer(w, http.StatusOK, m.Failure(app, "WSPA_ERR_04", description))
}

// consult takes a question about an enterprise to the register. Nil: it is answered already, with the rule that it breaks or
// with the trouble of its story.
func (m *Mock) consult(w http.ResponseWriter, r *http.Request, app, op string, asked Asked, rule string) *book {
	lab.Parsed(r.Context(), asked)
	if rule != "" {
		m.bad(w, r, app, rule)
		return nil
	}
	b := m.register()
	if m.troubled(w, r, op, asked.Company, b.tale(asked.Company).quirk, m.gatewayTrouble(app)) {
		return nil
	}
	return b
}

// seat is POST /sede/{cf}.
func (m *Mock) seat(w http.ResponseWriter, r *http.Request) {
	asked, rule := readCompany(r)
	b := m.consult(w, r, appSeat, "seat", asked, rule)
	if b == nil {
		return
	}
	held := b.find(asked.Company)
	if held == nil || held.is(forgotten, withoutSeat) {
		m.none(w, appSeat, "Sede Not found")
		return
	}
	if m.Settings().Crossed {
		held = b.another(held)
	}
	m.Answer(w, http.StatusOK, m.tellSeat(held))
}

// tellSeat is a seat in the shape of the day, or of whom it is about.
func (m *Mock) tellSeat(held *record) map[string]any {
	s := m.Settings()
	number, inside := s.Number, s.NameInside || held.is(nameInside)
	if held.is(getNCivico) {
		number = GetNCivico
	}
	place := map[string]any{
		"comune": held.seat.Comune, "provincia": held.seat.Province, "toponimo": held.seat.Kind,
		"via": held.seat.Street, string(number): held.seat.Number, "cap": held.seat.CAP,
	}
	out := map[string]any{"dataOraEstrazione": m.Stamp(), "cf": held.code, "indirizzoLocalizzazione": place}
	switch {
	case held.is(noName):
	case inside:
		place["denominazione"] = held.name
	default:
		out["denominazione"] = held.name
	}
	if held.is(nullSeat) {
		out["indirizzoLocalizzazione"] = nil
	}
	return out
}

// exists is GET /esistenzari/{cf}: whether the enterprise is enrolled now.
func (m *Mock) exists(w http.ResponseWriter, r *http.Request) {
	asked, rule := readCompany(r)
	b := m.consult(w, r, appSeat, "exists", asked, rule)
	if b == nil {
		return
	}
	held := b.find(asked.Company)
	m.Answer(w, http.StatusOK, map[string]bool{"esito": held != nil && !held.is(ceased, forgotten)})
}

// represents is GET /legaleRappresentante/{cfPersona}?cfImpresa=.
func (m *Mock) represents(w http.ResponseWriter, r *http.Request) {
	asked, rule := readMandate(r, false)
	b := m.consult(w, r, appSpeaks, "represents", asked, rule)
	if b == nil {
		return
	}
	verdict := m.verdict(b, asked)
	if verdict == notFound {
		m.none(w, appSpeaks, "LR Not found")
		return
	}
	company := strings.ToUpper(asked.Company)
	if m.Settings().Crossed {
		company = b.another(b.find(company)).code
	}
	m.Answer(w, http.StatusOK, map[string]string{
		"dataOraEstrazione": m.Stamp(), "cfPersona": strings.ToUpper(asked.Person),
		"cfImpresa": company, "esitoVerifica": verdict,
	})
}

// verdict is esitoVerifica, or notFound: of an enterprise that is not enrolled, and of a person who represents none.
func (m *Mock) verdict(b *book, asked Asked) string {
	person, held := strings.ToUpper(asked.Person), b.find(asked.Company)
	switch {
	case held == nil || held.is(forgotten):
		return notFound
	case held.speaker == person && held.verdict != "":
		return held.verdict
	case held.speaker == person:
		return m.Settings().Yes
	case len(b.held[person]) > 0:
		return "KO"
	}
	return notFound
}

// represented is GET /listaLegaleRappresentante/{cfPersona}.
func (m *Mock) represented(w http.ResponseWriter, r *http.Request) {
	asked, rule := readMandate(r, true)
	lab.Parsed(r.Context(), asked)
	if rule != "" {
		m.bad(w, r, appSpeaks, rule)
		return
	}
	person := strings.ToUpper(asked.Person)
	type entry struct {
		Code string `json:"cfImpresa"`
		Name string `json:"denominazione"`
	}
	var (
		entries  = []entry{}
		peculiar quirk
	)
	b := m.register()
	for _, held := range b.held[person] {
		peculiar = held.quirk
		if held.verdict != notFound && !held.is(forgotten, emptyList) {
			entries = append(entries, entry{held.code, held.name})
		}
	}
	if m.troubled(w, r, "represented", person, peculiar, m.gatewayTrouble(appSpeaks)) {
		return
	}
	if len(entries) == 0 && peculiar != emptyList {
		m.none(w, appSpeaks, "LR Not found")
		return
	}
	told := person
	if m.Settings().Crossed {
		told = b.another(b.held[person][0]).speaker
	}
	out := map[string]any{"dataOraEstrazione": m.Stamp(), "cfPersona": told, "elencoImpreseRappresentate": entries}
	if peculiar == nullList {
		out["elencoImpreseRappresentate"] = nil
	}
	m.Answer(w, http.StatusOK, out)
}

// A trouble writes the answers that a quirk of the wire needs in one road's shape.
type trouble struct {
	status func(w http.ResponseWriter, status int)
	answer func(w http.ResponseWriter, v any)
	inside any // a failure inside a 200; nil: this road has none
	wrong  any // members of wrong types
}

func (m *Mock) gatewayTrouble(app string) trouble {
	return trouble{
		status: func(w http.ResponseWriter, status int) {
			m.Answer(w, status, m.Failure(app, "WSPA_ERR_99", http.StatusText(status)))
		},
		answer: func(w http.ResponseWriter, v any) { m.Answer(w, http.StatusOK, v) },
		inside: m.Failure(app, "WSPA_ERR_99", "Errore nell'esecuzione della richiesta"),
		wrong: json.RawMessage(`{"dataOraEstrazione":"ieri","cf":[],"denominazione":7,"indirizzoLocalizzazione":"VIA DELLE PROVE",` +
			`"esito":"forse","esitoVerifica":true,"elencoImpreseRappresentate":{}}`),
	}
}

// troubled plays the quirks of the wire; true when the answer was written. Tries are counted by operation and code.
func (m *Mock) troubled(w http.ResponseWriter, r *http.Request, op, code string, q quirk, how trouble) bool {
	if q == "" {
		return false
	}
	key := op + " " + strings.ToUpper(code)
	m.mu.Lock()
	if len(m.tries) < 10_000 { // of a cast; anybody else has no quirk
		m.tries[key]++
	}
	try := m.tries[key]
	m.mu.Unlock()
	switch {
	case q == broken:
		how.status(w, http.StatusInternalServerError)
	case q == busy && try <= 2:
		how.status(w, http.StatusServiceUnavailable)
	case q == misrouted:
		how.status(w, http.StatusNotFound)
	case q == blank:
		how.answer(w, struct{}{})
	case q == notAList:
		how.answer(w, how.wrong)
	case q == errorInside && how.inside != nil:
		how.answer(w, how.inside)
	case q == lost && try == 1:
		lab.Misdo(r.Context(), lab.Fault{Do: lab.DropAfterAccept})
		return false
	case q == page:
		lab.Misdo(r.Context(), lab.Fault{Do: lab.WrongType})
		return false
	case q == slow && try == 1:
		lab.Pause(r.Context(), m.bench, m.Settings().Slow)
		return false
	default:
		return false
	}
	return true
}
