package entrate

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzEnvelope: whatever arrives is refused for a rule, or is what this process signed.
func FuzzEnvelope(f *testing.F) {
	s := newStage(f)
	member := s.b.Who("entrate-body")
	for _, d := range []draft{
		s.checkDraft(member.Representative, member.CodiceFiscale),
		s.orderDraft("r-1", subjects(2025, member.CodiceFiscale)),
		s.fetchDraft("R-1"),
	} {
		f.Add(d.envelope(f))
	}
	f.Add(`<e:Envelope xmlns:e="` + nsEnvelope + `"><e:Header/><e:Body><x:y/></e:Body></e:Envelope>`)
	f.Add(`<?xml version="1.0" encoding="ISO-8859-1"?><!DOCTYPE e [<!ENTITY a "b">]><e>&a;</e>`)
	f.Add("\xef\xbb\xbf<a xmlns='' b='' b=''/><c/>")
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/xml")
		c := &call{r: r, m: s.m}
		header, rule := c.open([]operation{{checkElement, checkAction}, {orderElement, orderAction}, {fetchElement, fetchAction}})
		if rule != "" {
			return
		}
		_, _, _, _ = readOrder(c.body)
		x := read(c.body)
		x.text("cfRappresentante")
		x.text("cfEnte")
		x.end()
		a, rule := assertionIn(header)
		if rule != "" {
			return
		}
		if rule := s.m.checkAssertion(a, &c.asked); rule == "" && (c.asked.User != "operatore-7" || c.asked.IP != "192.0.2.7") {
			t.Errorf("taken, and never signed: %+v", c.asked)
		}
	})
}

// FuzzOrder: an order that is taken keeps every rule of the schema.
func FuzzOrder(f *testing.F) {
	f.Add(strings.NewReplacer("%s", "x").Replace(orderPayload))
	f.Add(`<richiediRedditi xmlns="` + nsIncome + `"><idRichiesta>a</idRichiesta><soggetto><progressivo>1</progressivo>` +
		`<codiceFiscale>RSSMRA85T10A562S</codiceFiscale><annoImposta>2025</annoImposta></soggetto></richiediRedditi>`)
	f.Add(`<richiediRedditi xmlns="` + nsIncome + `"><idRichiesta/><soggetto><progressivo>-0</progressivo></soggetto></richiediRedditi>`)
	f.Fuzz(func(t *testing.T, raw string) {
		e, rule := parse([]byte(raw))
		if rule != "" || !is(e, orderElement) {
			return
		}
		id, list, structure, value := readOrder(e)
		if structure != "" || value != "" {
			return
		}
		if !namePattern.MatchString(id) || len(list) == 0 || len(list) > MaxSubjects {
			t.Errorf("taken: %q, %d subjects", id, len(list))
		}
		for _, s := range list {
			if s.n < 1 || s.year < 1974 || s.year > 2199 || !incomePattern.MatchString(s.code) {
				t.Errorf("taken: %+v", s)
			}
		}
	})
}

// FuzzCode: a REST body is refused for a rule, or holds one text.
func FuzzCode(f *testing.F) {
	f.Add(`{"codiceFiscale":"06363391001"}`)
	f.Add(`{"codiceFiscale":null}`)
	f.Add(`{"codiceFiscale":"a"}x`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		if code, rule := readCode(r, "codiceFiscale"); rule != "" && code != "" {
			t.Errorf("refused for %q, and read all the same", rule)
		}
	})
}
