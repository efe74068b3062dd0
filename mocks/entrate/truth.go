package entrate

// What the agency really holds, for whoever judges a run by it: they must not go by what was made of answers. An answer
// that contradicts itself, or says what was not agreed, is nobody's "no".

// Usable reports whether a codice fiscale may be used, as far as the agency knows.
func (m *Mock) Usable(code string) bool {
	valid, message := m.known().codes[code], MessageInvalid
	if valid {
		message = MessageValid
	}
	a := codeAnswer{&code, &valid, &message}
	if t := m.taleOf(code, aboutCode); t.code != nil {
		a = t.code(a)
	}
	no := a.Valid != nil && !*a.Valid && a.Message != nil && (*a.Message == MessageInvalid || *a.Message == MessageSuperseded)
	return !no
}

// Operates reports whether a partita IVA stands for a business that goes on: it is somebody's, and neither ceased nor
// suspended, as far as the agency knows.
func (m *Mock) Operates(number string) bool {
	member, assigned := m.known().numbers[number]
	a := vatAnswer{Number: number, Valid: &assigned}
	if assigned {
		a.State = active
	}
	if t := m.tale(member.Story, aboutVAT); t.vat != nil {
		a = t.vat(a)
	}
	switch {
	case a.Valid == nil:
		return true
	case *a.Valid:
		return a.State != ceased && a.State != suspended
	}
	return a.State != "" // not assigned, and yet with a standing: a contradiction
}

// Speaks is the agency's word on whether a person represents a body. known false: it does not say.
func (m *Mock) Speaks(person, body string) (yes, known bool) {
	a := m.verdict(person, body)
	if t := m.taleOf(body, aboutBody); t.check != nil {
		a = t.check(a)
	}
	if a.Valid == nil || a.Codes != (Codes{"00", "XX00"}) {
		return false, false
	}
	return *a.Valid, true
}
