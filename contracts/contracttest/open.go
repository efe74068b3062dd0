package contracttest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"raccordo/contracts"
)

// Open validates a configuration and opens its adapter, as a hub does at its start; when the test ends it closes the
// adapter, twice, since closing again must be harmless.
func Open(t testing.TB, cfg contracts.Config, env contracts.Env) contracts.Adapter {
	t.Helper()
	if err := cfg.Validate(env.Environment); err != nil {
		t.Fatalf("validate: %v", err)
	}
	a, err := cfg.Open(t.Context(), env)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := a.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
	return a
}

// SecretFile is a contracts.Env's Secret that knows files only (secret://file/PATH).
func SecretFile(_ context.Context, ref contracts.Secret) ([]byte, error) {
	return os.ReadFile(strings.TrimPrefix(string(ref), "secret://file/"))
}

// Sure is for what a test has written itself, where an error is the test's own fault: it panics.
func Sure[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ErrorOf ends the test unless err is a *contracts.Error of a kind and of a system (empty: any), and gives that error.
func ErrorOf(t testing.TB, err error, want contracts.Kind, system string) *contracts.Error {
	t.Helper()
	var e *contracts.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Fatalf("error: %v, want kind %q", err, want)
	}
	if system != "" && e.System != system {
		t.Errorf("error of system %q, want %q: %v", e.System, system, err)
	}
	return e
}
