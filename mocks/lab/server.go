package lab

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// A server is one HTTP mock's. It knows its connections, so that a refusal reaches clients that stand connected.
type server struct {
	http *http.Server
	gone chan struct{}

	mu    sync.Mutex
	age   int              // counts the refusals
	conns map[net.Conn]int // the age at which each was made
	idle  map[net.Conn]bool
}

// retire has every connection made so far closed, once no exchange is under way on it: none will carry another.
func (s *server) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age++
	for c := range s.idle {
		hangUp(c)
	}
}

// state follows a connection through its life.
func (s *server) state(c net.Conn, to http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.idle, c)
	switch to {
	case http.StateNew:
		s.conns[c] = s.age
	case http.StateIdle:
		if s.conns[c] == s.age {
			s.idle[c] = true
		} else {
			hangUp(c)
		}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
	}
}

type connKey struct{}

// fresh lets requests pass only on connections that are not retired: one may have been read ahead before its connection
// could be closed.
func (s *server) fresh(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(net.Conn)
		s.mu.Lock()
		retired := s.conns[c] != s.age
		s.mu.Unlock()
		if retired {
			hijack(w, nil)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// hangUp closes the TCP connection below TLS, whose own farewell may wait.
func hangUp(c net.Conn) {
	if n, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = n.NetConn()
	}
	c.Close()
}

func (s *server) close() {
	s.http.Close()
	<-s.gone
}

func (b *Bench) serve(h http.Handler, l net.Listener) {
	s := &server{gone: make(chan struct{}), conns: map[net.Conn]int{}, idle: map[net.Conn]bool{}}
	s.http = &http.Server{
		Handler:           s.fresh(h),
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes that clients give up are their business
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnState:         s.state,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	b.mu.Lock()
	b.servers = append(b.servers, s)
	b.mu.Unlock()
	go func() {
		defer close(s.gone)
		s.http.Serve(l)
	}()
}
