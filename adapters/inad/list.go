package inad

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

// A handle is what a lot remembers between start and collect, across restarts. An empty ID: nothing had to be asked.
type handle struct {
	ID string    `json:"id,omitempty"`
	At time.Time `json:"at"`
}

// start hands a list over (NONBLOCK_PULL_REST, step 1). Codes are sent once each; requests that INAD cannot be asked get
// their own errors when the list is collected.
func (a *Adapter) start(ctx context.Context, qs []domicile.Query) ([]byte, error) {
	codes := make([]string, 0, len(qs))
	seen := make(map[string]bool, len(qs))
	for _, q := range qs {
		if code := codeOf(q.Subject); covers(q) == nil && !seen[code] {
			seen[code] = true
			codes = append(codes, code)
		}
	}
	h := handle{At: a.env.Clock.Now().UTC()}
	if len(codes) > MaxList {
		return nil, a.fail(ctx, contracts.Errorf(contracts.Invalid, "list of more than %d codes", MaxList))
	}
	if len(codes) > 0 {
		id, err := a.handOver(ctx, codes)
		if err != nil {
			return nil, err
		}
		h.ID = id
	}
	return contracts.Encode(h)
}

func (a *Adapter) handOver(ctx context.Context, codes []string) (id string, err error) {
	// A list stands for many cases: its reference is the lot, which the ledger resolves.
	ref := ""
	if h := contracts.HoldFrom(ctx); h != nil {
		ref = h.ID()
	}
	if ref == "" {
		if ref, err = reference(ctx); err != nil {
			return "", a.fail(ctx, err)
		}
	}
	body, err := json.Marshal(listRequest{CodiciFiscali: codes, Reference: ref})
	if err != nil {
		return "", a.fail(ctx, contracts.Errorf(contracts.Internal, "list request: %w", err))
	}
	resp, err := a.do(ctx, &wire.Request{
		Method: http.MethodPost, Route: routeList, Path: "/listDigitalAddress", Body: body,
		Header: http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}},
	})
	if err != nil {
		return "", err
	}
	if resp.Status != http.StatusAccepted {
		return "", listFailure(ctx, resp)
	}
	var taken listTaken
	if err := decode(resp, &taken); err != nil {
		return "", resp.Malformed(ctx, err.Error())
	}
	id = strings.TrimSpace(taken.ID)
	if id == "" {
		id = lastSegment(resp.Header.Get("Location"))
	}
	if !uuid.MatchString(id) {
		return "", resp.Malformed(ctx, "the list has no id")
	}
	a.sameWay(ctx, resp, "/listDigitalAddress/state/"+id)
	return id, nil
}

// sameWay warns of a Location that is not below our endpoint. It is not followed in either case: it yields an id at
// most, and the URL is built from the configuration.
func (a *Adapter) sameWay(ctx context.Context, resp *wire.Response, path string) {
	location := resp.Header.Get("Location")
	if location == "" || location == a.cfg.HTTP.Endpoint+path || strings.TrimSuffix(a.cfg.HTTP.Endpoint, "/")+path == location {
		return
	}
	a.env.Log.LogAttrs(ctx, slog.LevelWarn, "Location leads elsewhere and is not followed: check http.endpoint",
		slog.String("system", a.env.Instance))
}

func lastSegment(location string) string {
	location, _, _ = strings.Cut(location, "?")
	return location[strings.LastIndexByte(location, '/')+1:]
}

// listFailure maps a failure of the list itself. That a person is unknown is no answer to a list.
func listFailure(ctx context.Context, resp *wire.Response) error {
	return resp.Err(ctx, wire.ParseProblem(resp.Body).Type)
}

