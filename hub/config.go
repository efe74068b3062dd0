package hub

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"raccordo/contracts"
	"raccordo/hub/api"
	"raccordo/hub/call"
	"raccordo/hub/feed"
	"raccordo/hub/ledger"
	"raccordo/hub/outbox"
	"raccordo/hub/store"
)

// maxConfig is the most that is read of a configuration file, or of a secret.
const (
	maxConfig = 1 << 20
	maxSecret = 64 << 10
)

// A Config is one environment's hub, as a person writes it in YAML.
type Config struct {
	// Environment is the one value which hosts, audiences, issuers and keys must fit.
	Environment contracts.Environment `yaml:"environment"`
	// Secrets is the folder that "secret://file/NAME" is relative to; empty: the configuration file's own.
	Secrets string `yaml:"secrets"`

	Store  store.Config  `yaml:"store"`
	Ledger ledger.Config `yaml:"ledger"`
	// Archive is the folder of proofs; empty: the store's path with ".proofs" behind it.
	Archive string        `yaml:"archive"`
	Tickets outbox.Config `yaml:"tickets"`
	Events  feed.Config   `yaml:"events"`
	// Calls is how much one calling service may ask at once.
	Calls call.AdmitConfig `yaml:"calls"`
	// Listen is where core services reach the hub over HTTP, and API what each of them may ask.
	Listen Listen     `yaml:"listen"`
	API    api.Config `yaml:"api"`
	// Adapters are the instances, by name; a supplier may have several.
	Adapters map[string]*Instance `yaml:"adapters"`
	// Routes name, per need, the instances to ask, in order: the first that knows answers.
	Routes map[string][]string `yaml:"routes"`
}

// A Listen is where the HTTP API is served.
type Listen struct {
	Address     string           `yaml:"address"`     // host:port; port 0: chosen by the system
	Certificate string           `yaml:"certificate"` // PEM file; needed for any but a loopback address
	Key         contracts.Secret `yaml:"key"`
}

// An Instance is one configured adapter.
type Instance struct {
	Kind   string `yaml:"kind"`
	Policy Policy `yaml:"policy"`
	// Config is the rest of the stanza, read by the kind.
	Config contracts.Config `yaml:"-"`
}

// A Policy is how carefully an instance is asked.
type Policy struct {
	Share call.ShareConfig `yaml:"share"`
	Limit call.LimitConfig `yaml:"limit"`
	Break call.BreakConfig `yaml:"break"`
}

func newPolicy() (p Policy) {
	p.Share.Default()
	p.Limit.Default()
	p.Break.Default()
	return p
}

func newConfig() *Config {
	c := &Config{
		Store: store.Default(), Ledger: ledger.Default(),
		Tickets: outbox.Default(), Events: feed.Default(),
		Listen: Listen{Address: "127.0.0.1:8420"},
	}
	c.Calls.Default()
	c.API.Default()
	return c
}

// Load reads a configuration file strictly. The error is Findings: every fault at once, each with file, line and path.
// Nothing but the file is touched: no secret is read, no network asked.
func Load(path string, kinds contracts.Kinds) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: "hub", Err: fmt.Errorf("configuration: %w", err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, &contracts.Error{Kind: contracts.Unavailable, System: "hub", Err: fmt.Errorf("configuration: %w", err)}
	}
	if len(data) > maxConfig {
		return nil, Findings{{File: path, Line: 1, Text: fmt.Sprintf("larger than %d bytes: this is no configuration", maxConfig)}}
	}
	return parseConfig(path, data, kinds)
}

