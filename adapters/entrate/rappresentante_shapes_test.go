package entrate

import (
	"fmt"
	"strings"
	"testing"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
	mock "raccordo/mocks/entrate"
)

// The same answer in other words is the same answer; what is not one answer is none. The truth here is a no, so that
// nothing that was not understood can pass for it.
func TestTheShapesOfAnAnswer(t *testing.T) {
	t.Parallel()
	const answered = contracts.Internal
	for shape, want := range map[mock.Shape]contracts.Kind{
		mock.Default: answered, mock.Prefixed: answered, mock.Latin1: answered,
		mock.Huge: contracts.Malformed, mock.TwoRoots: contracts.Malformed, mock.Doctype: contracts.Malformed,
		mock.Page: contracts.Malformed, mock.Empty: contracts.Malformed,
	} {
		t.Run("shape "+string(shape), func(t *testing.T) {
			t.Parallel()
			s := onSOAP(t, nil)
			s.m.Set(func(x *mock.Settings) { x.Shape = shape })
			m := companytest.Mandate(s.Who("personal-domicile").CodiceFiscale, s.Who("entrate-body").CodiceFiscale, "")
			got, err := s.represent(t.Context(), m)
			if want != answered {
				wantKind(t, err, want)
			} else if err != nil || got.Represents != contracts.No {
				t.Errorf("%+v, %v", got, err)
			}
			q := s.incomeOf("company-with-pec", 2024)
			s.m.Set(func(x *mock.Settings) { x.Shape = mock.Default })
			handle := s.order(t, q)
			s.Advance(s.m.Settings().Delay)
			s.m.Set(func(x *mock.Settings) { x.Shape = shape })
			rows, err := s.gather(t, handle, q)
			if want != answered {
				wantKind(t, err, want)
			} else if err != nil || rows[0].Err != nil || rows[0].Value.Income.IsZero() {
				t.Errorf("income: %+v, %v", rows, err)
			}
		})
	}
}

// Ten megabytes are no fault in themselves: whoever allows them is answered.
func TestALargeAnswerIsReadWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, func(c *Config, _ *contracts.Env) { soaps(c, func(h *wire.Config) { h.MaxBody = 16 << 20 }) })
	s.m.Set(func(x *mock.Settings) { x.Shape = mock.Huge })
	if got, err := s.represent(t.Context(), s.mandate("entrate-body")); err != nil || got.Represents != contracts.Yes {
		t.Errorf("%+v, %v", got, err)
	}
}

const nsCheck = `xmlns="http://anagrafica.verifica.rappresentante.ente"`

