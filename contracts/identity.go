package contracts

import (
	"errors"
	"fmt"
	"log/slog"
)

// A CodiceFiscale identifies a natural person (16 characters, omocodia included) or, with 11 digits, a body or a person
// with a provisional code: eleven digits do not prove a company. The zero value is no code.
//
// It prints masked, with every verb that go vet lets pass but %p (for %p, and for %w with something that is no error,
// fmt asks no method). Reveal is the only way to the code, so that every disclosure can be found by search. Identifiers
// stand in exported fields only: fmt cannot call the mask inside unexported ones. Composites are logged through LogText
// or under MaskAttr.
//
// Source: D.M. 23 December 1976 (form and check character); omocodia as the Agenzia delle Entrate publishes it.
type CodiceFiscale struct{ code string }

// ParseCodiceFiscale checks form and check character; nothing remote is asked. Surrounding blanks are dropped and
// lower case is raised. Canonical input costs no allocation. The error says which rule is broken and never the code.
func ParseCodiceFiscale(s string) (CodiceFiscale, error) {
	code := canonical(s)
	switch len(code) {
	case 16:
		if err := checkPerson(code); err != nil {
			return CodiceFiscale{}, err
		}
	case 11:
		if fault := checkEleven(code); fault != sound {
			return CodiceFiscale{}, errCodeEleven[fault]
		}
	case 0:
		return CodiceFiscale{}, errCodeEmpty
	default:
		return CodiceFiscale{}, errCodeLength
	}
	return CodiceFiscale{code}, nil
}

// Reveal gives the code itself, upper case.
func (c CodiceFiscale) Reveal() string { return c.code }

// IsZero reports whether there is no code.
func (c CodiceFiscale) IsZero() bool { return c.code == "" }

// Person reports whether the code has the 16-character form that only natural persons bear. False does not prove the
// contrary: persons may hold a provisional code of 11 digits.
func (c CodiceFiscale) Person() bool { return len(c.code) == 16 }

// Omocodic reports whether digits were replaced by letters to tell two persons apart; some suppliers' own patterns
// refuse such codes.
func (c CodiceFiscale) Omocodic() bool {
	if !c.Person() {
		return false
	}
	for _, i := range numericPlaces {
		if c.code[i] > '9' {
			return true
		}
	}
	return false
}

// String masks all but the first and the last character.
func (c CodiceFiscale) String() string { return mask(c.code) }

// Format masks with every verb.
func (c CodiceFiscale) Format(f fmt.State, _ rune) { writeMasked(f, c.code) }

// LogValue masks in logs.
func (c CodiceFiscale) LogValue() slog.Value { return slog.StringValue(mask(c.code)) }

// MarshalText writes the code in full: for the wire and for sealed rows.
func (c CodiceFiscale) MarshalText() ([]byte, error) { return []byte(c.code), nil }

// UnmarshalText parses; empty text is the zero value.
func (c *CodiceFiscale) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*c = CodiceFiscale{}
		return nil
	}
	*c, err = ParseCodiceFiscale(string(text))
	return err
}

// A PartitaIVA is an Italian VAT number: eleven digits, the last a Luhn check digit. It masks like a CodiceFiscale.
//
// Source: D.P.R. 633/1972, art. 35; check digit as the Agenzia delle Entrate publishes it.
type PartitaIVA struct{ code string }

// ParsePartitaIVA checks form and check digit; a leading "IT" is dropped. A first digit 8 or 9 belongs to codici
// fiscali of bodies without VAT number and is refused here.
func ParsePartitaIVA(s string) (PartitaIVA, error) {
	code := canonical(s)
	if len(code) == 13 && code[:2] == "IT" {
		code = code[2:]
	}
	if code == "" {
		return PartitaIVA{}, errVATEmpty
	}
	if len(code) != 11 {
		return PartitaIVA{}, errVATLength
	}
	if fault := checkEleven(code); fault != sound {
		return PartitaIVA{}, errVATEleven[fault]
	}
	if code[0] >= '8' {
		return PartitaIVA{}, errVATBody
	}
	return PartitaIVA{code}, nil
}

// Reveal gives the eleven digits.
func (p PartitaIVA) Reveal() string { return p.code }

// IsZero reports whether there is no number.
func (p PartitaIVA) IsZero() bool { return p.code == "" }

// String masks all but the first and the last digit.
func (p PartitaIVA) String() string { return mask(p.code) }

// Format masks with every verb.
func (p PartitaIVA) Format(f fmt.State, _ rune) { writeMasked(f, p.code) }

// LogValue masks in logs.
func (p PartitaIVA) LogValue() slog.Value { return slog.StringValue(mask(p.code)) }

// MarshalText writes the number in full: for the wire and for sealed rows.
func (p PartitaIVA) MarshalText() ([]byte, error) { return []byte(p.code), nil }

// UnmarshalText parses; empty text is the zero value.
func (p *PartitaIVA) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*p = PartitaIVA{}
		return nil
	}
	*p, err = ParsePartitaIVA(string(text))
	return err
}

// A Subject is whom a question is about: a codice fiscale, a partita IVA, or both for a sole trader.
type Subject struct {
	CodiceFiscale CodiceFiscale `json:"codice_fiscale,omitzero"`
	PartitaIVA    PartitaIVA    `json:"partita_iva,omitzero"`
}

