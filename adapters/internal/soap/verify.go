package soap

import (
	"crypto/subtle"
	"crypto/x509"
	"encoding/xml"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// Bounds on signatures.
const (
	maxReferences = 16
	maxPrefixList = 16
)

var (
	errUnsigned     = rule("the reply is not signed")
	errSignatures   = rule("the reply has a signature elsewhere than once in its Security header")
	errSecurities   = rule("the reply has more than one Security header for us")
	errIDs          = rule("the reply gives one Id to two elements, or none that is a name")
	errAlgorithm    = rule("the reply's signature uses an algorithm that is not accepted here")
	errShape        = rule("the reply's signature does not have the shape of WS-Security")
	errReferences   = rule("the reply's signature has no reference, or too many")
	errReferent     = rule("the reply's signature refers to something that is not in the place of a signed part")
	errPart         = rule("the reply's signature leaves out a part that must be signed")
	errTwice        = rule("the reply has a part that must be signed more than once")
	errDigest       = rule("the reply was changed after it was signed")
	errValue        = rule("the reply's signature does not fit its certificate")
	errToken        = rule("the reply's signature does not bring a certificate that can be read")
	errTrust        = rule("the reply is signed with a certificate that is not trusted here")
	errKeyUse       = rule("the reply is signed with a certificate that is not for signing")
	errCertValidity = rule("the reply is signed with a certificate that is not valid now")
	errTimestamp    = rule("the reply's Timestamp cannot be read")
	errExpired      = rule("the reply's Timestamp has expired")
	errFuture       = rule("the reply's Timestamp lies in the future: see whether our clock is right")
)

// A Verifier judges the signatures of replies. Body and Timestamp must be signed, whatever Parts adds.
type Verifier struct {
	// Certificates are trusted themselves; Roots are trusted to issue. At least one of the two is needed.
	Certificates []*x509.Certificate
	Roots        *x509.CertPool
	// Parts lists header blocks, or elements of the Security header, that must be there once, and be signed.
	Parts []xml.Name
	// Skew is by how much the peer's clock may be ahead of ours, or behind; zero: a minute.
	Skew time.Duration
}

// A Signature is one that was verified.
type Signature struct {
	Certificate *x509.Certificate
	// Created and Expires are the Timestamp's.
	Created, Expires time.Time
	// Parts are the signed elements, in the order of the signature.
	Parts []xml.Name
}

// envelope verifies a reply and gives an envelope that holds nothing but the Body, in the very bytes that were digested.
func (v *Verifier) envelope(now time.Time, env *envelope) (*Signature, []byte, error) {
	text := env.text
	if env.spaced {
		text = normalize(text)
	}
	doc := etree.NewDocument()
	doc.ReadSettings.PreserveDuplicateAttrs = true
	if doc.ReadFromBytes(text) != nil || doc.Root() == nil {
		return nil, nil, errSyntax
	}
	d := document{root: doc.Root(), ids: map[string]*etree.Element{}}
	if err := d.survey(d.root); err != nil {
		return nil, nil, err
	}
	if d.signature == nil {
		return nil, nil, errUnsigned
	}
	cert, refs, err := v.signed(now, &d)
	if err != nil {
		return nil, nil, err
	}
	out := &Signature{Certificate: cert}
	var body []byte
	parts := map[*etree.Element]bool{}
	for _, ref := range refs {
		if parts[ref.part] {
			return nil, nil, errReferences // each costs as much as the part is long
		}
		parts[ref.part] = true
		canonical, err := ref.verify()
		if err != nil {
			return nil, nil, err
		}
		out.Parts = append(out.Parts, nameOf(ref.part))
		if ref.part == d.body {
			body = canonical
		}
	}
	if body == nil {
		return nil, nil, errPart
	}
	if err := v.complete(&d, parts); err != nil {
		return nil, nil, err
	}
	if out.Created, out.Expires, err = v.timely(now, &d); err != nil {
		return nil, nil, err
	}
	return out, slices.Concat([]byte(`<Envelope xmlns="`+NSEnvelope+`">`), body, []byte(`</Envelope>`)), nil
}

// A reference is a part and what the signature says of it.
type reference struct {
	part     *etree.Element
	prefixes []string
	digest   string
	value    []byte
}

func (r *reference) verify() (canonical []byte, err error) {
	if canonical, err = Canonical(r.part, r.prefixes...); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(sum(digests[r.digest], canonical), r.value) != 1 {
		return nil, errDigest
	}
	return canonical, nil
}

// signed verifies SignedInfo, and gives what it refers to.
func (v *Verifier) signed(now time.Time, d *document) (*x509.Certificate, []*reference, error) {
	info, value, keyInfo, err := parts3(d.signature)
	if err != nil {
		return nil, nil, err
	}
	children := info.ChildElements()
	if len(children) < 3 || !isDS(children[0], "CanonicalizationMethod") || !isDS(children[1], "SignatureMethod") {
		return nil, nil, errShape
	}
	prefixes, err := exclusiveOnly(children[0])
	if err != nil {
		return nil, nil, err
	}
	m, ok := methods[attrOf(children[1], "Algorithm")]
	if !ok || len(children[1].ChildElements()) > 0 {
		return nil, nil, errAlgorithm
	}
	if len(children) > 2+maxReferences {
		return nil, nil, errReferences
	}
	refs := make([]*reference, 0, len(children)-2)
	for _, el := range children[2:] {
		ref, err := d.reference(el)
		if err != nil {
			return nil, nil, err
		}
		refs = append(refs, ref)
	}
	cert, err := v.certificate(now, d, keyInfo)
	if err != nil {
		return nil, nil, err
	}
	text, err := Canonical(info, prefixes...)
	if err != nil {
		return nil, nil, err
	}
	signature, err := unbase64(textOf(value))
	if err != nil || !genuine(cert.PublicKey, m, text, signature) {
		return nil, nil, errValue
	}
	return cert, refs, nil
}

// parts3 takes a Signature apart: SignedInfo, SignatureValue and KeyInfo, in this order and nothing else.
func parts3(sig *etree.Element) (info, value, keyInfo *etree.Element, err error) {
	c := sig.ChildElements()
	if len(c) != 3 || !isDS(c[0], "SignedInfo") || !isDS(c[1], "SignatureValue") || !isDS(c[2], "KeyInfo") {
		return nil, nil, nil, errShape
	}
	return c[0], c[1], c[2], nil
}

// reference reads one, and finds its part: the Body, a header block, or a child of the Security header.
func (d *document) reference(el *etree.Element) (*reference, error) {
	c := el.ChildElements()
	if !isDS(el, "Reference") || len(c) != 3 || !isDS(c[0], "Transforms") || !isDS(c[1], "DigestMethod") || !isDS(c[2], "DigestValue") {
		return nil, errShape
	}
	id, local := strings.CutPrefix(attrOf(el, "URI"), "#")
	part := d.ids[id]
	if !local || part == nil || part == d.signature {
		return nil, errReferent
	}
	if part != d.body && (d.header == nil || part.Parent() != d.header) && part.Parent() != d.security {
		return nil, errReferent
	}
	transforms := c[0].ChildElements()
	if len(transforms) != 1 || !isDS(transforms[0], "Transform") {
		return nil, errAlgorithm
	}
	prefixes, err := exclusiveOnly(transforms[0])
	if err != nil {
		return nil, err
	}
	r := &reference{part: part, prefixes: prefixes, digest: attrOf(c[1], "Algorithm")}
	if _, ok := digests[r.digest]; !ok {
		return nil, errAlgorithm
	}
	if r.value, err = unbase64(textOf(c[2])); err != nil {
		return nil, errShape
	}
	return r, nil
}

// exclusiveOnly reads the one transform that is accepted, with its PrefixList.
func exclusiveOnly(el *etree.Element) (prefixes []string, err error) {
	if attrOf(el, "Algorithm") != ExclusiveC14N {
		return nil, errAlgorithm
	}
	c := el.ChildElements()
	if len(c) == 0 {
		return nil, nil
	}
	if len(c) > 1 || nameOf(c[0]) != (xml.Name{Space: ExclusiveC14N, Local: "InclusiveNamespaces"}) {
		return nil, errAlgorithm
	}
	prefixes = strings.Fields(attrOf(c[0], "PrefixList"))
	if len(prefixes) > maxPrefixList {
		return nil, errAlgorithm
	}
	return prefixes, nil
}

// certificate finds who signed: a token of the Security header, or the certificate in KeyInfo itself, or, where KeyInfo
// only names one, the single certificate that is trusted.
func (v *Verifier) certificate(now time.Time, d *document, keyInfo *etree.Element) (*x509.Certificate, error) {
	c := keyInfo.ChildElements()
	if len(c) != 1 {
		return nil, errShape
	}
	inner := c[0]
	if nameOf(inner) == (xml.Name{Space: NSSecurity, Local: "SecurityTokenReference"}) {
		if c = inner.ChildElements(); len(c) != 1 {
			return nil, errShape
		}
		inner = c[0]
	}
	text := ""
	switch nameOf(inner) {
	case xml.Name{Space: NSSecurity, Local: "Reference"}:
		token := d.ids[strings.TrimPrefix(attrOf(inner, "URI"), "#")]
		if token == nil || token.Parent() != d.security || nameOf(token) != (xml.Name{Space: NSSecurity, Local: "BinarySecurityToken"}) ||
			attrOf(token, "ValueType") != tokenX509 {
			return nil, errToken
		}
		text = textOf(token)
	case xml.Name{Space: NSSignature, Local: "X509Data"}:
		for _, el := range inner.ChildElements() {
			if isDS(el, "X509Certificate") {
				if text != "" {
					return nil, errToken
				}
				text = textOf(el)
			}
		}
	}
	if text == "" {
		if len(v.Certificates) != 1 {
			return nil, errToken
		}
		return v.Certificates[0], v.trust(now, v.Certificates[0])
	}
	der, err := unbase64(text)
	if err != nil {
		return nil, errToken
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errToken
	}
	return cert, v.trust(now, cert)
}

func (v *Verifier) trust(now time.Time, cert *x509.Certificate) error {
	if cert.KeyUsage != 0 && cert.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return errKeyUse
	}
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return errCertValidity
	}
	if slices.ContainsFunc(v.Certificates, cert.Equal) {
		return nil
	}
	if v.Roots == nil {
		return errTrust
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: v.Roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return errTrust
	}
	return nil
}

