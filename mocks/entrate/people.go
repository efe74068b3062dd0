package entrate

import (
	"fmt"
	"strings"
	"time"

	"raccordo/mocks/lab"
)

// What a story is about: one of the services. To the others its hero is like anybody.
const (
	aboutCode   = "code"
	aboutVAT    = "vat"
	aboutBody   = "body"
	aboutIncome = "income"
)

// A tale is how the agency answers about one member. The zero tale is the truth.
type tale struct {
	story, about string

	status int    // of a refusal by the gateway; of a SOAP service's Fault, or with a name of the problem inside one
	name   string // of the refusal; empty: the usual one
	times  int    // how often it is refused before it is answered; 0: always
	slow   bool   // the first answer takes Settings.Slow

	code   func(codeAnswer) codeAnswer
	vat    func(vatAnswer) vatAnswer
	check  func(checkAnswer) checkAnswer
	shape  Shape
	income func(outcome) []outcome
	lost   bool // the first request that asks about this one is forgotten when it is ready
}

// taleOf is the tale of whoever bears a code, as far as it is about that service.
func (m *Mock) taleOf(code, about string) tale {
	member, _ := m.bench.ByCode(code)
	return m.tale(member.Story, about)
}

func (m *Mock) tale(story, about string) tale {
	if t := m.tales[story]; t.about == about {
		return t
	}
	return tale{}
}

// A register is what the agency knows of the whole cast.
type register struct {
	codes   map[string]bool       // codici fiscali in use
	numbers map[string]lab.Member // by partita IVA
}

func registerOf(cast []lab.Member) register {
	out := register{map[string]bool{}, map[string]lab.Member{}}
	for _, m := range cast {
		out.codes[m.CodiceFiscale] = true
		out.codes[m.Representative] = true
		if _, taken := out.numbers[m.PartitaIVA]; m.PartitaIVA != "" && !taken {
			out.numbers[m.PartitaIVA] = m
		}
	}
	for _, m := range cast {
		if m.Story == strange {
			delete(out.codes, m.CodiceFiscale)
		}
	}
	out.codes[SecondRepresentative()] = true
	delete(out.codes, "")
	return out
}

// strange is the story of who is unknown to the agency.
const strange = "entrate-code-unknown"

// Cast is who is needed for the stories of this mock.
func (m *Mock) Cast() []lab.Member {
	var all []lab.Member
	for i, t := range codeTales() {
		all = append(all, person(i, t.story))
	}
	firms := append(vatTales(), incomeTales()...)
	for i, t := range firms {
		name := fmt.Sprintf("%s %s", pick(works(), i), pick(plants(), i/len(works())+i))
		local := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
		all = append(all, lab.NewFirm(t.story, groupSerial+i, 1+i%100, name+" S.r.l.", lab.NewListing(fmt.Sprintf("%s-%d", local, i+1))))
	}
	for i, t := range bodyTales() {
		name := fmt.Sprintf("Fondazione %s e %s", pick(plants(), i), pick(plants(), i+5))
		local := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
		all = append(all, lab.NewBody(t.story, 9_711_001+i, 1+i%100, name, lab.NewDomicile(fmt.Sprintf("%s-%d", local, i+1))))
	}
	return all
}

// groupSerial is the first serial of this mock's firms; the VAT group is the first firm.
const groupSerial = 7_110_001

func groupNumber() string { return lab.VATNumber(groupSerial, 1) }

func works() []string {
	return []string{"Filatura", "Segheria", "Birrificio", "Cartotecnica", "Vetrocemento", "Autotrasporti", "Mangimificio"}
}

func plants() []string {
	return []string{"Biancospino", "Corbezzolo", "Pungitopo", "Ginestrone", "Melograno", "Nocciolaia", "Robinia", "Sambuco"}
}

func pick(list []string, i int) string { return list[i%len(list)] }

func person(i int, story string) lab.Member {
	surnames := []string{
		"Agostinelli", "Brugnaroli", "Castrignani", "Dondarini", "Evangelisti", "Fumagallini", "Gozzadini",
		"Inversetti", "Lucchinelli", "Morigiani", "Nascimbeni", "Orsattini",
	}
	given := []string{"Achille", "Brigida", "Corrado", "Desdemona", "Ettore"}
	surname, name := pick(surnames, i), pick(given, i)
	local := fmt.Sprintf("%s.%s%d", strings.ToLower(name), strings.ToLower(surname), i+1)
	born := time.Date(1957+i, time.Month(1+i%12), 1+i, 0, 0, 0, 0, time.UTC)
	return lab.NewPerson(story, surname, name, born, i%len(given)%2 == 1, "H501", lab.NewDomicile(local))
}

func tales() map[string]tale {
	out := map[string]tale{}
	for _, list := range [][]tale{codeTales(), vatTales(), bodyTales(), incomeTales()} {
		for _, t := range list {
			out[t.story] = t
		}
	}
	return out
}

