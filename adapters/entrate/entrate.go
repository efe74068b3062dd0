// Package entrate asks the Agenzia delle Entrate four things: whether a codice fiscale is in use and what a partita IVA
// stands for (REST, with a PDND voucher), whether somebody is the legal representative of a body, and what income was
// declared for a year (SOAP). Each service has its own agreement, and its own section of the configuration.
//
// Law: D.P.R. 605/1973 (Anagrafe tributaria and codice fiscale); D.P.R. 633/1972, art. 35 and 70-bis to 70-duodecies
// (partita IVA, VAT groups); D.P.R. 445/2000, art. 43 and 71. Source: the agency's contracts "Verifica validità codice
// fiscale" 1.0.0 (OpenAPI) and "VerificaRappresentanteEnte" (WSDL and XSD); "Verifica validità partita iva" 3.0.0 as the
// replica in PDND's attestation environment publishes it; GovWay's documentation and error catalogue for the gateway in
// front of the REST services.
//
// Basis: published contracts, but for the income service, which has none: modelled. Where the contracts leave room
// (audiences, rate headers, names of errors), GovWay's documentation and public client code.
//
// An answer counts only in the words of the contract. Of the fiscal-code check the four agreed messages count, each with
// its truth value; anything else is CodeUnclear, and an alarm in the log. A number's state that is not agreed is left
// empty, with an alarm likewise.
//
// Known gaps: no service tells as of which instant the registry answers: AsOf is the instant, by our clock, at which the
// answer was read. The code that replaced a superseded one is never told. That the VAT check has GET /status is known of
// the replica alone. Limits per day are agreed on the purpose, and not announced on the wire. What the SOAP services leave
// open stands with each of them.
package entrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"raccordo/contracts"
)

// Register is the name, in answers, of the registry behind all four services.
const Register = "Anagrafe tributaria"

// A part is one of the agency's services, opened.
type part interface {
	bindings() []contracts.Binding
	// check makes the cheapest honest call that consults the registry about nobody.
	check(ctx context.Context) error
	// close waits for what is under way; it may be called again.
	close()
}

// Open makes the adapter of the sections in use. It does no network I/O.
func (c *Config) Open(ctx context.Context, env contracts.Env) (contracts.Adapter, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Clock == nil {
		env.Clock = contracts.SystemClock{}
	}
	a := &Adapter{env: env}
	for _, open := range []struct {
		section, endpoint string
		part              func() (part, error)
	}{
		{"codice_fiscale", c.CodiceFiscale.HTTP.Endpoint, func() (part, error) { return openCodes(ctx, c.CodiceFiscale, env) }},
		{"partita_iva", c.PartitaIVA.HTTP.Endpoint, func() (part, error) { return openNumbers(ctx, c.PartitaIVA, env) }},
		{"rappresentante", c.Rappresentante.HTTP.Endpoint, func() (part, error) { return openRepresentatives(ctx, c.Rappresentante, env) }},
		{"redditi", c.Redditi.HTTP.Endpoint, func() (part, error) { return openIncomes(ctx, c.Redditi, env) }},
	} {
		if open.endpoint == "" {
			continue
		}
		p, err := open.part()
		if err != nil {
			_ = a.Close()
			e := *contracts.AsError(err)
			e.Err = fmt.Errorf("%s: %w", open.section, e.Err)
			return nil, &e
		}
		a.parts = append(a.parts, named{open.section, p})
	}
	return a, nil
}

type named struct {
	section string
	part
}

// An Adapter is the agency's services that are in use. It is safe for concurrent use.
type Adapter struct {
	env   contracts.Env
	parts []named
}

var _ contracts.Checker = (*Adapter)(nil)

// Bindings offers what is in use.
func (a *Adapter) Bindings() []contracts.Binding {
	var all []contracts.Binding
	for _, p := range a.parts {
		all = append(all, p.bindings()...)
	}
	return all
}

// Close waits for what is under way. It may be called again.
func (a *Adapter) Close() error {
	for _, p := range a.parts {
		p.close()
	}
	return nil
}

// Check asks each service in use what can be asked without consulting the registry about anybody; the error names the
// service, and its Kind is that of the first that failed.
func (a *Adapter) Check(ctx context.Context) error {
	var (
		first *contracts.Error
		all   []error
	)
	for _, p := range a.parts {
		err := p.check(ctx)
		if err == nil {
			continue
		}
		e := contracts.AsError(err)
		if first == nil {
			first = e
		}
		all = append(all, fmt.Errorf("%s: %w", p.section, e.Err))
	}
	if first == nil {
		return nil
	}
	e := *first
	e.System, e.Operation, e.Err = a.env.Instance, "check", errors.Join(all...)
	return &e
}
