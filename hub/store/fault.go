package store

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"raccordo/contracts"
)

// primary gives SQLite's primary result code of an error, or zero.
func primary(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// storage reports whether err is about the file or the machine rather than about the statement: after it, the state of
// the transaction is SQLite's to decide, and it decides by code and place.
func storage(err error) bool {
	switch primary(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// full reports whether giving back the reserve may help. An I/O error counts: the shared-memory file of the write-ahead
// log reports a full disk as one.
func full(err error) bool {
	code := primary(err)
	return code == sqlite3.SQLITE_FULL || code == sqlite3.SQLITE_IOERR
}

// storageError gives an error of the database a Kind and a sentence. An error that is not one passes unchanged.
func storageError(operation string, err error) error {
	if err == nil {
		return nil
	}
	var known *contracts.Error
	if errors.As(err, &known) {
		return err
	}
	switch primary(err) {
	case sqlite3.SQLITE_FULL:
		return contracts.Errorf(contracts.Unavailable, "%s: nothing was stored: the disk is full; free some space: %w", operation, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return contracts.Errorf(contracts.Unavailable, "%s: nothing was stored: the database cannot be written; check owner, mode and mount of the file and its folder: %w", operation, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT:
		return contracts.Errorf(contracts.Unavailable, "%s: nothing was stored: %w", operation, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return contracts.Errorf(contracts.Internal, "%s: the database file is damaged; restore a copy and start with -recovered: %w", operation, err)
	}
	return err
}
