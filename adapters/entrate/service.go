package entrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"raccordo/adapters/internal/soap"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// A service is one of the agency's SOAP services: its wire, and the assertions with which it is asked.
type service struct {
	env  contracts.Env
	wire *wire.Client
	soap *soap.Client
	life time.Duration // of an assertion, counted from when it is made
}

// openService opens the wire of a section. headers says in whose name its assertions are.
func openService(ctx context.Context, http wire.Config, saml SAML, env contracts.Env, headers func(*asserter) func(context.Context) ([]byte, error)) (*service, error) {
	who, err := newAsserter(ctx, saml, "saml", env)
	if err != nil {
		return nil, &contracts.Error{Kind: contracts.Invalid, System: env.Instance, Operation: "open", Err: err}
	}
	s := &service{env: env, life: saml.Life - early}
	if s.wire, err = wire.Open(ctx, http, env); err != nil {
		return nil, err
	}
	s.soap = soap.New(soap.Options{Wire: s.wire, Clock: env.Clock, Headers: headers(who)})
	return s, nil
}

func (s *service) close() { s.wire.Close() }

func (s *service) fail(ctx context.Context, err error) error {
	return s.wire.Fail(ctx, contracts.AsError(err))
}

// mutual wants a client certificate.
func mutual(http *wire.Config, path string) error {
	if http.ClientCertificate == "" {
		return contracts.Faultf(path+".http.client_certificate", "missing: the service speaks mutual TLS only")
	}
	return nil
}

var errEnded = errors.New("refused, and the assertion had ended when the refusal came: was this machine suspended, or its clock set?")

// ask carries out an operation, and judges its answer. It is asked once more, with a new assertion, where the first was
// refused with 401, as the largest public client does, and where it had ended when its refusal came, which then says
// nothing. A reply that keeps the rules of SOAP and yet is no answer is an alarm; pages of gateways, noise and time-outs
// are not.
func ask[Resp any](ctx context.Context, s *service, op soap.Operation, req any, judge func(*Resp) *contracts.Error) (*Resp, error) {
	op.RemoteID = remoteID
	for last := false; ; last = true {
		made := s.env.Clock.Now()
		answer, reply, err := soap.Call[Resp](ctx, s.soap, op, req)
		if err == nil {
			e := judge(answer)
			if e == nil {
				return answer, nil
			}
			e.Err = fmt.Errorf("%s: %w", op.Route, e.Err)
			err = e
		}
		e := *contracts.AsError(err)
		ended := e.Kind == contracts.Denied && s.env.Clock.Now().Sub(made) >= s.life
		switch {
		case !last && (ended || reply != nil && reply.Status == http.StatusUnauthorized):
			continue
		case ended:
			e.Kind, e.Err = contracts.Unavailable, fmt.Errorf("%s: %w", op.Route, errEnded)
		case e.Kind == contracts.Malformed && reply != nil && reply.Envelope != nil:
			s.alarm(ctx, &e)
		}
		return nil, s.fail(ctx, &e)
	}
}

// alarm tells an operator that an answer was not understood: the service's contract has changed, or something stands in
// between. Of the words themselves only known codes are logged, since others could name somebody.
func (s *service) alarm(ctx context.Context, e *contracts.Error) {
	op := ""
	if c := contracts.CallFrom(ctx); c != nil {
		op = c.Op.Name
	}
	s.env.Log.LogAttrs(ctx, slog.LevelError, "contract drift: the agency answers otherwise than was agreed, and nothing is concluded from it",
		slog.String("system", s.env.Instance), slog.String("operation", op), slog.String("rule", e.Err.Error()))
}
