package contracts_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

func mustCode(t testing.TB, s string) contracts.CodiceFiscale {
	t.Helper()
	c, err := contracts.ParseCodiceFiscale(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// validCodes are the values that the Agenzia's rules, computed by hand, make valid.
var validCodes = map[string]string{
	"man born in Italy":             "RSSMRA85T10A562S",
	"man born in India":             "KMRRJN90C15Z222U",
	"woman born in Bangladesh":      "RHMTNM96S47Z249R",
	"man born on a 31st":            "HSSHMD84A31Z336W",
	"surname and name padded":       "FOXLIX00E49Z210Q",
	"omocodia of one place":         "KMRRJN90C15Z22NJ",
	"omocodia of two places":        "KMRRJN90C15Z2NNU",
	"omocodia of three places":      "KMRRJN90C15ZNNNJ",
	"omocodia of seven places":      "KMRRJNVLCMRZNNNP",
	"omocodia of one place, Italy":  "RSSMRA85T10A56NH",
	"omocodia of all places, Italy": "RSSMRAURTMLARSNL",
	"provisional, eleven digits":    "12345678903",
	"of a body, first digit 8":      "80012345676",
	"of a body, first digit 9":      "90012345675",
	"of a body":                     "06363391001",
}

func TestCodiceFiscaleAcceptsWhatIsValid(t *testing.T) {
	for name, code := range validCodes {
		t.Run(name, func(t *testing.T) {
			for _, s := range []string{code, strings.ToLower(code), " \t" + code + " "} {
				c, err := contracts.ParseCodiceFiscale(s)
				if err != nil {
					t.Fatal(err)
				}
				if c.Reveal() != code || c.IsZero() {
					t.Error("not the canonical code")
				}
			}
			c := mustCode(t, code)
			if c.Person() != (len(code) == 16) {
				t.Errorf("person: %t", c.Person())
			}
			if c.Omocodic() != strings.HasPrefix(name, "omocodia") {
				t.Errorf("omocodic: %t", c.Omocodic())
			}
		})
	}
}

func TestCodiceFiscaleRefusesWhatIsNot(t *testing.T) {
	for name, c := range map[string]struct{ code, says string }{
		"empty":                            {"", "empty"},
		"blanks only":                      {" \t ", "empty"},
		"fifteen characters":               {"RSSMRA85T10A562", "16 characters or 11 digits"},
		"seventeen characters":             {"RSSMRA85T10A562SS", "16 characters or 11 digits"},
		"ten digits, a lost leading zero":  {"6363391001", "leading zeros"},
		"twelve digits":                    {"123456789031", "16 characters or 11 digits"},
		"wrong check, no such place":       {"RRANGL74M28R701V", "place of birth"},
		"wrong check, day 00":              {"AAAZZZ00H00T000Z", "day of birth"},
		"wrong check character":            {"RSSMRA85T10A562T", "check character"},
		"digit for a check character":      {"RSSMRA85T10A5621", "check character"},
		"digit in the surname":             {"R5SMRA85T10A562S", "letter expected"},
		"letter no omocodia knows":         {"RSSMRA8AT10A562S", "digit"},
		"no such month":                    {"RSSMRA85F10A562S", "month"},
		"a man's 32nd":                     {"RSSMRA85T32A562S", "day of birth"},
		"a woman's 72nd":                   {"RSSMRA85T72A562S", "day of birth"},
		"the 40th":                         {"RSSMRA85T40A562S", "day of birth"},
		"30 February":                      {"RSSMRA85B30A562S", "day of birth"},
		"31 November":                      {"RSSMRA85S31A562S", "day of birth"},
		"a letter no comune has":           {"RSSMRA85T10N562S", "place of birth"},
		"a foreign letter":                 {"RSSMRA85T10\u00c0562", "letter expected"},
		"inner blank":                      {"RSSMRA 5T10A562S", "expected"},
		"a control character":              {"RSSMRA85T10A56\x00S", "letter expected"},
		"eleven digits with a wrong check": {"12345678901", "check digit"},
		"eleven zeros":                     {"00000000000", "zeros"},
		"eleven with a letter":             {"1234567890A", "digits only"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := contracts.ParseCodiceFiscale(c.code)
			if err == nil || !got.IsZero() {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %q, want it to speak of %q", err, c.says)
			}
			if trimmed := strings.TrimSpace(c.code); trimmed != "" && strings.Contains(err.Error(), trimmed) {
				t.Error("the error shows the code")
			}
		})
	}
}

func TestPartitaIVA(t *testing.T) {
	for name, c := range map[string]struct {
		number string
		says   string // empty: valid
	}{
		"of the Agenzia":                  {"06363391001", ""},
		"of a company":                    {"00743110157", ""},
		"synthetic":                       {"12345678903", ""},
		"synthetic, first digit 0":        {"01234567897", ""},
		"synthetic, another":              {"02345678904", ""},
		"with the country before it":      {"IT06363391001", ""},
		"in lower case with blanks":       {" it06363391001 ", ""},
		"wrong check digit":               {"12345678901", "check digit"},
		"the Agenzia's own bad example":   {"01043931007", "check digit"},
		"of a body, first digit 8":        {"80012345676", "body"},
		"of a body, first digit 9":        {"90012345675", "body"},
		"zeros":                           {"00000000000", "zeros"},
		"empty":                           {"", "empty"},
		"ten digits, a lost leading zero": {"6363391001", "leading zeros"},
		"a person's code":                 {"RSSMRA85T10A562S", "11 digits"},
		"another country":                 {"FR06363391001", "11 digits"},
		"a letter in it":                  {"0636339100A", "digits only"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := contracts.ParsePartitaIVA(c.number)
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				if want := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(c.number)), "IT"); p.Reveal() != want {
					t.Error("not the eleven digits")
				}
				return
			}
			if err == nil || !p.IsZero() {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %q, want it to speak of %q", err, c.says)
			}
			if c.number != "" && strings.Contains(err.Error(), c.number) {
				t.Error("the error shows the number")
			}
		})
	}
}

