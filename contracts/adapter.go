package contracts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// An Environment is the one value which hosts, audiences, issuers and keys must fit.
type Environment string

// The environments, as PDND names them.
const (
	Attestazione Environment = "attestazione"
	Collaudo     Environment = "collaudo"
	Produzione   Environment = "produzione"
)

// A Fault is one thing wrong with a configuration.
type Fault struct {
	Path string // of the field, from the stanza's own root: "voucher.key"
	Text string // what is wrong and what to write instead; never a secret
}

// Error is "path: text".
func (f *Fault) Error() string { return f.Path + ": " + f.Text }

// Faultf makes a Fault.
func Faultf(path, format string, args ...any) *Fault {
	return &Fault{Path: path, Text: fmt.Sprintf(format, args...)}
}

// A Secret is a reference to a secret, never the secret: "secret://file/NAME" (a file below the configured secrets
// folder, or an absolute path) or "secret://env/NAME".
type Secret string

// Fault says what is wrong with the reference, or nothing when it is one.
func (s Secret) Fault(path string) error {
	rest, ok := strings.CutPrefix(string(s), "secret://")
	where, name, _ := strings.Cut(rest, "/")
	if !ok || name == "" || (where != "file" && where != "env") {
		return Faultf(path, "want a reference, secret://file/NAME or secret://env/NAME, not the secret itself")
	}
	return nil
}

// A Config is both an adapter's settings and its factory: defaults, then YAML laid over them, then Validate, then Open.
type Config interface {
	// Operations lists what the adapter will bind, so that routes can be checked before anything is opened.
	Operations() []*OpInfo
	// Validate gives every fault at once (errors.Join of *Fault), offline.
	Validate(Environment) error
	// Open makes the adapter. It does no network I/O.
	Open(ctx context.Context, env Env) (Adapter, error)
}

// A Pace is how soon an adapter answers an operation for one class of subjects, in the words of the need ("enterprise"
// for domicile.lookup). It lets an operator be warned before anybody waits, when no instance of a route answers a class
// while the caller waits.
type Pace struct {
	Op     *OpInfo
	For    string
	AtOnce bool // within seconds; otherwise in lists, or as an event
}

// A Pacer is a Config that tells its paces. One that is none answers everything at once.
type Pacer interface{ Paces() []Pace }

// Kinds is the explicit list of adapters: "inad" makes a fresh Config filled with defaults.
type Kinds map[string]func() Config

// An Env is what the program hands an adapter, as opposed to what a person writes in YAML.
type Env struct {
	Instance    string // the name in the configuration: "inad"; it stands in Error.System
	Environment Environment
	Log         *slog.Logger
	Clock       Clock
	Secret      func(ctx context.Context, ref Secret) ([]byte, error)
	// Keep puts a big proof into the archive, sealed, and gives its digest; more than max bytes is an error.
	Keep func(ctx context.Context, r io.Reader, max int64) (Sum, error)
	// Waiting lists tickets that this instance has carried out and that wait for an event (StateWaiting), with the answer so
	// far in Detail, in the order of their acceptance: at most max, behind the ticket after. Nil: nobody can tell.
	Waiting func(ctx context.Context, after string, max int) ([]Ticket, error)
	// Backed reports whether a proof is contained in a completed backup, so that the far side's copy of it may go. Nil:
	// nobody can tell, which is a no.
	Backed func(ctx context.Context, proof Sum) (bool, error)
}

// An Adapter speaks one supplier's wire. Close waits for what it started and is safe to repeat.
type Adapter interface {
	Bindings() []Binding
	Close() error
}

// A Checker is an adapter that can make one cheap honest call to see whether its far side is there and lets us in.
type Checker interface {
	Check(ctx context.Context) error
}

// A Cursor is where a Feeder stands, in its own notation; empty at the beginning.
type Cursor []byte

// A Feeder is an adapter whose far side tells things later, unasked.
type Feeder interface {
	// Feed reads what came after from, verifies it and names the ticket each event bears on; it decides nothing. It
	// returns at once when there is nothing new. The cursor is committed together with the events.
	Feed(ctx context.Context, from Cursor) ([]Event, Cursor, error)
	// Every is how long to leave between two calls that brought nothing.
	Every() time.Duration
}

