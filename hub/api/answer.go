package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"raccordo/contracts"
)

// An answer is what came back to the Client.
type answer struct {
	status int
	media  string
	after  time.Duration
	body   []byte
	call   *contracts.Call // nil: nothing with effects
}

// failure is the error that an answer without success means.
func (a *answer) failure() error {
	if a.media == problemType {
		if e, err := parseProblem(a.body); err == nil && a.status >= 400 {
			if e.Operation == "" {
				e.Operation = a.operation()
			}
			return e
		}
	}
	effects := a.call != nil && a.call.Op.Effect != contracts.Read
	return &contracts.Error{
		Kind: kindOfStatus(a.status, effects), System: "hub", Operation: a.operation(), After: a.after,
		Err: fmt.Errorf("status %d without a problem of the hub", a.status),
	}
}

// decode reads the body of an answer with success.
func (a *answer) decode(v any) error {
	if a.media != jsonType {
		return a.malformed(errors.New("not application/json"))
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return a.malformed(errors.New("not the JSON that was expected"))
	}
	return nil
}

func (a *answer) ticket() (contracts.Ticket, error) {
	var t contracts.Ticket
	if err := a.decode(&t); err != nil {
		return contracts.Ticket{}, err
	}
	if !ticketID(t.ID) {
		return contracts.Ticket{}, a.malformed(errors.New("a ticket without an id"))
	}
	return t, nil
}

func (a *answer) malformed(err error) error {
	return &contracts.Error{Kind: contracts.Malformed, System: "hub", Operation: a.operation(), Err: fmt.Errorf("status %d: %w", a.status, err)}
}

func (a *answer) operation() string {
	if a.call == nil {
		return ""
	}
	return a.call.Op.Name
}
