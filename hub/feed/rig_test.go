package feed_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/hub/archive"
	"raccordo/hub/feed"
	"raccordo/hub/store"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "12"); err != nil { // a default: the command line comes later
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var morning = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// A clock whose timers may be late.
type clock struct {
	*contracttest.Clock
	late atomic.Int64 // by so many nanoseconds
}

func (c *clock) Now() time.Time { return c.Clock.Now().Add(time.Duration(c.late.Load())) }

// A folder knows some tickets and notes what it folds into a table, so that a rolled back fold is gone.
type folder struct {
	owners map[string]string
	fail   func(e contracts.Event) error
}

func (f *folder) Fold(tx *store.Tx, instance string, e contracts.Event) (string, error) {
	if f.fail != nil {
		if err := f.fail(e); err != nil {
			return "", err
		}
	}
	owner := f.owners[e.Ref]
	if owner == "" {
		return "", nil
	}
	_, err := tx.Exec(`INSERT INTO folded (line) VALUES (?)`, instance+" "+e.ID+" "+string(e.Data))
	return owner, err
}

type ledger struct {
	mu      sync.Mutex
	entries []contracts.Entry
}

func (l *ledger) Append(tx *store.Tx, e contracts.Entry) (contracts.Entry, error) {
	tx.After(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.entries = append(l.entries, e)
	})
	return e, nil
}

type rig struct {
	testing.TB
	path   string
	clock  *clock
	store  *store.Store
	proofs *archive.Archive
	folder *folder
	ledger *ledger
	cfg    feed.Config
	feed   *feed.Feed
	commit func(n uint64)

	recovered bool // the store is started as a restored copy
}

const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func open(t testing.TB) *rig {
	r := &rig{
		TB: t, path: filepath.Join(t.TempDir(), "hub.db"), clock: &clock{Clock: contracttest.NewClock(morning)}, ledger: &ledger{}, cfg: feed.Default(),
		folder: &folder{owners: map[string]string{"t1": "core", "t2": "other"}},
	}
	r.open()
	return r
}

func (r *rig) open() {
	r.Helper()
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = r.path, "secret://env/KEY", 0
	var err error
	r.store, err = store.Open(context.Background(), cfg, store.Options{
		Clock:     r.clock,
		Recovered: r.recovered,
		Secret:    func(context.Context, contracts.Secret) ([]byte, error) { return []byte(testKey), nil },
		BeforeCommit: func(n uint64) {
			if r.commit != nil {
				r.commit(n)
			}
		},
	})
	if err != nil {
		r.Fatal(err)
	}
	s := r.store
	r.Cleanup(func() { _ = s.Close() })
	if err := r.store.Migrate(context.Background(), "test", []string{`CREATE TABLE folded (line TEXT)`}); err != nil {
		r.Fatal(err)
	}
	if r.proofs, err = archive.Open(context.Background(), filepath.Join(filepath.Dir(r.path), "proofs"), r.store); err != nil {
		r.Fatal(err)
	}
	opt := feed.Options{Clock: r.clock, Archive: r.proofs}
	if r.feed, err = feed.Open(context.Background(), r.store, r.folder, r.ledger, r.cfg, opt); err != nil {
		r.Fatal(err)
	}
}

// reopen closes the store and opens all of it again.
func (r *rig) reopen() {
	r.Helper()
	if err := r.store.Close(); err != nil {
		r.Fatal(err)
	}
	r.open()
}

// copied is a rig, to be opened, on a copy of the database's files as they are now: what a process that dies now leaves.
func (r *rig) copied() *rig {
	there := &rig{TB: r.TB, path: filepath.Join(r.TempDir(), "hub.db"), clock: r.clock, ledger: &ledger{}, cfg: r.cfg, folder: r.folder}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(r.path + suffix)
		if err != nil && !os.IsNotExist(err) {
			r.Error(err)
		}
		if err := os.WriteFile(there.path+suffix, b, 0o600); err != nil {
			r.Error(err)
		}
	}
	return there
}

func (r *rig) folded() (all []string) {
	r.Helper()
	err := r.store.Read(context.Background(), func(v *store.View) error {
		rows, err := v.Query(`SELECT line FROM folded ORDER BY rowid`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			all = append(all, line)
		}
		return rows.Err()
	})
	if err != nil {
		r.Fatal(err)
	}
	return all
}

// A feeder gives the next batch at each call, and notes the cursors it was given.
type feeder struct {
	mu      sync.Mutex
	batches [][]contracts.Event
	errs    []error
	froms   []string
	calls   int
}

func (f *feeder) Feed(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.froms = append(f.froms, string(from))
	n := f.calls
	f.calls++
	if n < len(f.errs) && f.errs[n] != nil {
		return nil, nil, f.errs[n]
	}
	if n < len(f.batches) {
		return f.batches[n], contracts.Cursor(fmt.Sprint("after ", n)), nil
	}
	return nil, from, nil
}
func (f *feeder) Every() time.Duration { return time.Minute }

func (f *feeder) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func event(id, ref, data string) contracts.Event {
	return contracts.Event{ID: id, Kind: "receipt", Ref: ref, At: morning, Data: []byte(data), Proof: []contracts.Sum{contracts.SumOf([]byte(id))}, Owner: "forged", Seq: 99, Source: "forged"}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: have %v, want %v", what, got, want)
	}
}

func lines(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: have %q, want %q", what, got, want)
	}
}

func (r *rig) pull(f contracts.Feeder) int {
	r.Helper()
	n, err := r.feed.Pull(context.Background(), "pec", f)
	if err != nil {
		r.Fatal(err)
	}
	return n
}

func ids(events []contracts.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.ID)
	}
	return all
}

func (r *rig) after(reader string, seq uint64) []contracts.Event {
	r.Helper()
	events, err := r.feed.After(context.Background(), reader, seq, 0)
	if err != nil {
		r.Fatal(err)
	}
	return events
}
