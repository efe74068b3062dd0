package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"raccordo/contracts"
	"raccordo/hub/ledger"
)

// An Anchorer makes the call that sends a signed head to another administrator. The hub knows no need by name, so the
// program hands it in; it chooses operation and request, the hub the caller and the key.
type Anchorer func(cfg ledger.AnchorConfig, head ledger.Head) (op *contracts.OpInfo, req any, err error)

const (
	// anchorAfter is how long after midnight (UTC) a day is closed: clocks differ by less.
	anchorAfter = time.Minute
	// anchorRetry is how long to wait after something went wrong here; what goes wrong on the way is the outbox's.
	anchorRetry = 5 * time.Minute
	// anchorPage is how many heads are anchored at once.
	anchorPage = 100
	// anchorService is in whose name heads are sent.
	anchorService = "hub"
)

// keepDays closes each day's segment soon after its midnight, with or without traffic, and anchors the heads of closed
// segments, those from before the start included.
func (h *Hub) keepDays(ctx context.Context) error {
	for {
		next := h.clock.Now().UTC().Truncate(24 * time.Hour).Add(24*time.Hour + anchorAfter)
		end := h.begin()
		err := h.closeDay(ctx)
		end()
		if err != nil && ctx.Err() == nil {
			h.log.Error("ledger: a head could not be anchored", "err", err)
			if again := h.clock.Now().Add(anchorRetry); again.Before(next) {
				next = again
			}
		}
		if contracts.Sleep(ctx, h.clock, next) != nil {
			return nil
		}
	}
}

func (h *Hub) closeDay(ctx context.Context) error {
	if err := h.ledger.Turn(ctx); err != nil {
		return err
	}
	var errs []error
	if h.cfg.Ledger.Anchor.Folder != "" {
		errs = append(errs, h.anchorToFile(ctx))
	}
	if h.cfg.Ledger.Anchor.Sends() {
		errs = append(errs, h.anchorByMessage(ctx))
	}
	return errors.Join(errs...)
}

func (h *Hub) anchorToFile(ctx context.Context) error {
	return h.eachPage(ctx, ledger.AnchorFile, func(heads []ledger.Head) error {
		return ledger.AppendAnchors(h.cfg.Ledger.Anchor.Folder, heads)
	})
}

func (h *Hub) anchorByMessage(ctx context.Context) error {
	return h.eachPage(ctx, ledger.AnchorMessage, func(heads []ledger.Head) error {
		for _, head := range heads {
			op, req, err := h.anchorer(h.cfg.Ledger.Anchor, head)
			if err != nil {
				return fmt.Errorf("anchor of segment %d: %w", head.Segment, err)
			}
			purpose := h.cfg.Ledger.Anchor.Purpose
			if purpose == "" {
				purpose = "anchor"
			}
			caller := contracts.Caller{Service: anchorService, Purpose: purpose, User: "system"}
			t, err := h.Submit(contracts.WithCaller(ctx, caller), &contracts.Call{Op: op, Request: req, Caller: caller, Key: head.AnchorKey()})
			if errors.Is(err, contracts.Conflict) {
				continue // handed over before the settings changed, and not noted for a crash
			}
			if err != nil {
				return fmt.Errorf("anchor of segment %d: %w", head.Segment, err)
			}
			h.log.Info("ledger: head handed to the outbox", "segment", head.Segment, "ticket", t.ID)
		}
		return nil
	})
}

// eachPage anchors what was not anchored yet in a way. Where nothing ever was by message, the latest head is enough: it
// covers those before it, and nobody wants a year's messages in one night.
func (h *Hub) eachPage(ctx context.Context, way string, anchor func([]ledger.Head) error) error {
	done, err := h.ledger.Anchored(ctx, way)
	if err != nil {
		return err
	}
	latest := done == 0 && way == ledger.AnchorMessage
	var held []ledger.Head
	for {
		heads, err := h.ledger.Closed(ctx, done, anchorPage)
		if err != nil {
			return err
		}
		if latest && len(heads) > 0 {
			held, done = heads[len(heads)-1:], heads[len(heads)-1].Segment
			continue
		}
		if latest {
			heads, latest = held, false
		}
		if len(heads) == 0 {
			return nil
		}
		if err := anchor(heads); err != nil {
			return err
		}
		done = heads[len(heads)-1].Segment
		if err := h.ledger.NoteAnchored(ctx, way, done); err != nil {
			return err
		}
	}
}

// heedAnchors raises an alarm when a message with a head was not delivered. Events of the hub's own tickets have no other
// reader, and would be kept for years as unread.
func (h *Hub) heedAnchors(ctx context.Context) error {
	for {
		err := h.heedPage(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			continue
		}
		h.log.Warn("ledger: what became of anchors could not be read", "err", err)
		if contracts.Sleep(ctx, h.clock, h.clock.Now().Add(anchorRetry)) != nil {
			return nil
		}
	}
}

// heedPage waits for events of the hub's own tickets and reads a page of them.
func (h *Hub) heedPage(ctx context.Context) error {
	acked, err := h.feed.Acked(ctx, anchorService)
	if err != nil {
		return err
	}
	if err := h.feed.Wait(ctx, anchorService, acked); err != nil {
		return err
	}
	page, err := h.feed.After(ctx, anchorService, acked, anchorPage)
	if err != nil {
		return err
	}
	for _, e := range page {
		acked = e.Seq
		var what struct {
			State contracts.State `json:"state"`
		}
		if e.Kind == contracts.EventSettled && json.Unmarshal(e.Data, &what) == nil && what.State != contracts.StateDone {
			h.log.Error("ledger: a head was sent and not delivered; look at the ticket, and send it by hand", "ticket", e.Ref, "state", what.State)
			h.undelivered.Add(1)
		}
	}
	return h.feed.Ack(ctx, anchorService, acked)
}

// Heads gives the heads of closed segments behind a number, oldest first, a page at a time.
func (h *Hub) Heads(ctx context.Context, after uint64) ([]ledger.Head, error) {
	return h.ledger.Closed(ctx, after, anchorPage)
}
