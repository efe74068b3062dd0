package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	requestLimit = 8 << 20
	hugeSize     = 64 << 20
)

// Under marks a mux whose patterns all begin with prefix: the mock's URL includes it and labels leave it out.
func Under(prefix string, mux *http.ServeMux) http.Handler { return under{mux, prefix} }

type under struct {
	*http.ServeMux
	prefix string
}

// ServeHTTP serves a mock over HTTPS (HTTP/1.1) on a loopback port of the system's choice and gives its base URL. Each
// request is counted in flight, given its fault and written to the journal. Labels are "METHOD pattern" of the mux
// (h must be a *http.ServeMux or come from Under); a request that no pattern but "/" takes is "METHOD (no route)".
//
// The answer is held back until the journal's line is written; the handler gives the line its Refused and Parsed by
// the functions Refused and Parsed. A mock with a method Problem(status) (contentType, body) is asked for the bodies of
// injected statuses; one with a method Own() []Misdeed does those misdeeds itself (see FaultOf).
func (b *Bench) ServeHTTP(mock string, h http.Handler) (base string, err error) {
	return b.serveTLS(mock, h, tls.NoClientCert)
}

// ServeMutual is ServeHTTP on a listener that asks for the client's certificate. None may be given, and one that this
// bench's authority did not issue ends the handshake: the handler finds what was given in the request's TLS state.
func (b *Bench) ServeMutual(mock string, h http.Handler) (base string, err error) {
	return b.serveTLS(mock, h, tls.VerifyClientCertIfGiven)
}

func (b *Bench) serveTLS(mock string, h http.Handler, ask tls.ClientAuthType) (base string, err error) {
	router, ok := h.(interface {
		Handler(*http.Request) (http.Handler, string)
	})
	if !ok {
		return "", fmt.Errorf("lab: serve %s: want a *http.ServeMux, for its route patterns", mock)
	}
	prefix := ""
	if u, ok := h.(under); ok {
		prefix = u.prefix
	}
	l, err := b.listen(mock, "https", "connect")
	if err != nil {
		return "", err
	}
	conf := b.ca.ServerTLS()
	conf.NextProtos = []string{"http/1.1"}
	conf.ClientAuth, conf.ClientCAs = ask, b.ca.ClientTLS().RootCAs
	x := &exchanger{b: b, mock: mock, h: h, label: func(r *http.Request) string { return label(router, prefix, r) }}
	b.serve(x, tls.NewListener(l, conf))
	base = "https://" + l.Addr().String() + prefix
	b.mu.Lock()
	b.bases[mock] = base
	b.mu.Unlock()
	return base, nil
}

func label(router interface {
	Handler(*http.Request) (http.Handler, string)
}, prefix string, r *http.Request,
) string {
	method := r.Method
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		method = "OTHER"
	}
	_, pattern := router.Handler(r)
	if _, path, ok := strings.Cut(pattern, " "); ok {
		pattern = path
	}
	if pattern == "" || pattern == "/" {
		return method + " (no route)"
	}
	return method + " " + strings.TrimPrefix(pattern, prefix)
}

type noteKey struct{}

// A note is what a handler tells the journal.
type note struct {
	fault   Fault
	faulty  bool
	parsed  any
	refused string
}

func noteOf(ctx context.Context) *note {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n
	}
	return &note{}
}

// Refused tells the journal which rule refused this request, in words.
func Refused(ctx context.Context, rule string) { noteOf(ctx).refused = rule }

// Parsed tells the journal what the mock understood of this request.
func Parsed(ctx context.Context, v any) { noteOf(ctx).parsed = v }

// FaultOf is the fault that applies to this request, for misdeeds that only the mock can do.
func FaultOf(ctx context.Context) (Fault, bool) {
	n := noteOf(ctx)
	return n.fault, n.faulty
}

// Misdo has the bench spoil this answer although no fault was injected: for a cast member whose story is a misdeed.
// It takes the misdeeds that come after the work.
func Misdo(ctx context.Context, f Fault) {
	n := noteOf(ctx)
	n.fault, n.faulty = f, true
}

// An exchanger wraps a mock's handler.
type exchanger struct {
	b     *Bench
	mock  string
	h     http.Handler
	label func(*http.Request) string
}

func (x *exchanger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !x.b.enter() {
		hijack(w, nil)
		return
	}
	defer x.b.handlers.Done()
	o := x.b.Begin(x.mock, x.label(r))
	defer o.End()
	body, err := io.ReadAll(io.LimitReader(r.Body, requestLimit+1))
	if err != nil {
		return // the client went away while sending: nothing was asked
	}
	a := &answer{header: http.Header{}}
	n := &note{}
	n.fault, n.faulty = o.Fault()
	switch {
	case !Pause(r.Context(), x.b, n.fault.Before()):
		n.refused = "the client gave up waiting"
		a.status = gaveUp
	case n.faulty && x.instead(n.fault, a):
	case len(body) > requestLimit:
		n.refused = "request body above 8 MiB"
		x.problem(a, http.StatusRequestEntityTooLarge, nil)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		x.work(a, r.WithContext(context.WithValue(r.Context(), noteKey{}, n)), n)
	}
	o.fault, o.faulty = n.fault, n.faulty
	o.Record(strconv.Itoa(a.status), rawRequest(r, body), a.raw(), n.parsed, n.refused)
	if !Pause(r.Context(), x.b, n.fault.After()) {
		a.status = gaveUp
	}
	x.deliver(w, a, n)
}

