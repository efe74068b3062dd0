package entrate

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"raccordo/adapters/internal/pdnd"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// A gateway is one REST service behind the agency's GovWay.
type gateway struct {
	env      contracts.Env
	endpoint *url.URL
	wire     *wire.Client
	voucher  *pdnd.Client
	// noStatus: that the service has a GET /status is known of a replica alone, and its absence is no fault.
	noStatus bool
}

func openGateway(ctx context.Context, cfg REST, env contracts.Env) (*gateway, error) {
	endpoint, err := url.Parse(cfg.HTTP.Endpoint)
	if err != nil {
		return nil, &contracts.Error{
			Kind: contracts.Invalid, System: env.Instance, Operation: "open", Err: contracts.Faultf("http.endpoint", "want https://HOST/PATH"),
		}
	}
	g := &gateway{env: env, endpoint: endpoint}
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

// Routes name requests in logs and errors.
const (
	routeVerify = "POST /verifica"
	routeStatus = "GET /status"
)

// remoteID is the header of GovWay's own id of an exchange.
const remoteID = "GovWay-Transaction-ID"

var (
	acceptJSON = http.Header{"Accept": {"application/json"}} // never written, like the next
	sendJSON   = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}
)

// post asks a question with the voucher of the caller's purpose. Only a 200 is a reply, and everything else an error. The
// body is a code and nothing else: no digest of it may stand in the ledger, which is never erased.
func (g *gateway) post(ctx context.Context, body []byte) (*wire.Response, error) {
	purpose := contracts.CallerFrom(ctx).Purpose
	if c := contracts.CallFrom(ctx); c != nil {
		purpose = c.Caller.Purpose
	}
	var used string // the credentials of the last attempt
	resp, err := g.voucher.Do(ctx, g.wire, purpose, &wire.Request{
		Method: http.MethodPost, Route: routeVerify, Path: "/verifica", Header: sendJSON, Body: body, RemoteID: remoteID, Bare: true,
		Authorize: func(_ context.Context, r *http.Request) error {
			used = r.Header.Get("Authorization")
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, g.failure(ctx, resp, used)
	}
	return resp, nil
}

// noOperation is how GovWay says that a service is there, and has not the operation.
const noOperation = "UndefinedOperation"

// check asks for the state of the service, which needs no voucher, and obtains a voucher. Whether the agency takes that
// voucher shows only with a question about somebody, and none is asked; but where it is made out to another of the
// agency's names than the one that we call, the log says so.
func (g *gateway) check(ctx context.Context) error {
	resp, err := g.wire.Do(ctx, &wire.Request{
		Method: http.MethodGet, Route: routeStatus, Path: "/status", Header: acceptJSON, Effect: contracts.Read, RemoteID: remoteID,
	})
	if err != nil {
		return err
	}
	switch _, shape := read(resp); {
	case g.noStatus && resp.Status == http.StatusNotFound && govwayName(resp.Header, resp.Body) == noOperation:
	case resp.Status != http.StatusOK:
		return g.failure(ctx, resp, "")
	case shape != nil:
		return resp.Malformed(ctx, shape.Error())
	}
	token := &http.Request{Header: http.Header{}}
	if err := g.voucher.Authorize(g.voucher.Purposes()[0])(ctx, token); err != nil {
		return err
	}
	if text := g.misdirected(token.Header.Get("Authorization")); text != "" && hosts[strings.ToLower(g.endpoint.Hostname())] != nil {
		g.env.Log.LogAttrs(ctx, slog.LevelWarn, "the agency may refuse the voucher: "+text, slog.String("system", g.env.Instance))
	}
	return nil
}

// failure maps a reply with an unwelcome status: the status decides, since installations wrap the names, and the name
// becomes the code. Free text is never quoted. used are the credentials that were sent, if any.
func (g *gateway) failure(ctx context.Context, resp *wire.Response, used string) *contracts.Error {
	e := resp.Err(ctx, govwayName(resp.Header, resp.Body))
	text := ""
	switch resp.Status {
	case http.StatusUnauthorized:
		text = "a voucher is asked for where the contract wants none: see http.endpoint"
		if used != "" {
			text = "voucher refused, a new one too: " + g.refusal(used)
		}
	case http.StatusForbidden:
		text = "see on the PDND whether agreement and purpose are active and suit this service"
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		text = "no such service at this address: see http.endpoint"
	}
	if text != "" {
		e.Err = fmt.Errorf("%w: %s", e.Err, text)
	}
	if id := govwayID(resp.Body); id != "" {
		e.Err = fmt.Errorf("%w (govway_id %s)", e.Err, id)
	}
	return e
}

// name is the form of GovWay's error names ("TokenExpired"), which no codice fiscale has: letters, not all of them
// capitals.
var name = regexp.MustCompile(`^[A-Z][A-Za-z]{0,62}[a-z][A-Za-z]{0,62}$`)

// govwayName is the name of an error: the last element of type's path, else the title, else the header's.
func govwayName(h http.Header, body []byte) string {
	p := wire.ParseProblem(body)
	_, last := path.Split(p.Type)
	for _, s := range []string{strings.TrimSuffix(last, ".html"), p.Title, h.Get("GovWay-Transaction-ErrorType")} {
		if name.MatchString(s) {
			return s
		}
	}
	return ""
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// govwayID is GovWay's id of the exchange, for their support; "" where the reply is none of GovWay's.
func govwayID(body []byte) string {
	var p struct {
		ID string `json:"govway_id"`
	}
	if json.Unmarshal(body, &p) != nil || !uuid.MatchString(p.ID) {
		return ""
	}
	return p.ID
}

// alarm tells an operator that the registry's words are not those agreed: its contract has changed, or something stands
// in between. Of the words themselves only a digest is logged, since they could name somebody, and of words with digits
// in them not even that.
func (g *gateway) alarm(ctx context.Context, field, text string, said slog.Attr) {
	op := ""
	if c := contracts.CallFrom(ctx); c != nil {
		op = c.Op.Name
	}
	g.env.Log.LogAttrs(ctx, slog.LevelError, "contract drift: words that nobody agreed on, from which nothing is concluded",
		slog.String("system", g.env.Instance), slog.String("operation", op), slog.String("field", field),
		slog.String("digest", contracts.SumOf([]byte(unnumbered(text))).String()), said)
}

// unnumbered writes "#" for each word that has a digit: the digest of a codice fiscale or a partita IVA, alone or in a
// known sentence, is undone by trying them all.
func unnumbered(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if strings.ContainsAny(w, "0123456789") {
			words[i] = "#"
		}
	}
	return strings.Join(words, " ")
}
