package pec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func TestAnotherReaderTakesMovesAndMarks(t *testing.T) {
	b, m := bench(t)
	for i := range 3 {
		send(t, b, m, fmt.Sprintf("%d@x", i), "never@pec.cittadini.test")
	}
	c := login(t, b, m.Accounts()[0])
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		m.Take(sender, "INBOX", "", 1),
		m.Take(sender, "inbox", "Archivio/2026", 2),
		m.Mark(sender, "INBOX", `\Seen`, 3),
		m.Mark(sender, "INBOX", `\seen`, 3),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Noop().Wait(); err != nil || c.Mailbox().NumMessages != 1 {
		t.Errorf("the session that looks on counts %d, %v", c.Mailbox().NumMessages, err)
	}
	seen, err := c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}}, nil).Wait()
	if err != nil || fmt.Sprint(seen.AllUIDs()) != "[3]" {
		t.Errorf("seen: %v, %v", seen.AllUIDs(), err)
	}
	in, err := m.Mails(sender, "INBOX")
	if err != nil || len(in) != 1 || in[0].UID != 3 || !slices.Equal(in[0].Flags, []string{`\Seen`}) || in[0].Ref != "<2@x>" {
		t.Errorf("INBOX: %+v, %v", in, err)
	}
	moved, err := m.Mails(sender, "Archivio/2026")
	if err != nil || len(moved) != 1 || moved[0].UID != 1 || moved[0].Ref != "<1@x>" {
		t.Errorf("the archive: %+v, %v", moved, err)
	}
	raw, err := m.Raw(sender, "Archivio/2026", 1)
	if err != nil || int64(len(raw)) != moved[0].Size || !bytes.Contains(raw, []byte("X-Riferimento-Message-ID: <1@x>")) {
		t.Errorf("its bytes: %d, %v", len(raw), err)
	}
	if got := m.Folders(sender); !slices.Equal(got, []string{"Archivio/2026", "INBOX"}) {
		t.Errorf("folders %v", got)
	}
	if submitting, reading := m.Sessions(sender); reading != 1 || submitting != 3 {
		t.Errorf("%d submit, %d read", submitting, reading)
	}
	if submitting, reading := m.Sessions(""); reading != 1 || submitting != 3 {
		t.Errorf("in all %d submit, %d read", submitting, reading)
	}
	used, _ := m.Used(sender)
	if want := in[0].Size + moved[0].Size; used != want {
		t.Errorf("%d bytes used, want %d", used, want)
	}
	if err := c.Delete("Archivio/2026").Wait(); err != nil {
		t.Fatal(err)
	}
	if left, _ := m.Used(sender); left != in[0].Size {
		t.Errorf("%d bytes used after the folder went, want %d", left, in[0].Size)
	}
	for what, err := range map[string]error{
		"a UID that is gone":   m.Take(sender, "INBOX", "", 1),
		"to where they are":    m.Take(sender, "INBOX", "inbox", 3),
		"no such folder":       m.Take(sender, "Altrove", "", 1),
		"a mark on nothing":    m.Mark(sender, "INBOX", `\Seen`, 1),
		"a mark in no folder":  m.Mark(sender, "Altrove", `\Seen`, 1),
		"nobody's mails":       second(m.Mails("chi@posta.test", "INBOX")),
		"bytes of what is not": second(m.Raw(sender, "INBOX", 99)),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	for _, tc := range []struct{ method, what, body string }{
		{"POST", "mark", `{"mailbox":"centrale@pec.ministero.test","uids":[3],"flag":"\\Flagged"}`},
		{"POST", "take", `{"mailbox":"centrale@pec.ministero.test","uids":[3],"to":"Altre"}`},
		{"GET", "mails?mailbox=" + sender + "&folder=Altre", ""},
	} {
		if status, body := desk(t, b, tc.method, tc.what, tc.body); status != 200 || tc.method == "GET" && !strings.Contains(body, `\\Flagged`) {
			t.Errorf("%s: %d %s", tc.what, status, body)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestADeafLinkAnnouncesNothing(t *testing.T) {
	b, m := bench(t)
	a := m.Accounts()[0]
	heard := make(chan uint32, 8)
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
	if err := c.Login(a.User, a.Password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	for len(heard) > 0 { // what SELECT itself told
		<-heard
	}
	if err := m.SetMailbox(a.Address, func(c *Condition) { c.Deaf = true }); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	b.Advance(time.Minute)
	if n := len(heard); n != 0 {
		t.Errorf("heard %d times while idle", n)
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Noop().Wait(); err != nil {
		t.Fatal(err)
	}
	var last uint32
	for len(heard) > 0 {
		last = <-heard
	}
	if last != 2 {
		t.Errorf("the next command tells of %d messages, want 2", last)
	}
}
