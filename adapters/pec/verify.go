package pec

import (
	"bytes"
	_ "crypto/sha1" //nolint:gosec // G505: still signed with by real providers in December 2024
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"

	"raccordo/contracts"
)

// A Verdict is what became of checking a message's signature. Only Valid and ValidAtSigning move a ticket.
type Verdict string

// The verdicts.
const (
	Valid          Verdict = "VALID"
	ValidAtSigning Verdict = "VALID_AT_SIGNING" // the certificates had expired when the message was first seen, not when it says it was signed
	UntrustedChain Verdict = "UNTRUSTED_CHAIN"  // whole, but signed by somebody we have no reason to believe
	BadSignature   Verdict = "BAD_SIGNATURE"    // the bytes are not the signed ones
	Unsigned       Verdict = "UNSIGNED"
	Unverifiable   Verdict = "UNVERIFIABLE" // a form of signature that this program cannot check: not a forgery by itself
	Malformed      Verdict = "MALFORMED"    // no signature that could be checked by anyone
)

// Counts reports whether a message of this verdict may move a ticket.
func (v Verdict) Counts() bool { return v == Valid || v == ValidAtSigning }

const (
	maxSignature  = 256 << 10 // bytes of smime.p7s; real ones have 5 to 9 KiB
	maxASN1Depth  = 40        // nested ASN.1 values; real ones reach 15
	maxASN1Values = 50_000
)

// A proof is what checking a signature brought to light.
type proof struct {
	verdict     Verdict
	doubt       string // why it is not Valid, as a stable word
	signer      string // the certificate's address
	certificate contracts.Sum
	signedAt    time.Time // the signer's claim; zero when it makes none
	sha1        bool
}

func (p proof) because(v Verdict, doubt string) proof {
	p.verdict, p.doubt = v, doubt
	return p
}

// verify checks a detached signature over exactly the bytes signed (pec.md section 9): whole, by one signer, whose
// certificate chains to roots for e-mail protection at the instant the message was first seen and names the sender's
// address. Trust is asked last, so that an untrusted message is still known to be whole.
func verify(roots *x509.CertPool, signed, p7s []byte, from string, seen time.Time) (p proof) {
	defer func() {
		if recover() != nil { // a parser of foreign bytes that is not ours
			p = p.because(Malformed, "P7S_PANIC")
		}
	}()
	if len(p7s) == 0 || len(p7s) > maxSignature || !boundedASN1(p7s) {
		return p.because(Malformed, "P7S_LIMITS")
	}
	m, err := pkcs7.Parse(p7s)
	switch {
	case err != nil:
		return p.because(Malformed, "P7S")
	case len(m.Content) > 0: // then its own content would be checked, not ours
		return p.because(Malformed, "P7S_EMBEDS_CONTENT")
	case len(m.Signers) == 0: // the library parses a signer named by key identifier as none
		return p.because(Unverifiable, "NO_KNOWN_SIGNER")
	case len(m.Signers) > 1:
		return p.because(Malformed, "SIGNERS")
	}
	leaf := m.GetOnlySigner()
	if leaf == nil {
		return p.because(Unverifiable, "NO_CERTIFICATE")
	}
	p.certificate = contracts.SumOf(leaf.Raw)
	if len(leaf.EmailAddresses) > 0 {
		p.signer = leaf.EmailAddresses[0]
	}
	var signedAt time.Time
	if m.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &signedAt) == nil {
		p.signedAt = signedAt.UTC()
	}
	p.sha1 = m.Signers[0].DigestAlgorithm.Algorithm.Equal(pkcs7.OIDDigestAlgorithmSHA1)
	var content asn1.ObjectIdentifier
	if m.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &content) == nil && !content.Equal(pkcs7.OIDData) {
		return p.because(Malformed, "CONTENT_TYPE")
	}
	if err := whole(m, signed); err != nil {
		return p.because(judge(err))
	}
	return p.trusted(roots, m, leaf, from, seen)
}

// whole checks digest and signature, over the bytes as they are and, for mail stored with bare line feeds, over their
// wire form.
func whole(m *pkcs7.PKCS7, signed []byte) error {
	m.Content = signed
	err := m.VerifyWithChainAtTime(nil, time.Time{})
	var digest *pkcs7.MessageDigestMismatchError
	if errors.As(err, &digest) {
		if wire := toCRLF(signed); !bytes.Equal(wire, signed) {
			m.Content = wire
			err = m.VerifyWithChainAtTime(nil, time.Time{})
		}
	}
	return err
}

