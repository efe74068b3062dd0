package pec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A Certificate chooses how the receipts of both providers are signed. Everything but [Sound] is a misdeed.
type Certificate string

const (
	Sound          Certificate = "sound"            // the profile of the rules: SAN, EKU emailProtection, SHA-256
	Expired        Certificate = "expired"          // ended a month before the bench's day, and was expired at signing too
	ExpiredChain   Certificate = "expired-chain"    // the same of the intermediate
	ValidAtSigning Certificate = "valid-at-signing" // ended a month before the bench's day; the signature says it is older
	WrongSAN       Certificate = "wrong-san"        // names the other provider's address
	WrongEKU       Certificate = "wrong-eku"        // for TLS servers only
	UnknownCA      Certificate = "unknown-ca"       // same names, another root
	NoPolicy       Certificate = "no-policy"        // without the policy of the rules
	NameConstraint Certificate = "name-constraint"  // the intermediate may certify other houses only
	SHA1           Certificate = "sha-1"            // sound chain, but the message digest is SHA-1, as seen until late 2024
)

// Certificates lists the variants.
func Certificates() []Certificate {
	return []Certificate{
		Sound, Expired, ExpiredChain, ValidAtSigning, WrongSAN, WrongEKU, UnknownCA, NoPolicy, NameConstraint, SHA1,
	}
}

func (c Certificate) known() bool { return slices.Contains(Certificates(), c) }

// pecPolicy is the certificate policy that the providers' leaves carry.
const pecPolicy = "1.3.76.16.3.1.1"

// A signer is one provider's key with the chain that travels inside each signature.
type signer struct {
	key   crypto.Signer
	leaf  *x509.Certificate
	chain []*x509.Certificate // the intermediate; the root is what a verifier must already have
}

// An authority is the receipt root, its intermediate and the providers' leaves. Keys and certificates are kept in the
// bench's folder, so a restarted mock signs as before.
type authority struct {
	rootKey, interKey *key
	root, inter       *x509.Certificate
	keys              []*key // per provider, in the order of the table
	leaves            []*x509.Certificate
	now               time.Time // the bench's time when the authority was opened

	mu    sync.Mutex
	cache map[string]*signer
}

// freshKeys makes the keys of root, intermediate and providers, once per process.
var freshKeys = sync.OnceValues(func() ([]*key, error) {
	keys := make([]*key, 2+len(providers()))
	for i := range keys {
		var err error
		if keys[i], err = newKey(); err != nil {
			return nil, err
		}
	}
	return keys, nil
})

func openAuthority(dir string, now time.Time) (*authority, error) {
	a := &authority{now: now, cache: make(map[string]*signer)}
	path := filepath.Join(dir, "receipts-pki.pem")
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
		return a, a.load(data)
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("pec: read receipt keys: %w", err)
	}
	if err := a.create(); err != nil {
		return nil, fmt.Errorf("pec: create receipt keys: %w", err)
	}
	if err := os.WriteFile(path, a.dump(), 0o600); err != nil {
		return nil, fmt.Errorf("pec: keep receipt keys: %w", err)
	}
	return a, nil
}

// span is wide enough to hold both the bench's day and today, since TLS and OpenSSL look at the real clock.
func (a *authority) span() (from, to time.Time) {
	from, to = a.now, time.Now()
	if to.Before(from) {
		from, to = to, from
	}
	return from.AddDate(-1, 0, 0), to.AddDate(2, 0, 0)
}

func (a *authority) create() error {
	keys, err := freshKeys()
	if err != nil {
		return err
	}
	a.rootKey, a.interKey, a.keys = keys[0], keys[1], keys[2:]
	if a.root, a.inter, err = a.issueChain(a.rootKey, a.interKey); err != nil {
		return err
	}
	for i := range a.keys {
		leaf, err := a.issueLeaf(i, Sound, a.inter, a.interKey)
		if err != nil {
			return err
		}
		a.leaves = append(a.leaves, leaf)
	}
	return nil
}

func (a *authority) issueChain(rootKey, interKey crypto.Signer) (root, inter *x509.Certificate, err error) {
	from, to := a.span()
	rootTemplate := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Country: []string{"IT"}, Organization: []string{"Radice di prova"}, CommonName: "Prova Authentication Root CA"},
		NotBefore: from.AddDate(-5, 0, 0), NotAfter: to.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if root, err = issue(rootTemplate, rootTemplate, rootKey.Public(), rootKey); err != nil {
		return nil, nil, err
	}
	// The real intermediate names every provider it may certify and allows no further CA.
	var permitted []string
	for _, p := range providers() {
		permitted = append(permitted, p.domain)
	}
	inter, err = issue(&x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Country: []string{"IT"}, Organization: []string{"Agenzia di prova"}, CommonName: "AgID CA1 di prova"},
		NotBefore: from.AddDate(-2, 0, 0), NotAfter: to.AddDate(2, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedEmailAddresses: permitted,
	}, root, interKey.Public(), rootKey)
	return root, inter, err
}

