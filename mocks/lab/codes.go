package lab

import (
	"fmt"
	"strings"
	"time"
)

// The cast's codes are computed here, by the published rules, so that no mock owes its arithmetic to the code under
// test. Source: D.M. 23 December 1976 for the codice fiscale of a person and omocodia; the Luhn digit for codes of 11.

const (
	monthLetters    = "ABCDEHLMPRST"
	omocodiaLetters = "LMNPQRSTUV"
	vowels          = "AEIOU"
)

// A birth is what a person's code is made of.
type birth struct {
	surname, name string
	day           time.Time
	female        bool
	place         string // cadastral code: a comune, or Z and three digits for a state abroad
}

// personCode computes a codice fiscale of 16 characters.
func personCode(b birth) string {
	day := b.day.Day()
	if b.female {
		day += 40
	}
	code := surnameLetters(b.surname) + nameLetters(b.name) +
		fmt.Sprintf("%02d%c%02d", b.day.Year()%100, monthLetters[b.day.Month()-1], day) + b.place
	return code + string(checkLetter(code))
}

// omocodic replaces the n rightmost digits of a person's code by letters and computes its check letter again.
func omocodic(code string, n int) string {
	c := []byte(code[:15])
	for _, i := range []int{14, 13, 12, 10, 9, 7, 6}[:n] {
		c[i] = omocodiaLetters[c[i]-'0']
	}
	return string(c) + string(checkLetter(string(c)))
}

func surnameLetters(s string) string {
	cons, vow := split(s)
	return (cons + vow + "XXX")[:3]
}

func nameLetters(s string) string {
	cons, vow := split(s)
	if len(cons) >= 4 {
		return string([]byte{cons[0], cons[2], cons[3]})
	}
	return (cons + vow + "XXX")[:3]
}

// split gives the consonants and the vowels of a name, in order, without blanks and apostrophes. Names of the cast are
// plain ASCII; their accents are written out beforehand.
func split(s string) (cons, vow string) {
	for _, r := range strings.ToUpper(s) {
		switch {
		case r < 'A' || r > 'Z':
		case strings.ContainsRune(vowels, r):
			vow += string(r)
		default:
			cons += string(r)
		}
	}
	return cons, vow
}

// checkLetter is the sixteenth character of a person's code, from the other fifteen.
func checkLetter(code string) byte {
	odd := [26]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for i := range 15 {
		v := int(code[i] - 'A')
		if code[i] <= '9' {
			v = int(code[i] - '0')
		}
		if i%2 == 0 { // odd places, counted from one
			v = odd[v]
		}
		sum += v
	}
	return byte('A' + sum%26)
}

// elevenCode completes ten digits with their check digit: partita IVA, code of a body, provisional code of a person.
func elevenCode(serial, office int) string {
	ten := fmt.Sprintf("%07d%03d", serial, office)
	sum := 0
	for i, r := range ten {
		v := int(r - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return ten + string(rune('0'+(10-sum%10)%10))
}
