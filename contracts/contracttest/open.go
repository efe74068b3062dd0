package contracttest

import (
	"context"
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
