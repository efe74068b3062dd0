package contracts

import (
	"errors"
	"time"
)

// A Date is a day of the calendar, as registers write it: no hour and no zone, and none must be invented. It is written
// "2006-01-02", so that later days compare greater. Empty: not known.
type Date string

var errDate = errors.New("date: want a day written YYYY-MM-DD")

// ParseDate reads a day between the years 1000 and 9999. The error does not quote the input.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1000 {
		return "", errDate
	}
	return Date(s), nil
}

// DateOf is the day on which an instant falls in the instant's own zone.
func DateOf(t time.Time) Date { return Date(t.Format(time.DateOnly)) }

// IsZero reports whether the day is not known.
func (d Date) IsZero() bool { return d == "" }

// MarshalText writes the day.
func (d Date) MarshalText() ([]byte, error) { return []byte(d), nil }

// UnmarshalText reads a day; empty text is the zero Date.
func (d *Date) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*d = ""
		return nil
	}
	*d, err = ParseDate(string(text))
	return err
}
