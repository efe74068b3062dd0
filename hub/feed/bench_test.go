package feed_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/hub/archive"
	"raccordo/hub/feed"
	real "raccordo/hub/ledger"
	"raccordo/hub/outbox"
	"raccordo/hub/store"
)

// A letter is a request of about the size of a notice, and a proof so far the answer to it.
type letter struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	File    []byte `json:"file,omitempty"`
}

func (l letter) Slim() (any, bool) {
	if len(l.File) == 0 {
		return l, false
	}
	l.File = nil
	return l, true
}

type letterProof struct {
	Phase string   `json:"phase"`
	Seen  []string `json:"seen"`
}

var opLetter = contracts.NewOp[letter, letterProof]("letter.send", contracts.Once)

// A desk has one instance, at which everything goes well.
type letterDesk struct{ bind contracts.Binding }

func newLetterDesk() *letterDesk {
	return &letterDesk{contracts.Bind(opLetter, func(context.Context, letter) (letterProof, error) {
		return letterProof{Phase: "sent"}, nil
	}, contracts.OnEvent(opLetter, func(_ letter, p letterProof, e contracts.Event) (letterProof, contracts.Move, error) {
		p.Seen = append(append([]string(nil), p.Seen...), e.ID)
		if e.Kind == "delivered" {
			p.Phase = "delivered"
			return p, contracts.Move{To: contracts.StateDone}, nil
		}
		p.Phase = "accepted"
		return p, contracts.Move{}, nil
	}))}
}

func (d *letterDesk) Op(name string) *contracts.OpInfo {
	if name == opLetter.Name {
		return opLetter.OpInfo
	}
	return nil
}

func (d *letterDesk) Next(_ *contracts.Call, after string) (string, *contracts.Binding, bool) {
	return "pec", &d.bind, after == ""
}
func (d *letterDesk) Binding(string, string) *contracts.Binding { return &d.bind }

func (d *letterDesk) Do(ctx context.Context, c *contracts.Call) (any, error) {
	return d.bind.Do(ctx, c.Request)
}

func (d *letterDesk) Start(context.Context, *contracts.Call, []any) ([]byte, error) { return nil, nil }

func (d *letterDesk) Collect(context.Context, *contracts.Call, []byte, []any) ([]contracts.Result[any], error) {
	return nil, nil
}
func (d *letterDesk) Resolve(context.Context, *contracts.Call) (any, error) { return nil, nil }
func (d *letterDesk) Refused(error) bool                                    { return false }

// a boxFolder folds by a box that is opened after the feed.
type boxFolder struct{ box *outbox.Box }

func (f *boxFolder) Fold(tx *store.Tx, instance string, e contracts.Event) (string, error) {
	return f.box.Fold(tx, instance, e)
}

// BenchmarkIngest keeps receipts of 20 KB, an acceptance and a delivery for each ticket, each batch forced to the disk:
// store, ledger, outbox and archive as in the hub, the far side and its signatures left out. The floor is the same bytes
// appended to a file that is forced to the disk as often.
func BenchmarkIngest(b *testing.B) {
	for _, c := range []struct {
		name string
		file int // bytes of attachment in each request
	}{{"without attachments", 0}, {"attachments of 100 KB", 100_000}} {
		b.Run(c.name, func(b *testing.B) { benchIngest(b, c.file) })
	}
}

func benchIngest(b *testing.B, file int) {
	clock := contracttest.NewClock(morning)
	secret := func(ctx context.Context, ref contracts.Secret) ([]byte, error) {
		if ref == "secret://env/KEY" {
			return []byte(testKey), nil
		}
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
	}
	ctx := context.Background()
	path := filepath.Join(b.TempDir(), "hub.db")
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = path, "secret://env/KEY", 0
	s, err := store.Open(ctx, cfg, store.Options{Clock: clock, Secret: secret})
	check(b, err)
	defer func() { check(b, s.Close()) }()
	lcfg := real.Default()
	lcfg.Key = "secret://env/LEDGER"
	l, err := real.Open(ctx, s, lcfg, real.Options{Clock: clock, Secret: secret})
	check(b, err)
	proofs, err := archive.Open(ctx, path+".proofs", s)
	check(b, err)
	folder := &boxFolder{}
	f, err := feed.Open(ctx, s, folder, l, feed.Default(), feed.Options{Clock: clock, Archive: proofs})
	check(b, err)
	if folder.box, err = outbox.Open(ctx, s, l, f, newLetterDesk(), outbox.Default(), outbox.Options{Clock: clock}); err != nil {
		b.Fatal(err)
	}
	events := b.N
	tickets := make([]string, (events+1)/2)
	content := make([]byte, file)
	_, _ = rand.Read(content)
	for first := 0; first < len(tickets); first += 500 {
		check(b, s.Write(ctx, store.Accept, func(tx *store.Tx) error {
			for i := first; i < min(first+500, len(tickets)); i++ {
				t, err := folder.box.Put(tx, &contracts.Call{
					Op: opLetter.OpInfo, Key: fmt.Sprint(i), Caller: contracts.Caller{Service: "core", Purpose: "notify", Case: "case-1"},
					Request: letter{To: "somebody@pec.test", Subject: "notice", Text: string(bytes.Repeat([]byte("text "), 200)), File: content},
				})
				if err != nil {
					return err
				}
				tickets[i] = t.ID
			}
			return nil
		}))
	}
	raw := make([]byte, 20_000)
	_, _ = rand.Read(raw)
	made := 0
	far := &source{every: time.Minute, feed: func(_ context.Context, from contracts.Cursor) (batch []contracts.Event, _ contracts.Cursor, _ error) {
		for range min(100, events-made) {
			own := bytes.Clone(raw)
			copy(own, fmt.Sprint("receipt ", made))
			kind := [...]string{"accepted", "delivered"}[made%2]
			batch = append(batch, contracts.Event{
				ID: fmt.Sprint("box/", made), Kind: kind, Ref: tickets[made/2], At: morning,
				Data:  bytes.Repeat([]byte(`{"evidence":"of about this size"}`), 1),
				Proof: []contracts.Sum{contracts.SumOf(own)}, Raw: [][]byte{own},
			})
			made++
		}
		return batch, contracts.Cursor(fmt.Sprint(made)), nil
	}}
	b.ResetTimer()
	for made < events {
		if _, err := f.Pull(ctx, "pec", far); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	took := b.Elapsed()
	b.ReportMetric(float64(events)/took.Seconds(), "events/s")
	b.ReportMetric(floor(b, raw, events).Seconds()/took.Seconds(), "of-floor")
}

// floor is how long it takes to append the same bytes to a file, forced to the disk for each hundred.
func floor(b *testing.B, raw []byte, n int) time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	check(b, err)
	began := time.Now()
	for i := range n {
		_, err := f.Write(raw)
		check(b, err)
		if i%100 == 99 || i == n-1 {
			check(b, f.Sync())
		}
	}
	took := time.Since(began)
	check(b, f.Close())
	return took
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
