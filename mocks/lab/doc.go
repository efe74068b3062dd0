// Package lab provides the bench that every mock stands on: listeners on loopback, a test certification authority, a
// clock that jumps, faults on command, a bounded journal of every exchange, an admin endpoint, and the cast: synthetic
// people and firms, each with one story.
//
// A mock is a stranger to the code under test: it shares the published wire with it and nothing else. The bench serves
// mocks in tests (Start) and in programs (New); it is never part of the shipped hub.
//
// Basis: no outside specification; the rules of the bench are the comments of this package.
//
// Known gaps: HTTP/2 is switched off, since misdeeds need the connection itself; request bodies above 8 MiB are refused
// with 413 before any mock sees them.
package lab
