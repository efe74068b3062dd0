package api

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"raccordo/contracts"
)

func ticketPath(id string) string { return "/v1/tickets/" + id }

// ticket answers GET /v1/tickets/<id>: the ticket, with 200 while it is not settled and with 303 to its answer after.
func (s *Server) ticket(r *request, id string) {
	t, ok := s.find(r, id)
	if !ok {
		return
	}
	if t.State.Settled() {
		r.header().Set("Location", ticketPath(t.ID)+"/answer")
		s.json(r, http.StatusSeeOther, t)
		return
	}
	s.comeBack(r, t)
	s.json(r, http.StatusOK, t)
}

// answer answers GET /v1/tickets/<id>/answer as the call itself would have been answered.
func (s *Server) answer(r *request, id string) {
	t, ok := s.find(r, id)
	if !ok {
		return
	}
	if !t.State.Settled() {
		s.accepted(r, t)
		return
	}
	if err := t.Failure(); err != nil {
		s.fail(r, err)
		return
	}
	s.json(r, http.StatusOK, t.Result)
}

// find gets a ticket of the calling service. Another service's is not found, like one that never was.
func (s *Server) find(r *request, id string) (contracts.Ticket, bool) {
	err := error(noTicket)
	if ticketID(id) {
		caller := contracts.Caller{Service: r.caller.service, Purpose: r.Header.Get(headerPurpose)}
		var t contracts.Ticket
		if t, err = s.backend.Ticket(contracts.WithCaller(r.Context(), caller), id); err == nil && t.Owner == r.caller.service {
			return t, true
		}
		if err == nil {
			err = noTicket
		}
	}
	s.fail(r, err)
	return contracts.Ticket{}, false
}

var noTicket = &contracts.Error{Kind: contracts.NotFound, System: "hub", Err: errors.New("no such ticket of this caller")}

// ticketID reports whether s has the form of a ticket's id.
func ticketID(s string) bool {
	return len(s) == 26 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// seconds is d as a Retry-After, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }
