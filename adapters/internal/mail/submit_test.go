package mail

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
)

// An answer is what the scripted server says to a command; the empty one hangs up, "..." is silence.
type answers map[string]string

// play is a server: usual answers, unless others are given.
func play(other answers) func(*talk) {
	return func(c *talk) {
		reply := func(to, usual string) bool {
			said, ok := other[to]
			if !ok {
				said = usual
			}
			switch said {
			case "":
				return false
			case "...":
				_, _ = c.r.ReadByte() // until the other side gives up
				return false
			}
			c.say(said)
			return true
		}
		if !reply("greeting", "220 here") {
			return
		}
		for {
			line, ok := c.hear()
			if !ok {
				return
			}
			word, _, _ := strings.Cut(line, " ")
			switch word {
			case "EHLO":
				ok = reply(word, "250-here\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 AUTH PLAIN")
			case "AUTH":
				ok = reply(word, "235 2.7.0 come in")
			case "DATA":
				if ok = reply(word, "354 go on"); !ok {
					break
				}
				if said := other[word]; said != "" && said != "354 go on" {
					break
				}
				for line != "." && ok {
					line, ok = c.hear()
				}
				ok = ok && reply("dot", "250 2.0.0 queued as 7")
			case "QUIT":
				reply(word, "221 bye")
				return
			default:
				ok = reply(word, "250 2.0.0 ok")
			}
			if !ok {
				return
			}
		}
	}
}

func envelope() Envelope {
	return Envelope{From: "a@b.test", To: []string{"c@d.test", "e@f.test"}, Message: []byte("Subject: x\r\n\r\n.\r\nhello\r\n")}
}

func stay() error { return nil }

func TestFailureTellsHowFarItCame(t *testing.T) {
	rate := []Pattern{{550, regexp.MustCompile("(?i)too much traffic")}}
	for _, tc := range []struct {
		name  string
		say   answers
		phase Phase
		kind  contracts.Kind
		code  string
		to    int
	}{
		{"hangs up at once", answers{"greeting": ""}, PhaseConnect, contracts.Unavailable, "", -1},
		{"says nothing", answers{"greeting": "..."}, PhaseConnect, contracts.Unavailable, "", -1},
		{"is no SMTP server", answers{"greeting": "HTTP/1.1 400 Bad Request"}, PhaseConnect, contracts.Malformed, "", -1},
		{"has no place for us", answers{"greeting": "421 4.3.2 busy"}, PhaseConnect, contracts.Unavailable, "421 4.3.2", -1},
		{"refuses the password", answers{"AUTH": "535 5.7.8 user@b.test is wrong"}, PhaseAuth, contracts.Denied, "535 5.7.8", -1},
		{"cannot check the password", answers{"AUTH": "454 4.7.0 later"}, PhaseAuth, contracts.Unavailable, "454 4.7.0", -1},
		{"hangs up at the password", answers{"AUTH": ""}, PhaseAuth, contracts.Unavailable, "", -1},
		{"refuses the sender", answers{"MAIL": "550 5.1.8 no"}, PhaseSender, contracts.Denied, "550 5.1.8", -1},
		{"limits the rate", answers{"MAIL": `550 MAIL from <a@b.test> blocked "Class Of Service" - Too much traffic`}, PhaseSender, contracts.Throttled, "550", -1},
		{"refuses a recipient", answers{"RCPT": "550 5.1.1 <c@d.test> unknown"}, PhaseRecipient, contracts.Invalid, "550 5.1.1", 0},
		{"greylists a recipient", answers{"RCPT": "450 4.2.0 later"}, PhaseRecipient, contracts.Unavailable, "450 4.2.0", 0},
		{"hangs up at the recipient", answers{"RCPT": ""}, PhaseRecipient, contracts.Unavailable, "", -2},
		{"is silent at DATA", answers{"DATA": "..."}, PhaseStart, contracts.Unavailable, "", -1},
		{"refuses DATA", answers{"DATA": "554 5.5.1 no"}, PhaseStart, contracts.Invalid, "554 5.5.1", -1},
		{"refuses the message", answers{"dot": "554 5.6.0 no"}, PhaseDot, contracts.Invalid, "554 5.6.0", -1},
		{"puts the message off", answers{"dot": "451 4.3.0 later"}, PhaseDot, contracts.Unavailable, "451 4.3.0", -1},
		{"hangs up after the dot", answers{"dot": ""}, PhaseDot, contracts.Uncertain, "", -1},
		{"is silent after the dot", answers{"dot": "..."}, PhaseDot, contracts.Uncertain, "", -1},
		{"says noise after the dot", answers{"dot": "\x16\x03"}, PhaseDot, contracts.Uncertain, "", -1},
		{"says something else after the dot", answers{"dot": "354 go on"}, PhaseDot, contracts.Uncertain, "", -1},
		{"says half a line after the dot", answers{"dot": "25"}, PhaseDot, contracts.Uncertain, "", -1},
		{"never stops talking", answers{"dot": strings.Repeat("250-"+strings.Repeat("x", 900)+"\r\n", 1000) + "250 2.0.0 ok"}, PhaseDot, contracts.Uncertain, "", -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, play(tc.say)).server()
			server.Command, server.Final = 300*time.Millisecond, 300*time.Millisecond
			s := NewSubmitter(server)
			defer s.Close()
			_, err := s.Submit(t.Context(), envelope(), stay)
			var f *Failure
			if !errors.As(err, &f) {
				t.Fatalf("%v is no Failure", err)
			}
			if f.Phase != tc.phase || f.Reply.Status() != tc.code || f.Kind(rate) != tc.kind || (tc.to >= -1 && f.Recipient != tc.to) {
				t.Errorf("%s [%s] %s to[%d], want %s [%s] %s: %v", f.Phase, f.Reply.Status(), f.Kind(rate), f.Recipient, tc.phase, tc.code, tc.kind, err)
			}
			if text := err.Error(); strings.ContainsAny(text, "@\n<") || strings.Contains(text, "traffic") {
				t.Errorf("the error quotes the server: %s", text)
			}
			if f.Sent() != (tc.phase >= PhaseData) {
				t.Errorf("sent %t", f.Sent())
			}
		})
	}
}

