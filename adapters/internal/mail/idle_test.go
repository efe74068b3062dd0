package mail

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

// A scripted server answers the usual commands; what a test cares about is its own.
type script struct {
	caps string
	own  func(c *talk, tag, rest string) (handled bool)
}

func (s script) serve(c *talk) {
	caps := s.caps
	if caps == "" {
		caps = "IMAP4rev1 IDLE"
	}
	c.say("* OK [CAPABILITY " + caps + "] here")
	for {
		line, ok := c.hear()
		if !ok {
			return
		}
		tag, rest, _ := strings.Cut(line, " ")
		switch {
		case s.own != nil && s.own(c, tag, rest):
		case strings.HasPrefix(rest, "LOGIN"):
			c.say(tag + " OK [CAPABILITY " + caps + "] in")
		case strings.HasPrefix(rest, "EXAMINE"):
			c.say("* 1 EXISTS", "* OK [UIDVALIDITY 7] x", "* OK [UIDNEXT 8] x", tag+" OK [READ-ONLY] done")
		default:
			c.say(tag + " OK done")
		}
	}
}

func connected(t *testing.T, s script, hint func()) *Session {
	t.Helper()
	server := listen(t, s.serve).server()
	server.Command = 500 * time.Millisecond
	session, err := Connect(t.Context(), server, hint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	if err := session.Use(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Open("INBOX"); err != nil {
		t.Fatal(err)
	}
	return session
}

// idling is a server that listens and tells of news when it is told to.
func idling(news <-chan string) script {
	return script{own: func(c *talk, tag, rest string) bool {
		if rest != "IDLE" {
			return false
		}
		c.say("+ idling")
		done := make(chan bool)
		go func() {
			line, ok := c.hear()
			done <- ok && line == "DONE"
		}()
		for {
			select {
			case line := <-news:
				c.say(line)
			case ok := <-done:
				if ok {
					c.say(tag + " OK idled")
				}
				return true
			}
		}
	}}
}

func TestSessionAtRestHearsOfNews(t *testing.T) {
	news, hints := make(chan string), make(chan bool, 10)
	s := connected(t, idling(news), func() { hints <- true })
	for range 2 {
		if err := s.Rest(true); err != nil {
			t.Fatal(err)
		}
		news <- "* 2 EXISTS"
		select {
		case <-hints:
		case <-time.After(10 * time.Second):
			t.Fatal("no hint")
		}
		news <- "* 1 EXPUNGE" // no news
		if err := s.Renew(); err != nil {
			t.Fatal(err)
		}
		news <- "* 3 EXISTS"
		select {
		case <-hints:
		case <-time.After(10 * time.Second):
			t.Fatal("no hint after the renewal")
		}
		if err := s.Use(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open("INBOX"); err != nil {
			t.Fatal(err)
		}
		if len(hints) != 0 {
			t.Error("it takes an answer for news")
		}
	}
}

func TestSessionAtRestOutlivesSilenceAndItsUsersContext(t *testing.T) {
	for name, s := range map[string]script{"with IDLE": idling(nil), "without": {caps: "IMAP4rev1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := connected(t, s, func() {})
			ctx, cancel := context.WithCancel(t.Context())
			if err := session.Rest(false); err != nil {
				t.Fatal(err)
			}
			if err := session.Use(ctx); err != nil {
				t.Fatal(err)
			}
			if err := session.Rest(true); err != nil {
				t.Fatal(err)
			}
			cancel()
			<-time.After(1200 * time.Millisecond) // longer than the server may be silent while an answer is due
			if session.Broken() {
				t.Fatal("the connection is gone")
			}
			if err := session.Use(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := session.Open("INBOX"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHalfOpenLinkShowsAtTheNextWord(t *testing.T) {
	deaf := script{own: func(c *talk, _, rest string) bool {
		if rest != "IDLE" {
			return false
		}
		c.say("+ idling")
		for _, ok := c.hear(); ok; _, ok = c.hear() { // and never a word again
		}
		return true
	}}
	for name, say := range map[string]func(*Session) error{
		"renewal": func(s *Session) error { return s.Renew() },
		"use":     func(s *Session) error { return s.Use(t.Context()) },
	} {
		s := connected(t, deaf, func() {})
		if err := s.Rest(true); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := say(s); contracts.KindOf(orNone(err)) != contracts.Unavailable || !s.Broken() {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: known after %v", name, took)
		}
	}
}

func TestIdleThatIsRefusedEndsNothing(t *testing.T) {
	asked := make(chan bool, 10)
	s := connected(t, script{own: func(c *talk, tag, rest string) bool {
		if rest == "IDLE" {
			asked <- true
			c.say(tag + " BAD not here")
		}
		return rest == "IDLE"
	}}, func() {})
	for range 2 {
		if err := s.Rest(true); err != nil || s.Broken() {
			t.Fatalf("%v", err)
		}
		if err := s.Use(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
}

// bodies is a server whose answer to a fetch of bytes is the test's own.
func bodies(answer func(c *talk, tag string)) script {
	return script{own: func(c *talk, tag, rest string) bool {
		switch {
		case strings.HasPrefix(rest, "UID FETCH") && strings.Contains(rest, "BODY.PEEK[]"):
			answer(c, tag)
		case strings.HasPrefix(rest, "UID SEARCH"):
			c.say("* SEARCH 3", tag+" OK done") // "n:*" brings the last message even when it lies before n
		default:
			return false
		}
		return true
	}}
}

func literalOf(seq, uid int, body string) string {
	return fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}\r\n%s)", seq, uid, len(body), body)
}

func TestBatchUnderEveryTrouble(t *testing.T) {
	heads := []Head{{UID: 1, Size: 5}, {UID: 2, Size: 5}, {UID: 3, Size: 5}}
	for _, tc := range []struct {
		name   string
		answer func(c *talk, tag string)
		want   string
		kind   contracts.Kind
		big    bool
		broken bool
	}{
		{name: "in any order, with what was not asked", want: "3=three 1=one-- 2=two--", answer: func(c *talk, tag string) {
			c.say("* 4 EXISTS", "* 1 FETCH (FLAGS (\\Seen))", literalOf(3, 3, "three"), "* 9 FETCH (UID 9 FLAGS ())", literalOf(1, 1, "one--"),
				"* OK [ALERT] maintenance at noon", "* 4 EXPUNGE", literalOf(9, 9, "nine-"), literalOf(2, 2, "two--"), literalOf(2, 2, "again"), tag+" OK done")
		}},
		{name: "one is NIL, one is gone", want: "1=nil 3=three", answer: func(c *talk, tag string) {
			c.say("* 1 FETCH (UID 1 BODY[] NIL)", literalOf(2, 3, "three"), tag+" OK done")
		}},
		{name: "an empty one", want: "1=", answer: func(c *talk, tag string) { c.say(literalOf(1, 1, ""), tag+" OK done") }},
		{name: "larger than announced", want: "1=one--", big: true, broken: true, answer: func(c *talk, tag string) {
			c.say(literalOf(1, 1, "one--"), literalOf(2, 2, strings.Repeat("x", 101)), literalOf(3, 3, "three"), tag+" OK done")
		}},
		{name: "cut amid a literal", want: "1=one--", kind: contracts.Unavailable, broken: true, answer: func(c *talk, _ string) {
			c.say(literalOf(1, 1, "one--"))
			_, _ = c.Write([]byte("* 2 FETCH (UID 2 BODY[] {5}\r\ntw"))
			_ = c.Close()
		}},
		{name: "stuck amid a literal", want: "1=one--", kind: contracts.Unavailable, broken: true, answer: func(c *talk, _ string) {
			c.say(literalOf(1, 1, "one--"))
			_, _ = c.Write([]byte("* 2 FETCH (UID 2 BODY[] {5}\r\ntw"))
		}},
		{name: "refused in the end", want: "1=one--", kind: contracts.Unavailable, answer: func(c *talk, tag string) {
			c.say(literalOf(1, 1, "one--"), tag+" NO [SERVERBUG] Internal error")
		}},
		{name: "no end of it", kind: contracts.Unavailable, broken: true, answer: func(c *talk, _ string) {
			for junk := strings.Repeat("* 1 FETCH (FLAGS (\\Seen))\r\n", 1000); ; {
				if _, err := c.Write([]byte(junk)); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := connected(t, bodies(tc.answer), nil)
			var got []string
			err := s.Bodies(heads, 100, func(b Body) {
				text := "nil"
				if b.Raw != nil {
					text = string(b.Raw)
				}
				got = append(got, fmt.Sprintf("%d=%s", b.UID, text))
			})
			if have := strings.Join(got, " "); have != tc.want {
				t.Errorf("got %q, want %q", have, tc.want)
			}
			switch {
			case tc.big && err != ErrTooBig:
				t.Errorf("%v, want too big", err)
			case !tc.big && tc.kind == 0 && err != nil, tc.kind != 0 && (err == nil || contracts.KindOf(err) != tc.kind && contracts.KindOf(err) != contracts.Malformed):
				t.Errorf("%v, want %v", err, tc.kind)
			case s.Broken() != tc.broken:
				t.Errorf("broken: %v", s.Broken())
			}
		})
	}
}

func TestTheLastMessageIsNotNews(t *testing.T) {
	s := connected(t, bodies(nil), nil)
	if got, err := s.After(3, 10); err != nil || len(got) != 0 {
		t.Errorf("after 3: %v %v", got, err)
	}
	if got, err := s.After(2, 10); err != nil || len(got) != 1 {
		t.Errorf("after 2: %v %v", got, err)
	}
}

func TestNothingIsDeletedWithoutUIDPLUSOrUnderOtherNumbers(t *testing.T) {
	for caps, want := range map[string]contracts.Kind{"IMAP4rev1": contracts.Invalid, "IMAP4rev1 UIDPLUS": contracts.Conflict} {
		touched := make(chan string, 10)
		s := connected(t, script{caps: caps, own: func(c *talk, tag, rest string) bool {
			switch {
			case strings.HasPrefix(rest, "SELECT"):
				c.say("* OK [UIDVALIDITY 8] x", tag+" OK done")
				return true
			case strings.Contains(rest, "STORE"), strings.Contains(rest, "EXPUNGE"):
				touched <- rest
			}
			return false
		}}, nil)
		if err := s.Erase("INBOX", 7, []uint32{1}); contracts.KindOf(orNone(err)) != want || len(touched) != 0 {
			t.Errorf("%s: %v, %d commands", caps, err, len(touched))
		}
	}
}
