package pec

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/adapters/internal/mail"
)

// frozen is a message as the adapter renders it, with two attachments.
func frozen(t testing.TB) []byte {
	t.Helper()
	d := mail.Draft{
		MessageID: "<" + forgedID + ">", Date: time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC), From: "ufficio@pec.ente.test", To: []string{"protocollo@pec.azienda.test"},
		Subject: "Notifica n. 42 - è urgente", Text: "Buongiorno.\nIl codice è 1234.\n",
		Files: []mail.File{
			{Name: "atto.pdf", MediaType: "application/pdf", Content: bytes.Repeat([]byte("%PDF\x00\x01\n"), 300)},
			{Name: "elenco.csv", MediaType: "text/csv", Content: []byte("a;b\r\n1;2\r\n")},
		},
	}
	b, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// delivered is what the provider makes of it on the way: its own Message-ID, ours aside, a Received in front.
func delivered(sent []byte) []byte {
	s := strings.Replace(string(sent), "Message-ID: <"+forgedID+">", "Message-ID: <mock1.1@gestore-uno.test>\r\nX-Riferimento-Message-ID: <"+forgedID+">", 1)
	return []byte("Received: from x by y; Sat, 21 Nov 2026 10:30:00 +0100\r\nX-TipoRicevuta: completa\r\n" + s)
}

// brief replaces each named part by its hash, made by form.
func brief(t testing.TB, message []byte, form func(body []byte) string) []byte {
	t.Helper()
	f, err := leavesOf(message)
	if err != nil {
		t.Fatal(err)
	}
	out := string(message)
	for _, l := range f.leaves {
		if l.name == "" {
			continue
		}
		at := strings.Index(out, string(l.body))
		start := strings.LastIndex(out[:at], "\r\n--") + 2
		line, _, _ := strings.Cut(out[start:], "\r\n")
		part := fmt.Sprintf("%s\r\nContent-Type: text/plain; name=\"%s.hash\"\r\nContent-Disposition: attachment; filename=\"%s.hash\"\r\n\r\n%s", line, l.name, l.name, form(l.body))
		out = out[:start] + part + out[at+len(l.body):]
	}
	return []byte(out)
}

func sha1Hex(b []byte) string { h := sha1.Sum(b); return hex.EncodeToString(h[:]) }

func ofDecoded(body []byte) string {
	b, err := unbase64(body)
	if err != nil {
		b = body
	}
	return sha1Hex(b)
}

func TestCompareBindsAReceiptToItsMessage(t *testing.T) {
	sent := frozen(t)
	back := delivered(sent)
	if !bytes.Contains(sent, []byte("base64")) {
		t.Fatal("the message has no attachment in base64")
	}
	encoded := func(b []byte) string { return sha1Hex(b) }
	withEnd := func(b []byte) string { return strings.ToUpper(sha1Hex(append(bytes.Clone(b), "\r\n"...))) }
	pdf := base64.StdEncoding.EncodeToString([]byte("%PDF\x00\x01\n%PDF"))[:8]
	for _, tc := range []struct {
		name     string
		returned []byte
		want     string
		hashes   []string
		differ   []string
		headers  []string
	}{
		{name: "whole", returned: back, want: Match},
		{name: "the same bytes", returned: sent, want: Match},
		{name: "bare line feeds", returned: bytes.ReplaceAll(back, []byte("\r\n"), []byte("\n")), want: Match},
		{name: "one byte of an attachment", returned: bytes.Replace(back, []byte(pdf), []byte("AAAA"+pdf[4:]), 1), want: Mismatch, differ: []string{"2"}},
		{name: "another subject", returned: bytes.Replace(back, []byte("Subject: "), []byte("Subject: x"), 1), want: Match, headers: []string{"subject"}},
		{name: "a recipient left out", returned: bytes.Replace(back, []byte("To: "), []byte("X-To: "), 1), want: Match, headers: []string{"to"}},
		{name: "another message", returned: []byte("Subject: x\r\n\r\nhello\r\n"), want: Mismatch, differ: []string{"structure"}},
		{name: "nothing", returned: nil, want: Mismatch, differ: []string{"structure"}},
		{name: "cut off", returned: back[:len(back)-200], want: Mismatch, differ: []string{"structure"}},
		{name: "hashes of the content", returned: brief(t, back, ofDecoded), want: Match, hashes: []string{HashDecoded}},
		{name: "hashes of the text", returned: brief(t, back, encoded), want: Match, hashes: []string{HashEncoded}},
		{name: "hashes of the text with its last line end, in capitals", returned: brief(t, back, withEnd), want: Match, hashes: []string{HashEncoded}},
		{name: "hashes of something else", returned: brief(t, back, func([]byte) string { return sha1Hex(nil) }), want: Mismatch, differ: []string{"2", "3"}},
		{name: "hashes that are none", returned: brief(t, back, func([]byte) string { return "ciao" }), want: Mismatch, differ: []string{"2", "3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Compare(tc.returned, sent)
			if c.Result != tc.want || !slices.Equal(c.Hashes, tc.hashes) || !slices.Equal(c.Differ, tc.differ) {
				t.Errorf("%+v, want %s hashes %v differ %v", c, tc.want, tc.hashes, tc.differ)
			}
			if len(tc.differ) == 0 && !slices.Equal(withoutTipo(c.Headers), tc.headers) {
				t.Errorf("headers %v, want %v", c.Headers, tc.headers)
			}
		})
	}
}

func withoutTipo(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "x-tiporicevuta" })
}

// The same letters in another encoding are another content, and other letters may be the same.
func TestCompareLooksAtContent(t *testing.T) {
	message := func(encoding, body string) []byte {
		return []byte("Content-Type: text/plain\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + body)
	}
	for _, tc := range []struct {
		a, b []byte
		want string
	}{
		{message("7bit", "Y2lhbw=="), message("base64", "Y2lhbw=="), Mismatch},
		{message("7bit", "ciao"), message("base64", "Y2lhbw=="), Match},
		{message("quoted-printable", "c=69ao"), message("base64", "Y2\r\nlhbw=="), Match},
		{message("base64", "*"), message("7bit", "ciao"), Mismatch},
		{message("base64", "*"), message("base64", "*"), Match},
	} {
		if c := Compare(tc.a, tc.b); c.Result != tc.want {
			t.Errorf("%q and %q: %+v", tc.a, tc.b, c)
		}
	}
}

// A receipt of two hundred multiparts within multiparts is compared without descending for ever.
func TestCompareHasAnEnd(t *testing.T) {
	deep := nested(200)
	if c := Compare(deep, deep); c.Result != Match || c.Parts != 1 {
		t.Errorf("%+v", c)
	}
	if c := Compare(bytes.Replace(deep, []byte("ciao"), []byte("addio"), 1), deep); c.Result != Mismatch || c.Differ[0] != strings.Repeat("1.", maxNest-1)+"1" {
		t.Errorf("%+v", c)
	}
	many := []byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\na\r\n", maxParts+5) + "--x--\r\n")
	if c := Compare(many, many); c.Result != Mismatch {
		t.Errorf("%+v", c)
	}
}

// nested is a message of multiparts within multiparts.
func nested(levels int) []byte {
	text := "Content-Type: text/plain\r\n\r\nciao\r\n"
	for i := range levels {
		text = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%s\r\n--b%d--\r\n", i, i, text, i)
	}
	return []byte("From: a@b.test\r\nX-Ricevuta: accettazione\r\n" + text)
}
