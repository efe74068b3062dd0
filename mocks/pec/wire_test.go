package pec

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

// codeOf is the reply's code; 0 when the connection broke.
func codeOf(err error) int {
	var e *smtp.SMTPError
	switch {
	case err == nil:
		return 250
	case errors.As(err, &e):
		return e.Code
	}
	return 0
}

// TestStoriesOnTheWireStrikeTheFirstAttempt: by a label and by an order alike, the client's view and the truth apart.
func TestStoriesOnTheWireStrikeTheFirstAttempt(t *testing.T) {
	for _, tc := range []struct {
		story         string
		first, second int // replies to two attempts at one message
		taken         int // after both
		refused       int // attempts with bytes that were not taken
	}{
		{"greylist", 450, 450, 0, 0}, // within five minutes
		{"refused", 550, 550, 0, 0},
		{"busy", 421, 250, 1, 0},
		{"toomuch", 550, 250, 1, 0},
		{"tempfail", 451, 250, 1, 1},
		{"cutbefore", 0, 250, 1, 1},
		{"cutafter", 0, 250, 2, 0},
		{"lateanswer", 250, 250, 2, 0},
	} {
		for _, how := range []string{"label", "order"} {
			t.Run(tc.story+" by "+how, func(t *testing.T) {
				t.Parallel()
				b, m := bench(t)
				to := []string{"rossi@pec.cittadini.test"}
				if how == "label" {
					to[0] = tc.story + "." + to[0]
				} else {
					times := 1
					if tc.story == "refused" {
						times = 2
					}
					if err := m.Order(Order{Story: tc.story, Times: times}); err != nil {
						t.Fatal(err)
					}
				}
				for i, want := range []int{tc.first, tc.second} {
					if got := codeOf(submit(dial(t, b, m), sender, to, text("a@x", to))); got != want {
						t.Errorf("attempt %d: %d, want %d", i+1, got, want)
					}
				}
				if n := len(m.Accepted()); n != tc.taken {
					t.Errorf("%d taken, want %d", n, tc.taken)
				}
				if tc.taken+tc.refused > 0 {
					if f := m.Truth(); len(f) != 1 || f[0].MessageID != "<a@x>" || f[0].Sent() != tc.taken || len(f[0].Refused) != tc.refused {
						t.Errorf("the truth: %+v", f)
					}
				}
				if line := b.Journal()[0]; line.Fault != tc.story {
					t.Errorf("the journal's first line has the fault %q", line.Fault)
				}
				if tc.story == "greylist" {
					b.Advance(greylisting)
					if err := submit(dial(t, b, m), sender, to, text("a@x", to)); err != nil {
						t.Errorf("after five minutes: %v", err)
					}
				}
			})
		}
	}
}

func TestAHugeReceiptIsServedWhole(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "a@x", "huge@pec.cittadini.test")
	b.Advance(time.Minute)
	c := login(t, b, m.Accounts()[0])
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	cmd := c.Fetch(imap.SeqSetNum(2), &imap.FetchOptions{RFC822Size: true, BodySection: []*imap.FetchItemBodySection{section}})
	defer cmd.Close()
	var announced, read int64
	for item := cmd.Next(); item != nil; item = cmd.Next() {
		for part := item.Next(); part != nil; part = item.Next() {
			switch part := part.(type) {
			case imapclient.FetchItemDataRFC822Size:
				announced = part.Size
			case imapclient.FetchItemDataBodySection:
				n, err := io.Copy(io.Discard, part.Literal)
				if err != nil {
					t.Fatal(err)
				}
				read = n
			}
		}
	}
	if read != announced || read < 40<<20 {
		t.Errorf("%d bytes read of %d", read, announced)
	}
}

func TestABounceComesInAnAnomalyEnvelope(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "a@x", "bounce.persona@posta.test")
	b.Advance(time.Minute)
	all := inboxOf(t, b, m.Accounts()[0])
	if len(all) != 2 {
		t.Fatalf("%d messages", len(all))
	}
	r := open(t, all[1])
	if r.xml != nil || r.header.Get("X-Trasporto") != "errore" || !strings.Contains(string(r.original), "report-type=delivery-status") ||
		!strings.Contains(string(r.original), "X-Riferimento-Message-ID: <a@x>") {
		t.Errorf("not a bounce in an anomaly envelope:\n%s", all[1])
	}
	if _, err := verify(t, all[1], m.RootsPEM(), time.Time{}); err != nil {
		t.Error(err)
	}
}

func TestAPECInsideAPECHasItsOwnDaticert(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "a@x", "pecinpec@pec.cittadini.test")
	b.Advance(time.Minute)
	r := open(t, inboxOf(t, b, m.Accounts()[0])[1])
	if n := strings.Count(string(r.original), "daticert.xml"); n < 2 || !strings.Contains(string(r.original), "X-Trasporto: posta-certificata") || r.cert.Dati.MsgID != "<a@x>" {
		t.Errorf("the original holds %d marks of a daticert.xml, and the receipt is about %s", n, r.cert.Dati.MsgID)
	}
	if !strings.Contains(string(r.original), "Buongiorno.") {
		t.Error("what was sent is gone")
	}
}

