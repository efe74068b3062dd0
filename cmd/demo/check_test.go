package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/domicile"
	"raccordo/contracts/tax"
)

// A conduct is how a source, or the hub before it, behaves about one question.
type conduct struct {
	name  string
	know  knowledge // what must be known of it in time
	after time.Duration
	deaf  bool // it goes on when its caller is gone
	err   error
	reply func(op string) any // nil: a good answer
}

// A desk plays the hub: registers that behave as told, and tickets.
type desk struct {
	asks, takes map[string]conduct // by operation
	end         chan struct{}      // lets the deaf go

	mu      sync.Mutex
	asked   map[string]int    // by operation
	at      map[string]string // the instance insisted on, by operation
	tickets map[string]int    // submissions that were taken, by ticket
}

func newDesk() *desk {
	return &desk{
		asks: map[string]conduct{}, takes: map[string]conduct{}, end: make(chan struct{}),
		asked: map[string]int{}, at: map[string]string{}, tickets: map[string]int{},
	}
}

// play waits as the conduct says, and tells whether anything is to be said at all.
func (d *desk) play(ctx context.Context, c conduct) error {
	done := ctx.Done()
	if c.deaf {
		done = nil
	}
	t := time.NewTimer(c.after)
	defer t.Stop()
	select {
	case <-t.C:
		return c.err
	case <-done:
		return contracts.AsError(ctx.Err())
	case <-d.end:
		return contracts.Errorf(contracts.Unavailable, "the desk has closed")
	}
}

func (d *desk) Run(ctx context.Context, c *contracts.Call) (any, error) {
	d.mu.Lock()
	d.asked[c.Op.Name]++
	d.at[c.Op.Name] = c.At
	how := d.asks[c.Op.Name]
	d.mu.Unlock()
	if err := d.play(ctx, how); err != nil {
		return nil, err
	}
	if how.reply != nil {
		return how.reply(c.Op.Name), nil
	}
	return good(c.Op.Name), nil
}

