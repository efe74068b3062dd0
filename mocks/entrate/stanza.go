package entrate

import (
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

// Stanza is what a hub must be told to talk to this agency: one instance for its four services. For who is in haste,
// incomes are ready in 15 seconds.
func (m *Mock) Stanza(f lab.Files) (lab.Stanza, error) {
	if f.Hasty {
		m.Set(func(s *Settings) { s.Delay = min(s.Delay, 15*time.Second) })
	}
	vcf, purposes, err := pdnd.Voucher(m.bench, f, VCFService)
	if err != nil {
		return lab.Stanza{}, err
	}
	piva, _, err := pdnd.Voucher(m.bench, f, PIVAService) // the same purposes by name, under other ids
	if err != nil {
		return lab.Stanza{}, err
	}
	yaml, err := f.Fill(`kind: entrate
codice_fiscale:
  http:
    endpoint: {{text .Mock.VCFURL}}
    ca: {{text .Files.CA}}
{{below .VCF}}
partita_iva:
  http:
    endpoint: {{text .Mock.PIVAURL}}
    ca: {{text .Files.CA}}
{{below .PIVA}}
rappresentante:
  http:
    endpoint: {{text .Mock.RappresentanteURL}}
{{template "mutual" .}}
redditi:
  http:
    endpoint: {{text .Mock.RedditiURL}}
{{template "mutual" .}}{{if .Files.Hasty}}
  poll_first: 5s # a real answer takes minutes or days: leave the defaults there{{end}}
{{define "mutual"}}    ca: {{text .Files.CA}}
    client_certificate: {{text .Mock.ClientCertificatePath}}
    client_key: {{secret .Mock.ClientKeyPath}}
  saml:
    issuer: {{text .Mock.Issuer}}
    body: {{text .Mock.Ente}}
    office: {{text .Mock.Ufficio}}
    ip: 192.0.2.10
    key: {{secret .Mock.SigningKeyPath}}
    certificate: {{text .Mock.SigningCertificatePath}}{{end}}`, struct {
		Mock      *Mock
		VCF, PIVA string
		Files     lab.Files
	}{m, vcf, piva, f})
	return lab.Stanza{
		Instances: []lab.Instance{{Name: m.Name(), YAML: yaml, Needs: []string{"tax", "company"}}}, Purposes: purposes,
	}, err
}
