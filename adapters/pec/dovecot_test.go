package pec

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
	"raccordo/mocks/dovecot"
)

// An inbox is the adapter's reading side on a real server, with the system's clock but for what a test moves.
type inbox struct {
	*Adapter
	server *dovecot.Server
	log    *lines
	clock  *shifted

	mu      sync.Mutex
	waiting []contracts.Ticket
	backed  map[contracts.Sum]bool
}

const (
	office1 = "centrale"
	user1   = "ufficio"
)

// A shifted clock is the system's, moved.
type shifted struct {
	contracts.SystemClock
	mu sync.Mutex
	by time.Duration
}

func (c *shifted) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.SystemClock.Now().Add(c.by)
}

func (c *shifted) shift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

// Lines are a log's.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func newInbox(t *testing.T, opt dovecot.Options, change func(*Config)) *inbox {
	t.Helper()
	in := &inbox{server: dovecot.Start(t, opt), log: &lines{}, clock: &shifted{}, backed: map[contracts.Sum]bool{}}
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := Default().(*Config)
	c.Roots = file("roots.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: usual().root.Raw}))
	c.CA = file("ca.pem", in.server.CA())
	c.Timeout = 10 * time.Second
	c.Mailboxes = []Mailbox{{
		Name: office1, Role: office1, Address: "ufficio@pec.ente.test", SMTPS: "127.0.0.1:1", IMAPS: in.server.IMAPS, User: user1, Password: "secret://env/PEC",
	}}
	if change != nil {
		change(c)
	}
	if err := c.Validate(contracts.Attestazione); err != nil {
		t.Fatal(err)
	}
	in.Adapter = contracttest.Open(t, c, contracts.Env{
		Instance: "pec", Environment: contracts.Attestazione, Log: slog.New(slog.NewTextHandler(in.log, nil)), Clock: in.clock,
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(dovecot.Password), nil },
		Keep:   keepNothing,
		Waiting: func(_ context.Context, after string, most int) ([]contracts.Ticket, error) {
			in.mu.Lock()
			defer in.mu.Unlock()
			if after != "" {
				return nil, nil
			}
			return in.waiting, nil
		},
		Backed: func(_ context.Context, proof contracts.Sum) (bool, error) {
			in.mu.Lock()
			defer in.mu.Unlock()
			return in.backed[proof], nil
		},
	}).(*Adapter)
	return in
}

func keepNothing(_ context.Context, r io.Reader, _ int64) (contracts.Sum, error) {
	b, err := io.ReadAll(r)
	return contracts.SumOf(b), err
}

func (in *inbox) source() *source { return in.intake.sources[office1] }

// read feeds until nothing new comes.
func (in *inbox) read(t *testing.T, from contracts.Cursor) (all []contracts.Event, at contracts.Cursor) {
	t.Helper()
	for range 100 {
		events, next, err := in.source().Feed(t.Context(), from)
		if err != nil {
			t.Fatalf("feed: %v", err)
		}
		all, from = append(all, events...), next
		if len(events) == 0 {
			return all, from
		}
	}
	t.Fatal("the feed does not come to an end")
	return nil, nil
}

func (in *inbox) deliver(t *testing.T, folder string, messages ...[]byte) {
	t.Helper()
	if err := in.server.Deliver(user1, folder, messages...); err != nil {
		t.Fatal(err)
	}
}

// other is another client of the same mailbox.
func (in *inbox) other(t *testing.T) *mail.Session {
	t.Helper()
	s, err := mail.OpenSession(t.Context(), in.boxes[0].in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func ticketOf(i int) string { return fmt.Sprintf("ticket%020d", i) }

// receiptFor forges a signed receipt of a ticket's message.
func receiptFor(t testing.TB, tipo string, ticket string) []byte {
	t.Helper()
	id := "h1." + ticket + ".1@pec.ente.test"
	l := receiptOf(tipo)
	l.rif, l.daticert = "<"+id+">", strings.ReplaceAll(xmlOf(tipo, id), ".00042@", "."+ticket[len(ticket)-5:]+"@")
	return l.seal(t, usual())
}

func refs(events []contracts.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, strings.TrimLeft(strings.TrimPrefix(e.Ref, "ticket"), "0"))
	}
	return strings.Join(all, " ")
}

