package pec

import (
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

const forgedTicket = "abcdefghijklmnopqrstuvwxyz"

// TestCatalogue reads every kind of certified message (pec.md section 2): header, subject and document as they go together.
func TestCatalogue(t *testing.T) {
	for _, tc := range []struct {
		name    string
		headers string
		prefix  string
		tipo    string
		errore  string
		esteso  string
		kind    contracts.EvidenceKind
		reason  string
		event   string // other than the tipo's
		ref     string
	}{
		{name: "acceptance", headers: "X-Ricevuta: accettazione", prefix: "ACCETTAZIONE:", tipo: tipoAccettazione, errore: "nessuno", kind: contracts.SubmissionAcceptance},
		{name: "non-acceptance for form", headers: "X-Ricevuta: non-accettazione", prefix: "AVVISO DI NON ACCETTAZIONE:", tipo: tipoRifiuto, errore: "altro", kind: contracts.SubmissionRejection, reason: delivery.ReasonOther},
		{name: "non-acceptance for a virus", headers: "X-Ricevuta: non-accettazione\r\nX-VerificaSicurezza: errore", prefix: "AVVISO DI NON ACCETTAZIONE PER VIRUS:", tipo: tipoRifiuto, errore: "virus", kind: contracts.SubmissionRejection, reason: delivery.ReasonVirus},
		{name: "taking charge", headers: "X-Ricevuta: presa-in-carico", prefix: "PRESA IN CARICO:", tipo: tipoPresaInCarico, errore: "nessuno", kind: contracts.RelayAcceptance},
		{name: "delivery", headers: "X-Ricevuta: avvenuta-consegna", prefix: "CONSEGNA:", tipo: tipoConsegna, errore: "nessuno", kind: contracts.ContentConsignment},
		{name: "delivery, as a few tools write its subject", headers: "X-Ricevuta: avvenuta-consegna", prefix: "AVVENUTA CONSEGNA:", tipo: tipoConsegna, errore: "nessuno", kind: contracts.ContentConsignment},
		{name: "delivery error, no such mailbox", headers: "X-Ricevuta: errore-consegna", prefix: "AVVISO DI MANCATA CONSEGNA:", tipo: tipoErrore, errore: "no-dest", kind: contracts.ContentConsignmentFailure, reason: delivery.ReasonUnknownMailbox},
		{name: "delivery error, no such domain", headers: "X-Ricevuta: errore-consegna", prefix: "AVVISO DI MANCATA CONSEGNA:", tipo: tipoErrore, errore: "no-dominio", kind: contracts.ContentConsignmentFailure, reason: delivery.ReasonUnknownDomain},
		{name: "delivery error, other, with a code", headers: "X-Ricevuta: errore-consegna", prefix: "AVVISO DI MANCATA CONSEGNA:", tipo: tipoErrore, errore: "altro", esteso: "5.2.2 - Gestore - piena", kind: contracts.ContentConsignmentFailure, reason: delivery.ReasonMailboxFull},
		{name: "delivery error for a virus", headers: "X-Ricevuta: errore-consegna\r\nX-VerificaSicurezza: errore", prefix: "AVVISO DI MANCATA CONSEGNA PER VIRUS:", tipo: tipoErrore, errore: "virus", kind: contracts.ContentConsignmentFailure, reason: delivery.ReasonVirus},
		{name: "notice of delay, altro", headers: "X-Ricevuta: preavviso-errore-consegna", prefix: "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO:", tipo: tipoPreavviso, errore: "altro", kind: contracts.ConsignmentDelay, reason: delivery.ReasonTimeout},
		{name: "notice of delay, no-dest", headers: "X-Ricevuta: preavviso-errore-consegna", prefix: "AVVISO DI MANCATA CONSEGNA PER SUP.  TEMPO MASSIMO:", tipo: tipoPreavviso, errore: "no-dest", kind: contracts.ConsignmentDelay, reason: delivery.ReasonTimeout},
		{name: "notice of delay, nessuno", headers: "X-Ricevuta: preavviso-errore-consegna", prefix: "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO:", tipo: tipoPreavviso, errore: "nessuno", kind: contracts.ConsignmentDelay, reason: delivery.ReasonTimeout},
		{name: "virus detection between providers", headers: "X-Ricevuta: rilevazione-virus\r\nX-Mittente: ufficio@pec.ente.test", prefix: "PROBLEMA DI SICUREZZA:", tipo: tipoVirus, errore: "virus", kind: contracts.RelayRejection, reason: delivery.ReasonVirus},
		{name: "transport envelope", headers: "X-Trasporto: posta-certificata", prefix: "POSTA CERTIFICATA:", tipo: tipoBusta, errore: "nessuno", event: KindEnvelope},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := receiptOf(tc.tipo)
			l.marker, l.prefix = tc.headers, tc.prefix
			l.daticert = strings.Replace(l.daticert, `errore="`+erroreOf(tc.tipo)+`"`, `errore="`+tc.errore+`"`, 1)
			if tc.esteso != "" {
				l.daticert = strings.Replace(l.daticert, "</dati>", "<errore-esteso>"+tc.esteso+"</errore-esteso></dati>", 1)
			}
			if tc.tipo == tipoBusta {
				l.original = "Subject: x\r\n\r\nx\r\n"
			}
			got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt)
			ref, event := forgedTicket, kindPrefix+tc.tipo
			if tc.tipo == tipoBusta { // carries our Message-ID when we write to ourselves, and is no receipt
				ref = ""
			}
			e := got.receipt.Evidence
			if got.kind != event || got.ref != ref || e.Kind != tc.kind || e.Reason != tc.reason || got.receipt.Errore != tc.errore {
				t.Errorf("%s ref %q, evidence %q, reason %q, errore %q", got.kind, got.ref, e.Kind, e.Reason, got.receipt.Errore)
			}
			if got.receipt.Verdict() != Valid || got.receipt.Reason != "" || e.Counts != (tc.kind != "") || len(got.receipt.Notes) != 0 {
				t.Errorf("verdict %s (%s), reason %q, counts %t, notes %v", got.receipt.Verdict(), got.receipt.Doubt, got.receipt.Reason, e.Counts, got.receipt.Notes)
			}
			if e.Signer != signing || got.receipt.Certificate.IsZero() || got.receipt.Daticert.IsZero() || got.receipt.Signature.IsZero() ||
				got.receipt.SignedAt.IsZero() || (got.receipt.Returns == 0) != (l.original == "") {
				t.Errorf("proof is incomplete: %+v", got.receipt)
			}
		})
	}
}

