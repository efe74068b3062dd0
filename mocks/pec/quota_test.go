package pec

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

func TestQuotaIsToldAsTheRulesHaveIt(t *testing.T) {
	b, m := bench(t)
	if err := m.SetMailbox(sender, func(c *Condition) { c.Quota = 3 << 20 }); err != nil {
		t.Fatal(err)
	}
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	c := login(t, b, m.Accounts()[0])
	if !c.Caps().Has(imap.CapQuota) {
		t.Errorf("capabilities %v", c.Caps())
	}
	roots, err := c.GetQuotaRoot("INBOX").Wait()
	if err != nil || len(roots) != 1 {
		t.Fatalf("%v, %v", roots, err)
	}
	used, _ := m.Used(sender)
	storage := roots[0].Resources[imap.QuotaResourceStorage]
	if want := (used + 1023) / 1024; storage.Usage != want || storage.Limit != 3<<10 || used == 0 {
		t.Errorf("usage %d of %d, want %d", storage.Usage, storage.Limit, want)
	}
	if q, err := c.GetQuota(roots[0].Root).Wait(); err != nil || q.Resources[imap.QuotaResourceStorage] != storage {
		t.Errorf("by its root: %+v, %v", q, err)
	}
	if _, err := c.GetQuotaRoot("Altrove").Wait(); err == nil {
		t.Error("a folder that is not there has a root")
	}
	if _, err := c.GetQuota("gold").Wait(); err == nil {
		t.Error("a root that is not there has a quota")
	}
	if err := c.SetQuota(roots[0].Root, map[imap.QuotaResourceType]int64{imap.QuotaResourceStorage: 1}).Wait(); err == nil {
		t.Error("the client sets its own quota")
	}
	b.Inject(lab.Fault{Match: "pec imap quota", Times: 1, Do: lab.Status, Status: 503})
	if _, err := c.GetQuotaRoot("INBOX").Wait(); err == nil {
		t.Error("a fault was not answered")
	}
	if n := b.Sent("pec imap quota"); n != 6 {
		t.Errorf("the journal counts %d", n)
	}
	free := login(t, b, m.Accounts()[1])
	if roots, err := free.GetQuotaRoot("INBOX").Wait(); err != nil || len(roots) != 1 || len(roots[0].Resources) != 0 {
		t.Errorf("without a limit: %+v, %v", roots, err)
	}
}

