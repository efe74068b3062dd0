package api

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"raccordo/contracts"
)

// A Problem is an error on the wire, by RFC 9457 with members of ours.
type Problem struct {
	Type       string  `json:"type"`
	Title      string  `json:"title"`
	Status     int     `json:"status"`
	Detail     string  `json:"detail,omitempty"`
	Instance   string  `json:"instance,omitempty"`    // names this one occurrence; it stands in the hub's log as well
	Kind       string  `json:"kind,omitempty"`        // always there, but in an answer of /v1/status that all is well
	Code       string  `json:"code,omitempty"`        // the peer's own
	Operation  string  `json:"operation,omitempty"`   // "domicile.lookup"
	System     string  `json:"system,omitempty"`      // the adapter instance, or "hub"
	RetryAfter float64 `json:"retry_after,omitempty"` // seconds
	Ticket     string  `json:"ticket,omitempty"`
}

const (
	problemType   = "application/problem+json"
	jsonType      = "application/json"
	problemPrefix = "urn:raccordo:problem:"
	maxAfter      = 30 * 24 * time.Hour // beyond which a Retry-After is nonsense
)

// ProblemOf gives err, which must not be nil, as a Problem.
func ProblemOf(err error) Problem {
	e := contracts.AsError(err)
	p := Problem{
		Type: problemPrefix + e.Kind.String(), Title: title(e.Kind), Status: Status(e.Kind),
		Kind: e.Kind.String(), Code: e.Code, Operation: e.Operation, System: e.System, Ticket: e.Ticket,
		RetryAfter: max(0, min(e.After, maxAfter)).Seconds(),
	}
	if e.Err != nil && e.Kind != contracts.Internal { // what went wrong inside is for the log
		p.Detail = clip(e.Err.Error())
	}
	return p
}

// maxDetail bounds the text of a problem, which may quote a key that the caller sent.
const maxDetail = 2000

func clip(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + " …"
}

// Err gives the Problem as the error it was made from. An unknown kind is an error of its own.
func (p Problem) Err() (*contracts.Error, error) {
	e := &contracts.Error{Code: p.Code, Operation: p.Operation, System: p.System, Ticket: p.Ticket}
	if err := e.Kind.UnmarshalText([]byte(p.Kind)); err != nil {
		return nil, errors.New("kind: unknown")
	}
	if p.RetryAfter < 0 || p.RetryAfter > maxAfter.Seconds() || math.IsNaN(p.RetryAfter) {
		return nil, errors.New("retry_after: out of range")
	}
	e.After = time.Duration(p.RetryAfter * float64(time.Second))
	if p.Detail != "" {
		e.Err = errors.New(p.Detail)
	}
	return e, nil
}

// parseProblem reads a problem of the hub's. One of somebody else's, without a kind we know, is an error.
func parseProblem(body []byte) (*contracts.Error, error) {
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, errors.New("not a problem of the hub")
	}
	return p.Err()
}

func writeProblem(w http.ResponseWriter, p Problem) {
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter))))
	}
	b, err := json.Marshal(p)
	if err != nil { // a struct of texts and numbers: RetryAfter is finite
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone is no fault
}
