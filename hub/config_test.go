package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
)

// example gives one of the example configurations, with its file names made to fit a test's folder.
func example(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "configs", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "configs/example.pem", "../configs/example.pem")
}

func findingsOf(t testing.TB, text string) Findings {
	t.Helper()
	_, err := parseConfig("hub.yaml", []byte(text), adapters.Kinds())
	if err == nil {
		return nil
	}
	var found Findings
	if !errors.As(err, &found) || len(found) == 0 {
		t.Fatalf("%v (%T): want findings", err, err)
	}
	return found
}

// Each fault is found alone, at its line and path, and said in words that help.
func TestEveryFaultIsNamedWithLineAndPath(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule     string
		old, new string // changes the production example
		at       string // the finding stands on the first line that holds this
		path     string
		text     string
	}{
		{"an unknown key", "  workers: 8\n", "  workers: 8\n  wrokers: 8\n", "wrokers", "tickets.wrokers", "unknown key"},
		{"an unknown key at the top", "listen:", "lisen: {}\nlisten:", "lisen", "lisen", "unknown key"},
		{"an unknown key of an adapter", "preference: personale", "prefer: personale", "prefer:", "adapters.inad.prefer", "unknown key"},
		{"an unknown key in a list", "role: centrale ", "rolle: x\n        role: centrale ", "rolle", "adapters.pec.mailboxes[0].rolle", "unknown key"},
		{"another kind's key", "kind: pec\n", "kind: pec\n    poll_first: 1m\n", "poll_first", "adapters.pec.poll_first", "unknown key"},
		{"a key that stands twice", "    kind: inad\n", "    kind: inad\n    preference: qualsiasi\n", "preference: personale", "adapters.inad.preference", "stands twice, first on line"},
		{"a section that stands twice", "events:", "events: {}\nevents:", "events:\n", "events", "stands twice"},
		{"an instance that stands twice", "  # PEC: messages", "  inad: {}\n  # PEC: messages", "  inad: {}", "adapters.inad", "stands twice"},
		{"a kind that stands twice", "    kind: inad\n", "    kind: inad\n    \"kind\": inad\n", "\"kind\"", "adapters.inad.kind", "stands twice"},
		{"a word for a number", "workers: 8", "workers: eight", "eight", "tickets.workers", "want a whole number"},
		{"a fraction for a whole number", "workers: 8", "workers: 8.5", "8.5", "tickets.workers", "want a whole number"},
		{"a number beyond bounds", "workers: 8", "workers: 99999999999999999999", "9999", "tickets.workers", "want a whole number"},
		{"a word for a share", "failures: 0.5", "failures: half", "half", "adapters.inad.policy.break.failures", "want a number"},
		{"a list for a value", "retention: 4320h\n  unread", "retention: [4320h]\n  unread", "[4320h]", "events.retention", "want a single value"},
		{"a value for a list", "delivery: [pec]", "delivery: pec", "delivery: pec", "routes.delivery", "want a list"},
		{"a value for a mapping", "metrics:\n  address: 127.0.0.1:9420", "metrics: 9420", "metrics: 9420", "metrics", "want a mapping"},
		{"an instance without a stanza", "  pec:\n    kind: pec\n", "  pec2:\n  pec:\n    kind: pec\n", "pec2:", "adapters.pec2", "want a mapping"},
		{"a duration in words", "budget: 30s", "budget: half a minute", "half a minute", "calls.budget", "want a duration such as 30s"},
		{"a duration without a unit", "budget: 30s", "budget: 30", "budget: 30", "calls.budget", "want a duration such as 30s"},
		{"a duration beyond bounds", "budget: 30s", "budget: 300h", "300h", "calls.budget", "want 10ms to 1h0m0s"},
		{"a required key left out", "  path: /var/lib/raccordo/hub.db", "  #", "store:", "store.path", "name the database file"},
		{"a required section left out", "  key: secret://file/ledger.pem", "  #", "ledger:", "ledger.key", "want a reference"},
		{"a required key of an adapter left out", "      client: ministero-esempio ", "      # ", "    login:", "adapters.inipec.login.client", "want the client_id"},
		{"a secret in the file", "secret://file/ledger.pem", "hunter2", "hunter2", "ledger.key", "not the secret itself"},
		{"a secret in an adapter's stanza", "secret://file/pec-centrale.password", "hunter2", "hunter2", "adapters.pec.mailboxes[0].password", "not the secret itself"},
		{"a secret from an unknown place", "secret://file/store.key", "secret://vault/store.key", "vault", "store.key", "want a reference"},
		{"an unknown kind", "kind: inad", "kind: anpr", "anpr", "adapters.inad.kind", "want one of "},
		{"no kind", "    kind: inad\n", "", "  inad:", "adapters.inad.kind", "want one of "},
		{"a name that cannot stand in a metric", "routes:", `  "pec 2": {kind: pec, roots: ../configs/example.pem, mailboxes: [{name: b, role: b, address: b@pec.esempio.it,` +
			` smtps: "smtps.pec.aruba.it:465", imaps: "imaps.pec.aruba.it:993", user: b, password: secret://env/P}]}` + "\nroutes:", "pec 2", "adapters.pec 2", "want a name of letters"},
		{"an environment that is none", "environment: produzione", "environment: production", "environment:", "environment", "want attestazione, collaudo or produzione"},
		{"a route to nothing", "domicile: [inipec, inad]", "domicile: [inipec, anpr]", "anpr", "routes.domicile[1]", "no adapter of that name"},
		{"an empty route", "delivery: [pec]", "delivery: []", "delivery: []", "routes.delivery", "name at least one"},
		{"an instance twice in a route", "domicile: [inipec, inad]", "domicile: [inad, inad]", "[inad, inad]", "routes.domicile[1]", "stands twice"},
		{"a route to one that does not serve the need", "delivery: [pec]", "delivery: [inad]", "delivery: [inad]", "routes.delivery[0]", "kind inad does not serve delivery"},
		{"an operation that nothing binds", `"delivery.send"]`, `"delivery.sned"]`, "sned", "api.callers.sportello-unico.operations[3]", "no configured adapter binds"},
		{
			"an answer kept of what writes", "    policy:\n      limit: {places: 4,", "    policy:\n      share: {keep: {delivery.send: 1m}}\n      limit: {places: 4,",
			"keep:", "adapters.inipec.policy.share.keep.delivery.send", "want an operation that reads",
		},
		{"http in produzione", "https://api.inad.gov.it", "http://api.inad.gov.it", "http://api", "adapters.inad.http.endpoint", "https only"},
		{"loopback in produzione", "https://api.inad.gov.it", "https://127.0.0.1:8443", "127.0.0.1:8443", "adapters.inad.http.endpoint", "loopback"},
		{"localhost in produzione", "smtps.pec.aruba.it:465", "localhost:465", "localhost:465", "adapters.pec.mailboxes[0].smtps", "loopback"},
		{"another environment's host", "https://api.inad.gov.it", "https://domiciliodigitaleapi.oscl.infocamere.it", "oscl", "adapters.inad.http.endpoint", "is that of collaudo, not of produzione"},
		{"another environment's register", "icapis.infocamere.it", "icapiscl.infocamere.it", "icapiscl", "adapters.inipec.http.endpoint", "is that of collaudo"},
		{"another environment's voucher", "      client: 0000", "      endpoint: https://auth.uat.interop.pagopa.it/token.oauth2\n      client: 0000", "auth.uat", "adapters.inad.voucher.endpoint", "is that of collaudo"},
		{"a certificate that is not there", "certificate: ../configs/example.pem # replace: /etc/raccordo/pki/hub.pem", "certificate: /nowhere.pem", "/nowhere", "listen.certificate", "cannot read the file"},
		{"an open address without TLS", "  certificate: ../configs/example.pem # replace: /etc/raccordo/pki/hub.pem\n  key: secret://file/hub-tls.key\n", "", "0.0.0.0:8443", "listen.address", "needs certificate and key"},
		{"a certificate without a key", "  key: secret://file/hub-tls.key\n", "", "certificate: ", "listen.certificate", "go together"},
		{"a port that is none", "0.0.0.0:8443", "0.0.0.0:84430", "84430", "listen.address", "port of 0 to 65535"},
		{"an address without a port", "127.0.0.1:9420", "localhost", "address: localhost", "metrics.address", "want host:port"},
		{"a merge key", "  inad:\n    kind: inad\n", "  inad:\n    <<: {preference: qualsiasi}\n    kind: inad\n", "<<", "adapters.inad.<<", "unknown key"},
		{"a key that is a list", "  workers: 8\n", "  ? [workers]\n  : 8\n", "[workers]", "tickets.?", "want a word as key"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			text := example(t, "production.yaml")
			if !strings.Contains(text, c.old) {
				t.Fatalf("the example does not hold %q", c.old)
			}
			text = strings.Replace(text, c.old, c.new, 1)
			before, _, ok := strings.Cut(text, c.at)
			if !ok {
				t.Fatalf("the changed example does not hold %q", c.at)
			}
			line := strings.Count(before, "\n") + 1
			found := findingsOf(t, text)
			if len(found) != 1 {
				t.Fatalf("want one finding, have:\n%v", found)
			}
			if f := found[0]; f.File != "hub.yaml" || f.Line != line || f.Path != c.path || !strings.Contains(f.Text, c.text) {
				t.Errorf("%v\nwant hub.yaml:%d: %s: …%s…", f, line, c.path, c.text)
			}
			if strings.Contains(found.Error(), "hunter2") {
				t.Error("the finding quotes a secret")
			}
		})
	}
}

