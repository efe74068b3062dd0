package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"go.uber.org/goleak"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/hub/evidence"
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

// A desk is a ledger on a store of its own, and what else an export needs, in maps.
type desk struct {
	*ledger.Ledger
	t       testing.TB
	st      *store.Store
	clock   *contracttest.Clock
	tickets map[string]*contracts.Ticket
	frozen  map[string][]evidence.Frozen
	secrets map[string]bool
	proofs  map[contracts.Sum][]byte
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	dir := t.TempDir()
	d := &desk{
		t: t, clock: contracttest.NewClock(time.Date(2026, 3, 1, 22, 59, 50, 0, time.UTC)),
		tickets: map[string]*contracts.Ticket{}, frozen: map[string][]evidence.Frozen{}, secrets: map[string]bool{},
		proofs: map[contracts.Sum][]byte{},
	}
	cfg, lc := store.Default(), ledger.Default()
	cfg.Path, cfg.Head, cfg.Key, cfg.Reserve = filepath.Join(dir, "hub.db"), filepath.Join(dir, "head.json"), "secret://env/STORE", 0
	lc.Key = "secret://env/SIGN"
	secret := func(_ context.Context, ref contracts.Secret) ([]byte, error) {
		if ref == lc.Key {
			return []byte(signKey), nil
		}
		return []byte(storeKey), nil
	}
	var err error
	if d.st, err = store.Open(t.Context(), cfg, store.Options{Clock: d.clock, Secret: secret}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.st.Close(); err != nil {
			t.Error(err)
		}
	})
	if d.Ledger, err = ledger.Open(t.Context(), d.st, lc, ledger.Options{Clock: d.clock, Secret: secret}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) Show(_ context.Context, id string) (contracts.Ticket, error) {
	t, ok := d.tickets[id]
	if !ok {
		return contracts.Ticket{}, contracts.Errorf(contracts.NotFound, "no such ticket")
	}
	return *t, nil
}

func (d *desk) Frozen(_ context.Context, id string) ([]evidence.Frozen, bool, error) {
	return d.frozen[id], d.secrets[id], nil
}

func (d *desk) Proof(sum contracts.Sum) (io.ReadCloser, error) {
	b, ok := d.proofs[sum]
	if !ok {
		return nil, contracts.Errorf(contracts.NotFound, "erased")
	}
	return io.NopCloser(&archived{Reader: bytes.NewReader(b), changed: contracts.SumOf(b) != sum}), nil
}

// archived is bytes of which it shows at their end whether they were changed.
type archived struct {
	*bytes.Reader
	changed bool
}

func (a *archived) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err == io.EOF && a.changed {
		err = contracts.Errorf(contracts.Internal, "the file was changed")
	}
	return n, err
}

func (a *archived) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{a}) }

func (d *desk) Enter(ctx context.Context, e contracts.Entry) (kept contracts.Entry, err error) {
	err = d.st.Write(ctx, store.Settle, func(tx *store.Tx) error {
		kept, err = d.Append(tx, e)
		return err
	})
	return kept, err
}

func (d *desk) enter(e contracts.Entry) contracts.Entry {
	d.t.Helper()
	kept, err := d.Enter(d.t.Context(), e)
	if err != nil {
		d.t.Fatal(err)
	}
	return kept
}

// send puts a ticket in, whose message has left.
func (d *desk) send(key, kase, message string) string {
	d.t.Helper()
	id := contracts.TicketID("core", "delivery.send", key)
	who := contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: kase}
	d.enter(contracts.Entry{Phase: contracts.PhaseSubmitted, Outcome: "ok", Op: "delivery.send", Ref: id, Caller: who})
	d.clock.Advance(time.Second)
	d.enter(contracts.Entry{Phase: contracts.PhaseIntent, Op: "delivery.send", Ref: id, System: "pec", Caller: who})
	body := []byte(strings.ReplaceAll(message, "TICKET", id))
	sum := contracts.SumOf(body)
	d.clock.Advance(time.Second)
	d.enter(contracts.Entry{
		Phase: contracts.PhaseOutcome, Outcome: "ok", Op: "delivery.send", Ref: id, System: "pec", Caller: who,
		Attempts: []contracts.Attempt{{At: d.clock.Now(), Took: 1, Sent: true, Status: "250 2.0.0", RemoteID: "Q17", RequestSum: sum}},
	})
	d.frozen[id] = []evidence.Frozen{{Name: "message", Sum: sum, Bytes: body}}
	d.tickets[id] = &contracts.Ticket{ID: id, Op: "delivery.send", Owner: "core", Case: kase, State: contracts.StateWaiting}
	return id
}

