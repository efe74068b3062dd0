package soap

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// A Fault is a SOAP 1.1 fault. Its codes are for branching; String and Actor are the peer's free text, for comparing and
// never for quoting: they can name a person.
type Fault struct {
	// Code is the local name of faultcode: "Client", "Server.Timeout", or a code of the supplier's own.
	Code string
	// Standard reports that Code is one of SOAP's (or follows one after a dot), and not a supplier's.
	Standard bool
	String   string
	Actor    string
	// Detail is the detail element, made to stand alone: every prefix in scope is declared on it. Nil when there is none,
	// or when it is larger than 64 KiB.
	Detail []byte
	// Problem is the RFC 7807 problem that a GovWay puts into Detail; nil when there is none.
	Problem *Problem
	// Verified reports that the reply's signature was asked for and good. Gateways sign nothing.
	Verified bool
}

// A Problem is what a GovWay tells of an error of its own, or in place of the service's.
type Problem struct {
	Name   string // last element of type's path, else the title: "TooManyRequests"
	Status int    // the HTTP status it would have had; 0 when it tells none
	ID     string // govway_id
}

// Error is the fault's code, without its text.
func (f *Fault) Error() string {
	if name := f.Name(); name != "" {
		return "soap fault " + name
	}
	return "soap fault"
}

// Name is the code to keep: the Problem's, else Code; clipped to what is fit for a log line.
func (f *Fault) Name() string {
	if f.Problem != nil && f.Problem.Name != "" {
		return wire.Clip(f.Problem.Name)
	}
	return wire.Clip(f.Code)
}

// Kind is what a fault means where the contract with the supplier says nothing else. A Problem's status decides first.
// Then SOAP's own codes: Client is Invalid, Server is Unavailable, VersionMismatch and MustUnderstand are Malformed, and
// those of WS-Security are Denied. A supplier's own code is Malformed: an unknown word is no answer. No fault is NotFound.
func (f *Fault) Kind() contracts.Kind {
	if f.Problem != nil && f.Problem.Status >= 400 && f.Problem.Status <= 599 {
		return wire.Kind(f.Problem.Status)
	}
	if !f.Standard {
		return contracts.Malformed
	}
	switch code, rest, _ := strings.Cut(f.Code, "."); code {
	case "Client":
		if strings.HasPrefix(rest, "Authentication") {
			return contracts.Denied // SOAP 1.1, section 4.4.1, names it as its example
		}
		return contracts.Invalid
	case "Server":
		return contracts.Unavailable
	case "VersionMismatch", "MustUnderstand":
		return contracts.Malformed
	}
	return contracts.Denied
}

// securityCodes are those of WS-Security 1.1, section 12.
var securityCodes = map[string]bool{
	"UnsupportedSecurityToken": true, "UnsupportedAlgorithm": true, "InvalidSecurity": true, "InvalidSecurityToken": true,
	"FailedAuthentication": true, "FailedCheck": true, "SecurityTokenUnavailable": true, "MessageExpired": true,
}

const maxDetail = 64 << 10

type faultXML struct {
	Code struct {
		Text  string     `xml:",chardata"`
		Attrs []xml.Attr `xml:",any,attr"`
	} `xml:"faultcode"`
	String string `xml:"faultstring"`
	Actor  string `xml:"faultactor"`
	Detail *struct {
		Attrs   []xml.Attr `xml:",any,attr"`
		Inner   []byte     `xml:",innerxml"`
		Problem *struct {
			Type   string `xml:"urn:ietf:rfc:7807 type"`
			Title  string `xml:"urn:ietf:rfc:7807 title"`
			Status string `xml:"urn:ietf:rfc:7807 status"`
			ID     string `xml:"govway_id"`
		} `xml:"urn:ietf:rfc:7807 problem"`
	} `xml:"detail"`
}

