package soap

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"raccordo/adapters/internal/cost"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// farSide answers as the tax agency's gateway does.
func farSide() http.Handler {
	answer := []byte(`<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="` + NSEnvelope + `"><soapenv:Header/><soapenv:Body>` +
		`<told xmlns="urn:example:thing"><valid>true</valid><note>XX00</note></told></soapenv:Body></soapenv:Envelope>`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/xml; charset=UTF-8")
		_, _ = w.Write(answer)
	})
}

// elsewhere starts the far side and gives its address and the file of its certificate.
func elsewhere(t testing.TB) (base, ca string) {
	t.Helper()
	p := newParty(t, p256(t), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}, nil)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return cost.Elsewhere(t, &tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}), ca
}

// plain is the exchange as anybody would write it: two structs, a template for the signature, nothing else.
func plain(t testing.TB, base, ca string, sign *party) cost.Exchange {
	t.Helper()
	roots := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Timeout: 8 * time.Second, Transport: transport}
	return func(ctx context.Context) error {
		type reqBody struct {
			Ask ask
		}
		type reqEnvelope struct {
			XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
			Body    reqBody
		}
		var text []byte
		var err error
		if sign != nil {
			text, err = plainSigned(sign, &ask{Who: "RSSMRA85T10A562S"})
		} else {
			text, err = xml.Marshal(reqEnvelope{Body: reqBody{ask{Who: "RSSMRA85T10A562S"}}})
		}
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, base, bytes.NewReader(text))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "text/xml; charset=utf-8")
		r.Header.Set("SOAPAction", `"Ask"`)
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		var in struct {
			XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
			Body    struct {
				Told told `xml:"urn:example:thing told"`
			} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
		}
		if err := xml.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&in); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if in.Body.Told.Valid == nil || in.Body.Told.Note != "XX00" {
			return errors.New("another answer")
		}
		return nil
	}
}

// plainSigned fills in a template that somebody made canonical by hand.
func plainSigned(p *party, question *ask) ([]byte, error) {
	content, err := xml.Marshal(question)
	if err != nil {
		return nil, err
	}
	var salt [8]byte
	_, _ = rand.Read(salt[:])
	id := hex.EncodeToString(salt[:])
	part := `<soap:Body xmlns:soap="` + NSEnvelope + `" xmlns:wsu="` + NSUtility + `" wsu:Id="b-` + id + `">` + string(content) + `</soap:Body>`
	now := time.Now().UTC()
	timestamp := `<wsu:Timestamp xmlns:wsu="` + NSUtility + `" wsu:Id="t-` + id + `"><wsu:Created>` + now.Format(instant) + `</wsu:Created><wsu:Expires>` +
		now.Add(5*time.Minute).Format(instant) + `</wsu:Expires></wsu:Timestamp>`
	token := `<wsse:BinarySecurityToken xmlns:wsse="` + NSSecurity + `" xmlns:wsu="` + NSUtility + `" EncodingType="` + tokenBase64 + `" ValueType="` + tokenX509 +
		`" wsu:Id="k-` + id + `">` + base64.StdEncoding.EncodeToString(p.cert.Raw) + `</wsse:BinarySecurityToken>`
	ref := func(id, part string) string {
		d := sha256.Sum256([]byte(part))
		return `<ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="` + ExclusiveC14N + `"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="` +
			digestSHA256 + `"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(d[:]) + `</ds:DigestValue></ds:Reference>`
	}
	info := `<ds:SignedInfo xmlns:ds="` + NSSignature + `"><ds:CanonicalizationMethod Algorithm="` + ExclusiveC14N + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + signatureMore + `rsa-sha256"></ds:SignatureMethod>` + ref("b-"+id, part) + ref("t-"+id, timestamp) + ref("k-"+id, token) + `</ds:SignedInfo>`
	digest := sha256.Sum256([]byte(info))
	value, err := p.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return []byte(declaration + envelopeHead + `<soap:Header><wsse:Security xmlns:wsse="` + NSSecurity + `" soap:mustUnderstand="1">` + timestamp + token +
		`<ds:Signature xmlns:ds="` + NSSignature + `">` + info + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue><ds:KeyInfo>` +
		`<wsse:SecurityTokenReference><wsse:Reference URI="#k-` + id + `" ValueType="` + tokenX509 + `"/></wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature>` +
		`</wsse:Security></soap:Header>` + part + `</soap:Envelope>`), nil
}

