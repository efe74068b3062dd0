package pec

import (
	"bytes"
	"mime"
	"net/mail"
	"strings"
)

// A field is one header field as it stood on the wire.
type field struct {
	name string
	raw  []byte // with its folding and final CRLF
}

// value is the unfolded text after the colon.
func (f field) value() string {
	_, v, _ := bytes.Cut(f.raw, []byte(":"))
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(string(v)))
}

func (f field) lower() string { return strings.ToLower(f.name) }

type header []field

func (h header) all(name string) (out []string) {
	for _, f := range h {
		if strings.EqualFold(f.name, name) {
			out = append(out, f.value())
		}
	}
	return out
}

func (h header) get(name string) string {
	if all := h.all(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// splitMessage cuts a message (or a MIME part) into its fields and its body, byte by byte as it stood. Lines before the
// body that are no field are dropped. A message without an empty line is all header.
func splitMessage(raw []byte) (header, []byte) {
	var h header
	for len(raw) > 0 {
		line, rest := cutLine(raw)
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return h, rest
		}
		raw = rest
		if line[0] == ' ' || line[0] == '\t' {
			if len(h) > 0 {
				last := &h[len(h)-1]
				last.raw = append(last.raw[:len(last.raw):len(last.raw)], line...)
			}
			continue
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(bytes.TrimSpace(name)) == 0 {
			continue
		}
		h = append(h, field{name: string(bytes.TrimSpace(name)), raw: line})
	}
	return h, nil
}

// cutLine takes the first line with its end.
func cutLine(raw []byte) (line, rest []byte) {
	if i := bytes.IndexByte(raw, '\n'); i >= 0 {
		return raw[:i+1], raw[i+1:]
	}
	return raw, nil
}

// canonical turns bare LF and bare CR into CRLF, as the signature and the mail store need.
func canonical(raw []byte) []byte {
	clean := true
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') || c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n') {
			clean = false
			break
		}
	}
	if clean {
		return raw
	}
	out := make([]byte, 0, len(raw)+len(raw)/40)
	for i, c := range raw {
		switch {
		case c == '\n' && (i == 0 || raw[i-1] != '\r'):
			out = append(out, '\r', '\n')
		case c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n'):
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	return out
}

// decoded turns encoded words into text; what cannot be decoded stays as written.
func decoded(value string) string {
	if text, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
		return text
	}
	return value
}

// addresses reads an address list; the result is the bare addresses.
func addresses(values []string) ([]string, error) {
	var out []string
	for _, v := range values {
		if v == "" {
			continue
		}
		list, err := mail.ParseAddressList(v)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			out = append(out, a.Address)
		}
	}
	return out, nil
}

// mediaType reads the content type of a part; a missing or unreadable one is text/plain, as RFC 2045 section 5.2 says.
func mediaType(h header) (string, map[string]string) {
	t, params, err := mime.ParseMediaType(h.get("Content-Type"))
	if err != nil || t == "" {
		return "text/plain", nil
	}
	return t, params
}

// fileName is the name a part carries in its disposition or its type, decoded; empty for an inline body.
func fileName(h header) string {
	if _, params, err := mime.ParseMediaType(h.get("Content-Disposition")); err == nil && params["filename"] != "" {
		return decoded(params["filename"])
	}
	_, params := mediaType(h)
	return decoded(params["name"])
}

// splitParts cuts a multipart body at its boundary. Each part is the bytes between the delimiter lines without the line
// end that belongs to the delimiter; before and after are the preamble and the epilogue with their delimiter lines.
func splitParts(body []byte, boundary string) (before []byte, parts [][]byte, delims [][]byte, ok bool) {
	delim := []byte("--" + boundary)
	var (
		start  = -1
		offset int
	)
	for rest := body; len(rest) > 0; {
		line, next := cutLine(rest)
		trimmed := bytes.TrimRight(line, " \t\r\n")
		end := bytes.HasPrefix(trimmed, delim) && string(trimmed[len(delim):]) == "--"
		if bytes.Equal(trimmed, delim) || end {
			if start < 0 {
				before = body[:offset]
			} else {
				parts = append(parts, trimLineEnd(body[start:offset]))
			}
			delims = append(delims, line)
			start = offset + len(line)
			if end {
				delims[len(delims)-1] = body[offset:]
				return before, parts, delims, true
			}
		}
		offset += len(line)
		rest = next
	}
	return nil, nil, nil, false
}

func trimLineEnd(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}
