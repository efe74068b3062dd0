package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/archive"
)

// yielder is a store on a full disk that has something to give back.
type yielder struct {
	archive.Store
	yield func() bool
}

func (y yielder) Yield(context.Context) bool { return y.yield() }

func TestAProofFindsRoomOnAFullDiskOutOfTheReserve(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("needs the right to mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	reserve := filepath.Join(dir, "reserve")
	if err := os.WriteFile(reserve, make([]byte, 256<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	yields := 0
	a, err := archive.Open(context.Background(), filepath.Join(dir, "proofs"), yielder{keys(t), func() bool { yields++; return os.Remove(reserve) == nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	proof := bytes.Repeat([]byte("receipt "), 16<<10) // 128 KiB
	sum, err := a.Keep(t.Context(), bytes.NewReader(proof), 1<<20)
	if err != nil || yields != 1 {
		t.Fatalf("kept with %v after %d yields, want one", err, yields)
	}
	f, err := a.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, proof) {
		t.Errorf("%d bytes back, %v", len(got), err)
	}
	// With nothing left to give it is an error that may be tried again, and leaves nothing behind.
	if _, err := a.Keep(t.Context(), rand.New(rand.NewSource(1)), 8<<20); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("with the reserve used up: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "proofs", "tmp", "*")); len(left) > 0 {
		t.Errorf("%d half-written files are left", len(left))
	}
}
