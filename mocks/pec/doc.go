// Package pec plays two certified-mail providers (gestori PEC) on the real wire: SMTP submission with STARTTLS and over TLS,
// IMAP mailboxes with STARTTLS and over TLS, and the receipts of the technical rules, built and signed from the message as it
// was received. A client sends and reads as it would with a real provider; nothing is shared with it but the protocols.
//
// gestore-uno.test hosts pec.ministero.test and pec.imprese.test, gestore-due.test hosts pec.cittadini.test and
// pec.studi.test. posta.test is ordinary mail; any other domain does not exist. Each provider has a key of its own under one
// receipt root ([Mock.RootsPEM]); acceptances and notices are signed by the sender's provider, deliveries and most delivery
// errors by the recipient's. Four mailboxes are always there; [WithAccounts] adds a pool of senders.
//
// # Stories
//
// Whatever can go otherwise than well is a story, and has a name ([Stories] lists them with what they do). A story is told
//
//   - by a recipient: the first dot-separated label of its local part ("slow.rossi@pec.studi.test"), in every life of the mock;
//   - by [Mock.Order], for the next messages of a mailbox, or of any;
//   - by [Mock.Chaos], by chance and replayable from a seed; [Mischief] is a mixture that leaves every message a way to its end.
//
// What becomes of a recipient: nodest, full, toobig, virus, slow, timeout12, timeout24, only24, late, never, errafter,
// delafter, unknowntipo, unknownerrore, huge, pecinpec, charge, strayvirus; of an ordinary one: bounce. Which receipts a
// message yields, and when: noaccept, noacceptvirus, noacceptreceipt, dup, reorder, mute, twoaccept, foreign, replay,
// othersigner, header. How its receipts look: unsigned, badsig, altered, nomsgid, noids; expired, expiredchain,
// validatsigning, wrongsan, wrongeku, unknownca, nopolicy, nameconstraint, sha1, ber; nopreamble, swapped, unquoted, folded,
// datecomment, accents, baretext, extraheaders; skewfast, skewslow, skewfar, zona. What befalls the sender's mailbox: fullbox,
// reader, bump, cutfetch, nologin, lockout. What the submission meets: greylist, refused, busy, toomuch, tempfail, cutbefore,
// cutafter, lateanswer. By order or chance alone, since no recipient is near: imapdrop, imaplost, imapcut, imapno, imaplimit
// for one IMAP command, connreset for one connection.
//
// Anybody else accepts at once and is delivered after [DefaultDeliveryDelay] of the bench's clock. A recipient whose
// mailbox is one of [Mock.Accounts] also gets the transport envelope.
//
// [Mock.Truth] tells of every message what really happened, whatever the client saw: how many times it was taken, which
// attempts were not, and which documents were put where, with those that a careful receiver must not count. A chaos test
// holds its client against it.
//
// # Mailboxes and houses
//
// [Mock.SetMailbox] gives one mailbox a [Condition]: locked, slow before or after the work, held, limited in messages, bytes
// or sessions, read by another who deletes. A mailbox that is full by its quota loses what comes, as a real one does, and
// [Mock.Lost] counts it; QUOTA (RFC 9208) tells how full it is. [Profiles] are the manners of observed houses (aruba-2023,
// aruba-2026, namirial, poste-2012, legalmail with six messages a minute and 2 GB, dovecot), chosen by [Account.Profile],
// [WithProfile] or a condition.
//
// # By hand
//
// [Mock.Issue] makes any receipt out of the ordinary course, presa-in-carico and rilevazione-virus among them, shaped by any
// stories; [Mock.DeliverAnomaly] wraps a bounce, [Mock.Put] lays raw bytes into a folder, [Mock.BumpUIDValidity] renumbers one,
// [Mock.Take] and [Mock.Mark] are another reader at work, [Mock.Mails] and [Mock.Sessions] look without touching;
// [Mock.Skew] sets the providers' clocks wrong, [Mock.SetCertificate] and [Mock.SetQuirks] change the form of everything.
//
// All of it is on the bench's admin endpoint too, as JSON under /_lab/pec/: GET stories, profiles, orders, mailboxes, mails and
// truth; POST orders, chaos, mailboxes, switches, issue, put, anomaly, take, mark and uidvalidity; DELETE orders. A name that does not exist is an
// error, here as there.
//
// # Faults
//
// On "pec smtp message", which is what Bench.Misbehave spoils: refuse (connections, also those that stand, once idle), drop
// (read, nothing taken, reset), drop-after-accept (taken, reset instead of 250), truncate, garbage, wrong-type and huge (taken,
// the reply spoiled), 500 (550) and 503 (421) and any other SMTP code at the stage of [Mock.RefuseAt], throttle (the 550 with
// "Class Of Service"), denied and stale-voucher (535 to MAIL), slow (taken, the reply late), bad-signature (every receipt of the
// message was altered after signing). On "pec imap login", "select", "status", "search", "fetch", "store", "copy", "move",
// "expunge", "append" and "quota", by Bench.Inject alone: refuse and drop (reset), drop-after-accept, truncate (a fetch is cut
// amid its bytes), garbage, slow, status (NO [UNAVAILABLE]; 401 and 403: NO [AUTHENTICATIONFAILED]), throttle (NO [LIMIT]).
//
// # Memory
//
// The mock keeps an append-only log and its keys in the folder "pec" of the bench. Opened again on that folder it has the same
// messages, UIDs, UIDVALIDITY, flags, roots, losses and truth, and goes on with what its former life had still to do. The log
// survives the death of the process, not of the machine: it is not flushed. Orders, chance, conditions and greylists are not
// in it.
//
// Basis: RFC 6109 (the technical rules of D.M. 2 November 2005 in English) read together with receipts of Aruba (2023, 2026),
// Namirial (2024) and Poste (2012), which win where the printed text and the wire differ; RFC 5321, 4954, 3207 and 2920 for
// SMTP; RFC 3501, 2177, 4315, 4731, 6851 and 9208 for IMAP; RFC 5652 and 8551 for signatures. The texts for people and the
// wording after the status code in errore-esteso are our own, as are the stories; what a profile rests on stands in its Basis.
//
// Known gaps: no CONDSTORE or QRESYNC, which the IMAP library's server cannot read; SEARCH TEXT and BODY look at undecoded
// bytes; IMAP EXAMINE does not refuse APPEND or CREATE elsewhere; providers do not exchange mail with each other on a wire, so
// the receipts between them stray into a mailbox only by a story or [Mock.Issue]; a document about a message is written in the
// manner of the sender's profile also by the recipient's provider; a quota knows bytes, not messages; attachments inside
// archives are not looked at; certificates carry no revocation addresses and the intermediate no directory-name constraints;
// messages by BDAT are taken although providers rarely offer it; a gross size announced with SIZE is refused by the SMTP library
// before the journal sees it; EHLO always says gestore-uno, whatever mailbox logs in later.
package pec
