package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/adapters"
	"raccordo/hub"
	"raccordo/mocks"
	"raccordo/mocks/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bench is one run of the command with -json, as another process would see it.
type bench struct {
	announcement
	line []byte // what it printed before serving
	stop func()
}

// serveMocks runs the command until stop, or the end of the test, and reads its announcement.
func serveMocks(t *testing.T, args ...string) *bench {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, append([]string{"-json"}, args...), w, &stderr)
		w.Close()
		ended <- code
	}()
	out := bufio.NewReader(r)
	line, err := out.ReadBytes('\n')
	if err != nil {
		cancel()
		<-ended
		t.Fatalf("announcement: %v: %s", err, stderr.String())
	}
	b := &bench{line: line}
	rest := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(out)
		rest <- text
	}()
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case code := <-ended:
			if code != 0 || stderr.Len() > 0 {
				t.Errorf("exit status %d: %s", code, stderr.String())
			}
		case <-time.After(20 * time.Second):
			t.Error("Ctrl-C did not end it")
		}
		if more := <-rest; len(more) > 0 {
			t.Errorf("more than one object was printed: %q", more)
		}
	}
	t.Cleanup(b.stop)
	if err := json.Unmarshal(line, &b.announcement); err != nil {
		t.Fatalf("announcement: %v: %s", err, line)
	}
	return b
}

// trust is the announced authority.
func (b *bench) trust(t *testing.T) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(b.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("the authority's file holds no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

// inbox logs in by IMAP and tells how many messages lie in INBOX, once there are least: what is submitted is answered a
// moment later.
func (b *bench) inbox(t *testing.T, least int) int {
	t.Helper()
	e := b.Mocks["pec"]
	conn, err := (&tls.Dialer{Config: b.trust(t)}).DialContext(t.Context(), "tcp", e.IMAPS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "a LOGIN %q %q\r\nb SELECT INBOX\r\n", e.User, e.Password)
	exists := -1
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		if strings.HasSuffix(line, " EXISTS") {
			if _, err := fmt.Sscanf(line, "* %d EXISTS", &exists); err != nil {
				t.Fatalf("IMAP: %s", line)
			}
		}
		switch {
		case !strings.HasPrefix(line, "b "):
			continue
		case exists < 0:
			t.Fatalf("IMAP: %s", line)
		case exists >= least:
			return exists
		}
		fmt.Fprint(conn, "b SELECT INBOX\r\n")
	}
	t.Fatalf("IMAP: %d messages are there, and then the connection ended; want %d", exists, least)
	return -1
}

// send submits one message and returns when the provider has taken it.
func (b *bench) send(t *testing.T) {
	t.Helper()
	e := b.Mocks["pec"]
	conn, err := (&tls.Dialer{Config: b.trust(t)}).DialContext(t.Context(), "tcp", e.SMTPS)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(e.SMTPS)
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := lab.Who("company-with-pec").INIPEC.Enterprise
	from := e.User
	if !strings.Contains(from, "@") {
		t.Fatalf("the user %q is no address: the test must be told the mailbox's", from)
	}
	steps := []func() error{
		func() error { return c.Auth(smtp.PlainAuth("", e.User, e.Password, host)) },
		func() error { return c.Mail(from) },
		func() error { return c.Rcpt(to) },
		func() error {
			w, err := c.Data()
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: prova\r\nMessage-ID: <prova@pec.ministero.test>\r\n\r\nprova\r\n", from, to)
			return w.Close()
		},
		c.Quit,
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("SMTP, step %d: %v", i+1, err)
		}
	}
}

func TestAnnouncementHasTheAgreedShape(t *testing.T) {
	t.Parallel()
	b := serveMocks(t)
	var raw struct {
		Mocks map[string]map[string]string `json:"mocks"`
		CA    string                       `json:"ca"`
		Conf  string                       `json:"config"`
	}
	d := json.NewDecoder(bytes.NewReader(b.line))
	d.DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, e := range raw.Mocks {
		names = append(names, name)
		for _, key := range []string{"url", "smtp", "smtps", "imap", "imaps", "user", "password"} {
			if _, ok := e[key]; !ok {
				t.Errorf("%s has no %s", name, key)
			}
		}
		if len(e) != 7 {
			t.Errorf("%s has %d keys, want 7", name, len(e))
		}
		mail := e["smtp"] != "" && e["smtps"] != "" && e["imap"] != "" && e["imaps"] != "" && e["user"] != "" && e["password"] != ""
		if mail != (name == "pec") || (e["url"] != "") == mail {
			t.Errorf("%s: %v", name, e)
		}
	}
	for _, m := range mocks.All() {
		if !slices.Contains(names, m.Name()) {
			t.Errorf("%s is not announced", m.Name())
		}
	}
}

