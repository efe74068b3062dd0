package outbox

// The data classes of these tables: outbox_request (what is asked and by whom: personal, sealed), outbox_ticket.answer
// (personal, sealed), outbox_hold (frozen bytes: personal, sealed); the rest is about the hub's own work. Instants are
// nanoseconds since 1970; an absent deadline is the last instant there is, so that it sorts last.
//
// outbox_ticket.ready, once set, stays set until the ticket is claimed: a clock that is set back makes nothing wait twice. It tells tickets whose time has come from those that wait; rank is what each kind is sorted by: the
// caller's deadline among the ready, the time of the next try among those that wait.
const schema1 = `
CREATE TABLE outbox_ticket (
	n          INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	version    INTEGER NOT NULL,
	op         TEXT    NOT NULL,
	effect     INTEGER NOT NULL,
	owner      TEXT    NOT NULL,
	purpose    TEXT    NOT NULL,
	pin        TEXT    NOT NULL,
	at         TEXT    NOT NULL,
	solo       INTEGER NOT NULL,
	grp        TEXT    NOT NULL,
	lane       TEXT    NOT NULL,
	rule       INTEGER NOT NULL,
	pos        INTEGER NOT NULL,
	head       INTEGER NOT NULL,
	state      TEXT    NOT NULL,
	tries      INTEGER NOT NULL,
	ready      INTEGER NOT NULL,
	rank       INTEGER NOT NULL,
	next       INTEGER NOT NULL,
	due        INTEGER NOT NULL,
	since      INTEGER NOT NULL,
	ended      INTEGER NOT NULL,
	recheck    INTEGER NOT NULL,
	lease      TEXT    NOT NULL,
	fence      INTEGER NOT NULL,
	beat       INTEGER NOT NULL,
	departed   INTEGER NOT NULL,
	lot        TEXT    NOT NULL,
	heard      INTEGER NOT NULL,
	moved      TEXT    NOT NULL,
	digest     BLOB    NOT NULL,
	digest_key TEXT    NOT NULL,
	answer     BLOB,
	err        TEXT    NOT NULL,
	redacted   INTEGER NOT NULL
);
CREATE INDEX outbox_ticket_claim ON outbox_ticket (grp, rank, next, n) WHERE state = 'queued' AND head = 1 AND ready = 1;
CREATE INDEX outbox_ticket_wake ON outbox_ticket (rank) WHERE state = 'queued' AND ready = 0;
CREATE INDEX outbox_ticket_lane ON outbox_ticket (lane, ready DESC, rank, next, n) WHERE state = 'queued' AND rule = 1;
CREATE UNIQUE INDEX outbox_ticket_position ON outbox_ticket (lane, pos) WHERE rule = 2;
CREATE INDEX outbox_ticket_strict ON outbox_ticket (lane, pos) WHERE rule = 2 AND state IN ('queued', 'running', 'uncertain');
CREATE INDEX outbox_ticket_running ON outbox_ticket (n) WHERE state = 'running';
CREATE INDEX outbox_ticket_uncertain ON outbox_ticket (next, n) WHERE state = 'uncertain';
CREATE INDEX outbox_ticket_state ON outbox_ticket (state, n);
CREATE INDEX outbox_ticket_due ON outbox_ticket (due) WHERE ended = 0 AND due < 9223372036854775807;
CREATE INDEX outbox_ticket_ended ON outbox_ticket (ended) WHERE ended > 0;

CREATE TABLE outbox_request (
	n       INTEGER PRIMARY KEY,
	caller  BLOB NOT NULL,
	request BLOB NOT NULL
);

CREATE TABLE outbox_hold (
	id    TEXT NOT NULL,
	name  TEXT NOT NULL,
	sum   BLOB NOT NULL,
	bytes BLOB NOT NULL,
	PRIMARY KEY (id, name)
) WITHOUT ROWID;

CREATE TABLE outbox_lane (
	lane   TEXT PRIMARY KEY,
	passed INTEGER NOT NULL,
	busy   TEXT    NOT NULL,
	head   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE outbox_lot (
	id       TEXT PRIMARY KEY,
	op       TEXT    NOT NULL,
	at       TEXT    NOT NULL,
	owner    TEXT    NOT NULL,
	purpose  TEXT    NOT NULL,
	since    INTEGER NOT NULL,
	next     INTEGER NOT NULL,
	tries    INTEGER NOT NULL,
	starts   INTEGER NOT NULL,
	lease    TEXT    NOT NULL,
	fence    INTEGER NOT NULL,
	beat     INTEGER NOT NULL,
	departed INTEGER NOT NULL,
	members  TEXT    NOT NULL,
	handle   BLOB
) WITHOUT ROWID;
CREATE INDEX outbox_lot_next ON outbox_lot (next);

CREATE TABLE outbox_mark (
	name  TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID;
`

// schema3 keeps, sealed like the request itself, what folds read of a request that is large (contracts.Slimmer): a row of
// its own, since whatever lies behind a large value is reached through all of its pages.
const schema3 = `
CREATE TABLE outbox_slim (
	n    INTEGER PRIMARY KEY,
	slim BLOB NOT NULL
);
`

// schema2 makes a pool of what was stored while delivery.send still kept one message of a sender in flight at a time
// (contracts.Keyed): its tickets are heads, all of them, in the group of their pool.
const schema2 = `
UPDATE outbox_ticket SET rule = 3, head = 1,
	grp = op || char(31) || at || char(31) || char(31) || char(31) || '1' || char(31) || substr(lane, instr(lane, char(31)) + 1)
	WHERE op = 'delivery.send' AND rule = 1;
DELETE FROM outbox_lane WHERE substr(lane, 1, 14) = 'delivery.send' || char(31);
`
