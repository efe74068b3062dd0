package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"raccordo/contracts"
)

func FuzzProblem(f *testing.F) {
	for _, k := range contracts.AllKinds() {
		b, err := json.Marshal(ProblemOf(&contracts.Error{Kind: k, System: "inad", Operation: "domicile.lookup", Code: "404", After: time.Second, Ticket: "t", Err: errNone}))
		ok(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"type":"about:blank","title":"Not Found","status":404}`))
	f.Add([]byte(`{"kind":"throttled","retry_after":1e308}`))
	f.Add([]byte(`{"kind":"throttled","retry_after":-1}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseProblem(b)
		if err != nil {
			return
		}
		if e.After < 0 || e.After > maxAfter {
			t.Fatalf("after %s", e.After)
		}
		again, err := json.Marshal(ProblemOf(e))
		ok(t, err)
		same, err := parseProblem(again)
		ok(t, err)
		if same.Kind != e.Kind || same.Code != e.Code || same.System != e.System || same.Operation != e.Operation || same.Ticket != e.Ticket {
			t.Fatalf("%+v became %+v", e, same)
		}
	})
}

var errNone = contracts.Errorf(contracts.NotFound, "none").Err

func FuzzPrefer(f *testing.F) {
	for _, s := range []string{
		"respond-async", "respond-async, wait=10", "wait=0", "wait=0.25", `foo; bar="a, wait=3", wait="10"`, "Respond-Async;x", "wait=", "wait=1e9",
		"wait=99999999999999999999", `return="a\"b"`, ",,;;==", `"`, `\`, "wait=.", "handling=lenient, wait=100, respond-async",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		h := http.Header{"Prefer": {a, b}}
		p := parsePrefer(h)
		if p.wait < 0 || p.wait > 24*time.Hour || p.waits && !strings.Contains(strings.ToLower(a+b), "wait") {
			t.Fatalf("%q, %q: %+v", a, b, p)
		}
		if p.async && !strings.Contains(strings.ToLower(a+b), "respond-async") {
			t.Fatalf("%q, %q: %+v", a, b, p)
		}
		h = http.Header{"Accept": {a, b}}
		_ = acceptsJSON(h)
		if got := unquote(quote(a)); got != a {
			t.Fatalf("quoted %q, unquoted %q", a, got)
		}
	})
}

// What the client writes the server reads, and the other way round.
func FuzzHeaders(f *testing.F) {
	f.Add("flussi", "u1", "MI-2026-000123", `"quoted"`, "inad", "2026-03-31T12:00:00+02:00")
	f.Add("", " ", "\r\n", `\`, "è", "x")
	f.Fuzz(func(t *testing.T, purpose, user, proceeding, key, at, due string) {
		h := http.Header{}
		for name, value := range map[string]string{
			headerPurpose: purpose, headerUser: user, headerCase: proceeding, headerKey: key, headerAt: at, headerDue: due,
		} {
			if value != "" {
				h.Set(name, value)
			}
		}
		c, err := parseCall(h)
		if err != nil {
			wantKind(t, err, contracts.Invalid)
			if !utf8.ValidString(err.Error()) {
				t.Fatalf("error %q", err)
			}
			return
		}
		h = http.Header{}
		if err := writeCall(h, c); err != nil {
			wantKind(t, err, contracts.Invalid)
			return
		}
		again, err := parseCall(h)
		ok(t, err)
		if !again.Due.Equal(c.Due) {
			t.Fatalf("due %s became %s", c.Due, again.Due)
		}
		again.Due = c.Due
		if *again != *c {
			t.Fatalf("%+v became %+v", c, again)
		}
	})
}

func FuzzTrace(f *testing.F) {
	for _, s := range []string{trace, "", "00-0-0-0", "ff-" + trace[3:], "01" + trace[2:] + "-more", trace + "-", strings.ToUpper(trace)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if validTrace(s) && (len(s) < 55 || len(s) > 128 || strings.ContainsAny(s, "\r\n\"\x00 ")) {
			t.Fatalf("%q passes", s)
		}
	})
}

func TestPreferenceParsing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header []string
		want   preference
	}{
		{nil, preference{}},
		{[]string{"respond-async"}, preference{async: true}},
		{[]string{"RESPOND-ASYNC , WAIT = 5"}, preference{async: true, wait: 5 * time.Second, waits: true}},
		{[]string{"wait=1", "wait=2"}, preference{wait: time.Second, waits: true}},
		{[]string{`wait="3"`}, preference{wait: 3 * time.Second, waits: true}},
		{[]string{`x="a,respond-async", wait=4;y=z`}, preference{wait: 4 * time.Second, waits: true}},
		{[]string{"wait=-1, respond-async=yes"}, preference{}},
		{[]string{"wait=nan", "wait=1e3", "wait=86401", "wait=0x5"}, preference{}},
		{[]string{strings.Repeat("x,", 40) + "wait=1"}, preference{}},
	} {
		equal(t, strings.Join(tt.header, " | "), parsePrefer(http.Header{"Prefer": tt.header}), tt.want)
	}
}

func TestAcceptParsing(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"application/json": true, "*/*": true, "application/*;q=0.1": true, "text/html, */*;q=0.1": true, "application/json;q=0": false,
		"application/json;q=0, */*": false, "*/*;q=0, application/json": true, "text/html": false, "": false, "APPLICATION/JSON; Q=1": true,
	} {
		equal(t, accept, acceptsJSON(http.Header{"Accept": {accept}}), want)
	}
	equal(t, "no header", acceptsJSON(http.Header{}), true)
}