// A Waker is a Feeder that may hear of something new before Every is over. A value on the channel is a hint and nothing
// more: reading on time must not depend on it. The channel is never closed.
type Waker interface{ Wake() <-chan struct{} }

// Sources is an adapter with several far sides that tell things apart from each other (mailboxes), so that one that is
// slow or locked holds up none of the others. The names are stable: each has a cursor of its own, kept under its name.
type Sources interface {
	Sources() map[string]Feeder
}

// A Place is one of an adapter's places for tickets of a pooled lane: a mailbox whose turn it is. Whoever has it gives it
// back with Release, once, whether or not it was used. A place of a name that refused a ticket is left aside for as long as
// it was told; an adapter that keeps such times itself names each reservation anew.
type Place struct {
	Name    string // for the adapter, which finds it in the context while it carries the ticket out
	Release func(used bool)
}

// WithPlace puts the name of a reserved place in the context.
func WithPlace(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, ctxPlace, name)
}

// PlaceFrom gives the name of the reserved place in the context, or "".
func PlaceFrom(ctx context.Context) string {
	name, _ := ctx.Value(ctxPlace).(string)
	return name
}

// A Binding ties an operation to what performs it at one adapter.
type Binding struct {
	Op *OpInfo
	// Covers says whether this register holds, by law, what is asked: nil, or NotFound (or Invalid). It never touches
	// the wire, and its NotFound leaves no trace that the subject was looked up: nobody is looked up where they cannot be.
	Covers func(req any) error
	// Do performs one request; nil means that there is only a list form.
	Do func(ctx context.Context, req any) (any, error)
	// List performs many at once; nil when the supplier has no such form.
	List *List
	// Fold moves a ticket by an event; nil when nothing comes unasked. With a Fold, Do's answer is only the answer so
	// far: the ticket waits until an event ends it.
	Fold func(req, sofar any, e Event) (any, Move, error)
	// Resolve asks whether it happened, while a ticket is uncertain; nil when only events or a person can tell.
	Resolve func(ctx context.Context, req any) (any, error)
	// Reserve takes a place for one ticket of a pooled lane, by the lane's name, or says when to ask again (zero: when a
	// place is given back). Nil: as many at once as there are workers. It is called often and does no I/O.
	Reserve func(lane string) (p Place, next time.Time, ok bool)
	// Expected is how long an answer usually takes; zero when it is a matter of seconds. A call whose deadline is nearer
	// goes by the single form where there is one.
	Expected time.Duration
	// Named says that the far side is told which user asks, and may refuse the question for it: one user's question, and
	// its answer, are then no other's.
	Named bool
}

// A List is the supplier's list form.
type List struct {
	Max int // most requests in one list
	// Start hands the list over and gives a handle that survives a restart. Hold.ID() in ctx is the lot's id.
	Start func(ctx context.Context, reqs []any) (handle []byte, err error)
	// Collect fetches the answers, one per request and in their order, or fails with Pending (and After) until they
	// are ready. NotFound means that the far side no longer knows the list: it is started anew.
	Collect func(ctx context.Context, handle []byte, reqs []any) ([]Result[any], error)
}

// A Result is one answer of a list: a value, or an error of its own.
type Result[Resp any] struct {
	Value Resp
	Err   error
}

// A Move is what an event makes of a ticket. The zero Move leaves it where it is.
type Move struct {
	To  State  // StateWaiting, StateUncertain, StateDone or StateFailed; empty: no move
	Err *Error // with StateFailed: why
}

// An Option adds to a Binding.
type Option[Req, Resp any] func(*Binding)

// Bind ties op to the function that performs it. A nil fn means: list form only.
func Bind[Req, Resp any](op Op[Req, Resp], fn func(context.Context, Req) (Resp, error), opts ...Option[Req, Resp]) Binding {
	b := Binding{Op: op.OpInfo}
	if fn != nil {
		b.Do = func(ctx context.Context, req any) (any, error) { return fn(ctx, req.(Req)) }
	}
	for _, opt := range opts {
		opt(&b)
	}
	return b
}

// Covers limits the binding to what the register holds by law.
func Covers[Req, Resp any](_ Op[Req, Resp], covers func(Req) error) Option[Req, Resp] {
	return func(b *Binding) { b.Covers = func(req any) error { return covers(req.(Req)) } }
}

