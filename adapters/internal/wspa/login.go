package wspa

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"raccordo/adapters/internal/bearer"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// assertionLife is what the largest public client uses: below the manual's limit of 10 minutes on either side, so that
// a clock that is a few minutes wrong does no harm.
const assertionLife = 6 * time.Minute

type claims struct {
	Aud   string `json:"aud"`
	Iss   string `json:"iss"`
	Sub   string `json:"sub"`
	Jti   string `json:"jti"`
	Exp   int64  `json:"exp"`
	Scope string `json:"scope"`
}

// login exchanges a signed assertion for a token of a scope. The body is the bare JWS; it is labelled as the one client
// known to work in production labels it.
func (c *Client) login(ctx context.Context, scope string) (bearer.Token, error) {
	now := c.clock.Now()
	payload, err := json.Marshal(claims{
		Aud: c.audience, Iss: c.clientID, Sub: c.clientID, Jti: rand.Text(),
		Exp: now.Add(assertionLife).Unix(), Scope: scope,
	})
	if err != nil {
		return bearer.Token{}, c.Fail(ctx, contracts.Errorf(contracts.Internal, "login assertion: %w", err))
	}
	assertion, err := c.sign(payload)
	if err != nil {
		return bearer.Token{}, c.Fail(ctx, contracts.Errorf(contracts.Internal, "login assertion: the key does not sign"))
	}
	resp, err := c.wire.Do(ctx, &wire.Request{
		Method: http.MethodPost, Route: "POST /authentication", Path: "/authentication", Query: c.query,
		Header:   http.Header{"Content-Type": {"application/json"}, "Accept": {"text/plain, application/json"}},
		Body:     []byte(assertion),
		Effect:   contracts.Read, // a second token harms nobody
		RemoteID: trackingHeader,
	})
	if err != nil {
		return bearer.Token{}, c.hour(contracts.AsError(err))
	}
	if resp.Status != http.StatusOK {
		return bearer.Token{}, c.hour(loginFailure(ctx, resp))
	}
	text, expires, err := parseToken(resp.Body)
	if err != nil {
		if code := refusalCode(resp.Body); code != "" { // a refusal inside 200, as everywhere in WSPA
			e := resp.Malformed(ctx, "login refused inside status 200")
			e.Kind, e.Code = contracts.Denied, code
			return bearer.Token{}, e
		}
		return bearer.Token{}, resp.Malformed(ctx, err.Error())
	}
	return bearer.NewToken(text, expires), nil
}

func loginFailure(ctx context.Context, resp *wire.Response) *contracts.Error {
	e := resp.Err(ctx, refusalCode(resp.Body))
	if resp.Status == http.StatusBadRequest {
		e.Kind = contracts.Denied // who we are is all that a login says
	}
	return e
}

var (
	errToken    = errors.New("the token is not a compact JWS")
	errTokenExp = errors.New("the token says not when it ends")
)

// parseToken reads the token answer: the raw text of a JWS, in quotes or not. Its end is read from the token itself,
// which is otherwise opaque to us and verified by nobody here.
func parseToken(body []byte) (token string, expires time.Time, err error) {
	token = strings.Trim(string(bytes.TrimSpace(body)), `"`)
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > 16<<10 || strings.ContainsAny(token, "\r\n") { // line breaks pass Go's base64 decoder
		return "", time.Time{}, errToken
	}
	for _, p := range parts {
		if p == "" {
			return "", time.Time{}, errToken
		}
		if _, err := base64.RawURLEncoding.DecodeString(p); err != nil {
			return "", time.Time{}, errToken
		}
	}
	raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Exp json.Number `json:"exp"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return "", time.Time{}, errToken
	}
	sec, err := c.Exp.Float64() // RFC 7519: a NumericDate may have a fraction
	if err != nil || sec < 1 || sec > 1<<40 {
		return "", time.Time{}, errTokenExp
	}
	return token, time.Unix(int64(sec), 0), nil
}
