package entrate

import (
	"slices"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/tax"
)

func TestOnlyTheSectionsInUseAreBound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule   string
		change func(*Config)
		want   []*contracts.OpInfo
	}{
		{"both", func(*Config) {}, []*contracts.OpInfo{tax.OpCode.OpInfo, tax.OpVAT.OpInfo}},
		{"codes alone", func(c *Config) { c.PartitaIVA = defaults().PartitaIVA }, []*contracts.OpInfo{tax.OpCode.OpInfo}},
		{"numbers alone", func(c *Config) { c.CodiceFiscale = defaults().CodiceFiscale }, []*contracts.OpInfo{tax.OpVAT.OpInfo}},
	} {
		var declared []*contracts.OpInfo
		_, a := answering(t, saying(`{}`), func(c *Config, _ *contracts.Env) {
			tc.change(c)
			declared = c.Operations()
		})
		var bound []*contracts.OpInfo
		for _, b := range a.Bindings() {
			bound = append(bound, b.Op)
		}
		if !slices.Equal(declared, tc.want) || !slices.Equal(bound, tc.want) {
			t.Errorf("%s: %d declared and %d bound, want %d", tc.rule, len(declared), len(bound), len(tc.want))
		}
	}
	all := defaults()
	want := []*contracts.OpInfo{tax.OpCode.OpInfo, tax.OpVAT.OpInfo, company.OpRepresents.OpInfo, tax.OpIncome.OpInfo}
	if got := all.Operations(); !slices.Equal(got, want) { // Validate has a fault to tell, and routes need not have one too
		t.Errorf("%d operations where nothing is configured, want all that there could be", len(got))
	}
	for _, h := range []*string{
		&all.CodiceFiscale.HTTP.Endpoint, &all.PartitaIVA.HTTP.Endpoint, &all.Rappresentante.HTTP.Endpoint, &all.Redditi.HTTP.Endpoint,
	} {
		*h = "https://modipa.agenziaentrate.gov.it/x"
	}
	if got := all.Operations(); !slices.Equal(got, want) {
		t.Errorf("%d operations of all four sections", len(got))
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	filled := func(c *Config) {
		c.CodiceFiscale.HTTP.Endpoint = "https://modipa-val.agenziaentrate.it" + codePath
		c.CodiceFiscale.Voucher.Client = "5d1c1fd2-3e0a-4b0c-9d51-6a4d9b6f1a01"
		c.CodiceFiscale.Voucher.Key = "secret://file/key.pem"
		c.CodiceFiscale.Voucher.Purposes = map[string]string{"activation": "5d1c1fd2-3e0a-4b0c-9d51-6a4d9b6f1a02"}
	}
	for _, tc := range []struct {
		rule   string
		env    contracts.Environment
		change func(*Config)
		want   []string // path and a word of the text
	}{
		{"as it should be", contracts.Collaudo, filled, nil},
		{"the place for trials serves attestation too", contracts.Attestazione, filled, nil},
		{"nothing is configured", contracts.Collaudo, func(*Config) {}, []string{"codice_fiscale: no service is configured", "rappresentante, redditi"}},
		{"settings without an endpoint: voucher", contracts.Collaudo, func(c *Config) {
			filled(c)
			c.PartitaIVA.Voucher.Client = "x"
		}, []string{"partita_iva.http.endpoint: missing: the section has settings"}},
		{
			"settings without an endpoint: http", contracts.Collaudo, func(c *Config) { c.CodiceFiscale.HTTP.Attempts = 2 },
			[]string{"codice_fiscale.http.endpoint: missing: the section has settings"},
		},
		{
			"settings without an endpoint: saml", contracts.Collaudo, func(c *Config) { c.Rappresentante.SAML.Issuer = "x" },
			[]string{"rappresentante.http.endpoint: missing: the section has settings"},
		},
		{
			"settings without an endpoint: income", contracts.Collaudo, func(c *Config) { c.Redditi.Patience *= 2 },
			[]string{"redditi.http.endpoint: missing: the section has settings"},
		},
		{
			"the place for trials is not production's", contracts.Produzione, filled,
			[]string{"codice_fiscale.http.endpoint: is that of attestazione and collaudo, not of produzione"},
		},
		{"production's host in trials", contracts.Collaudo, func(c *Config) {
			filled(c)
			c.CodiceFiscale.HTTP.Endpoint = "https://MODIPA.agenziaentrate.gov.it" + codePath
		}, []string{"codice_fiscale.http.endpoint: is that of produzione, not of collaudo"}},
		{"production's other name in trials", contracts.Attestazione, func(c *Config) {
			filled(c)
			c.CodiceFiscale.HTTP.Endpoint = "https://modipa.agenziaentrate.it" + codePath
		}, []string{"codice_fiscale.http.endpoint: is that of produzione, not of attestazione"}},
		{"the SOAP host in trials", contracts.Collaudo, func(c *Config) {
			c.Rappresentante.HTTP.Endpoint = "https://gatewaywebservices.agenziaentrate.it/SPCBooleanoRappWS/VerificaRappresentanteEnteService"
		}, []string{"rappresentante.http.endpoint: is that of produzione, not of collaudo"}},
		{"every section has its own faults", contracts.Collaudo, func(c *Config) {
			c.CodiceFiscale.HTTP.Endpoint, c.PartitaIVA.HTTP.Endpoint = "http://a.test", "ftp://b.test"
			c.Rappresentante.HTTP.Endpoint, c.Redditi.HTTP.Endpoint = "https://c.test", "https://d.test"
		}, []string{
			"codice_fiscale.voucher.client: ", "codice_fiscale.voucher.key: ", "codice_fiscale.voucher.purposes: ",
			"partita_iva.http.endpoint: ", "partita_iva.voucher.client: ", "rappresentante.saml.", "redditi.saml.",
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			c := defaults()
			tc.change(&c)
			err := c.Validate(tc.env)
			if (err == nil) != (tc.want == nil) {
				t.Fatalf("%v, want faults: %v", err, tc.want)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
		})
	}
}

func TestAHostOfTheAgencysIsOfOneEnvironmentAtLeast(t *testing.T) {
	t.Parallel()
	for host, of := range hosts {
		for _, env := range []contracts.Environment{contracts.Attestazione, contracts.Collaudo, contracts.Produzione} {
			fault := hostFault(env, "x", "https://"+host+"/y")
			if (fault == nil) != slices.Contains(of, env) {
				t.Errorf("%s in %s: %v", host, env, fault)
			}
		}
		if slices.Contains(of, contracts.Produzione) && len(of) > 1 {
			t.Errorf("%s is production's, and somebody else's", host)
		}
	}
}

func TestAnOpenThatFailsNamesItsSection(t *testing.T) {
	t.Parallel()
	_, a := answering(t, saying(`{}`), nil)
	c := defaults()
	c.PartitaIVA.HTTP.Endpoint = "http://127.0.0.1:1"
	c.PartitaIVA.Voucher.Key = "secret://file/nowhere.pem"
	_, err := c.Open(t.Context(), a.env)
	if e := wantKind(t, err, contracts.Invalid); e.Operation != "open" || !strings.Contains(e.Error(), "partita_iva: voucher.key: ") {
		t.Errorf("%v: want the section and the key named", err)
	}
}

func TestDefaultsAreOneForEachConfig(t *testing.T) {
	t.Parallel()
	a, b := Default().(*Config), Default().(*Config)
	a.CodiceFiscale.HTTP.Timeout++
	if a.CodiceFiscale.HTTP.Timeout == b.CodiceFiscale.HTTP.Timeout || a.PartitaIVA.HTTP.Timeout != b.PartitaIVA.HTTP.Timeout {
		t.Error("configurations share their settings")
	}
}
