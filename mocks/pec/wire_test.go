package pec

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

// TestAFaultTakesOrLeavesTheMessageAsItSays: what counts is whether the provider has the message, whatever the client saw.
func TestAFaultTakesOrLeavesTheMessageAsItSays(t *testing.T) {
	to := []string{"rossi@pec.cittadini.test"}
	for _, tc := range []struct {
		fault string
		stage Stage
		taken int
		code  int    // of the reply; 0: the connection broke or the reply made no sense
		after string // a mark in the reply's text
	}{
		{"drop", "", 0, 0, ""},
		{"drop-after-accept", "", 1, 0, ""},
		{"truncate", "", 1, 0, ""},
		{"garbage", "", 1, 0, ""},
		{"wrong-type", "", 1, 0, ""},
		{"huge", "", 1, 0, ""},
		{"500", AtMail, 0, 550, ""},
		{"500", AtRcpt, 0, 550, ""},
		{"500", AtDot, 0, 550, ""},
		{"503", AtMail, 0, 421, ""},
		{"503", AtDot, 0, 421, ""},
		{"throttle", "", 0, 550, `blocked "Class Of Service" - Too much traffic`},
		{"denied", "", 0, 535, ""},
		{"stale-voucher", "", 0, 535, ""},
	} {
		t.Run(fmt.Sprintf("%s %s", tc.fault, tc.stage), func(t *testing.T) {
			b, m := bench(t)
			if tc.stage != "" {
				m.RefuseAt(tc.stage)
			}
			c := dial(t, b, m)
			if err := b.Misbehave(tc.fault, 1); err != nil {
				t.Fatal(err)
			}
			err := submit(c, sender, to, text("a@x", to))
			var e *smtp.SMTPError
			if tc.code != 0 && (!asSMTP(err, &e) || e.Code != tc.code || !strings.Contains(e.Message, tc.after)) {
				t.Errorf("the client saw %v, want %d", err, tc.code)
			}
			if tc.code == 0 && (err == nil || asSMTP(err, &e) && e.Code == 250) {
				t.Errorf("the client saw %v", err)
			}
			if n := len(m.Accepted()); n != tc.taken {
				t.Errorf("the provider has %d messages, want %d", n, tc.taken)
			}
			if got := kinds(t, b, m); len(got) != tc.taken {
				t.Errorf("the mailbox holds %v", got)
			}
			if n := b.Sent("pec smtp message"); n != 1 {
				t.Errorf("the journal has %d lines, want 1", n)
			}
			_ = c.Close()
			if err := submit(dial(t, b, m), sender, to, text("b@x", to)); err != nil {
				t.Errorf("the fault outlived its turn: %v", err)
			}
		})
	}
}

func TestARefusedConnectionIsReset(t *testing.T) {
	b, m := bench(t)
	if err := b.Misbehave("refuse", 1); err != nil {
		t.Fatal(err)
	}
	if c, err := smtp.DialTLS(b.Endpoint("pec", "smtps"), b.CA().ClientTLS()); err == nil {
		_ = c.Close()
		t.Error("the connection stood")
	}
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
}

func TestTheJournalSpeaksBeforeTheReply(t *testing.T) {
	b, m := bench(t)
	c := dial(t, b, m)
	var accepted, inFlight int
	stop := b.Watch(func(e lab.Exchange) {
		if e.Label != labelMessage {
			return
		}
		accepted, inFlight = len(m.Accepted()), b.InFlight()
		_ = c.Close() // the client dies between the dot and its 250
	})
	defer stop()
	to := []string{"rossi@pec.cittadini.test"}
	if err := submit(c, sender, to, text("a@x", to)); err == nil {
		t.Error("the reply was written before the journal")
	}
	if accepted != 1 || inFlight != 1 {
		t.Errorf("while the journal spoke: %d accepted, %d in flight, want 1 and 1", accepted, inFlight)
	}
}

