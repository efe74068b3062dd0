package registroimprese

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"raccordo/mocks/lab"
)

// A record is what the register holds about one enterprise.
type record struct {
	tale
	code, vat  string
	name       string
	nature     coded
	standing   coded
	seat       seat
	number     string // REA
	pec        string
	enrolled   time.Time
	deed       time.Time // zero for sole traders
	activities []activity
	speaker    string // codice fiscale of the legal representative
}

type coded struct {
	Code string `json:"codice"`
	Text string `json:"descrizione"`
}

type seat struct {
	Comune   string `json:"comune"`
	Province string `json:"provincia"`
	Kind     string `json:"toponimo"`
	Street   string `json:"via"`
	Number   string `json:"nCivico"`
	CAP      string `json:"cap"`
}

type activity struct {
	ATECO string `json:"codiceAteco"`
	Text  string `json:"descrizione"`
	Rank  string `json:"importanza"`
}

// A book is the register: the enrolled by codice fiscale and by partita IVA, and by who represents them. All of it
// follows from the cast.
type book struct {
	byCode map[string]*record
	held   map[string][]*record
	tales  map[string]tale
}

// register opens the book at the first question, when everybody is on the bench.
func (m *Mock) register() *book {
	m.open.Do(func() { m.book = enrol(m.bench.Cast()) })
	return &m.book
}

func enrol(cast []lab.Member) book {
	b := book{byCode: map[string]*record{}, held: map[string][]*record{}, tales: talesByCode()}
	for _, member := range cast {
		t := b.tales[member.CodiceFiscale]
		if member.Capacity != lab.Enterprise || b.byCode[member.CodiceFiscale] != nil || t.is(unknown) {
			continue
		}
		r := recordOf(member, t)
		b.byCode[r.code] = r
		b.held[r.speaker] = append(b.held[r.speaker], r)
	}
	for _, member := range cast { // a codice fiscale goes before somebody's partita IVA
		r := b.byCode[member.CodiceFiscale]
		if r != nil && r.vat != "" && b.byCode[r.vat] == nil {
			b.byCode[r.vat] = r
		}
	}
	return b
}

// find gives nil for who is not enrolled; codes are compared in upper case.
func (b *book) find(code string) *record { return b.byCode[strings.ToUpper(code)] }

// another gives an enterprise, and its representative, that is not the one asked about.
func (b *book) another(than *record) *record {
	for i, t := range tales()[:2] {
		if r := b.byCode[t.member(i).CodiceFiscale]; r != than {
			return r
		}
	}
	return than
}

// tale of an enterprise by either code, enrolled or not.
func (b *book) tale(code string) tale {
	if r := b.find(code); r != nil {
		return r.tale
	}
	return b.tales[strings.ToUpper(code)]
}

func recordOf(m lab.Member, t tale) *record {
	h := fnv.New32a()
	h.Write([]byte(m.CodiceFiscale))
	n := int(h.Sum32() % 1_000_000)
	r := &record{
		tale: t, code: m.CodiceFiscale, vat: m.PartitaIVA, name: strings.ToUpper(m.Name),
		nature: natureOf(m), standing: standing(t), number: strconv.Itoa(100_000 + n),
		enrolled: time.Date(1990+n%34, time.Month(n%12+1), n%28+1, 0, 0, 0, 0, time.UTC),
		speaker:  m.Representative,
	}
	r.seat = towns()[n%len(towns())]
	r.seat.Kind, r.seat.Street, r.seat.Number = "VIA", streets()[n/7%len(streets())], strconv.Itoa(n%97+1)
	if r.nature.Code != "DI" {
		r.deed = r.enrolled.AddDate(0, 0, -n%40-1)
	}
	if r.speaker == "" {
		r.speaker = r.code // a sole trader speaks for himself
	}
	if m.INIPEC != nil {
		r.pec = m.INIPEC.Enterprise
	}
	if t.is(oddPEC) {
		r.pec = "in corso di attribuzione"
	}
	if !t.is(idle) {
		r.activities = activitiesOf(m.Name, n)
	}
	return r
}

