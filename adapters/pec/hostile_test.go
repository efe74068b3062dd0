package pec

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"unicode"

	"raccordo/contracts"
)

// judged reads a message as the adapter does and as an operator's glass does, and checks what is true of every verdict:
// it is there, what cannot be believed counts for nothing, and nothing of the message shows where the event is printed.
func judged(t *testing.T, raw []byte) reading {
	t.Helper()
	var got reading
	bounded(t, raw, func() { got = office(usual()).read(raw, seenAt, seenAt) })
	e := got.receipt.Evidence
	if got.kind == "" || e.Verdict == "" || e.Counts && (got.receipt.Reason != "" || !got.receipt.Verdict().Counts()) {
		t.Errorf("%q with verdict %q (%s), reason %q, counts %t", got.kind, e.Verdict, got.receipt.Doubt, got.receipt.Reason, e.Counts)
	}
	if _, err := contracts.Encode(got.receipt); err != nil {
		t.Errorf("cannot be stored: %v", err)
	}
	if printed := fmt.Sprintf("%v %+v", got.receipt, got.receipt); strings.Contains(printed, "azienda") || strings.IndexFunc(printed, unicode.IsControl) >= 0 {
		t.Errorf("shows where it is printed: %q", printed)
	}
	seen := Inspect(raw, usual().pool, seenAt)
	if seen.Verdict != got.receipt.Verdict() || seen.Anomalies == nil || seen.Destinatari == nil || !seen.Verdict.Counts() && seen.Reason == "" {
		t.Errorf("inspected: %+v", seen)
	}
	return got
}

func wants(t *testing.T, got reading, kind, reason string, verdict Verdict) {
	t.Helper()
	if got.kind != kind || got.receipt.Reason != reason || got.receipt.Verdict() != verdict {
		t.Errorf("%s (%s) %s (%s), want %s (%s) %s", got.kind, got.receipt.Reason, got.receipt.Verdict(), got.receipt.Doubt, kind, reason, verdict)
	}
}

func sealedWith(t *testing.T, daticert string) []byte {
	t.Helper()
	l := receiptOf(tipoAccettazione)
	l.daticert = daticert
	return l.seal(t, usual())
}

func TestAMessageTooLargeToFetchHasAVerdict(t *testing.T) {
	got := office(usual()).oversize(seenAt, seenAt)
	wants(t, got, KindAnomaly, ReasonOversize, Unverifiable)
	if got.receipt.Evidence.Counts || Oversize().Verdict != Unverifiable || Oversize().Reason != ReasonOversize {
		t.Errorf("%+v", got.receipt.Evidence)
	}
}

// A whole receipt of 40 MB is read with its size again in memory at most, and no more than it when its lines end as on
// the wire.
func TestALargeReceiptCostsNoCopies(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB")
	}
	l := receiptOf(tipoConsegna)
	l.original = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 74)+"\r\n", 40<<20/76)
	l.daticert = strings.Replace(l.daticert, formShort, formComplete, 1)
	raw := l.seal(t, usual())
	r := office(usual())
	var got reading
	if spent := allocated(func() { got = r.read(raw, seenAt, seenAt) }); spent > 1<<20 {
		t.Errorf("%d bytes allocated for %d", spent, len(raw))
	}
	wants(t, got, "pec.avvenuta-consegna", "", Valid)
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	if spent := allocated(func() { got = r.read(raw, seenAt, seenAt) }); spent > uint64(2*len(raw)) {
		t.Errorf("with bare line feeds: %d bytes allocated for %d", spent, len(raw))
	}
	wants(t, got, "pec.avvenuta-consegna", "", Valid)
}

