package pec

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
)

// The IMAP library serves no QUOTA (RFC 9208) and can be taught no command. So the mock sits between it and the network: it
// answers the commands of QUOTA itself, and to be able to read them it does TLS itself too.

// lines is a listener whose connections are read command by command.
type lines struct {
	net.Listener
	m        *Mock
	tls      *tls.Config
	implicit bool
}

// Accept waits for a connection; its TLS begins with the first byte, not here.
func (l *lines) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &line{raw: raw, m: l.m, tls: l.tls, secure: l.implicit}
	c.caps.Store(true) // the greeting tells them
	c.use(raw)
	if l.implicit {
		c.use(tls.Server(raw, l.tls))
	}
	return c, nil
}

// A line is one IMAP connection. Its reader hands on one command line, or one literal, at a time, so that it knows where a
// command begins; a command is read only when the last one was answered.
type line struct {
	raw    net.Conn
	m      *Mock
	tls    *tls.Config
	secure bool

	conn    atomic.Pointer[net.Conn] // raw, or TLS over it
	in      *bufio.Reader
	ready   []byte // read and not yet handed on
	literal int64  // bytes of a literal still to come
	amid    bool   // a command goes on behind its literal
	caps    atomic.Bool
	session atomic.Pointer[session]
}

var _ net.Conn = (*line)(nil)

func (c *line) use(conn net.Conn) {
	c.conn.Store(&conn)
	c.in = bufio.NewReaderSize(conn, maxLine)
}

// maxLine is the longest command line, as the library has it.
const maxLine = 50 << 10

var literalMark = regexp.MustCompile(`\{(\d+)\+?\}\r?\n$`)

// Read gives the library the next bytes of a command that is its own.
func (c *line) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		if c.literal > 0 {
			n, err := c.in.Read(p[:min(int64(len(p)), c.literal)])
			c.literal -= int64(n)
			return n, err
		}
		text, err := c.in.ReadSlice('\n')
		if len(text) == 0 || err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
		begins := !c.amid
		c.amid = false
		if mark := literalMark.FindSubmatch(text); mark != nil {
			if c.literal, err = strconv.ParseInt(string(mark[1]), 10, 64); err != nil {
				return 0, err
			}
			c.amid = true
		}
		if begins && !c.amid && c.own(string(bytes.TrimRight(text, "\r\n"))) {
			continue
		}
		c.ready = text // stands until the next read of in
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// own answers a command that the library does not know; false leaves it to the library.
func (c *line) own(text string) bool {
	tag, rest, _ := strings.Cut(text, " ")
	name, args, _ := strings.Cut(rest, " ")
	if tag == "" {
		return false
	}
	switch strings.ToUpper(name) {
	case "CAPABILITY", "LOGIN", "AUTHENTICATE":
		c.caps.Store(true)
		if !c.secure && !strings.EqualFold(name, "CAPABILITY") {
			c.say(tag + " NO [PRIVACYREQUIRED] TLS is required to authenticate\r\n")
			return true
		}
	case "STARTTLS":
		if c.secure {
			return false
		}
		c.say(tag + " OK Begin TLS negotiation now\r\n")
		if c.in.Buffered() > 0 { // what came before the handshake must not count as coming after it
			_ = c.raw.Close()
			return true
		}
		c.secure = true
		c.use(tls.Server(c.raw, c.tls))
		return true
	case "GETQUOTAROOT", "GETQUOTA", "SETQUOTA":
		s := c.session.Load()
		if s == nil || !s.loggedIn() {
			return false
		}
		c.quota(s, tag, strings.ToUpper(name), args)
		return true
	}
	return false
}

// quotaRoot is the one root: all folders of an account share its room.
const quotaRoot = `"User quota"`

func (c *line) quota(s *session, tag, name, args string) {
	err := s.command("quota", func(bool) error {
		arg := strings.Trim(strings.TrimSpace(args), `"`)
		used, limit := s.m.Used(s.account)
		var out strings.Builder
		quota := func() {
			resources := ""
			if limit > 0 {
				resources = fmt.Sprintf("STORAGE %d %d", (used+1023)/1024, limit/1024) // in units of 1,024 octets
			}
			fmt.Fprintf(&out, "* QUOTA %s (%s)\r\n", quotaRoot, resources)
		}
		answer := "OK Completed"
		switch {
		case name == "SETQUOTA":
			answer = "NO [NOPERM] Permission denied"
		case name == "GETQUOTAROOT" && !s.has(arg):
			answer = "NO [NONEXISTENT] No such mailbox"
		case name == "GETQUOTAROOT":
			fmt.Fprintf(&out, "* QUOTAROOT %s %s\r\n", strings.TrimSpace(args), quotaRoot)
			quota()
		case arg == strings.Trim(quotaRoot, `"`):
			quota()
		default:
			answer = "NO [NONEXISTENT] No such quota root"
		}
		c.say(out.String() + tag + " " + answer + "\r\n")
		return nil
	})
	if e := new(imap.Error); errors.As(err, &e) { // a fault answered instead
		c.say(fmt.Sprintf("%s NO [%s] %s\r\n", tag, e.Code, e.Text))
	}
}

func (c *line) say(text string) { _, _ = (*c.conn.Load()).Write([]byte(text)) } // whether anybody listens shows at the next read

// Write sends what the library answers, with the capabilities that are ours.
func (c *line) Write(p []byte) (int, error) {
	conn := *c.conn.Load()
	if !c.caps.Load() {
		return conn.Write(p)
	}
	i := bytes.Index(p, []byte("CAPABILITY IMAP4rev1"))
	if i < 0 {
		return conn.Write(p)
	}
	c.caps.Store(false)
	text := string(p)
	switch {
	case !c.secure:
		text = strings.Replace(text, "AUTH=PLAIN", "STARTTLS LOGINDISABLED", 1)
	case c.offersQuota():
		text = strings.Replace(text, "CAPABILITY IMAP4rev1", "CAPABILITY IMAP4rev1 QUOTA QUOTA=RES-STORAGE", 1)
	}
	if n, err := conn.Write([]byte(text)); err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}

func (c *line) offersQuota() bool {
	s := c.session.Load()
	return s != nil && s.loggedIn()
}

func (s *session) loggedIn() bool {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	return s.account != ""
}

func (s *session) has(folder string) bool {
	s.m.store.mu.Lock()
	defer s.m.store.mu.Unlock()
	return s.m.store.folder(s.account, folder) != nil
}

// NetConn is the connection below TLS, for whoever must cut it.
func (c *line) NetConn() net.Conn { return c.raw }

// lineOf finds ours below what the library gives.
func lineOf(c net.Conn) *line {
	ours, _ := c.(*line)
	return ours
}

// Close, the addresses and the deadlines are those of the connection in use.

// Close ends the connection.
func (c *line) Close() error { return (*c.conn.Load()).Close() }

// LocalAddr is where the mock listens.
func (c *line) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is the client's.
func (c *line) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline bounds reads and writes.
func (c *line) SetDeadline(t time.Time) error { return (*c.conn.Load()).SetDeadline(t) }

// SetReadDeadline bounds reads.
func (c *line) SetReadDeadline(t time.Time) error { return (*c.conn.Load()).SetReadDeadline(t) }

// SetWriteDeadline bounds writes.
func (c *line) SetWriteDeadline(t time.Time) error { return (*c.conn.Load()).SetWriteDeadline(t) }
