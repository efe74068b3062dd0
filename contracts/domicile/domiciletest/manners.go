package domiciletest

import (
	"context"
	"sync"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
)

const (
	shortDeadline = 300 * time.Millisecond
	grace         = 2 * time.Second // for a machine under load, and far below any supplier's time-out
	parallel      = 16
)

// manners are the rules about time, repetition and company.
func (s suite) manners() []rule {
	slow := ""
	if s.Far == nil || !s.Applies(contracttest.Slow) {
		slow = "the far side cannot be told to be slow"
	}
	return []rule{
		{
			Name: "lookup-repeated-is-harmless", Why: "callers repeat what they did not hear the answer to",
			Run: func(x *trial) {
				first := s.found(x, s.Found.Query)
				second := s.found(x, s.Found.Query)
				same(x, 0, first, nil, second, nil)
			},
		},
		{
			Name: "lookup-keeps-the-deadline", Why: "a caller who waits longer than it asked holds its own callers",
			Absent: slow,
			Run: func(x *trial) {
				if err := s.Far.Misbehave(contracttest.Slow, 1); err != nil {
					x.Fatalf("misbehave: %v", err)
				}
				ctx, stop := s.Ask(x.Context())
				defer stop()
				ctx, cancel := context.WithTimeout(ctx, shortDeadline)
				defer cancel()
				start := time.Now()
				_, err := domicile.Via(s.Through()).Lookup(ctx, s.Found.Query)
				if took := time.Since(start); took > shortDeadline+grace {
					x.Errorf("came back after %v, and the deadline was %v", took.Round(time.Millisecond), shortDeadline)
				}
				if err != nil {
					contracttest.WantKind(x, err, lookup.Name, contracts.Canceled, contracts.Unavailable, contracts.Pending)
				}
			},
		},
		{
			Name: "lookup-in-parallel-mixes-nothing-up", Why: "one person's address handed to another is the worst that can happen here",
			Run: func(x *trial) {
				qs := s.queries()
				type result struct {
					a   domicile.Answer
					err error
				}
				alone := make([]result, len(qs))
				for i, q := range qs {
					alone[i].a, alone[i].err = s.ask(x, q)
				}
				got := make([]result, parallel)
				ctx, stop := s.Ask(x.Context())
				defer stop()
				var wg sync.WaitGroup
				for i := range got {
					wg.Go(func() {
						got[i].a, got[i].err = domicile.Via(s.Through()).Lookup(ctx, qs[i%len(qs)])
					})
				}
				wg.Wait()
				for i, g := range got {
					want := alone[i%len(qs)]
					same(x, i%len(qs), want.a, want.err, g.a, g.err)
				}
			},
		},
	}
}

func (s suite) faults() []rule {
	cases := s.FaultCases("lookup", lookup, "", func(ctx context.Context) error {
		a, err := domicile.Via(s.Through()).Lookup(ctx, s.Found.Query)
		if err == nil && len(a.Domiciles) == 0 {
			return &contracts.Error{Kind: contracts.NotFound, System: "suite", Operation: lookup.Name} // an empty answer says the same
		}
		return err
	})
	if s.Theirs != (domicile.Claim{}) {
		cases = append(cases, s.FaultCases("verify", verify, "", func(ctx context.Context) error {
			v, err := domicile.Via(s.Through()).Verify(ctx, s.Theirs)
			if err == nil && !v.Theirs {
				return &contracts.Error{Kind: contracts.NotFound, System: "suite", Operation: verify.Name} // "not theirs" said by a fault
			}
			return err
		})...)
	}
	return cases
}

// secrecy runs last, so that a capture that the harness shares has seen the whole suite.
func (s suite) secrecy() []rule {
	return []rule{{
		Name: "nobody-can-be-read-of", Why: "logs, errors, metrics and URLs are read by people who have no business with the person",
		Run: func(x *trial) {
			if s.Capture == nil {
				s.Capture = contracttest.NewCapture()
			}
			for _, q := range append(s.queries(), s.NotCovered...) {
				_, _ = s.ask(x, q) // whatever comes: it is only looked at for what it shows
			}
			if !isZero(s.Unaskable) {
				_, _ = s.ask(x, s.Unaskable)
			}
			for _, c := range s.allClaims() {
				_, _ = s.verify(x, c)
			}
			s.Capture.Report(reporter{x}, s.secrets())
		},
	}}
}

func (s suite) allClaims() []domicile.Claim {
	var all []domicile.Claim
	for _, c := range []domicile.Claim{s.Theirs, s.NotTheirs, s.PastTheirs, s.PastNotTheirs} {
		if c != (domicile.Claim{}) {
			all = append(all, c)
		}
	}
	return all
}

// secrets are every identifier and address that the harness names.
func (s suite) secrets() []string {
	seen := map[string]bool{"": true}
	var all []string
	add := func(texts ...string) {
		for _, text := range texts {
			if !seen[text] {
				seen[text] = true
				all = append(all, text)
			}
		}
	}
	subject := func(sub contracts.Subject) { add(sub.CodiceFiscale.Reveal(), sub.PartitaIVA.Reveal()) }
	for _, q := range append(append(s.queries(), s.Unaskable), s.NotCovered...) {
		subject(q.Subject)
	}
	for _, st := range []Story{s.Found, s.Ceasing, s.Several} {
		for _, a := range st.Addresses {
			add(a.Reveal())
		}
	}
	for _, c := range s.allClaims() {
		subject(c.Subject)
		add(c.Address.Reveal())
	}
	return all
}

// A reporter lets a case's T stand where a testing.TB is wanted.
type reporter struct{ *trial }

func (reporter) Helper() {}
