package pec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

func good(t *testing.T) *Config {
	t.Helper()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	pem := "-----BEGIN CERTIFICATE-----\n" + wrapped(usual().root.Raw) + "\n-----END CERTIFICATE-----\n"
	if err := os.WriteFile(roots, []byte(strings.ReplaceAll(pem, "\r", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default().(*Config)
	c.Roots = roots
	c.Mailboxes = []Mailbox{{
		Name: "centrale", Role: "centrale", Address: "ufficio@pec.interno.it", SMTPS: "smtps.pec.aruba.it:465",
		IMAPS: "imaps.pec.aruba.it:993", User: "u", Password: "secret://file/pec",
	}}
	return c
}

func TestDefaultsNeedOnlyRootsAndMailboxes(t *testing.T) {
	if err := good(t).Validate(contracts.Produzione); err != nil {
		t.Error(err)
	}
	if ops := Default().Operations(); len(ops) != 1 || ops[0] != delivery.OpSend.OpInfo {
		t.Error("operations")
	}
}

func TestEveryFaultIsToldAtOnceWithItsPath(t *testing.T) {
	for _, tc := range []struct {
		name   string
		env    contracts.Environment
		change func(*Config)
		want   []string
	}{
		{"nothing given", contracts.Collaudo, func(c *Config) { *c = *Default().(*Config) }, []string{"roots", "mailboxes"}},
		{"files that are none", contracts.Collaudo, func(c *Config) { c.Roots, c.CA = "/nowhere", "/nowhere" }, []string{"roots", "ca"}},
		{"times and sizes", contracts.Collaudo, func(c *Config) {
			c.Poll, c.AcceptanceWithin, c.DeniedPause, c.Timeout, c.MaxReceipt, c.BreveAbove = 0, 0, -1, 0, 0, 0
		}, []string{"poll", "acceptance_within", "denied_pause", "timeout", "max_receipt", "breve_above"}},
		{
			"patterns", contracts.Collaudo, func(c *Config) { c.Transient = []Transient{{Code: 450, Text: "("}, {Code: 550}} },
			[]string{"transient[0].code", "transient[0].text", "transient[1].text"},
		},
		{"an empty mailbox", contracts.Collaudo, func(c *Config) { c.Mailboxes = []Mailbox{{}} }, []string{
			"mailboxes[0].name", "mailboxes[0].role",
			"mailboxes[0].address", "mailboxes[0].smtps", "mailboxes[0].imaps", "mailboxes[0].user", "mailboxes[0].password",
		}},
		{
			"two of the same", contracts.Collaudo, func(c *Config) { c.Mailboxes = append(c.Mailboxes, c.Mailboxes[0]) },
			[]string{"mailboxes[1].name", "mailboxes[1].address"},
		},
		{"both spellings", contracts.Collaudo, func(c *Config) { c.Mailboxes[0].SMTP, c.Mailboxes[0].IMAP = "a:1", "b:2" }, []string{"mailboxes[0].smtps", "mailboxes[0].imaps"}},
		{"places that are none", contracts.Collaudo, func(c *Config) {
			m := &c.Mailboxes[0]
			m.SMTPS, m.SMTP, m.IMAPS = "", "host", "host:99999"
		}, []string{"mailboxes[0].smtp", "mailboxes[0].imaps"}},
		{"test hosts in production", contracts.Produzione, func(c *Config) {
			m := &c.Mailboxes[0]
			m.SMTPS, m.IMAPS = "127.0.0.1:465", "imap.gestore.test:993"
		}, []string{"mailboxes[0].smtps", "mailboxes[0].imaps"}},
		{"the secret itself", contracts.Collaudo, func(c *Config) { c.Mailboxes[0].Password = "hunter2" }, []string{"mailboxes[0].password"}},
		{"numbers and words", contracts.Collaudo, func(c *Config) { c.Mailboxes[0].PerMinute, c.Mailboxes[0].Receipt = -1, "lunga" }, []string{"mailboxes[0].per_minute", "mailboxes[0].receipt"}},
		{"a domain that fits no Message-ID", contracts.Collaudo, func(c *Config) { c.Mailboxes[0].Address = "a@" + strings.Repeat("x", maxDomain) + ".it" }, []string{"mailboxes[0].address"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := good(t)
			tc.change(c)
			err := c.Validate(tc.env)
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok {
				t.Fatalf("no faults: %v", err)
			}
			var got []string
			for _, e := range joined.Unwrap() {
				var f *contracts.Fault
				if !errors.As(e, &f) {
					t.Fatalf("%v is no Fault", e)
				}
				got = append(got, f.Path)
			}
			if strings.Join(got, " ") != strings.Join(tc.want, " ") {
				t.Errorf("faults at %v, want %v", got, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the secret is told")
			}
		})
	}
}

func TestMessageIDFitsAndIsRecognised(t *testing.T) {
	a := office(usual()).address
	id := contracts.TicketID("service", "delivery.send", "key")
	made, err := messageID(id, a)
	if err != nil || len(made) > maxMessageID {
		t.Fatalf("%q %v", made, err)
	}
	ticket, generation, note := match(made, a)
	if ticket != id || generation != 1 || note != "" {
		t.Errorf("recognised %q %d %q", ticket, generation, note)
	}
	for _, stranger := range []string{
		"", "x@pec.ente.test", "h1.." + a.Domain(), "h1.abc.0@pec.ente.test", "h1.abc.1@pec.altri.test", "h1.a@b.1@pec.ente.test",
		"h1." + strings.Repeat("a", 65) + ".1@pec.ente.test", "%zz", "h1.abc.1@pec.ente.test.evil.test",
	} {
		if ticket, _, _ := match(stranger, a); ticket != "" {
			t.Errorf("%q was taken for ticket %q", stranger, ticket)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("h1.abc.1@pec.ente.test")
	f.Add("H1.ABC.1%40PEC.ENTE.TEST")
	f.Add("<%3Ch1.abc.1@pec.ente.test%3E>")
	a := office(usual()).address
	f.Fuzz(func(t *testing.T, id string) {
		ticket, generation, _ := match(id, a)
		if ticket == "" {
			return
		}
		if !ticketID.MatchString(ticket) || generation < 1 || generation > 9999 {
			t.Fatalf("ticket %q generation %d", ticket, generation)
		}
	})
}

func TestPollIsTheFeedsPace(t *testing.T) {
	if got := (&source{a: &Adapter{config: *Default().(*Config)}}).Every(); got != time.Minute {
		t.Errorf("every %v", got)
	}
}