func TestDovecotReceiptsInOrderAndOnce(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, nil)
	const n = 40
	var want []string
	for i := 1; i <= n; i++ {
		in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(i)))
		want = append(want, fmt.Sprint(i))
	}
	all, at := in.read(t, nil)
	if refs(all) != strings.Join(want, " ") {
		t.Fatalf("told %s", refs(all))
	}
	for _, e := range all {
		if e.Kind != kindPrefix+tipoAccettazione || len(e.Raw) != 1 || e.Proof[0] != contracts.SumOf(e.Raw[0]) || !strings.HasSuffix(e.ID, e.Proof[0].String()) {
			t.Errorf("%+v", e.ID)
		}
		if r := data(t, e); r.Verdict() != Valid || r.Received.IsZero() {
			t.Errorf("%s (%s)", r.Verdict(), r.Doubt)
		}
	}
	if again, _ := in.read(t, at); len(again) != 0 {
		t.Errorf("told again: %s", refs(again))
	}
	dir, err := in.server.Maildir(user1, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	seen, err := filepath.Glob(filepath.Join(dir, "cur", "*:2,*[A-Z]*"))
	if err != nil || len(seen) != 0 {
		t.Errorf("messages were marked: %v %v", seen, err)
	}
}

func TestDovecotRenumbersAFolder(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, nil)
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(1)), receiptFor(t, tipoConsegna, ticketOf(1)))
	before, at := in.read(t, nil)
	in.source().drop() // it would keep the old numbers as long as it has the folder open
	if err := in.server.Renumber(user1, "INBOX"); err != nil {
		t.Fatal(err)
	}
	in.deliver(t, "INBOX", receiptFor(t, tipoConsegna, ticketOf(2)))
	after, _ := in.read(t, at)
	if len(before) != 2 || len(after) != 3 {
		t.Fatalf("before %s, after %s", refs(before), refs(after))
	}
	same := map[string]bool{}
	for _, e := range after {
		same[e.ID] = true
	}
	for _, e := range before {
		if !same[e.ID] {
			t.Errorf("%s has another name", e.Kind)
		}
	}
	if in.log.count("renumbered") != 1 {
		t.Errorf("%d lines tell of it", in.log.count("renumbered"))
	}
}

func TestDovecotTellsOfNewMail(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, nil)
	_, at := in.read(t, nil)
	for i := 1; i <= 3; i++ {
		in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(i)))
		select {
		case <-in.source().Wake():
		case <-time.After(30 * time.Second):
			t.Fatal("the server does not tell, or nobody listens")
		}
		var all []contracts.Event
		if all, at = in.read(t, at); refs(all) != fmt.Sprint(i) {
			t.Errorf("told %s", refs(all))
		}
	}
	if err := in.source().session.Renew(); err != nil {
		t.Errorf("renewing: %v", err)
	}
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(4)))
	select {
	case <-in.source().Wake():
	case <-time.After(30 * time.Second):
		t.Fatal("nobody listens after the renewal")
	}
}

func TestDovecotWithoutExtensions(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{Capability: "IMAP4rev1"}, func(c *Config) {
		c.Mailboxes[0].Quota = 1 << 20
		c.Mailboxes[0].PurgeAfter = 24 * time.Hour
	})
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(1)), append([]byte("A: b\r\n\r\n"), bytes.Repeat([]byte("abcd\r\n"), 180<<10)...))
	all, at := in.read(t, nil)
	if kinds(all) != "accettazione foreign" {
		t.Errorf("told %s", kinds(all))
	}
	if len(in.source().wake) != 0 || in.source().session.Has("IDLE") {
		t.Error("it listens to a server that cannot tell")
	}
	if in.log.count("mailbox is full") != 1 {
		t.Errorf("the configured quota is passed, and %d lines say so", in.log.count("mailbox is full"))
	}
	in.backed[all[0].Proof[0]] = true
	in.clock.shift(48 * time.Hour)
	if in.read(t, at); in.log.count("deleted from the mailbox") != 0 {
		t.Error("deleted without UIDPLUS")
	}
	if again, _ := in.read(t, nil); len(again) != 2 {
		t.Errorf("%d messages are left", len(again))
	}
}