// TestAFullMailboxLosesWhatComes: the provider goes on accepting, and the evidence is gone.
func TestAFullMailboxLosesWhatComes(t *testing.T) {
	dir, clock := t.TempDir(), lab.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
	life := func(do func(b *lab.Bench, m *Mock)) {
		b, err := lab.New(lab.Options{Clock: clock, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		m := New()
		if err := b.Attach(m); err != nil {
			t.Fatal(err)
		}
		if err := m.SetMailbox(sender, func(c *Condition) { c.Quota = 30_000 }); err != nil {
			t.Fatal(err)
		}
		do(b, m)
	}
	var used int64
	life(func(b *lab.Bench, m *Mock) {
		for i := range 5 {
			send(t, b, m, fmt.Sprintf("%d@x", i), "rossi@pec.cittadini.test")
		}
		b.Advance(time.Minute)
		n := len(inboxOf(t, b, m.Accounts()[0]))
		used, _ = m.Used(sender)
		if n == 0 || n+m.Lost(sender) != 10 || used > 30_000 || used < 20_000 {
			t.Errorf("%d in the mailbox, %d lost, %d bytes", n, m.Lost(sender), used)
		}
		var lost int
		for _, f := range m.Truth() {
			for _, p := range f.Placed {
				if p.Lost {
					lost++
					if p.UID != 0 || f.Has(p.Kind, p.Recipient) {
						t.Errorf("a lost mail was placed: %+v", p)
					}
				}
			}
		}
		if lost != m.Lost(sender) {
			t.Errorf("the truth counts %d lost, the mailbox %d", lost, m.Lost(sender))
		}
		c := login(t, b, m.Accounts()[0])
		var e *imap.Error
		raw := strings.Repeat("x", 30_000)
		cmd := c.Append("INBOX", int64(len(raw)), nil)
		if _, err := io.WriteString(cmd, raw); err != nil {
			t.Fatal(err)
		}
		cmd.Close()
		if _, err := cmd.Wait(); !errors.As(err, &e) || e.Code != imap.ResponseCodeOverQuota {
			t.Errorf("APPEND: %v", err)
		}
		if _, err := c.Select("INBOX", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Copy(imap.SeqSet{{Start: 1, Stop: 0}}, "INBOX").Wait(); !errors.As(err, &e) || e.Code != imap.ResponseCodeOverQuota {
			t.Errorf("COPY: %v", err)
		}
	})
	life(func(b *lab.Bench, m *Mock) {
		if again, _ := m.Used(sender); again != used || m.Lost(sender) == 0 {
			t.Errorf("after a restart %d bytes (were %d), %d lost", again, used, m.Lost(sender))
		}
		c := login(t, b, m.Accounts()[0])
		if _, err := c.Select("INBOX", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		if err := c.Store(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}, nil).Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Expunge().Close(); err != nil {
			t.Fatal(err)
		}
		if left, _ := m.Used(sender); left != 0 {
			t.Errorf("%d bytes in an empty mailbox", left)
		}
		lost := m.Lost(sender)
		send(t, b, m, "later@x", "rossi@pec.cittadini.test")
		b.Advance(time.Minute)
		if m.Lost(sender) != lost {
			t.Error("there was room")
		}
	})
}

// TestTheLineKeepsCommandsApart: what the mock answers itself must not disturb what the library answers.
func TestTheLineKeepsCommandsApart(t *testing.T) {
	b, m := bench(t)
	a := m.Accounts()[0]
	talk := func(conn net.Conn, script string) string {
		if _, err := io.WriteString(conn, script); err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(conn) // the server ends it
		return string(out)
	}
	dialTLS := func() net.Conn {
		conn, err := tls.Dial("tcp", b.Endpoint("pec", "imaps"), b.CA().ClientTLS())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	literal := fmt.Sprintf("a3 APPEND INBOX {%d+}\r\nx GETQUOTAROOT INBOX\r\n\r\n\r\n", len("x GETQUOTAROOT INBOX\r\n\r\n"))
	out := talk(dialTLS(), "a1 LOGIN "+a.User+" "+a.Password+"\r\na2 getquotaroot \"INBOX\"\r\n"+literal+"a4 GETQUOTA \"User quota\"\r\na5 NOOP\r\na6 LOGOUT\r\n")
	at := 0
	for _, want := range []string{"* OK [CAPABILITY IMAP4rev1", "a1 OK [CAPABILITY IMAP4rev1 QUOTA QUOTA=RES-STORAGE", "* QUOTAROOT \"INBOX\" \"User quota\"", "a2 OK", "a3 OK", "* QUOTA \"User quota\" ()", "a4 OK", "a5 OK", "a6 OK"} {
		i := strings.Index(out[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing or out of order:\n%s", want, out)
		}
		at += i + len(want)
	}
	if strings.Contains(out, "x OK") || strings.Contains(out, "x BAD") {
		t.Errorf("a literal was read as a command:\n%s", out)
	}
	for name, tc := range map[string]struct{ script, want string }{
		"no quota before the login":        {"a1 GETQUOTAROOT INBOX\r\n", "a1 BAD"},
		"no second starttls":               {"a1 STARTTLS\r\na2 LOGOUT\r\n", "a1 "},
		"capability after a login tells":   {"a1 LOGIN " + a.User + " " + a.Password + "\r\na2 CAPABILITY\r\na3 LOGOUT\r\n", "* CAPABILITY IMAP4rev1 QUOTA"},
		"a tag alone is no command":        {"a1\r\n", "* OK"},
		"an endless line ends the session": {strings.Repeat("a", 2*maxLine) + "\r\n", "* OK"},
	} {
		t.Run(name, func(t *testing.T) {
			if out := talk(dialTLS(), tc.script); !strings.Contains(out, tc.want) {
				t.Errorf("%q is not in\n%s", tc.want, out)
			}
		})
	}
	t.Run("in clear nobody logs in", func(t *testing.T) {
		conn, err := net.Dial("tcp", b.Endpoint("pec", "imap"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		out := talk(conn, "a1 LOGIN "+a.User+" "+a.Password+"\r\na2 CAPABILITY\r\na3 LOGOUT\r\n")
		if !strings.Contains(out, "STARTTLS LOGINDISABLED") || strings.Contains(out, "AUTH=") || !strings.Contains(out, "a1 NO [PRIVACYREQUIRED]") {
			t.Errorf("in clear:\n%s", out)
		}
	})
	t.Run("nothing is smuggled in before the handshake", func(t *testing.T) {
		conn, err := net.Dial("tcp", b.Endpoint("pec", "imap"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if out := talk(conn, "a1 STARTTLS\r\na2 NOOP\r\n"); strings.Contains(out, "a2") {
			t.Errorf("the smuggled command was answered:\n%s", out)
		}
	})
}

func TestAProfileIsTheHousesManner(t *testing.T) {
	for _, p := range Profiles() {
		t.Run("profile "+p.Name, func(t *testing.T) {
			t.Parallel()
			b, m := bench(t, WithProfile(p.Name))
			for i, local := range []string{"rossi", "nodest", "timeout24"} {
				send(t, b, m, fmt.Sprintf("%d@x", i), local+"@pec.cittadini.test")
				b.Advance(48 * time.Hour)
			}
			box := m.Accounts()[0]
			var notices []string
			for i, x := range mailsOf(t, b, box) {
				r := open(t, x.raw)
				for _, s := range m.Accepted() {
					if s.MessageID == r.cert.Dati.MsgID {
						if why := judge(t, m, x, s, false); why != "" {
							t.Errorf("receipt %d does not count: %s", i, why)
						}
					}
				}
				if sha1 := strings.Contains(string(x.raw), "sha1"); sha1 != (p.Certificate == SHA1) {
					t.Errorf("receipt %d: SHA-1 %t", i, sha1)
				}
				if r.cert.Tipo == "preavviso-errore-consegna" {
					notices = append(notices, r.cert.Errore+" "+r.cert.Dati.Esteso[:5])
				}
				if r.cert.Tipo == "errore-consegna" && (r.cert.Errore == "altro") != p.Quirks.OldNoDest {
					t.Errorf("no such mailbox is %q", r.cert.Errore)
				}
			}
			id := m.Accepted()[0].Identificativo
			want := map[string]string{
				"": "mock1.20261121", "aruba-2023": "opec21010.20261121", "aruba-2026": "jpec21010.20261121", "poste-2012": "E82D2026.",
				"namirial": "mock1.", "legalmail": "mock1.", "dovecot": "mock1.",
			}
			if !strings.HasPrefix(id, want[p.Name]) || !strings.HasSuffix(id, "@gestore-uno.test") {
				t.Errorf("identificativo %q", id)
			}
			wantNotices := map[string]string{"namirial": "altro 5.4.1; altro 5.4.1", "poste-2012": "nessuno 4.4.7; nessuno 5.4.1"}[p.Name]
			if wantNotices == "" {
				wantNotices = "altro 4.4.7; altro 5.4.1"
			}
			if got := strings.Join(notices, "; "); got != wantNotices {
				t.Errorf("notices %q, want %q", got, wantNotices)
			}
			if _, quota := m.Used(box.Address); quota != p.Quota {
				t.Errorf("quota %d, want %d", quota, p.Quota)
			}
		})
	}
}

func TestLegalmailTakesSixAMinute(t *testing.T) {
	b, m := bench(t, WithProfile("legalmail"))
	c := dial(t, b, m)
	to := []string{"rossi@pec.cittadini.test"}
	var codes []string
	for i := range 8 {
		err := submit(c, sender, to, text(fmt.Sprintf("%d@x", i), to))
		codes = append(codes, fmt.Sprint(codeOf(err)))
		if err != nil {
			if !strings.Contains(err.Error(), "Class Of Service") {
				t.Errorf("%v", err)
			}
			if err := c.Reset(); err != nil {
				t.Fatal(err)
			}
		}
		if i == 6 {
			b.Advance(time.Minute)
		}
	}
	if got := strings.Join(codes, " "); got != "250 250 250 250 250 250 550 250" {
		t.Errorf("replies %s", got)
	}
}

func TestAPoolOfMailboxesStandsAndIsNotMixedUp(t *testing.T) {
	b, m := bench(t, WithAccounts(120))
	pool := m.Accounts()[4:]
	if len(pool) != 120 {
		t.Fatalf("%d mailboxes", len(pool))
	}
	for i, a := range []Account{pool[0], pool[60], pool[119]} {
		c, err := smtp.DialTLS(b.Endpoint("pec", "smtps"), b.CA().ClientTLS())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Auth(sasl.NewPlainClient("", a.User, a.Password)); err != nil {
			t.Fatal(err)
		}
		to := []string{"rossi@pec.cittadini.test"}
		if err := submit(c, a.Address, to, strings.Replace(text(fmt.Sprintf("%d@x", i), to), "From: "+sender, "From: "+a.Address, 1)); err != nil {
			t.Fatal(err)
		}
		b.Advance(time.Minute)
		if got := inboxOf(t, b, a); len(got) != 2 || open(t, got[0]).cert.Intestazione.Mittente != a.Address {
			t.Errorf("%s holds %d", a.Name, len(got))
		}
	}
}

func TestIdleLagsWhereTheHouseDoes(t *testing.T) {
	b, m := bench(t, WithProfile("dovecot"))
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
	if err := c.Login(m.Accounts()[0].User, m.Accounts()[0].Password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	for len(heard) > 0 { // what SELECT itself told
		<-heard
	}
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	n := <-heard
	if took := time.Since(start); n != 1 || took < 400*time.Millisecond {
		t.Errorf("heard of %d after %s", n, took)
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
}