// A route of several instances is for reads only, whichever of them writes, and wherever it stands.
func TestWritesGoToOneInstance(t *testing.T) {
	t.Parallel()
	reads := fakeKind{ops: []*contracts.OpInfo{{Name: "things.look", Effect: contracts.Read}}}
	writes := fakeKind{ops: []*contracts.OpInfo{{Name: "things.look", Effect: contracts.Read}, {Name: "things.make", Effect: contracts.Once}}}
	kinds := contracts.Kinds{
		"reads":  func() contracts.Config { k := reads; return &k },
		"writes": func() contracts.Config { k := writes; return &k },
	}
	for route, want := range map[string]bool{
		"[a, b]": true, "[b, a]": false, "[w, a]": false, "[a, w]": false, "[a, b, w]": false, "[w]": true, "[a]": true,
	} {
		text := "environment: collaudo\nstore: {path: x.db, key: secret://env/K}\nledger: {key: secret://env/L}\n" +
			"adapters:\n  a: {kind: reads}\n  b: {kind: reads}\n  w: {kind: writes}\nroutes:\n  things: " + route + "\n"
		if route == "[b, a]" {
			text = strings.ReplaceAll(text, "b: {kind: reads}", "b: {kind: writes}")
		}
		_, err := parseConfig("hub.yaml", []byte(text), kinds)
		if (err == nil) != want {
			t.Errorf("%s: %v", route, err)
		}
		if err != nil && err.Error() != "hub.yaml:9: routes.things: a route of several instances is for reads only, and things.make writes" {
			t.Errorf("%s: %v", route, err)
		}
	}
}

