package hub

import (
	"bytes"
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"

	"raccordo/contracts"
)

// A Finding is one thing wrong with a configuration file, or worth a warning, with its place. It never quotes a value,
// which may be a secret in the wrong place.
type Finding struct {
	File string
	Line int    // from 1; the nearest parent's where the key itself is missing
	Path string // "adapters.inad.http.endpoint"
	Text string
}

// Error is "file:line: path: text", the form that editors jump to.
func (f Finding) Error() string {
	if f.Path == "" {
		return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Path, f.Text)
}

// Findings is every fault of a configuration at once, in the order of their lines.
type Findings []Finding

// Error is one line per finding.
func (f Findings) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

const (
	// maxFindings is how many faults are listed; whoever has more mends these first.
	maxFindings = 200
	// maxValues bounds what a file may unfold into by its aliases.
	maxValues = 100_000
	// maxAliases bounds a chain of aliases.
	maxAliases = 100
	// maxKey bounds a key, in bytes: names of services, purposes and operations have at most as many.
	maxKey = 128
)

// A document is a parsed file and what was found wrong with it so far.
type document struct {
	file  string
	kinds contracts.Kinds
	root  *yaml.Node
	last  int             // line of the file; the parser counts one more at its end
	left  int             // values that may still be read
	wrong map[string]bool // paths whose value could not be read: nothing more is said about them
	found Findings
	more  bool // there are further findings
}

// parse reads one YAML document. A syntax fault is the only finding then: nothing behind it can be trusted.
func parse(file string, data []byte) *document {
	d := &document{file: file, last: linesOf(data), left: maxValues, wrong: map[string]bool{}}
	if line, text := notText(data); text != "" {
		d.found = Findings{{File: file, Line: line, Text: text}}
		return d
	}
	var node yaml.Node
	if err := yaml.Load(data, &node, yaml.WithUniqueKeys(false)); err != nil { // duplicates are found by decode, with their path
		line, text := notYAML(data, err)
		d.found = Findings{{File: file, Line: min(line, d.last), Text: text}}
		return d
	}
	d.root = &node
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		d.root = node.Content[0]
	}
	return d
}

// notText says where and why data is no text at all, or nothing.
func notText(data []byte) (line int, text string) {
	line = 1
	for rest := bytes.TrimPrefix(data, []byte("\ufeff")); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			return line, "not UTF-8"
		case r == '\n':
			line++
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != 0x85:
			return line, fmt.Sprintf("holds the control character %#U: this is no configuration", r)
		}
		rest = rest[size:]
	}
	return 0, ""
}

// notYAML words what the parser found. Where its words quote the file they are left out.
func notYAML(data []byte, err error) (line int, text string) {
	line, text = 1, "not YAML"
	var load *yaml.LoadError
	var loads *yaml.LoadErrors
	if errors.As(err, &loads) && len(loads.Errors) > 0 {
		load = loads.Errors[0]
	}
	if load == nil && !errors.As(err, &load) {
		return line, text
	}
	line = max(load.Mark.Line, 1)
	if strings.HasPrefix(load.ContextMsg, "while scanning a quoted") || strings.HasPrefix(load.ContextMsg, "while parsing a flow") {
		line = max(load.ContextMark.Line, 1) // where it was opened
	}
	why := strings.TrimPrefix(load.Message, "yaml: ")
	switch at := lineOf(data, line); {
	case why == "no documents in stream":
		return line, "empty: want environment, store, adapters, routes …"
	case strings.HasPrefix(at, "\t"):
		return line, "not YAML: a tab indents this line; use spaces"
	case strings.HasPrefix(why, "unknown anchor"):
		return line, "not YAML: a value begins with * and names no anchor; put it in quotes"
	case strings.HasPrefix(why, "expected single document"):
		return line, "holds more than one document"
	case strings.ContainsAny(why, "'\"`") && !strings.Contains(why, "did not find expected"):
		return line, text
	}
	return line, text + ": " + why
}

// linesOf counts lines as YAML breaks them.
func linesOf(data []byte) int {
	n := 1
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		n += bytes.Count(data, []byte(end))
	}
	return n - bytes.Count(data, []byte("\r\n"))
}

func lineOf(data []byte, n int) string {
	for line := range bytes.Lines(data) {
		if n--; n == 0 {
			return string(line)
		}
	}
	return ""
}

