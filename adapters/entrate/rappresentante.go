package entrate

import (
	"context"
	"errors"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/company"
)

// A Rappresentante section is about the check of a body's legal representative. Its http wants a client certificate.
type Rappresentante struct {
	HTTP wire.Config `yaml:"http"`
	SAML SAML        `yaml:"saml"`
}

func defaultRappresentante() Rappresentante {
	return Rappresentante{HTTP: wire.Default(), SAML: defaultSAML()}
}

func (r *Rappresentante) validate(env contracts.Environment, path string) error {
	faults := []error{r.HTTP.Validate(env, path+".http"), r.SAML.validate(path + ".saml")}
	if r.HTTP.ClientCertificate == "" {
		faults = append(faults, contracts.Faultf(path+".http.client_certificate", "missing: the service speaks mutual TLS only"))
	}
	return errors.Join(faults...)
}

type representatives struct{ wire *wire.Client }

func openRepresentatives(ctx context.Context, cfg Rappresentante, env contracts.Env) (*representatives, error) {
	w, err := wire.Open(ctx, cfg.HTTP, env)
	if err != nil {
		return nil, err
	}
	return &representatives{w}, nil
}

func (r *representatives) bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(company.OpRepresents, r.Represents)}
}

// Represents says whether a person speaks for a body.
func (r *representatives) Represents(ctx context.Context, _ company.Mandate) (company.Representation, error) {
	return company.Representation{}, r.wire.Fail(ctx, contracts.Errorf(contracts.Internal, "not spoken yet"))
}

func (r *representatives) check(context.Context) error { return nil }

func (r *representatives) close() { r.wire.Close() }
