package entrate

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"log/slog"
	"regexp"
	"time"

	"raccordo/adapters/entrate/internal/redditi"
	"raccordo/adapters/internal/soap"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/tax"
)

// Income and turnover of a tax year: modelled. SOAP 1.1 with the conventions of the representative's check, in ModI's
// non-blocking pattern with pull: an order under a name of ours, answers that are fetched with a protocollo of theirs.
//
// Basis: modelled. No contract of such a service is public; the description in internal/redditi is ours. What is known
// is the term: the tax data of an employer arrive within six days of the first access (D.P.R. 445/2000, art. 43 and 71;
// the procedure of the decreto flussi).
//
// An order gathers many callers: its assertion names the system as User and the configured address, never one of them.
//
// Known gaps: a number that is none (progressivo, annoImposta) spoils the whole reply, not its row alone. A day that is none
// is not known, as if it were left out.

const (
	// MaxIncomes is the most subjects in one order.
	MaxIncomes = 100
	// UsualIncome is how long an order usually takes: assumed, some hours of the agency's night runs.
	UsualIncome = 6 * time.Hour
)

// A Redditi section is about income and turnover of a tax year, asked for now and answered days later: modelled. Its http
// wants a client certificate.
type Redditi struct {
	HTTP wire.Config `yaml:"http"`
	SAML SAML        `yaml:"saml"`
	// PollFirst and PollMax bound the time between two questions after an answer; it grows with the order's age.
	PollFirst time.Duration `yaml:"poll_first,omitempty"`
	PollMax   time.Duration `yaml:"poll_max,omitempty"`
	// Patience is when an order is given up; its questions fail as Unavailable and may be asked again. The default is the
	// six days of the law and a margin.
	Patience time.Duration `yaml:"patience,omitempty"`
}

func defaultRedditi() Redditi {
	r := Redditi{
		HTTP: wire.Default(), SAML: defaultSAML(),
		PollFirst: 10 * time.Minute, PollMax: time.Hour, Patience: 10 * 24 * time.Hour,
	}
	r.HTTP.MaxBody = 1 << 20 // a hundred rows of a few hundred bytes
	return r
}

func (r *Redditi) validate(env contracts.Environment, path string) error {
	faults := []error{r.HTTP.Validate(env, path+".http"), r.SAML.validate(path + ".saml"), mutual(&r.HTTP, path)}
	fault := func(field, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path+"."+field, format, args...))
	}
	if r.PollFirst < time.Second || r.PollFirst > 24*time.Hour {
		fault("poll_first", "want 1s to 24h")
	}
	if r.PollMax < r.PollFirst || r.PollMax > 24*time.Hour {
		fault("poll_max", "want poll_first to 24h")
	}
	if r.Patience < r.PollMax || r.Patience > 30*24*time.Hour {
		fault("patience", "want poll_max to 720h: the agency keeps answers for 30 days")
	}
	return errors.Join(faults...)
}

type incomes struct {
	*service
	cfg Redditi
}

func openIncomes(ctx context.Context, cfg Redditi, env contracts.Env) (*incomes, error) {
	s, err := openService(ctx, cfg.HTTP, cfg.SAML, env, func(a *asserter) func(context.Context) ([]byte, error) { return a.ofSystem })
	if err != nil {
		return nil, err
	}
	env.Log.LogAttrs(ctx, slog.LevelWarn, "the income service is modelled: no public contract describes it, and the agency's own will differ",
		slog.String("system", env.Instance), slog.String("operation", tax.OpIncome.Name))
	return &incomes{s, cfg}, nil
}

func (i *incomes) bindings() []contracts.Binding {
	return []contracts.Binding{
		contracts.Bind(tax.OpIncome, nil,
			contracts.Covers(tax.OpIncome, askable),
			contracts.Expected(tax.OpIncome, UsualIncome),
			contracts.AsList(tax.OpIncome, MaxIncomes, i.start, i.collect)),
	}
}

func askable(q tax.IncomeQuery) error {
	if err := q.Validate(); err != nil {
		return &contracts.Error{Kind: contracts.Invalid, Code: "ENTRATE_INCOME", Err: err}
	}
	return nil
}

