package inad

import (
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

// Stanza is what a hub must be told to talk to this INAD.
func (m *Mock) Stanza(f lab.Files) (lab.Stanza, error) {
	voucher, purposes, err := pdnd.Voucher(m.bench, f, m.Name())
	if err != nil {
		return lab.Stanza{}, err
	}
	yaml, err := f.Fill(`kind: inad
http:
  endpoint: {{text .URL}}
  ca: {{text .Files.CA}}
{{.Voucher}}{{if .Files.Hasty}}list_every: 5s # AgID asks for 10 to 15 minutes, the default{{end}}
`, struct {
		URL, Voucher string
		Files        lab.Files
	}{m.bench.URL(m.Name()), voucher, f})
	return lab.Stanza{
		Instances: []lab.Instance{{Name: m.Name(), YAML: yaml, Needs: []string{"domicile"}}}, Purposes: purposes,
	}, err
}
