package inipec

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/adapters/internal/wspa"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

const (
	routeAsk = "POST /richiestaElencoPec"
	routeGet = "GET /getElencoPec/{identificativoRichiesta}"
)

// A handle is what a lot remembers between start and collect, across restarts. It has several ids where the requests
// needed more codes than fit one list, and none where nothing had to be asked.
type handle struct {
	IDs []string  `json:"ids,omitempty"`
	At  time.Time `json:"at"`
}

// codesOf are the codes under which a subject may be indexed: the codice fiscale first, since that is the index's key.
func codesOf(s contracts.Subject) []string {
	cf, vat := s.CodiceFiscale.Reveal(), s.PartitaIVA.Reveal()
	switch {
	case cf == "":
		return []string{vat}
	case vat == "" || vat == cf:
		return []string{cf}
	}
	return []string{cf, vat}
}

// start hands the codes over, each once, in as many lists as they need.
func (a *Adapter) start(ctx context.Context, qs []domicile.Query) ([]byte, error) {
	if len(qs) > MaxList {
		return nil, a.fail(ctx, contracts.Errorf(contracts.Invalid, "list of more than %d requests", MaxList))
	}
	refs := make([]cfRef, 0, len(qs))
	seen := make(map[string]bool, len(qs))
	for _, q := range qs {
		if covers(q) != nil {
			continue // gets its own error when the list is collected
		}
		for _, code := range codesOf(q.Subject) {
			if !seen[code] {
				seen[code] = true
				refs = append(refs, cfRef{code})
			}
		}
	}
	h := handle{At: a.env.Clock.Now().UTC()}
	for len(refs) > 0 {
		n := min(len(refs), MaxList)
		id, err := a.handOver(ctx, refs[:n])
		if err != nil {
			return nil, err
		}
		h.IDs = append(h.IDs, id)
		refs = refs[n:]
	}
	return contracts.Encode(h)
}

func (a *Adapter) handOver(ctx context.Context, refs []cfRef) (id string, err error) {
	body, err := json.Marshal(listRequest{DataOraRichiesta: requestTime(a.env.Clock.Now(), a.rome), ElencoCf: refs})
	if err != nil {
		return "", a.fail(ctx, contracts.Errorf(contracts.Internal, "list request: %w", err))
	}
	resp, err := a.gateway.Do(ctx, scope, &wire.Request{Method: http.MethodPost, Route: routeAsk, Path: "/richiestaElencoPec", Body: body, Bare: len(refs) == 1})
	if err != nil {
		return "", err
	}
	if e := a.gateway.Failure(ctx, resp); e != nil {
		if e.Kind == contracts.Invalid { // of whom? that a list is refused says of none of its codes that it is wrong
			e.Kind = contracts.Malformed
		}
		return "", e
	}
	var taken listTaken
	if json.Unmarshal(resp.Body, &taken) != nil {
		return "", resp.Malformed(ctx, errShape.Error())
	}
	if taken.ID == "" || len(taken.ID) > 200 {
		return "", resp.Malformed(ctx, "the list has no identificativoRichiesta")
	}
	return taken.ID, nil
}

// collect fetches the lists. It is Pending until all are there; when the patience is over, or InfoCamere says that the
// list failed, every request gets Unavailable of its own, so that each may be asked again in a new list.
func (a *Adapter) collect(ctx context.Context, raw []byte, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error) {
	var h handle
	if json.Unmarshal(raw, &h) != nil {
		return nil, a.fail(ctx, contracts.Errorf(contracts.Internal, "list handle cannot be read"))
	}
	lists := make([]*listAnswer, 0, len(h.IDs))
	for _, id := range h.IDs {
		l, err := a.fetch(ctx, id)
		if err != nil && contracts.KindOf(err) == contracts.Pending {
			age := a.env.Clock.Now().Sub(h.At)
			if age > a.cfg.Patience {
				return a.all(ctx, qs, unavailable("INIPEC_LATE", "list not ready after the patience configured")), nil
			}
			e := *contracts.AsError(err)
			e.After = min(max(age, a.cfg.PollFirst), a.cfg.PollMax)
			return nil, &e
		}
		if err != nil {
			return nil, err
		}
		if l.Error != "" {
			return a.all(ctx, qs, unavailable("descrizioneErrore", "INI-PEC could not make the list")), nil
		}
		lists = append(lists, l)
	}
	found := byCode(lists)
	strangers := strangersIn(found, qs)
	if strangers > 0 {
		a.env.Log.LogAttrs(ctx, slog.LevelError, "contract drift: a list has codes that nobody asked about, and so proves of nobody that there is no address",
			slog.String("system", a.env.Instance), slog.Int("codes", strangers))
	}
	asOf := a.env.Clock.Now()
	out := make([]contracts.Result[domicile.Answer], len(qs))
	for i, q := range qs {
		value, err := a.pick(ctx, q, found, asOf)
		if strangers > 0 && contracts.KindOf(err) == contracts.NotFound && covers(q) == nil {
			err = &contracts.Error{Kind: contracts.Malformed, Err: errStrangers}
		}
		if err != nil {
			err = a.fail(ctx, err)
		}
		out[i] = contracts.Result[domicile.Answer]{Value: value, Err: err}
	}
	return out, nil
}

