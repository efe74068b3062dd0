package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A preference is what Prefer asks (RFC 7240) as far as the hub knows how to grant it.
type preference struct {
	async bool          // respond-async
	wait  time.Duration // wait=N; meaningful with waits
	waits bool
}

// maxPreferences bounds what is looked at; the rest is ignored, as preferences may be.
const maxPreferences = 32

// parsePrefer reads every Prefer header. The first mention of a preference counts; what is unknown or does not parse is
// ignored (section 2).
func parsePrefer(h http.Header) preference {
	var p preference
	seen := 0
	for _, line := range h.Values("Prefer") {
		for item := range splitQuoted(line, ',') {
			if seen++; seen > maxPreferences {
				return p
			}
			first := item
			for part := range splitQuoted(item, ';') {
				first = part // parameters of a preference are ignored
				break
			}
			name, value, _ := strings.Cut(first, "=")
			value = unquote(strings.TrimSpace(value))
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = p.async || value == ""
			case "wait":
				if d, ok := parseSeconds(value); ok && !p.waits {
					p.wait, p.waits = d, true
				}
			}
		}
	}
	return p
}

// parseSeconds reads a number of seconds of up to a day, with or without a fraction.
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" || len(s) > 16 || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f > (24*time.Hour).Seconds() {
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}

// splitQuoted yields the parts of s between separators that stand outside double quotes.
func splitQuoted(s string, sep byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == sep && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}

// unquote gives the text of a quoted string, and any other text as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// quote is the opposite of unquote, for a text that must arrive as it is.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// acceptsJSON reports whether the Accept headers allow application/json (RFC 9110 section 12.5.1). None allows all.
func acceptsJSON(h http.Header) bool {
	values := h.Values("Accept")
	if len(values) == 0 {
		return true
	}
	best, allowed, seen := -1, false, 0 // the most specific range decides
	for _, line := range values {
		for item := range splitQuoted(line, ',') {
			if seen++; seen > maxPreferences {
				return allowed
			}
			media, params, _ := strings.Cut(item, ";")
			specific := -1
			switch strings.ToLower(strings.TrimSpace(media)) {
			case jsonType:
				specific = 2
			case "application/*":
				specific = 1
			case "*/*":
				specific = 0
			}
			if specific > best {
				best, allowed = specific, !refusedBy(params)
			}
		}
	}
	return allowed
}

// refusedBy reports whether the parameters of a media range hold q=0.
func refusedBy(params string) bool {
	for param := range splitQuoted(params, ';') {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && q == 0
		}
	}
	return false
}