// complete sees that every part that must be signed is there once, and signed.
func (v *Verifier) complete(d *document, signed map[*etree.Element]bool) error {
	for _, want := range append([]xml.Name{{Space: NSUtility, Local: "Timestamp"}}, v.Parts...) {
		var found *etree.Element
		for _, el := range append(d.header.ChildElements(), d.security.ChildElements()...) {
			if nameOf(el) != want {
				continue
			}
			if found != nil {
				return errTwice
			}
			found = el
		}
		if found == nil || !signed[found] {
			return errPart
		}
	}
	return nil
}

// timely judges the Timestamp, which complete has found signed, and there once.
func (v *Verifier) timely(now time.Time, d *document) (created, expires time.Time, err error) {
	skew := v.Skew
	if skew == 0 {
		skew = time.Minute
	}
	for _, el := range append(d.security.ChildElements(), d.header.ChildElements()...) {
		if nameOf(el) != (xml.Name{Space: NSUtility, Local: "Timestamp"}) {
			continue
		}
		c := el.ChildElements()
		if len(c) != 2 || nameOf(c[0]) != (xml.Name{Space: NSUtility, Local: "Created"}) || nameOf(c[1]) != (xml.Name{Space: NSUtility, Local: "Expires"}) {
			return created, expires, errTimestamp
		}
		var err1, err2 error
		created, err1 = time.Parse(time.RFC3339Nano, strings.TrimSpace(textOf(c[0])))
		expires, err2 = time.Parse(time.RFC3339Nano, strings.TrimSpace(textOf(c[1])))
		if err1 != nil || err2 != nil || !created.Before(expires) {
			return created, expires, errTimestamp
		}
	}
	switch {
	case created.After(now.Add(skew)):
		return created, expires, errFuture
	case !expires.Add(skew).After(now):
		return created, expires, errExpired
	}
	return created, expires, nil
}