func TestConnectionWithoutAReplyIsNotUsedAgain(t *testing.T) {
	p := listen(t, play(answers{"dot": "\x16\x03\r\n250 2.0.0 ok\r\n250 2.0.0 ok\r\n250 2.0.0 ok"})) // what is left would answer RSET and MAIL
	s := NewSubmitter(p.server())
	defer s.Close()
	for range 2 {
		if _, err := s.Submit(t.Context(), envelope(), stay); err == nil {
			t.Fatal("taken")
		}
	}
	if got := strings.Count(p.commands(), "AUTH"); got != 2 {
		t.Errorf("%d connections, want 2: heard %q", got, p.commands())
	}
}

func TestRefusedRecipientStopsBeforeDATA(t *testing.T) {
	p := listen(t, play(answers{"RCPT": "550 5.1.1 no"}))
	s := NewSubmitter(p.server())
	defer s.Close()
	departed := false
	for range 2 { // over one connection, which RSET made usable again
		if _, err := s.Submit(t.Context(), envelope(), func() error { departed = true; return nil }); err == nil {
			t.Fatal("taken")
		}
	}
	want := "EHLO AUTH MAIL RCPT RSET EHLO MAIL RCPT RSET"
	if got := p.commands(); got != want || departed {
		t.Errorf("heard %q, want %q; departed %t", got, want, departed)
	}
}

func TestDepartureIsTheLastThingBeforeDATA(t *testing.T) {
	p := listen(t, play(nil))
	s := NewSubmitter(p.server())
	defer s.Close()
	lost := contracts.Errorf(contracts.Canceled, "the lease is lost")
	_, err := s.Submit(t.Context(), envelope(), func() error {
		if got := p.commands(); got != "EHLO AUTH MAIL RCPT RCPT" {
			t.Errorf("departs after %q", got)
		}
		return lost
	})
	var f *Failure
	if !errors.As(err, &f) || f.Sent() || f.Kind(nil) != contracts.Canceled || !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
	if strings.Contains(p.commands(), "DATA") {
		t.Error("DATA was sent all the same")
	}
	reply, err := s.Submit(t.Context(), envelope(), stay)
	if err != nil || reply.Status() != "250 2.0.0" || !strings.Contains(reply.Text.Reveal(), "queued as 7") {
		t.Errorf("%v %v", reply, err)
	}
}

