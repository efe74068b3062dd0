package inipec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
	mock "raccordo/mocks/inipec"
	"raccordo/mocks/lab"
)

// open starts the mock and the adapter on one bench.
func open(t testing.TB, change func(*Config, *contracts.Env)) (*lab.Bench, *mock.Mock, *Adapter) {
	t.Helper()
	m := mock.New()
	b := lab.Start(t, m)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, b.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default().(*Config)
	cfg.HTTP.Endpoint, cfg.HTTP.CA = b.URL("inipec"), ca
	cfg.Login.Client, cfg.Login.Certificate = m.ClientID(), m.CertificatePath()
	cfg.Login.Key = contracts.Secret("secret://file/" + m.KeyPath())
	env := contracts.Env{
		Instance: "inipec", Environment: contracts.Collaudo, Clock: b.Clock(), Secret: contracttest.SecretFile,
	}
	if change != nil {
		change(cfg, &env)
	}
	return b, m, contracttest.Open(t, cfg, env).(*Adapter)
}

// asking is a context as the pipeline makes it.
func asking(ctx context.Context) context.Context {
	who := contracts.Caller{Service: "core", Purpose: "activation", Case: "CASE-7"}
	return contracts.WithCall(contracts.WithCaller(ctx, who), &contracts.Call{Op: domicile.OpLookup.OpInfo, Caller: who})
}

// query is a member of the cast asking in their capacity.
func query(story string) domicile.Query {
	m := lab.Who(story)
	return domiciletest.Query(m.CodiceFiscale, m.PartitaIVA, domicile.Capacity(m.Capacity))
}

// tale is a member's story with the addresses that must answer for them in their capacity.
func tale(story string) domiciletest.Story {
	m := lab.Who(story)
	texts := m.INIPEC.Professionals
	if m.Capacity == lab.Enterprise {
		texts = []string{m.INIPEC.Enterprise}
	}
	out := domiciletest.Story{Query: query(story)}
	for _, text := range texts {
		out.Addresses = append(out.Addresses, contracttest.Sure(contracts.ParseAddress(text)))
	}
	return out
}

// crowd is n different firms, most of them unknown; each is asked by two codes where twice says so.
func crowd(n int, twice bool) []domicile.Query {
	code := func(prefix byte, i int) string {
		digits := fmt.Sprintf("%c%09d", prefix, i)
		for check := range 10 {
			if _, err := contracts.ParseCodiceFiscale(digits + strconv.Itoa(check)); err == nil {
				return digits + strconv.Itoa(check)
			}
		}
		panic("no check digit")
	}
	out := make([]domicile.Query, n)
	for i := range out {
		vat := ""
		if twice {
			vat = code('6', 100_000+i)
		}
		out[i] = domiciletest.Query(code('7', 100_000+i), vat, domicile.Enterprise)
	}
	return out
}

func wantKind(t testing.TB, err error, want contracts.Kind) *contracts.Error {
	t.Helper()
	return contracttest.ErrorOf(t, err, want, "inipec")
}
