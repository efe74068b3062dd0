package feed

// The data class of feed_event.data is personal, sealed; of the rest: the hub's own work. Instants are nanoseconds since
// 1970.
const schema1 = `
CREATE TABLE feed_event (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	source  TEXT    NOT NULL,
	id      TEXT    NOT NULL,
	kind    TEXT    NOT NULL,
	ref     TEXT    NOT NULL,
	subject TEXT    NOT NULL,
	owner   TEXT    NOT NULL,
	at      INTEGER NOT NULL,
	kept    INTEGER NOT NULL,
	place   TEXT    NOT NULL,
	reason  TEXT    NOT NULL,
	proof   BLOB,
	data    BLOB,
	UNIQUE (source, id)
);
CREATE INDEX feed_event_owner ON feed_event (owner, seq) WHERE owner <> '';
CREATE INDEX feed_event_ref ON feed_event (ref, seq) WHERE ref <> '';
CREATE INDEX feed_event_aside ON feed_event (place, seq) WHERE place <> 'kept';
CREATE INDEX feed_event_age ON feed_event (kept);

CREATE TABLE feed_cursor (
	source TEXT PRIMARY KEY,
	cursor BLOB
) WITHOUT ROWID;

CREATE TABLE feed_reader (
	reader TEXT PRIMARY KEY,
	seq    INTEGER NOT NULL
) WITHOUT ROWID;
`

// Where an event stands.
const (
	placeKept    = "kept"    // folded, or in no need of folding
	placeUnknown = "unknown" // names a ticket that does not exist (yet)
	placeForeign = "foreign" // names no ticket
	placeFaulty  = "faulty"  // could not be folded
)
