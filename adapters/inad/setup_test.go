package inad

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
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
	env := contracts.Env{Instance: "inad", Environment: contracts.Collaudo, Clock: b.Clock(), Secret: contracttest.SecretFile}
	if change != nil {
		change(cfg, &env)
	}
	return b, contracttest.Open(t, cfg, env).(*Adapter)
}

// asking is a context as the pipeline makes it.
func asking(ctx context.Context, op *contracts.OpInfo) context.Context {
	who := contracts.Caller{Service: "core", Purpose: pdnd.Activation, Case: "CASE-7"}
	return contracts.WithCall(contracts.WithCaller(ctx, who), &contracts.Call{Op: op, Caller: who})
}

// query is a member of the cast asking in their capacity.
func query(story string) domicile.Query {
	m := lab.Who(story)
	return domiciletest.Query(m.CodiceFiscale, m.PartitaIVA, domicile.Capacity(m.Capacity))
}

func address(s string) contracts.Address { return contracttest.Sure(contracts.ParseAddress(s)) }

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
