package pec

import (
	"bytes"
	"crypto/x509"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

var seenAt = forgedAt.Add(time.Hour)

func TestVerdicts(t *testing.T) {
	stranger := newHouse(t, nil)
	plain := receiptOf(tipoAccettazione)
	sealed := plain.seal(t, usual())
	spoil := func(change func(*x509.Certificate)) func() (*house, []byte) {
		return func() (*house, []byte) { h := newHouse(t, change); return h, plain.seal(t, h) }
	}
	for _, tc := range []struct {
		name    string
		make    func() (*house, []byte)
		seen    time.Time
		verdict Verdict
		doubt   string
	}{
		{name: "sound", make: func() (*house, []byte) { return usual(), sealed }, verdict: Valid},
		{name: "no preamble", make: func() (*house, []byte) {
			l := plain
			l.preamble = ""
			return usual(), l.seal(t, usual())
		}, verdict: Valid},
		{
			name: "seen after the certificate ended", make: func() (*house, []byte) { return usual(), sealed }, seen: forgedAt.AddDate(2, 0, 0),
			verdict: ValidAtSigning, doubt: "EXPIRED",
		},
		{
			name: "signed after the certificate ended", make: spoil(func(c *x509.Certificate) { c.NotAfter = forgedAt.AddDate(0, -1, 0) }),
			verdict: UntrustedChain, doubt: "SIGNED_OUTSIDE_VALIDITY",
		},
		{
			name: "seen before it was signed", make: func() (*house, []byte) { return usual(), sealed }, seen: forgedAt.AddDate(-2, 0, 0),
			verdict: UntrustedChain, doubt: "CHAIN",
		},
		{name: "unknown authority", make: func() (*house, []byte) { return usual(), plain.seal(t, stranger) }, verdict: UntrustedChain, doubt: "CHAIN"},
		{
			name: "for servers only", make: spoil(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
			verdict: UntrustedChain, doubt: "KEY_USAGE",
		},
		{name: "no purpose at all", make: spoil(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), verdict: UntrustedChain, doubt: "KEY_USAGE"},
		{name: "key not for signing", make: spoil(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), verdict: UntrustedChain, doubt: "KEY_USAGE"},
		{
			name: "another's address", make: spoil(func(c *x509.Certificate) { c.EmailAddresses = []string{"posta-certificata@gestore-due.test"} }),
			verdict: UntrustedChain, doubt: "SIGNER_ADDRESS",
		},
		{name: "outer From replaced", make: func() (*house, []byte) {
			return usual(), bytes.Replace(sealed, []byte("<"+signing+">"), []byte("<x@evil.test>"), 1)
		}, verdict: UntrustedChain, doubt: "SIGNER_ADDRESS"},
		{name: "two senders", make: func() (*house, []byte) {
			return usual(), append([]byte("From: x@evil.test\r\n"), sealed...)
		}, verdict: UntrustedChain, doubt: "SIGNER_ADDRESS"},
		{name: "two addresses in one From", make: func() (*house, []byte) {
			return usual(), bytes.Replace(sealed, []byte("<"+signing+">"), []byte("<x@evil.test>, y <"+signing+">"), 1)
		}, verdict: UntrustedChain, doubt: "SIGNER_ADDRESS"},
		{name: "one byte of the signed part changed", make: func() (*house, []byte) {
			return usual(), bytes.Replace(sealed, []byte("stato accettato"), []byte("stato rifiutato"), 1)
		}, verdict: BadSignature, doubt: "SIGNATURE"},
		{name: "another message's signature", make: func() (*house, []byte) {
			return usual(), plain.wrap(plain.body(), usual().sign(t, []byte("another")))
		}, verdict: BadSignature, doubt: "SIGNATURE"},
		{name: "signed with SHA-1, as until December 2024", make: func() (*house, []byte) {
			h := *usual()
			h.digest = pkcs7.OIDDigestAlgorithmSHA1
			return &h, plain.seal(t, &h)
		}, verdict: Valid},
		{name: "in BER with indefinite lengths, as of 2026", make: func() (*house, []byte) {
			return usual(), plain.wrap(plain.body(), toBER(t, usual().sign(t, plain.body())))
		}, verdict: Valid},
		{name: "bare line feeds", make: func() (*house, []byte) { return usual(), bytes.ReplaceAll(sealed, []byte("\r\n"), []byte("\n")) }, verdict: Valid},
		{name: "signature with its own content", make: func() (*house, []byte) {
			body := plain.body()
			sd, err := pkcs7.NewSignedData(body)
			if err != nil {
				t.Fatal(err)
			}
			if err := sd.AddSigner(usual().leaf, usual().signer, pkcs7.SignerInfoConfig{}); err != nil {
				t.Fatal(err)
			}
			der, err := sd.Finish()
			if err != nil {
				t.Fatal(err)
			}
			return usual(), plain.wrap(body, der)
		}, verdict: Malformed, doubt: "P7S_EMBEDS_CONTENT"},
		{name: "two signers", make: func() (*house, []byte) {
			return usual(), plain.seal(t, usual(), func(sd *pkcs7.SignedData) {
				if err := sd.AddSigner(stranger.leaf, stranger.signer, pkcs7.SignerInfoConfig{}); err != nil {
					t.Fatal(err)
				}
			})
		}, verdict: Malformed, doubt: "SIGNERS"},
		{name: "no signer", make: func() (*house, []byte) {
			sd, err := pkcs7.NewSignedData(nil)
			if err != nil {
				t.Fatal(err)
			}
			sd.Detach()
			der, err := sd.Finish()
			if err != nil {
				t.Fatal(err)
			}
			return usual(), plain.wrap(plain.body(), der)
		}, verdict: Unverifiable, doubt: "NO_KNOWN_SIGNER"},
		{name: "a signature whose part cannot be read", make: func() (*house, []byte) {
			return usual(), bytes.Replace(sealed, []byte("Content-Type: application/pkcs7"), []byte("no field\r\nContent-Type: application/pkcs7"), 1)
		}, verdict: Malformed, doubt: "STRUCTURE"},
		{name: "noise for a signature", make: func() (*house, []byte) { return usual(), plain.wrap(plain.body(), []byte("noise")) }, verdict: Malformed, doubt: "P7S_LIMITS"},
		{name: "a value that is no signature", make: func() (*house, []byte) { return usual(), plain.wrap(plain.body(), []byte{0x30, 0x03, 2, 1, 1}) }, verdict: Malformed, doubt: "P7S"},
		{name: "a signature that nests without end", make: func() (*house, []byte) {
			return usual(), plain.wrap(plain.body(), bytes.Repeat([]byte{0x30, 0x80}, 100_000))
		}, verdict: Malformed, doubt: "P7S_LIMITS"},
		{name: "not signed at all", make: func() (*house, []byte) {
			return usual(), append([]byte(plain.head("multipart/mixed; boundary=\"----=_Part_1\"")), plain.body()[bytes.Index(plain.body(), []byte("\r\n\r\n"))+4:]...)
		}, verdict: Unsigned, doubt: "NO_SIGNATURE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, raw := tc.make()
			if tc.seen.IsZero() {
				tc.seen = seenAt
			}
			got := office(h).read(raw, tc.seen, tc.seen)
			if got.receipt.Verdict() != tc.verdict || got.receipt.Doubt != tc.doubt {
				t.Errorf("verdict %s (%s), want %s (%s)", got.receipt.Verdict(), got.receipt.Doubt, tc.verdict, tc.doubt)
			}
			// Whatever the verdict, an operator must see which message it is about.
			if got.kind != "pec.accettazione" || got.ref == "" || got.receipt.Evidence.ID == "" {
				t.Errorf("%s, ticket %q: the document was not read (reason %s)", got.kind, got.ref, got.receipt.Reason)
			}
		})
	}
}

func TestOnlyOurProviderMayAccept(t *testing.T) {
	const other = "gestore-due.test"
	for _, tc := range []struct {
		tipo, errore, signer string
		want                 Verdict
	}{
		{tipoAccettazione, "", "", Valid},
		{tipoAccettazione, "", "gestore-uno.test", Valid},
		{tipoAccettazione, "", signing, Valid},
		{tipoAccettazione, "", other, UntrustedChain},
		{tipoAccettazione, "", "altra@gestore-uno.test", UntrustedChain},
		{tipoRifiuto, "", other, UntrustedChain},
		{tipoPreavviso, "", other, UntrustedChain},
		{tipoErrore, erroreVirus, other, UntrustedChain}, // made of what the recipient's provider told it
		{tipoErrore, "", other, Valid},                   // by the recipient's
		{tipoConsegna, "", other, Valid},
		{tipoConsegna, erroreVirus, other, Valid},
		{tipoPresaInCarico, "", other, Valid},
		{tipoVirus, erroreVirus, other, Valid},
	} {
		r := office(usual())
		r.signer = tc.signer
		l := receiptOf(tc.tipo)
		if tc.errore != "" {
			l.daticert = strings.Replace(l.daticert, `errore="`+erroreOf(tc.tipo)+`"`, `errore="`+tc.errore+`"`, 1)
		}
		got := r.read(l.seal(t, usual()), seenAt, seenAt).receipt
		if got.Verdict() != tc.want || (got.Doubt == "NOT_OUR_PROVIDER") != (tc.want == UntrustedChain) {
			t.Errorf("%s %s signed by gestore-uno, ours is %q: %s (%s), want %s", tc.tipo, tc.errore, tc.signer, got.Verdict(), got.Doubt, tc.want)
		}
	}
}

func TestHeaderIsOnlyAHint(t *testing.T) {
	with := func(change func(*letter)) letter { l := receiptOf(tipoConsegna); change(&l); return l }
	for _, tc := range []struct {
		name         string
		letter       letter
		kind, reason string
		note         string
	}{
		{name: "both agree", letter: receiptOf(tipoConsegna), kind: "pec.avvenuta-consegna"},
		{name: "another type in the header", letter: with(func(l *letter) { l.marker = "X-Ricevuta: accettazione" }), kind: KindAnomaly, reason: ReasonMismatch},
		{name: "an envelope in the header", letter: with(func(l *letter) { l.marker = "X-Trasporto: posta-certificata" }), kind: KindAnomaly, reason: ReasonMismatch},
		{name: "an anomaly envelope with a document", letter: with(func(l *letter) { l.marker = "X-Trasporto: errore" }), kind: KindAnomaly, reason: ReasonMismatch},
		{name: "no marker at all", letter: with(func(l *letter) { l.marker = "X-Other: x" }), kind: KindAnomaly, reason: ReasonMismatch},
		{name: "two markers", letter: with(func(l *letter) { l.marker = "X-Ricevuta: avvenuta-consegna\r\nX-Ricevuta: avvenuta-consegna" }), kind: KindAnomaly, reason: ReasonMismatch},
		{name: "another message in the header", letter: with(func(l *letter) { l.rif = "<x@y.test>" }), kind: KindAnomaly, reason: ReasonMismatch},
		{name: "no reference in the header", letter: with(func(l *letter) { l.rif = "" }), kind: "pec.avvenuta-consegna"},
		{name: "upper case in the header", letter: with(func(l *letter) { l.marker = "x-ricevuta: AVVENUTA-CONSEGNA" }), kind: "pec.avvenuta-consegna"},
		{name: "a message that is not ours", letter: with(func(l *letter) {
			l.rif, l.daticert = "<m_1@pec.ente.test>", xmlOf(tipoConsegna, "m_1@pec.ente.test")
		}), kind: KindForeign, reason: ReasonOtherUser},
		{name: "a ticket of another mailbox", letter: with(func(l *letter) {
			l.rif, l.daticert = "", xmlOf(tipoConsegna, "h1.abc.1@pec.altri.test")
		}), kind: KindForeign, reason: ReasonOtherUser},
		{name: "our Message-ID from another sender", letter: with(func(l *letter) {
			l.daticert = strings.Replace(l.daticert, "ufficio@", "altri@", 1)
		}), kind: KindAnomaly, reason: ReasonSender},
		{name: "a Message-ID that was URL-encoded", letter: with(func(l *letter) {
			l.daticert = xmlOf(tipoConsegna, "h1.abcdefghijklmnopqrstuvwxyz.1%40pec.ente.test")
		}), kind: "pec.avvenuta-consegna", note: NoteDecoded},
		{name: "a Message-ID that was raised", letter: with(func(l *letter) {
			l.daticert = xmlOf(tipoConsegna, strings.ToUpper(forgedID))
		}), kind: "pec.avvenuta-consegna", note: NoteCase},
		{name: "an unnamed document", letter: with(func(l *letter) { l.name = "text/xml; charset=utf-8" }), kind: "pec.avvenuta-consegna"},
		{name: "a document named in capitals without quotes", letter: with(func(l *letter) { l.name = "application/xml; name=DatiCert.XML" }), kind: "pec.avvenuta-consegna"},
		{name: "no document", letter: with(func(l *letter) { l.daticert = "" }), kind: KindAnomaly, reason: string(noDaticert)},
		{name: "a document within the returned message only", letter: with(func(l *letter) {
			l.original, l.daticert = within(tipoConsegna), ""
		}), kind: KindAnomaly, reason: string(noDaticert)},
		{name: "another document within the returned message", letter: with(func(l *letter) {
			l.original, l.daticert = within(tipoErrore), strings.Replace(l.daticert, formShort, formComplete, 1)
		}), kind: "pec.avvenuta-consegna"},
		{name: "an unknown type", letter: with(func(l *letter) { l.daticert = strings.Replace(l.daticert, tipoConsegna, "consegnata", 1) }), kind: KindAnomaly, reason: string(unreadableTipo)},
		{name: "an unknown error", letter: with(func(l *letter) { l.daticert = strings.Replace(l.daticert, "nessuno", "boh", 1) }), kind: "pec.avvenuta-consegna", note: NoteErrore},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := office(usual()).read(tc.letter.seal(t, usual()), seenAt, seenAt)
			if got.kind != tc.kind || got.receipt.Reason != tc.reason {
				t.Errorf("%s (%s), want %s (%s)", got.kind, got.receipt.Reason, tc.kind, tc.reason)
			}
			if got.receipt.Verdict() != Valid {
				t.Errorf("verdict %s (%s)", got.receipt.Verdict(), got.receipt.Doubt)
			}
			if strings.Join(got.receipt.Notes, " ") != tc.note {
				t.Errorf("notes %v, want %s", got.receipt.Notes, tc.note)
			}
		})
	}
}

