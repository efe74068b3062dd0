package entrate

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/beevik/etree"
)

const (
	maxEnvelope = 1 << 20
	maxDepth    = 64

	nsEnvelope = "http://schemas.xmlsoap.org/soap/envelope/"
)

// A name is an element's, with its namespace.
type name struct{ space, local string }

// parse reads one XML document, and gives the rule that it breaks. etree alone would let a document type, a second root,
// an attribute given twice and an undeclared prefix pass.
func parse(raw []byte) (*etree.Element, string) {
	if len(raw) > maxEnvelope {
		return nil, "envelope: above 1 MiB"
	}
	if rule := scan(raw); rule != "" {
		return nil, rule
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil || doc.Root() == nil {
		return nil, "envelope: not one well-formed XML document in UTF-8"
	}
	return doc.Root(), ""
}

func scan(raw []byte) string {
	d := xml.NewDecoder(bytes.NewReader(raw)) // refuses another charset than UTF-8
	depth, roots := 0, 0
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) && depth == 0 && roots == 1 {
			return ""
		}
		if err != nil {
			return "envelope: not one well-formed XML document in UTF-8"
		}
		switch t := t.(type) {
		case xml.Directive:
			return "envelope: a document type"
		case xml.ProcInst:
			if t.Target != "xml" {
				return "envelope: a processing instruction"
			}
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return "envelope: too deep"
			}
			if depth == 1 {
				roots++
			}
			if twice(t.Attr) {
				return "envelope: an attribute is given twice"
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(t)) > 0 {
				return "envelope: text outside its root"
			}
		}
	}
}

func twice(attrs []xml.Attr) bool {
	seen := map[xml.Name]bool{}
	for _, a := range attrs {
		if seen[a.Name] {
			return true
		}
		seen[a.Name] = true
	}
	return false
}

// is tells an element's name, whatever its prefix.
func is(e *etree.Element, n name) bool {
	return e != nil && e.Tag == n.local && e.NamespaceURI() == n.space
}

// attr is an attribute without a prefix; empty when it is not there. etree itself would take one with any prefix.
func attr(e *etree.Element, key string) string {
	if e != nil {
		for _, a := range e.Attr {
			if a.Space == "" && a.Key == key {
				return a.Value
			}
		}
	}
	return ""
}

// only is the one child of that name; nil when there is none, or more than one.
func only(e *etree.Element, n name) *etree.Element {
	if e == nil {
		return nil
	}
	var found *etree.Element
	for _, c := range e.ChildElements() {
		if is(c, n) {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// text is what an element holds when it holds text alone: a comment in the midst would cut it short for some readers.
func text(e *etree.Element) (string, bool) {
	if e == nil {
		return "", false
	}
	var b strings.Builder
	for _, c := range e.Child {
		d, ok := c.(*etree.CharData)
		if !ok {
			return "", false
		}
		b.WriteString(d.Data)
	}
	return b.String(), true
}

// A reader takes the children of an element one after another, as a sequence of XML Schema has them. The first rule that
// is broken stays.
type reader struct {
	space, of string
	left      []*etree.Element
	rule      string
}

func read(e *etree.Element) *reader {
	x := &reader{space: e.NamespaceURI(), of: e.Tag, left: e.ChildElements()}
	if !declarations(e) {
		x.rule = x.of + ": an attribute that the schema does not know"
	}
	for _, c := range e.Child {
		if d, ok := c.(*etree.CharData); ok && strings.TrimSpace(d.Data) != "" {
			x.rule = x.of + ": text between its elements"
		}
	}
	return x
}

// element takes the next child, which must be called so.
func (x *reader) element(local string) *etree.Element {
	switch {
	case x.rule != "":
		return nil
	case len(x.left) == 0:
		x.rule = x.of + ": " + local + " is missing"
		return nil
	case !is(x.left[0], name{x.space, local}):
		x.rule = x.of + ": want " + local + " of its own namespace next"
		return nil
	}
	e := x.left[0]
	x.left = x.left[1:]
	return e
}

// text takes the next child, which must hold text alone.
func (x *reader) text(local string) string {
	e := x.element(local)
	if e == nil {
		return ""
	}
	s, ok := text(e)
	if !ok || !declarations(e) {
		x.rule = x.of + ": " + local + " holds more than text"
	}
	return s
}

// declarations tells whether all attributes are declarations of namespaces.
func declarations(e *etree.Element) bool {
	for _, a := range e.Attr {
		if a.Space != "xmlns" && a.FullKey() != "xmlns" {
			return false
		}
	}
	return true
}

// end gives the rule that was broken; a child that is left over breaks one.
func (x *reader) end() string {
	if x.rule == "" && len(x.left) > 0 {
		x.rule = x.of + ": more than the schema allows"
	}
	return x.rule
}
