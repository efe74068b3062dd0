package pec

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// forged signs a receipt whose signed part and whose outside are changed, each before it would be noticed.
func forged(t testing.TB, l letter, inner, outer func(string) string) []byte {
	t.Helper()
	body := string(l.body())
	if inner != nil {
		body = inner(body)
	}
	raw := string(l.wrap([]byte(body), usual().sign(t, []byte(body))))
	if outer != nil {
		raw = outer(raw)
	}
	return []byte(raw)
}

func swapped(pairs ...string) func(string) string {
	return func(s string) string {
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(s, pairs[i]) {
				panic("nothing to swap: " + pairs[i])
			}
			s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
		}
		return s
	}
}

// TestVarianceOfTheWire: messages differ in form from provider to provider (pec.md section 4), and none of it matters.
func TestVarianceOfTheWire(t *testing.T) {
	long := strings.Repeat("_", 20) + "Part_1234567890_1234567890.1234567890123"
	const part = `boundary="----=_Part"`
	doc := func(headers string) func(string) string {
		return swapped("Content-Type: application/xml; name=\"daticert.xml\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline", headers)
	}
	for _, tc := range []struct {
		name         string
		letter       func(*letter)
		inner, outer func(string) string
	}{
		{name: "no preamble", letter: func(l *letter) { l.preamble = "" }},
		{name: "another preamble", letter: func(l *letter) {
			l.preamble = "This is an S/MIME signed message.\r\n\r\nQuesto e' un messaggio firmato\r\n"
		}},
		{name: "a preamble that speaks of the boundary", letter: func(l *letter) { l.preamble = "see ------=_Part here\r\n ------=_Part\r\n" }},
		{name: "an epilogue", outer: func(s string) string { return s + "bye\r\n------=_Part\r\n\r\nnot a part\r\n" }},
		{name: "long boundaries of which one begins the other", inner: swapped("----=_Part_1", long+"_1", `boundary="`+long+`_1"`, `boundary="`+long+`_1"`), outer: swapped("------=_Part\r\n", "--"+long+"\r\n", "------=_Part--", "--"+long+"--", part, `boundary="`+long+`"`)},
		{name: "an unquoted boundary", outer: swapped(part, "boundary=----=_Part")},
		{name: "a boundary before the other parameters", outer: swapped("multipart/signed; ", "multipart/signed; "+part+"; ", "; \r\n\t"+part+"\r\n", "\r\n")},
		{name: "a boundary that stands twice", outer: swapped(part, part+"; "+part)},
		{name: "parameters folded at every place", outer: swapped("multipart/signed; protocol=", "multipart/signed;\r\n protocol\r\n\t=\r\n ")},
		{name: "a quoted micalg", outer: swapped("micalg=sha-256", `micalg="sha-256"`)},
		{name: "micalg sha1, whatever it is", outer: swapped("micalg=sha-256", "micalg=sha1")},
		{name: "no protocol and no micalg", outer: swapped(`protocol="application/pkcs7-signature"; micalg=sha-256; `, "")},
		{name: "the older type of signatures", outer: swapped("application/pkcs7-signature", "application/x-pkcs7-signature")},
		{name: "types in capitals", outer: swapped("multipart/signed", "Multipart/SIGNED"), inner: swapped("multipart/mixed", "MULTIPART/Mixed")},
		{name: "a date with a comment", outer: swapped("+0100 (CET)", "+0100 (CEST (summer))")},
		{name: "no date", outer: swapped("Date: ", "X-Date: ")},
		{name: "headers in other letters", outer: swapped("X-Ricevuta", "x-rIcEvUtA", "X-Riferimento-Message-ID", "X-RIFERIMENTO-MESSAGE-ID", "Content-Type: multipart/signed", "content-TYPE: multipart/signed")},
		{name: "headers of providers", outer: swapped("MIME-Version", "X-REM-Subject: REM ContentConsignment: Prova\r\nX-MLTR-Uuid: x\r\nX-Attachment: yes\r\nX-Namirial-Details: {}\r\nX-Lmtp-Aru-Notify-Rcpt: a@b.test\r\nMIME-Version")},
		{name: "header bytes that are no ASCII", outer: swapped("Subject: CONSEGNA: Prova", "Subject: CONSEGNA: \xe8 \xc3\xa8 \xff")},
		{name: "a From without quotes", outer: swapped(`"Per conto di: ufficio@pec.ente.test"`, "Per conto di: ufficio")},
		{name: "a From without quotes and with two addresses", outer: swapped(`"Per conto di: ufficio@pec.ente.test"`, "Per conto di: ufficio@pec.ente.test")},
		{name: "a From with quotes within quotes and bytes that are no ASCII", outer: swapped(`"Per conto di: ufficio@pec.ente.test"`, "\"Citt\xe0 \\\"<x@y.test>\\\" ufficio@pec.ente.test\"")},
		{name: "a From that is an address alone", outer: swapped(`"Per conto di: ufficio@pec.ente.test" <`+signing+`>`, signing)},
		{name: "accents broken in the text", inner: swapped("\xe8 stato", "\xef\xbf\xbd stato")},
		{name: "text in two languages", inner: swapped("\xe8 stato accettato.", "\xe8 stato accettato.\r\n-- English --\r\nhas been accepted.")},
		{name: "a bare text part", inner: func(s string) string {
			at, end := strings.Index(s, "Content-Type: multipart/alternative"), strings.Index(s, "------=_Part_11--")
			return s[:at] + "Content-Type: text/plain\r\n\r\nx\r\n" + s[end+len("------=_Part_11--\r\n\r\n"):]
		}},
		{name: "the document before the text", inner: func(s string) string { return reordered(s, 1, 0) }},
		{name: "the document named in capitals", inner: swapped(`name="daticert.xml"`, `name="DATICERT.XML"`)},
		{name: "a name without quotes", inner: swapped(`name="daticert.xml"`, "name=daticert.xml")},
		{name: "a name that stands twice", inner: swapped(`name="daticert.xml"`, `name="daticert.xml"; name="daticert.xml"`)},
		{name: "a name on a folded line", inner: swapped(`; name="daticert.xml"`, ";\r\n\tname=\"daticert.xml\"")},
		{name: "a name in the disposition alone", inner: doc("Content-Type: application/xml\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline; filename=\"daticert.xml\"")},
		{name: "a name with a character set", inner: swapped(`name="daticert.xml"`, `name*=utf-8''daticert.xml`)},
		{name: "no name at all", inner: swapped(`; name="daticert.xml"`, "")},
		{name: "no name and the other type of XML", inner: swapped(`application/xml; name="daticert.xml"`, "text/xml; charset=utf-8")},
		{name: "a type that says nothing", inner: swapped("application/xml;", "application/octet-stream;")},
		{name: "capitals in the transfer encoding", inner: swapped("Transfer-Encoding: base64", "Transfer-Encoding:  BASE64 ")},
		{name: "blanks within base64", inner: swapped("PD94", " \tPD94 ")},
		{name: "bare line feeds", outer: swapped("\r\n", "\n")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := receiptOf(tipoConsegna)
			if tc.letter != nil {
				tc.letter(&l)
			}
			got := office(usual()).read(forged(t, l, tc.inner, tc.outer), seenAt, seenAt)
			r := got.receipt
			if got.kind != "pec.avvenuta-consegna" || got.ref != forgedTicket || r.Verdict() != Valid || !r.Evidence.Counts || len(r.Notes) != 0 {
				t.Errorf("%s ref %q, verdict %s (%s), reason %q, notes %v", got.kind, got.ref, r.Verdict(), r.Doubt, r.Reason, r.Notes)
			}
		})
	}
}