func (d *desk) Submit(ctx context.Context, c *contracts.Call) (contracts.Ticket, error) {
	t := contracts.Ticket{ID: contracts.TicketID(c.Caller.Service, c.Op.Name, c.Key), State: contracts.StateQueued}
	if err := d.play(ctx, d.takes[c.Op.Name]); err != nil {
		return contracts.Ticket{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tickets[t.ID]++
	return t, nil
}

func (d *desk) Ticket(context.Context, string) (contracts.Ticket, error) {
	return contracts.Ticket{}, contracts.NotFound
}

var instant = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// good is an answer in which nothing stands against anybody.
func good(op string) any {
	return map[string]any{
		company.OpFind.Name:       company.Company{Status: company.Active, Register: "R", AsOf: instant},
		company.OpRepresents.Name: company.Representation{Represents: contracts.Yes, Register: "R", AsOf: instant},
		tax.OpCode.Name:           tax.CodeCheck{State: tax.CodeValid, Register: "R", AsOf: instant},
		tax.OpVAT.Name:            tax.VAT{Assigned: true, Status: tax.VATActive, Register: "R", AsOf: instant},
		domicile.OpLookup.Name:    domicile.Answer{Domiciles: []contracts.DigitalDomicile{{Register: "R"}}, AsOf: instant},
		tax.OpIncome.Name:         tax.Income{Year: 2025, Register: "R", AsOf: instant},
	}[op]
}

// refusal is an answer in which a register says "no"; where it has no words for that, that it holds nothing.
func refusal(op string) any {
	return map[string]any{
		company.OpFind.Name:       company.Company{Status: company.Ceased, Register: "R", AsOf: instant},
		company.OpRepresents.Name: company.Representation{Represents: contracts.No, Register: "R", AsOf: instant},
		tax.OpCode.Name:           tax.CodeCheck{State: tax.CodeInvalid, Register: "R", AsOf: instant},
		tax.OpVAT.Name:            tax.VAT{Register: "R", AsOf: instant},
	}[op]
}

// doubt is an answer that decides nothing.
func doubt(op string) any {
	return map[string]any{
		company.OpFind.Name:       company.Company{Status: company.Liquidation, Register: "R", AsOf: instant},
		company.OpRepresents.Name: company.Representation{Reason: "XXXX", Register: "R", AsOf: instant},
		tax.OpCode.Name:           tax.CodeCheck{State: tax.CodeUnclear, Register: "R", AsOf: instant},
		tax.OpVAT.Name:            tax.VAT{Assigned: true, Group: true, Register: "R", AsOf: instant},
	}[op]
}

// lies are answers of another shape than was agreed, without an error: none of them may be read as a "no".
func lies() []any {
	return []any{nil, "<html>", 0, company.Query{}, []byte("{}"), &company.Company{Status: company.Ceased}, &tax.VAT{}, map[string]any{"represents": "no"}}
}

// conducts lists how a source may behave about an operation, asked for an employer in that capacity.
func conducts(op string, capacity domicile.Capacity) []conduct {
	all := []conduct{
		{name: "answers", know: holds},
		{name: "answers just in time", know: holds, after: 1400 * time.Millisecond},
		{name: "answers too late", know: notYet, after: 2700 * time.Millisecond},
		{name: "takes 20 s", know: notYet, after: 20 * time.Second},
		{name: "hangs and hears nothing", know: notYet, after: time.Hour, deaf: true},
		{name: "answers nobody but the deaf", know: notYet, after: 2900 * time.Millisecond, deaf: true},
		{name: "says that it has become a ticket", know: notYet, err: &contracts.Error{Kind: contracts.Pending, Ticket: "own-" + op}},
	}
	for _, kind := range contracts.AllKinds() {
		c := conduct{name: "fails as " + kind.String(), know: notYet, err: &contracts.Error{Kind: kind, System: "far"}}
		switch kind {
		case contracts.Invalid:
			c.know = cannotTell
		case contracts.NotFound:
			c.know = against
			if op == tax.OpCode.Name || op == tax.OpVAT.Name || op == company.OpRepresents.Name && capacity == domicile.Body {
				c.know = cannotTell // finding none decides nothing there
			}
		}
		all = append(all, c)
		c.name, c.after = c.name+" late", 10*time.Second
		c.know = notYet
		all = append(all, c)
	}
	all = append(all, conduct{name: "fails with what is no error of ours", know: notYet, err: errors.New("broken")})
	for i, lie := range lies() {
		all = append(all, conduct{name: fmt.Sprintf("lies (%d)", i), know: notYet, reply: func(string) any { return lie }})
	}
	if refusal(op) != nil {
		all = append(all, conduct{name: "says no", know: against, reply: refusal}, conduct{name: "decides nothing", know: cannotTell, reply: doubt})
	}
	if op == tax.OpVAT.Name {
		all = append(all, conduct{name: "says nothing at all", know: cannotTell, reply: func(string) any { return tax.VAT{} }})
	}
	if op == domicile.OpLookup.Name {
		all = append(all, conduct{name: "answers without an address", know: notYet, reply: func(string) any { return domicile.Answer{} }})
	}
	return all
}

// counters lists how the hub may behave when a ticket is handed in.
func counters() []conduct {
	return []conduct{
		{name: "takes it"},
		{name: "has no room", err: &contracts.Error{Kind: contracts.Throttled, System: "hub"}},
		{name: "waits for its disk", after: time.Hour, deaf: true},
		{name: "is down", err: &contracts.Error{Kind: contracts.Unavailable, System: "hub"}},
	}
}

func employer(capacity domicile.Capacity) input.Row {
	must := func(code contracts.CodiceFiscale, err error) contracts.CodiceFiscale {
		if err != nil {
			panic(err)
		}
		return code
	}
	vat, err := contracts.ParsePartitaIVA("70000010010")
	if err != nil {
		panic(err)
	}
	return input.Row{
		ID: "A1", Representative: must(contracts.ParseCodiceFiscale("RSSMRA85T10A562S")),
		Query: domicile.Query{Capacity: capacity, Subject: contracts.Subject{
			CodiceFiscale: must(contracts.ParseCodiceFiscale("70000010010")), PartitaIVA: vat,
		}},
	}
}

func capacities() []domicile.Capacity {
	return []domicile.Capacity{domicile.Enterprise, domicile.Body, domicile.Person, domicile.Professional}
}

// trial checks one employer at a desk and gives everything that is wrong with what came of it. It runs in a bubble, where
// time is exact and hours pass at once.
func trial(capacity domicile.Capacity, d *desk) error {
	c := newChecker(d, func() time.Time { return instant })
	ctx := contracts.WithCaller(context.Background(), contracts.Caller{Service: "core", Purpose: "activation"})
	began := time.Now()
	facts, owed := c.check(ctx, employer(capacity))
	took := time.Since(began)
	close(d.end)
	c.wait() // every question has an owner that waits for it

	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if took > checkBudget {
		bad("it took %s, the budget is %s", took, checkBudget)
	}
	asked := questions(employer(capacity), 2025)
	if len(facts) != len(asked) {
		bad("%d facts of %d questions", len(facts), len(asked))
		return errors.Join(errs...)
	}
	want, no := passed, false
	for i, f := range facts {
		op := asked[i].op
		how := d.asks[op]
		if f.slow {
			how = conduct{name: "is never waited for", know: notYet}
		}
		if f.known != how.know {
			bad("%s %s: known %d, want %d (%s)", f.topic, how.name, f.known, how.know, f.why)
		}
		if f.known == notYet && !f.slow {
			want = incomplete
		}
		no = no || f.known == against && f.topic.decides()
		own := "own-" + op
		id := contracts.TicketID("core", op, "check/A1/"+string(f.topic))
		isOwed := false
		for _, q := range owed {
			isOwed = isOwed || q.topic == f.topic
		}
		switch {
		case f.known != notYet && (f.ticket != "" || d.tickets[id] > 0 || isOwed):
			bad("%s %s: it is known, and yet there is a ticket", f.topic, how.name)
		case f.known != notYet:
		case f.why == "":
			bad("%s %s: nobody says why it is not known yet", f.topic, how.name)
		case f.ticket == own && d.tickets[id] == 0 && !isOwed: // it became one by itself
		case f.ticket != id:
			bad("%s %s: its ticket is %q, want the one that row and topic name", f.topic, how.name, f.ticket)
		case f.owed != isOwed || f.owed == (d.tickets[id] == 1):
			bad("%s %s: owed %v (%v), taken %d times; want exactly one of the two", f.topic, how.name, f.owed, isOwed, d.tickets[id])
		}
	}
	if no {
		want = refused
	}
	if v := judge(facts); v != want {
		bad("verdict %s, want %s", v, want)
	}
	return errors.Join(errs...)
}

// TestACheckKeepsItsBudgetAndNeverInventsANo tries random combinations of faults: whatever sources and hub do, the check
// answers in time with what is known, only a register's word is a "no", and every missing fact has exactly one ticket.
func TestACheckKeepsItsBudgetAndNeverInventsANo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		capacity := rapid.SampledFrom(capacities()).Draw(r, "capacity")
		asks, takes := map[string]conduct{}, map[string]conduct{}
		for _, q := range questions(employer(capacity), 2025) {
			all := conducts(q.op, capacity)
			asks[q.op] = all[rapid.IntRange(0, len(all)-1).Draw(r, q.op)]
			takes[q.op] = counters()[rapid.IntRange(0, len(counters())-1).Draw(r, q.op+" ticket")]
		}
		var err error
		synctest.Test(t, func(*testing.T) {
			d := newDesk()
			d.asks, d.takes = asks, takes
			err = trial(capacity, d)
		})
		if err != nil {
			r.Fatal(err)
		}
	})
}

