package soap

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// xmlsec1 knows no wsu:Id by itself: each kind of signed element is named to it.
func idAttrs() (args []string) {
	for _, n := range []xml.Name{
		{Space: NSEnvelope, Local: "Body"},
		{Space: NSUtility, Local: "Timestamp"},
		{Space: NSSecurity, Local: "BinarySecurityToken"},
		addressing("To"), addressing("MessageID"),
	} {
		args = append(args, "--id-attr:Id", n.Space+":"+n.Local)
	}
	return args
}

func pemFile(t testing.TB, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func xmlsec(t testing.TB, mode string, text string, args ...string) ([]byte, error) {
	t.Helper()
	bin := tool(t, "xmlsec1")
	file := filepath.Join(t.TempDir(), "m.xml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(append([]string{mode}, args...), idAttrs()...)
	return exec.CommandContext(t.Context(), bin, append(args, file)...).CombinedOutput()
}

func TestXmlsecAcceptsOurSignatures(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey(), "ECDSA": p256(t)} {
		p := newParty(t, key, nil, nil)
		text := p.answer(t, `<told xmlns="urn:example:thing" a="x&#xA;y"><note>è €  &amp; &#xD; &lt;</note></told>`)
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		pub := pemFile(t, "PUBLIC KEY", der)
		if out, err := xmlsec(t, "--verify", text, "--pubkey-pem", pub); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if out, err := xmlsec(t, "--verify", strings.Replace(text, "urn:us", "urn:me", 1), "--pubkey-pem", pub); err == nil {
			t.Errorf("%s: a changed header block is accepted\n%s", name, out)
		}
	}
}

// template is a message that awaits its signature, in the manner of other stacks: their prefixes, lists of inclusive
// prefixes, line ends, CDATA, comments, default namespaces.
func template(t testing.TB, p *party, method, transform, body string) string {
	t.Helper()
	ref := func(id string) string {
		return `<ds:Reference URI="#` + id + `"><ds:Transforms>` + transform + `</ds:Transforms>
<ds:DigestMethod Algorithm="` + digestSHA256 + `"/><ds:DigestValue/></ds:Reference>`
	}
	return `<?xml version="1.0"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="` + NSEnvelope + `" xmlns:u="` + NSUtility + `" xmlns:unused="urn:unused" xmlns="urn:outer">
  <SOAP-ENV:Header>
    <o:Security SOAP-ENV:mustUnderstand="1" xmlns:o="` + NSSecurity + `">
      <o:BinarySecurityToken EncodingType="` + tokenBase64 + `" ValueType="` + tokenX509 + `" u:Id="X509">` + base64.StdEncoding.EncodeToString(p.cert.Raw) + `</o:BinarySecurityToken>
      <u:Timestamp u:Id="TS"><u:Created>2026-11-21T12:00:00Z</u:Created><u:Expires>2026-11-21T13:05:00+01:00</u:Expires></u:Timestamp>
      <ds:Signature xmlns:ds="` + NSSignature + `"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + ExclusiveC14N + `"><ec:InclusiveNamespaces xmlns:ec="` + ExclusiveC14N + `" PrefixList="SOAP-ENV unused"/></ds:CanonicalizationMethod>
<ds:SignatureMethod Algorithm="` + signatureMore + method + `"/>` + ref("TS") + ref("B") + ref("X509") + `</ds:SignedInfo>
<ds:SignatureValue/><ds:KeyInfo><o:SecurityTokenReference><o:Reference URI="#X509" ValueType="` + tokenX509 + `"/></o:SecurityTokenReference></ds:KeyInfo></ds:Signature>
    </o:Security>
  </SOAP-ENV:Header>
  <SOAP-ENV:Body u:Id="B">` + body + `</SOAP-ENV:Body>
</SOAP-ENV:Envelope>`
}

func TestSignaturesOfXmlsecAreAccepted(t *testing.T) {
	t.Parallel()
	plain := `<ds:Transform Algorithm="` + ExclusiveC14N + `"/>`
	listed := `<ds:Transform Algorithm="` + ExclusiveC14N + `"><ec:InclusiveNamespaces xmlns:ec="` + ExclusiveC14N + `" PrefixList="#default unused"/></ds:Transform>`
	for name, tc := range map[string]struct{ method, transform, body string }{
		"plain":                           {"rsa-sha256", plain, yes},
		"SHA-512":                         {"rsa-sha512", plain, yes},
		"a list of inclusive prefixes":    {"rsa-sha256", listed, yes},
		"prefixes declared outside":       {"rsa-sha256", plain, `<unused:told xmlns:t="` + nsThing + `"><t:a/></unused:told>`},
		"the outer default namespace":     {"rsa-sha256", plain, `<told><note/></told>`},
		"no namespace":                    {"rsa-sha256", plain, `<t:told xmlns:t="urn:t"><note xmlns=""/></t:told>`},
		"no namespace, listed":            {"rsa-sha256", listed, `<t:told xmlns:t="urn:t"><note xmlns=""/></t:told>`},
		"CDATA and comments":              {"rsa-sha256", plain, `<told><![CDATA[a<b]]><!-- c --> &amp; &#233;</told>`},
		"line ends of another system":     {"rsa-sha256", plain, "<told>\r\n  <note>x\ry</note>\r\n</told>"},
		"white space in attribute values": {"rsa-sha256", plain, "<told a=\"x\n\ty\r\nz\" b='&#10;\"'/>"},
		"a redeclared prefix":             {"rsa-sha256", plain, `<a:told xmlns:a="urn:1"><a:x xmlns:a="urn:2"><a:y xmlns:a="urn:1"/></a:x></a:told>`},
	} {
		p := newParty(t, rsaKey(), nil, nil)
		der, err := x509.MarshalPKCS8PrivateKey(rsaKey())
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "signed.xml")
		if log, err := xmlsec(t, "--sign", template(t, p, tc.method, tc.transform, tc.body), "--privkey-pem", pemFile(t, "PRIVATE KEY", der), "--output", out); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, log)
		}
		signed, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		// xmlsec1 writes the document anew; what it signed may also be written as it was.
		head, rest, _ := bytes.Cut(signed, []byte(`<SOAP-ENV:Body u:Id="B">`))
		_, tail, _ := bytes.Cut(rest, []byte(`</SOAP-ENV:Body>`))
		raw := slices.Concat(head, []byte(`<SOAP-ENV:Body u:Id="B">`+tc.body+`</SOAP-ENV:Body>`), tail)
		v := &Verifier{Certificates: []*x509.Certificate{p.cert}}
		for _, text := range [][]byte{signed, raw} {
			if _, _, err := verify(v, noon.Add(-time.Minute), string(text)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := verify(v, noon.Add(-time.Minute), string(bytes.Replace(signed, []byte("2026-11-21T12"), []byte("2026-11-21T11"), 1))); !errors.Is(err, errDigest) {
			t.Errorf("%s, changed: %v", name, err)
		}
	}
}
