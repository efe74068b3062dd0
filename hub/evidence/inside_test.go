package evidence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

const sealed = "Content-Type: multipart/signed; boundary=\"=_outer\"\r\n\r\nThis is a signed message\r\n--=_outer\r\n" +
	"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\nContent-Type: text/plain\r\n\r\nhello\r\n" +
	"--inner\r\nContent-Type: application/xml; name=\"daticert.xml\"\r\nContent-Transfer-Encoding: base64\r\n\r\nPGE+\r\nPC9hPg==\r\n" +
	"--inner\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: application/xml\r\n\r\n<nested/>\r\n--inner--\r\n" +
	"--=_outer\r\nContent-Type: application/x-pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n--=_outer--\r\n"

func TestDocumentAndSignatureAreTakenOut(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"a receipt", sealed, "xml:<a></a> p7s:0\x82\x01"},
		{"no signature", strings.Replace(sealed, "application/x-pkcs7-signature", "text/plain", 1), "xml:<a></a>"},
		{"a broken document", strings.Replace(sealed, "PGE+", "****", 1), "p7s:0\x82\x01"},
		{"two documents", strings.Replace(sealed, "text/plain\r\n\r\nhello", "text/xml\r\n\r\n<b/>", 1), "xml:<b/> p7s:0\x82\x01"},
		{"not signed", strings.Replace(sealed, "multipart/signed", "multipart/mixed", 1), ""},
		{"cut short", sealed[:200], ""},
		{"no boundary", strings.Replace(sealed, "; boundary=\"=_outer\"", "", 1), ""},
		{"no message", "\x00", ""},
		{"too large", sealed + strings.Repeat("x", maxOpened), ""},
		{"a document too large", strings.Replace(sealed, "PGE+", strings.Repeat("PGE+", maxInside/3), 1), "p7s:0\x82\x01"},
	} {
		var have []string
		for _, in := range inside([]byte(c.raw)) {
			have = append(have, in.ext+":"+string(in.bytes))
		}
		if strings.Join(have, " ") != c.want {
			t.Errorf("%s: have %.100q, want %q", c.name, have, c.want)
		}
	}
}

func FuzzInside(f *testing.F) {
	f.Add([]byte(sealed))
	f.Add([]byte("Content-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\n--x--"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if found := inside(raw); len(found) > 2 {
			t.Errorf("%d parts", len(found))
		}
	})
}

func TestEveryFactOfAReceiptIsCompared(t *testing.T) {
	a, err := contracts.ParseAddress("mario.rossi@pec.example")
	if err != nil {
		t.Fatal(err)
	}
	told := contracts.Evidence{
		Kind: contracts.ContentConsignment, Message: "h1.x.1@pec.example", ID: "1", IssuedAt: time.Unix(1000, 0), Issuer: "Uno", Signer: "u@uno.test",
	}
	for want, change := range map[string]func(*contracts.Evidence){
		"":                    func(e *contracts.Evidence) { e.Message, e.Signer = "<H1.x.1@pec.example>", "U@uno.test" },
		"kind":                func(e *contracts.Evidence) { e.Kind = contracts.ContentConsignmentFailure },
		"message":             func(e *contracts.Evidence) { e.Message = "h1.y.1@pec.example" },
		"identifier":          func(e *contracts.Evidence) { e.ID = "2" },
		"instant":             func(e *contracts.Evidence) { e.IssuedAt = time.Unix(1001, 0) },
		"issuer":              func(e *contracts.Evidence) { e.Issuer = "Due" },
		"signer":              func(e *contracts.Evidence) { e.Signer = "u@due.test" },
		"recipient":           func(e *contracts.Evidence) { e.About = a },
		"recipients":          func(e *contracts.Evidence) { e.Recipients = []contracts.Address{a} },
		"ordinary recipients": func(e *contracts.Evidence) { e.Uncertified = []contracts.Address{a} },
	} {
		said := told
		change(&said)
		if have := strings.Join(differences(told, said), " "); have != want {
			t.Errorf("have %q, want %q", have, want)
		}
	}
}

// Real receipts of 2026 open as the test's own do.
func TestRealReceiptsAreOpened(t *testing.T) {
	root := os.Getenv("RACCORDO_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	samples, err := filepath.Glob(filepath.Join(root, "reference", "pec", "third-party", "*.eml"))
	if err != nil || len(samples) == 0 {
		t.Skip("no reference samples here: set RACCORDO_SHARED to the folder that holds reference/pec")
	}
	for _, name := range samples {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := inside(raw)
		if len(found) != 2 || !strings.Contains(string(found[0].bytes), "<postacert") || found[1].bytes[0] != 0x30 || !signed(raw) {
			t.Errorf("%s: %d parts", filepath.Base(name), len(found))
		}
	}
}
