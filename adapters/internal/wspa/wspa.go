// Package wspa speaks with InfoCamere's gateway for public administrations, behind which INI-PEC and the business register
// stand alike: a log-in by signed assertion, a token per scope, and error objects that come with any status, 200 included.
//
// Source: InfoCamere, WSPA manual v6 (26 December 2022) and its OpenAPI files.
//
// Basis: published contract; where the live gateway differs from it (the token as raw text, two styles of 401), the habits
// of the largest public client, pn-national-registries.
//
// Known gaps: tokens are opaque to us and verified by nobody here; quotas are contractual and not announced on the wire.
package wspa

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"raccordo/adapters/internal/bearer"
	"raccordo/adapters/internal/keys"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// A Config is what a person writes about the log-in.
type Config struct {
	// Client is the id that InfoCamere gave the administration.
	Client string `yaml:"client"`
	// Key is the private RSA key, in PEM, of Certificate.
	Key contracts.Secret `yaml:"key"`
	// Certificate is the path of the PEM file of the seal's certificate, registered with InfoCamere.
	Certificate string `yaml:"certificate"`
	// Audience of the assertion; empty: the endpoint, as the manual wants it.
	Audience string `yaml:"audience,omitempty"`
	// RenewBefore is how long before its end a token is renewed.
	RenewBefore time.Duration `yaml:"renew_before,omitempty"`
}

// Default renews at 120 s.
func Default() Config { return Config{RenewBefore: 120 * time.Second} }

// hosts are InfoCamere's own, each of one environment.
var hosts = map[string]contracts.Environment{
	"icapis.infocamere.it":   contracts.Produzione,
	"icapiscl.infocamere.it": contracts.Collaudo,
}

// HostFault says that an endpoint of the gateway is another environment's, or nothing.
func HostFault(env contracts.Environment, path, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil // others say so
	}
	if of, known := hosts[u.Hostname()]; known && of != env {
		return contracts.Faultf(path, "is that of %s, not of %s", of, env)
	}
	return nil
}

// Validate gives every fault at once, as *contracts.Fault below path.
func (c *Config) Validate(env contracts.Environment, path string) error {
	at := func(field string) string { return path + "." + field }
	faults := []error{c.Key.Fault(at("key")), HostFault(env, at("audience"), c.Audience)}
	fault := func(field, format string, args ...any) {
		faults = append(faults, contracts.Faultf(at(field), format, args...))
	}
	if c.Client == "" || len(c.Client) > 200 {
		fault("client", "want the client_id that InfoCamere gave")
	}
	if c.Certificate == "" {
		fault("certificate", "want the path of a PEM file")
	} else if text, err := os.ReadFile(c.Certificate); err != nil {
		fault("certificate", "cannot read the file")
	} else if _, err := keys.Leaf(text); err != nil {
		fault("certificate", "%v", err)
	}
	if c.RenewBefore < 0 || c.RenewBefore > time.Hour {
		fault("renew_before", "want 0s to 1h")
	}
	return errors.Join(faults...)
}

// A Client is the gateway behind one log-in. It is safe for concurrent use.
type Client struct {
	clientID string // the agreement's
	query    string // as it stands in every call
	audience string
	clock    contracts.Clock
	rome     *time.Location
	sign     func(payload []byte) (string, error)
	wire     *wire.Client
	tokens   *bearer.Cache
}

// Open reads the key and the certificate, which must fit each other. cfg stands under "login" in the stanza of the adapter,
// gateway under "http". It does no network I/O.
func Open(ctx context.Context, cfg Config, gateway wire.Config, env contracts.Env) (*Client, error) {
	fail := func(field, format string, args ...any) (*Client, error) {
		return nil, &contracts.Error{
			Kind: contracts.Invalid, System: env.Instance, Operation: "open", Err: contracts.Faultf("login."+field, format, args...),
		}
	}
	secret, err := env.Secret(ctx, cfg.Key)
	if err != nil {
		return fail("key", "cannot be read")
	}
	key, err := keys.RSA(secret)
	if err != nil {
		return fail("key", "%v", err)
	}
	text, err := os.ReadFile(cfg.Certificate)
	if err != nil {
		return fail("certificate", "cannot read the file")
	}
	leaf, err := keys.Leaf(text)
	if err != nil {
		return fail("certificate", "%v", err)
	}
	if pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return fail("certificate", "is not that of key")
	}
	c := &Client{
		clientID: cfg.Client, query: "client_id=" + url.QueryEscape(cfg.Client),
		audience: cfg.Audience, clock: env.Clock,
	}
	if c.audience == "" {
		c.audience = strings.TrimSuffix(gateway.Endpoint, "/")
	}
	if c.clock == nil {
		c.clock = contracts.SystemClock{}
	}
	if c.rome, err = time.LoadLocation("Europe/Rome"); err != nil {
		return nil, &contracts.Error{
			Kind: contracts.Internal, System: env.Instance, Operation: "open", Err: errors.New("no time zone data: link time/tzdata"),
		}
	}
	// The gateway wants the certificate in the header, and no kid.
	x5c := []string{base64.StdEncoding.EncodeToString(leaf.Raw)}
	if c.sign, err = keys.RS256(key, map[string]any{"use": "sig", "x5c": x5c}); err != nil {
		return fail("key", "%v", err)
	}
	if c.wire, err = wire.Open(ctx, gateway, env); err != nil {
		return nil, err
	}
	c.tokens = bearer.New(bearer.Options{Clock: c.clock, RenewBefore: cfg.RenewBefore, Timeout: 3 * gateway.Timeout, Fetch: c.login})
	return c, nil
}

