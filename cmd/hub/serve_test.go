package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/lab"
)

// A caller asks as curl would.
type caller struct {
	t     testing.TB
	url   string
	token string
	http  *http.Client
}

func newCaller(t testing.TB, url, token string) caller {
	wire := &http.Transport{}
	t.Cleanup(wire.CloseIdleConnections)
	return caller{t: t, url: url, token: token, http: &http.Client{
		Transport: wire, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c caller) do(method, path, body string, headers ...string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(b)
}

// followed submits a look-up and follows its ticket to the answer.
func (c caller) followed(body string) string {
	c.t.Helper()
	resp, text := c.do(http.MethodPost, "/v1/domicile/lookup", body,
		"Hub-Purpose", "activation", "Hub-Case", "2026-0001", "Prefer", "respond-async")
	if resp.StatusCode != http.StatusAccepted || resp.Header.Get("Location") == "" {
		c.t.Fatalf("submitted: %s, location %q\n%s", resp.Status, resp.Header.Get("Location"), text)
	}
	ticket := resp.Header.Get("Location")
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		resp, text := c.do(http.MethodGet, ticket, "")
		switch resp.StatusCode {
		case http.StatusSeeOther:
			resp, text := c.do(http.MethodGet, resp.Header.Get("Location"), "")
			if resp.StatusCode != http.StatusOK {
				c.t.Fatalf("answer: %s\n%s", resp.Status, text)
			}
			return text
		case http.StatusOK:
		default:
			c.t.Fatalf("ticket: %s\n%s", resp.Status, text)
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-again.C:
		case <-deadline.C:
			c.t.Fatalf("no answer within a minute\n%s", text)
		}
	}
}

func lookup(m lab.Member) string {
	return fmt.Sprintf(`{"subject":{"codice_fiscale":%q},"capacity":%q}`, m.CodiceFiscale, m.Capacity)
}

const recipient = "never.marescotti@pec.studi.test"

func letter(text string) string {
	return fmt.Sprintf(`{"sender":"centrale","to":[{"address":%q,"basis":{"kind":"elected"}}],"subject":"Pratica","text":%q}`, recipient, text)
}

// Two terminals, as the README says: the mocks in one, the hub in the other, and curl.
// A stop that comes while the store is being opened is obeyed like any other.
func TestServeToldToStopBeforeItServedIsNoFailure(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, errOut strings.Builder
	if status := run(ctx, []string{"serve", s.file}, strings.NewReader(""), &out, &errOut); status != 0 {
		t.Errorf("status %d: %s", status, errOut.String())
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	person, firm := lab.Who("personal-domicile"), lab.Who("company-with-pec")
	s := newStand(t, quick...)
	p := s.serve(t, "-log-json", "-v")
	c := newCaller(t, p.url, s.token(t))

	for name, want := range map[string]struct{ body, address string }{
		"a person in INAD":    {lookup(person), person.INAD[0].Address},
		"a firm in INI-PEC":   {lookup(firm), firm.INIPEC.Enterprise},
		"a person once again": {lookup(person), person.INAD[0].Address},
	} {
		begun := time.Now()
		if answer := c.followed(want.body); !strings.Contains(answer, want.address) {
			t.Errorf("%s: the answer does not hold the address:\n%s", name, answer)
		}
		t.Logf("%s: answered after %s", name, time.Since(begun).Round(time.Millisecond))
	}
	if resp, _ := c.do(http.MethodPost, "/v1/domicile/lookup", lookup(person)); resp.StatusCode != http.StatusForbidden {
		t.Errorf("without a purpose: %s", resp.Status)
	}

	t.Run("a second hub on the same store is refused with a sentence", func(t *testing.T) {
		if _, errOut := must(t, statusFailed, "", "serve", s.file); !strings.Contains(errOut, "is held by process") {
			t.Errorf("%s", errOut)
		}
	})
	t.Run("check -live works beside it", func(t *testing.T) { must(t, 0, "", "check", "-live", s.file) })
	t.Run("call", func(t *testing.T) { callsThrough(t, s, p, person, firm) })
	t.Run("breaker", func(t *testing.T) { breakersByHand(t, s, p) })
	t.Run("metrics", func(t *testing.T) { measures(t, s, p) })

	// A message whose receipts never come, with a person who decides.
	_, errOut := must(t, statusPending, letter("uno"), "call", "delivery.send", "-url", p.url, "-token-file", filepath.Join(s.dir, "core.token"),
		"-purpose", "activation", "-key", "letter/1", "-case", "2026-0002", "-wait", "1s")
	id := ticketIn(t, errOut)
	s.await(t, id, "waiting")
	if _, errOut := must(t, statusWrong, "", "ticket", "settle", s.file, id, "-to", "failed"); !strings.Contains(errOut, "--reason") {
		t.Errorf("settled without a reason: %s", errOut)
	}
	must(t, statusFailed, "", "ticket", "settle", s.file, "nosuchticket", "-to", "failed", "-reason", "x")
	must(t, statusWrong, "{", "ticket", "settle", s.file, id, "-to", "done", "-result", "-", "-reason", "x")
	must(t, 0, "", "ticket", "settle", s.file, id, "-to", "failed", "-reason", "the provider confirms: never accepted", "-as", "g.operatrice")
	must(t, 0, "", "ticket", "retry", s.file, id, "-reason", "once more, by agreement", "-as", "g.operatrice")
	s.await(t, id, "waiting")
	online := settledTicket(t, s)
	must(t, 0, "", "ledger", "verify", s.file)

	// Callers who wait are no reason to stay.
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/v1/events?wait=30", nil)
		req.Header.Set("Authorization", "Bearer "+c.token)
		if resp, err := c.http.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	if took := p.stop(t); took > 10*time.Second {
		t.Errorf("drained in %s, want 10 s at most", took)
	}
	<-waiting
	if log := p.log.String(); !strings.Contains(log, `"route":"/v1/domicile/lookup"`) {
		t.Errorf("the log does not tell of requests:\n%.2000s", log)
	}
	for _, secret := range []string{
		person.CodiceFiscale, person.Name, firm.CodiceFiscale, firm.Name, person.INAD[0].Address,
		firm.INIPEC.Enterprise, recipient, "marescotti", "Pratica", s.token(t),
	} {
		if strings.Contains(strings.ToLower(p.log.String()), strings.ToLower(secret)) {
			t.Errorf("the log holds %q", secret)
		}
	}

	t.Run("without a running hub the store itself is opened", func(t *testing.T) { repairsOffline(t, s, id, online) })
}

// await looks at a ticket until it has a state.
func (s *stand) await(t *testing.T, id, state string) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		out, _ := must(t, 0, "", "ticket", "show", "-json", s.file, id)
		var ticket struct{ State string }
		if err := json.Unmarshal([]byte(out), &ticket); err != nil {
			t.Fatal(err)
		}
		if ticket.State == state {
			return
		}
		again := time.NewTimer(50 * time.Millisecond)
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("ticket %s is %s, want %s", id, ticket.State, state)
		}
	}
}

