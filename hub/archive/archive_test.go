package archive_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"raccordo/contracts"
	"raccordo/hub/archive"
	"raccordo/hub/store"
)

// keys gives a store to seal with; the archive uses nothing else of it.
func keys(t testing.TB) *store.Store {
	t.Helper()
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = filepath.Join(t.TempDir(), "hub.db"), "secret://env/KEY", 0
	s, err := store.Open(context.Background(), cfg, store.Options{Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(store.NewKey()), nil }})
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

func open(t testing.TB) (*archive.Archive, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	a, err := archive.Open(context.Background(), dir, keys(t))
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func keep(t testing.TB, a *archive.Archive, b []byte) contracts.Sum {
	t.Helper()
	sum, err := a.Keep(context.Background(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func read(t testing.TB, a *archive.Archive, sum contracts.Sum) ([]byte, error) {
	t.Helper()
	r, err := a.Open(sum)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// files lists every file of the archive.
func files(t testing.TB, dir string) (all []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsKeptIsGivenBackUnderItsDigest(t *testing.T) {
	a, dir := open(t)
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		plain := bytes.Repeat([]byte("canary7"), size/7+1)[:size]
		sum := keep(t, a, plain)
		if sum != contracts.SumOf(plain) || !a.Has(sum) {
			t.Errorf("%d bytes: address %s", size, sum)
		}
		if again := keep(t, a, plain); again != sum {
			t.Errorf("%d bytes, kept again: %s", size, again)
		}
		if have, err := read(t, a, sum); err != nil || !bytes.Equal(have, plain) {
			t.Errorf("%d bytes: %d came back, %v", size, len(have), err)
		}
	}
	all := files(t, dir)
	if len(all) != 6 {
		t.Errorf("%d files, want 6", len(all))
	}
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil || bytes.Contains(b, []byte("canary")) {
			t.Errorf("a file shows what it holds, or does not open: %v", err)
		}
	}
	var walked int
	if err := a.Walk(t.Context(), func(sum contracts.Sum) error {
		walked++
		return a.Rewrap(t.Context(), sum)
	}); err != nil || walked != 6 {
		t.Errorf("walked over %d, %v", walked, err)
	}
}

func TestAKeepThatFailsLeavesNothingBehind(t *testing.T) {
	a, dir := open(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	broken := contracts.Errorf(contracts.Unavailable, "the far side hung up")
	for _, c := range []struct {
		name  string
		ctx   context.Context
		r     io.Reader
		limit int64
		want  contracts.Kind
	}{
		{"too much at once", t.Context(), strings.NewReader("12345"), 4, contracts.Invalid},
		{"too much at last", t.Context(), io.LimitReader(endless{}, 1<<20), 1<<20 - 1, contracts.Invalid},
		{"without end", t.Context(), endless{}, 1 << 20, contracts.Invalid},
		{"the source breaks", t.Context(), io.MultiReader(io.LimitReader(endless{}, 100_000), iotest.ErrReader(broken)), 1 << 20, contracts.Unavailable},
		{"given up", gone, strings.NewReader("12345"), 5, contracts.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum, err := a.Keep(c.ctx, c.r, c.limit)
			if err == nil || contracts.KindOf(err) != c.want || !sum.IsZero() {
				t.Errorf("sum %s, error %v", sum, err)
			}
			if left := files(t, dir); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
	if _, err := a.Keep(t.Context(), strings.NewReader("12345"), 5); err != nil {
		t.Errorf("just as much as is allowed: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestErasedIsGone(t *testing.T) {
	a, dir := open(t)
	sum := keep(t, a, []byte("proof"))
	for range 2 {
		if err := a.Erase(context.Background(), sum); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Open(sum); contracts.KindOf(err) != contracts.NotFound || a.Has(sum) || len(files(t, dir)) != 0 {
		t.Errorf("after erasing: %v", err)
	}
}

func TestAChangedFileIsNoProof(t *testing.T) {
	s := keys(t)
	plain := bytes.Repeat([]byte("x"), 150_000) // three chunks
	frame := func(b []byte, n int) (from, to int) {
		from = 19 + 16
		for {
			to = from + 4 + int(b[from])<<24 + int(b[from+1])<<16 + int(b[from+2])<<8 + int(b[from+3])
			if n == 0 {
				return from, to
			}
			from, n = to, n-1
		}
	}
	for _, c := range []struct {
		name   string
		change func(b, other []byte) []byte
		want   string
	}{
		{"the mark", func(b, _ []byte) []byte { b[0]++; return b }, "it is no file of this archive"},
		{"the file id", func(b, _ []byte) []byte { b[20]++; return b }, "the value was changed, or belongs to another row"},
		{"a sealed byte", func(b, _ []byte) []byte { b[100_000]++; return b }, "the value was changed"},
		{"a length", func(b, _ []byte) []byte { b[35] = 0xff; return b }, "impossible length"},
		{"a length of nothing", func(b, _ []byte) []byte { copy(b[35:], make([]byte, 4)); return b }, "impossible length"},
		{"cut within a chunk", func(b, _ []byte) []byte { return b[:len(b)-1] }, "it is cut short"},
		{"cut within a length", func(b, _ []byte) []byte { from, _ := frame(b, 2); return b[:from+2] }, "it is cut short"},
		{"the last chunk dropped", func(b, _ []byte) []byte { from, _ := frame(b, 2); return b[:from] }, "its bytes have another digest"},
		{"chunks swapped", func(b, _ []byte) []byte {
			from, to := frame(b, 0)
			_, end := frame(b, 1)
			return bytes.Join([][]byte{b[:from], b[to:end], b[from:to], b[end:]}, nil)
		}, "the value was changed"},
		{"another proof's file", func(_, other []byte) []byte { return other }, "its bytes have another digest"},
		{"empty", func(_, _ []byte) []byte { return nil }, "it is no file of this archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "archive")
			a, err := archive.Open(context.Background(), dir, s)
			if err != nil {
				t.Fatal(err)
			}
			other := keep(t, a, []byte("another"))
			otherBytes, err := os.ReadFile(files(t, dir)[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Erase(context.Background(), other); err != nil {
				t.Fatal(err)
			}
			sum := keep(t, a, plain)
			path := files(t, dir)[0]
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, c.change(b, otherBytes), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := read(t, a, sum); err == nil || contracts.KindOf(err) != contracts.Internal || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestOpeningClearsWhatACrashLeft(t *testing.T) {
	a, dir := open(t)
	sum := keep(t, a, []byte("proof"))
	if err := os.WriteFile(filepath.Join(dir, "tmp", "keep-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Open(context.Background(), dir, keys(t)); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 1 || !strings.HasSuffix(left[0], sum.String()) {
		t.Errorf("files %q, want the proof alone", left)
	}
}

func TestManyKeepAndEraseAtOnce(t *testing.T) {
	a, dir := open(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 8 {
				sum := keep(t, a, bytes.Repeat([]byte{byte(j)}, 1000)) // eight proofs, by all
				if i%4 == 0 {
					if err := a.Erase(context.Background(), sum); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := len(files(t, dir)); n > 8 {
		t.Errorf("%d files, want eight at most", n)
	}
}

func TestKeepingMuchTakesLittleMemory(t *testing.T) {
	a, _ := open(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const size = 64 << 20
	sum, err := a.Keep(t.Context(), io.LimitReader(endless{}, size), size)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 32<<20 {
		t.Errorf("memory grew by %d MiB for a file of 64 MiB", grown>>20)
	}
	r, err := a.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != size {
		t.Errorf("%d bytes came back, %v", n, err)
	}
}

func FuzzOpen(f *testing.F) {
	s := keys(f)
	dir := filepath.Join(f.TempDir(), "archive")
	a, err := archive.Open(context.Background(), dir, s)
	if err != nil {
		f.Fatal(err)
	}
	sum := keep(f, a, []byte("proof"))
	path := files(f, dir)[0]
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte("raccordo archive 1\n0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if have, err := read(t, a, sum); err == nil && string(have) != "proof" {
			t.Errorf("%q passed for the proof", have)
		}
	})
}