func TestTooBigIsToldBeforeItIsSent(t *testing.T) {
	p := listen(t, play(nil))
	s := NewSubmitter(p.server())
	defer s.Close()
	e := envelope()
	e.Message = append(e.Message, []byte(strings.Repeat("0123456789\r\n", 100))...)
	_, err := s.Submit(t.Context(), e, stay)
	var f *Failure
	if !errors.As(err, &f) || f.Reply.Status() != "552 5.3.4" || f.Kind(nil) != contracts.Invalid || strings.Contains(p.commands(), "MAIL") {
		t.Errorf("%v, heard %q", err, p.commands())
	}
}

func TestFarewellIsNoFailure(t *testing.T) {
	p := listen(t, play(answers{"QUIT": ""}))
	s := NewSubmitter(p.server())
	if _, err := s.Submit(t.Context(), envelope(), stay); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	var f *Failure
	if _, err := s.Submit(t.Context(), envelope(), stay); !errors.As(err, &f) || f.Phase != PhaseConnect {
		t.Errorf("after close: %v", err)
	}
}

func TestConnectionIsKeptAndReplaced(t *testing.T) {
	p := listen(t, play(nil))
	s := NewSubmitter(p.server())
	defer s.Close()
	submit := func() {
		t.Helper()
		if _, err := s.Submit(t.Context(), envelope(), stay); err != nil {
			t.Fatal(err)
		}
	}
	for range maxUses + 1 {
		submit()
	}
	if got := strings.Count(p.commands(), "AUTH"); got != 2 {
		t.Errorf("%d connections for %d messages, want 2", got, maxUses+1)
	}
	p.mu.Lock()
	_ = p.conns[len(p.conns)-1].Close() // the server gave up waiting
	p.mu.Unlock()
	submit()
	if got := strings.Count(p.commands(), "AUTH"); got != 3 {
		t.Errorf("%d connections, want 3: a dead one is replaced before the message, not found out with it", got)
	}
}

func TestContextEndsEveryWait(t *testing.T) {
	for _, at := range []string{"greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "dot"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			server := listen(t, play(answers{at: "..."})).server()
			server.Command, server.Final = time.Minute, time.Minute
			s := NewSubmitter(server)
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			began := time.Now()
			_, err := s.Submit(ctx, envelope(), stay)
			var f *Failure
			if !errors.As(err, &f) || time.Since(began) > 10*time.Second {
				t.Fatalf("%v after %v", err, time.Since(began))
			}
			want := contracts.Canceled
			if at == "dot" {
				want = contracts.Uncertain
			}
			if f.Kind(nil) != want {
				t.Errorf("%s: %v, want %s", f.Kind(nil), err, want)
			}
		})
	}
}

func TestOldServersHearAUTHLOGIN(t *testing.T) {
	p := listen(t, func(c *talk) {
		c.say("220 here")
		for {
			line, ok := c.hear()
			if !ok {
				return
			}
			switch {
			case strings.HasPrefix(line, "EHLO"):
				c.say("250-here", "250 AUTH LOGIN")
			case line == "AUTH LOGIN":
				c.say("334 VXNlcm5hbWU6")
				user, _ := c.hear()
				c.say("334 UGFzc3dvcmQ6")
				password, _ := c.hear()
				if user != "dXNlcg==" || password != "c2VjcmV0" {
					c.say("535 5.7.8 no")
					continue
				}
				c.say("235 2.7.0 ok")
			default:
				c.say("250 ok")
			}
		}
	})
	s := NewSubmitter(p.server())
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	_ = s.Close()
}

func TestServerThatNobodyVouchesForIsNotTold(t *testing.T) {
	p := listen(t, play(nil))
	server := p.server()
	server.TLS = nil // the system's roots
	s := NewSubmitter(server)
	defer s.Close()
	err := s.Check(t.Context())
	var f *Failure
	if !errors.As(err, &f) || f.Phase != PhaseConnect || !strings.Contains(err.Error(), "tls handshake") || p.commands() != "" {
		t.Errorf("%v, heard %q", err, p.commands())
	}
}

