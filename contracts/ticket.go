package contracts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A State is where a ticket stands.
type State string

// The states. StateDone, StateFailed and StateAbandoned are settled; a settled ticket can still be moved by a late event of its own
// (a delivery receipt after the notice of non-delivery), never by a worker.
const (
	StateQueued    State = "queued"    // to be carried out, not before Next
	StateRunning   State = "running"   // a worker holds it
	StateWaiting   State = "waiting"   // carried out; an event will settle it
	StateUncertain State = "uncertain" // nobody knows whether it happened; asked on a schedule, never repeated
	StateDone      State = "done"
	StateFailed    State = "failed"
	StateAbandoned State = "abandoned" // by a person, with a reason
)

// Settled reports whether the state is an end.
func (s State) Settled() bool { return s == StateDone || s == StateFailed || s == StateAbandoned }

// A Ticket is a call the hub owes. Its ID is derived from (service, operation, key), never random, so that a core may
// submit again at any time and a restored store recognises what it had sent.
type Ticket struct {
	ID     string          `json:"id"`
	Op     string          `json:"op"`
	Owner  string          `json:"owner"` // the service that submitted it
	Case   string          `json:"case,omitempty"`
	At     string          `json:"at,omitempty"` // the instance that carries it out, once known
	Lane   Lane            `json:"lane,omitzero"`
	State  State           `json:"state"`
	Tries  int             `json:"tries,omitempty"`
	Next   time.Time       `json:"next,omitzero"` // not carried out or asked about before
	Due    time.Time       `json:"due,omitzero"`
	Since  time.Time       `json:"since"`            // when it was accepted
	Result json.RawMessage `json:"result,omitempty"` // the answer, once done (and, where there is one, when failed)
	Detail json.RawMessage `json:"detail,omitempty"` // the answer so far, while waiting or uncertain
	Err    *Error          `json:"error,omitempty"`  // with StateFailed and StateUncertain
	Story  []Event         `json:"story,omitempty"`
}

// Failure is nil for a ticket that is done, its own error for one that failed, and Pending (with the ticket's id and
// the time until Next) for one that is not settled.
func (t *Ticket) Failure() error {
	switch t.State {
	case StateDone:
		return nil
	case StateFailed:
		if t.Err != nil {
			return t.Err
		}
		return &Error{Kind: Internal, System: "hub", Operation: t.Op, Err: fmt.Errorf("ticket %s failed without a reason", t.ID)}
	case StateAbandoned:
		return &Error{Kind: Conflict, System: "hub", Operation: t.Op, Err: fmt.Errorf("ticket %s was given up by an operator", t.ID)}
	}
	return &Error{Kind: Pending, System: "hub", Operation: t.Op, Ticket: t.ID}
}

