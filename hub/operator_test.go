package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub"
	"raccordo/hub/outbox"
)

// operated serves the rig's hub on its socket and gives the far end of it.
func operated(t *testing.T, r *rig) hub.Operator {
	t.Helper()
	l, err := r.hub.ListenOperators()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.hub.ServeOperators(ctx, l) }()
	cfg, _ := r.load()
	o, hangUp, err := hub.DialOperator(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hangUp()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("operators: %v", err)
		}
	})
	return o
}

// Whoever repairs must see and be told the same, whether the hub is in this process or behind its socket.
func TestOperatorsSeeTheSameThroughTheSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	remote := operated(t, r)
	var near hub.Operator = r.hub
	sent, err := contracts.Submit(contracts.WithKey(r.as("OP-1"), "code/1"), r.hub, delivery.OpSend, message(t, "nodest.a@pec.studi.test", "OP-1"))
	if err != nil {
		t.Fatal(err)
	}
	r.settled(sent.ID)
	two := contracts.WithCaller(r.as("OP-2"), contracts.Caller{Service: "core", Purpose: "activation"})
	other, err := contracts.Submit(contracts.WithKey(two, "code/2"), r.hub, delivery.OpSend, message(t, "never.a@pec.studi.test", "OP-2"))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for other.State != contracts.StateWaiting { // then it stays as it is: the clock stands
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the second message does not leave")
		}
		r.step()
		if other, err = near.Show(t.Context(), other.ID); err != nil {
			t.Fatal(err)
		}
	}

	same := func(what string, ask func(hub.Operator) (any, error)) {
		t.Helper()
		a, errA := ask(near)
		b, errB := ask(remote)
		textA, _ := json.Marshal(a)
		textB, _ := json.Marshal(b)
		if !bytes.Equal(textA, textB) {
			t.Errorf("%s: here\n%s\nthrough the socket\n%s", what, textA, textB)
		}
		if (errA == nil) != (errB == nil) || errA != nil && (errA.Error() != errB.Error() || contracts.KindOf(errA) != contracts.KindOf(errB)) {
			t.Errorf("%s: here %v, through the socket %v", what, errA, errB)
		}
	}
	ctx := t.Context()
	same("a settled ticket with its story", func(o hub.Operator) (any, error) { return o.Show(ctx, sent.ID) })
	same("a ticket that is not there", func(o hub.Operator) (any, error) { return o.Show(ctx, "nosuch") })
	same("a ticket's name that is a path", func(o hub.Operator) (any, error) { return o.Show(ctx, "../switches?x#y") })
	same("failed tickets", func(o hub.Operator) (any, error) {
		page, err := o.List(ctx, outbox.Query{State: contracts.StateFailed})
		if len(page) != 1 {
			t.Errorf("%d failed tickets, want 1", len(page))
		}
		return page, err
	})
	same("a page behind a ticket", func(o hub.Operator) (any, error) {
		return o.List(ctx, outbox.Query{After: sent.ID, Max: 1, Op: "delivery.send"})
	})
	same("a page behind none", func(o hub.Operator) (any, error) { return o.List(ctx, outbox.Query{After: "nosuch"}) })
	same("the breakers", func(o hub.Operator) (any, error) { return o.Switches(ctx) })
	same("the ledger's verification", func(o hub.Operator) (any, error) { return o.VerifyLedger(ctx) })
	same("the ledger of one day", func(o hub.Operator) (any, error) {
		var out bytes.Buffer
		err := o.ExportLedger(ctx, &out, time.Time{}, r.bench.Clock().Now())
		return out.Len() > 1000, err
	})
	for rule, decide := range map[string]func(hub.Operator) error{
		"settle without a reason":   func(o hub.Operator) error { return o.Settle(ctx, sent.ID, contracts.StateAbandoned, nil, "g", " ") },
		"settle without a name":     func(o hub.Operator) error { return o.Settle(ctx, sent.ID, contracts.StateAbandoned, nil, "", "why") },
		"settle what is settled":    func(o hub.Operator) error { return o.Settle(ctx, sent.ID, contracts.StateFailed, nil, "g", "why") },
		"settle to a queue":         func(o hub.Operator) error { return o.Settle(ctx, sent.ID, contracts.StateQueued, nil, "g", "why") },
		"retry an erased secret":    func(o hub.Operator) error { return o.Retry(ctx, sent.ID, "g", "why") },
		"isolate without a reason":  func(o hub.Operator) error { return o.Isolate(ctx, "pec", "g", "") },
		"isolate without a name":    func(o hub.Operator) error { return o.Isolate(ctx, "pec", "", "why") },
		"isolate with an essay":     func(o hub.Operator) error { return o.Isolate(ctx, "pec", "g", strings.Repeat("x", 501)) },
		"isolate what is not there": func(o hub.Operator) error { return o.Isolate(ctx, "anpr", "g", "why") },
		"rejoin without a reason":   func(o hub.Operator) error { return o.Rejoin(ctx, "pec", "g", "") },
		"a decision beyond all size": func(o hub.Operator) error {
			return o.Settle(ctx, sent.ID, contracts.StateDone, json.RawMessage(`"`+strings.Repeat("x", 5<<20)+`"`), "g", "why")
		},
	} {
		if err := decide(remote); err == nil {
			t.Errorf("%s is let pass", rule)
		}
		if err := decide(near); err == nil {
			t.Errorf("%s is let pass in this process", rule)
		}
	}
	if err := remote.Settle(ctx, sent.ID, contracts.StateAbandoned, nil, "g.operatrice", "the case is closed"); err != nil {
		t.Error(err)
	}
	if err := remote.Isolate(ctx, "pec", "g.operatrice", "maintenance"); err != nil {
		t.Error(err)
	}
	all, err := remote.Switches(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if isolated := one.Instance == "pec"; (one.State == "isolated" && one.Reason == "maintenance") != isolated {
			t.Errorf("%+v", one)
		}
	}
	if err := remote.Rejoin(ctx, "pec", "g.operatrice", "maintenance is over"); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := remote.ExportLedger(ctx, &out, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"the case is closed", "maintenance", "maintenance is over"} {
		if !strings.Contains(out.String(), `"`+reason+`"`) {
			t.Errorf("the ledger does not hold %q", reason)
		}
	}
}

