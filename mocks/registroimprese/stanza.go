package registroimprese

import (
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

// Stanza is what a hub must be told to talk to this register: over PDND first, which knows more, where the bench has a
// platform; and over the gateway.
func (m *Mock) Stanza(f lab.Files) (lab.Stanza, error) {
	var out lab.Stanza
	if m.platform != nil {
		voucher, purposes, err := pdnd.Voucher(m.bench, f, m.Name())
		if err != nil {
			return out, err
		}
		yaml, err := f.Fill(`kind: registroimprese
road: pdnd
http:
  endpoint: {{text .URL}}
  ca: {{text .CA}}
{{.Voucher}}`, struct{ URL, CA, Voucher string }{m.PDNDURL(), f.CA, voucher})
		if err != nil {
			return out, err
		}
		out.Purposes = purposes
		out.Instances = append(out.Instances, lab.Instance{
			Name: m.Name() + "-pdnd", YAML: yaml, Needs: []string{"company", "domicile"},
		})
	}
	yaml, err := f.Fill(`kind: registroimprese
road: wspa
http:
  endpoint: {{text .Mock.WSPAURL}}
  ca: {{text .Files.CA}}
login:
  client: {{text .Mock.ClientID}}
  key: {{secret .Mock.KeyPath}}
  certificate: {{text .Mock.CertificatePath}}
`, struct {
		Mock  *Mock
		Files lab.Files
	}{m, f})
	out.Instances = append(out.Instances, lab.Instance{Name: m.Name(), YAML: yaml, Needs: []string{"company"}})
	return out, err
}
