package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// A Server is where a mailbox sends or is read, and how to get in.
type Server struct {
	Addr     string      // host:port
	StartTLS bool        // the connection starts plain and turns to TLS (587, 143) instead of being TLS from the first byte (465, 993)
	TLS      *tls.Config // roots; the server's name is taken from Addr
	User     string
	Password func(context.Context) ([]byte, error) // asked at each log-in, so that it can be replaced at any time
	Command  time.Duration                         // longest wait for one reply, in real time; 0 means 30 s
	Final    time.Duration                         // longest wait for the final dot's reply, in real time; 0 means 5 min
}

func (s Server) command() time.Duration {
	if s.Command > 0 {
		return s.Command
	}
	return 30 * time.Second
}

func (s Server) final() time.Duration {
	if s.Final > 0 {
		return s.Final
	}
	return 5 * time.Minute
}

func (s Server) tls() *tls.Config {
	cfg := s.TLS.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(s.Addr)
	}
	return cfg
}

// dial gives the connection to speak on and the bare one under it, which is what must be closed to end every wait.
func (s Server) dial(ctx context.Context) (conn, bare net.Conn, err error) {
	d := net.Dialer{Timeout: s.command()}
	bare, err = d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, nil, err
	}
	if s.StartTLS {
		return bare, bare, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.command())
	defer cancel()
	secure := tls.Client(bare, s.tls())
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, nil, errors.Join(tlsError(err), bare.Close())
	}
	return secure, bare, nil
}

// A tlsFailure keeps a handshake's own words, which speak of certificates and hosts alone.
type tlsFailure struct{ err error }

func tlsError(err error) error      { return &tlsFailure{err} }
func (t *tlsFailure) Error() string { return "tls handshake: " + t.err.Error() }
func (t *tlsFailure) Unwrap() error { return t.err }

// guard closes conn when ctx ends: neither library knows contexts. The returned function takes the guard away and
// waits for it where it had started to act.
func guard(ctx context.Context, conn net.Conn) (release func()) {
	acted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(acted)
		_ = conn.Close() // the reader it wakes reports ctx's error
	})
	return func() {
		if !stop() {
			<-acted
		}
	}
}