// A ledger that does not verify names each problem through the socket too.
func TestProblemsOfTheLedgerComeThroughTheSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, with("store:\n", "store:\n  head: "+filepath.Join(dir, "head.json")+"\n"))
	remote := operated(t, r)
	if err := r.hub.Isolate(t.Context(), "pec", "g", "an entry"); err != nil {
		t.Fatal(err)
	}
	// The head that was remembered elsewhere is another's. The hub writes it behind its commits, hence more than once.
	for range 20 {
		head := `{"generation":1,"chain":"another","seq":99,"sum":"` + strings.Repeat("0", 64) + `","at":"2026-01-01T00:00:00Z"}`
		if err := os.WriteFile(filepath.Join(dir, "head.json"), []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := remote.VerifyLedger(t.Context())
		if err == nil {
			continue
		}
		if len(report.Problems) == 0 || !strings.Contains(err.Error(), report.Problems[0]) {
			t.Errorf("the error is %v, the problems %v", err, report.Problems)
		}
		return
	}
	t.Error("a head of another chain is no problem")
}

func TestOperatorsSocket(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d", 60)
	at := func(path string) *hub.Config {
		cfg := &hub.Config{}
		cfg.Store.Path = path
		return cfg
	}
	if s, err := hub.OperatorSocket(at("/var/lib/raccordo/hub.db")); err != nil || s != "/var/lib/raccordo/hub.db.sock" {
		t.Errorf("%s, %v", s, err)
	}
	deep := filepath.Join("/var", long, long, "hub.db")
	s, err := hub.OperatorSocket(at(deep))
	if err != nil || len(s) > 103 || filepath.Dir(s) != filepath.Clean(os.TempDir()) {
		t.Errorf("%s, %v: want a short name in the folder for temporary files", s, err)
	}
	if other, _ := hub.OperatorSocket(at(deep + "2")); other == s {
		t.Error("two stores share a socket")
	}
}

// A store in a deep folder is operated like any other.
func TestADeepStoreHasASocketToo(t *testing.T) {
	t.Parallel()
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.stop()
	moved := with(filepath.Join(r.dir, "hub.db"), filepath.Join(deep, "hub.db"))
	r.open(moved)
	l, err := r.hub.ListenOperators()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.hub.ServeOperators(ctx, l) }()
	cfg, _ := r.load(moved)
	o, hangUp, err := hub.DialOperator(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Switches(t.Context()); err != nil {
		t.Error(err)
	}
	hangUp()
	socket, _ := hub.OperatorSocket(cfg)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want mode 0600", info, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket outlives the hub")
	}
}

// What lies in the socket's place is only removed where it is a socket, and only trusted where it is the store's owner's.
func TestOperatorsSocketIsNobodyElses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cfg, _ := r.load()
	socket, err := hub.OperatorSocket(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := hub.DialOperator(t.Context(), cfg); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("no hub serves: %v, want Unavailable", err)
	}
	if err := os.WriteFile(socket, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.hub.ListenOperators(); err == nil {
		t.Error("a file in the socket's place is removed")
	}
	if _, _, err := hub.DialOperator(t.Context(), cfg); contracts.KindOf(err) != contracts.Denied {
		t.Errorf("a file in the socket's place: %v, want Denied", err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as a crash leaves it
	stale.Close()
	if _, _, err := hub.DialOperator(t.Context(), cfg); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("a socket that a crash left: %v, want Unavailable", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(socket, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, _, err := hub.DialOperator(t.Context(), cfg); contracts.KindOf(err) != contracts.Denied {
			t.Errorf("a stranger's socket: %v, want Denied", err)
		}
	}
	l, err := r.hub.ListenOperators()
	if err != nil {
		t.Fatalf("a socket that a crash left is not taken over: %v", err)
	}
	l.Close()
}
