package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/mocks"
	"raccordo/mocks/lab"
)

// A spoiled is a source that misbehaves, the topics that hang on it, and the story of somebody about whom it is asked.
type spoiled struct {
	match  string
	topics []topic
	story  string
}

func spoilable() []spoiled {
	return []spoiled{
		{"registroimprese GET /imprese/*", []topic{aboutCompany, aboutDomicile}, "company-with-pec"},
		{"registroimprese GET /legaleRappresentante/*", []topic{aboutMandate}, "company-with-pec"},
		{"entrate POST *RappresentanteEnteService", []topic{aboutMandate}, "body-with-vat"},
		{"entrate POST *vcf*", []topic{aboutCode}, "personal-domicile"},
		{"entrate POST *piva*", []topic{aboutVAT}, "company-with-pec"},
		{"inad GET /extract/*", []topic{aboutDomicile}, "personal-domicile"},
	}
}

// A misdeed is what it does.
type misdeed struct {
	name  string
	fault lab.Fault
}

// misdeeds: down, slow and lying in all the ways of a wire. A page where an answer should be, or a status without the
// register's own word, is not a "no".
func misdeeds() []misdeed {
	page := []byte("<html><body>Not Found</body></html>")
	return []misdeed{
		{"is down", lab.Fault{Do: lab.Refuse}},
		{"hangs up", lab.Fault{Do: lab.Drop}},
		{"loses its answers", lab.Fault{Do: lab.DropAfterAccept}},
		{"fails", lab.Fault{Do: lab.Status, Status: 500}},
		{"is in maintenance", lab.Fault{Do: lab.Status, Status: 503}},
		{"lets nobody in", lab.Fault{Do: lab.Status, Status: 403}},
		{"throttles", lab.Fault{Do: lab.Throttle}},
		{"takes 20 s", lab.Fault{Do: lab.Slow}},
		{"answers half", lab.Fault{Do: lab.Truncate}},
		{"answers nonsense", lab.Fault{Do: lab.Garbage}},
		{"answers a page", lab.Fault{Do: lab.WrongType}},
		{"says 404 without a word", lab.Fault{Do: lab.Status, Status: 404, Body: page}},
		{"says 200 and nothing", lab.Fault{Do: lab.Status, Status: 200, Body: []byte("{}")}},
		{"says 204", lab.Fault{Do: lab.Status, Status: 204}},
	}
}

// A town is every mock and a hub that asks them; its tickets stay where they are, since nobody works.
type town struct {
	bench   *lab.Bench
	hub     *hub.Hub
	checker *checker
}