// The generator below follows the published description, not the package: it writes the odd values out, letter by
// letter, and the omocodia letters as a string of its own.

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

var oddOf = map[byte]int{
	'0': 1, '1': 0, '2': 5, '3': 7, '4': 9, '5': 13, '6': 15, '7': 17, '8': 19, '9': 21,
	'A': 1, 'B': 0, 'C': 5, 'D': 7, 'E': 9, 'F': 13, 'G': 15, 'H': 17, 'I': 19, 'J': 21, 'K': 2, 'L': 4, 'M': 18,
	'N': 20, 'O': 11, 'P': 3, 'Q': 6, 'R': 8, 'S': 12, 'T': 14, 'U': 16, 'V': 10, 'W': 22, 'X': 25, 'Y': 24, 'Z': 23,
}

func checkCharacter(first15 string) byte {
	sum := 0
	for i := range 15 {
		ch := first15[i]
		switch place := i + 1; {
		case place%2 == 1:
			sum += oddOf[ch]
		case ch <= '9':
			sum += int(ch - '0')
		default:
			sum += int(ch - 'A')
		}
	}
	return letters[sum%26]
}

// validCode draws a code with any subset of its numeric places replaced by letters.
func validCode(rt *rapid.T) string {
	name := rapid.StringMatching(`[A-Z]{6}`).Draw(rt, "name")
	year := rapid.StringMatching(`[0-9]{2}`).Draw(rt, "year")
	month := rapid.IntRange(0, 11).Draw(rt, "month")
	days := []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	day := rapid.IntRange(1, days[month]).Draw(rt, "day")
	if rapid.Bool().Draw(rt, "woman") {
		day += 40
	}
	place := rapid.StringMatching(`[A-MZ][0-9]{3}`).Draw(rt, "place")
	code := []byte(name + year + string("ABCDEHLMPRST"[month]) + string(rune('0'+day/10)) + string(rune('0'+day%10)) + place)
	mask := rapid.IntRange(0, 127).Draw(rt, "omocodia")
	for bit, i := range []int{6, 7, 9, 10, 12, 13, 14} {
		if mask>>bit&1 == 1 {
			code[i] = "LMNPQRSTUV"[code[i]-'0']
		}
	}
	return string(code) + string(checkCharacter(string(code)))
}

func luhn(first10 string) byte {
	sum := 0
	for i := range 10 {
		d := int(first10[i] - '0')
		if i%2 == 1 {
			d *= 2
			sum += d/10 + d%10
		} else {
			sum += d
		}
	}
	return byte('0' + (10-sum%10)%10)
}

func validNumber(rt *rapid.T) string {
	first := rapid.StringMatching(`[1-7][0-9]{9}`).Draw(rt, "number")
	return first + string(luhn(first))
}

func TestEveryWellFormedCodeIsAccepted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		code := validCode(rt)
		c, err := contracts.ParseCodiceFiscale(code)
		if err != nil {
			rt.Fatal(err)
		}
		if c.Reveal() != code {
			rt.Fatal("another code came out")
		}
		number := validNumber(rt)
		if _, err := contracts.ParsePartitaIVA(number); err != nil {
			rt.Fatal(err)
		}
		if _, err := contracts.ParseCodiceFiscale(number); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestOneWrongCharacterIsRefused: the check digit of a number finds every single error. The check character of a code
