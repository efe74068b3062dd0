package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A CA is the bench's certification authority: it signs the TLS certificates of every mock and whatever else a mock
// needs signed. Its certificates are valid around the bench's clock and around real time, since TLS checks go by the
// latter.
type CA struct {
	key      *ecdsa.PrivateKey
	cert     *x509.Certificate
	from, to time.Time
	server   *tls.Config
}

// newCA loads the authority kept in dir, or makes one and keeps it there: a bench opened again on the same folder goes
// on with the same roots.
func newCA(dir string, now time.Time) (*CA, error) {
	real := time.Now()
	early, late := real, now
	if late.Before(early) {
		early, late = late, early
	}
	ca := &CA{from: early.AddDate(-1, 0, 0).UTC(), to: late.AddDate(5, 0, 0).UTC()}
	file := filepath.Join(dir, "lab-ca.pem")
	switch raw, err := os.ReadFile(file); {
	case err == nil:
		if err := ca.load(raw); err != nil {
			return nil, fmt.Errorf("lab: read %s: %w", file, err)
		}
	case errors.Is(err, os.ErrNotExist):
		if err := ca.make(file); err != nil {
			return nil, fmt.Errorf("lab: make the certification authority: %w", err)
		}
	default:
		return nil, fmt.Errorf("lab: read the certification authority: %w", err)
	}
	return ca, ca.serve()
}

func (c *CA) make(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Raccordo test bench CA", Country: []string{"IT"}},
		NotBefore: c.from, NotAfter: c.to, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	c.key = key
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	raw := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	return os.WriteFile(file, append(raw, c.PEM()...), 0o600)
}

func (c *CA) load(raw []byte) error {
	keyBlock, rest := pem.Decode(raw)
	if keyBlock == nil {
		return errors.New("no private key")
	}
	certBlock, _ := pem.Decode(rest)
	if certBlock == nil {
		return errors.New("no certificate")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return err
	}
	var ok bool
	if c.key, ok = key.(*ecdsa.PrivateKey); !ok {
		return errors.New("the private key is not ECDSA")
	}
	c.cert, err = x509.ParseCertificate(certBlock.Bytes)
	return err
}

func (c *CA) serve() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("lab: make the server key: %w", err)
	}
	der, err := c.Issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public())
	if err != nil {
		return err
	}
	c.server = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, c.cert.Raw}, PrivateKey: key}},
	}
	return nil
}

// PEM is the authority's own certificate.
func (c *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

// ServerTLS is a fresh configuration with a certificate for 127.0.0.1, ::1 and localhost.
func (c *CA) ServerTLS() *tls.Config { return c.server.Clone() }

// ClientTLS is a fresh configuration that trusts this authority alone.
func (c *CA) ClientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}

// Issue signs a certificate for pub and gives its DER. Serial number and validity are filled in when the template
// leaves them zero; the template itself is not changed.
func (c *CA) Issue(template *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	t := *template
	if t.SerialNumber == nil {
		serial, err := newSerial()
		if err != nil {
			return nil, fmt.Errorf("lab: issue a certificate: %w", err)
		}
		t.SerialNumber = serial
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = c.from
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = c.to
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, c.cert, pub, c.key)
	if err != nil {
		return nil, fmt.Errorf("lab: issue a certificate: %w", err)
	}
	return der, nil
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
}
