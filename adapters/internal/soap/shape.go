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
		s.fields[local] = &field{index: len(s.fields), many: many, space: space, shape: shapeOf(inner, memo)}
	}
}

// A level is an element of the answer that the scanner is in.
type level struct {
	shape *shape
	space []byte
	seen  uint64
	text  bool // there was some that is not blank
}

// enter holds an element below the Body against the shape of what is around it.
func (s *scanner) enter(space, local []byte) error {
	around := &s.levels[len(s.levels)-1]
	var inner *shape
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
			inner = f.shape
		}
	}
	s.levels = append(s.levels, level{shape: inner, space: space})
	return nil
}
