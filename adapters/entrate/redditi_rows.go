package entrate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"raccordo/adapters/entrate/internal/redditi"
	"raccordo/contracts"
	"raccordo/contracts/tax"
)

var (
	errNoRow     = errors.New("the answer has no row for this subject")
	errRows      = errors.New("the answer has several rows for this subject")
	errStranger  = errors.New("the subject's row is about another codice fiscale or another year")
	errNoAmount  = errors.New("the row says that it was processed, and has no amount that can be read")
	errNothing   = errors.New("nothing was declared for that year")
	errDisproved = errors.New("the row says that nothing was declared, and has an amount")
)

// join gives each question its own row, and counts the rows about nobody who was asked about. A row counts for a question
// only where progressivo, codice fiscale and year are all the question's, and no other row bears its progressivo: whatever
// else stands there concerns that question alone, and is never applied to another.
func join(qs []tax.IncomeQuery, rows []*redditi.EsitoType, asOf time.Time) (out []contracts.Result[tax.Income], strangers int) {
	keys, numbers := number(qs)
	byNumber := make([][]*redditi.EsitoType, len(keys)+1)
	for _, r := range rows {
		if n := int(r.Progressivo); n > 0 && n <= len(keys) {
			byNumber[n] = append(byNumber[n], r)
		} else {
			strangers++
		}
	}
	out = make([]contracts.Result[tax.Income], len(qs))
	for i, q := range qs {
		if err := askable(q); err != nil {
			out[i].Err = err
			continue
		}
		k := keyOf(q)
		income, err := one(k, byNumber[numbers[k]])
		if err != nil {
			out[i].Err = err
			continue
		}
		income.Register, income.AsOf = Register, asOf
		out[i].Value = income
	}
	return out, strangers
}

// one reads the rows under one progressivo.
func one(k rowKey, rows []*redditi.EsitoType) (tax.Income, error) {
	malformed := func(err error) (tax.Income, error) {
		return tax.Income{}, &contracts.Error{Kind: contracts.Malformed, Err: err}
	}
	switch {
	case len(rows) == 0:
		return malformed(errNoRow)
	case len(rows) > 1:
		return malformed(errRows)
	}
	r := rows[0]
	if !strings.EqualFold(strings.TrimSpace(string(r.CodiceFiscale)), k.code) || int(r.AnnoImposta) != k.year {
		return malformed(errStranger)
	}
	s := saidOf(ritornoDone, r.DettaglioEsito)
	if e := s.failure(term{esitoNone, contracts.NotFound, errNothing}); e != nil {
		if e.Kind == contracts.NotFound && (r.RedditoComplessivo != nil || r.VolumeAffari != nil) {
			return malformed(errDisproved)
		}
		return tax.Income{}, e
	}
	if s.dettaglio != esitoDone {
		return tax.Income{}, s.err(contracts.Unavailable, errBusy)
	}
	income := tax.Income{Year: k.year}
	for _, f := range []struct {
		name     string
		to       *tax.Money
		from     *redditi.ImportoType
		required bool
	}{{"redditoComplessivo", &income.Income, r.RedditoComplessivo, true}, {"volumeAffari", &income.Turnover, r.VolumeAffari, false}} {
		if f.from == nil && !f.required {
			continue
		}
		text := ""
		if f.from != nil {
			text = string(*f.from)
		}
		amount, err := tax.ParseMoney(shortest(text))
		if err != nil {
			return malformed(fmt.Errorf("%s: %w", f.name, errNoAmount))
		}
		*f.to = amount
	}
	if r.DataPresentazione != nil { // gowsdl reads a day that is none as the first day of year 1: then it is not known
		if day := contracts.DateOf(r.DataPresentazione.ToGoTime()); day > "1000" {
			income.Presented = day
		}
	}
	return income, nil
}

// shortest writes an xs:decimal without what XML Schema allows and means nothing: blanks around it, a plus sign, zeros in
// front and behind, a point with nothing on one side.
func shortest(s string) string {
	s = strings.Trim(s, " \t\r\n")
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	whole, part, point := strings.Cut(s, ".")
	if whole == "" && part == "" || whole != "" && (whole[0] == '-' || whole[0] == '+') {
		return "" // no number
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if part = strings.TrimRight(part, "0"); point && part != "" {
		whole += "." + part
	}
	return sign + whole
}
