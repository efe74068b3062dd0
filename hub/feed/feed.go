package feed

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// A Folder moves tickets by events, in the feed's transaction. It gives the ticket's owner, or "" when there is no such
// ticket. An error of Kind Malformed sets the event aside; any other fails the transaction.
type Folder interface {
	Fold(tx *store.Tx, instance string, e contracts.Event) (owner string, err error)
}

// A Ledger takes entries in the transaction of what they prove.
type Ledger interface {
	Append(tx *store.Tx, e contracts.Entry) (contracts.Entry, error)
}

// An Archive keeps the raw bytes of events.
type Archive interface {
	// Ready seals bytes, outside of any transaction, and gives the function that keeps them within one, which may be
	// called more than once.
	Ready(ctx context.Context, raw []byte) (sum contracts.Sum, keep func(*store.Tx) error, err error)
}

// Options is what the program hands in.
type Options struct {
	Clock   contracts.Clock // nil: the system's
	Log     *slog.Logger    // nil: nothing is logged
	Archive Archive         // nil: an event with raw bytes is an error, and stays unread
}

// A Feed keeps events.
type Feed struct {
	store  *store.Store
	folder Folder
	ledger Ledger
	cfg    Config
	clock  contracts.Clock
	log    *slog.Logger
	proofs Archive
	turns  chan struct{} // held while a batch is made ready and kept, never while a far side is read

	mu      sync.Mutex
	news    chan struct{} // closed and replaced when events were kept
	pullers map[origin]*puller
	swept   time.Time
}

// writers is how many sources make ready and keep a batch at the same time: one is being committed while the next is
// sealed. More would only swell the group commit, in which tickets wait to be settled.
const writers = 2

// Open prepares the tables. It starts nothing: Run does. Nothing is folded before the first Pull or Adopt.
func Open(ctx context.Context, s *store.Store, folder Folder, l Ledger, cfg Config, opt Options) (*Feed, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: "hub", Operation: "open events", Err: err}
	}
	f := &Feed{
		store: s, folder: folder, ledger: l, cfg: cfg, clock: opt.Clock, log: opt.Log, proofs: opt.Archive,
		turns: make(chan struct{}, writers), news: make(chan struct{}), pullers: map[origin]*puller{},
	}
	if f.clock == nil {
		f.clock = contracts.SystemClock{}
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if err := s.Migrate(ctx, "feed", []string{schema1}); err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	if s.Recovered() {
		if err := s.Write(ctx, store.Settle, f.skip); err != nil {
			return nil, fmt.Errorf("open events: %w", err)
		}
	}
	return f, nil
}

// announce wakes those who wait for events.
func (f *Feed) announce() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.news)
	f.news = make(chan struct{})
}

func (f *Feed) fault(kind contracts.Kind, op, format string, args ...any) *contracts.Error {
	e := contracts.Errorf(kind, format, args...)
	e.System, e.Operation = "hub", op
	return e
}
