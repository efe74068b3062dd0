package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/store"
)

func TestASealedValueOpensInItsPlaceAlone(t *testing.T) {
	s := open(t, config(t), store.Options{})
	plain := []byte("the canary sings")
	sealed, err := s.Seal("ticket", "abc", plain)
	if err != nil || bytes.Contains(sealed, []byte("canary")) {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	if again, _ := s.Seal("ticket", "abc", plain); bytes.Equal(again, sealed) {
		t.Error("sealing twice gives the same bytes")
	}
	for _, c := range []struct {
		name, table, row string
		change           func([]byte) []byte
		want             string
	}{
		{"untouched", "ticket", "abc", nil, ""},
		{"another row", "ticket", "abd", nil, "unseal ticket, row abd: the value was changed, or belongs to another row"},
		{"another table", "lot", "abc", nil, "unseal lot, row abc: the value was changed"},
		{"the border moved", "ticketa", "bc", nil, "unseal ticketa, row bc: the value was changed"},
		{"a flipped bit", "ticket", "abc", func(b []byte) []byte { b[len(b)-20] ^= 1; return b }, "unseal ticket, row abc: the value was changed"},
		{"cut short", "ticket", "abc", func(b []byte) []byte { return b[:18] }, "the value was changed"},
		{"no header", "ticket", "abc", func(b []byte) []byte { return b[:10] }, "not a sealed value"},
		{"plain text", "ticket", "abc", func([]byte) []byte { return []byte("plain text that was never sealed") }, "not a sealed value"},
		{"another key", "ticket", "abc", func(b []byte) []byte { b[1] ^= 1; return b }, "which store.key does not hold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bytes.Clone(sealed)
			if c.change != nil {
				b = c.change(b)
			}
			have, err := s.Unseal(c.table, c.row, b)
			if c.want == "" {
				if err != nil || !bytes.Equal(have, plain) {
					t.Fatalf("have %q, %v", have, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
	if b, err := s.Seal("ticket", "abc", nil); b != nil || err != nil {
		t.Errorf("sealing nothing gives %q, %v", b, err)
	}
	if b, err := s.Unseal("ticket", "abc", nil); b != nil || err != nil {
		t.Errorf("opening nothing gives %q, %v", b, err)
	}
}

func TestKeysRotateAndALostOneNamesItsRows(t *testing.T) {
	cfg := config(t)
	fresh := store.NewKey()
	s := open(t, cfg, store.Options{})
	sealed, err := s.Seal("ticket", "abc", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	first, digest := s.KeyID(), s.Digest("request", []byte("x"))
	if digest == s.Digest("subject", []byte("x")) || digest == contracts.SumOf([]byte("x")) {
		t.Error("digests of two purposes agree, or have no key")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, cfg, store.Options{Secret: secret("# old\n" + testKey + "\n# new\n" + fresh + "\n")})
	if s.KeyID() == first || s.Digest("request", []byte("x")) == digest {
		t.Error("the newest key is not the one in use")
	}
	if again, ok := s.DigestBy(first, "request", []byte("x")); !ok || again != digest {
		t.Error("the digest under the former key is another")
	}
	again, changed, err := s.Rewrap("ticket", "abc", sealed)
	if err != nil || !changed {
		t.Fatalf("rewrap: %v, %v", changed, err)
	}
	if _, changed, err := s.Rewrap("ticket", "abc", again); err != nil || changed {
		t.Errorf("rewrapped twice: %v, %v", changed, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, cfg, store.Options{Secret: secret(fresh)})
	if n := s.Stats().LostKeys; n != 1 {
		t.Errorf("%d keys lost, want 1", n)
	}
	if b, err := s.Unseal("ticket", "abc", again); err != nil || string(b) != "secret" {
		t.Errorf("under the new key: %q, %v", b, err)
	}
	_, err = s.Unseal("ticket", "abc", sealed)
	var lost *store.LostKey
	if !errors.As(err, &lost) || lost.Table != "ticket" || lost.Row != "abc" || lost.Key != first {
		t.Errorf("a lost key: %v", err)
	}
	if _, ok := s.DigestBy(first, "request", nil); ok {
		t.Error("a digest under a lost key")
	}
}

func TestABadKeyIsRefusedWithoutShowingIt(t *testing.T) {
	for _, text := range []string{"", "# only a note\n", "c2hvcnQ=", testKey + "\nnot base64 hunter2\n"} {
		_, err := store.Open(t.Context(), config(t), store.Options{Secret: secret(text)})
		if contracts.KindOf(err) != contracts.Invalid || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("with key %q: %v", text, err)
		}
	}
}

func TestNothingSealedStandsInPlainTextInAnyFile(t *testing.T) {
	cfg := config(t)
	s := migrate(t, open(t, cfg, store.Options{}))
	const canary = "CANARY-XYZXYZ00A00A000A"
	for i := range 300 {
		row := fmt.Sprint(i)
		sealed, err := s.Seal("note", row, []byte(strings.Repeat(canary, 40)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO note (text) VALUES (hex(?))", sealed)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	look := func(want string, found bool) {
		t.Helper()
		files, err := filepath.Glob(cfg.Path + "*")
		if err != nil || len(files) < 2 {
			t.Fatalf("files %q, %v", files, err)
		}
		any := false
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			any = any || bytes.Contains(b, []byte(want))
		}
		if any != found {
			t.Errorf("%q in %q: %v, want %v", want, files, any, found)
		}
	}
	look(canary, false)
	// The search can find: unsealed, the canary is there; erased and checkpointed, secure_delete has overwritten it.
	if err := s.Write(t.Context(), store.Accept, note(canary)); err != nil {
		t.Fatal(err)
	}
	look(canary, true)
	if err := s.Write(t.Context(), store.Accept, func(tx *store.Tx) error { _, err := tx.Exec("DELETE FROM note"); return err }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look(canary, false)
}
