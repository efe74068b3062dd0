package contracttest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"raccordo/contracts"
)

// A Probe is one reading operation as the cases that every need shares ask it: the rules about borders, manners and
// faults are the same whatever is asked.
type Probe[Req, Resp any] struct {
	Name   string // begins the cases' names: "lookup"
	Op     contracts.Op[Req, Resp]
	Absent string // why none of its cases applies; empty: they do

	Good       []Req // requests that reach the far side and are answered, or are NotFound; the first is answered
	Wrong      []Req // requests that are none
	NotCovered []Req // what the register does not hold by law; nil: it holds everything
	Boundless  bool  // no register of this need is so limited: there is no such case at all

	// Lie says what is untrue in an answer to the first of Good; empty: nothing.
	Lie func(Resp) string
	// Same reports whether two answers say the same. They may be of different instants.
	Same func(a, b Resp) bool
}

const (
	shortDeadline = 300 * time.Millisecond
	grace         = 2 * time.Second // for a machine under load, and far below any supplier's time-out
	inParallel    = 16
)

// Ask does one request as the suite's caller.
func (p Probe[Req, Resp]) Ask(h Harness, t *T, req Req) (Resp, error) {
	ctx, stop := h.Ask(t.Context())
	defer stop()
	return contracts.Do(ctx, h.Through(), p.Op, req)
}

// Everything asks all that the probe knows, whatever comes: for what it shows.
func (p Probe[Req, Resp]) Everything(h Harness, t *T) {
	if p.Absent != "" {
		return
	}
	for _, req := range slices.Concat(p.Good, p.NotCovered) {
		_, _ = p.Ask(h, t, req)
	}
}

// Truth is the probe's first request as a question whose right answer is known.
func (p Probe[Req, Resp]) Truth(h Harness) Truth {
	return TruthOf(h, p.Name, p.Op, p.Good[0], p.Lie)
}

// Cases are the shared cases of an operation: what must not reach the wire, time, repetition and company, and the matrix
// of faults.
func (p Probe[Req, Resp]) Cases(h Harness) []Case {
	cases := slices.Concat(p.borders(h), p.manners(h), p.faults(h))
	if p.Absent != "" {
		for i := range cases {
			cases[i].Absent = p.Absent
		}
	}
	return cases
}

func (p Probe[Req, Resp]) borders(h Harness) []Case {
	everything := ""
	if len(p.NotCovered) == 0 {
		everything = "the harness declares nothing that the register does not hold by law"
	}
	cases := []Case{
		{
			Name: p.Name + "-outside-the-register-touches-no-wire", Why: "nobody is looked up where the law says that they cannot be",
			Absent: everything,
			Run: func(t *T) {
				for _, req := range p.NotCovered {
					h.unsent(t, func() {
						_, err := p.Ask(h, t, req)
						WantKind(t, err, p.Op.Name, contracts.NotFound)
					})
				}
			},
		},
		{
			Name: p.Name + "-refuses-a-wrong-request-before-the-wire", Why: "a supplier counts and records every question, also the useless ones",
			Run: func(t *T) {
				for _, req := range p.Wrong {
					h.unsent(t, func() {
						_, err := p.Ask(h, t, req)
						WantKind(t, err, p.Op.Name, contracts.Invalid)
					})
				}
			},
		},
		{
			Name: p.Name + "-wants-a-caller-and-a-purpose", Why: "consulting a register about a person without saying who asks and why is unlawful",
			Run: func(t *T) {
				for _, who := range []contracts.Caller{{}, {Service: h.Who().Service}, {Purpose: h.Who().Purpose}} {
					h.unsent(t, func() {
						ctx, stop := h.Ask(t.Context())
						defer stop()
						_, err := contracts.Do(contracts.WithCaller(ctx, who), h.Through(), p.Op, p.Good[0])
						if err == nil {
							t.Errorf("answered a caller without service or purpose")
							return
						}
						WantKind(t, err, p.Op.Name, contracts.Invalid, contracts.Denied)
					})
				}
			},
		},
		{
			Name: p.Name + "-given-up-beforehand-touches-no-wire", Why: "a caller who is gone must not cause a consultation on the record",
			Run: func(t *T) {
				h.unsent(t, func() {
					ctx, stop := h.Ask(t.Context())
					stop()
					_, err := contracts.Do(ctx, h.Through(), p.Op, p.Good[0])
					WantKind(t, err, p.Op.Name, contracts.Canceled, contracts.Pending)
				})
			},
		},
	}
	if p.Boundless {
		return cases[1:]
	}
	return cases
}