// findings gives what was found, in the order of the lines, each once.
func (d *document) findings() Findings {
	slices.SortStableFunc(d.found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	d.found = slices.Compact(d.found)
	if d.more {
		last := d.found[len(d.found)-1]
		d.found = append(d.found, Finding{File: d.file, Line: last.Line, Text: "there are more faults: mend these first"})
	}
	return d.found
}

func (d *document) fault(n *yaml.Node, path, format string, args ...any) {
	if len(d.found) == maxFindings {
		d.more = true
		return
	}
	line := 1
	if n != nil {
		line = min(max(n.Line, 1), d.last)
	}
	d.found = append(d.found, Finding{File: d.file, Line: line, Path: printable(path), Text: printable(fmt.Sprintf(format, args...))})
}

// bad is a fault of a value that cannot be read; what Validate then says of the default in its place is left out.
func (d *document) bad(n *yaml.Node, path, format string, args ...any) {
	if len(d.found) < maxFindings {
		d.wrong[path] = true
	}
	d.fault(n, path, format, args...)
}

// printable keeps a finding on its line, and from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// faults takes in what a Validate returned: joined *contracts.Fault, whose paths begin at prefix.
func (d *document) faults(prefix string, err error) {
	for _, f := range flatten(err) {
		if len(d.found) == maxFindings { // finding their places would take its time
			d.more = true
			return
		}
		path := join(prefix, f.Path)
		if !d.spoilt(path) {
			d.fault(d.place(path), path, "%s", f.Text)
		}
	}
}

func (d *document) spoilt(path string) bool {
	for wrong := range d.wrong {
		if rest, ok := strings.CutPrefix(path, wrong); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// flatten gives the faults that were joined into err.
func flatten(err error) []contracts.Fault {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []contracts.Fault
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	var f *contracts.Fault
	if errors.As(err, &f) {
		return []contracts.Fault{*f}
	}
	return []contracts.Fault{{Text: err.Error()}}
}

// place finds the key or the item that a path names, or the nearest one around it that is there. Keys may hold dots.
func (d *document) place(path string) *yaml.Node {
	at, n := d.root, d.root
	for path != "" {
		key, value, rest := step(resolve(n), path)
		if value == nil {
			break
		}
		at, n, path = key, value, rest
	}
	return at
}

func step(n *yaml.Node, path string) (key, value *yaml.Node, rest string) {
	switch n.Kind {
	case yaml.MappingNode:
		longest := 0
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := segment(n.Content[i])
			behind, ok := strings.CutPrefix(path, name)
			if ok && len(name) > longest && (behind == "" || behind[0] == '.' || behind[0] == '[') {
				longest, key, value, rest = len(name), n.Content[i], n.Content[i+1], strings.TrimPrefix(behind, ".")
			}
		}
	case yaml.SequenceNode:
		number, behind, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
		if i, err := strconv.Atoi(number); ok && err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i], strings.TrimPrefix(behind, ".")
		}
	}
	return key, value, rest
}

func resolve(n *yaml.Node) *yaml.Node {
	for range maxAliases {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// segment is a key as it stands in paths.
func segment(key *yaml.Node) string {
	if key.Kind != yaml.ScalarNode {
		return "?"
	}
	if len(key.Value) > maxKey {
		return strings.ToValidUTF8(key.Value[:maxKey/4], "") + "…"
	}
	return key.Value
}

func join(prefix, path string) string {
	switch {
	case prefix == "":
		return path
	case path == "":
		return prefix
	case strings.HasPrefix(path, "["):
		return prefix + path
	}
	return prefix + "." + path
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
)

// A stanza reads itself, since what may stand in it is only known from what stands in it.
type stanza interface {
	decode(d *document, n *yaml.Node, path string)
}

// decode lays a node over the value that v points to, keeping the defaults of what the node does not name. Every fault is
// noted with its line and path, and decoding goes on.
func (d *document) decode(n *yaml.Node, v any, path string) {
	d.value(n, reflect.ValueOf(v).Elem(), path)
}

func (d *document) value(n *yaml.Node, v reflect.Value, path string) {
	if d.left--; d.left <= 0 {
		if d.left == 0 {
			d.fault(n, path, "the file unfolds into more than %d values", maxValues)
		}
		return
	}
	n = resolve(n)
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.value(n, v.Elem(), path)
		return
	}
	if s, ok := v.Addr().Interface().(stanza); ok {
		s.decode(d, n, path)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // as if it were not there: the default stays
	}
	switch {
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		d.scalar(n, v, path)
	case t.Kind() == reflect.Struct:
		d.mapping(n, path, fieldsOf(v), nil)
	case t.Kind() == reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(t))
		}
		fresh := func(string) (reflect.Value, bool) { return reflect.New(t.Elem()).Elem(), true }
		d.mapping(n, path, fresh, func(key string, value reflect.Value) {
			v.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), value)
		})
	case t.Kind() == reflect.Slice:
		d.list(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// fieldsOf finds the field of a key in the first of the structs that has it.
func fieldsOf(structs ...reflect.Value) func(key string) (reflect.Value, bool) {
	return func(key string) (reflect.Value, bool) {
		for _, v := range structs {
			t := v.Type()
			for i := range t.NumField() {
				name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
				if name == key && name != "" && name != "-" && t.Field(i).IsExported() {
					return v.Field(i), true
				}
			}
		}
		return reflect.Value{}, false
	}
}

// mapping reads each value into the target of its key. A target that is not valid is somebody else's.
func (d *document) mapping(n *yaml.Node, path string, target func(string) (reflect.Value, bool), set func(string, reflect.Value)) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, path, "want a mapping of keys to values")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, segment(key))
		if key.Kind != yaml.ScalarNode {
			d.fault(key, at, "want a word as key")
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.fault(key, at, "stands twice, first on line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		if len(key.Value) > maxKey {
			d.fault(key, at, "longer than %d bytes", maxKey)
			continue
		}
		v, ok := target(key.Value)
		if !ok {
			d.fault(key, at, "unknown key")
			continue
		}
		if !v.IsValid() {
			continue
		}
		d.value(value, v, at)
		if set != nil {
			set(key.Value, v)
		}
	}
}

func (d *document) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.bad(n, path, "want a list")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(list)
}

func (d *document) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.bad(n, path, "want a single value")
		return
	}
	t := v.Type()
	switch {
	case t == durationType:
		dur, err := time.ParseDuration(n.Value)
		if err != nil {
			d.bad(n, path, "want a duration such as 30s, 15m or 72h")
			return
		}
		v.SetInt(int64(dur))
	case t.Kind() == reflect.String && !reflect.PointerTo(t).Implements(textUnmarshaler):
		v.SetString(n.Value) // as written: 0123 stays 0123
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			d.bad(n, path, "want %s", describe(t))
		}
	}
}

// describe names a type for a person who writes YAML; it never quotes the value, which may be a misplaced secret.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a value of another form"
}
