// Package contracts is the vocabulary that core services, the hub and the adapters share: identifiers that print
// masked, errors by what a caller can do about them, operations as values, and the plain data of tickets, events and
// entries. It imports the standard library only, so that a core service which links it links nothing else.
//
// Each need (who is reachable where, how a message with legal value is delivered, …) is a package below this one.
package contracts
