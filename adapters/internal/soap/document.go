package soap

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"strings"

	"github.com/beevik/etree"
)

// A document is a reply as the verifier sees it.
type document struct {
	root, header, body, security, signature *etree.Element
	ids                                     map[string]*etree.Element
	scope                                   []nsBinding // of the element that survey is at
}

// survey finds the parts by their place, and sees that Ids are given once and signatures stand nowhere else.
func (d *document) survey(el *etree.Element) error {
	outer := len(d.scope)
	defer func() { d.scope = d.scope[:outer] }()
	d.scope = declare(d.scope, el)
	for i := range el.Attr {
		a := &el.Attr[i]
		if a.Key != "Id" || a.Space == "" {
			continue
		}
		if space, _ := find(d.scope, a.Space); space == NSUtility {
			if _, twice := d.ids[a.Value]; twice || a.Value == "" {
				return errIDs
			}
			d.ids[a.Value] = el
		}
	}
	parent := el.Parent()
	space, _ := find(d.scope, el.Space)
	switch (xml.Name{Space: space, Local: el.Tag}) {
	case xml.Name{Space: NSEnvelope, Local: "Header"}:
		if parent == d.root {
			d.header = el
		}
	case xml.Name{Space: NSEnvelope, Local: "Body"}:
		if parent == d.root {
			d.body = el
		}
	case xml.Name{Space: NSSecurity, Local: "Security"}:
		if parent == d.header && d.header != nil {
			if d.security != nil {
				return errSecurities
			}
			d.security = el
		}
	case xml.Name{Space: NSSignature, Local: "Signature"}:
		if parent != d.security || d.security == nil || d.signature != nil {
			return errSignatures
		}
		d.signature = el
	}
	for _, child := range el.Child {
		if c, ok := child.(*etree.Element); ok {
			if err := d.survey(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func nameOf(el *etree.Element) xml.Name { return xml.Name{Space: el.NamespaceURI(), Local: el.Tag} }

// attrOf gives an attribute of no namespace; etree's own search takes any prefix.
func attrOf(el *etree.Element, local string) string {
	for i := range el.Attr {
		if a := &el.Attr[i]; a.Space == "" && a.Key == local {
			return a.Value
		}
	}
	return ""
}

// textOf gives all character data, as the canonical form has it; etree's own stops at the first comment.
func textOf(el *etree.Element) string {
	var b strings.Builder
	for _, child := range el.Child {
		if c, ok := child.(*etree.CharData); ok {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

func isDS(el *etree.Element, local string) bool {
	return el.Tag == local && el.NamespaceURI() == NSSignature
}

func unbase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

// normalize makes raw white space in attribute values blanks, as XML 1.0 has it (section 3.3.3) and Go's decoder does
// not. The text is well-formed.
func normalize(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] != '<' {
			n := bytes.IndexByte(text[i:], '<')
			if n < 0 {
				n = len(text) - i
			}
			out = append(out, text[i:i+n]...)
			i += n
			continue
		}
		end := ""
		switch rest := text[i:]; {
		case bytes.HasPrefix(rest, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			end = "]]>"
		}
		if end != "" {
			n := bytes.Index(text[i:], []byte(end)) + len(end)
			out = append(out, text[i:i+n]...)
			i += n
			continue
		}
		var quote byte
		for ; i < len(text); i++ {
			c := text[i]
			switch {
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case c == quote:
				quote = 0
			case quote != 0 && c == '\r' && i+1 < len(text) && text[i+1] == '\n':
				continue
			case quote != 0 && (c == '\t' || c == '\n' || c == '\r'):
				c = ' '
			}
			out = append(out, c)
			if c == '>' && quote == 0 {
				i++
				break
			}
		}
	}
	return out
}
