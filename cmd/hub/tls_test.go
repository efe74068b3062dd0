package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate leaves a fresh certificate for 127.0.0.1 and its key in the folder.
func certificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServeOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir, "one")
	certificate(t, dir, "other")
	listen := func(key string) []string {
		return []string{"listen:\n  address: 127.0.0.1:0\n", "listen:\n  address: 127.0.0.1:0\n  certificate: " + filepath.Join(dir, "one.pem") +
			"\n  key: secret://file/" + filepath.Join(dir, key) + "\n"}
	}
	wrong := newStand(t, listen("other.key")...)
	if _, errOut := must(t, statusWrong, "", "serve", wrong.file); !strings.Contains(errOut, "do not fit") {
		t.Errorf("%s", errOut)
	}
	s := newStand(t, listen("one.key")...)
	p := s.serve(t)
	if !strings.HasPrefix(p.url, "https://") {
		t.Errorf("serves on %s", p.url)
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(dir, "one.pem"))
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	for version, works := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		wire := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: version}}
		resp, err := (&http.Client{Transport: wire}).Get(p.url + "/healthz")
		if (err == nil) != works {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			resp.Body.Close()
		}
		wire.CloseIdleConnections()
	}
}
