package entrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"raccordo/adapters/internal/wire"
)

var (
	errNotJSON = errors.New("the answer is not JSON")
	errShape   = errors.New("the answer is not the JSON of the contract")
	errTwice   = errors.New("a field of the answer stands twice")
	errAlien   = errors.New("the answer is about somebody else")
)

// An object is a JSON object's fields, by their exact names. No field of either contract is required on paper, so that
// what is left out must be told from what is false.
type object map[string]json.RawMessage

// read takes a reply's object. A page of HTML with status 200 is a gateway speaking.
func read(resp *wire.Response) (object, error) {
	if !resp.JSON() {
		return nil, errNotJSON
	}
	return parseObject(resp.Body)
}

// parseObject refuses a field that stands twice: encoding/json would let the last one win, and an answer that says yes
// and no would be whichever comes later. Its errors never quote the input.
func parseObject(body []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errShape
	}
	o := object{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return nil, errShape
		}
		if _, twice := o[name]; twice {
			return nil, errTwice
		}
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return nil, errShape
		}
		o[name] = raw
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, errShape
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errShape
	}
	return o, nil
}

// A field's error keeps the first fault of several readings.
type reading struct {
	object
	err error
}

// text is a field's text without the blanks around it; "" where it is left out, null or blank.
func (r *reading) text(name string) string {
	var s *string
	if raw, ok := r.object[name]; ok && json.Unmarshal(raw, &s) != nil {
		r.fail(errShape)
	}
	if s == nil {
		return ""
	}
	return strings.TrimSpace(*s)
}

// truth is a field's boolean; nil where it is left out or null.
func (r *reading) truth(name string) *bool {
	var b *bool
	if raw, ok := r.object[name]; ok && json.Unmarshal(raw, &b) != nil {
		r.fail(errShape)
	}
	return b
}

func (r *reading) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// clip bounds a text of the peer's that is kept as it stands.
func clip(s string) string {
	const most = 1000 // bytes
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
