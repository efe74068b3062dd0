package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"raccordo/contracts"
)

// mailbox is a server in memory with one user, and messages in two folders.
func mailbox(t *testing.T, messages ...string) (Server, *imapmemserver.User) {
	t.Helper()
	user := imapmemserver.NewUser("user", "secret")
	for _, folder := range []string{"INBOX", "Ricevute"} {
		if err := user.Create(folder, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range messages {
		deposit(t, user, "INBOX", m)
	}
	all := imapmemserver.New()
	all.AddUser(user)
	cert, client := credentials()
	s := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return all.NewSession(), nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(tls.NewListener(l, cert))
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return Server{
		Addr: l.Addr().String(), TLS: client, User: "user", Command: 5 * time.Second,
		Password: func(context.Context) ([]byte, error) { return []byte("secret"), nil },
	}, user
}

type literal struct{ *strings.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

func deposit(t *testing.T, user *imapmemserver.User, folder, m string) {
	t.Helper()
	if _, err := user.Append(folder, literal{strings.NewReader(m)}, &imap.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestSessionReadsFromACursor(t *testing.T) {
	server, _ := mailbox(t, "A: 1\r\n\r\none\r\n", "A: 2\r\n\r\ntwo\r\n", "A: 3\r\n\r\nthree\r\n")
	s, err := OpenSession(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	validity, err := s.Open("INBOX")
	if err != nil || validity == 0 {
		t.Fatalf("validity %d, %v", validity, err)
	}
	for _, tc := range []struct {
		after uint32
		limit int
		want  int
	}{{0, 100, 3}, {0, 2, 2}, {1, 100, 2}, {3, 100, 0}, {100, 100, 0}, {^uint32(0), 100, 0}} {
		got, err := s.After(tc.after, tc.limit)
		if err != nil || len(got) != tc.want {
			t.Errorf("after %d at most %d: %v %v, want %d", tc.after, tc.limit, got, err, tc.want)
		}
		for i, uid := range got {
			if uid != tc.after+uint32(i)+1 {
				t.Errorf("after %d: %v", tc.after, got)
			}
		}
	}
	head, err := s.Head(2)
	if err != nil || head.Size != 13 || head.Received.IsZero() {
		t.Errorf("head %+v %v", head, err)
	}
	raw, err := s.Raw(2, 13)
	if err != nil || string(raw) != "A: 2\r\n\r\ntwo\r\n" {
		t.Errorf("raw %q %v", raw, err)
	}
	if _, err := s.Head(9); !errors.Is(err, ErrGone) {
		t.Errorf("head of none: %v", err)
	}
	if _, err := s.Raw(9, 100); !errors.Is(err, ErrGone) {
		t.Errorf("bytes of none: %v", err)
	}
	if _, err := s.Raw(2, 12); !errors.Is(err, ErrTooBig) {
		t.Errorf("more than the limit: %v", err)
	}
}

func TestSessionLeavesFlagsAlone(t *testing.T) {
	server, _ := mailbox(t, "A: 1\r\n\r\none\r\n")
	for range 2 {
		s, err := OpenSession(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open("INBOX"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Raw(1, 100); err != nil {
			t.Fatal(err)
		}
		got, err := s.client.Fetch(imap.UIDSetNum(1), &imap.FetchOptions{Flags: true}).Collect()
		if err != nil || len(got) != 1 || len(got[0].Flags) != 0 {
			t.Errorf("flags %+v %v", got, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSessionFindsInEveryFolder(t *testing.T) {
	server, user := mailbox(t, "X-Riferimento-Message-ID: <h1.a.1@x.test>\r\n\r\n\r\n", "A: <h1.a.1@x.test>\r\n\r\n\r\n")
	deposit(t, user, "Ricevute", "X-Riferimento-Message-ID: <h1.a.1@x.test>\r\n\r\n\r\n")
	deposit(t, user, "Ricevute", "X-Riferimento-Message-ID: <h1.b.1@x.test>\r\n\r\n\r\n")
	s, err := OpenSession(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for value, want := range map[string]int{"h1.a.1@x.test": 2, "h1.b.1@x.test": 1, "h1.c.1@x.test": 0} {
		got, err := s.Find("X-Riferimento-Message-ID", value, 10, nil)
		if err != nil || len(got) != want {
			t.Errorf("%s: %v %v, want %d", value, got, err, want)
		}
	}
	if got, err := s.Find("X-Riferimento-Message-ID", "x.test", 2, nil); err != nil || len(got) != 2 {
		t.Errorf("bounded: %v %v", got, err)
	}
}

func TestSessionIsRefused(t *testing.T) {
	server, _ := mailbox(t)
	wrong := server
	wrong.Password = func(context.Context) ([]byte, error) { return []byte("wrong"), nil }
	if _, err := OpenSession(t.Context(), wrong); contracts.KindOf(err) != contracts.Denied || strings.Contains(err.Error(), "user") {
		t.Errorf("wrong password: %v", err)
	}
	s, err := OpenSession(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Open("Nessuna"); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("no such folder: %v", err)
	}
	gone := server
	gone.Addr = "127.0.0.1:1"
	if _, err := OpenSession(t.Context(), gone); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
}

func TestContextEndsASession(t *testing.T) {
	p := listen(t, func(c *talk) {
		c.say("* OK [CAPABILITY IMAP4rev1] here")
		for {
			line, ok := c.hear()
			if !ok {
				return
			}
			tag, rest, _ := strings.Cut(line, " ")
			if strings.HasPrefix(rest, "LOGIN") {
				c.say(tag + " OK [CAPABILITY IMAP4rev1] in")
			} // and silence to everything else
		}
	})
	server := p.server()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := OpenSession(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := s.Open("INBOX")
		answered <- err
	}()
	cancel()
	select {
	case err := <-answered:
		if contracts.KindOf(err) != contracts.Unavailable {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the session outlives its context")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestASilentServerIsNotWaitedForWithoutEnd(t *testing.T) {
	p := listen(t, func(c *talk) {
		for _, ok := c.hear(); ok; _, ok = c.hear() {
		}
	})
	server := p.server()
	server.Command = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := OpenSession(ctx, server)
	if contracts.KindOf(orNone(err)) != contracts.Unavailable || ctx.Err() != nil {
		t.Errorf("%v (%v), want unavailable before the context ends", err, ctx.Err())
	}
}

func TestServerThatSaysTooMuchIsCutOff(t *testing.T) {
	p := listen(t, func(c *talk) {
		c.say("* OK [CAPABILITY IMAP4rev1] here")
		for {
			line, ok := c.hear()
			if !ok {
				return
			}
			tag, rest, _ := strings.Cut(line, " ")
			switch {
			case strings.HasPrefix(rest, "LOGIN"):
				c.say(tag + " OK [CAPABILITY IMAP4rev1] in")
			case strings.HasPrefix(rest, "EXAMINE"):
				c.say("* OK [UIDVALIDITY 7] x", tag+" OK [READ-ONLY] done")
			case strings.HasPrefix(rest, "UID SEARCH"):
				c.say("* ESEARCH (TAG \""+tag+"\") UID ALL 1:4294967295", tag+" OK done")
			case strings.HasPrefix(rest, "UID FETCH"):
				junk := strings.Repeat("* 1 FETCH (FLAGS (\\Seen))\r\n", 1000)
				for {
					if _, err := c.Write([]byte(junk)); err != nil {
						return
					}
				}
			default:
				c.say(tag + " OK done")
			}
		}
	})
	s, err := OpenSession(t.Context(), p.server())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if v, err := s.Open("INBOX"); err != nil || v != 7 {
		t.Fatalf("%d %v", v, err)
	}
	if got, err := s.After(10, 5); err != nil || len(got) != 5 || got[0] != 11 {
		t.Errorf("a range of everything: %v %v", got, err)
	}
	if _, err := s.Raw(1, 1000); err == nil {
		t.Error("an answer without end was read")
	}
}

// What a server cannot give at the moment is neither gone nor absent: whoever reads on or concludes "there is none" from
// it loses a receipt.
func TestWhatAServerCannotGiveIsNotGone(t *testing.T) {
	p := listen(t, func(c *talk) {
		c.say("* OK [CAPABILITY IMAP4rev1] here")
		for {
			line, ok := c.hear()
			if !ok {
				return
			}
			tag, rest, _ := strings.Cut(line, " ")
			switch {
			case strings.HasPrefix(rest, "LOGIN"):
				c.say(tag + " OK [CAPABILITY IMAP4rev1] in")
			case strings.HasPrefix(rest, "LIST"):
				c.say(`* LIST () "/" INBOX`, `* LIST () "/" Archivio`, tag+" OK done")
			case strings.HasPrefix(rest, "EXAMINE") && strings.Contains(rest, "Archivio"):
				c.say(tag + " NO [INUSE] another session has it")
			case strings.HasPrefix(rest, "EXAMINE"):
				c.say("* OK [UIDVALIDITY 7] x", tag+" OK [READ-ONLY] done")
			case strings.HasPrefix(rest, "UID SEARCH"):
				c.say("* SEARCH", tag+" OK done")
			case strings.HasPrefix(rest, "UID FETCH 1 "):
				c.say("* 1 FETCH (UID 1 BODY[] NIL)", tag+" OK done")
			default:
				c.say(tag + " OK done")
			}
		}
	})
	s, err := OpenSession(t.Context(), p.server())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Open("INBOX"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Raw(1, 1000); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("a message without its bytes: %v, want unavailable", err)
	}
	if _, err := s.Raw(2, 1000); !errors.Is(err, ErrGone) {
		t.Errorf("no message: %v, want gone", err)
	}
	if got, err := s.Find("X-Riferimento-Message-ID", "h1.a.1@x.test", 10, nil); contracts.KindOf(orNone(err)) != contracts.Throttled {
		t.Errorf("a search past a folder that is busy: %v, %v", got, err)
	}
}

// A folder is refused: whether what it holds may be left out depends on who refused it, how, and what it is for.
func TestSearchPassesOverAFolderOnlyForGood(t *testing.T) {
	refusal := ""
	p := listen(t, func(c *talk) {
		c.say("* OK [CAPABILITY IMAP4rev1] here")
		for {
			line, ok := c.hear()
			if !ok {
				return
			}
			tag, rest, _ := strings.Cut(line, " ")
			switch {
			case strings.HasPrefix(rest, "LOGIN"):
				c.say(tag + " OK [CAPABILITY IMAP4rev1] in")
			case strings.HasPrefix(rest, "LIST"):
				c.say(`* LIST () "." INBOX`, `* LIST () "." INBOX.Ricevute`, tag+" OK done")
			case strings.HasPrefix(rest, "EXAMINE") && strings.Contains(rest, "Ricevute"):
				c.say(tag + " NO " + refusal)
			case strings.HasPrefix(rest, "EXAMINE"):
				c.say("* OK [UIDVALIDITY 7] x", tag+" OK [READ-ONLY] done")
			case strings.HasPrefix(rest, "UID SEARCH"):
				c.say("* SEARCH", tag+" OK done")
			default:
				c.say(tag + " OK done")
			}
		}
	})
	s, err := OpenSession(t.Context(), p.server())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		refusal string
		must    []string
		fails   bool
	}{
		{"[NONEXISTENT] gone", []string{"INBOX/Ricevute"}, false},
		{"[NOPERM] not for you", []string{"INBOX/Ricevute"}, false},
		{"System I/O error", nil, false},
		{"System I/O error", []string{"inbox"}, false},
		{"System I/O error", []string{"INBOX", "INBOX/Ricevute"}, true},
		{"[CORRUPTION] broken", nil, true},
		{"[SERVERBUG] internal error", nil, true},
	} {
		refusal = c.refusal
		_, err := s.Find("X-Riferimento-Message-ID", "h1.a.1@x.test", 10, c.must)
		if (err != nil) != c.fails {
			t.Errorf("%s, must read %q: %v", c.refusal, c.must, err)
		}
	}
}

func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
