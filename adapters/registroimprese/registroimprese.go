// Package registroimprese asks the Registro delle imprese (kept by the chambers of commerce, run by InfoCamere) what an
// enterprise is and who may speak for it. Two roads lead to it, of which an instance takes one:
//
//   - wspa: InfoCamere's gateway. Whether an enterprise is enrolled, its name and seat, its legal representatives. It knows
//     no standing, legal form, activity, PEC, REA number or day of enrolment, and says so in Company.Unknown.
//   - pdnd: the register's e-services on the PDND. The whole profile of an enterprise, its PEC included, at once; nothing
//     of representatives.
//
// Law: legge 580/1993, art. 8, and D.P.R. 581/1995; for the PEC in the register D.L. 185/2008, art. 16(6), D.L. 179/2012,
// art. 5, and D.lgs. 82/2005 (CAD), art. 6-bis. Source: InfoCamere, WSPA manual v6 (26 December 2022) and its OpenAPI files
// "Recupero Sede / Esistenza RI" and "Legale rappresentante" 1.0.0; the public descriptions of the e-services' fields.
//
// Basis: wspa is a published contract, but for the question whether a person represents an enterprise, which is known from
// the largest public client, pn-national-registries; where answers differ from the files (nothing found told inside 200,
// two spellings of the street number, two places of the name), so are its habits. pdnd is modelled: the lists of fields are
// public, the wire is not, and the real one will differ.
//
// Known gaps: asked by partita IVA, wspa is taken to answer with the codice fiscale of the enterprise, which cannot be held
// against the question: who has both codes is asked about by codice fiscale. wspa does not tell an enterprise that has ceased
// from one that is active. pdnd asks without a body, and so has nothing to sign by INTEGRITY_REST_02. PARIX, the regional
// road, is not spoken.
package registroimprese

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"reflect"
	"time"

	"raccordo/adapters/internal/pdnd"
	"raccordo/adapters/internal/wire"
	"raccordo/adapters/internal/wspa"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/domicile"
)

// Register is the register's name in answers.
const Register = "Registro Imprese"

// The roads.
const (
	RoadWSPA = "wspa"
	RoadPDND = "pdnd"
)

// A Config is what a person writes about one road to the register.
type Config struct {
	// Road is wspa or pdnd. There is no default: what can be asked, and what an answer knows, follows from it.
	Road string      `yaml:"road"`
	HTTP wire.Config `yaml:"http"`
	// Login is for road wspa alone.
	Login wspa.Config `yaml:"login,omitempty"`
	// Voucher is for road pdnd alone.
	Voucher pdnd.Config `yaml:"voucher,omitempty"`
	// Audit is for road pdnd alone: the audience of the e-service, where it demands tracking evidence (AUDIT_REST_02). The
	// caller's user, site and level of assurance are then told it, signed. Empty: they are not.
	Audit string `yaml:"audit,omitempty"`
}

// Default gives the settings but for road, endpoint and credentials.
func Default() contracts.Config {
	return &Config{HTTP: wire.Default(), Login: wspa.Default(), Voucher: pdnd.Default()}
}

// Operations are those of the road; of no road, what any of them offers.
func (c *Config) Operations() []*contracts.OpInfo {
	switch c.Road {
	case RoadWSPA:
		return company.Ops()
	case RoadPDND:
		return []*contracts.OpInfo{company.OpFind.OpInfo, domicile.OpLookup.OpInfo}
	}
	return append(company.Ops(), domicile.OpLookup.OpInfo)
}

// Paces are at once for the domiciles of enterprises, which road pdnd tells. What it does not name is answered at once too,
// or not at all.
func (c *Config) Paces() []contracts.Pace {
	if c.Road == RoadWSPA {
		return nil
	}
	return []contracts.Pace{{Op: domicile.OpLookup.OpInfo, For: string(domicile.Enterprise), AtOnce: true}}
}

