package entrate

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped = nsSignature + "enveloped-signature"
	rsaSHA1   = nsSignature + "rsa-sha1"
	digestSHA = nsSignature + "sha1"
)

func ds(local string) name { return name{nsSignature, local} }

// at follows a path of elements that each stand there once; nil where one does not.
func at(e *etree.Element, path ...string) *etree.Element {
	for _, local := range path {
		if e == nil {
			return nil
		}
		e = only(e, ds(local))
	}
	return e
}

func algorithm(e *etree.Element) string {
	return attr(e, "Algorithm")
}

// checkSignature wants the assertion signed as the annex says: enveloped, over itself and nothing else, with the old
// algorithms and no others, by the registered certificate.
func (m *Mock) checkSignature(a *etree.Element, id string) string {
	signature := only(a, ds("Signature"))
	info := at(signature, "SignedInfo")
	reference := at(info, "Reference")
	switch {
	case reference == nil:
		return "Signature: want one SignedInfo with one Reference"
	case attr(reference, "URI") != "#"+id:
		return "Reference: not to this assertion"
	case algorithm(at(info, "CanonicalizationMethod")) != exclusive:
		return "CanonicalizationMethod: want exclusive c14n without comments"
	case algorithm(at(info, "SignatureMethod")) != rsaSHA1:
		return "SignatureMethod: want rsa-sha1"
	case algorithm(at(reference, "DigestMethod")) != digestSHA:
		return "DigestMethod: want sha1"
	}
	transforms := at(reference, "Transforms")
	if transforms == nil {
		return "Transforms: missing"
	}
	steps := transforms.ChildElements()
	if len(steps) != 2 || algorithm(steps[0]) != enveloped || algorithm(steps[1]) != exclusive {
		return "Transforms: want enveloped-signature, then exclusive c14n without comments"
	}
	if rule := m.checkKeyInfo(at(signature, "KeyInfo", "X509Data")); rule != "" {
		return rule
	}
	digest, ok1 := decoded(at(reference, "DigestValue"))
	value, ok2 := decoded(at(signature, "SignatureValue"))
	if !ok1 || !ok2 {
		return "Signature: DigestValue or SignatureValue is no base64"
	}
	bare, err := detached(a)
	if err != nil {
		return "Signature: the assertion has no canonical form"
	}
	for _, c := range bare.ChildElements() {
		if c.Tag == "Signature" {
			bare.RemoveChild(c)
		}
	}
	if sum, err := canonicalSum(bare, steps[1]); err != nil || !bytes.Equal(sum, digest) {
		return "Signature: the digest is not that of the assertion"
	}
	signed, err := detached(info)
	if err != nil {
		return "Signature: SignedInfo has no canonical form"
	}
	sum, err := canonicalSum(signed, at(info, "CanonicalizationMethod"))
	if err != nil || rsa.VerifyPKCS1v15(&m.signer.PublicKey, crypto.SHA1, sum, value) != nil {
		return "Signature: does not verify with the registered certificate"
	}
	return ""
}

// checkKeyInfo wants the registered certificate, and its issuer and serial number beside it.
func (m *Mock) checkKeyInfo(data *etree.Element) string {
	der, ok := decoded(at(data, "X509Certificate"))
	if !ok || !bytes.Equal(der, m.signerCert.Raw) {
		return "X509Certificate: not the registered one"
	}
	issuer, _ := text(at(data, "X509IssuerSerial", "X509IssuerName"))
	serial, _ := text(at(data, "X509IssuerSerial", "X509SerialNumber"))
	if issuer != issuerName {
		return "X509IssuerName: not the certificate's issuer in the form of RFC 1779"
	}
	if serial != m.signerCert.SerialNumber.String() {
		return "X509SerialNumber: not the certificate's"
	}
	return ""
}

// decoded reads base64 as XML has it, with white space anywhere.
func decoded(e *etree.Element) ([]byte, bool) {
	s, ok := text(e)
	if !ok || s == "" {
		return nil, false
	}
	out, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	return out, err == nil
}

// detached is a copy of an element with the namespaces that it inherits.
func detached(e *etree.Element) (*etree.Element, error) {
	ctx, err := etreeutils.NSBuildParentContext(e)
	if err != nil {
		return nil, err
	}
	return etreeutils.NSDetatch(ctx, e)
}

// canonicalSum is the SHA-1, which the agency has fixed, of an element's exclusive canonical form; method may list prefixes to keep.
func canonicalSum(e, method *etree.Element) ([]byte, error) {
	prefixes := ""
	if list := only(method, name{exclusive, "InclusiveNamespaces"}); list != nil {
		prefixes = attr(list, "PrefixList")
	}
	canonical, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(e)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(canonical)
	return sum[:], nil
}
