package soap

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// An exchange is one call on its way. gowsdl takes it for its HTTP client, and so never sees the connection, which it
// would close each time, nor a reply that was not held against the rules.
type exchange struct {
	client *Client
	ctx    context.Context
	op     *Operation
	shape  *shape // of the answer
	body   []byte // of the envelope as gowsdl wrote it: from the Body's content to the end
	reply  *Reply
	err    error // why gowsdl gets nothing

	judged *wire.Response // what env and broken are about
	env    *envelope
	broken error
}

// Do carries out the call and hands back its answer, or nothing.
func (x *exchange) Do(r *http.Request) (*http.Response, error) {
	if x.err = x.take(r); x.err != nil {
		return nil, x.err
	}
	resp, err := x.client.opt.Wire.Do(x.ctx, &wire.Request{
		Method: http.MethodPost, Route: x.op.Route, Path: x.client.opt.Path,
		Header: x.op.header(), Effect: x.op.Effect, RemoteID: x.op.RemoteID,
		Compose: x.frame, Answered: x.answered,
	})
	if err != nil {
		x.err = err
		return nil, err
	}
	x.reply = &Reply{Response: resp}
	text, err := x.judge(resp)
	if err != nil {
		x.err = err
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: replyHeader, Body: &replyBody{bytes.NewReader(text)}, Request: r,
	}, nil
}

// A replyBody is a reply that reads byte by byte, so that the decoder needs no buffer of its own.
type replyBody struct{ *bytes.Reader }

func (*replyBody) Close() error { return nil }

// take reads what gowsdl serialised.
func (x *exchange) take(r *http.Request) error {
	text := make([]byte, max(0, r.ContentLength))
	if _, err := io.ReadFull(r.Body, text); err == nil {
		var ok bool
		if x.body, ok = bytes.CutPrefix(text, []byte(envelopeHead+bodyHead)); ok {
			return nil
		}
	}
	return x.client.opt.Wire.Fail(x.ctx, contracts.Errorf(contracts.Internal, "%s: gowsdl no longer writes the envelope as we know it", x.op.Route))
}

// frame writes the envelope of one attempt, with header blocks and a signature of its own.
func (x *exchange) frame(ctx context.Context) ([]byte, error) {
	opt := &x.client.opt
	var blocks []byte
	if opt.Headers != nil {
		var err error
		if blocks, err = opt.Headers(ctx); err != nil {
			return nil, contracts.AsError(err)
		}
	}
	if opt.Sign == nil {
		return unsigned(blocks, x.body), nil
	}
	text, err := opt.Sign.envelope(opt.Clock.Now(), blocks, x.body)
	if err != nil {
		return nil, contracts.Errorf(contracts.Internal, "%s: the request cannot be signed: %w", x.op.Route, err)
	}
	return text, nil
}

func unsigned(blocks, body []byte) []byte {
	const open, shut = "<soap:Header>", "</soap:Header>"
	text := make([]byte, 0, len(declaration)+len(envelopeHead)+len(open)+len(blocks)+len(shut)+len(bodyHead)+len(body))
	text = append(text, declaration+envelopeHead...)
	if len(blocks) > 0 {
		text = append(text, open...)
		text = append(text, blocks...)
		text = append(text, shut...)
	}
	text = append(text, bodyHead...)
	return append(text, body...)
}

// read holds a reply against the rules, once.
func (x *exchange) read(resp *wire.Response) (*envelope, error) {
	if x.judged != resp {
		x.judged, x.env, x.broken = resp, nil, nil
		text, err := decode(resp.Header.Get("Content-Type"), resp.Body)
		if err == nil {
			x.env, err = scan(text, x.op.Answer, x.shape, x.client.opt.Understands)
		}
		x.broken = err
	}
	return x.env, x.broken
}

// answered: SOAP 1.1 over HTTP sends every fault with status 500, which is then no failure of the server's.
func (x *exchange) answered(resp *wire.Response) bool {
	if resp.Status != http.StatusInternalServerError {
		return false
	}
	env, err := x.read(resp)
	return err == nil && env.fault
}

// judge gives the bytes that gowsdl may decode, or the error that the reply amounts to.
func (x *exchange) judge(resp *wire.Response) ([]byte, error) {
	success := resp.Status >= 200 && resp.Status <= 299
	env, err := x.read(resp)
	switch {
	case err != nil && success:
		return nil, resp.Malformed(x.ctx, err.Error())
	case err != nil || !success && !env.fault:
		return nil, resp.Err(x.ctx, "") // a page of a gateway's; only its status tells
	}
	x.reply.Envelope = env.text
	if verify := x.client.opt.Verify; verify != nil {
		signed, text, err := verify.envelope(x.client.opt.Clock.Now(), env)
		switch {
		case err == nil:
			// From here on nothing counts but what was verified.
			if env, err = scan(text, x.op.Answer, x.shape, nil); err != nil {
				return nil, resp.Malformed(x.ctx, err.Error())
			}
			x.reply.Envelope, x.reply.Signer = text, signed
		case !env.fault:
			return nil, resp.Malformed(x.ctx, err.Error())
		}
	}
	if env.fault {
		return nil, x.fault(resp, env)
	}
	if env.child != x.op.Answer {
		return nil, resp.Malformed(x.ctx, errAnswer.Error())
	}
	return without(env.text, env.cuts), nil
}
