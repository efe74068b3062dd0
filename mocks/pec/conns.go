package pec

import (
	"net"
	"sync"

	"raccordo/mocks/lab"
)

// A connSet holds the connections that are open, so that Close can end them all.
type connSet struct {
	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

type conn struct {
	net.Conn
	set     *connSet
	service string

	// Guarded by set.mu.
	busy    int  // exchanges under way
	retired bool // to be closed when there are none
}

// begin and end bracket an exchange.
func (c *conn) begin() {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.busy++
}

func (c *conn) end() {
	c.set.mu.Lock()
	c.busy--
	over := c.retired && c.busy == 0
	c.set.mu.Unlock()
	if over {
		c.cut()
	}
}

// Retire closes the connections of some services that stand, once no exchange is under way on them: the bench calls it when
// connections begin to be refused.
func (m *Mock) Retire(matches func(label string) bool) {
	var idle []*conn
	m.conns.mu.Lock()
	for c := range m.conns.open {
		if !matches(c.service + " connect") {
			continue
		}
		c.retired = true
		if c.busy == 0 {
			idle = append(idle, c)
		}
	}
	m.conns.mu.Unlock()
	for _, c := range idle {
		c.cut()
	}
}

// Close also forgets the connection.
func (c *conn) Close() error {
	c.set.mu.Lock()
	delete(c.set.open, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// cut resets the connection: the other side must not mistake it for a proper end.
func (c *conn) cut() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// close ends every connection, now and later.
func (s *connSet) close() {
	s.mu.Lock()
	s.closed = true
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

type tracked struct {
	net.Listener
	m       *Mock
	service string
	set     *connSet
}

func (l *tracked) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for len(l.m.told("", "connect "+l.service, "", only("connreset"))) > 0 {
		lab.Reset(raw)
		if raw, err = l.Listener.Accept(); err != nil {
			return nil, err
		}
	}
	c := &conn{Conn: raw, set: l.set, service: l.service}
	l.set.mu.Lock()
	defer l.set.mu.Unlock()
	if l.set.closed {
		_ = raw.Close()
		return c, nil
	}
	if l.set.open == nil {
		l.set.open = make(map[*conn]struct{})
	}
	l.set.open[c] = struct{}{}
	return c, nil
}

// underlying finds our connection below TLS.
func underlying(c net.Conn) *conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	ours, _ := c.(*conn)
	return ours
}

// An access is one session that is logged in, of either protocol.
type access struct {
	cut   func()
	reads bool // by IMAP
}

// enter notes a session of an account; leave must follow.
func (m *Mock) enter(address string, conn net.Conn, reads bool) *access {
	a := &access{cut: func() { cut(conn) }, reads: reads}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions[address] == nil {
		m.sessions[address] = make(map[*access]struct{})
	}
	m.sessions[address][a] = struct{}{}
	return a
}

func (m *Mock) leave(address string, a *access) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions[address], a)
}

// cut resets the connection that c runs on.
func cut(c net.Conn) {
	if ours := underlying(c); ours != nil {
		ours.cut()
	}
}

// hangUp ends the connection without TLS's farewell, after what was written.
func hangUp(c net.Conn) {
	if ours := underlying(c); ours != nil {
		_ = ours.Close()
	}
}
