// Package pdnd obtains vouchers from the Piattaforma Digitale Nazionale Dati: a client assertion, checked here by the
// platform's published rules before it is sent (the platform answers every fault with one opaque 400), exchanged for
// a voucher per purpose, which is kept until shortly before its end.
//
// Source: PDND authorization server contract (authorizationServerApi.yml 0.1.0) and the platform's published validation
// rules (interop-be-monorepo, client-assertion-validation); RFC 7523; RFC 7638 (kid).
//
// Basis: published contract and the platform's public source, July 2026. The platform API, DPoP and the asynchronous
// exchange are not spoken.
//
// Known gaps: no DPoP, no token.oauth2.async; vouchers are not verified against the platform's JWKS, since the supplier
// does that.
package pdnd

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"raccordo/adapters/internal/bearer"
	"raccordo/adapters/internal/keys"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// A Config is what a person writes about the PDND client of one adapter.
type Config struct {
	// Endpoint is the token URL; empty: the environment's.
	Endpoint string `yaml:"endpoint,omitempty"`
	// Client is the id (UUID) of the client on the PDND.
	Client string `yaml:"client"`
	// Key is the private RSA key, in PEM, whose public part is registered with the client.
	Key contracts.Secret `yaml:"key"`
	// Kid is the registered key's id; empty: computed (RFC 7638).
	Kid string `yaml:"kid,omitempty"`
	// Purposes maps the callers' purpose names to purposeIds (UUID) of this supplier in this environment.
	Purposes map[string]string `yaml:"purposes"`
	// Audience of the assertion; empty: the environment's.
	Audience string `yaml:"audience,omitempty"`
	// RenewBefore is how long before its end a voucher is renewed.
	RenewBefore time.Duration `yaml:"renew_before,omitempty"`
	// AssertionLife is how long an assertion is valid, 1 to 5 minutes.
	AssertionLife time.Duration `yaml:"assertion_life,omitempty"`
	// CA and Proxy are for the token endpoint, as in the supplier's http section.
	CA    string `yaml:"ca,omitempty"`
	Proxy string `yaml:"proxy,omitempty"`
	// Timeout limits one attempt at the token endpoint.
	Timeout time.Duration `yaml:"timeout,omitempty"`
}

// Default renews at 120 s and signs for 2 minutes.
func Default() Config {
	return Config{RenewBefore: 120 * time.Second, AssertionLife: 2 * time.Minute, Timeout: 8 * time.Second}
}

// tokenHosts are the platform's, and their audience is the host with a path, without a scheme.
var tokenHosts = map[contracts.Environment]string{
	contracts.Attestazione: "auth.att.interop.pagopa.it",
	contracts.Collaudo:     "auth.uat.interop.pagopa.it",
	contracts.Produzione:   "auth.interop.pagopa.it",
}

func (c *Config) endpoint(env contracts.Environment) string {
	if c.Endpoint != "" {
		return c.Endpoint
	}
	return "https://" + tokenHosts[env] + "/token.oauth2"
}

func (c *Config) audience(env contracts.Environment) string {
	if c.Audience != "" {
		return c.Audience
	}
	return tokenHosts[env] + "/client-assertion"
}

var (
	uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	kid  = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

// Validate gives every fault at once, as *contracts.Fault below path.
func (c *Config) Validate(env contracts.Environment, path string) error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path+"."+field, format, args...))
	}
	if _, ok := tokenHosts[env]; !ok {
		fault("endpoint", "no such environment")
	}
	http := c.http(env)
	faults = append(faults, http.Validate(env, path))
	if u, err := url.Parse(c.endpoint(env)); err == nil {
		for other, host := range tokenHosts {
			if other != env && u.Hostname() == host {
				fault("endpoint", "is that of %s, not of %s", other, env)
			}
		}
	}
	for other, host := range tokenHosts { // at most one fits
		if other != env && strings.HasPrefix(c.Audience, host+"/") {
			fault("audience", "is that of %s, not of %s", other, env)
		}
	}
	if strings.Contains(c.Audience, "://") {
		fault("audience", "is written without a scheme")
	}
	if !uuid.MatchString(c.Client) {
		fault("client", "want the client's UUID")
	}
	faults = append(faults, c.Key.Fault(path+".key"))
	if c.Kid != "" && !kid.MatchString(c.Kid) {
		fault("kid", "want 43 characters of base64url, or nothing: it is computed")
	}
	if len(c.Purposes) == 0 {
		fault("purposes", "want at least one NAME: purposeId")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Purposes)) {
		if name == "" || !uuid.MatchString(c.Purposes[name]) {
			fault("purposes."+name, "want a purposeId (UUID)")
		}
	}
	if c.RenewBefore < 0 || c.RenewBefore > time.Hour {
		fault("renew_before", "want 0s to 1h")
	}
	if c.AssertionLife < 30*time.Second || c.AssertionLife > 5*time.Minute {
		fault("assertion_life", "want 30s to 5m")
	}
	return errors.Join(faults...)
}

