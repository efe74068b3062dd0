package pec

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"raccordo/mocks/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sender = "centrale@pec.ministero.test"

// bench starts the mock on a frozen clock.
func bench(t *testing.T, opts ...Option) (*lab.Bench, *Mock) {
	t.Helper()
	m := New(opts...)
	return lab.Start(t, m), m
}

// text is a submitted message with the fields that a test needs.
func text(id string, to []string, extra ...string) string {
	h := []string{
		"From: " + sender, "To: " + strings.Join(to, ", "), "Subject: =?utf-8?q?Notifica_n=2E_42_=C3=A8_urgente?=",
		"Date: Sat, 21 Nov 2026 09:00:00 +0100", "Message-ID: <" + id + ">", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
	}
	return strings.Join(append(h, extra...), "\r\n") + "\r\n\r\nBuongiorno.\r\n"
}

// dial opens an authenticated submission.
func dial(t *testing.T, b *lab.Bench, m *Mock) *smtp.Client {
	t.Helper()
	c, err := dialAs(b, m.Accounts()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func dialAs(b *lab.Bench, a Account) (*smtp.Client, error) {
	c, err := smtp.DialTLS(b.Endpoint("pec", "smtps"), b.CA().ClientTLS())
	if err != nil {
		return nil, err
	}
	if err := c.Auth(sasl.NewPlainClient("", a.User, a.Password)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// submit sends raw bytes; the error is the server's refusal.
func submit(c *smtp.Client, from string, to []string, raw string) error {
	return c.SendMail(from, to, strings.NewReader(raw))
}

// send submits one message to the recipients and waits for its 250.
func send(t *testing.T, b *lab.Bench, m *Mock, id string, to ...string) {
	t.Helper()
	if err := submit(dial(t, b, m), sender, to, text(id, to)); err != nil {
		t.Fatal(err)
	}
}

// login opens an IMAP session on an account.
func login(t *testing.T, b *lab.Bench, a Account) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialTLS(b.Endpoint("pec", "imaps"), &imapclient.Options{TLSConfig: b.CA().ClientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Login(a.User, a.Password).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// inboxOf reads every message of an account's INBOX, in order.
func inboxOf(t *testing.T, b *lab.Bench, a Account) [][]byte {
	t.Helper()
	c := login(t, b, a)
	defer c.Close()
	return fetchAll(t, c)
}

func fetchAll(t *testing.T, c *imapclient.Client) [][]byte {
	t.Helper()
	data, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if data.NumMessages == 0 {
		return nil
	}
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}, UID: true}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, msg := range msgs {
		out = append(out, msg.FindBodySection(section))
	}
	return out
}

// kinds names the messages of the sender's INBOX as "tipo/errore consegna".
func kinds(t *testing.T, b *lab.Bench, m *Mock) []string {
	t.Helper()
	var out []string
	for _, raw := range inboxOf(t, b, m.Accounts()[0]) {
		r := open(t, raw)
		name := fmt.Sprintf("%s/%s", r.cert.Tipo, r.cert.Errore)
		if r.cert.Dati.Consegna != "" {
			name += " " + r.cert.Dati.Consegna
		}
		out = append(out, name)
	}
	return out
}

func TestBothDoorsOfEachProtocolLetIn(t *testing.T) {
	b, m := bench(t)
	a := m.Accounts()[0]
	plain, login := sasl.NewPlainClient("", a.User, a.Password), sasl.NewLoginClient(a.User, a.Password)
	for name, auth := range map[string]sasl.Client{"plain": plain, "login": login} {
		t.Run("smtp starttls, auth "+name, func(t *testing.T) {
			c, err := smtp.DialStartTLS(b.Endpoint("pec", "smtp"), b.CA().ClientTLS())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Auth(auth); err != nil {
				t.Fatal(err)
			}
			for _, ext := range []string{"SIZE", "8BITMIME", "PIPELINING"} {
				if ok, _ := c.Extension(ext); !ok {
					t.Errorf("EHLO does not offer %s", ext)
				}
			}
			to := []string{"rossi@pec.cittadini.test"}
			if err := submit(c, sender, to, text(name+"@x", to)); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("imap starttls", func(t *testing.T) {
		c, err := imapclient.DialStartTLS(b.Endpoint("pec", "imap"), &imapclient.Options{TLSConfig: b.CA().ClientTLS()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Login(a.User, a.Password).Wait(); err != nil {
			t.Fatal(err)
		}
		if got := len(fetchAll(t, c)); got != 2 {
			t.Errorf("INBOX holds %d messages, want the two acceptances", got)
		}
	})
}

func TestStories(t *testing.T) {
	const domain = "@pec.cittadini.test"
	for _, tc := range []struct {
		local string
		after time.Duration
		want  string // kinds of receipts, "; " between them; R stands for the recipient
	}{
		{"rossi", 0, "accettazione/nessuno"},
		{"rossi", 2 * time.Second, "accettazione/nessuno; avvenuta-consegna/nessuno R"},
		{"nodest.rossi", time.Minute, "accettazione/nessuno; errore-consegna/no-dest R"},
		{"full", time.Minute, "accettazione/nessuno; errore-consegna/altro R"},
		{"toobig", time.Minute, "accettazione/nessuno; errore-consegna/altro R"},
		{"virus", time.Minute, "accettazione/nessuno; errore-consegna/virus R"},
		{"slow", 3*time.Hour - time.Second, "accettazione/nessuno"},
		{"slow", 3 * time.Hour, "accettazione/nessuno; avvenuta-consegna/nessuno R"},
		{"timeout12", 14 * time.Hour, "accettazione/nessuno; preavviso-errore-consegna/altro R"},
		{"timeout12", 15 * time.Hour, "accettazione/nessuno; preavviso-errore-consegna/altro R; avvenuta-consegna/nessuno R"},
		{"timeout24", 72 * time.Hour, "accettazione/nessuno; preavviso-errore-consegna/altro R; preavviso-errore-consegna/altro R"},
		{"late", 25 * time.Hour, "accettazione/nessuno; preavviso-errore-consegna/altro R"},
		{"late", 30 * time.Hour, "accettazione/nessuno; preavviso-errore-consegna/altro R; avvenuta-consegna/nessuno R"},
		{"never", 72 * time.Hour, "accettazione/nessuno"},
		{"noaccept", 72 * time.Hour, "non-accettazione/altro"},
		{"noacceptvirus", 72 * time.Hour, "non-accettazione/virus"},
		{"noacceptreceipt", time.Minute, "avvenuta-consegna/nessuno R"},
		{"dup", time.Minute, "accettazione/nessuno; accettazione/nessuno; avvenuta-consegna/nessuno R; avvenuta-consegna/nessuno R"},
		{"reorder", time.Minute, "avvenuta-consegna/nessuno R; accettazione/nessuno"},
		{"mute", 72 * time.Hour, ""},
	} {
		t.Run(fmt.Sprintf("%s after %s", tc.local, tc.after), func(t *testing.T) {
			b, m := bench(t)
			send(t, b, m, "a@x", tc.local+domain)
			b.Advance(tc.after)
			want := strings.ReplaceAll(tc.want, "R", tc.local+domain)
			if got := strings.Join(kinds(t, b, m), "; "); got != want {
				t.Errorf("mailbox holds\n %s\nwant\n %s", got, want)
			}
		})
	}
}

func TestDomainsDecideWhatBecomesOfARecipient(t *testing.T) {
	for _, tc := range []struct{ name, to, destinatari, outcome string }{
		{"ordinary mail gets no receipt of delivery", "persona@posta.test", "esterno", ""},
		{"an unknown domain fails", "chi@altrove.test", "certificato", "errore-consegna/no-dominio chi@altrove.test"},
		{"the other provider delivers", "chi@pec.studi.test", "certificato", "avvenuta-consegna/nessuno chi@pec.studi.test"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, m := bench(t)
			send(t, b, m, "a@x", tc.to)
			b.Advance(time.Hour)
			got := kinds(t, b, m)
			if outcome := strings.Join(got[1:], "; "); outcome != tc.outcome {
				t.Errorf("outcome %q, want %q", outcome, tc.outcome)
			}
			r := open(t, inboxOf(t, b, m.Accounts()[0])[0])
			if d := r.cert.Intestazione.Destinatari[0]; d.Tipo != tc.destinatari {
				t.Errorf("destinatari tipo %q, want %q", d.Tipo, tc.destinatari)
			}
		})
	}
}

func TestEveryRuleOfTheAccessPointRefuses(t *testing.T) {
	const to = "rossi@pec.cittadini.test"
	ok := text("a@x", []string{to})
	attach := func(name string) string {
		return strings.Replace(ok, "Content-Type: text/plain; charset=utf-8\r\n\r\nBuongiorno.\r\n",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\""+name+"\"\r\n\r\nx\r\n--b--\r\n", 1)
	}
	for _, tc := range []struct {
		rule string // as the journal names it; empty: accepted
		from string
		to   []string
		raw  string
	}{
		{"", sender, []string{to}, ok},
		{"", "Centrale@PEC.ministero.test", []string{"Rossi@pec.cittadini.test"}, ok},
		{"", sender, []string{to}, attach("atto.pdf")},
		{"exactly one valid address in From", sender, []string{to}, "From: altri@pec.imprese.test\r\n" + ok},
		{"exactly one valid address in From", sender, []string{to}, strings.Replace(ok, "From: ", "From: altri@pec.imprese.test, ", 1)},
		{"exactly one valid address in From", sender, []string{to}, strings.Replace(ok, "From: ", "From: non un indirizzo ", 1)},
		{"at least one valid address in To", sender, []string{to}, strings.Replace(ok, "To: "+to, "Cc: "+to, 1)},
		{"reverse path equals From", sender, []string{to}, strings.Replace(ok, "From: "+sender, "From: altri@pec.imprese.test", 1)},
		{"reverse path equals the authenticated mailbox", "altri@pec.imprese.test", []string{to}, strings.Replace(ok, "From: "+sender, "From: altri@pec.imprese.test", 1)},
		{"forward paths equal To and Cc", sender, []string{to, "bianchi@pec.studi.test"}, ok},
		{"forward paths equal To and Cc", sender, []string{to}, text("a@x", []string{to, "bianchi@pec.studi.test"})},
		{"valid addresses in Cc", sender, []string{to}, text("a@x", []string{to}, "Cc: non un indirizzo")},
		{"no Bcc", sender, []string{to}, text("a@x", []string{to}, "Bcc: ombra@pec.studi.test")},
		{"size times recipients within the limit", sender, []string{to}, text("a@x", []string{to}, "X-Filler: "+strings.Repeat("a", 900), "X-More: "+strings.Repeat("a", 900))},
		{"no attachment of a blocked kind", sender, []string{to}, attach("atto.exe")},
		{"scenario noaccept", sender, []string{"noaccept@pec.studi.test"}, text("a@x", []string{"noaccept@pec.studi.test"})},
		{"scenario noacceptvirus", sender, []string{"noacceptvirus@pec.studi.test"}, text("a@x", []string{"noacceptvirus@pec.studi.test"})},
	} {
		name := tc.rule
		if name == "" {
			name = "accepted"
		}
		t.Run(name, func(t *testing.T) {
			b, m := bench(t, WithLimits(Limits{MaxProduct: 2000}))
			if err := submit(dial(t, b, m), tc.from, tc.to, tc.raw); err != nil {
				t.Fatalf("the wire refused: %v", err)
			}
			lines := b.Journal()
			line := lines[len(lines)-1]
			if line.Label != "smtp message" || line.Status != "250" || line.Refused != tc.rule {
				t.Errorf("journal: %s %s, refused %q, want %q", line.Label, line.Status, line.Refused, tc.rule)
			}
			sub, _ := line.Parsed.(Submitted)
			if sub.Accepted != (tc.rule == "") {
				t.Errorf("accepted %t", sub.Accepted)
			}
			got := kinds(t, b, m)
			want := "accettazione/"
			if tc.rule != "" {
				want = "non-accettazione/"
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], want) {
				t.Errorf("mailbox holds %v, want one %s", got, want)
			}
		})
	}
}

func TestTheWireRefusesWithTheRightCode(t *testing.T) {
	const to = "rossi@pec.cittadini.test"
	password := func(a Account) sasl.Client { return sasl.NewPlainClient("", a.User, a.Password) }
	one := text("a@x", []string{to})
	for _, tc := range []struct {
		rule  string
		want  int
		plain bool // without TLS
		auth  func(a Account) sasl.Client
		do    func(c *smtp.Client) error // after the login, where there is one
	}{
		{"a wrong password is 535", 535, false, func(a Account) sasl.Client { return sasl.NewPlainClient("", a.User, "altra") }, nil},
		{"a wrong password is 535 with LOGIN too", 535, false, func(a Account) sasl.Client { return sasl.NewLoginClient(a.User, "altra") }, nil},
		{"no mail without a login", 530, false, nil, func(c *smtp.Client) error { return submit(c, sender, []string{to}, one) }},
		{"no password without TLS", 523, true, password, nil},
		{"the message is too big", 552, false, password, func(c *smtp.Client) error {
			return submit(c, sender, []string{to}, one+strings.Repeat(strings.Repeat("a", 70)+"\r\n", 100))
		}},
		{"the announced size is too big", 552, false, password, func(c *smtp.Client) error {
			return c.Mail(sender, &smtp.MailOptions{Size: 1 << 20})
		}},
		{"too many recipients", 452, false, password, func(c *smtp.Client) error {
			many := []string{to, "b@pec.studi.test", "c@pec.studi.test"}
			return submit(c, sender, many, text("a@x", many))
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			b, m := bench(t, WithLimits(Limits{MaxMessage: 4000, MaxRecipients: 2}))
			dial := func() (*smtp.Client, error) { return smtp.DialTLS(b.Endpoint("pec", "smtps"), b.CA().ClientTLS()) }
			if tc.plain {
				dial = func() (*smtp.Client, error) { return smtp.Dial(b.Endpoint("pec", "smtp")) }
			}
			c, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if tc.auth != nil {
				if err = c.Auth(tc.auth(m.Accounts()[0])); err != nil && tc.do != nil {
					t.Fatal(err)
				}
			}
			if tc.do != nil {
				err = tc.do(c)
			}
			var e *smtp.SMTPError
			if !asSMTP(err, &e) || e.Code != tc.want {
				t.Errorf("got %v, want %d", err, tc.want)
			}
			if n := len(m.Accepted()); n != 0 {
				t.Errorf("%d messages were taken", n)
			}
		})
	}
}

func TestTheProviderReplacesTheMessageID(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "h1.abc.1@pec.ministero.test", "rossi@pec.cittadini.test")
	b.Advance(time.Minute)
	all := inboxOf(t, b, m.Accounts()[0])
	id := m.Accepted()[0].Identificativo
	if want := "mock1.20261121090000.00001@gestore-uno.test"; id != want {
		t.Errorf("identificativo %q, want %q", id, want)
	}
	original := open(t, all[1]).original
	h, body := splitMessage(original)
	if got := h.all("Message-ID"); len(got) != 1 || got[0] != "<"+id+">" {
		t.Errorf("postacert.eml has Message-ID %v", got)
	}
	if got := h.get("X-Riferimento-Message-ID"); got != "<h1.abc.1@pec.ministero.test>" {
		t.Errorf("postacert.eml refers to %q", got)
	}
	if string(body) != "Buongiorno.\r\n" || !strings.HasPrefix(string(original), "Received: ") {
		t.Errorf("postacert.eml is\n%s", original)
	}
	for i, raw := range all {
		if r, _ := splitMessage(raw); r.get("Message-ID") == "<"+id+">" || r.get("X-Riferimento-Message-ID") != "<h1.abc.1@pec.ministero.test>" {
			t.Errorf("receipt %d: Message-ID %q, refers to %q", i, r.get("Message-ID"), r.get("X-Riferimento-Message-ID"))
		}
	}
}

func TestARestartKeepsWhatWasAndGoesOn(t *testing.T) {
	dir, clock := t.TempDir(), lab.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
	life := func(do func(b *lab.Bench, m *Mock)) {
		t.Helper()
		b, err := lab.New(lab.Options{Clock: clock, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		m := New()
		if err := b.Attach(m); err != nil {
			t.Fatal(err)
		}
		do(b, m)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var validity uint32
	var roots, first []byte
	life(func(b *lab.Bench, m *Mock) {
		send(t, b, m, "one@x", "rossi@pec.cittadini.test")
		send(t, b, m, "two@x", "slow@pec.cittadini.test")
		b.Advance(time.Minute)
		c := login(t, b, m.Accounts()[0])
		defer c.Close()
		roots, first = m.RootsPEM(), fetchAll(t, c)[0]
		data, err := c.Select("INBOX", nil).Wait()
		if err != nil {
			t.Fatal(err)
		}
		validity = data.UIDValidity
		if err := c.Create("Lavorate", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Move(imap.UIDSetNum(2), "Lavorate").Wait(); err != nil {
			t.Fatal(err)
		}
		if err := c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close(); err != nil {
			t.Fatal(err)
		}
	})
	clock.Advance(4 * time.Hour) // the slow delivery falls due while nobody is there
	life(func(b *lab.Bench, m *Mock) {
		if !bytes.Equal(m.RootsPEM(), roots) {
			t.Error("the roots changed")
		}
		if n := len(m.Accepted()); n != 2 {
			t.Errorf("%d messages accepted, want 2", n)
		}
		c := login(t, b, m.Accounts()[0])
		defer c.Close()
		data, err := c.Select("INBOX", nil).Wait()
		if err != nil {
			t.Fatal(err)
		}
		if data.UIDValidity != validity || data.NumMessages != 3 || data.UIDNext != 5 {
			t.Errorf("UIDVALIDITY %d (was %d), %d messages, UIDNEXT %d", data.UIDValidity, validity, data.NumMessages, data.UIDNext)
		}
		found, err := c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}}, nil).Wait()
		if err != nil || fmt.Sprint(found.AllUIDs()) != "[1]" {
			t.Errorf("seen: %v, %v", found.AllUIDs(), err)
		}
		all := fetchAll(t, c)
		if !bytes.Equal(all[0], first) {
			t.Error("the first message changed")
		}
		if r := open(t, all[2]); r.cert.Tipo != "avvenuta-consegna" || r.cert.Dati.Consegna != "slow@pec.cittadini.test" {
			t.Errorf("the overdue delivery is %s to %s", r.cert.Tipo, r.cert.Dati.Consegna)
		}
		status, err := c.Status("Lavorate", &imap.StatusOptions{NumMessages: true}).Wait()
		if err != nil || *status.NumMessages != 1 {
			t.Errorf("the moved message: %v", err)
		}
		send(t, b, m, "three@x", "rossi@pec.cittadini.test")
		if got, want := m.Accepted()[2].Identificativo, "mock1.20261121130100.00003@gestore-uno.test"; got != want {
			t.Errorf("the counter began again: %s, want %s", got, want)
		}
	})
}

func TestTLSIsTheBenchs(t *testing.T) {
	b, _ := bench(t)
	if _, err := tls.Dial("tcp", b.Endpoint("pec", "smtps"), &tls.Config{}); err == nil {
		t.Error("a client that does not trust the bench's authority was let in")
	}
}
