package registroimprese

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"raccordo/adapters/internal/wire"
	"raccordo/adapters/internal/wspa"
	"raccordo/contracts"
	"raccordo/contracts/company"
)

// The scopes of the agreement: seats and existence, and representatives.
const (
	scopeSeat   = "sede-impresa-pa"
	scopeSpeaks = "lr-pa"
)

// Routes name requests in logs and errors.
const (
	routeSeat        = "POST /sede/{cf}"
	routeExists      = "GET /esistenzari/{cf}"
	routeRepresents  = "GET /legaleRappresentante/{cfPersona}"
	routeRepresented = "GET /listaLegaleRappresentante/{cfPersona}"
)

// A Gateway is road wspa behind company.Register. It is safe for concurrent use.
type Gateway struct {
	reader
	gateway *wspa.Client
}

var (
	_ company.Register  = (*Gateway)(nil)
	_ contracts.Checker = (*Gateway)(nil)
)

// Bindings offers every operation of the need.
func (g *Gateway) Bindings() []contracts.Binding {
	return []contracts.Binding{
		contracts.Bind(company.OpFind, g.Find),
		contracts.Bind(company.OpRepresents, g.Represents),
		contracts.Bind(company.OpRepresented, g.Represented),
	}
}

// Close waits for what is under way. It may be called again.
func (g *Gateway) Close() error {
	g.gateway.Close()
	return nil
}

// Check logs in anew with both scopes: that proves the way to InfoCamere, the certificate and the agreement, and consults
// the register about nobody.
func (g *Gateway) Check(ctx context.Context) error {
	return g.gateway.Check(ctx, scopeSeat, scopeSpeaks)
}

// Find asks for the seat, which nobody has who is not and never was enrolled: one call, of the two that there are, settles
// nearly all questions. Only where it tells nothing is it asked whether the enterprise exists; one that does is a Company of
// which nothing more is known. The existence of an enterprise with a seat is not asked about: "no" would then mean, at most,
// that it has ceased, and the contract leaves too much open to conclude that.
func (g *Gateway) Find(ctx context.Context, q company.Query) (company.Company, error) {
	if err := covers(q); err != nil {
		return company.Company{}, g.gateway.Fail(ctx, err)
	}
	c, err := g.seat(ctx, q.Subject)
	if err != nil {
		return company.Company{}, err
	}
	if c.Knows(company.Name) || c.Knows(company.Office) {
		return c, nil
	}
	if err := g.exists(ctx, codeOf(q.Subject)); err != nil {
		return company.Company{}, err
	}
	return c, nil
}

// seat gives what the register's seat service tells; nothing found leaves name and office unknown.
func (g *Gateway) seat(ctx context.Context, s contracts.Subject) (company.Company, error) {
	resp, none, err := g.ask(ctx, scopeSeat, &wire.Request{Method: http.MethodPost, Route: routeSeat, Path: "/sede/" + codeOf(s)})
	if err != nil {
		return company.Company{}, err
	}
	out := company.Company{CodiceFiscale: s.CodiceFiscale, Register: Register}
	if s.CodiceFiscale.IsZero() {
		out.PartitaIVA = s.PartitaIVA
	}
	var a seatAnswer
	if !none {
		if a, out.CodiceFiscale, err = parseSeat(resp.Body, s); err != nil {
			return company.Company{}, resp.Malformed(ctx, err.Error())
		}
	}
	out.AsOf = g.instant(a.At)
	known := map[company.Attribute]bool{}
	if name := line(a.name()); name != "" {
		out.Name, known[company.Name] = contracts.NewPrivate(name), true
	}
	if out.Seat, known[company.Office] = a.Address.seat(); !known[company.Office] && a.Address != nil {
		g.warn(ctx, "a seat without comune or province was left out", 1)
	}
	out.Unknown = without(known)
	return out, nil
}

// exists is nil for an enterprise that is enrolled, NotFound for one that is not.
func (g *Gateway) exists(ctx context.Context, code string) error {
	resp, none, err := g.ask(ctx, scopeSeat, &wire.Request{Method: http.MethodGet, Route: routeExists, Path: "/esistenzari/" + code})
	if err != nil {
		return err
	}
	enrolled := false
	if !none {
		if enrolled, err = parseExistence(resp.Body); err != nil {
			return resp.Malformed(ctx, err.Error())
		}
	}
	if !enrolled {
		return g.gateway.Fail(ctx, contracts.Errorf(contracts.NotFound, "no such enterprise is enrolled"))
	}
	return nil
}

