// Package ledger keeps the evidence: who asked what of whom, why, and what came back, as a chain of entries in which each
// holds the digest of the one before, cut into daily segments that are each closed by a signed head.
//
// # Encoding of an entry, version 1
//
// The Sum of an entry is the SHA-256 of the text "raccordo ledger entry\n" followed by its canonical encoding. That is the
// fields below, in this order, without separators:
//
//	number  eight bytes, big-endian (a negative one as two's complement)
//	text    its length in bytes as a number of four bytes, big-endian; then the bytes, UTF-8
//	time    seconds since 1970-01-01 UTC as a number; nanoseconds as four bytes, big-endian
//	sum     32 bytes
//	flag    one byte, 0 or 1
//	list    how many as four bytes, big-endian; then the items
//
//	version number, chain text, seq number, prev sum, at time, phase text, outcome text,
//	caller: service, purpose, user, case, site, ip, loa (texts),
//	op text, system text, ref text, subject sum, subject_key text, reason text,
//	attempts list of: at time, took number (nanoseconds), sent flag, status text, remote_id text, request_sum sum, response_sum sum,
//	proof list of sum
//
// The first entry of a chain has a zero prev. testdata/vectors.json holds entries with their encoding and sum.
//
// # Heads
//
// A head states chain, number and day of a segment, its first and last entry, the sum before the first (prev) and of the
// last (sum), and the digest of the closed head before it (before). It is signed with Ed25519 over the text
// "raccordo ledger head 1\n" followed by
//
//	chain text, segment number, day text, first number, last number, prev sum, sum sum, before sum, closed flag, at time, key text
//
// in the same notation; its digest is the SHA-256 of the same bytes. The segment that is still growing has a running head
// (closed 0), signed anew with every commit. An entry belongs to the UTC day of the ledger's clock when it is appended; a
// clock that steps back stays in the present segment.
//
// # What it can show, and what it cannot
//
// Verify finds every change by somebody who does not have the signing key. Who has the key and the database can write
// another history, but not one that agrees with an export, or a head, that was handed out before. So the head of each
// closed day is handed out: to a file and to another administrator (AnchorConfig), and CompareAnchors compares. What such
// a person can still write anew is what no anchor covers yet: the present day, and closed days whose head has not left.
package ledger