// standings are the register's words for how an enterprise stands.
func standings() map[string]string {
	return map[string]string{
		"A": "ATTIVA", "I": "INATTIVA", "S": "SOSPESA", "L": "IN LIQUIDAZIONE",
		"P": "CON PROCEDURE CONCORSUALI", "C": "CESSATA", "Q": "IN VERIFICA DI POSIZIONE",
	}
}

func standing(t tale) coded {
	code := t.status
	if code == "" {
		code = "A"
	}
	text := standings()[code]
	if t.is(vague) {
		code, text = "", ""
	}
	return coded{code, text}
}

// natureOf reads the legal form off the end of the name; a person's code is a sole trader's.
func natureOf(m lab.Member) coded {
	if len(m.CodiceFiscale) == 16 {
		return coded{"DI", "IMPRESA INDIVIDUALE"}
	}
	for _, f := range []struct{ in, code, text string }{
		{"S.p.A.", "SP", "SOCIETA' PER AZIONI"},
		{"S.n.c.", "SN", "SOCIETA' IN NOME COLLETTIVO"},
		{"S.a.s.", "AS", "SOCIETA' IN ACCOMANDITA SEMPLICE"},
		{"Soc. Coop.", "SC", "SOCIETA' COOPERATIVA"},
		{"Soc. Agr.", "SE", "SOCIETA' SEMPLICE"},
	} {
		if strings.Contains(m.Name, f.in) {
			return coded{f.code, f.text}
		}
	}
	return coded{"SR", "SOCIETA' A RESPONSABILITA' LIMITATA"}
}

// activitiesOf reads the trade off the beginning of the name; every fifth enterprise has a second activity.
func activitiesOf(name string, n int) []activity {
	out := []activity{{"82.99.99", "ALTRI SERVIZI DI SOSTEGNO ALLE IMPRESE", "P"}}
	for word, a := range map[string]activity{
		"Panificio": {"10.71.10", "PRODUZIONE DI PRODOTTI DI PANETTERIA FRESCHI", "P"},
		"Azienda":   {"01.50.00", "COLTIVAZIONI ASSOCIATE ALL'ALLEVAMENTO", "P"},
		"Vigneti":   {"01.21.00", "COLTIVAZIONE DI UVA", "P"},
		"Impresa":   {"41.20.00", "COSTRUZIONE DI EDIFICI", "P"},
		"Edilizia":  {"41.20.00", "COSTRUZIONE DI EDIFICI", "P"},
		"Pizzeria":  {"56.10.11", "RISTORAZIONE CON SOMMINISTRAZIONE", "P"},
		"Trattoria": {"56.10.11", "RISTORAZIONE CON SOMMINISTRAZIONE", "P"},
		"Albergo":   {"55.10.00", "ALBERGHI", "P"},
		"Trasporti": {"49.41.00", "TRASPORTO DI MERCI SU STRADA", "P"},
	} {
		if strings.HasPrefix(name, word+" ") {
			out[0] = a
		}
	}
	if n%5 == 0 {
		out = append(out, activity{"46.90.00", "COMMERCIO ALL'INGROSSO NON SPECIALIZZATO", "S"})
	}
	return out
}

func towns() []seat {
	return []seat{
		{Comune: "ROMA", Province: "RM", CAP: "00184"},
		{Comune: "MILANO", Province: "MI", CAP: "20121"},
		{Comune: "NAPOLI", Province: "NA", CAP: "80133"},
		{Comune: "TORINO", Province: "TO", CAP: "10121"},
		{Comune: "BARI", Province: "BA", CAP: "70121"},
		{Comune: "VERONA", Province: "VR", CAP: "37121"},
		{Comune: "FOGGIA", Province: "FG", CAP: "71121"},
		{Comune: "LATINA", Province: "LT", CAP: "04100"},
		{Comune: "RAGUSA", Province: "RG", CAP: "97100"},
		{Comune: "CUNEO", Province: "CN", CAP: "12100"},
		{Comune: "FORLI'", Province: "FC", CAP: "47121"},
	}
}

func streets() []string {
	return []string{"DELLE PROVE", "DEI COLLAUDI", "DELL'ESEMPIO", "DEL BANCO", "DELLE COMPARSE"}
}
