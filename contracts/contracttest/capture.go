package contracttest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"raccordo/contracts"
)

// A Capture collects everything that people, logs, metrics and access logs get to see, to be searched for identifiers.
// It is safe for concurrent use.
type Capture struct {
	mu      sync.Mutex
	shown   map[string]*bytes.Buffer // by source: "log", "error", "request", …
	order   []string
	sources map[string]func() string
}

// NewCapture makes an empty Capture.
func NewCapture() *Capture {
	return &Capture{shown: map[string]*bytes.Buffer{}, sources: map[string]func() string{}}
}

const maxShown = 8 << 20 // bytes kept per source; a suite shows far less

// Show adds text under the name of its source.
func (c *Capture) Show(source, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.shown[source]
	if b == nil {
		b = &bytes.Buffer{}
		c.shown[source] = b
		c.order = append(c.order, source)
	}
	if b.Len() < maxShown {
		b.WriteString(text)
		b.WriteByte('\n')
	}
}

// Source adds text that is fetched at the end: a page of metrics, the URLs a server was asked for.
func (c *Capture) Source(name string, read func() string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources[name] = read
}

// Writer captures what is written to it under the name of a source.
func (c *Capture) Writer(source string) io.Writer { return writer{c, source} }

type writer struct {
	c      *Capture
	source string
}

func (w writer) Write(b []byte) (int, error) {
	w.c.Show(w.source, string(b))
	return len(b), nil
}

// Logger logs at every level into the capture, as text and as JSON, since the two mask by different methods.
func (c *Capture) Logger() *slog.Logger {
	opt := &slog.HandlerOptions{Level: slog.LevelDebug - 4}
	return slog.New(slog.NewMultiHandler(slog.NewTextHandler(c.Writer("log text"), opt), slog.NewJSONHandler(c.Writer("log json"), opt)))
}

// URL adds a URL that was served or asked for.
func (c *Capture) URL(u string) { c.Show("url", u) }

// Metrics adds a page of metrics.
func (c *Capture) Metrics(page string) { c.Show("metrics", page) }

// Error adds an error, printed in every way a careless program prints one.
func (c *Capture) Error(err error) {
	if err == nil {
		return
	}
	c.Value("error", err)
	c.Show("error", err.Error())
	if e := contracts.AsError(err); e != nil {
		if b, jerr := e.MarshalJSON(); jerr == nil {
			c.Show("error json", string(b))
		}
	}
}

// Value adds a value, printed in every way a careless program prints one.
func (c *Capture) Value(source string, v any) {
	c.Show(source, fmt.Sprintf("%v | %+v | %#v | %s | %q", v, v, v, v, v))
	c.Logger().Debug("value", "source", source, "value", v)
}

// Wrap gives a runner that captures each request, answer and error that passes. It is a Submitter where r is one.
func (c *Capture) Wrap(r contracts.Runner) contracts.Runner {
	if s, ok := r.(contracts.Submitter); ok {
		return wrappedSubmitter{wrapped{c, r}, s}
	}
	return wrapped{c, r}
}

type wrapped struct {
	c *Capture
	r contracts.Runner
}

func (w wrapped) Run(ctx context.Context, call *contracts.Call) (any, error) {
	w.c.Value("request", call.Request)
	out, err := w.r.Run(ctx, call)
	w.c.Error(err)
	if err == nil {
		w.c.Value("answer", out)
	}
	return out, err
}

type wrappedSubmitter struct {
	wrapped
	s contracts.Submitter
}

func (w wrappedSubmitter) Submit(ctx context.Context, call *contracts.Call) (contracts.Ticket, error) {
	w.c.Value("request", call.Request)
	t, err := w.s.Submit(ctx, call)
	w.c.Error(err)
	w.ticket(t)
	return t, err
}

func (w wrappedSubmitter) Ticket(ctx context.Context, id string) (contracts.Ticket, error) {
	t, err := w.s.Ticket(ctx, id)
	w.c.Error(err)
	w.ticket(t)
	return t, err
}

// ticket shows what a list of tickets shows; request, answer and event data are sealed rows that no page prints.
func (w wrappedSubmitter) ticket(t contracts.Ticket) {
	if t.Err != nil {
		w.c.Error(t.Err)
	}
	for _, e := range t.Story {
		e.Data = nil
		w.c.Value("event", e)
	}
	t.Result, t.Detail, t.Story = nil, nil, nil
	w.c.Value("ticket", t)
}

// A Leak is a secret that somebody could read.
type Leak struct {
	Secret int    // its index: the text itself is not repeated
	Source string // where it stood
	As     string // in which spelling: "plain", "url", "base64", "hex", "go bytes"
}

// Leaks searches everything captured for the secrets, without regard to case, plain and in the spellings in which a
// program could have written them. Secrets shorter than 4 bytes are too common to search for and are ignored.
func (c *Capture) Leaks(secrets []string) []Leak {
	c.mu.Lock()
	texts := make(map[string]string, len(c.shown)+len(c.sources))
	names := append([]string(nil), c.order...)
	for name, b := range c.shown {
		texts[name] = strings.ToLower(b.String())
	}
	sources := c.sources
	c.mu.Unlock()
	for name, read := range sources {
		texts[name] += strings.ToLower(read())
		names = append(names, name)
	}
	var found []Leak
	for i, s := range secrets {
		if len(s) < 4 {
			continue
		}
		for _, sp := range spellings(s) {
			for _, name := range names {
				if strings.Contains(texts[name], strings.ToLower(sp.text)) {
					found = append(found, Leak{i, name, sp.as})
				}
			}
		}
	}
	return found
}

type spelling struct{ as, text string }

func spellings(s string) []spelling {
	all := []spelling{
		{"plain", s},
		{"base64", strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s)), "=")},
		{"hex", hex.EncodeToString([]byte(s))},
		{"go bytes", strings.Trim(fmt.Sprint([]byte(s)), "[]")},
		{"go byte literal", strings.Trim(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(s)), "[]byte"), "{}")},
	}
	if q := url.QueryEscape(s); q != s {
		all = append(all, spelling{"url", q})
	}
	return all
}

// A TB is the part of testing.TB that Leaks needs.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// Leaks runs something with a fresh Capture and fails if any of the secrets can be read in what was captured.
func Leaks(t TB, secrets []string, run func(c *Capture)) {
	t.Helper()
	c := NewCapture()
	run(c)
	c.Report(t, secrets)
}

// Report fails for each secret that can be read in what was captured so far.
func (c *Capture) Report(t TB, secrets []string) {
	t.Helper()
	for _, l := range c.Leaks(secrets) {
		t.Errorf("leak: secret %d of %d can be read (%s) in %s: identifiers print masked, and Reveal is for the wire alone",
			l.Secret+1, len(secrets), l.As, l.Source)
	}
}
