package api

import (
	"net/http"

	"raccordo/contracts"
)

// Status is the HTTP status of an error of that kind. The server answers some faults of the HTTP request itself with
// another status (400, 401, 404 for an unknown route, 405, 406, 413, 415), always naming the kind as well.
//
// Uncertain is 504: nobody knows what became of it. Malformed is 502, the far side's answer being no answer. Canceled is
// 408, since it was the caller's time that ran out. Pending is 202, and not an error over HTTP.
func Status(k contracts.Kind) int {
	switch k {
	case contracts.Invalid:
		return http.StatusUnprocessableEntity
	case contracts.NotFound:
		return http.StatusNotFound
	case contracts.Denied:
		return http.StatusForbidden
	case contracts.Conflict:
		return http.StatusConflict
	case contracts.Throttled:
		return http.StatusTooManyRequests
	case contracts.Unavailable:
		return http.StatusServiceUnavailable
	case contracts.Uncertain:
		return http.StatusGatewayTimeout
	case contracts.Pending:
		return http.StatusAccepted
	case contracts.Malformed:
		return http.StatusBadGateway
	case contracts.Canceled:
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}

// title is the same for every problem of a kind, as RFC 9457 section 3.1.3 asks.
func title(k contracts.Kind) string {
	switch k {
	case contracts.Invalid:
		return "The request is wrong"
	case contracts.NotFound:
		return "There is none"
	case contracts.Denied:
		return "Not allowed"
	case contracts.Conflict:
		return "The state of things forbids it"
	case contracts.Throttled:
		return "Too many requests"
	case contracts.Unavailable:
		return "Not available now"
	case contracts.Uncertain:
		return "It is not known whether it happened"
	case contracts.Pending:
		return "Accepted, not answered yet"
	case contracts.Malformed:
		return "The far side's answer breaks its specification"
	case contracts.Canceled:
		return "The time given ran out"
	}
	return "Fault of the hub"
}

// kindOfStatus is what a status says where the answer names no kind: a proxy's page, say. It never says NotFound, which only
// the hub itself may claim. Where something may have happened (effects) a gateway's error is Uncertain.
func kindOfStatus(status int, effects bool) contracts.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return contracts.Denied
	case http.StatusTooManyRequests:
		return contracts.Throttled
	case http.StatusConflict:
		return contracts.Conflict
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return contracts.Invalid
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInternalServerError:
		if effects {
			return contracts.Uncertain
		}
		return contracts.Unavailable
	}
	return contracts.Malformed
}
