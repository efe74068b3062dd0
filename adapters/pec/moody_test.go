package pec

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

// A moody is an IMAP server without extensions that does what real ones do on a bad day, message by message.
type moody struct {
	addr string
	ca   []byte

	mu      sync.Mutex
	folders []*moodyFolder
	fetched []string // "INBOX/7": whose bytes were asked for
}

type moodyFolder struct {
	name     string
	messages []*moodyMessage
}

type moodyMessage struct {
	uid  int
	raw  []byte
	mood string // "no": FETCH of its bytes is refused; "empty": it is given without them; "cut": the connection ends; "drip": they come one by one
}

func newMoody(t *testing.T, folders ...string) *moody {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert := issued(t, template, template, key, key.Public())
	m := &moody{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}
	for _, name := range folders {
		m.folders = append(m.folders, &moodyFolder{name: name})
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	m.addr = l.Addr().String()
	var wg sync.WaitGroup
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			conns = append(conns, c)
			m.mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				m.talk(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		m.mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		m.mu.Unlock()
		wg.Wait()
	})
	return m
}

func (m *moody) put(folder, mood string, raws ...[]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.folder(folder)
	for _, raw := range raws {
		next := 1
		if n := len(f.messages); n > 0 {
			next = f.messages[n-1].uid + 1
		}
		f.messages = append(f.messages, &moodyMessage{uid: next, raw: raw, mood: mood})
	}
}

// cheer ends every mood.
func (m *moody) cheer() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.folders {
		for _, one := range f.messages {
			one.mood = ""
		}
	}
}

func (m *moody) folder(name string) *moodyFolder {
	for _, f := range m.folders {
		if f.name == name {
			return f
		}
	}
	return nil
}

var (
	quotedWord  = regexp.MustCompile(`"([^"]*)"`)
	searchedUID = regexp.MustCompile(`UID (\d+):\*`)
)

func (m *moody) talk(c net.Conn) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(c, format+"\r\n", args...) }
	say("* OK [CAPABILITY IMAP4rev1] here")
	r := bufio.NewReader(c)
	var open *moodyFolder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		tag, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		m.mu.Lock()
		ok := m.answer(say, rest, &open)
		m.mu.Unlock()
		switch ok {
		case "cut":
			return
		case "drip":
			for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
				if _, err := c.Write([]byte("x")); err != nil {
					tick.Stop()
					return
				}
			}
		}
		say("%s %s", tag, ok)
	}
}

// answer says what a command brings, and gives how it ended.
func (m *moody) answer(say func(string, ...any), command string, open **moodyFolder) string {
	switch {
	case strings.HasPrefix(command, "LOGIN"):
		return "OK [CAPABILITY IMAP4rev1] in"
	case strings.HasPrefix(command, "LIST"):
		for _, f := range m.folders {
			say(`* LIST () "/" %s`, f.name)
		}
	case strings.HasPrefix(command, "EXAMINE"):
		f := m.folder(strings.Trim(strings.TrimPrefix(command, "EXAMINE "), `"`))
		if f == nil {
			return "NO [NONEXISTENT] none"
		}
		*open = f
		next := 1
		if n := len(f.messages); n > 0 {
			next = f.messages[n-1].uid + 1
		}
		say("* %d EXISTS", len(f.messages))
		say("* OK [UIDVALIDITY 7] x")
		say("* OK [UIDNEXT %d] x", next)
	case strings.HasPrefix(command, "UID SEARCH"):
		var hits []string
		for _, one := range (*open).messages {
			if m.hit(command, one) {
				hits = append(hits, strconv.Itoa(one.uid))
			}
		}
		say("* SEARCH %s", strings.Join(hits, " "))
	case strings.HasPrefix(command, "UID FETCH"):
		words := strings.SplitN(command, " ", 4)
		for i, one := range (*open).messages {
			if !inSet(words[2], one.uid) {
				continue
			}
			if !strings.Contains(words[3], "BODY") {
				say(`* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "%s")`, i+1, one.uid, len(one.raw), time.Now().Format("02-Jan-2006 15:04:05 -0700"))
				continue
			}
			m.fetched = append(m.fetched, fmt.Sprintf("%s/%d", (*open).name, one.uid))
			switch one.mood {
			case "no":
				return "NO [SERVERBUG] not now"
			case "cut":
				return "cut"
			case "drip":
				say("* %d FETCH (UID %d BODY[] {%d}", i+1, one.uid, len(one.raw))
				return "drip"
			case "empty":
				say("* %d FETCH (UID %d BODY[] {0}\r\n)", i+1, one.uid)
			default:
				say("* %d FETCH (UID %d BODY[] {%d}\r\n%s)", i+1, one.uid, len(one.raw), one.raw)
			}
		}
	}
	return "OK done"
}

