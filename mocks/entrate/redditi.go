package entrate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/beevik/etree"

	"raccordo/mocks/lab"
)

const (
	nsIncome    = "urn:raccordo:modello:agenzia-entrate:redditi:1"
	orderAction = "RichiediRedditi"
	fetchAction = "RitiraRedditi"
	maxOrders   = 10_000 // held at a time
)

var (
	orderElement = name{nsIncome, "richiediRedditi"}
	fetchElement = name{nsIncome, "ritiraRedditi"}

	namePattern   = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
	incomePattern = regexp.MustCompile(`^([A-Z]{6}[0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]|[0-9]{11})$`)
)

// A subject is one of whom the income of a year is asked.
type subject struct {
	n    int
	code string
	year int
}

// An outcome is what is said of one subject; amounts and days as XML Schema writes them.
type outcome struct {
	n                           int
	code                        string
	year                        int
	detail                      string
	income, turnover, presented string
}

// An order is a request for incomes, and what will be answered.
type order struct {
	protocol string
	subjects []subject
	outcomes []outcome
	asked    time.Time
	loses    bool // will be forgotten when it is ready
	gone     bool
}

// incomes is the income service: both operations.
func (m *Mock) incomes(c *call) {
	if is(c.body, orderElement) {
		m.order(c)
		return
	}
	m.fetch(c)
}

// malformed says that the schema is broken in a value.
func (c *call) malformed(rule string) {
	c.reject(rule)
	c.answer(answerTo(c.body, Codes{"02", "XXXX"}))
}

// order is RichiediRedditi.
func (m *Mock) order(c *call) {
	id, subjects, structure, value := readOrder(c.body)
	c.asked.Request = id
	for _, s := range subjects {
		c.asked.Codes, c.asked.Years = append(c.asked.Codes, s.code), append(c.asked.Years, s.year)
	}
	lab.Parsed(c.r.Context(), c.asked)
	switch {
	case structure != "":
		c.refuse(structure)
		return
	case value != "":
		c.malformed(value)
		return
	}
	if said := m.Settings().Order; said != (Codes{}) {
		c.answer(answerTo(c.body, said))
		return
	}
	for _, s := range subjects {
		if t := m.taleOf(s.code, aboutIncome); t.status != 0 && c.troubled(t, "redditi", s.code) {
			return
		}
	}
	o, rule := m.take(id, subjects)
	switch {
	case rule == ruleFull:
		c.reject(rule)
		c.answer(answerTo(c.body, Codes{"01", "XX0A"}))
		return
	case rule != "":
		c.reject(rule)
		c.answer(answerTo(c.body, Codes{"02", "XX06"}))
		return
	}
	c.asked.Protocol = o.protocol
	lab.Parsed(c.r.Context(), c.asked)
	space, n := answerTo(c.body, Codes{"00", "XX00"})
	n.kids = append([]node{leaf("protocollo", o.protocol)}, n.kids...)
	c.answer(space, n)
}

const (
	ruleFull  = "orders: too many at a time"
	ruleOther = "idRichiesta: already names another request"
)

// take keeps an order; the same again is the same order.
func (m *Mock) take(id string, subjects []subject) (*order, string) {
	protocol := "R-" + m.names.UUID()
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.byID.Find(id); ok && !o.gone {
		if !slices.Equal(o.subjects, subjects) {
			return nil, ruleOther
		}
		return o, ""
	}
	o := &order{protocol: protocol, subjects: subjects, asked: m.bench.Clock().Now()}
	for _, s := range subjects {
		o.outcomes = append(o.outcomes, m.tell(s)...)
		if t := m.taleOf(s.code, aboutIncome); t.lost {
			m.tries["lost "+s.code]++
			o.loses = o.loses || m.tries["lost "+s.code] == 1
		}
	}
	m.bench.Rand("entrate "+protocol).Shuffle(len(o.outcomes), func(i, j int) {
		o.outcomes[i], o.outcomes[j] = o.outcomes[j], o.outcomes[i]
	})
	if !m.orders.Put(protocol, o) || !m.byID.Put(id, o) {
		return nil, ruleFull
	}
	return o, ""
}

// tell is what will be said of a subject. m.mu is held.
func (m *Mock) tell(s subject) []outcome {
	t := m.taleOf(s.code, aboutIncome)
	out := m.declared(s)
	if t.income == nil {
		return []outcome{out}
	}
	key := fmt.Sprint("redditi ", s.code, " ", s.year)
	if m.tries[key]++; t.times > 0 && m.tries[key] > t.times {
		return []outcome{out}
	}
	return t.income(out)
}