// Answers that no honest server writes, each of which some reader would take for a no.
func TestAnswersThatSayNoInOneReadingAlone(t *testing.T) {
	t.Parallel()
	far, a := speaking(t, nil)
	answer := func(inner string) string {
		return enveloped("<checkValidityRappresentanteResp " + nsCheck + ">" + inner + "</checkValidityRappresentanteResp>")
	}
	const codes = "<dettaglioEsito>XX00</dettaglioEsito><codiceRitorno>00</codiceRitorno>"
	m := companytest.Mandate("RSSMRA85T10A562S", "80012345676", "")
	ask := func() (company.Representation, error) { return do(t.Context(), a, company.OpRepresents, m) }

	far.say(answer("<valido>false</valido>" + codes))
	if got, err := ask(); err != nil || got.Represents != contracts.No {
		t.Fatalf("%+v, %v: the no itself is not understood", got, err)
	}
	for name, inner := range map[string]string{
		"valido twice":                 "<valido>true</valido><valido>false</valido>" + codes,
		"valido twice, far apart":      "<valido>true</valido>" + codes + "<valido>false</valido>",
		"codiceRitorno twice":          "<valido>false</valido><codiceRitorno>01</codiceRitorno>" + codes,
		"valido of another namespace":  `<x:valido xmlns:x="urn:x">false</x:valido>` + codes,
		"words around another element": "<valido>fal<nota/>se</valido>" + codes,
		"an empty valido":              "<valido/>" + codes,
		"a valido of other words":      "<valido>no</valido>" + codes,
		"a valido in capitals":         "<valido>FALSE</valido>" + codes,
		"a nil valido with words":      `<valido xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true">false</valido>` + codes,
		"no codes":                     "<valido>false</valido>",
		"empty codes":                  "<valido>false</valido><dettaglioEsito/><codiceRitorno/>",
	} {
		far.say(answer(inner))
		got, err := ask()
		if contracts.KindOf(err) != contracts.Malformed || got.Represents != contracts.CannotTell {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, body := range map[string]string{
		"another operation's answer":  enveloped("<altro " + nsCheck + "><valido>false</valido>" + codes + "</altro>"),
		"of another namespace":        enveloped("<checkValidityRappresentanteResp xmlns='urn:x'><valido>false</valido>" + codes + "</checkValidityRappresentanteResp>"),
		"in the header":               `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header><checkValidityRappresentanteResp ` + nsCheck + "><valido>false</valido>" + codes + "</checkValidityRappresentanteResp></e:Header><e:Body/></e:Envelope>",
		"without an envelope":         "<checkValidityRappresentanteResp " + nsCheck + "><valido>false</valido>" + codes + "</checkValidityRappresentanteResp>",
		"cut off":                     answer("<valido>false</valido>" + codes)[:260],
		"JSON":                        `{"valido":false,"dettaglioEsito":"XX00","codiceRitorno":"00"}`,
		"an empty answer":             answer(""),
		"nothing":                     "",
		"a comment in place of words": answer("<valido><!-- false --></valido>" + codes),
	} {
		far.say(body)
		if got, err := ask(); contracts.KindOf(err) != contracts.Malformed || got.Represents != contracts.CannotTell {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	far.say(answer(`<valido xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>` + codes))
	if got, err := ask(); err != nil || got.Represents != contracts.CannotTell || got.Reason != "XX00" {
		t.Errorf("a nil valido is a valido that is missing: %+v, %v", got, err)
	}
	for name, inner := range map[string]string{
		"a comment inside": "<valido>fal<!-- -->se</valido>" + codes, "0 for false": "<valido> 0 </valido>" + codes,
		"valido without a namespace, as servers that forget it write": `<valido xmlns="">false</valido>` + codes,
		"more to come": "<valido>false</valido>" + codes + "<nota>x</nota>",
	} {
		far.say(answer(inner))
		if got, err := ask(); err != nil || got.Represents != contracts.No {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestTheSOAPSectionsNameEveryFault(t *testing.T) {
	t.Parallel()
	cfg := Default().(*Config)
	cfg.Rappresentante.HTTP.Endpoint, cfg.Redditi.HTTP.Endpoint = "https://gatewaywebservices.agenziaentrate.it/x", "ftp://x"
	cfg.Redditi.PollFirst, cfg.Redditi.PollMax, cfg.Redditi.Patience = 0, 25*24*60*60*1e9, 1
	err := cfg.Validate(contracts.Collaudo)
	for _, path := range []string{
		"rappresentante.http.endpoint", "rappresentante.http.client_certificate", "rappresentante.saml.issuer",
		"redditi.http.endpoint", "redditi.http.client_certificate", "redditi.saml.ip",
		"redditi.poll_first", "redditi.poll_max", "redditi.patience",
	} {
		if err == nil || !strings.Contains(err.Error(), path+": ") {
			t.Errorf("no fault at %s in %v", path, err)
		}
	}
}

func TestAServiceThatCannotSignIsNotOpened(t *testing.T) {
	t.Parallel()
	for section, change := range map[string]func(*Config){
		"rappresentante": func(c *Config) { c.Rappresentante.SAML.Key = "secret://file//nowhere" },
		"redditi":        func(c *Config) { c.Redditi.SAML.Key = "secret://file//nowhere" },
	} {
		var cfg *Config
		var env contracts.Env
		onSOAP(t, func(c *Config, e *contracts.Env) {
			own := *c
			cfg, env = &own, *e
		})
		change(cfg)
		a, err := cfg.Open(t.Context(), env)
		if e := contracttest.ErrorOf(t, err, contracts.Invalid, "entrate"); a != nil || e.Operation != "open" || !strings.Contains(fmt.Sprint(e), section+": saml.key: ") {
			t.Errorf("%v", err)
		}
	}
}
