package hub_test

import (
	"bufio"
	"context"
	"fmt"
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
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
	"raccordo/hub/api"
	"raccordo/mocks/lab"
)

// serve starts a hub in a process of its own and tells g where it is.
func (g *graveyard) serve(ctx context.Context) *exec.Cmd {
	g.t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1", childConfig+"="+g.config)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	line := bufio.NewScanner(out)
	if !line.Scan() {
		g.t.Fatalf("the hub did not start: %v", cmd.Wait())
	}
	url := line.Text()
	g.url.Store(&url)
	return cmd
}

// terminate sends SIGTERM and tells how long the process took to end, in peace.
func (g *graveyard) terminate(cmd *exec.Cmd) time.Duration {
	g.t.Helper()
	began := time.Now()
	g.url.Store(nil)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		g.t.Errorf("after SIGTERM the hub ended with %v, want status 0", err)
	}
	return time.Since(began)
}

// A hub that is told to stop, in the middle of its work and with far sides that keep it waiting, is gone within ten
// seconds; the next one goes on where it stopped.
func TestSIGTERMDrainsWithinTenSecondsAndLosesNothing(t *testing.T) {
	t.Parallel()
	heavy(t)
	r := newRunningBench(t)
	r.load(massive, atOnce)
	token, err := os.ReadFile(filepath.Join(r.dir, "core.token"))
	if err != nil {
		t.Fatal(err)
	}
	g := &graveyard{t: t, config: filepath.Join(r.dir, "hub.yaml")}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first := g.serve(ctx)

	people := mixed(60)
	// The eleventh message is taken and never answered; so is one question to each register.
	stuck, gone := make(chan string, 3), make(chan struct{})
	answer := sync.OnceFunc(func() { close(gone) })
	defer answer()
	var messages atomic.Int64
	var registers sync.Map
	defer r.bench.Watch(func(x lab.Exchange) {
		switch {
		case x.Mock == "pec" && x.Label == "smtp message" && messages.Add(1) == 11:
		case x.Mock == "inad" || x.Mock == "inipec" && strings.Contains(x.Label, "lenco"):
			if _, again := registers.LoadOrStore(x.Mock, true); again {
				return
			}
		default:
			return
		}
		stuck <- x.Mock
		<-gone
	})()
	// The core does not know that the hub will stop: what it asks is asked again until it is taken.
	send := func(i int) (contracts.Ticket, error) {
		id := fmt.Sprintf("T-%03d", i)
		ctx := contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: id})
		if _, err := patient(ctx, g, string(token), func(ctx context.Context, c *api.Client) (contracts.Ticket, error) {
			return contracts.Submit(contracts.WithKey(ctx, "domicile/"+id), c, domicile.OpLookup, query(t, people[i]))
		}); err != nil {
			return contracts.Ticket{}, err
		}
		return patient(ctx, g, string(token), func(ctx context.Context, c *api.Client) (contracts.Ticket, error) {
			return contracts.Submit(contracts.WithKey(ctx, "code/"+id), c, delivery.OpSend, message(t, addressOf(people[i]), id))
		})
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				if _, err := send(i); err != nil {
					t.Errorf("submit %d: %v", i, err)
				}
			}
		})
	}
	wg.Go(func() {
		defer close(next)
		for i := range people {
			next <- i
		}
	})
	var silent []string
	for range cap(stuck) {
		select {
		case mock := <-stuck:
			silent = append(silent, mock)
		case <-ctx.Done():
			t.Fatalf("of three far sides only %q were asked", silent)
		}
	}
	took := g.terminate(first)
	t.Logf("gone after %s", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("SIGTERM took %s, want at most 10s", took)
	}
	answer()

	second := g.serve(ctx)
	wg.Wait()
	for i := range people {
		x, err := send(i) // the same key again: the same ticket
		if err != nil {
			t.Fatalf("submit %d again: %v", i, err)
		}
		ctx := contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "activation"})
		if _, err := await(ctx, g, string(token), x.ID, delivery.OpSend); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	t.Logf("gone after %s, with nothing to do", g.terminate(second).Round(time.Millisecond))
	lost, doubled := 0, 0
	counts := r.taken()
	for i := range people {
		switch n := counts[fmt.Sprintf("Codice di attivazione - pratica T-%03d", i)]; {
		case n == 0:
			lost++
		case n > 1:
			doubled++
		}
	}
	if lost+doubled > 0 {
		t.Errorf("of %d messages %d were lost and %d doubled", len(people), lost, doubled)
	}
	r.open()
	defer r.stop()
	r.verified()
}
