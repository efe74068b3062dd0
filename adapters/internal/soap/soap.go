// Package soap speaks SOAP 1.1 with every supplier: types that gowsdl generated go out and come back through its
// runtime, and everything that runtime gets wrong is put right underneath it.
//
// One call is serialised once and framed once per attempt: each attempt bears header blocks of its own (assertion,
// Timestamp, MessageID) and a signature made for it. What comes back is held against the rules of SOAP and of the
// operation before gowsdl sees a byte; where a signature is asked for, gowsdl is given exactly the bytes that were
// verified. A fault is an answer: typed, never repeated, and its free text never quoted.
//
// Source: SOAP 1.1 (W3C Note, 8 May 2000); WS-I Basic Profile 1.1, chapters 3 and 4; Namespaces in XML 1.0; RFC 7303
// (charsets); WS-Security 1.1 and its X.509 token profile; XML Signature 1.1; Exclusive XML Canonicalization 1.0; ModI,
// "Modello di interoperabilità", SOAP patterns; GovWay, faults with an RFC 7807 problem in their detail.
//
// Basis: published standards; GovWay's form of a problem from its public documentation.
//
// Known gaps: no SOAP 1.2, no attachments, no one-way operations, no encryption; signatures are RSA PKCS #1 v1.5 or ECDSA
// with SHA-2, by X.509 certificates; a reply's header blocks are verified but not decoded; nil is read (as absent) and
// never written.
package soap

import (
	"context"
	"encoding/xml"
	"net/http"
	"reflect"
	"slices"
	"sync"

	gowsdl "github.com/hooklift/gowsdl/soap"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// Options is what the program hands a Client.
type Options struct {
	// Wire carries the attempts; its Config bounds a reply's size, time and repeats.
	Wire *wire.Client
	// Path goes below the endpoint, escaped; empty: the endpoint itself.
	Path string
	// Clock gives the instants that signatures are made and judged at; nil: the system's.
	Clock contracts.Clock
	// Headers writes the header blocks of one attempt, each an element that declares the prefixes it uses. It is called
	// afresh for every attempt; an error ends the call, unsent. Nil: no blocks.
	Headers func(context.Context) ([]byte, error)
	// Sign puts a WS-Security header with a signature on each attempt; nil: none.
	Sign *Signer
	// Verify judges the reply's signature, which must then be there; nil: signatures are not looked at.
	Verify *Verifier
	// Understands lists header blocks that a reply may mark mustUnderstand. With Verify, Security is among them.
	Understands []xml.Name
}

// A Client calls the operations of one service. It holds no state of calls and is safe for concurrent use.
type Client struct {
	opt    Options
	shapes sync.Map // of answers, by their type
}

func (c *Client) shape(t reflect.Type) *shape {
	if s, ok := c.shapes.Load(t); ok {
		return s.(*shape)
	}
	s := shapeOf(t, map[reflect.Type]*shape{})
	c.shapes.Store(t, s)
	return s
}

// New makes the client. It does no I/O; the wire stays its owner's to close.
func New(opt Options) *Client {
	if opt.Clock == nil {
		opt.Clock = contracts.SystemClock{}
	}
	opt.Understands = slices.Clone(opt.Understands)
	if opt.Verify != nil {
		opt.Understands = append(opt.Understands, xml.Name{Space: NSSecurity, Local: "Security"})
	}
	return &Client{opt: opt}
}

// An Operation is one document/literal operation of a service.
type Operation struct {
	// Action is the SOAPAction, sent as given: with its quotes, if the supplier wants them. Empty: the header is left out.
	Action string
	// Route names the operation in logs and errors: "CheckValidityRappresentante".
	Route string
	// Answer is the element that the reply's Body must hold.
	Answer xml.Name
	// Effect overrides the call's own, as in wire.Request.
	Effect contracts.Effect
	// RemoteID is the reply's HTTP header that holds the peer's tracking id, if it has one.
	RemoteID string
}

// A Reply is what came back, for what the answer's type does not tell. It has wire's Err and Malformed, for answers that
// break the contract further up.
type Reply struct {
	*wire.Response
	// Envelope is the reply in UTF-8, without its XML declaration; with Verify, of its Body only what was verified.
	Envelope []byte
	// Signer tells who signed, with Verify; nil otherwise.
	Signer *Signature
}

// Call carries out one operation: req is a pointer to a generated request type, Resp the generated answer type.
//
// Every error is a *contracts.Error. A SOAP fault is found in it as a *Fault, by errors.As, and its Kind is what
// Fault.Kind says by default. Replies that break a rule are Malformed (Uncertain after an effect); pages of gateways are
// what their status says. The Reply is nil only when nothing came back.
func Call[Resp any](ctx context.Context, c *Client, op Operation, req any) (*Resp, *Reply, error) {
	answer := new(Resp)
	reply, err := c.call(ctx, &op, req, answer)
	if err != nil {
		return nil, reply, err
	}
	return answer, reply, nil
}

func (c *Client) call(ctx context.Context, op *Operation, req, answer any) (*Reply, error) {
	if op.Answer.Local == "" {
		return nil, c.opt.Wire.Fail(ctx, contracts.Errorf(contracts.Internal, "%s: the operation does not say what answers it", op.Route))
	}
	x := &exchange{client: c, ctx: ctx, op: op, shape: c.shape(reflect.TypeOf(answer))}
	err := gowsdl.NewClient(endpoint, gowsdl.WithHTTPClient(x)).CallContextWithFaultDetail(ctx, op.Action, req, answer, nil)
	switch {
	case x.err != nil:
		return x.reply, x.err
	case err == nil:
		return x.reply, nil
	case x.reply == nil:
		// Before anything was sent. The cause quotes values of the request.
		return nil, c.opt.Wire.Fail(ctx, contracts.Errorf(contracts.Internal, "%s: the request cannot be serialised", op.Route))
	}
	// The cause quotes values of the reply.
	return x.reply, x.reply.Malformed(ctx, errTypes.Error())
}

// endpoint is never dialled: the exchange knows where to send.
const endpoint = "http://endpoint.invalid"

var _ gowsdl.HTTPClient = (*exchange)(nil)

// envelopeHead is how gowsdl begins every envelope; header blocks go between its two tags.
const (
	envelopeHead = `<soap:Envelope xmlns:soap="` + NSEnvelope + `">`
	bodyHead     = `<soap:Body>`
	declaration  = `<?xml version="1.0" encoding="UTF-8"?>`
)

// contentType is what SOAP 1.1 over HTTP wants, spelt as most suppliers' own clients do.
var (
	contentType = []string{"text/xml; charset=utf-8"}
	accept      = []string{"text/xml"}
	replyHeader = http.Header{"Content-Type": contentType}
)

func (op *Operation) header() http.Header {
	h := http.Header{"Content-Type": contentType, "Accept": accept}
	if op.Action != "" {
		h["SOAPAction"] = []string{op.Action} // not canonical on purpose: so it is written in the standard
	}
	return h
}
