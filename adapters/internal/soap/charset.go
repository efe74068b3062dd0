package soap

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

var (
	errEmpty       = rule("the reply is empty")
	errMedia       = rule("the reply is not XML: its Content-Type is another")
	errAttachments = rule("the reply comes with attachments, which are not spoken here")
	errCharset     = rule("the reply is in a charset that is not read here")
	errCharsets    = rule("the reply's Content-Type and XML declaration name different charsets")
	errEncoding    = rule("the reply is not in the charset it names")
	errDeclaration = rule("the reply's XML declaration is malformed")
)

// decode gives a reply's XML in UTF-8, without byte order mark and XML declaration. A byte order mark comes before the
// Content-Type's charset, and that before the declaration (RFC 7303, section 3). Where the last two differ and it
// matters, nobody guesses: half of the servers that send ISO-8859-1 there do not mean it.
func decode(contentType string, b []byte) ([]byte, error) {
	outer, err := media(contentType)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errEmpty
	}
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		b, outer = b[3:], "utf-8"
	case bytes.HasPrefix(b, []byte("\xfe\xff")), bytes.HasPrefix(b, []byte("\xff\xfe")), strings.HasPrefix(outer, "utf-16"):
		if b, err = wideText(outer, b); err != nil {
			return nil, err
		}
		b, _, err = declared(b) // whatever it names, it was read
		return b, err
	}
	b, inner, err := declared(b)
	if err != nil {
		return nil, err
	}
	if outer == "" {
		outer = inner
	}
	if ascii(b) && (outer == "" || known(outer)) && (inner == "" || known(inner)) {
		return b, nil
	}
	if inner != "" && alias(inner) != alias(outer) {
		return nil, errCharsets
	}
	switch alias(outer) {
	case "", "utf-8":
		if !utf8.Valid(b) {
			return nil, errEncoding
		}
		return b, nil
	case "us-ascii":
		return nil, errEncoding
	}
	table, ok := tables[alias(outer)]
	if !ok {
		return nil, errCharset
	}
	if b, err = table.NewDecoder().Bytes(b); err != nil || bytes.Contains(b, []byte("\uFFFD")) {
		return nil, errEncoding
	}
	return b, nil
}

// tables are the one-byte charsets that Italian administrations still answer in.
var tables = map[string]encoding.Encoding{
	"iso-8859-1": charmap.ISO8859_1, "iso-8859-15": charmap.ISO8859_15, "windows-1252": charmap.Windows1252,
}

func alias(name string) string {
	switch name {
	case "utf8":
		return "utf-8"
	case "latin1", "iso8859-1", "iso_8859-1":
		return "iso-8859-1"
	case "ascii":
		return "us-ascii"
	case "cp1252":
		return "windows-1252"
	}
	return name
}

func known(name string) bool {
	name = alias(name)
	_, ok := tables[name]
	return ok || name == "utf-8" || name == "us-ascii"
}

// media gives the charset of a Content-Type that may hold an envelope. A missing Content-Type is overlooked: what counts
// is what is inside.
func media(contentType string) (charset string, err error) {
	switch contentType {
	case "", "text/xml":
		return "", nil
	case "text/xml; charset=utf-8", "text/xml;charset=utf-8", "text/xml; charset=UTF-8", "text/xml;charset=UTF-8":
		return "utf-8", nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", errMedia
	}
	switch kind {
	case "text/xml", "application/soap+xml", "application/xml":
		return strings.ToLower(params["charset"]), nil
	case "multipart/related":
		return "", errAttachments
	}
	return "", errMedia
}

func wideText(name string, b []byte) ([]byte, error) {
	order := unicode.BigEndian
	if name == "utf-16le" {
		order = unicode.LittleEndian
	}
	out, err := unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(b)
	if err != nil || bytes.Contains(out, []byte("\uFFFD")) {
		return nil, errEncoding
	}
	return out, nil
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// declared cuts the XML declaration off, and gives the charset it names.
func declared(b []byte) (rest []byte, charset string, err error) {
	if !bytes.HasPrefix(b, []byte("<?xml")) || len(b) < 6 || !space(b[5]) {
		return b, "", nil
	}
	end := bytes.Index(b[:min(len(b), 256)], []byte("?>"))
	if end < 0 {
		return nil, "", errDeclaration
	}
	inside, rest := b[5:end], b[end+2:]
	for i, want := range []string{"version", "encoding", "standalone"} {
		trimmed := bytes.TrimLeft(inside, " \t\r\n")
		after, ok := bytes.CutPrefix(trimmed, []byte(want))
		if !ok {
			if i == 0 {
				return nil, "", errDeclaration
			}
			continue
		}
		after = bytes.TrimLeft(after, " \t\r\n")
		if len(after) < 3 || after[0] != '=' {
			return nil, "", errDeclaration
		}
		after = bytes.TrimLeft(after[1:], " \t\r\n")
		if len(after) < 2 || after[0] != '"' && after[0] != '\'' {
			return nil, "", errDeclaration
		}
		value, left, ok := bytes.Cut(after[1:], after[:1])
		if !ok || i == 0 && string(value) != "1.0" {
			return nil, "", errDeclaration
		}
		if i == 1 {
			charset = strings.ToLower(string(value))
		}
		inside = left
	}
	if len(bytes.TrimLeft(inside, " \t\r\n")) > 0 {
		return nil, "", errDeclaration
	}
	return rest, charset, nil
}
