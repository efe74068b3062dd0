package registroimprese

import (
	"context"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	mock "raccordo/mocks/registroimprese"
)

// audited is road pdnd to an e-service that demands tracking evidence.
func audited(t *testing.T) (*stage, *EService) {
	t.Helper()
	s, e := overPDND(t, func(c *Config, _ *contracts.Env) { c.Audit = mock.Audience })
	s.m.Set(func(x *mock.Settings) { x.Audit = true })
	return s, e
}

func by(ctx context.Context, who contracts.Caller) context.Context {
	return contracts.WithCall(contracts.WithCaller(ctx, who), &contracts.Call{Op: company.OpFind.OpInfo, Caller: who})
}

func operator() contracts.Caller {
	return contracts.Caller{Service: "core", Purpose: pdnd.Activation, User: "operatore-0042", Site: "postazione-SUI-07", LoA: "3"}
}

// The mock holds evidence against AUDIT_REST_02: signature, audience, purpose, digits, a jti of its own, and the voucher's
// digest.
func TestEvidenceTellsWhoAsks(t *testing.T) {
	t.Parallel()
	s, e := audited(t)
	for range 2 {
		if _, err := e.Find(by(t.Context(), operator()), s.query("ri-active")); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, x := range s.Journal() {
		if a, ok := x.Parsed.(mock.Asked); ok {
			n++
			if a.User != "operatore-0042" {
				t.Errorf("the evidence names %q", a.User)
			}
		}
	}
	if n != 2 || s.Sent("pdnd POST /token.oauth2") != 2 {
		t.Errorf("%d questions with %d vouchers, want a voucher for each evidence", n, s.Sent("pdnd POST /token.oauth2"))
	}
	if err := e.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEveryAttemptHasEvidenceOfItsOwn(t *testing.T) {
	t.Parallel()
	s, e := audited(t)
	s.Inject(lab.Fault{Match: profileCall, Do: lab.DropAfterAccept, Times: 2}) // the mock has seen their jti
	if _, err := e.Find(by(t.Context(), operator()), s.query("ri-active")); err != nil {
		t.Error(err)
	}
	if n := s.Sent("pdnd POST /token.oauth2"); n != 3 {
		t.Errorf("%d vouchers for three attempts", n)
	}
}

func TestWhoDoesNotTellWhoItIsTouchesNoWire(t *testing.T) {
	t.Parallel()
	s, e := audited(t)
	for _, spoil := range []func(*contracts.Caller){
		func(c *contracts.Caller) { c.User = "" }, func(c *contracts.Caller) { c.Site = "" }, func(c *contracts.Caller) { c.LoA = "" },
	} {
		who := operator()
		spoil(&who)
		_, err := e.Find(by(t.Context(), who), s.query("ri-active"))
		if k := wantKind(t, err, contracts.Invalid); k.Code != "RI_AUDIT" {
			t.Errorf("code %q", k.Code)
		}
	}
	who := operator()
	who.Purpose = "curiosity"
	_, err := e.Find(by(t.Context(), who), s.query("ri-active"))
	if k := wantKind(t, err, contracts.Denied); k.Code != "PURPOSE" || s.Sent("*") != 0 {
		t.Errorf("code %q, %d exchanges", k.Code, s.Sent("*"))
	}
}

// Without the setting none is sent; an e-service that demands it says so, and that is nobody's "not found".
func TestEvidenceIsSentOnlyWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	s.m.Set(func(x *mock.Settings) { x.Audit = true })
	wantKind(t, second(find(t, e, s.query("ri-active"))), contracts.Invalid)
}

func TestAnotherAudienceIsRefused(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, func(c *Config, _ *contracts.Env) { c.Audit = "https://elsewhere.test" })
	s.m.Set(func(x *mock.Settings) { x.Audit = true })
	_, err := e.Find(by(t.Context(), operator()), s.query("ri-active"))
	wantKind(t, err, contracts.Invalid)
}

// Whose evidence it is must be who asked: no two users share a question then, and without evidence any may.
func TestQuestionsWithEvidenceAreOneUsers(t *testing.T) {
	t.Parallel()
	_, told := audited(t)
	_, untold := overPDND(t, nil)
	for _, tc := range []struct {
		of   *EService
		want bool
	}{{told, true}, {untold, false}} {
		for _, b := range tc.of.Bindings() {
			if b.Named != tc.want {
				t.Errorf("%s: named %t, want %t", b.Op.Name, b.Named, tc.want)
			}
		}
	}
}
