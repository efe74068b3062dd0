package pec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts/delivery"
)

// TestInspectReadsRealMessages: receipts of 2026 whose text was made anonymous (certificates are real, digests cannot
// match), and a document of 2012.
func TestInspectReadsRealMessages(t *testing.T) {
	const aruba = "posta-certificata@pec.aruba.it"
	for _, tc := range []struct {
		file string
		want Inspection
		to   string
		tipo string
		of   string // consegna
	}{
		{file: "aruba-2026-accettazione.eml", to: "mittente@pec.example", tipo: "certificato", want: Inspection{
			Tipo: tipoAccettazione, Errore: "nessuno", MsgID: "<m_jQaMqbpy0CRWKphL@pec.it>", HeaderMsgID: "<m_jQaMqbpy0CRWKphL@pec.it>",
			Identificativo: "jpec13216.20260919154119.05561.4000.1.1@pec.aruba.it", Gestore: "ARUBA PEC S.p.A.", Data: "2026-09-19T15:41:19+02:00",
			Verdict: BadSignature, Signer: aruba, Reason: "SIGNATURE", Anomalies: []string{"SIGNATURE"},
		}},
		{file: "aruba-2026-errore-consegna.eml", to: "collaudo-inesistente-7k2q9@pec.it", tipo: "certificato", of: "collaudo-inesistente-7k2q9@pec.it", want: Inspection{
			Tipo: tipoErrore, Errore: "altro", MsgID: "<m_Xbftyw1I-LSDVCM3@pec.it>", HeaderMsgID: "<m_Xbftyw1I-LSDVCM3@pec.it>",
			Identificativo: "jpec13216.20260919154120.06118.4003.1.1@pec.aruba.it", Gestore: "ARUBA PEC S.p.A.", Data: "2026-09-19T15:41:20+02:00",
			Verdict: BadSignature, Signer: aruba, Reason: delivery.ReasonUnknownMailbox, Anomalies: []string{"SIGNATURE"},
		}},
		{file: "poste-2012-posta-certificata-daticert.xml", to: "java@gcc.gnu.org", tipo: "esterno", want: Inspection{
			Tipo: tipoBusta, Errore: "nessuno", Identificativo: "E82D9D8F.000073B6.E8F90950.8520A581.posta-certificata@postecert.it",
			Gestore: "POSTECOM S.P.A. - GRUPPO POSTE ITALIANE", Data: "2012-09-21T15:16:38+02:00", Ricevuta: formComplete,
			Verdict: Unsigned, Reason: reasonBare, Anomalies: []string{reasonBare},
		}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			raw := reference(t, filepath.Join("third-party", tc.file))
			for name, file := range map[string][]byte{"as it is": raw, "with bare line feeds": bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))} {
				got := Inspect(file, nil, time.Date(2026, 9, 20, 0, 0, 0, 0, time.UTC))
				if len(got.Destinatari) != 1 || got.Destinatari[0].Address.Reveal() != tc.to || got.Destinatari[0].Tipo != tc.tipo || got.Consegna.Reveal() != tc.of {
					t.Errorf("%s: recipients %s", name, asJSON(t, got))
				}
				if !strings.HasPrefix(tc.file, "poste") && got.Mittente.Reveal() != "mittente@pec.example" {
					t.Errorf("%s: mittente %s", name, asJSON(t, got))
				}
				got.Destinatari, tc.want.Destinatari = nil, nil
				got.Mittente, got.Consegna = tc.want.Mittente, tc.want.Consegna
				if a, b := asJSON(t, got), asJSON(t, tc.want); a != b {
					t.Errorf("%s:\n%s\nwant\n%s", name, a, b)
				}
			}
		})
	}
}