// A server that stopped waiting says 421 to the next MAIL, or nothing: that message has not begun, and goes over a new
// connection.
func TestConnectionThatEndedBetweenMessagesIsReplacedOnce(t *testing.T) {
	for _, tc := range []struct{ name, says string }{{"with 421", "421 4.4.2 idle for too long"}, {"without a word", ""}} {
		t.Run(tc.name, func(t *testing.T) {
			var mails atomic.Int32
			p := listen(t, func(c *talk) {
				c.say("220 here")
				for {
					line, ok := c.hear()
					if !ok {
						return
					}
					switch word, _, _ := strings.Cut(line, " "); word {
					case "EHLO":
						c.say("250-here", "250 AUTH PLAIN")
					case "AUTH":
						c.say("235 come in")
					case "MAIL":
						if mails.Add(1) == 2 {
							if tc.says != "" {
								c.say(tc.says)
							}
							return
						}
						c.say("250 ok")
					case "DATA":
						c.say("354 go on")
						for line != "." && ok {
							line, ok = c.hear()
						}
						c.say("250 2.0.0 ok")
					default:
						c.say("250 ok")
					}
				}
			})
			s := NewSubmitter(p.server())
			defer s.Close()
			departed := 0
			for i := range 2 {
				if _, err := s.Submit(t.Context(), envelope(), func() error { departed++; return nil }); err != nil {
					t.Fatalf("message %d: %v", i+1, err)
				}
			}
			if mails.Load() != 3 || departed != 2 || strings.Count(p.commands(), "AUTH") != 2 {
				t.Errorf("%d MAIL, departed %d times, heard %q", mails.Load(), departed, p.commands())
			}
		})
	}
}

// A new connection is not replaced: whoever hangs up at MAIL each time is away.
func TestNewConnectionIsNotTriedTwice(t *testing.T) {
	p := listen(t, play(answers{"MAIL": ""}))
	s := NewSubmitter(p.server())
	defer s.Close()
	var f *Failure
	if _, err := s.Submit(t.Context(), envelope(), stay); !errors.As(err, &f) || f.Phase != PhaseSender || strings.Count(p.commands(), "MAIL") != 1 {
		t.Errorf("%v, heard %q", err, p.commands())
	}
}

func TestResetThatFailsChangesNoAnswer(t *testing.T) {
	p := listen(t, play(answers{"RCPT": "450 4.2.0 later", "RSET": ""}))
	s := NewSubmitter(p.server())
	defer s.Close()
	for range 2 {
		var f *Failure
		if _, err := s.Submit(t.Context(), envelope(), stay); !errors.As(err, &f) || f.Reply.Status() != "450 4.2.0" || f.Kind(nil) != contracts.Unavailable || f.Sent() {
			t.Errorf("%v", err)
		}
	}
	if got := strings.Count(p.commands(), "AUTH"); got != 2 {
		t.Errorf("%d connections, want a new one after RSET failed", got)
	}
}

func TestFarewellAfterManyMessagesIsNoFailure(t *testing.T) {
	p := listen(t, play(answers{"QUIT": ""}))
	s := NewSubmitter(p.server())
	defer s.Close()
	for i := range maxUses {
		if reply, err := s.Submit(t.Context(), envelope(), stay); err != nil || reply.Code != 250 {
			t.Fatalf("message %d: %v", i+1, err)
		}
	}
	if !strings.HasSuffix(p.commands(), "QUIT") {
		t.Error("no farewell")
	}
}

func TestUnusedConnectionIsClosed(t *testing.T) {
	p := listen(t, play(nil))
	s := NewSubmitter(p.server())
	defer s.Close()
	if _, err := s.Submit(t.Context(), envelope(), stay); err != nil {
		t.Fatal(err)
	}
	s.rest()
	if s.conn == nil {
		t.Fatal("closed while fresh")
	}
	s.conn.last = time.Now().Add(-maxIdle)
	s.rest()
	if s.conn != nil || !strings.HasSuffix(p.commands(), "QUIT") {
		t.Errorf("still open; heard %q", p.commands())
	}
	s.rest()
	if _, err := s.Submit(t.Context(), envelope(), stay); err != nil {
		t.Error(err)
	}
	s.conn.last = time.Now().Add(-maxIdle)
	if _, err := s.Submit(t.Context(), envelope(), stay); err != nil || strings.Count(p.commands(), "AUTH") != 3 {
		t.Errorf("%v, %d connections: want an old one not trusted", err, strings.Count(p.commands(), "AUTH"))
	}
}

