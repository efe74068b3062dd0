package pec

import (
	"bytes"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/mocks/lab"
)

// Certificates are judged by the instant at which the message came into the mailbox, whenever it is read, and by the
// present where the server does not tell.
func TestCertificatesAreJudgedByTheInstantOfArrival(t *testing.T) {
	raw, later := receiptOf(tipoConsegna).seal(t, usual()), seenAt.AddDate(2, 0, 0) // when the certificate has ended
	for _, tc := range []struct {
		name          string
		received, now time.Time
		want          Verdict
	}{
		{"it came in time and is read late", seenAt, later, Valid},
		{"it came late", later, later, ValidAtSigning},
		{"nobody knows when it came", time.Time{}, later, ValidAtSigning},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := office(usual()).read(raw, tc.received, tc.now).receipt
			if got.Verdict() != tc.want || !got.Evidence.Counts || !got.Evidence.SeenAt.Equal(tc.now) {
				t.Errorf("%s (%s), seen %v, want %s", got.Verdict(), got.Doubt, got.Evidence.SeenAt, tc.want)
			}
		})
	}
}

// The certificate's address is the sender's in whatever letters, and one of several is enough.
func TestTheSignersAddressIsComparedWithoutRegardToCase(t *testing.T) {
	l := receiptOf(tipoConsegna)
	l.from = strings.ToUpper(signing)
	if got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt).receipt; got.Verdict() != Valid || got.Evidence.Signer != signing {
		t.Errorf("in capitals: %s (%s) signed by %q", got.Verdict(), got.Doubt, got.Evidence.Signer)
	}
	two := newHouse(t, func(c *x509.Certificate) {
		c.EmailAddresses = []string{"posta-certificata@gestore-due.test", "Posta-Certificata@gestore-uno.test"}
	})
	if got := office(two).read(receiptOf(tipoConsegna).seal(t, two), seenAt, seenAt).receipt; got.Verdict() != Valid || !strings.EqualFold(got.Evidence.Signer, signing) {
		t.Errorf("the second of two: %s (%s) signed by %q", got.Verdict(), got.Doubt, got.Evidence.Signer)
	}
	l.from = "x." + signing
	if got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt).receipt; got.Verdict() != UntrustedChain || got.Doubt != "SIGNER_ADDRESS" {
		t.Errorf("another one: %s (%s)", got.Verdict(), got.Doubt)
	}
}

// Neither lists of revoked certificates nor OCSP are asked for, whatever a certificate names: reading receipts waits for
// nobody.
func TestNobodyIsAskedAboutRevocation(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan bool, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_ = c.Close()
		}
		asked <- err == nil
	}()
	h := newHouse(t, func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{"http://" + l.Addr().String() + "/crl"}
		c.OCSPServer = []string{"http://" + l.Addr().String() + "/ocsp"}
		c.IssuingCertificateURL = []string{"http://" + l.Addr().String() + "/ca"}
	})
	if got := office(h).read(receiptOf(tipoConsegna).seal(t, h), seenAt, seenAt).receipt; got.Verdict() != Valid {
		t.Errorf("%s (%s)", got.Verdict(), got.Doubt)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if <-asked {
		t.Error("the certificate's addresses were visited")
	}
}

// A message is signed in two parts, no more and no less.
func TestASignedMessageHasTwoParts(t *testing.T) {
	const end = "------=_Part--\r\n"
	sealed := string(receiptOf(tipoConsegna).seal(t, usual()))
	at := strings.LastIndex(sealed, "------=_Part\r\n")
	for name, raw := range map[string]string{
		"one":   sealed[:at] + end,
		"three": strings.Replace(sealed, end, "------=_Part\r\n\r\nciao\r\n"+end, 1),
		"none":  sealed[:strings.Index(sealed, "------=_Part\r\n")] + end,
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, judged(t, []byte(raw)), KindAnomaly, string(unreadableMIME), Malformed)
		})
	}
	wants(t, judged(t, []byte(sealed)), "pec.avvenuta-consegna", "", Valid)
}

