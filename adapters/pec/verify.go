package pec

import (
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // G505: still signed with by real providers in December 2024
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"net/mail"
	"regexp"
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
	maxSignature    = 256 << 10 // bytes of smime.p7s; real ones have 5 to 9 KiB
	maxCertificates = 20        // within it; real ones have two or three
	maxKeyBits      = 8192      // of an RSA key: the work grows with its cube, and nobody else sets a limit
)

// pecPolicy is the certificate policy of PEC providers' signing certificates (AgID CA1).
var pecPolicy = asn1.ObjectIdentifier{1, 3, 76, 16, 3, 1, 1}

// A proof is what checking a signature brought to light.
type proof struct {
	verdict     Verdict
	doubt       string // why it is not Valid, as a stable word
	signer      string // the certificate's address
	certificate contracts.Sum
	signedAt    time.Time // the signer's claim; zero when it makes none
	p7s         contracts.Sum
	notes       []string
}

func (p proof) because(v Verdict, doubt string) proof {
	p.verdict, p.doubt = v, doubt
	return p
}

// verify checks a detached signature over exactly the bytes signed (pec.md section 9): whole, by one signer, whose
// certificate chains to the roots for e-mail protection at the instant the message was first seen and names the sender's
// address. Trust is asked last, so that an untrusted message is still known to be whole.
//
// A certificate without the policy of PEC providers is noted and no more. Whom to believe is what the roots say: AgID CA1
// itself, whose certificate confines it to the providers' names, and under which the policy adds nothing. A policy that
// was demanded would turn every receipt of a provider that left it out into one that counts for nothing.
func (r *reader) verify(signed, p7s []byte, from string, seen time.Time) (p proof) {
	defer func() {
		if recover() != nil { // a parser of foreign bytes that is not ours
			p = p.because(Malformed, "P7S_PANIC")
		}
	}()
	p.p7s = contracts.SumOf(p7s)
	if len(p7s) == 0 || len(p7s) > maxSignature || !boundedASN1(p7s) {
		return p.because(Malformed, "P7S_LIMITS")
	}
	m, err := pkcs7.Parse(p7s)
	switch {
	case err != nil:
		return p.because(Malformed, "P7S")
	case len(m.Certificates) > maxCertificates, slices.ContainsFunc(m.Certificates, oversized):
		return p.because(Unverifiable, "KEY_SIZE")
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
	if m.Signers[0].DigestAlgorithm.Algorithm.Equal(pkcs7.OIDDigestAlgorithmSHA1) {
		p.notes = append(p.notes, NoteSHA1)
	}
	if !slices.ContainsFunc(leaf.PolicyIdentifiers, pecPolicy.Equal) {
		p.notes = append(p.notes, NoteNoPolicy)
	}
	var content asn1.ObjectIdentifier
	if m.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &content) == nil && !content.Equal(pkcs7.OIDData) {
		return p.because(Malformed, "CONTENT_TYPE")
	}
	if err := whole(m, signed); err != nil {
		return p.because(judge(err))
	}
	return r.trusted(p, leaf, m.Certificates, from, seen)
}

func oversized(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxKeyBits
}

// whole checks digest and signature, over the bytes as they are and, for mail stored with bare line feeds, over their
// wire form.
func whole(m *pkcs7.PKCS7, signed []byte) error {
	m.Content = signed
	err := m.VerifyWithChainAtTime(nil, time.Time{})
	var digest *pkcs7.MessageDigestMismatchError
	if errors.As(err, &digest) && bareLF(signed) {
		m.Content = toCRLF(signed)
		err = m.VerifyWithChainAtTime(nil, time.Time{})
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

// trusted asks whether the signer of a message that is whole is to be believed. The library checks neither purpose nor
// address.
func (r *reader) trusted(p proof, leaf *x509.Certificate, with []*x509.Certificate, from string, seen time.Time) proof {
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageEmailProtection) ||
		(leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0) {
		return p.because(UntrustedChain, "KEY_USAGE")
	}
	named := slices.IndexFunc(leaf.EmailAddresses, func(a string) bool { return strings.EqualFold(a, from) })
	if named < 0 {
		return p.because(UntrustedChain, "SIGNER_ADDRESS")
	}
	p.signer = leaf.EmailAddresses[named]
	switch {
	case r.roots == nil: // which the standard library would take for the system's
		return p.because(UntrustedChain, "NO_ROOTS")
	case r.chains.hold(r.roots, leaf, with, seen):
		return p.because(Valid, "")
	case !p.signedAt.IsZero() && p.signedAt.Before(seen) && r.chains.hold(r.roots, leaf, with, p.signedAt):
		return p.because(ValidAtSigning, "EXPIRED")
	}
	return p.because(UntrustedChain, "CHAIN")
}

// sender gives the one address of a From field, or nothing.
func sender(e entity) string {
	if e.count("from") != 1 {
		return ""
	}
	from := e.get("from")
	if len(from) > maxText {
		return ""
	}
	if a, err := mail.ParseAddress(from); err == nil {
		return a.Address
	}
	// "Per conto di: X <posta-certificata@Y>" without quotes is a group to the strict parser, and bytes that are no ASCII
	// are nothing to it. The address is in the only angle brackets that are not quoted.
	bare := quotedText.ReplaceAllString(from, "")
	if _, rest, ok := strings.Cut(bare, "<"); ok && strings.Count(rest, "<") == 0 && strings.Count(rest, "@") == 1 && strings.HasSuffix(rest, ">") {
		return strings.TrimSuffix(rest, ">")
	}
	return ""
}

var quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