// declared is the truth by default: it depends on code and year alone, and nothing is declared for a year that is not
// over.
func (m *Mock) declared(s subject) outcome {
	o := outcome{n: s.n, code: s.code, year: s.year, detail: "XX00"}
	switch {
	case !m.known().codes[s.code]:
		o.detail = "XX01"
		return o
	case s.year >= m.bench.Clock().Now().Year():
		o.detail = "XX05"
		return o
	}
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d", s.code, s.year))
	cents := 1_500_000 + int(binary.BigEndian.Uint32(h[:4])%8_000_000)
	o.income = fmt.Sprintf("%d.%02d", cents/100, cents%100)
	if member, _ := m.bench.ByCode(s.code); member.PartitaIVA != "" {
		turnover := 3*cents + int(binary.BigEndian.Uint32(h[4:8])%50_000_000)
		o.turnover = fmt.Sprintf("%d.%02d", turnover/100, turnover%100)
	}
	o.presented = time.Date(s.year+1, 10, 1+int(h[8])%30, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	return o
}

// fetch is RitiraRedditi.
func (m *Mock) fetch(c *call) {
	x := read(c.body)
	c.asked.Protocol = x.text("protocollo")
	lab.Parsed(c.r.Context(), c.asked)
	if rule := x.end(); rule != "" {
		c.refuse(rule)
		return
	}
	if !namePattern.MatchString(c.asked.Protocol) {
		c.malformed("protocollo: against the schema's pattern")
		return
	}
	s := m.Settings()
	if s.Fetch != (Codes{}) {
		c.answer(answerTo(c.body, s.Fetch))
		return
	}
	o, found := m.orders.Find(c.asked.Protocol)
	ready, gone := false, false
	if found {
		m.mu.Lock()
		ready = m.bench.Clock().Now().Sub(o.asked) >= s.Delay
		o.gone = o.gone || ready && o.loses
		gone = o.gone
		m.mu.Unlock()
	}
	space, n := answerTo(c.body, Codes{"00", "XX00"})
	switch {
	case !found:
		c.reject("protocollo: unknown, or kept no longer")
		space, n = answerTo(c.body, Codes{"05", "XXXX"})
	case gone: // the agency's own fault
		space, n = answerTo(c.body, Codes{"05", "XXXX"})
	case !ready:
		space, n = answerTo(c.body, Codes{"04", "XXXX"})
		n.kids = append([]node{leaf("stato", "IN_ELABORAZIONE")}, n.kids...)
	default:
		head := []node{leaf("stato", "ELABORATA")}
		for _, out := range o.outcomes {
			head = append(head, out.node())
		}
		n.kids = append(head, n.kids...)
	}
	c.answer(space, n)
}

func (o outcome) node() node {
	n := node{local: "esito", kids: []node{
		leaf("progressivo", strconv.Itoa(o.n)), leaf("codiceFiscale", o.code),
		leaf("annoImposta", strconv.Itoa(o.year)), leaf("dettaglioEsito", o.detail),
	}}
	for _, f := range []node{leaf("redditoComplessivo", o.income), leaf("volumeAffari", o.turnover), leaf("dataPresentazione", o.presented)} {
		if f.text != "" {
			n.kids = append(n.kids, f)
		}
	}
	return n
}

// readOrder gives the first rule that the structure breaks, or else the first that a value breaks.
func readOrder(e *etree.Element) (id string, subjects []subject, structure, value string) {
	x := read(e)
	broken := func(rule string) {
		if value == "" {
			value = rule
		}
	}
	if id = x.text("idRichiesta"); !namePattern.MatchString(id) {
		broken("idRichiesta: against the schema's pattern")
	}
	seen := map[int]bool{}
	for first := true; x.rule == "" && (first || len(x.left) > 0); first = false {
		one := x.element("soggetto")
		if one == nil {
			break
		}
		y := read(one)
		n, err1 := number(y.text("progressivo"))
		code := y.text("codiceFiscale")
		year, err2 := number(y.text("annoImposta"))
		if structure = y.end(); structure != "" {
			return id, subjects, structure, ""
		}
		switch {
		case err1 != nil || n < 1:
			broken("progressivo: want a whole number from 1")
		case seen[n]:
			broken("progressivo: given twice")
		case !incomePattern.MatchString(code):
			broken("codiceFiscale: against the schema's pattern")
		case err2 != nil || year < 1974 || year > 2199:
			broken("annoImposta: want a year, 1974 to 2199")
		}
		seen[n] = true
		subjects = append(subjects, subject{n, code, year})
		if len(subjects) > MaxSubjects {
			broken("soggetto: more than 100")
			break
		}
	}
	if len(subjects) <= MaxSubjects {
		structure = x.end()
	}
	return id, subjects, structure, value
}

// number reads an int of XML Schema, which fits 32 bits.
func number(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err
}
