package soap

import (
	"bytes"
	"encoding/xml"
	"slices"
)

// Bounds on replies, beyond their size, which is wire's.
const (
	maxDepth      = 100 // of elements
	maxAttributes = 64  // of one element
	maxPrefixes   = 256 // in scope at once
	maxHeaders    = 64  // blocks
)

var (
	errSyntax         = rule("the reply is not well-formed XML")
	errTruncated      = rule("the reply ends before its XML does")
	errDoctype        = rule("the reply has a document type declaration, which SOAP forbids")
	errInstruction    = rule("the reply has a processing instruction, which SOAP forbids")
	errRoots          = rule("the reply has more than one root element, or text beside it")
	errEnvelope       = rule("the reply's root is not a SOAP Envelope")
	errVersion        = rule("the reply is SOAP 1.2, and SOAP 1.1 was asked for")
	errPrefix         = rule("the reply uses a namespace prefix that it does not declare")
	errReserved       = rule("the reply declares a namespace in a way that is forbidden, or read in two ways")
	errAttribute      = rule("the reply has the same attribute twice on one element")
	errTooDeep        = rule("the reply's elements are nested too deeply")
	errTooMany        = rule("the reply has too many attributes, prefixes or header blocks")
	errStructure      = rule("the reply's Envelope holds other things than one Header and one Body, in this order")
	errNoBody         = rule("the reply has no Body")
	errBodyEmpty      = rule("the reply's Body is empty")
	errBodyMany       = rule("the reply's Body holds more than one element")
	errMustUnderstand = rule("the reply has a header block that must be understood and is not known here")
)

// An envelope is a reply that keeps the rules.
type envelope struct {
	text   []byte
	child  xml.Name // of the one element in the Body
	fault  bool
	scope  []binding // of namespaces, on that element
	cuts   []span    // what the decoder need not see: the Header, and elements of the answer that are nil
	spaced bool      // some attribute value holds a raw tab or line end
}

// A binding is a prefix and its namespace; the default namespace has the empty prefix.
type binding struct {
	prefix, uri []byte
	depth       int
}

// A scanner holds a document against the rules in one pass over its bytes, without building anything. It is stricter
// than XML where SOAP is, and where gowsdl's decoder would read a thing in another way.
type scanner struct {
	b      []byte
	i      int
	open   []tag // elements under way
	bound  []binding
	attrs  []attribute // of the element at hand
	known  []xml.Name  // header blocks that are understood
	shape  *shape      // of the answer; nil: any
	answer xml.Name    // the element that has it
	levels []level     // below the Body
	out    envelope

	rooted, header, body bool
	headerAt             int
	blocks, children     int
}

type tag struct{ name []byte } // as written, prefix included

// An attribute is one that declares nothing. space is there once resolve has seen it.
type attribute struct{ prefix, local, value, space []byte }

