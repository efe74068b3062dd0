package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"raccordo/contracts"
)

// call answers POST /v1/<need>/<verb>.
func (s *Server) call(r *request) {
	c := s.read(r)
	if c == nil {
		return
	}
	prefer := parsePrefer(r.Header)
	effects := c.Op.Effect != contracts.Read
	// A Read that waits has no ticket to fall back on, so both preferences together mean a ticket at once.
	atOnce := prefer.async && (!effects || !prefer.waits) || prefer.waits && prefer.wait == 0
	if atOnce {
		t, err := s.backend.Submit(r.Context(), c)
		if err != nil {
			s.fail(r, err)
			return
		}
		r.header().Set("Preference-Applied", "respond-async")
		s.accepted(r, t)
		return
	}
	wait := s.cfg.MaxWait
	if prefer.waits {
		wait = min(wait, prefer.wait)
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	out, err := s.backend.Run(ctx, c)
	if err != nil {
		var e *contracts.Error
		if errors.As(err, &e) && e.Kind == contracts.Pending && e.Ticket != "" {
			s.pending(r, c, e)
			return
		}
		s.fail(r, err)
		return
	}
	s.json(r, http.StatusOK, out)
}

// pending answers for a call that became a ticket and outlived its time.
func (s *Server) pending(r *request, c *contracts.Call, e *contracts.Error) {
	t, err := s.backend.Ticket(contracts.WithCaller(r.Context(), c.Caller), e.Ticket)
	if err != nil { // it is there all the same: the location matters
		t = contracts.Ticket{ID: e.Ticket, Op: c.Op.Name, Owner: c.Caller.Service, State: contracts.StateQueued, Since: s.clock.Now()}
	}
	s.accepted(r, t)
}

func (s *Server) accepted(r *request, t contracts.Ticket) {
	r.header().Set("Location", ticketPath(t.ID))
	s.comeBack(r, t)
	s.json(r, http.StatusAccepted, t)
}

// read makes the call that the request is, or answers what is wrong with it and returns nil.
func (s *Server) read(r *request) *contracts.Call {
	if !r.caller.mayAsk(r.op.Name) {
		s.refuse(r, http.StatusForbidden, contracts.Denied, "this caller may not ask for "+r.op.Name)
		return nil
	}
	c, err := parseCall(r.Header)
	if err != nil {
		s.refuse(r, http.StatusBadRequest, contracts.Invalid, detail(err))
		return nil
	}
	c.Op, c.Caller.Service = r.op, r.caller.service
	if !r.caller.mayFor(c.Caller.Purpose) {
		s.refuse(r, http.StatusForbidden, contracts.Denied, headerPurpose+": want a purpose that this caller may ask for")
		return nil
	}
	body, ok := s.body(r)
	if !ok {
		return nil
	}
	if c.Request, err = r.op.Request(body); err != nil {
		status := http.StatusUnprocessableEntity
		if !json.Valid(body) {
			status = http.StatusBadRequest
		}
		s.refuse(r, status, contracts.Invalid, "request: "+detail(err))
		return nil
	}
	if c.Op.Effect != contracts.Read && c.Key == "" {
		s.refuse(r, http.StatusBadRequest, contracts.Invalid, headerKey+": required, since the operation has effects")
		return nil
	}
	return c
}

// body reads the JSON that was sent, within bounds.
func (s *Server) body(r *request) ([]byte, bool) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || media != jsonType || charset != "" && !strings.EqualFold(charset, "utf-8") {
		r.header().Set("Accept-Post", jsonType)
		s.refuse(r, http.StatusUnsupportedMediaType, contracts.Invalid, "Content-Type: want application/json in UTF-8")
		return nil, false
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		s.refuse(r, http.StatusUnsupportedMediaType, contracts.Invalid, "Content-Encoding: want none")
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(r.w, r.Body, s.cfg.MaxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			s.refuse(r, http.StatusRequestEntityTooLarge, contracts.Invalid, "body: too large")
		} else {
			s.refuse(r, http.StatusBadRequest, contracts.Invalid, "body: broke off")
		}
		return nil, false
	}
	return body, true
}

// detail is an error's cause, without the Kind in front of it, and without the text that was no instant: it may be
// anything that was put in the wrong place.
func detail(err error) string {
	var instant *time.ParseError
	if errors.As(err, &instant) {
		return "want instants as in RFC 3339, such as 2026-03-31T12:00:00+02:00"
	}
	var e *contracts.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}

// comeBack tells when it is worth asking about a ticket again: at Next, but in a second at the least and in an hour at
// the most.
func (s *Server) comeBack(r *request, t contracts.Ticket) {
	wait := min(max(t.Next.Sub(s.clock.Now()), time.Second), time.Hour)
	r.header().Set("Retry-After", seconds(wait))
}