// Validate wants at least one of the two.
func (s Subject) Validate() error {
	if s.CodiceFiscale.IsZero() && s.PartitaIVA.IsZero() {
		return errors.New("subject: want a codice_fiscale, a partita_iva or both")
	}
	return nil
}

// The errors are made once: parsing 100,000 bad rows must not cost more than parsing good ones.
var (
	errCodeEmpty  = errors.New("codice fiscale: empty")
	errCodeLength = errors.New("codice fiscale: want 16 characters or 11 digits (a spreadsheet may have dropped leading zeros)")
	errCodeLetter = errors.New("codice fiscale: letter expected where there is none")
	errCodeDigit  = errors.New("codice fiscale: digit (or omocodia letter) expected where there is none")
	errCodeMonth  = errors.New("codice fiscale: no month has that letter")
	errCodeDay    = errors.New("codice fiscale: no such day of birth")
	errCodePlace  = errors.New("codice fiscale: no place of birth begins with that letter")
	errCodeCheck  = errors.New("codice fiscale: wrong check character")
	errVATEmpty   = errors.New("partita IVA: empty")
	errVATLength  = errors.New("partita IVA: want 11 digits (a spreadsheet may have dropped leading zeros)")
	errVATBody    = errors.New("partita IVA: a number that begins with 8 or 9 is the codice fiscale of a body, not a partita IVA")

	errCodeEleven = elevenErrors("codice fiscale")
	errVATEleven  = elevenErrors("partita IVA")
)

// An elevenFault is what is wrong with eleven places.
type elevenFault uint8

const (
	sound elevenFault = iota
	notDigits
	allZeros // the arithmetic would accept them
	wrongCheck

	elevenFaults
)

func elevenErrors(what string) [elevenFaults]error {
	return [elevenFaults]error{
		notDigits:  errors.New(what + ": want digits only"),
		allZeros:   errors.New(what + ": all zeros"),
		wrongCheck: errors.New(what + ": wrong check digit"),
	}
}

// canonical trims blanks and raises case; it allocates only where it must change something.
func canonical(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	for i := 0; i < len(s); i++ {
		if s[i] >= 'a' && s[i] <= 'z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'a' && b[i] <= 'z' {
					b[i] -= 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// numericPlaces are the seven places that hold digits, or after omocodia letters, counted from zero.
var numericPlaces = [7]int{6, 7, 9, 10, 12, 13, 14}

const (
	omocodiaLetters = "LMNPQRSTUV" // for 0 to 9
	monthLetters    = "ABCDEHLMPRST"
)

// oddValues are the weights of characters in odd places (counted from 1): digits, then letters.
var oddValues = [36]byte{
	1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
	1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
}

func checkPerson(code string) error {
	sum := 0
	for i := range 15 {
		ch := code[i]
		var v int
		switch {
		case ch >= '0' && ch <= '9':
			v = int(ch - '0')
		case ch >= 'A' && ch <= 'Z':
			v = int(ch-'A') + 10
		default:
			return errCodeLetter
		}
		switch i {
		case 6, 7, 9, 10, 12, 13, 14:
			if digitAt(code, i) < 0 {
				return errCodeDigit
			}
		default:
			if v < 10 {
				return errCodeLetter
			}
		}
		if i%2 == 0 {
			sum += int(oddValues[v])
		} else if v < 10 {
			sum += v
		} else {
			sum += v - 10
		}
	}
	month := -1
	for i := range len(monthLetters) {
		if monthLetters[i] == code[8] {
			month = i
		}
	}
	if month < 0 {
		return errCodeMonth
	}
	day := digitAt(code, 9)*10 + digitAt(code, 10)
	if day > 40 {
		day -= 40 // women
	}
	if day < 1 || day > int(daysIn[month]) {
		return errCodeDay
	}
	if p := code[11]; p > 'M' && p != 'Z' { // comuni reach M, foreign states are Z
		return errCodePlace
	}
	if code[15] != byte('A'+sum%26) {
		return errCodeCheck
	}
	return nil
}

// daysIn has 29 for February: the century, and with it the leap year, is not in the code.
var daysIn = [12]byte{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// digitAt reads a numeric place, omocodia letters included, or -1.
func digitAt(code string, i int) int {
	ch := code[i]
	if ch >= '0' && ch <= '9' {
		return int(ch - '0')
	}
	for d := range len(omocodiaLetters) {
		if omocodiaLetters[d] == ch {
			return d
		}
	}
	return -1
}

// checkEleven is the Luhn rule over eleven digits.
func checkEleven(code string) elevenFault {
	sum, zeros := 0, true
	for i := range 11 {
		ch := code[i]
		if ch < '0' || ch > '9' {
			return notDigits
		}
		d := int(ch - '0')
		zeros = zeros && d == 0
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	switch {
	case zeros:
		return allZeros
	case sum%10 != 0:
		return wrongCheck
	}
	return sound
}

func mask(code string) string {
	if len(code) < 3 {
		return ""
	}
	b := []byte(code)
	for i := 1; i < len(b)-1; i++ {
		b[i] = '*'
	}
	return string(b)
}

func writeMasked(f fmt.State, code string) {
	_, _ = f.Write([]byte(mask(code)))
}
