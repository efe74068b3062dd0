package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
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

// The most that is read of a configuration file, and of a secret.
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
	// Metrics is where Prometheus may read, besides the operators' socket.
	Metrics MetricsConfig `yaml:"metrics"`
	// Warnings are what an operator should know of a configuration that is not wrong, in the order of its lines.
	Warnings Findings `yaml:"-"`
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
		return nil, &contracts.Error{Kind: contracts.Invalid, System: "hub", Err: fmt.Errorf("configuration: %w", err)}
	}
	if len(data) > maxConfig {
		return nil, Findings{{File: path, Line: 1, Text: fmt.Sprintf("larger than %d bytes: this is no configuration", maxConfig)}}
	}
	return parseConfig(path, data, kinds)
}

func parseConfig(path string, data []byte, kinds contracts.Kinds) (*Config, error) {
	d := parse(path, data)
	c := newConfig()
	if d.root != nil {
		d.kinds = kinds
		d.decode(d.root, c, "")
		if d.left > 0 { // or much of it was not read
			c.validate(d)
		}
	}
	if len(d.found) > 0 {
		return nil, d.findings()
	}
	c.warn(d)
	if c.Secrets == "" {
		c.Secrets = filepath.Dir(path)
	}
	if c.Archive == "" {
		c.Archive = c.Store.Path + ".proofs"
	}
	return c, nil
}

// decode reads kind and policy, and the rest by the kind.
func (in *Instance) decode(d *document, n *yaml.Node, path string) {
	in.Policy = newPolicy()
	if n.Kind != yaml.MappingNode {
		d.bad(n, path, "want a mapping of keys to values")
		return
	}
	structs := []reflect.Value{reflect.ValueOf(in).Elem()}
	if _, kind, _ := step(n, "kind"); kind != nil {
		if fresh, ok := d.kinds[resolve(kind).Value]; ok {
			in.Config = fresh()
			structs = append(structs, reflect.ValueOf(in.Config).Elem())
		}
	}
	target := fieldsOf(structs...)
	d.mapping(n, path, func(key string) (reflect.Value, bool) {
		v, ok := target(key)
		return v, ok || in.Config == nil // of an unknown kind nothing is known
	}, nil)
	if in.Config == nil {
		kind := join(path, "kind")
		d.bad(d.place(kind), kind, "want one of %s", strings.Join(slices.Sorted(maps.Keys(d.kinds)), ", "))
	}
}

// instanceName is what stands in routes, entries, logs and metrics.
var instanceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)

func (c *Config) validate(d *document) {
	if !slices.Contains(environments, c.Environment) {
		d.faults("", contracts.Faultf("environment", "want %s, %s or %s", contracts.Attestazione, contracts.Collaudo, contracts.Produzione))
	}
	d.faults("store", c.Store.Validate())
	d.faults("ledger", c.Ledger.Validate())
	d.faults("tickets", c.Tickets.Validate())
	d.faults("events", c.Events.Validate())
	d.faults("", c.Calls.Validate("calls"))
	d.faults("listen", c.Listen.Validate())
	d.faults("metrics", c.Metrics.Validate())
	d.faults("", c.API.Validate("api"))
	if len(c.Adapters) == 0 {
		d.faults("", contracts.Faultf("adapters", "none is configured"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Adapters)) {
		in, path := c.Adapters[name], join("adapters", name)
		if !instanceName.MatchString(name) {
			d.faults("", contracts.Faultf(path, "want a name of letters, digits, dashes and underscores, at most 40"))
		}
		if in.Config != nil {
			d.faults(path, in.faults(c.Environment))
		}
		d.faults("", in.Policy.Share.Validate(join(path, "policy.share")))
		d.faults("", in.Policy.Limit.Validate(join(path, "policy.limit")))
		d.faults("", in.Policy.Break.Validate(join(path, "policy.break")))
	}
	c.validateRoutes(d)
	c.validateOperations(d)
	c.validateAnchor(d)
}

var environments = []contracts.Environment{contracts.Attestazione, contracts.Collaudo, contracts.Produzione}

// faults gives what is wrong in an environment; where that is none of the three, what is wrong in all of them.
func (in *Instance) faults(env contracts.Environment) error {
	if slices.Contains(environments, env) {
		return in.Config.Validate(env)
	}
	common := flatten(in.Config.Validate(environments[0]))
	for _, other := range environments[1:] {
		here := flatten(in.Config.Validate(other))
		common = slices.DeleteFunc(common, func(f contracts.Fault) bool { return !slices.Contains(here, f) })
	}
	errs := make([]error, len(common))
	for i := range common {
		errs[i] = &common[i]
	}
	return errors.Join(errs...)
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
		writes := map[string]bool{}
		for i, name := range route {
			at := fmt.Sprintf("%s[%d]", path, i)
			in, ok := c.Adapters[name]
			switch {
			case !ok && len(c.Adapters) > 0:
				d.faults("", contracts.Faultf(at, "no adapter of that name is configured"))
			case slices.Contains(route[:i], name):
				d.faults("", contracts.Faultf(at, "stands twice in the route"))
			case ok && in.Config != nil && !in.serves(need, writes):
				d.faults("", contracts.Faultf(at, "an adapter of kind %s does not serve %s", in.Kind, need))
			}
		}
		if len(route) > 1 && len(writes) > 0 {
			d.faults("", contracts.Faultf(path, "a route of several instances is for reads only, and %s writes", strings.Join(slices.Sorted(maps.Keys(writes)), ", ")))
		}
	}
}

