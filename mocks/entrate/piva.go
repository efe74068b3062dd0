package entrate

import (
	"crypto/sha256"
	"net/http"
	"regexp"
	"time"

	"raccordo/mocks/lab"
)

// The words of the contract.
const (
	active    = "ATTIVA"
	ceased    = "CESSATA"
	suspended = "SOSPESA"

	// unknownDay and endlessDay stand for what the archives do not know, and for no end.
	unknownDay = "1001-01-01"
	endlessDay = "9999-12-31"
)

var vatPattern = regexp.MustCompile(`^[0-9]{11}$`)

// A vatAnswer is the body of POST /verifica. A number that was never assigned has the first two fields alone.
type vatAnswer struct {
	Number      string `json:"partitaIva,omitempty"`
	Valid       *bool  `json:"valida,omitempty"`
	State       string `json:"stato,omitempty"`
	Name        string `json:"denominazione,omitempty"`
	Begun       string `json:"dataInizioAttivita,omitempty"`
	Ceased      string `json:"dataCessazioneAttivita,omitempty"`
	Suspended   string `json:"dataInizioSospensione,omitempty"`
	Group       bool   `json:"isGruppoIva,omitempty"`
	Member      bool   `json:"isPartecipanteGruppoIva,omitempty"`
	MemberSince string `json:"dataInizioPartecipazioneGruppoIva,omitempty"`
	GroupNumber string `json:"partitaIvaGruppo,omitempty"`
}

// checkVAT is POST /verifica of the VAT check.
func (m *Mock) checkVAT(w http.ResponseWriter, r *http.Request) {
	number, rule := readCode(r, "partitaIva")
	if rule == "" && !vatPattern.MatchString(number) {
		rule = "partitaIva: want 11 digits"
	}
	lab.Parsed(r.Context(), Asked{Codes: []string{number}})
	if rule != "" {
		m.refuse(w, r, http.StatusBadRequest, "InvalidRequestContent", rule)
		return
	}
	member, assigned := m.known().numbers[number]
	t := m.tale(member.Story, aboutVAT)
	if m.troubled(w, r, t, "piva", number) {
		return
	}
	a := vatAnswer{Number: number, Valid: &assigned}
	if assigned {
		a.State, a.Name, a.Begun = active, member.Name, begun(number)
	}
	if t.vat != nil {
		a = t.vat(a)
	}
	writeJSON(w, a)
}

// begun is the day on which an activity began: it depends on the number alone.
func begun(number string) string {
	h := sha256.Sum256([]byte(number))
	return time.Date(1985+int(h[0])%38, time.Month(1+h[1]%12), 1+int(h[2])%28, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}