// TestEveryConductOfEverySource goes through all of them one at a time, the others being well.
func TestEveryConductOfEverySource(t *testing.T) {
	t.Parallel()
	for _, capacity := range capacities() {
		for _, odd := range questions(employer(capacity), 2025) {
			for _, how := range conducts(odd.op, capacity) {
				synctest.Test(t, func(t *testing.T) {
					d := newDesk()
					for _, q := range questions(employer(capacity), 2025) {
						d.asks[q.op] = conduct{know: holds}
					}
					d.asks[odd.op] = how
					if err := trial(capacity, d); err != nil {
						t.Errorf("%s, %s %s: %v", capacity, odd.op, how.name, err)
					}
				})
			}
		}
	}
}

func TestWhoIsAskedAboutWhat(t *testing.T) {
	t.Parallel()
	bare := func(c domicile.Capacity, change func(*input.Row)) input.Row {
		r := employer(c)
		change(&r)
		return r
	}
	same := func(*input.Row) {}
	for _, c := range []struct {
		rule string
		row  input.Row
		want string
	}{
		{"an enterprise is asked about everywhere", bare(domicile.Enterprise, same), "company represents code vat domicile income"},
		{"nobody is named as its representative", bare(domicile.Enterprise, func(r *input.Row) { r.Representative = contracts.CodiceFiscale{} }), "company code vat domicile income"},
		{
			"a partita IVA alone is no codice fiscale", bare(domicile.Enterprise, func(r *input.Row) { r.Query.Subject.CodiceFiscale = contracts.CodiceFiscale{} }),
			"company represents vat domicile",
		},
		{"a body is not in the business register", bare(domicile.Body, same), "represents code vat domicile income"},
		{"a body without partita IVA", bare(domicile.Body, func(r *input.Row) { r.Query.Subject.PartitaIVA = contracts.PartitaIVA{} }), "represents code domicile income"},
		{"a person applies as a person, whatever else they are", bare(domicile.Person, same), "code domicile income"},
		{"a professional has a partita IVA and represents nobody", bare(domicile.Professional, same), "code vat domicile income"},
	} {
		var got []string
		for _, q := range questions(c.row, 2025) {
			got = append(got, string(q.topic))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: asked about %s, want %s", c.rule, s, c.want)
		}
	}
}