// Bare line feeds and carriage returns end a message early for some servers (SMTP smuggling), and NUL and 8 bits arrive as
// others than they left: such bytes are not sent at all.
func TestBytesThatAreNotInWireFormAreNotSent(t *testing.T) {
	p := listen(t, play(nil))
	s := NewSubmitter(p.server())
	defer s.Close()
	for _, text := range []string{
		"a\n.\r\nMAIL FROM:<x@y.test>\r\n", "a\r\n.\nMAIL FROM:<x@y.test>\r\n", "a\r.\r\n", "a\n", "no end of line", "a\x00b\r\n", "perch\xe9\r\n",
		strings.Repeat("x", 999) + "\r\n", "\r\r\n",
	} {
		e := envelope()
		e.Message = []byte("Subject: x\r\n\r\n" + text)
		_, err := s.Submit(t.Context(), e, func() error { t.Error("departs"); return nil })
		var f *Failure
		if !errors.As(err, &f) || f.Sent() || f.OfMailbox(nil) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if p.commands() != "" {
		t.Errorf("heard %q", p.commands())
	}
}

func TestDotsAreStuffed(t *testing.T) {
	p := listen(t, play(nil))
	s := NewSubmitter(p.server())
	defer s.Close()
	e := envelope()
	e.Message = []byte("Subject: x\r\n\r\n.\r\n..\r\n.x\r\nMAIL FROM:<x@y.test>\r\n")
	if _, err := s.Submit(t.Context(), e, stay); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	heard := strings.Join(p.heard, "\n")
	p.mu.Unlock()
	if !strings.Contains(heard, "\n..\n...\n..x\nMAIL FROM:<x@y.test>\n.") {
		t.Errorf("heard %q", heard)
	}
}

// What a failure says of the mailbox, and what of the message: who is passed over follows from it.
func TestFailureTellsWhoseTroubleItIs(t *testing.T) {
	rate := []Pattern{{550, regexp.MustCompile("(?i)too much traffic")}}
	for _, tc := range []struct {
		name    string
		say     answers
		mailbox bool
	}{
		{"hangs up at once", answers{"greeting": ""}, true},
		{"554 for a greeting", answers{"greeting": "554 5.3.2 no service"}, true},
		{"refuses the password", answers{"AUTH": "535 5.7.8 no"}, true},
		{"a locked account", answers{"AUTH": "534 5.7.9 locked"}, true},
		{"refuses the sender", answers{"MAIL": "550 5.7.1 suspended"}, true},
		{"puts the sender off", answers{"MAIL": "451 4.7.1 later"}, true},
		{"takes no more than so many bytes", answers{"MAIL": "552 5.3.4 too big"}, false},
		{"the rate at MAIL", answers{"MAIL": "550 Too much traffic"}, true},
		{"the rate at RCPT", answers{"RCPT": "550 too much traffic"}, true},
		{"the rate at the dot", answers{"dot": "550 Too Much Traffic"}, true},
		{"greylists", answers{"RCPT": "450 4.2.0 later"}, false},
		{"refuses a recipient", answers{"RCPT": "550 5.1.1 unknown"}, false},
		{"goes away at RCPT", answers{"RCPT": "421 4.3.2 bye"}, true},
		{"hangs up at RCPT", answers{"RCPT": ""}, true},
		{"refuses DATA", answers{"DATA": "554 5.5.1 no"}, false},
		{"refuses the message", answers{"dot": "554 5.6.0 no"}, false},
		{"puts the message off", answers{"dot": "451 4.3.0 later"}, false},
		{"goes away at the dot", answers{"dot": "421 4.3.2 bye"}, true},
		{"lets nobody in any more at the dot", answers{"dot": "535 5.7.8 no"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := NewSubmitter(listen(t, play(tc.say)).server())
			defer s.Close()
			_, err := s.Submit(t.Context(), envelope(), stay)
			var f *Failure
			if !errors.As(err, &f) || f.OfMailbox(rate) != tc.mailbox {
				t.Errorf("%v: the mailbox's %t, want %t", err, !tc.mailbox, tc.mailbox)
			}
		})
	}
	server := listen(t, play(nil)).server()
	server.Password = func(context.Context) ([]byte, error) { return nil, contracts.Errorf(contracts.Denied, "no secret") }
	s := NewSubmitter(server)
	defer s.Close()
	var f *Failure
	if _, err := s.Submit(t.Context(), envelope(), stay); !errors.As(err, &f) || !f.OfMailbox(nil) || f.Kind(nil) != contracts.Denied {
		t.Errorf("no password: %v", err)
	}
}