func TestDovecotQuotaIsTold(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{Quota: "1M"}, nil)
	fill := func(kib int) {
		in.deliver(t, "INBOX", append([]byte("A: b\r\n\r\n"), bytes.Repeat([]byte("0123456789abcdef0123456789abcde\n"), kib<<5)...))
	}
	_, at := in.read(t, nil)
	for _, step := range []struct {
		kib  int
		line string
		full bool
	}{{300, "", false}, {450, "fills up", false}, {150, "nearly full", true}, {90, "mailbox is full", true}} {
		fill(step.kib)
		_, at = in.read(t, at)
		if step.line != "" && in.log.count(step.line) != 1 {
			t.Errorf("after %d KiB more %d lines say %q", step.kib, in.log.count(step.line), step.line)
		}
		if in.boxes[0].gate.tight() != step.full {
			t.Errorf("after %d KiB more the sending side is told %v", step.kib, !step.full)
		}
	}
	if in.read(t, at); in.log.count("mailbox is full") != 1 {
		t.Error("it is told at each call")
	}
}

func TestDovecotReceiptsMovedByOthersAreFound(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, nil)
	in.waiting = []contracts.Ticket{{ID: ticketOf(1), State: contracts.StateWaiting, Detail: []byte(`{"mailbox":"` + office1 + `","submitted":"` + time.Now().Add(-2*time.Hour).Format(time.RFC3339) + `"}`)}}
	_, at := in.read(t, nil)
	in.deliver(t, "Ricevute", receiptFor(t, tipoAccettazione, ticketOf(1)), receiptFor(t, tipoAccettazione, ticketOf(2)))
	in.deliver(t, "Archivio.2026", receiptFor(t, tipoConsegna, ticketOf(1)))
	if none, _ := in.read(t, at); len(none) != 0 {
		t.Fatalf("found within the hour: %s", kinds(none))
	}
	in.clock.shift(61 * time.Minute)
	found, at := in.read(t, at)
	if len(found) != 2 || found[0].Ref != ticketOf(1) || found[1].Ref != ticketOf(1) {
		t.Fatalf("found %s %s", kinds(found), refs(found))
	}
	for _, e := range found {
		if len(e.Raw) != 1 || !strings.HasSuffix(e.ID, e.Proof[0].String()) {
			t.Errorf("%s is not archived", e.Kind)
		}
	}
	in.clock.shift(61 * time.Minute)
	if again, _ := in.read(t, at); len(again) != 0 {
		t.Errorf("found again: %s", kinds(again))
	}
}

func TestDovecotWatchesSeveralFolders(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, func(c *Config) {
		c.Mailboxes[0].Folders = []string{"INBOX", "Ricevute/Più recenti", "Manca"}
	})
	const recent = "Ricevute.Pi&APk- recenti" // RFC 3501 section 5.1.3, and this server's separator
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(1)))
	in.deliver(t, recent, receiptFor(t, tipoAccettazione, ticketOf(2)), receiptFor(t, tipoAccettazione, ticketOf(3)))
	all, at := in.read(t, nil)
	if refs(all) != "1 2 3" {
		t.Errorf("told %s", refs(all))
	}
	in.deliver(t, recent, receiptFor(t, tipoAccettazione, ticketOf(4)))
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(5)))
	more, _ := in.read(t, at)
	if refs(more) != "5 4" {
		t.Errorf("told %s", refs(more))
	}
	if n := in.log.count("a watched folder is not there"); n != 1 {
		t.Errorf("%d lines tell of the folder that is missing", n)
	}
	in.deliver(t, "Manca", receiptFor(t, tipoAccettazione, ticketOf(6))) // it comes into being
	if late, _ := in.read(t, at); !strings.Contains(refs(late), "6") {
		t.Errorf("told %s", refs(late))
	}
}