// TestWhatAnswersMean: only what a register says with authority is a "no"; what needs a person says so.
func TestWhatAnswersMean(t *testing.T) {
	t.Parallel()
	mean := func(m meaning, err error) meaning {
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct {
		rule string
		got  meaning
		want contracts.Finding
		note bool
	}{
		{"an active company", mean(ofCompany(company.Company{Status: company.Active})), contracts.Yes, false},
		{"a ceased company", mean(ofCompany(company.Company{Status: company.Ceased})), contracts.No, false},
		{"a company in liquidation", mean(ofCompany(company.Company{Status: company.Liquidation})), contracts.CannotTell, true},
		{"a company that has not begun", mean(ofCompany(company.Company{Status: company.Inactive})), contracts.CannotTell, true},
		{"a company that is suspended", mean(ofCompany(company.Company{Status: company.Suspended})), contracts.CannotTell, true},
		{"an insolvent company", mean(ofCompany(company.Company{Status: company.Insolvent})), contracts.CannotTell, true},
		{"a road that cannot know the standing", mean(ofCompany(company.Company{Unknown: []company.Attribute{company.Standing}})), contracts.CannotTell, true},
		{"an unknown word for the standing", mean(ofCompany(company.Company{Status: "boh"})), contracts.CannotTell, true},
		{"who represents it", mean(ofMandate(company.Representation{Represents: contracts.Yes})), contracts.Yes, false},
		{"who does not", mean(ofMandate(company.Representation{Represents: contracts.No})), contracts.No, false},
		{"a register that cannot tell", mean(ofMandate(company.Representation{})), contracts.CannotTell, true},
		{"a valid code", mean(ofCode(tax.CodeCheck{State: tax.CodeValid})), contracts.Yes, false},
		{"a code that was replaced and is still good", mean(ofCode(tax.CodeCheck{State: tax.CodeValidSuperseded})), contracts.Yes, true},
		{"a code that was replaced", mean(ofCode(tax.CodeCheck{State: tax.CodeSuperseded})), contracts.No, false},
		{"a code that is nobody's", mean(ofCode(tax.CodeCheck{State: tax.CodeInvalid})), contracts.No, false},
		{"words that were not agreed", mean(ofCode(tax.CodeCheck{State: tax.CodeUnclear})), contracts.CannotTell, true},
		{"no word at all", mean(ofCode(tax.CodeCheck{})), contracts.CannotTell, true},
		{"an active partita IVA", mean(ofVAT(tax.VAT{Register: "R", Assigned: true, Status: tax.VATActive})), contracts.Yes, false},
		{"a ceased one", mean(ofVAT(tax.VAT{Register: "R", Assigned: true, Status: tax.VATCeased})), contracts.No, false},
		{"one that is nobody's", mean(ofVAT(tax.VAT{Register: "R"})), contracts.No, false},
		{"a group's", mean(ofVAT(tax.VAT{Register: "R", Assigned: true, Status: tax.VATActive, Group: true})), contracts.CannotTell, true},
		{"one of which nothing more is said", mean(ofVAT(tax.VAT{Register: "R", Assigned: true})), contracts.CannotTell, true},
		{"an income of zero euro", mean(ofIncome(tax.Income{Income: tax.Euro(0)})), contracts.Yes, false},
	} {
		if c.got.finding != c.want || (c.got.note != "") != c.note || c.got.text == "" && c.want != contracts.CannotTell {
			t.Errorf("%s: %s, note %q, text %q; want %s, noted %v", c.rule, c.got.finding, c.got.note, c.got.text, c.want, c.note)
		}
	}
}

// TestASourceThatIsNotConfiguredSaysNothing: the employer passes, and the fact says why it is not known.
func TestASourceThatIsNotConfiguredSaysNothing(t *testing.T) {
	t.Parallel()
	d := newDesk()
	c := newChecker(d, func() time.Time { return instant })
	c.serves = func(op string) bool { return op == domicile.OpLookup.Name }
	ctx := contracts.WithCaller(t.Context(), contracts.Caller{Service: "core", Purpose: "activation"})
	facts, owed := c.check(ctx, employer(domicile.Enterprise))
	for _, f := range facts {
		if f.topic != aboutDomicile && (f.known != noSource || f.why == "" || f.ticket != "") {
			t.Errorf("%s: known %d (%s), ticket %q", f.topic, f.known, f.why, f.ticket)
		}
	}
	if v := judge(facts); v != passed || len(owed) > 0 || len(d.tickets) > 0 || len(d.asked) != 1 {
		t.Errorf("verdict %s, %d owed, %d tickets, asked %v", v, len(owed), len(d.tickets), d.asked)
	}
}

// TestThatNobodyWasAskedIsNoNo: the hub's own NotFound, where no register may hold what is asked, refuses nobody.
func TestThatNobodyWasAskedIsNoNo(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]knowledge{"": against, contracts.CodeNobody: cannotTell} {
		f := fact{topic: aboutMandate, none: noMandate(domicile.Enterprise)}
		f.learn(meaning{}, &contracts.Error{Kind: contracts.NotFound, System: "hub", Code: code})
		if f.known != want {
			t.Errorf("code %q: known %d, want %d", code, f.known, want)
		}
	}
}