// A rowKey is what one row of an order is about. Two questions about the same are one row.
type rowKey struct {
	code string
	year int
}

func keyOf(q tax.IncomeQuery) rowKey { return rowKey{q.CodiceFiscale.Reveal(), q.Year} }

// number gives each thing asked about its progressivo, from 1 in the order of the questions: the same questions give the
// same numbers, before and after a restart.
func number(qs []tax.IncomeQuery) (keys []rowKey, numbers map[rowKey]int) {
	numbers = make(map[rowKey]int, len(qs))
	for _, q := range qs {
		if k := keyOf(q); askable(q) == nil && numbers[k] == 0 {
			keys = append(keys, k)
			numbers[k] = len(keys)
		}
	}
	return keys, numbers
}

// A claim is what an order remembers between start and collect, across restarts. Without Protocollo nothing was asked.
type claim struct {
	Protocollo string    `json:"protocollo,omitempty"`
	Since      time.Time `json:"since"`
}

// nomeType is the schema's NomeType.
var nomeType = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// start orders. The order's name is the lot's id: handed over again after a crash, it is the same order.
func (i *incomes) start(ctx context.Context, qs []tax.IncomeQuery) ([]byte, error) {
	if len(qs) > MaxIncomes {
		return nil, i.fail(ctx, contracts.Errorf(contracts.Invalid, "order of more than %d subjects", MaxIncomes))
	}
	keys, _ := number(qs)
	c := claim{Since: i.env.Clock.Now().UTC()}
	if len(keys) > 0 {
		var err error
		if c.Protocollo, err = i.order(ctx, keys); err != nil {
			return nil, err
		}
	}
	return contracts.Encode(c)
}

func (i *incomes) order(ctx context.Context, keys []rowKey) (string, error) {
	hold := contracts.HoldFrom(ctx)
	if hold == nil || !nomeType.MatchString(hold.ID()) {
		return "", i.fail(ctx, contracts.Errorf(contracts.Internal, "order without a lot's id"))
	}
	req := &redditi.RichiediRedditiType{IdRichiesta: redditi.NomeType(hold.ID())}
	for n, k := range keys {
		req.Soggetto = append(req.Soggetto, &redditi.SoggettoType{
			Progressivo: redditi.ProgressivoType(n + 1), CodiceFiscale: redditi.CodiceFiscaleType(k.code), AnnoImposta: redditi.AnnoType(k.year),
		})
	}
	op := soap.Operation{Action: `"RichiediRedditi"`, Route: "RichiediRedditi", Answer: incomeName("richiediRedditiResp")}
	answer, err := ask(ctx, i.service, op, req, func(a *redditi.RichiediRedditiRespType) *contracts.Error {
		e := whole(saidOf(a.CodiceRitorno, a.DettaglioEsito).failure(term{esitoReused, contracts.Conflict, errReused}))
		if e == nil && !nomeType.MatchString(string(a.Protocollo)) {
			e = &contracts.Error{Kind: contracts.Malformed, Err: errNoProtocollo}
		}
		return e
	})
	if err != nil {
		return "", whole(contracts.AsError(err))
	}
	return string(answer.Protocollo), nil
}

// The words that the income service alone uses.
const (
	ritornoPending = "04"
	ritornoLost    = "05" // no such protocollo, or kept no longer
	esitoNone      = "XX05"
	esitoReused    = "XX06"
)

var (
	errNoProtocollo = errors.New("the order was taken, and has no protocollo")

	errReused  = errors.New("idRichiesta names another order already: submit the question anew")
	errPending = errors.New("not ready")
	errLost    = errors.New("the agency does not know the order any more")
	errLate    = errors.New("no answer within the patience configured")
)

// whole is the error of an order as such. What the agency holds against an order, which was made of checked codes, says
// nothing of any one subject in it: it is never Invalid.
func whole(e *contracts.Error) *contracts.Error {
	if e != nil && e.Kind == contracts.Invalid {
		own := *e
		own.Kind, e = contracts.Malformed, &own
	}
	return e
}

const nsRedditi = "urn:raccordo:modello:agenzia-entrate:redditi:1"

