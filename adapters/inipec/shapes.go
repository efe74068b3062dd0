package inipec

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"raccordo/contracts"
)

// The wire's own shapes, as the contract names them and as answers really look.

// A listRequest is RichiestaElencoPecRequest.
type listRequest struct {
	DataOraRichiesta string  `json:"dataOraRichiesta"`
	ElencoCf         []cfRef `json:"elencoCf"`
}

type cfRef struct {
	CF string `json:"cf"`
}

// A listTaken is RichiestaElencoPecResponse; of its date there are two names, and we need neither.
type listTaken struct {
	ID string `json:"identificativoRichiesta"`
}

// A listAnswer is EstrazioneElencoPecResponse.
type listAnswer struct {
	ID     string    `json:"identificativoRichiesta"`
	Error  string    `json:"descrizioneErrore"`
	Elenco []element `json:"elencoPec"`
}

// An element is ElencoPecElement, with both shapes in which professionals come: the manual's
// pecProfessionistas[].pecProfessionista, and pecProfessionista[].pec, seen since 2024.
type element struct {
	CF         string        `json:"cf"`
	PecImpresa string        `json:"pecImpresa"`
	Official   []official    `json:"pecProfessionistas"`
	Since2024  professionals `json:"pecProfessionista"`
}

type official struct {
	Pec string `json:"pecProfessionista"`
}

// professionals takes the second shape, an array of objects, and a single object in its place.
type professionals []struct {
	Pec string `json:"pec"`
}

// UnmarshalJSON reads an array or one object.
func (p *professionals) UnmarshalJSON(b []byte) error {
	type plain professionals
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' {
		b = append(append([]byte{'['}, b...), ']')
	}
	return json.Unmarshal(b, (*plain)(p))
}

// professional lists the addresses of both shapes.
func (e *element) professional() []string {
	out := make([]string, 0, len(e.Official)+len(e.Since2024))
	for _, p := range e.Official {
		out = append(out, p.Pec)
	}
	for _, p := range e.Since2024 {
		out = append(out, p.Pec)
	}
	return out
}

var (
	errShape  = errors.New("the answer is not the JSON of the contract")
	errNoList = errors.New("the answer holds neither a list nor an error")
)

// parseAnswer reads a list that is ready. A null list is an empty one, and one that is left out is none: the receipt of an
// order has the same id, and no list.
func parseAnswer(body []byte) (*listAnswer, error) {
	var known map[string]json.RawMessage
	if json.Unmarshal(body, &known) != nil || known == nil {
		return nil, errShape
	}
	var l listAnswer
	if json.Unmarshal(body, &l) != nil {
		return nil, errShape
	}
	if _, list := known["elencoPec"]; !list && l.Error == "" {
		return nil, errNoList
	}
	return &l, nil
}

// byCode joins a list by code, upper case; a code that stands twice keeps all its elements.
func byCode(lists []*listAnswer) map[string][]*element {
	found := map[string][]*element{}
	for _, l := range lists {
		for i := range l.Elenco {
			code := strings.ToUpper(strings.TrimSpace(l.Elenco[i].CF))
			found[code] = append(found[code], &l.Elenco[i])
		}
	}
	return found
}

// domiciles turns texts into addresses, each once, and counts those that are none.
func domiciles(texts []string, role string) (out []contracts.DigitalDomicile, unusable int) {
next:
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			continue // "not valued"
		}
		address, err := contracts.ParseAddress(text)
		if err != nil {
			unusable++
			continue
		}
		for _, d := range out {
			if d.Address.Equal(address) {
				continue next
			}
		}
		out = append(out, contracts.DigitalDomicile{Address: address, Register: Register, Role: role})
	}
	return out, unusable
}

// requestTime is dataOraRichiesta: the contract's date-time, in Italian time with its zone.
func requestTime(now time.Time, rome *time.Location) string {
	return now.In(rome).Format(time.RFC3339)
}