func TestIdleSessionsAreNotInFlight(t *testing.T) {
	b, m := bench(t)
	c := dial(t, b, m)
	to := []string{"rossi@pec.cittadini.test"}
	if err := submit(c, sender, to, text("a@x", to)); err != nil {
		t.Fatal(err)
	}
	reader := login(t, b, m.Accounts()[0])
	if _, err := reader.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := reader.Idle()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Noop(); err != nil { // the reply to the dot has been followed by another: the exchange is over
		t.Fatal(err)
	}
	if n := b.InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
	if err := c.Mail("altri@x.test", nil); err != nil {
		t.Fatal(err)
	}
	if n := b.InFlight(); n != 1 {
		t.Errorf("%d in flight during a submission", n)
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := c.Noop(); err != nil {
		t.Fatal(err)
	}
	if n := b.InFlight(); n != 0 {
		t.Errorf("%d in flight after RSET", n)
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheRateLimitGoesByTheBenchsMinute(t *testing.T) {
	b, m := bench(t, WithRateLimit(6))
	c := dial(t, b, m)
	to := []string{"rossi@pec.cittadini.test"}
	var refused error
	for i := range 7 {
		if refused = submit(c, sender, to, text(fmt.Sprintf("%d@x", i), to)); refused != nil {
			if err := c.Reset(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var e *smtp.SMTPError
	if !asSMTP(refused, &e) || e.Code != 550 || !strings.Contains(e.Message, "Too much traffic") {
		t.Errorf("the seventh got %v", refused)
	}
	b.Advance(time.Minute)
	if err := submit(c, sender, to, text("8@x", to)); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

func TestPipelinedCommandsAndDoublesAreTwoMessages(t *testing.T) {
	b, m := bench(t)
	c := dial(t, b, m)
	to := []string{"rossi@pec.cittadini.test"}
	for range 2 {
		if err := submit(c, sender, to, text("same@x", to)); err != nil {
			t.Fatal(err)
		}
	}
	all := m.Accepted()
	if len(all) != 2 || all[0].MessageID != all[1].MessageID || all[0].Identificativo == all[1].Identificativo || all[0].Sum != all[1].Sum {
		t.Errorf("a second submission must be a second legal sending: %+v", all)
	}
}

func TestDuplicatesDifferOutsideTheSignatureOnly(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "a@x", "dup@pec.cittadini.test")
	b.Advance(time.Minute)
	all := inboxOf(t, b, m.Accounts()[0])
	if string(all[0]) != string(all[1]) {
		t.Error("the two acceptances differ")
	}
	if string(all[2]) == string(all[3]) || !strings.HasSuffix(string(all[3]), string(all[2])) {
		t.Error("the two deliveries must differ by an outer header, and by nothing else")
	}
}

func TestLoginRefusals(t *testing.T) {
	b, m := bench(t)
	a := m.Accounts()[0]
	attempt := func(password string) error {
		c, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{TLSConfig: b.CA().ClientTLS()})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = c.Close() })
		return c.Login(a.User, password).Wait()
	}
	code := func(err error) imap.ResponseCode {
		var e *imap.Error
		if errors.As(err, &e) {
			return e.Code
		}
		return ""
	}
	if err := attempt("altra"); code(err) != imap.ResponseCodeAuthenticationFailed {
		t.Errorf("wrong password: %v", err)
	}
	m.RefuseLogins(1)
	if err := attempt(a.Password); code(err) != imap.ResponseCodeLimit {
		t.Errorf("refused on order: %v", err)
	}
	for range DefaultIMAPSessions {
		if err := attempt(a.Password); err != nil {
			t.Fatal(err)
		}
	}
	if err := attempt(a.Password); code(err) != imap.ResponseCodeLimit {
		t.Errorf("the eleventh session: %v", err)
	}
	b.Inject(lab.Fault{Match: "pec imap login", Times: 1, Do: lab.Status, Status: 403})
	if err := attempt(a.Password); code(err) != imap.ResponseCodeAuthenticationFailed {
		t.Errorf("fault: %v", err)
	}
}

func TestIdleMissesNothing(t *testing.T) {
	b, m := bench(t)
	heard := make(chan uint32, 64)
	c, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{
		TLSConfig: b.CA().ClientTLS(),
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				heard <- *d.NumMessages
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(m.Accounts()[0].User, m.Accounts()[0].Password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	smtpc := dial(t, b, m)
	to := []string{"rossi@pec.cittadini.test"}
	for i := range 40 {
		idle, err := c.Idle()
		if err != nil {
			t.Fatal(err)
		}
		// The acceptance arrives as close to the beginning of IDLE as it can.
		if err := submit(smtpc, sender, to, text(fmt.Sprintf("%d@x", i), to)); err != nil {
			t.Fatal(err)
		}
		for want := uint32(i) + 1; ; {
			select {
			case n := <-heard:
				if n < want {
					continue
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("message %d was never announced", want)
			}
			break
		}
		if err := idle.Close(); err != nil {
			t.Fatal(err)
		}
		if err := idle.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMoveAnnouncesEachMessageOnce(t *testing.T) {
	b, m := bench(t)
	c := dial(t, b, m)
	to := []string{"rossi@pec.cittadini.test"}
	for i := range 10 {
		if err := submit(c, sender, to, text(fmt.Sprintf("%d@x", i), to)); err != nil {
			t.Fatal(err)
		}
	}
	var gone []uint32
	r, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{
		TLSConfig:             b.CA().ClientTLS(),
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Expunge: func(n uint32) { gone = append(gone, n) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Login(m.Accounts()[0].User, m.Accounts()[0].Password).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := r.Create("Lavorate/2026", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	data, err := r.Move(imap.UIDSetNum(3, 7), "Lavorate/2026").Wait()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(data.SourceUIDs, data.DestUIDs); got != "3,7 1:2" {
		t.Errorf("COPYUID %s", got)
	}
	if err := r.Noop().Wait(); err != nil {
		t.Fatal(err)
	}
	if n := r.Mailbox().NumMessages; n != 8 || len(gone) != 0 && len(gone) != 2 {
		t.Errorf("the client counts %d messages after %v, want 8", n, gone)
	}
	found, err := r.UIDSearch(&imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 100, Stop: 0}}}}, nil).Wait()
	if err != nil || fmt.Sprint(found.AllUIDs()) != "[10]" {
		t.Errorf("100:* gives %v, %v; the highest message must be in it", found.AllUIDs(), err)
	}
	list, err := r.List("", "*", nil).Collect()
	if err != nil || len(list) != 2 {
		t.Errorf("folders: %v, %v", list, err)
	}
}

func TestSearchByReferenceFindsTheReceipts(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "one@x", "rossi@pec.cittadini.test")
	send(t, b, m, "two@x", "bianchi@pec.studi.test")
	b.Advance(time.Minute)
	c := login(t, b, m.Accounts()[0])
	defer c.Close()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		key, value, want string
	}{
		{"X-Riferimento-Message-ID", "<two@x>", "[2 4]"},
		{"x-riferimento-message-id", "TWO@X", "[2 4]"},
		{"X-Ricevuta", "avvenuta-consegna", "[3 4]"},
		{"Subject", "è urgente", "[1 2 3 4]"},
		{"X-Riferimento-Message-ID", "<three@x>", "[]"},
	} {
		found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: tc.key, Value: tc.value}}}, nil).Wait()
		if err != nil || fmt.Sprint(found.AllUIDs()) != tc.want {
			t.Errorf("%s %q: %v, %v, want %s", tc.key, tc.value, found.AllUIDs(), err, tc.want)
		}
	}
	if n := b.Sent("pec imap search"); n != 5 {
		t.Errorf("the journal counts %d searches", n)
	}
}

func TestAFetchIsCutAmidItsBytes(t *testing.T) {
	for _, how := range []string{"switch", "fault"} {
		t.Run(how, func(t *testing.T) {
			b, m := bench(t)
			send(t, b, m, "one@x", "rossi@pec.cittadini.test")
			if how == "switch" {
				m.CutFetches(1)
			} else {
				b.Inject(lab.Fault{Match: "pec imap fetch", Times: 1, Do: lab.Truncate})
			}
			// Spoken by hand: the client library races with itself when a streamed literal breaks off.
			conn, err := tls.Dial("tcp", b.Endpoint("pec", "imaps"), b.CA().ClientTLS())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			a := m.Accounts()[0]
			for i, line := range []string{"LOGIN " + a.User + " " + a.Password, "SELECT INBOX", "UID FETCH 1 BODY.PEEK[]"} {
				if _, err := fmt.Fprintf(conn, "a%d %s\r\n", i, line); err != nil {
					t.Fatal(err)
				}
			}
			all, _ := io.ReadAll(conn) // how it ended matters less than how much came
			_, got, ok := strings.Cut(string(all), "BODY[] {")
			announced, body, _ := strings.Cut(got, "}\r\n")
			if size, err := strconv.Atoi(announced); !ok || err != nil || len(body) == 0 || len(body) >= size {
				t.Errorf("%d bytes of %q arrived", len(body), announced)
			}
			if n := len(inboxOf(t, b, m.Accounts()[0])); n != 1 {
				t.Errorf("afterwards %d messages", n)
			}
		})
	}
}

func TestANewUIDValidityThrowsReadersOut(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "one@x", "rossi@pec.cittadini.test")
	c := login(t, b, m.Accounts()[0])
	before, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.BumpUIDValidity(sender, "inbox"); err != nil {
		t.Fatal(err)
	}
	if err := c.Noop().Wait(); err == nil {
		t.Error("the session went on")
	}
	c = login(t, b, m.Accounts()[0])
	after, err := c.Select("INBOX", nil).Wait()
	if err != nil || after.UIDValidity <= before.UIDValidity || after.NumMessages != 1 {
		t.Errorf("UIDVALIDITY %d then %d, %v", before.UIDValidity, after.UIDValidity, err)
	}
}

