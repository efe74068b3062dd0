// Package pec delivers messages with legal value by PEC (posta elettronica certificata): it submits by SMTP, follows
// receipts by IMAP, believes only what a provider has signed, and keeps each recipient's state.
//
// Law: D.P.R. 68/2005, D.M. 2 November 2005 (technical rules; RFC 6109 is their English form), D.lgs. 82/2005 art. 48.
// Wire: RFC 5321, RFC 3501, RFC 1847 and RFC 8551 (signed mail), RFC 5652 (CMS).
//
// A sender role is a pool of mailboxes, of one provider or several. Each sends one message at a time over one connection,
// within its rate of any minute, and is refused, slow or full alone: what has not left goes to another at once. The bytes
// of a message are frozen when they are about to leave, together with its departure, so that a ticket holds one rendering
// at most; what may have left stays with its mailbox. Departure is marked before DATA; whatever breaks after it and before
// the server's reply is Uncertain, not repeated, and settled by receipts. Signed bytes are taken
// from the message as fetched. The outer header is unsigned and only a hint: daticert.xml inside the signed part
// decides, and a contradiction between both is an anomaly. A dispatch is computed from the set of receipts alone
// (delivery.Fold), so that order and repetition do not matter; a receipt that is signed and names our message is counted
// under any date, and dates that cannot be are flagged.
//
// Each mailbox is read by itself, over one IMAP connection that lasts (EXAMINE and PEEK: nothing is marked), in batches that
// say how far each folder was read (UIDVALIDITY, UID). IDLE is a hint; polling is what counts. One message that a server
// cannot give is set aside by its place, after five tries or ten broken connections, and the rest goes on. Letters are not
// archived, and big ones not fetched; one that answers a message of ours is told by its place and ids alone (KindReply).
// Every hour receipts that are overdue are searched for in all folders by X-Riferimento-Message-ID. Of messages all
// mailboxes together hold 64 MiB of small ones and 64 MiB of big ones, or a single bigger one.
//
// Reading a message needs its size in memory once, and once more if its lines do not end as on the wire; besides, less
// than a mebibyte. Only Config.Roots says whom to believe: a certificate without the policy of PEC providers is noted.
//
// Basis: RFC 6109, and where the wire differs from it, receipts of real providers (Aruba 2023 and 2026, Namirial 2024,
// Poste 2012) and the habits of the public notification platform's open adapter. Enhanced codes other than 5.1.1 and
// 5.4.1 follow the IANA registry, unseen. No run against a live provider yet.
//
// Known gaps: no revocation lists (CRL, OCSP); receipts are read into memory, up to max_receipt each; REM evidence (ETSI
// EN 319 532) is not read; attachments are looked through one archive deep, and zip archives alone; what a mailbox sent in
// the minute before a restart is forgotten, so that a provider may answer once that it was too much; only the first watched
// folder is listened to (IDLE), the others are polled; a letter that answers by the provider's name of our message is known
// as an answer only if this process read the acceptance, or the message still waits; read mail is not moved to another
// folder; that another reader deletes is inferred from UIDs that are missing, which a server may also skip; generation 1 of a
// Message-ID only, since nobody can order a second legal sending yet.
package pec
