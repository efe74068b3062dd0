// Package input reads a core's list of employers as people really send it: CSV with commas, semicolons or tabs, with or
// without a byte order mark, with LF or CRLF, in UTF-8 or in the ISO-8859-1 of older spreadsheets, columns in any order.
//
// Nothing is guessed about data: a code that a spreadsheet has shortened is refused with its line and column, not
// repaired. A row that is wrong is reported alone; those before and behind it are read.
package input

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

// Columns are those that are read, in any order; a list must have the first five. Others are ignored.
var columns = [...]string{"id", "codice_fiscale", "partita_iva", "denominazione", "capacity", "rappresentante"}

const (
	colID = iota
	colCF
	colVAT
	colName
	colCapacity
	colRepresentative

	required = colCapacity + 1
)

const (
	maxField = 500 // bytes of one field
	maxID    = 64  // bytes of an id
	peek     = 64 << 10
	// maxList bounds what one unclosed quotation mark can make us hold: some 600,000 rows.
	maxList = 64 << 20
)

// A Row is one employer who needs a code.
type Row struct {
	Line  int
	ID    string // the core's number of the request: no personal data
	Name  contracts.Private
	Query domicile.Query
	// Representative is who says to speak for a firm or a body; zero where the list names nobody.
	Representative contracts.CodiceFiscale
	Repeated       bool // the same subject in the same capacity stood in an earlier row
}

// An Error is one fault of a list, with its place. Column is the column's name, or empty for the whole line.
type Error struct {
	Line, Col int // from 1; Col counts bytes of the line where there is no column to name, else 0
	Column    string
	Text      string // never a value
	Fatal     bool   // nothing behind it can be read
}

// Short is the error without the line, by which equal faults of many rows are counted together.
func (e *Error) Short() string {
	if e.Column != "" {
		return e.Column + ": " + e.Text
	}
	return e.Text
}

// Error is "line N, column C: text".
func (e *Error) Error() string {
	switch {
	case e.Column != "":
		return fmt.Sprintf("line %d, column %s: %s", e.Line, e.Column, e.Text)
	case e.Col > 0:
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.Text)
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// A Reader reads rows one after another, in bounded memory but for the subjects already seen.
type Reader struct {
	csv    *csv.Reader
	place  [len(columns)]int // where each column stands; -1: it does not
	seen   map[string]bool   // subject and capacity
	ids    map[string]bool
	line   int // of the last record read
	failed bool
}

// NewReader reads the header. Its error is an *Error: the whole list cannot be read.
func NewReader(r io.Reader) (*Reader, error) {
	br := bufio.NewReaderSize(&capped{r, maxList}, peek)
	head, err := br.Peek(peek)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fatal(1, 0, "cannot be read: %v", err)
	}
	if err := recognise(head); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		_, _ = br.Discard(3)
		head = head[3:]
	}
	rd := &Reader{csv: csv.NewReader(br), seen: map[string]bool{}, ids: map[string]bool{}}
	rd.csv.Comma = separator(head)
	rd.csv.FieldsPerRecord = -1
	rd.csv.ReuseRecord = true
	header, err := rd.csv.Read()
	if err != nil {
		return nil, rd.broken(err)
	}
	if err := rd.header(header); err != nil {
		return nil, err
	}
	return rd, nil
}

// A capped reader fails, rather than ends, beyond what it may give: a list cut short must not look whole.
type capped struct {
	r    io.Reader
	left int
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("more than %d MiB: split the list", maxList>>20)
	}
	n, err := c.r.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func recognise(head []byte) error {
	switch {
	case len(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))) == 0:
		return fatal(1, 1, "the list is empty: want a header line %s", strings.Join(columns[:required], ","))
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return fatal(1, 1, "this is a spreadsheet or archive, not CSV: save it as CSV (UTF-8)")
	case bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(bytes.TrimRight(head, "\r"), '\r') >= 0:
		return fatal(1, bytes.IndexByte(head, '\r')+1, "lines end with CR alone: save it as CSV (UTF-8), whose lines end with LF or CRLF")
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return fatal(1, 1, "this is UTF-16: save it as CSV (UTF-8)")
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	if i := bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' }); i >= 0 {
		return fatal(1, i+1, "this is not CSV: control character in the header line")
	}
	return nil
}

// separator is the one that stands most often in the header line.
func separator(head []byte) rune {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	best, most := ',', bytes.Count(line, []byte(","))
	for _, c := range ";\t" {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

func (r *Reader) header(names []string) error {
	at := map[string]int{}
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := at[name]; twice && name != "" {
			_, col := r.csv.FieldPos(i)
			return fatal(1, col, "a column stands twice in the header line")
		}
		at[name] = i
	}
	var missing []string
	for c, name := range columns {
		i, ok := at[name]
		if !ok {
			i = -1
		}
		if !ok && c < required {
			missing = append(missing, name)
		}
		r.place[c] = i
	}
	if len(missing) > 0 {
		return fatal(1, 1, "missing in the header line: %s (want %s, in any order)", strings.Join(missing, ", "), strings.Join(columns[:required], ","))
	}
	return nil
}

// Next gives the next row. An *Error that is not Fatal concerns one row, and Next may be called again; io.EOF is the end.
func (r *Reader) Next() (Row, error) {
	if r.failed {
		return Row{}, io.EOF
	}
	record, err := r.csv.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return Row{}, io.EOF
		}
		e := r.broken(err)
		r.failed = e.Fatal
		return Row{}, e
	}
	line, _ := r.csv.FieldPos(0)
	r.line = line
	var field [len(columns)]string
	for c, i := range r.place {
		if i < 0 || c >= required && i >= len(record) {
			continue
		}
		if i >= len(record) {
			return Row{}, &Error{Line: line, Column: columns[c], Text: fmt.Sprintf("the line has %d fields only", len(record))}
		}
		value, err := text(record[i])
		if err != "" {
			return Row{}, &Error{Line: line, Column: columns[c], Text: err}
		}
		field[c] = value
	}
	return r.row(line, field)
}

