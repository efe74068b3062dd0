package soap

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

var (
	errCanonicalPrefix = rule("an element uses a namespace prefix that is not declared")
	errCanonicalNode   = rule("an element holds a directive or a processing instruction")
)

// Canonical gives the exclusive canonical form of an element where it stands in its document, without comments
// (Exclusive XML Canonicalization 1.0). prefixes is the InclusiveNamespaces PrefixList; "#default" names the default
// namespace. The element is not changed.
//
// It is written here because goxmldsig's, on the same tree, refuses more than a thousand elements and writes xmlns=""
// where no default namespace is to be undone; the tests hold it against libxml2's.
func Canonical(el *etree.Element, prefixes ...string) ([]byte, error) {
	c := canonicalizer{inclusive: make([]string, len(prefixes))}
	for i, p := range prefixes {
		if p != "#default" {
			c.inclusive[i] = p
		}
	}
	var above []*etree.Element
	for e := el.Parent(); e != nil; e = e.Parent() {
		above = append(above, e)
	}
	for _, e := range slices.Backward(above) {
		c.scope = declare(c.scope, e)
	}
	if err := c.element(el); err != nil {
		return nil, err
	}
	return c.out.Bytes(), nil
}

type canonicalizer struct {
	out       bytes.Buffer
	inclusive []string
	scope     []nsBinding // in the document
	rendered  []nsBinding // in the output
	sorted    []sortedAttr
}

type nsBinding struct{ prefix, uri string }

type sortedAttr struct {
	uri  string
	attr *etree.Attr
}

func declare(scope []nsBinding, el *etree.Element) []nsBinding {
	for i := range el.Attr {
		switch a := &el.Attr[i]; {
		case a.Space == "xmlns":
			scope = append(scope, nsBinding{a.Key, a.Value})
		case a.Space == "" && a.Key == "xmlns":
			scope = append(scope, nsBinding{"", a.Value})
		}
	}
	return scope
}

func find(scope []nsBinding, prefix string) (uri string, ok bool) {
	for i := len(scope) - 1; i >= 0; i-- {
		if scope[i].prefix == prefix {
			return scope[i].uri, true
		}
	}
	return "", false
}

func (c *canonicalizer) element(el *etree.Element) error {
	scope, rendered, sorted := len(c.scope), len(c.rendered), len(c.sorted)
	c.scope = declare(c.scope, el)
	if err := c.render(el.Space, rendered, false); err != nil {
		return err
	}
	for _, prefix := range c.inclusive {
		if err := c.render(prefix, rendered, true); err != nil {
			return err
		}
	}
	for i := range el.Attr {
		a := &el.Attr[i]
		if a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns" {
			continue
		}
		uri := ""
		if a.Space == "xml" {
			uri = nsXML
		} else if a.Space != "" {
			if err := c.render(a.Space, rendered, false); err != nil {
				return err
			}
			uri, _ = find(c.scope, a.Space)
		}
		c.sorted = append(c.sorted, sortedAttr{uri, a})
	}
	c.start(el, c.rendered[rendered:], c.sorted[sorted:])
	for _, child := range el.Child {
		switch t := child.(type) {
		case *etree.Element:
			if err := c.element(t); err != nil {
				return err
			}
		case *etree.CharData:
			c.text(t.Data)
		case *etree.Comment:
		default:
			return errCanonicalNode
		}
	}
	c.out.WriteString("</")
	c.name(el.Space, el.Tag)
	c.out.WriteByte('>')
	c.scope, c.rendered, c.sorted = c.scope[:scope], c.rendered[:rendered], c.sorted[:sorted]
	return nil
}

// render notes that a prefix must be declared on the element at hand, whose own declarations begin at from, unless the
// output has it so already. One that is only listed may be out of scope.
func (c *canonicalizer) render(prefix string, from int, listed bool) error {
	if prefix == "xml" {
		return nil
	}
	uri, ok := find(c.scope, prefix)
	if !ok && prefix != "" {
		if listed {
			return nil
		}
		return errCanonicalPrefix
	}
	if was, there := find(c.rendered, prefix); was == uri && (there || prefix == "") {
		return nil
	}
	c.rendered = append(c.rendered, nsBinding{prefix, uri})
	return nil
}

func (c *canonicalizer) start(el *etree.Element, spaces []nsBinding, attrs []sortedAttr) {
	c.out.WriteByte('<')
	c.name(el.Space, el.Tag)
	if len(spaces) > 1 {
		slices.SortFunc(spaces, func(a, b nsBinding) int { return cmp.Compare(a.prefix, b.prefix) })
	}
	for _, b := range spaces {
		c.out.WriteString(" xmlns")
		if b.prefix != "" {
			c.out.WriteByte(':')
			c.out.WriteString(b.prefix)
		}
		c.value(b.uri)
	}
	if len(attrs) > 1 {
		slices.SortFunc(attrs, func(a, b sortedAttr) int {
			return cmp.Or(cmp.Compare(a.uri, b.uri), cmp.Compare(a.attr.Key, b.attr.Key))
		})
	}
	for _, a := range attrs {
		c.out.WriteByte(' ')
		c.name(a.attr.Space, a.attr.Key)
		c.value(a.attr.Value)
	}
	c.out.WriteByte('>')
}

func (c *canonicalizer) name(space, local string) {
	if space != "" {
		c.out.WriteString(space)
		c.out.WriteByte(':')
	}
	c.out.WriteString(local)
}

// What Canonical XML 1.0, section 2.3, writes in another's place, in the value of an attribute and in text.
var (
	inValue = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
	inText  = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
)

func (c *canonicalizer) value(s string) {
	c.out.WriteString(`="`)
	_, _ = inValue.WriteString(&c.out, s) // a buffer takes everything
	c.out.WriteByte('"')
}

func (c *canonicalizer) text(s string) { _, _ = inText.WriteString(&c.out, s) }