func (c *Config) http(env contracts.Environment) wire.Config {
	h := wire.Default()
	h.Endpoint, h.CA, h.Proxy, h.Timeout = c.endpoint(env), c.CA, c.Proxy, c.Timeout
	h.MaxBody = 64 << 10
	return h
}

// A Client obtains and keeps vouchers. It is safe for concurrent use.
type Client struct {
	cfg      Config
	audience string
	kid      string
	public   crypto.PublicKey
	sign     func(payload []byte) (string, error)
	wire     *wire.Client
	cache    *bearer.Cache
	clock    contracts.Clock
	log      *slog.Logger
}

// Open reads the key and builds the signer, once. It does no network I/O.
func Open(ctx context.Context, cfg Config, env contracts.Env) (*Client, error) {
	fail := func(err error) (*Client, error) {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: env.Instance, Operation: "open", Err: err}
	}
	secret, err := env.Secret(ctx, cfg.Key)
	if err != nil {
		return fail(contracts.Faultf("voucher.key", "cannot be read"))
	}
	signer, err := keys.RSA(secret)
	if err != nil {
		return fail(contracts.Faultf("voucher.key", "%v", err))
	}
	c := &Client{cfg: cfg, audience: cfg.audience(env.Environment), public: signer.Public(), clock: env.Clock, log: env.Log}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.clock == nil {
		c.clock = contracts.SystemClock{}
	}
	if c.kid = cfg.Kid; c.kid == "" {
		if c.kid, err = Thumbprint(c.public); err != nil {
			return fail(contracts.Faultf("voucher.key", "%v", err))
		}
	}
	if c.sign, err = keys.RS256(signer, map[string]any{"kid": c.kid}); err != nil {
		return fail(contracts.Faultf("voucher.key", "%v", err))
	}
	if c.wire, err = wire.Open(ctx, cfg.http(env.Environment), env); err != nil {
		return nil, err
	}
	c.cache = bearer.New(bearer.Options{
		Clock: c.clock, RenewBefore: cfg.RenewBefore, Timeout: 3 * cfg.Timeout,
		Fetch: func(ctx context.Context, purpose string) (bearer.Token, error) {
			return c.fetch(ctx, purpose, contracts.Sum{})
		},
	})
	return c, nil
}

// Close stops what is under way and waits for it. It may be called again.
func (c *Client) Close() {
	c.cache.Close()
	c.wire.Close()
}

// Purposes lists the configured purpose names, in order.
func (c *Client) Purposes() []string {
	return slices.Sorted(maps.Keys(c.cfg.Purposes))
}

// purposeID maps a caller's purpose; one that is not configured may not ask.
func (c *Client) purposeID(purpose string) (string, error) {
	if id, ok := c.cfg.Purposes[purpose]; ok {
		return id, nil
	}
	e := contracts.Errorf(contracts.Denied, "voucher: the caller's purpose has no purposeId here: add it to voucher.purposes")
	e.Code = "PURPOSE"
	return "", e
}

// Authorize puts the voucher of a purpose on one attempt.
func (c *Client) Authorize(purpose string) func(context.Context, *http.Request) error {
	return func(ctx context.Context, r *http.Request) error {
		if _, err := c.purposeID(purpose); err != nil {
			return err
		}
		t, err := c.cache.Get(ctx, purpose)
		if err != nil {
			return err
		}
		t.Put(r)
		return nil
	}
}

// Do sends req through w with the voucher of a purpose. When the supplier answers 401 that voucher is dropped and the
// call made once more with a new one.
func (c *Client) Do(ctx context.Context, w *wire.Client, purpose string, req *wire.Request) (*wire.Response, error) {
	if _, err := c.purposeID(purpose); err != nil {
		return nil, w.Fail(ctx, contracts.AsError(err))
	}
	return c.cache.Do(ctx, w, purpose, req)
}

// Bound obtains a voucher tied to one tracking evidence, whose SHA-256 is digest (AUDIT_REST_02). It is good for one
// request and never kept.
func (c *Client) Bound(ctx context.Context, purpose string, digest contracts.Sum) (bearer.Token, error) {
	if digest.IsZero() {
		return bearer.Token{}, contracts.Errorf(contracts.Internal, "voucher: no digest to be bound to")
	}
	return c.fetch(ctx, purpose, digest)
}

