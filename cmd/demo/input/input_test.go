package input

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

const header = "id,codice_fiscale,partita_iva,denominazione,capacity\n"

const named = "id,codice_fiscale,partita_iva,denominazione,capacity,rappresentante\n"

func readAll(t testing.TB, data string) (rows []Row, faults []*Error) {
	t.Helper()
	r, err := NewReader(strings.NewReader(data))
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("NewReader error %T, want *Error", err)
		}
		return nil, []*Error{e}
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows, faults
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Next error %T, want *Error", err)
			}
			faults = append(faults, e)
			continue
		}
		rows = append(rows, row)
	}
}

func TestListsAsPeopleSendThem(t *testing.T) {
	t.Parallel()
	good := "A1,RSSMRA85T10A562S,,Rossi Mario,person\n"
	cases := []struct {
		rule, data string
		rows       int
		fault      string // of the only fault; empty: none
	}{
		{"plain", header + good, 1, ""},
		{"columns in any order", "capacity,denominazione,id,partita_iva,codice_fiscale\nperson,Rossi,A1,,RSSMRA85T10A562S\n", 1, ""},
		{"other columns are ignored", "id,note,codice_fiscale,partita_iva,denominazione,capacity\nA1,x,RSSMRA85T10A562S,,Rossi,person\n", 1, ""},
		{"byte order mark", "\ufeff" + header + good, 1, ""},
		{"CRLF", strings.ReplaceAll(header+good, "\n", "\r\n"), 1, ""},
		{"semicolons", strings.ReplaceAll(header+good, ",", ";"), 1, ""},
		{"tabs", strings.ReplaceAll(header+good, ",", "\t"), 1, ""},
		{"no final line break", header + strings.TrimSuffix(good, "\n"), 1, ""},
		{"ISO-8859-1", header + "A1,RSSMRA85T10A562S,,Niccol\xf2,person\n", 1, ""},
		{"enterprise by partita IVA alone", header + "A1,,12345678903,Ditta,enterprise\n", 1, ""},
		{"blank lines are skipped", header + "\n" + good + "\n", 1, ""},
		{"header only", header, 0, ""},
		{"a representative", named + "A1,,12345678903,Ditta,enterprise,RSSMRA85T10A562S\n", 1, ""},
		{"a representative that is a company", named + "A1,,12345678903,Ditta,enterprise,06363391001\n", 1, ""},
		{"nobody named in the representative's column", named + "A1,,12345678903,Ditta,enterprise,\n", 1, ""},
		{"a line that ends before the representative's column", named + "A1,,12345678903,Ditta,enterprise\n", 1, ""},

		{"empty", "", 0, "line 1, column 1: the list is empty: want a header line id,codice_fiscale,partita_iva,denominazione,capacity"},
		{"blank", "\n \n", 0, "line 1, column 1: the list is empty: want a header line id,codice_fiscale,partita_iva,denominazione,capacity"},
		{"not CSV: a spreadsheet", "PK\x03\x04zzz", 0, "line 1, column 1: this is a spreadsheet or archive, not CSV: save it as CSV (UTF-8)"},
		{"not CSV: UTF-16", "\xff\xfei\x00d\x00", 0, "line 1, column 1: this is UTF-16: save it as CSV (UTF-8)"},
		{"lines of old Macs", strings.ReplaceAll(header+good, "\n", "\r"), 0, "line 1, column 53: lines end with CR alone: save it as CSV (UTF-8), whose lines end with LF or CRLF"},
		{"not CSV: binary", "\x7fELF\x01\x02\n", 0, "line 1, column 5: this is not CSV: control character in the header line"},
		{"missing columns", "id,denominazione\nA1,x\n", 0, "line 1, column 1: missing in the header line: codice_fiscale, partita_iva, capacity (want id,codice_fiscale,partita_iva,denominazione,capacity, in any order)"},
		{"column twice", "id,id,codice_fiscale,partita_iva,denominazione,capacity\n", 0, "line 1, column 4: a column stands twice in the header line"},

		{"lost leading zeros", header + "A1,,743110157,Ditta,enterprise\n" + good2, 1, "line 2, column partita_iva: want 11 digits (a spreadsheet may have dropped leading zeros)"},
		{"wrong check character", header + "A1,RSSMRA85T10A562T,,Rossi,person\n" + good2, 1, "line 2, column codice_fiscale: wrong check character"},
		{"representative with a wrong check character", named + "A1,,12345678903,Ditta,enterprise,RSSMRA85T10A562T\n" + good2, 1, "line 2, column rappresentante: wrong check character"},
		{"a name in place of the representative's code", named + "A1,,12345678903,Ditta,enterprise,Rossi\n" + good2, 1, "line 2, column rappresentante: want 16 characters or 11 digits (a spreadsheet may have dropped leading zeros)"},
		{"unknown capacity", header + "A1,RSSMRA85T10A562S,,Rossi,boss\n" + good2, 1, "line 2, column capacity: want enterprise, body, person or professional"},
		{"no code", header + "A1,,,Rossi,person\n" + good2, 1, "line 2, column codice_fiscale: missing"},
		{"CR LF in a name", header + "A1,RSSMRA85T10A562S,,\"Rossi\r\nBcc: x\",person\n" + good2, 1, "line 2, column denominazione: holds a line break"},
		{"NUL in a name", header + "A1,RSSMRA85T10A562S,,Ro\x00ssi,person\n" + good2, 1, "line 2, column denominazione: holds a NUL character"},
		{"escape in a name", header + "A1,RSSMRA85T10A562S,,Ro\x1b[31mssi,person\n" + good2, 1, "line 2, column denominazione: holds a control character"},
		{"no name", header + "A1,RSSMRA85T10A562S,,,person\n" + good2, 1, "line 2, column denominazione: missing"},
		{"id that is no id", header + "A 1/..,RSSMRA85T10A562S,,x,person\n" + good2, 1, "line 2, column id: want 1 to 64 letters, digits, dots, hyphens or underscores"},
		{"too few fields", header + "A1,RSSMRA85T10A562S\n" + good2, 1, "line 2, column partita_iva: the line has 2 fields only"},
		{"long field", header + "A1,RSSMRA85T10A562S,," + strings.Repeat("x", 501) + ",person\n" + good2, 1, "line 2, column denominazione: longer than 500 bytes"},
		{"quotation mark in the middle", header + "A1,RSSMRA85T10A562S,,Ro\"ssi,person\n" + good2, 1, "line 2, column 24: a quotation mark inside an unquoted field: double it and quote the field"},
		{"unclosed quotation mark keeps the rows before", header + good + "A9,x,,\"oops,person\nA8,y\n", 1, "line 3: a quotation mark opened on this line is never closed properly (noticed on line 4)"},
		{"id of somebody else", header + good + "A1,KMRRJN90C15Z222U,,Kumar,person\n", 1, "line 3, column id: stands in an earlier row for somebody else"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			rows, faults := readAll(t, c.data)
			if len(rows) != c.rows {
				t.Errorf("%d rows, want %d", len(rows), c.rows)
			}
			switch {
			case c.fault == "" && len(faults) > 0:
				t.Errorf("fault %q, want none", faults[0])
			case c.fault != "" && (len(faults) != 1 || faults[0].Error() != c.fault):
				t.Errorf("faults %v, want one: %q", faults, c.fault)
			}
		})
	}
}

