// Package contracttest is what the conformance suites of all contracts share: a runner without a hub (Direct), the far
// side as a suite needs it (Far), the table of what may go wrong and what a caller may be told then (Matrix), the rules
// that every error obeys (CheckError), and the search for identifiers in all that is shown to people (Leaks).
//
// A suite is a list of cases; each case is a rule with a name and a reason that is printed when it is broken. The same
// suite runs on the bare adapter through Direct, on the hub's pipeline, on an API client in front of it, and on the real
// system; so a case asks only through a contracts.Runner and moves time only through Far and the harness.
//
// Who writes a suite takes from here the cases that are the same whatever is asked (Probe, NeverAnAnswer, SecrecyCase), and
// proves that each of its cases can fail (Proof), on adapters in memory (Mistaken). Who tests a need's requests and
// answers holds them to being kept whole and printing nobody (StoredWhole). Who tests anything that is handed a clock or a
// trail finds one here: Clock, Trail.
package contracttest
