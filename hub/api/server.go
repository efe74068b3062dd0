package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"raccordo/contracts"
)

// A Backend is what the API stands in front of: the hub.
type Backend interface {
	// Submitter carries out calls and keeps tickets. The caller stands in the Call, and for Ticket in the context. A Read
	// may be submitted without a key; asked again, it is another ticket.
	contracts.Submitter
	// Ops lists the operations that can be asked.
	Ops() []*contracts.OpInfo
	// Events gives at most limit events of the reader after number after, in order. While there are none it waits, up to
	// wait, and then gives none.
	Events(ctx context.Context, reader string, after uint64, limit int, wait time.Duration) ([]contracts.Event, error)
	// Ack takes note that reader has read up to number seq.
	Ack(ctx context.Context, reader string, seq uint64) error
	// Ready says why the hub cannot work at present, or nil.
	Ready(ctx context.Context) error
}

// Options is what the program hands a Server, as opposed to what a person writes.
type Options struct {
	// Secret resolves the callers' tokens; required where there are callers.
	Secret func(ctx context.Context, ref contracts.Secret) ([]byte, error)
	Log    *slog.Logger    // nil: nothing is logged
	Clock  contracts.Clock // nil: the system's
}

// A Server is the API as an http.Handler. Whoever serves it sets the http.Server's timeouts; WriteTimeout must leave
// room for Config.MaxWait.
type Server struct {
	cfg     Config
	backend Backend
	log     *slog.Logger
	clock   contracts.Clock
	callers []caller
	ops     map[string]*contracts.OpInfo // by path
}

// NewServer makes a Server; cfg must be valid. It fails when a token cannot be had or two operations claim one path.
func NewServer(cfg Config, opt Options, backend Backend) (*Server, error) {
	s := &Server{cfg: cfg, backend: backend, log: opt.Log, clock: opt.Clock, ops: map[string]*contracts.OpInfo{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = contracts.SystemClock{}
	}
	var err error
	if s.callers, err = newCallers(context.Background(), cfg.Callers, opt.Secret); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	for _, op := range backend.Ops() {
		path, err := opPath(op.Name)
		if err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
		if other, ok := s.ops[path]; ok && other != op {
			return nil, fmt.Errorf("api: operation %s is there twice", op.Name)
		}
		s.ops[path] = op
	}
	return s, nil
}

// opPath is where an operation is asked for.
func opPath(name string) (string, error) {
	need, verb, ok := strings.Cut(name, ".")
	if !ok || !segment(need) || !segment(verb) || need == "tickets" || need == "events" {
		return "", fmt.Errorf("operation %q: want need.verb in lower-case letters, digits, hyphens and underscores", name)
	}
	return "/v1/" + need + "/" + verb, nil
}

func segment(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// A request is one HTTP request on its way through.
type request struct {
	*http.Request
	w      http.ResponseWriter
	id     string // of this occurrence
	route  string // for the log: a path without ids
	op     *contracts.OpInfo
	caller *caller
	kind   string // of the problem it ended in
	status int    // zero until the answer has begun
}

func (r *request) header() http.Header { return r.w.Header() }

func (r *request) writeHeader(status int) {
	r.status = status
	r.w.WriteHeader(status)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := &request{Request: hr, w: w, id: requestID()}
	if t := hr.Header.Get(headerTrace); t != "" {
		r.Request = hr.WithContext(WithTrace(hr.Context(), t))
	}
	h := r.header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.log.Error("api: panic", slog.String("request", r.id), slog.String("type", fmt.Sprintf("%T", p)), slog.String("stack", string(debug.Stack())))
			if r.status == 0 {
				s.refuse(r, http.StatusInternalServerError, contracts.Internal, "")
			}
		}
		s.logRequest(r, time.Since(start))
	}()
	s.route(r)
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	return hex.EncodeToString(b[:])
}

// route finds who answers. Paths are taken as they are: nothing is cleaned, redirected or guessed.
func (s *Server) route(r *request) {
	path := r.URL.Path
	switch path {
	case "/healthz":
		s.get(r, path, s.health)
		return
	case "/v1/status":
		s.get(r, path, s.status)
		return
	case "/v1/events":
		s.get(r, path, s.known(s.events))
		return
	case "/v1/events/ack":
		s.post(r, path, s.known(s.ack))
		return
	}
	if id, ok := strings.CutPrefix(path, "/v1/tickets/"); ok {
		if id, ok := strings.CutSuffix(id, "/answer"); ok {
			s.get(r, "/v1/tickets/{id}/answer", s.known(func(r *request) { s.answer(r, id) }))
		} else {
			s.get(r, "/v1/tickets/{id}", s.known(func(r *request) { s.ticket(r, id) }))
		}
		return
	}
	if op, ok := s.ops[path]; ok {
		r.op = op
		s.post(r, path, s.known(s.call))
		return
	}
	r.route = "unknown"
	s.refuse(r, http.StatusNotFound, contracts.Invalid, "no such path; operations are POST /v1/<need>/<verb>")
}

