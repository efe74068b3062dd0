// Package bearer keeps the tokens that suppliers ask for: one per key, fetched once for all who wait, renewed before it
// ends, dropped when the supplier refuses it. Tokens go on requests, never on a client.
//
// Source: RFC 6750 (Authorization: Bearer); pdnd-modi and InfoCamere's manual for the habits named at Options.
package bearer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// A Token is a credential and the instant at which it ends. It prints as nothing.
type Token struct {
	header  string
	Expires time.Time
}

// NewToken takes a token's text in.
func NewToken(text string, expires time.Time) Token {
	return Token{header: "Bearer " + text, Expires: expires}
}

// Put sets the Authorization header.
func (t Token) Put(r *http.Request) { r.Header["Authorization"] = []string{t.header} }

// String never tells the token.
func (t Token) String() string { return "[token]" }

// Format never tells the token, with any verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[token]")) }

// Options are a Cache's settings.
type Options struct {
	Clock contracts.Clock
	// RenewBefore is how long before its end a token is renewed; never more than a quarter of its life. Zero: not early.
	RenewBefore time.Duration
	// Timeout limits one fetch, in real time.
	Timeout time.Duration
	// Fetch gets a new token. It runs detached from the caller who caused it: neither that caller's cancellation nor
	// its trail belong to a token that many share.
	Fetch func(ctx context.Context, key string) (Token, error)
}

// A Cache keeps one token per key. It is safe for concurrent use. Keys come from configuration, so that their number
// is bounded.
type Cache struct {
	opt    Options
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[string]*entry
}

type entry struct {
	token   Token
	renew   time.Time // not used without trying to renew, from here on
	flight  *flight
	refused error     // the supplier asked us to stay away
	until   time.Time // of refused
}

type flight struct {
	done  chan struct{}
	token Token
	err   error
}

// New makes an empty cache.
func New(opt Options) *Cache {
	ctx, cancel := context.WithCancel(context.Background())
	return &Cache{opt: opt, ctx: ctx, cancel: cancel, entries: map[string]*entry{}}
}

var errClosed = &contracts.Error{Kind: contracts.Unavailable, Err: errors.New("token: the adapter is closed")}

// Get gives the token of key, fetching it when there is none or it is about to end. A caller waits no longer than its
// own context; the fetch goes on for the others. While an early renewal fails, the old token serves until its end.
func (c *Cache) Get(ctx context.Context, key string) (Token, error) {
	now := c.opt.Clock.Now()
	c.mu.Lock()
	e := c.entries[key]
	if e == nil {
		e = &entry{}
		c.entries[key] = e
	}
	if e.token.header != "" && now.Before(e.renew) {
		t := e.token
		c.mu.Unlock()
		return t, nil
	}
	if e.refused != nil && now.Before(e.until) {
		defer c.mu.Unlock()
		if now.Before(e.token.Expires) {
			return e.token, nil
		}
		return Token{}, later(e.refused, e.until.Sub(now))
	}
	f := e.flight
	if f == nil {
		if c.closed {
			c.mu.Unlock()
			return Token{}, errClosed
		}
		f = &flight{done: make(chan struct{})}
		e.flight = f
		c.wg.Go(func() { c.fetch(key, e, f) })
	}
	old := e.token
	c.mu.Unlock()

	select {
	case <-f.done:
	case <-ctx.Done():
		return Token{}, &contracts.Error{Kind: contracts.Canceled, Err: fmt.Errorf("waiting for a token: %w", ctx.Err())}
	}
	if f.err != nil {
		if old.header != "" && c.opt.Clock.Now().Before(old.Expires) && !dropped(c, e, old) {
			return old, nil
		}
		return Token{}, f.err
	}
	return f.token, nil
}

func dropped(c *Cache, e *entry, old Token) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return e.token.header != old.header
}

// later restates a refusal with what is left of its wait.
func later(err error, left time.Duration) error {
	e := *contracts.AsError(err)
	e.After = left
	return &e
}

func (c *Cache) fetch(key string, e *entry, f *flight) {
	ctx, cancel := context.WithTimeout(c.ctx, c.opt.Timeout)
	defer cancel()
	t, err := c.opt.Fetch(ctx, key)
	if err != nil && ctx.Err() != nil && contracts.KindOf(err) == contracts.Canceled {
		// No caller has given up: the time of the fetch was over, or the cache was closed.
		e := *contracts.AsError(err)
		e.Kind, err = contracts.Unavailable, &e
	}
	now := c.opt.Clock.Now()

	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	e.flight, e.refused = nil, nil
	if err != nil {
		f.err = err
		if ce := contracts.AsError(err); ce.After > 0 {
			e.refused, e.until = err, now.Add(ce.After)
		}
		return
	}
	f.token = t
	early := min(c.opt.RenewBefore, t.Expires.Sub(now)/4)
	e.token, e.renew = t, t.Expires.Add(-early)
}

// Drop forgets t, if it is still the one kept.
func (c *Cache) Drop(key string, t Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil && e.token.header == t.header {
		e.token, e.renew = Token{}, time.Time{}
	}
}

// Close stops fetches under way and waits for them. It may be called again.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

// Do sends req with the token of key. A 401 means that the supplier no longer takes that token: it is dropped, and the
// call made once more with a new one, whatever its Effect, since a request refused for its credentials did nothing.
func (c *Cache) Do(ctx context.Context, w *wire.Client, key string, req *wire.Request) (*wire.Response, error) {
	var used Token
	with := *req
	with.Authorize = func(ctx context.Context, r *http.Request) error {
		t, err := c.Get(ctx, key)
		if err != nil {
			return err
		}
		used = t
		t.Put(r)
		if req.Authorize != nil {
			return req.Authorize(ctx, r)
		}
		return nil
	}
	resp, err := w.Do(ctx, &with)
	if err != nil || resp.Status != http.StatusUnauthorized {
		return resp, err
	}
	c.Drop(key, used)
	with.Unsettled = resp.Unsettled() // of an attempt before the one that was refused, perhaps
	return w.Do(ctx, &with)
}
