package contracttest

import (
	"context"

	"raccordo/contracts"
)

// A RunnerFunc answers calls for itself, for tests of what asks through a Runner.
type RunnerFunc func(context.Context, *contracts.Call) (any, error)

var _ contracts.Runner = RunnerFunc(nil)

// Run calls f.
func (f RunnerFunc) Run(ctx context.Context, call *contracts.Call) (any, error) { return f(ctx, call) }

// A Stored is a request or an answer as a hub keeps it.
type Stored struct {
	Value  any
	Decode func([]byte) (any, error) // the operation's StoredRequest or Response
}

// StoredWhole fails for each value that comes back from storage changed, and for each that prints one of the secrets.
func StoredWhole(t TB, secrets []string, values map[string]Stored) {
	t.Helper()
	for name, v := range values {
		raw, err := contracts.Encode(v.Value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := v.Decode(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again, err := contracts.Encode(back); err != nil || string(again) != string(raw) {
			t.Errorf("%s came back changed", name)
		}
		c := NewCapture()
		c.Value(name, v.Value)
		c.Report(t, secrets)
	}
}