func newTown(t *testing.T) *town {
	t.Helper()
	bench, dir := lab.Start(t, mocks.All()...), t.TempDir()
	text, err := mocks.Configuration(bench, dir)
	if err != nil {
		t.Fatal(err)
	}
	// What one misdeed did to the breaker must not be seen with the next.
	yaml := regexp.MustCompile(`(?m)^    kind: .*\n`).ReplaceAll(text, []byte("${0}    policy: {break: {volume: 1000000}}\n"))
	file := filepath.Join(dir, "hub.yaml")
	if err := os.WriteFile(file, yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := hub.Load(file, adapters.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.Open(t.Context(), cfg, adapters.Kinds(), hub.Options{Clock: bench.Clock()})
	if err != nil {
		t.Fatal(err)
	}
	tn := &town{bench, h, newChecker(h, bench.Clock().Now)}
	tn.checker.serves, tn.checker.pace = served(h), paces(cfg)
	tn.checker.budget = time.Second // many are checked
	for _, topic := range topics() {
		tn.checker.patience[topic] = 700 * time.Millisecond
	}
	t.Cleanup(func() {
		if err := bench.Close(); err != nil { // whoever hangs there is let go
			t.Error(err)
		}
		tn.checker.wait()
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tn
}

// visitor is the row of a member against whom nothing stands.
func (tn *town) visitor(t *testing.T, id, story string) input.Row {
	t.Helper()
	m := tn.bench.Who(story)
	r := input.Row{ID: id, Query: domicile.Query{Capacity: domicile.Capacity(m.Capacity)}}
	var err error
	if r.Query.Subject.CodiceFiscale, err = contracts.ParseCodiceFiscale(m.CodiceFiscale); err != nil {
		t.Fatal(err)
	}
	if m.PartitaIVA != "" {
		if r.Query.Subject.PartitaIVA, err = contracts.ParsePartitaIVA(m.PartitaIVA); err != nil {
			t.Fatal(err)
		}
	}
	if m.Representative != "" {
		if r.Representative, err = contracts.ParseCodiceFiscale(m.Representative); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// examine checks one employer while some sources misbehave: in time, no "no", everything known that can be, and a ticket
// for all that is not.
func (tn *town) examine(t *testing.T, rule string, r input.Row, spoils []topic) (missing int) {
	t.Helper()
	ctx := contracts.WithCaller(t.Context(), contracts.Caller{Service: service, Purpose: purpose, User: "system", Case: r.ID})
	began := time.Now()
	facts, owed := tn.checker.check(ctx, r)
	if took := time.Since(began); took > 8*tn.checker.budget { // a machine under load is late itself; a source that hangs takes 20 s
		t.Errorf("%s: it took %s", rule, took)
	}
	if v := judge(facts); v == refused {
		t.Errorf("%s: refused", rule)
	}
	for _, f := range facts {
		if f.known == notYet && !f.slow {
			missing++
		}
		late := f.known == notYet && f.why == "no answer in time" // of a machine under load
		switch {
		case f.known == against:
			t.Errorf("%s: %s: a \"no\" that nobody said: %s (%v)", rule, f.topic, f.text, f.err)
		case !slices.Contains(spoils, f.topic) && f.known != holds && !f.slow && !late:
			t.Errorf("%s: %s: known %d (%s), although its source is well: %v", rule, f.topic, f.known, f.why, f.err)
		case f.known == notYet && f.why == "":
			t.Errorf("%s: %s: nobody says why it is not known yet", rule, f.topic)
		case f.known == notYet && !f.owed:
			if _, err := tn.hub.Ticket(ctx, f.ticket); err != nil {
				t.Errorf("%s: %s: no ticket: %v", rule, f.topic, err)
			}
		}
	}
	for _, q := range owed {
		if !slices.ContainsFunc(facts, func(f fact) bool { return f.topic == q.topic && f.owed }) {
			t.Errorf("%s: %s is owed, and yet it is not", rule, q.topic)
		}
	}
	return missing
}

// The stories of those who are well, in each capacity.
func wells() []string {
	return []string{"company-with-pec", "body-with-vat", "personal-domicile", "sole-trader-as-enterprise"}
}

func TestNobodyIsRefusedWhenAllIsWell(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	for _, story := range wells() {
		tn.examine(t, story, tn.visitor(t, "W-"+story, story), nil)
	}
}

// TestEachSourceMisbehavesInTurn: one source down, slow or lying is one or two facts that come later, and nothing else.
func TestEachSourceMisbehavesInTurn(t *testing.T) {
	t.Parallel()
	var side sync.WaitGroup // beside each other: most of it is waiting
	defer side.Wait()
	for _, source := range spoilable() {
		tn := newTown(t)
		visitors := make([]input.Row, len(misdeeds()))
		for i := range visitors {
			visitors[i] = tn.visitor(t, fmt.Sprintf("T%d", i), source.story)
		}
		side.Go(func() {
			missing := 0
			for i, m := range misdeeds() {
				f := m.fault
				f.Match = source.match
				tn.bench.Inject(f)
				missing += tn.examine(t, source.match+" "+m.name, visitors[i], source.topics)
				tn.bench.Clear()
			}
			if missing < len(misdeeds())/2 {
				t.Errorf("%s: %d facts were missing in %d misdeeds: they did nothing", source.match, missing, len(misdeeds()))
			}
		})
	}
}

// TestRandomPairsMisbehaveTogether draws two misdeeds at a time, of one source or of two.
func TestRandomPairsMisbehaveTogether(t *testing.T) {
	t.Parallel()
	tn := newTown(t)
	draw := rand.New(rand.NewPCG(4, 4))
	for i := range 12 {
		var spoils []topic
		name := ""
		for range 2 {
			source, m := spoilable()[draw.IntN(len(spoilable()))], misdeeds()[draw.IntN(len(misdeeds()))]
			f := m.fault
			f.Match = source.match
			tn.bench.Inject(f)
			spoils = append(spoils, source.topics...)
			name += source.match + " " + m.name + "; "
		}
		story := wells()[draw.IntN(len(wells()))]
		tn.examine(t, name+story, tn.visitor(t, fmt.Sprintf("P%d", i), story), spoils)
		tn.bench.Clear()
	}
}
