package pec

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

// A house is a test provider: key, certificate and the root that vouches for it.
type house struct {
	root, leaf *x509.Certificate
	between    *x509.Certificate // an authority between them, where there is one
	signer     crypto.Signer     // the leaf's key
	pool       *x509.CertPool
	digest     asn1.ObjectIdentifier // of what is signed; nil: SHA-256
}

// policyOID is what certificates of PEC providers are issued under.
var policyOID = func() x509.OID {
	oid, err := x509.OIDFromInts([]uint64{1, 3, 76, 16, 3, 1, 1})
	if err != nil {
		panic(err)
	}
	return oid
}()

const signing = "posta-certificata@gestore-uno.test"

// forgedAt is today: the library signs with the machine's clock.
var forgedAt = time.Now()

// newHouse issues a provider's certificate; change spoils it before it is signed.
func newHouse(t testing.TB, change func(*x509.Certificate)) *house {
	t.Helper()
	h := &house{pool: x509.NewCertPool()}
	rootKey := newKey(t)
	key := newKey(t)
	h.signer = key
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: forgedAt.AddDate(-3, 0, 0), NotAfter: forgedAt.AddDate(10, 0, 0),
	}
	h.root = issued(t, root, root, rootKey, &rootKey.PublicKey)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Gestore Uno S.p.A."}, EmailAddresses: []string{signing},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		NotBefore: forgedAt.AddDate(-1, 0, 0), NotAfter: forgedAt.AddDate(1, 0, 0),
	}
	leaf.Policies = []x509.OID{policyOID}
	if change != nil {
		change(leaf)
	}
	h.leaf = issued(t, leaf, h.root, rootKey, &key.PublicKey)
	h.pool.AddCert(h.root)
	return h
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issued(t testing.TB, template, parent *x509.Certificate, by crypto.Signer, pub crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// usual is one provider for tests that need no other.
var usual = sync.OnceValue(func() *house { return newHouse(panicky{}, nil) })

// panicky lets newHouse run outside a test.
type panicky struct{ testing.TB }

func (panicky) Helper()           {}
func (panicky) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

type signOption func(*pkcs7.SignedData)

// sign makes a signature over content; digest and attributes are as providers have them, unless an option spoils them.
func (h *house) sign(t testing.TB, content []byte, options ...signOption) []byte {
	t.Helper()
	sd, err := pkcs7.NewSignedData(content)
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if h.digest != nil {
		sd.SetDigestAlgorithm(h.digest)
	}
	if err := sd.AddSigner(h.leaf, h.signer, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	if h.between != nil {
		sd.AddCertificate(h.between)
	}
	sd.Detach()
	for _, o := range options {
		o(sd)
	}
	der, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// toBER writes the outer values of a signature with indefinite lengths, down to the lists of certificates and signers, as
// providers do since 2026: a certificate is signed as it is, and stays.
func toBER(t testing.TB, der []byte) []byte { return indefinite(t, der, 4) }

func indefinite(t testing.TB, der []byte, levels int) []byte {
	t.Helper()
	var out []byte
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			t.Fatal(err)
		}
		if v.IsCompound && levels > 0 {
			out = append(append(out, v.FullBytes[0], 0x80), indefinite(t, v.Bytes, levels-1)...)
			out = append(out, 0, 0)
		} else {
			out = append(out, v.FullBytes...)
		}
		der = rest
	}
	return out
}

// A letter is a certified message before it is signed.
type letter struct {
	tipo     string
	marker   string // whole header line; empty: made from tipo
	from     string
	rif      string
	daticert string
	name     string // Content-Type of the document's part
	original string // postacert.eml
	prefix   string // of the subject; empty: the type's
	preamble string
	text     string
}

func receiptOf(tipo string) letter {
	return letter{
		tipo: tipo, from: signing, rif: "<" + forgedID + ">", daticert: xmlOf(tipo, forgedID), name: `application/xml; name="daticert.xml"`,
		preamble: "This is a S/MIME signed message\r\n",
	}
}

const forgedID = "h1.abcdefghijklmnopqrstuvwxyz.1@pec.ente.test"

// erroreOf is the one that goes with a type when there is no more to say.
func erroreOf(tipo string) string {
	switch tipo {
	case tipoVirus:
		return "virus"
	case tipoRifiuto, tipoErrore, tipoPreavviso:
		return "altro"
	}
	return "nessuno"
}

func xmlOf(tipo, msgid string) string {
	consegna := ""
	if tipo == tipoConsegna || tipo == tipoErrore || tipo == tipoPreavviso || tipo == tipoVirus {
		consegna = "<consegna>protocollo@pec.azienda.test</consegna>"
	}
	if tipo == tipoConsegna {
		consegna = `<ricevuta tipo="sintetica"/>` + consegna
	}
	return `<?xml version="1.0" encoding="UTF-8"?><postacert tipo="` + tipo + `" errore="` + erroreOf(tipo) + `"><intestazione><mittente>ufficio@pec.ente.test</mittente>` +
		`<destinatari tipo="certificato">protocollo@pec.azienda.test</destinatari><risposte></risposte><oggetto>Prova</oggetto></intestazione><dati>` +
		`<gestore-emittente>Gestore Uno S.p.A.</gestore-emittente><data zona="+0100"><giorno>21/11/2026</giorno><ora>10:30:00</ora></data>` +
		`<identificativo>mock1.20261121103000.00042@gestore-uno.test</identificativo><msgid>&lt;` + msgid + `&gt;</msgid>` + consegna + `</dati></postacert>`
}

// subject is the one that goes with the type.
func (l letter) subject() string {
	if l.prefix != "" {
		return l.prefix + " Prova"
	}
	for _, p := range prefixes {
		if p.tipo == l.tipo {
			return p.prefix + " Prova"
		}
	}
	return "Prova"
}

// body is the part that is signed.
func (l letter) body() []byte {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; \r\n\tboundary=\"----=_Part_1\"\r\n\r\n")
	b.WriteString("------=_Part_1\r\nContent-Type: multipart/alternative; boundary=\"----=_Part_11\"\r\n\r\n------=_Part_11\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\n\r\n\xe8 stato accettato.\r\n" + l.text + "------=_Part_11--\r\n\r\n")
	if l.daticert != "" {
		fmt.Fprintf(&b, "------=_Part_1\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline\r\n\r\n%s\r\n", l.name, wrapped([]byte(l.daticert)))
	}
	if l.original != "" {
		fmt.Fprintf(&b, "------=_Part_1\r\nContent-Type: message/rfc822; name=postacert.eml\r\n\r\n%s\r\n", l.original)
	}
	b.WriteString("------=_Part_1--\r\n")
	return []byte(b.String())
}

