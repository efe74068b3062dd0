package api

import (
	"net/http"
	"time"

	"raccordo/contracts"
)

// The hub's own headers.
const (
	headerPurpose = "Hub-Purpose"
	headerUser    = "Hub-User"
	headerCase    = "Hub-Case"
	headerSite    = "Hub-Site"
	headerIP      = "Hub-IP"
	headerLoA     = "Hub-LoA"
	headerDue     = "Hub-Due"
	headerAt      = "Hub-At"
	headerKey     = "Idempotency-Key"
	headerTrace   = "Traceparent"
)

// maxHeader bounds each of our headers: these texts end up in entries and in suppliers' tracking evidence.
const maxHeader = 128

// plainText reports whether s is at most maxHeader bytes of printable ASCII.
func plainText(s string) bool {
	if len(s) > maxHeader {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// parseCall reads what the headers say of a call. The service is not among it: the token names that.
func parseCall(h http.Header) (*contracts.Call, error) {
	c := &contracts.Call{}
	var due string
	for _, f := range [...]struct {
		name string
		into *string
	}{
		{headerPurpose, &c.Caller.Purpose},
		{headerUser, &c.Caller.User},
		{headerCase, &c.Caller.Case},
		{headerSite, &c.Caller.Site},
		{headerIP, &c.Caller.IP},
		{headerLoA, &c.Caller.LoA},
		{headerAt, &c.At},
		{headerKey, &c.Key},
		{headerDue, &due},
	} {
		values := h.Values(f.name)
		if len(values) > 1 {
			return nil, contracts.Errorf(contracts.Invalid, "%s: stands twice", f.name)
		}
		if len(values) == 0 {
			continue
		}
		*f.into = values[0]
		if f.name == headerKey {
			*f.into = unquote(values[0])
		}
		if !plainText(*f.into) {
			return nil, contracts.Errorf(contracts.Invalid, "%s: want at most %d printable ASCII characters", f.name, maxHeader)
		}
	}
	if due != "" {
		t, err := time.Parse(time.RFC3339, due)
		if err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "%s: want an instant as in RFC 3339, such as 2026-03-31T12:00:00+02:00", headerDue)
		}
		c.Due = t
	}
	return c, nil
}

// writeCall is the opposite of parseCall. What cannot stand in a header is an error.
func writeCall(h http.Header, c *contracts.Call) error {
	for _, f := range [...]struct{ name, value string }{
		{headerPurpose, c.Caller.Purpose},
		{headerUser, c.Caller.User},
		{headerCase, c.Caller.Case},
		{headerSite, c.Caller.Site},
		{headerIP, c.Caller.IP},
		{headerLoA, c.Caller.LoA},
		{headerAt, c.At},
		{headerKey, c.Key},
	} {
		if !plainText(f.value) || f.value != trimmed(f.value) && f.name != headerKey {
			return contracts.Errorf(contracts.Invalid, "%s: want at most %d printable ASCII characters, without blanks around them", f.name, maxHeader)
		}
		if f.value == "" {
			continue
		}
		if f.name == headerKey && (f.value != trimmed(f.value) || f.value[0] == '"') {
			f.value = quote(f.value)
		}
		h.Set(f.name, f.value)
	}
	if !c.Due.IsZero() {
		h.Set(headerDue, c.Due.Format(time.RFC3339Nano))
	}
	return nil
}

func trimmed(s string) string {
	for s != "" && s[0] == ' ' {
		s = s[1:]
	}
	for s != "" && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return s
}