// hear lets a receipt come for a ticket.
func (d *desk) hear(id, kind string, ev contracts.Evidence, text string) []byte {
	d.t.Helper()
	d.clock.Advance(time.Second)
	ev.Scheme, ev.SeenAt = "TOY", d.clock.Now().UTC()
	switch ev.Message {
	case "":
		ev.Message = "h1." + id + ".1@pec.example"
	case namesNone:
		ev.Message = ""
	}
	if ev.Verdict == "" {
		ev.Verdict, ev.Counts, ev.Issuer, ev.Signer = "VALID", true, "Gestore Uno", "posta-certificata@gestore-uno.test"
	}
	if ev.IssuedAt.IsZero() {
		ev.IssuedAt = d.clock.Now().UTC().Truncate(time.Second)
	}
	raw := toy(d.t, ev, text)
	sum := contracts.SumOf(raw)
	d.proofs[sum] = raw
	data, err := json.Marshal(map[string]any{"evidence": ev})
	if err != nil {
		d.t.Fatal(err)
	}
	t := d.tickets[id]
	t.Story = append(t.Story, contracts.Event{
		ID: "uno/" + sum.String(), Kind: kind, Ref: id, Owner: "core", At: ev.IssuedAt, Data: data, Proof: []contracts.Sum{sum},
		Seq: uint64(len(t.Story) + 1), Source: "pec",
	})
	d.enter(contracts.Entry{Phase: contracts.PhaseEvent, Outcome: kind, Ref: id, Op: "delivery.send", System: "pec", Proof: []contracts.Sum{sum}})
	return raw
}

// namesNone is the message of a receipt that names none.
const namesNone = "none"

// toy is a receipt of a scheme for these tests: what it says as JSON, and its digest for a signature.
func toy(t testing.TB, ev contracts.Evidence, text string) []byte {
	t.Helper()
	says, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	body := string(says) + "\r\n" + text
	return fmt.Appendf(nil, "Content-Type: multipart/signed; boundary=x\r\n\r\n%s\r\n%s", contracts.SumOf([]byte(body)), body)
}

func readToy(raw []byte, _ time.Time) (ev contracts.Evidence, err error) {
	_, rest, _ := strings.Cut(string(raw), "\r\n\r\n")
	sum, body, _ := strings.Cut(rest, "\r\n")
	says, _, _ := strings.Cut(body, "\r\n")
	if err := json.Unmarshal([]byte(says), &ev); err != nil {
		return ev, err
	}
	if contracts.SumOf([]byte(body)).String() != sum {
		ev.Counts, ev.Verdict = false, "BAD_SIGNATURE"
	}
	return ev, nil
}

func trust() evidence.Trust {
	return evidence.Trust{Schemes: map[string]evidence.Scheme{"TOY": {
		Read: readToy,
		Match: func(raw, message []byte) evidence.Match {
			_, text, _ := strings.Cut(string(raw), "returns: ")
			switch {
			case text == "":
				return evidence.Match{}
			case text == contracts.SumOf(message).String():
				return evidence.Match{Result: "MATCH"}
			}
			return evidence.Match{Result: "MISMATCH", Detail: "the text", Fault: true}
		},
	}}}
}

// export exports into a folder of its own.
func (d *desk) export(of string) string {
	d.t.Helper()
	var out bytes.Buffer
	if err := evidence.Export(d.t.Context(), &out, d, d.Ledger, evidence.Request{Of: of, Operator: "g.operatrice", Reason: "richiesta del TAR"}); err != nil {
		d.t.Fatal(err)
	}
	dir := filepath.Join(d.t.TempDir(), "out")
	if err := evidence.Unpack(&out, dir, func(evidence.File) {}); err != nil {
		d.t.Fatal(err)
	}
	return dir
}

func verify(t testing.TB, dir string, with evidence.Trust) evidence.Report {
	t.Helper()
	r, err := evidence.Verify(t.Context(), dir, with)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t testing.TB, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func address(t testing.TB, s string) contracts.Address {
	t.Helper()
	a, err := contracts.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const letter = "Message-ID: <h1.TICKET.1@pec.example>\r\nSubject: Preavviso di rigetto\r\n\r\nCANARINO-4711\r\n"

// delivered is a ticket with acceptance, delivery over midnight, and a document that does not count.
func (d *desk) delivered(key, kase string) string {
	to := address(d.t, "mario.rossi@pec.example")
	id := d.send(key, kase, letter)
	d.hear(id, "pec.accettazione", contracts.Evidence{
		Kind: contracts.SubmissionAcceptance, ID: "opec1@gestore-uno.test",
		Recipients: []contracts.Address{to, address(d.t, "anna@posta.example")}, Uncertified: []contracts.Address{address(d.t, "anna@posta.example")},
	}, "")
	d.clock.Advance(2 * time.Hour)
	d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "opec1@gestore-uno.test", About: to},
		"returns: "+d.frozen[id][0].Sum.String())
	d.hear(id, "pec.errore-consegna", contracts.Evidence{
		Kind: contracts.ContentConsignmentFailure, ID: "opec1@gestore-uno.test", About: to, Verdict: "BAD_SIGNATURE", Doubt: "SIGNATURE",
		Reason: "UNKNOWN_MAILBOX", Code: "5.1.1",
	}, "")
	d.enter(contracts.Entry{
		Phase: contracts.PhaseOperator, Outcome: "waiting to done", Ref: id, Op: "delivery.send", Reason: "=HYPERLINK(1)|\x1b[31m",
		Caller: contracts.Caller{Service: "core", Purpose: "activation", User: "g.operatrice", Case: kase},
	})
	d.tickets[id].State = contracts.StateDone
	return id
}
