package inad

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
	mock "raccordo/mocks/inad"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

// benchNow is when a bench's clock starts.
var benchNow = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// open starts the mocks and the adapter on one bench.
func open(t testing.TB, change func(*Config, *contracts.Env)) (*lab.Bench, *Adapter) {
	t.Helper()
	b := lab.Start(t, pdnd.New(), mock.New())
	platform := b.Mock("pdnd").(*pdnd.Mock)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, b.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default().(*Config)
	cfg.HTTP.Endpoint, cfg.HTTP.CA = b.URL("inad"), ca
	cfg.Voucher.Endpoint, cfg.Voucher.CA = b.URL("pdnd")+"/token.oauth2", ca
	cfg.Voucher.Client, cfg.Voucher.Purposes = platform.ClientID(), platform.Purposes("inad")
	cfg.Voucher.Key = contracts.Secret("secret://file/" + platform.KeyPath())
	env := contracts.Env{Instance: "inad", Environment: contracts.Collaudo, Clock: b.Clock(), Secret: secretFile}
	if change != nil {
		change(cfg, &env)
	}
	if err := cfg.Validate(env.Environment); err != nil {
		t.Fatal(err)
	}
	a, err := cfg.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // closing again is harmless
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return b, a.(*Adapter)
}

func secretFile(_ context.Context, ref contracts.Secret) ([]byte, error) {
	return os.ReadFile(strings.TrimPrefix(string(ref), "secret://file/"))
}

// asking is a context as the pipeline makes it.
func asking(ctx context.Context, op *contracts.OpInfo) context.Context {
	who := contracts.Caller{Service: "core", Purpose: pdnd.Activation, Case: "CASE-7"}
	return contracts.WithCall(contracts.WithCaller(ctx, who), &contracts.Call{Op: op, Caller: who})
}

// subject is a member of the cast; an Invalid member is a fault of the test.
func subject(m lab.Member) (s contracts.Subject) {
	var err error
	if s.CodiceFiscale, err = contracts.ParseCodiceFiscale(m.CodiceFiscale); err != nil {
		panic(err)
	}
	if m.PartitaIVA != "" {
		if s.PartitaIVA, err = contracts.ParsePartitaIVA(m.PartitaIVA); err != nil {
			panic(err)
		}
	}
	return s
}

func query(story string) domicile.Query {
	m := lab.Who(story)
	return domicile.Query{Subject: subject(m), Capacity: domicile.Capacity(m.Capacity)}
}

func address(s string) contracts.Address {
	a, err := contracts.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// tale is a member's story with the addresses that must answer for them in their capacity.
func tale(story string) domiciletest.Story {
	m := lab.Who(story)
	out := domiciletest.Story{Query: query(story)}
	for _, d := range m.InForce(benchNow) {
		if (d.Profession != "") == (m.Capacity == lab.Professional) {
			out.Addresses = append(out.Addresses, address(d.Address))
			if len(out.Addresses) == 1 {
				out.Until = d.Until
			}
		}
	}
	return out
}

// claim is that the member's n-th address in INAD was theirs at an instant.
func claim(story string, n int, at time.Time) domicile.Claim {
	q := query(story)
	return domicile.Claim{Subject: q.Subject, Capacity: q.Capacity, Address: address(lab.Who(story).INAD[n].Address), At: at}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// hold is a Hold that is only an id.
type hold string

func (h hold) ID() string { return string(h) }
func (h hold) Keep(_ context.Context, _ string, make func() ([]byte, error)) ([]byte, error) {
	return make()
}
func (h hold) Depart(context.Context) error { return nil }

// crowd is n different bodies, most of them unknown to INAD.
func crowd(n int) []domicile.Query {
	out := make([]domicile.Query, 0, n)
	for i := 0; len(out) < n; i++ {
		digits := fmt.Sprintf("8%09d", i)
		for check := range 10 {
			if cf, err := contracts.ParseCodiceFiscale(digits + strconv.Itoa(check)); err == nil {
				out = append(out, domicile.Query{Subject: contracts.Subject{CodiceFiscale: cf}, Capacity: domicile.Body})
			}
		}
	}
	return out
}
