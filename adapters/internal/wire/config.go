package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"raccordo/adapters/internal/peers"
	"raccordo/contracts"
)

// A Config is what a person writes about one supplier's HTTP endpoint.
type Config struct {
	// Endpoint is the base URL, without query; paths of requests are appended to it.
	Endpoint string `yaml:"endpoint"`
	// CA is the path of a PEM bundle that replaces the system's roots; empty: the system's.
	CA string `yaml:"ca,omitempty"`
	// Proxy is the URL of an HTTP proxy; empty: none. The process's environment variables are never consulted.
	Proxy string `yaml:"proxy,omitempty"`
	// ClientCertificate (path of a PEM chain, leaf first) and ClientKey go together: ModI ID_AUTH_CHANNEL_02.
	ClientCertificate string           `yaml:"client_certificate,omitempty"`
	ClientKey         contracts.Secret `yaml:"client_key,omitempty"`
	// Timeout limits one attempt, from connecting to the last byte of the body.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// ConnectTimeout limits connecting, and once more the TLS handshake.
	ConnectTimeout time.Duration `yaml:"connect_timeout,omitempty"`
	// Attempts is how often one call may be tried in all, 1 to 10.
	Attempts int `yaml:"attempts,omitempty"`
	// MaxBody is the size of the largest reply read, in bytes; a larger one is Malformed.
	MaxBody int64 `yaml:"max_body,omitempty"`
	// RetryAfterMax is the longest wait between two attempts, at most 2 s; a peer that asks for more is obeyed by whoever
	// holds the call, who gets Throttled or Unavailable with After.
	RetryAfterMax time.Duration `yaml:"retry_after_max,omitempty"`
	// RetryBurst is how many repeats may be made beyond a tenth of calls, 0 to 1000.
	RetryBurst int `yaml:"retry_burst,omitempty"`
}

// Default gives the settings that the largest public client of these suppliers settled on: connect in 3 s, answer in
// 8 s, three tries.
func Default() Config {
	return Config{
		Timeout: 8 * time.Second, ConnectTimeout: 3 * time.Second, Attempts: 3,
		MaxBody: 4 << 20, RetryAfterMax: longestWait, RetryBurst: 10,
	}
}

// longestWait separates waits inside a call (real time) from waits of whoever holds the call (the Clock).
const longestWait = 2 * time.Second

// Validate gives every fault at once, as *contracts.Fault below path.
func (c *Config) Validate(env contracts.Environment, path string) error {
	at := func(field string) string { return path + "." + field }
	faults := []error{EndpointFault(env, at("endpoint"), c.Endpoint)}
	fault := func(field, format string, args ...any) {
		faults = append(faults, contracts.Faultf(at(field), format, args...))
	}
	if c.CA != "" {
		if _, err := peers.Authorities(c.CA); err != nil {
			fault("ca", "%v", err)
		}
	}
	if c.Proxy != "" {
		if u, err := url.Parse(c.Proxy); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			fault("proxy", "want http://HOST:PORT or https://HOST:PORT")
		} else if u.User != nil {
			fault("proxy", "must not hold credentials")
		}
	}
	if (c.ClientCertificate == "") != (c.ClientKey == "") {
		fault("client_certificate", "client_certificate and client_key go together")
	}
	if c.ClientCertificate != "" {
		if _, err := os.Stat(c.ClientCertificate); err != nil {
			fault("client_certificate", "cannot read the file")
		}
	}
	if c.ClientKey != "" {
		faults = append(faults, c.ClientKey.Fault(at("client_key")))
	}
	if c.Timeout < time.Millisecond || c.Timeout > 5*time.Minute {
		fault("timeout", "want 1ms to 5m")
	}
	if c.ConnectTimeout < time.Millisecond || c.ConnectTimeout > time.Minute {
		fault("connect_timeout", "want 1ms to 1m")
	}
	if c.Attempts < 1 || c.Attempts > 10 {
		fault("attempts", "want 1 to 10")
	}
	if c.MaxBody < 1<<10 || c.MaxBody > 1<<30 {
		fault("max_body", "want 1024 to 1073741824 bytes")
	}
	if c.RetryAfterMax < 0 || c.RetryAfterMax > longestWait {
		fault("retry_after_max", "want 0s to %v; longer waits go back to whoever holds the call", longestWait)
	}
	if c.RetryBurst < 0 || c.RetryBurst > 1000 {
		fault("retry_burst", "want 0 to 1000")
	}
	return errors.Join(faults...)
}

// EndpointFault says what is wrong with an endpoint in an environment, or nil. Production speaks TLS with public hosts
// only.
func EndpointFault(env contracts.Environment, path, endpoint string) error {
	if endpoint == "" {
		return contracts.Faultf(path, "missing: want https://HOST/PATH")
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return contracts.Faultf(path, "want https://HOST/PATH")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return contracts.Faultf(path, "must hold no credentials, query or fragment")
	}
	if env != contracts.Produzione {
		return nil
	}
	if u.Scheme == "http" {
		return contracts.Faultf(path, "%s speaks https only", env)
	}
	return peers.HostFault(env, path, u.Hostname())
}

func (c *Config) tls(key func(contracts.Secret) ([]byte, error)) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12} // ModI, ID_AUTH_CHANNEL_01
	if c.CA != "" {
		pool, err := peers.Authorities(c.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		conf.RootCAs = pool
	}
	if c.ClientCertificate != "" {
		chain, err := os.ReadFile(c.ClientCertificate)
		if err != nil {
			return nil, errors.New("client_certificate: cannot read the file")
		}
		secret, err := key(c.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client_key: %w", err)
		}
		pair, err := tls.X509KeyPair(chain, secret)
		if err != nil {
			return nil, errors.New("client_certificate: does not fit client_key, or one of them is not PEM")
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func (c *Config) dialer() *net.Dialer {
	return &net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}
}
