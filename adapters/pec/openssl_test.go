package pec

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSignaturesOfAnotherMaker checks what OpenSSL signs: the forms that providers use, and those that this program
// must call unverifiable instead of forged.
func TestSignaturesOfAnotherMaker(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on this machine")
	}
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Gestore"}, EmailAddresses: []string{signing},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		NotBefore: forgedAt.AddDate(-1, 0, 0), NotAfter: forgedAt.AddDate(1, 0, 0), SubjectKeyId: []byte{1, 2, 3},
		Policies: []x509.OID{policyOID},
	}
	leaf := issued(t, template, template, key, &key.PublicKey)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, secret := write("cert.pem", "CERTIFICATE", leaf.Raw), write("key.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	l := receiptOf(tipoAccettazione)
	content := filepath.Join(dir, "content")
	if err := os.WriteFile(content, l.body(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		args  []string
		want  Verdict
		doubt string
		note  string
	}{
		{name: "SHA-256", args: []string{"-md", "sha256"}, want: Valid},
		{name: "SHA-1", args: []string{"-md", "sha1"}, want: Valid, note: NoteSHA1},
		{name: "SHA-512", args: []string{"-md", "sha512"}, want: Valid},
		{name: "streamed, which embeds the content", args: []string{"-md", "sha256", "-stream"}, want: Malformed, doubt: "P7S_EMBEDS_CONTENT"},
		{name: "no attributes", args: []string{"-md", "sha256", "-noattr"}, want: Valid},
		{name: "no certificate inside", args: []string{"-md", "sha256", "-nocerts"}, want: Unverifiable, doubt: "NO_CERTIFICATE"},
		{name: "signer by key identifier", args: []string{"-md", "sha256", "-keyid"}, want: Unverifiable, doubt: "NO_KNOWN_SIGNER"},
		{name: "RSASSA-PSS", args: []string{"-md", "sha256", "-keyopt", "rsa_padding_mode:pss"}, want: Unverifiable, doubt: "ALGORITHM"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "p7s")
			args := append([]string{"cms", "-sign", "-binary", "-in", content, "-signer", cert, "-inkey", secret, "-outform", "DER", "-out", out}, tc.args...)
			if text, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
				t.Skipf("this openssl cannot sign so: %s", text)
			}
			p7s, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			r := office(usual())
			r.roots = pool
			got := r.read(l.wrap(l.body(), p7s), seenAt, seenAt).receipt
			if got.Verdict() != tc.want || got.Doubt != tc.doubt || (tc.note != "") != (len(got.Notes) == 1 && got.Notes[0] == tc.note) {
				t.Errorf("%s (%s) notes %v, want %s (%s) %s", got.Verdict(), got.Doubt, got.Notes, tc.want, tc.doubt, tc.note)
			}
		})
	}
}

// TestOpenSSLAgrees: whole messages that we believe it verifies, and those that were changed it does not, by the command
// that pec.md section 9 gives.
func TestOpenSSLAgrees(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on this machine")
	}
	h := realistic(t)
	dir := t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	// It takes a boundary for found where a line begins with it, so that one must not begin the other.
	apart := swapped("------=_Part\r\n", "------=_Outer\r\n", "------=_Part--", "------=_Outer--", `"----=_Part"`, `"----=_Outer"`)
	l := receiptOf(tipoConsegna)
	l.original, l.daticert = "Subject: x\r\n\r\nciao", strings.Replace(l.daticert, formShort, formComplete, 1)
	whole := apart(string(l.seal(t, h)))
	body := l.body()
	for _, tc := range []struct {
		name, raw string
		want      Verdict
	}{
		{"whole", whole, Valid},
		{"in BER", apart(string(l.wrap(body, toBER(t, h.sign(t, body))))), Valid},
		{"another subject outside", swapped("Subject: CONSEGNA", "Subject: ACCETTAZIONE")(whole), Valid},
		{"another preamble", swapped("This is a", "Questo e' un")(whole), Valid},
		{"a letter within", swapped("ciao", "cias")(whole), BadSignature},
		{"a blank within", swapped("stato accettato", "stato  accettato")(whole), BadSignature},
		{"another's certificate", apart(string(l.seal(t, newHouse(t, nil)))), UntrustedChain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "message.eml")
			if err := os.WriteFile(file, []byte(tc.raw), 0o600); err != nil {
				t.Fatal(err)
			}
			text, err := exec.CommandContext(t.Context(), openssl, "cms", "-verify", "-in", file, "-CAfile", roots, "-purpose", "any", "-out", os.DevNull).CombinedOutput()
			got := office(h).read([]byte(tc.raw), seenAt, seenAt).receipt
			if got.Verdict() != tc.want || (err == nil) != (tc.want == Valid) {
				t.Errorf("%s (%s), want %s; openssl: %v\n%s", got.Verdict(), got.Doubt, tc.want, err, text)
			}
		})
	}
}
