// Package inad asks the Indice nazionale dei domicili digitali (INAD, run by InfoCamere for AgID) for the digital
// domiciles of natural persons, free professionals and private-law bodies: one at a time, in lists of up to 1,000, and
// whether an address was somebody's on a past day.
//
// Law: D.lgs. 82/2005 (CAD), art. 6-quater. Source: AgID, INAD_API_Extraction 1.0.0-SNAPSHOT (5 June 2024), profiles
// ID_AUTH_CHANNEL_01, BLOCK_REST and NONBLOCK_PULL_REST, with a PDND voucher.
//
// Basis: published contract; where real answers differ from it (usageInfo left out, two meanings of 404), the habits of
// the largest public client, pn-national-registries.
//
// Known gaps: omocodic codici fiscali cannot be asked about, since the contract's own pattern refuses them; addresses
// with characters that its pattern refuses cannot be verified; limits per day are agreed on the purpose, and not
// announced on the wire.
package inad

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"raccordo/adapters/internal/pdnd"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

// Register is INAD's name in answers.
const Register = "INAD"

// MaxList is the most codes in one list, by the text of the contract.
const MaxList = 1000

// Which address of a person answers.
const (
	Personale     = "personale"     // personal ones only: for a proceeding about the person as such
	Professionale = "professionale" // professional ones only
	Qualsiasi     = "qualsiasi"     // personal ones first, then professional ones
)

// A Config is what a person writes about INAD.
type Config struct {
	HTTP    wire.Config `yaml:"http"`
	Voucher pdnd.Config `yaml:"voucher"`
	// Preference says which addresses of a person asked for as a person may answer: personale, professionale, qualsiasi.
	Preference string `yaml:"preference,omitempty"`
	// ListEvery is how long to leave between two questions after a list; AgID asks for 10 to 15 minutes.
	ListEvery time.Duration `yaml:"list_every,omitempty"`
	// ListPatience is when a list is given up and started anew; INAD itself keeps one for 48 hours.
	ListPatience time.Duration `yaml:"list_patience,omitempty"`
}

// Default gives the settings but for endpoint and credentials.
func Default() contracts.Config {
	return &Config{
		HTTP: wire.Default(), Voucher: pdnd.Default(),
		Preference: Personale, ListEvery: 15 * time.Minute, ListPatience: 48 * time.Hour,
	}
}

// Operations are look-up and verification.
func (*Config) Operations() []*contracts.OpInfo { return domicile.Ops() }

// Paces are at once for everybody whom INAD holds.
func (*Config) Paces() []contracts.Pace {
	var all []contracts.Pace
	for _, capacity := range []domicile.Capacity{domicile.Person, domicile.Body, domicile.Professional} {
		all = append(all, contracts.Pace{Op: domicile.OpLookup.OpInfo, For: string(capacity), AtOnce: true})
	}
	return all
}

// hosts are INAD's own, each of one environment.
var hosts = map[string]contracts.Environment{
	"api.inad.gov.it":                         contracts.Produzione,
	"domiciliodigitaleapi.oscl.infocamere.it": contracts.Collaudo,
	"eservices.att.interop.pagopa.it":         contracts.Attestazione,
}

// Validate gives every fault at once.
func (c *Config) Validate(env contracts.Environment) error {
	faults := []error{c.HTTP.Validate(env, "http"), c.Voucher.Validate(env, "voucher")}
	if u, err := url.Parse(c.HTTP.Endpoint); err == nil {
		if of, known := hosts[u.Hostname()]; known && of != env {
			faults = append(faults, contracts.Faultf("http.endpoint", "is that of %s, not of %s", of, env))
		}
	}
	switch c.Preference {
	case Personale, Professionale, Qualsiasi:
	default:
		faults = append(faults, contracts.Faultf("preference", "want %s, %s or %s", Personale, Professionale, Qualsiasi))
	}
	if c.ListEvery < time.Second || c.ListEvery > 24*time.Hour {
		faults = append(faults, contracts.Faultf("list_every", "want 1s to 24h"))
	}
	if c.ListPatience < c.ListEvery || c.ListPatience > 7*24*time.Hour {
		faults = append(faults, contracts.Faultf("list_patience", "want list_every to 168h"))
	}
	return errors.Join(faults...)
}

