package entrate

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is the agency, the platform in front of its REST services, and a client with vouchers and certificates.
type stage struct {
	testing.TB
	b      *lab.Bench
	m      *Mock
	p      *pdnd.Mock
	http   *http.Client
	tokens map[string]string // by e-service
}

func newStage(t testing.TB) *stage {
	t.Helper()
	m, p := New(), pdnd.New()
	p.Set(func(s *pdnd.Settings) { s.Life = 96 * time.Hour })
	b := lab.Start(t, m, p)
	s := &stage{TB: t, b: b, m: m, p: p, http: b.Client(t), tokens: map[string]string{}}
	s.certify(m.ClientCertificate())
	for _, service := range []string{VCFService, PIVAService} {
		token, err := p.Voucher(service, pdnd.Activation)
		if err != nil {
			t.Fatal(err)
		}
		s.tokens[service] = token
	}
	return s
}

// certify has the client show a certificate, or none, on connections to come.
func (s *stage) certify(cert tls.Certificate) {
	transport := s.http.Transport.(*http.Transport)
	transport.CloseIdleConnections()
	conf := s.b.CA().ClientTLS()
	if cert.PrivateKey != nil {
		conf.Certificates = []tls.Certificate{cert}
	}
	transport.TLSClientConfig = conf
}

type reply = lab.Answer

func (s *stage) send(method, url string, header http.Header, body string) (reply, error) {
	s.Helper()
	a, err := lab.Try(s, s.http, method, url, body, header)
	if err == nil && a.Body == nil && strings.HasSuffix(a.Header.Get("Content-Type"), "json") {
		err = errors.New("the answer is no JSON object")
	}
	return a, err
}

func (s *stage) rest(service, url, body string) reply {
	s.Helper()
	out, err := s.send("POST", url+"/verifica", lab.With("application/json", s.tokens[service]), body)
	if err != nil {
		s.Fatal(err)
	}
	return out
}

func (s *stage) code(code string) reply {
	s.Helper()
	return s.rest(VCFService, s.m.VCFURL(), fmt.Sprintf(`{"codiceFiscale":%q}`, code))
}

func (s *stage) vat(number string) reply {
	s.Helper()
	return s.rest(PIVAService, s.m.PIVAURL(), fmt.Sprintf(`{"partitaIva":%q}`, number))
}

// A draft is a SOAP request before it is signed; every field may be spoiled.
type draft struct {
	url, action    string
	noAction       bool
	contentType    string
	payload        string
	id, version    string
	issued, issuer string
	format, who    string
	method         string
	dataFrom       string
	dataUntil      string
	from, until    string
	instant, class string
	attributes     string
	uri            string
	c14n, signer   string
	digest         string
	transforms     []string
	certificate    string
	issuerName     string
	serial         string
	key            *rsa.PrivateKey
	edit           func(string) string // of the finished envelope
}

const (
	checkPayload = `<a:checkValidityRappresentante xmlns:a="` + nsCheck + `"><a:cfRappresentante>%s</a:cfRappresentante><a:cfEnte>%s</a:cfEnte></a:checkValidityRappresentante>`
	orderPayload = `<r:richiediRedditi xmlns:r="` + nsIncome + `"><r:idRichiesta>%s</r:idRichiesta>%s</r:richiediRedditi>`
	fetchPayload = `<ritiraRedditi xmlns="` + nsIncome + `"><protocollo>%s</protocollo></ritiraRedditi>`
)

func attribute(called, value string) string {
	return `<s:Attribute Name="` + called + `"><s:AttributeValue>` + value + `</s:AttributeValue></s:Attribute>`
}

