package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub"
	"raccordo/mocks"
	"raccordo/mocks/lab"
)

// send submits one message and gives what came of it.
func (r *rig) send(to, id string) (contracts.Ticket, error) {
	r.t.Helper()
	return contracts.Submit(contracts.WithKey(r.as(id), "code/"+id), r.hub, delivery.OpSend, message(r.t, to, id))
}

// refused submits one message, which must be refused, for want of a disk, with words that help.
func (r *rig) refused(to, id string, words ...string) {
	r.t.Helper()
	_, err := r.send(to, id)
	if err == nil {
		r.t.Fatalf("%s was accepted", id)
	}
	e := contracts.AsError(err)
	if e.Kind != contracts.Unavailable || !e.Retryable() {
		r.t.Errorf("refused as %s: %v, want unavailable", e.Kind, err)
	}
	for _, w := range words {
		if strings.Contains(err.Error(), w) {
			return
		}
	}
	r.t.Errorf("the error %q says none of %q", err, words)
}

// With little disk left nothing new is taken, nothing new is begun, and what is owed is settled.
func TestLittleDiskRefusesWhatIsNewAndSettlesWhatIsOwed(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(10 << 30)
	r := newRig(t, massive, options(func(o *hub.Options) {
		o.Free = func(string) (int64, error) { return free.Load(), nil }
	}))
	to := addressOf(lab.Who("personal-domicile"))
	under, err := r.send(to, "under-way")
	if err != nil {
		t.Fatal(err)
	}
	r.state(under.ID, contracts.StateWaiting)
	if err := r.hub.Isolate(t.Context(), "pec", "operator-7", "to have one that has not begun"); err != nil {
		t.Fatal(err)
	}
	queued, err := r.send(to, "queued")
	if err != nil {
		t.Fatal(err)
	}

	free.Store(1 << 20)
	r.refused(to, "too-much", "1.0 MiB of disk are free")
	if err := r.hub.Rejoin(t.Context(), "pec", "operator-7", "an operator's word is stored all the same"); err != nil {
		t.Errorf("rejoin with little disk: %v", err)
	}
	if x := r.pushed(under.ID); x.State != contracts.StateDone {
		t.Errorf("what was under way ended %s: %v", x.State, x.Err)
	}
	if x, err := r.hub.Ticket(r.as(""), queued.ID); err != nil || x.State != contracts.StateQueued {
		t.Errorf("what had not begun is %s (%v), want queued still", x.State, err)
	}
	if n := len(r.provider().Accepted()); n != 1 {
		t.Errorf("%d messages were sent, want the one that was", n)
	}

	free.Store(10 << 30)
	if x := r.settled(queued.ID); x.State != contracts.StateDone {
		t.Errorf("with room again, what was queued ended %s: %v", x.State, x.Err)
	}
	again, err := r.send(to, "too-much")
	if err != nil {
		t.Fatalf("with room again: %v", err)
	}
	r.settled(again.ID)
	r.verified()
}

// pushed follows a ticket to its end beside work that cannot be begun: the hub is not quiet then, so the clock is pushed.
func (r *rig) pushed(id string) contracts.Ticket {
	r.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		x, err := r.hub.Ticket(r.as(""), id)
		if err != nil {
			r.t.Fatal(err)
		}
		if x.State.Settled() {
			return x
		}
		r.bench.Clock().Advance(time.Second)
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("ticket %s is still %s: %v", id, x.State, x.Err)
		}
	}
}

// verified fails where the ledger does not hold.
func (r *rig) verified() {
	r.t.Helper()
	if _, err := r.hub.Ledger().Verify(r.t.Context()); err != nil {
		r.t.Errorf("ledger: %v", err)
	}
}

// newRigIn is newRig with the hub's files in a given folder.
func newRigIn(t testing.TB, dir string, settings ...setting) *rig {
	t.Helper()
	r := &rig{t: t, bench: lab.Start(t, mocks.All()...), dir: dir}
	r.open(settings...)
	t.Cleanup(func() { r.stop() })
	return r
}

// A disk of a few megabytes that others fill to the last byte: receipts, and their proofs, still find room.
func TestADiskThatIsFullToTheLastByteStillSettles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mounted(t, dir, "-t", "tmpfs", "-o", "size=24m", "tmpfs")
	r := newRigIn(t, dir, massive, with("store:\n", "store:\n  reserve: 4194304\n"))
	people := mixed(20)
	var owed []string
	for i, m := range people {
		x, err := r.send(addressOf(m), fmt.Sprint("owed-", i))
		if err != nil {
			t.Fatal(err)
		}
		owed = append(owed, x.ID)
	}
	r.arrived(len(people))
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	r.refused(addressOf(people[0]), "new", "free some space")
	for i, x := range r.followed(owed) {
		if x.State != contracts.StateDone {
			t.Errorf("message %d ended %s: %v", i, x.State, x.Err)
		}
	}
	for _, id := range owed {
		r.proved(id)
	}
	r.refused(addressOf(people[0]), "new", "free some space")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	x, err := r.send(addressOf(people[0]), "new")
	if err != nil {
		t.Fatalf("with room again: %v", err)
	}
	r.settled(x.ID)
	r.verified()
}

