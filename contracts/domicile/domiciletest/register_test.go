package domiciletest_test

import (
	"context"
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
)

// A mistake is one thing that a register's adapter may get wrong. Each is the least that turns its case red.
type mistake string

// A register is an adapter and its far side in one, in memory. With no mistake it is right.
type register struct {
	*contracttest.Mistaken[mistake]
}

func (r *register) Bindings() []contracts.Binding {
	covers := contracts.Covers(domicile.OpLookup, func(q domicile.Query) error {
		if q.Capacity == domicile.Enterprise && !r.Wrong("looks up everybody") {
			return contracts.Errorf(contracts.NotFound, "lookup: the register holds no enterprises")
		}
		return nil
	})
	list := contracts.AsList(domicile.OpLookup, 1000, r.start, r.collect)
	return []contracts.Binding{
		contracts.Bind(domicile.OpLookup, r.lookup, covers, list),
		contracts.Bind(domicile.OpVerify, r.verify),
	}
}

func (r *register) start(ctx context.Context, _ []domicile.Query) ([]byte, error) {
	return []byte("1"), r.Ask(ctx, domicile.OpLookup.OpInfo)
}

func (r *register) collect(_ context.Context, _ []byte, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error) {
	var out []contracts.Result[domicile.Answer]
	for _, q := range qs {
		a, err := r.answer(q)
		out = append(out, contracts.Result[domicile.Answer]{Value: a, Err: err})
	}
	if r.Wrong("list in another order") {
		slices.Reverse(out)
	}
	return out, nil
}

func (r *register) lookup(ctx context.Context, q domicile.Query) (domicile.Answer, error) {
	if q == people.unaskable && !r.Wrong("unaskable is not found") {
		return domicile.Answer{}, r.Fails(contracts.Invalid, domicile.OpLookup.OpInfo, "400")
	}
	if err := r.Ask(ctx, domicile.OpLookup.OpInfo); err != nil {
		return domicile.Answer{}, err
	}
	if r.Wrong("logs the subject") {
		r.Log.Info("lookup", "subject", q.Subject.CodiceFiscale.Reveal())
	}
	return r.answer(q)
}

func (r *register) answer(q domicile.Query) (domicile.Answer, error) {
	n, now := r.Nth(), r.Now()
	held := slices.Clone(people.held[q.Subject.CodiceFiscale])
	if r.Wrong("mixes people up") && n%7 == 0 {
		held = slices.Clone(people.held[people.several.Subject.CodiceFiscale])
	}
	var in []contracts.DigitalDomicile
	for _, d := range held {
		if d.Role != "personal" && !r.Wrong("any role will do") {
			continue
		}
		if !d.Until.IsZero() && d.Until.Before(now) && !r.Wrong("forgets that addresses cease") {
			continue
		}
		if r.Wrong("does not say until when") {
			d.Until = time.Time{}
		}
		in = append(in, d)
	}
	if r.Wrong("gives them in any order") {
		slices.Reverse(in)
	}
	if r.Wrong("tires of a question") && n%2 == 0 {
		in = nil
	}
	if len(in) == 0 && !r.Wrong("none is an empty answer") {
		err := r.Fails(contracts.NotFound, domicile.OpLookup.OpInfo, "404")
		if r.Wrong("errors name the subject") {
			err.Err = contracts.Errorf(contracts.NotFound, "no entry for %s", q.Subject.CodiceFiscale.Reveal())
		}
		return domicile.Answer{}, err
	}
	if r.Wrong("finds a stranger") {
		in = []contracts.DigitalDomicile{{Address: address("nessuno@pec.memory.test"), Register: "OTHER", Role: "personal"}}
	}
	return domicile.Answer{Domiciles: in, AsOf: now}, nil
}

func (r *register) verify(ctx context.Context, c domicile.Claim) (domicile.Verdict, error) {
	if err := r.Ask(ctx, domicile.OpVerify.OpInfo); err != nil {
		if r.Wrong("faults are confirmations") {
			return domicile.Verdict{Theirs: true, CheckedAt: r.Now()}, nil
		}
		return domicile.Verdict{}, err
	}
	at := c.At
	if r.Wrong("verifies today") {
		at = r.Now()
	}
	theirs := false
	for _, d := range people.held[c.Subject.CodiceFiscale] {
		theirs = theirs || d.Address.Equal(c.Address) && !at.Before(d.Since) && (d.Until.IsZero() || !at.After(d.Until))
	}
	switch {
	case r.Wrong("denies everything"):
		theirs = false
	case r.Wrong("confirms everything"):
		theirs = true
	case !theirs && r.Wrong("false is not found"):
		return domicile.Verdict{}, r.Fails(contracts.NotFound, domicile.OpVerify.OpInfo, "")
	}
	return domicile.Verdict{Theirs: theirs, CheckedAt: r.Now()}, nil
}

func harness(m mistake) domiciletest.Harness {
	r := &register{contracttest.NewMistaken(today, m)}
	rig, run := r.Harness(r)
	return domiciletest.Harness{
		Harness:  rig,
		Register: "MEMORY",
		Found:    domiciletest.Story{Query: people.found, Addresses: []contracts.Address{address("uno@pec.memory.test")}},
		None:     people.none,
		Ceased:   people.ceased,
		Ceasing:  domiciletest.Story{Query: people.ceasing, Until: today.AddDate(0, 1, 0)},
		Several: domiciletest.Story{
			Query:     people.several,
			Addresses: []contracts.Address{address("due@pec.memory.test"), address("tre@pec.memory.test")},
		},
		OtherCapacity: people.lawyer,
		Unaskable:     people.unaskable,
		NotCovered:    []domicile.Query{{Subject: people.found.Subject, Capacity: domicile.Enterprise}},
		Theirs:        claim(people.found, "uno@pec.memory.test", today),
		NotTheirs:     claim(people.found, "due@pec.memory.test", today),
		PastTheirs:    claim(people.ceased, "zero@pec.memory.test", today.AddDate(-1, 0, 0)),
		PastNotTheirs: claim(people.found, "uno@pec.memory.test", today.AddDate(-5, 0, 0)),
		List: func(ctx context.Context, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error) {
			return contracttest.List(ctx, run, domicile.OpLookup, qs)
		},
	}
}
