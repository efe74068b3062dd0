package inipec

import "raccordo/mocks/lab"

// Stanza is what a hub must be told to talk to this INI-PEC.
func (m *Mock) Stanza(f lab.Files) (lab.Stanza, error) {
	yaml, err := f.Fill(`kind: inipec
http:
  endpoint: {{text .Mock.URL}}
  ca: {{text .Files.CA}}
login:
  client: {{text .Mock.ClientID}}
  key: {{secret .Mock.KeyPath}}
  certificate: {{text .Mock.CertificatePath}}{{if .Files.Hasty}}
poll_first: 5s # a real INI-PEC takes a day: leave the defaults there, of minutes{{end}}
`, struct {
		Mock  *Mock
		Files lab.Files
	}{m, f})
	return lab.Stanza{Instances: []lab.Instance{{Name: m.Name(), YAML: yaml, Needs: []string{"domicile"}}}}, err
}

// URL is the base of the gateway.
func (m *Mock) URL() string { return m.base }
