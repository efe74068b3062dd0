package pdnd

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"raccordo/mocks/lab"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// token is POST /token.oauth2. Whatever is wrong with a request, the caller reads the same 400; the true reason stands
// in the journal and in the header X-Lab-Reason.
func (m *Mock) token(w http.ResponseWriter, r *http.Request) {
	if !m.admit(w) {
		m.refuse(w, r, http.StatusTooManyRequests, "rate limit")
		return
	}
	form, reason := readForm(r)
	if reason == "" && r.Header.Get("DPoP") != "" {
		reason = "DPoP is not offered by this mock"
	}
	if reason == "" {
		reason = m.checkForm(form)
	}
	if reason != "" {
		m.refuse(w, r, http.StatusBadRequest, reason)
		return
	}
	a, reason := m.checkAssertion(form.Get("client_assertion"))
	if reason != "" {
		m.refuse(w, r, http.StatusBadRequest, reason)
		return
	}
	lab.Parsed(r.Context(), a)
	fault, _ := lab.FaultOf(r.Context())
	voucher, err := m.issue(a, fault.Do)
	if err != nil {
		m.refuse(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Cache-Control", "no-cache, no-store")
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"access_token": voucher, "token_type": "Bearer", "expires_in": int(m.Settings().Life.Seconds()),
	})
}

// admit counts the request against the limit and tells where the client stands; bench time refills it at once at the
// end of the interval.
func (m *Mock) admit(w http.ResponseWriter) bool {
	now, s := m.clock(), m.Settings()
	m.mu.Lock()
	defer m.mu.Unlock()
	if since := now.Sub(m.window); since >= s.RateInterval || since < 0 {
		m.window, m.used = now, 0
	}
	ok := m.used < s.RateLimit
	if ok {
		m.used++
	}
	w.Header().Set("X-Rate-Limit-Limit", strconv.Itoa(s.RateLimit))
	w.Header().Set("X-Rate-Limit-Remaining", strconv.Itoa(s.RateLimit-m.used))
	w.Header().Set("X-Rate-Limit-Interval", strconv.FormatInt(s.RateInterval.Milliseconds(), 10))
	return ok
}

func readForm(r *http.Request) (url.Values, string) {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || t != "application/x-www-form-urlencoded" {
		return nil, "content type: want application/x-www-form-urlencoded"
	}
	if err := r.ParseForm(); err != nil {
		return nil, "form: cannot be read"
	}
	return r.PostForm, ""
}

func (m *Mock) checkForm(form url.Values) string {
	switch id := form.Get("client_id"); {
	case form.Get("client_assertion_type") != assertionType:
		return "client_assertion_type: want " + assertionType
	case form.Get("grant_type") != "client_credentials":
		return "grant_type: want client_credentials"
	case form.Has("client_id") && !isUUID(id):
		return "client_id: not a UUID"
	case form.Has("client_id") && id != m.ClientID():
		return "client_id: unknown client"
	case form.Get("client_assertion") == "":
		return "client_assertion: missing"
	}
	return ""
}

func (m *Mock) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(m.keySet())
}

func (m *Mock) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	fmt.Fprint(w, `{"type":"about:blank","status":200,"title":"OK"}`)
}

func (m *Mock) refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	lab.Refused(r.Context(), reason)
	w.Header().Set("X-Lab-Reason", reason)
	m.write(w, status)
}

func (m *Mock) write(w http.ResponseWriter, status int) {
	contentType, body := m.Problem(status)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(body)
}

// Problem is the platform's error body, the same for every reason.
func (m *Mock) Problem(status int) (contentType string, body []byte) {
	p := problem{
		Type: "about:blank", Status: status, Title: http.StatusText(status), Detail: http.StatusText(status),
		Errors: []problemError{{"015-0000", "Unexpected error"}}, CorrelationID: m.names.UUID(),
	}
	switch status {
	case http.StatusBadRequest:
		p.Title, p.Detail = "The request contains bad syntax or cannot be fulfilled.", "Bad request"
		p.Errors[0] = problemError{"015-0008", "Unable to generate a token for the given request"}
	case http.StatusTooManyRequests:
		p.Errors[0].Detail = "Too many requests"
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic("pdnd: a problem of plain fields: " + err.Error()) // cannot happen
	}
	return "application/problem+json", body
}

type problem struct {
	Type          string         `json:"type"`
	Status        int            `json:"status"`
	Title         string         `json:"title"`
	Detail        string         `json:"detail"`
	Errors        []problemError `json:"errors"`
	CorrelationID string         `json:"correlationId"`
}

type problemError struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}
