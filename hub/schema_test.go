package hub

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/invopop/jsonschema"
	yaml "go.yaml.in/yaml/v4"

	"raccordo/adapters"
	"raccordo/configs"
	"raccordo/contracts"
	"raccordo/mocks"
	"raccordo/mocks/lab"
)

//go:generate go test -run TestSchemaIsGenerated -update .

var update = flag.Bool("update", false, "write the golden files")

// generate makes the schema from the structs that are decoded, and their comments.
func generate(t *testing.T) []byte {
	t.Helper()
	reflector := &jsonschema.Reflector{
		FieldNameTag:               "yaml",
		Anonymous:                  true,
		DoNotReference:             true,
		ExpandedStruct:             true,
		RequiredFromJSONSchemaTags: true, // defaults fill what is left out; `hub check` tells what may not be
		Mapper:                     written,
		// Every room has a Config: their names alone would run together.
		Namer: func(t reflect.Type) string { return strings.ReplaceAll(t.PkgPath(), "/", "_") + "_" + t.Name() },
	}
	for _, folder := range []string{".", "../adapters"} {
		if err := reflector.AddGoComments("raccordo/hub", folder); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range reflector.CommentMap {
		reflector.CommentMap[name] = strings.Join(strings.Fields(text), " ")
	}
	part := func(v any) *jsonschema.Schema {
		s := reflector.Reflect(v)
		s.Version = ""
		return s
	}
	root := reflector.Reflect(newConfig())
	root.Title = "Raccordo hub configuration"
	root.Required = []string{"environment", "store", "ledger", "adapters", "routes"}

	stanza := &jsonschema.Schema{}
	kinds := adapters.Kinds()
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		one := part(kinds[kind]())
		one.Title = "adapter of kind " + kind
		one.Properties.Set("kind", &jsonschema.Schema{Enum: []any{kind}})
		one.Properties.Set("policy", part(new(Policy)))
		one.Required = append(one.Required, "kind")
		stanza.OneOf = append(stanza.OneOf, one)
	}
	root.Properties.Set("adapters", &jsonschema.Schema{
		Type: "object", Description: "The adapter instances, by name.", MinProperties: ptr(uint64(1)), AdditionalProperties: stanza,
	})
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func ptr[T any](v T) *T { return &v }

// written maps the types that YAML writes otherwise than Go holds them.
func written(t reflect.Type) *jsonschema.Schema {
	switch t {
	case durationType:
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[contracts.Secret]():
		return &jsonschema.Schema{Type: "string", Pattern: `^secret://(file|env)/.+$`}
	case reflect.TypeFor[contracts.Environment]():
		return &jsonschema.Schema{Type: "string", Enum: []any{contracts.Attestazione, contracts.Collaudo, contracts.Produzione}}
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}

func TestSchemaIsGenerated(t *testing.T) {
	t.Parallel()
	want := generate(t)
	if *update {
		if err := os.WriteFile(filepath.Join("..", "configs", "schema.json"), want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(configs.Schema(), want) {
		t.Error("configs/schema.json is not what the structs say: run go generate ./hub")
	}
}

// TestSchemaNamesWhatIsDecoded walks the structs as the decoder does and the schema beside them: every key on one side
// is on the other.
func TestSchemaNamesWhatIsDecoded(t *testing.T) {
	t.Parallel()
	var root map[string]any
	if err := json.Unmarshal(configs.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	keys := 0
	var compare func(path string, s map[string]any, structs ...reflect.Type)
	follow := func(path string, s map[string]any, typ reflect.Type) {
		for {
			switch {
			case typ.Kind() == reflect.Pointer:
				typ = typ.Elem()
				continue
			case typ.Kind() == reflect.Map:
				if s["additionalProperties"] == nil { // Routes of lists, say, are followed as well
					t.Errorf("%s: a map that the schema closes", path)
					return
				}
				s, typ = s["additionalProperties"].(map[string]any), typ.Elem()
				continue
			case typ.Kind() == reflect.Slice:
				s, typ = s["items"].(map[string]any), typ.Elem()
				continue
			case typ == reflect.TypeFor[Instance]():
				kinds := adapters.Kinds()
				for i, kind := range slices.Sorted(maps.Keys(kinds)) {
					one := s["oneOf"].([]any)[i].(map[string]any)
					compare(path+"."+kind, one, typ, reflect.TypeOf(kinds[kind]()).Elem())
				}
				return
			case typ.Kind() == reflect.Struct && !reflect.PointerTo(typ).Implements(textUnmarshaler):
				compare(path, s, typ)
			}
			return
		}
	}
	compare = func(path string, s map[string]any, structs ...reflect.Type) {
		named, _ := s["properties"].(map[string]any)
		decoded := map[string]bool{}
		for _, typ := range structs {
			for field := range typ.Fields() {
				name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
				if name == "-" {
					continue
				}
				if name == "" || !field.IsExported() {
					t.Errorf("%s: %s.%s has no key of its own", path, typ, field.Name)
					continue
				}
				keys++
				decoded[name] = true
				below, ok := named[name].(map[string]any)
				if !ok {
					t.Errorf("%s.%s is decoded and not in the schema", path, name)
					continue
				}
				follow(path+"."+name, below, field.Type)
			}
		}
		for name := range named {
			if !decoded[name] {
				t.Errorf("%s.%s is in the schema and not decoded", path, name)
			}
		}
		if s["additionalProperties"] != false {
			t.Errorf("%s: the schema lets unknown keys pass", path)
		}
	}
	compare("", root, reflect.TypeFor[Config]())
	if keys < 100 {
		t.Errorf("%d keys were compared, want all of them", keys)
	}
}

// conforms validates a YAML text by the schema, with a validator that is not ours.
func conforms(t *testing.T, text []byte) error {
	t.Helper()
	var schema openapi3.Schema
	if err := json.Unmarshal(configs.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Load(text, &value); err != nil {
		return err
	}
	plain, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(plain, &value); err != nil {
		t.Fatal(err)
	}
	return schema.VisitJSON(value, openapi3.EnableJSONSchema2020())
}

func TestExamplesConformAndLoad(t *testing.T) {
	t.Chdir("..") // file names in the examples are relative to the repository's root
	files, err := filepath.Glob("configs/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples, %v; want dev, staging and production", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(t, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := Load(file, adapters.Kinds()); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestReadyMadeConfigurationConformsAndLoads(t *testing.T) {
	t.Parallel()
	b := lab.Start(t, mocks.All()...)
	for name, write := range map[string]func(*lab.Bench, string) ([]byte, error){"patient": mocks.Configuration, "hasty": mocks.Hasty} {
		text, err := write(b, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := parseConfig("hub.yaml", text, adapters.Kinds()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefusesWhatCheckRefuses(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "cmd", "hub", "testdata", "ten-faults.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := conforms(t, text); err == nil {
		t.Error("the file with ten faults conforms to the schema")
	}
	for rule, change := range map[string][2]string{
		"an unknown key":        {"reserve: 0", "reserved: 0"},
		"a secret itself":       {"secret://env/RACCORDO_PDND_KEY", "hunter2-is-the-key"},
		"a duration in words":   {"gather_for: 500ms", "gather_for: half a second"},
		"an unknown kind":       {"kind: inad", "kind: inda"},
		"another environment":   {"environment: collaudo", "environment: test"},
		"a list as a number":    {"reserve: 0", "reserve: [0]"},
		"a key of another kind": {"poll_first: 5s", "list_every: 5s"},
	} {
		text, err := os.ReadFile(filepath.Join("..", "configs", "dev.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.ReplaceAll(text, []byte(change[0]), []byte(change[1]))
		if bytes.Equal(changed, text) {
			t.Fatalf("%s: the example does not hold %q", rule, change[0])
		}
		if err := conforms(t, changed); err == nil {
			t.Errorf("%s conforms to the schema", rule)
		}
	}
}
