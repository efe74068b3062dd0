package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"raccordo/contracts"
)

// ClientConfig says where the hub is and who asks.
type ClientConfig struct {
	URL   string // "https://hub.example"; http only for a loopback address
	Token string // the bearer token; it names the calling service
	// HTTP is the client to go by (its TLS settings, its proxy); nil: one of its own. Its redirect policy is not used.
	HTTP *http.Client
	// MaxBody is how many bytes of an answer are read; zero: 32 MiB.
	MaxBody int64
}

// A Client asks a hub across the network. It is a contracts.Submitter: whatever runs on the hub itself runs through it.
// It is safe for concurrent use.
//
// The service of a call is the one that the token names; Caller.Service is used only to name the ticket of a call whose
// answer was lost.
type Client struct {
	base    string
	token   string
	http    http.Client
	maxBody int64
}

// NewClient makes a Client. It does no I/O.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("api: url: want https://host[:port][/path]")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, errors.New("api: url: want https, since a token travels with each request; http only on loopback")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("api: url: want https")
	case cfg.Token == "" || strings.Trim(cfg.Token, " \t\r\n") != cfg.Token || !headerValue(cfg.Token):
		return nil, errors.New("api: token: missing, or not fit for a header")
	}
	c := &Client{base: strings.TrimSuffix(u.String(), "/"), token: cfg.Token, maxBody: cfg.MaxBody}
	if c.maxBody <= 0 {
		c.maxBody = 32 << 20
	}
	if cfg.HTTP != nil {
		c.http = *cfg.HTTP
	}
	if c.http.Transport == nil {
		c.http.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func headerValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// At is the same client, insisting on one adapter instance.
func (c *Client) At(instance string) contracts.Submitter { return contracts.Pinned(c, instance) }

// Run asks and waits for the answer, until shortly before the deadline of ctx; a call that has become a ticket by then
// is Pending. Without a deadline it waits as long as the hub lets it. Where the connection is lost after the request has left, a Read is Unavailable; a Write or Once is
// Uncertain, and names its ticket: ask for that, or Submit again with the same key, which never does it twice.
func (c *Client) Run(ctx context.Context, call *contracts.Call) (any, error) {
	prefer, patience := "", time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		patience = left - min(left/10, 200*time.Millisecond) // the way back takes time too
		if patience >= time.Millisecond {
			prefer = "wait=" + strconv.FormatFloat(patience.Seconds(), 'f', 3, 64)
		}
	}
	until := time.Now().Add(patience)
	ans, err := c.ask(ctx, call, prefer)
	if err != nil {
		return nil, err
	}
	switch ans.status {
	case http.StatusOK:
		if ans.media != jsonType {
			return nil, ans.malformed(errors.New("not application/json"))
		}
		out, err := call.Op.Response(ans.body)
		if err != nil {
			return nil, ans.malformed(err)
		}
		return out, nil
	case http.StatusAccepted:
		t, err := ans.ticket()
		if err != nil {
			return nil, err
		}
		return c.follow(ctx, call, t, until)
	}
	return nil, ans.failure()
}

// Pauses between two looks at a ticket: short at first, since the hub has just been waiting for it, then longer.
const firstPause, lastPause = 100 * time.Millisecond, 2 * time.Second

// follow looks at a ticket until it is settled or the caller's patience is at an end.
func (c *Client) follow(ctx context.Context, call *contracts.Call, t contracts.Ticket, until time.Time) (any, error) {
	pending := &contracts.Error{Kind: contracts.Pending, System: "hub", Operation: call.Op.Name, Ticket: t.ID}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if t.State.Settled() {
			if err := t.Failure(); err != nil {
				return nil, err
			}
			return call.Op.Response(t.Result)
		}
		if time.Until(until) < pause {
			return nil, pending
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, pending
		}
		got, err := c.Ticket(contracts.WithCaller(ctx, call.Caller), t.ID)
		if err != nil {
			return nil, pending // it is accepted, whatever became of this look
		}
		t = got
	}
}

// Submit leaves the call with the hub and returns its ticket. Submitting again with the same key returns the same
// ticket, so that a lost answer is Unavailable here: it may be repeated.
func (c *Client) Submit(ctx context.Context, call *contracts.Call) (contracts.Ticket, error) {
	ans, err := c.ask(ctx, call, "respond-async")
	if err != nil {
		if e := contracts.AsError(err); e.Kind == contracts.Uncertain {
			e.Kind = contracts.Unavailable
		}
		return contracts.Ticket{}, err
	}
	if ans.status != http.StatusAccepted {
		return contracts.Ticket{}, ans.failure()
	}
	return ans.ticket()
}

