package mail

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// credentials are a certificate for the loopback address, and the roots that trust it.
var credentials = sync.OnceValues(func() (*tls.Config, *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: pool}
})

// A peer is a scripted server: each connection is handed to the script, which says and hears lines.
type peer struct {
	addr  string
	mu    sync.Mutex
	heard []string
	conns []net.Conn
}

type talk struct {
	net.Conn
	r *bufio.Reader
	p *peer
}

// listen starts a peer that speaks TLS from the first byte.
func listen(t *testing.T, script func(*talk)) *peer {
	t.Helper()
	server, _ := credentials()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, c)
			p.mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				script(&talk{Conn: c, r: bufio.NewReader(c), p: p})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

func (c *talk) say(lines ...string) {
	for _, line := range lines {
		_, _ = c.Write([]byte(line + "\r\n"))
	}
}

// hear gives the next line, or false when the peer is gone.
func (c *talk) hear() (string, bool) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", false
	}
	line = strings.TrimRight(line, "\r\n")
	c.p.mu.Lock()
	c.p.heard = append(c.p.heard, line)
	c.p.mu.Unlock()
	return line, true
}

// commands are the first words of what was heard.
func (p *peer) commands() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var words []string
	for _, line := range p.heard {
		word, _, _ := strings.Cut(line, " ")
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (p *peer) server() Server {
	_, client := credentials()
	return Server{
		Addr: p.addr, TLS: client, User: "user", Command: 2 * time.Second, Final: 2 * time.Second,
		Password: func(context.Context) ([]byte, error) { return []byte("secret"), nil },
	}
}