// gaveUp stands for a client that went away; nothing can be answered.
const gaveUp = 499

// Before is the wait ahead of the work, in real time; After is the one between work and answer.
func (f Fault) Before() time.Duration {
	if f.Do == Slow {
		return 0
	}
	return f.Wait
}

// After is the wait between work and answer; only Slow has one.
func (f Fault) After() time.Duration {
	switch {
	case f.Do != Slow:
		return 0
	case f.Wait == 0:
		return defaultSlow
	}
	return f.Wait
}

// Pause waits d of real time; false when the context ended or the bench began to close before that.
func Pause(ctx context.Context, b *Bench, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-b.done:
	}
	return false
}

// instead fills the answer of a fault that keeps the mock from working; false when the mock should work.
func (x *exchanger) instead(f Fault, a *answer) bool {
	if m, ok := x.b.Mock(x.mock).(interface{ Own() []Misdeed }); ok && slices.Contains(m.Own(), f.Do) {
		return false
	}
	switch f.Do {
	case Refuse, Drop:
	case Status:
		x.problem(a, f.Status, f.Body)
	case StaleVoucher:
		x.problem(a, http.StatusUnauthorized, f.Body)
	case Throttle:
		a.header.Set("Retry-After", "2")
		x.problem(a, http.StatusTooManyRequests, f.Body)
	default:
		return false
	}
	return true
}

// problem fills an error answer in the mock's own shape where it has one.
func (x *exchanger) problem(a *answer, status int, body []byte) {
	a.status = status
	contentType := "application/problem+json"
	if body == nil {
		if p, ok := x.b.Mock(x.mock).(interface {
			Problem(status int) (contentType string, body []byte)
		}); ok {
			contentType, body = p.Problem(status)
		} else {
			body = fmt.Appendf(nil, `{"type":"about:blank","title":%q,"status":%d}`, http.StatusText(status), status)
		}
	}
	a.header.Set("Content-Type", contentType)
	a.body.Write(body)
}

func (x *exchanger) work(a *answer, r *http.Request, n *note) {
	defer func() {
		if p := recover(); p != nil { // a mock's own fault must show, not look like a dropped connection
			n.refused = fmt.Sprintf("the mock panicked: %v", p)
			*a = answer{header: http.Header{"X-Lab-Reason": {n.refused}}}
			x.problem(a, http.StatusInternalServerError, nil)
		}
	}()
	x.h.ServeHTTP(a, r)
	if a.status == 0 {
		a.status = http.StatusOK
	}
}

// deliver writes the answer as the fault lets it, and flushes it, so that the exchange ends after its last byte.
func (x *exchanger) deliver(w http.ResponseWriter, a *answer, n *note) {
	if n.faulty {
		switch n.fault.Do {
		case Refuse, Drop, DropAfterAccept:
			hijack(w, nil)
			return
		case Truncate:
			whole := a.wire()
			hijack(w, whole[:len(whole)-(a.body.Len()+1)/2])
			return
		case Garbage:
			a.body.Reset()
			a.body.Write(garbage(n.fault.Body))
		case WrongType:
			a.header.Set("Content-Type", "text/html; charset=utf-8")
			a.body.Reset()
			a.body.WriteString("<!DOCTYPE html><html><head><title>Servizio</title></head><body>Pagina di cortesia</body></html>")
		case Huge:
			flood(w, a, n.fault.Body)
			return
		}
	}
	if a.status == gaveUp {
		hijack(w, nil)
		return
	}
	a.copyHeader(w)
	w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes())
	http.NewResponseController(w).Flush()
}

func garbage(body []byte) []byte {
	if body != nil {
		return body
	}
	return []byte("\x00\xff\xfe{]not a document\x80")
}

// flood sends 64 MiB, or as much as the client takes.
func flood(w http.ResponseWriter, a *answer, unit []byte) {
	a.copyHeader(w)
	w.WriteHeader(a.status)
	if len(unit) == 0 {
		io.WriteString(w, `{"filler":"`)
		unit = []byte("a")
	}
	chunk := bytes.Repeat(unit, 32<<10/len(unit)+1)
	for sent := 0; sent < hugeSize; sent += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	http.NewResponseController(w).Flush()
}

// hijack takes the connection, writes part of an answer when there is one, and closes: by a reset when there is none.
func hijack(w http.ResponseWriter, part []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the connection is gone already
	}
	if part == nil {
		Reset(conn)
		return
	}
	conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	conn.Write(part)
	conn.Close()
}

// An answer is held back until the journal's line is written.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

var errAnswerSize = errors.New("lab: answer above 64 MiB")

func (a *answer) Header() http.Header { return a.header }
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(p) > hugeSize {
		return 0, errAnswerSize
	}
	return a.body.Write(p)
}

func (a *answer) copyHeader(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
}

func (a *answer) raw() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	a.header.Write(&out)
	out.WriteString("\r\n")
	out.Write(a.body.Bytes())
	return out.Bytes()
}

// wire is the answer as a server would send it, for the misdeeds that write to the connection themselves.
func (a *answer) wire() []byte {
	a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	return a.raw()
}

func rawRequest(r *http.Request, body []byte) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s %s\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Proto, r.Host)
	r.Header.Write(&out)
	out.WriteString("\r\n")
	out.Write(body)
	return out.Bytes()
}
