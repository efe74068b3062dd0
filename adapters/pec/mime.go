package pec

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
)

// Limits of what a message may be made of. Real receipts stay far below them.
const (
	maxHeader = 256 << 10 // bytes of one header block
	maxFields = 1000      // fields in one header block
	maxParts  = 64        // parts of one multipart
)

var (
	errHeader    = errors.New("header block too large or broken")
	errBoundary  = errors.New("multipart without a usable boundary")
	errTruncated = errors.New("multipart is not closed")
	errParts     = errors.New("too many parts")
	errTooLarge  = errors.New("part is too large")
)

// An entity is a message or one part of it. Its bytes are slices of the message as fetched, never re-encoded: a
// signature covers them as they are.
type entity struct {
	fields []field
	body   []byte
}

type field struct{ name, value string } // name lower case, value unfolded and trimmed

// readEntity splits header from body. Lines may end in CRLF or bare LF; a header block may be empty.
func readEntity(b []byte) (entity, error) {
	var (
		e      entity
		folded []string // the lines that go on with the last field: joined once, however many there are
	)
	for rest := b; ; {
		line, next, ok := cutLine(rest)
		if len(b)-len(next) > maxHeader {
			return entity{}, errHeader
		}
		if len(folded) > 0 && (len(line) == 0 || line[0] != ' ' && line[0] != '\t') {
			last := &e.fields[len(e.fields)-1]
			last.value = strings.TrimSpace(last.value + " " + strings.Join(folded, " "))
			folded = folded[:0]
		}
		switch {
		case len(line) == 0 && ok: // the empty line
			e.body = next
			return e, nil
		case len(line) == 0: // no body at all
			return e, nil
		case line[0] == ' ' || line[0] == '\t':
			if len(e.fields) == 0 {
				return entity{}, errHeader
			}
			folded = append(folded, strings.TrimSpace(string(line)))
		default:
			name, value, found := strings.Cut(string(line), ":")
			name = strings.TrimRight(name, " \t")
			if !found || name == "" || strings.ContainsAny(name, " \t") || len(e.fields) == maxFields {
				return entity{}, errHeader
			}
			e.fields = append(e.fields, field{strings.ToLower(name), strings.TrimSpace(value)})
		}
		rest = next
	}
}

// cutLine gives the first line without its end; ok tells that there was an end.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	line, rest, ok = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest, ok
}

// get gives the first field of that name (lower case).
func (e entity) get(name string) string {
	for _, f := range e.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// count tells how often a field stands in the header.
func (e entity) count(name string) (n int) {
	for _, f := range e.fields {
		if f.name == name {
			n++
		}
	}
	return n
}

// contentType gives type and parameters; text/plain where there is none or it cannot be read (RFC 2045 section 5.2).
func (e entity) contentType() (kind string, params map[string]string) {
	return mediaType(e.get("content-type"), "text/plain")
}

func mediaType(value, otherwise string) (kind string, params map[string]string) {
	kind, params, err := mime.ParseMediaType(value)
	if err == nil {
		return kind, params
	}
	if kind, params = looseMediaType(value); kind == "" {
		return otherwise, nil
	}
	return kind, params
}

// looseMediaType reads what the strict parser refuses and providers write: unquoted names with blanks, parameters that
// stand twice (the first counts), stray semicolons.
func looseMediaType(value string) (kind string, params map[string]string) {
	kind, rest, _ := strings.Cut(value, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	params = map[string]string{}
	for rest != "" {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		name = strings.ToLower(strings.Trim(name, " \t;"))
		after = strings.TrimLeft(after, " \t")
		var v string
		if strings.HasPrefix(after, `"`) {
			v, rest, _ = strings.Cut(after[1:], `"`)
		} else {
			v, rest, _ = strings.Cut(after, ";")
			v = strings.TrimSpace(v)
		}
		if _, twice := params[name]; !twice {
			params[name] = v
		}
	}
	return kind, params
}

// kindAndName gives a part's media type and, from either header, its name, lower case.
func (e entity) kindAndName() (kind, name string) {
	kind, params := e.contentType()
	if _, disposition := mediaType(e.get("content-disposition"), ""); disposition["filename"] != "" {
		return kind, lower(disposition["filename"])
	}
	return kind, lower(params["name"])
}

func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// parts splits a multipart body (RFC 2046 section 5.1.1). A part runs from the byte behind its boundary line to the
// line end before the next boundary, exclusive, which is also how RFC 1847 section 2.1 counts the signed bytes.
// Boundaries of inner multiparts may begin with the outer one: a line must equal it, blanks at its end aside.
func (e entity) parts() ([][]byte, error) {
	_, params := e.contentType()
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > 200 || strings.ContainsAny(boundary, "\r\n") {
		return nil, errBoundary
	}
	return splitParts(e.body, boundary)
}

func splitParts(body []byte, boundary string) (parts [][]byte, err error) {
	delimiter := []byte("--" + boundary)
	start := -1 // of the current part; -1 in the preamble
	for at := 0; ; {
		i := bytes.Index(body[at:], delimiter)
		if i < 0 {
			return nil, errTruncated
		}
		i += at
		at = i + len(delimiter)
		if i > 0 && body[i-1] != '\n' {
			continue
		}
		line, _, ended := bytes.Cut(body[at:], []byte{'\n'})
		tail := strings.TrimRight(string(line[:min(len(line), 1000)]), " \t\r")
		if tail != "" && tail != "--" {
			continue
		}
		if start >= 0 {
			if len(parts) == maxParts {
				return nil, errParts
			}
			end := max(i-1, start) // the line end belongs to the boundary
			if end > start && body[end-1] == '\r' {
				end--
			}
			parts = append(parts, body[start:end])
		}
		if tail == "--" {
			return parts, nil
		}
		if !ended {
			return nil, errTruncated
		}
		at += len(line) + 1
		start = at
	}
}

// decoded undoes the transfer encoding, giving at most limit bytes; more is an error.
func (e entity) decoded(limit int) ([]byte, error) {
	if len(e.body) > 4*limit { // of which most would be blanks
		return nil, errTooLarge
	}
	var b []byte
	var err error
	switch lower(e.get("content-transfer-encoding")) {
	case "base64":
		b, err = unbase64(e.body)
	case "quoted-printable":
		b, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(e.body)))
	default:
		b = e.body
	}
	if err != nil {
		return nil, errors.New("transfer encoding is broken")
	}
	if len(b) > limit {
		return nil, errTooLarge
	}
	return b, nil
}

// unbase64 leaves out what may stand between base64 characters (RFC 2045 section 6.8): line ends and blanks.
func unbase64(text []byte) ([]byte, error) {
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(b, text) // passes over line ends by itself
	if err != nil {
		blank := func(r rune) rune {
			if r <= ' ' {
				return -1
			}
			return r
		}
		n, err = base64.StdEncoding.Decode(b, bytes.Map(blank, text))
	}
	return b[:n], err
}

// bareLF reports whether some line ends without a carriage return.
func bareLF(b []byte) bool {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return false
		}
		if at+i == 0 || b[at+i-1] != '\r' {
			return true
		}
		at += i + 1
	}
}

// toCRLF turns bare line feeds into line ends of the wire, for mail that was stored without them.
func toCRLF(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/32)
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}
