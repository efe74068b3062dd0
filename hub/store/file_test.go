package store_test

import (
	"bytes"
	"context"
	"database/sql"
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

func TestASecondOpenNamesTheHolder(t *testing.T) {
	cfg := config(t)
	open(t, cfg, store.Options{})
	_, err := store.Open(t.Context(), cfg, store.Options{Secret: secret(testKey)})
	if contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("is held by process %d on ", os.Getpid())) {
		t.Errorf("second open: %v", err)
	}
}

func TestAnotherProgramsFileIsRefused(t *testing.T) {
	cfg := config(t)
	if err := os.WriteFile(cfg.Path, []byte(strings.Repeat("this is no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), cfg, store.Options{Secret: secret(testKey)}); contracts.KindOf(err) != contracts.Internal || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a text file: %v", err)
	}
	cfg = config(t)
	db, err := sql.Open("sqlite", cfg.Path)
	if err == nil {
		_, err = db.Exec("CREATE TABLE theirs (id INTEGER)")
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), cfg, store.Options{Secret: secret(testKey)}); contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), "another program's database") {
		t.Errorf("another program's database: %v", err)
	}
}

func TestMigrationsGoForwardOnly(t *testing.T) {
	cfg := config(t)
	s := migrate(t, open(t, cfg, store.Options{}))
	if err := s.Write(t.Context(), store.Accept, note("kept")); err != nil {
		t.Fatal(err)
	}
	migrate(t, s) // again: nothing to do
	two := append(notes(), "ALTER TABLE note ADD COLUMN more TEXT; CREATE INDEX note_more ON note (more)")
	if err := s.Migrate(t.Context(), "note", append(two, "THIS IS NO SQL")); err == nil {
		t.Error("a broken step was taken")
	}
	if err := s.Write(t.Context(), store.Accept, func(tx *store.Tx) error { _, err := tx.Exec("SELECT more FROM note"); return err }); err == nil {
		t.Error("of a migration that failed a part stayed")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, cfg, store.Options{})
	if have := copies(t, cfg); len(have) != 0 {
		t.Errorf("copies before anything was migrated: %q", have)
	}
	if err := s.Migrate(t.Context(), "note", two); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context(), "other", notes()[:0]); err != nil {
		t.Fatal(err)
	}
	made := copies(t, cfg)
	if len(made) != 1 {
		t.Fatalf("copies %q, want one", made)
	}
	if err := s.Migrate(t.Context(), "note", notes()); contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), "written by a newer version") {
		t.Errorf("an older program: %v", err)
	}
	changed := []string{strings.Replace(notes()[0], "text TEXT", "text BLOB", 1), two[1]}
	if err := s.Migrate(t.Context(), "note", changed); contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), "step 1 differs") {
		t.Errorf("a changed step: %v", err)
	}
	if n := count(t, s); n != 1 {
		t.Errorf("%d rows after the migration, want 1", n)
	}

	old := config(t)
	b, err := os.ReadFile(made[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := count(t, migrate(t, open(t, old, store.Options{}))); n != 1 {
		t.Errorf("the copy holds %d rows, want 1", n)
	}
}

func copies(t testing.TB, cfg store.Config) []string {
	t.Helper()
	all, err := filepath.Glob(cfg.Path + ".before-*")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnOlderCopyStartsOnlyAsRecovered(t *testing.T) {
	cfg := config(t)
	cfg.Head = filepath.Join(t.TempDir(), "head.json")
	head := func(seq uint64) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			tx.Flush()
			return tx.SetHead(store.Head{Chain: "c", Seq: seq, Sum: contracts.Sum{byte(seq)}, At: time.Unix(int64(seq), 0)})
		}
	}
	write := func(s *store.Store, seq uint64) {
		t.Helper()
		if err := s.Write(t.Context(), store.Settle, head(seq)); err != nil {
			t.Fatal(err)
		}
	}
	closeIt := func(s *store.Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, cfg, store.Options{})
	write(s, 5)
	closeIt(s)
	if h, ok, err := s.HeadFile(); !ok || err != nil || h.Seq != 5 {
		t.Fatalf("head file: %+v, %v, %v", h, ok, err)
	}
	restore := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(cfg.Path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copied, err := os.ReadFile(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg, store.Options{})
	if h, ok := s.Head(); !ok || h.Seq != 5 || s.Recovered() {
		t.Errorf("after reopening: %+v, %v", h, ok)
	}
	write(s, 6)
	closeIt(s)

	restore(copied)
	_, err = store.Open(t.Context(), cfg, store.Options{Secret: secret(testKey)})
	if contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), "starts only with -recovered") {
		t.Fatalf("an older copy: %v", err)
	}
	s = open(t, cfg, store.Options{Recovered: true})
	if !s.Recovered() || s.Stats().Generation != 3 {
		t.Errorf("recovered %v, generation %d; want true and 3", s.Recovered(), s.Stats().Generation)
	}
	closeIt(s)
	s = open(t, cfg, store.Options{})
	if !s.Recovered() {
		t.Error("the mark of a restored copy is lost on the next start")
	}
	if err := s.EndRecovery(t.Context()); err != nil || s.Recovered() {
		t.Errorf("after the end of the recovery: %v, %v", s.Recovered(), err)
	}
	closeIt(s)
	s = open(t, cfg, store.Options{})
	if s.Recovered() {
		t.Error("the recovery did not end")
	}
	closeIt(s)

	if err := os.WriteFile(cfg.Head, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), cfg, store.Options{Secret: secret(testKey)}); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged head file: %v", err)
	}
}