func incomeName(local string) xml.Name { return xml.Name{Space: nsRedditi, Local: local} }

// collect fetches the answers. It is Pending until they are there; when the patience is over every question gets
// Unavailable of its own, so that each may be asked again in a new order.
func (i *incomes) collect(ctx context.Context, handle []byte, qs []tax.IncomeQuery) ([]contracts.Result[tax.Income], error) {
	var c claim
	if json.Unmarshal(handle, &c) != nil {
		return nil, i.fail(ctx, contracts.Errorf(contracts.Internal, "handle of an order cannot be read"))
	}
	var rows []*redditi.EsitoType
	if c.Protocollo != "" {
		var err error
		rows, err = i.fetch(ctx, c.Protocollo, 0)
		switch {
		case err == nil:
		case contracts.KindOf(err) != contracts.Pending:
			return nil, err
		default:
			age := i.env.Clock.Now().Sub(c.Since)
			if age > i.cfg.Patience {
				return i.late(ctx, qs), nil
			}
			e := *contracts.AsError(err)
			e.After = min(max(age, i.cfg.PollFirst), i.cfg.PollMax)
			return nil, &e
		}
	}
	out, strangers := join(qs, rows, i.env.Clock.Now())
	for n := range out {
		if out[n].Err != nil {
			e := contracts.AsError(out[n].Err)
			if e.Kind == contracts.Malformed {
				i.alarm(ctx, e)
			}
			out[n].Err = i.fail(ctx, e)
		}
	}
	if strangers > 0 {
		i.env.Log.LogAttrs(ctx, slog.LevelError, "contract drift: rows about nobody who was asked about were left out",
			slog.String("system", i.env.Instance), slog.String("operation", tax.OpIncome.Name), slog.Int("rows", strangers))
	}
	return out, nil
}

func (i *incomes) late(ctx context.Context, qs []tax.IncomeQuery) []contracts.Result[tax.Income] {
	out := make([]contracts.Result[tax.Income], len(qs))
	for n, q := range qs {
		err := askable(q)
		if err == nil {
			err = &contracts.Error{Kind: contracts.Unavailable, Code: "ENTRATE_LATE", Err: errLate}
		}
		out[n].Err = i.fail(ctx, err)
	}
	return out
}

// fetch gives the rows of an order that is ready; Pending while it is not, NotFound where the agency has lost it.
func (i *incomes) fetch(ctx context.Context, protocollo string, effect contracts.Effect) ([]*redditi.EsitoType, error) {
	op := soap.Operation{Action: `"RitiraRedditi"`, Route: "RitiraRedditi", Effect: effect, Answer: incomeName("ritiraRedditiResp")}
	req := &redditi.RitiraRedditiType{Protocollo: redditi.NomeType(protocollo)}
	answer, err := ask(ctx, i.service, op, req, func(a *redditi.RitiraRedditiRespType) *contracts.Error {
		s := saidOf(a.CodiceRitorno, a.DettaglioEsito)
		switch s.ritorno {
		case ritornoPending:
			return s.err(contracts.Pending, errPending)
		case ritornoLost:
			return s.err(contracts.NotFound, errLost)
		}
		switch e := s.failure(); {
		case e != nil:
			return whole(e)
		case s.dettaglio != esitoDone:
			return s.err(contracts.Unavailable, errBusy)
		case a.Stato == redditi.StatoTypeIN_ELABORAZIONE: // rows may be missing that will be there
			return s.err(contracts.Pending, errPending)
		}
		return nil
	})
	if err != nil {
		return nil, whole(contracts.AsError(err))
	}
	return answer.Esito, nil
}

// nobodysOrder is a protocollo that the agency gives to nobody: theirs do not name us.
const nobodysOrder = "raccordo-check"

// check fetches an order that nobody made. That the agency does not know it proves the way there, the certificate of the
// channel and the assertion, and is about nobody.
func (i *incomes) check(ctx context.Context) error {
	_, err := i.fetch(ctx, nobodysOrder, contracts.Read)
	if err == nil || contracts.KindOf(err) == contracts.NotFound || contracts.KindOf(err) == contracts.Pending {
		return nil
	}
	return err
}
