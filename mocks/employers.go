package mocks

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"

	"raccordo/mocks/lab"
)

// Employers is the demonstration's list of employers as CSV: every member of the cast whose story ends, then rows that people send by
// mistake, then rows that they send twice. configs/demo/employers.csv holds it; go generate writes it.
//
// Firms and bodies name their legal representative; the few of strangers name somebody else's.
func Employers() []byte {
	rows := [][]string{{"id", "codice_fiscale", "partita_iva", "denominazione", "capacity", "rappresentante"}}
	add := func(code, vat, name, capacity, representative string) {
		rows = append(rows, []string{fmt.Sprintf("D%04d", len(rows)), code, vat, name, capacity, representative})
	}
	seen := map[string]int{} // members of each story so far
	for i, m := range Cast() {
		if slices.Contains(endless(), m.Story) {
			continue
		}
		code, vat, representative := m.CodiceFiscale, m.PartitaIVA, m.Representative
		if slices.Contains(strangers()[m.Story], seen[m.Story]) {
			representative = lab.Who("company-with-pec").Representative
		}
		seen[m.Story]++
		switch { // as people write codes
		case m.Story == "crowd-company" && i%40 == 0:
			code = "" // known by its partita IVA alone
		case m.Story == "crowd-company" && i%41 == 0:
			vat = "IT" + vat
		case m.Story == "crowd-person" && i%40 == 0:
			code = strings.ToLower(code)
		}
		add(code, vat, m.Name, m.Capacity, representative)
	}
	for _, bad := range malformed() {
		add(bad[0], bad[1], bad[2], bad[3], "")
	}
	firm := lab.Who("company-with-pec")
	for _, bad := range misnamed(firm.Representative) {
		add(firm.CodiceFiscale, "", bad[1], lab.Enterprise, bad[0])
	}
	for _, story := range []string{"company-with-pec", "personal-domicile", "no-domicile"} { // asked again
		m := lab.Who(story)
		add(m.CodiceFiscale, m.PartitaIVA, m.Name, m.Capacity, m.Representative)
	}
	for _, i := range []int{1, 20, 200} { // the very same row
		rows = append(rows, rows[i])
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if err := w.WriteAll(rows); err != nil {
		panic("mocks: write CSV to memory: " + err.Error()) // cannot happen
	}
	return out.Bytes()
}

// malformed lists codice fiscale, partita IVA, name and capacity of rows that must be refused before anything is asked.
func malformed() [][4]string {
	good := lab.Who("personal-domicile").CodiceFiscale
	company := lab.Who("company-with-pec").CodiceFiscale
	return [][4]string{
		{good[:15] + other(good[15]), "", "Carattere di controllo errato", lab.Person},
		{company[:10] + other(company[10]), "", "Cifra di controllo errata", lab.Enterprise},
		{"", company[:10] + other(company[10]), "Partita IVA errata", lab.Enterprise},
		{"1234567897", "", "Zero iniziale perduto", lab.Enterprise},
		{"234567", "", "Zeri iniziali perduti", lab.Body},
		{good[:12], "", "Codice troppo corto", lab.Person},
		{good + "A", "", "Codice troppo lungo", lab.Person},
		{company[:5] + "O" + company[6:], "", "Lettera fra le cifre", lab.Enterprise},
		{good[:6] + "XX" + good[8:], "", "Lettere al posto dell'anno", lab.Person},
		{"00000000000", "", "Soli zeri", lab.Enterprise},
		{"NON DISPONIBILE", "", "Codice non disponibile", lab.Person},
		{"", "", "Senza codici", lab.Person},
		{lab.Who("two-addresses").CodiceFiscale, "", "Qualità sconosciuta", "azienda"},
		{lab.Who("two-addresses").CodiceFiscale, "", "Senza qualità", ""},
	}
}

// endless lists stories that have no end within a demonstration: a supplier who asks for another second, time after time,
// is asked again each second of three days.
func endless() []string { return []string{"entrate-code-429", "entrate-vat-429"} }

// strangers lists, by story and place within it, the firms and bodies for which a stranger applies: somebody who speaks
// for another firm.
func strangers() map[string][]int {
	return map[string][]int{"crowd-company": {9, 29, 61}, "crowd-body": {3}}
}

// misnamed lists the representative's code and the name of rows that must be refused for the former.
func misnamed(good string) [][2]string {
	return [][2]string{
		{good[:15] + other(good[15]), "Rappresentante errato"},
		{good[:12], "Rappresentante troncato"},
		{"ROSSI MARIO", "Rappresentante per nome"},
	}
}

// other is the digit or letter after c, so that a check character is certainly wrong.
func other(c byte) string {
	switch c {
	case '9':
		return "0"
	case 'Z':
		return "A"
	}
	return string(c + 1)
}
