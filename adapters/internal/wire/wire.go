// Package wire speaks HTTP with every supplier: one attempt after another, each signed afresh, each accounted for,
// none beyond what the operation's Effect allows.
//
// What repeats is decided by contracts.CallFrom: a Read on lost connections, 429, 500, 502, 503 and 504; a Write
// likewise, with its key; a Once only when nothing had left; no call in the context counts as Once. Waits have full
// jitter, obey Retry-After, never overrun the deadline and draw on a budget per client. No redirect is followed, no
// proxy is taken from the environment, HTTP/1.1 only (HTTP/2 replays requests below our sight), and net/http's own
// replays on a dead connection are refused, so that no signature is used twice and no attempt goes unseen.
//
// Source: RFC 9110 (status codes, section 10.2.3 Retry-After), RFC 9457 (problem+json); ModI, "Robustezza" (429, 503
// and the rate headers), ID_AUTH_CHANNEL_01 and 02.
package wire

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"raccordo/contracts"
)

// A Request is one call to a supplier, before it is tried.
type Request struct {
	Method string
	// Route names the request in logs and errors: a pattern ("GET /extract/{codice_fiscale}"), never the URL.
	Route string
	// Path goes below the endpoint, escaped, with its leading slash. Query is encoded, without "?".
	Path, Query string
	Header      http.Header
	Body        []byte
	// Compose makes the body of one attempt, in Body's place: a signed message bears an id and an instant of its own, and
	// what was really sent is what the attempt's sum is of. Its error ends the call, unsent.
	Compose func(context.Context) ([]byte, error)
	// Bare says that question and answer hold little but an identifier: their sums could be undone by trying all identifiers,
	// and are not kept. What ties the attempt to the peer's records is then RemoteID.
	Bare bool
	// Authorize puts credentials on one attempt; it may change headers only. Its error ends the call, unsent.
	Authorize func(context.Context, *http.Request) error
	// Effect overrides the call's own: a login within a Once may be repeated. Zero: the call's.
	Effect contracts.Effect
	// RemoteID is the reply header that holds the peer's tracking id, if it has one.
	RemoteID string
	// Answered reports that a reply is an answer in spite of its status (a SOAP fault comes with 500) and must not be
	// repeated; nil: statuses mean what they say.
	Answered func(*Response) bool
	// Unsettled says that the same request went out before, and that nobody has told what became of it (Response.Unsettled).
	Unsettled bool
}

// A Response is a reply read whole. Body is at most Config.MaxBody long and can be anything: gateways answer HTML.
type Response struct {
	Status int
	Header http.Header
	Body   []byte

	call *call
}

// JSON reports whether the reply may be read as JSON: it says so, or says nothing. A page of HTML with status 200 is a
// gateway speaking.
func (r *Response) JSON() bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "" || media == "application/json" || strings.HasSuffix(media, "+json")
}

// A Client speaks with one endpoint. It is safe for concurrent use.
type Client struct {
	cfg       Config
	instance  string
	log       *slog.Logger
	clock     contracts.Clock
	base      *url.URL
	path      string // of base, escaped, without trailing slash
	budget    *budget
	transport *http.Transport
	retry     *retryablehttp.Client
}