// within is a certified message as it lies inside a returned one, with boundaries of its own.
func within(tipo string) string {
	inner := receiptOf(tipo)
	return strings.ReplaceAll(string(inner.wrap(inner.body(), []byte{1})), "_Part", "_Inner")
}

func TestOtherMail(t *testing.T) {
	for _, tc := range []struct {
		name, raw, kind, reason string
		verdict                 Verdict
	}{
		{"ordinary mail", "From: a@b.test\r\nSubject: x\r\n\r\nhello\r\n", KindForeign, ReasonOrdinary, Unsigned},
		{"ordinary mail with parts", "From: a@b.test\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhello\r\n--x--\r\n", KindForeign, ReasonOrdinary, Unsigned},
		{"an anomaly envelope", "From: a@b.test\r\nX-Trasporto: errore\r\nContent-Type: text/plain\r\n\r\nhello\r\n", KindAnomaly, ReasonAnomalyEnv, Unsigned},
		{"a receipt that is plain text", "From: a@b.test\r\nX-Ricevuta: accettazione\r\n\r\nhello\r\n", KindAnomaly, string(noDaticert), Unsigned},
		{"a multipart that is not closed", "From: a@b.test\r\nX-Ricevuta: accettazione\r\nContent-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\nhello\r\n", KindAnomaly, string(unreadableMIME), Malformed},
		{"a multipart of three", "X-Ricevuta: accettazione\r\nContent-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\n\r\nb\r\n--x\r\n\r\nc\r\n--x--", KindAnomaly, string(unreadableMIME), Malformed},
		{"a signed part that is no part", "X-Ricevuta: accettazione\r\nContent-Type: multipart/signed; boundary=x\r\n\r\n--x\r\nno header\r\n\r\na\r\n--x\r\nContent-Type: application/pkcs7-signature\r\n\r\nb\r\n--x--", KindAnomaly, string(unreadableMIME), Malformed},
		{"a signature that is no part", "X-Ricevuta: accettazione\r\nContent-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\nno header\r\n\r\nb\r\n--x--", KindAnomaly, string(noDaticert), Malformed},
		{"a multipart without boundary", "X-Ricevuta: accettazione\r\nContent-Type: multipart/signed\r\n\r\n", KindAnomaly, string(unreadableMIME), Malformed},
		{"nothing", "", KindForeign, ReasonOrdinary, Unsigned},
		{"no header", "hello world\r\n", KindAnomaly, string(unreadableMIME), Malformed},
		{"a header without end", "A: " + strings.Repeat("x", maxHeader+1), KindAnomaly, string(unreadableMIME), Malformed},
		{"a header of too many fields", strings.Repeat("A: b\r\n", maxFields+1), KindAnomaly, string(unreadableMIME), Malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := office(usual()).read([]byte(tc.raw), seenAt, seenAt)
			if got.kind != tc.kind || got.receipt.Reason != tc.reason || got.receipt.Verdict() != tc.verdict || got.ref != "" {
				t.Errorf("%s (%s) %s ref %q, want %s (%s) %s", got.kind, got.receipt.Reason, got.receipt.Verdict(), got.ref, tc.kind, tc.reason, tc.verdict)
			}
		})
	}
}

