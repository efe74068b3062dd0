package entrate

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// issuerName is who issued the signer's certificate, in the form of RFC 1779, which quotes what holds a comma.
const issuerName = `CN=Certificatore di prova, O="Firma e Sigillo, S.p.A.", C=IT`

// credentials leaves in the bench's folder what a client of the SOAP services is given: a certificate for mutual TLS by
// the bench's authority, and one for signing assertions by a certifier whom nobody need trust, since it is registered.
func (m *Mock) credentials() (err error) {
	b := m.bench
	if m.client, m.clientKey, err = b.Key("entrate-client"); err != nil {
		return err
	}
	if m.signer, m.signerKey, err = b.Key("entrate-saml"); err != nil {
		return err
	}
	subject := func(cn string) pkix.Name {
		return pkix.Name{Country: []string{"IT"}, Organization: []string{"Ministero di prova"}, CommonName: cn}
	}
	m.clientPath = filepath.Join(b.Dir(), "entrate-client.cert.pem")
	m.clientCert, err = keep(m.clientPath, func() ([]byte, error) {
		return b.CA().Issue(&x509.Certificate{
			Subject: subject("client.raccordo.test"), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}, &m.client.PublicKey)
	})
	if err != nil {
		return err
	}
	m.signerPath = filepath.Join(b.Dir(), "entrate-saml.cert.pem")
	m.signerCert, err = keep(m.signerPath, func() ([]byte, error) {
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
		if err != nil {
			return nil, err
		}
		return certified(&x509.Certificate{
			Subject: subject("Asserzioni"), SerialNumber: serial, KeyUsage: x509.KeyUsageDigitalSignature,
			NotBefore: m.clientCert.NotBefore, NotAfter: m.clientCert.NotAfter.Add(-time.Hour),
		}, &m.signer.PublicKey, m.client)
	})
	return err
}

// certified has the certifier of issuerName sign a certificate; any key serves for that.
func certified(template *x509.Certificate, pub *rsa.PublicKey, by *rsa.PrivateKey) ([]byte, error) {
	certifier := &x509.Certificate{Subject: pkix.Name{
		Country: []string{"IT"}, Organization: []string{"Firma e Sigillo, S.p.A."}, CommonName: "Certificatore di prova",
	}}
	return x509.CreateCertificate(rand.Reader, template, certifier, pub, by)
}

// keep reads the certificate in file, or makes one and keeps it there.
func keep(file string, fresh func() ([]byte, error)) (*x509.Certificate, error) {
	if raw, err := os.ReadFile(file); err == nil {
		block, _ := pem.Decode(raw)
		if block == nil {
			return nil, fmt.Errorf("entrate: read %s: no PEM block", file)
		}
		return x509.ParseCertificate(block.Bytes)
	}
	der, err := fresh()
	if err != nil {
		return nil, fmt.Errorf("entrate: make a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("entrate: make a certificate: %w", err)
	}
	return cert, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}
