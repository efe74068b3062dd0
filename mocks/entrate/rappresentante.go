package entrate

import (
	"regexp"

	"raccordo/mocks/lab"
)

const (
	nsCheck     = "http://anagrafica.verifica.rappresentante.ente"
	checkAction = "CheckValidityRappresentante"
)

var (
	checkElement = name{nsCheck, "checkValidityRappresentante"}
	// subjectPattern is the published schema's: letters in either case, omocodia, or 11 digits.
	subjectPattern = regexp.MustCompile(`^(\p{L}{6}[\dLMNP-V]{2}\p{L}[\dLMNP-V]{2}\p{L}[\dLMNP-V]{3}\p{L}|\d{11})$`)
)

// A checkAnswer is what the check of a representative says.
type checkAnswer struct {
	Valid *bool // nil: not told, which is no "no"
	Codes Codes

	numeral bool   // the boolean is written " 1 " or " 0 ", as XML Schema allows
	asked   string // the representative asked about
}

// represent is CheckValidityRappresentante.
func (m *Mock) represent(c *call) {
	x := read(c.body)
	who, body := x.text("cfRappresentante"), x.text("cfEnte")
	c.asked.Codes = []string{who, body}
	lab.Parsed(c.r.Context(), c.asked)
	if rule := x.end(); rule != "" {
		c.refuse(rule)
		return
	}
	for i, code := range c.asked.Codes {
		if !subjectPattern.MatchString(code) {
			c.reject([]string{"cfRappresentante", "cfEnte"}[i] + ": against the schema's pattern")
			c.answer(answerTo(c.body, Codes{"02", "XXXX"}))
			return
		}
	}
	t := m.taleOf(body, aboutBody)
	if c.troubled(t, "rappresentante", body) {
		return
	}
	a := m.verdict(who, body)
	if t.check != nil {
		a = t.check(a)
	}
	if said := m.Settings().Representative; said != (Codes{}) {
		a = checkAnswer{Codes: said}
	}
	space, n := answerTo(c.body, a.Codes)
	if a.Valid != nil {
		n.kids = append([]node{leaf("valido", a.word())}, n.kids...)
	}
	c.answer(space, n)
}

// word is the boolean as it is written.
func (a checkAnswer) word() string {
	switch {
	case a.numeral && *a.Valid:
		return " 1 "
	case a.numeral:
		return " 0 "
	case *a.Valid:
		return "true"
	}
	return "false"
}

// verdict is the truth about a representative and a body. The order of the two refusals is assumed.
func (m *Mock) verdict(who, body string) checkAnswer {
	wrong := Codes{"02", "XX01"}
	if m.Settings().Processed {
		wrong.Ritorno = "00"
	}
	if !m.known().codes[who] {
		return checkAnswer{Codes: wrong, asked: who}
	}
	member, ok := m.bench.ByCode(body)
	if !ok || member.Representative == "" { // natural persons, sole traders among them, have none
		wrong.Dettaglio = "XX02"
		return checkAnswer{Codes: wrong, asked: who}
	}
	valid := member.Representative == who
	return checkAnswer{Valid: &valid, Codes: Codes{"00", "XX00"}, asked: who}
}