// unsent fails when do sends anything to the far side.
func (h Harness) unsent(t *T, do func()) {
	before := h.Sent()
	do()
	if n := h.Sent() - before; n != 0 {
		t.Errorf("%d exchanges reached the far side, want none", n)
	}
}

func (p Probe[Req, Resp]) manners(h Harness) []Case {
	slow := ""
	if !h.Applies(Slow) {
		slow = "the far side cannot be told to be slow"
	}
	return []Case{
		{
			Name: p.Name + "-repeated-is-harmless", Why: "callers repeat what they did not hear the answer to",
			Run: func(t *T) {
				first, err := p.Ask(h, t, p.Good[0])
				if err != nil {
					t.Fatalf("%s: %v, want an answer", p.Op.Name, err)
				}
				second, err := p.Ask(h, t, p.Good[0])
				p.Alike(t, 0, first, nil, second, err)
			},
		},
		{
			Name: p.Name + "-keeps-the-deadline", Why: "a caller who waits longer than it asked holds its own callers",
			Absent: slow,
			Run: func(t *T) {
				if err := h.Far.Misbehave(Slow, 1); err != nil {
					t.Fatalf("misbehave: %v", err)
				}
				ctx, stop := h.Ask(t.Context())
				defer stop()
				ctx, cancel := context.WithTimeout(ctx, shortDeadline)
				defer cancel()
				start := time.Now()
				_, err := contracts.Do(ctx, h.Through(), p.Op, p.Good[0])
				if took := time.Since(start); took > shortDeadline+grace {
					t.Errorf("came back after %v, and the deadline was %v", took.Round(time.Millisecond), shortDeadline)
				}
				if err != nil {
					WantKind(t, err, p.Op.Name, contracts.Canceled, contracts.Unavailable, contracts.Pending)
				}
			},
		},
		{
			Name: p.Name + "-in-parallel-mixes-nothing-up", Why: "what is said of one, handed out as said of another, is the worst that can happen here",
			Run: func(t *T) {
				alone := make([]contracts.Result[Resp], len(p.Good))
				for i, req := range p.Good {
					alone[i].Value, alone[i].Err = p.Ask(h, t, req)
				}
				got := make([]contracts.Result[Resp], max(inParallel, 2*len(p.Good)))
				ctx, stop := h.Ask(t.Context())
				defer stop()
				var wg sync.WaitGroup
				for i := range got {
					wg.Go(func() {
						got[i].Value, got[i].Err = contracts.Do(ctx, h.Through(), p.Op, p.Good[i%len(p.Good)])
					})
				}
				wg.Wait()
				for i, g := range got {
					want := alone[i%len(p.Good)]
					p.Alike(t, i%len(p.Good), want.Value, want.Err, g.Value, g.Err)
				}
			},
		},
	}
}

// Alike records where two outcomes of the i-th request part.
func (p Probe[Req, Resp]) Alike(t *T, i int, a Resp, aerr error, b Resp, berr error) {
	switch {
	case (aerr == nil) != (berr == nil):
		t.Errorf("request %d: one way an answer, the other way none (%v, %v)", i, aerr, berr)
	case aerr != nil:
		CheckError(t, berr, p.Op.Name)
		if ak, bk := contracts.KindOf(aerr), contracts.KindOf(berr); ak != bk {
			t.Errorf("request %d: kind %q one way and %q the other", i, ak, bk)
		}
	case !p.Same(a, b):
		t.Errorf("request %d: two different answers", i)
	}
}

