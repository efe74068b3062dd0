package pec

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

const attached = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b1\"\r\n\r\npreamble\r\n--b1\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n\r\nIn allegato.\r\n" +
	"--b1\r\nContent-Type: application/pdf; name=\"atto.pdf\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"atto.pdf\"\r\n\r\nSGVs\r\nbG8=\r\n" +
	"--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: dentro\r\n\r\ncorpo\r\n" +
	"--b1\r\nContent-Type: application/pkcs7-mime; name=smime.p7m\r\n\r\nwhole\r\n" +
	"--b1\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nfirma\r\n--b1--\r\nepilogue\r\n"

func TestBreveReplacesAttachmentsByTheirHash(t *testing.T) {
	hash := func(s string) string { sum := sha1.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	for name, tc := range map[string]struct {
		encoded bool
		pdf     string
	}{"decoded": {false, hash("Hello")}, "encoded": {true, hash("SGVs\r\nbG8=")}} {
		t.Run(name, func(t *testing.T) {
			raw := []byte("Subject: x\r\n" + attached)
			got := string(shorten(raw, tc.encoded))
			for _, want := range []string{
				"\r\n\r\npreamble\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nIn allegato.\r\n--b1\r\n",
				`filename="atto.pdf.hash"` + "\r\n\r\n" + tc.pdf + "\r\n",
				`filename="messaggio.eml.hash"` + "\r\n\r\n" + hash("Subject: dentro\r\n\r\ncorpo") + "\r\n",
				"\r\n\r\nwhole\r\n", "\r\n\r\nfirma\r\n--b1--\r\nepilogue\r\n",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("lacks %q:\n%s", want, got)
				}
			}
			for _, gone := range []string{"SGVs", "corpo"} {
				if strings.Contains(got, gone) {
					t.Errorf("still holds %q", gone)
				}
			}
		})
	}
}

func TestTheReceiptAskedForIsTheReceiptSent(t *testing.T) {
	const to, cc = "rossi@pec.cittadini.test", "bianchi@pec.studi.test"
	for _, tc := range []struct{ asked, to, cc string }{
		{"", "completa", "sintetica"},
		{"X-TipoRicevuta: completa", "completa", "sintetica"},
		{"X-TipoRicevuta: BREVE", "breve", "sintetica"},
		{"x-tiporicevuta: sintetica", "sintetica", "sintetica"},
		{"X-TipoRicevuta: altro", "completa", "sintetica"},
	} {
		t.Run(tc.asked, func(t *testing.T) {
			b, m := bench(t)
			extra := []string{"Cc: " + cc}
			if tc.asked != "" {
				extra = append(extra, tc.asked)
			}
			if err := submit(dial(t, b, m), sender, []string{to, cc}, text("a@x", []string{to}, extra...)); err != nil {
				t.Fatal(err)
			}
			b.Advance(time.Minute)
			got := make(map[string]string)
			for _, raw := range inboxOf(t, b, m.Accounts()[0])[1:] {
				r := open(t, raw)
				got[r.cert.Dati.Consegna] = r.cert.Dati.Ricevuta.Tipo
				if has := r.original != nil; has == (r.cert.Dati.Ricevuta.Tipo == "sintetica") {
					t.Errorf("%s with postacert.eml: %t", r.cert.Dati.Ricevuta.Tipo, has)
				}
			}
			if got[to] != tc.to || got[cc] != tc.cc {
				t.Errorf("receipts %v, want %s and %s", got, tc.to, tc.cc)
			}
		})
	}
}

func TestAReadableRecipientGetsTheEnvelope(t *testing.T) {
	b, m := bench(t)
	studio := m.Accounts()[3]
	send(t, b, m, "a@x", studio.Address)
	b.Advance(time.Minute)
	all := inboxOf(t, b, studio)
	if len(all) != 1 {
		t.Fatalf("the recipient has %d messages", len(all))
	}
	r := open(t, all[0])
	id := m.Accepted()[0].Identificativo
	if r.cert.Tipo != "posta-certificata" || r.header.Get("X-Trasporto") != "posta-certificata" || r.header.Get("Message-Id") != "<"+id+">" ||
		r.header.Get("Reply-To") != sender || !strings.Contains(r.header.Get("From"), "Per conto di: "+sender) {
		t.Errorf("not a transport envelope: %v", r.header)
	}
	if err := opensslVerify(t, all[0], m.RootsPEM()); err != nil {
		t.Error(err)
	}
}

func TestWhatTheClientLeavesOutStaysOut(t *testing.T) {
	b, m := bench(t)
	to := []string{"rossi@pec.cittadini.test"}
	raw := strings.Replace(text("a@x", to), "Message-ID: <a@x>\r\n", "", 1)
	if err := submit(dial(t, b, m), sender, to, raw); err != nil {
		t.Fatal(err)
	}
	msg := inboxOf(t, b, m.Accounts()[0])[0]
	r := open(t, msg)
	if bytes.Contains(r.xml, []byte("<msgid>")) || r.header.Get("X-Riferimento-Message-Id") != "" {
		t.Error("a Message-ID came from nowhere")
	}
}

func TestDatesAreRomes(t *testing.T) {
	for _, tc := range []struct{ now, zone, ora string }{
		{"2026-11-21T08:00:00Z", "+0100", "09:00:00"},
		{"2026-07-01T08:00:00Z", "+0200", "10:00:00"},
		{"2026-10-25T00:59:59Z", "+0200", "02:59:59"}, // the hour that comes twice
		{"2026-10-25T01:00:00Z", "+0100", "02:00:00"},
	} {
		t.Run(tc.now, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tc.now)
			if err != nil {
				t.Fatal(err)
			}
			b, err := lab.New(lab.Options{Clock: lab.NewClock(at), Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			m := New()
			if err := b.Attach(m); err != nil {
				t.Fatal(err)
			}
			send(t, b, m, "a@x", "rossi@pec.cittadini.test")
			d := open(t, inboxOf(t, b, m.Accounts()[0])[0]).cert.Dati.Data
			if d.Zona != tc.zone || d.Ora != tc.ora {
				t.Errorf("%s %s, want %s %s", d.Ora, d.Zona, tc.ora, tc.zone)
			}
		})
	}
}

