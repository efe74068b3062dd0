package api

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
)

// Config is what a person writes about the API.
type Config struct {
	MaxBody int64                   `yaml:"max_body"` // bytes of a request's body
	MaxWait time.Duration           `yaml:"max_wait"` // how long a call or a reader of events may be kept waiting
	Callers map[string]CallerConfig `yaml:"callers"`  // by service
}

// CallerConfig is what one service may do, and how it proves itself.
type CallerConfig struct {
	// Tokens are the bearer tokens it may show, of at least 20 characters: one, or two while the first is replaced.
	Tokens []contracts.Secret `yaml:"tokens"`
	// Operations it may ask for: "domicile.lookup", "domicile.*" or "*".
	Operations []string `yaml:"operations"`
	// Purposes it may ask for: names, or "*".
	Purposes []string `yaml:"purposes"`
}

// minToken is the length below which a bearer token is no secret.
const minToken = 20

// Default fills c: bodies that hold the largest message the delivery contract allows, and a wait of half a minute.
func (c *Config) Default() { *c = Config{MaxBody: 32 << 20, MaxWait: 30 * time.Second} }

// Validate gives every fault at once, each with its place below path.
func (c *Config) Validate(path string) error {
	var errs []error
	fault := func(bad bool, at, format string, args ...any) {
		if bad {
			errs = append(errs, contracts.Faultf(path+at, format, args...))
		}
	}
	fault(c.MaxBody < 1<<10 || c.MaxBody > 1<<30, ".max_body", "want 1024 to %d bytes", 1<<30)
	fault(c.MaxWait < time.Second || c.MaxWait > 10*time.Minute, ".max_wait", "want 1s to 10m")
	for _, service := range slices.Sorted(maps.Keys(c.Callers)) {
		caller, at := c.Callers[service], ".callers."+service
		fault(!plainText(service) || service == "", at, "want a name of at most %d printable ASCII characters", maxHeader)
		fault(len(caller.Tokens) == 0 || len(caller.Tokens) > 2, at+".tokens", "want one token, or two while one is replaced")
		for _, t := range caller.Tokens {
			errs = append(errs, t.Fault(path+at+".tokens"))
		}
		fault(len(caller.Operations) == 0, at+".operations", `want operations, such as "domicile.lookup", "domicile.*" or "*"`)
		for _, op := range caller.Operations {
			need, verb, ok := strings.Cut(op, ".")
			fault(op != "*" && (!ok || need == "" || verb == ""), at+".operations", `want need.verb, need.* or "*"`)
		}
		fault(len(caller.Purposes) == 0 || slices.Contains(caller.Purposes, ""), at+".purposes", `want names of purposes, or "*"`)
	}
	return errors.Join(errs...)
}
