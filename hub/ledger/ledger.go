package ledger

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raccordo/contracts"
	"raccordo/hub/store"
)

// When entries are forced to the disk.
const (
	// FlushWrites: entries that go before something with effect (submitted, intent) and those of operators. A power cut
	// may cost the account of the last reads, a crash of the process never does.
	FlushWrites = "writes"
	// FlushAll: every entry, before its answer is released.
	FlushAll = "all"
)

// Config is what a person writes about the ledger.
type Config struct {
	// Key signs the heads: an Ed25519 key in PKCS#8 PEM.
	Key contracts.Secret `yaml:"key"`
	// Trusted are public keys that signed earlier, as base64 of their 32 bytes: heads signed with them still count.
	Trusted []string `yaml:"trusted"`
	// Flush is "writes" or "all".
	Flush string `yaml:"flush"`
	// Anchor says where the heads of closed segments go.
	Anchor AnchorConfig `yaml:"anchor"`
}

// Default gives the settings to start from; Key must still be named.
func Default() Config { return Config{Flush: FlushWrites} }

// Validate gives every fault at once, as joined *contracts.Fault.
func (c Config) Validate() error {
	faults := []error{c.Key.Fault("key")}
	if c.Flush != FlushWrites && c.Flush != FlushAll {
		faults = append(faults, contracts.Faultf("flush", "want %q or %q", FlushWrites, FlushAll))
	}
	faults = append(faults, c.Anchor.validate()...)
	for i, t := range c.Trusted {
		if _, err := ParsePublicKey(t); err != nil {
			faults = append(faults, contracts.Faultf(fmt.Sprintf("trusted[%d]", i), "%v", err))
		}
	}
	return errors.Join(faults...)
}

// Options is what the program hands in.
type Options struct {
	Clock  contracts.Clock // nil: the system's
	Log    *slog.Logger    // nil: nothing is logged
	Secret func(ctx context.Context, ref contracts.Secret) ([]byte, error)
}

// A Ledger appends to the chain of one store. It is safe for concurrent use, and has nothing to close.
type Ledger struct {
	st     *store.Store // nil where a copy is read
	db     reading
	clock  contracts.Clock
	log    *slog.Logger
	signer *signer
	keys   keys
	chain  string
	all    bool // flush every entry

	sweep sync.RWMutex // Verify and Export share it, Drop has it alone
}

// reading is the database that the chain is read from: the store, or a copy of one.
type reading interface {
	Read(ctx context.Context, fn func(*store.View) error) error
}

