package entrate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/lab"
)

func TestRepresentativeAnswersWhoKeepsEveryRule(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, story := range []string{"entrate-body", "company-with-pec", "body-with-domicile"} {
		m := s.b.Who(story)
		if a := s.check(m.Representative, m.CodiceFiscale); a.Valid == nil || *a.Valid != "true" || a.codes() != (Codes{"00", "XX00"}) ||
			a.Root != xmlName(nsCheck, "checkValidityRappresentanteResp") {
			t.Errorf("%s: %+v", story, a)
		}
		if a := s.check(s.b.Who("personal-domicile").CodiceFiscale, m.CodiceFiscale); a.Valid == nil || *a.Valid != "false" || a.codes() != (Codes{"00", "XX00"}) {
			t.Errorf("%s, another: %+v", story, a)
		}
	}
	j := s.b.Journal()
	if asked := j[len(j)-1].Parsed.(Asked); asked.User != "operatore-7" || asked.IP != "192.0.2.7" || len(asked.Codes) != 2 {
		t.Errorf("the journal knows %+v", asked)
	}
}

func TestSOAPActionMayBeMissingEmptyAndQuoted(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	m := s.b.Who("entrate-body")
	for _, action := range []string{checkAction, `"` + checkAction + `"`, `""`, ""} {
		d := s.checkDraft(m.Representative, m.CodiceFiscale)
		d.action = action
		if a := told(t, s.call(d)); a.Ritorno != "00" {
			t.Errorf("%q: %+v", action, a)
		}
	}
	d := s.checkDraft(m.Representative, m.CodiceFiscale)
	d.noAction = true
	if a := told(t, s.call(d)); a.Ritorno != "00" {
		t.Errorf("none: %+v", a)
	}
}

// How a broken rule is answered.
const (
	fault  = "fault"
	denied = "01 XX04"
	badly  = "02 XXXX"
	html   = "page"
)

