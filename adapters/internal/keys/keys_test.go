package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

func encode(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestEveryUsualFormIsRead(t *testing.T) {
	t.Parallel()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err8 := x509.MarshalPKCS8PrivateKey(r)
	sec1, err1 := x509.MarshalECPrivateKey(e)
	for name, tc := range map[string]struct {
		text []byte
		key  crypto.Signer
		rsa  bool
	}{
		"PKCS#8": {encode(t, "PRIVATE KEY", pkcs8, err8), r, true},
		"PKCS#1": {encode(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil), r, true},
		"SEC 1":  {encode(t, "EC PRIVATE KEY", sec1, err1), e, false},
	} {
		got, err := Signer(tc.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if pub, ok := got.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(tc.key.Public()) {
			t.Errorf("%s: another key", name)
		}
		if _, err := RSA(tc.text); (err == nil) != tc.rsa {
			t.Errorf("%s as RSA: %v", name, err)
		}
	}
}

func TestWeakAndStrangeKeysAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string][]byte{
		"nothing": nil, "noise": []byte("noise"), "certificate": encode(t, "CERTIFICATE", []byte{1}, nil),
		"broken": encode(t, "PRIVATE KEY", []byte{1, 2}, nil), "broken 1": encode(t, "RSA PRIVATE KEY", []byte{1}, nil),
		"encrypted": encode(t, "ENCRYPTED PRIVATE KEY", []byte{1}, nil),
	} {
		if _, err := Signer(text); err == nil {
			t.Errorf("%s: read as a key", name)
		}
		if _, err := Leaf(text); err == nil {
			t.Errorf("%s: read as a certificate", name)
		}
	}
}

func FuzzSigner(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := Signer(text); err == nil && s == nil {
			t.Error("no key and no error")
		}
		_, _ = Leaf(text)
	})
}
