package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"raccordo/contracts"
)

// The far side of the crash test is a file: a line per effect. What a process wrote before it was killed stands in it.
type fileFar struct {
	path string
	mu   sync.Mutex
}

func (f *fileFar) lines(t testing.TB) []string {
	b, err := os.ReadFile(f.path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

func (f *fileFar) write(line string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.WriteString(line + "\n")
	return err
}

func (f *fileFar) has(t testing.TB, line string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.lines(t) {
		if l == line {
			return true
		}
	}
	return false
}

// A receiptFile tells a delivery for every line.
type receiptFile struct {
	t   testing.TB
	far *fileFar
}

func (f receiptFile) Feed(_ context.Context, from contracts.Cursor) (events []contracts.Event, _ contracts.Cursor, _ error) {
	var n int
	_, _ = fmt.Sscan(string(from), &n)
	all := f.far.lines(f.t)
	for i := n; i < len(all); i++ {
		events = append(events, event(fmt.Sprint(i), "delivered", all[i]))
	}
	return events, contracts.Cursor(fmt.Sprint(len(all))), nil
}
func (receiptFile) Every() time.Duration { return 10 * time.Minute }

const (
	crashDir   = "RACCORDO_CRASH_DIR"
	crashAt    = "RACCORDO_CRASH_AT"
	crashRound = "RACCORDO_CRASH_ROUND"
	crashEach  = 4 // new tickets per operation and round

	crashPlaces = 3 // messages on their way at a time
)

// crashRig is the same in every process of the crash test. point is called wherever a crash may strike.
func crashRig(t testing.TB, dir string, point func()) *rig {
	r := newRig(t)
	r.path = filepath.Join(dir, "hub.db")
	writes := &fileFar{path: filepath.Join(dir, "writes")}
	sends := &fileFar{path: filepath.Join(dir, "sends")}
	w, _ := says(opWrite, func(ctx context.Context, _ int, a ask) (reply, error) {
		point()
		id := contracts.HoldFrom(ctx).ID()
		if writes.has(t, id) { // the far side recognises the key
			return reply{Who: a.Who}, nil
		}
		if err := writes.write(id); err != nil {
			return reply{}, err
		}
		point()
		return reply{Who: a.Who}, nil
	})
	boxes := newMailboxes(r.clock, map[string]int{"0": 1, "1": crashPlaces - 1})
	s, _ := says(opPooled, func(ctx context.Context, _ int, a ask) (reply, error) {
		h := contracts.HoldFrom(ctx)
		frozen, err := h.Keep(ctx, "message", func() ([]byte, error) { return []byte(time.Now().String()), nil })
		if err != nil {
			return reply{}, err
		}
		if err := h.Depart(ctx); err != nil {
			return reply{}, err
		}
		point()
		if err := sends.write(h.ID()); err != nil {
			return reply{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, "frozen-"+h.ID()), frozen, 0o600); err != nil {
			return reply{}, err
		}
		point()
		return reply{Who: a.Who}, nil
	}, receipts(opPooled), contracts.Reserving(opPooled, boxes.reserve))
	g := &register{max: 10, onHandOver: func(int) error { point(); return nil }, onCollect: func(int) error { point(); return nil }}
	r.desk.bind("writes", w)
	r.desk.bind("sends", s)
	r.desk.bind("lists", g.binding(opRead, false))
	return r
}

func crashCalls(round int) (all []*contracts.Call) {
	for i := range crashEach * (round + 1) {
		who := fmt.Sprint(i)
		all = append(all,
			newCall(opWrite, who, ask{Who: who}),
			newCall(opPooled, who, ask{Who: who, Lane: fmt.Sprint(i % 2)}),
			newCall(opRead, who, ask{Who: who}))
	}
	return all
}

func TestTheChildOfTheCrashTest(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("a part of TestKilledAtAnyCommitNothingIsLostOrDoubled")
	}
	var at, round int
	if _, err := fmt.Sscan(os.Getenv(crashAt)+" "+os.Getenv(crashRound), &at, &round); err != nil {
		t.Fatal(err)
	}
	var passed atomic.Int64
	point := func() {
		if passed.Add(1) == int64(at) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		}
	}
	r := crashRig(t, dir, point)
	r.store = openStore(t, r.path, r.clock, false, func(uint64) { point() })
	t.Cleanup(func() { _ = r.store.Close() })
	r.attach().start()
	defer r.run("sends", receiptFile{t, &fileFar{path: filepath.Join(dir, "sends")}})()
	acked := &fileFar{path: filepath.Join(dir, "acked")}
	for _, c := range crashCalls(round) {
		if acked.has(t, contracts.TicketID(c.Caller.Service, c.Op.Name, c.Key)) {
			continue
		}
		if err := acked.write(r.submit(c).ID); err != nil {
			t.Fatal(err)
		}
	}
	r.all(3 * time.Hour)
}

func TestKilledAtAnyCommitNothingIsLostOrDoubled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("RACCORDO_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d (RACCORDO_SEED repeats it)", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	kills, settled := 0, 0
	for round := 0; ; round++ {
		at := 1 + random.IntN(60)
		if kills == 20 || round > 60 {
			at = -1
			settled = len((&fileFar{path: filepath.Join(dir, "sends")}).lines(t))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestTheChildOfTheCrashTest$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir, crashAt+"="+fmt.Sprint(at), crashRound+"="+fmt.Sprint(round))
		out, err := cmd.CombinedOutput()
		cancel()
		if err == nil && at == -1 {
			break
		}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil && (!ok || status.Signal() != syscall.SIGKILL) {
			t.Fatalf("round %d, killed at %d: %v\n%s", round, at, err, out)
		}
		if err != nil {
			kills++
		}
	}
	t.Logf("%d kills, %d sends of %d before the last round", kills, settled, crashEach*kills)

	count := func(name string) map[string]int {
		all := map[string]int{}
		for _, l := range (&fileFar{path: filepath.Join(dir, name)}).lines(t) {
			all[l]++
		}
		return all
	}
	writes, sends := count("writes"), count("sends")
	r := crashRig(t, dir, func() {}).open()
	uncertain := 0
	for id := range count("acked") {
		got := r.ticket(id) // Fatal when an accepted ticket is gone
		switch {
		case got.Op == "test.write" && (got.State != contracts.StateDone || writes[id] != 1),
			got.Op == "test.read" && got.State != contracts.StateDone,
			got.Op == "test.pooled" && got.State == contracts.StateDone && sends[id] != 1,
			got.Op == "test.pooled" && got.State == contracts.StateUncertain && sends[id] != 0,
			got.Op == "test.pooled" && got.State != contracts.StateDone && got.State != contracts.StateUncertain:
			t.Errorf("%s is %s (%v), and happened %d times", got.Op, got.State, got.Err, writes[id]+sends[id])
		case got.State == contracts.StateUncertain:
			uncertain++
		}
	}
	if uncertain > kills*crashPlaces {
		t.Errorf("%d tickets are uncertain after %d kills", uncertain, kills)
	}
}