func (m *moody) hit(command string, one *moodyMessage) bool {
	if from := searchedUID.FindStringSubmatch(command); from != nil {
		n, _ := strconv.Atoi(from[1])
		return one.uid >= n
	}
	for _, word := range quotedWord.FindAllStringSubmatch(command, -1) {
		if strings.HasPrefix(word[1], "h1.") && strings.Contains(string(one.raw), receiptField+": <"+word[1]) {
			return true
		}
	}
	return false
}

// inSet reports whether a set such as "1,3:4" holds a number.
func inSet(set string, n int) bool {
	return slices.ContainsFunc(strings.Split(set, ","), func(part string) bool {
		low, high, ranged := strings.Cut(part, ":")
		a, _ := strconv.Atoi(low)
		b := a
		if ranged {
			b, _ = strconv.Atoi(high)
		}
		return a <= n && n <= b
	})
}

// inbox reads the server's one mailbox.
func (m *moody) inbox(t *testing.T, change func(*Config)) *inbox {
	t.Helper()
	in := &inbox{log: &lines{}, clock: &shifted{}, backed: map[contracts.Sum]bool{}}
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
	c.CA = file("ca.pem", m.ca)
	c.Timeout = 10 * time.Second
	c.Mailboxes = []Mailbox{{
		Name: office1, Role: office1, Address: "ufficio@pec.ente.test", SMTPS: "127.0.0.1:1", IMAPS: m.addr, User: user1, Password: "secret://env/PEC",
	}}
	if change != nil {
		change(c)
	}
	in.Adapter = contracttest.Open(t, c, contracts.Env{
		Instance: "pec", Environment: contracts.Attestazione, Log: slog.New(slog.NewTextHandler(in.log, nil)), Clock: in.clock,
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte("secret"), nil },
		Keep:   keepNothing,
		Waiting: func(_ context.Context, after string, _ int) ([]contracts.Ticket, error) {
			in.mu.Lock()
			defer in.mu.Unlock()
			if after != "" {
				return nil, nil
			}
			return in.waiting, nil
		},
	}).(*Adapter)
	return in
}

// feed calls until nothing comes, and goes on after errors; it gives what was told, and how often it failed.
func (in *inbox) feed(t *testing.T, from contracts.Cursor) (all []contracts.Event, at contracts.Cursor, failed int) {
	t.Helper()
	for range 200 {
		events, next, err := in.source().Feed(t.Context(), from)
		if err != nil {
			failed++
			continue
		}
		if all, from = append(all, events...), next; len(events) == 0 {
			return all, from, failed
		}
	}
	t.Fatal("the feed does not come to an end")
	return nil, nil, 0
}

func (in *inbox) waits(mailbox string, tickets ...int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.waiting = nil
	for _, i := range tickets {
		in.waiting = append(in.waiting, contracts.Ticket{ID: ticketOf(i), Since: in.clock.Now(), Detail: fmt.Appendf(nil, `{"message_id":"<x>","mailbox":%q}`, mailbox)})
	}
}

