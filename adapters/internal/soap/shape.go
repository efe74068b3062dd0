package soap

import (
	"encoding"
	"encoding/xml"
	"reflect"
	"strings"
)

var (
	errRepeated  = rule("the answer has an element twice where the contract has one")
	errForeign   = rule("the answer has an element of the contract in another namespace")
	errInsertion = rule("the answer has elements where the contract has text")
	errNil       = rule("the answer has an element that is nil and not empty")
	errVacant    = rule("the answer has an empty element where the contract has a number or a boolean")
)

// A shape is what a generated type can hold, as far as encoding/xml does not look: of two elements it takes the last, of
// a name in any namespace it takes the name, of text with elements in between it takes the text, and of nothing it makes
// a zero. Each of them could make a "no" out of something else.
type shape struct {
	fields map[string]*field
	leaf   bool // text, and no elements
	filled bool // text that is not blank
}

type field struct {
	index int // for the set of those seen; beyond 63 nobody counts
	many  bool
	null  bool   // a pointer, so that nil can be told
	space string // as the tag has it; empty: that of the element around it
	shape *shape // nil: anything
}

var (
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	xmlType  = reflect.TypeFor[xml.Unmarshaler]()
	nameType = reflect.TypeFor[xml.Name]()
)

// shapeOf reads a type's tags. memo ends recursion.
func shapeOf(t reflect.Type, memo map[reflect.Type]*shape) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case reflect.PointerTo(t).Implements(xmlType):
		return nil
	case reflect.PointerTo(t).Implements(textType):
		return &shape{leaf: true, filled: t.Kind() != reflect.String}
	case t.Kind() == reflect.Interface:
		return nil
	case t.Kind() == reflect.String, t.Kind() == reflect.Slice:
		return &shape{leaf: true}
	case t.Kind() != reflect.Struct:
		return &shape{leaf: true, filled: true}
	}
	if s, ok := memo[t]; ok {
		return s
	}
	s := &shape{fields: map[string]*field{}}
	memo[t] = s
	s.add(t, memo)
	return s
}

func (s *shape) add(t reflect.Type, memo map[reflect.Type]*shape) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, kind, _ := strings.Cut(f.Tag.Get("xml"), ",")
		if f.Type == nameType || tag == "-" || strings.Contains(kind, "attr") || strings.Contains(tag, ">") || !f.IsExported() && !f.Anonymous {
			continue
		}
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if f.Anonymous && tag == "" && inner.Kind() == reflect.Struct {
			s.add(inner, memo)
			continue
		}
		switch kind {
		case "chardata", "cdata", "innerxml", "any", "comment":
			continue
		}
		space, local, qualified := strings.Cut(tag, " ")
		if !qualified {
			space, local = "", tag
		}
		if local == "" {
			local = f.Name
		}
		many := inner.Kind() == reflect.Slice && inner.Elem().Kind() != reflect.Uint8
		if many {
			inner = inner.Elem()
		}
		s.fields[local] = &field{index: len(s.fields), many: many, null: f.Type.Kind() == reflect.Pointer, space: space, shape: shapeOf(inner, memo)}
	}
}

// A level is an element of the answer that the scanner is in.
type level struct {
	shape *shape
	space []byte
	seen  uint64
	text  bool // there was some that is not blank
	null  bool // it is nil, and
	start int  // begins here
}

// A span is a part of the text.
type span struct{ from, to int }

// without gives the text without what is cut. Of what is nil the decoder would make zeros; and the Header it would read
// only to forget it.
func without(text []byte, cuts []span) []byte {
	if len(cuts) == 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	at := 0
	for _, n := range cuts {
		out = append(out, text[at:n.from]...)
		at = n.to
	}
	return append(out, text[at:]...)
}

// null reports whether the element at hand bears xsi:nil.
func (s *scanner) null() bool {
	for _, a := range s.attrs {
		if string(a.local) == "nil" && string(a.space) == nsInstance {
			return string(a.value) == "true" || string(a.value) == "1"
		}
	}
	return false
}

// enter holds an element below the Body against the shape of what is around it.
func (s *scanner) enter(start int, space, local []byte) error {
	around := &s.levels[len(s.levels)-1]
	inner := level{space: space, start: start}
	if around.shape != nil {
		if around.shape.leaf {
			return errInsertion
		}
		if f := around.shape.fields[string(local)]; f != nil {
			switch {
			case f.space != "" && string(space) != f.space,
				f.space == "" && len(space) > 0 && string(space) != string(around.space):
				return errForeign
			case !f.many && f.index < 64:
				if around.seen&(1<<f.index) != 0 {
					return errRepeated
				}
				around.seen |= 1 << f.index
			}
			inner.shape = f.shape
			if f.null && s.null() {
				inner.shape, inner.null = &shape{leaf: true}, true
			}
		}
	}
	s.levels = append(s.levels, inner)
	return nil
}

// exit ends an element of the answer.
func (s *scanner) exit() error {
	l := s.levels[len(s.levels)-1]
	switch {
	case l.null && l.text:
		return errNil
	case l.null:
		s.out.cuts = append(s.out.cuts, span{l.start, s.i})
	case l.shape != nil && l.shape.filled && !l.text:
		return errVacant
	}
	s.levels = s.levels[:len(s.levels)-1]
	return nil
}
