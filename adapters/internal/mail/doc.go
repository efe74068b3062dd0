// Package mail speaks SMTP out and IMAP in, for adapters that deliver by certified mail. It is the only place of the
// program that knows the mail libraries.
//
// It makes a message's bytes once (Draft), submits exactly those bytes and says how far a failed submission had come
// (Submitter, Failure), and reads a mailbox from a cursor without touching its flags (Session).
//
// Specs: RFC 5321 (SMTP), RFC 6409 and RFC 8314 (submission, implicit TLS), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC
// 3463 (enhanced codes), RFC 3501 and RFC 9051 (IMAP), RFC 5322 and RFC 2045-2049 (messages).
package mail