// reordered puts the direct children of the signed part in another order.
func reordered(body string, order ...int) string {
	const line = "------=_Part_1\r\n"
	pieces := strings.Split(strings.TrimSuffix(body, "------=_Part_1--\r\n"), line)
	out := pieces[0]
	for _, i := range order {
		out += line + pieces[1+i]
	}
	return out + "------=_Part_1--\r\n"
}

// The returned message may stand before the document, and may itself hold a certified message with a document of its
// own: only the direct child of the signed part counts.
func TestReturnedMessageMayStandAnywhereAndHoldAnything(t *testing.T) {
	l := receiptOf(tipoConsegna)
	l.original, l.daticert = within(tipoErrore), strings.Replace(l.daticert, formShort, formComplete, 1)
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}} {
		raw := forged(t, l, func(s string) string { return reordered(s, order...) }, nil)
		got := office(usual()).read(raw, seenAt, seenAt)
		if got.kind != "pec.avvenuta-consegna" || !got.receipt.Evidence.Counts || len(got.receipt.Notes) != 0 {
			t.Errorf("order %v: %s (%s), notes %v", order, got.kind, got.receipt.Reason, got.receipt.Notes)
		}
		if back := Returned(raw); !bytes.Equal(back, []byte(l.original)) && !bytes.Equal(back, []byte(l.original+"\r\n")) {
			t.Errorf("order %v: %d bytes came back, want %d", order, len(back), len(l.original))
		}
	}
}

// Of several messages that are attached the one named postacert.eml is the returned one; without a name, the first.
func TestReturnedMessageIsTheNamedOne(t *testing.T) {
	part := func(name, text string) string {
		return "------=_Part_1\r\nContent-Type: message/rfc822" + name + "\r\n\r\n" + text + "\r\n"
	}
	for want, parts := range map[string]string{
		"first": part("", "first") + part("; name=other.eml", "second"),
		"named": part("", "first") + part("; name=PostaCert.eml", "named") + part("", "third"),
		"alone": part("; name=postacert.eml", "alone"),
	} {
		raw := forged(t, receiptOf(tipoConsegna), swapped("------=_Part_1--", parts+"------=_Part_1--"), nil)
		if got := string(Returned(raw)); got != want {
			t.Errorf("%q came back, want %q", got, want)
		}
	}
	if got := Returned(receiptOf(tipoConsegna).seal(t, usual())); got != nil {
		t.Errorf("%q came back of nothing", got)
	}
}

// The zone of the document counts, on both sides of the night in which the clocks change and within the hour that comes
// twice.
func TestZoneDecidesInTheHourThatComesTwice(t *testing.T) {
	for zona, want := range map[string]time.Time{
		"+0200": time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC),
		"+0100": time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC),
	} {
		l := receiptOf(tipoConsegna)
		l.daticert = swapped("21/11/2026", "25/10/2026", "10:30:00", "02:30:00", "+0100", zona)(l.daticert)
		got := office(usual()).read(l.seal(t, usual()), seenAt, seenAt)
		if !got.receipt.Evidence.IssuedAt.Equal(want) {
			t.Errorf("%s: %s, want %s", zona, got.receipt.Evidence.IssuedAt, want)
		}
	}
}
