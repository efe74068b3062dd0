package entrate

import (
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"raccordo/adapters/internal/pdnd"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/tax"
)

// A Config is what a person writes about the Agenzia delle Entrate: one section for each of its services, each with its
// own agreement. A section is in use when its http.endpoint is set; at least one must be.
type Config struct {
	// CodiceFiscale is the fiscal-code check (e-service vcf2-verifica-cf): binds tax.code.
	CodiceFiscale REST `yaml:"codice_fiscale,omitempty"`
	// PartitaIVA is the VAT-number check (e-service verifica-piva v3): binds tax.vat.
	PartitaIVA REST `yaml:"partita_iva,omitempty"`
	// Rappresentante is the check of a body's legal representative (SOAP): binds company.represents.
	Rappresentante Rappresentante `yaml:"rappresentante,omitempty"`
	// Redditi is income and turnover of a tax year (SOAP, modelled): binds tax.income.
	Redditi Redditi `yaml:"redditi,omitempty"`
}

// A REST section is about one service behind a PDND voucher.
type REST struct {
	HTTP    wire.Config `yaml:"http"`
	Voucher pdnd.Config `yaml:"voucher"`
}

// Default gives the settings but for endpoints and credentials.
func Default() contracts.Config {
	c := defaults()
	return &c
}

func defaults() Config {
	rest := REST{HTTP: wire.Default(), Voucher: pdnd.Default()}
	rest.HTTP.MaxBody = 64 << 10 // an answer is a few hundred bytes
	return Config{CodiceFiscale: rest, PartitaIVA: rest, Rappresentante: defaultRappresentante(), Redditi: defaultRedditi()}
}

// A section is one service as far as all four are alike.
type section struct {
	name, endpoint string
	op             *contracts.OpInfo
	touched        bool // somebody has written in it
	validate       func(env contracts.Environment, path string) error
}

func (c *Config) sections() []section {
	d := defaults()
	touched := func(is, was any) bool { return !reflect.DeepEqual(is, was) }
	return []section{
		{"codice_fiscale", c.CodiceFiscale.HTTP.Endpoint, tax.OpCode.OpInfo, touched(c.CodiceFiscale, d.CodiceFiscale), c.CodiceFiscale.validate},
		{"partita_iva", c.PartitaIVA.HTTP.Endpoint, tax.OpVAT.OpInfo, touched(c.PartitaIVA, d.PartitaIVA), c.PartitaIVA.validate},
		{"rappresentante", c.Rappresentante.HTTP.Endpoint, company.OpRepresents.OpInfo, touched(c.Rappresentante, d.Rappresentante), c.Rappresentante.validate},
		{"redditi", c.Redditi.HTTP.Endpoint, tax.OpIncome.OpInfo, touched(c.Redditi, d.Redditi), c.Redditi.validate},
	}
}

// Operations are those of the sections in use. Where none is, they are all that there could be: Validate says what is
// wrong then, and routes need not be at fault for it too.
func (c *Config) Operations() []*contracts.OpInfo {
	var used, all []*contracts.OpInfo
	for _, s := range c.sections() {
		all = append(all, s.op)
		if s.endpoint != "" {
			used = append(used, s.op)
		}
	}
	if len(used) == 0 {
		return all
	}
	return used
}

// Validate gives every fault at once. A section that was written and has no endpoint is a fault: it would be silently
// out of use.
func (c *Config) Validate(env contracts.Environment) error {
	var (
		faults []error
		names  []string
		found  bool
	)
	for _, s := range c.sections() {
		names = append(names, s.name)
		found = found || s.touched
		switch {
		case s.endpoint != "":
			faults = append(faults, s.validate(env, s.name), hostFault(env, s.name+".http.endpoint", s.endpoint))
		case s.touched:
			faults = append(faults, contracts.Faultf(s.name+".http.endpoint",
				"missing: the section has settings and would be out of use; write the endpoint, or take the section away"))
		}
	}
	if !found {
		faults = append(faults, contracts.Faultf(names[0],
			"no service is configured: want at least one of %s, with its http.endpoint", strings.Join(names, ", ")))
	}
	return errors.Join(faults...)
}

func (r *REST) validate(env contracts.Environment, path string) error {
	return errors.Join(r.HTTP.Validate(env, path+".http"), r.Voucher.Validate(env, path+".voucher"))
}

// hosts are the agency's own, with the environments that each serves. The agency has one place for trials, which serves
// whatever the PDND calls it.
var hosts = map[string][]contracts.Environment{
	"modipa.agenziaentrate.gov.it":         {contracts.Produzione},
	"modipa.agenziaentrate.it":             {contracts.Produzione},
	"gatewaywebservices.agenziaentrate.it": {contracts.Produzione},
	"modipa-val.agenziaentrate.gov.it":     {contracts.Attestazione, contracts.Collaudo},
	"modipa-val.agenziaentrate.it":         {contracts.Attestazione, contracts.Collaudo},
	"modipa-uat.agenziaentrate.gov.it":     {contracts.Attestazione, contracts.Collaudo},
	"modipa-uat.agenziaentrate.it":         {contracts.Attestazione, contracts.Collaudo},
	"eservices.att.interop.pagopa.it":      {contracts.Attestazione},
}

// hostFault is that an endpoint is known to be another environment's.
func hostFault(env contracts.Environment, path, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil // wire says so
	}
	of, known := hosts[strings.ToLower(u.Hostname())]
	if !known || slices.Contains(of, env) {
		return nil
	}
	texts := make([]string, len(of))
	for i := range of {
		texts[i] = string(of[i])
	}
	return contracts.Faultf(path, "is that of %s, not of %s", strings.Join(texts, " and "), env)
}