func TestSOAPRefusals(t *testing.T) {
	t.Parallel()
	replace := func(old, with string) func(*stage, *draft) {
		return func(_ *stage, d *draft) {
			d.edit = func(s string) string { return strings.Replace(s, old, with, 1) }
		}
	}
	set := func(change func(*draft)) func(*stage, *draft) {
		return func(_ *stage, d *draft) { change(d) }
	}
	stamp := func(s *stage, d time.Duration) string { return s.b.Clock().Now().Add(d).Format(time.RFC3339) }
	for _, c := range []struct {
		rule, how string
		spoil     func(*stage, *draft)
	}{
		{"mutual TLS: no client certificate", html, func(s *stage, _ *draft) { s.certify(tls.Certificate{}) }},
		{"mutual TLS: not the certificate that was agreed", html, func(s *stage, _ *draft) {
			der, err := s.b.CA().Issue(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, &s.m.client.PublicKey)
			if err != nil {
				s.Fatal(err)
			}
			s.certify(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.m.client})
		}},
		{"content type: want text/xml", fault, set(func(d *draft) { d.contentType = "application/soap+xml" })},
		{"content type: want UTF-8", fault, set(func(d *draft) { d.contentType = "text/xml; charset=iso-8859-1" })},
		{"envelope: not one well-formed XML document in UTF-8", fault, replace("</e:Envelope>", "")},
		{"envelope: not one well-formed XML document in UTF-8", fault, replace(`encoding="UTF-8"`, `encoding="ISO-8859-1"`)},
		{"envelope: a document type", fault, replace("<e:Envelope", "<!DOCTYPE e:Envelope><e:Envelope")},
		{"envelope: a processing instruction", fault, replace("<e:Header", "<?php ?><e:Header")},
		{"envelope: an attribute is given twice", fault, replace(`Version="2.0"`, `Version="2.0" Version="2.0"`)},
		{"envelope: text outside its root", fault, replace("</e:Envelope>", "</e:Envelope>x")},
		{"envelope: not one well-formed XML document in UTF-8", fault, replace("</e:Envelope>", "</e:Envelope><e/>")},
		{"envelope: too deep", fault, replace("<a:cfEnte>", strings.Repeat("<a>", maxDepth)+strings.Repeat("</a>", maxDepth)+"<a:cfEnte>")},
		{"envelope: above 1 MiB", fault, replace("<e:Body>", strings.Repeat(" ", maxEnvelope)+"<e:Body>")},
		{"envelope: want an Envelope of SOAP 1.1", fault, replace(nsEnvelope, "http://www.w3.org/2003/05/soap-envelope")},
		{"envelope: want one Header, then one Body", fault, replace("<e:Body>", "<e:Body/><e:Body>")},
		{"body: want one element", fault, replace("<e:Body>", "<e:Body><x/>")},
		{"body: not an element of this service, in its namespace", fault, replace(nsCheck, nsCheck+".altro")},
		{"body: not an element of this service, in its namespace", fault, set(func(d *draft) { d.payload = "<a:checkValidityRappresentante/>" })},
		{"SOAPAction: another operation's", fault, set(func(d *draft) { d.action = orderAction })},
		{"header: want one wsse:Security", fault, replace(nsSecurity, nsSecurity+"x")},
		{"header: want one wsse:Security", fault, replace("<w:Security", `<w:Security xmlns:w="`+nsSecurity+`"/><w:Security`)},
		{"wsse:Security: want one SAML 2.0 Assertion and nothing else", fault, replace("</w:Security>", "<x/></w:Security>")},
		{"wsse:Security: want one SAML 2.0 Assertion and nothing else", fault, replace(nsAssertion, "urn:oasis:names:tc:SAML:1.0:assertion")},

		{"Assertion: want Version 2.0", denied, set(func(d *draft) { d.version = "1.1" })},
		{"Assertion: ID is no NCName", denied, set(func(d *draft) { d.id = d.id[1:] })},
		{"Assertion: IssueInstant is no instant", denied, set(func(d *draft) { d.issued = "oggi" })},
		{"Assertion: issued in the future", denied, func(s *stage, d *draft) { d.issued = stamp(s, 2*time.Minute) }},
		{"Assertion: want Issuer, Signature, Subject, Conditions, then statements, each once", denied, func(_ *stage, d *draft) {
			d.edit = func(s string) string {
				begin, end := strings.Index(s, "<ds:Signature "), strings.Index(s, "<s:Subject>")
				return strings.Replace(s[:begin]+s[end:], "</s:Assertion>", s[begin:end]+"</s:Assertion>", 1)
			}
		}},
		{"Issuer: not the one that was agreed", denied, set(func(d *draft) { d.issuer = "altri" })},
		{"NameID: want one, of the unspecified format", denied, set(func(d *draft) { d.format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" })},
		{"NameID: not the body that was agreed, a stroke, and its office", denied, set(func(d *draft) { d.who = d.who[:len(d.who)-1] })},
		{"SubjectConfirmation: want one, of a bearer", denied, set(func(d *draft) { d.method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches" })},
		{"SubjectConfirmationData: want NotBefore and NotOnOrAfter", denied, set(func(d *draft) { d.dataFrom = "" })},
		{"SubjectConfirmationData: expired", denied, func(s *stage, d *draft) { d.dataUntil = stamp(s, 0) }},
		{"Conditions: want NotBefore and NotOnOrAfter", denied, set(func(d *draft) { d.until = "" })},
		{"Conditions: not valid yet", denied, func(s *stage, d *draft) { d.from = stamp(s, time.Second) }},
		{"Conditions: expired", denied, func(s *stage, d *draft) { d.until = stamp(s, 0) }},
		{"Conditions: lives too long", denied, func(s *stage, d *draft) { d.until = stamp(s, 10*time.Minute) }},
		{"AuthnStatement: want AuthnInstant", denied, set(func(d *draft) { d.instant = "" })},
		{"AuthnStatement: want the unspecified class", denied, set(func(d *draft) { d.class = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password" })},
		{"User: want 1 to 16 characters", denied, set(func(d *draft) { d.attributes = attribute("IP-User", "192.0.2.7") })},
		{"User: want 1 to 16 characters", denied, set(func(d *draft) {
			d.attributes = attribute("User", strings.Repeat("u", 17)) + attribute("IP-User", "192.0.2.7")
		})},
		{"IP-User: want an IP address", denied, set(func(d *draft) { d.attributes = attribute("User", "u") + attribute("IP-User", "qui") })},
		{"AttributeStatement: more than User and IP-User", denied, set(func(d *draft) { d.attributes += attribute("Role", "x") })},
		{"AttributeStatement: want Attributes, each once, with one AttributeValue", denied, set(func(d *draft) { d.attributes += attribute("User", "x") })},

		{"Reference: not to this assertion", denied, set(func(d *draft) { d.uri = "#_altra" })},
		{"CanonicalizationMethod: want exclusive c14n without comments", denied, set(func(d *draft) { d.c14n = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315" })},
		{"SignatureMethod: want rsa-sha1", denied, set(func(d *draft) { d.signer = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" })},
		{"DigestMethod: want sha1", denied, set(func(d *draft) { d.digest = "http://www.w3.org/2001/04/xmlenc#sha256" })},
		{"Transforms: want enveloped-signature, then exclusive c14n without comments", denied, set(func(d *draft) { d.transforms = d.transforms[:1] })},
		{"X509Certificate: not the registered one", denied, func(s *stage, d *draft) {
			d.certificate = base64.StdEncoding.EncodeToString(s.m.clientCert.Raw)
		}},
		{"X509IssuerName: not the certificate's issuer in the form of RFC 1779", denied, set(func(d *draft) {
			d.issuerName = `CN=Certificatore di prova,O=Firma e Sigillo\, S.p.A.,C=IT`
		})},
		{"X509SerialNumber: not the certificate's", denied, set(func(d *draft) { d.serial = "1" })},
		{"Signature: want one SignedInfo with one Reference", denied, replace("<ds:Reference", "<ds:Reference/><ds:Reference")},
		{"Signature: DigestValue or SignatureValue is no base64", denied, replace("<ds:SignatureValue>", "<ds:SignatureValue>!")},
		{"Signature: the digest is not that of the assertion", denied, replace(">operatore-7<", ">operatore-8<")},
		{"Signature: does not verify with the registered certificate", denied, func(s *stage, d *draft) { d.key = s.m.client }},

		{"checkValidityRappresentante: want cfRappresentante of its own namespace next", fault, replace("<a:cfRappresentante>", "<a:cfEnte>x</a:cfEnte><a:cfRappresentante>")},
		{"checkValidityRappresentante: want cfRappresentante of its own namespace next", fault, func(s *stage, d *draft) {
			m := s.b.Who("entrate-body")
			d.payload = `<a:checkValidityRappresentante xmlns:a="` + nsCheck + `"><cfRappresentante>` + m.Representative +
				`</cfRappresentante><cfEnte>` + m.CodiceFiscale + `</cfEnte></a:checkValidityRappresentante>`
		}},
		{"checkValidityRappresentante: more than the schema allows", fault, replace("</a:checkV", "<a:altro/></a:checkV")},
		{"checkValidityRappresentante: an attribute that the schema does not know", fault, replace("<a:checkValidityRappresentante ", `<a:checkValidityRappresentante a="b" `)},
		{"checkValidityRappresentante: text between its elements", fault, replace("<a:cfEnte>", "x<a:cfEnte>")},
		{"checkValidityRappresentante: cfEnte holds more than text", fault, replace("<a:cfEnte>", "<a:cfEnte><!-- -->")},
		{"cfRappresentante: against the schema's pattern", badly, replace("<a:cfRappresentante>", "<a:cfRappresentante>1")},
		{"cfEnte: against the schema's pattern", badly, replace("<a:cfEnte>", "<a:cfEnte> ")},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			m := s.b.Who("entrate-body")
			d := s.checkDraft(m.Representative, m.CodiceFiscale)
			c.spoil(s, &d)
			r := s.call(d)
			j := s.b.Journal()
			if got := j[len(j)-1].Refused; got != c.rule || r.Reason() != c.rule {
				t.Errorf("refused for %q (%q), want %q", got, r.Reason(), c.rule)
			}
			switch c.how {
			case html:
				if r.Status != 403 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
					t.Errorf("%d %s", r.Status, r.Raw)
				}
			case fault:
				if r.Status != 500 || !strings.Contains(r.Raw, "<faultcode>soapenv:Client</faultcode>") {
					t.Errorf("%d %s", r.Status, r.Raw)
				}
			default:
				a := told(t, r)
				if r.Status != 200 || a.Ritorno+" "+a.Dettaglio != c.how || a.Valid != nil {
					t.Errorf("%d %s", r.Status, r.Raw)
				}
			}
		})
	}
}

func TestTheMockMayTakeAssertionsAsAClientInProductionMakesThem(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	m := s.b.Who("entrate-body")
	d := s.checkDraft(m.Representative, m.CodiceFiscale)
	d.id = d.id[1:]
	d.until = s.b.Clock().Now().Add(9 * time.Hour).Format(time.RFC3339)
	if a := told(t, s.call(d)); a.Dettaglio != "XX04" {
		t.Errorf("strict: %+v", a)
	}
	s.m.Set(func(x *Settings) { x.SecurityFaults = true })
	if r := s.call(d); r.Status != 500 || !strings.Contains(r.Raw, "Fault") {
		t.Errorf("as a fault: %d %s", r.Status, r.Raw)
	}
	s.m.Set(func(x *Settings) { x.LenientSAML = true })
	if a := told(t, s.call(d)); a.Dettaglio != "XX00" {
		t.Errorf("lenient: %+v", a)
	}
}

func TestAnAssertionMayBeTakenOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	m := s.b.Who("entrate-body")
	d := s.checkDraft(m.Representative, m.CodiceFiscale)
	for range 2 {
		if a := told(t, s.call(d)); a.Dettaglio != "XX00" {
			t.Errorf("by default: %+v", a)
		}
	}
	s.m.Set(func(x *Settings) { x.Once = true })
	for i, want := range []string{"XX00", "XX04"} {
		if a := told(t, s.call(d)); a.Dettaglio != want {
			t.Errorf("by switch, time %d: %+v", i+1, a)
		}
	}
}

func TestAForeignClientCertificateEndsTheHandshake(t *testing.T) {
	t.Parallel()
	s, other := newStage(t), newStage(t)
	s.certify(other.m.ClientCertificate())
	if _, err := s.try(s.checkDraft(s.b.Who("entrate-body").Representative, s.m.Ente())); err == nil {
		t.Error("a certificate by another authority was let in")
	}
}

func TestBodiesTellTheirStories(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Slow = time.Millisecond })
	for _, c := range []struct {
		story, valid string // valid empty: not told
		codes        Codes
	}{
		{"entrate-body", "true", Codes{"00", "XX00"}},
		{"entrate-body-second-representative", "true", Codes{"00", "XX00"}},
		{"entrate-body-no-verdict", "", Codes{"00", "XX00"}},
		{"entrate-body-error", "", Codes{"01", "XX0A"}},
		{"entrate-body-timeout", "", Codes{"01", "XX03"}},
		{"entrate-body-denied", "", Codes{"01", "XX04"}},
		{"entrate-body-uncoded", "", Codes{"01", "XXXX"}},
		{"entrate-body-malformed", "", Codes{"02", "XXXX"}},
		{"entrate-body-malformed-03", "", Codes{"03", "XXXX"}},
		{"entrate-body-words", "", Codes{"07", "XX11"}},
		{"entrate-body-contradiction", "true", Codes{"01", "XX0A"}},
		{"entrate-body-done-with-error", "false", Codes{"00", "XX03"}},
		{"entrate-body-slow", "true", Codes{"00", "XX00"}},
		{"entrate-body-odd-verdict", " 1 ", Codes{"00", "XX00"}},
		{"entrate-body-prefixed", "true", Codes{"00", "XX00"}},
		{"entrate-body-latin1", "true", Codes{"00", "XX00"}},
	} {
		m := s.b.Who(c.story)
		a := s.check(m.Representative, m.CodiceFiscale)
		valid := ""
		if a.Valid != nil {
			valid = *a.Valid
		}
		if valid != c.valid || a.codes() != c.codes {
			t.Errorf("%s: %q %v, want %q %v", c.story, valid, a.codes(), c.valid, c.codes)
		}
	}
	second := s.b.Who("entrate-body-second-representative")
	if a := s.check(SecondRepresentative(), second.CodiceFiscale); a.Valid == nil || *a.Valid != "true" {
		t.Errorf("the second representative: %+v", a)
	}
	for i, want := range []int{500, 200} {
		m := s.b.Who("entrate-body-fault-once")
		if r := s.call(s.checkDraft(m.Representative, m.CodiceFiscale)); r.Status != want {
			t.Errorf("fault-once, call %d: %d", i+1, r.Status)
		}
	}
	for _, c := range []struct {
		story  string
		status int
		has    string
	}{
		{"entrate-body-fault", 500, "<faultcode>soapenv:Server</faultcode>"},
		{"entrate-body-fault-200", 200, "<faultcode>soapenv:Server</faultcode>"},
		{"entrate-body-gateway", 500, `<problem xmlns="urn:ietf:rfc:7807">`},
	} {
		m := s.b.Who(c.story)
		if r := s.call(s.checkDraft(m.Representative, m.CodiceFiscale)); r.Status != c.status || !strings.Contains(r.Raw, c.has) {
			t.Errorf("%s: %d %s", c.story, r.Status, r.Raw)
		}
	}
	other := s.b.Who("entrate-body-odd-verdict")
	if a := s.check(SecondRepresentative(), other.CodiceFiscale); a.Valid == nil || *a.Valid != " 0 " {
		t.Errorf("another's odd verdict: %+v", a)
	}
}

func TestWhoIsNoBodyAndWhoIsNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	body := s.b.Who("entrate-body")
	for _, ritorno := range []string{"02", "00"} {
		for _, c := range []struct{ who, body, dettaglio string }{
			{s.b.Who(strange).CodiceFiscale, body.CodiceFiscale, "XX01"},
			{"RSSMRA85T10A562S", body.CodiceFiscale, "XX01"},
			{body.Representative, s.b.Who("personal-domicile").CodiceFiscale, "XX02"},
			{body.Representative, s.b.Who("sole-trader-as-enterprise").CodiceFiscale, "XX02"},
			{body.Representative, s.b.Who("provisional-code").CodiceFiscale, "XX02"},
			{body.Representative, "06363391001", "XX02"},
		} {
			if a := s.check(c.who, c.body); a.codes() != (Codes{ritorno, c.dettaglio}) || a.Valid != nil {
				t.Errorf("%s: %+v", c.dettaglio, a)
			}
		}
		s.m.Set(func(x *Settings) { x.Processed = true })
	}
	s.m.Set(func(x *Settings) { x.Representative = Codes{"01", "XX03"} })
	if a := s.check(body.Representative, body.CodiceFiscale); a.codes() != (Codes{"01", "XX03"}) || a.Valid != nil {
		t.Errorf("by switch: %+v", a)
	}
}

func TestShapesOfSOAPAnswers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	m := s.b.Who("entrate-body")
	for _, c := range []struct {
		shape Shape
		has   string
	}{
		{Default, `<checkValidityRappresentanteResp xmlns="` + nsCheck + `">`},
		{Prefixed, "<ns2:valido>true</ns2:valido>"},
		{Latin1, "gi\xe0 registrata"},
		{Huge, strings.Repeat("raccordo. ", 1<<20)},
		{Twice, "</checkValidityRappresentanteResp><checkValidityRappresentanteResp"},
		{TwoRoots, "</soapenv:Envelope>\n<soapenv:Envelope"},
		{Doctype, "&esito;"},
		{Page, "<html>"},
		{Empty, ""},
	} {
		s.m.Set(func(x *Settings) { x.Shape = c.shape })
		r := s.call(s.checkDraft(m.Representative, m.CodiceFiscale))
		if r.Status != 200 || !strings.Contains(r.Raw, c.has) || c.shape == Empty && r.Raw != "" {
			t.Errorf("%s: %d %.300s", c.shape, r.Status, r.Raw)
		}
		if c.shape != Doctype && c.shape != Page && c.shape != Empty {
			if a := told(t, r); a.Valid == nil || *a.Valid != "true" {
				t.Errorf("%s: %+v", c.shape, a)
			}
		}
	}
}

func TestTheBenchsStatusesInTheWordsOfSOAP(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	m := s.b.Who("entrate-body")
	for _, c := range []struct {
		fault  string
		status int
		has    string
	}{
		{"500", 500, "<faultcode>soapenv:Server</faultcode>"},
		{"503", 503, "<status>503</status>"},
		{"throttle", 429, "LimitExceeded"},
		{"denied", 403, "AuthorizationDeny"},
		{"stale-voucher", 401, "<faultcode>soapenv:Client</faultcode>"},
	} {
		if err := s.b.Misbehave("entrate:"+c.fault, 1); err != nil {
			t.Fatal(err)
		}
		r := s.call(s.checkDraft(m.Representative, m.CodiceFiscale))
		if r.Status != c.status || !strings.Contains(r.Raw, c.has) || r.Status == 429 && r.Header.Get("Retry-After") != "2" {
			t.Errorf("%s: %d %s", c.fault, r.Status, r.Raw)
		}
	}
	s.b.Inject(lab.Fault{Match: "entrate POST " + RappresentantePath, Times: 1, Do: lab.Status, Status: http.StatusBadGateway, Body: []byte("<x/>")})
	if r := s.call(s.checkDraft(m.Representative, m.CodiceFiscale)); r.Status != 502 || r.Raw != "<x/>" {
		t.Errorf("a body of the tester's: %d %s", r.Status, r.Raw)
	}
}
