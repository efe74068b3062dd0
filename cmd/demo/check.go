package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/company"
)

// A fact is what became of one question about one employer: what is known, or why it is not known yet and where the
// answer will be.
type fact struct {
	topic topic
	known knowledge
	meaning
	why    string        // with notYet, cannotTell without an answer, and noSource: the reason, in words
	err    error         // as the hub gave it
	ticket string        // where the answer is, or will be; empty: nobody was asked for a late one
	owed   bool          // the hub has not taken the ticket yet
	over   bool          // the ticket was settled
	late   bool          // the answer came after the check
	slow   bool          // by its nature: nobody waits for it
	none   string        // what it means when the register holds nothing; see question
	took   time.Duration // real time that the check waited for it
}

// A verdict is what a check comes to.
type verdict string

// The verdicts.
const (
	passed     verdict = "passed"
	incomplete verdict = "incomplete" // nothing stands against the employer, and something is not known yet
	refused    verdict = "refused"    // a register said "no", with authority
)

// judge sums facts up. Only a register's own word refuses anybody. What is slow by its nature makes nothing incomplete.
func judge(facts []fact) verdict {
	v := passed
	for _, f := range facts {
		switch {
		case f.known == against && f.topic.decides():
			return refused
		case f.known == notYet && !f.slow:
			v = incomplete
		}
	}
	return v
}

// A checker asks the registers about an employer who waits: all of them side by side, each for as long as it may take, and
// all together no longer than its budget, whatever they do. What is not known by then is left with the hub as a ticket under
// a stable key: its answer comes later, as an event, to the row that the key names.
type checker struct {
	hub contracts.Submitter
	// serves reports whether any source is configured for an operation. A question without a source is not asked: that
	// says nothing about the employer.
	serves func(op string) bool
	// pace tells how soon a question is answered.
	pace func(question) pace
	// patience is how long each topic is waited for: a choice of the core's, by what suppliers say of themselves (0.5 to
	// 0.8 s on average, the business register) with room above it. It leaves some of the budget for handing in the tickets.
	patience map[topic]time.Duration
	budget   time.Duration    // of the whole check, in real time: a person waits for it
	now      func() time.Time // for terms, on the hub's clock

	asking sync.WaitGroup // questions that may outlive their check
}

// A pace is how soon a question is answered.
type pace struct {
	// slow: later than anybody waits for. It becomes a ticket at once.
	slow bool
	// at is the register to ask while the employer waits, where those behind it on the route are slow: it may hold the
	// answer, and a "no" of its own is not the route's. Empty: the whole route is asked.
	at string
}

// checkBudget is how long a person is made to wait.
const checkBudget = 3 * time.Second

// lateTerm is how long after the first access an employer's data may arrive (circular on decreto flussi 2026: within six
// days). It is data of the core's: tickets carry it, so that the hub warns before it passes.
const lateTerm = 6 * 24 * time.Hour

// newChecker makes a checker with the default budgets.
func newChecker(hub contracts.Submitter, now func() time.Time) *checker {
	return &checker{
		hub: hub, now: now, budget: checkBudget,
		serves: func(string) bool { return true },
		pace:   func(q question) pace { return pace{slow: q.topic == aboutIncome} },
		patience: map[topic]time.Duration{
			aboutCompany: 2500 * time.Millisecond, aboutMandate: 2500 * time.Millisecond, aboutDomicile: 2500 * time.Millisecond,
			aboutCode: 1500 * time.Millisecond, aboutVAT: 1500 * time.Millisecond,
		},
	}
}

// check asks everything about one employer and gives every fact, in the order of the questions, together with the questions
// whose tickets are still owed. It returns within the budget even if a source, or the hub itself, hangs. The context says in
// whose name.
func (c *checker) check(ctx context.Context, r input.Row) ([]fact, []question) {
	ctx, cancel := context.WithTimeout(ctx, c.budget)
	defer cancel()
	asked := questions(r, c.now().Year()-1)
	facts := make([]fact, len(asked))
	var side sync.WaitGroup
	for i, q := range asked {
		side.Go(func() { facts[i] = c.establish(ctx, r.ID, q) })
	}
	side.Wait()
	var owed []question
	for i, f := range facts {
		if f.owed {
			owed = append(owed, asked[i])
		}
	}
	return facts, owed
}

// wait waits for questions that outlived their checks. The hub bounds how long they take.
func (c *checker) wait() { c.asking.Wait() }

