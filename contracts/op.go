package contracts

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// An Effect says what a repeat of an operation would do. The zero value is not an Effect; whoever finds it, or no call
// at all, behaves as for Once.
type Effect uint8

// The effects.
const (
	Read  Effect = iota + 1 // nothing: may be shared and repeated
	Write                   // the far side recognises our key: may be repeated with the same key
	Once                    // it might happen twice: never repeated blindly
)

// String is "read", "write" or "once".
func (e Effect) String() string {
	switch e {
	case Read:
		return "read"
	case Write:
		return "write"
	case Once:
		return "once"
	}
	return fmt.Sprintf("effect(%d)", uint8(e))
}

// A LaneRule says how much order a lane promises.
type LaneRule uint8

// The rules.
const (
	NoLane LaneRule = iota // no order promised
	// Keyed: at most one in flight; one that backs off, waits for a receipt or is uncertain lets the others pass.
	Keyed
	// Strict: one at a time by Position; the head blocks while queued, running or uncertain, and a gap holds the lane.
	Strict
	// Pooled: no order; the lane names a pool of places at the adapter (a role's mailboxes), and as many tickets are in
	// flight as there are places free. See Binding.Reserve.
	Pooled
)

// String is "none", "keyed", "strict" or "pooled".
func (r LaneRule) String() string {
	switch r {
	case Keyed:
		return "keyed"
	case Strict:
		return "strict"
	case Pooled:
		return "pooled"
	}
	return "none"
}

// A Lane keeps order among tickets. It is derived from the request, never typed by callers.
type Lane struct {
	Name     string   `json:"name,omitempty"`
	Rule     LaneRule `json:"rule,omitempty"`
	Position uint64   `json:"position,omitempty"` // Strict only: consecutive, from 1
}

// A Validator is a request that can tell what is wrong with itself, offline. Its errors name fields, never values.
type Validator interface{ Validate() error }

// A Redactor is a request that carries a secret. Redacted gives a copy without the secret (and true), or the request
// itself and false where there is none. When the ticket is settled, the copy takes the request's place on disk and the
// bytes made from it are erased; their digests stay.
type Redactor interface{ Redacted() (any, bool) }

// A Slimmer is a request with bytes that only its carrying out needs, such as a message's files. Slim gives a copy without
// them (and true), or the request itself and false where there are none. Folds may be given the copy, since many events
// bear on one request; where it is also a Redactor, the redacted form of the copy must be that of the request.
type Slimmer interface{ Slim() (any, bool) }

// An OpInfo is an operation without its types: what the hub, the API and the configuration need to know of it.
type OpInfo struct {
	Name   string // "domicile.lookup": need, dot, verb. Stable: it stands in URLs, metrics, ledger and configuration.
	Effect Effect

	// Request decodes and validates a request from a caller: no unknown, duplicate or case-folded keys.
	Request func([]byte) (any, error)
	// StoredRequest decodes a request at rest, tolerantly, for ever.
	StoredRequest func([]byte) (any, error)
	// Response decodes an answer, tolerantly: an older caller survives a newer hub.
	Response func([]byte) (any, error)
	// Lane derives the lane; nil when no order is promised.
	Lane func(req any) Lane
	// RequestType and ResponseType are the Go types, for generated descriptions of the API.
	RequestType, ResponseType reflect.Type
}

// LaneOf is the request's lane, or the zero Lane.
func (o *OpInfo) LaneOf(req any) Lane {
	if o.Lane == nil {
		return Lane{}
	}
	return o.Lane(req)
}

// An Op is one thing that can be asked, as a value.
type Op[Req, Resp any] struct{ *OpInfo }

// NewOp makes an operation. name is "need.verb".
func NewOp[Req, Resp any](name string, effect Effect) Op[Req, Resp] {
	return Op[Req, Resp]{&OpInfo{
		Name:          name,
		Effect:        effect,
		Request:       func(b []byte) (any, error) { return decodeRequest[Req](b) },
		StoredRequest: func(b []byte) (any, error) { return decodeTolerant[Req](b) },
		Response:      func(b []byte) (any, error) { return decodeTolerant[Resp](b) },
		RequestType:   reflect.TypeFor[Req](),
		ResponseType:  reflect.TypeFor[Resp](),
	}}
}

// InLane gives the operation its lane and returns it.
func (o Op[Req, Resp]) InLane(lane func(Req) Lane) Op[Req, Resp] {
	o.OpInfo.Lane = func(req any) Lane { return lane(req.(Req)) }
	return o
}

func decodeRequest[T any](b []byte) (any, error) {
	var v T
	if err := UnmarshalStrict(b, &v); err != nil {
		return nil, &Error{Kind: Invalid, Err: err}
	}
	val, ok := any(v).(Validator)
	if !ok {
		val, ok = any(&v).(Validator) // with a pointer's method a request would pass unchecked
	}
	if ok {
		if err := val.Validate(); err != nil {
			return nil, &Error{Kind: Invalid, Err: err}
		}
	}
	return v, nil
}

func decodeTolerant[T any](b []byte) (any, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, &Error{Kind: Internal, Err: fmt.Errorf("decode stored %T: %w", v, err)}
	}
	return v, nil
}