// Represents says Yes for esitoVerifica OK or VerificaOk and No for KO or VerificaKo, whatever the case; any other word, or
// none, decides nothing and raises an alarm. A person or an enterprise that the register does not know is NotFound.
func (g *Gateway) Represents(ctx context.Context, m company.Mandate) (company.Representation, error) {
	if err := covers(m); err != nil {
		return company.Representation{}, g.gateway.Fail(ctx, err)
	}
	resp, none, err := g.ask(ctx, scopeSpeaks, &wire.Request{
		Method: http.MethodGet, Route: routeRepresents,
		Path: "/legaleRappresentante/" + m.Person.Reveal(), Query: "cfImpresa=" + codeOf(m.Subject),
	})
	if err != nil {
		return company.Representation{}, err
	}
	if none {
		return company.Representation{}, g.gateway.Fail(ctx, contracts.Errorf(contracts.NotFound, "the register holds no such representative, or not the enterprise"))
	}
	v, err := parseVerification(resp.Body, m)
	if err != nil {
		return company.Representation{}, resp.Malformed(ctx, err.Error())
	}
	out := company.Representation{Register: Register, AsOf: g.instant(v.At)}
	if out.Represents = finding(v.Outcome); out.Represents == contracts.CannotTell {
		out.Reason = "esitoVerifica"
		g.env.Log.LogAttrs(ctx, slog.LevelError, "contract drift: a verification without an outcome that was agreed on", slog.String("system", g.env.Instance))
	}
	return out, nil
}

// Represented lists the enterprises for which a person speaks; a null or empty list is NotFound, and one that is left out no
// answer.
func (g *Gateway) Represented(ctx context.Context, h company.Holder) (company.Portfolio, error) {
	fail := func(kind contracts.Kind, text string) (company.Portfolio, error) {
		return company.Portfolio{}, g.gateway.Fail(ctx, contracts.Errorf(kind, "%s", text))
	}
	if err := covers(h); err != nil {
		return company.Portfolio{}, g.gateway.Fail(ctx, err)
	}
	resp, none, err := g.ask(ctx, scopeSpeaks, &wire.Request{
		Method: http.MethodGet, Route: routeRepresented, Path: "/listaLegaleRappresentante/" + h.Person.Reveal(),
	})
	if err != nil {
		return company.Portfolio{}, err
	}
	const nobody = "the register knows no enterprise that this person represents"
	if none {
		return fail(contracts.NotFound, nobody)
	}
	l, err := parsePortfolio(resp.Body, h)
	if err != nil {
		return company.Portfolio{}, resp.Malformed(ctx, err.Error())
	}
	all, unusable := l.enterprises()
	if unusable > 0 {
		g.warn(ctx, "enterprises without a codice fiscale were left out", unusable)
	}
	switch {
	case len(all) > 0:
	case unusable > 0: // the register does not say "none"
		return company.Portfolio{}, resp.Malformed(ctx, "no enterprise of the list has a codice fiscale")
	default:
		return fail(contracts.NotFound, nobody)
	}
	return company.Portfolio{Enterprises: all, Unreadable: unusable, Register: Register, AsOf: g.instant(l.At)}, nil
}

// ask sends a question. none is the register's own word, inside a 200, that it holds nothing; everything else that is no
// answer is an error.
func (g *Gateway) ask(ctx context.Context, scope string, req *wire.Request) (resp *wire.Response, none bool, err error) {
	req.Bare = true // what is asked and answered is a code or two, and public facts
	if resp, err = g.gateway.Do(ctx, scope, req); err != nil {
		return nil, false, err
	}
	failure := g.gateway.Failure(ctx, resp)
	switch {
	case failure == nil:
		return resp, false, nil
	case resp.Status == http.StatusOK && failure.Code == wspa.CodeNone:
		return resp, true, nil
	case failure.Kind == contracts.Throttled:
		failure.Err = fmt.Errorf("%w: InfoCamere grants 900 requests a minute and 400,000 a day to each service; set policy.limit below what your agreement grants", failure.Err)
	}
	return nil, false, failure
}

// The wire's own shapes, as the contract names them and as answers really look.

// A seatAnswer is ServizioSedeImpresaResponse.
type seatAnswer struct {
	At            string   `json:"dataOraEstrazione"`
	CF            string   `json:"cf"`
	Denominazione string   `json:"denominazione"`
	Address       *address `json:"indirizzoLocalizzazione"`
}

