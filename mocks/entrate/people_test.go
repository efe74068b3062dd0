package entrate

import (
	"os"
	"strings"
	"testing"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

func TestEverybodyOfTheCastHasALifeElsewhere(t *testing.T) {
	t.Parallel()
	m := New()
	codes, addresses := map[string]string{}, map[string]string{}
	for _, x := range lab.CastOf(m) {
		ours := strings.HasPrefix(x.Story, "entrate-")
		if first, taken := codes[x.CodiceFiscale]; taken && ours {
			t.Errorf("%s has the code of %s", x.Story, first)
		}
		codes[x.CodiceFiscale] = x.Story
		var address string
		switch {
		case x.INIPEC != nil && x.INIPEC.Enterprise != "":
			address = x.INIPEC.Enterprise
		case len(x.INAD) > 0:
			address = x.INAD[0].Address
		}
		if !ours {
			addresses[address] = x.Story
			continue
		}
		if first, taken := addresses[address]; taken || address == "" {
			t.Errorf("%s has the address %q of %s", x.Story, address, first)
		}
		addresses[address] = x.Story
		local, _, _ := strings.Cut(address, ".")
		for _, outcome := range lab.Outcomes() {
			if local == outcome {
				t.Errorf("%s: the address selects what becomes of a message", x.Story)
			}
		}
		if (x.Capacity == lab.Person) != (x.Representative == "") || (x.Capacity == lab.Enterprise) != (x.PartitaIVA != "") {
			t.Errorf("%s: %+v", x.Story, x)
		}
	}
	for story, tale := range m.tales {
		if tale.about == "" {
			t.Errorf("%s is about nothing", story)
		}
	}
	if first := m.Cast()[len(codeTales())]; first.PartitaIVA != groupNumber() || first.Story != "entrate-vat-group" {
		t.Errorf("the group is %s", first.Story)
	}
	if !codePattern.MatchString(SecondRepresentative()) {
		t.Error("the second representative's code is against the contract's pattern")
	}
	for _, x := range lab.CastOf(m) {
		if !codePattern.MatchString(x.CodiceFiscale) {
			t.Errorf("%s: the code is against the contract's pattern", x.Story)
		}
	}
}

func TestTheCastIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	a, b := New().Cast(), New().Cast()
	for i := range a {
		if a[i].CodiceFiscale != b[i].CodiceFiscale || a[i].Story != b[i].Story || a[i].Representative != b[i].Representative {
			t.Errorf("%d: %s, then %s", i, a[i].Story, b[i].Story)
		}
	}
}

func TestTheStanzaSaysAllFourServices(t *testing.T) {
	t.Parallel()
	m, p := New(), pdnd.New()
	lab.Start(t, m, p)
	stanza, err := m.Stanza(lab.Files{Dir: t.TempDir(), CA: "/ca.pem", Hasty: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(stanza.Instances) != 1 || stanza.Instances[0].Name != "entrate" || strings.Join(stanza.Instances[0].Needs, " ") != "tax company" ||
		strings.Join(stanza.Purposes, " ") != "activation verification" {
		t.Errorf("%+v", stanza)
	}
	settings := leaves(stanza.Instances[0].YAML)
	for path, want := range map[string]string{
		"kind": "entrate", "codice_fiscale.http.endpoint": m.VCFURL(), "codice_fiscale.voucher.client": p.ClientID(),
		"codice_fiscale.voucher.purposes.activation": p.Purposes(VCFService)["activation"],
		"partita_iva.voucher.purposes.activation":    p.Purposes(PIVAService)["activation"],
		"partita_iva.http.endpoint":                  m.PIVAURL(), "rappresentante.http.endpoint": m.RappresentanteURL(),
		"rappresentante.saml.body": m.Ente(), "rappresentante.saml.office": m.Ufficio(), "redditi.http.endpoint": m.RedditiURL(),
		"redditi.http.client_certificate": m.ClientCertificatePath(), "redditi.saml.issuer": m.Issuer(), "redditi.poll_first": "5s",
		"rappresentante.http.ca": "/ca.pem", "rappresentante.saml.certificate": m.SigningCertificatePath(),
		"redditi.saml.key": "secret://file/" + m.SigningKeyPath(), "redditi.http.client_key": "secret://file/" + m.ClientKeyPath(),
	} {
		if got := settings[path]; got != want {
			t.Errorf("%s: %q, want %q in\n%s", path, got, want, stanza.Instances[0].YAML)
		}
	}
	for _, path := range []string{m.ClientCertificatePath(), m.ClientKeyPath(), m.SigningCertificatePath(), m.SigningKeyPath()} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
}

// leaves reads YAML of mappings alone, two blanks a level: "a.b" to its text.
func leaves(yaml string) map[string]string {
	out := map[string]string{}
	var path []string
	for line := range strings.Lines(yaml) {
		line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), " #")
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		path = append(path[:depth:depth], key)
		out[strings.Join(path, ".")] = strings.Trim(strings.TrimSpace(value), `"`)
	}
	return out
}

func TestABenchOnTheSameFolderKeepsTheCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var serials [2]string
	for i := range serials {
		m := New()
		b, err := lab.New(lab.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Attach(m, pdnd.New()); err != nil {
			t.Error(err)
		} else {
			serials[i] = m.signerCert.SerialNumber.String() + " " + m.clientCert.SerialNumber.String()
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if serials[0] != serials[1] || serials[0] == "" {
		t.Errorf("%v", serials)
	}
}