// text decodes one field and refuses what no field of ours can hold.
func text(raw string) (value, fault string) {
	if len(raw) > maxField {
		return "", fmt.Sprintf("longer than %d bytes", maxField)
	}
	if !utf8.ValidString(raw) {
		decoded, err := charmap.Windows1252.NewDecoder().String(raw) // a superset of ISO-8859-1's letters
		if err != nil {
			return "", "neither UTF-8 nor ISO-8859-1"
		}
		raw = decoded
	}
	for _, c := range raw {
		switch {
		case c == 0:
			return "", "holds a NUL character"
		case c == '\r' || c == '\n':
			return "", "holds a line break"
		case c < ' ' && c != '\t', c == 0x7f, c == utf8.RuneError:
			return "", "holds a control character"
		}
	}
	return strings.TrimSpace(raw), ""
}

func (r *Reader) row(line int, f [len(columns)]string) (Row, error) {
	bad := func(col int, format string, args ...any) (Row, error) {
		return Row{}, &Error{Line: line, Column: columns[col], Text: fmt.Sprintf(format, args...)}
	}
	row := Row{Line: line, ID: f[colID], Name: contracts.NewPrivate(f[colName])}
	if !idText(row.ID) {
		return bad(colID, "want 1 to %d letters, digits, dots, hyphens or underscores", maxID)
	}
	row.Query.Capacity = domicile.Capacity(f[colCapacity])
	if !row.Query.Capacity.Valid() {
		return bad(colCapacity, "want %s, %s, %s or %s", domicile.Enterprise, domicile.Body, domicile.Person, domicile.Professional)
	}
	var err error
	if f[colCF] != "" {
		if row.Query.Subject.CodiceFiscale, err = contracts.ParseCodiceFiscale(f[colCF]); err != nil {
			return bad(colCF, "%s", strings.TrimPrefix(err.Error(), "codice fiscale: "))
		}
	}
	if f[colVAT] != "" {
		if row.Query.Subject.PartitaIVA, err = contracts.ParsePartitaIVA(f[colVAT]); err != nil {
			return bad(colVAT, "%s", strings.TrimPrefix(err.Error(), "partita IVA: "))
		}
	}
	if row.Query.Subject.CodiceFiscale.IsZero() && (row.Query.Capacity != domicile.Enterprise || row.Query.Subject.PartitaIVA.IsZero()) {
		return bad(colCF, "missing")
	}
	if f[colName] == "" {
		return bad(colName, "missing")
	}
	if f[colRepresentative] != "" {
		if row.Representative, err = contracts.ParseCodiceFiscale(f[colRepresentative]); err != nil {
			return bad(colRepresentative, "%s", strings.TrimPrefix(err.Error(), "codice fiscale: "))
		}
	}
	subject := string(row.Query.Capacity) + "/" + row.Query.Subject.CodiceFiscale.Reveal()
	if row.Query.Subject.CodiceFiscale.IsZero() {
		subject += row.Query.Subject.PartitaIVA.Reveal()
	}
	row.Repeated = r.seen[subject]
	if r.ids[row.ID] && !row.Repeated {
		return bad(colID, "stands in an earlier row for somebody else")
	}
	r.seen[subject], r.ids[row.ID] = true, true
	return row, nil
}

func idText(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// broken says what encoding/csv could not read. Only an unclosed quotation mark swallows everything behind it.
func (r *Reader) broken(err error) *Error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return fatal(r.line+1, 0, "cannot be read: %v", err)
	}
	switch {
	case errors.Is(p.Err, csv.ErrBareQuote):
		return &Error{Line: p.Line, Col: p.Column, Text: `a quotation mark inside an unquoted field: double it and quote the field`}
	case errors.Is(p.Err, csv.ErrQuote) && p.StartLine == p.Line:
		return &Error{Line: p.Line, Col: p.Column, Text: `a quotation mark that neither closes the field nor is doubled`}
	case errors.Is(p.Err, csv.ErrQuote):
		return fatal(p.StartLine, 0, "a quotation mark opened on this line is never closed properly (noticed on line %d)", p.Line)
	}
	return fatal(p.Line, p.Column, "this is not CSV: %v", p.Err)
}

func fatal(line, col int, format string, args ...any) *Error {
	return &Error{Line: line, Col: col, Text: fmt.Sprintf(format, args...), Fatal: true}
}
