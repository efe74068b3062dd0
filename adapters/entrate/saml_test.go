package entrate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"encoding/xml"
	"go/parser"
	"go/token"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

var morning = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// signerKey is made once: keys take longer than all that is done with them here.
var signerKey = sync.OnceValue(func() *rsa.PrivateKey {
	return contracttest.Sure(rsa.GenerateKey(rand.Reader, 2048))
})

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// identity is a valid SAML section, with its files in a folder of the test's.
func identity(t testing.TB) SAML {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pemOf(kind, der), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	issuer := &x509.Certificate{Subject: pkix.Name{
		Country: []string{"IT"}, Organization: []string{"Sigilli & Firme, S.p.A."}, CommonName: "CA <di prova>",
	}}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "asserzioni"}, SerialNumber: big.NewInt(0x7fffffffffffffff),
		NotBefore: morning.Add(-time.Hour), NotAfter: morning.Add(24 * time.Hour),
	}
	der := contracttest.Sure(x509.CreateCertificate(rand.Reader, leaf, issuer, signerKey().Public(), signerKey()))
	s := defaultSAML()
	s.Issuer, s.Body, s.Office, s.IP = "prova & collaudo", "80012345676", "R01", "192.0.2.7"
	s.Certificate = write("cert.pem", "CERTIFICATE", der)
	s.Key = contracts.Secret("secret://file/" + write("key.pem", "PRIVATE KEY", contracttest.Sure(x509.MarshalPKCS8PrivateKey(signerKey()))))
	return s
}

