package pec

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// reference reads one of the samples that are not part of the repository.
func reference(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(referencePath(name))
	if err != nil {
		t.Skip("no reference samples here: set RACCORDO_SHARED to the folder that holds reference/pec")
	}
	return b
}

func referencePath(name string) string {
	root := os.Getenv("RACCORDO_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	return filepath.Join(root, "reference", "pec", name)
}

func TestReferenceDocuments(t *testing.T) {
	rome := time.FixedZone("", 3600)
	at := func(day, hour, minute, second int) time.Time {
		return time.Date(2026, 11, day, hour, minute, second, 0, rome)
	}
	const (
		id         = "mock1.20261121103000.00042@gestore-uno.test"
		msgid      = "h1.abcdefghijklmnopqrstuvwxyz.1@pec.ente.test"
		protocollo = "protocollo@pec.azienda.test"
		studio     = "studio@pec.altro.test"
	)
	for _, tc := range []struct {
		file, tipo, errore, form, about, reason, code string
		recipients                                    int
		external                                      int
		at                                            time.Time
	}{
		{file: "accettazione", tipo: tipoAccettazione, recipients: 3, external: 1, at: at(21, 10, 30, 0)},
		{file: "non-accettazione-altro", tipo: tipoRifiuto, errore: "altro", recipients: 2, at: at(21, 10, 30, 0), reason: delivery.ReasonOther, code: "5.6.0"},
		{file: "non-accettazione-virus", tipo: tipoRifiuto, errore: "virus", recipients: 2, at: at(21, 10, 30, 1), reason: delivery.ReasonVirus, code: "5.7.1"},
		{file: "presa-in-carico", tipo: tipoPresaInCarico, recipients: 3, external: 1, at: at(21, 10, 30, 2)},
		{file: "avvenuta-consegna-completa", tipo: tipoConsegna, form: formComplete, about: protocollo, recipients: 3, external: 1, at: at(21, 10, 30, 3)},
		{file: "avvenuta-consegna-breve", tipo: tipoConsegna, form: formBrief, about: protocollo, recipients: 3, external: 1, at: at(21, 10, 30, 3)},
		{file: "avvenuta-consegna-sintetica", tipo: tipoConsegna, form: formShort, about: protocollo, recipients: 3, external: 1, at: at(21, 10, 30, 3)},
		{file: "errore-consegna-altro", tipo: tipoErrore, errore: "altro", about: studio, recipients: 1, at: at(21, 10, 30, 4), reason: delivery.ReasonUnknownMailbox, code: "5.1.1"},
		{file: "errore-consegna-no-dest", tipo: tipoErrore, errore: "no-dest", about: studio, recipients: 1, at: at(21, 10, 30, 4), reason: delivery.ReasonUnknownMailbox, code: "5.1.1"},
		{file: "errore-consegna-no-dominio", tipo: tipoErrore, errore: "no-dominio", about: studio, recipients: 2, at: at(21, 10, 30, 5), reason: delivery.ReasonUnknownDomain, code: "5.1.2"},
		{file: "errore-consegna-casella-piena", tipo: tipoErrore, errore: "altro", about: studio, recipients: 2, at: at(21, 10, 30, 4), reason: delivery.ReasonMailboxFull, code: "5.2.2"},
		{file: "errore-consegna-virus", tipo: tipoErrore, errore: "virus", about: studio, recipients: 2, at: at(21, 10, 31, 0), reason: delivery.ReasonVirus, code: "5.7.1"},
		{file: "preavviso-12h", tipo: tipoPreavviso, errore: "altro", about: studio, recipients: 2, at: at(21, 22, 30, 0), reason: delivery.ReasonTimeout, code: "4.4.7"},
		{file: "preavviso-24h", tipo: tipoPreavviso, errore: "altro", about: studio, recipients: 2, at: at(22, 9, 10, 0), reason: delivery.ReasonTimeout, code: "5.4.1"},
		{file: "rilevazione-virus", tipo: tipoVirus, errore: "virus", about: studio, recipients: 2, at: at(21, 10, 30, 30), reason: delivery.ReasonVirus, code: "5.7.1"},
		{file: "posta-certificata", tipo: tipoBusta, form: formComplete, recipients: 3, external: 1, at: at(21, 10, 30, 0)},
		{file: "variante-risposte-vuote", tipo: tipoAccettazione, recipients: 1, at: at(21, 10, 30, 0)},
		{file: "variante-senza-msgid", tipo: tipoBusta, form: formComplete, recipients: 1, external: 1, at: at(21, 10, 30, 0)},
	} {
		t.Run(tc.file, func(t *testing.T) {
			d, err := readDaticert(reference(t, tc.file+".xml"))
			if err != nil {
				t.Fatal(err)
			}
			if tc.errore == "" {
				tc.errore = "nessuno"
			}
			wantMsgID := msgid
			if tc.file == "variante-senza-msgid" {
				wantMsgID = ""
			}
			if d.Tipo != tc.tipo || d.Errore != tc.errore || d.Ricevuta != tc.form || d.Consegna != tc.about || d.ID != id || unbracket(d.MsgID) != wantMsgID ||
				d.Mittente != "ufficio@pec.ente.test" || !d.Data.Equal(tc.at) || len(d.Destinatari) != tc.recipients {
				t.Errorf("read %+v", d)
			}
			external := 0
			for _, p := range d.Destinatari {
				if p.esterno {
					external++
				}
			}
			if external != tc.external {
				t.Errorf("%d external recipients, want %d", external, tc.external)
			}
			if reason, code := d.cause(); tc.reason != "" && (reason != tc.reason || code != tc.code) {
				t.Errorf("reason %s [%s], want %s [%s]", reason, code, tc.reason, tc.code)
			}
			if tc.tipo == tipoPresaInCarico && !slices.Equal(d.Ricezione, []string{protocollo}) {
				t.Errorf("ricezione %v", d.Ricezione)
			}
		})
	}
}

func TestReferenceDocumentOf2012(t *testing.T) {
	d, err := readDaticert(reference(t, "third-party/poste-2012-posta-certificata-daticert.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Tipo != tipoBusta || d.MsgID != "" || len(d.Destinatari) != 1 || !d.Destinatari[0].esterno || d.ID == "" {
		t.Errorf("read %+v", d)
	}
}

// TestRealReceipts reads receipts of 2026 whose text was made anonymous: certificates and signatures are real, the
// digest cannot match.
func TestRealReceipts(t *testing.T) {
	for _, tc := range []struct {
		file, tipo, about, reason, code string
	}{
		{file: "aruba-2026-accettazione.eml", tipo: tipoAccettazione},
		{file: "aruba-2026-errore-consegna.eml", tipo: tipoErrore, about: "?", reason: delivery.ReasonUnknownMailbox, code: "5.1.1"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			raw := reference(t, filepath.Join("third-party", tc.file))
			a, err := contracts.ParseAddress("mittente@pec.example")
			if err != nil {
				t.Fatal(err)
			}
			seen := time.Date(2026, 9, 19, 13, 41, 20, 0, time.UTC)
			got := (&reader{mailbox: "m", address: a, roots: x509.NewCertPool()}).read(raw, seen, seen)
			r, e := got.receipt, got.receipt.Evidence
			if got.kind != KindForeign || r.Reason != ReasonOtherUser || r.Verdict() != BadSignature || r.Tipo != tc.tipo {
				t.Fatalf("%s (%s) %s (%s) tipo %s", got.kind, r.Reason, r.Verdict(), r.Doubt, r.Tipo)
			}
			if e.Signer != "posta-certificata@pec.aruba.it" || e.ID == "" || r.MessageID == "" || !r.Sender.Equal(a) ||
				(len(e.Recipients) == 1) != (tc.tipo == tipoAccettazione) || len(e.Uncertified) != 0 || e.IssuedAt.Year() != 2026 || r.SignedAt.Year() != 2026 || r.Certificate.IsZero() {
				t.Errorf("read %+v", r)
			}
			if e.Reason != tc.reason || e.Code != tc.code || e.About.IsZero() == (tc.about != "") {
				t.Errorf("reason %s [%s], about somebody %t", e.Reason, e.Code, !e.About.IsZero())
			}
		})
	}
}

// The real authority confines its providers' certificates by name, is not critical about it, and was reissued: its chain
// holds while it lasts.
func TestRealChainHolds(t *testing.T) {
	o, _ := open(reference(t, "third-party/aruba-2026-accettazione.eml"))
	der, err := o.p7s.decoded(maxSignature)
	if err != nil {
		t.Fatal(err)
	}
	m, err := pkcs7.Parse(der)
	if err != nil || len(m.Certificates) != 2 {
		t.Fatalf("%v", err)
	}
	leaf, pool := m.GetOnlySigner(), x509.NewCertPool()
	for _, c := range m.Certificates {
		if c.IsCA { // AgID CA1
			pool.AddCert(c)
		}
	}
	at := func(year int) time.Time { return time.Date(year, 9, 20, 0, 0, 0, 0, time.UTC) }
	r := &reader{roots: pool}
	signed := proof{signedAt: at(2026)}
	for _, tc := range []struct {
		seen    time.Time
		from    string
		verdict Verdict
	}{
		{at(2026), "posta-certificata@pec.aruba.it", Valid},
		{at(2026), "Posta-Certificata@PEC.aruba.it", Valid},
		{at(2026), "posta-certificata@pec.it", UntrustedChain},
		{at(2025), "posta-certificata@pec.aruba.it", UntrustedChain},
		{at(2031), "posta-certificata@pec.aruba.it", ValidAtSigning},
	} {
		if got := r.trusted(signed, leaf, m.Certificates, tc.from, tc.seen); got.verdict != tc.verdict {
			t.Errorf("%d from %s: %s (%s), want %s", tc.seen.Year(), tc.from, got.verdict, got.doubt, tc.verdict)
		}
	}
	if !slices.ContainsFunc(leaf.PolicyIdentifiers, pecPolicy.Equal) {
		t.Error("the certificate does not name the policy of PEC")
	}
}