// Open makes the adapter. It does no network I/O.
func (c *Config) Open(ctx context.Context, env contracts.Env) (contracts.Adapter, error) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, &contracts.Error{
			Kind: contracts.Internal, System: env.Instance, Operation: "open",
			Err: errors.New("no time zone data: link time/tzdata"),
		}
	}
	a := &Adapter{cfg: *c, env: env, rome: rome}
	if a.env.Log == nil {
		a.env.Log = slog.New(slog.DiscardHandler)
	}
	if a.env.Clock == nil {
		a.env.Clock = contracts.SystemClock{}
	}
	if a.wire, err = wire.Open(ctx, c.HTTP, a.env); err != nil {
		return nil, err
	}
	if a.voucher, err = pdnd.Open(ctx, c.Voucher, a.env); err != nil {
		a.wire.Close()
		return nil, err
	}
	return a, nil
}

// An Adapter is INAD behind domicile.Directory. It is safe for concurrent use.
type Adapter struct {
	cfg     Config
	env     contracts.Env
	rome    *time.Location
	wire    *wire.Client
	voucher *pdnd.Client
}

var (
	_ domicile.Directory = (*Adapter)(nil)
	_ contracts.Checker  = (*Adapter)(nil)
	_ contracts.Pacer    = (*Config)(nil)
)

// Bindings offers look-ups, single and in lists, and verification.
func (a *Adapter) Bindings() []contracts.Binding {
	return []contracts.Binding{
		contracts.Bind(domicile.OpLookup, a.Lookup,
			contracts.Covers(domicile.OpLookup, covers),
			contracts.Expected(domicile.OpLookup, a.cfg.ListEvery), // of a list; whoever is in a hurry goes alone
			contracts.AsList(domicile.OpLookup, MaxList, a.start, a.collect)),
		contracts.Bind(domicile.OpVerify, a.Verify,
			contracts.Covers(domicile.OpVerify, coversClaim)),
	}
}

// Close waits for what is under way. It may be called again.
func (a *Adapter) Close() error {
	a.voucher.Close()
	a.wire.Close()
	return nil
}

// Check asks for the state of a list that cannot exist: it proves the way to INAD, the voucher and our rights, and
// consults the register about nobody. INAD's 404 is the good answer.
func (a *Adapter) Check(ctx context.Context) error {
	const nobody = "00000000-0000-4000-8000-000000000000"
	req := get(routeState, "/listDigitalAddress/state/"+nobody, "")
	req.Effect = contracts.Read
	resp, err := a.voucher.Do(ctx, a.wire, a.voucher.Purposes()[0], req)
	switch {
	case err != nil:
	case resp.Status == http.StatusNotFound && isProblem(resp.Body), resp.Status == http.StatusOK, resp.Status == http.StatusSeeOther:
		return nil
	default:
		err = failure(ctx, resp)
	}
	e := *contracts.AsError(err)
	e.Operation = "check"
	return &e
}

// Routes name requests in logs and errors.
const (
	routeExtract  = "GET /extract/{codice_fiscale}"
	routeVerify   = "GET /verify/{codice_fiscale}"
	routeList     = "POST /listDigitalAddress"
	routeState    = "GET /listDigitalAddress/state/{id}"
	routeResponse = "GET /listDigitalAddress/response/{id}"
)