// Ticket gives the present state of a ticket.
func (c *Client) Ticket(ctx context.Context, id string) (contracts.Ticket, error) {
	if !ticketID(id) {
		return contracts.Ticket{}, noTicket
	}
	req, err := c.request(ctx, http.MethodGet, ticketPath(id), nil)
	if err != nil {
		return contracts.Ticket{}, err
	}
	if p := contracts.CallerFrom(ctx).Purpose; p != "" && plainText(p) {
		req.Header.Set(headerPurpose, p)
	}
	ans, err := c.do(req, nil)
	if err != nil {
		return contracts.Ticket{}, err
	}
	if ans.status != http.StatusOK && ans.status != http.StatusSeeOther {
		return contracts.Ticket{}, ans.failure()
	}
	return ans.ticket()
}

// Events gives events after number after, at most limit (0: as many as the hub gives), waiting up to wait while there
// are none.
func (c *Client) Events(ctx context.Context, after uint64, limit int, wait time.Duration) (Events, error) {
	q := "?after=" + strconv.FormatUint(after, 10) + "&wait=" + strconv.FormatFloat(max(0, wait.Seconds()), 'f', 3, 64)
	if limit > 0 {
		q += "&max=" + strconv.Itoa(limit)
	}
	req, err := c.request(ctx, http.MethodGet, "/v1/events"+q, nil)
	if err != nil {
		return Events{}, err
	}
	ans, err := c.do(req, nil)
	if err != nil {
		return Events{}, err
	}
	var page Events
	if ans.status != http.StatusOK {
		return page, ans.failure()
	}
	return page, ans.decode(&page)
}

// Ack tells the hub that events up to number seq were read.
func (c *Client) Ack(ctx context.Context, seq uint64) error {
	body, err := contracts.Encode(ackJSON{Seq: seq})
	if err != nil {
		return err
	}
	req, err := c.request(ctx, http.MethodPost, "/v1/events/ack", body)
	if err != nil {
		return err
	}
	ans, err := c.do(req, nil)
	if err != nil {
		return err
	}
	if ans.status != http.StatusNoContent {
		return ans.failure()
	}
	return nil
}

// ask sends a call.
func (c *Client) ask(ctx context.Context, call *contracts.Call, prefer string) (*answer, error) {
	path, err := opPath(call.Op.Name)
	if err != nil {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: "hub", Operation: call.Op.Name, Err: err}
	}
	body, err := contracts.Encode(call.Request)
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, err
	}
	if err := writeCall(req.Header, call); err != nil {
		return nil, err
	}
	if prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
	return c.do(req, call)
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, &contracts.Error{Kind: contracts.Internal, System: "hub", Err: err}
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", jsonType+", "+problemType)
	if body != nil {
		req.Header.Set("Content-Type", jsonType)
	}
	if t := TraceFrom(ctx); t != "" {
		req.Header.Set(headerTrace, t)
	}
	return req, nil
}

// do sends a request and reads the answer, within bounds. call is nil for what has no effects.
//
// net/http may send the request again by itself when a connection that it had kept turns out dead; the key makes that
// harmless here.
func (c *Client) do(req *http.Request, call *contracts.Call) (*answer, error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, lost(req.Context(), err, call, connected.Load())
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.maxBody+1))
	if err != nil {
		return nil, lost(req.Context(), err, call, true)
	}
	a := &answer{status: resp.StatusCode, body: body, call: call}
	a.media, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n >= 0 {
		a.after = min(time.Duration(min(n, int(maxAfter/time.Second)))*time.Second, maxAfter)
	}
	if int64(len(body)) > c.maxBody {
		return nil, a.malformed(fmt.Errorf("answer of more than %d bytes", c.maxBody))
	}
	return a, nil
}

// lost is what a call without an answer ends in.
func lost(ctx context.Context, err error, call *contracts.Call, sent bool) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL adds nothing
	}
	e := &contracts.Error{Kind: contracts.Unavailable, System: "hub", Err: err}
	if ctx.Err() != nil {
		e.Kind = contracts.Canceled
	}
	if call != nil {
		e.Operation = call.Op.Name
		if sent && call.Op.Effect != contracts.Read {
			e.Kind = contracts.Uncertain
			if call.Caller.Service != "" {
				e.Ticket = contracts.TicketID(call.Caller.Service, call.Op.Name, call.Key)
			}
		}
	}
	return e
}
