package pdnd

import (
	"errors"
	"maps"
	"slices"

	"raccordo/mocks/lab"
)

// Voucher is the section "voucher" of a supplier's stanza, and the names of the purposes in it, in order. A suspended
// purpose is left out: a ready-made configuration refers to nothing that is refused.
func Voucher(b *lab.Bench, f lab.Files, supplier string) (yaml string, purposes []string, err error) {
	platform, ok := b.Mock("pdnd").(*Mock)
	if !ok {
		return "", nil, errors.New("attach the mock of the PDND first")
	}
	known := platform.Purposes(supplier)
	delete(known, Suspended)
	yaml, err = f.Fill(`voucher:
  endpoint: {{text .URL}}
  ca: {{text .CA}}
  client: {{text .Client}}
  key: {{secret .Key}}
  purposes:{{range $name, $id := .Purposes}}
    {{$name}}: {{text $id}}{{end}}
`, struct {
		URL, CA, Client, Key string
		Purposes             map[string]string
	}{b.URL("pdnd") + "/token.oauth2", f.CA, platform.ClientID(), platform.KeyPath(), known})
	return yaml, slices.Sorted(maps.Keys(known)), err
}
