package contracts

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDatesAreDaysOfTheCalendar(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"2026-11-21": true, "2024-02-29": true, "1000-01-01": true, "9999-12-31": true, "1900-02-28": true,
		"2026-02-29": false, "1900-02-29": false, "2026-13-01": false, "2026-00-10": false, "2026-04-31": false,
		"0999-12-31": false, "10000-01-01": false, "-2026-01-01": false, "": false, "20261121": false, "2026-1-2": false,
		"21/11/2026": false, "2026-11-21T00:00:00Z": false, " 2026-11-21": false, "2026-11-21\n": false, "2026-11-2١": false,
	} {
		d, err := ParseDate(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v, want valid: %t", text, err, ok)
		}
		if ok && (string(d) != text || d.IsZero()) || !ok && d != "" {
			t.Errorf("%q is read as %q", text, d)
		}
		if err != nil && len(text) > 4 && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes %q", text)
		}
	}
}

// A day is the day of the clock on the wall where the instant was told.
func TestDateOfIsTheDayInTheInstantsOwnZone(t *testing.T) {
	t.Parallel()
	rome := time.FixedZone("CET", 3600)
	at := time.Date(2026, 1, 1, 0, 30, 0, 0, rome)
	if got := DateOf(at); got != "2026-01-01" {
		t.Errorf("in Rome it is %s", got)
	}
	if got := DateOf(at.UTC()); got != "2025-12-31" {
		t.Errorf("in Greenwich it is %s", got)
	}
}

func TestDatesCompareAsTheDaysDo(t *testing.T) {
	t.Parallel()
	day := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Date(rapid.IntRange(1000, 9999).Draw(t, "year"), 1, rapid.IntRange(1, 365).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := day.Draw(t, "a"), day.Draw(t, "b")
		if (DateOf(a) < DateOf(b)) != a.Before(b) {
			t.Fatalf("%s and %s compare otherwise than the days", DateOf(a), DateOf(b))
		}
		if d, err := ParseDate(string(DateOf(a))); err != nil || d != DateOf(a) {
			t.Fatalf("%s is read as %q, %v", DateOf(a), d, err)
		}
	})
}

func TestDatesOnTheWire(t *testing.T) {
	t.Parallel()
	type with struct {
		D Date `json:"d,omitzero"`
	}
	for text, want := range map[string]Date{`{"d":"2026-11-21"}`: "2026-11-21", `{}`: "", `{"d":""}`: ""} {
		v := with{D: "2000-01-01"}
		if text == `{}` {
			v.D = ""
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil || v.D != want {
			t.Errorf("%s is read as %q, %v", text, v.D, err)
		}
	}
	var v with
	if err := json.Unmarshal([]byte(`{"d":"2026-02-30"}`), &v); err == nil || v.D != "" {
		t.Errorf("a day that is none is read as %q, %v", v.D, err)
	}
	for d, want := range map[Date]string{"2026-11-21": `{"d":"2026-11-21"}`, "": `{}`} {
		if b, err := json.Marshal(with{d}); err != nil || string(b) != want {
			t.Errorf("%q is written %s, %v", d, b, err)
		}
	}
}