// hosts are those of the PDND's environment of attestation, the only ones of road pdnd that are known.
var hosts = map[string]contracts.Environment{"eservices.att.interop.pagopa.it": contracts.Attestazione}

// Validate gives every fault at once.
func (c *Config) Validate(env contracts.Environment) error {
	faults := []error{c.HTTP.Validate(env, "http")}
	fault := func(path, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path, format, args...))
	}
	switch c.Road {
	case RoadWSPA:
		faults = append(faults, wspa.HostFault(env, "http.endpoint", c.HTTP.Endpoint), c.Login.Validate(env, "login"))
		if !reflect.DeepEqual(c.Voucher, pdnd.Default()) {
			fault("voucher", "belongs to road %s: road %s logs in", RoadPDND, RoadWSPA)
		}
		if c.Audit != "" {
			fault("audit", "belongs to road %s: road %s knows no tracking evidence", RoadPDND, RoadWSPA)
		}
	case RoadPDND:
		faults = append(faults, c.Voucher.Validate(env, "voucher"))
		if u, err := url.Parse(c.HTTP.Endpoint); err == nil {
			if of, known := hosts[u.Hostname()]; known && of != env {
				fault("http.endpoint", "is that of %s, not of %s", of, env)
			}
		}
		if c.Login != wspa.Default() {
			fault("login", "belongs to road %s: road %s shows a voucher", RoadWSPA, RoadPDND)
		}
	default:
		fault("road", "want %s (name, seat, representatives) or %s (the whole profile)", RoadWSPA, RoadPDND)
	}
	return errors.Join(faults...)
}

// Open makes the adapter of the road. It does no network I/O.
func (c *Config) Open(ctx context.Context, env contracts.Env) (contracts.Adapter, error) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, &contracts.Error{
			Kind: contracts.Internal, System: env.Instance, Operation: "open", Err: errors.New("no time zone data: link time/tzdata"),
		}
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Clock == nil {
		env.Clock = contracts.SystemClock{}
	}
	r := reader{env: env, rome: rome}
	if c.Road == RoadWSPA {
		g, err := wspa.Open(ctx, c.Login, c.HTTP, env)
		if err != nil {
			return nil, err
		}
		return &Gateway{reader: r, gateway: g}, nil
	}
	s := &EService{reader: r}
	if s.wire, err = wire.Open(ctx, c.HTTP, env); err != nil {
		return nil, err
	}
	if s.voucher, err = pdnd.Open(ctx, c.Voucher, env); err != nil {
		s.wire.Close()
		return nil, err
	}
	if c.Audit != "" {
		if s.audit, err = openAuditor(ctx, c, env); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

var _ contracts.Pacer = (*Config)(nil)

// codeOf is the code by which the register is asked about an enterprise: its codice fiscale, which is the register's key,
// and its partita IVA where that is all that is known.
func codeOf(s contracts.Subject) string {
	if !s.CodiceFiscale.IsZero() {
		return s.CodiceFiscale.Reveal()
	}
	return s.PartitaIVA.Reveal()
}

// covers says what is wrong with a request.
func covers(v contracts.Validator) error {
	if err := v.Validate(); err != nil {
		return &contracts.Error{Kind: contracts.Invalid, Code: "RI_REQUEST", Err: err}
	}
	return nil
}

// A reader turns words of the register into ours.
type reader struct {
	env  contracts.Env
	rome *time.Location
}

// instant is when the register made an answer: as it says, in Italian time where it names no zone. One that says nothing
// readable answered just now.
func (r *reader) instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.ParseInLocation("2006-01-02T15:04:05", s, r.rome)
	}
	if err != nil || t.Year() < 2000 || t.Year() > 9999 {
		return r.env.Clock.Now()
	}
	return t
}

// warn reports something in an answer that was left out.
func (r *reader) warn(ctx context.Context, text string, n int) {
	r.env.Log.LogAttrs(ctx, slog.LevelWarn, text, slog.String("system", r.env.Instance), slog.Int("left_out", n))
}
