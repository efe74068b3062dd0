package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

// A Stanza is what a hub must be told to talk to one mock: instances of adapters, and where they stand in routes. Needs
// are routed in the order in which the mocks that serve them stand on the bench.
type Stanza struct {
	Instances []Instance
	Purposes  []string // purpose names that the instances know
}

// An Instance is one entry below "adapters" of a hub's configuration.
type Instance struct {
	Name  string
	YAML  string   // its fields, "kind: inad" first, not indented
	Needs []string // the routes that it stands in, in their order
}

// Files is where a mock leaves what its stanza refers to, and what it must know to write it.
type Files struct {
	Dir string // absolute, readable by the owner alone
	CA  string // path of the bench's authority, PEM
	// Hasty says that somebody waits in real time: far sides are asked every few seconds instead of minutes.
	Hasty bool
}

// Write leaves a file in Dir, readable by the owner alone, and gives its path.
func (f Files) Write(name string, content []byte) (string, error) {
	path := filepath.Join(f.Dir, name)
	return path, os.WriteFile(path, content, 0o600)
}

// Fill makes an instance's YAML from a template: "text" quotes, "secret" quotes a reference to a file's content, "below"
// indents a section by two.
func (f Files) Fill(layout string, data any) (string, error) {
	t, err := template.New("stanza").Funcs(template.FuncMap{
		"text": strconv.Quote,
		"below": func(section string) string {
			return "  " + strings.ReplaceAll(strings.TrimSpace(section), "\n", "\n  ")
		},
		"secret": func(path string) string { return strconv.Quote("secret://file/" + path) },
	}).Parse(layout)
	if err != nil {
		return "", fmt.Errorf("lab: stanza: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "", fmt.Errorf("lab: stanza: %w", err)
	}
	return strings.TrimSpace(out.String()) + "\n", nil
}

// Stanzas asks every attached mock for its stanza. A mock without one is no supplier.
func (b *Bench) Stanzas(f Files) ([]Stanza, error) {
	var (
		out  []Stanza
		errs []error
	)
	for _, m := range b.attached() {
		s, ok := m.(interface{ Stanza(Files) (Stanza, error) })
		if !ok {
			continue
		}
		stanza, err := s.Stanza(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name(), err))
		}
		out = append(out, stanza)
	}
	return out, errors.Join(errs...)
}
