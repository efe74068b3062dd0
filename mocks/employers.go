package mocks

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"

	"raccordo/mocks/lab"
)

// Employers is the demonstration's list of employers as CSV: every member of the cast, then rows that people send by
// mistake, then rows that they send twice. configs/demo/employers.csv holds it; go generate writes it.
func Employers() []byte {
	rows := [][]string{{"id", "codice_fiscale", "partita_iva", "denominazione", "capacity"}}
	add := func(code, vat, name, capacity string) {
		rows = append(rows, []string{fmt.Sprintf("D%04d", len(rows)), code, vat, name, capacity})
	}
	for i, m := range Cast() {
		code, vat := m.CodiceFiscale, m.PartitaIVA
		switch { // as people write codes
		case m.Story == "crowd-company" && i%40 == 0:
			code = "" // known by its partita IVA alone
		case m.Story == "crowd-company" && i%41 == 0:
			vat = "IT" + vat
		case m.Story == "crowd-person" && i%40 == 0:
			code = strings.ToLower(code)
		}
		add(code, vat, m.Name, m.Capacity)
	}
	for _, bad := range malformed() {
		add(bad[0], bad[1], bad[2], bad[3])
	}
	for _, story := range []string{"company-with-pec", "personal-domicile", "no-domicile"} { // asked again
		m := lab.Who(story)
		add(m.CodiceFiscale, m.PartitaIVA, m.Name, m.Capacity)
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
