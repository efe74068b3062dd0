// Package feed keeps what far sides tell unasked. Events are pulled from adapters by a cursor, kept once each, folded into
// the tickets they name, and read by core services by a cursor of theirs.
//
// An adapter tells in one piece (contracts.Feeder) or in several (contracts.Sources), each with a cursor of its own and read
// on its own: while one waits for its far side it holds nothing that another wants. What it brought is made ready and kept
// in turns, a batch at a time, so that hundreds of sources with much to tell do not keep the writer from settling tickets.
//
// One transaction holds the event, its raw bytes, the ticket that it moved, the entry that proves it, and (with the last of
// a batch) the cursor: no cursor moves without its effects, and effects without their cursor are recognised when they are read again,
// since an event is kept once per instance and ID.
//
// An event that cannot be folded is set aside alone, with its reason, and the cursor moves on. One that names a ticket
// which does not exist is kept whole: a core that submits again after a restored copy finds it folded. One that names no
// ticket at all is somebody else's: only what it is and the digests of its proofs are kept, not what it says.
//
// Raw bytes that an adapter hands over wrongly are kept, and their event is set aside.
//
// Readers see the events whose owner they are, the service that submitted the ticket, and nothing else.
//
// Data is sealed with instance and ID as its place; the rest of an event names no person, by its own rule.
package feed