// codeTales are persons' stories with the fiscal-code check.
func codeTales() []tale {
	says := func(valid bool, message string) func(codeAnswer) codeAnswer {
		return func(a codeAnswer) codeAnswer {
			a.Valid, a.Message = &valid, &message
			return a
		}
	}
	all := []tale{
		{story: "entrate-code-valid-superseded", code: says(true, MessageValidSuperseded)},
		{story: "entrate-code-superseded", code: says(false, MessageSuperseded)},
		{story: strange},
		{story: "entrate-code-words", code: says(true, "Codice fiscale valido, in corso di verifica")},
		{story: "entrate-code-words-no", code: says(false, "Codice fiscale sospeso")},
		{story: "entrate-code-contradiction", code: says(false, MessageValid)},
		{story: "entrate-code-contradiction-yes", code: says(true, MessageInvalid)},
		{story: "entrate-code-no-verdict", code: func(a codeAnswer) codeAnswer {
			a.Valid = nil
			return a
		}},
		{story: "entrate-code-no-message", code: func(a codeAnswer) codeAnswer {
			a.Message = nil
			return a
		}},
		{story: "entrate-code-nothing", code: func(codeAnswer) codeAnswer { return codeAnswer{} }},
		{story: "entrate-code-another", code: func(a codeAnswer) codeAnswer {
			other := groupNumber()
			a.Code = &other
			return a
		}},
		{story: "entrate-code-400", status: 400},
		{story: "entrate-code-401", status: 401},
		{story: "entrate-code-401-once", status: 401, times: 1},
		{story: "entrate-code-403", status: 403},
		{story: "entrate-code-429", status: 429},
		{story: "entrate-code-429-once", status: 429, name: "TooManyRequests", times: 1},
		{story: "entrate-code-500", status: 500},
		{story: "entrate-code-502", status: 502},
		{story: "entrate-code-502-wrapped", status: 502, name: "BadResponse"},
		{story: "entrate-code-503", status: 503},
		{story: "entrate-code-503-once", status: 503, times: 1},
		{story: "entrate-code-504", status: 504},
		{story: "entrate-code-slow", slow: true},
	}
	return of(aboutCode, all)
}

func of(about string, all []tale) []tale {
	for i := range all {
		all[i].about = about
	}
	return all
}

// vatTales are firms' stories with the VAT check. The group stands first: the others name it.
func vatTales() []tale {
	says := func(change func(*vatAnswer)) func(vatAnswer) vatAnswer {
		return func(a vatAnswer) vatAnswer {
			change(&a)
			return a
		}
	}
	no := false
	return of(aboutVAT, []tale{
		{story: "entrate-vat-group", vat: says(func(a *vatAnswer) { a.Group = true })},
		{story: "entrate-vat-group-member", vat: says(func(a *vatAnswer) {
			a.Member, a.MemberSince, a.GroupNumber = true, "2019-01-01", groupNumber()
		})},
		{story: "entrate-vat-group-member-undated", vat: says(func(a *vatAnswer) {
			a.Member, a.MemberSince, a.GroupNumber = true, unknownDay, groupNumber()
		})},
		{story: "entrate-vat-ceased", vat: says(func(a *vatAnswer) { a.State, a.Ceased = ceased, "2024-06-30" })},
		{story: "entrate-vat-ceased-undated", vat: says(func(a *vatAnswer) { a.State, a.Ceased = ceased, endlessDay })},
		{story: "entrate-vat-suspended", vat: says(func(a *vatAnswer) { a.State, a.Suspended = suspended, "2025-09-15" })},
		{story: "entrate-vat-suspended-undated", vat: says(func(a *vatAnswer) { a.State, a.Suspended = suspended, unknownDay })},
		{story: "entrate-vat-undated", vat: says(func(a *vatAnswer) { a.Begun = unknownDay })},
		{story: "entrate-vat-unassigned", vat: says(func(a *vatAnswer) { *a = vatAnswer{Number: a.Number, Valid: &no} })},
		{story: "entrate-vat-words", vat: says(func(a *vatAnswer) { a.State = "IN LIQUIDAZIONE" })},
		{story: "entrate-vat-no-state", vat: says(func(a *vatAnswer) { a.State = "" })},
		{story: "entrate-vat-no-verdict", vat: says(func(a *vatAnswer) { a.Valid = nil })},
		{story: "entrate-vat-contradiction", vat: says(func(a *vatAnswer) { a.Valid = &no })},
		{story: "entrate-vat-another", vat: says(func(a *vatAnswer) { a.Number = groupNumber() })},
		{story: "entrate-vat-odd-day", vat: says(func(a *vatAnswer) { a.Begun = "15/09/2005" })},
		{story: "entrate-vat-nothing", vat: func(vatAnswer) vatAnswer { return vatAnswer{} }},
		{story: "entrate-vat-429", status: 429},
		{story: "entrate-vat-500", status: 500},
		{story: "entrate-vat-500-once", status: 500, times: 1},
		{story: "entrate-vat-502", status: 502},
		{story: "entrate-vat-503", status: 503},
		{story: "entrate-vat-slow", slow: true},
	})
}