// through is the exchange through the wrapper, as an adapter calls it.
func through(t testing.TB, base, ca string, sign *party) cost.Exchange {
	t.Helper()
	opt := Options{Wire: dial(t, base, func(c *wire.Config) { c.CA = ca })}
	if sign != nil {
		opt.Sign = &Signer{Key: sign.key, Certificate: sign.cert}
	}
	c := New(opt)
	op := operation
	op.Action = `"Ask"`
	return func(ctx context.Context) error {
		answer, _, err := Call[told](ctx, c, op, &ask{Who: "RSSMRA85T10A562S"})
		if err != nil {
			return err
		}
		if answer.Valid == nil || answer.Note != "XX00" {
			return errors.New("another answer")
		}
		return nil
	}
}

// BenchmarkCall compares the wrapper with the plain exchange: at most 1.3 in CPU unsigned, at most 1.2 with RSA.
func BenchmarkCall(b *testing.B) {
	for _, tc := range []struct {
		name string
		sign *party
		turn int
	}{{"unsigned", nil, 400}, {"rsa", newParty(b, rsaKey(), nil, nil), 100}} {
		b.Run(tc.name, func(b *testing.B) {
			base, ca := elsewhere(b)
			cost.Compare(with(context.Background(), contracts.Read), b, tc.turn, "call", through(b, base, ca, tc.sign), plain(b, base, ca, tc.sign))
		})
	}
}

func TestACallAllocatesLittleMoreThanThePlainExchange(t *testing.T) {
	base, ca := elsewhere(t)
	cost.WantAllocs(with(context.Background(), contracts.Read), t, 200, 1.4, through(t, base, ca, nil), plain(t, base, ca, nil))
}

// ratio times two things in turns and reports how much longer the first takes.
func ratio(b *testing.B, name string, ours, floor func() error) {
	b.Helper()
	var a, f time.Duration
	for b.Loop() {
		for range 20 {
			start := cost.CPU(b)
			if err := ours(); err != nil {
				b.Fatal(err)
			}
			middle := cost.CPU(b)
			if err := floor(); err != nil {
				b.Fatal(err)
			}
			a, f = a+middle-start, f+cost.CPU(b)-middle
		}
	}
	b.ReportMetric(float64(a)/float64(f), name)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkParts compares what is done to a message with the least that could be done: hygiene with the decoding that
// follows it, a signature with the bare RSA operation.
func BenchmarkParts(b *testing.B) {
	large := []byte(body(`<told xmlns="urn:example:thing">` + strings.Repeat(`<row a="1"><x>text</x><y>1</y></row>`, 5000) + `<note>n</note></told>`))
	form := shapeOf(reflect.TypeFor[told](), map[reflect.Type]*shape{})
	b.Run("hygiene", func(b *testing.B) {
		ratio(b, "of-decoding", func() error {
			_, err := scan(large, operation.Answer, form, nil)
			return err
		}, func() error {
			var in struct {
				Body struct {
					Told told `xml:"urn:example:thing told"`
				} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
			}
			return xml.Unmarshal(large, &in)
		})
	})
	p := newParty(b, rsaKey(), nil, nil)
	bare := func() error {
		_, err := p.key.Sign(rand.Reader, make([]byte, sha256.Size), crypto.SHA256)
		return err
	}
	b.Run("sign", func(b *testing.B) {
		ratio(b, "of-bare-rsa-sign", func() error {
			_, err := p.signer().envelope(noon, []byte(wsaBlocks), []byte(yes+"</soap:Body></soap:Envelope>"))
			return err
		}, bare)
	})
	b.Run("verify", func(b *testing.B) {
		good, v := p.answer(b, yes), p.verifier()
		ratio(b, "of-bare-rsa-sign", func() error {
			_, _, err := verify(v, noon, good)
			return err
		}, bare)
	})
}