func (l letter) head(contentType string) string {
	marker := l.marker
	if marker == "" {
		marker = "X-Ricevuta: " + l.tipo
		if l.tipo == tipoBusta {
			marker = "X-Trasporto: " + l.tipo
		}
	}
	h := "Received: from x\r\nDate: Sat, 21 Nov 2026 10:30:00 +0100 (CET)\r\nFrom: \"Per conto di: ufficio@pec.ente.test\" <" + l.from + ">\r\nTo: ufficio@pec.ente.test\r\n" +
		"Subject: " + l.subject() + "\r\nMIME-Version: 1.0\r\n" + marker + "\r\n"
	if l.rif != "" {
		h += "X-Riferimento-Message-ID: " + l.rif + "\r\n"
	}
	return h + "Content-Type: " + contentType + "\r\n\r\n"
}

// seal signs the letter and gives the whole message.
func (l letter) seal(t testing.TB, h *house, options ...signOption) []byte {
	t.Helper()
	body := l.body()
	return l.wrap(body, h.sign(t, body, options...))
}

func (l letter) wrap(body, p7s []byte) []byte {
	var b bytes.Buffer
	b.WriteString(l.head("multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; \r\n\tboundary=\"----=_Part\""))
	b.WriteString(l.preamble)
	b.WriteString("------=_Part\r\n")
	b.Write(body)
	b.WriteString("\r\n------=_Part\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7s\r\n\r\n")
	b.WriteString(wrapped(p7s))
	b.WriteString("\r\n------=_Part--\r\n")
	return b.Bytes()
}

func wrapped(b []byte) string {
	text := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(text) > 76 {
		out.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return out.String() + text
}

// office reads as the mailbox ufficio@pec.ente.test that trusts the house.
func office(h *house) *reader {
	a := contracttest.Sure(contracts.ParseAddress("ufficio@pec.ente.test"))
	return &reader{mailbox: "centrale", address: a, roots: h.pool}
}
