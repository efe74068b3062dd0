package mail

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"raccordo/contracts"
)

// A Draft is a message before its bytes exist. Recipients stand in To, all of them: certified mail wants the envelope
// to equal To and Cc, and gives poorer receipts for Cc.
type Draft struct {
	MessageID string // with angle brackets
	Date      time.Time
	From      string
	To        []string
	Subject   string
	Text      string
	Headers   []Header
	Files     []File
}

// A Header is one more header field; a value outside ASCII is encoded (RFC 2047).
type Header struct{ Name, Value string }

// A File is an attachment.
type File struct {
	Name, MediaType string
	Content         []byte
}

const maxLine = 998 // RFC 5322 section 2.1.1

// Bytes renders the draft: CRLF line ends, 7 bits, UTF-8 behind transfer and header encodings, no name of the program.
// Two renderings of one draft are equal. Every error is Invalid and names a field, never a value.
func (d Draft) Bytes() ([]byte, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithCharset(gomail.CharsetUTF8),
		gomail.WithEncoding(gomail.EncodingQP), gomail.WithBoundary(d.boundary()))
	m.SetMessageIDWithValue(strings.Trim(d.MessageID, "<>"))
	m.SetDateWithValue(d.Date)
	if m.From(d.From) != nil {
		return nil, contracts.Errorf(contracts.Invalid, "compose: from: not an address")
	}
	for i, to := range d.To {
		if m.AddTo(to) != nil {
			return nil, contracts.Errorf(contracts.Invalid, "compose: to[%d]: not an address", i)
		}
	}
	m.Subject(d.Subject)
	for _, h := range d.Headers {
		m.SetGenHeader(gomail.Header(h.Name), h.Value)
	}
	m.SetBodyString(gomail.TypeTextPlain, d.Text)
	for i, f := range d.Files {
		kind, err := leafType(f.MediaType)
		if err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "compose: attachments[%d].media_type: %w", i, err)
		}
		m.AttachReadSeeker(f.Name, bytes.NewReader(f.Content), gomail.WithFileContentType(gomail.ContentType(kind)))
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, contracts.Errorf(contracts.Internal, "compose: render failed (%T)", err)
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n") // the dot stands on a line of its own, so the wire would add it to the frozen bytes
	}
	if err := wireForm(b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// boundary is derived, so that equal drafts make equal bytes, and from the text too, so that no text can contain it. The
// library writes it unquoted, which leaves letters and digits.
func (d Draft) boundary() string {
	return contracts.SumOf([]byte(d.MessageID + "\n" + d.Text)).String()[:40]
}

// leafType refuses what must not travel in base64 (RFC 2045 section 6.4) and what is no media type.
func leafType(s string) (string, error) {
	kind, _, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(kind, "/") {
		return "", fmt.Errorf("want type/subtype")
	}
	if strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		return "", fmt.Errorf("want a file's type, not multipart or message")
	}
	return kind, nil
}

// wireForm checks what the wire demands of frozen bytes; after it nothing may rewrite them.
func wireForm(b []byte) error {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 1 || b[end-1] != '\r' {
			return contracts.Errorf(contracts.Internal, "compose: a line does not end in CRLF")
		}
		line := b[:end-1]
		if len(line) > maxLine {
			return contracts.Errorf(contracts.Invalid, "compose: a line is longer than %d bytes", maxLine)
		}
		for _, c := range line {
			if c >= 0x80 || c == '\r' || c == 0 {
				return contracts.Errorf(contracts.Internal, "compose: a line holds a byte that cannot travel")
			}
		}
		b = b[end+1:]
	}
	return nil
}