// fetch makes one token request. Each attempt bears an assertion of its own: the platform takes each jti once, and an
// attempt whose answer was lost has used up its.
func (c *Client) fetch(ctx context.Context, purpose string, digest contracts.Sum) (bearer.Token, error) {
	id, err := c.purposeID(purpose)
	if err != nil {
		return bearer.Token{}, err
	}
	var now time.Time // of the attempt that was answered
	resp, err := c.wire.Do(ctx, &wire.Request{
		Method: http.MethodPost, Route: "POST /token.oauth2",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
		Effect: contracts.Read, // a second voucher harms nobody
		Compose: func(context.Context) ([]byte, error) {
			now = c.clock.Now()
			form, err := c.form(now, id, digest)
			return []byte(form), err
		},
	})
	if err != nil {
		return bearer.Token{}, err
	}
	if resp.Status != http.StatusOK {
		return bearer.Token{}, c.refusal(ctx, resp)
	}
	text, life, err := parseToken(resp.Body)
	if err != nil {
		return bearer.Token{}, resp.Malformed(ctx, err.Error())
	}
	return bearer.NewToken(text, now.Add(life)), nil
}

// form is the body of a token request, checked by the platform's own rules before it is sent: its refusals tell nothing.
func (c *Client) form(now time.Time, purposeID string, digest contracts.Sum) (string, error) {
	assertion, err := c.assertion(now, purposeID, digest)
	if err != nil {
		return "", contracts.Errorf(contracts.Internal, "client assertion: %w", err)
	}
	form := url.Values{
		"client_id":             {c.cfg.Client},
		"client_assertion":      {assertion},
		"client_assertion_type": {assertionType},
		"grant_type":            {grantType},
	}
	rules := Rules{Audience: c.audience, Client: c.cfg.Client, Kid: c.kid, Key: c.public, Now: now, Purpose: true}
	if err := rules.Check(form); err != nil {
		e := contracts.Errorf(contracts.Internal, "client assertion would be refused: %w", err)
		e.Code = "ASSERTION"
		return "", e
	}
	return form.Encode(), nil
}

// refusal turns the platform's opaque answer into what an operator can act on: what our own checks have ruled out, what
// is left, and the platform's id of the request.
func (c *Client) refusal(ctx context.Context, resp *wire.Response) error {
	p := wire.ParseProblem(resp.Body)
	code := ""
	if len(p.Codes) > 0 {
		code = p.Codes[0]
	}
	e := resp.Err(ctx, code)
	switch resp.Status {
	case http.StatusBadRequest, http.StatusUnauthorized:
		e.Kind = contracts.Denied // a request of ours that passes every published rule is refused for who we are
		e.Err = errors.New("voucher refused" + with(p.CorrelationID) +
			": the assertion passes every published rule, so see on the PDND whether the key is registered with the client, " +
			"and whether purpose, agreement and e-service version are active" + skew(resp.Header, c.clock.Now()))
	case http.StatusTooManyRequests:
		if _, said := wire.After(resp.Header, c.clock.Now()); !said {
			e.After = interval(resp.Header)
		}
		e.Err = errors.New("voucher: too many token requests" + with(p.CorrelationID))
	default:
		e.Err = errors.New("voucher: status " + strconv.Itoa(resp.Status) + with(p.CorrelationID))
	}
	return e
}

func with(correlationID string) string {
	if correlationID == "" {
		return ""
	}
	return " (correlationId " + correlationID + ")"
}

// skew names the commonest cause that no check of ours can see: a clock that is wrong.
func skew(h http.Header, now time.Time) string {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return ""
	}
	if d := now.Sub(date); d.Abs() > time.Minute {
		return "; our clock differs from the platform's by " + d.Round(time.Second).String()
	}
	return ""
}

// interval reads X-Rate-Limit-Interval (milliseconds): at its end the allowance is whole again.
func interval(h http.Header) time.Duration {
	ms, err := strconv.ParseUint(strings.TrimSpace(h.Get("X-Rate-Limit-Interval")), 10, 31)
	if err != nil || ms == 0 {
		return time.Minute
	}
	return min(time.Duration(ms)*time.Millisecond, time.Hour)
}

var (
	errTokenJSON = errors.New("token answer is not the JSON of the contract")
	errTokenType = errors.New("token answer: token_type is not Bearer")
	errTokenLife = errors.New("token answer: expires_in is not 1 to 604800 seconds")
	errTokenText = errors.New("token answer: access_token is not a compact JWS")
)

// parseToken reads the token answer.
func parseToken(body []byte) (token string, life time.Duration, err error) {
	var t struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if json.Unmarshal(body, &t) != nil {
		return "", 0, errTokenJSON
	}
	if !strings.EqualFold(t.TokenType, "Bearer") {
		return "", 0, errTokenType
	}
	if t.ExpiresIn < 1 || t.ExpiresIn > 7*24*3600 {
		return "", 0, errTokenLife
	}
	if !compact.MatchString(t.AccessToken) {
		return "", 0, errTokenText
	}
	return t.AccessToken, time.Duration(t.ExpiresIn) * time.Second, nil
}
