// Package configs holds example configurations of the hub, one for each environment, and the JSON Schema of the file.
// The schema is generated from the structs that the hub decodes, with their comments: go generate ./hub.
package configs

import _ "embed" // of the schema

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (2020-12) of a configuration file, for editors and reviews. What it cannot say, such as
// faults that concern two fields, `hub check` does.
func Schema() []byte { return append([]byte(nil), schema...) }
