package lab

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// An Answer is what a mock answered in a test of its own.
type Answer struct {
	Status int
	Header http.Header
	Raw    string
	Body   map[string]any // of a JSON object; else nil
}

// Reason is the rule that a refused request has broken, as the mock told its tester.
func (a Answer) Reason() string { return a.Header.Get("X-Lab-Reason") }

// Try sends a request, once. An error is one of the exchange: what cannot be sent at all ends the test.
func Try(t testing.TB, client *http.Client, method, url, body string, header http.Header) (Answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // nothing may be sent twice behind our back
	if header != nil {
		req.Header = header
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	if json.Unmarshal(raw, &a.Body) != nil {
		a.Body = nil
	}
	return a, err
}

// Ask sends a request that must be answered, however.
func Ask(t testing.TB, client *http.Client, method, url, body string, header http.Header) Answer {
	t.Helper()
	a, err := Try(t, client, method, url, body, header)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// With is a header of one content type and one bearer token; each may be empty.
func With(contentType, token string) http.Header {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}