// issueIntermediate makes one that differs from the true one by a fault: same name, same key.
func (a *authority) issueIntermediate(variant Certificate) (*x509.Certificate, error) {
	template := *a.inter
	template.SerialNumber = serial()
	switch variant {
	case ExpiredChain:
		from, _ := a.span()
		template.NotAfter = from.AddDate(1, -1, 0)
	case NameConstraint:
		template.PermittedEmailAddresses = []string{"altro-gestore.test"}
	}
	return issue(&template, a.root, a.interKey.Public(), a.rootKey)
}

func (a *authority) issueLeaf(i int, variant Certificate, inter *x509.Certificate, interKey crypto.Signer) (*x509.Certificate, error) {
	p := providers()[i]
	from, to := a.span()
	policy, err := x509.ParseOID(pecPolicy)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Country: []string{"IT"}, Organization: []string{p.name}, CommonName: p.name},
		NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		EmailAddresses: []string{p.from()}, Policies: []x509.OID{policy},
	}
	switch variant {
	case Expired, ValidAtSigning:
		template.NotBefore, template.NotAfter = from.AddDate(-2, 0, 0), from.AddDate(1, -1, 0)
	case WrongSAN:
		// The neighbour's name, so that the intermediate's constraints still allow it and only the name is wrong.
		template.EmailAddresses = []string{providers()[(i+1)%len(providers())].from()}
	case WrongEKU:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case NoPolicy:
		template.Policies = nil
	}
	return issue(template, inter, a.keys[i].Public(), interKey)
}

// signer gives the key and chain of provider i in the wanted variant; variants are issued when first asked for.
func (a *authority) signer(i int, variant Certificate) (*signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := fmt.Sprintf("%d %s", i, variant)
	if s := a.cache[name]; s != nil {
		return s, nil
	}
	s := &signer{key: a.keys[i], leaf: a.leaves[i], chain: []*x509.Certificate{a.inter}}
	var err error
	switch variant {
	case Expired, ValidAtSigning, WrongSAN, WrongEKU, NoPolicy:
		s.leaf, err = a.issueLeaf(i, variant, a.inter, a.interKey)
	case ExpiredChain, NameConstraint:
		var inter *x509.Certificate
		if inter, err = a.issueIntermediate(variant); err == nil {
			s.chain = []*x509.Certificate{inter}
			s.leaf, err = a.issueLeaf(i, variant, inter, a.interKey)
		}
	case UnknownCA:
		s.leaf, s.chain, err = a.stranger(i)
	}
	if err != nil {
		return nil, fmt.Errorf("pec: issue %s certificate: %w", variant, err)
	}
	a.cache[name] = s
	return s, nil
}

func (a *authority) stranger(i int) (*x509.Certificate, []*x509.Certificate, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	interKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	_, inter, err := a.issueChain(rootKey, interKey)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := a.issueLeaf(i, UnknownCA, inter, interKey)
	return leaf, []*x509.Certificate{inter}, err
}

func (a *authority) rootsPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// dump and load keep a fixed order: the keys of root, intermediate and providers, then their certificates.
func (a *authority) dump() []byte {
	var out []byte
	for _, k := range append([]*key{a.rootKey, a.interKey}, a.keys...) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: primesBlock, Bytes: k.dump()})...)
	}
	for _, c := range append([]*x509.Certificate{a.root, a.inter}, a.leaves...) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func (a *authority) load(data []byte) error {
	var keys []*key
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return fmt.Errorf("pec: read receipt certificates: %w", err)
			}
			certs = append(certs, c)
			continue
		}
		k, err := loadKey(block)
		if err != nil {
			return fmt.Errorf("pec: read receipt keys: %w", err)
		}
		keys = append(keys, k)
	}
	if want := 2 + len(providers()); len(keys) != want || len(certs) != want {
		return errors.New("pec: read receipt keys: the file does not hold a key and a certificate per provider; remove it")
	}
	a.rootKey, a.interKey, a.keys = keys[0], keys[1], keys[2:]
	a.root, a.inter, a.leaves = certs[0], certs[1], certs[2:]
	return nil
}

func issue(template, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// oid names an object: the identifiers of RFC 5652 and RFC 8017 that a signature is made of.
func oid(arcs ...int) asn1.ObjectIdentifier { return arcs }
