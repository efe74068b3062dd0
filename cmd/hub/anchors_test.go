package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/hub/ledger"
)

// mailed is a signed message in which the attachment lies as deep as in a delivery receipt.
func mailed(head ledger.Head) string {
	line, err := head.AnchorLine()
	if err != nil {
		panic(err) // a head can always be written
	}
	inner := "Content-Type: multipart/mixed; boundary=b3\r\n\r\n--b3\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b3\r\n" +
		"Content-Type: application/json; name=head.json\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(line) + "\r\n--b3--\r\n"
	return "From: a@b\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=b1\r\n\r\n--b1\r\n" +
		"Content-Type: multipart/mixed; boundary=b2\r\n\r\n--b2\r\nContent-Type: message/rfc822\r\n\r\n" + inner + "\r\n--b2--\r\n" +
		"--b1\r\nContent-Type: application/pkcs7-signature\r\n\r\nAAAA\r\n--b1--\r\n"
}

func TestHeadsAreTakenFromTheSignedPartAlone(t *testing.T) {
	head := ledger.Head{Chain: "c", Segment: 3, Day: "2026-03-01", Closed: true}
	good := mailed(head)
	line, err := head.AnchorLine()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw  string
		want int
	}{
		"inside":                     {good, 1},
		"line ends of a file":        {strings.ReplaceAll(good, "\r\n", "\n"), 1},
		"beside the signed part":     {strings.Replace(good, "--b1\r\nContent-Type: application/pkcs7-signature\r\n\r\nAAAA", "--b1\r\nContent-Type: application/json\r\n\r\n"+string(line), 1), 1},
		"signed by nobody":           {strings.Replace(good, "multipart/signed", "multipart/mixed", 1), 0},
		"the attachment alone":       {"Content-Type: application/json\r\n\r\n" + string(line), 0},
		"no message":                 {"\x00\x01", 0},
		"an attachment that is none": {strings.Replace(good, "base64\r\n\r\n", "base64\r\n\r\n!", 1), 0},
	} {
		if heads := headsIn([]byte(c.raw)); len(heads) != c.want || c.want == 1 && heads[0].Digest() != head.Digest() {
			t.Errorf("%s: %d heads, want %d", name, len(heads), c.want)
		}
	}
}

func TestTicketsAreReadFromOurMessageIDsOnly(t *testing.T) {
	for id, want := range map[string]string{
		"<h1.abc.1@pec.example>": "abc", "h1.abc.2@x": "abc", " <h1.abc.1@x> ": "abc",
		"<abc@x>": "", "<h1.abc>": "", "": "", "<h2.abc.1@x>": "",
	} {
		if got := ticketOf(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}

func TestWhatCannotBeReadIsNamedAndTheRestIsCompared(t *testing.T) {
	dir := t.TempDir()
	head := ledger.Head{Chain: "c", Segment: 1, Day: "2026-03-01", Closed: true}
	line, err := head.AnchorLine()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"c.jsonl": string(line) + "rubbish\n", "deep/er/c.json": string(line), "forged.eml": mailed(head), "other.eml": "Subject: x\r\n\r\n", "notes.txt": "notes",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inspect := inspectPEC(nil, head.At)
	anchors, seen, doubts, other, err := anchorsIn(dir, []ledger.Head{head}, inspect)
	if err != nil || len(anchors) != 2 || len(seen) != 0 || other != 2 {
		t.Errorf("%d anchors, %d witnesses, %d others, %v", len(anchors), len(seen), other, err)
	}
	if said := fmt.Sprint(doubts); len(doubts) != 2 || !strings.Contains(said, "c.jsonl, line 2") || !strings.Contains(said, "forged.eml cannot be believed") {
		t.Errorf("doubts %q", doubts)
	}
	if _, _, _, _, err := anchorsIn(filepath.Join(dir, "none"), nil, inspect); statusOf(err) != statusWrong {
		t.Errorf("no folder: %v", err)
	}
}

func FuzzHeadsIn(f *testing.F) {
	f.Add(mailed(ledger.Head{Chain: "c", Segment: 3, Closed: true}))
	f.Add("Content-Type: multipart/signed; boundary=\"\"\r\n\r\n")
	f.Add("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n--b--")
	f.Fuzz(func(t *testing.T, raw string) {
		if heads := headsIn([]byte(raw)); len(heads) > len(raw) {
			t.Errorf("%d heads in %d bytes", len(heads), len(raw))
		}
	})
}
