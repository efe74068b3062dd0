package pec

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

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

// TestARefusalIsNotEvadedOnAStandingConnection: what is idle goes at once, what is amid an exchange ends it first.
func TestARefusalIsNotEvadedOnAStandingConnection(t *testing.T) {
	b, m := bench(t)
	idle, amid, reader := dial(t, b, m), dial(t, b, m), login(t, b, m.Accounts()[0])
	if err := amid.Mail(sender, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Misbehave("refuse", 0); err != nil {
		t.Fatal(err)
	}
	if err := idle.Noop(); err == nil {
		t.Error("the idle connection stands")
	}
	if err := reader.Noop().Wait(); err == nil {
		t.Error("the reader's connection stands")
	}
	if err := amid.Rcpt("rossi@pec.cittadini.test", nil); err != nil {
		t.Fatal(err)
	}
	w, err := amid.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text("a@x", []string{"rossi@pec.cittadini.test"})); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("what was under way: %v", err)
	}
	if err := amid.Noop(); err == nil {
		t.Error("the connection stands after its exchange")
	}
	b.Clear()
	send(t, b, m, "b@x", "rossi@pec.cittadini.test")
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

func TestASlowReplyComesAfterTheWork(t *testing.T) {
	b, m := bench(t)
	const wait = 30 * time.Millisecond
	b.Inject(lab.Fault{Match: "pec smtp message", Times: 1, Do: lab.Slow, Wait: wait})
	start := time.Now()
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	if took := time.Since(start); took < wait || len(m.Accepted()) != 1 {
		t.Errorf("answered after %s, %d accepted", took, len(m.Accepted()))
	}
}
