package pec

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

func TestReceiptsThatAreLateAreToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	log := &lines{}
	w.Adapter.env.Log = slog.New(slog.NewTextHandler(log, nil))
	start := w.bench.Clock().Now()
	sent := delivery.Dispatch{Mailbox: w.box.Name, Submitted: start}
	asked := 0
	w.Adapter.env.Waiting = func(_ context.Context, after string, _ int) ([]contracts.Ticket, error) {
		asked++
		detail, err := json.Marshal(sent)
		if after != "" || sent.Mailbox == "" {
			return nil, err
		}
		return []contracts.Ticket{{ID: ticketOf(1), State: contracts.StateWaiting, Detail: detail}}, err
	}
	_, at := w.drain(t, nil)
	for _, step := range []struct {
		after time.Duration
		want  string
		level string
	}{
		{10 * time.Minute, "", ""},
		{16 * time.Minute, "acceptance_15m=1 acceptance_60m=0 NO_OUTCOME=0", "WARN"},
		{30 * time.Minute, "", ""},
		{61 * time.Minute, "acceptance_15m=0 acceptance_60m=1 NO_OUTCOME=0", "ERROR"},
		{3 * time.Hour, "", ""},
		{30*time.Hour + time.Minute, "acceptance_15m=0 acceptance_60m=0 NO_OUTCOME=1", "ERROR"},
		{40 * 24 * time.Hour, "", ""},
	} {
		log.mu.Lock()
		before := log.b.Len()
		log.mu.Unlock()
		w.bench.Advance(start.Add(step.after).Sub(w.bench.Clock().Now()))
		_, at = w.drain(t, at)
		log.mu.Lock()
		said := log.b.String()[before:]
		log.mu.Unlock()
		if step.want == "" && strings.Contains(said, "receipts are late") || !strings.Contains(said, step.want) || !strings.Contains(said, step.level) {
			t.Errorf("after %v: %q, want %q", step.after, said, step.want)
		}
	}
	sent.Mailbox = ""
	w.bench.Advance(6 * time.Minute)
	if w.drain(t, at); log.count("no receipts are late any more") != 1 {
		t.Error("the end of it is not told")
	}
	if asked > 40 {
		t.Errorf("the hub was asked %d times", asked)
	}
}

func TestOnlyWhatMayStillComeIsLookedFor(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	d := &duties{known: true, boxes: map[string][]duty{}}
	for i, ago := range []time.Duration{31 * 24 * time.Hour, 29 * 24 * time.Hour, time.Hour, 16 * time.Minute, 14 * time.Minute} {
		d.boxes["a"] = append(d.boxes["a"], duty{ticket: fmt.Sprint(i), submitted: now.Add(-ago)})
	}
	if got := d.overdue("a", now); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("looked for %v", got)
	}
	if !d.due("a") || d.due("b") || !(&duties{}).due("b") {
		t.Error("due where nothing is, or not where nobody knows")
	}
	for range 2 * maxReconciled {
		d.boxes["a"] = append(d.boxes["a"], duty{ticket: "x", submitted: now.Add(-time.Hour)})
	}
	if n := len(d.overdue("a", now)); n != 3+2*maxReconciled { // in turns, each round some of them
		t.Errorf("%d wait", n)
	}
}

func TestSettingsOfReading(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Mailbox){
		"":            func(m *Mailbox) { m.Folders, m.PurgeAfter = []string{"INBOX", "Ricevute/2026"}, 48*time.Hour },
		"folders[1]":  func(m *Mailbox) { m.Folders = []string{"INBOX", "INBOX"} },
		"folders[0]":  func(m *Mailbox) { m.Folders = []string{"a\r\nb"} },
		"folders:":    func(m *Mailbox) { m.Folders = make([]string, maxWatched+1) },
		"purge_after": func(m *Mailbox) { m.PurgeAfter = time.Hour },
	} {
		c := good(t)
		change(&c.Mailboxes[0])
		err := c.Validate(contracts.Attestazione)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "mailboxes[0]."+strings.TrimSuffix(want, ":")) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestKnownNamesAreBounded(t *testing.T) {
	t.Parallel()
	k := &acquainted{}
	for i := range maxKnown + 10 {
		k.add(fmt.Sprint(i), "t"+fmt.Sprint(i))
	}
	if len(k.names) != maxKnown || k.whose("9") != "" || k.whose("10") != "t10" || k.whose(fmt.Sprint(maxKnown+9)) == "" {
		t.Errorf("%d names, the oldest is %q", len(k.names), k.whose("9"))
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("In-Reply-To: <h1.abc.1@pec.ente.test>\r\n\r\nx"))
	f.Add([]byte("A: b\r\n\r\nContent-Type: message/rfc822\r\n\r\nReferences: <a@b>\r\n <h1.abc.1@pec.ente.test>\r\n\r\n"))
	s := &source{in: &intake{}, box: &mailbox{Mailbox: Mailbox{Name: "a"}, address: office(usual()).address}, a: &Adapter{env: contracts.Env{Clock: contracts.SystemClock{}}}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, ok, err := s.reply(mail.Place{Folder: "INBOX", Validity: 1, UID: 1}, mail.Head{UID: 1}, raw, reading{})
		if err != nil {
			t.Fatal(err)
		}
		if ok && (e.Ref == "" || e.Kind != KindReply || len(e.Data) > 4096 || len(e.Raw) > 0) {
			t.Fatalf("%+v", e)
		}
	})
}
