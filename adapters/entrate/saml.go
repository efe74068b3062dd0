package entrate

import (
	"errors"
	"time"

	"raccordo/contracts"
)

// A SAML is with what our assertions are made.
type SAML struct {
	// Issuer is the identity provider's name agreed with the agency.
	Issuer string `yaml:"issuer"`
	// Ente is the codice fiscale of our body.
	Ente string `yaml:"ente"`
	// Ufficio is the office within it, three characters.
	Ufficio string `yaml:"ufficio"`
	// Key is the private RSA key, in PEM, of Certificate.
	Key contracts.Secret `yaml:"key"`
	// Certificate is the path of the PEM file of the certificate that the agency knows.
	Certificate string `yaml:"certificate"`
	// Life is how long an assertion is valid, at most 10 minutes.
	Life time.Duration `yaml:"life,omitempty"`
}

func defaultSAML() SAML { return SAML{Life: 5 * time.Minute} }

func (s *SAML) validate(path string) error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path+"."+field, format, args...))
	}
	if s.Issuer == "" {
		fault("issuer", "want the name agreed with the agency")
	}
	if cf, err := contracts.ParseCodiceFiscale(s.Ente); err != nil || cf.Person() {
		fault("ente", "want the codice fiscale of our body, 11 digits")
	}
	if len(s.Ufficio) != 3 {
		fault("ufficio", "want three characters")
	}
	faults = append(faults, s.Key.Fault(path+".key"))
	if s.Certificate == "" {
		fault("certificate", "want the path of a PEM file")
	}
	if s.Life < time.Minute || s.Life > 10*time.Minute {
		fault("life", "want 1m to 10m")
	}
	return errors.Join(faults...)
}