// A server that cannot give some messages for a while has them all the same: they are passed over for those behind them,
// and asked for again.
func TestWhatAServerDidNotGiveIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, mood := range []string{"no", "cut", "empty"} {
		t.Run(mood, func(t *testing.T) {
			t.Parallel()
			m := newMoody(t, "INBOX")
			in := m.inbox(t, nil)
			m.put("INBOX", "", receiptFor(t, tipoAccettazione, ticketOf(1)))
			m.put("INBOX", mood, receiptFor(t, tipoAccettazione, ticketOf(2)), receiptFor(t, tipoAccettazione, ticketOf(3)))
			m.put("INBOX", "", receiptFor(t, tipoAccettazione, ticketOf(4)))
			all, at, failed := in.feed(t, nil)
			if got := refs(all); got != "1   4" || failed == 0 || !strings.Contains(string(at), `"owed":[2,3]`) {
				t.Fatalf("told %q with %d failures, then at %s", got, failed, at)
			}
			in.clock.shift(2 * time.Hour)
			all, at, _ = in.feed(t, at)
			if len(all) != 0 || !strings.Contains(string(at), `"owed":[2,3]`) {
				t.Fatalf("still not given: told %q, then at %s", refs(all), at)
			}
			m.cheer()
			in.clock.shift(2 * time.Hour)
			all, at, _ = in.feed(t, at)
			got := strings.Fields(refs(all))
			slices.Sort(got)
			if strings.Join(got, " ") != "2 3" || strings.Contains(string(at), "owed") {
				t.Errorf("given at last: told %q, then at %s", refs(all), at)
			}
			in.clock.shift(2 * time.Hour)
			if all, _, _ = in.feed(t, at); len(all) != 0 {
				t.Errorf("told twice: %q", refs(all))
			}
		})
	}
}

// Receipts that somebody moved are looked for again when the server could not give them, and are found behind however
// many that were read before.
func TestMovedReceiptsAreLookedForUntilTheyAreRead(t *testing.T) {
	t.Parallel()
	m := newMoody(t, "INBOX", "Archivio")
	in := m.inbox(t, nil)
	in.waits(office1, 1, 2)
	_, at, _ := in.feed(t, nil)
	m.put("Archivio", "no", receiptFor(t, tipoAccettazione, ticketOf(1)))
	in.clock.shift(2 * time.Hour)
	if all, _, failed := in.feed(t, at); len(all) != 0 || failed != 0 {
		t.Fatalf("told %q, failed %d times", refs(all), failed)
	}
	m.cheer()
	in.clock.shift(2 * time.Hour)
	if all, _, _ := in.feed(t, at); refs(all) != "1" {
		t.Fatalf("told %q", refs(all))
	}
	var many [][]byte
	one := receiptFor(t, tipoAccettazione, ticketOf(1))
	for i := range maxBatch + 5 {
		many = append(many, append(fmt.Appendf(nil, "X-Copy: %d\r\n", i), one...))
	}
	m.put("Archivio", "", many...)
	for range 3 {
		in.clock.shift(2 * time.Hour)
		_, at, _ = in.feed(t, at)
	}
	m.put("Archivio", "", receiptFor(t, tipoAccettazione, ticketOf(2)))
	in.clock.shift(2 * time.Hour)
	if all, _, _ := in.feed(t, at); refs(all) != "2" {
		t.Errorf("behind many that were read: told %q", refs(all))
	}
}

// More messages wait than one round looks for: each has its turn.
func TestEveryOverdueMessageIsLookedForInItsTurn(t *testing.T) {
	t.Parallel()
	m := newMoody(t, "INBOX", "Archivio")
	in := m.inbox(t, nil)
	var all []int
	for i := range maxReconciled + 20 {
		all = append(all, i+1)
	}
	in.waits(office1, all...)
	_, at, _ := in.feed(t, nil)
	m.put("Archivio", "", receiptFor(t, tipoAccettazione, ticketOf(maxReconciled+20)))
	var told []contracts.Event
	for range 2 {
		in.clock.shift(2 * time.Hour)
		var got []contracts.Event
		got, at, _ = in.feed(t, at)
		told = append(told, got...)
	}
	if refs(told) != strconv.Itoa(maxReconciled+20) {
		t.Errorf("told %q", refs(told))
	}
}

