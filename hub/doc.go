// Package hub is the integration hub: it reads a configuration, wires the rooms below it (store, ledger, outbox, feed,
// call) to the adapters that it is given, and carries out calls. It knows no need and no supplier by name: whatever is
// bound has routes, proof, limits, an API and a command line on the day it is bound.
//
// The life of a call is one page: run.go for what is answered at once, desk.go for what the outbox carries out.
package hub