func asJSON(t *testing.T, i Inspection) string {
	t.Helper()
	b, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestInspectReadsEveryReferenceDocument: a document alone is told in full and is never believed.
func TestInspectReadsEveryReferenceDocument(t *testing.T) {
	reference(t, "accettazione.xml")
	files, err := filepath.Glob(filepath.Join(filepath.Dir(referencePath("x")), "*.xml"))
	if err != nil || len(files) < 17 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := Inspect(raw, usual().pool, seenAt)
		if got.Verdict != Unsigned || got.Believed() || got.Identificativo != "mock1.20261121103000.00042@gestore-uno.test" || len(got.Destinatari) == 0 ||
			got.Mittente.Reveal() != "ufficio@pec.ente.test" || got.Gestore == "" || !slices.Contains(got.Anomalies, reasonBare) || got.Data[:10] < "2026-11-21" {
			t.Errorf("%s: %s", filepath.Base(file), asJSON(t, got))
		}
		seen[got.Tipo] = true
	}
	if len(seen) != len(tipi) {
		t.Errorf("types %v", seen)
	}
}

func TestInspectTellsWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name      string
		raw       []byte
		verdict   Verdict
		reason    string
		anomalies []string
		believed  bool
	}{
		{name: "a delivery", raw: receiptOf(tipoConsegna).seal(t, usual()), verdict: Valid, believed: true},
		{name: "a delivery out of an mbox", raw: append([]byte("From x@y.test Sat Nov 21 10:30:00 2026\n"), receiptOf(tipoConsegna).seal(t, usual())...), verdict: Valid, believed: true},
		{name: "a header of another kind", raw: forged(t, receiptOf(tipoConsegna), nil, swapped("X-Ricevuta: avvenuta", "X-Ricevuta: non-avvenuta")), verdict: Valid, reason: ReasonMismatch, anomalies: []string{ReasonMismatch}},
		{name: "another type of document", raw: sealedWith(t, strings.Replace(xmlOf(tipoAccettazione, forgedID), tipoAccettazione, "boh", 1)), verdict: Valid, reason: string(unreadableTipo), anomalies: []string{string(unreadableTipo)}},
		{name: "ordinary mail", raw: []byte("From: a@b.test\r\n\r\nciao\r\n"), verdict: Unsigned, reason: ReasonOrdinary, anomalies: []string{ReasonOrdinary, "NO_SIGNATURE"}},
		{name: "an anomaly envelope", raw: []byte("X-Trasporto: errore\r\n\r\nciao\r\n"), verdict: Unsigned, reason: ReasonAnomalyEnv, anomalies: []string{ReasonAnomalyEnv, "NO_SIGNATURE"}},
		{name: "nothing", raw: nil, verdict: Unsigned, reason: ReasonOrdinary, anomalies: []string{ReasonOrdinary, "NO_SIGNATURE"}},
		{name: "no mail", raw: []byte("ciao\r\n"), verdict: Malformed, reason: string(unreadableMIME), anomalies: []string{string(unreadableMIME), "STRUCTURE"}},
		{name: "a document that is none", raw: []byte("<html></html>"), verdict: Malformed, reason: string(unreadableXML), anomalies: []string{string(unreadableXML), reasonBare}},
		{name: "a document with entities", raw: []byte(`<!DOCTYPE a [<!ENTITY b "c">]><postacert/>`), verdict: Malformed, reason: string(unreadableEntity), anomalies: []string{string(unreadableEntity), reasonBare}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Inspect(tc.raw, usual().pool, seenAt)
			if got.Verdict != tc.verdict || got.Reason != tc.reason || !slices.Equal(got.Anomalies, tc.anomalies) || got.Believed() != tc.believed {
				t.Errorf("%s", asJSON(t, got))
			}
			if text := asJSON(t, got); !strings.Contains(text, `"destinatari":[`) || !strings.Contains(text, `"anomalies":[`) {
				t.Errorf("a list is null: %s", text)
			}
			if printed := fmt.Sprintf("%+v", got); strings.Contains(printed, "@pec.azienda") {
				t.Errorf("printed: %s", printed)
			}
		})
	}
}

// Without an instant certificates are judged as of now, and without roots nobody is believed.
func TestInspectDefaults(t *testing.T) {
	raw := receiptOf(tipoConsegna).seal(t, usual())
	if got := Inspect(raw, usual().pool, time.Time{}); got.Verdict != Valid {
		t.Errorf("%s", asJSON(t, got))
	}
	if got := Inspect(raw, nil, time.Time{}); got.Verdict != UntrustedChain || got.Reason != "NO_ROOTS" || got.Signer != signing {
		t.Errorf("%s", asJSON(t, got))
	}
}
