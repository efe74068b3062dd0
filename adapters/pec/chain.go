package pec

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

const (
	maxChains  = 64 // certificates remembered: a few dozen providers sign, each with one or two at a time
	maxWindows = 8  // of one certificate: its issuer may have been reissued
)

// Chains remembers which certificates were found to chain to the roots, and between which instants they do: a provider's
// certificate signs hundreds of thousands of receipts, and building its chain costs as much as checking a receipt. A
// certificate is known together with all those that came with it. What was not found is not remembered. All that the
// search checks besides time (signatures, purposes, name constraints, path lengths) does not change with time, so that a
// chain holds from the last of its certificates' beginnings to the first of their ends. One memory serves one set of
// roots.
type chains struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte][]window
}

type window struct{ from, to time.Time }

func (w window) holds(at time.Time) bool { return !at.Before(w.from) && !at.After(w.to) }

// hold reports whether the certificate chains to roots for e-mail protection at an instant, by way of those that came
// with it.
func (c *chains) hold(roots *x509.CertPool, leaf *x509.Certificate, with []*x509.Certificate, at time.Time) bool {
	key := chainKey(leaf, with)
	if c.remembers(key, at) {
		return true
	}
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}
	for _, x := range with {
		options.Intermediates.AddCert(x)
	}
	found, err := leaf.Verify(options)
	if err != nil {
		return false
	}
	c.remember(key, found)
	return true
}

func (c *chains) remembers(key [sha256.Size]byte, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.known[key] {
		if w.holds(at) {
			return true
		}
	}
	return false
}

func (c *chains) remember(key [sha256.Size]byte, found [][]*x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxChains && c.known[key] == nil {
		c.known = map[[sha256.Size]byte][]window{} // as good a moment as any to forget: it costs one search each
	}
	for _, chain := range found {
		w := window{chain[0].NotBefore, chain[0].NotAfter}
		for _, x := range chain[1:] {
			if x.NotBefore.After(w.from) {
				w.from = x.NotBefore
			}
			if x.NotAfter.Before(w.to) {
				w.to = x.NotAfter
			}
		}
		if len(c.known[key]) < maxWindows {
			c.known[key] = append(c.known[key], w)
		}
	}
}

// chainKey names a certificate together with those that came with it.
func chainKey(leaf *x509.Certificate, with []*x509.Certificate) (key [sha256.Size]byte) {
	h := sha256.New()
	h.Write(leaf.Raw) // a certificate's length stands at its beginning, so that no two lists make the same bytes
	for _, x := range with {
		h.Write(x.Raw)
	}
	h.Sum(key[:0])
	return key
}