func TestClosingEndsWhatIsOpen(t *testing.T) {
	b, m := bench(t)
	c := login(t, b, m.Accounts()[0])
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Idle(); err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("tcp", b.Endpoint("pec", "smtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	b, m := bench(t)
	const clients, each = 6, 10
	var wg sync.WaitGroup
	for i := range clients {
		c := dial(t, b, m)
		wg.Go(func() {
			for j := range each {
				to := []string{fmt.Sprintf("u%d.%d@pec.cittadini.test", i, j)}
				if err := submit(c, sender, to, text(fmt.Sprintf("%d.%d@x", i, j), to)); err != nil {
					t.Errorf("client %d, message %d: %v", i, j, err)
				}
			}
		})
	}
	mover := login(t, b, m.Accounts()[0])
	if err := mover.Create("Lavorate", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := mover.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	moved := 0
	work := func() {
		found, err := mover.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
		if err != nil {
			t.Fatal(err)
		}
		uids := found.AllUIDs()
		if len(uids) == 0 {
			return
		}
		if _, err := mover.Fetch(imap.UIDSetNum(uids...), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect(); err != nil {
			t.Fatal(err)
		}
		if _, err := mover.Move(imap.UIDSetNum(uids...), "Lavorate").Wait(); err != nil {
			t.Fatal(err)
		}
		moved += len(uids)
	}
	for range 20 {
		work()
	}
	wg.Wait()
	b.Advance(time.Minute)
	for range 2 { // the first round announces, the second finds
		if err := mover.Noop().Wait(); err != nil {
			t.Fatal(err)
		}
		work()
	}
	ids := make(map[string]bool)
	for _, s := range m.Accepted() {
		ids[s.Identificativo] = true
	}
	if len(ids) != clients*each || moved != 2*clients*each {
		t.Errorf("%d identifiers for %d messages; %d receipts moved, want %d", len(ids), clients*each, moved, 2*clients*each)
	}
}