func TestStoriesOfSessionsStrikeByOrder(t *testing.T) {
	for _, tc := range []struct {
		story string
		code  imap.ResponseCode // empty: the connection broke
		label string
	}{
		{"imapdrop", "", "search"},
		{"imaplost", "", "search"},
		{"imapno", imap.ResponseCodeUnavailable, "search"},
		{"imaplimit", imap.ResponseCodeLimit, "login"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			b, m := bench(t)
			a := m.Accounts()[0]
			c, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{TLSConfig: b.CA().ClientTLS()})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if tc.label != "login" {
				if err := c.Login(a.User, a.Password).Wait(); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Select("INBOX", nil).Wait(); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Order(Order{Story: tc.story, Mailbox: a.Address, Times: 1}); err != nil {
				t.Fatal(err)
			}
			if tc.label == "login" {
				err = c.Login(a.User, a.Password).Wait()
			} else {
				_, err = c.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
			}
			var e *imap.Error
			if err == nil || errors.As(err, &e) != (tc.code != "") || e != nil && e.Code != tc.code {
				t.Errorf("the client saw %v, want %q", err, tc.code)
			}
			if len(m.Orders()) != 0 {
				t.Error("the order is left")
			}
		})
	}
}

func TestAConnectionIsResetByOrder(t *testing.T) {
	b, m := bench(t)
	if err := m.Order(Order{Story: "connreset", Times: 2}); err != nil {
		t.Fatal(err)
	}
	if c, err := dialAs(b, m.Accounts()[0]); err == nil {
		c.Close()
		t.Error("the SMTP connection stood")
	}
	if c, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{TLSConfig: b.CA().ClientTLS()}); err == nil {
		if c.WaitGreeting() == nil {
			t.Error("the IMAP connection stood")
		}
		c.Close()
	}
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
}

func TestConditionsOfAMailboxAreItsOwn(t *testing.T) {
	b, m := bench(t)
	one, other := m.Accounts()[0], m.Accounts()[1]
	mail := func(a Account) error {
		c, err := smtp.DialTLS(b.Endpoint("pec", "smtps"), b.CA().ClientTLS())
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Auth(sasl.NewPlainClient("", a.User, a.Password)); err != nil {
			return err
		}
		to := []string{"rossi@pec.cittadini.test"}
		return submit(c, a.Address, to, strings.Replace(text("a@x", to), "From: "+sender, "From: "+a.Address, 1))
	}
	read := func(a Account) error {
		c, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{TLSConfig: b.CA().ClientTLS()})
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Login(a.User, a.Password).Wait()
	}
	imapCode := func(err error) imap.ResponseCode {
		var e *imap.Error
		if errors.As(err, &e) {
			return e.Code
		}
		return ""
	}
	for _, tc := range []struct {
		name   string
		set    func(*Condition)
		smtp   int
		imap   imap.ResponseCode
		before int // messages sent before
	}{
		{"locked", func(c *Condition) { c.Locked = true }, 535, imap.ResponseCodeAuthenticationFailed, 0},
		{"locked until later", func(c *Condition) { c.LockedUntil = b.Clock().Now().Add(time.Hour) }, 535, imap.ResponseCodeAuthenticationFailed, 0},
		{"refused logins", func(c *Condition) { c.RefuseLogins = 1 }, 250, imap.ResponseCodeLimit, 0},
		{"no sessions", func(c *Condition) { c.Sessions = 1 }, 250, "", 0},
		{"421 at MAIL", func(c *Condition) { c.Drop421 = 1 }, 421, "", 0},
		{"a rate with its text", func(c *Condition) { c.PerMinute = 1 }, 550, "", 1},
		{"a rate by 421", func(c *Condition) { c.PerMinute, c.RateReply = 1, 421 }, 421, "", 1},
		{"a rate by 451", func(c *Condition) { c.PerMinute, c.RateReply = 1, 451 }, 451, "", 1},
		{"slow", func(c *Condition) { c.Latency, c.Late = 5*time.Millisecond, 5*time.Millisecond }, 250, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.Advance(2 * time.Minute)
			if err := m.SetMailbox(one.Address, tc.set); err != nil {
				t.Fatal(err)
			}
			defer heal(t, m, one.Address)
			for range tc.before {
				if err := mail(one); err != nil {
					t.Fatal(err)
				}
			}
			if got := codeOf(mail(one)); got != tc.smtp {
				t.Errorf("smtp: %d, want %d", got, tc.smtp)
			}
			if got := imapCode(read(one)); got != tc.imap {
				t.Errorf("imap: %q, want %q", got, tc.imap)
			}
			if mailErr, readErr := mail(other), read(other); mailErr != nil || readErr != nil {
				t.Errorf("the other mailbox: %v, %v", mailErr, readErr)
			}
			if strings.HasPrefix(tc.name, "a rate") {
				b.Advance(time.Minute)
				if err := mail(one); err != nil {
					t.Errorf("a minute later: %v", err)
				}
			}
		})
	}
	if _, err := m.Mailbox("chi@posta.test"); err == nil {
		t.Error("nobody's mailbox has a condition")
	}
}

