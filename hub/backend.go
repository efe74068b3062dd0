package hub

import (
	"context"
	"net/http"
	"time"

	"raccordo/contracts"
	"raccordo/hub/api"
	"raccordo/hub/store"
)

// Handler is the HTTP API in front of this hub.
func (h *Hub) Handler() (http.Handler, error) {
	return api.NewServer(h.cfg.API, api.Options{Secret: h.secret, Log: h.log, Clock: h.clock}, backend{h})
}

// backend is the hub as the API needs it.
type backend struct{ *Hub }

func (b backend) Events(ctx context.Context, reader string, after uint64, limit int, wait time.Duration) ([]contracts.Event, error) {
	events, err := b.feed.After(ctx, reader, after, limit)
	if err != nil || len(events) > 0 || wait <= 0 {
		return events, err
	}
	patient, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := b.feed.Wait(patient, reader, after); err != nil {
		if patient.Err() != nil && ctx.Err() == nil {
			return nil, nil // nothing came in time, which is no error
		}
		return nil, err
	}
	return b.feed.After(ctx, reader, after, limit)
}

func (b backend) Ack(ctx context.Context, reader string, seq uint64) error {
	return b.feed.Ack(ctx, reader, seq)
}

// Ready says why the hub cannot work at present: a read transaction is the least of it.
func (b backend) Ready(ctx context.Context) error {
	return b.store.Read(ctx, func(*store.View) error { return nil })
}
