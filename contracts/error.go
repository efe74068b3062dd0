package contracts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// A Kind says what a caller can do about an error; it is the only thing callers branch on. It is itself an error, so
// that errors.Is(err, contracts.NotFound) reads as it is meant.
type Kind uint8

// The kinds, each with what the caller may conclude and do.
const (
	// Internal is our own fault. It is the zero value, so forgetting to choose accuses us.
	Internal Kind = iota
	// Invalid: the request is wrong; repeating it unchanged is useless.
	Invalid
	// NotFound: the far side answered, with authority: there is none. Silence is never NotFound.
	NotFound
	// Denied: not allowed: voucher, purpose, agreement, or the caller's own permissions.
	Denied
	// Conflict: the state of things forbids it: a quota gone, a key reused with another request.
	Conflict
	// Throttled: too many, too soon; After says when to come back.
	Throttled
	// Unavailable: nothing happened over there; it may be repeated.
	Unavailable
	// Uncertain: something may have happened over there; it must be settled, not repeated.
	Uncertain
	// Pending: accepted, not answered yet: the error's Ticket says where to ask.
	Pending
	// Malformed: the answer breaks the published specification.
	Malformed
	// Canceled: the caller gave up, or its deadline passed before anything with effect left.
	Canceled

	kinds // how many there are
)

var kindNames = [kinds]string{
	"internal", "invalid", "not_found", "denied", "conflict", "throttled",
	"unavailable", "uncertain", "pending", "malformed", "canceled",
}

// AllKinds lists every Kind, in order: for tables that must name each.
func AllKinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String is the stable name of the Kind, as it stands in entries, metrics and problem+json.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error makes a Kind an error, for errors.Is.
func (k Kind) Error() string { return strings.ReplaceAll(k.String(), "_", " ") }

// MarshalText writes the stable name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the stable name; an unknown name is an error.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown error kind %q", text)
}

// An Error is every error that leaves an adapter or the hub. Its text never holds a person's data: adapters put the
// peer's own code in Code, and nothing of the peer's free text that could name somebody.
type Error struct {
	Kind      Kind
	System    string        // the adapter instance ("inad"), or "hub"
	Operation string        // "domicile.lookup"
	Code      string        // the peer's own code, verbatim
	After     time.Duration // do not come back before; zero when nobody said
	Ticket    string        // with Pending: the ticket to ask
	Err       error         // the cause, already free of personal data
}

// Errorf makes an Error of a Kind with a formatted cause. %w keeps the cause's chain.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Error is "system: operation: kind [code]: cause", on one line whatever the cause and the peer's code hold.
func (e *Error) Error() string {
	var b strings.Builder
	for _, part := range []string{e.System, e.Operation} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	b.WriteString(e.Kind.Error())
	if e.Code != "" {
		b.WriteString(" [")
		b.WriteString(e.Code)
		b.WriteString("]")
	}
	if e.Ticket != "" {
		b.WriteString(" (ticket ")
		b.WriteString(e.Ticket)
		b.WriteString(")")
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return oneLine(b.String())
}

// An errorJSON is an Error on the wire and at rest.
type errorJSON struct {
	Kind      Kind    `json:"kind"`
	System    string  `json:"system,omitempty"`
	Operation string  `json:"operation,omitempty"`
	Code      string  `json:"code,omitempty"`
	After     float64 `json:"after,omitempty"` // seconds
	Ticket    string  `json:"ticket,omitempty"`
	Detail    string  `json:"detail,omitempty"`
}

// MarshalJSON writes the error as an object; the cause becomes its text.
func (e *Error) MarshalJSON() ([]byte, error) {
	j := errorJSON{Kind: e.Kind, System: e.System, Operation: e.Operation, Code: e.Code, After: e.After.Seconds(), Ticket: e.Ticket}
	if e.Err != nil {
		j.Detail = oneLine(e.Err.Error())
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Error) UnmarshalJSON(b []byte) error {
	var j errorJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*e = Error{
		Kind: j.Kind, System: j.System, Operation: j.Operation, Code: j.Code, Ticket: j.Ticket,
		After: seconds(j.After),
	}
	if j.Detail != "" {
		e.Err = errors.New(j.Detail)
	}
	return nil
}

// seconds is a number of seconds as a duration: never negative, and bounded, since a peer may have written it.
func seconds(s float64) time.Duration {
	const most = 366 * 24 * 3600
	if !(s > 0) {
		return 0
	}
	return time.Duration(math.Round(min(s, most) * float64(time.Second)))
}

// Unwrap gives the cause, without the Kind that it may have had: whoever wrapped it chose another, and errors.Is must
// not find both.
func (e *Error) Unwrap() error {
	if e.Err == nil {
		return nil
	}
	return cause{e.Err}
}

// A cause is an error whose Kind no longer counts; everything else in its chain is found as before.
type cause struct{ err error }

func (c cause) Error() string { return c.err.Error() }

func (c cause) Is(target error) bool {
	_, isKind := target.(Kind)
	return !isKind && errors.Is(c.err, target)
}

func (c cause) As(target any) bool {
	switch target.(type) {
	case **Error, *Kind:
		return false
	}
	return errors.As(c.err, target)
}

// Is reports whether target is this error's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// Retryable reports whether the same request may be sent again by whoever holds it: Throttled or Unavailable. It is
// derived, so that it cannot disagree with Kind.
func (e *Error) Retryable() bool { return e.Kind == Throttled || e.Kind == Unavailable }

// KindOf gives the Kind of a non-nil error: that of the outermost *Error in its chain, or the Kind itself. A bare
// context error is Canceled: whoever knows that bytes had left says Uncertain itself. Anything else is Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var k Kind
	if errors.As(err, &k) {
		return k
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Canceled
	}
	return Internal
}

// AsError gives err as an *Error, wrapping it once with its Kind where it is none. nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: KindOf(err), Err: err}
}

// CodeNobody is the Code of the hub's own NotFound where no register on the route may hold what is asked: nobody was
// asked, and no register has said that there is none.
const CodeNobody = "NOBODY"
