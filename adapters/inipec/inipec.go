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
	"errors"
	"log/slog"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/adapters/internal/wspa"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

// Register is INI-PEC's name in answers.
const Register = "INI-PEC"

const scope = "pec-pa" // of the token, by the manual

const (
	// MaxList is the most codes in one list, by the manual.
	MaxList = 10_000
	// Usual is InfoCamere's own average.
	Usual = 24 * time.Hour
)

// A Config is what a person writes about INI-PEC.
type Config struct {
	HTTP  wire.Config `yaml:"http"`
	Login wspa.Config `yaml:"login"`
	// Patience is when a list is given up; its requests fail as Unavailable and may be asked again.
	Patience time.Duration `yaml:"patience,omitempty"`
	// PollFirst and PollMax bound the time between two questions after a list; it grows with the list's age.
	PollFirst time.Duration `yaml:"poll_first,omitempty"`
	PollMax   time.Duration `yaml:"poll_max,omitempty"`
}

// Default gives the settings but for endpoint and credentials.
func Default() contracts.Config {
	http := wire.Default()
	http.MaxBody = 16 << 20 // 10,000 codes with several addresses each
	return &Config{
		HTTP: http, Login: wspa.Default(), Patience: 72 * time.Hour,
		PollFirst: time.Minute, PollMax: 30 * time.Minute,
	}
}

// Operations is the look-up alone.
func (*Config) Operations() []*contracts.OpInfo {
	return []*contracts.OpInfo{domicile.OpLookup.OpInfo}
}

// Paces are those of lists, a day on average, for enterprises and professionals.
func (*Config) Paces() []contracts.Pace {
	return []contracts.Pace{
		{Op: domicile.OpLookup.OpInfo, For: string(domicile.Enterprise)},
		{Op: domicile.OpLookup.OpInfo, For: string(domicile.Professional)},
	}
}

// Validate gives every fault at once.
func (c *Config) Validate(env contracts.Environment) error {
	faults := []error{
		c.HTTP.Validate(env, "http"), wspa.HostFault(env, "http.endpoint", c.HTTP.Endpoint), c.Login.Validate(env, "login"),
	}
	fault := func(path, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path, format, args...))
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
	return errors.Join(faults...)
}

// Open makes the adapter. It does no network I/O.
func (c *Config) Open(ctx context.Context, env contracts.Env) (contracts.Adapter, error) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, &contracts.Error{
			Kind: contracts.Internal, System: env.Instance, Operation: "open", Err: errors.New("no time zone data: link time/tzdata"),
		}
	}
	a := &Adapter{cfg: *c, env: env, rome: rome}
	if a.env.Log == nil {
		a.env.Log = slog.New(slog.DiscardHandler)
	}
	if a.env.Clock == nil {
		a.env.Clock = contracts.SystemClock{}
	}
	if a.gateway, err = wspa.Open(ctx, c.Login, c.HTTP, a.env); err != nil {
		return nil, err
	}
	return a, nil
}

// An Adapter is INI-PEC behind the list form of domicile.lookup. It is safe for concurrent use.
type Adapter struct {
	cfg     Config
	env     contracts.Env
	rome    *time.Location
	gateway *wspa.Client
}

var (
	_ contracts.Checker = (*Adapter)(nil)
	_ contracts.Pacer   = (*Config)(nil)
)

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
	a.gateway.Close()
	return nil
}

// Check logs in anew: that proves the way to InfoCamere, the certificate and the scope, and consults the register about
// nobody.
func (a *Adapter) Check(ctx context.Context) error { return a.gateway.Check(ctx, scope) }

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
	return a.gateway.Fail(ctx, err)
}
