package entrate

import (
	"net/netip"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/beevik/etree"
)

const (
	nsSecurity  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"

	unspecifiedName  = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	unspecifiedClass = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
	bearer           = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

	strictLife, lenientLife = 10 * time.Minute, 10 * time.Hour
	skew                    = time.Minute // that IssueInstant may be ahead
	maxUser                 = 16
)

// ncName is an XML name without a colon, of ASCII: an ID must be one.
var ncName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]*$`)

func saml(local string) name { return name{nsAssertion, local} }

// assertionIn finds the one assertion in the one security header.
func assertionIn(header *etree.Element) (*etree.Element, string) {
	security := only(header, name{nsSecurity, "Security"})
	if security == nil {
		return nil, "header: want one wsse:Security"
	}
	inside := security.ChildElements()
	if len(inside) != 1 || !is(inside[0], saml("Assertion")) {
		return nil, "wsse:Security: want one SAML 2.0 Assertion and nothing else"
	}
	return inside[0], ""
}

// checkAssertion applies the annex to an assertion, one rule after another, and tells who asks.
func (m *Mock) checkAssertion(a *etree.Element, asked *Asked) string {
	s, now := m.Settings(), m.bench.Clock().Now()
	id := attr(a, "ID")
	issued, err := time.Parse(time.RFC3339Nano, attr(a, "IssueInstant"))
	switch {
	case attr(a, "Version") != "2.0":
		return "Assertion: want Version 2.0"
	case id == "" || !s.LenientSAML && !ncName.MatchString(id):
		return "Assertion: ID is no NCName"
	case err != nil:
		return "Assertion: IssueInstant is no instant"
	case issued.After(now.Add(skew)):
		return "Assertion: issued in the future"
	case !ordered(a):
		return "Assertion: want Issuer, Signature, Subject, Conditions, then statements, each once"
	}
	if issuer, ok := text(only(a, saml("Issuer"))); !ok || issuer != m.Issuer() {
		return "Issuer: not the one that was agreed"
	}
	life := strictLife
	if s.LenientSAML {
		life = lenientLife
	}
	for _, check := range []func() string{
		func() string { return m.checkSubject(only(a, saml("Subject")), now, life) },
		func() string { return window("Conditions", only(a, saml("Conditions")), now, life) },
		func() string { return checkAuthn(only(a, saml("AuthnStatement"))) },
		func() string { return checkAttributes(only(a, saml("AttributeStatement")), asked) },
		func() string { return m.checkSignature(a, id) },
		func() string {
			if s.Once && !m.used.Use(id, now, now.Add(lenientLife)) {
				return "Assertion: used before"
			}
			return ""
		},
	} {
		if rule := check(); rule != "" {
			return rule
		}
	}
	return ""
}

// ordered tells whether the parts of an assertion stand as its schema wants them; the two statements in any order.
func ordered(a *etree.Element) bool {
	var got []string
	for _, c := range a.ChildElements() {
		if !is(c, saml(c.Tag)) && !is(c, name{nsSignature, "Signature"}) {
			return false
		}
		got = append(got, c.Tag)
	}
	if len(got) == 6 {
		slices.Sort(got[4:])
	}
	return slices.Equal(got, []string{"Issuer", "Signature", "Subject", "Conditions", "AttributeStatement", "AuthnStatement"})
}

func (m *Mock) checkSubject(subject *etree.Element, now time.Time, life time.Duration) string {
	id := only(subject, saml("NameID"))
	if attr(id, "Format") != unspecifiedName {
		return "NameID: want one, of the unspecified format"
	}
	if who, ok := text(id); !ok || who != m.Ente()+"/"+m.Ufficio() {
		return "NameID: not the body that was agreed, a stroke, and its office"
	}
	confirmation := only(subject, saml("SubjectConfirmation"))
	if attr(confirmation, "Method") != bearer {
		return "SubjectConfirmation: want one, of a bearer"
	}
	return window("SubjectConfirmationData", only(confirmation, saml("SubjectConfirmationData")), now, life)
}

// window wants both ends, the present between them, and no more than a life from one to the other.
func window(what string, e *etree.Element, now time.Time, life time.Duration) string {
	if e == nil {
		return what + ": missing"
	}
	from, err1 := time.Parse(time.RFC3339Nano, attr(e, "NotBefore"))
	until, err2 := time.Parse(time.RFC3339Nano, attr(e, "NotOnOrAfter"))
	switch {
	case err1 != nil || err2 != nil:
		return what + ": want NotBefore and NotOnOrAfter"
	case now.Before(from):
		return what + ": not valid yet"
	case !now.Before(until):
		return what + ": expired"
	case until.Sub(from) > life:
		return what + ": lives too long"
	}
	return ""
}

func checkAuthn(statement *etree.Element) string {
	if _, err := time.Parse(time.RFC3339Nano, attr(statement, "AuthnInstant")); err != nil {
		return "AuthnStatement: want AuthnInstant"
	}
	context := only(statement, saml("AuthnContext"))
	if context == nil {
		return "AuthnStatement: want one AuthnContext"
	}
	if class, ok := text(only(context, saml("AuthnContextClassRef"))); !ok || class != unspecifiedClass {
		return "AuthnStatement: want the unspecified class"
	}
	return ""
}

// checkAttributes wants User and IP-User, each once and with one value.
func checkAttributes(statement *etree.Element, asked *Asked) string {
	values := map[string]string{}
	for _, a := range statement.ChildElements() {
		value, ok := text(only(a, saml("AttributeValue")))
		called := attr(a, "Name")
		if _, again := values[called]; !is(a, saml("Attribute")) || !ok || again || len(a.ChildElements()) != 1 {
			return "AttributeStatement: want Attributes, each once, with one AttributeValue"
		}
		values[called] = value
	}
	asked.User, asked.IP = values["User"], values["IP-User"]
	if n := utf8.RuneCountInString(asked.User); n == 0 || n > maxUser {
		return "User: want 1 to 16 characters"
	}
	if _, err := netip.ParseAddr(asked.IP); err != nil {
		return "IP-User: want an IP address"
	}
	if len(values) != 2 {
		return "AttributeStatement: more than User and IP-User"
	}
	return ""
}