// collect asks for the state (step 2), and for the answers (step 3) once they are there. NotFound means that INAD has
// deleted the list, after 48 hours, or that our patience is over: it is started anew.
func (a *Adapter) collect(ctx context.Context, raw []byte, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error) {
	var h handle
	if err := json.Unmarshal(raw, &h); err != nil || (h.ID != "" && !uuid.MatchString(h.ID)) {
		return nil, a.fail(ctx, contracts.Errorf(contracts.Internal, "list handle cannot be read"))
	}
	found := map[string]*extraction{}
	if h.ID != "" {
		if err := a.ready(ctx, h); err != nil {
			return nil, err
		}
		list, err := a.fetch(ctx, h)
		if err != nil {
			return nil, err
		}
		found = byCode(list)
	}
	out := make([]contracts.Result[domicile.Answer], len(qs))
	for i, q := range qs {
		value, err := a.pick(ctx, q, found)
		if err != nil {
			err = a.fail(ctx, err)
		}
		out[i] = contracts.Result[domicile.Answer]{Value: value, Err: err}
	}
	return out, nil
}

// pick is one answer out of a list. A code that the list does not mention is unknown: INAD promises to mention also
// those without a domicile.
func (a *Adapter) pick(ctx context.Context, q domicile.Query, found map[string]*extraction) (domicile.Answer, error) {
	if err := covers(q); err != nil {
		return domicile.Answer{}, err
	}
	x, ok := found[codeOf(q.Subject)]
	if !ok {
		return domicile.Answer{}, malformed(errUnmentioned)
	}
	if len(x.DigitalAddress) == 0 {
		return domicile.Answer{}, none() // "information not valued": the instant may be missing too
	}
	return a.answer(ctx, q.Capacity, x)
}

var errUnmentioned = errors.New("the list does not mention this code, which it must also where there is no domicile")

// ready is nil when the answers can be fetched, Pending while they cannot.
func (a *Adapter) ready(ctx context.Context, h handle) error {
	resp, err := a.do(ctx, get(routeState, "/listDigitalAddress/state/"+h.ID, ""))
	if err != nil {
		return err
	}
	switch resp.Status {
	case http.StatusSeeOther:
		a.sameWay(ctx, resp, "/listDigitalAddress/response/"+h.ID)
		return nil
	case http.StatusOK:
	default:
		return a.listGone(ctx, resp)
	}
	var s listState
	if err := decode(resp, &s); err != nil {
		return resp.Malformed(ctx, err.Error())
	}
	switch strings.ToUpper(s.State) {
	case stateReady:
		return nil
	case stateTaken, stateWorking:
	default:
		return resp.Malformed(ctx, "the list is in no state of the contract")
	}
	if a.env.Clock.Now().Sub(h.At) > a.cfg.ListPatience {
		return a.fail(ctx, contracts.Errorf(contracts.NotFound, "list not ready after %v: it is started anew", a.cfg.ListPatience))
	}
	e := contracts.Errorf(contracts.Pending, "list not ready")
	e.After = a.cfg.ListEvery
	return a.fail(ctx, e)
}

func (a *Adapter) fetch(ctx context.Context, h handle) ([]extraction, error) {
	resp, err := a.do(ctx, get(routeResponse, "/listDigitalAddress/response/"+h.ID, ""))
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, a.listGone(ctx, resp)
	}
	var l listAnswer
	if err := decode(resp, &l); err != nil {
		return nil, resp.Malformed(ctx, err.Error())
	}
	if l.List == nil {
		return nil, resp.Malformed(ctx, "the answer holds no list")
	}
	return l.List, nil
}

// listGone tells a deleted list from other failures.
func (a *Adapter) listGone(ctx context.Context, resp *wire.Response) error {
	if resp.Status == http.StatusNotFound && isProblem(resp.Body) {
		return a.fail(ctx, contracts.Errorf(contracts.NotFound, "INAD no longer knows the list: it is started anew"))
	}
	return listFailure(ctx, resp)
}

// byCode joins a list by code, upper case. A code that stands twice holds the addresses of both.
func byCode(list []extraction) map[string]*extraction {
	found := make(map[string]*extraction, len(list))
	for i := range list {
		code := strings.ToUpper(strings.TrimSpace(list[i].CodiceFiscale))
		if x, ok := found[code]; ok {
			x.DigitalAddress = append(x.DigitalAddress, list[i].DigitalAddress...)
			if x.Since == "" {
				x.Since = list[i].Since
			}
			continue
		}
		found[code] = &list[i]
	}
	return found
}