func TestHandsOnMail(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	b.Advance(time.Minute)
	id := m.Accepted()[0].Identificativo
	if err := m.Issue(Extra{Identificativo: id, Kind: DeliveryError, Recipient: "rossi@pec.cittadini.test", Reason: Other, Code: "5.2.2", Text: "casella piena"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Issue(Extra{Identificativo: id, Kind: Acceptance, As: "mock1.20261121090000.99999@gestore-uno.test"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Put(sender, "INBOX", []byte("Subject: pubblicità\n\nciao\n")); err != nil {
		t.Fatal(err)
	}
	all := inboxOf(t, b, m.Accounts()[0])
	late, second := open(t, all[2]), open(t, all[3])
	if late.cert.Tipo != "errore-consegna" || late.cert.Dati.Esteso != "5.2.2 - Gestore Due S.p.A. - casella piena" {
		t.Errorf("the error after the delivery: %+v", late.cert)
	}
	if second.cert.Tipo != "accettazione" || second.cert.Dati.Identificativo == id {
		t.Errorf("the second acceptance: %+v", second.cert)
	}
	if string(all[4]) != "Subject: pubblicità\r\n\r\nciao\r\n" {
		t.Errorf("the foreign mail: %q", all[4])
	}
	for name, err := range map[string]error{
		"no such message":    m.Issue(Extra{Identificativo: "x", Kind: Acceptance}),
		"not a receipt":      m.Issue(Extra{Identificativo: id, Kind: Transport}),
		"no such folder":     m.Put(sender, "Altrove", nil),
		"nobody's mailbox":   m.DeliverAnomaly("chi@posta.test", nil),
		"no folder to bump":  m.BumpUIDValidity(sender, "Altrove"),
		"outside the domain": lab.Start(t).Attach(New(WithAccount(Account{Name: "x", Address: "x@posta.test"}))),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLimitsRefuseRatherThanForget(t *testing.T) {
	for name, l := range map[string]Limits{"messages": {MaxAccepted: 1}, "log": {MaxLog: 200_000}} {
		t.Run(name, func(t *testing.T) {
			b, m := bench(t, WithLimits(l))
			c := dial(t, b, m)
			to := []string{"never@pec.cittadini.test"}
			taken := 0
			var refused *smtp.SMTPError
			for i := range 20 {
				err := submit(c, sender, to, text(fmt.Sprintf("%d@x", i), to))
				if err != nil {
					asSMTP(err, &refused)
					break
				}
				taken++
			}
			if refused == nil || refused.Code != 452 || len(m.Accepted()) != taken {
				t.Errorf("%d taken, %d remembered, then %v", taken, len(m.Accepted()), refused)
			}
		})
	}
}

func TestATornTailIsCutOff(t *testing.T) {
	dir, clock := t.TempDir(), lab.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
	life := func(n int) {
		b, err := lab.New(lab.Options{Clock: clock, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		m := New()
		if err := b.Attach(m); err != nil {
			t.Fatal(err)
		}
		send(t, b, m, fmt.Sprintf("%d@x", n), "never@pec.cittadini.test")
		if got := len(m.Accepted()); got != n {
			t.Errorf("life %d remembers %d messages", n, got)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	life(1)
	file := filepath.Join(dir, "pec", "mail.log")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(whole, whole[:100]...), 0o600); err != nil { // the start of a record that was not finished
		t.Fatal(err)
	}
	life(2)
	life(3)
}

func FuzzSubmittedMessage(f *testing.F) {
	f.Add([]byte(text("a@x", []string{"rossi@pec.cittadini.test"})))
	f.Add([]byte("From: " + sender + "\r\nTo: rossi@pec.cittadini.test\r\n" + attached))
	f.Add([]byte("\n\n\r--"))
	zone := rome()
	f.Fuzz(func(t *testing.T, raw []byte) {
		canon := canonical(raw)
		if !bytes.Equal(canonical(canon), canon) {
			t.Error("canonical form is not stable")
		}
		h, body := splitMessage(canon)
		if len(body) > len(canon) {
			t.Error("the body grew")
		}
		_, _ = check(sender, sender, []string{"rossi@pec.cittadini.test"}, h, body, int64(len(raw)), DefaultLimits())
		s := &submission{
			ID: "mock1.x.1@gestore-uno.test", Account: sender, MessageID: h.get("Message-ID"), Subject: decoded(h.get("Subject")),
			Recipients: []recipient{{Address: "rossi@pec.cittadini.test"}},
		}
		sent := transported(s, canon, zone)
		if after, _ := splitMessage(sent); after.get("Message-ID") != "<"+s.ID+">" {
			t.Errorf("Message-ID %q", after.get("Message-ID"))
		}
		_ = shorten(sent, true)
		d := document{kind: Acceptance, reason: NoError, issuer: providers()[0], at: time.Unix(0, 0), message: s}
		if bytes.ContainsAny(d.daticert(false), "\x00") {
			t.Error("a NUL reached the XML")
		}
		for line := range strings.SplitSeq(foldedWords(s.Subject), "\r\n") {
			if strings.ContainsAny(line, "\r\n") {
				t.Error("a line end in a subject")
			}
		}
	})
}
