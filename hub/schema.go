package hub

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/invopop/jsonschema"

	"raccordo/contracts"
)

// Schema is the JSON Schema of a configuration file, made from the same structs that are decoded, for editors and
// reviews. What it cannot say (faults that concern two fields, say) `hub check` does.
func Schema(kinds contracts.Kinds) ([]byte, error) {
	reflector := &jsonschema.Reflector{
		FieldNameTag:               "yaml",
		Anonymous:                  true,
		DoNotReference:             true,
		ExpandedStruct:             true,
		RequiredFromJSONSchemaTags: true, // defaults fill what is left out; `hub check` tells what may not be
		Mapper:                     schemaOf,
	}
	root := reflector.Reflect(newConfig())
	root.Title = "Raccordo hub configuration"

	list := &jsonschema.Schema{Type: "object", Description: "The adapter instances, by name."}
	stanza := &jsonschema.Schema{}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		one := reflector.Reflect(kinds[kind]())
		one.Version = ""
		one.Title = "adapter of kind " + kind
		one.Properties.Set("kind", &jsonschema.Schema{Const: kind})
		one.Properties.Set("policy", func() *jsonschema.Schema {
			p := reflector.Reflect(new(Policy))
			p.Version = ""
			return p
		}())
		one.Required = append(one.Required, "kind")
		stanza.OneOf = append(stanza.OneOf, one)
	}
	list.AdditionalProperties = stanza
	root.Properties.Set("adapters", list)
	root.Required = []string{"environment", "adapters", "routes"}

	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, &contracts.Error{Kind: contracts.Internal, System: "hub", Operation: "schema", Err: err}
	}
	return append(out, '\n'), nil
}

// schemaOf maps the types that YAML writes otherwise than Go holds them.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	switch t {
	case durationType:
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"30s", "15m", "72h"}}
	case reflect.TypeFor[contracts.Secret]():
		return &jsonschema.Schema{Type: "string", Pattern: `^secret://(file|env)/.+$`, Description: "a reference to a secret, never the secret"}
	case reflect.TypeFor[contracts.Environment]():
		return &jsonschema.Schema{Type: "string", Enum: []any{contracts.Attestazione, contracts.Collaudo, contracts.Produzione}}
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}
