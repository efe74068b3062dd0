package wire_test

import (
	"strings"
	"testing"

	"raccordo/adapters/internal/wire"
)

func TestANameTwiceInOneObjectIsSeenInWhateverCase(t *testing.T) {
	for body, want := range map[string]bool{
		`{"esito":true,"esito":false}`:      true,
		`{"esito":true,"ESITO":false}`:      true,
		`{"esito":true,"e\u0073ito":false}`: true,
		`{"esito":true,"e\u017fito":false}`: true,
		`{"a":[{"b":1},{"c":2,"C":3}]}`:     true,
		`{"a":{"b":1},"x":{"b":1}}`:         false,
		`[{"a":1},{"a":2}]`:                 false,
		`{"nCivico":"1","getnCivico":"2"}`:  false,
		`{"a":["a","a"],"b":"a"}`:           false,
		``:                                  false,
		`null`:                              false,
		`{"a":1,`:                           false,
		`<html>`:                            false,
		strings.Repeat("[", 65) + strings.Repeat("]", 65): true,
	} {
		if got := wire.Twice([]byte(body)); got != want {
			t.Errorf("%.40s: %t", body, got)
		}
	}
}
