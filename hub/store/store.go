package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite" // and the driver

	"raccordo/contracts"
)

const (
	pageSize        = 4096
	checkpointPages = 2000 // at least so many lie in the write-ahead log before the writer itself empties it
	applicationID   = 0x52616363
)

// A Store is the open database. It is safe for concurrent use.
type Store struct {
	cfg   Config
	opt   Options
	clock contracts.Clock
	log   *slog.Logger
	keys  *ring

	lock     *os.File
	writeDB  *sql.DB
	writer   *conn // the writer's goroutine alone, once it runs
	readers  *readers
	queue    *queue
	reserve  *reserve
	head     *headKeeper
	wrote    chan struct{} // closed when the writer's goroutine has ended
	fresh    bool          // made by this Open
	backedUp bool          // the writer's goroutine alone

	copying *sqlite.Backup // the writer's goroutine alone

	copier *copier
	turn   chan struct{} // a token: whoever has it may commit, and has the disk until it is given back
	wal    *os.File      // the write-ahead log, for forcing it to the disk; for whoever has the turn
	sync   func() error  // forces it; replaced in tests

	generation uint64
	lost       []string
	recovering atomic.Bool
	broken     atomic.Pointer[error] // why nothing is written any more

	commits, members, flushes, refused, forced atomic.Uint64

	closing sync.Once
	closed  error
}

// Open opens the store, makes it when it is missing, and starts its writer. It fails when another process has it, when
// it is of a newer program, and, unless opt.Recovered, when it is older than its head file says it had been.
func Open(ctx context.Context, cfg Config, opt Options) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &contracts.Error{Kind: contracts.Invalid, Operation: "open store", Err: err}
	}
	s := &Store{cfg: cfg, opt: opt, clock: opt.Clock, log: opt.Log, wrote: make(chan struct{}), turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	if s.clock == nil {
		s.clock = contracts.SystemClock{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.sync = s.syncWAL
	if opt.Secret == nil {
		return nil, contracts.Errorf(contracts.Internal, "open store: Options.Secret is missing")
	}
	text, err := opt.Secret(ctx, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("open store: store.key: %w", err)
	}
	if s.keys, err = parseKeys(text); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "open store: %w", err)
	}
	if s.lock, err = lock(cfg.Path+".lock", s.clock.Now()); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(storageError("open store", err), s.release())
	}
	go s.copier.run(s)
	go s.write()
	go s.head.run()
	s.head.publish()
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	free := s.opt.Free
	if free == nil {
		free = freeDisk
	}
	s.reserve = &reserve{path: s.cfg.Path + ".reserve", size: s.cfg.Reserve, space: free, clock: s.clock, log: s.log}
	s.queue = newQueue(s.cfg.MaxQueue)

	f, err := os.OpenFile(s.cfg.Path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite would make it readable to all
	if err != nil {
		return contracts.Errorf(contracts.Unavailable, "open store: the database cannot be written; check owner, mode and mount of the file and its folder: %w", err)
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return contracts.Errorf(contracts.Unavailable, "open store: %w", err)
	}
	if s.fresh = info.Size() == 0; s.fresh {
		if err := syncFolder(filepath.Dir(s.cfg.Path)); err != nil {
			return contracts.Errorf(contracts.Unavailable, "open store: %w", err)
		}
	}

	busy := (s.cfg.ReadTime + s.cfg.ReadTime/4).Milliseconds() // a forced checkpoint waits for the readers
	if s.writeDB, err = s.dial(fmt.Sprintf("busy_timeout(%d)", busy), "auto_vacuum(NONE)", "secure_delete(ON)",
		"synchronous(NORMAL)", "foreign_keys(ON)", "cache_size(-16000)",
		fmt.Sprintf("wal_autocheckpoint(%d)", s.cfg.turnover()/pageSize), fmt.Sprintf("journal_size_limit(%d)", s.cfg.turnover())); err != nil {
		return err
	}
	s.writeDB.SetMaxOpenConns(1)
	raw, err := s.writeDB.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.writer = newConn(raw)
	if err := s.prepareFile(); err != nil {
		return err
	}
	if s.copier, err = s.newCopier(); err != nil {
		return err
	}
	readDB, err := s.dial("busy_timeout(1000)", "query_only(ON)", "cache_size(-8000)")
	if err != nil {
		return err
	}
	s.readers = newReaders(readDB, s.cfg.Readers)
	if err := s.migrate(s.writer, "store", schema()); err != nil {
		return err
	}
	if err := s.takeUp(); err != nil {
		return err
	}
	s.reserve.open()
	return nil
}

// dial makes a pool whose connections share the pragmas that both sides need and those given.
func (s *Store) dial(pragmas ...string) (*sql.DB, error) {
	path, err := filepath.Abs(s.cfg.Path)
	if err != nil {
		return nil, err
	}
	q := url.Values{"_pragma": append(pragmas, "temp_store(MEMORY)", "trusted_schema(OFF)"), "_dqs": {"false"}, "_error_rc": {"true"}}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return sql.Open("sqlite", u.String())
}

