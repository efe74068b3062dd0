package hub_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// A rig is a hub and every mock on one clock that jumps.
type rig struct {
	t     testing.TB
	bench *lab.Bench
	dir   string
	hub   *hub.Hub
	stop  func() // ends Work and closes the hub
}

// A setting changes the configuration text before it is loaded, or the hub's options.
type setting struct {
	replace []string // old, new, old, new …
	options func(*hub.Options)
}

// with replaces text in the configuration; every old must stand there.
func with(pairs ...string) setting { return setting{replace: pairs} }

func options(fn func(*hub.Options)) setting { return setting{options: fn} }

// massive is a mailbox under a contract without a rate that tests would wait for.
var massive = with("        role: centrale\n", "        role: centrale\n        per_minute: 10000\n")

func newRig(t testing.TB, settings ...setting) *rig {
	t.Helper()
	r := &rig{t: t, bench: lab.Start(t, mocks.All()...), dir: t.TempDir()}
	r.open(settings...)
	t.Cleanup(func() { r.stop() })
	return r
}

// open opens the hub on the rig's folder and starts its work; a hub that runs must be stopped first.
func (r *rig) open(settings ...setting) {
	r.t.Helper()
	cfg, opt := r.load(settings...)
	h, err := hub.Open(context.Background(), cfg, adapters.Kinds(), opt)
	if err != nil {
		r.t.Fatalf("open: %v", err)
	}
	r.hub = h
	ctx, cancel := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- h.Work(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-worked; err != nil {
			r.t.Errorf("work: %v", err)
		}
		if err := h.Close(context.Background()); err != nil {
			r.t.Errorf("close: %v", err)
		}
	}
}

func (r *rig) load(settings ...setting) (*hub.Config, hub.Options) {
	r.t.Helper()
	text, err := mocks.Configuration(r.bench, r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	opt := hub.Options{Clock: r.bench.Clock()}
	// Most rigs are about registers that answer in lists: the one that answers at once stands aside unless it is asked for.
	yaml := strings.Replace(string(text), "domicile: [registroimprese-pdnd, ", "domicile: [", 1)
	for _, s := range settings {
		for i := 0; i+1 < len(s.replace); i += 2 {
			if !strings.Contains(yaml, s.replace[i]) {
				r.t.Fatalf("the configuration does not hold %q", s.replace[i])
			}
			yaml = strings.ReplaceAll(yaml, s.replace[i], s.replace[i+1])
		}
		if s.options != nil {
			s.options(&opt)
		}
	}
	file := filepath.Join(r.dir, "hub.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		r.t.Fatal(err)
	}
	cfg, err := hub.Load(file, adapters.Kinds())
	if err != nil {
		r.t.Fatalf("load: %v", err)
	}
	return cfg, opt
}

// pump moves the clock to whatever falls due next, whenever nobody is at work, until stopped.
func (r *rig) pump() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			if !r.step() {
				wait := time.NewTimer(200 * time.Microsecond)
				select {
				case <-wait.C:
				case <-done:
					wait.Stop()
					return
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// step jumps once if nobody is at work.
func (r *rig) step() (jumped bool) {
	r.hub.Still(func(next time.Time) {
		if r.bench.InFlight() > 0 {
			return
		}
		if at, ok := r.bench.Clock().Next(); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
		if !next.IsZero() {
			r.bench.Clock().AdvanceTo(next)
			jumped = true
		}
	})
	return jumped
}

// as is a context with the core's caller.
func (r *rig) as(caseID string) context.Context {
	return contracts.WithCaller(r.t.Context(), contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: caseID})
}

// settled follows a ticket to its end, in virtual time.
func (r *rig) settled(id string) contracts.Ticket {
	r.t.Helper()
	stop := r.pump()
	defer stop()
	ctx, cancel := context.WithTimeout(r.as(""), 30*time.Second)
	defer cancel()
	t, err := r.hub.Tickets().Wait(ctx, id)
	if err != nil {
		r.t.Fatalf("wait: %v", err)
	}
	if !t.State.Settled() {
		r.t.Fatalf("ticket %s is still %s: %v", id, t.State, t.Err)
	}
	return t
}

func (r *rig) provider() *pec.Mock { return r.bench.Mock("pec").(*pec.Mock) }

func query(t testing.TB, m lab.Member) domicile.Query {
	t.Helper()
	q := domicile.Query{Capacity: domicile.Capacity(m.Capacity)}
	var err error
	if q.Subject.CodiceFiscale, err = contracts.ParseCodiceFiscale(m.CodiceFiscale); err != nil {
		t.Fatal(err)
	}
	if m.PartitaIVA != "" {
		if q.Subject.PartitaIVA, err = contracts.ParsePartitaIVA(m.PartitaIVA); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func message(t testing.TB, to, caseID string) delivery.Message {
	t.Helper()
	a, err := contracts.ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	return delivery.Message{
		Sender: "centrale", Secret: true,
		To:      []delivery.Recipient{{Address: a, Basis: delivery.Basis{Kind: delivery.Elected}}},
		Subject: contracts.NewPrivate("Codice di attivazione - pratica " + caseID),
		Text:    contracts.NewPrivate("Il codice è SEGRETISSIMO-" + caseID + "\r\n"),
	}
}
