package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/archive"
	"raccordo/hub/store"
)

// keepIn keeps bytes in a transaction of their own.
func keepIn(t testing.TB, s *store.Store, a *archive.Archive, raw []byte) contracts.Sum {
	t.Helper()
	sum, keep, err := a.Ready(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), store.Settle, keep); err != nil {
		t.Fatal(err)
	}
	return sum
}

// rig gives a store of the given keys and an archive in it.
func rig(t testing.TB, path, keys string) (*store.Store, *archive.Archive) {
	t.Helper()
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = path, "secret://env/KEY", 0
	s, err := store.Open(context.Background(), cfg, store.Options{Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(keys), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := archive.Open(t.Context(), path+".proofs", s)
	if err != nil {
		t.Fatal(err)
	}
	return s, a
}

func walk(t testing.TB, a *archive.Archive) (all []contracts.Sum) {
	t.Helper()
	if err := a.Walk(t.Context(), func(sum contracts.Sum) error { all = append(all, sum); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestASmallProofIsThereWhenItsTransactionIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s, a := rig(t, path, store.NewKey())
	for _, size := range []int{0, 1, 20_000, contracts.MaxRaw} {
		plain := bytes.Repeat([]byte("canary7"), size/7+1)[:size]
		sum, keep, err := a.Ready(t.Context(), plain)
		if err != nil || sum != contracts.SumOf(plain) {
			t.Fatalf("%d bytes: %s, %v", size, sum, err)
		}
		if a.Has(sum) {
			t.Errorf("%d bytes: there before they were kept", size)
		}
		undone := errors.New("undone")
		if err := s.Write(t.Context(), store.Settle, func(tx *store.Tx) error { return errors.Join(keep(tx), undone) }); !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if a.Has(sum) {
			t.Errorf("%d bytes: there though the transaction is not", size)
		}
		for range 2 { // the same bytes again are kept once
			if err := s.Write(t.Context(), store.Settle, keep); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := read(t, a, sum); err != nil || !bytes.Equal(have, plain) || !a.Has(sum) {
			t.Errorf("%d bytes: %d came back, %v", size, len(have), err)
		}
	}
	if n := len(walk(t, a)); n != 4 {
		t.Errorf("walked over %d, want 4", n)
	}
	if n := len(files(t, path+".proofs")); n != 0 {
		t.Errorf("%d files, want rows only", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte("canary")) {
		t.Errorf("the database shows what it holds, or does not open: %v", err)
	}
}

func TestWhatIsTooLargeForACommitGoesToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s, a := rig(t, path, store.NewKey())
	big := bytes.Repeat([]byte("x"), contracts.MaxRaw+1)
	sum := keepIn(t, s, a, big)
	if have, err := read(t, a, sum); err != nil || !bytes.Equal(have, big) {
		t.Errorf("%d came back, %v", len(have), err)
	}
	if n := len(files(t, path+".proofs")); n != 1 {
		t.Errorf("%d files, want one", n)
	}
}

// A proof may come by both ways: as a file before, as a row now, or the reverse.
func TestADigestInBothPlacesIsOneProof(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s, a := rig(t, path, store.NewKey())
	first, second := []byte("file, then row"), []byte("row, then file")
	keep(t, a, first)
	keepIn(t, s, a, first)
	keepIn(t, s, a, second)
	keep(t, a, second)
	if n := len(files(t, path+".proofs")); n != 1 {
		t.Errorf("%d files, want that of the first alone", n)
	}
	if all := walk(t, a); len(all) != 2 || !slices.Contains(all, contracts.SumOf(first)) || !slices.Contains(all, contracts.SumOf(second)) {
		t.Errorf("walked over %s", all)
	}
	sum := contracts.SumOf(first)
	if err := a.Rewrap(t.Context(), sum); err != nil {
		t.Error(err)
	}
	if err := a.Erase(t.Context(), sum); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(sum); contracts.KindOf(err) != contracts.NotFound || a.Has(sum) || len(files(t, path+".proofs")) != 0 {
		t.Errorf("after erasing: %v", err)
	}
	// A row that was changed does not hide a sound file.
	keep(t, a, first)
	keepIn(t, s, a, first)
	change(t, s, sum)
	if have, err := read(t, a, sum); err != nil || !bytes.Equal(have, first) {
		t.Errorf("%q came back, %v", have, err)
	}
}

// change spoils a row's sealed bytes.
func change(t testing.TB, s *store.Store, sum contracts.Sum) {
	t.Helper()
	if err := s.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE archive_proof SET data = substr(data, 1, length(data) - 1) || x'00' WHERE sum = ?`, sum[:])
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAnErasedRowIsGoneFromTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s, a := rig(t, path, store.NewKey())
	var sealed []byte
	sum := keepIn(t, s, a, bytes.Repeat([]byte("proof"), 10_000))
	keepIn(t, s, a, []byte("another"))
	if err := s.Read(t.Context(), func(v *store.View) error {
		return v.QueryRow(`SELECT data FROM archive_proof WHERE sum = ?`, sum[:]).Scan(&sealed)
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Erase(t.Context(), sum); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Open(sum); contracts.KindOf(err) != contracts.NotFound || a.Has(sum) || len(walk(t, a)) != 1 {
		t.Errorf("after erasing: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		b, _ := os.ReadFile(name) // a folder has no bytes
		for at := 0; at+64 < len(sealed); at += 4000 {
			if bytes.Contains(b, sealed[at:at+64]) {
				t.Errorf("%s still holds erased bytes, from %d on", filepath.Base(name), at)
			}
		}
	}
}

func TestAChangedRowIsNoProof(t *testing.T) {
	s, a := rig(t, filepath.Join(t.TempDir(), "hub.db"), store.NewKey())
	one, two := keepIn(t, s, a, []byte("one")), keepIn(t, s, a, []byte("two"))
	change(t, s, one)
	if _, err := a.Open(one); contracts.KindOf(err) != contracts.Internal {
		t.Errorf("a changed row: %v", err)
	}
	if err := s.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE archive_proof SET data = (SELECT data FROM archive_proof WHERE sum = ?) WHERE sum = ?`, two[:], one[:])
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(one); contracts.KindOf(err) != contracts.Internal {
		t.Errorf("another proof's bytes: %v", err)
	}
	if have, err := read(t, a, two); err != nil || string(have) != "two" {
		t.Errorf("the sound one: %q, %v", have, err)
	}
}

// Keys are rotated by sealing everything anew; then the old one is not needed any more.
func TestRewrappedProofsNeedTheNewKeyAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	before, now := store.NewKey(), store.NewKey()
	s, a := rig(t, path, before)
	small, empty, large := []byte("small"), []byte{}, bytes.Repeat([]byte("x"), 100_000)
	keepIn(t, s, a, small)
	keepIn(t, s, a, empty)
	keep(t, a, large)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, a = rig(t, path, before+"\n"+now)
	for _, sum := range walk(t, a) {
		if err := a.Rewrap(t.Context(), sum); err != nil {
			t.Error(err)
		}
	}
	if err := a.Rewrap(t.Context(), contracts.SumOf([]byte("unknown"))); contracts.KindOf(err) != contracts.NotFound {
		t.Errorf("of what is not there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, a = rig(t, path, now)
	for _, plain := range [][]byte{small, empty, large} {
		if have, err := read(t, a, contracts.SumOf(plain)); err != nil || !bytes.Equal(have, plain) {
			t.Errorf("%d bytes: %d came back, %v", len(plain), len(have), err)
		}
	}
}

func TestWalkPassesOverManyRows(t *testing.T) {
	s, a := rig(t, filepath.Join(t.TempDir(), "hub.db"), store.NewKey())
	want := 1200 // more than two pages
	var all []func(*store.Tx) error
	for i := range want {
		_, keep, err := a.Ready(t.Context(), []byte{byte(i), byte(i >> 8)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, keep)
	}
	if err := s.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
		for _, keep := range all {
			if err := keep(tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	seen := map[contracts.Sum]bool{}
	for _, sum := range walk(t, a) {
		seen[sum] = true
	}
	if len(seen) != want {
		t.Errorf("%d walked over, want %d", len(seen), want)
	}
	stop := errors.New("stop")
	if err := a.Walk(t.Context(), func(contracts.Sum) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a walk that is stopped: %v", err)
	}
}
