package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

const nsXSD = "http://www.w3.org/2001/XMLSchema"

// Schemas are what gowsdl was given, as far as it matters here.
type schemas struct {
	types    map[string]*complexType // by the name that Go gives it
	elements []global                // in order
}

type global struct{ space, name, typ string } // typ by Go's name; empty when it is anonymous

type complexType struct {
	space      string
	members    []member // in the order of the schema
	attributes map[string]member
}

type member struct {
	name     string
	space    string // of the element
	base     string // the local name of its type: "boolean"
	optional bool
	many     bool
	inline   *complexType // of an anonymous type
}

func newSchemas() *schemas { return &schemas{types: map[string]*complexType{}} }

type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []*node    `xml:",any"`
}

func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *node) is(name string) bool { return n.XMLName.Space == nsXSD && n.XMLName.Local == name }

// read adds the schemas of a file, or those inside a WSDL.
func (s *schemas) read(r io.Reader) error {
	var root node
	if err := xml.NewDecoder(r).Decode(&root); err != nil { //nolint:gosec // the schemas lie beside the code
		return err
	}
	return s.walk(&root)
}

func (s *schemas) walk(n *node) error {
	if n.is("schema") {
		return s.schema(n)
	}
	for _, c := range n.Children {
		if err := s.walk(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *schemas) schema(n *node) error {
	space := n.attr("targetNamespace")
	qualified := n.attr("elementFormDefault") == "qualified"
	for _, c := range n.Children {
		name := exported(c.attr("name"))
		switch {
		case c.is("complexType"):
			t, err := complexOf(c, n, space, qualified)
			if err != nil {
				return err
			}
			if err := s.put(name, t); err != nil {
				return err
			}
		case c.is("element"):
			g := global{space: space, name: c.attr("name"), typ: exported(local(c.attr("type")))}
			s.elements = append(s.elements, g)
			for _, inner := range c.Children {
				if !inner.is("complexType") {
					continue
				}
				t, err := complexOf(inner, n, space, qualified)
				if err != nil {
					return err
				}
				if err := s.put(name, t); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *schemas) put(name string, t *complexType) error {
	if _, twice := s.types[name]; twice {
		return fmt.Errorf("two types are named %s: generate them into two packages", name)
	}
	s.types[name] = t
	return nil
}

func complexOf(n, schema *node, space string, qualified bool) (*complexType, error) {
	t := &complexType{space: space, attributes: map[string]member{}}
	return t, t.collect(n, schema, qualified, false, false)
}

// collect gathers the members below n. optional and many are what the particles around it say.
func (t *complexType) collect(n, schema *node, qualified, optional, many bool) error {
	for _, c := range n.Children {
		opt := optional || c.attr("minOccurs") == "0"
		rep := many || c.attr("maxOccurs") != "" && c.attr("maxOccurs") != "1" && c.attr("maxOccurs") != "0"
		switch {
		case c.is("sequence"), c.is("all"), c.is("complexContent"), c.is("simpleContent"), c.is("extension"):
			if err := t.collect(c, schema, qualified, opt, rep); err != nil {
				return err
			}
		case c.is("choice"):
			if err := t.collect(c, schema, qualified, true, rep); err != nil {
				return err
			}
		case c.is("attribute"):
			name := c.attr("name")
			t.attributes[name] = member{name: name, base: local(c.attr("type")), optional: c.attr("use") != "required"}
		case c.is("element"):
			opt = opt || c.attr("nillable") == "true"
			m := member{name: c.attr("name"), space: t.space, base: local(c.attr("type")), many: rep, optional: opt}
			if ref := c.attr("ref"); ref != "" {
				m.name, m.space = local(ref), schema.prefix(ref, t.space)
			} else if form := c.attr("form"); form == "unqualified" || form == "" && !qualified {
				return errors.New("the schema has unqualified local elements, which gowsdl cannot express: write these types by hand")
			}
			for _, inner := range c.Children {
				switch {
				case inner.is("complexType"):
					m.inline = &complexType{space: t.space, attributes: map[string]member{}}
					if err := m.inline.collect(inner, schema, qualified, false, false); err != nil {
						return err
					}
				case inner.is("simpleType"):
					for _, r := range inner.Children {
						if r.is("restriction") {
							m.base = local(r.attr("base"))
						}
					}
				}
			}
			t.members = append(t.members, m)
		}
	}
	return nil
}

// prefix resolves the prefix of a reference by the declarations on the schema element.
func (n *node) prefix(ref, otherwise string) string {
	prefix, _, ok := strings.Cut(ref, ":")
	for _, a := range n.Attrs {
		if ok && a.Name.Space == "xmlns" && a.Name.Local == prefix || !ok && a.Name.Space == "" && a.Name.Local == "xmlns" {
			return a.Value
		}
	}
	return otherwise
}

// find gives a member by the element's name.
func (t *complexType) find(name string) (at int, m member, ok bool) {
	for i, m := range t.members {
		if m.name == name {
			return i, m, true
		}
	}
	return 0, member{}, false
}

func local(qname string) string { return qname[strings.LastIndexByte(qname, ':')+1:] }

// exported is gowsdl's rule for the names of types.
func exported(name string) string {
	out := []rune(strings.Map(func(r rune) rune {
		switch {
		case r == '.':
			return '_'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '_':
			return r
		}
		return -1
	}, name))
	if len(out) > 0 {
		out[0] = unicode.ToUpper(out[0])
	}
	return string(out)
}
