// Package mocks is the list of the mocks, and what a hub must be told to talk to them: its configuration, with every
// secret that it refers to.
package mocks

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"raccordo/mocks/entrate"
	"raccordo/mocks/inad"
	"raccordo/mocks/inipec"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/pec"
	"raccordo/mocks/registroimprese"
)

//go:generate go test -run TestEmployersFileIsWhatTheCastSays -update .

// Cast is everybody whom the mocks know: the common cast, and the people whom single mocks bring.
func Cast() []lab.Member { return lab.CastOf(All()...) }

// All makes one of each mock, with default settings. Where several serve a need, the one to ask first stands first.
func All() []lab.Mock {
	return []lab.Mock{pdnd.New(), registroimprese.New(), inipec.New(), inad.New(), entrate.New(), pec.New()}
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
	f := lab.Files{Dir: dir, CA: filepath.Join(dir, "ca.pem"), Hasty: hasty}
	if err := keep(f, b); err != nil {
		return nil, fmt.Errorf("mocks: configuration: %w", err)
	}
	for _, m := range All() {
		if b.Mock(m.Name()) == nil {
			return nil, errors.New("mocks: configuration: attach every mock of All to the bench first")
		}
	}
	stanzas, err := b.Stanzas(f)
	if err != nil {
		return nil, fmt.Errorf("mocks: configuration: %w", err)
	}
	return layout(f, stanzas)
}

// keep leaves the hub's own files in the folder; keys and tokens that are there already stay.
func keep(f lab.Files, b *lab.Bench) error {
	if _, err := f.Write("ca.pem", b.CA().PEM()); err != nil {
		return err
	}
	for name, fresh := range map[string]func() ([]byte, error){
		"store.key":  randomText,
		"core.token": randomText,
		"ledger.pem": signingKey,
	} {
		if _, err := os.Stat(filepath.Join(f.Dir, name)); err == nil {
			continue
		}
		content, err := fresh()
		if err != nil {
			return err
		}
		if _, err := f.Write(name, content); err != nil {
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

// layout writes the hub's own sections, then what the mocks said, then the routes.
func layout(f lab.Files, stanzas []lab.Stanza) ([]byte, error) {
	var (
		adapters strings.Builder
		purposes []string
		needs    []string // in the order in which they are first served
		routes   = map[string][]string{}
	)
	for _, s := range stanzas {
		purposes = append(purposes, s.Purposes...)
		for _, i := range s.Instances {
			fmt.Fprintf(&adapters, "  %s:\n    %s\n", i.Name, strings.ReplaceAll(strings.TrimSpace(i.YAML), "\n", "\n    "))
			for _, need := range i.Needs {
				if routes[need] == nil {
					needs = append(needs, need)
				}
				routes[need] = append(routes[need], i.Name)
			}
		}
	}
	slices.Sort(purposes)
	purposes = slices.Compact(purposes)
	own, err := f.Fill(hubYAML, struct {
		lab.Files
		Purposes []string
	}{f, purposes})
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%sadapters:\n%sroutes:\n", own, adapters.String())
	for _, need := range needs {
		fmt.Fprintf(&out, "  %s: [%s]\n", need, strings.Join(routes[need], ", "))
	}
	return []byte(out.String()), nil
}

const hubYAML = `environment: collaudo
store:
  path: {{text (print .Dir "/hub.db")}}
  key: {{secret (print .Dir "/store.key")}}
ledger:
  key: {{secret (print .Dir "/ledger.pem")}}
{{if .Hasty}}tickets:
  collect_after: 5s # of lists; the default is a minute
{{end}}listen:
  address: 127.0.0.1:0
api:
  callers:
    core:
      tokens: [{{secret (print .Dir "/core.token")}}]
      operations: ["*"]
      purposes: [{{range $i, $name := .Purposes}}{{if $i}}, {{end}}{{text $name}}{{end}}]
`
