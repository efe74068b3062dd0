package pec

import (
	"crypto/x509"
	"time"

	"raccordo/contracts"
)

// Attest reads a message as the feed does, and gives what it attests, without a configuration: the mailbox is taken to be
// the one that the document names as its sender. The certificates are judged by roots at an instant; without roots nobody
// is believed. It is for whoever verifies evidence long after and elsewhere.
func Attest(raw []byte, roots *x509.CertPool, at time.Time) contracts.Evidence {
	r := reader{roots: roots}
	if o, _ := open(raw); o.daticert != nil { // what cannot be read is said below
		r.address = address(o.daticert.Mittente)
	}
	return r.read(raw, at, at).receipt.Evidence
}
