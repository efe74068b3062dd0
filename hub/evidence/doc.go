// Package evidence writes what a ticket, or all tickets of a case, can prove into a folder that stands alone, and verifies
// such a folder without a hub.
//
// # The folder
//
//	LEGGIMI.txt, README.txt      what this is, for a lawyer and a court's expert
//	manifest.json                every fact: ledger entries, receipts with their verdicts, what is missing and why
//	cronologia.txt, timeline.txt the same facts told in order, in Italian and in English
//	story.json                   the events that the hub kept
//	message.eml                  the message as it was submitted, unless it is secret or its bytes are gone
//	receipts/001-….eml           each receipt, byte for byte as it was fetched
//	receipts/001-….xml, .p7s     its document and its signature, taken out for people
//	SHA256SUMS                   the digest of every file above
//	ledger/segment-….jsonl       the whole ledger segments in which the entries stand, with their signed heads
//	ledger/head-….bin, .sig      each head as it was signed, and its signature, for other tools
//	ledger/key.pem               the key that signed; it must be compared with one known from elsewhere
//	ledger/SHA256SUMS            the digests of ledger/
//
// In the export of a case, all that belongs to one ticket stands in a folder named for the ticket.
//
// # What holds it together
//
// The export is entered in the ledger before its first byte leaves (who, why), and once more when all but ledger/ is
// written: that second entry names the digest of SHA256SUMS. The segment that holds it is part of the export. Whoever
// changes any file, and the sums with it, therefore has to forge the hub's signature as well. Receipts are held by their
// own signatures besides, and by the digests that the ledger took of them when they came.
//
// Room in the law: DPR 68/2005 art. 6 (what receipts prove); pec.md section 16.
package evidence
