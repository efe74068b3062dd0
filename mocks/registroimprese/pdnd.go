package registroimprese

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"raccordo/mocks/lab"
)

const (
	problems = "https://registroimprese.test/problemi"
	// NoSuchEnterprise is the problem type of the register's own word that it holds no such enterprise.
	NoSuchEnterprise = problems + "/impresa-non-trovata"
)

// closed lets nobody in: there is no platform whose vouchers could hold.
func (m *Mock) closed(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusUnauthorized, "Voucher non valido", "voucher: no platform on this bench")
	})
}

func problem(status int, kind, detail string) []byte {
	if kind == "" {
		kind = "about:blank"
	}
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{kind, http.StatusText(status), status, detail})
	if err != nil {
		panic("registroimprese: a problem of plain fields: " + err.Error()) // cannot happen
	}
	return body
}

func writeProblem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(problem(status, kind, detail))
}

// refuse answers a problem and tells the journal which rule was broken.
func refuse(w http.ResponseWriter, r *http.Request, status int, detail, rule string) {
	lab.Refused(r.Context(), rule)
	w.Header().Set("X-Lab-Reason", rule)
	writeProblem(w, status, "", detail)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// readEnterprise reads the one question of this road.
func readEnterprise(r *http.Request) (Asked, string) {
	q := r.URL.Query()
	a := Asked{Company: r.PathValue("codiceFiscale"), Profile: q.Get("profilo")}
	switch {
	case !codePattern.MatchString(a.Company):
		return a, "codiceFiscale: neither 11 digits nor a person's code"
	case len(q["profilo"]) != 1:
		return a, "profilo: missing or repeated"
	case a.Profile != "sintetico" && a.Profile != "completo":
		return a, "profilo: neither sintetico nor completo"
	}
	return a, onlyParameters(q, "profilo")
}

// enterprise is GET /imprese/{codiceFiscale}.
func (m *Mock) enterprise(w http.ResponseWriter, r *http.Request) {
	asked, rule := readEnterprise(r)
	if rule == "" && m.Settings().Audit {
		asked.User, rule = m.checkEvidence(r)
	}
	lab.Parsed(r.Context(), asked)
	if rule != "" {
		refuse(w, r, http.StatusBadRequest, "Richiesta non valida", rule)
		return
	}
	b := m.register()
	if m.troubled(w, r, "enterprise", asked.Company, b.tale(asked.Company).quirk, problemTrouble()) {
		return
	}
	held := b.find(asked.Company)
	if held == nil {
		writeProblem(w, http.StatusNotFound, NoSuchEnterprise, "Impresa non trovata")
		return
	}
	if m.Settings().Crossed {
		held = b.another(held)
	}
	writeJSON(w, m.tell(held, asked.Profile == "completo"))
}

func problemTrouble() trouble {
	return trouble{
		status: func(w http.ResponseWriter, status int) { writeProblem(w, status, "", "Errore") },
		answer: writeJSON,
		wrong: json.RawMessage(`{"progressivo":"1","codiceFiscale":7,"denominazione":[],"statoAttivita":"ATTIVA","sede":"ROMA",` +
			`"naturaGiuridica":[],"rea":"RM-1","dataOraEstrazione":"ieri","attivita":{}}`),
	}
}

// profile is a record on this road; the short one ends at Extracted.
type profile struct {
	Place     int    `json:"progressivo"`
	Code      string `json:"codiceFiscale"`
	VAT       string `json:"partitaIva,omitempty"`
	Name      string `json:"denominazione"`
	REA       rea    `json:"rea"`
	Nature    coded  `json:"naturaGiuridica"`
	Standing  coded  `json:"statoAttivita"`
	Seat      seat   `json:"sede"`
	PEC       string `json:"pec,omitempty"`
	Extracted string `json:"dataOraEstrazione"`

	Form       string      `json:"formaGiuridica,omitempty"`
	Subject    string      `json:"tipoSoggetto,omitempty"`
	Enrolled   string      `json:"dataIscrizione,omitempty"`
	Deed       string      `json:"dataAtto,omitempty"`
	Activities *[]activity `json:"attivita,omitempty"`
}

type rea struct {
	Chamber string `json:"cciaa"`
	Number  string `json:"numero"`
}

func (m *Mock) tell(held *record, full bool) profile {
	p := profile{
		Place: 1, Code: held.code, VAT: held.vat, Name: held.name, REA: rea{held.seat.Province, held.number},
		Nature: held.nature, Standing: held.standing, Seat: held.seat, PEC: held.pec,
		Extracted: m.bench.Clock().Now().Format(time.RFC3339),
	}
	if !full {
		return p
	}
	p.Form, p.Subject = strings.ToLower(held.nature.Text), "SOCIETA'"
	if held.nature.Code == "DI" {
		p.Subject = "IMPRESA INDIVIDUALE"
	}
	p.Enrolled = held.enrolled.Format(time.DateOnly)
	if !held.deed.IsZero() {
		p.Deed = held.deed.Format(time.DateOnly)
	}
	activities := append([]activity{}, held.activities...)
	p.Activities = &activities
	return p
}