// TicketID derives a ticket's id from its idempotency: 26 characters of lower-case base32, safe in a Message-ID, a file
// name and a URL.
func TicketID(service, op, key string) string {
	h := sha256.New()
	for _, part := range []string{"raccordo ticket 1", service, op, key} {
		fmt.Fprintf(h, "%d:%s,", len(part), part) // length first, so that no two triples run together
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

// A Sum is a SHA-256 digest.
type Sum [sha256.Size]byte

// SumOf digests b.
func SumOf(b []byte) Sum { return sha256.Sum256(b) }

// IsZero reports whether nothing was digested.
func (s Sum) IsZero() bool { return s == Sum{} }

// String is lower-case hexadecimal.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText writes hexadecimal, or nothing for the zero Sum.
func (s Sum) MarshalText() ([]byte, error) {
	if s.IsZero() {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Sum{}
		return nil
	}
	if len(text) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("digest: want %d hexadecimal characters, have %d", hex.EncodedLen(len(s)), len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// An Event is a fact from a far side that came unasked: a PEC receipt, a quota movement, "checks complete".
type Event struct {
	ID      string          `json:"id"`                // unique per instance: the same fact read twice has the same ID
	Kind    string          `json:"kind"`              // the fact's stable name: "pec.avvenuta-consegna"
	Ref     string          `json:"ref,omitempty"`     // the ticket it bears on, when it does
	Subject string          `json:"subject,omitempty"` // the case, when the far side names one: never a person
	Owner   string          `json:"owner,omitempty"`   // the service that may read it; the hub fills it from the ticket
	At      time.Time       `json:"at"`                // when it happened, as the far side says
	Data    json.RawMessage `json:"data,omitempty"`
	Proof   []Sum           `json:"proof,omitempty"`  // digests of archived bytes
	Seq     uint64          `json:"seq,omitempty"`    // the hub's own number, by which readers go on; zero before it is kept
	Source  string          `json:"source,omitempty"` // the adapter instance
	// Raw is bytes that the archive keeps together with the event, in the same commit: each at most MaxRaw, its digest
	// among Proof. What is larger goes to Env.Keep before. It is empty once the event is kept.
	Raw [][]byte `json:"-"`
}

// MaxRaw is the most bytes of one Event.Raw.
const MaxRaw = 256 << 10

// EventSettled is the Kind of the event by which the hub tells a ticket's owner that it was settled; Ref names it. Its
// Data names operation and state, and the error's kind and code where there is one.
const EventSettled = "ticket.settled"

// Phases of an Entry.
const (
	PhaseSubmitted = "submitted" // a ticket was accepted
	PhaseIntent    = "intent"    // something with effect is about to leave
	PhaseOutcome   = "outcome"   // what came back
	PhaseEvent     = "event"     // the far side told us something
	PhaseOperator  = "operator"  // a person intervened, with a reason
)

// An Entry is proof of one step of one call: who, why, what came back. It holds digests and keyed hashes, never a
// person's data, so that the chain can outlive the erasure of what it proves.
type Entry struct {
	Version    int       `json:"version"`
	Chain      string    `json:"chain"` // one per hub process's store
	Seq        uint64    `json:"seq"`
	Prev       Sum       `json:"prev"`
	Sum        Sum       `json:"sum"`
	At         time.Time `json:"at"`
	Phase      string    `json:"phase"`
	Outcome    string    `json:"outcome,omitempty"` // "ok", a Kind's name, or with PhaseEvent the event's kind
	Caller     Caller    `json:"caller,omitzero"`
	Op         string    `json:"op,omitempty"`
	System     string    `json:"system,omitempty"` // the adapter instance
	Ref        string    `json:"ref,omitempty"`    // its intent, ticket or lot
	Subject    Sum       `json:"subject,omitzero"` // keyed hash of the request, never the identifier
	SubjectKey string    `json:"subject_key,omitempty"`
	Reason     string    `json:"reason,omitempty"` // PhaseOperator: the operator's words; else a note of ours
	Attempts   []Attempt `json:"attempts,omitempty"`
	Proof      []Sum     `json:"proof,omitempty"`
}

// A Trail is put in the context and hears of each attempt on the wire, as httptrace does. It must be safe for concurrent use.
type Trail interface{ Attempt(Attempt) }

// An Attempt is one exchange with a far side.
type Attempt struct {
	At          time.Time     `json:"at"`
	Took        time.Duration `json:"took"`                // nanoseconds
	Sent        bool          `json:"sent"`                // whether bytes of the request may have left
	Status      string        `json:"status,omitempty"`    // the peer's: "200", "250", or our word for what broke: "timeout"
	RemoteID    string        `json:"remote_id,omitempty"` // the peer's tracking id or queue id
	RequestSum  Sum           `json:"request_sum,omitzero"`
	ResponseSum Sum           `json:"response_sum,omitzero"`
}

// WithTrail puts a Trail in the context.
func WithTrail(ctx context.Context, t Trail) context.Context {
	return context.WithValue(ctx, ctxTrail, t)
}

// TrailFrom gives the Trail in the context, or one that forgets.
func TrailFrom(ctx context.Context) Trail {
	if t, ok := ctx.Value(ctxTrail).(Trail); ok {
		return t
	}
	return noTrail{}
}

type noTrail struct{}

func (noTrail) Attempt(Attempt) {}
