package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/hub"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// A watch is a hub on a clock that jumps, which sends its heads to another administrator.
type watch struct {
	t       *testing.T
	bench   *lab.Bench
	dir     string
	file    string
	folder  string // of anchor files
	hub     *hub.Hub
	accept  func() int
	other   pec.Account
	ours    pec.Account
	stopped func()
}

// newWatch sends heads to an address; empty: to a mailbox that is read.
func newWatch(t *testing.T, to string) *watch {
	w := &watch{t: t, bench: lab.Start(t, mocks.All()...), dir: t.TempDir(), folder: t.TempDir()}
	w.file = filepath.Join(w.dir, "hub.yaml")
	post := w.bench.Mock("pec").(*pec.Mock)
	w.ours, w.other = post.Accounts()[0], post.Accounts()[1]
	w.accept = func() int { return len(post.Accepted()) }
	if to == "" {
		to = w.other.Address
	}
	text, err := mocks.Configuration(w.bench, w.dir)
	if err != nil {
		t.Fatal(err)
	}
	yaml := strings.Replace(string(text), "ledger:\n", fmt.Sprintf("ledger:\n  anchor: {folder: %q, to: %q, sender: centrale}\n", w.folder, to), 1)
	if err := os.WriteFile(w.file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watch) open() {
	w.t.Helper()
	cfg, err := hub.Load(w.file, adapters.Kinds())
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := hub.Open(context.Background(), cfg, adapters.Kinds(), hub.Options{Clock: w.bench.Clock(), Anchor: anchorMessage})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- h.Work(ctx) }()
	w.hub = h
	w.stopped = func() {
		cancel()
		if err := <-worked; err != nil {
			w.t.Error(err)
		}
		if err := h.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
	}
}

// until moves the clock to an instant, by way of all that falls due before, and on until a condition holds: a hub that
// was only just opened may not have looked at the clock yet.
func (w *watch) until(horizon time.Time, holds func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for over := false; !over || !holds(); {
		jumped := false
		w.hub.Still(func(next time.Time) {
			if w.bench.InFlight() > 0 {
				return
			}
			if at, ok := w.bench.Clock().Next(); ok && (next.IsZero() || at.Before(next)) {
				next = at
			}
			if !over {
				if over = next.IsZero() || next.After(horizon); over {
					next = horizon
				}
				jumped = true
			}
			w.bench.Clock().AdvanceTo(next)
		})
		if jumped {
			continue
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatal("the hub does not come to rest")
		}
	}
}

// accepted holds once the provider has taken so many messages.
func (w *watch) accepted(n int) func() bool { return func() bool { return w.accept() >= n } }

// settled holds once so many of the hub's own tickets are settled, and it has heard of that.
func (w *watch) settled(n int) func() bool {
	return func() bool {
		events, err := w.hub.Feed().After(w.t.Context(), "hub", 0, 1000)
		acked, err2 := w.hub.Feed().Acked(w.t.Context(), "hub")
		if err != nil || err2 != nil {
			w.t.Fatal(err, err2)
		}
		done := 0
		for _, e := range events {
			if e.Kind == contracts.EventSettled && e.Seq <= acked {
				done++
			}
		}
		return done >= n
	}
}

// mail gives what lies in a mailbox, read as a person's program would.
func (w *watch) mail(a pec.Account) (all []string) {
	w.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.bench.CA().PEM())
	conn, err := tls.Dial("tcp", w.bench.Endpoint("pec", "imaps"), &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	until := func(tag string) (lines []string) {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				w.t.Fatal(err)
			}
			var size int
			if i := strings.LastIndexByte(line, '{'); i >= 0 && strings.HasPrefix(line, "* ") {
				if _, err := fmt.Sscanf(line[i:], "{%d}", &size); err == nil {
					body := make([]byte, size)
					if _, err := io.ReadFull(in, body); err != nil {
						w.t.Fatal(err)
					}
					all = append(all, string(body))
					continue
				}
			}
			if strings.HasPrefix(line, tag) {
				if tag != "* OK" && !strings.HasPrefix(line, tag+" OK") {
					w.t.Fatal(line)
				}
				return lines
			}
		}
	}
	until("* OK")
	for i, command := range []string{fmt.Sprintf("LOGIN %q %q", a.User, a.Password), "EXAMINE INBOX", "FETCH 1:* BODY.PEEK[]", "LOGOUT"} {
		tag := fmt.Sprintf("a%d", i)
		fmt.Fprintf(conn, "%s %s\r\n", tag, command)
		until(tag)
	}
	return all
}