func (s *stage) draft(url, action, payload string) draft {
	now := s.b.Clock().Now()
	stamp := func(d time.Duration) string { return now.Add(d).Format("2006-01-02T15:04:05.000Z") }
	key, cert := s.m.Signer()
	return draft{
		url: url, action: action, payload: payload, contentType: "text/xml; charset=utf-8",
		id: "_5f0c7a52-7b0b-4a0e-9e0e-6a3cf24f3f3e", version: "2.0", issued: stamp(0), issuer: s.m.Issuer(),
		format: unspecifiedName, who: s.m.Ente() + "/" + s.m.Ufficio(), method: bearer,
		dataFrom: stamp(-time.Second), dataUntil: stamp(5 * time.Minute), from: stamp(-time.Second), until: stamp(5 * time.Minute),
		instant: stamp(0), class: unspecifiedClass,
		attributes: attribute("User", "operatore-7") + attribute("IP-User", "192.0.2.7"),
		c14n:       exclusive, signer: rsaSHA1, digest: digestSHA, transforms: []string{enveloped, exclusive},
		certificate: base64.StdEncoding.EncodeToString(cert.Raw), issuerName: issuerName, serial: cert.SerialNumber.String(), key: key,
	}
}

// envelope writes and signs the request. Everything signed is written in its canonical form by hand, so that what the
// mock computes is held against another's arithmetic.
func (d draft) envelope(t testing.TB) string {
	t.Helper()
	const declared = ` xmlns:s="` + nsAssertion + `"`
	head := func(ns string) string {
		return `<s:Assertion` + ns + ` ID="` + d.id + `" IssueInstant="` + d.issued + `" Version="` + d.version + `"><s:Issuer>` + d.issuer + `</s:Issuer>`
	}
	tail := `<s:Subject><s:NameID Format="` + d.format + `">` + d.who + `</s:NameID><s:SubjectConfirmation Method="` + d.method +
		`"><s:SubjectConfirmationData NotBefore="` + d.dataFrom + `" NotOnOrAfter="` + d.dataUntil + `"></s:SubjectConfirmationData>` +
		`</s:SubjectConfirmation></s:Subject><s:Conditions NotBefore="` + d.from + `" NotOnOrAfter="` + d.until + `"></s:Conditions>` +
		`<s:AuthnStatement AuthnInstant="` + d.instant + `"><s:AuthnContext><s:AuthnContextClassRef>` + d.class +
		`</s:AuthnContextClassRef></s:AuthnContext></s:AuthnStatement><s:AttributeStatement>` + d.attributes + `</s:AttributeStatement></s:Assertion>`
	uri := d.uri
	if uri == "" {
		uri = "#" + d.id
	}
	transforms := ""
	for _, x := range d.transforms {
		transforms += `<ds:Transform Algorithm="` + x + `"></ds:Transform>`
	}
	digest := sha1.Sum([]byte(head(declared) + tail))
	info := func(ns string) string {
		return `<ds:SignedInfo` + ns + `><ds:CanonicalizationMethod Algorithm="` + d.c14n + `"></ds:CanonicalizationMethod>` +
			`<ds:SignatureMethod Algorithm="` + d.signer + `"></ds:SignatureMethod><ds:Reference URI="` + uri + `"><ds:Transforms>` + transforms +
			`</ds:Transforms><ds:DigestMethod Algorithm="` + d.digest + `"></ds:DigestMethod><ds:DigestValue>` +
			base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	}
	sum := sha1.Sum([]byte(info(` xmlns:ds="` + nsSignature + `"`)))
	value, err := rsa.SignPKCS1v15(rand.Reader, d.key, crypto.SHA1, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := `<ds:Signature xmlns:ds="` + nsSignature + `">` + info("") + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) +
		`</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + d.certificate + `</ds:X509Certificate><ds:X509IssuerSerial>` +
		`<ds:X509IssuerName>` + d.issuerName + `</ds:X509IssuerName><ds:X509SerialNumber>` + d.serial + `</ds:X509SerialNumber>` +
		`</ds:X509IssuerSerial></ds:X509Data></ds:KeyInfo></ds:Signature>`
	out := `<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="` + nsEnvelope + `"><e:Header><w:Security xmlns:w="` + nsSecurity + `"` + declared + `>` +
		head("") + signature + tail + `</w:Security></e:Header><e:Body>` + d.payload + `</e:Body></e:Envelope>`
	if d.edit != nil {
		out = d.edit(out)
	}
	return out
}

func (s *stage) try(d draft) (reply, error) {
	s.Helper()
	header := http.Header{"Content-Type": {d.contentType}}
	if !d.noAction {
		header["SOAPAction"] = []string{d.action}
	}
	return s.send("POST", d.url, header, d.envelope(s))
}

func (s *stage) call(d draft) reply {
	s.Helper()
	out, err := s.try(d)
	if err != nil {
		s.Fatal(err)
	}
	return out
}

func (s *stage) checkDraft(who, body string) draft {
	return s.draft(s.m.RappresentanteURL(), checkAction, fmt.Sprintf(checkPayload, who, body))
}

func (s *stage) check(who, body string) said {
	s.Helper()
	return told(s, s.call(s.checkDraft(who, body)))
}

func subjects(year int, codes ...string) string {
	out := ""
	for i, c := range codes {
		out += fmt.Sprintf("<r:soggetto><r:progressivo>%d</r:progressivo><r:codiceFiscale>%s</r:codiceFiscale><r:annoImposta>%d</r:annoImposta></r:soggetto>", i+1, c, year)
	}
	return out
}

func (s *stage) orderDraft(id, subjects string) draft {
	return s.draft(s.m.RedditiURL(), `"`+orderAction+`"`, fmt.Sprintf(orderPayload, id, subjects))
}

func (s *stage) fetchDraft(protocol string) draft {
	return s.draft(s.m.RedditiURL(), fetchAction, fmt.Sprintf(fetchPayload, protocol))
}

func (s *stage) order(id string, codes ...string) said {
	s.Helper()
	return told(s, s.call(s.orderDraft(id, subjects(2025, codes...))))
}

func (s *stage) fetch(protocol string) said {
	s.Helper()
	return told(s, s.call(s.fetchDraft(protocol)))
}

// said is any SOAP answer, by the names of the schemas alone.
type said struct {
	Root      xml.Name
	Valid     *string `xml:"valido"`
	Protocol  string  `xml:"protocollo"`
	State     string  `xml:"stato"`
	Esiti     []esito `xml:"esito"`
	Dettaglio string  `xml:"dettaglioEsito"`
	Ritorno   string  `xml:"codiceRitorno"`
	reply     reply
}

type esito struct {
	N         int    `xml:"progressivo"`
	Code      string `xml:"codiceFiscale"`
	Year      int    `xml:"annoImposta"`
	Dettaglio string `xml:"dettaglioEsito"`
	Income    string `xml:"redditoComplessivo"`
	Turnover  string `xml:"volumeAffari"`
	Presented string `xml:"dataPresentazione"`
}

func (a said) codes() Codes { return Codes{a.Ritorno, a.Dettaglio} }

func told(t testing.TB, r reply) said {
	t.Helper()
	var envelope struct {
		XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
		Body    struct {
			Answer struct {
				XMLName xml.Name
				said
			} `xml:",any"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	d := xml.NewDecoder(bytes.NewReader([]byte(r.Raw)))
	d.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		if charset != "ISO-8859-1" {
			return nil, fmt.Errorf("charset %s", charset)
		}
		raw, err := io.ReadAll(in)
		var b strings.Builder
		for _, c := range raw {
			b.WriteRune(rune(c))
		}
		return strings.NewReader(b.String()), err
	}
	if err := d.Decode(&envelope); err != nil {
		t.Fatalf("status %d: %v in %s", r.Status, err, r.Raw)
	}
	out := envelope.Body.Answer.said
	out.Root, out.reply = envelope.Body.Answer.XMLName, r
	return out
}

func xmlName(space, local string) xml.Name { return xml.Name{Space: space, Local: local} }
