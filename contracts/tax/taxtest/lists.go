package taxtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

// lists are the rules of answers that come later, and for many at once.
func (s suite) lists() []rule {
	noList, noTickets := "", ""
	if s.List == nil {
		noList = "the harness declares that the registry has no list form"
	}
	if s.Submitter() == nil {
		noTickets = "the runner keeps no tickets"
	}
	return []rule{
		{
			Name: "income-list-gives-each-its-own", Why: "one taxpayer's income handed out as another's is the worst that can happen here",
			Absent: noList,
			Run: func(x *trial) {
				all := s.expectations()
				s.list(x, append(all, all[0])) // two services may ask the same
			},
		},
		{
			Name: "income-list-goes-by-the-order-asked", Why: "the far side answers in its own order, and the answers are told apart by it or by nothing",
			Absent: noList,
			Run: func(x *trial) {
				all := s.expectations()
				slices.Reverse(all)
				s.list(x, all)
			},
		},
		{
			Name: "income-list-of-one-is-a-list", Why: "at night one is all there is to ask",
			Absent: noList,
			Run:    func(x *trial) { s.list(x, s.expectations()[:1]) },
		},
		{
			Name: "income-tickets-keep-their-own-answers", Why: "many tickets become one list, and each must hear of its own taxpayer days later",
			Absent: noTickets,
			Run: func(x *trial) {
				all := s.expectations()
				ids := make([]string, len(all))
				for i, e := range all {
					ids[i] = s.submit(x, e.query)
				}
				for i, e := range all {
					e.meet(s, x, i, s.follow(x, ids[i]))
				}
			},
		},
	}
}

// An expectation is a question and what must come of it: a story's answer, or an error of a kind.
type expectation struct {
	query tax.IncomeQuery
	story IncomeStory
	kind  contracts.Kind // where the story is zero
}

// expectations are all incomes that can be asked, each told apart from the others by what must come of it.
func (s suite) expectations() []expectation {
	var all []expectation
	for _, st := range s.declarations() {
		all = append(all, expectation{query: st.Query, story: st})
	}
	if s.NoneDeclared != (tax.IncomeQuery{}) {
		all = append(all, expectation{query: s.NoneDeclared, kind: contracts.NotFound})
	}
	if s.UnaskableIncome != (tax.IncomeQuery{}) {
		all = append(all, expectation{query: s.UnaskableIncome, kind: contracts.Invalid})
	}
	return all
}

// meet compares what came with what must come.
func (e expectation) meet(s suite, x *trial, i int, got contracts.Result[tax.Income]) {
	switch {
	case e.story.isZero():
		contracttest.WantKind(x, got.Err, income.Name, e.kind)
	case got.Err != nil:
		x.Errorf("request %d: %v, want an answer", i, got.Err)
	default:
		s.vouched(x, got.Value.Register, got.Value.AsOf)
		if lie := undeclared(e.story, got.Value); lie != "" {
			x.Errorf("request %d: %s", i, lie)
		}
	}
}

func (s suite) list(x *trial, all []expectation) {
	qs := make([]tax.IncomeQuery, len(all))
	for i, e := range all {
		qs[i] = e.query
	}
	ctx, stop := s.Ask(x.Context())
	got, err := s.List(ctx, qs)
	stop()
	if err != nil {
		x.Fatalf("list: %v", err)
	}
	if len(got) != len(qs) {
		x.Fatalf("%d answers to %d questions", len(got), len(qs))
	}
	for i, e := range all {
		e.meet(s, x, i, got[i])
	}
}

// submit leaves a question and gives its ticket's id.
func (s suite) submit(x *trial, q tax.IncomeQuery) string {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	t, err := contracts.Submit(ctx, s.Submitter(), tax.OpIncome, q)
	if err != nil {
		x.Fatalf("submit: %v", err)
	}
	return t.ID
}

const pollEvery = 2 * time.Millisecond // real time between two looks at a ticket

// follow looks at a ticket until it is settled, or patience ends.
func (s suite) follow(x *trial, id string) contracts.Result[tax.Income] {
	ctx, stop := s.Ask(x.Context())
	defer stop()
	for {
		a, err := contracts.Answer(ctx, s.Submitter(), tax.OpIncome, id)
		if err == nil || contracts.KindOf(err) != contracts.Pending {
			return contracts.Result[tax.Income]{Value: a, Err: err}
		}
		if !pause(ctx) {
			return contracts.Result[tax.Income]{Err: fmt.Errorf("the ticket is not settled within the suite's patience: %w", err)}
		}
	}
}

// pause waits a little in real time; false when patience ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