// Lookup gives the addresses in force, the one to use first. A person's answer obeys Preference.
func (a *Adapter) Lookup(ctx context.Context, q domicile.Query) (domicile.Answer, error) {
	if err := covers(q); err != nil {
		return domicile.Answer{}, a.fail(ctx, err)
	}
	ref, err := reference(ctx)
	if err != nil {
		return domicile.Answer{}, a.fail(ctx, err)
	}
	code := codeOf(q.Subject)
	resp, err := a.do(ctx, get(routeExtract, "/extract/"+code, "practicalReference="+url.QueryEscape(ref)))
	if err != nil {
		return domicile.Answer{}, err
	}
	if resp.Status != http.StatusOK {
		return domicile.Answer{}, failure(ctx, resp)
	}
	var x extraction
	if err := decode(resp, &x); err != nil {
		return domicile.Answer{}, resp.Malformed(ctx, err.Error())
	}
	if !strings.EqualFold(x.CodiceFiscale, code) {
		return domicile.Answer{}, resp.Malformed(ctx, "the answer is about somebody else")
	}
	answer, err := a.answer(ctx, q.Capacity, &x)
	if err != nil {
		return domicile.Answer{}, a.fail(ctx, err)
	}
	return answer, nil
}

// Verify says whether the address was the subject's on the day, in Italy, on which the instant falls. A person whom
// INAD does not know is NotFound: another register may know them.
func (a *Adapter) Verify(ctx context.Context, c domicile.Claim) (domicile.Verdict, error) {
	if err := coversClaim(c); err != nil {
		return domicile.Verdict{}, a.fail(ctx, err)
	}
	ref, err := reference(ctx)
	if err != nil {
		return domicile.Verdict{}, a.fail(ctx, err)
	}
	query := "digital_address=" + url.QueryEscape(c.Address.Reveal()) +
		"&practicalReference=" + url.QueryEscape(ref) +
		"&since=" + c.At.In(a.rome).Format(time.DateOnly)
	resp, err := a.do(ctx, get(routeVerify, "/verify/"+codeOf(c.Subject), query))
	if err != nil {
		return domicile.Verdict{}, err
	}
	if resp.Status != http.StatusOK {
		return domicile.Verdict{}, failure(ctx, resp)
	}
	var v verification
	if err := decode(resp, &v); err != nil {
		return domicile.Verdict{}, resp.Malformed(ctx, err.Error())
	}
	at, err := instant(v.DateTimeCheck)
	if v.Outcome == nil || err != nil {
		return domicile.Verdict{}, resp.Malformed(ctx, "outcome or dateTimeCheck is missing")
	}
	return domicile.Verdict{Theirs: *v.Outcome, CheckedAt: at}, nil
}

// do sends a request with the voucher of the caller's purpose.
func (a *Adapter) do(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	purpose := contracts.CallerFrom(ctx).Purpose
	if c := contracts.CallFrom(ctx); c != nil {
		purpose = c.Caller.Purpose
	}
	return a.voucher.Do(ctx, a.wire, purpose, req)
}

func (a *Adapter) fail(ctx context.Context, err error) error {
	return a.wire.Fail(ctx, contracts.AsError(err))
}

var acceptJSON = http.Header{"Accept": {"application/json"}} // never written

func get(route, path, query string) *wire.Request {
	return &wire.Request{Method: http.MethodGet, Route: route, Path: path, Query: query, Header: acceptJSON}
}

// reference is the proceeding that INAD records beside the consultation: the caller's case, else the ticket.
func reference(ctx context.Context) (string, error) {
	if c := contracts.CallFrom(ctx); c != nil && c.Caller.Case != "" {
		return c.Caller.Case, nil
	}
	if who := contracts.CallerFrom(ctx); who.Case != "" {
		return who.Case, nil
	}
	if h := contracts.HoldFrom(ctx); h != nil && h.ID() != "" {
		return h.ID(), nil
	}
	e := contracts.Errorf(contracts.Invalid, "no case: every consultation must name its proceeding (practicalReference)")
	e.Code = "INAD_REFERENCE"
	return "", e
}
