package pec

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// This file reads the XML that daticert.xml is made of, and no more: elements and attributes with ASCII names, text,
// CDATA, comments, processing instructions and a DOCTYPE that is passed over. It accepts less than encoding/xml does, and
// reads nothing otherwise (a fuzz target compares both), in a small part of the time: every receipt passes here. The
// document's text is one string, and values are pieces of it.

const (
	maxDepth      = 16   // elements within elements
	maxElements   = 4000 // 500 recipients are quoted as the most that providers allow
	maxAttributes = 16   // of one element
	maxReference  = 10   // bytes between & and ;
)

// A scanner walks a document and tells its reader what begins, what stands between, and what ends.
type scanner struct {
	to       *daticertReader
	s        string
	at       int
	names    [maxDepth]string // of the open elements
	depth    int
	elements int
	doctype  bool
	attrs    [maxAttributes]attr // of the element that begins
	n        int
	buf      []byte
}

type attr struct{ name, value string } // name without prefix

// attr gives an attribute of the element that begins.
func (s *scanner) attr(name string) string {
	for _, a := range s.attrs[:s.n] {
		if a.name == name {
			return strings.TrimSpace(a.value)
		}
	}
	return ""
}

// walk reads the whole document, or tells why it cannot.
func (s *scanner) walk() error {
	for s.at < len(s.s) {
		rest := s.s[s.at:]
		var err error
		switch {
		case rest[0] != '<':
			n := strings.IndexByte(rest, '<')
			if n < 0 {
				n = len(rest)
			}
			s.at += n
			err = s.chars(rest[:n])
		case strings.HasPrefix(rest, "</"):
			err = s.end()
		case strings.HasPrefix(rest, "<!"):
			err = s.bang(rest)
		case strings.HasPrefix(rest, "<?"):
			err = s.instruction(rest)
		default:
			err = s.start()
		}
		if err != nil {
			return err
		}
	}
	if s.depth > 0 || s.elements == 0 {
		return unreadableXML
	}
	return nil
}

// chars is text between tags.
func (s *scanner) chars(run string) error {
	if s.depth == 0 {
		if strings.Trim(run, " \t\r\n") != "" {
			return unreadableXML
		}
		return nil
	}
	if !s.to.wants() && strings.IndexByte(run, '&') < 0 && strings.IndexByte(run, ']') < 0 {
		return nil
	}
	text, ok := s.resolve(run, true)
	if !ok || strings.Contains(run, "]]>") {
		return unreadableXML
	}
	s.to.text(text)
	return nil
}

// bang is a comment, a CDATA section or a DOCTYPE.
func (s *scanner) bang(rest string) error {
	if body, ok := strings.CutPrefix(rest, "<!--"); ok {
		i := strings.Index(body, "--")
		if i < 0 || !strings.HasPrefix(body[i+2:], ">") {
			return unreadableXML
		}
		s.at += len("<!--") + i + len("-->")
		return nil
	}
	if body, ok := strings.CutPrefix(rest, "<![CDATA["); ok {
		run, _, closed := strings.Cut(body, "]]>")
		if !closed || s.depth == 0 {
			return unreadableXML
		}
		text, _ := s.resolve(run, false)
		s.to.text(text)
		s.at += len("<![CDATA[") + len(run) + len("]]>")
		return nil
	}
	return s.declaration(rest)
}

// declaration passes over a DOCTYPE. Nothing in it is ever resolved, and one that declares entities is refused.
func (s *scanner) declaration(rest string) error {
	body, ok := strings.CutPrefix(rest, "<!DOCTYPE")
	if !ok || s.doctype || s.elements > 0 {
		return unreadableXML
	}
	s.doctype = true
	quote, depth := byte(0), 0
	for i := range len(body) {
		switch c := body[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"', c == '\'':
			quote = c
		case c == '<':
			if strings.HasPrefix(body[i:], "<!--") {
				return unreadableXML // a quote within would count for some readers and not for others
			}
			depth++
		case c == '>' && depth > 0:
			depth--
		case c == '>':
			if strings.Contains(strings.ToUpper(body[:i]), "<!ENTITY") {
				return unreadableEntity
			}
			s.at += len("<!DOCTYPE") + i + 1
			return nil
		}
	}
	return unreadableXML
}

// instruction passes over <?...?>. The one that declares the encoding was read before, and stands nowhere else.
func (s *scanner) instruction(rest string) error {
	name := nameAt(rest, 2)
	i := strings.Index(rest, "?>")
	if name == "" || strings.EqualFold(name, "xml") || i < 2+len(name) {
		return unreadableXML
	}
	s.at += i + len("?>")
	return nil
}

func (s *scanner) start() error {
	name := nameAt(s.s, s.at+1)
	if s.elements++; name == "" || s.elements > maxElements || s.depth == maxDepth || s.depth == 0 && s.elements > 1 {
		return unreadableXML
	}
	s.at += 1 + len(name)
	for s.n = 0; ; {
		blanks := s.blanks()
		rest := s.s[s.at:]
		empty := strings.HasPrefix(rest, "/>")
		if empty || strings.HasPrefix(rest, ">") {
			s.at++
			s.names[s.depth] = name
			s.depth++
			if err := s.to.begin(s, local(name)); err != nil || !empty {
				return err
			}
			s.at++
			return s.leave()
		}
		if blanks == 0 {
			return unreadableXML
		}
		if err := s.attribute(); err != nil {
			return err
		}
	}
}

