// Package pec plays two certified-mail providers (gestori PEC) on the real wire: SMTP submission with STARTTLS and over TLS,
// IMAP mailboxes with STARTTLS and over TLS, and the receipts of the technical rules, built and signed from the message as it
// was received. A client sends and reads as it would with a real provider; nothing is shared with it but the protocols.
//
// gestore-uno.test hosts pec.ministero.test and pec.imprese.test, gestore-due.test hosts pec.cittadini.test and
// pec.studi.test. posta.test is ordinary mail; any other domain does not exist. Each provider has a key of its own under one
// receipt root ([Mock.RootsPEM]); acceptances and notices are signed by the sender's provider, deliveries and most delivery
// errors by the recipient's.
//
// # Stories
//
// The first dot-separated label of a recipient's local part says what happens to the message ("slow.rossi@pec.studi.test"):
//
//	nodest, full, toobig, virus   a delivery error: no such mailbox, mailbox full, too big, virus found on arrival
//	slow                          delivered after 3 hours
//	timeout12                     the 12-hour notice, delivered at 15 hours
//	timeout24                     the notices of 12 and 24 hours, never delivered
//	late                          the 24-hour notice alone, delivered at 30 hours
//	never                         accepted, then silence
//	noaccept, noacceptvirus       a non-acceptance, formal or for a virus; for the whole message
//	noacceptreceipt               delivered, but the acceptance never comes; for the whole message
//	dup                           each receipt twice: the acceptance byte for byte, the others with another outer header
//	reorder                       the delivery comes before the acceptance
//	mute                          250, and no receipt ever; for the whole message
//
// Anybody else accepts at once and is delivered after [DefaultDeliveryDelay] of the bench's clock. A recipient whose
// mailbox is one of [Mock.Accounts] also gets the transport envelope.
//
// # Faults
//
// On "pec smtp message", which is what Bench.Misbehave spoils: refuse (connections), drop (read, nothing taken, reset),
// drop-after-accept (taken, reset instead of 250), truncate, garbage, wrong-type and huge (taken, the reply spoiled), 500 (550)
// and 503 (421) and any other SMTP code at the stage of [Mock.RefuseAt], throttle (the 550 with "Class Of Service"),
// denied and stale-voucher (535 to MAIL), slow, bad-signature (every receipt of the message was altered after signing).
// On "pec imap login", "select", "status", "search", "fetch", "store", "copy", "move", "expunge" and "append", by Bench.Inject
// alone: refuse and drop (reset), drop-after-accept, truncate (a fetch is cut amid its bytes), garbage, slow, status (NO
// [UNAVAILABLE]; 401 and 403: NO [AUTHENTICATIONFAILED]), throttle (NO [LIMIT]).
//
// # Memory
//
// The mock keeps an append-only log and its keys in the folder "pec" of the bench. Opened again on that folder it has the same
// messages, UIDs, UIDVALIDITY, flags and roots, and goes on with what its former life had still to do. The log survives the
// death of the process, not of the machine: it is not flushed.
//
// Basis: RFC 6109 (the technical rules of D.M. 2 November 2005 in English) read together with receipts of Aruba (2023, 2026),
// Namirial (2024) and Poste (2012), which win where the printed text and the wire differ; RFC 5321, 4954, 3207 and 2920 for
// SMTP; RFC 3501, 2177, 4315, 4731 and 6851 for IMAP; RFC 5652 and 8551 for signatures. The texts for people and the wording
// after the status code in errore-esteso are our own, as are the stories.
//
// Known gaps: no QUOTA, CONDSTORE or QRESYNC; SEARCH TEXT and BODY look at undecoded bytes; IMAP EXAMINE does not refuse
// APPEND or CREATE elsewhere; providers do not exchange mail with each other on a wire, so the receipts between them
// (presa-in-carico, rilevazione-virus) exist only through [Mock.Issue]; attachments inside archives are not looked at;
// certificates carry no revocation addresses and the intermediate no directory-name constraints; messages by BDAT are taken
// although providers rarely offer it; a gross size announced with SIZE is refused by the SMTP library before the journal
// sees it; EHLO always says gestore-uno, whatever mailbox logs in later.
package pec
