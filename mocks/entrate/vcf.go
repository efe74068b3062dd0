package entrate

import (
	"net/http"
	"regexp"

	"raccordo/mocks/lab"
)

// The four messages of the contract.
const (
	MessageValid           = "Codice fiscale valido"
	MessageValidSuperseded = "Codice fiscale valido, non più utilizzabile in quanto aggiornato in altro codice fiscale"
	MessageSuperseded      = "Codice fiscale non utilizzabile in quanto aggiornato in altro codice fiscale"
	MessageInvalid         = "Codice fiscale non valido"
)

// codePattern is the contract's own. Its first alternative has no end, so that twelve digits pass.
var codePattern = regexp.MustCompile(`^[0-9]{11}|(?:^(?:[A-Z][AEIOU][AEIOUX]|[B-DF-HJ-NP-TV-Z]{2}[A-Z]){2}(?:[\dLMNP-V]{2}` +
	`(?:[A-EHLMPR-T](?:[04LQ][1-9MNP-V]|[15MR][\dLMNP-V]|[26NS][0-8LMNP-U])|[DHPS][37PT][0L]|[ACELMRT][37PT][01LM]|` +
	`[AC-EHLMPR-T][26NS][9V])|(?:[02468LNQSU][048LQU]|[13579MPRTV][26NS])B[26NS][9V])` +
	`(?:[A-MZ][1-9MNP-V][\dLMNP-V]{2}|[A-M][0L](?:[1-9MNP-V][\dLMNP-V]|[0L][1-9MNP-V]))[A-Z]$)`)

// A codeAnswer is the body of POST /verifica. Pointers, since a story may leave fields out.
type codeAnswer struct {
	Code    *string `json:"codiceFiscale,omitempty"`
	Valid   *bool   `json:"valido,omitempty"`
	Message *string `json:"messaggio,omitempty"`
}

// checkCode is POST /verifica of the fiscal-code check.
func (m *Mock) checkCode(w http.ResponseWriter, r *http.Request) {
	code, rule := readCode(r, "codiceFiscale")
	if rule == "" && (len(code) < 11 || len(code) > 16) {
		rule = "codiceFiscale: fewer than 11 characters, or more than 16"
	}
	if rule == "" && !m.Settings().Lenient && !codePattern.MatchString(code) {
		rule = "codiceFiscale: against the contract's pattern"
	}
	lab.Parsed(r.Context(), Asked{Codes: []string{code}})
	if rule != "" {
		m.refuse(w, r, http.StatusBadRequest, "InvalidRequestContent", rule)
		return
	}
	t := m.taleOf(code, aboutCode)
	if m.troubled(w, r, t, "vcf", code) {
		return
	}
	valid, message := m.known().codes[code], MessageInvalid
	if valid {
		message = MessageValid
	}
	a := codeAnswer{&code, &valid, &message}
	if t.code != nil {
		a = t.code(a)
	}
	writeJSON(w, a)
}
