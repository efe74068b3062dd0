// Package inipec plays InfoCamere's WSPA gateway as far as INI-PEC goes, the index of the certified addresses of
// enterprises and of professionals enrolled in orders: a login by signed assertion with the client's certificate, lists
// asked for and fetched later, and attestations of an address on a day.
//
// Basis: InfoCamere's WSPA manual, version 6 (26 December 2022), and its OpenAPI files (authentication,
// richiestaElencoPEC, getElencoPEC); a public client in production for what was seen live: the list that is not ready
// told inside a 200, the professionals' other shape, both styles of 401.
//
// What the mock refuses: whoever does not pass the gate (see mocks/wspa) or whose token is without the scope pec-pa (401);
// a body that is not the contract's, an instant that cannot be read, no code, or more than 10,000 (400).
//
// Answers are valid by the published files, which demand no member; the two that are not, or cannot be told: the token
// is plain text, by the manual and against the file, and attestations have no file.
//
// Known gaps: how long a fetched list is kept and what the signed attestation looks like are assumed: 72 hours, a
// labelled stand-in for a PDF.
package inipec