// parseFault reads the fault of an envelope.
func parseFault(env *envelope) (*Fault, error) {
	var in struct {
		Body struct {
			Fault faultXML `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	if xml.Unmarshal(env.text, &in) != nil {
		return nil, errSyntax
	}
	got := &in.Body.Fault
	f := &Fault{String: got.String, Actor: got.Actor}
	f.Code, f.Standard = faultCode(strings.TrimSpace(got.Code.Text), got.Code.Attrs, env.scope)
	if got.Detail == nil {
		return f, nil
	}
	if len(got.Detail.Inner) <= maxDetail {
		f.Detail = detail(got.Detail.Inner, got.Detail.Attrs, env.scope)
	}
	if p := got.Detail.Problem; p != nil {
		kind := strings.TrimSpace(p.Type)
		name, _ := strings.CutSuffix(kind[strings.LastIndexByte(kind, '/')+1:], ".html")
		if name == "" || strings.Contains(name, ":") { // about:blank
			name = strings.TrimSpace(p.Title)
		}
		status, err := strconv.Atoi(strings.TrimSpace(p.Status))
		if err != nil || status < 100 || status > 599 {
			status = 0
		}
		f.Problem = &Problem{Name: wire.Clip(name), Status: status, ID: wire.Clip(strings.TrimSpace(p.ID))}
	}
	return f, nil
}

// faultCode resolves the prefix of a qualified name. Without a prefix SOAP's own words are taken for SOAP's: servers that
// forget it are many.
func faultCode(text string, attrs []xml.Attr, scope []binding) (code string, standard bool) {
	prefix, local, prefixed := strings.Cut(text, ":")
	if !prefixed {
		prefix, local = "", text
	}
	uri := ""
	for _, b := range scope {
		if string(b.prefix) == prefix {
			uri = string(b.uri)
		}
	}
	for _, a := range attrs {
		if a.Name.Space == "xmlns" && a.Name.Local == prefix || prefix == "" && a.Name.Space == "" && a.Name.Local == "xmlns" {
			uri = a.Value
		}
	}
	switch first, _, _ := strings.Cut(local, "."); first {
	case "Client", "Server", "VersionMismatch", "MustUnderstand":
		return local, uri == NSEnvelope || !prefixed
	default:
		return local, prefixed && uri == NSSecurity && securityCodes[local]
	}
}

// detail makes the detail element stand alone.
func detail(inner []byte, attrs []xml.Attr, scope []binding) []byte {
	uris := map[string]string{}
	var order []string
	put := func(prefix, uri string) {
		if _, seen := uris[prefix]; !seen {
			order = append(order, prefix)
		}
		uris[prefix] = uri
	}
	for _, b := range scope {
		put(string(b.prefix), string(b.uri))
	}
	for _, a := range attrs {
		switch {
		case a.Name.Space == "xmlns":
			put(a.Name.Local, a.Value)
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			put("", a.Value)
		}
	}
	var b bytes.Buffer
	b.WriteString("<detail")
	for _, prefix := range order {
		switch prefix {
		case "xml":
			continue
		case "":
			b.WriteString(` xmlns="`)
		default:
			b.WriteString(" xmlns:" + prefix + `="`)
		}
		_ = xml.EscapeText(&b, []byte(uris[prefix])) // a bytes.Buffer does not fail
		b.WriteByte('"')
	}
	b.WriteByte('>')
	b.Write(inner)
	b.WriteString("</detail>")
	return b.Bytes()
}

// throttled is how long we stay away from a peer that says "too many" and not until when.
const throttled = 10 * time.Second

// fault is the error of a reply that holds one. The status decides where it is neither success nor one of the two that
// faults come with: a gateway that turns away, or is overrun, says so there.
func (x *exchange) fault(resp *wire.Response, env *envelope) error {
	f, err := parseFault(env)
	if err != nil {
		return resp.Malformed(x.ctx, err.Error())
	}
	f.Verified = x.reply.Signer != nil
	switch {
	case resp.Status <= 299, resp.Status == http.StatusBadRequest, resp.Status == http.StatusInternalServerError:
	default:
		e := resp.Err(x.ctx, f.Name())
		e.Err = f
		return e
	}
	e := contracts.Errorf(f.Kind(), "%s: %w", x.op.Route, f)
	e.Code = f.Name()
	if e.Retryable() {
		e.After, _ = wire.After(resp.Header, x.client.opt.Clock.Now())
	}
	if e.Kind == contracts.Throttled && e.After == 0 {
		e.After = throttled
	}
	if f.Problem != nil && (f.Problem.Status == http.StatusBadGateway || f.Problem.Status == http.StatusGatewayTimeout) && x.effect() != contracts.Read {
		e.Kind, e.After = contracts.Uncertain, 0 // the gateway lost what the service answered
	}
	return x.client.opt.Wire.Fail(x.ctx, e)
}

func (x *exchange) effect() contracts.Effect {
	if x.op.Effect != 0 {
		return x.op.Effect
	}
	if running := contracts.CallFrom(x.ctx); running != nil {
		return running.Op.Effect
	}
	return contracts.Once
}
