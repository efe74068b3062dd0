package entrate

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"raccordo/mocks/lab"
)

// A quota is what a REST service has answered in the present interval.
type quota struct {
	since time.Time
	used  int
}

// gateway is GovWay in front of the REST services: its names for an exchange, the faults of the bench in its words, and
// how many exchanges it bears at a time.
func (m *Mock) gateway(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("GovWay-Transaction-ID", m.names.UUID())
		w.Header().Set("GovWay-Message-ID", m.names.UUID())
		if f, ok := lab.FaultOf(r.Context()); ok && m.commanded(w, f) {
			return
		}
		if m.busy.Add(1) > int64(m.Settings().Concurrent) {
			m.busy.Add(-1)
			m.comeBack(w, time.Second)
			m.refuse(w, r, http.StatusTooManyRequests, "TooManyRequests", "gateway: too many exchanges at a time")
			return
		}
		defer m.busy.Add(-1)
		next.ServeHTTP(w, r)
	})
}

// commanded does a misdeed that the bench left to the mock; true when the answer was written.
func (m *Mock) commanded(w http.ResponseWriter, f lab.Fault) bool {
	status := f.Status
	switch f.Do {
	case lab.Status:
	case lab.StaleVoucher:
		status = http.StatusUnauthorized
	case lab.Throttle:
		status = http.StatusTooManyRequests
		m.comeBack(w, 2*time.Second)
	default:
		return false
	}
	if f.Body != nil {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		w.Write(f.Body)
		return true
	}
	m.problem(w, status, errorName(status))
	return true
}

// errorName is GovWay's usual name for a status.
func errorName(status int) string {
	names := map[int]string{
		400: "InvalidRequestContent", 401: "TokenExpired", 403: "AuthorizationDeny", 404: "UndefinedOperation",
		429: "LimitExceeded", 502: "InvalidResponse", 503: "APIUnavailable", 504: "EndpointReadTimeout",
	}
	if name := names[status]; name != "" {
		return name
	}
	return "GatewayError"
}