func TestExternalEntitiesAreRefused(t *testing.T) {
	doc := xmlOf(tipoAccettazione, forgedID)
	for _, dtd := range []string{
		`<!DOCTYPE postacert [<!ENTITY x SYSTEM "file:///etc/passwd">]>`,
		`<!DOCTYPE postacert [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]>`,
		`<!DOCTYPE postacert [<!entity x "y">]>`,
	} {
		got := judged(t, sealedWith(t, strings.Replace(strings.Replace(doc, "Prova", "&x;", 1), "<postacert", dtd+"<postacert", 1)))
		wants(t, got, KindAnomaly, string(unreadableEntity), Valid)
	}
	// A DOCTYPE that names a place elsewhere is passed over: nobody goes there.
	got := judged(t, sealedWith(t, strings.Replace(doc, "<postacert", `<!DOCTYPE postacert SYSTEM "http://127.0.0.1:1/postacert.dtd"><postacert`, 1)))
	wants(t, got, "pec.accettazione", "", Valid)
}

func TestEntityBombsAreRefused(t *testing.T) {
	bomb := `<!DOCTYPE postacert [<!ENTITY a0 "lol">`
	for i := range 9 {
		bomb += fmt.Sprintf(`<!ENTITY a%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&a%d;", i), 10))
	}
	doc := strings.Replace(strings.Replace(xmlOf(tipoAccettazione, forgedID), "Prova", "&a9;", 1), "<postacert", bomb+"]><postacert", 1)
	wants(t, judged(t, sealedWith(t, doc)), KindAnomaly, string(unreadableEntity), Valid)
}

func TestTwoHundredNestedLevelsAreNotFollowed(t *testing.T) {
	wants(t, judged(t, nested(200)), KindAnomaly, string(noDaticert), Unsigned)
	l := receiptOf(tipoConsegna)
	l.original, l.daticert = string(nested(200)), strings.Replace(l.daticert, formShort, formComplete, 1)
	wants(t, judged(t, l.seal(t, usual())), "pec.avvenuta-consegna", "", Valid)
	l.daticert = strings.Replace(l.daticert, "<dati>", strings.Repeat("<x>", 200)+strings.Repeat("</x>", 200)+"<dati>", 1)
	wants(t, judged(t, l.seal(t, usual())), KindAnomaly, string(unreadableXML), Valid)
	wants(t, judged(t, receiptOf(tipoConsegna).wrap(receiptOf(tipoConsegna).body(), bytes.Repeat([]byte{0x30, 0x80}, 200))), "pec.avvenuta-consegna", "", Malformed)
}

func TestNULBytesAreHarmless(t *testing.T) {
	sealed := receiptOf(tipoAccettazione).seal(t, usual())
	for name, tc := range map[string]struct {
		raw          []byte
		kind, reason string
		verdict      Verdict
	}{
		"nothing but NUL":        {make([]byte, 4096), KindAnomaly, string(unreadableMIME), Malformed},
		"before the message":     {append([]byte{0, 0}, sealed...), "pec.accettazione", "", Valid},
		"in a header":            {bytes.Replace(sealed, []byte("Prova"), []byte("Pro\x00va"), 1), "pec.accettazione", "", Valid},
		"in the marker":          {bytes.Replace(sealed, []byte("X-Ricevuta: acc"), []byte("X-Ricevuta: \x00acc"), 1), KindAnomaly, ReasonMismatch, Valid},
		"in the preamble":        {bytes.Replace(sealed, []byte("This is"), []byte("\x00\x00"), 1), "pec.accettazione", "", Valid},
		"in the signed text":     {bytes.Replace(sealed, []byte("stato"), []byte("st\x00to"), 1), "pec.accettazione", "", BadSignature},
		"in the document":        {sealedWith(t, strings.Replace(xmlOf(tipoAccettazione, forgedID), "Prova", "\x00", 1)), KindAnomaly, string(unreadableXML), Valid},
		"in the document, named": {sealedWith(t, strings.Replace(xmlOf(tipoAccettazione, forgedID), "Prova", "&#0;", 1)), KindAnomaly, string(unreadableXML), Valid},
	} {
		t.Run(name, func(t *testing.T) { wants(t, judged(t, tc.raw), tc.kind, tc.reason, tc.verdict) })
	}
}

func TestEightBitHeadersAreHarmless(t *testing.T) {
	sealed := receiptOf(tipoAccettazione).seal(t, usual())
	for name, tc := range map[string]struct {
		old, new string
		kind     string
		verdict  Verdict
	}{
		"a subject in ISO-8859-1":     {"Prova\r\n", "\xc8 \xe0\xff\r\n", "pec.accettazione", Valid},
		"a subject in UTF-8":          {"Prova\r\n", "è — \u202e\r\n", "pec.accettazione", Valid},
		"a name of a field":           {"Received:", "R\xe8ceived:", "pec.accettazione", Valid},
		"a display name":              {"Per conto di: ufficio", "Citt\xe0 di: ufficio", "pec.accettazione", Valid},
		"a sender's address":          {"<" + signing + ">", "<posta-certificat\xe0@gestore-uno.test>", "pec.accettazione", UntrustedChain},
		"a marker":                    {"X-Ricevuta: accettazione", "X-Ricevuta: accettazion\xe8", KindAnomaly, Valid},
		"a parameter of the boundary": {"micalg=sha-256", "micalg=\"sh\xe0\"", "pec.accettazione", Valid},
	} {
		t.Run(name, func(t *testing.T) {
			got := judged(t, bytes.Replace(sealed, []byte(tc.old), []byte(tc.new), 1))
			if got.kind != tc.kind || got.receipt.Verdict() != tc.verdict {
				t.Errorf("%s %s (%s)", got.kind, got.receipt.Verdict(), got.receipt.Reason)
			}
		})
	}
}

// Line feeds without carriage returns hide nothing: what the signature does not cover is not read, and what another
// reader might take for the end of a message or a header is none here.
func TestBareLineFeedsSmuggleNothing(t *testing.T) {
	sealed := string(receiptOf(tipoConsegna).seal(t, usual()))
	other := string(receiptOf(tipoErrore).seal(t, usual()))
	for name, tc := range map[string]struct {
		raw     string
		kind    string
		verdict Verdict
	}{
		"a whole message behind the end of the first": {sealed + "\n.\nMAIL FROM:<a@b.test>\n" + other, "pec.avvenuta-consegna", Valid},
		"a whole message in front of it":              {strings.ReplaceAll(other, "\r\n", "\n") + "\n.\r\n" + sealed, "pec.errore-consegna", Valid},
		"a marker of its own in a header":             {strings.Replace(sealed, "Prova\r\n", "Prova\nX-Ricevuta: errore-consegna\r\n", 1), KindAnomaly, Valid},
		"an end of the header in a header":            {strings.Replace(sealed, "Prova\r\n", "Prova\n\nciao\r\n", 1), KindForeign, Unsigned},
		"a part of its own in the signed part":        {strings.Replace(sealed, "stato accettato.\r\n", "stato accettato.\n------=_Part_1\nContent-Type: text/xml\n\nx\r\n", 1), "pec.avvenuta-consegna", BadSignature},
		"a boundary in the preamble":                  {strings.Replace(sealed, "This is", "\n------=_Part\n\nciao\n", 1), KindAnomaly, Malformed},
		"a lone carriage return in a header":          {strings.Replace(sealed, "Prova\r\n", "Prova\rX-Ricevuta: errore-consegna\r\n", 1), "pec.avvenuta-consegna", Valid},
	} {
		t.Run(name, func(t *testing.T) {
			got := judged(t, []byte(tc.raw))
			if got.kind != tc.kind || got.receipt.Verdict() != tc.verdict {
				t.Errorf("%s (%s) %s (%s)", got.kind, got.receipt.Reason, got.receipt.Verdict(), got.receipt.Doubt)
			}
		})
	}
}

func TestADocumentOfFiveMegabytesIsRefused(t *testing.T) {
	for name, doc := range map[string]string{
		"of text":       strings.Replace(xmlOf(tipoAccettazione, forgedID), "Prova", strings.Repeat("x", 5<<20), 1),
		"of recipients": strings.Replace(xmlOf(tipoAccettazione, forgedID), "<risposte>", strings.Repeat(`<destinatari>a@b.test</destinatari>`, 5<<20/35)+"<risposte>", 1),
		"of blanks":     xmlOf(tipoAccettazione, forgedID) + strings.Repeat(" ", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			wants(t, judged(t, sealedWith(t, doc)), KindAnomaly, string(unreadableXML), Valid)
		})
	}
	t.Run("of blanks in base64", func(t *testing.T) {
		l := receiptOf(tipoAccettazione)
		body := swapped("PD94", strings.Repeat(" \r\n", 5<<20/3)+"PD94")(string(l.body()))
		wants(t, judged(t, l.wrap([]byte(body), usual().sign(t, []byte(body)))), KindAnomaly, string(unreadableXML), Valid)
	})
}

// What a spreadsheet would run and what a terminal would obey stays text: it is stored as it is, and printed nowhere but
// through the glass, which escapes.
func TestFormulasAndEscapesAreText(t *testing.T) {
	for name, subject := range map[string]string{
		"a formula":                  `=HYPERLINK("http://x.test";"apri")`,
		"a formula that runs":        `=cmd|'/c calc'!A1`,
		"others that begin formulas": "@SUM(A1) +1 -1 \t=1",
		"control sequences of C1":    "\u009b31m\u009b2J\u0090x\u009c",
		"text that runs backwards":   "\u202egnp.exe\u2066",
		"a delete character":         "\x7f\x7f",
	} {
		t.Run(name, func(t *testing.T) {
			doc := strings.Replace(xmlOf(tipoAccettazione, forgedID), "Prova", strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(subject), 1)
			got := judged(t, sealedWith(t, doc))
			wants(t, got, "pec.accettazione", "", Valid)
			if got.receipt.Subject.Reveal() != strings.TrimSpace(subject) {
				t.Errorf("the subject is %q", got.receipt.Subject.Reveal())
			}
			data, err := json.Marshal(got.receipt)
			var back Receipt
			if err != nil || json.Unmarshal(data, &back) != nil || back.Subject != got.receipt.Subject {
				t.Errorf("it does not survive storage: %v", err)
			}
		})
	}
	for name, subject := range map[string]string{"an escape": "\x1b[2J", "its reference": "&#27;[2J", "a bell": "\x07"} {
		t.Run(name+" is no XML", func(t *testing.T) {
			wants(t, judged(t, sealedWith(t, strings.Replace(xmlOf(tipoAccettazione, forgedID), "Prova", subject, 1))), KindAnomaly, string(unreadableXML), Valid)
		})
	}
}

// Texts that only explain are cut in the event: it stays small, and all of it is in the message.
func TestTextsWithoutEndMakeSmallEvents(t *testing.T) {
	long := strings.Repeat("è\u2028", 50_000)
	doc := xmlOf(tipoErrore, forgedID)
	doc = swapped("Prova", long, "Gestore Uno S.p.A.", long, `errore="altro"`, `errore="`+long[:10_000]+`"`, "</dati>", "<errore-esteso>5.1.1 "+long+"</errore-esteso></dati>")(doc)
	l := receiptOf(tipoErrore)
	l.daticert = doc
	got := judged(t, l.seal(t, usual()))
	data, err := contracts.Encode(got.receipt)
	if err != nil || len(data) > 20_000 || got.receipt.Evidence.Code != "5.1.1" || !got.receipt.Evidence.Counts {
		t.Errorf("%d bytes, code %q, counts %t, %v", len(data), got.receipt.Evidence.Code, got.receipt.Evidence.Counts, err)
	}
}

// A mebibyte of the worst that we can think of for each loop costs what any mebibyte may.
func TestTheWorstMebibyteIsBounded(t *testing.T) {
	const most = fuzzLimit - 4096
	fill := func(unit string) string { return strings.Repeat(unit, most/len(unit)) }
	header := func(unit string) string { return strings.Repeat(unit, (maxHeader-4096)/len(unit)) }
	inBody := func(text string) []byte {
		l := receiptOf(tipoAccettazione)
		l.text = text
		return l.wrap(l.body(), []byte{0x30, 0x03, 2, 1, 1})
	}
	inDoc := func(old, text string) []byte {
		l := receiptOf(tipoAccettazione)
		l.daticert = strings.Replace(l.daticert, old, text, 1)
		return l.wrap(l.body(), []byte{0x30, 0x03, 2, 1, 1})
	}
	part := func(s string) string { return s[:len(s)*70/100] } // base64 makes a mebibyte of it
	top := "X-Ricevuta: accettazione\r\nFrom: <a@b.test>\r\n"
	p7s := func(der string) []byte {
		return receiptOf(tipoAccettazione).wrap(receiptOf(tipoAccettazione).body(), []byte(der))
	}
	for name, raw := range map[string][]byte{
		"boundaries that are none":       inBody(fill("------=_Par\r\n")),
		"boundaries that go on":          inBody(fill("------=_Part_1x\r\n")),
		"boundaries within lines":        inBody(fill("x------=_Part_1")),
		"one boundary, without end":      []byte(top + "Content-Type: multipart/signed; boundary=" + strings.Repeat("a", 199) + "\r\n\r\n" + fill("--"+strings.Repeat("a", 198)+"\r\n")),
		"parts without end":              []byte(top + "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + fill("--x\r\n\r\n")),
		"lines without end":              []byte(top + "\r\n" + fill("\n")),
		"fields without end":             []byte(header("a:b\n") + "\r\n"),
		"a folded field without end":     []byte(top + "Content-Type: multipart/signed;" + header("\r\n a") + "\r\n\r\n"),
		"parameters without end":         []byte(top + "Content-Type: multipart/signed" + header("; a=b") + "\r\n\r\n"),
		"many parameters":                []byte(top + "Content-Type: multipart/signed" + numbered("; a%d=b", 20_000) + "\r\n\r\n"),
		"continued parameters":           []byte(top + "Content-Type: multipart/signed" + numbered("; a*%d*=b", 20_000) + "\r\n\r\n"),
		"a From of brackets":             []byte("From: " + header("<") + "\r\nX-Ricevuta: accettazione\r\nContent-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\n--x\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--x--"),
		"a subject of encoded words":     []byte(top + "Subject: " + header("=?utf-8?q?=20?=") + "\r\n\r\n"),
		"references in a document":       inDoc("Prova", part(fill("&lt;"))),
		"text in pieces":                 inDoc("Prova", part(fill("a<!---->"))),
		"CDATA in pieces":                inDoc("Prova", part(fill("<![CDATA[a]]>"))),
		"carriage returns in a document": inDoc("Prova", part(fill("\r"))),
		"a DOCTYPE of brackets":          inDoc("<postacert", "<!DOCTYPE x "+part(fill("<"))+"<postacert"),
		"recipients without end":         inDoc("<risposte>", part(fill("<destinatari>a@b.it</destinatari>"))+"<risposte>"),
		"elements that do not end":       inDoc("<dati>", part(fill("<a>"))),
		"names without end":              inDoc("<dati>", "<"+part(fill("a"))+"<dati>"),
		"a document of Latin letters":    inDoc("Prova", "Prova"+part(fill("\xe8"))),
		"values of no length":            p7s(part(fill("\x05\x00"))),
		"values within values":           p7s(part(fill("\x30\x80"))),
		"a signature of one value":       p7s("\x30\x83\x02\x00\x00" + strings.Repeat("\x04\x01x", 1<<17/3)),
		"pieces of a string":             p7s("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x24\x80" + strings.Repeat("\x04\x01x", 49_000)),
		"a long string, deep within":     p7s(strings.Repeat("\x30\x80", 38) + "\x04\x83\x03\x00\x00" + strings.Repeat("x", 3<<16) + strings.Repeat("\x00\x00", 38)),
		"many values, deep within":       p7s(strings.Repeat("\x30\x80", 38) + strings.Repeat("\x04\x01x", 49_000) + strings.Repeat("\x00\x00", 38)),
		"levels of multiparts":           nested(5000),
	} {
		t.Run(name, func(t *testing.T) {
			if len(raw) > fuzzLimit {
				t.Fatalf("%d bytes", len(raw))
			}
			if got := judged(t, raw); got.receipt.Evidence.Counts {
				t.Error("it counts")
			}
			bounded(t, raw, func() { Inspect(raw, usual().pool, seenAt) })
			bounded(t, raw, func() { Compare(raw, raw) })
		})
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// Limits of the values within a signature, which the library reads without any.
func TestValuesOfASignatureAreCounted(t *testing.T) {
	within := func(levels int, inner []byte) []byte {
		for range levels {
			inner = append(append([]byte{0x30, 0x80}, inner...), 0, 0)
		}
		return inner
	}
	deep := func(levels int) []byte { // with definite lengths
		der := []byte{5, 0}
		for range levels {
			if len(der) < 128 {
				der = append([]byte{0x30, byte(len(der))}, der...)
			} else {
				der = append([]byte{0x30, 0x81, byte(len(der))}, der...)
			}
		}
		return der
	}
	for _, tc := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"one value", []byte{5, 0}, true},
		{"as deep as may be", within(maxASN1Depth, []byte{5, 0}), true},
		{"deeper", within(maxASN1Depth+1, []byte{5, 0}), false},
		{"as deep as may be, definite", deep(maxASN1Depth), true},
		{"deeper, definite", deep(maxASN1Depth + 1), false},
		{"as many as may be", within(1, bytes.Repeat([]byte{5, 0}, maxASN1Values-2)), true},
		{"more", within(1, bytes.Repeat([]byte{5, 0}, maxASN1Values)), false},
		{"a length beyond the end", []byte{4, 2, 'x'}, false},
		{"a length of five bytes", []byte{4, 0x85, 0, 0, 0, 0, 1, 'x'}, false},
		{"a length cut off", []byte{4, 0x82, 1}, false},
		{"a string without length", []byte{4, 0x80, 0, 0}, false},
		{"values that do not end", []byte{0x30, 0x80, 5, 0}, false},
		{"a tag of many bytes", []byte{0x3f, 0x81, 0x01, 2, 5, 0}, true},
		{"a tag without end", []byte{0x3f, 0x81}, false},
		{"a tag and no more", []byte{0x30}, false},
	} {
		if got := boundedASN1(tc.b); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}

// A key of a hundred thousand bits in a certificate would keep a processor busy for minutes.
func TestHugeKeysAreNotTried(t *testing.T) {
	h := newHouse(t, nil)
	n := new(big.Int).Lsh(big.NewInt(1), 100_000)
	n.Add(n, big.NewInt(1))
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(9), EmailAddresses: []string{signing}, NotBefore: forgedAt.AddDate(-1, 0, 0), NotAfter: forgedAt.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &rsa.PublicKey{N: n, E: 65537}, key)
	if err != nil {
		t.Skipf("the library makes no such certificate: %v", err)
	}
	if h.between, err = x509.ParseCertificate(der); err != nil {
		t.Skipf("the library reads no such certificate: %v", err)
	}
	got := judged(t, receiptOf(tipoAccettazione).seal(t, h))
	wants(t, got, "pec.accettazione", "", Unverifiable)
}
