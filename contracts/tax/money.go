package tax

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Money is an amount in euro, exact to the cent. Somebody's income is theirs: it prints as "[private amount]", and Cents
// is the only way to it. The zero value is no amount, which is not zero euro.
type Money struct {
	cents int64
	known bool
}

// Euro makes an amount of cents, negative for a loss. Beyond what ParseMoney reads it cannot be written.
func Euro(cents int64) Money { return Money{cents, true} }

var errMoney = errors.New("amount: want euro written 1234 or -1234.56, below a thousand billions")

const maxCents = 100_000_000_000_000 // a thousand billions of euro: above any budget, and far from overflow

// ParseMoney reads a decimal number with at most two decimals, as XML Schema writes it. The error does not quote it.
func ParseMoney(s string) (Money, error) {
	text, negative := strings.CutPrefix(s, "-")
	whole, part, point := strings.Cut(text, ".")
	if whole == "" || len(whole) > 13 || point && (part == "" || len(part) > 2) || !digits(whole) || !digits(part) {
		return Money{}, errMoney
	}
	cents, err := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	if err != nil || cents > maxCents {
		return Money{}, errMoney
	}
	if negative {
		cents = -cents
	}
	return Money{cents, true}, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Cents gives the amount, and whether there is one.
func (m Money) Cents() (cents int64, known bool) { return m.cents, m.known }

// IsZero reports whether there is no amount; zero euro is one.
func (m Money) IsZero() bool { return !m.known }

// String tells nothing of the amount.
func (m Money) String() string {
	if !m.known {
		return ""
	}
	return "[private amount]"
}

// Format tells nothing of the amount, with every verb.
func (m Money) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(m.String())) }

// LogValue tells nothing of the amount.
func (m Money) LogValue() slog.Value { return slog.StringValue(m.String()) }

// MarshalText writes the amount in full: for the wire and for sealed rows.
func (m Money) MarshalText() ([]byte, error) {
	if !m.known {
		return nil, nil
	}
	if m.cents > maxCents || m.cents < -maxCents {
		return nil, errMoney
	}
	c, sign := m.cents, ""
	if c < 0 {
		c, sign = -c, "-"
	}
	return fmt.Appendf(nil, "%s%d.%02d", sign, c/100, c%100), nil
}

// UnmarshalText reads what ParseMoney reads; empty text is no amount.
func (m *Money) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*m = Money{}
		return nil
	}
	*m, err = ParseMoney(string(text))
	return err
}
