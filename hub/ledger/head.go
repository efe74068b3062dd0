package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"raccordo/contracts"
)

// A Head is the signed statement about a segment: see the package comment.
type Head struct {
	Chain     string        `json:"chain"`
	Segment   uint64        `json:"segment"` // consecutive, from 1
	Day       string        `json:"day"`     // 2026-03-01, UTC
	First     uint64        `json:"first"`
	Last      uint64        `json:"last"`
	Prev      contracts.Sum `json:"prev"`   // of the entry before the first; zero at the beginning of the chain
	Sum       contracts.Sum `json:"sum"`    // of the last entry
	Before    contracts.Sum `json:"before"` // digest of the closed head before; zero for segment 1
	Closed    bool          `json:"closed"`
	At        time.Time     `json:"at"`
	Key       string        `json:"key"` // KeyID of the signing key
	Signature []byte        `json:"signature"`
}

func (h *Head) encode() []byte {
	e := encoder{append(make([]byte, 0, 256), headMark...)}
	e.text(h.Chain)
	e.number(int64(h.Segment))
	e.text(h.Day)
	e.number(int64(h.First))
	e.number(int64(h.Last))
	e.sum(h.Prev)
	e.sum(h.Sum)
	e.sum(h.Before)
	e.flag(h.Closed)
	e.time(h.At)
	e.text(h.Key)
	return e.b
}

// Digest is what the next head states as its Before, and what the entry about a dropped segment names.
func (h *Head) Digest() contracts.Sum { return sha256.Sum256(h.encode()) }

// A signer is the ledger's key.
type signer struct {
	key ed25519.PrivateKey
	id  string
}

func (s *signer) sign(h *Head) {
	h.Key = s.id
	h.Signature = ed25519.Sign(s.key, h.encode())
}

// keys are the public keys whose signatures count, by id.
type keys map[string]ed25519.PublicKey

func newKeys(pubs ...ed25519.PublicKey) keys {
	k := keys{}
	for _, pub := range pubs {
		k[KeyID(pub)] = pub
	}
	return k
}

// check says what is wrong with the signature of a head, or nothing.
func (k keys) check(h *Head) string {
	pub, ok := k[h.Key]
	switch {
	case !ok:
		return fmt.Sprintf("is signed with key %q, which is not trusted here", h.Key)
	case !ed25519.Verify(pub, h.encode(), h.Signature):
		return "was changed: its signature does not fit"
	}
	return ""
}

// KeyID names a public key: sixteen hexadecimal characters of its digest.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:8])
}

// NewKey makes a signing key, as the PKCS#8 PEM text that Config.Key names.
func NewKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKey(text []byte) (*signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("want an Ed25519 key in PKCS#8 PEM (openssl genpkey -algorithm ed25519)")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM block holds no PKCS#8 key") // the library's text is about ASN.1
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("want an Ed25519 key, have %T", parsed)
	}
	return &signer{key: key, id: KeyID(key.Public().(ed25519.PublicKey))}, nil
}

// ParsePublicKey reads a public key as Ledger.PublicKey prints it: base64 of its 32 bytes.
func ParsePublicKey(s string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("want an Ed25519 public key: %d bytes in base64", ed25519.PublicKeySize)
	}
	return b, nil
}
