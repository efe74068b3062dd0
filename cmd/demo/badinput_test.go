package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"raccordo/mocks/lab"
)

const header = "id,codice_fiscale,partita_iva,denominazione,capacity\n"

// TestBadInputThroughTheWholeJob: every bad list works, or gets one clear error that names line and column.
func TestBadInputThroughTheWholeJob(t *testing.T) {
	t.Parallel()
	firm, person := lab.Who("company-with-pec"), lab.Who("personal-domicile")
	a := "A1,,70000010010,Officine,enterprise\n"
	b := "A2," + person.CodiceFiscale + ",,Marescotti Niccolò,person\n"
	if firm.PartitaIVA != "70000010010" {
		t.Fatal("the cast has changed")
	}
	good := header + a + b
	for _, c := range []struct {
		rule, list               string
		code                     int
		rows, delivered, refused int
		stderr                   string // all of it, behind the list's name
		reason                   string // of the refused row
	}{
		{rule: "as it should be", list: good, rows: 2, delivered: 2},
		{
			rule: "byte order mark, CRLF and semicolons", rows: 2, delivered: 2,
			list: "\ufeff" + strings.NewReplacer(",", ";", "\n", "\r\n").Replace(good),
		},
		{rule: "ISO-8859-1", list: strings.ReplaceAll(good, "ò", "\xf2"), rows: 2, delivered: 2},
		{rule: "header alone", list: header},
		{
			rule: "lost leading zeros", list: good + "A3,,743110157,Ditta,enterprise\n", rows: 3, delivered: 2, refused: 1,
			reason: "line 4, column partita_iva: want 11 digits (a spreadsheet may have dropped leading zeros)",
		},
		{
			rule: "line break in a name", list: header + a + "A3," + person.CodiceFiscale + ",,\"Rossi\r\nBcc: x@y.test\",person\n" + b, rows: 3, delivered: 2, refused: 1,
			reason: "line 3, column denominazione: holds a line break",
		},
		{
			rule: "NUL in a name", list: header + a + "A3," + person.CodiceFiscale + ",,Ro\x00ssi,person\n" + b, rows: 3, delivered: 2, refused: 1,
			reason: "line 3, column denominazione: holds a NUL character",
		},
		{
			rule: "a quotation mark that is never closed", list: header + a + "A3," + person.CodiceFiscale + ",,\"Rossi,person\n" + b, code: exitUsage, rows: 2, delivered: 1, refused: 1,
			reason: "line 3: a quotation mark opened on this line is never closed properly (noticed on line 4)",
			stderr: "line 3: a quotation mark opened on this line is never closed properly (noticed on line 4); what stands behind it was not read",
		},

		{rule: "empty", list: "", code: exitUsage, stderr: "line 1, column 1: the list is empty: want a header line id,codice_fiscale,partita_iva,denominazione,capacity"},
		{rule: "a spreadsheet", list: "PK\x03\x04xxxx", code: exitUsage, stderr: "line 1, column 1: this is a spreadsheet or archive, not CSV: save it as CSV (UTF-8)"},
		{rule: "not CSV", list: "\x7fELF\x02\x01", code: exitUsage, stderr: "line 1, column 5: this is not CSV: control character in the header line"},
		{
			rule: "missing columns", list: "id,codice_fiscale,denominazione\n", code: exitUsage,
			stderr: "line 1, column 1: missing in the header line: partita_iva, capacity (want id,codice_fiscale,partita_iva,denominazione,capacity, in any order)",
		},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			name := written(t, c.list)
			r := attempt(t.Context(), options{input: name, json: true, seed: 1})
			if r.code != c.code {
				t.Errorf("exit status %d, want %d", r.code, c.code)
			}
			if want := c.stderr; want != "" && r.stderr != "demo: "+name+": "+want+"\n" || want == "" && r.stderr != "" {
				t.Errorf("standard error %q, want %q", r.stderr, want)
			}
			if r.job == nil { // it could not be read at all
				if c.code != exitUsage || r.stdout != "" {
					t.Errorf("nothing was begun, yet standard output holds %q", r.stdout)
				}
				return
			}
			r.adds(t)
			if rows, done, bad := r.n(t, "rows"), r.n(t, "delivered"), r.n(t, "invalid"); rows != c.rows || done != c.delivered || bad != c.refused {
				t.Errorf("%d rows, %d delivered, %d invalid; want %d, %d and %d", rows, done, bad, c.rows, c.delivered, c.refused)
				for _, one := range r.job.core.rows {
					t.Logf("%s: %s, %s, %s", one.describe(), one.outcome, one.reason, one.detail)
				}
			}
			for _, one := range r.job.core.rows {
				if one.outcome == invalid && one.detail != c.reason {
					t.Errorf("the refused row: %q, want %q", one.detail, c.reason)
				}
			}
		})
	}
}

// TestManyRows is a long list, in bounded memory and time: nobody on it is known to any register. RACCORDO_DEMO_ROWS
// sets its length.
func TestManyRows(t *testing.T) {
	n := 5_000
	switch s := os.Getenv("RACCORDO_DEMO_ROWS"); {
	case s != "":
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	case testing.Short() || raced:
		n = 2_500 // more than the hub takes in a second
	}
	t.Parallel()
	r := attempt(t.Context(), options{input: strangers(t, n), json: true, seed: 1})
	r.adds(t)
	// What a machine under load does not hear in time it hears later: nobody is refused for it, and nobody is reached.
	refused, late := r.n(t, "check_failed"), r.n(t, "check_incomplete")
	if r.code != exitOK || r.n(t, "rows") != n || refused+r.n(t, "no_domicile") != n || refused+late < n {
		t.Errorf("exit status %d, %d rows, %d refused by the check, %d checks incomplete; want 0, and %d in all: %s",
			r.code, r.n(t, "rows"), refused, late, n, r.stderr)
	}
	calls := r.sum["upstream_calls"].(map[string]any)
	if asked := calls["inad GET /extract/{codice_fiscale}"]; asked.(float64) > float64(n+late) {
		t.Errorf("%v questions about %d persons who wait, want one each", asked, n)
	}
	t.Logf("%d rows in %v s", n, r.sum["seconds"])
}
