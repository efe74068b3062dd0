package api

import (
	"net/http"
	"strconv"
	"time"

	"raccordo/contracts"
)

// maxEvents is how many events one answer holds at most.
const maxEvents = 1000

// Events is a page of events. Next is the number to go on after.
type Events struct {
	Events []contracts.Event `json:"events"`
	Next   uint64            `json:"next"`
}

type ackJSON struct {
	Seq uint64 `json:"seq"`
}

// events answers GET /v1/events?after=&wait=&max=.
func (s *Server) events(r *request) {
	after, limit, wait := uint64(0), maxEvents, time.Duration(0)
	for name, values := range r.URL.Query() {
		ok := len(values) == 1
		if ok {
			var err error
			switch name {
			case "after":
				after, err = strconv.ParseUint(values[0], 10, 64)
				ok = err == nil
			case "max":
				limit, err = strconv.Atoi(values[0])
				ok = err == nil && limit >= 1
			case "wait":
				wait, ok = parseSeconds(values[0])
			default:
				ok = false
			}
		}
		if !ok {
			s.refuse(r, http.StatusBadRequest, contracts.Invalid, "query: want after, max and wait, each a number, at most once")
			return
		}
	}
	list, err := s.backend.Events(r.Context(), r.caller.service, after, min(limit, maxEvents), min(wait, s.cfg.MaxWait))
	if err != nil {
		s.fail(r, err)
		return
	}
	page := Events{Events: list, Next: after}
	if page.Events == nil {
		page.Events = []contracts.Event{} // an empty list, never null
	}
	for _, e := range list {
		page.Next = max(page.Next, e.Seq)
	}
	s.json(r, http.StatusOK, page)
}

// ack answers POST /v1/events/ack.
func (s *Server) ack(r *request) {
	body, ok := s.body(r)
	if !ok {
		return
	}
	var a ackJSON
	if err := contracts.UnmarshalStrict(body, &a); err != nil {
		s.refuse(r, http.StatusBadRequest, contracts.Invalid, `body: want {"seq": n}`)
		return
	}
	if err := s.backend.Ack(r.Context(), r.caller.service, a.Seq); err != nil {
		s.fail(r, err)
		return
	}
	r.writeHeader(http.StatusNoContent)
}
