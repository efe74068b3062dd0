package pec

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"raccordo/mocks/lab"
)

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

func TestIMAPFaultsAreAskedForByName(t *testing.T) {
	for _, tc := range []struct {
		do     lab.Misdeed
		status int
		code   imap.ResponseCode // empty: the connection broke
	}{
		{lab.Drop, 0, ""},
		{lab.DropAfterAccept, 0, ""},
		{lab.Garbage, 0, ""},
		{lab.Throttle, 0, imap.ResponseCodeLimit},
		{lab.Status, 503, imap.ResponseCodeUnavailable},
		{lab.StaleVoucher, 0, imap.ResponseCodeAuthenticationFailed},
	} {
		t.Run(string(tc.do), func(t *testing.T) {
			b, m := bench(t)
			c := login(t, b, m.Accounts()[0])
			if _, err := c.Select("INBOX", nil).Wait(); err != nil {
				t.Fatal(err)
			}
			b.Inject(lab.Fault{Match: "pec imap search", Times: 1, Do: tc.do, Status: tc.status})
			_, err := c.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
			var e *imap.Error
			if err == nil || errors.As(err, &e) != (tc.code != "") || e != nil && e.Code != tc.code {
				t.Errorf("the client saw %v, want %q", err, tc.code)
			}
		})
	}
}