// settledTicket gives, as JSON, the first ticket that is done.
func settledTicket(t *testing.T, s *stand) string {
	t.Helper()
	out, _ := must(t, 0, "", "ticket", "list", "-json", "-state", "done", "-max", "1", s.file)
	var page []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &page); err != nil || len(page) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	out, _ = must(t, 0, "", "ticket", "show", "-json", s.file, page[0].ID)
	return out
}

// ticketIn finds the ticket that an error names.
func ticketIn(t *testing.T, text string) string {
	t.Helper()
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') }) {
		if len(word) == 26 {
			return word
		}
	}
	t.Fatalf("no ticket is named in %q", text)
	return ""
}

func callsThrough(t *testing.T, s *stand, p *process, person, firm lab.Member) {
	token := filepath.Join(s.dir, "core.token")
	call := func(op string, more ...string) []string {
		return append([]string{"call", op, "-url", p.url, "-token-file", token, "-purpose", "activation", "-case", "2026-0003"}, more...)
	}
	if out, _ := must(t, 0, lookup(person), call("domicile.lookup")...); !strings.Contains(out, person.INAD[0].Address) {
		t.Errorf("%s", out)
	}
	if _, errOut := must(t, statusPending, lookup(firm), call("domicile.lookup", "-wait", "1s")...); ticketIn(t, errOut) == "" {
		t.Errorf("%s", errOut)
	}
	must(t, statusWrong, "{", call("domicile.lookup")...)
	must(t, statusWrong, `{"colour":"blue"}`, call("domicile.lookup")...)
	must(t, statusWrong, letter("senza chiave"), call("delivery.send")...)
	must(t, statusWrong, lookup(person), call("domicile.nosuch")...)
	must(t, statusFailed, lookup(lab.Who("no-domicile")), call("domicile.lookup")...)
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("not-a-token-of-anybody"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut := must(t, statusFailed, lookup(person), "call", "domicile.lookup", "-url", p.url, "-token-file", wrong, "-purpose", "activation"); !strings.Contains(errOut, "denied") {
		t.Errorf("%s", errOut)
	}
}

func breakersByHand(t *testing.T, s *stand, p *process) {
	must(t, statusWrong, "", "breaker", "isolate", s.file, "inad")
	must(t, statusFailed, "", "breaker", "isolate", s.file, "anpr", "-reason", "x")
	must(t, 0, "", "breaker", "isolate", s.file, "inad", "-reason", "maintenance tonight", "-as", "g.operatrice")
	if out, _ := must(t, 0, "", "breaker", "list", s.file); !strings.Contains(out, "isolated") || !strings.Contains(out, "maintenance tonight") {
		t.Errorf("%s", out)
	}
	_, errOut := must(t, statusFailed, lookup(lab.Who("personal-domicile")), "call", "domicile.lookup", "-url", p.url,
		"-token-file", filepath.Join(s.dir, "core.token"), "-purpose", "activation")
	if !strings.Contains(errOut, "maintenance tonight") {
		t.Errorf("%s", errOut)
	}
	must(t, 0, "", "breaker", "rejoin", s.file, "inad", "-reason", "maintenance is over")
	if out, _ := must(t, 0, "", "breaker", "list", "-json", s.file); strings.Contains(out, "isolated") {
		t.Errorf("%s", out)
	}
}

func measures(t *testing.T, s *stand, p *process) {
	page := func(client *http.Client, url string) string {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", resp.Status, err)
		}
		return string(b)
	}
	var d net.Dialer
	socket := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", filepath.Join(s.dir, "hub.db.sock"))
	}}
	defer socket.CloseIdleConnections()
	plain := &http.Transport{}
	defer plain.CloseIdleConnections()
	for _, text := range []string{
		page(&http.Client{Transport: plain}, p.metrics), page(&http.Client{Transport: socket}, "http://operator/metrics"),
	} {
		for _, want := range []string{
			`raccordo_calls_total{kind="ok",operation="domicile.lookup"}`, `raccordo_exchange_seconds_count{instance="inad",kind="ok",operation="domicile.lookup"}`,
			`raccordo_breaker{instance="inad",phase="closed"} 1`, `raccordo_tickets{state="done"}`, "raccordo_store_free_bytes ",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the page lacks %s", want)
			}
		}
	}
	info, err := os.Stat(filepath.Join(s.dir, "hub.db.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the operators' socket has mode %v, %v; want 0600", info.Mode(), err)
	}
}

