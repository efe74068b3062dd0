package entrate

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // G505: the counterpart has fixed the algorithm, see signAssertion
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"raccordo/adapters/internal/keys"
	"raccordo/contracts"
)

// The identity that the SOAP services want in wsse:Security: a SAML 2.0 assertion, made and signed anew for each attempt.
//
// Source: the technical annex of the service (bearer subject "<codice fiscale of the administration>/<office>", life of
// ten minutes at most, attributes User and IP-User, RSA-SHA1 over exclusive c14n, X509Certificate and X509IssuerSerial
// in the form of RFC 1779); OASIS SAML 2.0 Core; OASIS WS-Security SAML Token Profile 1.1; W3C XML Signature and
// Exclusive XML Canonicalization 1.0.
//
// The assertion is written in canonical form, so that the bytes that are digested are those that are sent and no
// canonicalizer stands between them: attributes in order, no empty-element tags, each namespace declared where it is
// first used and nowhere else. Every element but SignedInfo, which repeats xmlns:ds, is in its shortest form.

// A SAML is what a person writes about the assertion.
type SAML struct {
	// Issuer is the identity provider's name that was agreed with the Agenzia.
	Issuer string `yaml:"issuer"`
	// Body is the administration's own codice fiscale, of 11 digits.
	Body string `yaml:"body"`
	// Office is the three characters that the Agenzia gave the office which asks.
	Office string `yaml:"office"`
	// Key is the private RSA key, in PEM, of Certificate.
	Key contracts.Secret `yaml:"key"`
	// Certificate is the path of the PEM file of the signer's certificate, registered with the Agenzia.
	Certificate string `yaml:"certificate"`
	// IP stands in IP-User where the caller has told no address: a list gathered from many callers, and work of the hub's
	// own. It is the address under which the Agenzia knows the administration.
	IP string `yaml:"ip"`
	// Life of an assertion, 5 to 10 minutes; the annex allows no more.
	Life time.Duration `yaml:"life,omitempty"`
}

const (
	leastLife, mostLife = 5 * time.Minute, 10 * time.Minute
	// early is how long before its own instant an assertion holds, for a counterpart whose clock is behind.
	early = 30 * time.Second
	// maxUser is the longest User, by the annex.
	maxUser = 16
	// noUser stands where the caller names no user.
	noUser = "system"
)

func defaultSAML() SAML { return SAML{Life: leastLife} }

// validate gives every fault at once, below path.
func (s *SAML) validate(path string) error {
	faults := []error{s.Key.Fault(path + ".key")}
	fault := func(field, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path+"."+field, format, args...))
	}
	if !plain(s.Issuer) || len(s.Issuer) > 200 {
		fault("issuer", "want the name of the identity provider that was agreed, at most 200 characters")
	}
	if code, err := contracts.ParseCodiceFiscale(s.Body); err != nil || code.Person() {
		fault("body", "want the administration's own codice fiscale, of 11 digits, in quotes")
	}
	if !plain(s.Office) || len(s.Office) != 3 {
		fault("office", "want the three characters that the Agenzia gave the office, in quotes")
	}
	if s.Certificate == "" {
		fault("certificate", "want the path of a PEM file")
	} else if text, err := os.ReadFile(s.Certificate); err != nil {
		fault("certificate", "cannot read the file")
	} else if _, err := keys.Leaf(text); err != nil {
		fault("certificate", "%v", err)
	}
	if _, err := netip.ParseAddr(s.IP); err != nil {
		fault("ip", "want the IP address under which the Agenzia knows the administration")
	}
	if s.Life < leastLife || s.Life > mostLife {
		fault("life", "want 5m to 10m")
	}
	return errors.Join(faults...)
}

// plain reports whether a setting is printable ASCII without blanks at its ends.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && s == strings.TrimSpace(s)
}

// An asserter makes assertions. It is safe for concurrent use.
type asserter struct {
	issuer, subject, ip string // escaped
	life                time.Duration
	key                 crypto.Signer
	keyInfo             string
	clock               contracts.Clock
}

// newAsserter reads key and certificate. Its errors name the setting below path.
func newAsserter(ctx context.Context, s SAML, path string, env contracts.Env) (*asserter, error) {
	secret, err := env.Secret(ctx, s.Key)
	if err != nil {
		return nil, contracts.Faultf(path+".key", "cannot be read")
	}
	key, err := keys.RSA(secret)
	if err != nil {
		return nil, contracts.Faultf(path+".key", "%v", err)
	}
	text, err := os.ReadFile(s.Certificate)
	if err != nil {
		return nil, contracts.Faultf(path+".certificate", "cannot read the file")
	}
	leaf, err := keys.Leaf(text)
	if err != nil {
		return nil, contracts.Faultf(path+".certificate", "%v", err)
	}
	if pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return nil, contracts.Faultf(path+".certificate", "is not that of key")
	}
	issuer, err := issuerName(leaf.RawIssuer)
	if err != nil {
		return nil, contracts.Faultf(path+".certificate", "%v", err)
	}
	return &asserter{
		issuer: escape(s.Issuer), subject: escape(s.Body + "/" + s.Office), ip: escape(s.IP), life: s.Life,
		key: key, keyInfo: keyInfo(leaf, issuer), clock: env.Clock,
	}, nil
}

func keyInfo(leaf *x509.Certificate, issuer string) string {
	return "<ds:KeyInfo><ds:X509Data>" +
		"<ds:X509Certificate>" + base64.StdEncoding.EncodeToString(leaf.Raw) + "</ds:X509Certificate>" +
		"<ds:X509IssuerSerial><ds:X509IssuerName>" + escape(issuer) + "</ds:X509IssuerName>" +
		"<ds:X509SerialNumber>" + leaf.SerialNumber.String() + "</ds:X509SerialNumber></ds:X509IssuerSerial>" +
		"</ds:X509Data></ds:KeyInfo>"
}

