package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/domicile"
	"raccordo/contracts/tax"
	"raccordo/hub"
	"raccordo/mocks/lab"
)

// upstream is how long every source takes.
const upstream = 20 * time.Millisecond

// A farSide is a source within the process that answers well after upstream.
type farSide struct{ ops []*contracts.OpInfo }

func (f *farSide) Operations() []*contracts.OpInfo      { return f.ops }
func (f *farSide) Validate(contracts.Environment) error { return nil }
func (f *farSide) Close() error                         { return nil }
func (f *farSide) Open(context.Context, contracts.Env) (contracts.Adapter, error) {
	return f, nil
}

func (f *farSide) Bindings() (all []contracts.Binding) {
	for _, op := range f.ops {
		all = append(all, contracts.Binding{Op: op, Do: func(ctx context.Context, _ any) (any, error) {
			t := time.NewTimer(upstream)
			defer t.Stop()
			select {
			case <-t.C:
				return good(op.Name), nil
			case <-ctx.Done():
				return nil, contracts.AsError(ctx.Err())
			}
		}})
	}
	return all
}

// pipeline opens a hub of its own over far sides within the process, with its store on disk, and works it.
func pipeline(b *testing.B) *hub.Hub {
	b.Helper()
	dir := b.TempDir()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}
	yaml := fmt.Sprintf(`environment: collaudo
store: {path: %q, key: %q}
ledger: {key: %q}
adapters:
  register: {kind: company, policy: {limit: {places: 100}}}
  agency: {kind: tax, policy: {limit: {places: 100}}}
  index: {kind: domicile, policy: {limit: {places: 100}}}
routes:
  company: [register]
  tax: [agency]
  domicile: [index]
`, filepath.Join(dir, "hub.db"), "secret://file/"+file("store.key", []byte(base64.StdEncoding.EncodeToString(make([]byte, 32)))),
		"secret://file/"+file("ledger.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	kinds := contracts.Kinds{}
	for name, ops := range map[string][]*contracts.OpInfo{"company": company.Ops(), "tax": tax.Ops(), "domicile": domicile.Ops()} {
		kinds[name] = func() contracts.Config { return &farSide{ops} }
	}
	cfg, err := hub.Load(file("hub.yaml", []byte(yaml)), kinds)
	if err != nil {
		b.Fatal(err)
	}
	h, err := hub.Open(b.Context(), cfg, kinds, hub.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- h.Work(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-worked; err != nil {
			b.Error(err)
		}
		if err := h.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return h
}

// stranger is the n-th enterprise, whom nobody asked about before: twins would share their questions.
func stranger(b *testing.B, n int) input.Row {
	b.Helper()
	r := employer(domicile.Enterprise)
	r.ID = fmt.Sprintf("B%d", n)
	code := lab.VATNumber(7_500_000+n%400_000, n/400_000+1)
	var err error
	if r.Query.Subject.CodiceFiscale, err = contracts.ParseCodiceFiscale(code); err != nil {
		b.Fatal(err)
	}
	if r.Query.Subject.PartitaIVA, err = contracts.ParsePartitaIVA(code); err != nil {
		b.Fatal(err)
	}
	return r
}

// openLoop begins n visits, one each ten milliseconds whether or not those before have ended, with at most 200 in flight,
// and gives how long each took, counted from the instant at which it was to begin.
func openLoop(n int, visit func()) []time.Duration {
	const every, inFlight = 10 * time.Millisecond, 200
	var (
		wg     sync.WaitGroup
		places = make(chan struct{}, inFlight)
		took   = make([]time.Duration, n)
		began  = time.Now()
	)
	for i := range n {
		due := began.Add(time.Duration(i) * every)
		t := time.NewTimer(time.Until(due))
		<-t.C
		places <- struct{}{}
		wg.Go(func() {
			visit()
			took[i] = time.Since(due)
			<-places
		})
	}
	wg.Wait()
	return took
}

func quantile(took []time.Duration, q float64) float64 {
	slices.Sort(took)
	return float64(took[min(int(q*float64(len(took))), len(took)-1)])
}

// BenchmarkCheck is the employer check in an open loop of a hundred enterprises a second, against the same calls in a bare
// errgroup, and against one source alone, all by turns in one run. The far sides are within the process, each 20 ms away,
// behind a whole hub with its store on disk: servers on the same machine would be measured together with what asks them.
//
// Reported are p50 against the source alone (the bar is 1.5) and p99 against the errgroup (1.3).
func BenchmarkCheck(b *testing.B) {
	const each = 200 // two seconds of each
	h := pipeline(b)
	c := newChecker(h, time.Now)
	ctx := contracts.WithCaller(b.Context(), contracts.Caller{Service: "core", Purpose: "activation"})
	var (
		mu   sync.Mutex
		next int
	)
	row := func() input.Row {
		mu.Lock()
		defer mu.Unlock()
		next++
		return stranger(b, next)
	}
	fail := func(err error) {
		if err != nil {
			b.Error(err)
		}
	}
	whole := func() {
		facts, owed := c.check(ctx, row())
		if v := judge(facts); v != passed || len(owed) > 0 {
			fail(fmt.Errorf("a check came to %s, %d tickets owed", v, len(owed)))
		}
	}
	bare := func() {
		r := row()
		group, ctx := errgroup.WithContext(ctx)
		for _, q := range questions(r, 2025) {
			group.Go(func() error {
				if q.topic == aboutIncome {
					_, err := q.submit(contracts.WithKey(ctx, "check/"+r.ID+"/income"), h)
					return err
				}
				_, err := q.ask(ctx, h)
				return err
			})
		}
		fail(group.Wait())
	}
	alone := func() {
		_, err := company.Via(h).Find(ctx, company.Query{Subject: row().Query.Subject})
		fail(err)
	}
	openLoop(20, whole) // connections, caches
	var checks, bares, alones []time.Duration
	for b.Loop() {
		alones = append(alones, openLoop(each, alone)...)
		checks = append(checks, openLoop(each, whole)...)
		bares = append(bares, openLoop(each, bare)...)
	}
	c.wait()
	b.ReportMetric(quantile(checks, 0.5)/quantile(alones, 0.5), "p50/source")
	b.ReportMetric(quantile(checks, 0.99)/quantile(bares, 0.99), "p99/errgroup")
	b.ReportMetric(quantile(checks, 0.5)/1e6, "p50-ms")
	b.ReportMetric(quantile(checks, 0.99)/1e6, "p99-ms")
}
