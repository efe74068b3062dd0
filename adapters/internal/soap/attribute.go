package soap

import "bytes"

// attributes reads up to the end of a start tag, and binds the prefixes it declares.
func (s *scanner) attributes() (empty bool, err error) {
	s.attrs = s.attrs[:0]
	depth := len(s.open)
	for {
		spaced := s.blanks()
		if s.i >= len(s.b) {
			return false, errTruncated
		}
		switch s.b[s.i] {
		case '>':
			s.i++
			return false, nil
		case '/':
			if s.i+1 >= len(s.b) {
				return false, errTruncated
			}
			if s.b[s.i+1] != '>' {
				return false, errSyntax
			}
			s.i += 2
			return true, nil
		}
		if !spaced {
			return false, errSyntax
		}
		a, err := s.attribute()
		if err != nil {
			return false, err
		}
		switch {
		case string(a.prefix) == "xmlns":
			if err := s.bind(a.local, a.value, depth); err != nil {
				return false, err
			}
		case len(a.prefix) == 0 && string(a.local) == "xmlns":
			if err := s.bind(nil, a.value, depth); err != nil {
				return false, err
			}
		default:
			s.attrs = append(s.attrs, a)
		}
		if len(s.attrs) > maxAttributes || len(s.bound) > maxPrefixes {
			return false, errTooMany
		}
	}
}

func (s *scanner) attribute() (a attribute, err error) {
	name := s.name()
	var ok bool
	if a.prefix, a.local, ok = split(name); !ok {
		return a, errSyntax
	}
	s.blanks()
	if s.i >= len(s.b) {
		return a, errTruncated
	}
	if s.b[s.i] != '=' {
		return a, errSyntax
	}
	s.i++
	s.blanks()
	if s.i >= len(s.b) {
		return a, errTruncated
	}
	quote := s.b[s.i]
	if quote != '"' && quote != '\'' {
		return a, errSyntax
	}
	s.i++
	n := bytes.IndexByte(s.b[s.i:], quote)
	if n < 0 {
		return a, errTruncated
	}
	a.value = s.b[s.i : s.i+n]
	s.i += n + 1
	for _, c := range a.value {
		switch c {
		case '<':
			return a, errSyntax
		case '\t', '\n', '\r':
			s.out.spaced = true
		}
	}
	return a, nil
}

// bind declares a prefix. References and white space in a namespace would be read by the decoder in another way than here,
// so there are none.
func (s *scanner) bind(prefix, uri []byte, depth int) error {
	if bytes.ContainsAny(uri, "& \t\r\n") || string(uri) == nsXMLNS || string(prefix) == "xmlns" {
		return errReserved
	}
	if (string(prefix) == "xml") != (string(uri) == nsXML) || len(prefix) > 0 && len(uri) == 0 {
		return errReserved
	}
	for i := len(s.bound) - 1; i >= 0 && s.bound[i].depth == depth; i-- {
		if bytes.Equal(s.bound[i].prefix, prefix) {
			return errAttribute
		}
	}
	s.bound = append(s.bound, binding{prefix, uri, depth})
	return nil
}

func (s *scanner) lookup(prefix []byte) (uri []byte, ok bool) {
	for i := len(s.bound) - 1; i >= 0; i-- {
		if bytes.Equal(s.bound[i].prefix, prefix) {
			return s.bound[i].uri, true
		}
	}
	return nil, false
}

// resolve gives the attributes their namespaces, and refuses two of one name, also where they are written with different
// prefixes.
func (s *scanner) resolve() error {
	for i := range s.attrs {
		a := &s.attrs[i]
		if len(a.prefix) > 0 {
			var ok bool
			if a.space, ok = s.lookup(a.prefix); !ok {
				return errPrefix
			}
		}
		for _, b := range s.attrs[:i] {
			if bytes.Equal(a.local, b.local) && bytes.Equal(a.space, b.space) {
				return errAttribute
			}
		}
	}
	return nil
}