// A batch that ends in the second folder has not read that folder through.
func TestABatchThatEndsAmidAFolderMissesNothing(t *testing.T) {
	t.Parallel()
	m := newMoody(t, "INBOX", "Ricevute")
	in := m.inbox(t, func(c *Config) { c.Mailboxes[0].Folders = []string{"INBOX", "Ricevute"} })
	letter := []byte("From: a@x.test\r\nSubject: b\r\n\r\nc\r\n")
	in.waits(office1, 1)
	m.put("INBOX", "", letter)
	m.put("Ricevute", "", letter)
	_, at, _ := in.feed(t, nil)
	for i := range maxBatch - 1 {
		m.put("INBOX", "", fmt.Appendf(nil, "X: %d\r\n%s", i, letter))
	}
	for i := range 10 {
		m.put("Ricevute", "", fmt.Appendf(nil, "X: %d\r\n%s", i, letter))
	}
	all, _, _ := in.feed(t, at)
	if len(all) != maxBatch-1+10 {
		t.Errorf("%d messages told", len(all))
	}
	if n := in.log.count("are taken away"); n != 0 {
		t.Errorf("%d alarms that somebody takes messages away", n)
	}
}

func TestReceiptsDueWhereNobodyReadsAreTold(t *testing.T) {
	t.Parallel()
	m := newMoody(t, "INBOX")
	in := m.inbox(t, nil)
	in.waits("dismessa", 1, 2)
	in.feed(t, nil)
	in.clock.shift(2 * time.Hour)
	in.feed(t, nil)
	if n := in.log.count("mailboxes that nobody reads"); n != 1 || in.log.count("dismessa") != 1 {
		t.Errorf("%d lines tell of it", n)
	}
}

// What is read ahead has its time like what is asked for: a server that drips does not keep a mailbox for itself.
func TestReadingAheadHasItsTime(t *testing.T) {
	t.Parallel()
	m := newMoody(t, "INBOX")
	in := m.inbox(t, nil)
	in.intake.share = 1 // a message for each batch
	in.source().aheadFor = 200 * time.Millisecond
	m.put("INBOX", "", receiptFor(t, tipoAccettazione, ticketOf(1)))
	m.put("INBOX", "drip", receiptFor(t, tipoAccettazione, ticketOf(2)))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events, at, err := in.source().Feed(ctx, nil)
	if err != nil || refs(events) != "1" {
		t.Fatalf("told %q: %v", refs(events), err)
	}
	m.mu.Lock()
	for len(m.fetched) < 2 { // until the second is being given
		m.mu.Unlock()
		if ctx.Err() != nil {
			t.Fatal("nothing is read ahead")
		}
		runtime.Gosched()
		m.mu.Lock()
	}
	m.mu.Unlock()
	m.cheer()
	for ctx.Err() == nil {
		if events, _, err = in.source().Feed(ctx, at); err == nil {
			break
		}
	}
	if err != nil || refs(events) != "2" {
		t.Errorf("told %q: %v", refs(events), err)
	}
}

// A provider puts a mailbox back from its backup, under the same UIDVALIDITY: what comes next has numbers that were read.
func TestAFolderThatWasPutBackIsReadAnew(t *testing.T) {
	t.Parallel()
	m := newMoody(t, "INBOX")
	in := m.inbox(t, nil)
	for i := range 5 {
		m.put("INBOX", "", receiptFor(t, tipoAccettazione, ticketOf(i+1)))
	}
	all, at, _ := in.feed(t, nil)
	if refs(all) != "1 2 3 4 5" {
		t.Fatalf("told %q", refs(all))
	}
	m.mu.Lock()
	m.folders[0].messages = m.folders[0].messages[:2]
	m.mu.Unlock()
	m.put("INBOX", "", receiptFor(t, tipoAccettazione, ticketOf(6)))
	all, at, _ = in.feed(t, at)
	if refs(all) != "1 2 6" {
		t.Errorf("told %q, want the new one, and those that were told before", refs(all))
	}
	if all, _, _ = in.feed(t, at); len(all) != 0 {
		t.Errorf("told again: %q", refs(all))
	}
}
