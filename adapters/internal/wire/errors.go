package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"raccordo/contracts"
)

// A fault is why an attempt brought no reply, in a word of ours: the library's own texts hold addresses and URLs.
type fault struct {
	word      string
	final     bool // another attempt would end alike
	malformed bool // the peer did answer, but not with HTTP, or without an end
}

var (
	faultRefused   = &fault{word: "connection refused"}
	faultLost      = &fault{word: "connection lost"}
	faultTimeout   = &fault{word: "timeout"}
	faultName      = &fault{word: "name not resolved"}
	faultTrust     = &fault{word: "certificate not trusted", final: true}
	faultTLS       = &fault{word: "tls handshake failed"}
	faultGarbage   = &fault{word: "not http", final: true, malformed: true}
	faultTruncated = &fault{word: "reply truncated", malformed: true}
	faultLarge     = &fault{word: "reply too large", final: true, malformed: true}
	faultCanceled  = &fault{word: "canceled", final: true}
	faultOther     = &fault{word: "connection failed"}
)

// faultOf names what broke before a reply began.
func faultOf(ctx context.Context, err error) *fault {
	var (
		dns    *net.DNSError
		verify *tls.CertificateVerificationError
		header tls.RecordHeaderError
		alert  tls.AlertError
		x509e  x509.UnknownAuthorityError
		timed  net.Error
	)
	switch {
	case errors.Is(context.Cause(ctx), errAttemptTimeout):
		return faultTimeout
	case ctx.Err() != nil:
		return faultCanceled
	case errors.Is(err, syscall.ECONNREFUSED):
		return faultRefused
	case errors.As(err, &dns):
		return faultName
	case errors.As(err, &verify), errors.As(err, &x509e):
		return faultTrust
	case errors.As(err, &header), errors.As(err, &alert):
		return faultTLS
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return faultLost
	case errors.As(err, &timed) && timed.Timeout():
		return faultTimeout
	case strings.Contains(err.Error(), "malformed"), strings.Contains(err.Error(), "response headers exceeded"):
		return faultGarbage // net/http has no types for these
	case strings.Contains(err.Error(), "server closed idle connection"):
		return faultLost
	}
	return faultOther
}

// bodyFault names what broke inside a reply.
func bodyFault(ctx context.Context, err error) *fault {
	switch {
	case errors.Is(err, errTooLarge):
		return faultLarge
	case errors.Is(context.Cause(ctx), errAttemptTimeout), ctx.Err() != nil:
		return faultOf(ctx, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return faultTruncated
	case errors.Is(err, syscall.ECONNRESET):
		return faultLost
	}
	return faultGarbage // a chunk or a trailer that is none
}

// settle notes what an attempt leaves open.
func (k *call) settle(a *attempt) {
	if k.effect == contracts.Read {
		return
	}
	switch {
	case a.resp == nil:
		k.unsettled = k.unsettled || a.wrote.Load()
	case uncertainStatus(a.resp.Status) && (k.req.Answered == nil || !k.req.Answered(a.resp)):
		k.unsettled = true
	case !tells(a.resp.Status):
		// this attempt did nothing; earlier ones stay as they are
	default:
		k.unsettled = false // the peer has told
	}
}

// tells reports whether a status speaks of the request itself, whose key the peer knows, and so of its earlier attempts
// too. Who is turned away at the door, by a gateway or for an expired token, learns nothing of them.
func tells(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusTooEarly,
		http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge:
		return false
	}
	return status >= 200 && status <= 299 || status >= 400 && status <= 499
}

// uncertainStatus: the work may have been done, and the answer lost behind a gateway or in a crash.
func uncertainStatus(status int) bool {
	return status == http.StatusInternalServerError || status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// result is the last attempt's reply, or the error that the attempts together amount to.
func (k *call) result(ctx context.Context) (*Response, error) {
	a := k.last
	if a == nil { // the library refused the token request: a programmer's error
		return nil, k.client.Fail(ctx, contracts.Errorf(contracts.Internal, "%s: no attempt was made", k.req.Route))
	}
	if a.resp != nil {
		return a.resp, nil
	}
	if a.denied != nil && !k.unsettled {
		return nil, k.client.Fail(ctx, contracts.AsError(a.denied))
	}
	kind := contracts.Unavailable
	switch {
	case k.unsettled:
		kind = contracts.Uncertain
	case ctx.Err() != nil:
		kind = contracts.Canceled
	case a.fault.malformed:
		kind = contracts.Malformed
	}
	word := "not authorized"
	if a.fault != nil {
		word = a.fault.word
	}
	return nil, k.client.Fail(ctx, contracts.Errorf(kind, "%s: %s", k.req.Route, word))
}

// Kind is what a status means where the contract with the supplier says nothing else. 404 is Malformed: a path that
// should be there is not; only an adapter that knows its supplier's 404 may read NotFound into it.
func Kind(status int) contracts.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return contracts.Denied
	case http.StatusNotFound, http.StatusGone, http.StatusMethodNotAllowed:
		return contracts.Malformed
	case http.StatusConflict, http.StatusPreconditionFailed:
		return contracts.Conflict
	case http.StatusTooManyRequests:
		return contracts.Throttled
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return contracts.Unavailable
	}
	switch {
	case status >= 500 && status <= 599:
		return contracts.Unavailable
	case status >= 400 && status <= 499:
		return contracts.Invalid
	}
	return contracts.Malformed // a success or a redirect that the adapter did not expect
}

// Err is the error of a reply whose status the adapter does not want: Kind, with After where the peer gave one, and
// Uncertain where an attempt with effect may have done its work. code is the peer's own, or empty.
func (r *Response) Err(ctx context.Context, code string) *contracts.Error {
	k := r.call
	e := contracts.Errorf(Kind(r.Status), "%s: status %s", k.req.Route, strconv.Itoa(r.Status))
	e.Code = Clip(code)
	if e.Retryable() {
		e.After, _ = After(r.Header, k.client.clock.Now())
	}
	if e.Kind == contracts.Throttled && e.After == 0 {
		e.After = unsaid
	}
	if k.unsettled || (r.Status < 400 && k.effect != contracts.Read) {
		e.Kind, e.After = contracts.Uncertain, 0
	}
	return k.client.Fail(ctx, e)
}

// unsaid is how long we stay away from a peer that says "too many" and not until when.
const unsaid = 10 * time.Second

// Malformed is the error of a reply that breaks the published contract: rule says which rule, in our words, without
// quoting the reply. Where the request had an effect, it has probably happened: Uncertain.
func (r *Response) Malformed(ctx context.Context, rule string) *contracts.Error {
	kind := contracts.Malformed
	if r.call.effect != contracts.Read {
		kind = contracts.Uncertain
	}
	return r.call.client.Fail(ctx, contracts.Errorf(kind, "%s: %s", r.call.req.Route, rule))
}

// Unsettled reports whether an attempt with effect left, and neither this reply nor another has told what became of it.
func (r *Response) Unsettled() bool { return r.call.unsettled }

// Attempts is how many attempts the call took.
func (r *Response) Attempts() int { return r.call.tries }
