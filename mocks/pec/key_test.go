package pec

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
)

func TestAKeyOfManyPrimesSignsLikeAnyOther(t *testing.T) {
	k, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	if k.public.N.BitLen() != keyBits || len(k.primes) != keyPrimes {
		t.Errorf("%d bits of %d primes", k.public.N.BitLen(), len(k.primes))
	}
	one, two := sha256.Sum256([]byte("x")), sha1.Sum([]byte("x"))
	for h, digest := range map[crypto.Hash][]byte{crypto.SHA256: one[:], crypto.SHA1: two[:]} {
		sig, err := k.Sign(rand.Reader, digest, h)
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(&k.public, h, digest, sig); err != nil {
			t.Errorf("%s: %v", h, err)
		}
		digest[0] ^= 1
		if err := rsa.VerifyPKCS1v15(&k.public, h, digest, sig); err == nil {
			t.Errorf("%s: any signature will do", h)
		}
	}
	if _, err := k.Sign(rand.Reader, one[:10], crypto.SHA256); err == nil {
		t.Error("half a digest was signed")
	}
	if _, err := k.Sign(rand.Reader, make([]byte, 64), crypto.SHA512); err == nil {
		t.Error("a hash that no provider uses was signed")
	}
	p := k.primes[0]
	if _, err := keyOf([]*big.Int{p, p}); err == nil {
		t.Error("one prime twice makes a key")
	}
}

// TestAKeyOfTwoPrimesStillOpens: folders of before hold keys as the standard library made them.
func TestAKeyOfTwoPrimesStillOpens(t *testing.T) {
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k, err := loadKey(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(old)})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	sig, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(&old.PublicKey, crypto.SHA256, digest[:], sig); err != nil {
		t.Error(err)
	}
	again, err := loadKey(&pem.Block{Type: primesBlock, Bytes: k.dump()})
	if err != nil || !again.public.Equal(&k.public) {
		t.Errorf("kept and read again: %v", err)
	}
	for _, bad := range []*pem.Block{{Type: primesBlock, Bytes: []byte("x")}, {Type: "RSA PRIVATE KEY", Bytes: []byte("x")}} {
		if _, err := loadKey(bad); err == nil {
			t.Errorf("%s: nonsense is a key", bad.Type)
		}
	}
}

// BenchmarkSign beside the standard library's key of two primes.
func BenchmarkSign(b *testing.B) {
	many, err := newKey()
	if err != nil {
		b.Fatal(err)
	}
	two, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		b.Fatal(err)
	}
	digest := make([]byte, 32)
	for name, k := range map[string]crypto.Signer{"many primes": many, "two primes": two} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Sign(rand.Reader, digest, crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
