package pec

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

// A crooked server has messages that it tells untruths about, or does not give.
type crooked struct {
	mu       sync.Mutex
	messages map[int]message
	logins   int
}

type message struct {
	raw  string
	size int    // that it claims; zero: the true one
	how  string // "nil", "cut", "no", "gone"; empty: given as it is
	left int    // times that it misbehaves; zero: always
}

var uidsOf = regexp.MustCompile(`^UID FETCH (\S+) \((.*)\)$`)

// serve speaks IMAP on one connection.
func (s *crooked) serve(c net.Conn) {
	r := bufio.NewReader(c)
	say := func(format string, args ...any) { fmt.Fprintf(c, format+"\r\n", args...) }
	say("* OK [CAPABILITY IMAP4rev1] here")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		tag, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		s.mu.Lock()
		switch {
		case strings.HasPrefix(rest, "LOGIN"):
			s.logins++
			say(tag + " OK [CAPABILITY IMAP4rev1] in")
		case strings.HasPrefix(rest, "EXAMINE"):
			say("* %d EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n%s OK [READ-ONLY] done", len(s.messages), tag)
		case strings.HasPrefix(rest, "UID SEARCH"):
			all := ""
			for uid := range 100 {
				if _, ok := s.messages[uid]; ok {
					all += fmt.Sprintf(" %d", uid)
				}
			}
			say("* SEARCH%s\r\n%s OK done", all, tag)
		case strings.HasPrefix(rest, "UID FETCH"):
			m := uidsOf.FindStringSubmatch(rest)
			if !s.fetch(c, m[1], m[2], func(format string, args ...any) { say(format, args...) }) {
				s.mu.Unlock()
				return
			}
			if strings.Contains(m[2], "BODY") && s.refuses(m[1]) {
				say(tag + " NO [SERVERBUG] internal error")
			} else {
				say(tag + " OK done")
			}
		default:
			say(tag + " OK done")
		}
		s.mu.Unlock()
	}
}

func in(set string, uid int) bool {
	for part := range strings.SplitSeq(set, ",") {
		var from, to int
		if n, _ := fmt.Sscanf(part, "%d:%d", &from, &to); n == 1 {
			to = from
		}
		if from <= uid && uid <= to {
			return true
		}
	}
	return false
}

func (s *crooked) refuses(set string) bool {
	for uid, m := range s.messages {
		if m.how == "no" && in(set, uid) {
			return true
		}
	}
	return false
}

func (s *crooked) fetch(c net.Conn, set, items string, say func(string, ...any)) (goOn bool) {
	for uid := range 100 {
		m, ok := s.messages[uid]
		if !ok || !in(set, uid) {
			continue
		}
		size := m.size
		if size == 0 {
			size = len(m.raw)
		}
		if !strings.Contains(items, "BODY") {
			say(`* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "21-Nov-2026 10:30:00 +0100")`, uid, uid, size)
			continue
		}
		bad := m.how
		if m.left > 0 {
			if m.left--; m.left == 0 {
				m.how = ""
			}
			s.messages[uid] = m
		}
		raw, section := m.raw, "BODY[]"
		if strings.Contains(items, "<") {
			raw, section = raw[:min(len(raw), skimBytes)], "BODY[]<0>"
		}
		switch bad {
		case "nil":
			say("* %d FETCH (UID %d %s NIL)", uid, uid, section)
		case "no":
			return true
		case "cut":
			fmt.Fprintf(c, "* %d FETCH (UID %d %s {%d}\r\n%s", uid, uid, section, len(raw), raw[:len(raw)/2])
			_ = c.Close()
			return false
		case "gone":
			delete(s.messages, uid)
		default:
			say("* %d FETCH (UID %d %s {%d}\r\n%s)", uid, uid, section, len(raw), raw)
		}
	}
	return true
}