// bodyTales are bodies' stories with the check of their representative. All have one: see lab.Member.
func bodyTales() []tale {
	says := func(ritorno, dettaglio string) func(checkAnswer) checkAnswer {
		return func(checkAnswer) checkAnswer { return checkAnswer{Codes: Codes{ritorno, dettaglio}} }
	}
	yes := true
	return of(aboutBody, []tale{
		{story: "entrate-body"},
		{story: "entrate-body-second-representative", check: func(a checkAnswer) checkAnswer {
			if a.asked == SecondRepresentative() {
				a.Valid = &yes
			}
			return a
		}},
		{story: "entrate-body-no-verdict", check: says("00", "XX00")},
		{story: "entrate-body-error", check: says("01", "XX0A")},
		{story: "entrate-body-timeout", check: says("01", "XX03")},
		{story: "entrate-body-denied", check: says("01", "XX04")},
		{story: "entrate-body-uncoded", check: says("01", "XXXX")},
		{story: "entrate-body-malformed", check: says("02", "XXXX")},
		{story: "entrate-body-malformed-03", check: says("03", "XXXX")},
		{story: "entrate-body-words", check: says("07", "XX11")},
		{story: "entrate-body-contradiction", check: func(a checkAnswer) checkAnswer {
			a.Valid, a.Codes = &yes, Codes{"01", "XX0A"}
			return a
		}},
		{story: "entrate-body-done-with-error", check: func(a checkAnswer) checkAnswer {
			no := false
			a.Valid, a.Codes = &no, Codes{"00", "XX03"}
			return a
		}},
		{story: "entrate-body-odd-verdict", check: func(a checkAnswer) checkAnswer {
			a.numeral = true
			return a
		}},
		{story: "entrate-body-fault", status: 500},
		{story: "entrate-body-fault-200", status: 200},
		{story: "entrate-body-fault-once", status: 500, times: 1},
		{story: "entrate-body-gateway", status: 503, name: "APIUnavailable"},
		{story: "entrate-body-slow", slow: true},
		{story: "entrate-body-prefixed", shape: Prefixed},
		{story: "entrate-body-latin1", shape: Latin1},
	})
}

// SecondRepresentative is another representative of "entrate-body-second-representative", beside the one that every
// body has.
func SecondRepresentative() string {
	return lab.NewPerson("", "Zavattaroni", "Quinto", time.Date(1961, 5, 9, 0, 0, 0, 0, time.UTC), false, "H501").CodiceFiscale
}

// incomeTales are firms' stories with the income service.
func incomeTales() []tale {
	says := func(change func(*outcome)) func(outcome) []outcome {
		return func(o outcome) []outcome {
			change(&o)
			return []outcome{o}
		}
	}
	bare := func(detail string) func(outcome) []outcome {
		return says(func(o *outcome) { *o = outcome{n: o.n, code: o.code, year: o.year, detail: detail} })
	}
	return of(aboutIncome, []tale{
		{story: "entrate-income-none", income: bare("XX05")},
		{story: "entrate-income-zero", income: says(func(o *outcome) { o.income, o.turnover = "0", "0.00" })},
		{story: "entrate-income-loss", income: says(func(o *outcome) { o.income = "-40321.5" })},
		{story: "entrate-income-big", income: says(func(o *outcome) { o.income, o.turnover = "987654321098.76", "999999999999.99" })},
		{story: "entrate-income-odd-number", income: says(func(o *outcome) { o.income, o.turnover = "+0041000", ".50" })},
		{story: "entrate-income-no-turnover", income: says(func(o *outcome) { o.turnover = "" })},
		{story: "entrate-income-undated", income: says(func(o *outcome) { o.presented = "" })},
		{story: "entrate-income-wrong-code", income: bare("XX01")},
		{story: "entrate-income-timeout", income: bare("XX03")},
		{story: "entrate-income-timeout-once", income: bare("XX03"), times: 1},
		{story: "entrate-income-error", income: bare("XX0A")},
		{story: "entrate-income-uncoded", income: bare("XXXX")},
		{story: "entrate-income-no-amount", income: bare("XX00")},
		{story: "entrate-income-another", income: says(func(o *outcome) { o.code = groupNumber() })},
		{story: "entrate-income-another-year", income: says(func(o *outcome) { o.year-- })},
		{story: "entrate-income-missing", income: func(outcome) []outcome { return nil }},
		{story: "entrate-income-twice", income: func(o outcome) []outcome {
			other := o
			other.income = "1.00"
			return []outcome{o, other}
		}},
		{story: "entrate-income-lost", lost: true},
		{story: "entrate-income-fault-once", status: 500, times: 1},
	})
}