// prepareFile refuses a database that is not ours and sets what is kept in the file.
func (s *Store) prepareFile() error {
	ctx := context.Background()
	var app, tables int
	if err := s.writer.queryRow(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return err
	}
	if err := s.writer.queryRow(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if app != applicationID && tables > 0 {
		return contracts.Errorf(contracts.Conflict, "open store: %s is another program's database", s.cfg.Path)
	}
	var mode string
	if err := s.writer.queryRow(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if !strings.EqualFold(mode, "wal") {
		return contracts.Errorf(contracts.Unavailable, "open store: the file system of %s does not carry a write-ahead log (mode %s); use a local disk", s.cfg.Path, mode)
	}
	if app != applicationID {
		if _, err := s.writer.exec(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return err
		}
	}
	return nil
}

// takeUp compares the database with its head file and begins a new generation.
func (s *Store) takeUp() error {
	file, known, err := readHead(s.cfg.Head)
	if err != nil && !s.opt.Recovered {
		return err
	}
	var db headFile
	var note string
	m := &member{done: make(chan error, 1), fn: func(tx *Tx) error {
		var recovering bool
		if err := tx.QueryRow("SELECT generation, recovering FROM store_meta").Scan(&db.Generation, &recovering); err != nil {
			return err
		}
		if db.Head, err = StoredHead(tx); err != nil {
			return err
		}
		if known {
			note = older(db, file)
		}
		if note != "" && !s.opt.Recovered {
			return contracts.Errorf(contracts.Conflict, "open store: %s is older than its head file %s (%s): a restored copy starts only with -recovered", s.cfg.Path, s.cfg.Head, note)
		}
		recovering = recovering || s.opt.Recovered
		s.recovering.Store(recovering)
		s.generation = max(db.Generation, file.Generation) + 1
		if _, err := tx.Exec("UPDATE store_meta SET generation = ?, recovering = ?", int64(s.generation), recovering); err != nil {
			return err
		}
		s.lost, err = s.noteKeys(tx)
		return err
	}}
	s.head = newHeadKeeper(s.cfg.Head, s.log, headFile{})
	if _, err := s.commit([]*member{m}, false); err != nil {
		return err
	}
	if err := <-m.done; err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	db.Generation = s.generation
	s.head = newHeadKeeper(s.cfg.Head, s.log, db)
	if note != "" {
		s.log.Warn("store: started as a restored copy", slog.String("reason", note))
	}
	if s.cfg.Head != "" && !known && s.generation > 1 {
		s.log.Warn("store: the head file is missing and is written anew", slog.String("path", s.cfg.Head))
	}
	if len(s.lost) > 0 {
		s.log.Error("store: keys are missing; what they sealed cannot be read", slog.Any("keys", s.lost))
	}
	return nil
}

// Recovered reports whether this store was started as a restored copy and nobody has called EndRecovery since, in this
// process or an earlier one: nothing with effect may then leave before it is known, by reading, whether it had left
// already.
func (s *Store) Recovered() bool { return s.recovering.Load() }

// EndRecovery takes the mark of a restored copy away.
func (s *Store) EndRecovery(ctx context.Context) error {
	return s.Write(ctx, Settle, func(tx *Tx) error {
		tx.Flush()
		tx.After(func() { s.recovering.Store(false) })
		_, err := tx.Exec("UPDATE store_meta SET recovering = 0")
		return err
	})
}

// Stats is what ops want to see of the store.
type Stats struct {
	WAL        int64  // bytes of the write-ahead log
	Free       int64  // bytes of free disk; -1 when unknown
	Low        bool   // new work is refused for want of free disk
	Reserve    bool   // the reserve file lies ready
	Waiting    int    // writes in the queue
	Settling   int    // of these, of class Settle
	Commits    uint64 // groups committed since Open
	Members    uint64 // writes in them
	Flushes    uint64 // groups forced to the disk
	Refused    uint64 // writes refused for want of free disk
	Forced     uint64 // times the write-ahead log was emptied by force
	Generation uint64 // how often the store has been opened
	LostKeys   int    // keys that sealed something here once and are missing now
	Broken     bool   // a flush failed: nothing is written until the store is opened again
}

// Stats gives the figures of this moment.
func (s *Store) Stats() Stats {
	n := s.queue.len()
	st := Stats{
		WAL: s.walSize(), Free: -1, Low: s.reserve.low.Load(), Reserve: s.reserve.held.Load(),
		Waiting: n[Settle] + n[Accept] + n[Start], Settling: n[Settle],
		Commits: s.commits.Load(), Members: s.members.Load(), Flushes: s.flushes.Load(), Refused: s.refused.Load(), Forced: s.forced.Load(),
		Generation: s.generation, LostKeys: len(s.lost), Broken: s.broken.Load() != nil,
	}
	if free, err := s.reserve.space(s.cfg.Path); err == nil {
		st.Free = free
	}
	return st
}

// Close serves what waits, refuses what comes, waits for the readers, empties the write-ahead log into the database and
// gives up the lock. Closing again gives the same answer.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.queue.close()
		<-s.wrote
		s.copier.stop()
		err := s.readers.close()
		if s.broken.Load() == nil {
			_, cp := s.checkpoint("TRUNCATE")
			if full(cp) && s.reserve.release() {
				_, cp = s.checkpoint("TRUNCATE")
			}
			if cp != nil {
				err = errors.Join(err, storageError("close store", cp))
			} else {
				s.head.publish()
			}
		}
		s.head.close()
		s.closed = errors.Join(err, s.release())
	})
	return s.closed
}

// release gives back what Open took, as far as it had come.
func (s *Store) release() error {
	var errs []error
	if s.wal != nil {
		errs = append(errs, s.wal.Close())
	}
	if s.readers != nil {
		errs = append(errs, s.readers.close())
	}
	if s.copier != nil {
		errs = append(errs, s.copier.db.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.writeDB != nil {
		errs = append(errs, s.writeDB.Close())
	}
	if s.reserve != nil {
		errs = append(errs, s.reserve.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