func TestAReadHasItsTimeAndTheLogIsCapped(t *testing.T) {
	cfg := config(t)
	cfg.ReadTime = 500 * time.Millisecond
	cfg.MaxWAL = 2 * 2000 * 4096
	s := migrate(t, open(t, cfg, store.Options{}))
	begun, over := make(chan struct{}), make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		over <- s.Read(context.Background(), func(v *store.View) error {
			var n int
			if err := v.QueryRow("SELECT count(*) FROM note").Scan(&n); err != nil {
				return err
			}
			close(begun)
			<-ended // holds on to its state of the database, doing nothing
			return v.QueryRow("SELECT count(*) FROM note").Scan(&n)
		})
	}()
	<-begun
	blob := strings.Repeat("x", 1<<20)
	if err := s.Write(t.Context(), store.Accept, func(tx *store.Tx) error { // more than the bound in one commit
		for i := range 12 {
			if err := note(fmt.Sprint(i, blob))(tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), store.Accept, note("behind")); err != nil { // served once the log has been emptied
		t.Fatal(err)
	}
	close(ended)
	if err := <-over; contracts.KindOf(err) != contracts.Unavailable || !strings.Contains(err.Error(), "took longer than 500ms") {
		t.Errorf("the long read: %v", err)
	}
	if st := s.Stats(); st.Forced == 0 || st.WAL > cfg.MaxWAL {
		t.Errorf("the log has %d bytes and was emptied by force %d times", st.WAL, st.Forced)
	}
	if n := count(t, s); n != 13 { // the connection that was broken off is replaced
		t.Errorf("%d rows, want 13", n)
	}
	err := s.Read(t.Context(), func(v *store.View) error { // a single statement without end
		var n int
		return v.QueryRow("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r").Scan(&n)
	})
	if contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("a query without end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Read(ctx, func(v *store.View) error { cancel(); var n int; return v.QueryRow("SELECT 1").Scan(&n) })
	if contracts.KindOf(err) != contracts.Canceled {
		t.Errorf("given up: %v", err)
	}
	if err := s.Read(t.Context(), func(v *store.View) error { _, err := v.Query("DELETE FROM note"); return err }); err == nil {
		t.Error("a reader deleted")
	}
}

func TestLittleFreeDiskRefusesNewWorkAndLetsSettle(t *testing.T) {
	cfg := config(t)
	cfg.Reserve = 1 << 20
	var free atomic.Int64
	free.Store(1 << 30)
	s := migrate(t, open(t, cfg, store.Options{Free: func(string) (int64, error) { return free.Load(), nil }}))
	if !s.Stats().Reserve {
		t.Error("no reserve was laid down")
	}
	try := func(class store.Class) error {
		return s.Write(t.Context(), class, func(*store.Tx) error { return nil })
	}
	free.Store(1<<20 - 1)
	for _, class := range []store.Class{store.Accept, store.Start} {
		err := try(class)
		if contracts.KindOf(err) != contracts.Unavailable || !strings.Contains(err.Error(), "1048575 bytes of disk are free and 1.0 MiB are kept for settling") {
			t.Errorf("%s: %v", class, err)
		}
	}
	if err := try(store.Settle); err != nil {
		t.Errorf("settle: %v", err)
	}
	if st := s.Stats(); !st.Low || st.Refused != 2 {
		t.Errorf("stats %+v", st)
	}
	free.Store(1 << 30)
	if err := errors.Join(try(store.Accept), try(store.Start)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if s.Stats().Low {
		t.Error("still low")
	}
}

func TestAFullDatabaseIsUnavailableAndRecoversByItself(t *testing.T) {
	cfg := config(t)
	cfg.Reserve = 1 << 20
	s := migrate(t, open(t, cfg, store.Options{}))
	limit := func(pages int) {
		t.Helper()
		if err := s.Write(t.Context(), store.Settle, func(tx *store.Tx) error {
			var n int
			return tx.QueryRow(fmt.Sprintf("PRAGMA max_page_count = %d", pages)).Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(60)
	release := hold(t, s)
	var wg sync.WaitGroup
	big := strings.Repeat("x", 400_000)
	var failed, stored atomic.Int32
	for i := range 5 {
		wg.Go(func() {
			text := fmt.Sprint(i)
			if i == 2 {
				text += big
			}
			switch err := s.Write(context.Background(), store.Settle, note(text)); {
			case err == nil:
				stored.Add(1)
			case contracts.KindOf(err) == contracts.Unavailable && strings.Contains(err.Error(), "the disk is full"):
				failed.Add(1)
			default:
				t.Error(err)
			}
		})
		waiting(s, i+1)
	}
	release()
	wg.Wait()
	if failed.Load() != 1 || stored.Load() != 4 || count(t, s) != 4 {
		t.Errorf("%d failed, %d stored, %d rows; want 1, 4 and 4: the one that does not fit must not cost the others", failed.Load(), stored.Load(), count(t, s))
	}
	if s.Stats().Reserve {
		t.Error("the reserve was not given back")
	}
	limit(1 << 30)
	if err := s.Write(t.Context(), store.Accept, note("big"+big)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	integrity(t, cfg)
}

func integrity(t testing.TB, cfg store.Config) {
	t.Helper()
	s := open(t, cfg, store.Options{})
	var verdict string
	if err := s.Read(context.Background(), func(v *store.View) error { return v.QueryRow("PRAGMA integrity_check").Scan(&verdict) }); err != nil || verdict != "ok" {
		t.Errorf("integrity: %q, %v", verdict, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestABadConfigurationNamesEveryFault(t *testing.T) {
	err := store.Config{Key: "hunter2", Reserve: -1, Path: "x", Head: "x"}.Validate()
	for _, path := range []string{"key: ", "head: ", "max_queue: ", "max_group: ", "reserve: ", "max_wal: ", "readers: ", "read_time: "} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("no fault at %q in: %v", path, err)
		}
	}
	if bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
		t.Error("the fault shows the secret")
	}
	c := store.Default()
	c.Path, c.Key = "hub.db", "secret://file/store.key"
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if _, err := store.Open(t.Context(), store.Config{}, store.Options{}); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("open with nothing: %v", err)
	}
}

func TestTheReserveIsYieldedToOthersOnTheDiskOnce(t *testing.T) {
	cfg := config(t)
	cfg.Reserve = 1 << 20
	s := migrate(t, open(t, cfg, store.Options{}))
	if !s.Yield(t.Context()) || s.Stats().Reserve {
		t.Error("the reserve was not given back")
	}
	if _, err := os.Stat(cfg.Path + ".reserve"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its file is still there: %v", err)
	}
	if s.Yield(t.Context()) {
		t.Error("the reserve was given back twice")
	}
	if err := s.Write(t.Context(), store.Settle, note("x")); err != nil {
		t.Error(err)
	}
}
