// Package pdnd plays the authorisation server of the Piattaforma Digitale Nazionale Dati (environment collaudo): it
// checks client assertions as strictly as the platform, issues vouchers, publishes its keys, and lends the mocks of
// e-service providers the check of a voucher (Guard).
//
// It owns the client that the code under test is to use: its key, its purposes for each e-service, as the registration
// on the platform would have produced them.
//
// Basis: the platform's public contract of the authorisation server and the validation rules of its published source
// (client assertion, purpose state, digest), 2026; RFC 7638 for key identifiers, RFC 9068 for the voucher's type.
//
// Known gaps: no DPoP (a request that bears a proof is refused with a reason that says so), no asynchronous exchange,
// no platform API, no key or purpose events; the tolerance of 10 s for an assertion issued in the future is assumed.
package pdnd