func TestAnOpaqueSignatureCannotBeChecked(t *testing.T) {
	raw := []byte("From: <" + signing + ">\r\nX-Ricevuta: accettazione\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		wrapped(usual().sign(t, []byte("x"))) + "\r\n")
	got := office(usual()).read(raw, seenAt, seenAt)
	if got.kind != KindAnomaly || got.receipt.Verdict() != Unverifiable || got.receipt.Doubt != "OPAQUE_SIGNATURE" || got.receipt.Reason != string(noDaticert) {
		t.Errorf("%s (%s) %s (%s)", got.kind, got.receipt.Reason, got.receipt.Verdict(), got.receipt.Doubt)
	}
}

// Every message of ours has a Message-ID. A document without one is nobody's, unless the header names ours: then a person
// must see it at the ticket, and nothing moves.
func TestADocumentWithoutMessageID(t *testing.T) {
	l := receiptOf(tipoConsegna)
	l.daticert = swapped("<msgid>&lt;"+forgedID+"&gt;</msgid>", "")(l.daticert)
	for rif, want := range map[string][3]string{
		"<" + forgedID + ">":  {kindPrefix + tipoConsegna, "", forgedTicket}, // the fold asks for the identificativo
		"<m_1@pec.ente.test>": {KindForeign, ReasonOtherUser, ""},
		"":                    {KindForeign, ReasonOtherUser, ""},
	} {
		l.rif = rif
		got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt)
		if got.kind != want[0] || got.receipt.Reason != want[1] || got.ref != want[2] || got.receipt.Evidence.Message != "" {
			t.Errorf("header %q: %s (%s) ref %q", rif, got.kind, got.receipt.Reason, got.ref)
		}
	}
}

