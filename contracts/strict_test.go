package contracts_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

type inner struct {
	Name string            `json:"name"`
	Tags map[string]string `json:"tags,omitempty"`
}

type Embedded struct {
	FromEmbedded int `json:"from_embedded"`
	Shadowed     int `json:"shadowed"`
}

type pointed struct {
	FromPointed string `json:"from_pointed"`
}

type NamedEmbedded struct {
	Deep int `json:"deep"`
}

type strict struct {
	Shadowed string `json:"shadowed"`
	Embedded
	*pointed
	NamedEmbedded `json:"named"`
	Code          contracts.CodiceFiscale   `json:"code"`
	Codes         []contracts.CodiceFiscale `json:"codes"`
	At            time.Time                 `json:"at"`
	Inner         inner                     `json:"inner"`
	Pointer       *inner                    `json:"pointer"`
	List          []inner                   `json:"list"`
	Pair          [2]inner                  `json:"pair"`
	Map           map[string]inner          `json:"map"`
	PointerMap    map[string]*inner         `json:"pointer_map"`
	Number        int                       `json:"number"`
	Any           any                       `json:"any"`
	Raw           json.RawMessage           `json:"raw"`
	Untagged      bool
	Skipped       string `json:"-"`
	hidden        string //nolint:unused // a key must not reach it
}

