package pec

import (
	"context"
	"errors"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

const (
	maxTrips = 5  // times that a server may fail to give a message, before it is set aside
	maxCuts  = 10 // times that the connection may break over one
)

// A hitch is the message at which reading stopped last, and how often in a row. One message that a server cannot give must
// not keep all that come after it unread, nor may one bad hour of the line make us pass over a receipt.
type hitch struct {
	at    mail.Place
	trips int
}

// alone reports whether a message is to be asked for by itself.
func (h *hitch) alone(at mail.Place) bool { return h.trips > 0 && h.at == at }

// trip counts a failure to read a message, and gives the event that takes its place when it is time to go on, or the error
// to stop with.
func (h *hitch) trip(ctx context.Context, s *source, at mail.Place, head mail.Head, err error) (contracts.Event, error) {
	if ctx.Err() != nil || !blames(err) {
		return contracts.Event{}, err
	}
	if h.at != at {
		*h = hitch{at: at}
	}
	h.trips++
	limit := maxCuts
	if !s.session.Broken() {
		limit = maxTrips
	}
	if h.trips < limit {
		return contracts.Event{}, err
	}
	*h = hitch{}
	return s.unreadable(at, head)
}

// An ownFault is an error that is not the message's fault, nor the server's: the archive's, say.
type ownFault struct{ error }

func (f ownFault) Unwrap() error { return f.error }

func blames(err error) bool { return !errors.As(err, new(ownFault)) }