func TestDovecotAnotherReaderTakesMessagesAway(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, nil)
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(1)))
	all, at := in.read(t, nil)
	other := in.other(t)
	validity, err := other.Open("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	const alarm = "messages are taken away before they are read"
	if err := other.Erase("INBOX", validity, []uint32{1}); err != nil { // read already: nobody's loss
		t.Fatal(err)
	}
	if more, _ := in.read(t, at); len(all) != 1 || len(more) != 0 || in.log.count(alarm) != 0 {
		t.Errorf("%d alarms for one that had been read", in.log.count(alarm))
	}
	in.deliver(t, "INBOX", receiptFor(t, tipoConsegna, ticketOf(1)), receiptFor(t, tipoConsegna, ticketOf(2)))
	if _, err := other.Open("INBOX"); err != nil {
		t.Fatal(err)
	}
	if err := other.Erase("INBOX", validity, []uint32{2}); err != nil {
		t.Fatal(err)
	}
	more, at := in.read(t, at)
	if refs(more) != "2" || in.log.count(alarm) != 0 {
		t.Errorf("told %s with %d alarms, though nothing is due", refs(more), in.log.count(alarm))
	}
	in.waiting = []contracts.Ticket{{ID: ticketOf(3), State: contracts.StateWaiting, Detail: []byte(`{"mailbox":"` + office1 + `","submitted":"` + time.Now().Format(time.RFC3339) + `"}`)}}
	in.clock.shift(6 * time.Minute)
	if _, at = in.read(t, at); in.log.count(alarm) != 0 {
		t.Error("alarmed twice over the same message")
	}
	for i := range uint32(3) {
		in.deliver(t, "INBOX", receiptFor(t, tipoConsegna, ticketOf(3)))
		if _, err := other.Open("INBOX"); err != nil {
			t.Fatal(err)
		}
		if err := other.Erase("INBOX", validity, []uint32{4 + i}); err != nil {
			t.Fatal(err)
		}
		if _, at = in.read(t, at); in.log.count(alarm) != 1 {
			t.Errorf("%d alarms after %d messages", in.log.count(alarm), i+1)
		}
	}
	in.clock.shift(61 * time.Minute)
	in.deliver(t, "INBOX", receiptFor(t, tipoConsegna, ticketOf(3)))
	if _, err := other.Open("INBOX"); err != nil {
		t.Fatal(err)
	}
	if err := other.Erase("INBOX", validity, []uint32{7}); err != nil {
		t.Fatal(err)
	}
	if in.read(t, at); in.log.count(alarm) != 2 {
		t.Errorf("%d alarms within two hours, want one for each", in.log.count(alarm))
	}
}

func TestDovecotPurgesOnlyWhatIsBackedUp(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, func(c *Config) { c.Mailboxes[0].PurgeAfter = 24 * time.Hour })
	backed, kept, foreign := receiptFor(t, tipoAccettazione, ticketOf(1)), receiptFor(t, tipoAccettazione, ticketOf(2)), receiptOf(tipoAccettazione)
	foreign.rif, foreign.daticert = "<x@pec.ente.test>", xmlOf(tipoAccettazione, "x@pec.ente.test")
	forged := bytes.Replace(receiptFor(t, tipoAccettazione, ticketOf(3)), []byte("accettato"), []byte("rifiutato"), 1)
	all := [][]byte{backed, kept, foreign.seal(t, usual()), forged}
	in.deliver(t, "INBOX", all...)
	for i, raw := range all {
		in.backed[contracts.SumOf(raw)] = i != 1
	}
	_, at := in.read(t, nil)
	left := func() int {
		t.Helper()
		s := in.other(t)
		if _, err := s.Open("INBOX"); err != nil {
			t.Fatal(err)
		}
		uids, err := s.After(0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(uids)
	}
	if left() != 4 {
		t.Fatalf("%d are left before their time", left())
	}
	in.clock.shift(25 * time.Hour)
	events, at := in.read(t, at)
	if left() != 3 || len(events) != 0 {
		t.Fatalf("%d are left, want all but the one that counts and is backed up", left())
	}
	in.clock.shift(61 * time.Minute)
	if in.read(t, at); left() != 3 || in.log.count("receipts were deleted") != 1 {
		t.Errorf("%d are left", left())
	}
	if in.log.count("are taken away") != 0 {
		t.Error("it takes itself for another reader")
	}
}

