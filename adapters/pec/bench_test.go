package pec

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// realistic is a provider as they are: RSA keys of 2048 bits, an intermediate authority with the names of its providers as
// constraints, a root above it.
func realistic(t testing.TB) *house {
	t.Helper()
	key := func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	rootKey, authorityKey, leafKey := key(), key(), key()
	usual := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{Country: []string{"IT"}, Organization: []string{name}, CommonName: name},
			NotBefore: forgedAt.AddDate(-1, 0, 0), NotAfter: forgedAt.AddDate(2, 0, 0),
		}
	}
	root, authority, leaf := usual(1, "Test Root"), usual(2, "Test Authority"), usual(3, "Gestore Uno S.p.A.")
	for _, c := range []*x509.Certificate{root, authority} {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	}
	for i := range 36 {
		authority.PermittedEmailAddresses = append(authority.PermittedEmailAddresses, "gestore-"+string(rune('a'+i%26))+strings.Repeat("x", i)+".test")
	}
	authority.PermittedEmailAddresses = append(authority.PermittedEmailAddresses, "gestore-uno.test")
	authority.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	leaf.EmailAddresses, leaf.KeyUsage = []string{signing}, x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	h := &house{pool: x509.NewCertPool(), signer: leafKey}
	h.root = issued(t, root, root, rootKey, &rootKey.PublicKey)
	h.between = issued(t, authority, h.root, rootKey, &authorityKey.PublicKey)
	h.leaf = issued(t, leaf, h.between, authorityKey, &leafKey.PublicKey)
	h.pool.AddCert(h.root)
	return h
}

// BenchmarkReceipt reads receipts whole: message, document, signature, chain. Beside each stands the bare check of the same
// signature over the same bytes by the library, without any chain; x-pkcs7 is the ratio of both.
func BenchmarkReceipt(b *testing.B) {
	h := realistic(b)
	b.Run("acceptance of 20 KB", func(b *testing.B) {
		l := receiptOf(tipoAccettazione)
		l.text = strings.Repeat("Il messaggio e' stato accettato dal sistema ed inoltrato.\r\n", 170)
		benchmarkReceipt(b, h, l)
	})
	b.Run("delivery that returns 5 MB", func(b *testing.B) {
		l := receiptOf(tipoConsegna)
		l.daticert = strings.Replace(l.daticert, formShort, formComplete, 1)
		l.original = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 74)+"\r\n", 5<<20/76)
		benchmarkReceipt(b, h, l)
	})
}

func benchmarkReceipt(b *testing.B, h *house, l letter) {
	body := l.body()
	p7s := h.sign(b, body)
	raw := l.wrap(body, p7s)
	r := office(h)
	if got := r.read(raw, seenAt, seenAt); got.receipt.Verdict() != Valid || got.receipt.Reason != "" {
		b.Fatalf("%s (%s)", got.receipt.Verdict(), got.receipt.Doubt)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	var whole, bare time.Duration
	for b.Loop() {
		t0 := time.Now()
		r.read(raw, seenAt, seenAt)
		t1 := time.Now()
		m, err := pkcs7.Parse(p7s)
		if err != nil {
			b.Fatal(err)
		}
		m.Content = body
		if err := m.Verify(); err != nil {
			b.Fatal(err)
		}
		whole, bare = whole+t1.Sub(t0), bare+time.Since(t1)
	}
	n := float64(b.N)
	b.ReportMetric(float64(whole.Nanoseconds())/n, "ns-whole/op")
	b.ReportMetric(float64(bare.Nanoseconds())/n, "ns-pkcs7/op")
	b.ReportMetric(float64(whole)/float64(bare), "x-pkcs7")
}

// An xmlDaticert is the document for encoding/xml.
type xmlDaticert struct {
	XMLName      xml.Name `xml:"postacert"`
	Tipo         string   `xml:"tipo,attr"`
	Errore       string   `xml:"errore,attr"`
	Intestazione struct {
		Mittente    string `xml:"mittente"`
		Destinatari []struct {
			Tipo    string `xml:"tipo,attr"`
			Address string `xml:",chardata"`
		} `xml:"destinatari"`
		Risposte string `xml:"risposte"`
		Oggetto  string `xml:"oggetto"`
	} `xml:"intestazione"`
	Dati struct {
		Gestore string `xml:"gestore-emittente"`
		Data    struct {
			Zona   string `xml:"zona,attr"`
			Giorno string `xml:"giorno"`
			Ora    string `xml:"ora"`
		} `xml:"data"`
		Identificativo string `xml:"identificativo"`
		MsgID          string `xml:"msgid"`
		Ricevuta       struct {
			Tipo string `xml:"tipo,attr"`
		} `xml:"ricevuta"`
		Consegna  string   `xml:"consegna"`
		Ricezione []string `xml:"ricezione"`
		Esteso    string   `xml:"errore-esteso"`
	} `xml:"dati"`
}

// BenchmarkDaticert reads one document with our scanner and with encoding/xml, into the same fields; x-xml is the ratio.
func BenchmarkDaticert(b *testing.B) {
	doc := bytes.ReplaceAll([]byte(xmlOf(tipoConsegna, forgedID)), []byte("><"), []byte(">\n        <"))
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	var ours, theirs time.Duration
	for b.Loop() {
		t0 := time.Now()
		if _, err := readDaticert(doc); err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		var d xmlDaticert
		if err := xml.Unmarshal(doc, &d); err != nil {
			b.Fatal(err)
		}
		ours, theirs = ours+t1.Sub(t0), theirs+time.Since(t1)
	}
	n := float64(b.N)
	b.ReportMetric(float64(ours.Nanoseconds())/n, "ns-ours/op")
	b.ReportMetric(float64(theirs.Nanoseconds())/n, "ns-xml/op")
	b.ReportMetric(float64(ours)/float64(theirs), "x-xml")
}