// scan reads a whole document. Its errors are rules. What is in the Body must have the shape of the answer where it is
// the answer; known are the header blocks that are understood.
func scan(text []byte, answer xml.Name, form *shape, known []xml.Name) (*envelope, error) {
	s := scanner{
		b: text, answer: answer, shape: form, known: known, out: envelope{text: text},
		open: make([]tag, 0, 16), bound: make([]binding, 1, 16), attrs: make([]attribute, 0, 8),
	}
	s.bound[0] = binding{[]byte("xml"), []byte(nsXML), 0}
	for s.i < len(s.b) {
		if s.b[s.i] != '<' {
			if err := s.chars(); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.markup(); err != nil {
			return nil, err
		}
	}
	switch {
	case len(s.open) > 0:
		return nil, errTruncated
	case !s.rooted:
		return nil, errEnvelope
	case !s.body:
		return nil, errNoBody
	}
	return &s.out, nil
}

// structural reports whether the scanner stands where SOAP allows elements only: outside the root, in Envelope, Header
// or Body.
func (s *scanner) structural() bool { return len(s.open) <= 2 }

func (s *scanner) chars() error {
	n := bytes.IndexByte(s.b[s.i:], '<')
	if n < 0 {
		n = len(s.b) - s.i
	}
	if s.structural() && !blank(s.b[s.i:s.i+n]) {
		if len(s.open) == 0 {
			if s.rooted {
				return errRoots
			}
			return errEnvelope
		}
		return errStructure
	}
	if len(s.levels) > 0 && !blank(s.b[s.i:s.i+n]) {
		s.levels[len(s.levels)-1].text = true
	}
	s.i += n
	return nil
}

func (s *scanner) markup() error {
	rest := s.b[s.i+1:]
	if len(rest) == 0 {
		return errTruncated
	}
	switch rest[0] {
	case '/':
		return s.closing()
	case '?':
		return errInstruction
	case '!':
		switch {
		case bytes.HasPrefix(rest, []byte("!--")):
			// The first "--" must be the comment's end: so XML has it.
			n := bytes.Index(rest[3:], []byte("--"))
			if n < 0 {
				return errTruncated
			}
			if at := 3 + n + 2; at >= len(rest) || rest[at] != '>' {
				return errSyntax
			}
			s.i += 1 + 3 + n + 3
			return nil
		case bytes.HasPrefix(rest, []byte("![CDATA[")):
			if s.structural() {
				return errStructure
			}
			n := bytes.Index(rest, []byte("]]>"))
			if n < 0 {
				return errTruncated
			}
			if len(s.levels) > 0 {
				s.levels[len(s.levels)-1].text = true // an empty section is the decoder's to judge
			}
			s.i += 1 + n + 3
			return nil
		case bytes.HasPrefix(rest, []byte("!DOCTYPE")):
			return errDoctype
		}
		return errSyntax
	}
	return s.opening()
}

func (s *scanner) closing() error {
	s.i += 2
	name := s.name()
	s.blanks()
	if s.i >= len(s.b) {
		return errTruncated
	}
	if s.b[s.i] != '>' || len(s.open) == 0 || !bytes.Equal(name, s.open[len(s.open)-1].name) {
		return errSyntax
	}
	s.i++
	return s.leave()
}

// leave ends the innermost element.
func (s *scanner) leave() error {
	depth := len(s.open)
	if len(s.levels) > 0 {
		if err := s.exit(); err != nil {
			return err
		}
	}
	if depth == 2 {
		switch {
		case !s.body:
			s.out.cuts = append(s.out.cuts, span{s.headerAt, s.i})
		case s.children == 0:
			return errBodyEmpty
		}
	}
	s.open = s.open[:depth-1]
	n := len(s.bound)
	for n > 0 && s.bound[n-1].depth == depth {
		n--
	}
	s.bound = s.bound[:n]
	return nil
}

func (s *scanner) opening() error {
	start := s.i
	s.i++
	name := s.name()
	if len(name) == 0 {
		return errSyntax
	}
	if len(s.open) >= maxDepth {
		return errTooDeep
	}
	s.open = append(s.open, tag{name})
	empty, err := s.attributes()
	if err != nil {
		return err
	}
	prefix, local, ok := split(name)
	if !ok {
		return errSyntax
	}
	space, ok := s.lookup(prefix)
	if !ok && len(prefix) > 0 {
		return errPrefix
	}
	if err := s.resolve(); err != nil {
		return err
	}
	if len(s.open) <= 3 {
		if err := s.place(start, space, local); err != nil {
			return err
		}
	} else if len(s.levels) > 0 {
		if err := s.enter(start, space, local); err != nil {
			return err
		}
	}
	if empty {
		return s.leave()
	}
	return nil
}

// place says what the element that was just opened may be where it stands.
func (s *scanner) place(start int, space, local []byte) error {
	soap := string(space) == NSEnvelope
	switch len(s.open) {
	case 1:
		switch {
		case s.rooted:
			return errRoots
		case string(local) != "Envelope":
			return errEnvelope
		case string(space) == nsEnvelope12:
			return errVersion
		case !soap:
			return errEnvelope
		}
		s.rooted = true
	case 2:
		switch {
		case soap && string(local) == "Header" && !s.header && !s.body:
			s.header, s.headerAt = true, start
		case soap && string(local) == "Body" && !s.body:
			s.body = true
		default:
			return errStructure
		}
	case 3:
		if !s.body {
			return s.block(space, local)
		}
		if s.children++; s.children > 1 {
			return errBodyMany
		}
		if string(space) == s.answer.Space && string(local) == s.answer.Local {
			s.out.child = s.answer
		} else {
			s.out.child = xml.Name{Space: string(space), Local: string(local)}
		}
		s.out.fault = soap && string(local) == "Fault"
		switch {
		case s.out.fault:
			s.out.scope = slices.Clone(s.bound)
		case s.shape != nil && s.out.child == s.answer:
			s.levels = append(s.levels, level{shape: s.shape, space: space})
		}
	}
	return nil
}

// block judges a header block: one that is for us and must be understood has to be known.
func (s *scanner) block(space, local []byte) error {
	if s.blocks++; s.blocks > maxHeaders {
		return errTooMany
	}
	must, ours := false, true
	for _, a := range s.attrs {
		if string(a.space) != NSEnvelope {
			continue
		}
		switch string(a.local) {
		case "mustUnderstand":
			must = string(a.value) != "0" && string(a.value) != "false"
		case "actor":
			ours = len(a.value) == 0 || string(a.value) == actorNext || bytes.IndexByte(a.value, '&') >= 0
		}
	}
	if must && ours && !slices.ContainsFunc(s.known, func(n xml.Name) bool { return n.Space == string(space) && n.Local == string(local) }) {
		return errMustUnderstand
	}
	return nil
}

// name reads a name as it is written. What is above ASCII is the decoder's to judge.
func (s *scanner) name() []byte {
	start := s.i
	for s.i < len(s.b) && nameByte[s.b[s.i]] {
		s.i++
	}
	return s.b[start:s.i]
}

// split cuts a name at its colon, if it has one; both halves must be names.
func split(name []byte) (prefix, local []byte, ok bool) {
	local = name
	if n := bytes.IndexByte(name, ':'); n >= 0 {
		prefix, local = name[:n], name[n+1:]
		if n == 0 || !starts(prefix[0]) || bytes.IndexByte(local, ':') >= 0 {
			return nil, nil, false
		}
	}
	return prefix, local, len(local) > 0 && starts(local[0])
}

func starts(c byte) bool { return nameByte[c] && c != '-' && c != '.' && (c < '0' || c > '9') }

// nameByte are the bytes of names.
var nameByte = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '_' || c == '-' || c == '.' || c == ':' || c >= 0x80
	}
	return t
}()

func (s *scanner) blanks() bool {
	start := s.i
	for s.i < len(s.b) && space(s.b[s.i]) {
		s.i++
	}
	return s.i > start
}

func blank(b []byte) bool {
	for _, c := range b {
		if !space(c) {
			return false
		}
	}
	return true
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