// Open makes the client. It reads the CA and the client certificate and does no network I/O.
func Open(ctx context.Context, cfg Config, env contracts.Env) (*Client, error) {
	fail := func(err error) (*Client, error) {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: env.Instance, Operation: "open", Err: err}
	}
	base, err := url.Parse(cfg.Endpoint)
	if err != nil || base.Host == "" {
		return fail(contracts.Faultf("endpoint", "want https://HOST/PATH"))
	}
	tls, err := cfg.tls(func(ref contracts.Secret) ([]byte, error) { return env.Secret(ctx, ref) })
	if err != nil {
		return fail(err)
	}
	c := &Client{cfg: cfg, instance: env.Instance, log: env.Log, clock: env.Clock, base: base, budget: newBudget(cfg.RetryBurst)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.clock == nil {
		c.clock = contracts.SystemClock{}
	}
	c.path = base.EscapedPath()
	for len(c.path) > 0 && c.path[len(c.path)-1] == '/' {
		c.path = c.path[:len(c.path)-1]
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	c.transport = &http.Transport{
		DialContext:            cfg.dialer().DialContext,
		TLSClientConfig:        tls,
		TLSHandshakeTimeout:    cfg.ConnectTimeout,
		Protocols:              &protocols,
		DisableCompression:     true, // sums are of what the peer sent
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64,
		MaxConnsPerHost:        256,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if cfg.Proxy != "" {
		proxy, err := url.Parse(cfg.Proxy)
		if err != nil {
			return fail(contracts.Faultf("proxy", "want http://HOST:PORT"))
		}
		c.transport.Proxy = http.ProxyURL(proxy)
	}
	c.retry = &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: attempts{}},
		Logger:       nil, // it would print URLs
		RetryMax:     cfg.Attempts - 1,
		CheckRetry:   checkRetry,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return c, nil
}

// Close drops idle connections. It may be called again, and calls still under way end by themselves.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do carries out one call, in as many attempts as its Effect, the budget and the deadline allow. Any reply, whatever
// its status, is a Response; an error (a *contracts.Error) means that none was to be had: Unavailable when nothing
// happened over there, Uncertain when something with effect may have, Canceled when the caller gave up first, Malformed
// for what is not HTTP or too large, or what Authorize said.
func (c *Client) Do(ctx context.Context, req *Request) (*Response, error) {
	k := &call{client: c, req: req, effect: req.Effect, unsettled: req.Unsettled}
	if running := contracts.CallFrom(ctx); running != nil {
		k.op = running.Op.Name
		k.caseID = running.Caller.Case
		if k.effect == 0 {
			k.effect = running.Op.Effect
		}
	}
	if k.effect == 0 {
		k.effect = contracts.Once
	}
	if err := ctx.Err(); err != nil {
		kind := contracts.Canceled
		if k.unsettled {
			kind = contracts.Uncertain
		}
		return nil, c.Fail(ctx, contracts.Errorf(kind, "%s: given up before it was sent: %w", req.Route, err))
	}
	c.budget.call()

	// What retryablehttp repeats is only a token: the call rides in its context, and each attempt builds its own request.
	token := (&http.Request{Method: req.Method, URL: c.base, Header: noHeader}).WithContext(context.WithValue(ctx, callKey{}, k))
	again, err := retryablehttp.FromRequest(token)
	if err != nil {
		return nil, c.Fail(ctx, contracts.Errorf(contracts.Internal, "%s: %w", req.Route, err))
	}
	if resp, err := c.retry.Do(again); err == nil {
		_ = resp.Body.Close() // a token too; attempts are read where they are made
	} // else the caller gave up during a wait: the last attempt knows what that means
	return k.result(ctx)
}

// Fail completes a copy of an error with the instance and the operation; the error itself may be shared by many callers.
func (c *Client) Fail(ctx context.Context, e *contracts.Error) *contracts.Error {
	out := *e
	if out.System == "" {
		out.System = c.instance
	}
	if out.Operation == "" {
		if running := contracts.CallFrom(ctx); running != nil {
			out.Operation = running.Op.Name
		}
	}
	return &out
}

var noHeader = http.Header{} // never written: a token request is not sent

type callKey struct{}

// attempts is the RoundTripper under retryablehttp: it makes the call's next attempt and hands it back as the body of a
// token reply, so that neither http.Client nor retryablehttp sees a URL, a redirect or an error text.
type attempts struct{}

// RoundTrip makes one attempt; it never fails.
func (attempts) RoundTrip(token *http.Request) (*http.Response, error) {
	k := token.Context().Value(callKey{}).(*call)
	return &http.Response{StatusCode: http.StatusOK, Body: k.try(token.Context()), Request: token}, nil
}