func TestDovecotMailThatAnswersOurs(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, nil)
	ours := "h1." + ticketOf(7) + ".1@pec.ente.test"
	certified := receiptOf(tipoBusta)
	certified.rif, certified.daticert = "<id9@altro.test>", xmlOf(tipoBusta, "id9@altro.test")
	certified.original = "From: a@b.test\r\nMessage-ID: <id9@altro.test>\r\nReferences: <z@z.test>\r\n <" + ours + ">\r\nSubject: Re\r\n\r\nRiservato.\r\n"
	byID := receiptOf(tipoBusta)
	byID.rif, byID.daticert = "<id10@altro.test>", xmlOf(tipoBusta, "id10@altro.test")
	byID.original = "From: a@b.test\r\nMessage-ID: <id10@altro.test>\r\nIn-Reply-To: <mock1.20261121103000.00007@gestore-uno.test>\r\n\r\nRiservato.\r\n"
	big := "From: a@b.test\r\nMessage-ID: <big@b.test>\r\nIn-Reply-To: <" + ours + ">\r\n\r\n" + strings.Repeat("Riservato. \r\n", 60<<10)
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(7)))
	in.deliver(t, "INBOX", []byte("From: a@b.test\r\nMessage-ID: <m@b.test>\r\nIn-Reply-To: <"+ours+">\r\nSubject: Re\r\n\r\nRiservato.\r\n"))
	in.deliver(t, "INBOX", []byte("From: a@b.test\r\nIn-Reply-To: <other@b.test>\r\nSubject: h1\r\n\r\n<"+ours+">\r\n"))
	in.deliver(t, "INBOX", certified.seal(t, usual()), byID.seal(t, usual()), []byte(big))
	all, _ := in.read(t, nil)
	if kinds(all) != "accettazione reply foreign reply reply reply" {
		t.Fatalf("told %s", kinds(all))
	}
	for i, want := range map[int]string{1: "m@b.test", 3: "id9@altro.test", 4: "id10@altro.test", 5: "big@b.test"} {
		e := all[i]
		if e.Ref != ticketOf(7) || len(e.Raw) != 0 || len(e.Proof) != 0 || bytes.Contains(e.Data, []byte("Riservato")) || !bytes.Contains(e.Data, []byte(want)) {
			t.Errorf("event %d: %s %s", i, e.Ref, e.Data)
		}
		if d, move, err := in.fold(to("a@b.test"), delivery.Dispatch{}, e); err != nil || move != (contracts.Move{}) || len(d.Seen) != 0 {
			t.Errorf("event %d folds: %v %v", i, move, err)
		}
	}
	if len(all[2].Raw)+len(all[2].Proof) != 0 {
		t.Error("somebody's letter was archived")
	}
}

func TestDovecotEleventhLogInWaits(t *testing.T) {
	t.Parallel()
	in := newInbox(t, dovecot.Options{Connections: 2}, nil)
	in.other(t)
	second, err := mail.OpenSession(t.Context(), in.boxes[0].in)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = in.source().Feed(t.Context(), nil)
	if e := contracts.AsError(orNone(err)); e.Kind != contracts.Throttled || e.After < time.Minute {
		t.Errorf("one log-in too many: %v, after %v", err, e.After)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(1)))
	for range 100 { // the server counts down in its own time
		if all, _, err := in.source().Feed(t.Context(), nil); err == nil && refs(all) == "1" {
			return
		}
		runtime.Gosched()
	}
	t.Error("it is not let in again")
}

func TestDovecotBigReceipt(t *testing.T) {
	if testing.Short() {
		t.Skip("a receipt of 40 MB")
	}
	t.Parallel()
	in := newInbox(t, dovecot.Options{}, func(c *Config) { c.MaxReceipt = 64 << 20 })
	big := receiptOf(tipoConsegna)
	big.original = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"\r\n", (40<<20)/66)
	tooBig := receiptOf(tipoConsegna)
	tooBig.original = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"\r\n", (70<<20)/66)
	in.deliver(t, "INBOX", receiptFor(t, tipoAccettazione, ticketOf(1)), big.seal(t, usual()), tooBig.seal(t, usual()), receiptFor(t, tipoAccettazione, ticketOf(2)))
	all, _ := in.read(t, nil)
	if kinds(all) != "accettazione avvenuta-consegna anomaly accettazione" {
		t.Fatalf("told %s", kinds(all))
	}
	if len(all[1].Raw) != 0 || len(all[1].Proof) != 1 || data(t, all[1]).Verdict() != Valid {
		t.Errorf("the big one: %d raw, %d proofs, %s", len(all[1].Raw), len(all[1].Proof), data(t, all[1]).Verdict())
	}
	if r := data(t, all[2]); r.Reason != ReasonOversize || len(all[2].Proof) != 0 {
		t.Errorf("the one beyond the limit: %s", r.Reason)
	}
	if in.intake.room.free != in.intake.room.size {
		t.Error("room is not given back")
	}
}
