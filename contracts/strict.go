package contracts

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// maxJSONDepth bounds the nesting of a request: far beyond any of ours, far below what harms a parser.
const maxJSONDepth = 64

// UnmarshalStrict decodes one JSON value into v, refusing what encoding/json lets through: unknown keys, duplicate
// keys, keys that differ only in case, nesting beyond 64 levels, and anything after the value. Its errors name the
// place (a path of keys), never a value.
func UnmarshalStrict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := checkValue(dec, reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	dec = json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return withoutValue(err)
	}
	return nil
}

// withoutValue says what was wanted, and nothing of what was there.
func withoutValue(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		kind, _, _ := strings.Cut(typ.Value, " ") // "number 12": the number could be somebody's
		return placed(typ.Field, fmt.Errorf("want %s, have a JSON %s", typ.Type, kind))
	}
	var when *time.ParseError
	if errors.As(err, &when) {
		return errWhen
	}
	return err
}

var errWhen = errors.New("want an instant like 2026-11-21T08:00:00Z")

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

// checkValue walks one value of the token stream beside the Go type it will be decoded into. A nil type means that what
// is below is not ours to check.
func checkValue(dec *json.Decoder, t reflect.Type, path string, depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("nested deeper than %d levels", maxJSONDepth) // the path would be as long as the fault
	}
	tok, err := dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	switch tok {
	case json.Delim('{'):
		err = checkObject(dec, structural(t), path, depth)
	case json.Delim('['):
		err = checkArray(dec, structural(t), path, depth)
	default:
		return checkScalar(tok, t, path)
	}
	if err != nil {
		return err
	}
	_, err = dec.Token() // the closing delimiter
	return err
}

func checkObject(dec *json.Decoder, t reflect.Type, path string, depth int) error {
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		key := tok.(string) // the decoder yields nothing else in this place
		field, known := fieldType(t, key)
		shown := key
		if !known || t == nil || t.Kind() != reflect.Struct {
			shown = shownKey(key)
		}
		at := strings.TrimPrefix(path+"."+shown, ".")
		switch {
		case seen[key]:
			return fmt.Errorf("%s: key stands twice", at)
		case !known:
			return fmt.Errorf("%s: unknown key", at)
		}
		seen[key] = true
		if err := checkValue(dec, field, at, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func checkArray(dec *json.Decoder, t reflect.Type, path string, depth int) error {
	var elem reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		elem = t.Elem()
	}
	for i := 0; dec.More(); i++ {
		if err := checkValue(dec, elem, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

const maxProbe = 4096 // bytes of a text that is parsed here only to name its place: identifiers, not attachments

// checkScalar gives a text that its type refuses the place that encoding/json would not name.
func checkScalar(tok json.Token, t reflect.Type, path string) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text, isText := tok.(string)
	if t == reflect.TypeFor[time.Time]() && !isText && tok != nil {
		return placed(path, errWhen)
	}
	if t == nil || !isText || len(text) > maxProbe || !reflect.PointerTo(t).Implements(textUnmarshaler) {
		return nil
	}
	err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	if err != nil {
		return placed(path, withoutValue(err))
	}
	return nil
}

// placed puts the place before an error; the value itself has none.
func placed(path string, err error) error {
	if path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// shownKey is a key as an error may show it: a caller's mistake could have put a person's code in its place.
func shownKey(key string) string {
	const longest = 40
	plain := len(key) > 0 && len(key) <= longest
	for i := range len(key) {
		plain = plain && (key[i] == '_' || key[i] == '-' || alnum(key[i]) && key[i] > '9')
	}
	if _, err := ParseCodiceFiscale(key); err == nil || !plain {
		return "(key)"
	}
	return key
}

// structural strips pointers, and gives nil for types that decode themselves.
func structural(t reflect.Type) reflect.Type {
	for t != nil {
		if p := reflect.PointerTo(t); p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler) {
			return nil
		}
		if t.Kind() != reflect.Pointer {
			return t
		}
		t = t.Elem()
	}
	return nil
}

// fieldType is the type of what stands under a key, nil where that is not ours to check, and whether the key may stand
// there.
func fieldType(t reflect.Type, key string) (field reflect.Type, known bool) {
	switch {
	case t == nil:
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case t.Kind() == reflect.Struct:
		field = fieldOf(t, key)
		return field, field != nil
	}
	return nil, true
}

// fieldOf finds the field that a key names exactly: in the struct itself, or else in those it embeds without a name.
func fieldOf(t reflect.Type, key string) reflect.Type {
	var embedded []reflect.Type
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case tag == "-":
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			embedded = append(embedded, inner)
		case f.IsExported() && (name == key || name == "" && f.Name == key):
			return f.Type
		}
	}
	for _, inner := range embedded {
		if found := fieldOf(inner, key); found != nil {
			return found
		}
	}
	return nil
}