// The signature covers the document: whoever changes it behind intact headers is found out, wherever he changes it.
func TestAnAlteredDocumentIsFoundOut(t *testing.T) {
	l := receiptOf(tipoErrore)
	body := l.body()
	p7s := usual().sign(t, body)
	for _, change := range [][2]string{
		{tipoErrore, tipoConsegna}, {"protocollo@pec.azienda.test</consegna>", "altri@pec.azienda.test</consegna>"}, {"10:30:00", "10:30:01"}, {"00042", "00043"},
	} {
		altered := l
		altered.daticert = strings.ReplaceAll(l.daticert, change[0], change[1])
		got := office(usual()).read(altered.wrap(altered.body(), p7s), seenAt, seenAt)
		if got.receipt.Verdict() != BadSignature || got.receipt.Evidence.Counts {
			t.Errorf("%v: %s, counts %t", change, got.receipt.Verdict(), got.receipt.Evidence.Counts)
		}
	}
}

// A receipt that is sent again under other headers says what it said: under headers of another kind or message it is set
// aside, and under any others it is the same evidence.
func TestAReplayedReceiptSaysNothingNew(t *testing.T) {
	l := receiptOf(tipoConsegna)
	raw := string(l.seal(t, usual()))
	read := func(raw string) reading { return office(usual()).read([]byte(raw), seenAt, seenAt) }
	first := read(raw)
	for name, tc := range map[string]struct {
		change func(string) string
		reason string
	}{
		"another kind":               {swapped("X-Ricevuta: avvenuta-consegna", "X-Ricevuta: accettazione"), ReasonMismatch},
		"another message of ours":    {swapped("Message-ID: <h1.abc", "Message-ID: <h1.xyz"), ReasonMismatch},
		"two messages":               {swapped("MIME-Version: 1.0", "X-Riferimento-Message-ID: <h1.x.1@pec.ente.test>"), ReasonMismatch},
		"a virus that was not there": {swapped("MIME-Version: 1.0", "X-VerificaSicurezza: errore"), ReasonMismatch},
		"another day and addressee":  {swapped("21 Nov 2026", "22 Nov 2027", "To: ufficio@", "To: altri@", "Received: from x", "Received: from y"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(tc.change(raw))
			if got.receipt.Reason != tc.reason || got.ref != forgedTicket || got.receipt.Verdict() != Valid || got.receipt.Evidence.Counts != (tc.reason == "") {
				t.Errorf("%s (%s) ref %q, counts %t", got.kind, got.receipt.Reason, got.ref, got.receipt.Evidence.Counts)
			}
			if tc.reason == "" && !reflect.DeepEqual(got.receipt.Evidence, first.receipt.Evidence) {
				t.Error("the evidence changed")
			}
		})
	}
}

