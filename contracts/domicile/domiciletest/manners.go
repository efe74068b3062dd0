package domiciletest

import (
	"context"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
)

// looking is the look-up as the cases that every need shares ask it.
func (s suite) looking() contracttest.Probe[domicile.Query, domicile.Answer] {
	subject := s.Found.Query.Subject
	return contracttest.Probe[domicile.Query, domicile.Answer]{
		Name: "lookup", Op: domicile.OpLookup, Good: s.queries(), NotCovered: s.NotCovered,
		Wrong: []domicile.Query{{}, {Subject: subject}, {Capacity: domicile.Person}, {Subject: subject, Capacity: "pope"}},
		Lie: func(a domicile.Answer) string {
			if len(a.Domiciles) == 0 || !s.Found.told(a) {
				return "the addresses are not those of the register"
			}
			return ""
		},
		Same: alike,
	}
}

func (s suite) verifyFaults() []rule {
	if s.Theirs == (domicile.Claim{}) {
		return nil
	}
	return s.FaultCases("verify", verify, "", func(ctx context.Context) error {
		v, err := domicile.Via(s.Through()).Verify(ctx, s.Theirs)
		if err == nil && !v.Theirs {
			return &contracts.Error{Kind: contracts.NotFound, System: "suite", Operation: verify.Name} // "not theirs" said by a fault
		}
		return err
	})
}

// truths are what no fault may turn into something else, besides what the matrix of faults asks already.
func (s suite) truths() (all []contracttest.Truth) {
	for theirs, c := range map[bool]domicile.Claim{true: s.Theirs, false: s.NotTheirs} {
		if c != (domicile.Claim{}) {
			all = append(all, contracttest.TruthOf(s.Harness.Harness, "verify", domicile.OpVerify, c, func(v domicile.Verdict) string {
				if v.Theirs != theirs {
					return "said of an address whose it is, and untruly"
				}
				return ""
			}))
		}
	}
	return all
}

// everything asks all that the harness names, for what it shows.
func (s suite) everything(h contracttest.Harness, x *trial) {
	s.Harness.Harness = h
	s.looking().Everything(h, x)
	if !isZero(s.Unaskable) {
		_, _ = s.ask(x, s.Unaskable)
	}
	for _, c := range s.allClaims() {
		_, _ = s.verify(x, c)
	}
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