func TestUnmarshalStrictAccepts(t *testing.T) {
	for name, s := range map[string]string{
		"an empty object":             `{}`,
		"blanks around":               " \n{ \"number\" : 1 }\t",
		"nested values":               `{"inner":{"name":"x","tags":{"a":"b"}},"pointer":{"name":"y"},"list":[{"name":"z"},{}],"map":{"k":{"name":"w"}},"pointer_map":{"k":{"name":"v"},"l":null}}`,
		"an array":                    `{"pair":[{"name":"a"},{"name":"b"}]}`,
		"null for anything":           `{"inner":null,"pointer":null,"list":null,"map":null,"code":null,"any":null,"at":null}`,
		"an embedded struct's field":  `{"from_embedded":1}`,
		"an embedded struct by name":  `{"named":{"deep":1}}`,
		"a field that shadows":        `{"shadowed":"text"}`,
		"anything where any stands":   `{"any":{"A":1,"a":[{}]},"raw":{"whatever":true}}`,
		"an untagged field by name":   `{"Untagged":true}`,
		"an identifier":               `{"code":"RSSMRA85T10A562S","codes":["12345678903",""]}`,
		"an instant":                  `{"at":"2026-11-21T08:00:00Z"}`,
		"keys that differ in any map": `{"map":{"k":{},"K":{}}}`,
		"escaped letters in a key":    `{"n\u0075mber":1}`,
		"nesting up to the limit":     `{"any":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			var v strict
			if err := contracts.UnmarshalStrict([]byte(s), &v); err != nil {
				t.Fatal(err)
			}
			var loose strict
			if err := json.Unmarshal([]byte(s), &loose); err != nil || !reflect.DeepEqual(v, loose) {
				t.Error("what is accepted must be read as encoding/json reads it")
			}
		})
	}
}

func TestUnmarshalStrictRefuses(t *testing.T) {
	for name, c := range map[string]struct{ json, says string }{
		"nothing":                        {``, "unexpected EOF"},
		"half a value":                   {`{"number":`, "unexpected EOF"},
		"a second value":                 {`{} {}`, "more than one"},
		"rubbish behind":                 {`{} x`, "more than one"},
		"an unknown key":                 {`{"numbre":1}`, "numbre: unknown key"},
		"an unknown key below":           {`{"inner":{"nome":"x"}}`, "inner.nome: unknown key"},
		"an unknown key in a pointer":    {`{"pointer":{"x":1}}`, "pointer.x: unknown key"},
		"an unknown key in a list":       {`{"list":[{},{"x":1}]}`, "list[1].x: unknown key"},
		"an unknown key in an array":     {`{"pair":[{"x":1}]}`, "pair[0].x: unknown key"},
		"an unknown key in a map":        {`{"map":{"k":{"x":1}}}`, "map.k.x: unknown key"},
		"an unknown key in a map of ptr": {`{"pointer_map":{"k":{"x":1}}}`, "pointer_map.k.x: unknown key"},
		"an unknown key in embedded":     {`{"named":{"x":1}}`, "named.x: unknown key"},
		"another case":                   {`{"Number":1}`, "Number: unknown key"},
		"another case below":             {`{"inner":{"NAME":"x"}}`, "inner.NAME: unknown key"},
		"the Go name of a tagged field":  {`{"Inner":{}}`, "Inner: unknown key"},
		"a letter that folds to ASCII":   {`{"na\u017fe":1}`, "unknown key"},
		"a field that is not for JSON":   {`{"Skipped":"x"}`, "Skipped: unknown key"},
		"a field called minus":           {`{"-":"x"}`, "unknown key"},
		"a hidden field":                 {`{"hidden":"x"}`, "hidden: unknown key"},
		"the embedded struct's Go name":  {`{"Embedded":{}}`, "Embedded: unknown key"},
		"a key twice":                    {`{"number":1,"number":2}`, "number: key stands twice"},
		"a key twice, once escaped":      {`{"number":1,"n\u0075mber":2}`, "number: key stands twice"},
		"a key twice below":              {`{"list":[{"name":"a","name":"b"}]}`, "list[0].name: key stands twice"},
		"a key twice in a map":           {`{"map":{"k":{},"k":{}}}`, "map.k: key stands twice"},
		"a key twice where any stands":   {`{"any":{"k":1,"k":2}}`, "any.k: key stands twice"},
		"a text for a number":            {`{"number":"1"}`, "number: want int, have a JSON string"},
		"an object for a text":           {`{"inner":{"name":{}}}`, "inner.name: want string, have a JSON object"},
		"a number for an identifier":     {`{"code":12345678903}`, "have a JSON number"},
		"a code that is wrong":           {`{"code":"RSSMRA85T10A562T"}`, "code: codice fiscale: wrong check character"},
		"a code in a list that is wrong": {`{"codes":["12345678903","12345678901"]}`, "codes[1]: codice fiscale: wrong check digit"},
		"an instant that is none":        {`{"at":"RSSMRA85T10A562S"}`, "at: want an instant like"},
		"a number for an instant":        {`{"at":12345678903}`, "want"},
		"a fraction":                     {`{"number":1.5}`, "number: want int, have a JSON number"},
		"a number out of range":          {`{"number":99999999999999999999999}`, "number: want int, have a JSON number"},
		"an array for the whole":         {`[]`, "want contracts_test.strict, have a JSON array"},
		"too deep":                       {strings.Repeat("[", 100000), "deeper"},
		"too deep where any stands":      {`{"any":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "deeper"},
		"too deep in objects":            {strings.Repeat(`{"any":`, 100) + "1" + strings.Repeat("}", 100), "deeper"},
		"a person's code for a key":      {`{"RSSMRA85T10A562S":1}`, "(key): unknown key"},
		"an omocodic code for a key":     {`{"RSSMRAURTMLARSNL":1}`, "(key): unknown key"},
		"a mailbox for a key":            {`{"map":{"a@pec.example":{"x":1}}}`, "map.(key).x: unknown key"},
		"an endless key":                 {`{"` + strings.Repeat("a", 100000) + `":1}`, "(key): unknown key"},
		"a comment":                      {`{/* x */}`, "invalid character"},
		"a comma too many":               {`{"number":1,}`, "invalid character"},
		"a bare word":                    {`{number:1}`, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			var v strict
			err := contracts.UnmarshalStrict([]byte(c.json), &v)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %q, want it to speak of %q", err, c.says)
			}
			for _, value := range []string{"RSSMRA", "123456789", "99999", "@pec"} {
				if strings.Contains(err.Error(), value) {
					t.Errorf("the error shows a value: %q", err)
				}
			}
			if len(err.Error()) > 500 {
				t.Error("the error is longer than a line")
			}
		})
	}
}

func FuzzUnmarshalStrict(f *testing.F) {
	for _, s := range []string{
		`{"inner":{"name":"x"},"list":[{}],"map":{"k":{}}}`, `{"number":1,"number":2}`, `{"Number":1}`, `{} {}`, `[[[[`,
		`{"code":"RSSMRA85T10A562S","at":"2026-11-21T08:00:00Z"}`, `{"named":{"deep":1},"from_embedded":2}`, `{"code":12345678903}`, "{\"\xff\":1}", `null`, `"x"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var v strict
		if contracts.UnmarshalStrict(b, &v) != nil {
			return
		}
		var loose strict
		if err := json.Unmarshal(b, &loose); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if !reflect.DeepEqual(v, loose) {
			t.Fatal("read otherwise than encoding/json reads it")
		}
	})
}
