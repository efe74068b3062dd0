package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// filled is a store of a few megabytes, so that a copy of it takes many steps.
func filled(t testing.TB, cfg store.Config, rows int) *store.Store {
	t.Helper()
	s := open(t, cfg, store.Options{})
	if err := s.Migrate(t.Context(), "note", append(notes(), "CREATE TABLE twin (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT")); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
		for i := range rows {
			if err := both(tx, fmt.Sprintf("old %d %s", i, strings.Repeat("x", 2000))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// both writes the same text into two tables: a copy that holds one of them only is of no single instant.
func both(tx *store.Tx, text string) error {
	if _, err := tx.Exec("INSERT INTO note (text) VALUES (?)", text); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO twin (text) VALUES (?)", text)
	return err
}

// copied gives the texts of a copy that is sound and of one instant.
func copied(t testing.TB, path string) map[string]bool {
	t.Helper()
	c, err := store.OpenCopy(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	if err := c.Read(t.Context(), func(v *store.View) error {
		var apart int
		if err := v.QueryRow("SELECT count(*) FROM note FULL JOIN twin USING (text) WHERE note.text IS NULL OR twin.text IS NULL").Scan(&apart); err != nil {
			return err
		}
		if apart != 0 {
			t.Errorf("%d rows stand in one table only", apart)
		}
		rows, err := v.Query("SELECT text FROM note")
		if err != nil {
			return err
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			have[text] = true
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	return have
}

func TestACopyMadeWhileEightWriteIsOfOneInstantAndHoldsWhatWasAcknowledged(t *testing.T) {
	s := filled(t, config(t), 3000)
	path := filepath.Join(t.TempDir(), "copy.db")
	var (
		acked sync.Map
		stop  atomic.Bool
		begun sync.WaitGroup
		all   sync.WaitGroup
	)
	begun.Add(8)
	for w := range 8 {
		all.Go(func() {
			for i := 0; !stop.Load(); i++ {
				text := fmt.Sprintf("new %d %d", w, i)
				err := s.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
					if err := both(tx, text); err != nil {
						return err
					}
					if _, err := tx.Exec("DELETE FROM note WHERE id = ?", 1+i%3000); err != nil { // old pages change too, copied or not
						return err
					}
					if _, err := tx.Exec("DELETE FROM twin WHERE id = ?", 1+i%3000); err != nil {
						return err
					}
					if i%5 == 4 {
						return errors.New("rolled back")
					}
					return nil
				})
				if i%5 == 4 {
					continue
				}
				if err != nil {
					t.Error(err)
					break
				}
				acked.Store(text, true)
				if i == 0 {
					begun.Done()
				}
			}
		})
	}
	begun.Wait()
	before := map[string]bool{}
	acked.Range(func(text, _ any) bool { before[text.(string)] = true; return true })
	steps, last := 0, int64(0)
	err := s.Copy(t.Context(), path, func(done, size int64) {
		steps++
		if done > size || size == 0 {
			t.Errorf("%d bytes of %d are copied", done, size)
		}
		last = size - done
	})
	during := 0
	acked.Range(func(any, any) bool { during++; return true })
	stop.Store(true)
	all.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if steps < 10 || steps > 2000 || last != 0 { // more: it began anew again and again
		t.Errorf("%d steps, and %d bytes left at the end", steps, last)
	}
	if during <= len(before) {
		t.Errorf("nothing was written while the copy was made")
	}
	have := copied(t, path)
	for text := range before {
		if !have[text] {
			t.Fatalf("%q was acknowledged before the copy began and is not in it", text)
		}
	}
	for text := range have {
		if strings.HasPrefix(text, "new") && strings.HasSuffix(text, "4") {
			var w, i int
			if _, err := fmt.Sscanf(text, "new %d %d", &w, &i); err == nil && i%5 == 4 {
				t.Fatalf("%q was rolled back and is in the copy", text)
			}
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy's mode: %v, %v", info.Mode(), err)
	}
	t.Logf("%d steps; %d writes before it began, %d when it ended", steps, len(before), during)
}

func TestACopyThatIsGivenUpLeavesTheStoreAtWork(t *testing.T) {
	cfg := config(t)
	s := filled(t, cfg, 2000)
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "copy.db")
	err := s.Copy(ctx, path, func(int64, int64) { cancel() })
	if contracts.KindOf(err) != contracts.Canceled {
		t.Errorf("given up: %v", err)
	}
	if err := s.Copy(t.Context(), path, nil); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("over a file that is there: %v", err)
	}
	if err := s.Copy(t.Context(), path+".2", nil); err != nil {
		t.Fatal(err)
	}
	if n := len(copied(t, path+".2")); n != 2000 {
		t.Errorf("the copy holds %d rows, want 2000", n)
	}

	// A store that is closed meanwhile closes, and the copy fails.
	var closed error
	var once sync.Once
	closing := make(chan struct{})
	err = s.Copy(t.Context(), path+".3", func(int64, int64) {
		once.Do(func() {
			go func() { defer close(closing); closed = s.Close() }()
			<-closing
		})
	})
	if closed != nil || contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("closed with %v, copied with %v", closed, err)
	}
	if n := count(t, open(t, cfg, store.Options{})); n != 2000 {
		t.Errorf("%d rows after reopening, want 2000", n)
	}
}

func TestACopyKnowsItsHeadAndKeys(t *testing.T) {
	cfg := config(t)
	s := filled(t, cfg, 10)
	head := store.Head{Chain: "c", Seq: 7, Sum: contracts.Sum{7}, At: time.Unix(7, 0).UTC()}
	if err := s.Write(t.Context(), store.Settle, func(tx *store.Tx) error { return tx.SetHead(head) }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Copy(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	c, err := store.OpenCopy(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if h, ok, err := c.Head(t.Context()); err != nil || !ok || h.Chain != "c" || h.Seq != 7 || h.Sum != head.Sum {
		t.Errorf("head %+v, %v, %v", h, ok, err)
	}
	if n, err := c.Generation(t.Context()); err != nil || n != 1 {
		t.Errorf("generation %d, %v", n, err)
	}
	keys, err := c.Keys(t.Context())
	if err != nil || len(keys) != 1 || keys[0] != s.KeyID() {
		t.Errorf("keys %q, %v, want %s", keys, err, s.KeyID())
	}
	if missing, err := store.MissingKeys([]byte(testKey), keys); err != nil || len(missing) != 0 {
		t.Errorf("missing %q, %v", missing, err)
	}
	if missing, err := store.MissingKeys([]byte(store.NewKey()), keys); err != nil || len(missing) != 1 {
		t.Errorf("with another key, missing %q, %v", missing, err)
	}
	left, err := filepath.Glob(path + "?*")
	if err != nil || len(left) != 0 {
		t.Errorf("beside the copy lie %q, %v", left, err)
	}
}

func TestADatabaseMarkedAsRecoveredStartsAsRecovered(t *testing.T) {
	cfg := config(t)
	if err := open(t, cfg, store.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.MarkRecovered(t.Context(), cfg.Path); err != nil {
		t.Fatal(err)
	}
	s := open(t, cfg, store.Options{})
	if !s.Recovered() {
		t.Error("started as if nothing had been")
	}
	if _, err := store.Hold(cfg.Path, time.Now()); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("held while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	release, err := store.Hold(cfg.Path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), cfg, store.Options{Secret: secret(testKey)}); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("opened while it is held: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedCopyIsNoticed(t *testing.T) {
	s := filled(t, config(t), 500)
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Copy(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(make([]byte, 4096), 100*4096)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := store.OpenCopy(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Check(t.Context()); contracts.KindOf(err) != contracts.Internal {
		t.Errorf("a page of zeros: %v", err)
	}
}

// The same writes from eight callers, with nothing beside them and while copies are made one after another: the metrics
// are rows a second and the longest wait.
func BenchmarkWriteBesideCopy(b *testing.B) {
	for _, busy := range []bool{false, true} {
		b.Run(fmt.Sprintf("copying=%v", busy), func(b *testing.B) {
			s := filled(b, config(b), 20_000)
			dir := b.TempDir()
			ctx, cancel := context.WithCancel(b.Context())
			var copying sync.WaitGroup
			copies := 0
			if busy {
				copying.Go(func() {
					for ; ctx.Err() == nil; copies++ {
						path := filepath.Join(dir, fmt.Sprint(copies))
						_ = s.Copy(ctx, path, nil)
						_ = os.Remove(path)
					}
				})
			}
			var n, longest atomic.Int64
			b.SetParallelism(4) // times two processors
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					begun := time.Now()
					if err := s.Write(b.Context(), store.Accept, func(tx *store.Tx) error {
						tx.Flush()
						return both(tx, fmt.Sprint("row ", n.Add(1)))
					}); err != nil {
						b.Error(err)
					}
					took := time.Since(begun).Nanoseconds()
					for was := longest.Load(); took > was && !longest.CompareAndSwap(was, took); was = longest.Load() {
					}
				}
			})
			b.StopTimer()
			cancel()
			copying.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(longest.Load())/1e6, "ms-longest")
			b.ReportMetric(float64(copies), "copies")
		})
	}
}
