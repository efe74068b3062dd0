package contracts

import (
	"context"
	"fmt"
	"time"
)

// A Caller is who asks and why. There is no call without Service and Purpose. Purpose is a name; configuration maps it,
// per environment and supplier, to that supplier's purpose. User is pseudonymous, or "system".
type Caller struct {
	Service string `json:"service"`
	Purpose string `json:"purpose"`
	User    string `json:"user,omitempty"`
	Case    string `json:"case,omitempty"` // the proceeding, as the core numbers it: never a person's code
	Site    string `json:"site,omitempty"` // the office, as ModI's tracking evidence wants it
	IP      string `json:"ip,omitempty"`
	LoA     string `json:"loa,omitempty"` // level of assurance of the user's login
}

// A Call is one operation asked by one caller.
type Call struct {
	Op      *OpInfo
	Request any
	Caller  Caller
	Key     string    // idempotency key, unique per (service, operation); required unless Read
	At      string    // a chosen adapter instance, or empty for the route
	Due     time.Time // the caller's own deadline, if it has one: orders work and raises the "would miss" alarm
}

// A Runner carries out calls: the Hub in this process, an API client across the network, or a bare adapter in a test.
type Runner interface {
	// Run answers, or fails with an *Error. Pending means that the call became a ticket which outlived ctx.
	Run(ctx context.Context, c *Call) (any, error)
}

// A Submitter is a Runner that also keeps promises: calls put on disk and carried out later.
type Submitter interface {
	Runner
	// Submit stores the call and returns its ticket; the same key again returns the same ticket.
	Submit(ctx context.Context, c *Call) (Ticket, error)
	// Ticket gives the present state of a ticket of the caller in ctx; another service's ticket is NotFound.
	Ticket(ctx context.Context, id string) (Ticket, error)
}

// Pinned is a Submitter that carries every call to s, insisting on one adapter instance: Call.At, whatever it was.
func Pinned(s Submitter, instance string) Submitter { return pinned{s, instance} }

type pinned struct {
	Submitter
	at string
}

func (p pinned) Run(ctx context.Context, c *Call) (any, error) {
	return p.Submitter.Run(ctx, p.pin(c))
}

func (p pinned) Submit(ctx context.Context, c *Call) (Ticket, error) {
	return p.Submitter.Submit(ctx, p.pin(c))
}

func (p pinned) pin(c *Call) *Call {
	own := *c
	own.At = p.at
	return &own
}

type ctxKey uint8

const (
	ctxCaller ctxKey = iota
	ctxKeyKey
	ctxDue
	ctxCall
	ctxHold
	ctxTrail
	ctxPlace
)

// WithCaller says who asks and why, for Do, Submit and Answer.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, ctxCaller, c)
}

// CallerFrom gives the caller that WithCaller put in; the zero Caller when there is none.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(ctxCaller).(Caller)
	return c
}

// WithKey gives the idempotency key of the next Do or Submit.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, ctxKeyKey, key)
}

// WithDue gives the caller's own deadline of the next Do or Submit; unlike the context's it does not end the call.
func WithDue(ctx context.Context, due time.Time) context.Context {
	return context.WithValue(ctx, ctxDue, due)
}

// WithCall puts the call being carried out in the context, where helpers below the adapter find its Effect and Caller.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, ctxCall, c)
}

// CallFrom gives the call being carried out, or nil; helpers that find nil behave as for Once.
func CallFrom(ctx context.Context) *Call {
	c, _ := ctx.Value(ctxCall).(*Call)
	return c
}

// NewCall makes the Call that Do and Submit would make from ctx.
func NewCall(ctx context.Context, op *OpInfo, req any) *Call {
	c := &Call{Op: op, Request: req, Caller: CallerFrom(ctx)}
	c.Key, _ = ctx.Value(ctxKeyKey).(string)
	c.Due, _ = ctx.Value(ctxDue).(time.Time)
	return c
}

// Do asks op through r and waits for the answer.
func Do[Req, Resp any](ctx context.Context, r Runner, op Op[Req, Resp], req Req) (Resp, error) {
	var zero Resp
	out, err := r.Run(ctx, NewCall(ctx, op.OpInfo, req))
	if err != nil {
		return zero, err
	}
	resp, ok := out.(Resp)
	if !ok {
		return zero, &Error{Kind: Internal, Operation: op.Name, Err: fmt.Errorf("runner answered %T, want %T", out, zero)}
	}
	return resp, nil
}

// Submit leaves op with s as a ticket.
func Submit[Req, Resp any](ctx context.Context, s Submitter, op Op[Req, Resp], req Req) (Ticket, error) {
	return s.Submit(ctx, NewCall(ctx, op.OpInfo, req))
}

// Answer gives the answer of a ticket of op: the ticket's own error when it failed, Pending while it is not settled.
func Answer[Req, Resp any](ctx context.Context, s Submitter, op Op[Req, Resp], id string) (Resp, error) {
	var zero Resp
	t, err := s.Ticket(ctx, id)
	if err != nil {
		return zero, err
	}
	if err := t.Failure(); err != nil {
		return zero, err
	}
	out, err := op.Response(t.Result)
	if err != nil {
		return zero, err
	}
	return out.(Resp), nil
}
