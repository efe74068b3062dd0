package contracts

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// A Private is text about a person or a case: a name, a subject line, a message. It prints as its length; Reveal is the
// only way to it.
type Private struct{ text string }

// NewPrivate takes the text in.
func NewPrivate(text string) Private { return Private{text} }

// Reveal gives the text.
func (p Private) Reveal() string { return p.text }

// IsZero reports whether there is none.
func (p Private) IsZero() bool { return p.text == "" }

// Len is the length in bytes.
func (p Private) Len() int { return len(p.text) }

// String tells the length alone.
func (p Private) String() string { return fmt.Sprintf("[private, %d bytes]", len(p.text)) }

// Format tells the length alone, with every verb.
func (p Private) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// LogValue tells the length alone.
func (p Private) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText writes the text in full: for the wire and for sealed rows.
func (p Private) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText takes the text in.
func (p *Private) UnmarshalText(text []byte) error { p.text = string(text); return nil }

// A Blob is bytes that may tell of a person: an attachment. It prints as its length and travels as base64.
type Blob struct{ data []byte }

// NewBlob takes the bytes in; the caller must not change them afterwards.
func NewBlob(data []byte) Blob { return Blob{data} }

// Reveal gives the bytes; they must not be changed.
func (b Blob) Reveal() []byte { return b.data }

// IsZero reports whether there are none.
func (b Blob) IsZero() bool { return len(b.data) == 0 }

// String tells the length alone.
func (b Blob) String() string { return fmt.Sprintf("[%d bytes]", len(b.data)) }

// Format tells the length alone, with every verb.
func (b Blob) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(b.String())) }

// LogValue tells the length alone.
func (b Blob) LogValue() slog.Value { return slog.StringValue(b.String()) }

// MarshalText writes standard base64.
func (b Blob) MarshalText() ([]byte, error) {
	return []byte(base64.StdEncoding.EncodeToString(b.data)), nil
}

// UnmarshalText reads standard base64.
func (b *Blob) UnmarshalText(text []byte) (err error) {
	b.data, err = base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return errors.New("want standard base64") // the library's text quotes the input's place, ours need not
	}
	return nil
}

// An Address is a certified mailbox (PEC or another qualified delivery service): ASCII only, domain in lower case. It
// prints masked; Reveal is the only way to it.
type Address struct{ addr string }

const maxAddress = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets

var errAddress = errors.New("address: want ASCII local-part@domain.tld, at most 254 characters, without quotes, blanks or control characters")

// ParseAddress accepts the dot-atom form of RFC 5322 section 3.4.1 with a dotted domain; quoted local parts, comments
// and non-ASCII names do not occur in PEC. Surrounding blanks are dropped, the domain is lowered. The error never holds
// the address.
func ParseAddress(s string) (Address, error) {
	s = strings.Trim(s, " \t")
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > maxAddress || len(local) > 64 || !dotAtom(local, atext) || !hostname(domain) {
		return Address{}, errAddress
	}
	return Address{local + "@" + strings.ToLower(domain)}, nil
}

func dotAtom(s string, allowed func(byte) bool) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if !allowed(part[i]) {
				return false
			}
		}
	}
	return true
}

// hostname is two labels or more, none of which looks like an option of a command (RFC 1123 section 2.1).
func hostname(s string) bool {
	labels := 0
	for l := range strings.SplitSeq(s, ".") {
		if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		labels++
	}
	return labels > 1 && dotAtom(s, label)
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
func label(c byte) bool { return alnum(c) || c == '-' }
func atext(c byte) bool { return alnum(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0 }

// Reveal gives the address.
func (a Address) Reveal() string { return a.addr }

// IsZero reports whether there is none.
func (a Address) IsZero() bool { return a.addr == "" }

// Equal compares as mail does in practice: without regard to case.
func (a Address) Equal(b Address) bool { return strings.EqualFold(a.addr, b.addr) }

// Domain is the part behind the @.
func (a Address) Domain() string {
	_, domain, _ := strings.Cut(a.addr, "@")
	return domain
}

// String masks local part and domain: a firm's or a person's name stands in both.
func (a Address) String() string {
	if a.addr == "" {
		return ""
	}
	return "***@***"
}

// Format masks with every verb.
func (a Address) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue masks in logs.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText writes the address in full: for the wire and for sealed rows.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.addr), nil }

// UnmarshalText parses; empty text is the zero value.
func (a *Address) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	*a, err = ParseAddress(string(text))
	return err
}

// A DigitalDomicile is an address with legal value, and the register that vouches for it.
type DigitalDomicile struct {
	Address    Address   `json:"address"`
	Register   string    `json:"register"`             // "INI-PEC", "INAD"
	Role       string    `json:"role"`                 // "personal", "professional" or "enterprise"
	Profession string    `json:"profession,omitempty"` // of a professional address, as the register words it
	Since      time.Time `json:"since,omitzero"`       // zero when the register does not say
	Until      time.Time `json:"until,omitzero"`       // last valid instant of an address that will cease; zero: none known
}