// proved fails where a proof of a ticket's story cannot be read.
func (r *rig) proved(id string) {
	r.t.Helper()
	x, err := r.hub.Ticket(r.as(""), id)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range x.Story {
		for _, sum := range e.Proof {
			p, err := r.hub.Proof(sum)
			if err != nil {
				r.t.Errorf("proof of %s: %v", e.Kind, err)
				continue
			}
			var b bytes.Buffer
			if _, err := b.ReadFrom(p); err != nil || b.Len() == 0 {
				r.t.Errorf("proof of %s: %d bytes, %v", e.Kind, b.Len(), err)
			}
			_ = p.Close()
		}
	}
}

// mounted mounts something on dir until the test ends, or skips where that is not allowed.
func mounted(t testing.TB, dir string, args ...string) {
	t.Helper()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("needs the right to mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

// fill takes whatever the disk has left.
func fill(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A database that turns read-only under a running hub: clear refusals, and no restart needed when it is over.
func TestADatabaseThatCannotBeWrittenRefusesAndRecoversByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, massive)
	to := addressOf(lab.Who("personal-domicile"))
	under, err := r.send(to, "under-way")
	if err != nil {
		t.Fatal(err)
	}
	r.state(under.ID, contracts.StateWaiting)
	wal := filepath.Join(r.dir, "hub.db-wal")
	if out, err := exec.Command("chattr", "+i", wal).CombinedOutput(); err != nil {
		t.Skipf("needs the right, and a file system, to make a file immutable: %v: %s", err, out)
	}
	writable := false
	release := func() {
		if out, err := exec.Command("chattr", "-i", wal).CombinedOutput(); err != nil && !writable {
			t.Errorf("chattr: %v: %s", err, out)
		}
		writable = true
	}
	defer release()
	r.refused(to, "new", "nothing was stored")
	r.refused(to, "new", "nothing was stored") // and is not broken by having failed
	if x, err := r.hub.Ticket(r.as(""), under.ID); err != nil || x.State != contracts.StateWaiting {
		t.Errorf("meanwhile tickets should be readable: %s, %v", x.State, err)
	}
	release()
	x, err := r.send(to, "new")
	if err != nil {
		t.Fatalf("when it can be written again: %v", err)
	}
	for _, id := range []string{under.ID, x.ID} {
		if x := r.settled(id); x.State != contracts.StateDone {
			t.Errorf("ticket ended %s: %v", x.State, x.Err)
		}
	}
	r.verified()
}

// A hub that is started where it may not write says so, and starts when it may.
func TestAHubOnAReadOnlyDiskSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRigIn(t, dir, massive)
	r.stop()
	cfg, opt := r.load(massive)
	mounted(t, dir, "--bind", dir)
	if out, err := exec.Command("mount", "-o", "remount,bind,ro", dir).CombinedOutput(); err != nil {
		t.Skipf("needs the right to mount read-only: %v: %s", err, out)
	}
	h, err := hub.Open(t.Context(), cfg, adapters.Kinds(), opt)
	if err == nil {
		_ = h.Close(t.Context())
		t.Fatal("a hub was opened on a read-only disk")
	}
	if contracts.KindOf(err) != contracts.Unavailable || !strings.Contains(err.Error(), "cannot be written; check owner and mode") {
		t.Errorf("refused with %v, want what to check", err)
	}
	if out, err := exec.Command("mount", "-o", "remount,bind,rw", dir).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v: %s", err, out)
	}
	if h, err = hub.Open(t.Context(), cfg, adapters.Kinds(), opt); err != nil {
		t.Fatalf("when it can be written again: %v", err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Two processes on one file would each believe to be the one that sends.
func TestASecondProcessOnTheStoreIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	r := newRig(t, massive)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1", childConfig+"="+filepath.Join(r.dir, "hub.yaml"))
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("the second process ended with %v, want status 1", err)
	}
	want := "held by process " + strconv.Itoa(os.Getpid())
	if text := said.String(); !strings.Contains(text, want) || !strings.Contains(text, "stop that process first") || strings.Count(text, "\n") != 1 {
		t.Errorf("it said %q, want one sentence with %q", text, want)
	}
	// The first is none the worse for it.
	x, err := r.send(addressOf(lab.Who("personal-domicile")), "after")
	if err != nil {
		t.Fatal(err)
	}
	r.settled(x.ID)
}
