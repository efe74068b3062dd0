// Package store is the hub's one database: a SQLite file in WAL mode, one writer that commits whole groups, a pool of
// time-limited readers, sealing of personal data, and the guards around the file (an exclusive lock, a reserve of free
// disk, a head kept elsewhere). Each room of the hub owns its own tables; this package knows none of them.
//
// # Writing
//
// Write queues a function for the one writer goroutine. The writer takes what waits, in the order Settle, Accept, Start,
// runs each member inside a savepoint of its own and commits them together. A member that fails is rolled back alone. A
// commit reaches the operating system at once, so a crash of the process loses nothing; a group in which a member called
// Tx.Flush is forced to the disk as well before that member hears of success, so that neither does a power cut.
//
// While the disk is busy with one group the writer is busy with the next: its members run, others join them, and they are
// committed when the disk has had its turn. There is one flush at a time, and no group overtakes another.
//
// SQLite cannot change its synchronous level inside a transaction, and whether a group must be flushed is known only
// when its members have run. So the writer commits at level NORMAL and then, for groups that ask, forces the write-ahead
// log to disk itself, which is exactly what level FULL would have done at that moment. If that one call fails, nobody
// knows what the disk holds: the store then refuses every further write until it is opened again.
//
// A function may run more than once: when a group has to be rolled back as a whole (a full disk, an I/O error), its
// members run again, each in a transaction of its own. It must therefore set its results rather than add to them, and do
// nothing but database work: no network, no files, no signatures, no waiting.
//
// # Free disk
//
// When less than Config.Reserve is free, Accept and Start are refused and Settle goes on. Beside the database lies a
// file of the same size which holds nothing: when the disk is full in earnest it is given back, so that what is already
// owed can still be settled. It is laid down again when there is room for it.
//
// # Personal data
//
// Callers seal what tells of a person (Seal, outside of Write) and store the sealed bytes. secure_delete overwrites what
// is erased; temporary tables stay in memory.
package store
