// Package outbox keeps the hub's promises: a ticket is a call on disk, carried out until it is settled, never lost and
// never done twice.
//
// The ticket's row is the truth; everything in memory (signals, pauses, who waits for what) only says when to look at it.
// What proves a step is written by the same transaction as the step: an entry of the ledger for the submission, before
// anything with effect leaves, and for each answer.
//
// # What a crash leaves
//
// A running Read or Write is carried out again, a Write under the same key. A running Once that had not marked its
// departure is carried out again; one that had becomes uncertain: it is asked about (Binding.Resolve, events, a person)
// and never repeated.
//
// # Leases and clocks
//
// A worker holds a ticket by the pair (lease, fence) in its row; every commit of a worker names the pair, and taking a
// ticket away raises the fence, so that a worker that comes late commits nothing. No lease is ever compared with an
// instant: Open takes over what a dead process held (the store's lock proves that it is dead), and where several
// processes share a store (Options.Shared) a foreign lease counts as lost when its beat has not moved for Config.Lease of
// this process's own monotonic time. Stepping the clock by an hour therefore frees nothing and takes nothing away. It
// can bring a retry forward by the step, which is harmless: what is repeated at all may be repeated early.
//
// # Order
//
// Only heads are claimed: every ticket without a lane, and one of each lane. Which ticket is the head is decided by the
// transaction that changes the lane, and an index holds only the heads that are ready, sorted, so that claiming costs
// the same however many tickets lie behind them. Among heads the caller's deadline comes first, then the time of the
// next try, then the order of acceptance.
//
// # Pools
//
// The tickets of a pooled lane are all heads, in a group of their pool: as many are in flight as the adapter has places
// free (contracts.Binding.Reserve), and they take no worker from others. A place is reserved before its ticket is claimed
// and given back as soon as the exchange is over; its worker then takes the next of the pool in the commit of the verdict.
// What one place refuses at present another tries at once; that place rests as long as it was told, and the pool goes on.
// A ticket that a second place refuses as well waits, longer each time, so that it cannot take one place after another
// from the rest. Refusals of our own limits pause the pool.
//
// # What is on the disk when
//
// A submission is, before it is acknowledged. The intent, the departure and the bytes frozen for it are, in one commit,
// before anything with effect leaves. A verdict that settles is, before anybody hears of it; any other is at once, but its
// worker does not wait: should a power cut take it, the ticket is uncertain, as after a crash a moment sooner.
//
// # Personal data
//
// Requests, callers, answers and frozen bytes are sealed with the ticket's id as their place; the request is compared and
// proved by a keyed digest. When a request that carries a secret (contracts.Redactor) is settled, its redacted form takes
// its place and the bytes made from it are erased; their digests stay in the ledger.
package outbox