// problem answers an error in GovWay's style.
func (m *Mock) problem(w http.ResponseWriter, status int, name string) {
	h := w.Header()
	h.Set("GovWay-Transaction-ErrorType", name)
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="AgenziaEntrate", error="invalid_token", error_description="`+detail(name)+`"`)
	}
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", "5")
	}
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		ID     string `json:"govway_id"`
	}{fmt.Sprintf("https://govway.org/handling-errors/%d/%s.html", status, name), name, status, detail(name), h.Get("GovWay-Transaction-ID")})
	if err != nil {
		panic("entrate: a problem of plain fields: " + err.Error()) // cannot happen
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(body)
}

func detail(name string) string {
	details := map[string]string{
		"TokenExpired": "Token expired", "AuthenticationRequired": "Authentication required",
		"TokenAuthenticationFailed": "Invalid token", "TokenNotBefore": "Token not yet usable",
		"AuthorizationDeny":     "Authorization deny by policy",
		"InvalidRequestContent": "Request content not conform to API specification",
		"UndefinedOperation":    "Operation undefined in the API specification",
		"TooManyRequests":       "Too many requests detected", "LimitExceeded": "Limit exceeded detected",
		"InvalidResponse":     "Invalid response received from the API Implementation",
		"APIUnavailable":      "The API Implementation is temporary unavailable",
		"EndpointReadTimeout": "Read Timeout calling the API implementation",
	}
	if d := details[name]; d != "" {
		return d
	}
	return "The request cannot be processed at the moment"
}

// refuse answers a problem and tells the journal which rule was broken.
func (m *Mock) refuse(w http.ResponseWriter, r *http.Request, status int, name, rule string) {
	lab.Refused(r.Context(), rule)
	w.Header().Set("X-Lab-Reason", rule)
	m.problem(w, status, name)
}

// guarded lets those through whose voucher is for this service under the name that the gateway takes for its own, and
// counts them.
func (m *Mock) guarded(prefix string, work http.HandlerFunc) http.Handler {
	deny := func(w http.ResponseWriter, _ *http.Request, status int) {
		name := "TokenAuthenticationFailed"
		switch rule := w.Header().Get("X-Lab-Reason"); {
		case status == http.StatusForbidden:
			name = "AuthorizationDeny"
		case strings.HasSuffix(rule, "no bearer token"):
			name = "AuthenticationRequired"
		case strings.HasSuffix(rule, "expired"):
			name = "TokenExpired"
		case strings.HasSuffix(rule, "not valid yet"):
			name = "TokenNotBefore"
		}
		m.problem(w, status, name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		audience := "https://" + m.Settings().Host + prefix
		m.platform.Guard(audience, deny)(m.counted(prefix, work)).ServeHTTP(w, r)
	})
}

// counted holds a service to its quota.
func (m *Mock) counted(service string, work http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, now := m.Settings(), m.bench.Clock().Now()
		m.mu.Lock()
		q := m.quotas[service]
		if q == nil {
			q = &quota{}
			m.quotas[service] = q
		}
		if since := now.Sub(q.since); since >= s.QuotaEvery || since < 0 {
			*q = quota{since: now}
		}
		over := q.used >= s.Quota
		if !over {
			q.used++
		}
		left, end := s.Quota-q.used, q.since.Add(s.QuotaEvery)
		m.mu.Unlock()
		limit := strconv.Itoa(s.Quota)
		if s.Windowed {
			limit = fmt.Sprintf("%d, %d;w=%d", s.Quota, s.Quota, int(s.QuotaEvery.Seconds()))
		}
		w.Header().Set("X-RateLimit-Limit", limit)
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(left))
		if over {
			m.comeBack(w, end.Sub(now))
			m.refuse(w, r, http.StatusTooManyRequests, "LimitExceeded", "gateway: over the quota")
			return
		}
		work(w, r)
	})
}

// comeBack says when to come back, in the form of the day.
func (m *Mock) comeBack(w http.ResponseWriter, wait time.Duration) {
	seconds := strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	form := m.Settings().Retry
	if form != Silent {
		w.Header().Set("X-RateLimit-Reset", seconds)
	}
	switch form {
	case Seconds:
		w.Header().Set("Retry-After", seconds)
	case Date:
		w.Header().Set("Retry-After", m.bench.Clock().Now().Add(wait).Format(http.TimeFormat))
	}
}

// An Asked is what the mock understood of a request; the journal shows it as Parsed.
type Asked struct {
	Codes    []string // asked about, in their order
	Years    []int    // of incomes, beside the codes
	Request  string   // idRichiesta
	Protocol string   // protocollo
	User, IP string   // of a SOAP request's assertion
}

// readCode gives the one field of a REST request, or the rule that the request breaks.
func readCode(r *http.Request, field string) (code, rule string) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return "", "content type: want application/json"
	}
	var body map[string]json.RawMessage
	d := json.NewDecoder(r.Body)
	if err := d.Decode(&body); err != nil || body == nil {
		return "", "body: not a JSON object"
	}
	if _, err := d.Token(); err != io.EOF {
		return "", "body: more than one JSON value"
	}
	raw, there := body[field]
	if !there {
		return "", field + ": missing"
	}
	if len(body) > 1 {
		return "", "body: more than " + field
	}
	if err := json.Unmarshal(raw, &code); err != nil || string(raw) == "null" {
		return "", field + ": not a text"
	}
	return code, ""
}

// status is GET /status: even good news is a problem document.
func (m *Mock) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	io.WriteString(w, `{"type":"about:blank","title":"OK","status":200}`)
}

// troubled plays a member's story at the gateway; true when the answer was written.
func (m *Mock) troubled(w http.ResponseWriter, r *http.Request, t tale, service, code string) bool {
	if t.status == 0 && !t.slow {
		return false
	}
	turn := m.turn(service, code)
	if t.slow {
		if turn == 1 {
			lab.Pause(r.Context(), m.bench, m.Settings().Slow)
		}
		return false
	}
	if t.times > 0 && turn > t.times {
		return false
	}
	if t.status == http.StatusTooManyRequests {
		m.comeBack(w, time.Second)
	}
	name := t.name
	if name == "" {
		name = errorName(t.status)
	}
	m.problem(w, t.status, name)
	return true
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("entrate: an answer of plain fields: " + err.Error()) // cannot happen
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.Write(body)
}