// name is the denominazione, from either of its places.
func (a *seatAnswer) name() string {
	if strings.TrimSpace(a.Denominazione) == "" && a.Address != nil {
		return a.Address.Denominazione
	}
	return a.Denominazione
}

// A verification is the answer of legaleRappresentante.
type verification struct {
	At      string `json:"dataOraEstrazione"`
	Person  string `json:"cfPersona"`
	Company string `json:"cfImpresa"`
	Outcome string `json:"esitoVerifica"`
}

// A portfolioAnswer is LrListaResponse.
type portfolioAnswer struct {
	At     string        `json:"dataOraEstrazione"`
	Person string        `json:"cfPersona"`
	List   portfolioList `json:"elencoImpreseRappresentate"`
}

// A portfolioList tells null from left out.
type portfolioList struct {
	told    bool
	entries []portfolioEntry
}

// UnmarshalJSON reads an array or null.
func (l *portfolioList) UnmarshalJSON(b []byte) error {
	l.told = true
	return json.Unmarshal(b, &l.entries)
}

type portfolioEntry struct {
	CF   string `json:"cfImpresa"`
	Name string `json:"denominazione"`
}

var (
	errShape     = errors.New("the answer is not the JSON of the contract")
	errSomebody  = errors.New("the answer is not about who was asked for")
	errExistence = errors.New("the answer does not say whether the enterprise exists")
	errNoList    = errors.New("the answer has no list of enterprises")
)

// read decodes an answer; whoever asked sees to it that null, which decodes to nothing, is none. encoding/json's own errors
// quote the input, so they stay here.
func read(body []byte, v any) error {
	if json.Unmarshal(body, v) != nil {
		return errShape
	}
	return nil
}

// answers gives the codice fiscale of the enterprise that an answer is about: it must be the one asked about. A partita IVA
// is resolved by the register, and only that a codice fiscale came of it can be seen.
func answers(told string, asked contracts.Subject) (contracts.CodiceFiscale, error) {
	cf, err := contracts.ParseCodiceFiscale(told)
	if err != nil || !asked.CodiceFiscale.IsZero() && cf != asked.CodiceFiscale {
		return contracts.CodiceFiscale{}, errSomebody
	}
	return cf, nil
}

func parseSeat(body []byte, asked contracts.Subject) (a seatAnswer, cf contracts.CodiceFiscale, err error) {
	if err = read(body, &a); err == nil {
		cf, err = answers(a.CF, asked)
	}
	return a, cf, err
}

func parseExistence(body []byte) (enrolled bool, err error) {
	var e struct {
		Esito *bool `json:"esito"`
	}
	if err := read(body, &e); err != nil {
		return false, err
	}
	if e.Esito == nil {
		return false, errExistence
	}
	return *e.Esito, nil
}

func parseVerification(body []byte, m company.Mandate) (v verification, err error) {
	if err := read(body, &v); err != nil {
		return v, err
	}
	if !is(v.Person, m.Person.Reveal()) {
		return v, errSomebody
	}
	_, err = answers(v.Company, m.Subject)
	return v, err
}

func parsePortfolio(body []byte, h company.Holder) (l portfolioAnswer, err error) {
	if err := read(body, &l); err != nil {
		return l, err
	}
	switch {
	case !is(l.Person, h.Person.Reveal()):
		return l, errSomebody
	case !l.List.told:
		return l, errNoList
	}
	return l, nil
}

// finding reads esitoVerifica, which the contract leaves open: the words for yes that clients have seen, and their plain
// contraries. The largest client takes every other word for a no; the contract's own example is one ("Success").
func finding(outcome string) contracts.Finding {
	switch strings.ToUpper(strings.TrimSpace(outcome)) {
	case "OK", "VERIFICAOK":
		return contracts.Yes
	case "KO", "VERIFICAKO":
		return contracts.No
	}
	return contracts.CannotTell
}

// enterprises lists those with a codice fiscale, each once, and counts the others.
func (l *portfolioAnswer) enterprises() (out []company.Represented, unusable int) {
	seen := map[contracts.CodiceFiscale]bool{}
	for _, e := range l.List.entries {
		cf, err := contracts.ParseCodiceFiscale(e.CF)
		if err != nil {
			unusable++
			continue
		}
		if !seen[cf] {
			seen[cf] = true
			out = append(out, company.Represented{CodiceFiscale: cf, Name: contracts.NewPrivate(line(e.Name))})
		}
	}
	return out, unusable
}
