package entrate

import (
	"context"
	"encoding/xml"
	"errors"

	"raccordo/adapters/entrate/internal/rappresentante"
	"raccordo/adapters/internal/soap"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/company"
)

// The check of a body's legal representative: SOAP 1.1 over mutual TLS, a SAML assertion in the header.
//
// Source: the agency's public contract "VerificaRappresentanteEnte"; its technical annexes for the codes and the
// assertion. It looks at the principal representative (forms AA7 and AA5, section C) and at the others (AA7, section F).
//
// Known gaps: the answer repeats neither code, so that only the connection ties it to its question. Which codiceRitorno
// comes with XX01 and XX02 is not public: dettaglioEsito decides, whichever it is.

// A Rappresentante section is about the check of a body's legal representative. Its http wants a client certificate.
type Rappresentante struct {
	HTTP wire.Config `yaml:"http"`
	SAML SAML        `yaml:"saml"`
}

func defaultRappresentante() Rappresentante {
	r := Rappresentante{HTTP: wire.Default(), SAML: defaultSAML()}
	r.HTTP.MaxBody = 64 << 10 // an answer is a few hundred bytes
	return r
}

func (r *Rappresentante) validate(env contracts.Environment, path string) error {
	return errors.Join(r.HTTP.Validate(env, path+".http"), r.SAML.validate(path+".saml"), mutual(&r.HTTP, path))
}

type representatives struct {
	*service
	own string // our own body's code
}

func openRepresentatives(ctx context.Context, cfg Rappresentante, env contracts.Env) (*representatives, error) {
	s, err := openService(ctx, cfg.HTTP, cfg.SAML, env, func(a *asserter) func(context.Context) ([]byte, error) { return a.ofCaller })
	if err != nil {
		return nil, err
	}
	return &representatives{s, cfg.SAML.Body}, nil
}

func (r *representatives) bindings() []contracts.Binding {
	return []contracts.Binding{
		contracts.Bind(company.OpRepresents, r.Represents,
			contracts.Covers(company.OpRepresents, holds), contracts.Named(company.OpRepresents)),
	}
}

// holds is what the agency answers for: subjects that are no natural persons, by whichever eleven digits the caller has.
// The service wants the codice fiscale. Where only a partita IVA is known it is asked instead: a company's two codes are
// one, and a number that is no body's own is told so (XX02), never answered with a no.
func holds(m company.Mandate) error {
	if err := m.Validate(); err != nil {
		return &contracts.Error{Kind: contracts.Invalid, Code: "ENTRATE_MANDATE", Err: err}
	}
	if m.Subject.CodiceFiscale.Person() {
		return contracts.Errorf(contracts.NotFound, "the agency's check is of bodies and companies: who trades alone represents themself, compare the two codes")
	}
	return nil
}

func bodyOf(s contracts.Subject) string {
	if cf := s.CodiceFiscale.Reveal(); cf != "" {
		return cf
	}
	return s.PartitaIVA.Reveal()
}

// Represents says whether a person speaks for a body. No is the agency's own word about a body that it holds.
func (r *representatives) Represents(ctx context.Context, m company.Mandate) (company.Representation, error) {
	if err := holds(m); err != nil {
		return company.Representation{}, r.fail(ctx, err)
	}
	found, reason, err := r.ask(ctx, m.Person.Reveal(), bodyOf(m.Subject), 0)
	if err != nil {
		return company.Representation{}, err
	}
	return company.Representation{Represents: found, Reason: reason, Register: Register, AsOf: r.env.Clock.Now()}, nil
}

const (
	nsRappresentante    = "http://anagrafica.verifica.rappresentante.ente"
	routeRappresentante = "CheckValidityRappresentante"
)

func (r *representatives) ask(ctx context.Context, person, body string, effect contracts.Effect) (found contracts.Finding, reason string, err error) {
	op := soap.Operation{
		Action: `"CheckValidityRappresentante"`, Route: routeRappresentante, Effect: effect,
		Answer: xml.Name{Space: nsRappresentante, Local: "checkValidityRappresentanteResp"},
	}
	req := &rappresentante.CheckValidityRappresentanteType{
		CfRappresentante: rappresentante.CodiceFiscaleType(person), CfEnte: rappresentante.CodiceFiscaleType(body),
	}
	_, err = ask(ctx, r.service, op, req, func(a *rappresentante.CheckValidityRappresentanteRespType) (e *contracts.Error) {
		found, reason, e = judge(a)
		return e
	})
	return found, reason, err
}

var (
	errNoBody      = errors.New("the agency holds no body of that codice fiscale: another register may")
	errContradicts = errors.New("the answer says valido, and that there is no answer")
)

// esitoNoBody says that the body's code is not that of a non-natural person.
const esitoNoBody = "XX02"

// judge reads an answer. valido has a meaning only where the question was processed (00) and nothing is said against it
// (XX00): a false beside a time-out is a field that somebody forgot to leave out, and no "no". That it is missing, or that
// the outcome is not coded, is CannotTell, with the agency's code.
func judge(a *rappresentante.CheckValidityRappresentanteRespType) (f contracts.Finding, reason string, e *contracts.Error) {
	s := saidOf(a.CodiceRitorno, a.DettaglioEsito)
	f, e = contracts.CannotTell, s.failure(term{esitoNoBody, contracts.NotFound, errNoBody})
	switch {
	case e != nil && e.Kind != contracts.Malformed && a.Valido != nil && bool(*a.Valido):
		return f, "", s.err(contracts.Malformed, errContradicts)
	case e != nil:
		return f, "", e
	case s.dettaglio == esitoDone && a.Valido != nil:
		return contracts.FindingOf(bool(*a.Valido)), "", nil
	}
	return f, s.dettaglio, nil
}

// check asks whether our own administration represents itself. Whatever the answer, it proves the way to the agency, the
// certificate of the channel and the assertion, and is about nobody else.
func (r *representatives) check(ctx context.Context) error {
	_, _, err := r.ask(ctx, r.own, r.own, contracts.Read)
	switch {
	case err == nil:
		return nil
	case contracts.KindOf(err) == contracts.NotFound, contracts.KindOf(err) == contracts.Invalid && contracts.AsError(err).Code == esitoPerson:
		return nil // it was looked for, and not found
	}
	return err
}
