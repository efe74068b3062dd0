package entrate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1" // the counterpart's algorithm: see saml.go
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"raccordo/adapters/internal/cost"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
)

// agencyElsewhere answers every check with a yes, in a process of its own.
func agencyElsewhere() http.Handler {
	answer := []byte(enveloped(`<checkValidityRappresentanteResp xmlns="` + nsRappresentante +
		`"><valido>true</valido><dettaglioEsito>XX00</dettaglioEsito><codiceRitorno>00</codiceRitorno></checkValidityRappresentanteResp>`))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		_, _ = w.Write(answer)
	})
}

// byHand is the check as anybody would write it: templates for assertion and signature, two structs, an http.Client.
func byHand(b *testing.B, base string, roots *x509.CertPool, key crypto.Signer, cert []byte) cost.Exchange {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Timeout: 8 * time.Second, Transport: transport}
	encoded := base64.StdEncoding.EncodeToString(cert)
	return func(ctx context.Context) error {
		var salt [16]byte
		_, _ = rand.Read(salt[:])
		id, now := "_"+hex.EncodeToString(salt[:]), time.Now().UTC()
		from, to := now.Format(time.RFC3339), now.Add(5*time.Minute).Format(time.RFC3339)
		head := `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="` + id + `" IssueInstant="` + from + `" Version="2.0"><saml:Issuer>idp</saml:Issuer>`
		rest := `<saml:Subject><saml:NameID>80012345676/001</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotBefore="` +
			from + `" NotOnOrAfter="` + to + `"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="` + from + `" NotOnOrAfter="` + to +
			`"></saml:Conditions><saml:AttributeStatement><saml:Attribute Name="User"><saml:AttributeValue>system</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`
		content := sha1.Sum([]byte(head + rest))
		info := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:Reference URI="#` + id + `"><ds:DigestValue>` +
			base64.StdEncoding.EncodeToString(content[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
		digest := sha1.Sum([]byte(info))
		value, err := key.Sign(rand.Reader, digest[:], crypto.SHA1)
		if err != nil {
			return err
		}
		type question struct {
			XMLName xml.Name `xml:"http://anagrafica.verifica.rappresentante.ente checkValidityRappresentante"`
			Person  string   `xml:"cfRappresentante"`
			Body    string   `xml:"cfEnte"`
		}
		asked, err := xml.Marshal(question{Person: "RSSMRA85T10A562S", Body: "80012345676"})
		if err != nil {
			return err
		}
		text := fmt.Appendf(nil, `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header><Security>%s<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">%s`+
			`<ds:SignatureValue>%s</ds:SignatureValue><ds:X509Certificate>%s</ds:X509Certificate></ds:Signature>%s</Security></e:Header><e:Body>%s</e:Body></e:Envelope>`,
			head, info, base64.StdEncoding.EncodeToString(value), encoded, rest, asked)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base, bytes.NewReader(text))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "text/xml; charset=utf-8")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		var in struct {
			XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
			Body    struct {
				Told struct {
					Valido    *bool  `xml:"valido"`
					Dettaglio string `xml:"dettaglioEsito"`
				} `xml:"http://anagrafica.verifica.rappresentante.ente checkValidityRappresentanteResp"`
			} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
		}
		if err := xml.NewDecoder(resp.Body).Decode(&in); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if in.Body.Told.Valido == nil || in.Body.Told.Dettaglio != "XX00" {
			return errors.New("another answer")
		}
		return nil
	}
}

// BenchmarkRepresents compares the whole check, from the contract's method to its answer, with the same by hand: at most
// 1.2 times its processor time, an RSA signature in both.
func BenchmarkRepresents(b *testing.B) {
	far := httptest.NewTLSServer(http.NotFoundHandler())
	b.Cleanup(far.Close)
	base := cost.Elsewhere(b, &far.TLS.Certificates[0])
	_, a := speaking(b, func(c *Config, env *contracts.Env) {
		env.Clock = contracts.SystemClock{}
		c.Redditi = defaultRedditi() // one service is measured
		c.Rappresentante.HTTP.Endpoint = base
	})
	var check *representatives
	for _, p := range a.parts {
		if r, ok := p.part.(*representatives); ok {
			check = r
		}
	}
	signer := asserting(b, identity(b))
	roots := x509.NewCertPool()
	roots.AddCert(far.Certificate())
	mandate := companytest.Mandate("RSSMRA85T10A562S", "80012345676", "")
	call := &contracts.Call{Op: company.OpRepresents.OpInfo, Caller: contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: "CASE-7"}}
	ctx := contracts.WithCall(contracts.WithCaller(context.Background(), call.Caller), call)
	ours := func(ctx context.Context) error {
		got, err := check.Represents(ctx, mandate)
		if err == nil && got.Represents != contracts.Yes {
			err = errors.New("another answer")
		}
		return err
	}
	cost.Compare(ctx, b, 100, "check", ours, byHand(b, base, roots, signer.key, far.Certificate().Raw))
}