func (s *scanner) attribute() error {
	name := nameAt(s.s, s.at)
	s.at += len(name)
	s.blanks()
	if name == "" || s.n == maxAttributes || !strings.HasPrefix(s.s[s.at:], "=") {
		return unreadableXML
	}
	s.at++
	s.blanks()
	rest := s.s[s.at:]
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return unreadableXML
	}
	i := strings.IndexByte(rest[1:], rest[0])
	if i < 0 || strings.IndexByte(rest[1:1+i], '<') >= 0 {
		return unreadableXML
	}
	value, ok := s.resolve(rest[1:1+i], true)
	name = local(name)
	for _, a := range s.attrs[:s.n] {
		ok = ok && a.name != name
	}
	if !ok {
		return unreadableXML
	}
	s.attrs[s.n] = attr{name, value}
	s.n++
	s.at += i + 2
	return nil
}

func (s *scanner) end() error {
	name := nameAt(s.s, s.at+2)
	s.at += 2 + len(name)
	s.blanks()
	if s.depth == 0 || s.names[s.depth-1] != name || !strings.HasPrefix(s.s[s.at:], ">") {
		return unreadableXML
	}
	s.at++
	return s.leave()
}

func (s *scanner) leave() error {
	s.depth--
	return s.to.leave()
}

// blanks passes over white space and tells how much there was.
func (s *scanner) blanks() int {
	from := s.at
	for s.at < len(s.s) && (s.s[s.at] == ' ' || s.s[s.at] == '\n' || s.s[s.at] == '\t' || s.s[s.at] == '\r') {
		s.at++
	}
	return s.at - from
}

// nameAt gives the ASCII name that begins at a place, or nothing.
func nameAt(s string, at int) string {
	i, colons := at, 0
	for ; i < len(s); i++ {
		c := s[i]
		if letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'; letter {
			continue
		}
		if i == at || (c < '0' || c > '9') && c != '-' && c != '.' && c != ':' {
			break
		}
		if c == ':' {
			colons++
		}
	}
	if i <= at || colons > 1 || s[i-1] == ':' { // then prefix and name are a matter of opinion
		return ""
	}
	return s[at:i]
}

func local(name string) string {
	return name[strings.IndexByte(name, ':')+1:]
}

// resolve gives text as XML means it: line ends as line feeds, and references resolved where they may stand.
func (s *scanner) resolve(run string, references bool) (string, bool) {
	if strings.IndexByte(run, '\r') < 0 && (!references || strings.IndexByte(run, '&') < 0) {
		return run, true
	}
	special := "\r"
	if references {
		special = "\r&"
	}
	s.buf = s.buf[:0]
	for i := strings.IndexAny(run, special); i >= 0; i = strings.IndexAny(run, special) {
		s.buf = append(s.buf, run[:i]...)
		if run[i] == '\r' {
			s.buf = append(s.buf, '\n')
			run = strings.TrimPrefix(run[i+1:], "\n")
			continue
		}
		run = run[i+1:]
		end := strings.IndexByte(run[:min(len(run), maxReference+1)], ';')
		if end < 0 {
			return "", false
		}
		r := referred(run[:end])
		if r < 0 {
			return "", false
		}
		s.buf = utf8.AppendRune(s.buf, r)
		run = run[end+1:]
	}
	return string(append(s.buf, run...)), true
}

// referred gives the character that a reference names, or -1. Names that must be declared are not known.
func referred(name string) rune {
	switch name {
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "amp":
		return '&'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if hex, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if !ok || err != nil || n > utf8.MaxRune || !character(rune(n)) {
		return -1
	}
	return rune(n)
}

// character tells whether a document may hold it (XML 1.0 section 2.2).
func character(r rune) bool {
	return r >= ' ' && r < 0xD800 || r > 0xDFFF && r < 0xFFFE || r > 0xFFFF || r == '\t' || r == '\n' || r == '\r'
}

// documentText gives a document's text without byte order mark and declaration, in UTF-8 and with no character that XML
// forbids. Old documents declare one of two more encodings.
func documentText(b []byte) (string, error) {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	var encoding string
	if bytes.HasPrefix(b, []byte("<?xml")) && len(b) > 5 && b[5] <= ' ' {
		declaration, _, ok := bytes.Cut(b[5:min(len(b), 200)], []byte("?>"))
		if !ok {
			return "", unreadableXML
		}
		var version string
		if version, encoding, ok = declared(string(declaration)); !ok || version != "1.0" {
			return "", unreadableXML
		}
		b = b[5+len(declaration)+len("?>"):]
	}
	switch strings.ToLower(encoding) {
	case "", "utf-8", "utf8", "us-ascii":
	case "iso-8859-1", "latin1":
		b, _ = charmap.ISO8859_1.NewDecoder().Bytes(b) // every byte is a character
	case "windows-1252":
		b, _ = charmap.Windows1252.NewDecoder().Bytes(b)
	default:
		return "", unreadableXML
	}
	high := false
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return "", unreadableXML
		}
		high = high || c >= utf8.RuneSelf
	}
	text := string(b)
	if high && (!utf8.ValidString(text) || strings.Contains(text, "\ufffe") || strings.Contains(text, "\uffff")) {
		return "", unreadableXML
	}
	return text, nil
}

// declared reads version and encoding out of an XML declaration.
func declared(text string) (version, encoding string, ok bool) {
	s := scanner{s: text}
	for s.at < len(s.s) {
		if s.blanks() == 0 {
			return "", "", false
		}
		if s.at < len(s.s) && s.attribute() != nil {
			return "", "", false
		}
	}
	for _, a := range s.attrs[:s.n] {
		if a.name != "version" && a.name != "encoding" && a.name != "standalone" {
			return "", "", false
		}
	}
	return s.attr("version"), s.attr("encoding"), true
}