func TestALockThrowsReadersOut(t *testing.T) {
	b, m := bench(t)
	a := m.Accounts()[0]
	for name, set := range map[string]func(*Condition){
		"for good":  func(c *Condition) { c.Locked = true },
		"for a day": func(c *Condition) { c.LockedUntil = b.Clock().Now().AddDate(0, 0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			reader, writer := login(t, b, a), dial(t, b, m)
			if err := m.SetMailbox(a.Address, set); err != nil {
				t.Fatal(err)
			}
			defer heal(t, m, a.Address)
			if err := reader.Noop().Wait(); err == nil {
				t.Error("the reader is still there")
			}
			to := []string{"rossi@pec.cittadini.test"}
			if got := codeOf(submit(writer, sender, to, text("a@x", to))); got != 535 {
				t.Errorf("the next message of a session that stood: %d", got)
			}
		})
	}
}

func TestAHeldMailboxWaitsUntilItIsLetGo(t *testing.T) {
	b, m := bench(t)
	a := m.Accounts()[0]
	c := dial(t, b, m)
	if err := m.SetMailbox(a.Address, func(c *Condition) { c.Hold = true }); err != nil {
		t.Fatal(err)
	}
	to := []string{"rossi@pec.cittadini.test"}
	sent := make(chan error, 1)
	go func() { sent <- submit(c, sender, to, text("a@x", to)) }()
	other := login(t, b, m.Accounts()[1]) // another's mailbox is not held
	if _, err := other.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-sent:
		t.Fatalf("answered: %v", err)
	default:
	}
	if n := len(m.Accepted()); n != 0 {
		t.Errorf("%d taken", n)
	}
	if err := m.SetMailbox(a.Address, func(c *Condition) { c.Hold = false }); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || len(m.Accepted()) != 1 {
		t.Errorf("let go: %v, %d taken", err, len(m.Accepted()))
	}
}

func TestSlowAnswersComeBeforeOrAfterTheWork(t *testing.T) {
	for _, tc := range []struct {
		name    string
		set     func(*Condition)
		fault   lab.Fault
		working bool // the work is done before the wait
	}{
		{"the mailbox's latency", func(c *Condition) { c.Latency = time.Hour }, lab.Fault{}, false},
		{"the mailbox answers late", func(c *Condition) { c.Late = time.Hour }, lab.Fault{}, true},
		{"the bench's slow", nil, lab.Fault{Match: "pec smtp message", Do: lab.Slow, Wait: time.Hour}, true},
		{"a wait before another fault", nil, lab.Fault{Match: "pec smtp message", Do: lab.DropAfterAccept, Wait: time.Hour}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, m := bench(t)
			c := dial(t, b, m)
			if tc.set != nil {
				if err := m.SetMailbox(sender, tc.set); err != nil {
					t.Fatal(err)
				}
			} else {
				b.Inject(tc.fault)
			}
			worked := make(chan struct{})
			stop := b.Watch(func(lab.Exchange) { close(worked) })
			defer stop()
			to := []string{"rossi@pec.cittadini.test"}
			sent := make(chan error, 1)
			go func() { sent <- submit(c, sender, to, text("a@x", to)) }()
			if tc.working {
				<-worked
				if n := len(m.Accepted()); n != 1 {
					t.Errorf("%d taken while the answer waits", n)
				}
			}
			select {
			case err := <-sent:
				t.Errorf("answered at once: %v", err)
			default:
			}
			if !tc.working && len(m.Accepted()) != 0 {
				t.Error("taken before the wait was over")
			}
			if err := m.Close(); err != nil { // ends every wait
				t.Error(err)
			}
			<-sent
		})
	}
}

func TestAnotherReaderLeavesAGap(t *testing.T) {
	b, m := bench(t)
	if err := m.SetMailbox(sender, func(c *Condition) { c.Snatch = 1 }); err != nil {
		t.Fatal(err)
	}
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	b.Advance(time.Minute)
	c := login(t, b, m.Accounts()[0])
	data, err := c.Select("INBOX", nil).Wait()
	if err != nil || data.NumMessages != 1 || data.UIDNext != 3 {
		t.Errorf("%d messages, UIDNEXT %d, %v", data.NumMessages, data.UIDNext, err)
	}
	f := m.Truth()[0]
	if len(f.Placed) != 2 || !f.Placed[0].Snatched || f.Has(Acceptance, "") || !f.Has(Delivery, "rossi@pec.cittadini.test") {
		t.Errorf("the truth: %+v", f)
	}
}
