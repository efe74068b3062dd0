package soap

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
)

// Algorithms of XML Signature that are spoken here. SHA-1 is not among them; a supplier who demands it is served by its
// own adapter, which passes its identifiers to SignedInfo.
const (
	// ExclusiveC14N is exclusive canonicalization without comments.
	ExclusiveC14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
	// EnvelopedSignature takes the signature out of the element that it signs and stands in.
	EnvelopedSignature = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"

	digestSHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
	digestSHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	digestSHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"

	signatureMore = "http://www.w3.org/2001/04/xmldsig-more#"
)

var digests = map[string]crypto.Hash{
	digestSHA256: crypto.SHA256, digestSHA384: crypto.SHA384, digestSHA512: crypto.SHA512,
}

// A method is a signature algorithm: what is hashed how, and whose key.
type method struct {
	hash crypto.Hash
	rsa  bool
}

var methods = map[string]method{
	signatureMore + "rsa-sha256": {crypto.SHA256, true}, signatureMore + "ecdsa-sha256": {crypto.SHA256, false},
	signatureMore + "rsa-sha384": {crypto.SHA384, true}, signatureMore + "ecdsa-sha384": {crypto.SHA384, false},
	signatureMore + "rsa-sha512": {crypto.SHA512, true}, signatureMore + "ecdsa-sha512": {crypto.SHA512, false},
}

// A Reference is one signed part, as SignedInfo tells of it.
type Reference struct {
	// ID of the part, without "#". It must be a name (NCName): it is written as it is.
	ID string
	// Transforms and Digest are identifiers of algorithms, in order.
	Transforms []string
	Digest     string
	Value      []byte // of the digest
}

// SignedInfo writes a ds:SignedInfo in its exclusive canonical form, so that what it gives is both what is signed and
// what is sent: it may be put anywhere below elements that do not declare the prefix ds otherwise. signature is the
// identifier of the signature's algorithm.
func SignedInfo(signature string, refs ...Reference) []byte {
	var b strings.Builder
	b.Grow(400 + 500*len(refs))
	b.WriteString(`<ds:SignedInfo xmlns:ds="` + NSSignature + `"><ds:CanonicalizationMethod Algorithm="` + ExclusiveC14N +
		`"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="` + signature + `"></ds:SignatureMethod>`)
	for _, r := range refs {
		b.WriteString(`<ds:Reference URI="#` + r.ID + `"><ds:Transforms>`)
		for _, t := range r.Transforms {
			b.WriteString(`<ds:Transform Algorithm="` + t + `"></ds:Transform>`)
		}
		b.WriteString(`</ds:Transforms><ds:DigestMethod Algorithm="` + r.Digest + `"></ds:DigestMethod><ds:DigestValue>` +
			base64.StdEncoding.EncodeToString(r.Value) + `</ds:DigestValue></ds:Reference>`)
	}
	b.WriteString(`</ds:SignedInfo>`)
	return []byte(b.String())
}

var errKeyKind = errors.New("want an RSA key of 2048 bits or more, or one on P-256, P-384 or P-521")

// methodFor names the algorithm that a key signs with.
func methodFor(public crypto.PublicKey) (string, crypto.Hash, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return signatureMore + "rsa-sha256", crypto.SHA256, nil
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return signatureMore + "ecdsa-sha256", crypto.SHA256, nil
		case elliptic.P384():
			return signatureMore + "ecdsa-sha384", crypto.SHA384, nil
		case elliptic.P521():
			return signatureMore + "ecdsa-sha512", crypto.SHA512, nil
		}
	}
	return "", 0, errKeyKind
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// fixed turns an ECDSA signature from ASN.1, which crypto.Signer gives, into the two numbers side by side that XML
// Signature has (XML Signature 1.1, section 6.4.3).
func fixed(key *ecdsa.PublicKey, der []byte) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &pair); err != nil || len(rest) > 0 {
		return nil, errors.New("the key's signature is not ASN.1")
	}
	n := (key.Curve.Params().BitSize + 7) / 8
	if pair.R.Sign() < 0 || pair.S.Sign() < 0 || pair.R.BitLen() > 8*n || pair.S.BitLen() > 8*n {
		return nil, errors.New("the key's signature is out of range")
	}
	out := make([]byte, 2*n)
	pair.R.FillBytes(out[:n])
	pair.S.FillBytes(out[n:])
	return out, nil
}

// genuine reports whether value is the signature of text by a key.
func genuine(public crypto.PublicKey, m method, text, value []byte) bool {
	if _, _, err := methodFor(public); err != nil {
		return false
	}
	digest := sum(m.hash, text)
	switch k := public.(type) {
	case *rsa.PublicKey:
		return m.rsa && rsa.VerifyPKCS1v15(k, m.hash, digest, value) == nil
	case *ecdsa.PublicKey:
		n := (k.Curve.Params().BitSize + 7) / 8
		if m.rsa || len(value) != 2*n {
			return false
		}
		return ecdsa.Verify(k, digest, new(big.Int).SetBytes(value[:n]), new(big.Int).SetBytes(value[n:]))
	}
	return false
}
