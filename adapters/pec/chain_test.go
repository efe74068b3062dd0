package pec

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// An authority is a certificate that issues others.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (a authority) issue(t testing.TB, c *x509.Certificate) authority {
	t.Helper()
	key := newKey(t)
	if a.cert == nil {
		return authority{issued(t, c, c, key, &key.PublicKey), key}
	}
	return authority{issued(t, c, a.cert, a.key, &key.PublicKey), key}
}

func certificate(serial int64, from, to time.Time) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "n" + big.NewInt(serial).String()}, NotBefore: from, NotAfter: to}
}

func issuing(c *x509.Certificate) *x509.Certificate {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	return c
}

func signs(c *x509.Certificate, address string) *x509.Certificate {
	c.EmailAddresses, c.KeyUsage, c.ExtKeyUsage = []string{address}, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	c.Policies = []x509.OID{policyOID}
	return c
}

func day(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

// TestARememberedChainIsJudgedAsAFreshOne: whatever instants are asked for in whatever order, the memory answers what a
// search would, also where an authority was reissued and the certificate has two chains.
func TestARememberedChainIsJudgedAsAFreshOne(t *testing.T) {
	root := authority{}.issue(t, issuing(certificate(1, day(0), day(1000))))
	first := root.issue(t, issuing(certificate(2, day(100), day(400))))
	again := issuing(certificate(3, day(500), day(800))) // the same name and key, reissued
	again.Subject = first.cert.Subject
	key := first.key
	second := issued(t, again, root.cert, root.key, key.Public())
	leaf := first.issue(t, signs(certificate(4, day(50), day(700)), signing))
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	with := []*x509.Certificate{leaf.cert, first.cert, second}
	memory := &chains{}
	rapid.Check(t, func(t *rapid.T) {
		at := day(0).Add(time.Duration(rapid.IntRange(-10, 1010*24).Draw(t, "hour")) * time.Hour)
		got, want := memory.hold(pool, leaf.cert, with, at), (&chains{}).hold(pool, leaf.cert, with, at)
		if inside := !at.Before(day(100)) && !at.After(day(400)) || !at.Before(day(500)) && !at.After(day(700)); got != want || got != inside {
			t.Fatalf("at %s: %t, a search says %t, and it is %t", at, got, want, inside)
		}
	})
	if len(memory.known) != 1 {
		t.Errorf("%d certificates remembered, want 1", len(memory.known))
	}
}

func TestTheMemoryOfChainsKnowsACertificateOnlyWithItsCompany(t *testing.T) {
	root := authority{}.issue(t, issuing(certificate(1, day(0), day(1000))))
	confined := issuing(certificate(2, day(0), day(1000)))
	confined.PermittedEmailAddresses = []string{"gestore-uno.test"}
	between := root.issue(t, confined)
	good, bad := between.issue(t, signs(certificate(3, day(0), day(1000)), signing)), between.issue(t, signs(certificate(3, day(0), day(1000)), "posta-certificata@evil.test"))
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	memory := &chains{}
	for range 2 {
		if !memory.hold(pool, good.cert, []*x509.Certificate{between.cert}, day(10)) {
			t.Error("a good chain does not hold")
		}
		if memory.hold(pool, good.cert, nil, day(10)) {
			t.Error("a chain holds without the authority between")
		}
		if memory.hold(pool, bad.cert, []*x509.Certificate{between.cert}, day(10)) {
			t.Error("an authority vouches for a name that it may not")
		}
	}
}

func TestTheMemoryOfChainsIsBounded(t *testing.T) {
	root := authority{}.issue(t, issuing(certificate(1, day(0), day(1000))))
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	memory := &chains{}
	for i := range int64(2*maxChains + 1) {
		leaf := root.issue(t, signs(certificate(10+i, day(0), day(1000)), signing))
		want := int(i)%maxChains + 1 // it begins anew when it is full
		if !memory.hold(pool, leaf.cert, nil, day(1)) || len(memory.known) != want {
			t.Fatalf("%d certificates remembered, want %d", len(memory.known), want)
		}
	}
}

// What an authority may vouch for, how a chain ends, and what the certificate is for: read through whole receipts.
func TestChainsOfReceipts(t *testing.T) {
	root := authority{}.issue(t, issuing(certificate(1, forgedAt.AddDate(-5, 0, 0), forgedAt.AddDate(9, 0, 0))))
	from, to := forgedAt.AddDate(-1, 0, 0), forgedAt.AddDate(1, 0, 0)
	for _, tc := range []struct {
		name    string
		between func(*x509.Certificate)
		leaf    func(*x509.Certificate)
		away    bool // the authority does not come with the receipt
		years   int  // after signing, at which it is seen
		verdict Verdict
		doubt   string
		note    string
	}{
		{name: "an authority for its providers", between: func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"gestore-uno.test"} }, verdict: Valid},
		{name: "an authority for others", between: func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"gestore-due.test"} }, verdict: UntrustedChain, doubt: "CHAIN"},
		{name: "an authority for servers", between: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, verdict: UntrustedChain, doubt: "CHAIN"},
		{name: "an authority that may not issue", between: func(c *x509.Certificate) { c.IsCA = false }, verdict: UntrustedChain, doubt: "CHAIN"},
		{name: "an authority that did not come along", away: true, verdict: UntrustedChain, doubt: "CHAIN"},
		{name: "an expired authority, good when it was signed", between: func(c *x509.Certificate) { c.NotAfter = to }, leaf: func(c *x509.Certificate) { c.NotAfter = forgedAt.AddDate(5, 0, 0) }, years: 2, verdict: ValidAtSigning, doubt: "EXPIRED"},
		{name: "an expired authority, expired when it was signed", between: func(c *x509.Certificate) { c.NotAfter = forgedAt.AddDate(0, -1, 0) }, verdict: UntrustedChain, doubt: "CHAIN"},
		{name: "an expired certificate, good when it was signed", years: 2, verdict: ValidAtSigning, doubt: "EXPIRED"},
		{name: "a certificate without the policy of PEC", leaf: func(c *x509.Certificate) { c.Policies = nil }, verdict: Valid, note: NoteNoPolicy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, l := issuing(certificate(2, from, forgedAt.AddDate(8, 0, 0))), signs(certificate(3, from, to), signing)
			if tc.between != nil {
				tc.between(b)
			}
			if tc.leaf != nil {
				tc.leaf(l)
			}
			between := root.issue(t, b)
			leaf := between.issue(t, l)
			h := &house{leaf: leaf.cert, signer: leaf.key, pool: x509.NewCertPool()}
			if !tc.away {
				h.between = between.cert
			}
			h.pool.AddCert(root.cert)
			raw, seen, r := receiptOf(tipoConsegna).seal(t, h), seenAt.AddDate(tc.years, 0, 0), office(h)
			for range 2 { // the second time from memory
				got := r.read(raw, seen, seen).receipt
				note := ""
				if len(got.Notes) > 0 {
					note = got.Notes[0]
				}
				if got.Verdict() != tc.verdict || got.Doubt != tc.doubt || note != tc.note {
					t.Errorf("%s (%s) %v, want %s (%s) %s", got.Verdict(), got.Doubt, got.Notes, tc.verdict, tc.doubt, tc.note)
				}
			}
		})
	}
}

func TestWithoutRootsNobodyIsBelieved(t *testing.T) {
	r := office(usual())
	r.roots = nil
	if got := r.read(receiptOf(tipoConsegna).seal(t, usual()), seenAt, seenAt).receipt; got.Verdict() != UntrustedChain || got.Doubt != "NO_ROOTS" {
		t.Errorf("%s (%s)", got.Verdict(), got.Doubt)
	}
}

func TestHousesHaveRealisticKeys(t *testing.T) {
	h := realistic(t)
	if key, ok := h.leaf.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 || len(h.between.PermittedEmailAddresses) != 37 {
		t.Error("the benchmark's provider is not like a real one")
	}
	if got := office(h).read(receiptOf(tipoConsegna).seal(t, h), seenAt, seenAt).receipt; got.Verdict() != Valid {
		t.Errorf("%s (%s)", got.Verdict(), got.Doubt)
	}
}