const good2 = "B2,KMRRJN90C15Z222U,,Kumar Arjun,person\n"

func TestTheRepresentativeIsReadWhereThereIsOne(t *testing.T) {
	t.Parallel()
	rows, faults := readAll(t, "rappresentante,"+header+"rssmra85t10a562s,A1,,12345678903,Ditta,enterprise\n,A2,,06363391001,Ditta,enterprise\n")
	if len(faults) > 0 || len(rows) != 2 {
		t.Fatal(len(rows), faults)
	}
	if rows[0].Representative.Reveal() != "RSSMRA85T10A562S" || !rows[1].Representative.IsZero() {
		t.Errorf("representatives %v and %v", rows[0].Representative, rows[1].Representative)
	}
}

func TestRepeatedSubjectsAreMarkedPerCapacity(t *testing.T) {
	t.Parallel()
	rows, faults := readAll(t, header+
		"A1,RSSMRA85T10A562S,12345678903,Rossi,person\n"+
		"A2,rssmra85t10a562s,12345678903,Rossi,person\n"+ // again, under another number
		"A1,RSSMRA85T10A562S,12345678903,Rossi,person\n"+ // the very same row
		"A3,RSSMRA85T10A562S,12345678903,Rossi,enterprise\n") // in another capacity
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := []bool{false, true, true, false}
	for i, row := range rows {
		if row.Repeated != want[i] {
			t.Errorf("row %d: repeated %v, want %v", i, row.Repeated, want[i])
		}
	}
}

func TestAHundredThousandRows(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString(header)
	for i := range 100_000 {
		fmt.Fprintf(&b, "R%d,,%s,Ditta %d,enterprise\n", i, vat(i), i)
	}
	rows, faults := readAll(t, b.String())
	if len(rows) != 100_000 || len(faults) != 0 {
		t.Fatalf("%d rows and %d faults, want 100000 and none (%v)", len(rows), len(faults), faults[:min(1, len(faults))])
	}
}

func vat(i int) string {
	d := fmt.Sprintf("%010d", 1_000_000_000+i)
	sum := 0
	for j, c := range d {
		v := int(c - '0')
		if j%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return fmt.Sprintf("%s%d", d, (10-sum%10)%10)
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(header + good2))
	f.Add([]byte("\ufeff" + strings.ReplaceAll(header+good2, ",", ";")))
	f.Add([]byte(header + "\"\"\"\n,,,,"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		rows, faults := readAll(t, string(data))
		for _, row := range rows {
			if err := row.Query.Validate(); err != nil {
				t.Errorf("a row came through that is not valid: %v", err)
			}
		}
		for _, e := range faults {
			if e.Line < 1 || e.Text == "" {
				t.Errorf("fault without place or text: %+v", e)
			}
		}
	})
}
