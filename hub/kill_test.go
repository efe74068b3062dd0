package hub_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/hub/api"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

const (
	childConfig = "RACCORDO_TEST_CONFIG"
	childCommit = "RACCORDO_TEST_DIE_AT_COMMIT" // die just before the n-th commit
	childFlag   = "RACCORDO_TEST_DIE_WHEN"      // die just before the first commit once this file is there
)

// child is a hub that serves until SIGTERM, and dies by its own hand where it is told to.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := hub.Load(os.Getenv(childConfig), adapters.Kinds())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	commit, _ := strconv.ParseUint(os.Getenv(childCommit), 10, 64)
	flag := os.Getenv(childFlag)
	h, err := hub.Open(context.Background(), cfg, adapters.Kinds(), hub.Options{BeforeCommit: func(n uint64) {
		_, err := os.Stat(flag)
		if n == commit || flag != "" && err == nil {
			_ = os.Remove(flag)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal comes
		}
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	handler, err := h.Handler()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	fmt.Printf("http://%s\n", l.Addr())
	err = h.Work(ctx)
	_ = srv.Close()
	<-served
	if err := errors.Join(err, h.Close(context.Background())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A death is one way for the hub to die.
type death struct {
	kind string // "exchange", "commit", "dot" or "list"
	n    int
}

func (d death) String() string { return fmt.Sprintf("%s %d", d.kind, d.n) }

// deaths draws twenty from a seed: five between a list's acceptance over there and its commit here, then five between
// the final dot of a message and its 250, five at any exchange and five at any commit, mixed.
func deaths(seed uint64) []death {
	r := rand.New(rand.NewPCG(seed, 20))
	var all []death
	for range 5 {
		all = append(all, death{"dot", 1 + r.IntN(4)}, death{"exchange", 1 + r.IntN(12)}, death{"commit", 2 + r.IntN(30)})
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for range 5 {
		all = append([]death{{"list", 1}}, all...)
	}
	return all
}

// A graveyard keeps a hub running in a process of its own, one life after another.
type graveyard struct {
	t      *testing.T
	config string
	flag   string
	bench  *lab.Bench

	url  atomic.Pointer[string]
	mu   sync.Mutex
	proc *os.Process
	gone chan struct{} // closed when the present life has ended
	next []death
	left int // exchanges until the present death
	died []string
	over bool
}

// watch sits in the mock, after it did its work and before it answers.
func (g *graveyard) watch(x lab.Exchange) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.next) == 0 || g.proc == nil || x.Refused != "" {
		return
	}
	label := x.Mock + " " + x.Label
	list := strings.Contains(label, "POST") && (strings.Contains(label, "list") || strings.Contains(label, "richiesta"))
	switch d := g.next[0]; {
	case d.kind == "list" && list:
		_ = os.WriteFile(g.flag, nil, 0o600)
		return // the process dies by itself, before the commit that would have remembered the list
	case d.kind == "dot" && label == "pec smtp message", d.kind == "exchange":
		if g.left--; g.left > 0 {
			return
		}
		_ = g.proc.Kill()
		g.proc = nil
		gone := g.gone
		g.mu.Unlock()
		<-gone // dead before the answer's first byte
		g.mu.Lock()
	}
}

// live starts the hub again and again until told that it is over, and the last life ends in peace.
func (g *graveyard) live(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.over {
			g.mu.Unlock()
			return nil
		}
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=1", childConfig+"="+g.config, childFlag+"="+g.flag)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 15 * time.Second
		cmd.Stderr = os.Stderr
		if len(g.next) > 0 {
			g.left = g.next[0].n
			if g.next[0].kind == "commit" {
				cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", childCommit, g.next[0].n))
			}
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			g.mu.Unlock()
			return err
		}
		if err := cmd.Start(); err != nil {
			g.mu.Unlock()
			return err
		}
		g.proc, g.gone = cmd.Process, make(chan struct{})
		gone := g.gone
		g.mu.Unlock()

		lines, served := bufio.NewScanner(out), false
		for lines.Scan() {
			url := lines.Text()
			served = true
			g.url.Store(&url)
		}
		err = cmd.Wait()
		close(gone)
		g.mu.Lock()
		g.proc = nil
		if ctx.Err() != nil {
			g.mu.Unlock()
			if cmd.ProcessState.Success() || !served { // a drain, or it had not even begun; Wait would report the context that ended it
				return nil
			}
			return err
		}
		if len(g.next) > 0 {
			g.died = append(g.died, g.next[0].String())
			g.next = g.next[1:]
		} else if !g.over {
			g.mu.Unlock()
			return fmt.Errorf("the hub died of itself: %w", err)
		}
		g.mu.Unlock()
	}
}

// patient asks the hub that happens to live until it answers.
func patient[T any](ctx context.Context, g *graveyard, token string, ask func(context.Context, *api.Client) (T, error)) (T, error) {
	for {
		if url := g.url.Load(); url != nil {
			client, err := api.NewClient(api.ClientConfig{URL: *url, Token: token})
			if err != nil {
				var zero T
				return zero, err
			}
			once, cancel := context.WithTimeout(ctx, 5*time.Second)
			out, err := ask(once, client)
			cancel()
			client.Close()
			var e *contracts.Error
			if err == nil || errors.As(err, &e) && !e.Retryable() && e.Kind != contracts.Canceled {
				return out, err
			}
		}
		wait := time.NewTimer(20 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			var zero T
			return zero, ctx.Err()
		}
	}
}

// The hub is killed twenty times, at places drawn from a seed, while a core works through it: nothing is lost, nothing is
// sent twice, and the ledger of all its lives verifies.
func TestTwentyDeathsLoseNothingAndDoubleNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty processes are started and killed")
	}
	t.Parallel() // it waits more than it works
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RACCORDO_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("replay with RACCORDO_SEED=%d", seed)

	dir := t.TempDir()
	bench, err := lab.New(lab.Options{Clock: lab.RunningClock(), Seed: seed, Dir: filepath.Join(dir, "mocks")})
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Close()
	list := mocks.All()
	for i, m := range list {
		if _, ok := m.(*pec.Mock); ok {
			list[i] = pec.New(pec.WithDeliveryDelay(50 * time.Millisecond))
		}
	}
	if err := bench.Attach(list...); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bench: bench, dir: dir}
	r.load(massive, atOnce)
	token, err := os.ReadFile(filepath.Join(dir, "core.token"))
	if err != nil {
		t.Fatal(err)
	}
	g := &graveyard{t: t, bench: bench, config: filepath.Join(dir, "hub.yaml"), flag: filepath.Join(dir, "die"), next: deaths(seed)}
	defer bench.Watch(g.watch)()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	lives, end := context.WithCancel(ctx)
	lived := make(chan error, 1)
	go func() { lived <- g.live(lives) }()

	people := mixed(120)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		doubted = map[string]string{} // ticket by case
	)
	places := make(chan struct{}, 16)
	for i, m := range people {
		id := fmt.Sprintf("K-%03d", i)
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			ticket, err := see(ctx, g, string(token), id, query(t, m))
			switch {
			case errors.Is(err, errInDoubt):
				mu.Lock()
				doubted[id] = ticket
				mu.Unlock()
			case err != nil:
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	wg.Wait()
	g.mu.Lock()
	g.over = true
	died, left := g.died, len(g.next)
	g.mu.Unlock()
	end()
	if err := <-lived; err != nil {
		t.Errorf("last life: %v", err)
	}
	t.Logf("died of: %s", strings.Join(died, ", "))
	if left > 0 {
		t.Errorf("%d of 20 deaths did not come about: the work was done before", left)
	}
	r.open(massive, atOnce)
	defer r.stop()
	taken := r.taken()
	for id, ticket := range doubted { // a person looks into the provider's log, and takes it on themselves
		subject := "Codice di attivazione - pratica " + id
		t.Logf("%s was in doubt; the provider has taken %d", id, taken[subject])
		if taken[subject] == 0 {
			if err := r.hub.Retry(ctx, ticket, "operator-7", "the provider's log does not hold it"); err != nil {
				t.Errorf("%s: retry: %v", id, err)
			}
		}
		if x, err := r.hub.Tickets().Wait(ctx, ticket); err != nil || x.State != contracts.StateDone {
			t.Errorf("%s: %s (%v, %v)", id, x.State, x.Err, err)
		}
	}
	taken = r.taken()
	for i := range people {
		subject := fmt.Sprintf("Codice di attivazione - pratica K-%03d", i)
		if n := taken[subject]; n != 1 {
			t.Errorf("%s: the provider took %d messages, want 1", subject, n)
		}
	}
	if len(taken) != len(people) {
		t.Errorf("%d different messages, want %d", len(taken), len(people))
	}
	if report, err := r.hub.Ledger().Verify(t.Context()); err != nil {
		t.Errorf("ledger after %d lives: %v", len(died)+1, err)
	} else {
		t.Logf("%d entries verify", report.Entries)
	}
}

// prompt picks members of the cast who are found and reached without trouble, in either register.
func prompt(n int) []lab.Member {
	var out []lab.Member
	seen := map[string]bool{}
	plain := func(address string) bool {
		first, _, _ := strings.Cut(address, ".")
		switch first {
		case "nodest", "full", "virus", "toobig", "slow", "timeout12", "timeout24", "late", "never", "noaccept", "noacceptreceipt", "mute":
			return false
		}
		return strings.HasSuffix(address, ".test") && !strings.HasSuffix(address, "@posta.test")
	}
	for _, m := range lab.Cast() {
		ok := false
		switch m.Capacity {
		case lab.Enterprise:
			ok = m.INIPEC != nil && m.INIPEC.Enterprise != "" && plain(m.INIPEC.Enterprise)
		case lab.Person:
			for _, d := range m.InForce(time.Now()) {
				ok = ok || d.Profession == "" && d.Until.IsZero() && plain(d.Address)
			}
			ok = ok && m.Quirk == "" && !strings.ContainsAny(m.CodiceFiscale[6:8], "LMNPQRSTUV") && m.Story != "omocodic"
		}
		if ok && strings.HasPrefix(m.Story, "crowd") && !seen[m.CodiceFiscale+m.Capacity] && len(out) < n {
			seen[m.CodiceFiscale+m.Capacity] = true
			out = append(out, m)
		}
	}
	return out
}

// errInDoubt is what a message ends with that was marked as leaving by a hub that died then: unless a receipt tells that
// it was taken, nobody but the provider's log can.
var errInDoubt = errors.New("in doubt")

const doubt = 20 * time.Second // without a receipt; they come within a second or two here

// see takes one employer from the look-up to the delivery receipt, through whichever hub lives.
func see(ctx context.Context, g *graveyard, token, id string, q domicile.Query) (ticket string, err error) {
	ctx = contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: id})
	look, err := patient(ctx, g, token, func(ctx context.Context, c *api.Client) (contracts.Ticket, error) {
		return contracts.Submit(contracts.WithKey(ctx, "domicile/"+id), c, domicile.OpLookup, q)
	})
	if err != nil {
		return "", fmt.Errorf("submit look-up: %w", err)
	}
	answer, err := await(ctx, g, token, look.ID, domicile.OpLookup)
	if err != nil {
		return "", fmt.Errorf("look-up: %w", err)
	}
	m := message(g.t, answer.Domiciles[0].Address.Reveal(), id)
	sent, err := patient(ctx, g, token, func(ctx context.Context, c *api.Client) (contracts.Ticket, error) {
		return contracts.Submit(contracts.WithKey(ctx, "code/"+id), c, delivery.OpSend, m)
	})
	if err != nil {
		return "", fmt.Errorf("submit message: %w", err)
	}
	if _, err := await(ctx, g, token, sent.ID, delivery.OpSend); err != nil {
		return sent.ID, fmt.Errorf("message: %w", err)
	}
	return sent.ID, nil
}

// await follows a ticket to its end, or until it has been in doubt for too long.
func await[Req, Resp any](ctx context.Context, g *graveyard, token, id string, op contracts.Op[Req, Resp]) (Resp, error) {
	var since time.Time
	for {
		out, err := patient(ctx, g, token, func(ctx context.Context, c *api.Client) (Resp, error) {
			x, err := c.Ticket(ctx, id)
			switch {
			case err != nil || x.State != contracts.StateUncertain:
				since = time.Time{}
			case since.IsZero():
				since = time.Now()
			}
			return contracts.Answer(ctx, c, op, id)
		})
		if !since.IsZero() && time.Since(since) > doubt {
			return out, errInDoubt
		}
		if err == nil || contracts.KindOf(err) != contracts.Pending {
			return out, err
		}
		wait := time.NewTimer(100 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}