// Reserving binds the places of op's pooled lanes.
func Reserving[Req, Resp any](_ Op[Req, Resp], reserve func(lane string) (Place, time.Time, bool)) Option[Req, Resp] {
	return func(b *Binding) { b.Reserve = reserve }
}

// Expected declares how long an answer usually takes.
func Expected[Req, Resp any](_ Op[Req, Resp], d time.Duration) Option[Req, Resp] {
	return func(b *Binding) { b.Expected = d }
}

// Named declares that the far side is told which user asks.
func Named[Req, Resp any](_ Op[Req, Resp]) Option[Req, Resp] {
	return func(b *Binding) { b.Named = true }
}

// AsList binds the supplier's list form of op, for at most max requests at once.
func AsList[Req, Resp any](_ Op[Req, Resp], max int,
	start func(context.Context, []Req) (handle []byte, err error),
	collect func(ctx context.Context, handle []byte, reqs []Req) ([]Result[Resp], error),
) Option[Req, Resp] {
	typed := func(reqs []any) []Req {
		out := make([]Req, len(reqs))
		for i, r := range reqs {
			out[i] = r.(Req)
		}
		return out
	}
	return func(b *Binding) {
		b.List = &List{
			Max:   max,
			Start: func(ctx context.Context, reqs []any) ([]byte, error) { return start(ctx, typed(reqs)) },
			Collect: func(ctx context.Context, handle []byte, reqs []any) ([]Result[any], error) {
				got, err := collect(ctx, handle, typed(reqs))
				if err != nil {
					return nil, err
				}
				if len(got) != len(reqs) {
					return nil, Errorf(Internal, "list of %d collected %d answers", len(reqs), len(got))
				}
				out := make([]Result[any], len(got))
				for i, r := range got {
					out[i] = Result[any]{Value: r.Value, Err: r.Err}
				}
				return out, nil
			},
		}
	}
}

// OnEvent binds a pure fold: given the request, the answer so far and an event, the answer now and what becomes of the
// ticket. An error quarantines the event alone.
func OnEvent[Req, Resp any](_ Op[Req, Resp], fold func(Req, Resp, Event) (Resp, Move, error)) Option[Req, Resp] {
	return func(b *Binding) {
		b.Fold = func(req, sofar any, e Event) (any, Move, error) {
			s, _ := sofar.(Resp) // nil: nothing yet
			return fold(req.(Req), s, e)
		}
	}
}

// Resolve binds the question "did it happen?", asked on a schedule while a ticket is uncertain. An answer settles it as
// Do's would have. NotFound, with authority, puts the ticket back in the queue only where the operation is a Write,
// whose wire knows our key. Any other error leaves it uncertain.
func Resolve[Req, Resp any](_ Op[Req, Resp], ask func(context.Context, Req) (Resp, error)) Option[Req, Resp] {
	return func(b *Binding) {
		b.Resolve = func(ctx context.Context, req any) (any, error) { return ask(ctx, req.(Req)) }
	}
}

// A Hold rides in the context while a ticket is carried out: what must be the same on every try, and the mark that
// separates "nothing has left" from "something may have". Without a hub it lives in memory.
type Hold interface {
	// ID is the ticket's or the lot's id; Message-ID and practicalReference derive from it.
	ID() string
	// Keep gives the bytes stored under name, making and storing them first where there are none: made once, stored
	// (and flushed) before use, the same on every later try.
	Keep(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error)
	// Depart marks on disk that bytes with effect may leave now. It fails when the lease on the ticket is lost, and
	// then nothing may leave.
	Depart(ctx context.Context) error
}

// WithHold puts a Hold in the context.
func WithHold(ctx context.Context, h Hold) context.Context { return context.WithValue(ctx, ctxHold, h) }

// HoldFrom gives the Hold in the context, or nil.
func HoldFrom(ctx context.Context) Hold {
	h, _ := ctx.Value(ctxHold).(Hold)
	return h
}

// Encode is the canonical JSON of a request or an answer: what is stored, digested and compared. Go's encoder orders
// map keys and struct fields alike every time, which is all that canonical means here.
func Encode(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, &Error{Kind: Internal, Err: fmt.Errorf("encode %T: %w", v, err)}
	}
	return b, nil
}
