package pec

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"raccordo/mocks/lab"
)

// program finds a real client, or skips.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian: %s)", name, debian)
	}
	return path
}

// runs a real client and gives what it printed.
func runs(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	return string(out), err
}

// file writes a file for a client to read.
func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func port(t *testing.T, b *lab.Bench, service string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(b.Endpoint("pec", service))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSwaksSubmits(t *testing.T) {
	swaks := program(t, "swaks", "swaks")
	if out, err := runs(t, swaks, "--support"); err != nil || !strings.Contains(out, "=== TLS supported") {
		t.Skip("swaks is installed without TLS (Debian: libnet-ssleay-perl)")
	}
	for _, tc := range []struct {
		name, service string
		args          []string
	}{
		{"starttls and auth login", "smtp", []string{"-tls", "--auth", "LOGIN"}},
		{"starttls and auth plain", "smtp", []string{"-tls", "--auth", "PLAIN"}},
		{"implicit tls and auth login", "smtps", []string{"--tls-on-connect", "--auth", "LOGIN"}},
		{"implicit tls, pipelined", "smtps", []string{"--tls-on-connect", "--auth", "PLAIN", "--pipeline"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, m := bench(t)
			a := m.Accounts()[0]
			args := append([]string{
				"--server", "127.0.0.1", "--port", port(t, b, tc.service), "--auth-user", a.User, "--auth-password", a.Password,
				"--from", a.Address, "--to", "rossi@pec.cittadini.test", "--header", "Message-Id: <swaks@x>",
			}, tc.args...)
			out, err := runs(t, swaks, args...)
			if err != nil || !strings.Contains(out, "250 2.0.0 Ok: queued as") {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, ext := range []string{"SIZE", "8BITMIME", "PIPELINING"} {
				if !strings.Contains(out, ext) {
					t.Errorf("EHLO does not offer %s", ext)
				}
			}
			if got := m.Accepted(); len(got) != 1 || !got[0].Accepted || got[0].MessageID != "<swaks@x>" {
				t.Errorf("accepted: %+v", got)
			}
		})
	}
	t.Run("a wrong password", func(t *testing.T) {
		b, m := bench(t)
		out, err := runs(t, swaks, "--server", "127.0.0.1", "--port", port(t, b, "smtps"), "--tls-on-connect", "--auth", "LOGIN",
			"--auth-user", m.Accounts()[0].User, "--auth-password", "altra", "--from", sender, "--to", "rossi@pec.cittadini.test")
		if err == nil || !strings.Contains(out, "535 5.7.8") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestCurlSubmitsAndReads(t *testing.T) {
	curl := program(t, "curl", "curl")
	b, m := bench(t)
	a := m.Accounts()[0]
	common := []string{"-sS", "--max-time", "20", "--cacert", file(t, "ca.pem", b.CA().PEM()), "--user", a.User + ":" + a.Password}
	to := []string{"rossi@pec.cittadini.test"}
	mail := file(t, "mail.eml", []byte(text("curl@x", to)))
	for _, url := range []string{"smtps://localhost:" + port(t, b, "smtps"), "smtp://localhost:" + port(t, b, "smtp")} {
		if out, err := runs(t, curl, append(common, "--ssl-reqd", "--ipv4", "--url", url, "--mail-from", sender, "--mail-rcpt", to[0], "--upload-file", mail)...); err != nil {
			t.Fatalf("%s: %v\n%s", url, err, out)
		}
	}
	b.Advance(time.Minute)
	raw := inboxOf(t, b, a)
	for _, base := range []string{"imaps://localhost:" + port(t, b, "imaps"), "imap://localhost:" + port(t, b, "imap")} {
		for _, tc := range []struct{ what, path, request, want string }{
			{"search", "/INBOX", "UID SEARCH HEADER X-Ricevuta avvenuta-consegna", "* SEARCH 3 4"},
			{"quota", "/", "GETQUOTAROOT INBOX", "* QUOTAROOT INBOX \"User quota\""},
			{"examine", "/", "EXAMINE INBOX", "UIDVALIDITY"},
			{"fetch", "/INBOX;UID=3", "", string(raw[2])},
		} {
			args := append([]string{}, common...)
			args = append(args, "--ssl-reqd", "--ipv4", "--url", base+tc.path)
			if tc.request != "" {
				args = append(args, "-X", tc.request)
			}
			out, err := runs(t, curl, args...)
			if err != nil || !strings.Contains(out, tc.want) {
				t.Errorf("%s: %s: %v\n%.300s", base, tc.what, err, out)
			}
		}
	}
}

func TestMbsyncMirrorsTheMailbox(t *testing.T) {
	mbsync := program(t, "mbsync", "isync")
	b, m := bench(t)
	a := m.Accounts()[0]
	c := dial(t, b, m)
	for i := range 10 {
		to := []string{"rossi@pec.cittadini.test"}
		if err := submit(c, sender, to, text(fmt.Sprintf("%d@x", i), to)); err != nil {
			t.Fatal(err)
		}
	}
	b.Advance(time.Minute)
	reader := login(t, b, a)
	if err := reader.Create("Lavorate", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	local := filepath.Join(t.TempDir(), "mail")
	if err := os.MkdirAll(local, 0o700); err != nil {
		t.Fatal(err)
	}
	config := func(kind string) string {
		return file(t, "mbsyncrc", fmt.Appendf(nil, `
IMAPAccount pec
Host localhost
Port %s
User %s
Pass %s
%s IMAPS
CertificateFile %s

IMAPStore remote
Account pec

MaildirStore local
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel pec
Far :remote:
Near :local:
Patterns *
Create Near
Sync Pull
CopyArrivalDate yes
SyncState *
`, port(t, b, "imaps"), a.User, a.Password, kind, file(t, "ca.pem", b.CA().PEM()), local, local))
	}
	out, err := runs(t, mbsync, "-c", config("TLSType"), "pec")
	if err != nil && strings.Contains(out, "TLSType") { // isync before 1.5
		out, err = runs(t, mbsync, "-c", config("SSLType"), "pec")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	read := func() map[string]bool {
		found := make(map[string]bool)
		for _, sub := range []string{"new", "cur"} {
			entries, err := os.ReadDir(filepath.Join(local, "INBOX", sub))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				data, err := os.ReadFile(filepath.Join(local, "INBOX", sub, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				// mbsync writes LF and adds a field of its own.
				var kept [][]byte
				for l := range bytes.SplitSeq(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n")) {
					if !bytes.HasPrefix(l, []byte("X-TUID: ")) {
						kept = append(kept, l)
					}
				}
				found[string(bytes.Join(kept, []byte("\r\n")))] = true
			}
		}
		return found
	}
	found := read()
	if len(found) != 20 {
		t.Errorf("%d messages mirrored, want 20", len(found))
	}
	for i, raw := range inboxOf(t, b, a) {
		if !found[string(raw)] {
			t.Errorf("message %d is not what was mirrored", i)
		}
	}
	if _, err := os.Stat(filepath.Join(local, "Lavorate")); err != nil {
		t.Errorf("the other folder: %v", err)
	}
}

// TestOpenSSLJudgesEveryKindInEveryVariant: what the mock says is wrong must be wrong to a stranger, and nothing else.
func TestOpenSSLJudgesEveryKindInEveryVariant(t *testing.T) {
	openssl := program(t, "openssl", "openssl")
	if testing.Short() {
		t.Skip("a process for each kind and variant")
	}
	for _, variant := range Certificates() {
		t.Run(string(variant), func(t *testing.T) {
			t.Parallel()
			m, all := everyKind(t, WithCertificate(variant))
			roots := file(t, "roots.pem", m.RootsPEM())
			// Which checks fail: of the chain as it stands, for mail; and of the signature alone.
			chain := map[Certificate]bool{Expired: true, ExpiredChain: true, ValidAtSigning: true, WrongEKU: true, UnknownCA: true, NameConstraint: true}[variant]
			for name, raw := range all {
				eml := file(t, "x.eml", raw)
				cms := func(more ...string) error {
					out, err := runs(t, openssl, append([]string{"cms", "-verify", "-in", eml, "-CAfile", roots, "-purpose", "smimesign", "-out", os.DevNull}, more...)...)
					if err != nil {
						return fmt.Errorf("%w: %s", err, out)
					}
					return nil
				}
				if err := cms(); (err != nil) != chain {
					t.Errorf("%s: the chain: %v", name, err)
				}
				if !chain || name != "accettazione nessuno" {
					continue // a process is dear
				}
				if err := cms("-noverify"); err != nil {
					t.Errorf("%s: the signature alone: %v", name, err)
				}
				p7, _ := verify(t, raw, m.RootsPEM(), time.Time{})
				var signed time.Time
				if err := p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &signed); err != nil {
					t.Fatal(err)
				}
				if err := cms("-attime", fmt.Sprint(signed.Unix())); (err == nil) != (variant == ValidAtSigning) {
					t.Errorf("%s: at its signing time: %v", name, err)
				}
			}
		})
	}
}