// A message that was cut off on its way, at whatever byte, counts for nothing.
func TestACutReceiptNeverCounts(t *testing.T) {
	raw := receiptOf(tipoConsegna).seal(t, usual())
	end := bytes.LastIndex(raw, []byte("------=_Part--")) + len("------=_Part--")
	r := office(usual())
	for n := 0; n < end; n += 7 {
		if got := r.read(raw[:n], seenAt, seenAt); got.receipt.Evidence.Counts {
			t.Fatalf("cut after %d of %d bytes it counts", n, len(raw))
		}
	}
	for n := end; n < len(raw); n++ { // what is missing is the last line end
		if got := r.read(raw[:n], seenAt, seenAt); !got.receipt.Evidence.Counts {
			t.Errorf("cut after the end it does not count: %s", got.receipt.Reason)
		}
	}
}

// A Message-ID comes back as it left, or changed in ways that are known; whatever else comes back is not ours.
func TestMessageIDsAreNormalised(t *testing.T) {
	for id, note := range map[string]string{
		"<" + forgedID + ">":                           "",
		" \n<" + forgedID + ">\n ":                     "",
		"< " + forgedID + " >":                         "",
		forgedID:                                       "",
		strings.Replace(forgedID, "@", "%40", 1):       NoteDecoded,
		"%3C" + forgedID + "%3E":                       NoteDecoded,
		"<" + strings.ToUpper(forgedID) + ">":          NoteCase,
		"<" + forgedID:                                 "none",
		forgedID + ">":                                 "none",
		"<" + forgedID + "> (ours)":                    "none",
		"<x" + forgedID + ">":                          "none",
		strings.Replace(forgedID, ".1@", ".0@", 1):     "none",
		strings.Replace(forgedID, ".1@", ".@", 1):      "none",
		strings.Replace(forgedID, "@pec", "@x.pec", 1): "none",
		strings.Replace(forgedID, "h1.", "h2.", 1):     "none",
		"%zz" + forgedID:                               "none",
	} {
		l := receiptOf(tipoConsegna)
		l.rif = ""
		l.daticert = swapped("&lt;"+forgedID+"&gt;", strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(id))(l.daticert)
		got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt)
		if note == "none" {
			if got.kind != KindForeign || got.ref != "" || got.receipt.Evidence.Counts {
				t.Errorf("%q: %s ref %q", id, got.kind, got.ref)
			}
			continue
		}
		if got.ref != forgedTicket || got.receipt.Evidence.Message != forgedID || got.receipt.Evidence.Generation != 1 || strings.Join(got.receipt.Notes, " ") != note {
			t.Errorf("%q: ref %q, message %q, notes %v, want %q", id, got.ref, got.receipt.Evidence.Message, got.receipt.Notes, note)
		}
	}
}