// start runs the server and gives the source that reads it.
func (s *crooked) start(t *testing.T, maxReceipt int64) *source {
	t.Helper()
	w := newWorld(t, nil) // for its certificates alone
	l, err := tls.Listen("tcp", "127.0.0.1:0", w.bench.CA().ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s.serve(c)
			})
		}
	})
	a := &Adapter{env: w.env(slog.New(slog.DiscardHandler)), config: w.config}
	a.config.MaxReceipt = maxReceipt
	b := &mailbox{
		Mailbox: Mailbox{Name: office1}, address: office(usual()).address, reader: *office(usual()), clock: w.bench.Clock(),
		secret: func(context.Context) ([]byte, error) { return []byte("x"), nil },
	}
	b.in = mail.Server{Addr: l.Addr().String(), TLS: w.boxes[0].in.TLS, User: "u", Password: b.password, Command: 5 * time.Second}
	a.boxes = []*mailbox{b}
	a.intake = newIntake(a)
	t.Cleanup(func() {
		a.intake.close()
		_ = l.Close()
		wg.Wait()
	})
	return a.intake.sources[office1]
}

func TestMessagesThatAServerCannotGiveAreSetAsideAlone(t *testing.T) {
	receipt := func(i int) string { return string(receiptFor(t, tipoAccettazione, ticketOf(i))) }
	big := receiptOf(tipoConsegna)
	big.original = "A: b\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 20<<10)
	for _, tc := range []struct {
		name   string
		second message
		want   string // kinds, "!" for a failed call
		reason string
	}{
		{"NIL for ever", message{how: "nil"}, "accettazione ! ! ! anomaly accettazione", ReasonUnreadable},
		{"NIL for a while", message{how: "nil", left: 3}, "accettazione ! accettazione accettazione", ""},
		{"refused for ever", message{how: "no"}, "accettazione ! ! ! anomaly accettazione", ReasonUnreadable},
		{"the line breaks over it for ever", message{how: "cut"}, "accettazione ! ! ! ! ! ! ! ! anomaly accettazione", ReasonUnreadable},
		{"the line breaks over it twice", message{how: "cut", left: 2}, "accettazione ! accettazione accettazione", ""},
		{"expunged meanwhile", message{how: "gone"}, "accettazione accettazione", ""},
		{"smaller than announced", message{size: 90_000}, "accettazione accettazione accettazione", ""},
		{"larger than announced", message{raw: string(big.seal(t, usual())), size: 1000}, "accettazione avvenuta-consegna accettazione", ""},
		{"larger than announced and than allowed", message{raw: "X-Ricevuta: accettazione\r\n\r\n" + strings.Repeat("x", 2<<20), size: 1000}, "accettazione anomaly accettazione", ReasonOversize},
		{"said to be larger than allowed", message{raw: "X-Ricevuta: accettazione\r\n\r\nx", size: 3 << 20}, "accettazione anomaly accettazione", ReasonOversize},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.second.raw == "" {
				tc.second.raw = receipt(2)
			}
			s := &crooked{messages: map[int]message{1: {raw: receipt(1)}, 2: tc.second, 3: {raw: receipt(3)}}}
			source := s.start(t, 1<<20)
			var words []string
			var at contracts.Cursor
			var odd contracts.Event
			for range 30 {
				events, next, err := source.Feed(t.Context(), at)
				if err != nil {
					words = append(words, "!")
					continue
				}
				if at = next; len(events) == 0 {
					break
				}
				words = append(words, kinds(events))
				for _, e := range events {
					if e.Kind == KindAnomaly {
						odd = e
					}
				}
			}
			if got := strings.Join(words, " "); got != tc.want {
				t.Errorf("told %q, want %q", got, tc.want)
			}
			if tc.reason != "" && data(t, odd).Reason != tc.reason {
				t.Errorf("reason %q, want %q", data(t, odd).Reason, tc.reason)
			}
		})
	}
}

func TestBigMessagesDoNotAddUp(t *testing.T) {
	t.Parallel()
	r := newRoom(100)
	first, err := r.take(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan func())
	go func() {
		give, err := r.take(t.Context(), 500) // more than there is: all of it, alone
		if err != nil {
			t.Error(err)
		}
		taken <- give
	}()
	second, err := r.take(t.Context(), 40)
	if err != nil {
		t.Fatal(err)
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.take(full, 1); contracts.KindOf(orNone(err)) != contracts.Unavailable {
		t.Errorf("no room and no time: %v", err)
	}
	first()
	first() // once counts
	select {
	case <-taken:
		t.Fatal("more was given than there is")
	default:
	}
	second()
	(<-taken)()
	if r.free != 100 {
		t.Errorf("%d are left", r.free)
	}
}
