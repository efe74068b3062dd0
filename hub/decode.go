package hub

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"raccordo/contracts"
)

// A Finding is one thing wrong with a configuration file, with its place.
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

// A document is a parsed file and what was found wrong with it so far.
type document struct {
	file  string
	root  *yaml.Node
	found Findings
}

// maxAliases bounds how often YAML aliases are followed, so that a small file cannot unfold into a huge one.
const maxAliases = 100

// parse reads one YAML document. A syntax fault is the only finding then: nothing behind it can be trusted.
func parse(file string, data []byte) *document {
	d := &document{file: file}
	var node yaml.Node
	if err := yaml.Load(data, &node, yaml.WithUniqueKeys(false)); err != nil { // duplicates are found by decode, with their path
		line, text := 1, "not a YAML document"
		var load *yaml.LoadError
		var loads *yaml.LoadErrors
		if errors.As(err, &loads) && len(loads.Errors) > 0 {
			load = loads.Errors[0]
		}
		if load != nil || errors.As(err, &load) {
			line, text = max(load.Mark.Line, 1), "not YAML: "+load.Message
		}
		d.found = append(d.found, Finding{File: file, Line: line, Text: text})
		return d
	}
	d.root = &node
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		d.root = node.Content[0]
	}
	return d
}

func (d *document) fault(n *yaml.Node, path, format string, args ...any) {
	line := 1
	if n != nil {
		line = max(n.Line, 1)
	}
	d.found = append(d.found, Finding{File: d.file, Line: line, Path: path, Text: fmt.Sprintf(format, args...)})
}

// faults takes in what a Validate returned: joined *contracts.Fault, whose paths begin at prefix.
func (d *document) faults(prefix string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			d.faults(prefix, e)
		}
		return
	}
	path, text := prefix, err.Error()
	var f *contracts.Fault
	if errors.As(err, &f) {
		path, text = join(prefix, f.Path), f.Text
	}
	d.fault(d.at(path), path, "%s", text)
}

// at finds the node of a path, or its nearest parent.
func (d *document) at(path string) *yaml.Node {
	n := d.root
	for part := range strings.SplitSeq(strings.NewReplacer("[", ".", "]", "").Replace(path), ".") {
		if n == nil {
			return nil
		}
		next := child(resolve(n), part)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, part string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == part {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		var i int
		if _, err := fmt.Sscanf(part, "%d", &i); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
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

// decode lays a node over the value that v points to, keeping the defaults of what the node does not name. Keys in skip
// belong to somebody else. Every fault is noted with its line and path, and decoding goes on.
func (d *document) decode(n *yaml.Node, v any, path string, skip ...string) {
	d.value(n, reflect.ValueOf(v).Elem(), path, 0, skip...)
}

func (d *document) value(n *yaml.Node, v reflect.Value, path string, depth int, skip ...string) {
	n = resolve(n)
	if depth > 32 {
		d.fault(n, path, "nested too deep")
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // as if it were not there: the default stays
	}
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.value(n, v.Elem(), path, depth+1, skip...)
		return
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) || t == durationType {
		d.scalar(n, v, path)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		d.fields(n, path, skip, func(key string) (reflect.Value, bool) {
			for i := range t.NumField() {
				name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
				if name == key && name != "-" && t.Field(i).IsExported() {
					return v.Field(i), true
				}
			}
			return reflect.Value{}, false
		}, depth, nil)
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(t))
		}
		d.fields(n, path, skip, func(string) (reflect.Value, bool) {
			return reflect.New(t.Elem()).Elem(), true
		}, depth, func(key string, value reflect.Value) {
			v.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), value)
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fault(n, path, "want a list")
			return
		}
		list := reflect.MakeSlice(t, len(n.Content), len(n.Content))
		for i, item := range n.Content {
			d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
		v.Set(list)
	default:
		d.scalar(n, v, path)
	}
}

func (d *document) fields(n *yaml.Node, path string, skip []string, field func(string) (reflect.Value, bool), depth int, set func(string, reflect.Value)) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "want a mapping of keys to values")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if first, twice := seen[key.Value]; twice {
			d.fault(key, at, "stands twice, first on line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		if slices.Contains(skip, key.Value) {
			continue
		}
		target, ok := field(key.Value)
		if !ok {
			d.fault(key, at, "unknown key")
			continue
		}
		d.value(value, target, at, depth+1)
		if set != nil {
			set(key.Value, target)
		}
	}
}

func (d *document) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, path, "want a single value")
		return
	}
	t := v.Type()
	switch {
	case t == durationType:
		dur, err := time.ParseDuration(n.Value)
		if err != nil {
			d.fault(n, path, "want a duration such as 30s, 15m or 72h")
			return
		}
		v.SetInt(int64(dur))
	case t.Kind() == reflect.String && !reflect.PointerTo(t).Implements(textUnmarshaler):
		v.SetString(n.Value) // as written: 0123 stays 0123
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			d.fault(n, path, "want %s", describe(t))
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