func (s *Server) get(r *request, route string, h func(*request)) {
	r.route = route
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.notAllowed(r, "GET, HEAD")
		return
	}
	h(r)
}

func (s *Server) post(r *request, route string, h func(*request)) {
	r.route = route
	if r.Method != http.MethodPost {
		s.notAllowed(r, "POST")
		return
	}
	h(r)
}

func (s *Server) notAllowed(r *request, methods string) {
	r.header().Set("Allow", methods)
	s.refuse(r, http.StatusMethodNotAllowed, contracts.Invalid, "method: want "+methods)
}

// known lets only callers with a token of ours in.
func (s *Server) known(h func(*request)) func(*request) {
	return func(r *request) {
		if r.caller = s.authenticate(r.Request); r.caller == nil {
			r.header().Set("WWW-Authenticate", `Bearer realm="hub"`)
			s.refuse(r, http.StatusUnauthorized, contracts.Denied, "Authorization: want Bearer and a token that this hub knows")
			return
		}
		if !acceptsJSON(r.Header) {
			s.refuse(r, http.StatusNotAcceptable, contracts.Invalid, "Accept: answers are application/json")
			return
		}
		h(r)
	}
}

// fail answers with the problem that err is.
func (s *Server) fail(r *request, err error) {
	s.problem(r, ProblemOf(err))
	if contracts.KindOf(err) == contracts.Internal {
		s.log.Error("api: internal", slog.String("request", r.id), slog.Any("error", err))
	}
}

// refuse answers a fault of the HTTP request, with a status of its own.
func (s *Server) refuse(r *request, status int, kind contracts.Kind, detail string) {
	p := ProblemOf(&contracts.Error{Kind: kind, System: "hub", Err: errors.New(detail)})
	p.Status = status
	s.problem(r, p)
}

func (s *Server) problem(r *request, p Problem) {
	if p.Operation == "" && r.op != nil {
		p.Operation = r.op.Name
	}
	p.Instance = "urn:raccordo:request:" + r.id
	r.kind, r.status = p.Kind, p.Status
	writeProblem(r.w, p)
}

// json answers with v, which is encoded before anything is written.
func (s *Server) json(r *request, status int, v any) {
	b, err := contracts.Encode(v)
	if err != nil {
		s.fail(r, err)
		return
	}
	r.header().Set("Content-Type", jsonType)
	r.writeHeader(status)
	_, _ = r.w.Write(append(b, '\n')) // a client that is gone is no fault
}

func (s *Server) logRequest(r *request, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request", r.id), slog.String("method", method(r.Method)), slog.String("route", r.route),
		slog.Int("status", r.status), slog.Duration("took", took),
	}
	if r.caller != nil {
		attrs = append(attrs, slog.String("service", r.caller.service))
	}
	if r.kind != "" {
		attrs = append(attrs, slog.String("kind", r.kind))
	}
	if t := TraceFrom(r.Context()); t != "" {
		attrs = append(attrs, slog.String("traceparent", t))
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "api: request", attrs...)
}

// method keeps invented methods out of the log.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// health says that the process lives.
func (s *Server) health(r *request) {
	r.header().Set("Content-Type", "text/plain; charset=utf-8")
	r.writeHeader(http.StatusOK)
	_, _ = r.w.Write([]byte("ok\n")) // a client that is gone is no fault
}

// status says whether the hub can work, in the form that ModI asks of every API: a problem, with 200 when all is well.
func (s *Server) status(r *request) {
	if err := s.backend.Ready(r.Context()); err != nil {
		s.log.Warn("api: not ready", slog.Any("error", err))
		p := ProblemOf(&contracts.Error{Kind: contracts.Unavailable, System: "hub", Err: errors.New("not ready")})
		s.problem(r, p)
		return
	}
	p := Problem{Type: "about:blank", Title: "OK", Status: http.StatusOK, Detail: "ready"}
	s.problem(r, p)
}