func TestEverybodyServesWhenItIsAnnounced(t *testing.T) {
	t.Parallel()
	b := serveMocks(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: b.trust(t), DisableKeepAlives: true}, Timeout: 20 * time.Second}
	for name, e := range b.Mocks {
		if e.URL == "" {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+"/nothing", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode > 499 {
			t.Errorf("%s: status %d to a stray request, want a refusal", name, resp.StatusCode)
		}
	}
	if n := b.inbox(t, 0); n != 0 {
		t.Errorf("%d messages in a new mailbox", n)
	}
}

func TestConfigurationIsTheHubs(t *testing.T) {
	t.Parallel()
	b := serveMocks(t)
	cfg, err := hub.Load(b.Config, adapters.Kinds())
	if err != nil {
		t.Fatalf("the hub does not take it: %v", err)
	}
	health := hub.CheckLive(t.Context(), cfg, adapters.Kinds(), 20*time.Second)
	if len(health) < 3 {
		t.Errorf("%d suppliers, want 3 at least", len(health))
	}
	for _, h := range health {
		if h.Err != nil {
			t.Errorf("%s: %v", h.Instance, h.Err)
		}
	}
}

func TestTwoInstancesDoNotClash(t *testing.T) {
	t.Parallel()
	a, b := serveMocks(t), serveMocks(t)
	if a.Config == b.Config || a.CA == b.CA {
		t.Error("two instances share a folder")
	}
	a.send(t)
	a.inbox(t, 1)
	if n := b.inbox(t, 0); n != 0 {
		t.Errorf("%d messages in the second instance's mailbox", n)
	}
	a.stop()
	b.send(t) // the one goes on without the other
	if _, err := os.Stat(filepath.Dir(a.Config)); !os.IsNotExist(err) {
		t.Errorf("the temporary folder was left: %v", err)
	}
}

func TestAFolderIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := serveMocks(t, "-dir", dir)
	first.send(t)
	before := first.inbox(t, 1)
	files := []string{"ca.pem", "pec-roots.pem", "store.key", "core.token", "ledger.pem"}
	was := map[string]string{}
	for _, name := range files {
		was[name] = read(name)
	}
	first.stop()
	second := serveMocks(t, "-dir", dir)
	if n := second.inbox(t, 0); n < before {
		t.Errorf("%d messages in the mailbox after a restart, %d before", n, before)
	}
	for _, name := range files {
		if read(name) != was[name] {
			t.Errorf("%s is another after a restart", name)
		}
	}
	if filepath.Dir(second.Config) != dir {
		t.Errorf("the configuration is in %s, not in -dir", second.Config)
	}
	second.stop()
	if _, err := os.Stat(second.Config); err != nil {
		t.Errorf("-dir was removed: %v", err)
	}
}

func TestCastListsEverybody(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"-cast"}, &out, &errOut); code != 0 || errOut.Len() > 0 {
		t.Fatalf("exit status %d: %s", code, errOut.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(mocks.Cast())+1 {
		t.Errorf("%d lines for %d members and a heading", len(lines), len(mocks.Cast()))
	}
	for i, m := range mocks.Cast() {
		for _, want := range []string{m.Story, m.CodiceFiscale, m.PartitaIVA, m.Name, m.Capacity} {
			if !strings.Contains(lines[i+1], want) {
				t.Errorf("line %d: %q does not tell of %s", i+2, lines[i+1], m.ID)
			}
		}
	}
}

func TestPlainModeTellsWhatAPersonNeeds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, nil, w, io.Discard)
		w.Close()
		ended <- code
	}()
	var text strings.Builder
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "Serving until") {
			break
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d", code)
	}
	told := text.String()
	for _, story := range lab.Stories(mocks.Cast()) {
		if n := strings.Count(told, "\n"+story+" "); n != 1 {
			t.Errorf("the story %s is told %d times", story, n)
		}
	}
	if strings.Count(told, "/_lab/") != 1 {
		t.Error("the admin endpoint's address is not told as it is")
	}
	for _, want := range []string{"inad ", "inipec ", "pdnd ", "smtps on 127.0.0.1:", "imaps on 127.0.0.1:", "user ", "go run ./cmd/hub serve ", "adapters:", "routes:"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told", want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule string
		args []string
		code int
		text string
	}{
		{"help is no fault", []string{"-h"}, 0, "-cast"},
		{"an unknown flag", []string{"-nope"}, 2, "-nope"},
		{"a stray argument", []string{"inad"}, 2, "no arguments are taken"},
		{"a folder that cannot be", []string{"-dir", filepath.Join(blocked, "x")}, 1, "mocks: "},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			if code := run(t.Context(), c.args, &out, &errOut); code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			if !strings.Contains(errOut.String(), c.text) || out.Len() > 0 {
				t.Errorf("standard error %q, want it to say %q; standard output %q", errOut.String(), c.text, out.String())
			}
		})
	}
}