// serves reports whether the instance binds an operation of the need, and notes those that write.
func (in *Instance) serves(need string, writes map[string]bool) (serves bool) {
	for _, op := range in.Config.Operations() {
		if needOf(op.Name) != need {
			continue
		}
		serves = true
		if op.Effect != contracts.Read {
			writes[op.Name] = true
		}
	}
	return serves
}

// validateOperations finds names of operations that no configured adapter binds: a caller allowed only those would be
// refused for ever, and nobody would see why.
func (c *Config) validateOperations(d *document) {
	effects := map[string]contracts.Effect{}
	for _, in := range c.Adapters {
		if in.Config == nil {
			return // not all of them are known
		}
		for _, op := range in.Config.Operations() {
			effects[op.Name] = op.Effect
		}
	}
	if len(effects) == 0 {
		return
	}
	bound := func(pattern string) bool {
		need, verb, _ := strings.Cut(pattern, ".")
		for op := range effects {
			if pattern == "*" || pattern == op || verb == "*" && needOf(op) == need {
				return true
			}
		}
		return false
	}
	for _, service := range slices.Sorted(maps.Keys(c.API.Callers)) {
		for i, op := range c.API.Callers[service].Operations {
			if strings.Contains(op, ".") && !bound(op) {
				d.faults("", contracts.Faultf(fmt.Sprintf("api.callers.%s.operations[%d]", service, i), "no configured adapter binds such an operation"))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Adapters)) {
		for _, op := range slices.Sorted(maps.Keys(c.Adapters[name].Policy.Share.Keep)) {
			if effects[op] != contracts.Read {
				d.faults("", contracts.Faultf(join("adapters", name)+".policy.share.keep."+op, "want an operation that reads and is bound here"))
			}
		}
	}
}

// Validate gives every fault at once.
func (l Listen) Validate() error {
	var errs []error
	host, err := hostOf(l.Address)
	if err != nil {
		errs = append(errs, contracts.Faultf("address", "%v", err))
	} else if ip := net.ParseIP(host); (ip == nil || !ip.IsLoopback()) && host != "localhost" && l.Certificate == "" {
		errs = append(errs, contracts.Faultf("address", "an address other than loopback needs certificate and key (TLS)"))
	}
	if (l.Certificate == "") != (l.Key == "") {
		errs = append(errs, contracts.Faultf("certificate", "certificate and key go together"))
	}
	if l.Certificate != "" {
		errs = append(errs, certificateFault("certificate", l.Certificate))
	}
	if l.Key != "" {
		errs = append(errs, l.Key.Fault("key"))
	}
	return errors.Join(errs...)
}

func certificateFault(path, file string) error {
	chain, err := os.ReadFile(file)
	if err != nil {
		return contracts.Faultf(path, "cannot read the file")
	}
	block, _ := pem.Decode(chain)
	if block == nil {
		return contracts.Faultf(path, "holds no PEM certificate")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return contracts.Faultf(path, "holds no PEM certificate")
	}
	return nil
}

// hostOf is the host of host:port; port 0 is chosen by the system.
func hostOf(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.New("want host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return "", errors.New("want host:port, with a port of 0 to 65535")
	}
	return host, nil
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