func parseConfig(path string, data []byte, kinds contracts.Kinds) (*Config, error) {
	d := parse(path, data)
	c := newConfig()
	if d.root != nil && len(d.found) == 0 {
		if d.root.Kind != yaml.MappingNode {
			d.fault(d.root, "", "want a mapping of keys to values")
		} else {
			d.decode(d.root, c, "", "adapters")
			c.adapters(d, kinds)
			c.validate(d)
		}
	}
	if len(d.found) > 0 {
		slices.SortStableFunc(d.found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
		return nil, d.found
	}
	if c.Secrets == "" {
		c.Secrets = filepath.Dir(path)
	}
	if c.Archive == "" {
		c.Archive = c.Store.Path + ".proofs"
	}
	return c, nil
}

// adapters reads each stanza twice: kind and policy here, the rest by the kind it names.
func (c *Config) adapters(d *document, kinds contracts.Kinds) {
	c.Adapters = map[string]*Instance{}
	list := child(d.root, "adapters")
	if list == nil {
		d.fault(d.root, "adapters", "none is configured")
		return
	}
	if list.Kind != yaml.MappingNode {
		d.fault(list, "adapters", "want a mapping of names to stanzas")
		return
	}
	for i := 0; i+1 < len(list.Content); i += 2 {
		name, stanza := list.Content[i].Value, resolve(list.Content[i+1])
		path := join("adapters", name)
		if _, twice := c.Adapters[name]; twice {
			d.fault(list.Content[i], path, "stands twice")
			continue
		}
		in := &Instance{Policy: newPolicy()}
		c.Adapters[name] = in
		if stanza.Kind != yaml.MappingNode {
			d.fault(stanza, path, "want a mapping of keys to values")
			continue
		}
		var head struct {
			Kind   string `yaml:"kind"`
			Policy Policy `yaml:"policy"`
		}
		head.Policy = in.Policy
		var others []string
		for j := 0; j+1 < len(stanza.Content); j += 2 {
			if k := stanza.Content[j].Value; k != "kind" && k != "policy" {
				others = append(others, k)
			}
		}
		d.decode(stanza, &head, path, others...)
		in.Kind, in.Policy = head.Kind, head.Policy
		fresh, ok := kinds[in.Kind]
		if !ok {
			d.fault(d.at(join(path, "kind")), join(path, "kind"), "want one of %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
			continue
		}
		in.Config = fresh()
		d.decode(stanza, in.Config, path, "kind", "policy")
	}
}

func (c *Config) validate(d *document) {
	switch c.Environment {
	case contracts.Attestazione, contracts.Collaudo, contracts.Produzione:
	default:
		d.faults("", contracts.Faultf("environment", "want %s, %s or %s", contracts.Attestazione, contracts.Collaudo, contracts.Produzione))
	}
	d.faults("store", c.Store.Validate())
	d.faults("ledger", c.Ledger.Validate())
	d.faults("tickets", c.Tickets.Validate())
	d.faults("events", c.Events.Validate())
	d.faults("", c.Calls.Validate("calls"))
	d.faults("listen", c.Listen.Validate())
	d.faults("", c.API.Validate("api"))
	for _, name := range slices.Sorted(maps.Keys(c.Adapters)) {
		in, path := c.Adapters[name], join("adapters", name)
		if in.Config != nil {
			d.faults(path, in.Config.Validate(c.Environment))
		}
		d.faults("", in.Policy.Share.Validate(join(path, "policy.share")))
		d.faults("", in.Policy.Limit.Validate(join(path, "policy.limit")))
		d.faults("", in.Policy.Break.Validate(join(path, "policy.break")))
	}
	c.validateRoutes(d)
}

func (c *Config) validateRoutes(d *document) {
	if len(c.Routes) == 0 {
		d.faults("", contracts.Faultf("routes", "none is configured: no call would find an instance"))
	}
	for _, need := range slices.Sorted(maps.Keys(c.Routes)) {
		path, route := join("routes", need), c.Routes[need]
		if len(route) == 0 {
			d.faults("", contracts.Faultf(path, "name at least one instance"))
		}
		for i, name := range route {
			at := fmt.Sprintf("%s[%d]", path, i)
			in, ok := c.Adapters[name]
			switch {
			case !ok:
				d.faults("", contracts.Faultf(at, "no adapter of that name is configured"))
				continue
			case slices.Contains(route[:i], name):
				d.faults("", contracts.Faultf(at, "stands twice in the route"))
			}
			if in.Config == nil {
				continue
			}
			serves := false
			for _, op := range in.Config.Operations() {
				if needOf(op.Name) != need {
					continue
				}
				serves = true
				if op.Effect != contracts.Read && len(route) > 1 && i == 0 {
					d.faults("", contracts.Faultf(path, "%s has effect %s: a route of several instances is for reads only", op.Name, op.Effect))
				}
			}
			if !serves {
				d.faults("", contracts.Faultf(at, "an adapter of kind %s does not serve %s", in.Kind, need))
			}
		}
	}
}

// Validate gives every fault at once.
func (l Listen) Validate() error {
	var errs []error
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		errs = append(errs, contracts.Faultf("address", "want host:port"))
	} else if ip := net.ParseIP(host); (ip == nil || !ip.IsLoopback()) && host != "localhost" && l.Certificate == "" {
		errs = append(errs, contracts.Faultf("address", "an address other than loopback needs certificate and key (TLS)"))
	}
	if l.Certificate != "" {
		errs = append(errs, l.Key.Fault("key"))
	}
	return errors.Join(errs...)
}

// needOf is the need of an operation's name: "domicile" of "domicile.lookup".
func needOf(op string) string {
	need, _, _ := strings.Cut(op, ".")
	return need
}

// secretsFrom resolves references; files are read below dir unless their name is absolute.
func secretsFrom(dir string) func(context.Context, contracts.Secret) ([]byte, error) {
	return func(_ context.Context, ref contracts.Secret) ([]byte, error) {
		if err := ref.Fault("secret"); err != nil {
			return nil, &contracts.Error{Kind: contracts.Invalid, System: "hub", Err: err}
		}
		where, name, _ := strings.Cut(strings.TrimPrefix(string(ref), "secret://"), "/")
		if where == "env" {
			value, ok := os.LookupEnv(name)
			if !ok {
				return nil, contracts.Errorf(contracts.Invalid, "secret: no environment variable %s", name)
			}
			return []byte(value), nil
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "secret: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return nil, contracts.Errorf(contracts.Unavailable, "secret: %w", err)
		}
		if len(b) > maxSecret {
			return nil, contracts.Errorf(contracts.Invalid, "secret: %s is larger than %d bytes", name, maxSecret)
		}
		return b, nil
	}
}

// TLS gives the server's TLS settings, or nil where it serves without (on loopback only).
func (l Listen) TLS(ctx context.Context, h *Hub) (*tls.Config, error) {
	if l.Certificate == "" {
		return nil, nil
	}
	chain, err := os.ReadFile(l.Certificate)
	if err != nil {
		return nil, contracts.Errorf(contracts.Invalid, "listen.certificate: %w", err)
	}
	key, err := h.secret(ctx, l.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, contracts.Errorf(contracts.Invalid, "listen: certificate and key do not fit: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
