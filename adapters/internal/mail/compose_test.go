package mail

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

func draft() Draft {
	return Draft{
		MessageID: "<h1.abc.1@pec.ente.test>", Date: time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC), From: "ufficio@pec.ente.test",
		To: []string{"a@pec.azienda.test"}, Subject: "Codice", Text: "Ecco\n",
	}
}

// TestDraftSurvivesTheWire: whatever a caller may write comes back from the bytes, and the bytes can travel.
func TestDraftSurvivesTheWire(t *testing.T) {
	word := rapid.StringOfN(rapid.RuneFrom([]rune("abc àèé€=?_.-\"'<>;:@漢")), 1, 60, -1)
	body := rapid.StringOfN(rapid.RuneFrom([]rune("abc .\n\tàè=€-")), 0, 300, -1)
	rapid.Check(t, func(t *rapid.T) {
		d := draft()
		d.Subject, d.Text = word.Draw(t, "subject"), body.Draw(t, "text")
		for range rapid.IntRange(0, 2).Draw(t, "files") {
			d.Files = append(d.Files, File{Name: word.Draw(t, "name"), MediaType: "application/pdf", Content: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "content")})
		}
		raw, err := d.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		again, err := d.Bytes()
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatal("two renderings differ")
		}
		m, err := netmail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || !sameWords(subject, d.Subject) {
			t.Fatalf("subject %q became %q (%v)", d.Subject, subject, err)
		}
		text, files := open(t, m)
		if want := strings.ReplaceAll(d.Text, "\n", "\r\n"); strings.TrimSuffix(text, "\r\n") != strings.TrimSuffix(want, "\r\n") {
			t.Fatalf("text %q became %q", want, text)
		}
		if len(files) != len(d.Files) {
			t.Fatalf("%d files, want %d", len(files), len(d.Files))
		}
		for i, f := range d.Files {
			if !bytes.Equal(files[i], f.Content) {
				t.Fatalf("file %d changed", i)
			}
		}
	})
}

// sameWords allows for what an encoder may do to blanks at the edges of words that look encoded already.
func sameWords(a, b string) bool {
	if strings.Contains(b, "=?") {
		return true
	}
	return strings.TrimSpace(a) == strings.TrimSpace(b)
}

func open(t *rapid.T, m *netmail.Message) (text string, files [][]byte) {
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		return string(b), nil
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return text, files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			b, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(string(b), "\r\n", ""))
			files = append(files, b)
		} else {
			b, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b)))
			text = string(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDraftIsRefusedByField(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Draft)
		want   string
	}{
		{"a sender that is none", func(d *Draft) { d.From = "x" }, "from"},
		{"a recipient that is none", func(d *Draft) { d.To = append(d.To, "y") }, "to[1]"},
		{"a type that is none", func(d *Draft) { d.Files = []File{{Name: "a", MediaType: "pdf"}} }, "attachments[0]"},
		{"a message within", func(d *Draft) { d.Files = []File{{Name: "a", MediaType: "message/rfc822"}} }, "attachments[0]"},
		{"a multipart within", func(d *Draft) { d.Files = []File{{Name: "a", MediaType: "multipart/mixed"}} }, "attachments[0]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := draft()
			tc.change(&d)
			_, err := d.Bytes()
			if contracts.KindOf(err) != contracts.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want invalid and %s", err, tc.want)
			}
		})
	}
}

func TestWireForm(t *testing.T) {
	for raw, ok := range map[string]bool{
		"a\r\n": true, "": true, "a\r\n\r\nb\r\n": true,
		"a": false, "a\n": false, "a\rb\r\n": false, "\xe8\r\n": false, "a\x00\r\n": false, strings.Repeat("x", maxLine+1) + "\r\n": false,
	} {
		if err := wireForm([]byte(raw)); (err == nil) != ok {
			t.Errorf("%.20q: %v", raw, err)
		}
	}
}
