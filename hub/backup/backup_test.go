package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/hub/archive"
	"raccordo/hub/backup"
	"raccordo/hub/store"
)

// dieVar names the step at which a child kills itself: the binary is then no test, but a hub that is backed up.
const dieVar = "RACCORDO_TEST_DIE_AT_STEP"

func TestMain(m *testing.M) {
	if at := os.Getenv(dieVar); at != "" {
		os.Exit(child(at, os.Args[1], os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

const storeKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// A bench is a store and an archive in a folder, and a folder of backups.
type bench struct {
	t       testing.TB
	dir     string
	backups string
	keys    string
	now     time.Time

	cfg   store.Config
	st    *store.Store
	files *archive.Archive
	marks *backup.Marks
}

func newBench(t testing.TB) *bench {
	dir := t.TempDir()
	b := &bench{t: t, dir: dir, backups: filepath.Join(dir, "backups"), keys: storeKey, now: time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)}
	b.open("hub")
	return b
}

func (b *bench) open(name string) {
	b.t.Helper()
	var err error
	b.cfg = store.Default()
	b.cfg.Path, b.cfg.Key, b.cfg.Reserve = filepath.Join(b.dir, name, "hub.db"), "secret://env/KEY", 0
	b.st, err = store.Open(context.Background(), b.cfg, store.Options{
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(b.keys), nil },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	st := b.st
	b.t.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.t.Error(err)
		}
	})
	if b.files, err = archive.Open(context.Background(), b.archive(), st); err != nil {
		b.t.Fatal(err)
	}
	if b.marks, err = backup.OpenMarks(context.Background(), st); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) archive() string { return b.cfg.Path + ".proofs" }

// file keeps a proof as a file, row as a row.
func (b *bench) file(text string) contracts.Sum {
	b.t.Helper()
	sum, err := b.files.Keep(b.t.Context(), strings.NewReader(text), 1<<20)
	if err != nil {
		b.t.Fatal(err)
	}
	return sum
}

func (b *bench) row(text string) contracts.Sum {
	b.t.Helper()
	sum, keep, err := b.files.Ready(b.t.Context(), []byte(text))
	if err == nil {
		err = b.st.Write(b.t.Context(), store.Settle, keep)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return sum
}

func (b *bench) make(step func(string) error) (backup.Backup, error) {
	b.now = b.now.Add(time.Hour)
	return backup.Make(b.t.Context(), b.backups, backup.Source{Store: b.st, Archive: b.archive(), Chain: "c1", Now: b.now, Step: step}, nil)
}

func (b *bench) made() backup.Backup {
	b.t.Helper()
	made, err := b.make(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return made
}

func (b *bench) good(dir string) backup.Report {
	b.t.Helper()
	r, err := backup.Verify(b.t.Context(), dir, nil, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// holds fails unless the bench's archive gives each text under its digest.
func (b *bench) holds(texts map[contracts.Sum]string) {
	b.t.Helper()
	for sum, want := range texts {
		r, err := b.files.Open(sum)
		if err != nil {
			b.t.Error(err)
			continue
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || string(got) != want {
			b.t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func (b *bench) target(name string) backup.Target {
	path := filepath.Join(b.dir, name, "hub.db")
	return backup.Target{Store: path, Archive: path + ".proofs", Now: b.now}
}

func TestWhatWasBackedUpIsThereAgainAfterARestore(t *testing.T) {
	b := newBench(t)
	texts := map[contracts.Sum]string{}
	for i := range 5 {
		texts[b.file(fmt.Sprint("file ", i))] = fmt.Sprint("file ", i)
		texts[b.row(fmt.Sprint("row ", i))] = fmt.Sprint("row ", i)
	}
	made := b.made()
	late := b.file("after the backup")
	if err := b.marks.Note(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	for sum := range texts {
		if ok, err := b.marks.Backed(t.Context(), sum); !ok || err != nil {
			t.Errorf("a proof in the backup counts as backed up: %v, %v", ok, err)
		}
	}
	if ok, err := b.marks.Backed(t.Context(), late); ok || err != nil {
		t.Errorf("a proof kept later counts as backed up: %v, %v", ok, err)
	}
	if at, err := b.marks.Latest(t.Context()); err != nil || !at.Equal(made.Manifest.At) {
		t.Errorf("latest %s, %v", at, err)
	}
	m := made.Manifest
	if m.Files != 5 || m.Rows != 5 || m.Chain != "c1" || len(m.Keys) != 1 || m.Keys[0] != b.st.KeyID() || m.Generation != 1 {
		t.Errorf("manifest %+v", m)
	}
	r := b.good(b.backups)
	if r.Backup.Path != made.Path || r.Bytes != m.Database.Size+m.FileBytes {
		t.Errorf("verified %s, %d bytes", r.Backup.Path, r.Bytes)
	}
	out, err := backup.Restore(t.Context(), made, b.target("other"), nil)
	if err != nil || out.Files != 5 || len(out.Aside) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	b.open("other")
	b.holds(texts)
	if b.files.Has(late) {
		t.Error("what came after the backup was restored")
	}
	if !b.st.Recovered() {
		t.Error("the restored store starts as if nothing had been")
	}
}

// The list is one that a person can check with what every machine has.
func TestTheListIsReadBySha256sum(t *testing.T) {
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("sha256sum is not installed")
	}
	b := newBench(t)
	b.file("one")
	made := b.made()
	check := exec.CommandContext(t.Context(), tool, "-c", "--strict", "files.sha256")
	check.Dir = made.Path
	if out, err := check.CombinedOutput(); err != nil || strings.Count(string(out), ": OK\n") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestALaterBackupCopiesOnlyWhatIsNewAndOlderOnesStayWhole(t *testing.T) {
	b := newBench(t)
	first, erased := b.file("first"), b.file("erased by law")
	one := b.made()
	b.keys += "\n" + store.NewKey()
	if err := b.st.Close(); err != nil {
		t.Fatal(err)
	}
	b.open("hub")
	if err := b.files.Rewrap(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := b.files.Erase(t.Context(), erased); err != nil {
		t.Fatal(err)
	}
	b.file("second")
	copied := 0
	count := func(step string) error {
		if step == "proof" {
			copied++
		}
		return nil
	}
	two, err := b.make(count)
	if err != nil || copied != 2 {
		t.Fatalf("%d files copied, %v; want the one sealed anew and the new one", copied, err)
	}
	if len(two.Manifest.Keys) != 2 || two.Manifest.Files != 2 {
		t.Errorf("manifest %+v", two.Manifest)
	}
	copied = 0
	three, err := b.make(count)
	if err != nil || copied != 0 {
		t.Errorf("%d files copied, %v; want none", copied, err)
	}
	for _, x := range []backup.Backup{one, two, three} {
		b.good(x.Path)
	}
	removed, err := backup.Prune(t.Context(), b.backups, 2)
	if err != nil || len(removed) != 1 || removed[0] != filepath.Base(one.Path) {
		t.Errorf("removed %q, %v", removed, err)
	}
	b.good(two.Path)
	b.good(three.Path)
	if n := len(proofs(t, b.backups)); n != 2 {
		t.Errorf("%d files of proofs are left, want 2: what was erased leaves the backups too", n)
	}
	if _, err := backup.Prune(t.Context(), b.backups, 0); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("keeping none: %v", err)
	}
}

func proofs(t testing.TB, dir string) (files []string) {
	t.Helper()
	if err := filepath.WalkDir(filepath.Join(dir, "proofs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestDamageToEachFileOfABackupIsNoticed(t *testing.T) {
	b := newBench(t)
	b.file("one")
	b.row("two")
	made := b.made()
	files := append(proofs(t, b.backups), filepath.Join(made.Path, "hub.db"), filepath.Join(made.Path, "files.sha256"), filepath.Join(made.Path, "manifest.json"))
	if len(files) != 4 {
		t.Fatalf("files %q", files)
	}
	for _, file := range files {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for how, damage := range map[string]func() error{
			"a bit flipped": func() error {
				bad := bytes.Clone(whole)
				bad[len(bad)/2] ^= 1
				return os.WriteFile(file, bad, 0o600)
			},
			"cut short": func() error { return os.WriteFile(file, whole[:len(whole)-1], 0o600) },
			"emptied":   func() error { return os.WriteFile(file, nil, 0o600) },
			"missing":   func() error { return os.Remove(file) },
		} {
			if filepath.Base(file) == "manifest.json" && how == "cut short" {
				continue // of its last line's end
			}
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			r, err := backup.Verify(t.Context(), made.Path, nil, nil)
			if err == nil {
				t.Errorf("%s, %s: verifies", filepath.Base(file), how)
			}
			if name := filepath.Base(file); name != "manifest.json" && (len(r.Problems) == 0 || !strings.Contains(r.Problems[0], name)) {
				t.Errorf("%s, %s: problems %q", name, how, r.Problems)
			}
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.good(made.Path)
	// A restore compares once more: what was good when it was verified may not be any more.
	proof := proofs(t, b.backups)[0]
	if err := os.WriteFile(proof, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := b.target("other")
	if _, err := backup.Restore(t.Context(), made, to, nil); contracts.KindOf(err) != contracts.Internal {
		t.Errorf("restored with %v", err)
	}
	if _, err := os.Stat(to.Store); !errors.Is(err, os.ErrNotExist) {
		t.Error("a damaged backup was put in place")
	}
}

func TestAVerificationIsGivenUpWithItsContext(t *testing.T) {
	b := newBench(t)
	b.file("one")
	made := b.made()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := backup.Verify(ctx, made.Path, nil, func(backup.Progress) { cancel() })
	if contracts.KindOf(err) != contracts.Canceled || len(r.Problems) != 0 {
		t.Errorf("%v, problems %q", err, r.Problems)
	}
}

func TestAListLeadsNowhereElse(t *testing.T) {
	b := newBench(t)
	b.file("one")
	made := b.made()
	list := filepath.Join(made.Path, "files.sha256")
	for _, name := range []string{"../../../etc/passwd", "/etc/passwd", "../proofs/aa/../../../x", "../proofs/zz/" + strings.Repeat("a", 64) + ".00000000"} {
		if err := os.WriteFile(list, []byte(strings.Repeat("a", 64)+"  "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Restore(t.Context(), made, b.target("other"), nil); contracts.KindOf(err) != contracts.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var steps = []string{"folder", "database", "digest", "examine", "proofs", "proof", "list", "manifest"}

func TestABackupThatIsBrokenOffAtAnyStepIsNoneAndIsClearedAway(t *testing.T) {
	b := newBench(t)
	b.file("one")
	for _, at := range steps {
		if at == "proof" {
			b.file("another") // so that there is one to copy
		}
		broken := errors.New("the power fails")
		if _, err := b.make(func(step string) error {
			if step == at {
				return broken
			}
			return nil
		}); !errors.Is(err, broken) {
			t.Fatalf("at %s: %v", at, err)
		}
		if all, err := backup.List(b.backups); err == nil && len(all) != 0 {
			t.Errorf("broken off at %s, it counts as completed", at)
		}
		if _, err := backup.Find(b.backups); err == nil {
			t.Errorf("broken off at %s, it is found", at)
		}
	}
	made := b.made()
	if made.Manifest.Files != 2 {
		t.Errorf("manifest %+v", made.Manifest)
	}
	b.good(b.backups)
	entries, err := os.ReadDir(b.backups)
	if err != nil || len(entries) != 3 { // the marker, the proofs and the backup
		t.Errorf("%v, %v: what was broken off is still there", entries, err)
	}
}

func TestABackupThatFailsTakesNoDisk(t *testing.T) {
	b := newBench(t)
	b.file("one")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := backup.Make(ctx, b.backups, backup.Source{Store: b.st, Archive: b.archive(), Chain: "c1", Now: b.now, Step: func(step string) error {
		if step == "proof" {
			cancel()
		}
		return nil
	}}, nil)
	if contracts.KindOf(err) != contracts.Canceled {
		t.Errorf("given up: %v", err)
	}
	entries, err := os.ReadDir(b.backups)
	if err != nil || len(entries) != 2 { // the marker and the folder of proofs
		t.Errorf("%v, %v", entries, err)
	}
	b.made()
}

// child backs up until it kills itself.
func child(at, dir, now string) int {
	b := &bench{dir: dir, backups: filepath.Join(dir, "backups"), keys: storeKey}
	b.cfg = store.Default()
	b.cfg.Path, b.cfg.Key, b.cfg.Reserve = filepath.Join(dir, "hub", "hub.db"), "secret://env/KEY", 0
	st, err := store.Open(context.Background(), b.cfg, store.Options{
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(storeKey), nil },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	unix, err := strconv.ParseInt(now, 10, 64)
	if err != nil {
		return 2
	}
	_, err = backup.Make(context.Background(), b.backups, backup.Source{
		Store: st, Archive: b.archive(), Chain: "c1", Now: time.Unix(unix, 0),
		Step: func(step string) error {
			if step == at {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // the signal comes
			}
			return nil
		},
	}, nil)
	fmt.Fprintln(os.Stderr, "still alive:", err)
	return 1
}

func TestAHubKilledAtAnyStepLeavesNoBackupThatLooksComplete(t *testing.T) {
	b := newBench(t)
	for i := range 3 {
		b.file(fmt.Sprint("file ", i))
	}
	if err := b.st.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	complete := 0
	for i, at := range append(slices.Clone(steps), "done") {
		if at == "proof" { // those that were copied before the kills are here, but in no list: they are copied again
			t.Log("files of proofs before: ", len(proofs(t, b.backups)))
		}
		cmd := exec.CommandContext(t.Context(), self, b.dir, strconv.FormatInt(b.now.Unix()+int64(i), 10))
		cmd.Env = append(os.Environ(), dieVar+"="+at)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("at %s the child was not killed: %v\n%s", at, err, out)
		}
		if at == "done" {
			complete = 1
		}
		all, err := backup.List(b.backups)
		if at == "folder" { // before anything was made
			continue
		}
		if err != nil || len(all) != complete {
			t.Errorf("killed at %s: %d backups look complete, %v; want %d", at, len(all), err, complete)
		}
	}
	b.good(b.backups)
}

func TestAFolderThatHoldsOtherThingsIsRefused(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(b.backups, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.backups, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.make(nil); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("a folder with other things: %v", err)
	}
	if err := os.Remove(filepath.Join(b.backups, "thesis.txt")); err != nil {
		t.Fatal(err)
	}
	b.made()
	_, err := backup.Make(t.Context(), b.backups, backup.Source{Store: b.st, Archive: b.archive(), Chain: "c2", Now: b.now}, nil)
	if contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("another chain's folder: %v", err)
	}
	again, err := backup.Make(t.Context(), b.backups, backup.Source{Store: b.st, Archive: b.archive(), Chain: "c1", Now: b.now}, nil)
	if err != nil || !strings.HasSuffix(again.Path, "-2") {
		t.Errorf("a second one at the same instant: %s, %v", again.Path, err)
	}
	if found, err := backup.Find(b.backups); err != nil || found.Path != again.Path {
		t.Errorf("the latest is %s, %v, want %s", found.Path, err, again.Path)
	}
}

func TestARestoreTouchesNothingThatIsThereUnlessTold(t *testing.T) {
	b := newBench(t)
	texts := map[contracts.Sum]string{b.file("kept"): "kept"}
	made := b.made()
	later := b.file("later")
	to := b.target("hub")
	if _, err := backup.Restore(t.Context(), made, to, nil); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("under a hub that has the store: %v", err)
	}
	if err := b.st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), made, to, nil); contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), "-aside") {
		t.Errorf("over a store: %v", err)
	}
	// A log of the old database left beside the new one would be taken for its own.
	if err := os.WriteFile(to.Store+"-wal", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	to.Aside = true
	for i, at := range []string{"proofs", "database", "aside"} {
		broken := errors.New("the power fails")
		to.Step = func(step string) error {
			if step == at {
				return broken
			}
			return nil
		}
		if _, err := backup.Restore(t.Context(), made, to, nil); !errors.Is(err, broken) {
			t.Fatalf("%d: %v", i, err)
		}
		if _, err := os.Stat(to.Store); err != nil {
			t.Fatalf("broken off at %s, the old store is gone: %v", at, err)
		}
	}
	for _, at := range []string{"place proofs", "place database"} {
		broken := errors.New("the power fails")
		to.Step = func(step string) error {
			if step == at {
				return broken
			}
			return nil
		}
		to.Now = to.Now.Add(time.Second)
		if _, err := backup.Restore(t.Context(), made, to, nil); !errors.Is(err, broken) {
			t.Fatalf("at %s: %v", at, err)
		}
		if _, err := os.Stat(to.Store); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("broken off at %s, a store is there that is not whole: %v", at, err)
		}
	}
	if logs, err := filepath.Glob(to.Store + ".aside-*-wal"); err != nil || len(logs) != 1 {
		t.Errorf("the old database's log is not with it: %q, %v", logs, err)
	}
	to.Step, to.Now = nil, to.Now.Add(time.Second)
	out, err := backup.Restore(t.Context(), made, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.open("hub")
	b.holds(texts)
	if b.files.Has(later) {
		t.Error("the old archive is still in place")
	}
	aside, err := filepath.Glob(to.Store + ".aside-*")
	if err != nil || len(aside) == 0 {
		t.Errorf("the old store is nowhere: %q, %v, %v", aside, err, out.Aside)
	}
}
