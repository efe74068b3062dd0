package registroimprese

import "strings"

// What the register really holds, for whoever judges a run by it: they must not go by what was made of answers.

// Trades reports whether the register holds an enterprise under the codice fiscale or the partita IVA that has not ceased.
func (m *Mock) Trades(code string) bool {
	held := m.register().find(code)
	return held != nil && held.standing.Code != "C"
}

// Tells reports whether the road over PDND ever answers about the enterprise, or that there is none, as its description
// says: it does not about one whose answers are always broken, or say what has no meaning.
func (m *Mock) Tells(code string) bool {
	t := m.register().tale(code)
	return !t.is(broken, page, blank, misrouted, notAList, vague, oddPEC) && t.status != "Q"
}

// Speaks is the register's word on whether a person represents an enterprise. known false: it holds neither the enterprise
// nor the person as anybody's representative, or what it says was not agreed.
func (m *Mock) Speaks(person, enterprise string) (yes, known bool) {
	verdict := m.verdict(m.register(), Asked{Person: person, Company: enterprise})
	yes = strings.EqualFold(verdict, "OK") || strings.EqualFold(verdict, "VerificaOk")
	return yes, yes || verdict == "KO"
}
