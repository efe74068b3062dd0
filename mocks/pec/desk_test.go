package pec

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/lab"
)

// desk asks the mock's part of the admin endpoint.
func desk(t *testing.T, b *lab.Bench, method, what, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.AdminURL()+"pec/"+what, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := new(http.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func TestUnknownNamesAreErrors(t *testing.T) {
	b, m := bench(t)
	for what, err := range map[string]error{
		"story":          m.Order(Order{Story: "gold"}),
		"mailbox":        m.Order(Order{Story: "dup", Mailbox: "chi@posta.test"}),
		"times":          m.Order(Order{Story: "dup", Times: -1}),
		"rate":           m.Chaos(1, Rates{"gold": 0.1}),
		"chance":         m.Chaos(1, Rates{"dup": 1.1}),
		"profile":        m.SetMailbox(sender, func(c *Condition) { c.Profile = "gold" }),
		"rate reply":     m.SetMailbox(sender, func(c *Condition) { c.RateReply = 200 }),
		"count":          m.SetMailbox(sender, func(c *Condition) { c.RefuseLogins = -1 }),
		"address":        m.SetMailbox("chi@posta.test", func(*Condition) {}),
		"account":        lab.Start(t).Attach(New(WithAccounts(1), WithProfile("gold"))),
		"kind":           m.Issue(Extra{Kind: "gold"}),
		"story of issue": m.Issue(Extra{Kind: Acceptance, Stories: []string{"greylist"}}),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	for _, tc := range []struct{ what, body string }{
		{"orders", `{"story":"gold"}`},
		{"orders", `{"tale":"dup"}`},
		{"chaos", `{"seed":1,"rates":{"gold":1}}`},
		{"mailboxes", `{"mailbox":"centrale@pec.ministero.test","blocked":true}`},
		{"mailboxes", `{"mailbox":"chi@posta.test","locked":true}`},
		{"mailboxes", `{"mailbox":"centrale@pec.ministero.test","latency":"soon"}`},
		{"switches", `{"certificate":"gold"}`},
		{"switches", `{"refuse_at":"gold"}`},
		{"uidvalidity", `{"mailbox":"chi@posta.test"}`},
		{"issue", `{"identificativo":"x","kind":"accettazione"}`},
		{"put", `not json`},
		{"anomaly", `{"mailbox":"chi@posta.test"}`},
	} {
		if status, body := desk(t, b, "POST", tc.what, tc.body); status != 400 || !strings.Contains(body, `"error"`) {
			t.Errorf("%s %s: %d %s", tc.what, tc.body, status, body)
		}
	}
}

func TestTheDeskDoesWhatTheMethodsDo(t *testing.T) {
	b, m := bench(t)
	send(t, b, m, "a@x", "rossi@pec.cittadini.test")
	id := m.Accepted()[0].Identificativo
	for _, tc := range []struct{ what, body string }{
		{"mailboxes", `{"mailbox":"centrale@pec.ministero.test","locked":true,"latency":"1ms","quota":1000000,"profile":"legalmail"}`},
		{"mailboxes", `{"mailbox":"centrale@pec.ministero.test","locked":false}`},
		{"switches", `{"certificate":"sha-1","skew":"90s","refuse_at":"mail","per_minute":9,"sessions":3,"quirks":{"BER":true}}`},
		{"issue", fmt.Sprintf(`{"identificativo":%q,"kind":"presa-in-carico","recipient":"rossi@pec.cittadini.test"}`, id)},
		{"issue", fmt.Sprintf(`{"identificativo":%q,"kind":"accettazione","stories":["badsig"]}`, id)},
		{"put", `{"mailbox":"centrale@pec.ministero.test","raw":"Subject: x\n\ny\n"}`},
		{"anomaly", `{"mailbox":"centrale@pec.ministero.test","raw":"Subject: x\n\ny\n"}`},
		{"uidvalidity", `{"mailbox":"centrale@pec.ministero.test"}`},
		{"chaos", `{"seed":7,"mischief":0.1}`},
		{"chaos", `{"seed":7}`},
		{"orders", `{"story":"dup","times":2}`},
	} {
		if status, body := desk(t, b, "POST", tc.what, tc.body); status != 200 {
			t.Errorf("%s %s: %d %s", tc.what, tc.body, status, body)
		}
	}
	c, err := m.Mailbox(sender)
	if _, quota := m.Used(sender); err != nil || c.Locked || c.Latency != time.Millisecond || c.Profile != "legalmail" || quota != 1_000_000 {
		t.Errorf("the mailbox: %+v, quota %d, %v", c, quota, err)
	}
	if n := len(inboxOf(t, b, m.Accounts()[0])); n != 5 {
		t.Errorf("INBOX holds %d", n)
	}
	for _, what := range []string{"stories", "profiles", "orders", "truth", "mailboxes", "mailboxes?mailbox=" + sender} {
		if status, body := desk(t, b, "GET", what, ""); status != 200 || len(body) < 10 {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	if status, _ := desk(t, b, "DELETE", "orders", ""); status != 200 || len(m.Orders()) != 0 {
		t.Error("the orders stay")
	}
	var unsound int
	for _, p := range m.Truth()[0].Placed {
		if !p.Sound {
			unsound++
			if !slices.Contains(p.Stories, "badsig") {
				t.Errorf("unsound without reason: %+v", p)
			}
		}
	}
	if unsound != 1 {
		t.Errorf("%d unsound", unsound)
	}
}

func TestALockoutThrowsReadersOutForHalfAnHour(t *testing.T) {
	b, m := bench(t)
	a := m.Accounts()[0]
	reader := login(t, b, a)
	send(t, b, m, "a@x", "lockout@pec.cittadini.test")
	if err := reader.Noop().Wait(); err == nil {
		t.Error("the reader is still there")
	}
	if c, err := dialAs(b, a); codeOf(err) != 535 {
		c.Close()
		t.Errorf("a new session: %v", err)
	}
	b.Advance(lockout - time.Second)
	if _, err := dialAs(b, a); codeOf(err) != 535 {
		t.Errorf("a second before its end: %v", err)
	}
	b.Advance(time.Second)
	if c, err := dialAs(b, a); err != nil {
		t.Errorf("afterwards: %v", err)
	} else {
		c.Close()
	}
}
