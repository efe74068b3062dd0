package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/hub/store"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

// config gives settings for a store in a folder of the test's own.
func config(t testing.TB) store.Config {
	c := store.Default()
	c.Path = filepath.Join(t.TempDir(), "hub.db")
	c.Key = "secret://env/STORE_KEY"
	c.Reserve = 0
	return c
}

// secret answers every reference with the same text.
func secret(text string) func(context.Context, contracts.Secret) ([]byte, error) {
	return func(context.Context, contracts.Secret) ([]byte, error) { return []byte(text), nil }
}

func open(t testing.TB, cfg store.Config, opt store.Options) *store.Store {
	t.Helper()
	if opt.Secret == nil {
		opt.Secret = secret(testKey)
	}
	s, err := store.Open(context.Background(), cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func notes() []string {
	return []string{"CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT"}
}

func migrate(t testing.TB, s *store.Store) *store.Store {
	t.Helper()
	if err := s.Migrate(t.Context(), "note", notes()); err != nil {
		t.Fatal(err)
	}
	return s
}

func note(text string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO note (text) VALUES (?)", text)
		return err
	}
}

func count(t testing.TB, s *store.Store) (n int) {
	t.Helper()
	if err := s.Read(context.Background(), func(v *store.View) error {
		return v.QueryRow("SELECT count(*) FROM note").Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsWrittenIsReadAgainAfterReopening(t *testing.T) {
	cfg := config(t)
	s := migrate(t, open(t, cfg, store.Options{}))
	if err := s.Write(t.Context(), store.Accept, note("one")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s); n != 1 {
		t.Fatalf("have %d notes, want 1", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, migrate(t, open(t, cfg, store.Options{}))); n != 1 {
		t.Fatalf("have %d notes after reopening, want 1", n)
	}
}
