package contracttest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

// A recorder is a testing.TB that only remembers.
type recorder struct{ said []string }

func (*recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

const hush = "RSSMRA85T10A562S"

// naked is what an identifier would be if it did not mask.
type naked struct{ Code string }

// hidden holds an identifier where fmt cannot call its mask.
type hidden struct{ code contracts.CodiceFiscale }

func TestLeaksAreFound(t *testing.T) {
	code, err := contracts.ParseCodiceFiscale(hush)
	if err != nil {
		t.Fatal(err)
	}
	mail, err := contracts.ParseAddress("a+b@pec.memory.test")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		secret string
		leaks  bool
		run    func(c *contracttest.Capture)
	}{
		"a masked value":             {hush, false, func(c *contracttest.Capture) { c.Value("v", code) }},
		"a masked value in a struct": {hush, false, func(c *contracttest.Capture) { c.Value("v", contracts.Subject{CodiceFiscale: code}) }},
		"a masked error":             {hush, false, func(c *contracttest.Capture) { c.Error(contracts.Errorf(contracts.NotFound, "no %s", code)) }},
		"a masked log attribute":     {hush, false, func(c *contracttest.Capture) { c.Logger().Info("x", "code", code) }},
		"masking switched off":       {hush, true, func(c *contracttest.Capture) { c.Value("v", naked{hush}) }},
		"an unexported field":        {hush, true, func(c *contracttest.Capture) { c.Value("v", hidden{code}) }},
		"a bare error":               {hush, true, func(c *contracttest.Capture) { c.Error(errors.New("no " + hush)) }},
		"the peer's own code":        {hush, true, func(c *contracttest.Capture) { c.Error(&contracts.Error{Code: hush}) }},
		"a log message":              {hush, true, func(c *contracttest.Capture) { c.Logger().Debug("asked for " + hush) }},
		"a log attribute":            {hush, true, func(c *contracttest.Capture) { c.Logger().Info("x", "code", code.Reveal()) }},
		"a composite in a JSON log":  {hush, true, func(c *contracttest.Capture) { c.Logger().Info("x", "all", []contracts.CodiceFiscale{code}) }},
		"another case of letters":    {hush, true, func(c *contracttest.Capture) { c.Show("x", strings.ToLower(hush)) }},
		"a metric's label":           {hush, true, func(c *contracttest.Capture) { c.Metrics(`calls{subject="` + hush + `"} 1`) }},
		"a page read at the end":     {hush, true, func(c *contracttest.Capture) { c.Source("metrics", func() string { return hush }) }},
		"a URL":                      {hush, true, func(c *contracttest.Capture) { c.URL("/extract/" + hush) }},
		"a URL's query":              {mail.Reveal(), true, func(c *contracttest.Capture) { c.URL("/verify?a=" + url.QueryEscape(mail.Reveal())) }},
		"bytes":                      {hush, true, func(c *contracttest.Capture) { c.Value("v", []byte(hush)) }},
		"base64":                     {hush, true, func(c *contracttest.Capture) { c.Show("x", base64.StdEncoding.EncodeToString([]byte(hush))) }},
		"nothing at all":             {hush, false, func(*contracttest.Capture) {}},
		"a word too short to search": {"ab", false, func(c *contracttest.Capture) { c.Show("x", "ab") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			contracttest.Leaks(r, []string{c.secret}, c.run)
			if (len(r.said) > 0) != c.leaks {
				t.Errorf("leaks reported: %q, want any: %t", r.said, c.leaks)
			}
			for _, s := range r.said {
				if strings.Contains(s, c.secret) {
					t.Error("the report repeats the secret")
				}
			}
		})
	}
}

func TestWrappedRunnersShowEverythingThatPasses(t *testing.T) {
	shows := func(name string, run func(c *contracttest.Capture)) {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			contracttest.Leaks(r, []string{hush}, run)
			if len(r.said) == 0 {
				t.Error("what passed was not shown")
			}
		})
	}
	fails := contracttest.RunnerFunc(func(context.Context, *contracts.Call) (any, error) { return nil, errors.New("no " + hush) })
	answers := contracttest.RunnerFunc(func(context.Context, *contracts.Call) (any, error) { return naked{hush}, nil })
	call := &contracts.Call{Op: opRead.OpInfo, Request: naked{"x"}}
	shows("an error", func(c *contracttest.Capture) { _, _ = c.Wrap(fails).Run(t.Context(), call) })
	shows("an answer", func(c *contracttest.Capture) { _, _ = c.Wrap(answers).Run(t.Context(), call) })
	shows("a request", func(c *contracttest.Capture) {
		_, _ = c.Wrap(fails).Run(t.Context(), &contracts.Call{Op: opRead.OpInfo, Request: naked{hush}})
	})
	shows("a ticket's error", func(c *contracttest.Capture) {
		s := c.Wrap(submitter{answers, contracts.Ticket{State: contracts.StateFailed, Err: &contracts.Error{Code: hush}}}).(contracts.Submitter)
		_, _ = s.Ticket(t.Context(), "x")
	})
	shows("an event's reference", func(c *contracttest.Capture) {
		s := c.Wrap(submitter{answers, contracts.Ticket{Story: []contracts.Event{{Kind: "k", Ref: hush}}}}).(contracts.Submitter)
		_, _ = s.Submit(t.Context(), call)
	})
	if _, ok := contracttest.NewCapture().Wrap(fails).(contracts.Submitter); ok {
		t.Error("a runner that keeps no tickets became a submitter")
	}
}

type submitter struct {
	contracttest.RunnerFunc
	t contracts.Ticket
}

func (s submitter) Submit(context.Context, *contracts.Call) (contracts.Ticket, error) {
	return s.t, nil
}
func (s submitter) Ticket(context.Context, string) (contracts.Ticket, error) { return s.t, nil }
