package pec

import "raccordo/mocks/lab"

// Stanza is what a hub must be told to send and receive by this provider, from its first mailbox.
func (m *Mock) Stanza(f lab.Files) (lab.Stanza, error) {
	box := m.Accounts()[0]
	roots, err := f.Write("pec-roots.pem", m.RootsPEM())
	if err != nil {
		return lab.Stanza{}, err
	}
	password, err := f.Write(box.Name+".password", []byte(box.Password))
	if err != nil {
		return lab.Stanza{}, err
	}
	yaml, err := f.Fill(`kind: pec
roots: {{text .Roots}}{{if .Files.Hasty}}
poll: 5s # the default is a minute{{end}}
ca: {{text .Files.CA}}
mailboxes:
  - name: {{text .Box.Name}}
    role: centrale
    address: {{text .Box.Address}}
    smtps: {{text .SMTPS}}
    imaps: {{text .IMAPS}}
    user: {{text .Box.User}}
    password: {{secret .Password}}
`, struct {
		Roots, Password, SMTPS, IMAPS string
		Box                           Account
		Files                         lab.Files
	}{roots, password, m.bench.Endpoint(m.Name(), "smtps"), m.bench.Endpoint(m.Name(), "imaps"), box, f})
	return lab.Stanza{Instances: []lab.Instance{{Name: m.Name(), YAML: yaml, Needs: []string{"delivery"}}}}, err
}