// The last row of the catalogue has no document: a provider wraps mail that it cannot certify.
func TestAnomalyEnvelopeIsNoReceipt(t *testing.T) {
	bounce := "From: mailer-daemon@posta.test\r\nSubject: Undelivered\r\nContent-Type: multipart/report; boundary=r\r\n\r\n--r\r\n\r\nno such user\r\n--r\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <" + forgedID + ">\r\n\r\nx\r\n--r--\r\n"
	for name, original := range map[string]string{
		"wrapping ordinary mail":          "Subject: ciao\r\n\r\nciao\r\n",
		"wrapping a bounce of ours":       bounce,
		"wrapping a receipt":              within(tipoConsegna),
		"wrapping nothing that is a mail": "",
	} {
		t.Run(name, func(t *testing.T) {
			l := receiptOf(tipoAnomalia)
			l.marker, l.prefix, l.daticert, l.original, l.rif = "X-Trasporto: errore", "ANOMALIA MESSAGGIO:", "", original, ""
			got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt)
			if got.kind != KindAnomaly || got.receipt.Reason != ReasonAnomalyEnv || got.ref != "" || got.receipt.Evidence.Counts || got.receipt.Evidence.Kind != "" {
				t.Errorf("%s (%s) ref %q, %+v", got.kind, got.receipt.Reason, got.ref, got.receipt.Evidence)
			}
			if got.receipt.Verdict() != Valid { // signed by a provider all the same
				t.Errorf("verdict %s (%s)", got.receipt.Verdict(), got.receipt.Doubt)
			}
		})
	}
}

// TestOdditiesAreNoted: what does not fit together is told, and the document still decides.
func TestOdditiesAreNoted(t *testing.T) {
	with := func(tipo string, change func(*letter)) letter { l := receiptOf(tipo); change(&l); return l }
	swap := func(l *letter, old, new string) { l.daticert = strings.Replace(l.daticert, old, new, 1) }
	for _, tc := range []struct {
		name   string
		letter letter
		note   string
	}{
		{"an unknown errore", with(tipoErrore, func(l *letter) { swap(l, `errore="altro"`, `errore="boh"`) }), NoteErrore},
		{"a virus without its header", with(tipoErrore, func(l *letter) { swap(l, `errore="altro"`, `errore="virus"`) }), NoteVirus},
		{"the subject of another kind", with(tipoConsegna, func(l *letter) { l.prefix = "ACCETTAZIONE:" }), NoteSubject},
		{"the subject of another kind, encoded", with(tipoConsegna, func(l *letter) { l.prefix = "=?iso-8859-1?Q?AVVISO_DI_MANCATA_CONSEGNA=3A_=E8?=" }), NoteSubject},
		{"a subject of no kind", with(tipoConsegna, func(l *letter) { l.prefix = "[ESTERNA]" }), ""},
		{"a subject without end", with(tipoConsegna, func(l *letter) { l.prefix = "CONSEGNA: " + strings.Repeat("x", 5000) }), ""},
		{"a delivery that does not say its form", with(tipoConsegna, func(l *letter) { swap(l, `<ricevuta tipo="sintetica"/>`, "") }), NoteNoForm},
		{"a whole receipt without the message", with(tipoConsegna, func(l *letter) { swap(l, formShort, formComplete) }), NoteNoReturn},
		{"a brief receipt without the message", with(tipoConsegna, func(l *letter) { swap(l, formShort, formBrief) }), NoteNoReturn},
		{"a short receipt with the message", with(tipoConsegna, func(l *letter) { l.original = "Subject: x\r\n\r\nx" }), NoteReturns},
		{"an acceptance with a message", with(tipoAccettazione, func(l *letter) { l.original = "Subject: x\r\n\r\nx" }), NoteReturns},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := office(usual()).read(tc.letter.seal(t, usual()), seenAt, seenAt)
			if strings.Join(got.receipt.Notes, " ") != tc.note || !got.receipt.Evidence.Counts || got.ref != forgedTicket {
				t.Errorf("notes %v, want %q; counts %t, reason %s", got.receipt.Notes, tc.note, got.receipt.Evidence.Counts, got.receipt.Reason)
			}
		})
	}
}

// A recipient in Cc always gets a receipt "sintetica", and one whose provider cannot tell Cc from To a "completa": both
// count as what was asked for does.
func TestFormOfAReceiptDoesNotMatter(t *testing.T) {
	for _, form := range []string{formComplete, formBrief, formShort, "boh"} {
		l := receiptOf(tipoConsegna)
		l.daticert = strings.Replace(l.daticert, formShort, form, 1)
		got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt)
		if got.receipt.Form != form || !got.receipt.Evidence.Counts || got.kind != "pec.avvenuta-consegna" {
			t.Errorf("%s: %s, counts %t", form, got.kind, got.receipt.Evidence.Counts)
		}
	}
}