func schema() []string {
	return []string{
		`
		CREATE TABLE ledger_chain (id INTEGER PRIMARY KEY CHECK (id = 1), chain TEXT NOT NULL) STRICT;
		CREATE TABLE ledger_segment (id INTEGER PRIMARY KEY, day TEXT NOT NULL, first INTEGER NOT NULL, prev BLOB NOT NULL,
			before BLOB NOT NULL, dropped INTEGER NOT NULL DEFAULT 0, head TEXT) STRICT;
		CREATE TABLE ledger_entry (seq INTEGER PRIMARY KEY, segment INTEGER NOT NULL, ref TEXT NOT NULL, op TEXT NOT NULL,
			kase TEXT NOT NULL, sum BLOB NOT NULL, data BLOB NOT NULL) STRICT;
		CREATE INDEX ledger_ref ON ledger_entry (ref) WHERE ref <> '';
		CREATE INDEX ledger_case ON ledger_entry (kase) WHERE kase <> '';
		CREATE INDEX ledger_op ON ledger_entry (op) WHERE op <> '';`,
		`
		CREATE TABLE ledger_anchor (way TEXT PRIMARY KEY, segment INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,
	}
}

// Open opens the ledger of a store and begins its chain when there is none.
func Open(ctx context.Context, st *store.Store, cfg Config, opt Options) (*Ledger, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &contracts.Error{Kind: contracts.Invalid, Operation: "open ledger", Err: err}
	}
	l := &Ledger{st: st, db: st, clock: opt.Clock, log: opt.Log, all: cfg.Flush == FlushAll}
	if l.clock == nil {
		l.clock = contracts.SystemClock{}
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if opt.Secret == nil {
		return nil, contracts.Errorf(contracts.Internal, "open ledger: Options.Secret is missing")
	}
	text, err := opt.Secret(ctx, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("open ledger: ledger.key: %w", err)
	}
	if l.signer, err = parseKey(text); err != nil {
		return nil, contracts.Errorf(contracts.Invalid, "open ledger: ledger.key: %w", err)
	}
	if err := l.trust(cfg.Trusted); err != nil {
		return nil, err
	}
	if err := st.Migrate(ctx, "ledger", schema()); err != nil {
		return nil, err
	}
	fresh := make([]byte, 8)
	_, _ = rand.Read(fresh) // never fails (crypto/rand)
	err = st.Write(ctx, store.Settle, func(tx *store.Tx) error {
		if _, err := tx.Exec("INSERT INTO ledger_chain VALUES (1, ?) ON CONFLICT DO NOTHING", hex.EncodeToString(fresh)); err != nil {
			return err
		}
		tx.Flush()
		return tx.QueryRow("SELECT chain FROM ledger_chain").Scan(&l.chain)
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// trust takes the ledger's own key and those that signed earlier.
func (l *Ledger) trust(earlier []string) error {
	l.keys = newKeys(l.PublicKey())
	for _, t := range earlier {
		pub, err := ParsePublicKey(t)
		if err != nil {
			return contracts.Errorf(contracts.Invalid, "open ledger: ledger.trusted: %w", err)
		}
		l.keys[KeyID(pub)] = pub
	}
	return nil
}

// Chain is the name of the chain: random, one per store.
func (l *Ledger) Chain() string { return l.chain }

// PublicKey is the key that the heads are checked with.
func (l *Ledger) PublicKey() ed25519.PublicKey { return l.signer.key.Public().(ed25519.PublicKey) }

// PublicKeyText is PublicKey in the form of Config.Trusted.
func (l *Ledger) PublicKeyText() string { return base64.StdEncoding.EncodeToString(l.PublicKey()) }

// A last is where the chain stands, inside a transaction.
type last struct {
	seq     uint64
	sum     contracts.Sum
	segment uint64
	day     string
	first   uint64
	prev    contracts.Sum
	before  contracts.Sum
}

// last reads where the chain stands. Where somebody has cut the table, it goes on from the signed running head instead,
// so that the gap stays to be seen.
func (l *Ledger) last(q store.Querier) (last, error) {
	at, err := readLast(q)
	if err != nil {
		return at, err
	}
	known, ok := l.st.Head()
	if !ok || known.Seq <= at.seq {
		return at, nil
	}
	var h Head
	if err := json.Unmarshal(known.Proof, &h); err != nil {
		return at, fmt.Errorf("running head: %w", err)
	}
	l.log.Error("ledger: entries are missing; verify it", slog.Uint64("have", at.seq), slog.Uint64("want", known.Seq))
	return last{seq: h.Last, sum: h.Sum, segment: h.Segment, day: h.Day, first: h.First, prev: h.Prev, before: h.Before}, nil
}

func readLast(q store.Querier) (at last, err error) {
	var sum, prev, before []byte
	err = q.QueryRow(`SELECT e.seq, e.sum, s.id, s.day, s.first, s.prev, s.before FROM ledger_entry e
		JOIN ledger_segment s ON s.id = e.segment ORDER BY e.seq DESC LIMIT 1`).
		Scan(&at.seq, &sum, &at.segment, &at.day, &at.first, &prev, &before)
	if errors.Is(err, sql.ErrNoRows) {
		return last{}, nil
	}
	if err == nil {
		err = errors.Join(scanSum(&at.sum, sum), scanSum(&at.prev, prev), scanSum(&at.before, before))
	}
	return at, err
}

func scanSum(sum *contracts.Sum, b []byte) error {
	if len(b) != len(sum) {
		return errors.New("a row holds something that is no digest; verify the ledger")
	}
	*sum = contracts.Sum(b)
	return nil
}

// Append adds an entry to the chain as part of tx, and gives it as it stands there: Version, Chain, Seq, Prev and Sum are
// filled in, and At when it is zero. With tx's member rolled back it never was. Two statements per entry, one more per
// commit.
//
// The text of an entry stands in the database, in exports and on the console as it is: it must not name a person.
func (l *Ledger) Append(tx *store.Tx, e contracts.Entry) (contracts.Entry, error) {
	fail := func(err error) (contracts.Entry, error) {
		return contracts.Entry{}, fmt.Errorf("append to ledger: %w", err)
	}
	now := l.clock.Now()
	if e.At.IsZero() {
		e.At = now
	}
	e = normal(e)
	at, err := l.last(tx)
	if err != nil {
		return fail(err)
	}
	if day := now.UTC().Format(time.DateOnly); at.segment == 0 || day > at.day {
		if at, err = l.turn(tx, at, day, now); err != nil {
			return fail(err)
		}
	}
	e.Version, e.Chain, e.Seq, e.Prev = version, l.chain, at.seq+1, at.sum
	data := encode(&e)
	if len(data) > maxEntry {
		return fail(contracts.Errorf(contracts.Internal, "the entry has %d bytes, the limit is %d", len(data), maxEntry))
	}
	if y := e.At.Year(); y < 1 || y > 9999 { // beyond that JSON cannot say it
		return fail(contracts.Errorf(contracts.Internal, "the entry's time lies outside the years 1 to 9999"))
	}
	e.Sum = sumOf(data)
	if _, err := tx.Exec("INSERT INTO ledger_entry (seq, segment, ref, op, kase, sum, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
		int64(e.Seq), int64(at.segment), e.Ref, e.Op, e.Caller.Case, e.Sum[:], data); err != nil {
		return fail(err)
	}
	if l.all || e.Phase == contracts.PhaseSubmitted || e.Phase == contracts.PhaseIntent || e.Phase == contracts.PhaseOperator {
		tx.Flush()
	}
	tx.Finish("ledger", l.runningHead)
	return e, nil
}

// turn closes the present segment, if there is one, and begins that of a new day.
func (l *Ledger) turn(tx *store.Tx, at last, day string, now time.Time) (last, error) {
	before := contracts.Sum{}
	if at.segment > 0 {
		h := l.head(at, true, now)
		text, err := json.Marshal(h)
		if err != nil {
			return at, err
		}
		if _, err := tx.Exec("UPDATE ledger_segment SET head = ? WHERE id = ?", string(text), int64(at.segment)); err != nil {
			return at, err
		}
		before = h.Digest()
	}
	next := last{seq: at.seq, sum: at.sum, segment: at.segment + 1, day: day, first: at.seq + 1, prev: at.sum, before: before}
	_, err := tx.Exec("INSERT INTO ledger_segment (id, day, first, prev, before) VALUES (?, ?, ?, ?, ?)",
		int64(next.segment), day, int64(next.first), next.prev[:], next.before[:])
	return next, err
}

func (l *Ledger) head(at last, closed bool, now time.Time) *Head {
	h := &Head{
		Chain: l.chain, Segment: at.segment, Day: at.day, First: at.first, Last: at.seq,
		Prev: at.prev, Sum: at.sum, Before: at.before, Closed: closed, At: now.Round(0).UTC(),
	}
	l.signer.sign(h)
	return h
}

// runningHead states, signed, where the chain stands at the end of a group.
func (l *Ledger) runningHead(tx *store.Tx) error {
	at, err := readLast(tx)
	if err != nil {
		return err
	}
	now := l.clock.Now()
	proof, err := json.Marshal(l.head(at, false, now))
	if err != nil {
		return err
	}
	return tx.SetHead(store.Head{Chain: l.chain, Seq: at.seq, Sum: at.sum, At: now, Proof: proof})
}

// A Query chooses entries. Empty fields choose all.
type Query struct {
	Ref, Op, Case string
	After         uint64 // entries with a greater Seq
	Max           int    // at most so many: 100 when zero, never more than 1000
}

const (
	usualPage = 100
	maxPage   = 1000
)

// Entries gives a page of entries in the order of the chain; go on with After set to the last one's Seq.
func (l *Ledger) Entries(ctx context.Context, q Query) ([]contracts.Entry, error) {
	if q.Max <= 0 {
		q.Max = usualPage
	}
	// One text per combination, so that each uses the index that fits.
	text, args := "SELECT data FROM ledger_entry WHERE seq > ?", []any{int64(min(q.After, maxSeq))}
	for _, f := range []struct{ name, value string }{{"ref", q.Ref}, {"kase", q.Case}, {"op", q.Op}} {
		if f.value != "" {
			text += " AND " + f.name + " = ? AND " + f.name + " <> ''"
			args = append(args, f.value)
		}
	}
	text += " ORDER BY seq LIMIT ?"
	args = append(args, min(q.Max, maxPage))
	var page []contracts.Entry
	err := l.db.Read(ctx, func(v *store.View) error {
		rows, err := v.Query(text, args...)
		if err != nil {
			return err
		}
		for rows.Next() {
			var data []byte
			if err := rows.Scan(&data); err != nil {
				return err
			}
			e, err := decode(data)
			if err != nil {
				return contracts.Errorf(contracts.Internal, "read ledger: a row after entry %d: %w; verify the ledger", q.After, err)
			}
			page = append(page, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

const maxSeq = 1<<63 - 1
