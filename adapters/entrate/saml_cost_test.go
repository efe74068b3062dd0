package entrate

import (
	"crypto"
	"crypto/rand"
	"testing"
	"time"
)

// BenchmarkAssertion compares a whole security header with the bare RSA signature in it, in turns: what the adapter adds to
// a call beyond what no client could do without.
func BenchmarkAssertion(b *testing.B) {
	a := asserting(b, identity(b))
	who := user{"system", "192.0.2.7"}
	digest := make([]byte, crypto.SHA1.Size())
	var whole, bare time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := a.security(who); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := a.key.Sign(rand.Reader, digest, crypto.SHA1); err != nil {
			b.Fatal(err)
		}
		whole += middle.Sub(start)
		bare += time.Since(middle)
	}
	b.ReportMetric(float64(whole)/float64(bare), "header/signature")
}
