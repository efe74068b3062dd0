package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"raccordo/contracts"
)

// A call is a Request on its way, with what its attempts have left behind.
type call struct {
	client     *Client
	req        *Request
	op, caseID string
	effect     contracts.Effect
	tries      int
	last       *attempt
	// unsettled: an attempt with effect left, and no reply has told what became of it.
	unsettled bool
}

// An attempt is one exchange. It poses as the body of the token reply.
type attempt struct {
	call   *call
	resp   *Response
	fault  *fault // when there is no resp
	denied error  // Compose's or Authorize's
	wait   time.Duration

	wrote  atomic.Bool // the request may have left
	reused atomic.Bool // on a connection that had carried another before
	replay atomic.Bool // net/http wanted to send it again by itself
}

func (*attempt) Read([]byte) (int, error) { return 0, io.EOF }
func (*attempt) Close() error             { return nil }

var errAttemptTimeout = errors.New("attempt timed out")

// try makes one attempt and reports it to the trail.
func (k *call) try(ctx context.Context) *attempt {
	c := k.client
	a := &attempt{call: k}
	k.tries++
	k.last = a

	body := k.req.Body
	var err error
	if k.req.Compose != nil {
		body, err = k.req.Compose(ctx)
	}
	var r *http.Request
	if err == nil {
		r, err = k.request(body)
	}
	if err == nil && k.req.Authorize != nil {
		err = k.req.Authorize(ctx, r) // before this attempt's time begins: a login has its own
	}
	if err != nil {
		a.denied = err
		return a
	}

	limited, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, errAttemptTimeout)
	defer cancel()
	limited = httptrace.WithClientTrace(limited, &httptrace.ClientTrace{
		GotConn:      a.gotConn,
		WroteHeaders: func() { a.wrote.Store(true) },
	})
	at, start := c.clock.Now(), time.Now()
	a.exchange(limited, r.WithContext(limited))
	k.account(ctx, a, body, at, time.Since(start))
	return a
}

func (k *call) request(body []byte) (*http.Request, error) {
	c, req := k.client, k.req
	escaped := c.path + req.Path
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, contracts.Errorf(contracts.Internal, "%s: path is not escaped", req.Route)
	}
	u := url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: path, RawQuery: req.Query}
	if path != escaped {
		u.RawPath = escaped
	}
	header := make(http.Header, len(req.Header)+2)
	for name, values := range req.Header {
		header[name] = values
	}
	r := &http.Request{
		Method: req.Method, URL: &u, Host: c.base.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if len(body) > 0 {
		r.ContentLength = int64(len(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		// net/http uses this when a pooled connection proves dead before a byte has left; gotConn stops all other use.
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return r, nil
}

// gotConn hears of each connection the attempt is given. A second one after the request may have left is net/http
// replaying by itself: the connection is taken away, and the repeat becomes an attempt of ours, signed afresh, or none.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.reused.Store(info.Reused)
	if a.wrote.Load() {
		a.replay.Store(true)
		_ = info.Conn.Close()
	}
}

func (a *attempt) exchange(ctx context.Context, r *http.Request) {
	raw, err := a.call.client.transport.RoundTrip(r) //nolint:bodyclose // readBody closes it, on every path
	if err != nil {
		a.fault = faultOf(ctx, err)
		if a.replay.Load() {
			a.fault = faultLost
		}
		if a.reused.Load() {
			// A peer that came up again, or a firewall that forgot us, has killed every connection that stood idle: the next
			// attempt must not be spent on another of them.
			a.call.client.transport.CloseIdleConnections()
		}
		return
	}
	body, err := readBody(raw, a.call.client.cfg.MaxBody)
	if err != nil {
		a.fault = bodyFault(ctx, err)
		return
	}
	a.resp = &Response{Status: raw.StatusCode, Header: raw.Header, Body: body, call: a.call}
}

var errTooLarge = errors.New("reply larger than max_body")

// presize is the largest buffer made on a peer's word alone.
const presize = 64 << 10

func readBody(raw *http.Response, limit int64) ([]byte, error) {
	defer func() { _ = raw.Body.Close() }()
	n := raw.ContentLength
	switch {
	case n > limit:
		return nil, errTooLarge
	case n >= 0 && n <= presize:
		b := make([]byte, n)
		_, err := io.ReadFull(raw.Body, b)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(raw.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errTooLarge
	}
	return b, err
}

// account tells the trail and the log. A sum is of the body alone: that of a URL with an identifier in it could be
// undone by trying all identifiers.
func (k *call) account(ctx context.Context, a *attempt, body []byte, at time.Time, took time.Duration) {
	done := contracts.Attempt{At: at, Took: took, Sent: a.wrote.Load()}
	if len(body) > 0 && !k.req.Bare {
		done.RequestSum = contracts.SumOf(body)
	}
	if a.resp != nil {
		done.Status = strconv.Itoa(a.resp.Status)
		if !k.req.Bare {
			done.ResponseSum = contracts.SumOf(a.resp.Body)
		}
		if k.req.RemoteID != "" {
			done.RemoteID = Clip(a.resp.Header.Get(k.req.RemoteID))
		}
	} else {
		done.Status = a.fault.word
	}
	k.settle(a)
	contracts.TrailFrom(ctx).Attempt(done)
	if log := k.client.log; log.Enabled(ctx, slog.LevelDebug) {
		log.LogAttrs(ctx, slog.LevelDebug, "attempt", slog.String("system", k.client.instance), slog.String("operation", k.op),
			slog.String("case", k.caseID), slog.String("route", k.req.Route), slog.Int("attempt", k.tries),
			slog.String("status", done.Status), slog.Duration("took", took))
	}
}

// Clip bounds an id of the peer's to what is fit for a log line: 128 printable ASCII characters. A codice fiscale or a
// partita IVA is none, whatever the peer calls it.
func Clip(s string) string {
	if len(s) > 128 {
		s = s[:128]
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	if _, err := contracts.ParseCodiceFiscale(s); err == nil {
		return ""
	}
	return s
}