func TestSenderIsOneAddressOrNone(t *testing.T) {
	for from, want := range map[string]string{
		"From: a@b.test":   "a@b.test",
		"From: <a@b.test>": "a@b.test",
		`From: "Per conto di: x@y.test" <a@b.test>`:      "a@b.test",
		"From: Per conto di: x@y.test <a@b.test>":        "a@b.test",
		"From: Citt\xe0 <a@b.test>":                      "a@b.test",
		"From: \"Citt\xe0 <x@y.test>\" <a@b.test>":       "a@b.test",
		"From: =?utf-8?q?Citt=C3=A0?= <a@b.test>":        "a@b.test",
		"From: <a@b.test>, <c@d.test>":                   "",
		"From: Per conto: x <a@b.test>, y <c@d.test>":    "",
		"From: Per conto: x <a@b.test> y":                "",
		"From: Per conto: x <a.b.test>":                  "",
		"From: Per conto: x <a@b@c.test>":                "",
		"From: Per conto: x a@b.test>":                   "",
		"From:":                                          "",
		"To: a@b.test":                                   "",
		"From: a@b.test\r\nFrom: a@b.test":               "",
		"From: " + strings.Repeat("x", 5000) + "@b.test": "",
	} {
		e, err := readEntity([]byte(from + "\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := sender(e); got != want {
			t.Errorf("%.80q: %.80q, want %q", from, got, want)
		}
	}
}
