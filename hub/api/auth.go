package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"raccordo/contracts"
)

// A caller is a service that may come in. Its tokens are kept as digests only.
type caller struct {
	service    string
	tokens     [][sha256.Size]byte
	operations []string
	purposes   []string
}

func newCallers(ctx context.Context, cfg map[string]CallerConfig, secret func(context.Context, contracts.Secret) ([]byte, error)) ([]caller, error) {
	var all []caller
	taken := map[[sha256.Size]byte]string{}
	for _, service := range slices.Sorted(maps.Keys(cfg)) {
		c := caller{service: service, operations: cfg[service].Operations, purposes: cfg[service].Purposes}
		for i, ref := range cfg[service].Tokens {
			token, err := secret(ctx, ref)
			if err != nil {
				return nil, fmt.Errorf("callers.%s.tokens[%d]: %w", service, i, err)
			}
			token = bytes.TrimSpace(token)
			if len(token) < minToken {
				return nil, fmt.Errorf("callers.%s.tokens[%d]: want at least %d characters", service, i, minToken)
			}
			sum := sha256.Sum256(token)
			if other, ok := taken[sum]; ok {
				return nil, fmt.Errorf("callers.%s.tokens[%d]: is a token of %s already", service, i, other)
			}
			taken[sum] = service
			c.tokens = append(c.tokens, sum)
		}
		all = append(all, c)
	}
	return all, nil
}

// authenticate finds the caller by its bearer token, or nil. It looks at every token in the same time, found or not.
func (s *Server) authenticate(r *http.Request) *caller {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	var found *caller
	for i := range s.callers {
		for _, t := range s.callers[i].tokens {
			if subtle.ConstantTimeCompare(sum[:], t[:]) == 1 {
				found = &s.callers[i]
			}
		}
	}
	return found
}

func (c *caller) mayAsk(op string) bool {
	need, _, _ := strings.Cut(op, ".")
	return slices.ContainsFunc(c.operations, func(allowed string) bool {
		return allowed == "*" || allowed == op || allowed == need+".*"
	})
}

func (c *caller) mayFor(purpose string) bool {
	return purpose != "" && (slices.Contains(c.purposes, purpose) || slices.Contains(c.purposes, "*"))
}
