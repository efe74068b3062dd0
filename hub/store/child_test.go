package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/store"
)

const roleVar, pathVar = "STORE_TEST_ROLE", "STORE_TEST_PATH"

// child is this test binary in another role; its answer is the exit status.
func child(role string) int {
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = os.Getenv(pathVar), "secret://env/STORE_KEY", 0
	opt := store.Options{Secret: secret(testKey)}
	var err error
	switch role {
	case "crash":
		err = crash(cfg, opt)
	case "full":
		cfg.Reserve = 2 << 20
		err = fillUp(cfg, opt)
	case "unprivileged":
		if err = syscall.Setgid(65534); err == nil {
			err = syscall.Setuid(65534)
		}
		if err == nil {
			_, err = store.Open(context.Background(), cfg, opt)
		}
	}
	if err != nil {
		fmt.Println("error:", contracts.KindOf(err), err)
		return 3
	}
	return 0
}

// crash writes from many goroutines and says what was acknowledged, until it is killed.
func crash(cfg store.Config, opt store.Options) error {
	s, err := store.Open(context.Background(), cfg, opt)
	if err != nil {
		return err
	}
	if err := s.Migrate(context.Background(), "note", notes()); err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := 0; ; j++ {
				text := fmt.Sprintf("%d/%d/%d", os.Getpid(), i, j)
				if err := s.Write(context.Background(), store.Accept, func(tx *store.Tx) error { tx.Flush(); return note(text)(tx) }); err != nil {
					fmt.Println("error:", err)
					return
				}
				mu.Lock()
				fmt.Println(text)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return nil
}

func start(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, pathVar+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func TestAKilledProcessLosesNothingThatItAcknowledged(t *testing.T) {
	cfg := config(t)
	acknowledged := map[string]bool{}
	for _, after := range []int{1, 97, 500, 1200} {
		cmd, lines := start(t, "crash", cfg.Path)
		for n := 0; lines.Scan(); n++ {
			if strings.HasPrefix(lines.Text(), "error:") {
				t.Error(lines.Text())
			}
			acknowledged[lines.Text()] = true
			if n == after {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
	}
	s := migrate(t, open(t, cfg, store.Options{}))
	if err := s.Read(t.Context(), func(v *store.View) error {
		rows, err := v.Query("SELECT text FROM note")
		if err != nil {
			return err
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			delete(acknowledged, text)
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	if len(acknowledged) != 0 {
		t.Errorf("%d acknowledged writes are lost", len(acknowledged))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	integrity(t, cfg)
}

// fillUp works on a disk of a few megabytes: it accepts until it is refused, then settles out of the reserve, then makes
// room and accepts again.
func fillUp(cfg store.Config, opt store.Options) error {
	ctx := context.Background()
	s, err := store.Open(ctx, cfg, opt)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Migrate(ctx, "note", notes()); err != nil {
		return err
	}
	ballast := filepath.Join(filepath.Dir(cfg.Path), "ballast")
	free := s.Stats().Free
	if err := os.WriteFile(ballast, make([]byte, free-cfg.Reserve-1<<20), 0o600); err != nil {
		return err
	}
	chunk := strings.Repeat("x", 50_000) // stands twice: in the table and in its index
	accepted := 0
	for ; ; accepted++ {
		if err = s.Write(ctx, store.Accept, note(fmt.Sprint("accept ", accepted, chunk))); err != nil {
			break
		}
	}
	if contracts.KindOf(err) != contracts.Unavailable || !strings.Contains(err.Error(), "are kept for settling") {
		return fmt.Errorf("refused with: %w", err)
	}
	// Others fill the disk to the last byte.
	more, err := os.Create(ballast + "2")
	if err != nil {
		return err
	}
	for _, size := range []int{1 << 20, 4096, 1} {
		for err = nil; err == nil; {
			_, err = more.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("filling the disk: %w", err)
	}
	if err := more.Close(); err != nil {
		return err
	}
	for i := range 10 {
		if err := s.Write(ctx, store.Settle, func(tx *store.Tx) error { tx.Flush(); return note(fmt.Sprint("settle ", i, chunk))(tx) }); err != nil {
			return fmt.Errorf("settling out of the reserve: %w", err)
		}
	}
	if st := s.Stats(); st.Reserve || !st.Low {
		return fmt.Errorf("the reserve should be in use: %+v", st)
	}
	if err := errors.Join(os.Remove(ballast), os.Remove(ballast+"2")); err != nil {
		return err
	}
	if err := s.Write(ctx, store.Accept, note("accept again")); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	var n int
	if err := s.Read(ctx, func(v *store.View) error { return v.QueryRow("SELECT count(*) FROM note").Scan(&n) }); err != nil || n != accepted+11 {
		return fmt.Errorf("%d rows, want %d: %w", n, accepted+11, err)
	}
	return nil
}

func TestADiskThatIsReallyFullLetsSettleFromTheReserve(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("needs the right to mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	run(t, "full", filepath.Join(dir, "hub.db"), 0, "")
}

func TestAFileThatCannotBeWrittenIsASentence(t *testing.T) {
	cfg := config(t)
	if err := migrate(t, open(t, cfg, store.Options{})).Close(); err != nil {
		t.Fatal(err)
	}
	role := "crash" // opens all the same
	if os.Getuid() == 0 {
		role = "unprivileged"
	}
	for dir := filepath.Dir(cfg.Path); dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if dir != os.TempDir() && strings.HasPrefix(dir, os.TempDir()) {
			if err := os.Chmod(dir, info.Mode()|0o055); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name         string
		file, folder os.FileMode
		want         string
	}{
		{"the file", 0o444, 0o777, "the database cannot be written; check owner, mode and mount"},
		{"its folder", 0o666, 0o555, "the lock file cannot be written; check owner and mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, f := range []string{cfg.Path + ".lock", cfg.Path + "-wal", cfg.Path + "-shm"} {
				if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Chmod(cfg.Path, c.file), os.Chmod(filepath.Dir(cfg.Path), c.folder)); err != nil {
				t.Fatal(err)
			}
			run(t, role, cfg.Path, 3, c.want)
		})
	}
}

// run runs a child to its end and compares its exit status and what it says.
func run(t *testing.T, role, path string, status int, says string) {
	t.Helper()
	cmd, lines := start(t, role, path)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if have := cmd.ProcessState.ExitCode(); have != status || !strings.Contains(strings.Join(said, "\n"), says) {
		t.Errorf("status %s, want %d; it says %q, want %q", strconv.Itoa(have), status, said, says)
	}
}
