package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// What the strict reader of our own requests finds twice is found here too; here case does not matter.
func FuzzTwice(f *testing.F) {
	for _, seed := range []string{
		`{"esito":true,"esito":false}`, `{"esito":true,"ESITO":false}`, `{"cf":"1","indirizzoLocalizzazione":{"via":"A","Via":"B"}}`,
		`{"code":"WSPA_ERR_04","appName":"x"}`, `[{"a":1},{"a":2}]`, `{"a":`, ``, `null`, `{"":1,"":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v any
		err := contracts.UnmarshalStrict(body, &v)
		if err != nil && strings.HasSuffix(err.Error(), "key stands twice") && !wire.Twice(body) {
			t.Error("a name that stands twice was not seen")
		}
	})
}

// many is an object with n names.
func many(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"n%d":{"n1":%d}`, i, i)
	}
	return "{" + strings.Join(names, ",") + "}"
}

func TestANameTwiceInOneObjectIsSeenInWhateverCase(t *testing.T) {
	for body, want := range map[string]bool{
		`{"esito":true,"esito":false}`:          true,
		`{"esito":true,"ESITO":false}`:          true,
		`{"esito":true,"e\u0073ito":false}`:     true,
		`{"esito":true,"e\u017fito":false}`:     true,
		`{"a":[{"b":1},{"c":2,"C":3}]}`:         true,
		`{"a":{"b":1},"x":{"b":1}}`:             false,
		`[{"a":1},{"a":2}]`:                     false,
		`{"nCivico":"1","getnCivico":"2"}`:      false,
		`{"a":["a","a"],"b":"a"}`:               false,
		``:                                      false,
		`null`:                                  false,
		`{"a":1,`:                               false,
		`<html>`:                                false,
		`{"a":"}","a":"\\\"{"}`:                 true,
		`{"a":"{\"a\":1,\"a\":2}"}`:             false,
		many(40):                                false,
		many(40)[:len(many(40))-1] + `,"N7":0}`: true,
		strings.Repeat("[", 65) + strings.Repeat("]", 65): true,
	} {
		if got := wire.Twice([]byte(body)); got != want {
			t.Errorf("%.40s: %t", body, got)
		}
	}
}
