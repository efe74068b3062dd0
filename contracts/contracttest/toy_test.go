package contracttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

var today = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// The toy need: one operation of each effect.
type question struct {
	Word contracts.Private `json:"word"`
	Wipe bool              `json:"wipe,omitempty"`
}

func (q question) Validate() error {
	if q.Word.Reveal() == "invalid" {
		return errors.New("word: wrong\nand more is wrong")
	}
	return nil
}

func (q question) LogValue() slog.Value { return contracts.LogText(q) }

func (q question) Redacted() (any, bool) {
	if !q.Wipe || q.Word.IsZero() {
		return q, false
	}
	q.Word = contracts.Private{}
	return q, true
}

type answer struct {
	Length int      `json:"length"`
	Heard  []string `json:"heard,omitempty"`
}

var (
	opRead  = contracts.NewOp[question, answer]("toy.read", contracts.Read)
	opWrite = contracts.NewOp[question, answer]("toy.write", contracts.Write)
	opOnce  = contracts.NewOp[question, answer]("toy.once", contracts.Once)
	opList  = contracts.NewOp[question, answer]("toy.list", contracts.Read)
	opSlow  = contracts.NewOp[question, answer]("toy.slow", contracts.Once) // with a fold
)

func ask(word string) question { return question{Word: contracts.NewPrivate(word)} }

// A toy is an adapter whose every method can be replaced.
type toy struct {
	bindings []contracts.Binding
	feed     func(from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error)
}

func (a *toy) Bindings() []contracts.Binding { return a.bindings }
func (a *toy) Close() error                  { return nil }
func (a *toy) Every() time.Duration          { return time.Minute }
func (a *toy) Feed(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	if a.feed == nil {
		return nil, from, nil
	}
	return a.feed(from)
}

func toyErr(kind contracts.Kind, op string) *contracts.Error {
	return &contracts.Error{Kind: kind, System: "toy", Operation: op}
}

// direct runs a toy on a clock that Direct moves itself.
func direct(a *toy, opts ...contracttest.Option) (*contracttest.Runner, *contracttest.Clock) {
	c := contracttest.NewClock(today)
	return contracttest.Direct(a, c, append([]contracttest.Option{contracttest.Advancing(c.Advance)}, opts...)...), c
}

func caller(ctx context.Context) context.Context {
	return contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "test"})
}

func keyed(ctx context.Context, key string) context.Context {
	return contracts.WithKey(caller(ctx), key)
}

func event(id, ref, word string) contracts.Event {
	data, err := json.Marshal(word)
	if err != nil {
		panic(err)
	}
	return contracts.Event{ID: id, Kind: "toy.said", Ref: ref, At: today, Data: data}
}

// hear folds words until "end" or "fail".
func hear(_ question, sofar answer, e contracts.Event) (answer, contracts.Move, error) {
	var word string
	if err := json.Unmarshal(e.Data, &word); err != nil {
		return sofar, contracts.Move{}, err
	}
	sofar.Heard = append(sofar.Heard, word)
	switch word {
	case "end":
		return sofar, contracts.Move{To: contracts.StateDone}, nil
	case "fail":
		return sofar, contracts.Move{To: contracts.StateFailed, Err: toyErr(contracts.Conflict, opSlow.Name)}, nil
	case "bad":
		return sofar, contracts.Move{}, fmt.Errorf("cannot read the word")
	case "queue":
		return sofar, contracts.Move{To: contracts.StateQueued}, nil
	}
	return sofar, contracts.Move{To: contracts.StateWaiting}, nil
}
