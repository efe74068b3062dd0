package soap

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

// resign signs a message that was changed anew, digests included: a peer with other habits than ours, not an attacker.
func (p *party) resign(t testing.TB, text string) string {
	t.Helper()
	return edit(t, text, func(root, _, security, _ *etree.Element) {
		sig := security.SelectElement("Signature")
		info := sig.SelectElement("SignedInfo")
		for _, ref := range info.SelectElements("Reference") {
			part := root.FindElement(`//[@wsu:Id='` + strings.TrimPrefix(attrOf(ref, "URI"), "#") + `']`)
			canonical, err := Canonical(part)
			if err != nil {
				t.Fatal(err)
			}
			ref.SelectElement("DigestValue").SetText(base64.StdEncoding.EncodeToString(sum(crypto.SHA256, canonical)))
		}
		canonical, err := Canonical(info)
		if err != nil {
			t.Fatal(err)
		}
		value, err := p.key.Sign(rand.Reader, sum(crypto.SHA256, canonical), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if value, err = fixed(p.key.Public().(*ecdsa.PublicKey), value); err != nil {
			t.Fatal(err)
		}
		sig.SelectElement("SignatureValue").SetText("\n" + base64.StdEncoding.EncodeToString(value) + "\n")
	})
}

func TestHonestPeersMaySignInOtherWays(t *testing.T) {
	t.Parallel()
	p, other := newParty(t, p256(t), nil, nil), newParty(t, p256(t), nil, nil)
	good := p.answer(t, yes)
	pinned := p.verifier()
	two := p.verifier()
	two.Certificates = append(two.Certificates, other.cert)
	cert := base64.StdEncoding.EncodeToString(p.cert.Raw)
	refTo := func(security *etree.Element, place string) *etree.Element {
		id := attrValue(security.FindElement(place), "wsu:Id")
		return security.FindElement(`.//Reference[@URI='#` + id + `']`)
	}
	keyInfo := func(inner string) func(_, _, security, _ *etree.Element) {
		return func(_, _, security, _ *etree.Element) {
			info := security.FindElement("./Signature/KeyInfo")
			info.Child = nil
			for _, el := range tree(t, `<x xmlns:ds="`+NSSignature+`" xmlns:wsse="`+NSSecurity+`">`+inner+`</x>`).Root().ChildElements() {
				info.AddChild(el)
			}
		}
	}
	timestamp := func(inner string) func(_, _, security, _ *etree.Element) {
		return func(_, _, security, _ *etree.Element) {
			el := security.SelectElement("Timestamp")
			el.Child = nil
			for _, c := range tree(t, `<x xmlns:wsu="`+NSUtility+`">`+inner+`</x>`).Root().ChildElements() {
				el.AddChild(c)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		v      *Verifier
		change func(root, header, security, body *etree.Element)
		want   error
	}{
		{"signed anew", pinned, func(_, _, _, _ *etree.Element) {}, nil},
		{"blanks and comments between the elements", pinned, func(_, _, security, _ *etree.Element) {
			security.InsertChildAt(0, etree.NewText("\n  "))
			security.InsertChildAt(0, etree.NewComment(" x "))
		}, nil},
		{"the certificate in KeyInfo", pinned, keyInfo(`<ds:X509Data><ds:X509IssuerSerial/><ds:X509Certificate>` + cert[:60] + "\n" + cert[60:] + `</ds:X509Certificate></ds:X509Data>`), nil},
		{"the certificate in a token reference", pinned, keyInfo(`<wsse:SecurityTokenReference><ds:X509Data><ds:X509Certificate>` + cert + `</ds:X509Certificate></ds:X509Data></wsse:SecurityTokenReference>`), nil},
		{"a name in place of the one certificate that is trusted", pinned, keyInfo(`<wsse:SecurityTokenReference><wsse:KeyIdentifier>x</wsse:KeyIdentifier></wsse:SecurityTokenReference>`), nil},
		{"a name in place of one of two", two, keyInfo(`<wsse:SecurityTokenReference><wsse:KeyIdentifier>x</wsse:KeyIdentifier></wsse:SecurityTokenReference>`), errToken},
		{"two certificates in KeyInfo", pinned, keyInfo(`<ds:X509Data><ds:X509Certificate>` + cert + `</ds:X509Certificate><ds:X509Certificate>` + cert + `</ds:X509Certificate></ds:X509Data>`), errToken},
		{"a certificate that is not base64", pinned, keyInfo(`<ds:X509Data><ds:X509Certificate>!</ds:X509Certificate></ds:X509Data>`), errToken},
		{"a reference to no token", pinned, keyInfo(`<wsse:SecurityTokenReference><wsse:Reference URI="#none"/></wsse:SecurityTokenReference>`), errToken},
		{"an empty KeyInfo", pinned, keyInfo(``), errShape},
		{"an empty token reference", pinned, keyInfo(`<wsse:SecurityTokenReference/>`), errShape},

		{"the Timestamp is not signed", pinned, func(_, _, security, _ *etree.Element) {
			ref := refTo(security, "./Timestamp")
			ref.Parent().RemoveChild(ref)
		}, errPart},
		{"no Timestamp", pinned, func(_, _, security, _ *etree.Element) {
			ref := refTo(security, "./Timestamp")
			ref.Parent().RemoveChild(ref)
			security.RemoveChild(security.SelectElement("Timestamp"))
		}, errPart},
		{"a required block is not signed", pinned, func(_, header, security, _ *etree.Element) {
			ref := security.FindElement(`.//Reference[@URI='#` + attrValue(header.SelectElement("To"), "wsu:Id") + `']`)
			ref.Parent().RemoveChild(ref)
		}, errPart},
		{"a part twice", pinned, func(_, _, security, _ *etree.Element) {
			ref := refTo(security, "./Timestamp")
			ref.Parent().AddChild(ref.Copy())
		}, errReferences},
		{"a Timestamp without Expires", pinned, timestamp(`<wsu:Created>2026-11-21T12:00:00Z</wsu:Created>`), errTimestamp},
		{"a Timestamp that is no time", pinned, timestamp(`<wsu:Created>2026-11-21T12:00:00Z</wsu:Created><wsu:Expires>domani</wsu:Expires>`), errTimestamp},
		{"a Timestamp that ends before it begins", pinned, timestamp(`<wsu:Created>2026-11-21T12:00:00Z</wsu:Created><wsu:Expires>2026-11-21T11:59:59Z</wsu:Expires>`), errTimestamp},
		{"a Timestamp with a comment in it", pinned, timestamp(`<wsu:Created>2026-11-21T12:00:00Z</wsu:Created><wsu:Expires>2026-11-21T12:05:<!-- x -->00Z</wsu:Expires>`), nil},

		{"a reference without a digest", pinned, func(_, _, security, _ *etree.Element) {
			ref := refTo(security, "./Timestamp")
			ref.AddChild(ref.SelectElement("DigestValue").Copy())
		}, errShape},
		{"something else among the references", pinned, func(_, _, security, _ *etree.Element) {
			ref := refTo(security, "./Timestamp").Copy()
			ref.Tag = "Manifest"
			security.FindElement(".//SignedInfo").AddChild(ref)
		}, errShape},
		{"a transform with two children", pinned, func(_, _, security, _ *etree.Element) {
			tr := security.FindElement(".//Transform")
			tr.CreateElement("x")
			tr.CreateElement("y")
		}, errAlgorithm},
		{"a transform with parameters nobody knows", pinned, func(_, _, security, _ *etree.Element) {
			security.FindElement(".//Transform").CreateElement("x")
		}, errAlgorithm},
		{"too many inclusive prefixes", pinned, func(_, _, security, _ *etree.Element) {
			list := security.FindElement(".//Transform").CreateElement("ec:InclusiveNamespaces")
			list.CreateAttr("xmlns:ec", ExclusiveC14N)
			list.CreateAttr("PrefixList", strings.Repeat("a ", maxPrefixList+1))
		}, errAlgorithm},
		{"a signature method with parameters", pinned, func(_, _, security, _ *etree.Element) {
			security.FindElement(".//SignatureMethod").CreateElement("x")
		}, errAlgorithm},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, body, err := verify(tc.v, noon, p.resign(t, edit(t, good, tc.change)))
			if !errors.Is(err, tc.want) || err == nil && !strings.Contains(body, "<valid>true</valid>") {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

func TestBrokenSignedRepliesAreRefused(t *testing.T) {
	t.Parallel()
	p := newParty(t, p256(t), nil, nil)
	good := p.answer(t, yes)
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"an entity that nobody declared": {strings.Replace(good, ">n<", ">&n;<", 1), errSyntax},
		"a digest that is not base64":    {strings.Replace(good, "<ds:DigestValue>", "<ds:DigestValue>!", 1), errShape},
		"a value that is not base64":     {strings.Replace(good, "<ds:SignatureValue>", "<ds:SignatureValue>!", 1), errValue},
	} {
		if _, _, err := verify(p.verifier(), noon, tc.text); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// A thousand elements and more are signed and verified: goxmldsig's own tree walk would refuse them.
func TestLongListsAreVerified(t *testing.T) {
	t.Parallel()
	p := newParty(t, p256(t), nil, nil)
	text := p.answer(t, `<told xmlns="urn:example:thing">`+strings.Repeat(`<row a="1">x</row>`, 5000)+`</told>`)
	if _, body, err := verify(&Verifier{Certificates: []*x509.Certificate{p.cert}, Parts: []xml.Name{addressing("To")}}, noon, text); err != nil || strings.Count(body, "<row") != 5000 {
		t.Error(err)
	}
}
