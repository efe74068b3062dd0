package pec

import (
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// after sends one message and reads what its story has put into the mailbox after a while.
func after(t *testing.T, story string, d time.Duration) (*Mock, []read) {
	t.Helper()
	b, m := bench(t)
	send(t, b, m, "a@x", story+"@pec.cittadini.test")
	b.Advance(d)
	var out []read
	for _, raw := range inboxOf(t, b, m.Accounts()[0]) {
		out = append(out, open(t, raw))
	}
	return m, out
}

func TestTheOtherZoneIsTheSameInstant(t *testing.T) {
	_, got := after(t, "zona", 0)
	if d := got[0].cert.Dati.Data; d.Zona != "+0200" || d.Ora != "10:00:00" || d.Giorno != "21/11/2026" {
		t.Errorf("%+v", d)
	}
}

func TestAReplayIsTheAcceptanceUnderAnotherHeader(t *testing.T) {
	_, got := after(t, "replay", time.Minute)
	if len(got) != 2 {
		t.Fatalf("%d receipts", len(got))
	}
	if string(got[0].xml) != string(got[1].xml) {
		t.Error("what is signed differs")
	}
	if h := got[1].header; h.Get("X-Ricevuta") != "avvenuta-consegna" || !strings.Contains(h.Get("Subject"), "CONSEGNA:") || h.Get("Message-Id") == got[0].header.Get("Message-Id") {
		t.Errorf("the outer header: %v", h)
	}
}

func TestTwoAcceptancesHaveTwoIdentificativi(t *testing.T) {
	m, got := after(t, "twoaccept", 0)
	if len(got) != 2 || got[0].cert.Dati.Identificativo != m.Accepted()[0].Identificativo || got[0].cert.Dati.Identificativo == got[1].cert.Dati.Identificativo ||
		got[0].cert.Dati.MsgID != got[1].cert.Dati.MsgID {
		t.Errorf("%d acceptances", len(got))
	}
}

func TestAForeignReceiptIsOfAnotherMessage(t *testing.T) {
	_, got := after(t, "foreign", time.Minute)
	own, other := got[0].cert.Dati, got[1].cert.Dati
	if own.MsgID == other.MsgID || own.Identificativo == other.Identificativo || got[1].header.Get("X-Riferimento-Message-Id") != other.MsgID {
		t.Errorf("%+v\n%+v", own, other)
	}
}

func TestAnAlteredDaticertSaysTheBetterUnderIntactHeaders(t *testing.T) {
	b, m := bench(t)
	if err := m.Order(Order{Story: "altered", Times: 1}); err != nil {
		t.Fatal(err)
	}
	send(t, b, m, "a@x", "nodest@pec.cittadini.test")
	b.Advance(time.Minute)
	r := open(t, inboxOf(t, b, m.Accounts()[0])[1])
	if r.cert.Tipo != "avvenuta-consegna" || r.header.Get("X-Ricevuta") != "errore-consegna" || r.cert.Dati.Esteso != "" {
		t.Errorf("%s under %s, %q", r.cert.Tipo, r.header.Get("X-Ricevuta"), r.cert.Dati.Esteso)
	}
}

func TestAnAlteredHeaderSaysTheContraryOfWhatIsSigned(t *testing.T) {
	b, m := bench(t)
	if err := m.Order(Order{Story: "header", Times: 1}); err != nil {
		t.Fatal(err)
	}
	send(t, b, m, "a@x", "nodest@pec.cittadini.test")
	b.Advance(time.Minute)
	raw := inboxOf(t, b, m.Accounts()[0])[1]
	r := open(t, raw)
	if r.cert.Tipo != "errore-consegna" || r.header.Get("X-Ricevuta") != "avvenuta-consegna" || !strings.HasPrefix(r.header.Get("Subject"), "=?utf-8?q?CONSEGNA:") {
		t.Errorf("%s under %s, %s", r.cert.Tipo, r.header.Get("X-Ricevuta"), r.header.Get("Subject"))
	}
	if _, err := verify(t, raw, m.RootsPEM(), time.Time{}); err != nil {
		t.Errorf("what is signed must hold: %v", err)
	}
}

func TestASkewedClockDatesButDoesNotDelay(t *testing.T) {
	b, m := bench(t)
	m.Skew(-90 * time.Second)
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	x := mailsOf(t, b, m.Accounts()[0])[0]
	if d := open(t, x.raw).cert.Dati.Data; d.Ora != "08:58:30" || !x.at.Equal(b.Clock().Now()) {
		t.Errorf("dated %s, arrived %s", d.Ora, x.at)
	}
}

// TestWhatIsDueSoonerComesSooner: whatever was planned first.
func TestWhatIsDueSoonerComesSooner(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "slow@x", "slow@pec.cittadini.test")
	send(t, b, m, "soon@x", "rossi@pec.cittadini.test")
	b.Advance(DefaultDeliveryDelay)
	got := kinds(t, b, m)
	if len(got) != 3 || got[2] != "avvenuta-consegna/nessuno rossi@pec.cittadini.test" {
		t.Errorf("after two seconds: %v", got)
	}
	if next, ok := b.Clock().Next(); !ok || !next.Equal(time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)) {
		t.Errorf("next is %s, %t", next, ok)
	}
}

func TestStoriesAboutTheMailboxLeaveAConditionBehind(t *testing.T) {
	for story, want := range map[string]Condition{"cutfetch": {CutFetches: 1}, "nologin": {RefuseLogins: 3}} {
		t.Run(story, func(t *testing.T) {
			b, m := bench(t)
			send(t, b, m, "a@x", story+"@pec.cittadini.test")
			if got, err := m.Mailbox(sender); err != nil || got != want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestAMailboxHasItsOwnNumberOfSessions(t *testing.T) {
	b, m := bench(t)
	if err := m.SetMailbox(sender, func(c *Condition) { c.Sessions = 2 }); err != nil {
		t.Fatal(err)
	}
	a := m.Accounts()[0]
	for range 2 {
		login(t, b, a)
	}
	dialed := func() error {
		c, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{TLSConfig: b.CA().ClientTLS()})
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		return c.Login(a.User, a.Password).Wait()
	}
	if err := dialed(); err == nil {
		t.Error("a third was let in")
	}
	for range 3 {
		login(t, b, m.Accounts()[1])
	}
}
