package registroimprese

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"raccordo/adapters/internal/pdnd"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/domicile"
)

const routeProfile = "GET /imprese/{codiceFiscale}"

// The profiles; who needs an address alone is given no more than the synthetic one.
const (
	synthetic = "profilo=sintetico"
	full      = "profilo=completo"
)

// An EService is road pdnd: modelled. It is safe for concurrent use.
type EService struct {
	reader
	wire    *wire.Client
	voucher *pdnd.Client
	audit   *auditor // nil: the e-service demands no evidence
}

var _ contracts.Checker = (*EService)(nil)

// Bindings offers enterprises, and their domiciles.
func (s *EService) Bindings() []contracts.Binding {
	all := []contracts.Binding{
		contracts.Bind(company.OpFind, s.Find),
		contracts.Bind(domicile.OpLookup, s.Lookup, contracts.Covers(domicile.OpLookup, coversDomicile)),
	}
	for i := range all {
		all[i].Named = s.audit != nil
	}
	return all
}

// Close waits for what is under way. It may be called again.
func (s *EService) Close() error {
	s.voucher.Close()
	s.wire.Close()
	return nil
}

// nobody is a code that passes the wire's pattern and that no office ever gave.
const nobody = "00000000000"

// Check asks for an enterprise that cannot be: it proves the way, the voucher and our rights, and consults the register
// about nobody. That there is none is the good answer.
func (s *EService) Check(ctx context.Context) error {
	req := profileOf(nobody, synthetic)
	req.Effect = contracts.Read
	resp, err := s.do(ctx, contracts.Caller{Purpose: s.voucher.Purposes()[0], User: "system", Site: "hub", LoA: "LOW"}, req)
	if err == nil {
		if resp.Status == http.StatusNotFound && saysNone(resp.Body) {
			return nil
		}
		if err = s.failure(ctx, resp); err == nil {
			err = resp.Malformed(ctx, "an enterprise that cannot be was found")
		}
	}
	e := *contracts.AsError(err)
	e.Operation = "check"
	return &e
}

// Find gives the whole profile. An enterprise that has ceased is found too.
func (s *EService) Find(ctx context.Context, q company.Query) (company.Company, error) {
	if err := covers(q); err != nil {
		return company.Company{}, s.wire.Fail(ctx, contracts.AsError(err))
	}
	p, err := s.profile(ctx, q.Subject, full)
	if err != nil {
		return company.Company{}, err
	}
	return s.company(ctx, p), nil
}

// coversDomicile is what the register holds by law: enterprises. Whoever is asked for in another capacity is not looked
// up, though a sole trader's profile would answer: the firm's address is not the person's.
func coversDomicile(q domicile.Query) error {
	if err := covers(q); err != nil {
		return err
	}
	if q.Capacity != domicile.Enterprise {
		return contracts.Errorf(contracts.NotFound, "the business register holds domiciles of enterprises only")
	}
	return nil
}

// Lookup gives the PEC that stands in the register. It is the enterprise's domicile as long as it is enrolled: one that has
// ceased has none in force, since the duty to have one is that of enterprises enrolled (D.L. 185/2008, art. 16(6); D.L.
// 179/2012, art. 5) and a company that is struck off is extinct (civil code, art. 2495). D.lgs. 14/2019, art. 33(2), keeps
// its mailbox open for a year, for insolvency alone. Where the standing cannot be read, nothing is concluded.
func (s *EService) Lookup(ctx context.Context, q domicile.Query) (domicile.Answer, error) {
	fail := func(kind contracts.Kind, err error) (domicile.Answer, error) {
		return domicile.Answer{}, s.wire.Fail(ctx, &contracts.Error{Kind: kind, Err: err})
	}
	if err := coversDomicile(q); err != nil {
		return domicile.Answer{}, s.wire.Fail(ctx, contracts.AsError(err))
	}
	p, err := s.profile(ctx, q.Subject, synthetic)
	if err != nil {
		return domicile.Answer{}, err
	}
	switch s.standing(ctx, p) {
	case company.Ceased:
		return fail(contracts.NotFound, errCeased)
	case "":
		return fail(contracts.Malformed, errStanding)
	}
	if strings.TrimSpace(p.PEC) == "" {
		return fail(contracts.NotFound, errNoPEC)
	}
	pec, err := contracts.ParseAddress(p.PEC)
	if err != nil {
		return fail(contracts.Malformed, errPEC)
	}
	return domicile.Answer{
		Domiciles: []contracts.DigitalDomicile{{Address: pec, Register: Register, Role: string(domicile.Enterprise)}},
		AsOf:      s.instant(p.At),
	}, nil
}

var (
	errNone     = errors.New("no such enterprise is or was enrolled")
	errNoPEC    = errors.New("no certified address in the business register")
	errCeased   = errors.New("the enterprise has ceased: no domicile of it is in force")
	errStanding = errors.New("the enterprise's standing is told in a word that nobody agreed on, so that whether its domicile is in force cannot be told")
	errPEC      = errors.New("the address in the register is none that a message could go to, which says nothing about a certified one")
)