// establish asks one question and, where that leaves it open, hands it in as a ticket. A source that is not configured is
// not asked, and one that is slow by nature only by ticket.
func (c *checker) establish(ctx context.Context, id string, q question) fact {
	way := c.pace(q)
	f := fact{topic: q.topic, none: q.none, slow: way.slow}
	if q.topic == aboutMandate && !c.serves(company.OpFind.Name) {
		f.none = "" // without the business register nobody holds every enterprise: finding none says nothing
	}
	switch {
	case !c.serves(q.op):
		f.known, f.why = noSource, "no source is configured"
		return f
	case f.slow:
		f.why = "the answer takes its time"
	default:
		began := time.Now()
		m, err := within(ctx, c, c.patience[q.topic], func(ctx context.Context) (meaning, error) {
			if way.at != "" {
				return q.ask(ctx, contracts.Pinned(c.hub, way.at))
			}
			return q.ask(ctx, c.hub)
		})
		f.took = time.Since(began)
		if f.learn(m, err); way.at != "" && errors.Is(err, contracts.NotFound) {
			f.known, f.why, f.slow = notYet, "the register that answers at once holds nothing; others take their time", true
			f.meaning = meaning{}
		}
		// A call that became a ticket by itself needs no other.
		if e := contracts.AsError(err); e != nil && e.Kind == contracts.Pending && e.Ticket != "" {
			f.ticket = e.Ticket
		}
	}
	if f.known == notYet && f.ticket == "" {
		_ = c.promise(ctx, id, q, &f) // the fact says what became of it
	}
	return f
}

// promise hands the question in as a ticket. Its key, and so the ticket's id, follows from row and topic: it may be done
// again at any time, and stays one ticket. Who comes again another day is another row, and is asked about anew. The fact is
// owed until the hub has said that it took the ticket.
func (c *checker) promise(ctx context.Context, id string, q question, f *fact) error {
	key := "check/" + id + "/" + string(q.topic)
	ctx = contracts.WithDue(contracts.WithKey(ctx, key), c.now().Add(lateTerm))
	f.ticket = contracts.TicketID(contracts.CallerFrom(ctx).Service, q.op, key)
	_, err := within(ctx, c, c.budget, func(ctx context.Context) (contracts.Ticket, error) { return q.submit(ctx, c.hub) })
	f.owed = false
	switch e := contracts.AsError(err); {
	case err == nil:
	case e.Retryable(), e.Kind == contracts.Canceled: // no room now, or no word yet that it was taken
		f.owed = true
	default: // nobody will answer it
		f.ticket = ""
		f.learn(meaning{}, err)
	}
	return err
}

// learn notes an answer, or what kept it away. Only an answer can say "no": whatever error it is, a technical fault leaves
// the fact unknown.
func (f *fact) learn(m meaning, err error) {
	f.why, f.err = "", err
	switch {
	case err == nil:
		f.known, f.meaning = knowledgeOf(m.finding), m
		if f.known == against && m.register == "" { // nobody's "no" is none
			f.known, f.why = cannotTell, "an answer that no register vouches for"
		}
		return
	case errors.Is(err, contracts.NotFound) && contracts.AsError(err).Code == contracts.CodeNobody: // no register's word
		f.known, f.why = cannotTell, "no register may hold it, and none was asked"
	case errors.Is(err, contracts.NotFound) && f.none != "":
		f.known, f.text = against, f.none
	case errors.Is(err, contracts.NotFound):
		f.known, f.why = cannotTell, "no register holds it"
	case errors.Is(err, contracts.Invalid): // it cannot be asked, now or later
		f.known, f.why = cannotTell, whyNoAnswer(err)
	default:
		f.known, f.why = notYet, whyNoAnswer(err)
	}
}

func knowledgeOf(f contracts.Finding) knowledge {
	switch f {
	case contracts.Yes:
		return holds
	case contracts.No:
		return against
	}
	return cannotTell
}

// within runs fn with the time d, and does not wait for it much longer even if it goes on. What it says after that nobody
// hears: the ticket asks again.
func within[T any](ctx context.Context, c *checker, d time.Duration, fn func(context.Context) (T, error)) (T, error) {
	type reply struct {
		value T
		err   error
	}
	said := make(chan reply, 1)
	c.asking.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		v, err := fn(ctx)
		said <- reply{v, err}
	})
	// Who keeps to its time is given the moment that it takes to say what became of it: the ticket that goes on, say.
	patience := time.NewTimer(d + d/20)
	defer patience.Stop()
	select {
	case r := <-said:
		return r.value, r.err
	case <-ctx.Done():
	case <-patience.C:
	}
	var none T
	return none, contracts.Errorf(contracts.Canceled, "no answer within %s", d)
}