// Close stops what is under way and waits for it. It may be called again.
func (c *Client) Close() {
	c.tokens.Close()
	c.wire.Close()
}

// CloseIdle drops idle connections; calls go on.
func (c *Client) CloseIdle() { c.wire.Close() }

// Fail completes a copy of an error with the instance and the operation.
func (c *Client) Fail(ctx context.Context, err error) *contracts.Error {
	return c.wire.Fail(ctx, contracts.AsError(err))
}

// Check logs in anew with each scope: that proves the way to InfoCamere, the certificate and the scopes, and consults a
// register about nobody.
func (c *Client) Check(ctx context.Context, scopes ...string) error {
	for _, scope := range scopes {
		if _, err := c.login(ctx, scope); err != nil {
			e := *contracts.AsError(err)
			e.Operation = "check"
			return &e
		}
	}
	return nil
}

const trackingHeader = "X-Tracking-trackingId" // for support tickets

// Do sends a business request with the token of a scope: client_id in the query, token and scope in headers. When the
// gateway answers 401 that token is dropped, and the call made once more with a new one.
func (c *Client) Do(ctx context.Context, scope string, req *wire.Request) (*wire.Response, error) {
	with := *req
	with.Query = c.query
	if req.Query != "" {
		with.Query = req.Query + "&" + c.query
	}
	with.Header = http.Header{"Accept": {"application/json"}, "Scope": {scope}}
	if len(with.Body) > 0 {
		with.Header["Content-Type"] = []string{"application/json"}
	}
	with.RemoteID = trackingHeader
	resp, err := c.tokens.Do(ctx, c.wire, scope, &with)
	if err != nil {
		return nil, c.hour(contracts.AsError(err))
	}
	return resp, nil
}

// Failure is nil for a 200 in JSON that is no error object; else the error of the status, or of the error object inside
// the 200, which is Unavailable: the manual has none that the request could be blamed for. What a code means to a service,
// CodeNone above all, is the adapter's to say. Descriptions are free text and never quoted.
func (c *Client) Failure(ctx context.Context, resp *wire.Response) *contracts.Error {
	if resp.Status != http.StatusOK {
		code, _ := ErrorIn(resp.Body)
		if code == "" {
			code = refusalCode(resp.Body)
		}
		return c.hour(resp.Err(ctx, code))
	}
	if !resp.JSON() {
		return resp.Malformed(ctx, errNotJSON.Error())
	}
	if wire.Twice(resp.Body) {
		return resp.Malformed(ctx, errTwice.Error())
	}
	if code, is := ErrorIn(resp.Body); is {
		e := resp.Malformed(ctx, "an error inside status 200")
		if e.Kind != contracts.Uncertain {
			e.Kind = contracts.Unavailable
		}
		e.Code = code
		return c.hour(e)
	}
	return nil
}

var (
	errNotJSON = errors.New("the answer is not JSON")
	errTwice   = errors.New("a field of the answer stands twice")
)

// The hours, in Italy, in which InfoCamere does no works; those of every day take place in the others.
const (
	opens  = 8
	closes = 21
)

// hour adds to a failure of the gateway at night that it may well be the announced works; once, though a log-in's failure
// passes here again with the call that needed it.
func (c *Client) hour(e *contracts.Error) *contracts.Error {
	var said *nightly
	if e.Kind != contracts.Unavailable || errors.As(e.Err, &said) {
		return e
	}
	if h := c.clock.Now().In(c.rome).Hour(); h >= opens && h < closes {
		return e
	}
	out := *e
	out.Err = &nightly{e.Err}
	return &out
}

// A nightly cause says at what hour it came.
type nightly struct{ cause error }

func (n *nightly) Error() string {
	const text = "within InfoCamere's hours of maintenance, 21 to 8 in Italy"
	if n.cause == nil {
		return text
	}
	return n.cause.Error() + ", " + text
}

func (n *nightly) Unwrap() error { return n.cause }