// TestFindingNoMandateNeedsTheBusinessRegister: where no register that holds every enterprise is configured, that the tax
// agency holds no such body says nothing about an enterprise.
func TestFindingNoMandateNeedsTheBusinessRegister(t *testing.T) {
	t.Parallel()
	for register, want := range map[bool]knowledge{true: against, false: cannotTell} {
		d := newDesk()
		d.asks[company.OpRepresents.Name] = conduct{err: &contracts.Error{Kind: contracts.NotFound, System: "entrate", Code: "XX02"}}
		c := newChecker(d, func() time.Time { return instant })
		c.serves = func(op string) bool { return register || op != company.OpFind.Name }
		ctx := contracts.WithCaller(t.Context(), contracts.Caller{Service: "core", Purpose: "activation"})
		facts, _ := c.check(ctx, employer(domicile.Enterprise))
		for _, f := range facts {
			if f.topic == aboutMandate && f.known != want {
				t.Errorf("with the register %t: known %d, want %d", register, f.known, want)
			}
		}
	}
}

// TestARegisterThatAnswersAtOnceDoesNotSpeakForTheRoute: that it holds nothing is not the last word, which takes its time.
func TestARegisterThatAnswersAtOnceDoesNotSpeakForTheRoute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule string
		pace pace
		how  conduct
		know knowledge
		slow bool
	}{
		{"the one that answers at once holds it", pace{at: "quick"}, conduct{}, holds, false},
		{"it holds nothing, and others are asked", pace{at: "quick"}, conduct{err: contracts.NotFound}, notYet, true},
		{"it is down", pace{at: "quick"}, conduct{err: contracts.Unavailable}, notYet, false},
		{"none answers at once", pace{slow: true}, conduct{}, notYet, true},
		{"all answer at once, and hold nothing", pace{}, conduct{err: contracts.NotFound}, against, false},
	} {
		d := newDesk()
		d.asks[domicile.OpLookup.Name] = c.how
		k := newChecker(d, func() time.Time { return instant })
		k.pace = func(q question) pace {
			if q.topic == aboutDomicile {
				return c.pace
			}
			return pace{}
		}
		ctx := contracts.WithCaller(t.Context(), contracts.Caller{Service: "core", Purpose: "activation"})
		f := k.establish(ctx, "A1", questions(employer(domicile.Enterprise), 2025)[4])
		k.wait()
		if f.topic != aboutDomicile || f.known != c.know || f.slow != c.slow || (f.ticket != "") != (c.know == notYet) {
			t.Errorf("%s: %s: known %d, slow %v, ticket %q", c.rule, f.topic, f.known, f.slow, f.ticket)
		}
		if asked := d.at[domicile.OpLookup.Name]; asked != c.pace.at {
			t.Errorf("%s: %q was asked, want %q", c.rule, asked, c.pace.at)
		}
	}
}

// TestATicketThatWasOwedStaysOne: handing in again, however often, makes no second ticket.
func TestATicketThatWasOwedStaysOne(t *testing.T) {
	t.Parallel()
	d := newDesk()
	for _, q := range questions(employer(domicile.Person), 2025) {
		d.asks[q.op] = conduct{err: contracts.Unavailable}
		d.takes[q.op] = counters()[1]
	}
	c := newChecker(d, func() time.Time { return instant })
	ctx := contracts.WithCaller(t.Context(), contracts.Caller{Service: "core", Purpose: "activation"})
	facts, owed := c.check(ctx, employer(domicile.Person))
	if len(owed) != len(facts) {
		t.Fatalf("%d of %d are owed", len(owed), len(facts))
	}
	clear(d.takes)
	for range 3 {
		for i, q := range owed {
			if err := c.promise(ctx, "A1", q, &facts[i]); err != nil || facts[i].owed {
				t.Errorf("%s: owed %v, %v", q.topic, facts[i].owed, err)
			}
		}
	}
	if len(d.tickets) != len(facts) {
		t.Errorf("%d tickets of %d facts", len(d.tickets), len(facts))
	}
}