// A fakeKind is a supplier without settings.
type fakeKind struct {
	ops []*contracts.OpInfo
}

func (k *fakeKind) Operations() []*contracts.OpInfo    { return k.ops }
func (*fakeKind) Validate(contracts.Environment) error { return nil }
func (*fakeKind) Open(context.Context, contracts.Env) (contracts.Adapter, error) {
	return nil, errors.New("not opened here")
}

// Where the environment is wrong, suppliers are only told what is wrong in every environment.
func TestWrongEnvironmentHidesNoOtherFault(t *testing.T) {
	t.Parallel()
	text := strings.Replace(example(t, "production.yaml"), "environment: produzione", "environment: prod", 1)
	text = strings.Replace(text, "preference: personale", "preference: any", 1)
	if found := findingsOf(t, text); len(found) != 2 || found[0].Path != "environment" || found[1].Path != "adapters.inad.preference" {
		t.Errorf("want environment and preference, have:\n%v", found)
	}
}

func TestNothingIsNoConfiguration(t *testing.T) {
	t.Parallel()
	for rule, text := range map[string]string{
		"nothing": "", "blanks": " \n\n", "a comment": "# hub\n", "null": "~\n", "an empty mapping": "{}\n", "a list": "- a\n", "a word": "hub\n",
	} {
		if findingsOf(t, text) == nil {
			t.Errorf("%s is taken for a configuration", rule)
		}
	}
}

func TestLoadReadsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "hub.yaml")
	if err := os.WriteFile(file, []byte(example(t, "dev.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(file, adapters.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Secrets != dir || cfg.Archive != cfg.Store.Path+".proofs" {
		t.Errorf("secrets in %q, proofs in %q", cfg.Secrets, cfg.Archive)
	}
	if got := cfg.Adapters["inad"].Policy.Limit.Places; got != 8 {
		t.Errorf("%d places: the default does not stay", got)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("#\n", maxConfig/2+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, adapters.Kinds()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file that is too large: %v", err)
	}
	for _, none := range []string{filepath.Join(dir, "none.yaml"), dir} {
		if _, err := Load(none, adapters.Kinds()); contracts.KindOf(err) != contracts.Invalid {
			t.Errorf("%s: %v, want Invalid", filepath.Base(none), err)
		}
	}
}

func TestSecretsComeFromFilesAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RACCORDO_TEST_SECRET", "from the environment")
	for name, size := range map[string]int{"small": 10, "largest": maxSecret, "large": maxSecret + 1} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := secretsFrom(dir)
	for ref, want := range map[contracts.Secret]int{
		"secret://file/small": 10, "secret://file/largest": maxSecret, "secret://env/RACCORDO_TEST_SECRET": 20,
		contracts.Secret("secret://file/" + filepath.Join(dir, "small")): 10,
		"secret://file/large": -1, "secret://file/none": -1, "secret://env/RACCORDO_TEST_NONE": -1, "hunter2": -1, "": -1,
	} {
		b, err := read(t.Context(), ref)
		if (err == nil) != (want >= 0) || err == nil && len(b) != want {
			t.Errorf("%s: %d bytes, %v", ref, len(b), err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Error("the error quotes a secret")
		}
	}
}

// FuzzConfig: whatever the file, there is a configuration or findings, in time; every finding is one printable line
// within the file, and no value of the file stands in it.
func FuzzConfig(f *testing.F) {
	const secret = "hunter2"
	for _, name := range []string{"dev.yaml", "production.yaml"} {
		text := example(f, name)
		f.Add([]byte(text))
		f.Add([]byte(strings.ReplaceAll(text, "secret://file/", secret)))
		f.Add([]byte(strings.ReplaceAll(text, "secret://env/", "*"+secret)))
		f.Add([]byte(strings.ReplaceAll(text, ": ", ":\t")))
	}
	for _, text := range []string{
		"a: &a [*a]\n", "a: &a {b: *a}\n", "adapters: {inad: &x {kind: inad, policy: *x}}\n", "environment: '" + secret + "\n", "? {a: b}\n: c\n",
		"adapters:\n  x: {kind: " + secret + "}\n", "routes: {domicile: [" + secret + "]}\n", "--- a\n--- b\n", "\ufeffenvironment: collaudo\n",
		"api: {callers: {core: {tokens: [" + secret + "], operations: [" + secret + "]}}}\n", "a\x00b", "\xff\xfe", "%YAML 1.1\n---\na: 1\n",
	} {
		f.Add([]byte(text))
	}
	kinds := adapters.Kinds()
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		cfg, err := parseConfig("hub.yaml", data, kinds)
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("%d bytes took %s", len(data), took)
		}
		if err == nil {
			if cfg.Store.Path == "" || len(cfg.Adapters) == 0 || len(cfg.Routes) == 0 {
				t.Fatal("what is required is not there, and no finding says so")
			}
			return
		}
		var found Findings
		if !errors.As(err, &found) || len(found) == 0 || len(found) > maxFindings+1 {
			t.Fatalf("%T with %d findings", err, len(found))
		}
		lines := 1 // as YAML 1.1 breaks them
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(string(data), end)
		}
		for _, one := range found {
			if one.Line < 1 || one.Line > lines {
				t.Fatalf("line %d of %d", one.Line, lines)
			}
			if text := one.Error(); strings.ContainsAny(text, "\n\r\x1b") || one.Text == "" {
				t.Fatalf("%q is not one line", text)
			}
			if strings.Contains(one.Text, secret) {
				t.Fatalf("%q quotes the file", one.Text)
			}
		}
	})
}

func ExampleFinding() {
	fmt.Println(Finding{File: "hub.yaml", Line: 12, Path: "adapters.inad.http.endpoint", Text: "missing: want https://HOST/PATH"}.Error())
	// Output: hub.yaml:12: adapters.inad.http.endpoint: missing: want https://HOST/PATH
}
