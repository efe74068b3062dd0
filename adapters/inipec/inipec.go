// Package inipec asks INI-PEC (InfoCamere's WSPA services) for the certified addresses of enterprises and of
// professionals enrolled in an order. INI-PEC answers lists only, in its own time: a day on average.
//
// Law: D.lgs. 82/2005 (CAD), art. 6-bis. Source: InfoCamere, WSPA manual v6 (26 December 2022) and its OpenAPI files
// richiestaElencoPEC and getElencoPEC 1.0.0.
//
// Basis: published contract; where the live service differs from it (errors inside 200, a second shape for the
// professionals, the token as raw text), the habits of the largest public client, pn-national-registries.
//
// Known gaps: verification is not bound: /attestazioniPec answers a signed PDF, which a person can read and a program
// cannot turn into a verdict. Quotas are contractual and not announced on the wire.
package inipec

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"raccordo/adapters/internal/bearer"
	"raccordo/adapters/internal/keys"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

// Register is INI-PEC's name in answers.
const Register = "INI-PEC"

const (
	// MaxList is the most codes in one list, by the manual.
	MaxList = 10_000
	// Usual is InfoCamere's own average.
	Usual = 24 * time.Hour
)

// A Config is what a person writes about INI-PEC.
type Config struct {
	HTTP wire.Config `yaml:"http"`
	// Client is the id that InfoCamere gave the administration.
	Client string `yaml:"client"`
	// Key is the private RSA key, in PEM, of Certificate.
	Key contracts.Secret `yaml:"key"`
	// Certificate is the path of the PEM file of the seal's certificate, registered with InfoCamere.
	Certificate string `yaml:"certificate"`
	// Scope of the token.
	Scope string `yaml:"scope,omitempty"`
	// Audience of the assertion; empty: the endpoint, as the manual wants it.
	Audience string `yaml:"audience,omitempty"`
	// Patience is when a list is given up; its requests fail as Unavailable and may be asked again.
	Patience time.Duration `yaml:"patience,omitempty"`
	// PollFirst and PollMax bound the time between two questions after a list; it grows with the list's age.
	PollFirst time.Duration `yaml:"poll_first,omitempty"`
	PollMax   time.Duration `yaml:"poll_max,omitempty"`
	// RenewBefore is how long before its end a token is renewed.
	RenewBefore time.Duration `yaml:"renew_before,omitempty"`
}

// Default gives the settings but for endpoint and credentials.
func Default() contracts.Config {
	http := wire.Default()
	http.MaxBody = 16 << 20 // 10,000 codes with several addresses each
	return &Config{
		HTTP: http, Scope: "pec-pa", Patience: 72 * time.Hour,
		PollFirst: time.Minute, PollMax: 30 * time.Minute, RenewBefore: 120 * time.Second,
	}
}

// Operations is the look-up alone.
func (*Config) Operations() []*contracts.OpInfo {
	return []*contracts.OpInfo{domicile.OpLookup.OpInfo}
}

// hosts are InfoCamere's own, each of one environment.
var hosts = map[string]contracts.Environment{
	"icapis.infocamere.it":   contracts.Produzione,
	"icapiscl.infocamere.it": contracts.Collaudo,
}

// Validate gives every fault at once.
func (c *Config) Validate(env contracts.Environment) error {
	faults := []error{c.HTTP.Validate(env, "http"), c.Key.Fault("key")}
	fault := func(path, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path, format, args...))
	}
	for _, f := range []struct{ path, endpoint string }{{"http.endpoint", c.HTTP.Endpoint}, {"audience", c.Audience}} {
		if u, err := url.Parse(f.endpoint); err == nil {
			if of, known := hosts[u.Hostname()]; known && of != env {
				fault(f.path, "is that of %s, not of %s", of, env)
			}
		}
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
	if c.Scope == "" {
		fault("scope", "want the scope of the agreement: pec-pa")
	}
	if c.PollFirst < time.Second || c.PollFirst > time.Hour {
		fault("poll_first", "want 1s to 1h")
	}
	if c.PollMax < c.PollFirst || c.PollMax > 24*time.Hour {
		fault("poll_max", "want poll_first to 24h")
	}
	if c.Patience < c.PollMax || c.Patience > 30*24*time.Hour {
		fault("patience", "want poll_max to 720h")
	}
	if c.RenewBefore < 0 || c.RenewBefore > time.Hour {
		fault("renew_before", "want 0s to 1h")
	}
	return errors.Join(faults...)
}

