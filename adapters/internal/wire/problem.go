package wire

import (
	"bytes"
	"encoding/json"
)

// A Problem is an error body as far as a machine may rely on it. Free text stays in Detail for comparing, never for
// quoting: it can name a person.
type Problem struct {
	Type          string
	Title         string
	Detail        string
	Status        string // some suppliers write a string, some a number: both are kept as text
	CorrelationID string
	Codes         []string // of errors[].code
}

// ParseProblem reads application/problem+json, and gives the zero Problem for anything else: HTML from a gateway,
// plain JSON of another shape, nothing. It never fails, since the status already told what matters.
//
// Source: RFC 9457; ModI REST conventions; the PDND's and INAD's own variants (errors[] with codes; status as text).
func ParseProblem(body []byte) Problem {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '{' {
		return Problem{}
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(body, &raw) != nil {
		return Problem{}
	}
	p := Problem{
		Type: text(raw["type"]), Title: text(raw["title"]), Detail: text(raw["detail"]),
		Status: text(raw["status"]), CorrelationID: Clip(text(raw["correlationId"])),
	}
	var errs []struct {
		Code json.RawMessage `json:"code"`
	}
	if json.Unmarshal(raw["errors"], &errs) == nil {
		for _, e := range errs[:min(len(errs), 16)] {
			if code := Clip(text(e.Code)); code != "" {
				p.Codes = append(p.Codes, code)
			}
		}
	}
	return p
}

// text is a JSON string's text or a JSON number's digits; empty for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}
