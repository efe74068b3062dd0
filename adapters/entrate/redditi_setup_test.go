package entrate

import (
	"context"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
	"raccordo/contracts/tax/taxtest"
)

// A lot is a contracts.Hold of a list: its id.
type lot string

func (l lot) ID() string { return string(l) }
func (l lot) Keep(_ context.Context, _ string, make func() ([]byte, error)) ([]byte, error) {
	return make()
}
func (l lot) Depart(context.Context) error { return nil }

// gathering is a context as the outbox makes it for a list.
func gathering(ctx context.Context, id string) context.Context {
	who := contracts.Caller{Service: "core", Purpose: "activation", User: "system"}
	ctx = contracts.WithCall(contracts.WithCaller(ctx, who), &contracts.Call{Op: tax.OpIncome.OpInfo, Caller: who})
	return contracts.WithHold(ctx, lot(id))
}

func (s *stage) incomeOf(story string, year int) tax.IncomeQuery {
	return taxtest.Income(s.Who(story).CodiceFiscale, year)
}

// incomesOf is the adapter's list form.
func incomesOf(a *Adapter) *contracts.List {
	for _, b := range a.Bindings() {
		if b.Op == tax.OpIncome.OpInfo {
			return b.List
		}
	}
	panic("income is not bound")
}

func startIncomes(ctx context.Context, a *Adapter, id string, qs ...tax.IncomeQuery) ([]byte, error) {
	return incomesOf(a).Start(gathering(ctx, id), anys(qs))
}

func collectIncomes(ctx context.Context, a *Adapter, handle []byte, qs ...tax.IncomeQuery) ([]contracts.Result[tax.Income], error) {
	got, err := incomesOf(a).Collect(gathering(ctx, "lot-1"), handle, anys(qs))
	if err != nil {
		return nil, err
	}
	out := make([]contracts.Result[tax.Income], len(got))
	for i, r := range got {
		out[i].Err = r.Err
		if r.Err == nil {
			out[i].Value = r.Value.(tax.Income)
		}
	}
	return out, nil
}

func anys(qs []tax.IncomeQuery) []any {
	out := make([]any, len(qs))
	for i, q := range qs {
		out[i] = q
	}
	return out
}

// order hands an order over, which must be taken.
func (s *stage) order(t testing.TB, qs ...tax.IncomeQuery) []byte {
	t.Helper()
	return contracttest.Sure(startIncomes(t.Context(), s.a, "lot-1", qs...))
}

func (s *stage) gather(t testing.TB, handle []byte, qs ...tax.IncomeQuery) ([]contracts.Result[tax.Income], error) {
	t.Helper()
	return collectIncomes(t.Context(), s.a, handle, qs...)
}
