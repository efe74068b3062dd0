package wspa

import (
	"bytes"
	"encoding/json"

	"raccordo/adapters/internal/wire"
)

// The codes that mean something other than a failure, each to the services that say so.
const (
	CodeNone     = "WSPA_ERR_04" // nothing found: an answer, though it comes as an error inside 200
	CodeNotReady = "WSPA_ERR_05" // a list that is not ready
)

// An errorBody is ErrorResponse, which comes with any status, 200 included. Any one of its four names tells it.
type errorBody struct {
	Code        json.RawMessage `json:"code"`
	AppName     json.RawMessage `json:"appName"`
	Description json.RawMessage `json:"description"`
	Timestamp   json.RawMessage `json:"timestamp"`
}

// ErrorIn tells an error object from an answer, and gives its code; empty where it has none that is text.
func ErrorIn(body []byte) (code string, is bool) {
	var e errorBody
	if json.Unmarshal(body, &e) != nil {
		return "", false
	}
	if !present(e.Code) && !present(e.AppName) && !present(e.Description) && !present(e.Timestamp) {
		return "", false
	}
	if json.Unmarshal(e.Code, &code) != nil {
		code = "" // absent, or no text: it is an error all the same
	}
	return wire.Clip(code), true
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

// refusalCode is the code of a refusal in either of its two styles: the gateway's (httpCode as text) and the back end's
// (status as a number); else WSPA's own.
func refusalCode(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '{' {
		return ""
	}
	var r struct {
		HTTPCode string      `json:"httpCode"`
		Status   json.Number `json:"status"`
		Code     string      `json:"code"`
	}
	if json.Unmarshal(body, &r) != nil {
		return ""
	}
	switch {
	case r.Code != "":
		return wire.Clip(r.Code)
	case r.HTTPCode != "":
		return wire.Clip(r.HTTPCode)
	}
	return wire.Clip(r.Status.String())
}
