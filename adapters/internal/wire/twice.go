package wire

import (
	"bytes"
	"encoding/json"
	"strings"
)

// deepest is the nesting of objects and arrays beyond which no reply of a supplier goes.
const deepest = 64

// Twice reports whether some object of a reply has a name twice, in whatever case, or is nested beyond all reason.
// encoding/json lets the last one win, and takes names in any case: an answer that says yes and no would be whichever
// comes later. What is no JSON is the decoder's to refuse.
func Twice(body []byte) bool {
	return twice(json.NewDecoder(bytes.NewReader(body)), 0)
}

func twice(dec *json.Decoder, depth int) bool {
	tok, err := dec.Token()
	if err != nil {
		return false
	}
	open, is := tok.(json.Delim)
	if !is {
		return false
	}
	if depth == deepest {
		return true
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			tok, err := dec.Token()
			name, ok := tok.(string)
			if err != nil || !ok {
				return false
			}
			name = strings.ToLower(strings.ToUpper(name)) // as encoding/json folds: ſ is s, and the Kelvin sign k
			if seen[name] {
				return true
			}
			seen[name] = true
		}
		if twice(dec, depth+1) {
			return true
		}
	}
	_, _ = dec.Token() // the closing delimiter
	return false
}
