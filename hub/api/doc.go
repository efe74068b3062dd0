// Package api is the hub's HTTP API, server and client, so that the wire is written down once. It needs the standard
// library and contracts only: a core service that links the client links nothing else.
//
//	POST /v1/<need>/<verb>          one operation; the body is its request
//	GET  /v1/tickets/<id>           200 while pending, 303 when settled
//	GET  /v1/tickets/<id>/answer    the answer, or the problem that the ticket failed with
//	GET  /v1/events?after=&wait=    what far sides told us, for the calling service
//	POST /v1/events/ack             {"seq": n}: read up to n
//	GET  /v1/status                 whether the hub can work, as ModI asks (application/problem+json)
//	GET  /healthz                   whether the process lives
//
// Callers prove themselves by a bearer token (RFC 6750), which names the calling service. Headers say the rest:
// Hub-Purpose (required), Hub-User, Hub-Case, Hub-Site, Hub-IP, Hub-LoA, Hub-Due (RFC 3339), Hub-At (an adapter
// instance) and Idempotency-Key (required where the operation has effects; bare or as a quoted string). "Prefer:
// respond-async" or "wait=N" (RFC 7240; N in seconds, a fraction is understood too) asks for a ticket at once, or when
// N seconds have passed: 202 with its Location. Following that location is the non-blocking pull of ModI (RPA
// interoperability model, pattern "non bloccante pull").
//
// Errors are application/problem+json (RFC 9457) with the members kind, code, operation, system, retry_after (seconds)
// and ticket; kind is what a client goes by, and the status follows from it (see Status). No identifier of a person or a
// firm ever stands in a URL.
package api