func unavailable(code, text string) error {
	e := contracts.Errorf(contracts.Unavailable, "%s", text)
	e.Code = code
	return e
}

// all gives every request that INI-PEC covers the same error.
func (a *Adapter) all(ctx context.Context, qs []domicile.Query, err error) []contracts.Result[domicile.Answer] {
	out := make([]contracts.Result[domicile.Answer], len(qs))
	for i, q := range qs {
		out[i].Err = a.fail(ctx, err)
		if not := covers(q); not != nil {
			out[i].Err = a.fail(ctx, not)
		}
	}
	return out
}

// fetch asks for one list; Pending in both forms in which it is not ready: 404, as the manual has it, and 200 with
// WSPA_ERR_05, as the service does it.
func (a *Adapter) fetch(ctx context.Context, id string) (*listAnswer, error) {
	resp, err := a.gateway.Do(ctx, scope, &wire.Request{Method: http.MethodGet, Route: routeGet, Path: "/getElencoPec/" + url.PathEscape(id)})
	if err != nil {
		return nil, err
	}
	if resp.Status == http.StatusNotFound {
		return nil, a.fail(ctx, contracts.Errorf(contracts.Pending, "list not ready"))
	}
	if err := a.gateway.Failure(ctx, resp); err != nil {
		if resp.Status == http.StatusOK {
			switch err.Code {
			case wspa.CodeNotReady:
				return nil, a.fail(ctx, contracts.Errorf(contracts.Pending, "list not ready"))
			case wspa.CodeNone:
				return &listAnswer{}, nil
			}
		}
		return nil, err
	}
	l, err := parseAnswer(resp.Body)
	if err != nil {
		return nil, resp.Malformed(ctx, err.Error())
	}
	if l.ID != "" && l.ID != id { // in another's list our codes are absent, which would read as "none"
		return nil, resp.Malformed(ctx, "the answer is another list's")
	}
	return l, nil
}

var (
	errNone    = errors.New("no certified address in INI-PEC")
	errAddress = errors.New("the only address is none that a message could go to, which says nothing about a certified one")
	// An element without a code, or with another than was asked about, may be the one that is missed here.
	errStrangers = errors.New("the list has no such code, and others that nobody asked about: it may be there under one of them")
)

// strangersIn counts the codes of the lists that nobody asked about.
func strangersIn(found map[string][]*element, qs []domicile.Query) int {
	n := len(found)
	asked := make(map[string]bool, len(qs))
	for _, q := range qs {
		for _, code := range codesOf(q.Subject) {
			if found[code] != nil && !asked[code] {
				asked[code] = true
				n--
			}
		}
	}
	return n
}

// pick is one answer out of a list: of an enterprise its own address, of a professional those that the orders vouch
// for. A code that is absent, or present without addresses, has none.
func (a *Adapter) pick(ctx context.Context, q domicile.Query, found map[string][]*element, asOf time.Time) (domicile.Answer, error) {
	if err := covers(q); err != nil {
		return domicile.Answer{}, err
	}
	role, texts := "enterprise", []string(nil)
	for _, code := range codesOf(q.Subject) {
		for _, el := range found[code] {
			if q.Capacity == domicile.Enterprise {
				texts = append(texts, el.PecImpresa)
			} else {
				role = "professional"
				texts = append(texts, el.professional()...)
			}
		}
	}
	all, unusable := domiciles(texts, role)
	if unusable > 0 {
		a.env.Log.LogAttrs(ctx, slog.LevelWarn, "addresses that are none were left out",
			slog.String("system", a.env.Instance), slog.Int("addresses", unusable))
	}
	switch {
	case len(all) > 0:
	case unusable > 0: // INI-PEC does not say "none"
		return domicile.Answer{}, &contracts.Error{Kind: contracts.Malformed, Err: errAddress}
	default:
		return domicile.Answer{}, &contracts.Error{Kind: contracts.NotFound, Err: errNone}
	}
	return domicile.Answer{Domiciles: all, AsOf: asOf}, nil
}
