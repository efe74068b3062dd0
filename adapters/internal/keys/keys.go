// Package keys reads private keys and certificates from PEM, and signs with them. Keys are crypto.Signer everywhere, so that a file, a
// token (PKCS#11) or a remote signer fit alike.
//
// Source: RFC 7468 (PEM), RFC 5958 (PKCS#8), RFC 8017 appendix A.1.2 (PKCS#1), RFC 5915 (EC).
package keys

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// MinRSA is the least modulus in bits: PDND and InfoCamere register 2048 and more.
const MinRSA = 2048

var errKey = errors.New("want one unencrypted private key in PEM (PKCS#8, PKCS#1 or SEC 1)")

// Signer reads a private key. Its errors never hold key material.
func Signer(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, errKey
			}
			if s, ok := key.(crypto.Signer); ok {
				return s, nil
			}
			return nil, errKey
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, errKey
			}
			return key, nil
		case "EC PRIVATE KEY":
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, errKey
			}
			return key, nil
		}
	}
	return nil, errKey
}

// RSA reads a private key that can sign RS256.
func RSA(text []byte) (crypto.Signer, error) {
	s, err := Signer(text)
	if err != nil {
		return nil, err
	}
	pub, ok := s.Public().(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("want an RSA key: the supplier accepts RS256 only")
	}
	if pub.N.BitLen() < MinRSA {
		return nil, errors.New("want an RSA key of 2048 bits or more")
	}
	return s, nil
}

// Leaf reads the first certificate of a PEM text.
func Leaf(text []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("the first certificate cannot be read")
		}
		return cert, nil
	}
	return nil, errors.New("want a certificate in PEM")
}