// finds all but a few: in odd places two characters may share a value (the digits and the letters A to J do), and a
// changed character may be one that omocodia allows.
func TestOneWrongCharacterIsRefused(t *testing.T) {
	tried, slipped := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		number := []byte(validNumber(rt))
		i := rapid.IntRange(1, 10).Draw(rt, "place")
		other := byte('0' + rapid.IntRange(0, 9).Draw(rt, "digit"))
		if other != number[i] {
			number[i] = other
			if _, err := contracts.ParsePartitaIVA(string(number)); err == nil {
				rt.Fatal("a number with one wrong digit was accepted")
			}
		}
		code := []byte(validCode(rt))
		i = rapid.IntRange(0, 15).Draw(rt, "place")
		other = (letters + "0123456789")[rapid.IntRange(0, 35).Draw(rt, "character")]
		if other == code[i] {
			return
		}
		code[i] = other
		tried++
		if _, err := contracts.ParseCodiceFiscale(string(code)); err == nil {
			slipped++
		}
	})
	if slipped*20 > tried {
		t.Errorf("%d of %d codes with one wrong character were accepted, want less than one in twenty", slipped, tried)
	}
}

func TestSubjectWantsOneIdentifier(t *testing.T) {
	c := mustCode(t, "RSSMRA85T10A562S")
	p, err := contracts.ParsePartitaIVA("12345678903")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]contracts.Subject{
		"a code": {CodiceFiscale: c}, "a number": {PartitaIVA: p}, "both": {CodiceFiscale: c, PartitaIVA: p},
	} {
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if (contracts.Subject{}).Validate() == nil {
		t.Error("nobody: accepted")
	}
}

func TestIdentifiersReadTheirOwnText(t *testing.T) {
	var c contracts.CodiceFiscale
	var p contracts.PartitaIVA
	for _, v := range []interface{ UnmarshalText([]byte) error }{&c, &p} {
		if err := v.UnmarshalText(nil); err != nil {
			t.Errorf("empty text: %v, want the zero value", err)
		}
		if err := v.UnmarshalText([]byte("x")); err == nil {
			t.Error("nonsense: accepted")
		}
		if err := v.UnmarshalText([]byte("12345678903")); err != nil {
			t.Error(err)
		}
	}
	if b, err := c.MarshalText(); err != nil || string(b) != "12345678903" {
		t.Error("the wire must have the code in full")
	}
	if b, err := p.MarshalText(); err != nil || string(b) != "12345678903" {
		t.Error("the wire must have the number in full")
	}
}

// codeLike is what no error text of ours holds, and a part of any code does.
var codeLike = regexp.MustCompile(`[0-9]{3}|[A-Z]{4}`)

func FuzzParseCodiceFiscale(f *testing.F) {
	for _, code := range validCodes {
		f.Add(code)
	}
	for _, s := range []string{"", "RRANGL74M28R701V", "AAAZZZ00H00T000Z", "00000000000", "rssmra85t10a562s", "\x00", "RSSMRA85T10\u00c0562"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := contracts.ParseCodiceFiscale(s)
		if err != nil {
			if !c.IsZero() {
				t.Fatal("an error and a code")
			}
			if codeLike.MatchString(err.Error()) {
				t.Fatal("the error shows what was parsed")
			}
			return
		}
		again, err := contracts.ParseCodiceFiscale(c.Reveal())
		if err != nil || again != c {
			t.Fatal("the canonical form is not its own")
		}
		if len(c.Reveal()) == 16 && checkCharacter(c.Reveal()[:15]) != c.Reveal()[15] {
			t.Fatal("the check character is wrong")
		}
		if strings.Contains(c.String(), c.Reveal()[1:5]) {
			t.Fatal("the mask shows the code")
		}
	})
}

func FuzzParsePartitaIVA(f *testing.F) {
	for _, s := range []string{"06363391001", "IT00743110157", "12345678901", "80012345676", "00000000000", "", "it"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := contracts.ParsePartitaIVA(s)
		if err != nil {
			if codeLike.MatchString(err.Error()) {
				t.Fatal("the error shows what was parsed")
			}
			return
		}
		if n := p.Reveal(); len(n) != 11 || luhn(n[:10]) != n[10] || n[0] >= '8' {
			t.Fatal("accepted, and not a number")
		}
	})
}

func TestCanonicalInputCostsNoAllocation(t *testing.T) {
	for name, s := range map[string]string{
		"person": "RSSMRA85T10A562S", "omocodia": "RSSMRAURTMLARSNL", "eleven digits": "12345678903",
		"refused person": "RRANGL74M28R701V", "refused digits": "12345678901", "body": "80012345676", "empty": "",
	} {
		if n := testing.AllocsPerRun(100, func() { _, _ = contracts.ParseCodiceFiscale(s) }); n != 0 {
			t.Errorf("codice fiscale, %s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = contracts.ParsePartitaIVA(s) }); n != 0 {
			t.Errorf("partita IVA, %s: %v allocations", name, n)
		}
	}
}

func BenchmarkParseCodiceFiscale(b *testing.B) {
	for _, bm := range []struct{ name, code string }{{"person", "RSSMRA85T10A562S"}, {"omocodic", "RSSMRAURTMLARSNL"}, {"eleven", "12345678903"}, {"refused", "RRANGL74M28R701V"}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = contracts.ParseCodiceFiscale(bm.code)
			}
		})
	}
}
