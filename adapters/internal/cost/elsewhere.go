package cost

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What the process of the far side is told: that it is one, and over TLS its certificate and key as PEM.
const (
	envPlay  = "RACCORDO_PLAY_SERVER"
	envChain = "RACCORDO_PLAY_SERVER_CERTIFICATE"
	envKey   = "RACCORDO_PLAY_SERVER_KEY"
)

// Play belongs first into the TestMain of a package that calls Elsewhere. In the process that Elsewhere has started it
// serves until the standard input ends, and ends the process; in every other it does nothing.
func Play(far http.Handler) {
	if os.Getenv(envPlay) == "" {
		return
	}
	if err := play(far); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(far http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	scheme := "http"
	if chain := os.Getenv(envChain); chain != "" {
		pair, err := tls.X509KeyPair([]byte(chain), []byte(os.Getenv(envKey)))
		if err != nil {
			return err
		}
		scheme, l = "https", tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	}
	s := &http.Server{Handler: far, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	fmt.Println(scheme + "://" + l.Addr().String())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// Elsewhere starts the far side of Play in another process, which ends with the test, and gives its address. With a
// certificate it speaks TLS.
func Elsewhere(t testing.TB, identity *tls.Certificate) (base string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self) //nolint:gosec // G204: the test binary itself
	cmd.Env = append(os.Environ(), envPlay+"=1")
	if identity != nil {
		key, err := x509.MarshalPKCS8PrivateKey(identity.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, envChain+"="+block("CERTIFICATE", identity.Certificate[0]), envKey+"="+block("PRIVATE KEY", key))
	}
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the far side: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