// What lay in the mailbox is archived as it lay there, whatever bytes it is made of: every byte counts for the signature,
// and nobody else has it.
func TestMessagesAreArchivedByteForByte(t *testing.T) {
	w := newWorld(t, nil)
	sealed := receiptOf(tipoConsegna).seal(t, usual())
	for name, raw := range map[string][]byte{
		"a receipt":              sealed,
		"blanks at ends":         bytes.Replace(sealed, []byte("MIME-Version: 1.0\r\n"), []byte("MIME-Version: 1.0 \t \r\n"), 1),
		"headers of 8 bits":      bytes.Replace(sealed, []byte("Prova"), []byte("\xe8\xff\xc3"), 1),
		"lines of a dot":         append(bytes.Clone(sealed), ".\r\n..\r\n"...),
		"lines without end":      append(bytes.Clone(sealed), strings.Repeat("x", 5000)+"\r\n"...),
		"blank lines at the end": append(bytes.Clone(sealed), "\r\n\r\n\r\n"...),
	} {
		_, at := w.drain(t, nil)
		if err := w.mock.Put(w.box.Address, "INBOX", raw); err != nil {
			t.Fatal(err)
		}
		all, _ := w.drain(t, at)
		if len(all) != 1 || len(all[0].Raw) != 1 || !bytes.Equal(all[0].Raw[0], raw) || all[0].Proof[0] != contracts.SumOf(raw) {
			t.Errorf("%s: %d events, or other bytes", name, len(all))
		}
	}
}

// The printed rules have misprints (pec.md section 2): what the mock emits, and so what the tests read, is the wire's.
func TestMisprintsOfTheRulesAreNotOnTheWire(t *testing.T) {
	w := newWorld(t, nil)
	m := to(w.box.Address, "timeout12.a@pec.studi.test")
	m.Subject = contracts.NewPrivate("Prova")
	w.handOver(t, m)
	w.bench.Advance(13 * time.Hour)
	if err := w.mock.DeliverAnomaly(w.box.Address, []byte("From: a@posta.test\r\n\r\nciao\r\n")); err != nil {
		t.Fatal(err)
	}
	s, err := mail.OpenSession(t.Context(), w.boxes[0].in)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Open("INBOX"); err != nil {
		t.Fatal(err)
	}
	uids, err := s.After(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, uid := range uids {
		raw, err := s.Raw(uid, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		root, err := readEntity(raw)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, root.get("subject")...) // unfolded
		for _, words := range []string{
			"\r\nX-Trasporto: posta-certificata\r\n", "\r\nX-Trasporto: errore\r\n", "Per conto di: ", "daticert.xml", "PER SUP. TEMPO MASSIMO: ",
			"On behalf of: ", "certdata.xml", "SUP.  TEMPO", "X-Transport",
		} {
			if bytes.Contains(raw, []byte(words)) {
				found[words]++
			}
		}
	}
	for words, want := range map[string]int{
		"\r\nX-Trasporto: posta-certificata\r\n": 1, "\r\nX-Trasporto: errore\r\n": 1, "daticert.xml": 4, "PER SUP. TEMPO MASSIMO: ": 1,
	} {
		if found[words] != want {
			t.Errorf("%q in %d of %d messages, want %d", words, found[words], len(uids), want)
		}
	}
	if found["Per conto di: "] < 1 {
		t.Error("nobody speaks for another")
	}
	for _, words := range []string{"On behalf of: ", "certdata.xml", "SUP.  TEMPO", "X-Transport"} {
		if found[words] > 0 {
			t.Errorf("%q is on the wire", words)
		}
	}
}

func (w *world) handOver(t *testing.T, m delivery.Message) {
	t.Helper()
	if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), m); err != nil {
		t.Fatal(err)
	}
}

// A receipt that returns forty megabytes is believed, and its bytes go to the archive and not through the event.
func TestAHugeReceiptIsBelievedAndArchived(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB")
	}
	w := newWorld(t, func(c *Config, _ *lab.Bench) { c.MaxReceipt = 64 << 20 })
	w.handOver(t, to("huge.a@pec.cittadini.test"))
	w.bench.Advance(time.Minute)
	all, _ := w.drain(t, nil)
	if kinds(all) != "accettazione avvenuta-consegna" {
		t.Fatalf("told %s", kinds(all))
	}
	e := all[1]
	if r := data(t, e); r.Verdict() != Valid || !r.Evidence.Counts || r.Returns < 40_000_000 {
		t.Errorf("%s (%s), returns %d bytes", r.Verdict(), r.Doubt, r.Returns)
	}
	if len(e.Raw) != 0 || len(e.Proof) != 1 || len(e.Data) > 10_000 {
		t.Errorf("%d raw, %d proofs, %d bytes of data", len(e.Raw), len(e.Proof), len(e.Data))
	}
	for _, b := range w.kept {
		if contracts.SumOf(b) == e.Proof[0] && len(b) > 40_000_000 {
			return
		}
	}
	t.Error("it is not in the archive")
}