func (p Probe[Req, Resp]) faults(h Harness) []Case {
	return h.FaultCases(p.Name, p.Op.OpInfo, "", func(ctx context.Context) error {
		answer, err := contracts.Do(ctx, h.Through(), p.Op, p.Good[0])
		if err == nil {
			if lie := p.Lie(answer); lie != "" { // an untrue answer says as much as a NotFound that nobody said
				return &contracts.Error{Kind: contracts.NotFound, System: "suite", Operation: p.Op.Name, Err: fmt.Errorf("answered, and untruly: %s", lie)}
			}
		}
		return err
	})
}

// A Truth is a question whose right answer is known.
type Truth struct {
	Name string
	Op   *contracts.OpInfo
	Ask  func(ctx context.Context) (lie string, err error)
}

// TruthOf makes a Truth of a request and of what finds untruth in its answer.
func TruthOf[Req, Resp any](h Harness, name string, op contracts.Op[Req, Resp], req Req, lie func(Resp) string) Truth {
	return Truth{Name: name, Op: op.OpInfo, Ask: func(ctx context.Context) (string, error) {
		answer, err := contracts.Do(ctx, h.Through(), op, req)
		if err != nil {
			return "", err
		}
		return lie(answer), nil
	}}
}

// NeverAnAnswer is the case that no technical fault looks like an answer: under each fault that applies, for as long as
// it lasts, all truths are asked at once, and each must fail, not with NotFound, or be told truly.
func (h Harness) NeverAnAnswer(truths ...Truth) Case {
	absent := ""
	if _, ok := h.Far.(clearer); !ok {
		absent = "there is no far side that could be told to misbehave, and to behave again"
	} else if len(truths) == 0 {
		absent = "the harness names no answer that a fault could forge"
	}
	return Case{
		Name: "a-fault-is-never-an-answer", Why: "a no that a time-out has said shuts out somebody who has a right",
		Absent: absent,
		Run: func(t *T) {
			for _, rule := range Matrix() {
				if h.Applies(rule.Fault) {
					h.truly(t, rule.Fault, truths)
				}
			}
		},
	}
}

func (h Harness) truly(t *T, fault string, truths []Truth) {
	h.ready()
	defer h.clear()
	if err := h.Far.Misbehave(fault, 0); err != nil {
		t.Fatalf("the far side does not know the fault %q: %v", fault, err)
	}
	ctx, stop := h.askFor(t.Context(), h.patience()/10)
	defer stop()
	var wg sync.WaitGroup
	for _, truth := range truths {
		wg.Go(func() {
			lie, err := truth.Ask(ctx)
			switch {
			case lie != "":
				t.Errorf("%s under %s: %s", truth.Name, fault, lie)
			case err != nil:
				CheckError(t, err, truth.Op.Name)
				if contracts.KindOf(err) == contracts.NotFound {
					t.Errorf("%s under %s: NotFound, and nobody said so", truth.Name, fault)
				}
			}
		})
	}
	wg.Wait()
}

// SecrecyCase is the case that nobody can be read of in anything that is shown to people. ask asks through the harness
// that it is given. It stands last, so that a capture that the harness shares has seen the whole suite.
func (h Harness) SecrecyCase(secrets []string, ask func(h Harness, t *T)) Case {
	return Case{
		Name: "nobody-can-be-read-of", Why: "logs, errors, metrics and URLs are read by people who have no business with the person",
		Run: func(t *T) {
			if h.Capture == nil {
				h.Capture = NewCapture()
			}
			ask(h, t)
			h.Capture.Report(reporter{t}, secrets)
		},
	}
}

// A reporter lets a case's T stand where a testing.TB is wanted.
type reporter struct{ *T }

func (reporter) Helper() {}
