package mail

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const maxReply = 128 << 10 // bytes that an SMTP server may say at one go; also a TLS handshake's fit

// terse is a connection whose peer may say only so much before it is our turn again: the library would gather a reply
// without end.
type terse struct {
	net.Conn
	heard atomic.Int64
}

// Read fails once the peer has said too much.
func (c *terse) Read(b []byte) (int, error) {
	if c.heard.Load() > maxReply {
		return 0, &notSMTP{}
	}
	n, err := c.Conn.Read(b)
	c.heard.Add(int64(n))
	return n, err
}

// Write gives the peer its allowance back.
func (c *terse) Write(b []byte) (int, error) {
	c.heard.Store(0)
	return c.Conn.Write(b)
}

const (
	listing  = 16 << 20 // bytes of one answer that lists folders or UIDs: a million of them
	overhead = 64 << 10 // of an answer around a message's bytes
)

var errTooMuch = errors.New("the server says more than was asked")

// metered is a connection that gives out no more bytes than the session has allowed for the answer at hand, and whose peer
// may be silent only for so long while an answer is due. The library's own limits are ten times as long, run also while
// nothing is due, and are therefore not listened to.
type metered struct {
	net.Conn
	silence time.Duration
	left    atomic.Int64
	lost    atomic.Bool // the connection itself broke: the library hides that from its callers

	mu  sync.Mutex
	due bool
}

func newMeter(conn net.Conn, silence time.Duration) *metered {
	m := &metered{Conn: conn, silence: silence}
	m.left.Store(listing)
	return m
}

// awaits says whether an answer is due from now on; a read that is under way hears of it.
func (c *metered) awaits(due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = due
	c.arm()
}

func (c *metered) arm() {
	deadline := time.Time{}
	if c.due {
		deadline = time.Now().Add(c.silence)
	}
	_ = c.Conn.SetReadDeadline(deadline) // where that fails, so does the reading
}

// SetReadDeadline does nothing: the limit is ours.
func (c *metered) SetReadDeadline(time.Time) error { return nil }

// Read fails once the allowance is used up.
func (c *metered) Read(b []byte) (int, error) {
	left := c.left.Load()
	if left <= 0 {
		return 0, errTooMuch
	}
	c.mu.Lock()
	c.arm()
	c.mu.Unlock()
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.Add(int64(-n))
	if err != nil {
		c.lost.Store(true)
	}
	return n, err
}