// A user is who asks, as the assertion names them.
type user struct{ name, ip string } // escaped

var (
	errUser = errors.New("user: the Agenzia takes 16 printable characters at most: ask with the user's short pseudonym")
	errIP   = errors.New("ip: want the user's IP address, or none")
)

// user reads the caller in ctx, and refuses one whom the assertion cannot name: cut short, a user could be another one.
func (s *asserter) user(ctx context.Context) (user, error) {
	who := contracts.CallerFrom(ctx)
	if running := contracts.CallFrom(ctx); running != nil {
		who = running.Caller
	}
	out := user{noUser, s.ip}
	if who.User != "" {
		if !printable(who.User) || utf8.RuneCountInString(who.User) > maxUser {
			return user{}, &contracts.Error{Kind: contracts.Invalid, Code: "ENTRATE_USER", Err: errUser}
		}
		out.name = escape(who.User)
	}
	if who.IP != "" {
		ip, err := netip.ParseAddr(who.IP)
		if err != nil || ip.Zone() != "" {
			return user{}, &contracts.Error{Kind: contracts.Invalid, Code: "ENTRATE_IP", Err: errIP}
		}
		out.ip = ip.Unmap().String()
	}
	return out, nil
}

// ofCaller writes the header block of one attempt in the name of the caller in ctx.
func (s *asserter) ofCaller(ctx context.Context) ([]byte, error) {
	who, err := s.user(ctx)
	if err != nil {
		return nil, err
	}
	return s.security(who)
}

// ofSystem writes it in the name of the system, whoever stands in ctx: for questions gathered from many callers.
func (s *asserter) ofSystem(context.Context) ([]byte, error) { return s.security(user{noUser, s.ip}) }

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

const (
	nsSAML = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsDS   = "http://www.w3.org/2000/09/xmldsig#"
	nsWSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"

	samlTime = "2006-01-02T15:04:05.000Z"
)

// security is the header of one attempt: wsse:Security with a fresh assertion about who asks.
func (s *asserter) security(who user) ([]byte, error) {
	assertion, err := s.assertion(who)
	if err != nil {
		return nil, err
	}
	return []byte(`<wsse:Security xmlns:wsse="` + nsWSSE + `">` + assertion + `</wsse:Security>`), nil
}

func (s *asserter) assertion(who user) (string, error) {
	id := newID()
	now := s.clock.Now().UTC()
	instant := now.Format(samlTime)
	begin := now.Add(-early)
	window := ` NotBefore="` + begin.Format(samlTime) + `" NotOnOrAfter="` + begin.Add(s.life).Format(samlTime) + `"`
	// The signature stands behind the Issuer (SAML Core, section 5.4), and is no part of what is signed.
	head := `<saml:Assertion xmlns:saml="` + nsSAML + `" ID="` + id + `" IssueInstant="` + instant + `" Version="2.0">` +
		`<saml:Issuer>` + s.issuer + `</saml:Issuer>`
	tail := `<saml:Subject>` +
		`<saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">` + s.subject + `</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">` +
		`<saml:SubjectConfirmationData` + window + `></saml:SubjectConfirmationData>` +
		`</saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions` + window + `></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + instant + `"><saml:AuthnContext>` +
		`<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef>` +
		`</saml:AuthnContext></saml:AuthnStatement>` +
		`<saml:AttributeStatement>` + attribute("User", who.name) + attribute("IP-User", who.ip) + `</saml:AttributeStatement>` +
		`</saml:Assertion>`
	signature, err := s.signAssertion(id, head+tail)
	if err != nil {
		return "", err
	}
	return head + signature + tail, nil
}

func attribute(name, value string) string {
	return `<saml:Attribute Name="` + name + `" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified">` +
		`<saml:AttributeValue>` + value + `</saml:AttributeValue></saml:Attribute>`
}

// signAssertion gives the enveloped signature of an assertion in canonical form. SHA-1 is broken for signatures; here the
// counterpart accepts nothing else, the message lives ten minutes at most, and it travels in mutual TLS. No other file
// of ours may sign with it (TestSHA1StaysWhereItIsForced).
func (s *asserter) signAssertion(id, canonical string) (string, error) {
	digest := sha1.Sum([]byte(canonical)) //nolint:gosec // G401: see above
	signed := `<ds:SignedInfo xmlns:ds="` + nsDS + `">` +
		`<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1"></ds:SignatureMethod>` +
		`<ds:Reference URI="#` + id + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>` +
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform>` +
		`</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"></ds:DigestMethod>` +
		`<ds:DigestValue>` + base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	over := sha1.Sum([]byte(signed)) //nolint:gosec // G401: see above
	value, err := s.key.Sign(rand.Reader, over[:], crypto.SHA1)
	if err != nil {
		return "", contracts.Errorf(contracts.Internal, "assertion: the key does not sign")
	}
	return `<ds:Signature xmlns:ds="` + nsDS + `">` + signed +
		`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue>` + s.keyInfo + `</ds:Signature>`, nil
}

// newID is "_" and a random UUID (RFC 9562, version 4): an ID must be an NCName, and those do not begin with a digit.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return "_" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// canonicalText is what exclusive c14n makes of text (section 2.3 of Canonical XML); carriage returns never get here.
var canonicalText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func escape(s string) string { return canonicalText.Replace(s) }
