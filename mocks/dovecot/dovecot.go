// Package dovecot runs a real Dovecot for tests: as the test's own child, in a folder of its own, on loopback ports that
// the system chose, with nothing of the machine's configuration. It is no mock: what a client and this package agree on,
// the published protocol and a widely used server agree on too.
//
// A user is whoever logs in with [Password]; the mailbox comes into being with the first message or log-in. Messages are
// delivered the way a delivery agent does it, into a Maildir.
//
// Basis: Dovecot 2.3 as Debian packages it (dovecot-imapd).
// Known gaps: Dovecot 2.4 has another configuration language and is passed over; Linux only.
package dovecot

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Password is every user's.
const Password = "segreta"

const (
	binary    = "/usr/sbin/dovecot"
	mailOwner = "nobody" // whose the mail is, where the tests run as root: Dovecot serves no root
	patience  = 30 * time.Second
)

// Options change the server.
type Options struct {
	Quota       string // storage of each mailbox, as Dovecot writes it: "10M"; empty: QUOTA is not offered
	Connections int    // of one user and address at a time; zero: 10, Dovecot's own default
	// Capability replaces what the server says it can do, to see how a client does without: "IMAP4rev1". Empty: all.
	Capability string
	Settings   string // more lines of dovecot.conf
}

// A Server is a running Dovecot.
type Server struct {
	IMAP  string // host:port, STARTTLS
	IMAPS string // host:port, TLS from the first byte
	dir   string
	ca    []byte
	uid   int
	gid   int

	cmd    *exec.Cmd
	waited chan struct{}

	mu  sync.Mutex
	log strings.Builder
	n   int
}

// Start runs a Dovecot until the test ends. It skips the test where none is installed, or one of another generation.
func Start(t testing.TB, opt Options) *Server {
	t.Helper()
	if _, err := os.Stat(binary); err != nil {
		t.Skip("dovecot is not installed (Debian: dovecot-imapd)")
	}
	if v, err := exec.CommandContext(t.Context(), binary, "--version").Output(); err != nil || !strings.HasPrefix(string(v), "2.3") {
		t.Skipf("want dovecot 2.3, have %q (%v)", v, err)
	}
	s, err := start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("dovecot: %v", err)
		}
		if t.Failed() {
			t.Logf("dovecot's log:\n%s", s.Log())
		}
	})
	return s
}

func start(opt Options) (_ *Server, err error) {
	s := &Server{uid: os.Getuid(), gid: os.Getgid(), waited: make(chan struct{})}
	// Not the test's own folder: another user must be able to reach it.
	if s.dir, err = os.MkdirTemp("", "dovecot-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	if err = s.lay(opt); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, "-F", "-c", filepath.Join(s.dir, "dovecot.conf"))
	out, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err = s.cmd.Start(); err != nil {
		return nil, err
	}
	up := make(chan struct{})
	go func() {
		defer close(s.waited)
		s.listen(out, up)
		_ = s.cmd.Wait() // the log says more
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-up:
		return s, nil
	case <-s.waited:
		return nil, fmt.Errorf("dovecot does not start: %s", s.Log())
	case <-late.C:
		return nil, errors.Join(fmt.Errorf("dovecot does not come up: %s", s.Log()), s.kill())
	}
}

// lay makes folders, certificate and configuration.
func (s *Server) lay(opt Options) error {
	if err := os.Chmod(s.dir, 0o755); err != nil { // the mail's owner passes through
		return err
	}
	if s.uid == 0 {
		owner, err := user.Lookup(mailOwner)
		if err != nil {
			return err
		}
		s.uid, _ = strconv.Atoi(owner.Uid)
		s.gid, _ = strconv.Atoi(owner.Gid)
	}
	for _, name := range []string{"run", "state"} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := s.own(os.Mkdir(s.mail(), 0o755), s.mail()); err != nil {
		return err
	}
	ca, err := certify(s.dir)
	if err != nil {
		return err
	}
	s.ca = ca
	plain, err := freePort()
	if err != nil {
		return err
	}
	secure, err := freePort()
	if err != nil {
		return err
	}
	s.IMAP, s.IMAPS = net.JoinHostPort("127.0.0.1", plain), net.JoinHostPort("127.0.0.1", secure)
	conf, err := s.configuration(opt, plain, secure)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "dovecot.conf"), []byte(conf), 0o600)
}

func (s *Server) configuration(opt Options, plain, secure string) (string, error) {
	var b strings.Builder
	connections := opt.Connections
	if connections == 0 {
		connections = 10
	}
	fmt.Fprintf(&b, `protocols = imap
listen = 127.0.0.1
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
ssl = required
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = %[2]d
mail_fsync = never
mailbox_list_index = no
passdb {
  driver = static
  args = password=%[3]s
}
userdb {
  driver = static
  args = uid=%[4]d gid=%[5]d home=%[1]s/mail/%%u
}
namespace inbox {
  inbox = yes
  separator = .
}
service imap-login {
  chroot =
  inet_listener imap {
    address = 127.0.0.1
    port = %[6]s
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[7]s
    ssl = yes
  }
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`, s.dir, connections, Password, s.uid, s.gid, plain, secure)
	if os.Getuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return "", err
		}
		group, err := user.LookupGroupId(me.Gid)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "default_internal_user = %[1]s\ndefault_internal_group = %[2]s\ndefault_login_user = %[1]s\n", me.Username, group.Name)
	}
	if opt.Quota != "" {
		fmt.Fprintf(&b, "mail_plugins = quota\nprotocol imap {\n  mail_plugins = quota imap_quota\n}\nplugin {\n  quota = count:User quota\n  quota_vsizes = yes\n  quota_rule = *:storage=%s\n}\n", opt.Quota)
	}
	if opt.Capability != "" {
		fmt.Fprintf(&b, "imap_capability = %s\n", opt.Capability)
	}
	b.WriteString(opt.Settings)
	return b.String(), nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// listen keeps the log and tells when the server is up: it listens before it says so.
func (s *Server) listen(r io.Reader, up chan<- struct{}) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		if s.log.Len() < 1<<20 {
			s.log.WriteString(line + "\n")
		}
		s.mu.Unlock()
		if up != nil && strings.Contains(line, "starting up") {
			close(up)
			up = nil
		}
	}
}

// Log is what the server has said so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// CA is the authority of the server's certificate, in PEM.
func (s *Server) CA() []byte { return s.ca }

// Certificate is the server's own, for another server that a test runs beside it.
func (s *Server) Certificate() (tls.Certificate, error) {
	return tls.LoadX509KeyPair(filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem"))
}

func (s *Server) kill() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	<-s.waited
	return err
}

func (s *Server) stop() error { return errors.Join(s.kill(), os.RemoveAll(s.dir)) }