func judge(err error) (Verdict, string) {
	var expired *pkcs7.SigningTimeNotValidError
	var insecure x509.InsecureAlgorithmError
	switch {
	case errors.As(err, &expired): // said before the signature itself is looked at, so nothing more is known
		return UntrustedChain, "SIGNED_OUTSIDE_VALIDITY"
	case errors.Is(err, pkcs7.ErrUnsupportedAlgorithm), errors.Is(err, x509.ErrUnsupportedAlgorithm), errors.As(err, &insecure),
		strings.HasPrefix(err.Error(), "pkcs7: unsupported"): // RSASSA-PSS arrives here
		return Unverifiable, "ALGORITHM"
	}
	return BadSignature, "SIGNATURE"
}

func (p proof) trusted(roots *x509.CertPool, m *pkcs7.PKCS7, leaf *x509.Certificate, from string, seen time.Time) proof {
	// The library checks neither purpose nor address.
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageEmailProtection) ||
		(leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0) {
		return p.because(UntrustedChain, "KEY_USAGE")
	}
	named := slices.IndexFunc(leaf.EmailAddresses, func(a string) bool { return strings.EqualFold(a, from) })
	if named < 0 {
		return p.because(UntrustedChain, "SIGNER_ADDRESS")
	}
	p.signer = leaf.EmailAddresses[named]
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: seen,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}
	for _, c := range m.Certificates {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err == nil {
		return p.because(Valid, "")
	}
	if !p.signedAt.IsZero() && p.signedAt.Before(seen) {
		options.CurrentTime = p.signedAt
		if _, err := leaf.Verify(options); err == nil {
			return p.because(ValidAtSigning, "EXPIRED")
		}
	}
	return p.because(UntrustedChain, "CHAIN")
}

// sender gives the one address of a From field, or nothing.
func sender(e entity) string {
	if e.count("from") != 1 {
		return ""
	}
	from := e.get("from")
	if a, err := mail.ParseAddress(from); err == nil {
		return a.Address
	}
	// "Per conto di: X <posta-certificata@Y>" without quotes is a group to the strict parser.
	if _, rest, ok := strings.Cut(from, "<"); ok && strings.HasSuffix(rest, ">") && strings.Count(rest, "@") == 1 {
		return strings.TrimSuffix(rest, ">")
	}
	return ""
}

// boundedASN1 walks the values of BER or DER and reports whether they nest and number within limits: the library
// descends without any, and a stack that runs out ends the program.
func boundedASN1(b []byte) bool {
	values := 0
	var walk func(b []byte, depth int, indefinite bool) (rest []byte, ok bool)
	walk = func(b []byte, depth int, indefinite bool) ([]byte, bool) {
		for len(b) > 0 {
			values++
			if depth > maxASN1Depth || values > maxASN1Values || len(b) < 2 {
				return nil, false
			}
			if indefinite && b[0] == 0 && b[1] == 0 {
				return b[2:], true
			}
			constructed := b[0]&0x20 != 0
			at := 1
			if b[0]&0x1f == 0x1f { // high tag number
				for at < len(b) && b[at]&0x80 != 0 {
					at++
				}
				at++
			}
			if at >= len(b) {
				return nil, false
			}
			length, octets := int(b[at]), 0
			at++
			switch {
			case length == 0x80:
				if !constructed {
					return nil, false
				}
				var ok bool
				if b, ok = walk(b[at:], depth+1, true); !ok {
					return nil, false
				}
				continue
			case length > 0x80:
				octets = length & 0x7f
				if octets > 4 || at+octets > len(b) {
					return nil, false
				}
				length = 0
				for _, c := range b[at : at+octets] {
					length = length<<8 | int(c)
				}
				at += octets
			}
			if length > len(b)-at {
				return nil, false
			}
			if constructed {
				if _, ok := walk(b[at:at+length], depth+1, false); !ok {
					return nil, false
				}
			}
			b = b[at+length:]
		}
		return nil, !indefinite
	}
	_, ok := walk(b, 0, false)
	return ok
}
