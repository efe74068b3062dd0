// Package domicile is the need to know who is reachable where with legal effect: the digital domicile of a person, a
// body or an enterprise, now or at a past instant.
//
// Law: D.lgs. 82/2005 (CAD), art. 3-bis and 6-bis to 6-quater; circular on decreto flussi 2026 for the choice of the
// register by the capacity in which the employer asks.
package domicile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"raccordo/contracts"
)

// A Capacity is the quality in which the subject acts. It selects the register by law: an enterprise is looked up in
// INI-PEC and nowhere else; a body and a person in INAD; a sole trader or a lawyer who hires a carer asks as a person,
// and the firm's or the order's PEC must not answer.
type Capacity string

// The capacities.
const (
	Enterprise   Capacity = "enterprise"   // enterprise of the business register, sole traders as such included
	Body         Capacity = "body"         // private-law body outside the business register
	Person       Capacity = "person"       // natural person as a private individual, household employers included
	Professional Capacity = "professional" // professional acting as such
)

// Valid reports whether c is one of the four.
func (c Capacity) Valid() bool {
	return c == Enterprise || c == Body || c == Person || c == Professional
}

// A Query asks for the digital domiciles of a subject in one capacity. Both fields are required.
type Query struct {
	Subject  contracts.Subject `json:"subject"`
	Capacity Capacity          `json:"capacity"`
}

// Validate names every missing or wrong field.
func (q Query) Validate() error {
	return errors.Join(q.Subject.Validate(), validCapacity(q.Capacity))
}

// LogValue masks in logs.
func (q Query) LogValue() slog.Value { return contracts.LogText(q) }

// An Answer is what a register holds: at least one domicile in force (none is NotFound, never an empty list).
type Answer struct {
	Domiciles []contracts.DigitalDomicile `json:"domiciles"`
	AsOf      time.Time                   `json:"as_of"` // the instant the register answers for
}

// LogValue masks in logs.
func (a Answer) LogValue() slog.Value { return contracts.LogText(a) }

// A Claim is "this was their address on that day". All fields are required.
type Claim struct {
	Subject  contracts.Subject `json:"subject"`
	Capacity Capacity          `json:"capacity"`
	Address  contracts.Address `json:"address"`
	At       time.Time         `json:"at"` // registers answer by the day, in Italy, on which this instant falls
}

// Validate names every missing or wrong field.
func (c Claim) Validate() error {
	err := errors.Join(c.Subject.Validate(), validCapacity(c.Capacity))
	if c.Address.IsZero() {
		err = errors.Join(err, errors.New("address: missing"))
	}
	if c.At.IsZero() {
		err = errors.Join(err, errors.New("at: missing"))
	}
	return err
}

// LogValue masks in logs.
func (c Claim) LogValue() slog.Value { return contracts.LogText(c) }

func validCapacity(c Capacity) error {
	if !c.Valid() {
		return fmt.Errorf("capacity: want %s, %s, %s or %s", Enterprise, Body, Person, Professional)
	}
	return nil
}

// A Verdict answers a Claim. Theirs false is an answer with authority, not a failure.
type Verdict struct {
	Theirs    bool      `json:"theirs"`
	CheckedAt time.Time `json:"checked_at"`
}

// A Directory knows digital domiciles.
type Directory interface {
	// Lookup gives the domiciles in force, the one to use first. NotFound is an answer with authority: the register
	// holds none for that subject in that capacity.
	Lookup(ctx context.Context, q Query) (Answer, error)
	// Verify says whether the address was the subject's at that instant.
	Verify(ctx context.Context, c Claim) (Verdict, error)
}

// The operations.
var (
	OpLookup = contracts.NewOp[Query, Answer]("domicile.lookup", contracts.Read)
	OpVerify = contracts.NewOp[Claim, Verdict]("domicile.verify", contracts.Read)
)

// Ops lists the operations of this need.
func Ops() []*contracts.OpInfo { return []*contracts.OpInfo{OpLookup.OpInfo, OpVerify.OpInfo} }

// Via is a Directory that asks through r.
func Via(r contracts.Runner) Directory { return via{r} }

type via struct{ r contracts.Runner }

func (v via) Lookup(ctx context.Context, q Query) (Answer, error) {
	return contracts.Do(ctx, v.r, OpLookup, q)
}

func (v via) Verify(ctx context.Context, c Claim) (Verdict, error) {
	return contracts.Do(ctx, v.r, OpVerify, c)
}
