package entrate

import (
	"context"
	"net/http"

	"raccordo/adapters/internal/pdnd"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// A gateway is one REST service behind the agency's GovWay.
type gateway struct {
	env     contracts.Env
	wire    *wire.Client
	voucher *pdnd.Client
}

func openGateway(ctx context.Context, cfg REST, env contracts.Env) (*gateway, error) {
	g := &gateway{env: env}
	var err error
	if g.wire, err = wire.Open(ctx, cfg.HTTP, env); err != nil {
		return nil, err
	}
	if g.voucher, err = pdnd.Open(ctx, cfg.Voucher, env); err != nil {
		g.wire.Close()
		return nil, err
	}
	return g, nil
}

func (g *gateway) close() {
	g.voucher.Close()
	g.wire.Close()
}

var (
	acceptJSON = http.Header{"Accept": {"application/json"}} // never written, like those below
	sendJSON   = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}
)

// remoteID is the header of GovWay's own id of an exchange.
const remoteID = "GovWay-Transaction-ID"

// post asks a question with the voucher of the caller's purpose. Only a 200 is a reply.
func (g *gateway) post(ctx context.Context, body []byte) (*wire.Response, error) {
	purpose := contracts.CallerFrom(ctx).Purpose
	if c := contracts.CallFrom(ctx); c != nil {
		purpose = c.Caller.Purpose
	}
	resp, err := g.voucher.Do(ctx, g.wire, purpose, &wire.Request{
		Method: http.MethodPost, Route: "POST /verifica", Path: "/verifica", Header: sendJSON, Body: body, RemoteID: remoteID,
	})
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, resp.Err(ctx, wire.ParseProblem(resp.Body).Title)
	}
	return resp, nil
}

func (g *gateway) check(ctx context.Context) error {
	resp, err := g.wire.Do(ctx, &wire.Request{
		Method: http.MethodGet, Route: "GET /status", Path: "/status", Header: acceptJSON, Effect: contracts.Read, RemoteID: remoteID,
	})
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return resp.Err(ctx, wire.ParseProblem(resp.Body).Title)
	}
	return nil
}
