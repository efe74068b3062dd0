package pec

import (
	"bytes"
	"crypto"
	"crypto/rand"
	_ "crypto/sha1" // receipts were signed with SHA-1 until late 2024, and the mock must be able to
	_ "crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// The structures of RFC 5652 section 5, as far as a detached signature by one signer needs them. They are written out here
// because the signing time must be the bench's: libraries put the system's.
type signedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	Content          struct{ Type asn1.ObjectIdentifier }
	Certificates     asn1.RawValue
	SignerInfos      []signerInfo `asn1:"set"`
}

type signerInfo struct {
	Version            int
	Issuer             issuerAndSerial
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttrs        asn1.RawValue
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
}

type issuerAndSerial struct {
	Name   asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// signDetached makes the PKCS#7 signature of content at the given time, with the signer's leaf and intermediate inside.
// With ber the outer layers have indefinite lengths, as seen on the wire in 2026.
func signDetached(content []byte, s *signer, at time.Time, digest crypto.Hash, ber bool) ([]byte, error) {
	data := oid(1, 2, 840, 113549, 1, 7, 1)
	h := digest.New()
	h.Write(content)
	attrs, err := signedAttributes(data, h.Sum(nil), at)
	if err != nil {
		return nil, err
	}
	set, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: attrs})
	if err != nil {
		return nil, err
	}
	h = digest.New()
	h.Write(set)
	signature, err := s.key.Sign(rand.Reader, h.Sum(nil), digest)
	if err != nil {
		return nil, err
	}
	certs := slices.Clone(s.leaf.Raw)
	for _, c := range s.chain {
		certs = append(certs, c.Raw...)
	}
	null := asn1.RawValue{Tag: asn1.TagNull}
	hashID := pkix.AlgorithmIdentifier{Algorithm: digestOID(digest), Parameters: null}
	sd := signedData{
		Version:          1,
		DigestAlgorithms: []pkix.AlgorithmIdentifier{hashID},
		Certificates:     asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certs},
		SignerInfos: []signerInfo{{
			Version:            1,
			Issuer:             issuerAndSerial{Name: asn1.RawValue{FullBytes: s.leaf.RawIssuer}, Serial: s.leaf.SerialNumber},
			DigestAlgorithm:    hashID,
			SignedAttrs:        asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: attrs},
			SignatureAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oid(1, 2, 840, 113549, 1, 1, 1), Parameters: null},
			Signature:          signature,
		}},
	}
	sd.Content.Type = data
	inner, err := asn1.Marshal(sd)
	if err != nil {
		return nil, err
	}
	kind, err := asn1.Marshal(oid(1, 2, 840, 113549, 1, 7, 2))
	if err != nil {
		return nil, err
	}
	if ber {
		return indefinite(kind, inner)
	}
	content0, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(kind, content0...)})
}

// signedAttributes gives the content of the SET OF: content type, signing time and message digest, in DER order.
func signedAttributes(contentType asn1.ObjectIdentifier, digest []byte, at time.Time) ([]byte, error) {
	values := []struct {
		id    asn1.ObjectIdentifier
		value any
	}{
		{oid(1, 2, 840, 113549, 1, 9, 3), contentType},
		{oid(1, 2, 840, 113549, 1, 9, 5), at.UTC().Truncate(time.Second)},
		{oid(1, 2, 840, 113549, 1, 9, 4), digest},
	}
	var attrs [][]byte
	for _, v := range values {
		value, err := asn1.Marshal(v.value)
		if err != nil {
			return nil, err
		}
		attr, err := asn1.Marshal(attribute{Type: v.id, Values: []asn1.RawValue{{FullBytes: value}}})
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, attr)
	}
	slices.SortFunc(attrs, bytes.Compare)
	return bytes.Join(attrs, nil), nil
}

// indefinite rewrites the three outer layers with indefinite lengths; what is signed lies deeper and is untouched.
func indefinite(kind, inner []byte) ([]byte, error) {
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(inner, &seq); err != nil {
		return nil, err
	}
	out := append([]byte{0x30, 0x80}, kind...)
	out = append(out, 0xa0, 0x80, 0x30, 0x80)
	out = append(out, seq.Bytes...)
	return append(out, make([]byte, 6)...), nil
}

func digestOID(h crypto.Hash) asn1.ObjectIdentifier {
	if h == crypto.SHA1 {
		return oid(1, 3, 14, 3, 2, 26)
	}
	return oid(2, 16, 840, 1, 101, 3, 4, 2, 1)
}
