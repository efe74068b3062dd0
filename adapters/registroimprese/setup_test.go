package registroimprese

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	mock "raccordo/mocks/registroimprese"
)

// The far side's names in the journal.
const (
	loginCall       = "registroimprese POST /authentication"
	seatCall        = "registroimprese POST /sede/*"
	existsCall      = "registroimprese GET /esistenzari/*"
	representsCall  = "registroimprese GET /legaleRappresentante/*"
	representedCall = "registroimprese GET /listaLegaleRappresentante/*"
	profileCall     = "registroimprese GET /imprese/*"
)

// A stage is the register on one bench, and a road to it.
type stage struct {
	*lab.Bench
	m   *mock.Mock
	cfg *Config
	env contracts.Env
}

func newStage(t testing.TB, road string, change func(*Config, *contracts.Env)) *stage {
	t.Helper()
	m := mock.New()
	b := lab.Start(t, pdnd.New(), m)
	platform := b.Mock("pdnd").(*pdnd.Mock)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, b.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default().(*Config)
	cfg.Road, cfg.HTTP.CA = road, ca
	if road == RoadWSPA {
		cfg.HTTP.Endpoint = m.WSPAURL()
		cfg.Login.Client, cfg.Login.Certificate = m.ClientID(), m.CertificatePath()
		cfg.Login.Key = contracts.Secret("secret://file/" + m.KeyPath())
	} else {
		cfg.HTTP.Endpoint = m.PDNDURL()
		cfg.Voucher.Endpoint, cfg.Voucher.CA = b.URL("pdnd")+"/token.oauth2", ca
		cfg.Voucher.Client, cfg.Voucher.Purposes = platform.ClientID(), platform.Purposes(m.Name())
		cfg.Voucher.Key = contracts.Secret("secret://file/" + platform.KeyPath())
	}
	env := contracts.Env{Instance: "ri", Environment: contracts.Collaudo, Clock: b.Clock(), Secret: contracttest.SecretFile}
	if change != nil {
		change(cfg, &env)
	}
	return &stage{Bench: b, m: m, cfg: cfg, env: env}
}

// overGateway is road wspa on a bench of its own.
func overGateway(t testing.TB, change func(*Config, *contracts.Env)) (*stage, *Gateway) {
	t.Helper()
	s := newStage(t, RoadWSPA, change)
	return s, contracttest.Open(t, s.cfg, s.env).(*Gateway)
}

// overPDND is road pdnd on a bench of its own.
func overPDND(t testing.TB, change func(*Config, *contracts.Env)) (*stage, *EService) {
	t.Helper()
	s := newStage(t, RoadPDND, change)
	return s, contracttest.Open(t, s.cfg, s.env).(*EService)
}

// asking is a context as the pipeline makes it.
func asking(ctx context.Context, op *contracts.OpInfo) context.Context {
	who := contracts.Caller{Service: "core", Purpose: pdnd.Activation, Case: "CASE-7"}
	return contracts.WithCall(contracts.WithCaller(ctx, who), &contracts.Call{Op: op, Caller: who})
}

// A finder is either road.
type finder interface {
	Find(context.Context, company.Query) (company.Company, error)
}

func find(t testing.TB, r finder, q company.Query) (company.Company, error) {
	t.Helper()
	return r.Find(asking(t.Context(), company.OpFind.OpInfo), q)
}

func represents(t testing.TB, g *Gateway, m company.Mandate) (company.Representation, error) {
	t.Helper()
	return g.Represents(asking(t.Context(), company.OpRepresents.OpInfo), m)
}

func represented(t testing.TB, g *Gateway, h company.Holder) (company.Portfolio, error) {
	t.Helper()
	return g.Represented(asking(t.Context(), company.OpRepresented.OpInfo), h)
}

// query is an enterprise of the cast, asked about by codice fiscale as a core does that knows both codes.
func (s *stage) query(story string) company.Query {
	m := s.Who(story)
	return companytest.Query(m.CodiceFiscale, m.PartitaIVA)
}

// mandate is that an enterprise's own representative represents it.
func (s *stage) mandate(story string) company.Mandate {
	m := s.Who(story)
	speaker := m.Representative
	if speaker == "" {
		speaker = m.CodiceFiscale
	}
	return companytest.Mandate(speaker, m.CodiceFiscale, "")
}

// story is what the register holds of an enterprise, as far as the cast tells it.
func (s *stage) story(name string) companytest.Story {
	m := s.Who(name)
	st := companytest.Story{Query: s.query(name)}
	st.Holds = company.Company{
		CodiceFiscale: st.Query.Subject.CodiceFiscale, PartitaIVA: st.Query.Subject.PartitaIVA,
		Name: contracts.NewPrivate(strings.ToUpper(m.Name)), Status: company.Active,
	}
	if m.INIPEC != nil && m.INIPEC.Enterprise != "" {
		st.Holds.Domicile = mailbox(m.INIPEC.Enterprise)
	}
	return st
}

func (s *stage) standing(name string, status company.Status) companytest.Story {
	st := s.story(name)
	st.Holds.Status = status
	return st
}

// untold is a story of which the register does not tell some attributes.
func (s *stage) untold(name string, what ...company.Attribute) companytest.Story {
	st := s.story(name)
	st.Untold = what
	return st
}

// byPartitaIVA is a story asked about by that number alone.
func (s *stage) byPartitaIVA(name string) companytest.Story {
	st := s.story(name)
	st.Query.Subject.CodiceFiscale = contracts.CodiceFiscale{}
	return st
}

// holding is what an enterprise's representative represents.
func (s *stage) holding(story string) companytest.Holding {
	h := companytest.Holding{Holder: companytest.Holder(s.Who(story).Representative)}
	for _, m := range s.Cast() {
		if m.Representative == h.Holder.Person.Reveal() {
			h.Enterprises = append(h.Enterprises, company.Represented{
				CodiceFiscale: contracttest.Sure(contracts.ParseCodiceFiscale(m.CodiceFiscale)),
			})
		}
	}
	return h
}

func mailbox(text string) contracts.Address { return contracttest.Sure(contracts.ParseAddress(text)) }

func wantKind(t testing.TB, err error, want contracts.Kind) *contracts.Error {
	t.Helper()
	return contracttest.ErrorOf(t, err, want, "ri")
}

// quick are the settings under which a suite waits for nobody: its own patience, not the adapter's, ends a slow answer.
func quick(capture *contracttest.Capture) func(*Config, *contracts.Env) {
	return func(c *Config, env *contracts.Env) {
		env.Log = capture.Logger()
		c.HTTP.RetryAfterMax, c.HTTP.RetryBurst = time.Second, 1000
	}
}

// alarms keeps the records at the level of errors.
type alarms struct{ all []string }

func (*alarms) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (a *alarms) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(at slog.Attr) bool { text += " " + at.String(); return true })
	a.all = append(a.all, text)
	return nil
}
func (a *alarms) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a *alarms) WithGroup(string) slog.Handler      { return a }
