package inad

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

// Roles of an address; a body's own is "personal" too, in the sense that no profession is tied to it.
const (
	personal     = "personal"
	professional = "professional"
)

// covers is what INAD holds by law, and what its contract lets us ask.
func covers(q domicile.Query) error { return askableSubject(q.Subject, q.Capacity) }

func coversClaim(c domicile.Claim) error {
	if err := askableSubject(c.Subject, c.Capacity); err != nil {
		return err
	}
	if !askable.MatchString(c.Address.Reveal()) {
		e := contracts.Errorf(contracts.Invalid, "INAD's contract refuses addresses with such characters: it cannot be asked about this one")
		e.Code = "INAD_ADDRESS"
		return e
	}
	return nil
}

func askableSubject(s contracts.Subject, capacity domicile.Capacity) error {
	invalid := func(code, text string) error {
		e := contracts.Errorf(contracts.Invalid, "%s", text)
		e.Code = code
		return e
	}
	switch capacity {
	case domicile.Enterprise:
		return contracts.Errorf(contracts.NotFound, "INAD holds no enterprises of the business register: they are in INI-PEC")
	case domicile.Body:
		if s.CodiceFiscale.Person() {
			return invalid("INAD_BODY", "a body has a code of 11 digits")
		}
		if codeOf(s) == "" {
			return invalid("INAD_CF", "want a codice_fiscale or a partita_iva")
		}
	case domicile.Person, domicile.Professional:
		if s.CodiceFiscale.IsZero() {
			return invalid("INAD_CF", "a person is asked about by codice_fiscale")
		}
		if s.CodiceFiscale.Omocodic() {
			return invalid("INAD_CF_OMOCODICO",
				"INAD's contract refuses omocodic codes: it cannot be asked about this person, which says nothing about a domicile")
		}
	default:
		return invalid("INAD_CAPACITY", "capacity is missing")
	}
	return nil
}

// codeOf is the code INAD is asked by: the codice fiscale, and for a body without one its partita IVA.
func codeOf(s contracts.Subject) string {
	if !s.CodiceFiscale.IsZero() {
		return s.CodiceFiscale.Reveal()
	}
	return s.PartitaIVA.Reveal()
}

// answer chooses, among what INAD holds, what may answer in a capacity.
func (a *Adapter) answer(ctx context.Context, capacity domicile.Capacity, x *extraction) (domicile.Answer, error) {
	asOf, err := instant(x.Since)
	if err != nil {
		return domicile.Answer{}, malformed(err)
	}
	usable, broken, err := a.usable(ctx, x.DigitalAddress)
	if err != nil {
		return domicile.Answer{}, malformed(err)
	}
	chosen := a.choose(capacity, usable)
	switch {
	case len(chosen) > 0:
	case len(a.choose(capacity, broken)) > 0: // INAD does not say "none"
		return domicile.Answer{}, malformed(errAddress)
	default:
		return domicile.Answer{}, none()
	}
	return domicile.Answer{Domiciles: chosen, AsOf: asOf}, nil
}

var errAddress = errors.New("the only address in force is none that a message could go to, which says nothing about a domicile")

// usable gives the addresses in force: the well-formed ones, and, without their text, the broken ones. An end of validity
// that cannot be read leaves us unable to tell.
func (a *Adapter) usable(ctx context.Context, elements []element) (out, broken []contracts.DigitalDomicile, err error) {
	out = make([]contracts.DigitalDomicile, 0, len(elements))
	for i := range elements {
		el := &elements[i]
		d := contracts.DigitalDomicile{Register: Register, Role: personal, Profession: clean(el.PracticedProfession)}
		if d.Profession != "" {
			d.Role = professional
		}
		if el.UsageInfo != nil && el.UsageInfo.DateEndValidity != "" {
			end, err := instant(el.UsageInfo.DateEndValidity)
			if err != nil {
				return nil, nil, err
			}
			if a.env.Clock.Now().After(end) {
				continue
			}
			if end.Year() < endless {
				d.Until = end
			}
		}
		if strings.TrimSpace(el.DigitalAddress) == "" {
			continue // "information not valued"
		}
		address, err := contracts.ParseAddress(el.DigitalAddress)
		if err != nil {
			broken = append(broken, d)
			continue
		}
		d.Address = address
		if !stands(out, d) {
			out = append(out, d)
		}
	}
	if len(broken) > 0 {
		a.env.Log.LogAttrs(ctx, slog.LevelWarn, "addresses that are none were left out",
			slog.String("system", a.env.Instance), slog.Int("addresses", len(broken)))
	}
	return out, broken, nil
}

// endless is the year by which "no end" is written where the contract demands one.
const endless = 9999

func stands(all []contracts.DigitalDomicile, d contracts.DigitalDomicile) bool {
	for _, other := range all {
		if other.Address.Equal(d.Address) && other.Profession == d.Profession {
			return true
		}
	}
	return false
}

// clean keeps a profession fit for display: one line, at most 200 bytes.
func clean(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

// choose is the rule by capacity. A person as such is reached at the personal address, and a professional one must not
// answer unless Preference allows it; a professional as such at professional ones only; a body at its only address
// without a profession, else at professional ones.
func (a *Adapter) choose(capacity domicile.Capacity, usable []contracts.DigitalDomicile) []contracts.DigitalDomicile {
	switch {
	case capacity == domicile.Body:
		if len(usable) == 1 && usable[0].Role == personal {
			return usable
		}
		return only(usable, professional)
	case capacity == domicile.Professional, a.cfg.Preference == Professionale:
		return only(usable, professional)
	case a.cfg.Preference == Qualsiasi:
		return append(only(usable, personal), only(usable, professional)...)
	}
	return only(usable, personal)
}

func only(all []contracts.DigitalDomicile, role string) []contracts.DigitalDomicile {
	var out []contracts.DigitalDomicile
	for _, d := range all {
		if d.Role == role {
			out = append(out, d)
		}
	}
	return out
}

func malformed(err error) error { return &contracts.Error{Kind: contracts.Malformed, Err: err} }

func none() error { return &contracts.Error{Kind: contracts.NotFound, Err: errNone} }