func asserting(t testing.TB, s SAML) *asserter {
	t.Helper()
	if err := s.validate("saml"); err != nil {
		t.Fatal(err)
	}
	a, err := newAsserter(t.Context(), s, "saml", contracts.Env{Clock: contracttest.NewClock(morning), Secret: contracttest.SecretFile})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// An assertion as a stranger reads it, by namespace.
type readAssertion struct {
	ID      string `xml:"ID,attr"`
	Version string `xml:"Version,attr"`
	Instant string `xml:"IssueInstant,attr"`
	Issuer  string `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	Subject struct {
		NameID struct {
			Format string `xml:"Format,attr"`
			Value  string `xml:",chardata"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
		Confirmation struct {
			Method string `xml:"Method,attr"`
			Data   window `xml:"urn:oasis:names:tc:SAML:2.0:assertion SubjectConfirmationData"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:assertion SubjectConfirmation"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion Subject"`
	Conditions window `xml:"urn:oasis:names:tc:SAML:2.0:assertion Conditions"`
	Authn      struct {
		Instant string `xml:"AuthnInstant,attr"`
		Class   string `xml:"AuthnContext>AuthnContextClassRef"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnStatement"`
	Attributes []struct {
		Name  string `xml:"Name,attr"`
		Value string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AttributeValue"`
	} `xml:"AttributeStatement>Attribute"`
	Signature struct {
		Algorithm struct {
			URI string `xml:"Algorithm,attr"`
		} `xml:"SignedInfo>SignatureMethod"`
		IssuerName string `xml:"KeyInfo>X509Data>X509IssuerSerial>X509IssuerName"`
		Serial     string `xml:"KeyInfo>X509Data>X509IssuerSerial>X509SerialNumber"`
	} `xml:"http://www.w3.org/2000/09/xmldsig# Signature"`
}

type window struct {
	From  time.Time `xml:"NotBefore,attr"`
	Until time.Time `xml:"NotOnOrAfter,attr"`
}

func readHeader(t testing.TB, text []byte) readAssertion {
	t.Helper()
	var header struct {
		XMLName   xml.Name
		Assertion readAssertion `xml:"urn:oasis:names:tc:SAML:2.0:assertion Assertion"`
	}
	if err := xml.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	if header.XMLName.Space != nsWSSE || header.XMLName.Local != "Security" {
		t.Errorf("the header is %v", header.XMLName)
	}
	return header.Assertion
}

func by(ctx context.Context, who contracts.Caller) context.Context {
	return contracts.WithCall(ctx, &contracts.Call{Op: &contracts.OpInfo{Name: "need.verb", Effect: contracts.Read}, Caller: who})
}

func TestAnAssertionSaysWhoAsksAndForHowLong(t *testing.T) {
	t.Parallel()
	a := asserting(t, identity(t))
	who, err := a.user(by(t.Context(), contracts.Caller{User: "u-<7>&ü", IP: "::ffff:203.0.113.9"}))
	if err != nil {
		t.Fatal(err)
	}
	got := readHeader(t, contracttest.Sure(a.security(who)))
	if got.Version != "2.0" || got.Issuer != "prova & collaudo" || got.Subject.NameID.Value != "80012345676/R01" ||
		got.Subject.NameID.Format != "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified" ||
		got.Subject.Confirmation.Method != "urn:oasis:names:tc:SAML:2.0:cm:bearer" ||
		got.Authn.Class != "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified" || got.Authn.Instant != got.Instant {
		t.Errorf("%+v", got)
	}
	for _, w := range []window{got.Conditions, got.Subject.Confirmation.Data} {
		if w.Until.Sub(w.From) != 5*time.Minute || w.From.After(morning) || !w.Until.After(morning.Add(4*time.Minute)) {
			t.Errorf("valid from %v until %v", w.From, w.Until)
		}
	}
	if len(got.Attributes) != 2 || got.Attributes[0].Name != "User" || got.Attributes[0].Value != "u-<7>&ü" ||
		got.Attributes[1].Name != "IP-User" || got.Attributes[1].Value != "203.0.113.9" {
		t.Errorf("%+v", got.Attributes)
	}
	if got.Signature.Algorithm.URI != "http://www.w3.org/2000/09/xmldsig#rsa-sha1" || got.Signature.Serial != "9223372036854775807" ||
		got.Signature.IssuerName != `CN="CA <di prova>", O="Sigilli & Firme, S.p.A.", C=IT` {
		t.Errorf("%+v", got.Signature)
	}
}

func TestEveryAssertionIsFresh(t *testing.T) {
	t.Parallel()
	s := identity(t)
	clock := contracttest.NewClock(morning)
	a := contracttest.Sure(newAsserter(t.Context(), s, "saml", contracts.Env{Clock: clock, Secret: contracttest.SecretFile}))
	seen := map[string]bool{}
	for i := range 50 {
		got := readHeader(t, contracttest.Sure(a.security(user{"system", "192.0.2.7"})))
		if seen[got.ID] || !strings.HasPrefix(got.ID, "_") || len(got.ID) != 37 {
			t.Fatalf("ID %q", got.ID)
		}
		seen[got.ID] = true
		if at := morning.Add(time.Duration(i) * time.Second).Format(samlTime); got.Instant != at {
			t.Errorf("issued at %s, want %s", got.Instant, at)
		}
		clock.Advance(time.Second)
	}
}

func TestUsersAreNamedOrRefusedNeverCut(t *testing.T) {
	t.Parallel()
	a := asserting(t, identity(t))
	for name, tc := range map[string]struct {
		who  contracts.Caller
		code string
		want user
	}{
		"no user is the system":             {contracts.Caller{}, "", user{"system", "192.0.2.7"}},
		"the system":                        {contracts.Caller{User: "system"}, "", user{"system", "192.0.2.7"}},
		"16 characters":                     {contracts.Caller{User: "0123456789abcdef", IP: "2001:db8::1"}, "", user{"0123456789abcdef", "2001:db8::1"}},
		"16 characters of more bytes":       {contracts.Caller{User: "àèìòùàèìòùàèìòùà"}, "", user{"àèìòùàèìòùàèìòùà", "192.0.2.7"}},
		"17 characters":                     {contracts.Caller{User: "0123456789abcdefg"}, "ENTRATE_USER", user{}},
		"a line end":                        {contracts.Caller{User: "a\nb"}, "ENTRATE_USER", user{}},
		"no UTF-8":                          {contracts.Caller{User: "a\xff"}, "ENTRATE_USER", user{}},
		"an address that is none":           {contracts.Caller{IP: "portal"}, "ENTRATE_IP", user{}},
		"an address with a port":            {contracts.Caller{IP: "192.0.2.1:80"}, "ENTRATE_IP", user{}},
		"an address that only we can route": {contracts.Caller{IP: "fe80::1%eth0"}, "ENTRATE_IP", user{}},
	} {
		got, err := a.user(by(t.Context(), tc.who))
		if tc.code == "" {
			if err != nil || got != tc.want {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		if e := contracttest.ErrorOf(t, err, contracts.Invalid, ""); e.Code != tc.code || strings.Contains(err.Error(), "0123") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := a.user(contracts.WithCaller(t.Context(), contracts.Caller{User: "u7"})); err != nil || got.name != "u7" {
		t.Errorf("%+v, %v: want the caller of a context without a call", got, err)
	}
}

func tool(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian: %s)", name, debian)
	}
	return path
}

// xmlsec gives the verdict of an implementation that shares nothing with ours.
func xmlsec(t testing.TB, program, cert string, doc []byte) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message.xml")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), program, "--verify", "--id-attr:ID", nsSAML+":Assertion", "--pubkey-cert-pem", cert, file).Run()
}

func TestXmlsecAcceptsTheSignatureAndRefusesAnyChange(t *testing.T) {
	t.Parallel()
	program := tool(t, "xmlsec1", "xmlsec1")
	s := identity(t)
	a := asserting(t, s)
	header := contracttest.Sure(a.security(user{escape("a<b>&ü"), "2001:db8::1"}))
	// Inside an envelope, under other default namespaces and prefixes of the same names: that is what exclusive c14n is for.
	envelope := func(header []byte) []byte {
		return []byte(`<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:other" xmlns:x="urn:x">` +
			`<e:Header>` + string(header) + `</e:Header><e:Body><x:y/></e:Body></e:Envelope>`)
	}
	for name, doc := range map[string][]byte{"alone": header, "in an envelope": envelope(header)} {
		if err := xmlsec(t, program, s.Certificate, doc); err != nil {
			t.Errorf("%s: xmlsec1 refuses it: %v", name, err)
		}
	}
	for what, change := range map[string][2]string{
		"the subject": {"80012345676/R01", "80012345676/R02"}, "the user": {"a&lt;b", "a&lt;c"}, "the address": {"db8::1<", "db8::2<"},
		"the end": {`NotOnOrAfter="2026-11-21T08:04`, `NotOnOrAfter="2026-11-21T09:04`}, "the issuer": {"prova &amp; c", "prova &amp; k"},
		"the digest": {"<ds:DigestValue>", "<ds:DigestValue>A"}, "an algorithm": {"#rsa-sha1", "#dsa-sha1"},
	} {
		changed := bytes.Replace(header, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(changed, header) {
			t.Fatalf("%s: nothing was changed", what)
		}
		if xmlsec(t, program, s.Certificate, envelope(changed)) == nil {
			t.Errorf("xmlsec1 accepts it with %s changed", what)
		}
	}
}

func TestIssuerNamesAreWrittenByRFC1779(t *testing.T) {
	t.Parallel()
	pair := func(n int, value any) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, n}, Value: value}
	}
	for want, name := range map[string]pkix.RDNSequence{
		"CN=CA, O=Ente, C=IT":   {{pair(6, "IT")}, {pair(10, "Ente")}, {pair(3, "CA")}},
		"CN=b + OU=a, C=IT":     {{pair(6, "IT")}, {pair(11, "a"), pair(3, "b")}},
		`O="A, B", ST=Roma`:     {{pair(8, "Roma")}, {pair(10, "A, B")}},
		`CN="dice \"ciao\" \\"`: {{pair(3, `dice "ciao" \`)}},
		`CN=" x"`:               {{pair(3, " x")}},
		`CN="a  b"`:             {{pair(3, "a  b")}},
		"OID.2.5.4.97=VATIT-1, L=Àlba, STREET=V": {{pair(9, "V")}, {pair(7, "Àlba")}, {pair(97, "VATIT-1")}},
	} {
		der := contracttest.Sure(asn1.Marshal(name))
		if got, err := issuerName(der); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	for what, der := range map[string][]byte{
		"nothing": nil, "an empty name": contracttest.Sure(asn1.Marshal(pkix.RDNSequence{})), "noise": {1, 2, 3},
		"a number": contracttest.Sure(asn1.Marshal(pkix.RDNSequence{{pair(3, 7)}})),
	} {
		if got, err := issuerName(der); err == nil {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestTheSAMLSectionNamesEveryFault(t *testing.T) {
	t.Parallel()
	bad := SAML{Issuer: " x", Body: "RSSMRA85T10A562S", Office: "R1", Key: "inline", Certificate: "/nowhere", IP: "host", Life: time.Hour}
	err := bad.validate("redditi.saml")
	for _, field := range []string{"issuer", "body", "office", "key", "certificate", "ip", "life"} {
		if err == nil || !strings.Contains(err.Error(), "redditi.saml."+field+": ") {
			t.Errorf("no fault at %s in %v", field, err)
		}
	}
	if err := new(SAML).validate("saml"); err == nil || !strings.Contains(err.Error(), "saml.certificate: ") {
		t.Errorf("the empty section: %v", err)
	}
}

func TestASignerWhoseFilesDoNotFitIsNotOpened(t *testing.T) {
	t.Parallel()
	good := identity(t)
	other := contracttest.Sure(rsa.GenerateKey(rand.Reader, 2048))
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "x.pem")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(other))
	for name, change := range map[string]func(*SAML){
		"another key":       func(s *SAML) { s.Key = contracts.Secret("secret://file/" + file(key)) },
		"no key":            func(s *SAML) { s.Key = "secret://file//nowhere" },
		"a key that is not": func(s *SAML) { s.Key = contracts.Secret("secret://file/" + file([]byte("SECRET"))) },
		"no certificate":    func(s *SAML) { s.Certificate = "/nowhere" },
		"a certificate that is not": func(s *SAML) {
			s.Certificate = file([]byte("SECRET"))
		},
	} {
		s := good
		change(&s)
		_, err := newAsserter(t.Context(), s, "saml", contracts.Env{Clock: contracts.SystemClock{}, Secret: contracttest.SecretFile})
		if err == nil || !strings.HasPrefix(err.Error(), "saml.") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want a fault at its setting", name, err)
		}
	}
}

// SHA-1 is broken for signatures. Two files judge what others made with it; one, which is ours here, makes signatures with
// it, since the counterpart accepts nothing else. Tests and mocks may do as their far sides do.
func TestSHA1StaysWhereItIsForced(t *testing.T) {
	t.Parallel()
	signs := filepath.Join("adapters", "entrate", "saml.go")
	may := map[string]bool{signs: true, filepath.Join("adapters", "pec", "compare.go"): true, filepath.Join("adapters", "pec", "verify.go"): true}
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if entry.IsDir() && (rel == "mocks" || rel != "." && strings.HasPrefix(entry.Name(), ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		for _, spec := range f.Imports {
			if spec.Path.Value == `"crypto/sha1"` && !may[rel] {
				t.Errorf("%s imports crypto/sha1", rel)
			}
		}
		if rel != signs && bytes.Contains(text, []byte("crypto.SHA1")) {
			t.Errorf("%s names crypto.SHA1: to sign with it is this package's misfortune alone", rel)
		}
		return nil
	})
	if err != nil || seen < 100 {
		t.Fatalf("%v, %d files read", err, seen)
	}
}
