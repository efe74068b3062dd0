// Package mocks is the list of the mocks, and what a hub must be told to talk to them: its configuration, with every
// secret that it refers to.
package mocks

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/template"

	"raccordo/mocks/inad"
	"raccordo/mocks/inipec"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/pec"
)

//go:generate go test -run TestEmployersFileIsWhatTheCastSays -update .

// All makes one of each mock, with default settings.
func All() []lab.Mock {
	return []lab.Mock{pdnd.New(), inad.New(), inipec.New(), pec.New()}
}

// Configuration writes into dir, readable by the owner alone, whatever a hub's configuration refers to, and gives that
// configuration as YAML. The bench must hold every mock of All. Keys and tokens that dir holds already are kept, so that
// a hub finds its store again.
func Configuration(b *lab.Bench, dir string) ([]byte, error) { return configuration(b, dir, false) }

// Hasty is Configuration for whoever tries the hub out by hand: far sides are asked every few seconds instead of minutes.
func Hasty(b *lab.Bench, dir string) ([]byte, error) { return configuration(b, dir, true) }

func configuration(b *lab.Bench, dir string, hasty bool) ([]byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("mocks: configuration: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mocks: configuration: %w", err)
	}
	s := settings{
		Dir: dir, Hasty: hasty, INADURL: b.URL("inad"), TokenURL: b.URL("pdnd") + "/token.oauth2", INIPECURL: b.URL("inipec"),
		SMTPS: b.Endpoint("pec", "smtps"), IMAPS: b.Endpoint("pec", "imaps"),
	}
	if err := s.read(b); err != nil {
		return nil, err
	}
	if err := s.write(b); err != nil {
		return nil, fmt.Errorf("mocks: configuration: %w", err)
	}
	var out bytes.Buffer
	if err := layout().Execute(&out, s); err != nil {
		return nil, fmt.Errorf("mocks: configuration: %w", err)
	}
	return out.Bytes(), nil
}

// settings is what the layout needs.
type settings struct {
	Dir                          string
	Hasty                        bool // somebody waits in real time
	INADURL, TokenURL, INIPECURL string
	SMTPS, IMAPS                 string

	PDNDClient, PDNDKey   string
	Purposes              map[string]string
	Client, Key, CertFile string
	Mailbox               pec.Account
}

// read asks the mocks for the credentials that they own.
func (s *settings) read(b *lab.Bench) error {
	platform, ok1 := b.Mock("pdnd").(*pdnd.Mock)
	gateway, ok2 := b.Mock("inipec").(*inipec.Mock)
	post, ok3 := b.Mock("pec").(*pec.Mock)
	if _, ok := b.Mock("inad").(*inad.Mock); !ok || !ok1 || !ok2 || !ok3 {
		return errors.New("mocks: configuration: attach every mock of All to the bench first")
	}
	s.PDNDClient, s.PDNDKey = platform.ClientID(), platform.KeyPath()
	s.Purposes = platform.Purposes("inad")
	delete(s.Purposes, pdnd.Suspended) // a ready-made configuration refers to nothing that is refused
	s.Client, s.Key, s.CertFile = gateway.ClientID(), gateway.KeyPath(), gateway.CertificatePath()
	s.Mailbox = post.Accounts()[0]
	return nil
}

// write leaves the files in the folder.
func (s *settings) write(b *lab.Bench) error {
	post := b.Mock("pec").(*pec.Mock) // read has seen to it
	for name, content := range map[string][]byte{
		"ca.pem":                     b.CA().PEM(),
		"pec-roots.pem":              post.RootsPEM(),
		s.Mailbox.Name + ".password": []byte(s.Mailbox.Password),
	} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), content, 0o600); err != nil {
			return err
		}
	}
	for name, fresh := range map[string]func() ([]byte, error){
		"store.key":  randomText,
		"core.token": randomText,
		"ledger.pem": signingKey,
	} {
		file := filepath.Join(s.Dir, name)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		content, err := fresh()
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// randomText is 32 random bytes in base64.
func randomText() ([]byte, error) {
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(raw)), nil
}

// signingKey is a fresh Ed25519 key, PKCS#8 PEM.
func signingKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func layout() *template.Template {
	return template.Must(template.New("hub.yaml").Funcs(template.FuncMap{
		"text":   strconv.Quote,
		"secret": func(path string) string { return strconv.Quote("secret://file/" + path) },
		"join":   func(dir, name string) string { return filepath.Join(dir, name) },
	}).Parse(hubYAML))
}

const hubYAML = `environment: collaudo
store:
  path: {{text (join .Dir "hub.db")}}
  key: {{secret (join .Dir "store.key")}}
ledger:
  key: {{secret (join .Dir "ledger.pem")}}
{{if .Hasty}}tickets:
  collect_after: 5s # of lists; the default is a minute
{{end}}listen:
  address: 127.0.0.1:0
api:
  callers:
    core:
      tokens: [{{secret (join .Dir "core.token")}}]
      operations: ["*"]
      purposes: ["activation"]
adapters:
  inad:
    kind: inad
    http:
      endpoint: {{text .INADURL}}
      ca: {{text (join .Dir "ca.pem")}}
    voucher:
      endpoint: {{text .TokenURL}}
      ca: {{text (join .Dir "ca.pem")}}
      client: {{text .PDNDClient}}
      key: {{secret .PDNDKey}}
      purposes:{{range $name, $id := .Purposes}}
        {{$name}}: {{text $id}}{{end}}{{if .Hasty}}
    list_every: 5s # AgID asks for 10 to 15 minutes, the default{{end}}
  inipec:
    kind: inipec
    http:
      endpoint: {{text .INIPECURL}}
      ca: {{text (join .Dir "ca.pem")}}
    client: {{text .Client}}
    key: {{secret .Key}}
    certificate: {{text .CertFile}}{{if .Hasty}}
    poll_first: 5s # a real INI-PEC takes a day: leave the defaults there, of minutes{{end}}
  pec:
    kind: pec
    roots: {{text (join .Dir "pec-roots.pem")}}{{if .Hasty}}
    poll: 5s # the default is a minute{{end}}
    ca: {{text (join .Dir "ca.pem")}}
    mailboxes:
      - name: {{text .Mailbox.Name}}
        role: centrale
        address: {{text .Mailbox.Address}}
        smtps: {{text .SMTPS}}
        imaps: {{text .IMAPS}}
        user: {{text .Mailbox.User}}
        password: {{secret (join .Dir (print .Mailbox.Name ".password"))}}
routes:
  domicile: [inipec, inad]
  delivery: [pec]
`