// keep puts messages into a folder, one to a file, and gives the folder.
func (w *watch) keep(messages []string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	for i, m := range messages {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.eml", i)), []byte(m), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return dir
}

func (w *watch) verify(status int, dir string) (ledger.AnchorReport, string) {
	w.t.Helper()
	at := w.bench.Clock().Now().Format(time.RFC3339)
	out, errOut := must(w.t, status, "", "ledger", "verify", w.file, "-anchors", dir, "-at", at, "-json")
	var report anchoredReport
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	return report.Anchors, errOut
}

func TestHeadsTravelToAnotherAdministratorAndBetrayAHistoryWrittenAnew(t *testing.T) {
	w := newWatch(t, "")
	begun := w.bench.Clock().Now()
	midnight := begun.Truncate(24 * time.Hour).Add(24 * time.Hour)
	w.open()
	if err := w.hub.Rejoin(t.Context(), "inad", "operator-7", "a first entry"); err != nil {
		t.Fatal(err)
	}
	w.until(midnight.Add(-time.Minute), w.accepted(0))
	if n := w.accept(); n != 0 {
		t.Fatalf("%d messages before the day is over", n)
	}
	w.until(midnight.Add(10*time.Minute), w.accepted(1))
	if n := w.accept(); n != 1 {
		t.Fatalf("%d messages ten minutes after midnight, want 1", n)
	}
	w.until(midnight.Add(25*time.Hour), w.accepted(2))
	w.stopped()
	w.open() // a restart sends nothing again
	w.until(midnight.Add(26*time.Hour), w.accepted(2))
	if n := w.accept(); n != 2 {
		t.Fatalf("%d messages after two midnights and a restart, want 2", n)
	}
	w.stopped()
	w.bench.Clock().AdvanceTo(midnight.Add(3*24*time.Hour + 6*time.Hour)) // nobody is there for two midnights
	w.open()
	w.until(midnight.Add(3*24*time.Hour+8*time.Hour), w.settled(3))
	if n := w.accept(); n != 3 {
		t.Fatalf("%d messages after the hub was away, want 3: one day had entries", n)
	}
	envelopes, receipts := w.mail(w.other), w.mail(w.ours)
	w.stopped()
	if len(envelopes) != 3 || len(receipts) < 6 {
		t.Fatalf("%d envelopes and %d receipts", len(envelopes), len(receipts))
	}
	var short []string // acceptances do not carry the message
	for _, r := range receipts {
		if strings.Contains(r, "X-Ricevuta: accettazione\r\n") {
			short = append(short, r)
		}
	}
	if len(short) != 3 {
		t.Fatalf("%d acceptances", len(short))
	}
	folders := map[string]string{"the file": w.folder, "envelopes": w.keep(envelopes), "all receipts": w.keep(receipts), "acceptances": w.keep(short)}
	for what, dir := range folders {
		r, errOut := w.verify(0, dir)
		if r.Closed != 3 || r.Covered != 3 || len(r.Bare) != 0 || len(r.Segments) != 3 {
			t.Errorf("%s: %+v\n%s", what, r, errOut)
		}
		for _, m := range r.Segments {
			if what == "the file" && (m.Files != 1 || m.Carried != 0) || what != "the file" && (m.Files != 0 || m.Carried == 0 || m.At.IsZero()) {
				t.Errorf("%s: segment %+v", what, m)
			}
		}
	}
	out, _ := must(t, 0, "", "ledger", "verify", w.file, "-anchors", folders["envelopes"], "-at", w.bench.Clock().Now().Format(time.RFC3339))
	if !strings.Contains(out, "the ledger verifies") || !strings.Contains(out, "the anchors agree: 3 closed segments, covered up to segment 3") {
		t.Errorf("%s", out)
	}

	// A message that was changed vouches for nothing, and is named.
	forged := strings.Replace(envelopes[0], "<postacert ", "<postacert  ", 1)
	if forged == envelopes[0] {
		forged = strings.Replace(envelopes[0], "Content-Type: application/json", "Content-Type: Application/json", 1)
	}
	if forged == envelopes[0] {
		t.Fatal("nothing was changed")
	}
	if r, _ := w.verify(1, w.keep([]string{forged})); len(r.Problems) == 0 || !strings.Contains(r.Problems[len(r.Problems)-1], "cannot be believed: BAD_SIGNATURE") {
		t.Errorf("problems %q", r.Problems)
	}
	// One head missing: a later one covers it.
	if r, _ := w.verify(0, w.keep(envelopes[1:])); len(r.Bare) != 1 || r.Covered != 3 {
		t.Errorf("%+v", r)
	}
	// Mail that bears on other things is passed over.
	if r, _ := w.verify(0, w.keep(append([]string{"From: a@b\r\n\r\nhello\r\n"}, envelopes...))); r.Other != 1 {
		t.Errorf("%+v", r)
	}

	w.writeAnew(begun)
	must(t, 0, "", "ledger", "verify", w.file) // by itself it verifies
	for what, dir := range folders {
		r, _ := w.verify(1, dir)
		want := "is not the one in"
		if what == "acceptances" { // they do not show the head that they vouch for: it is not the chain's
			want = "nobody vouches for the heads of segments 1"
		}
		if len(r.Problems) == 0 || !strings.Contains(r.Problems[0], want) {
			t.Errorf("%s, a chain written anew: %q, want %q", what, r.Problems, want)
		}
	}
}

func TestAHeadThatDoesNotArriveRaisesAnAlarm(t *testing.T) {
	w := newWatch(t, "nodest.archivio@pec.studi.test")
	midnight := w.bench.Clock().Now().Truncate(24 * time.Hour).Add(24 * time.Hour)
	w.open()
	defer func() { w.stopped() }()
	if err := w.hub.Rejoin(t.Context(), "inad", "operator-7", "a first entry"); err != nil {
		t.Fatal(err)
	}
	page := func() string {
		rec := httptest.NewRecorder()
		w.hub.Metrics().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		return rec.Body.String()
	}
	for _, line := range []string{"raccordo_ledger_undelivered 0", "raccordo_backup_timestamp_seconds 0", "raccordo_ledger_unanchored{way=\"file\"} 0"} {
		if !strings.Contains(page(), line+"\n") {
			t.Errorf("before: no %q", line)
		}
	}
	w.until(midnight.Add(20*time.Hour), func() bool { return strings.Contains(page(), "raccordo_ledger_undelivered 1\n") })
	for _, line := range []string{"raccordo_ledger_undelivered 1", "raccordo_ledger_unanchored{way=\"message\"} 0"} {
		if !strings.Contains(page(), line+"\n") {
			t.Errorf("after: no %q", line)
		}
	}
}

// writeAnew puts another history of the same chain and days into the store, signed with the ledger's own key.
func (w *watch) writeAnew(begun time.Time) {
	w.t.Helper()
	cfg, err := hub.Load(w.file, adapters.Kinds())
	if err != nil {
		w.t.Fatal(err)
	}
	secret := func(_ context.Context, ref contracts.Secret) ([]byte, error) {
		return os.ReadFile(strings.TrimPrefix(string(ref), "secret://file/"))
	}
	clock := lab.NewClock(begun)
	write := func(st *store.Store, fn func(*store.Tx) error) {
		w.t.Helper()
		if err := st.Write(w.t.Context(), store.Settle, fn); err != nil {
			w.t.Fatal(err)
		}
	}
	open := func() *store.Store {
		w.t.Helper()
		st, err := store.Open(w.t.Context(), cfg.Store, store.Options{Clock: clock, Secret: secret})
		if err != nil {
			w.t.Fatal(err)
		}
		return st
	}
	st := open()
	write(st, func(tx *store.Tx) error {
		for _, text := range []string{"DELETE FROM ledger_entry", "DELETE FROM ledger_segment", "DELETE FROM store_head"} {
			if _, err := tx.Exec(text); err != nil {
				return err
			}
		}
		return nil
	})
	if err := st.Close(); err != nil {
		w.t.Fatal(err)
	}
	st = open() // which knows nothing of the old head
	defer func() {
		if err := st.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	l, err := ledger.Open(w.t.Context(), st, cfg.Ledger, ledger.Options{Clock: clock, Secret: secret})
	if err != nil {
		w.t.Fatal(err)
	}
	for range 4 {
		write(st, func(tx *store.Tx) error {
			_, err := l.Append(tx, contracts.Entry{Phase: contracts.PhaseOutcome, Outcome: "ok", System: "hub", Reason: "it was otherwise"})
			return err
		})
		clock.AdvanceTo(clock.Now().Add(24 * time.Hour))
	}
}
