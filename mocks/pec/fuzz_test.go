package pec

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
)

// nowhere is a connection that takes everything and gives nothing.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Read([]byte) (int, error)    { return 0, io.EOF }
func (nowhere) Close() error                { return nil }

// FuzzLine: whatever a client sends, what is not the mock's own command reaches the library as it came, and the reader ends.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{
		"a1 LOGIN x y\r\na2 GETQUOTAROOT INBOX\r\na3 NOOP\r\n",
		"a1 APPEND INBOX {4}\r\nabcd\r\na2 NOOP\r\n",
		"a1 APPEND INBOX {24+}\r\nx GETQUOTAROOT INBOX\r\n\r\n\r\na2 GETQUOTA {3}\r\n\r\n",
		"a1 IDLE\r\nDONE\r\n", "\r\n\r\n", "a {99999999999999999999}\r\n", "a1 STARTTLS\r\na2 NOOP\r\n", "a",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, secure bool) {
		c := &line{raw: nowhere{}, secure: secure}
		var conn net.Conn = nowhere{}
		c.conn.Store(&conn)
		c.in = bufio.NewReaderSize(bytes.NewReader(raw), maxLine)
		got, _ := io.ReadAll(io.LimitReader(c, int64(len(raw))+1)) // how it ends does not matter
		if len(got) > len(raw) {
			t.Fatalf("%d bytes from %d", len(got), len(raw))
		}
		if secure && !bytes.HasPrefix(raw, got) {
			t.Errorf("%q became %q", raw, got)
		}
	})
}
