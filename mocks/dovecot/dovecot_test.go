package dovecot

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestItServesWhatWasDelivered(t *testing.T) {
	s := Start(t, Options{Quota: "10M"})
	if err := s.Deliver("anna", "INBOX", []byte("A: 1\r\n\r\none\r\n"), []byte("A: 2\r\n\r\ntwo\r\n")); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA())
	c, err := tls.Dial("tcp", s.IMAPS, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	ask := func(n int, command string) (all string) {
		tag := fmt.Sprintf("a%d", n)
		fmt.Fprintf(c, "%s %s\r\n", tag, command)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			all += line
			if strings.HasPrefix(line, tag+" ") {
				return all
			}
		}
	}
	for i, tc := range []struct{ command, want string }{
		{"LOGIN anna " + Password, "a0 OK"},
		{"EXAMINE INBOX", "* 2 EXISTS"},
		{"GETQUOTAROOT INBOX", " 10240)"},
		{"UID FETCH 2 (BODY.PEEK[])", "two"},
		{"LOGOUT", "a4 OK"},
	} {
		if got := ask(i, tc.command); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s", tc.command, got)
		}
	}
}