func profileOf(code, profile string) *wire.Request {
	return &wire.Request{
		Method: http.MethodGet, Route: routeProfile, Path: "/imprese/" + code, Query: profile,
		Header: http.Header{"Accept": {"application/json, application/problem+json"}},
	}
}

// do sends a request with the voucher of a caller's purpose, and with evidence of the caller where the e-service demands it.
func (s *EService) do(ctx context.Context, who contracts.Caller, req *wire.Request) (*wire.Response, error) {
	if s.audit == nil {
		return s.voucher.Do(ctx, s.wire, who.Purpose, req)
	}
	if err := s.audit.covers(who); err != nil {
		return nil, s.wire.Fail(ctx, contracts.AsError(err))
	}
	req.Authorize = s.authorize(who)
	return s.wire.Do(ctx, req)
}

// profile asks for an enterprise by the voucher of the caller's purpose. The answer must bear the code asked for, as codice
// fiscale or, where that is what was asked for, as partita IVA.
func (s *EService) profile(ctx context.Context, subject contracts.Subject, which string) (*profile, error) {
	who := contracts.CallerFrom(ctx)
	if c := contracts.CallFrom(ctx); c != nil {
		who = c.Caller
	}
	resp, err := s.do(ctx, who, profileOf(codeOf(subject), which))
	if err != nil {
		return nil, err
	}
	if err := s.failure(ctx, resp); err != nil {
		return nil, err
	}
	if !resp.JSON() {
		return nil, resp.Malformed(ctx, "the answer is not JSON")
	}
	if wire.Twice(resp.Body) {
		return nil, resp.Malformed(ctx, "a field of the answer stands twice")
	}
	p, err := parseProfile(resp.Body, subject)
	if err != nil {
		return nil, resp.Malformed(ctx, err.Error())
	}
	return p, nil
}

// failure is nil for a 200; NotFound for the problem that says so with authority; else the error of the status. Titles and
// details are free text and never quoted.
func (s *EService) failure(ctx context.Context, resp *wire.Response) error {
	if resp.Status == http.StatusOK {
		return nil
	}
	e := resp.Err(ctx, codeOfType(wire.ParseProblem(resp.Body).Type))
	switch {
	case resp.Status == http.StatusNotFound && saysNone(resp.Body):
		e.Kind, e.Err = contracts.NotFound, errNone
	case e.Kind == contracts.Throttled:
		e.Err = fmt.Errorf("%w: the e-service grants what was declared on the finalità; set policy.limit.per_day to it", e.Err)
	}
	return e
}

// saysNone tells the register's word that there is no such enterprise from every other 404.
func saysNone(body []byte) bool {
	return strings.HasSuffix(wire.ParseProblem(body).Type, "/"+typeNone) && !wire.Twice(body)
}

const typeNone = "impresa-non-trovata"

// codeOfType is the last part of a problem's type: the only one that is a code.
func codeOfType(t string) string { return wire.Clip(t[strings.LastIndexByte(t, '/')+1:]) }

// standing reads the register's status. A code that nobody agreed on is no status, and an alarm.
func (s *EService) standing(ctx context.Context, p *profile) company.Status {
	status, known := standings[upper(p.Status.Code)]
	if !known {
		s.env.Log.LogAttrs(ctx, slog.LevelError, "contract drift: a standing that nobody agreed on",
			slog.String("system", s.env.Instance), slog.String("code", shown(p.Status.Code)))
	}
	return status
}

// company makes the answer of a full profile. What the register left out, or wrote so that it cannot be read, is unknown;
// of the PEC alone the wire says that none written means none had.
func (s *EService) company(ctx context.Context, p *profile) company.Company {
	out := company.Company{
		CodiceFiscale: p.cf, PartitaIVA: p.vat, Register: Register, AsOf: s.instant(p.At), Status: s.standing(ctx, p),
	}
	known := map[company.Attribute]bool{company.Standing: out.Status != "", company.Activity: p.Activities != nil}
	if name := line(p.Name); name != "" {
		out.Name, known[company.Name] = contracts.NewPrivate(name), true
	}
	if code := line(p.Nature.Code); code != "" {
		out.LegalForm, known[company.Form] = company.Coded{Code: code, Text: line(p.Nature.Text)}, true
	}
	out.Activities = p.activities()
	if len(out.Activities) == 0 && len(p.Activities) > 0 {
		known[company.Activity] = false
	}
	out.Seat, known[company.Office] = p.Seat.seat()
	pec, err := contracts.ParseAddress(p.PEC)
	if known[company.Domicile] = err == nil || strings.TrimSpace(p.PEC) == ""; known[company.Domicile] {
		out.Domicile = pec
	}
	if rea := (company.REA{Chamber: upper(p.REA.Chamber), Number: strings.TrimSpace(p.REA.Number)}); letters(rea.Chamber, 2) && digits(rea.Number, 1, 9) {
		out.REA, known[company.Number] = rea, true
	}
	if day, err := contracts.ParseDate(strings.TrimSpace(p.Registered)); err == nil {
		out.Registered, known[company.Registered] = day, true
	}
	if out.Unknown = without(known); len(out.Unknown) > 0 {
		s.warn(ctx, "attributes that the profile did not tell readably were left out", len(out.Unknown))
	}
	return out
}
