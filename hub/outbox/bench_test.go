package outbox_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/feed"
	real "raccordo/hub/ledger"
	"raccordo/hub/outbox"
	"raccordo/hub/store"
)

func TestWhatIsAskedAtEveryTurnReadsAnIndex(t *testing.T) {
	r := newRig(t).open()
	for text, index := range outbox.Queries() {
		args := make([]any, strings.Count(text, "?"))
		for i := range args {
			args[i] = 1
		}
		err := r.store.Read(t.Context(), func(v *store.View) error {
			rows, err := v.Query("EXPLAIN QUERY PLAN "+text, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			used := false
			for rows.Next() {
				var a, b, c int
				var detail string
				if err := rows.Scan(&a, &b, &c, &detail); err != nil {
					return err
				}
				used = used || strings.Contains(detail, index)
				if strings.Contains(detail, "TEMP B-TREE") || strings.HasPrefix(detail, "SCAN outbox") && !strings.Contains(detail, index) {
					t.Errorf("%s\nplan: %s", text, detail)
				}
			}
			if !used {
				t.Errorf("%s\ndoes not use %s", text, index)
			}
			return rows.Err()
		})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// fill brings the queue to n tickets, by multiplying the first that is submitted.
func fill(b testing.TB, r *rig, first *contracts.Call, n int) {
	b.Helper()
	r.submit(first)
	const cols = `version, op, effect, owner, purpose, pin, at, solo, grp, lane, rule, pos, head, state, tries, ready, rank, next, due,
		since, ended, recheck, lease, fence, beat, departed, lot, heard, moved, digest, digest_key, answer, err, redacted`
	err := r.store.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
		_, err := tx.Exec(`WITH RECURSIVE k(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM k WHERE i < ?)
			INSERT INTO outbox_ticket (n, id, `+cols+`) SELECT i, 'copy' || i, `+cols+` FROM k, outbox_ticket WHERE n = 1`, n)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO outbox_request (n, caller, request)
			SELECT t.n, r.caller, r.request FROM outbox_ticket t, outbox_request r WHERE t.n > 1 AND r.n = 1`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkClaim times one turn of the workers (what is due, and claiming eight) with few and with very many tickets
// queued, in one run; the ratio is what counts.
func BenchmarkClaim(b *testing.B) {
	medians := map[int]time.Duration{}
	for _, n := range []int{1_000, 500_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b)
			bind, _ := says(opRead, answers)
			r.desk.bind("inad", bind)
			r.open()
			fill(b, r, newCall(opRead, "first", ask{Who: "a"}), n)
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				got, err := r.box.Claim(context.Background(), 8)
				took = append(took, time.Since(began))
				if err != nil || got != 8 {
					b.Fatalf("claimed %d: %v", got, err)
				}
				b.StopTimer()
				err = r.store.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
					_, err := tx.Exec(`UPDATE outbox_ticket SET state = 'queued' WHERE state = 'running'`)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			slices.Sort(took)
			medians[n] = took[len(took)/2]
			b.ReportMetric(float64(medians[n].Microseconds()), "median-µs")
		})
	}
	if few, many := medians[1_000], medians[500_000]; few > 0 && many > 0 {
		b.Logf("claiming with 500,000 queued takes %.2f times what it takes with 1,000", float64(many)/float64(few))
	}
}

// BenchmarkClaimPooled is BenchmarkClaim for one pool of eight places, beside a pool of as many tickets none of whose places
// is free, and for one turn at which nothing is free at all.
func BenchmarkClaimPooled(b *testing.B) {
	for _, c := range []struct {
		name string
		free int
	}{{"eight places", 8}, {"no place", 0}} {
		medians := map[int]time.Duration{}
		for _, n := range []int{1_000, 500_000} {
			b.Run(fmt.Sprint(c.name, "/", n), func(b *testing.B) {
				r := newRig(b)
				m := newMailboxes(r.clock, map[string]int{"free": c.free, "full": 0})
				r.desk.bind("pec", m.binding(func(context.Context, string, ask) (reply, error) { return reply{}, nil }))
				r.open()
				fill(b, r, pooled("free", "first"), n)
				err := r.store.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
					_, err := tx.Exec(`UPDATE outbox_ticket SET grp = replace(grp, 'free', 'full'), lane = replace(lane, 'free', 'full') WHERE n % 2 = 0`)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
				var took []time.Duration
				for b.Loop() {
					began := time.Now()
					got, err := r.box.Claim(context.Background(), 8)
					took = append(took, time.Since(began))
					if err != nil || got != c.free {
						b.Fatalf("claimed %d: %v", got, err)
					}
					b.StopTimer()
					err = r.store.Write(context.Background(), store.Accept, func(tx *store.Tx) error {
						_, err := tx.Exec(`UPDATE outbox_ticket SET state = 'queued' WHERE state = 'running'`)
						return err
					})
					if err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				slices.Sort(took)
				medians[n] = took[len(took)/2]
				b.ReportMetric(float64(medians[n].Microseconds()), "median-µs")
			})
		}
		if few, many := medians[1_000], medians[500_000]; few > 0 && many > 0 {
			b.Logf("a turn with %s and 500,000 queued takes %.2f times what it takes with 1,000", c.name, float64(many)/float64(few))
		}
	}
}

// BenchmarkSubmit times durable submissions of 64 callers, with and without the real ledger, against single rows inserted
// one by one at synchronous FULL on the same disk.
func BenchmarkSubmit(b *testing.B) {
	rates := map[string]float64{}
	b.Run("single rows, FULL", func(b *testing.B) {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "rows.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		if _, err := db.Exec(`CREATE TABLE t (n INTEGER PRIMARY KEY, id TEXT UNIQUE, body BLOB)`); err != nil {
			b.Fatal(err)
		}
		n := 0
		for b.Loop() {
			n++
			if _, err := db.Exec(`INSERT INTO t (id, body) VALUES (?, ?)`, fmt.Sprint(n), make([]byte, 300)); err != nil {
				b.Fatal(err)
			}
		}
		rates["rows"] = float64(b.N) / b.Elapsed().Seconds()
	})
	for _, proof := range []string{"ledger fake", "ledger real"} {
		b.Run(proof, func(b *testing.B) {
			r := newRig(b)
			bind, _ := says(opWrite, answers)
			r.desk.bind("x", bind)
			r.open()
			box := r.box
			if proof == "ledger real" {
				box = realBox(b, r)
			}
			var n atomic.Int64
			b.SetParallelism(32) // of two processors: 64 callers
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					if _, err := box.Submit(context.Background(), newCall(opWrite, fmt.Sprint(i), ask{Who: fmt.Sprint(i)})); err != nil {
						b.Error(err)
						return
					}
				}
			})
			rates[proof] = float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rates[proof], "submissions/s")
		})
		if rates["rows"] > 0 {
			b.Logf("%s: %.2f times the rate of single rows", proof, rates[proof]/rates["rows"])
		}
	}
}

func realBox(b *testing.B, r *rig) *outbox.Box {
	b.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	cfg := real.Default()
	cfg.Key = "secret://env/LEDGER"
	l, err := real.Open(context.Background(), r.store, cfg, real.Options{Clock: r.clock, Secret: func(context.Context, contracts.Secret) ([]byte, error) {
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	f, err := feed.Open(context.Background(), r.store, &late{}, l, feed.Default(), feed.Options{Clock: r.clock})
	if err != nil {
		b.Fatal(err)
	}
	box, err := outbox.Open(context.Background(), r.store, l, f, r.desk, r.cfg, r.opt)
	if err != nil {
		b.Fatal(err)
	}
	return box
}

// BenchmarkIdle times the question whether anything is due, which drains and jumping clocks ask in a loop, while 100,000
// tickets of a pool wait for a place, and when the rows must be read again for every answer.
func BenchmarkIdle(b *testing.B) {
	r := newRig(b)
	m := newMailboxes(r.clock, map[string]int{"full": 1})
	m.pools["full"][0].locked = true
	r.desk.bind("pec", m.binding(func(context.Context, string, ask) (reply, error) { return reply{}, nil }))
	r.open()
	fill(b, r, pooled("full", "first"), 100_000)
	for _, c := range []struct {
		name   string
		before func()
	}{{"nothing happens", func() {}}, {"something happened", r.box.Ring}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.before()
				if _, quiet := r.box.Idle(); !quiet {
					b.Fatal("it is not quiet")
				}
			}
		})
	}
}
