package soap

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
)

// A party has a key and a certificate.
type party struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newParty(t testing.TB, key crypto.Signer, change func(*x509.Certificate), by *party) *party {
	t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "far side"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0),
	}
	if change != nil {
		change(form)
	}
	parent, signer := form, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, form, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &party{key, cert}
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func addressing(local string) xml.Name { return xml.Name{Space: NSAddressing, Local: local} }

const wsaBlocks = `<wsa:To xmlns:wsa="` + NSAddressing + `">urn:us</wsa:To><wsa:MessageID xmlns:wsa="` + NSAddressing +
	`">urn:uuid:1</wsa:MessageID><x:Other xmlns:x="urn:x" a='single'/>`

func (p *party) signer() *Signer {
	return &Signer{Key: p.key, Certificate: p.cert, Blocks: []xml.Name{addressing("To"), addressing("MessageID")}}
}

// answer is a signed envelope, as a peer with our own habits would send it.
func (p *party) answer(t testing.TB, body string) string {
	t.Helper()
	text, err := p.signer().envelope(noon, []byte(wsaBlocks), []byte(body+"</soap:Body></soap:Envelope>"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p *party) verifier() *Verifier {
	return &Verifier{Certificates: []*x509.Certificate{p.cert}, Parts: []xml.Name{addressing("To"), addressing("MessageID")}}
}

var understood = []xml.Name{{Space: NSSecurity, Local: "Security"}}

// verify is what a reply goes through.
func verify(v *Verifier, at time.Time, text string) (*Signature, string, error) {
	b, err := decode("text/xml", []byte(text))
	if err != nil {
		return nil, "", err
	}
	env, err := scan(b, operation.Answer, nil, understood)
	if err != nil {
		return nil, "", err
	}
	sig, out, err := v.envelope(at, env)
	return sig, string(out), err
}

func TestASignedEnvelopeIsVerified(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey(), "ECDSA": p256(t)} {
		p := newParty(t, key, nil, nil)
		if err := p.signer().Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		sig, body, err := verify(p.verifier(), noon, p.answer(t, yes))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(sig.Parts) != 5 || !sig.Created.Equal(noon) || !sig.Expires.Equal(noon.Add(5*time.Minute)) || !sig.Certificate.Equal(p.cert) {
			t.Errorf("%s: %+v", name, sig)
		}
		if !strings.HasPrefix(body, `<Envelope xmlns="`+NSEnvelope+`"><soap:Body `) || !strings.Contains(body, yes) || strings.Contains(body, "Security") {
			t.Errorf("%s: what is decoded is %s", name, body)
		}
	}
}

func TestTrustIsByCertificateOrByIssuer(t *testing.T) {
	t.Parallel()
	ca := newParty(t, p256(t), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}, nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	leaf := newParty(t, p256(t), nil, ca)
	stranger := newParty(t, p256(t), nil, nil)
	year := 366 * 24 * time.Hour
	for _, tc := range []struct {
		name string
		by   *party
		v    Verifier
		at   time.Time
		want error
	}{
		{"the certificate itself", leaf, Verifier{Certificates: []*x509.Certificate{leaf.cert}}, noon, nil},
		{"one issued by a root", leaf, Verifier{Roots: roots}, noon, nil},
		{"a stranger with the same name", stranger, Verifier{Roots: roots, Certificates: []*x509.Certificate{leaf.cert}}, noon, errTrust},
		{"nobody is trusted", leaf, Verifier{}, noon, errTrust},
		{"a certificate that has expired", leaf, Verifier{Certificates: []*x509.Certificate{leaf.cert}}, noon.Add(year), errCertValidity},
		{
			"a certificate that is not for signing", newParty(t, p256(t), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, ca),
			Verifier{Roots: roots},
			noon, errKeyUse,
		},
	} {
		if _, _, err := verify(&tc.v, tc.at, tc.by.answer(t, yes)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestTheTimestampIsHeldAgainstTheClock(t *testing.T) {
	t.Parallel()
	p := newParty(t, p256(t), nil, nil)
	text := p.answer(t, yes)
	for _, tc := range []struct {
		name string
		at   time.Duration
		want error
	}{
		{"at once", 0, nil},
		{"the peer's clock is ahead by less than the skew", -59 * time.Second, nil},
		{"the peer's clock is ahead by more", -61 * time.Second, errFuture},
		{"shortly before the end", 5*time.Minute + 59*time.Second, nil},
		{"expired", 6 * time.Minute, errExpired},
	} {
		if _, _, err := verify(p.verifier(), noon.Add(tc.at), text); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// edit changes a signed envelope as an attacker would, who has no key.
func edit(t testing.TB, text string, change func(root, header, security, body *etree.Element)) string {
	t.Helper()
	doc := tree(t, text)
	root := doc.Root()
	header, body := root.SelectElement("Header"), root.SelectElement("Body")
	change(root, header, header.SelectElement("Security"), body)
	doc.WriteSettings = etree.WriteSettings{CanonicalText: true, CanonicalAttrVal: true, CanonicalEndTags: true}
	out, err := doc.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const forged = `<told xmlns="urn:example:thing"><valid>false</valid><note>forged</note></told>`

func TestWrappedAndBrokenSignaturesAreRefused(t *testing.T) {
	t.Parallel()
	p := newParty(t, p256(t), nil, nil)
	good := p.answer(t, yes)
	replace := func(old, by string) func() string {
		return func() string {
			if !strings.Contains(good, old) {
				t.Fatalf("no %s in the message", old)
			}
			return strings.Replace(good, old, by, 1)
		}
	}
	edited := func(change func(root, header, security, body *etree.Element)) func() string {
		return func() string { return edit(t, good, change) }
	}
	fake := func(id string) *etree.Element {
		attr := ""
		if id != "" {
			attr = ` xmlns:wsu="` + NSUtility + `" wsu:Id="` + id + `"`
		}
		return tree(t, `<soap:Body xmlns:soap="`+NSEnvelope+`"`+attr+`>`+forged+`</soap:Body>`).Root()
	}
	for _, tc := range []struct {
		name string
		text func() string
		want error
	}{
		{"untouched", edited(func(_, _, _, _ *etree.Element) {}), nil},
		{"another prefix for what is not signed", replace(`<wsse:Security xmlns:wsse="`+NSSecurity+`" soap:`, `<wsse:Security xmlns:q="`+NSEnvelope+`" xmlns:wsse="`+NSSecurity+`" q:`), nil},
		{"XSW: the signed Body moves into a wrapper in the Header", edited(func(root, header, _, body *etree.Element) {
			header.CreateElement("Wrapper").AddChild(root.RemoveChild(body))
			root.AddChild(fake("other"))
		}), errReferent},
		{"XSW: the signed Body becomes a header block", edited(func(root, header, _, body *etree.Element) {
			header.AddChild(root.RemoveChild(body))
			root.AddChild(fake(""))
		}), errPart},
		{"XSW: the signed Body moves into Security", edited(func(root, _, security, body *etree.Element) {
			security.AddChild(root.RemoveChild(body))
			root.AddChild(fake(""))
		}), errPart},
		{"XSW: the signed Body moves into the signature", edited(func(root, _, security, body *etree.Element) {
			security.SelectElement("Signature").CreateElement("ds:Object").AddChild(root.RemoveChild(body))
			root.AddChild(fake(""))
		}), errShape},
		{"XSW: the signed Body moves into the new one", edited(func(root, _, _, body *etree.Element) {
			root.RemoveChild(body)
			other := fake("other")
			other.ChildElements()[0].AddChild(body)
			root.AddChild(other)
		}), errReferent},
		{"XSW: the new Body takes the signed one's Id", edited(func(root, header, _, body *etree.Element) {
			id := attrValue(body, "wsu:Id")
			header.CreateElement("Wrapper").AddChild(root.RemoveChild(body))
			root.AddChild(fake(id))
		}), errIDs},
		{"XSW: a second Body before the signed one", edited(func(root, _, _, body *etree.Element) {
			root.InsertChildAt(body.Index(), fake("other"))
		}), errStructure},
		{"XSW: a second element beside the signed one", edited(func(_, _, _, body *etree.Element) {
			body.AddChild(tree(t, forged).Root())
		}), errBodyMany},
		{"XSW: the Timestamp moves away and a fresh one takes its place", edited(func(_, header, security, _ *etree.Element) {
			old := security.SelectElement("Timestamp")
			fresh := old.Copy()
			fresh.RemoveAttr("wsu:Id")
			header.AddChild(security.RemoveChild(old))
			security.AddChild(fresh)
		}), errTwice},
		{"XSW: a second To that is not signed", edited(func(_, header, _, _ *etree.Element) {
			extra := header.SelectElement("To").Copy()
			extra.RemoveAttr("wsu:Id")
			header.AddChild(extra)
		}), errTwice},
		{"a duplicate Id", edited(func(_, header, _, body *etree.Element) {
			block := header.CreateElement("Extra")
			block.CreateAttr("xmlns:wsu", NSUtility)
			block.CreateAttr("wsu:Id", attrValue(body, "wsu:Id"))
		}), errIDs},
		{"an unsigned part: To's Id is gone", edited(func(_, header, _, _ *etree.Element) {
			header.SelectElement("To").RemoveAttr("wsu:Id")
		}), errReferent},
		{"a part that is missing", edited(func(_, header, _, _ *etree.Element) {
			header.RemoveChild(header.SelectElement("To"))
		}), errReferent},
		{"no Security header", edited(func(_, header, security, _ *etree.Element) { header.RemoveChild(security) }), errUnsigned},
		{"a Security header without a signature", edited(func(_, _, security, _ *etree.Element) {
			security.RemoveChild(security.SelectElement("Signature"))
		}), errUnsigned},
		{"a signature beside Security", edited(func(_, header, security, _ *etree.Element) {
			moved := security.SelectElement("Signature")
			moved.CreateAttr("xmlns:wsse", NSSecurity)
			header.AddChild(security.RemoveChild(moved))
		}), errSignatures},
		{"a signature in the Body", edited(func(_, _, security, body *etree.Element) {
			extra := security.SelectElement("Signature").Copy()
			extra.CreateAttr("xmlns:wsse", NSSecurity)
			body.ChildElements()[0].AddChild(extra)
		}), errSignatures},
		{"two signatures", edited(func(_, _, security, _ *etree.Element) {
			security.AddChild(security.SelectElement("Signature").Copy())
		}), errSignatures},
		{"two Security headers", edited(func(_, header, security, _ *etree.Element) {
			header.AddChild(tree(t, `<s:Security xmlns:s="`+NSSecurity+`"/>`).Root())
		}), errSecurities},
		{"a changed Body", replace("<valid>true", "<valid>false"), errDigest},
		{"a changed header block", replace("urn:us", "urn:me"), errDigest},
		{"a changed Timestamp", replace("12:05:00", "23:05:00"), errDigest},
		{"another canonicalization", replace(ExclusiveC14N, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"), errAlgorithm},
		{"canonicalization with comments", replace(ExclusiveC14N, ExclusiveC14N+"WithComments"), errAlgorithm},
		{"SHA-1 as digest", replace(digestSHA256, "http://www.w3.org/2000/09/xmldsig#sha1"), errAlgorithm},
		{"a MAC in place of a signature", replace("more#ecdsa-sha256", "more#hmac-sha256"), errAlgorithm},
		{"an algorithm that is not the key's", replace("more#ecdsa-sha256", "more#rsa-sha256"), errValue},
		{"an XPath transform", edited(func(_, _, security, _ *etree.Element) {
			tr := security.FindElement(".//Transforms")
			tr.CreateElement("ds:Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
		}), errAlgorithm},
		{"a reference to everything", edited(func(_, _, security, _ *etree.Element) {
			security.FindElement(".//Reference").CreateAttr("URI", "")
		}), errReferent},
		{"a reference to somewhere else", edited(func(_, _, security, _ *etree.Element) {
			security.FindElement(".//Reference").CreateAttr("URI", "http://peer.example/")
		}), errReferent},
		{"too many references", edited(func(_, _, security, _ *etree.Element) {
			info := security.FindElement(".//SignedInfo")
			for range maxReferences {
				info.AddChild(info.SelectElement("Reference").Copy())
			}
		}), errReferences},
		{"a signature of nothing", edited(func(_, _, security, _ *etree.Element) {
			info := security.FindElement(".//SignedInfo")
			for _, r := range info.SelectElements("Reference") {
				info.RemoveChild(r)
			}
		}), errShape},
		{"a reference less", edited(func(_, _, security, _ *etree.Element) {
			info := security.FindElement(".//SignedInfo")
			info.RemoveChild(info.SelectElement("Reference"))
		}), errValue},
		{"a token that is no certificate", edited(func(_, _, security, _ *etree.Element) {
			security.SelectElement("BinarySecurityToken").SetText("bm9uZQ==")
		}), errToken},
		{"a processing instruction", replace("<soap:Header>", "<?x y?><soap:Header>"), errInstruction},
		{"a document type", replace(envelopeHead, "<!DOCTYPE x>"+envelopeHead), errDoctype},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, body, err := verify(p.verifier(), noon, tc.text())
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if strings.Contains(body, "forged") {
				t.Error("what was forged is decoded")
			}
		})
	}
}

func attrValue(el *etree.Element, key string) string { return el.SelectAttrValue(key, "") }

func TestTheSignerRefuses(t *testing.T) {
	t.Parallel()
	a, b := newParty(t, p256(t), nil, nil), newParty(t, p256(t), nil, nil)
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Signer{
		"no key": {}, "no certificate": {Key: a.key}, "another's certificate": {Key: a.key, Certificate: b.cert},
		"a weak key": {Key: weak, Certificate: a.cert},
	} {
		if s.Check() == nil {
			t.Errorf("%s: nothing wrong", name)
		}
	}
	for name, blocks := range map[string]string{
		"a block is missing":       `<wsa:To xmlns:wsa="` + NSAddressing + `"/>`,
		"a block comes twice":      wsaBlocks + `<wsa:To xmlns:wsa="` + NSAddressing + `"/>`,
		"a broken block":           wsaBlocks + `<x`,
		"wsu means something else": strings.Replace(wsaBlocks, `<wsa:To `, `<wsa:To xmlns:wsu="urn:other" `, 1),
	} {
		if _, err := a.signer().envelope(noon, []byte(blocks), []byte(yes+"</soap:Body></soap:Envelope>")); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}