// Open makes the adapter. It does no network I/O.
func (c *Config) Open(ctx context.Context, env contracts.Env) (contracts.Adapter, error) {
	fail := func(err error) (contracts.Adapter, error) {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: env.Instance, Operation: "open", Err: err}
	}
	a := &Adapter{cfg: *c, env: env}
	if a.env.Log == nil {
		a.env.Log = slog.New(slog.DiscardHandler)
	}
	if a.env.Clock == nil {
		a.env.Clock = contracts.SystemClock{}
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return fail(errors.New("no time zone data: link time/tzdata"))
	}
	a.rome = rome
	secret, err := env.Secret(ctx, c.Key)
	if err != nil {
		return fail(contracts.Faultf("key", "cannot be read"))
	}
	key, err := keys.RSA(secret)
	if err != nil {
		return fail(contracts.Faultf("key", "%v", err))
	}
	text, err := os.ReadFile(c.Certificate)
	if err != nil {
		return fail(contracts.Faultf("certificate", "cannot read the file"))
	}
	leaf, err := keys.Leaf(text)
	if err != nil {
		return fail(contracts.Faultf("certificate", "%v", err))
	}
	if pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return fail(contracts.Faultf("certificate", "is not that of key"))
	}
	// WSPA wants the certificate in the header, and no kid.
	x5c := []string{base64.StdEncoding.EncodeToString(leaf.Raw)}
	if a.sign, err = keys.RS256(key, map[string]any{"use": "sig", "x5c": x5c}); err != nil {
		return fail(contracts.Faultf("key", "%v", err))
	}
	if a.wire, err = wire.Open(ctx, c.HTTP, a.env); err != nil {
		return nil, err
	}
	a.clientID = "client_id=" + url.QueryEscape(c.Client)
	a.audience = c.Audience
	if a.audience == "" {
		a.audience = strings.TrimSuffix(c.HTTP.Endpoint, "/")
	}
	a.tokens = bearer.New(bearer.Options{Clock: a.env.Clock, RenewBefore: c.RenewBefore, Timeout: 3 * c.HTTP.Timeout, Fetch: a.login})
	return a, nil
}

// An Adapter is INI-PEC behind the list form of domicile.lookup. It is safe for concurrent use.
type Adapter struct {
	cfg      Config
	env      contracts.Env
	rome     *time.Location
	clientID string // as it stands in every query
	audience string
	sign     func(payload []byte) (string, error)
	wire     *wire.Client
	tokens   *bearer.Cache
}

var _ contracts.Checker = (*Adapter)(nil)

// Bindings offers look-ups, in lists only.
func (a *Adapter) Bindings() []contracts.Binding {
	return []contracts.Binding{
		contracts.Bind(domicile.OpLookup, nil,
			contracts.Covers(domicile.OpLookup, covers),
			contracts.Expected(domicile.OpLookup, Usual),
			contracts.AsList(domicile.OpLookup, MaxList, a.start, a.collect)),
	}
}

// Close waits for what is under way. It may be called again.
func (a *Adapter) Close() error {
	a.tokens.Close()
	a.wire.Close()
	return nil
}

// Check logs in anew: that proves the way to InfoCamere, the certificate and the scope, and consults the register about
// nobody.
func (a *Adapter) Check(ctx context.Context) error {
	if _, err := a.login(ctx, a.cfg.Scope); err != nil {
		e := *contracts.AsError(err)
		e.Operation = "check"
		return &e
	}
	return nil
}

// covers is what INI-PEC holds by law: enterprises, and professionals as such.
func covers(q domicile.Query) error {
	switch q.Capacity {
	case domicile.Enterprise, domicile.Professional:
		if err := q.Subject.Validate(); err != nil {
			return &contracts.Error{Kind: contracts.Invalid, Code: "INIPEC_CF", Err: err}
		}
		return nil
	case domicile.Person, domicile.Body:
		return contracts.Errorf(contracts.NotFound, "INI-PEC holds enterprises and enrolled professionals only: persons and other bodies are in INAD")
	}
	e := contracts.Errorf(contracts.Invalid, "capacity is missing")
	e.Code = "INIPEC_CAPACITY"
	return e
}

func (a *Adapter) fail(ctx context.Context, err error) error {
	return a.wire.Fail(ctx, contracts.AsError(err))
}
