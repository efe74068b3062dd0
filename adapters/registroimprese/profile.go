package registroimprese

import (
	"cmp"
	"slices"
	"strings"

	"raccordo/contracts"
	"raccordo/contracts/company"
)

// A profile is an enterprise in either profile of road pdnd, by the modelled wire; the synthetic one lacks the last two
// fields.
type profile struct {
	CF         string     `json:"codiceFiscale"`
	VAT        string     `json:"partitaIva"`
	Name       string     `json:"denominazione"`
	REA        rea        `json:"rea"`
	Nature     coded      `json:"naturaGiuridica"`
	Status     coded      `json:"statoAttivita"`
	Seat       *address   `json:"sede"`
	PEC        string     `json:"pec"`
	At         string     `json:"dataOraEstrazione"`
	Registered string     `json:"dataIscrizione"`
	Activities []activity `json:"attivita"`

	cf  contracts.CodiceFiscale
	vat contracts.PartitaIVA
}

type rea struct {
	Chamber string `json:"cciaa"`
	Number  string `json:"numero"`
}

type coded struct {
	Code string `json:"codice"`
	Text string `json:"descrizione"`
}

type activity struct {
	Code       string `json:"codiceAteco"`
	Text       string `json:"descrizione"`
	Importance string `json:"importanza"` // P prevalent, S secondary
}

// standings are the register's codes.
var standings = map[string]company.Status{
	"A": company.Active,
	"I": company.Inactive,
	"S": company.Suspended,
	"L": company.Liquidation,
	"P": company.Insolvent,
	"C": company.Ceased,
}

// parseProfile reads an enterprise and holds it against who was asked for.
func parseProfile(body []byte, asked contracts.Subject) (*profile, error) {
	var p profile
	if err := read(body, &p); err != nil {
		return nil, err
	}
	var err error
	if p.cf, err = contracts.ParseCodiceFiscale(p.CF); err != nil {
		return nil, errShape
	}
	if strings.TrimSpace(p.VAT) != "" {
		if p.vat, err = contracts.ParsePartitaIVA(p.VAT); err != nil {
			return nil, errShape
		}
	}
	switch {
	case !asked.CodiceFiscale.IsZero():
		if p.cf != asked.CodiceFiscale {
			return nil, errSomebody
		}
	case p.vat != asked.PartitaIVA && p.cf.Reveal() != asked.PartitaIVA.Reveal():
		return nil, errSomebody
	}
	return &p, nil
}

// activities lists the ATECO codes, the prevailing one first and the others as the register orders them.
func (p *profile) activities() []company.Coded {
	all := slices.Clone(p.Activities)
	rank := func(a activity) int {
		if upper(a.Importance) == "P" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b activity) int { return cmp.Compare(rank(a), rank(b)) })
	var out []company.Coded
	for _, a := range all {
		if code := line(a.Code); code != "" {
			out = append(out, company.Coded{Code: code, Text: line(a.Text)})
		}
	}
	return out
}

// shown is a code as a log may show it: whatever is no short word might be somebody's.
func shown(code string) string {
	code = upper(code)
	if code == "" {
		return "(none)"
	}
	if len(code) > 4 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return "(no short code)"
	}
	return code
}
