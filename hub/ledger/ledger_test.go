package ledger_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	storeKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	// an Ed25519 key made for these tests
	signKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
`
)

func secret(_ context.Context, ref contracts.Secret) ([]byte, error) {
	if ref == "secret://env/SIGN" {
		return []byte(signKey), nil
	}
	return []byte(storeKey), nil
}

// A bench is a ledger on a store of its own, under a clock that stands.
type bench struct {
	*ledger.Ledger
	st    *store.Store
	cfg   store.Config
	clock *contracttest.Clock
}

func newBench(t testing.TB, change ...func(*store.Config, *ledger.Config)) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{cfg: store.Default(), clock: contracttest.NewClock(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC))}
	b.cfg.Path, b.cfg.Head, b.cfg.Key, b.cfg.Reserve = filepath.Join(dir, "hub.db"), filepath.Join(dir, "head.json"), "secret://env/STORE", 0
	lc := ledger.Default()
	lc.Key = "secret://env/SIGN"
	for _, c := range change {
		c(&b.cfg, &lc)
	}
	b.open(t, lc, store.Options{})
	return b
}

func (b *bench) open(t testing.TB, lc ledger.Config, opt store.Options) {
	t.Helper()
	opt.Clock, opt.Secret = b.clock, secret
	st, err := store.Open(context.Background(), b.cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := ledger.Open(context.Background(), st, lc, ledger.Options{Clock: b.clock, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	b.st, b.Ledger = st, l
}

func entry(op, ref string) contracts.Entry {
	return contracts.Entry{
		Phase: contracts.PhaseOutcome, Outcome: "ok", Op: op, System: "inad", Ref: ref,
		Caller:  contracts.Caller{Service: "core", Purpose: "attivazione", User: "system", Case: "2026/1"},
		Subject: contracts.SumOf([]byte(ref)), SubjectKey: "01020304",
		Attempts: []contracts.Attempt{{At: time.Date(2026, 3, 1, 9, 59, 59, 5, time.UTC), Took: 31 * time.Millisecond, Sent: true, Status: "200"}},
	}
}

func (b *bench) append(t testing.TB, e contracts.Entry) (out contracts.Entry) {
	t.Helper()
	if err := b.st.Write(context.Background(), store.Settle, func(tx *store.Tx) (err error) {
		out, err = b.Append(tx, e)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// days appends n entries on each of so many days.
func (b *bench) days(t testing.TB, days, n int) {
	t.Helper()
	for d := range days {
		if d > 0 {
			b.clock.Advance(24 * time.Hour)
		}
		for range n {
			b.append(t, entry("domicile.lookup", "t1"))
		}
	}
}

// sql changes the database behind the ledger's back.
func (b *bench) sql(t testing.TB, statements ...string) {
	t.Helper()
	if err := b.st.Write(context.Background(), store.Settle, func(tx *store.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