func repairsOffline(t *testing.T, s *stand, id, online string) {
	if _, err := os.Stat(filepath.Join(s.dir, "hub.db.sock")); err == nil {
		t.Error("the socket outlives the hub")
	}
	if offline := settledTicket(t, s); offline != online {
		t.Errorf("one ticket shows differently with a running hub\n%s\nand without\n%s", online, offline)
	}
	if out, _ := must(t, 0, "", "ticket", "show", s.file, id); !strings.Contains(out, "waiting") || strings.Contains(out, recipient) {
		t.Errorf("%s", out)
	}
	out, _ := must(t, 0, "", "ticket", "list", s.file, "-state", "waiting")
	if !strings.Contains(out, id) || strings.Count(out, "\n") != 2 {
		t.Errorf("%s", out)
	}
	must(t, 0, "", "ticket", "settle", s.file, id, "-to", "failed", "-reason", "offline: nobody answers")
	must(t, 0, "", "ticket", "retry", s.file, id, "-reason", "offline: send it again")
	must(t, 0, "", "ticket", "settle", s.file, id, "-to", "abandoned", "-reason", "offline: the case is closed")
	must(t, statusFailed, "", "ticket", "settle", s.file, id, "-to", "done", "-reason", "too late")
	if out, _ := must(t, 0, "", "ledger", "verify", s.file); !strings.Contains(out, "the ledger verifies") {
		t.Errorf("%s", out)
	}
	export, _ := must(t, 0, "", "ledger", "export", s.file)
	for _, reason := range []string{
		"never accepted", "once more, by agreement", "maintenance tonight", "maintenance is over", "offline: nobody answers",
		"offline: send it again", "offline: the case is closed", `"g.operatrice"`,
	} {
		if !strings.Contains(export, reason) {
			t.Errorf("the ledger does not hold %q", reason)
		}
	}
	if empty, _ := must(t, 0, "", "ledger", "export", s.file, "-to", "2020-01-01T00:00:00Z"); strings.Contains(empty, `"entry"`) {
		t.Errorf("entries of another day are exported:\n%.500s", empty)
	}
	if _, errOut := must(t, statusFailed, "", "breaker", "list", s.file); !strings.Contains(errOut, "no hub serves") {
		t.Errorf("%s", errOut)
	}
}
