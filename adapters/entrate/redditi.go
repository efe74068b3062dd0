package entrate

import (
	"context"
	"errors"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/tax"
)

// A Redditi section is about income and turnover of a tax year, asked for now and answered days later.
type Redditi struct {
	HTTP wire.Config `yaml:"http"`
	SAML SAML        `yaml:"saml"`
	// PollFirst and PollMax bound the time between two questions after an answer; it grows with the question's age.
	PollFirst time.Duration `yaml:"poll_first,omitempty"`
	PollMax   time.Duration `yaml:"poll_max,omitempty"`
	// Patience is when a question is given up.
	Patience time.Duration `yaml:"patience,omitempty"`
}

func defaultRedditi() Redditi {
	return Redditi{
		HTTP: wire.Default(), SAML: defaultSAML(),
		PollFirst: 15 * time.Minute, PollMax: 6 * time.Hour, Patience: 10 * 24 * time.Hour,
	}
}

func (r *Redditi) validate(env contracts.Environment, path string) error {
	faults := []error{r.HTTP.Validate(env, path+".http"), r.SAML.validate(path + ".saml")}
	fault := func(field, format string, args ...any) {
		faults = append(faults, contracts.Faultf(path+"."+field, format, args...))
	}
	if r.PollFirst < time.Second || r.PollFirst > 24*time.Hour {
		fault("poll_first", "want 1s to 24h")
	}
	if r.PollMax < r.PollFirst || r.PollMax > 24*time.Hour {
		fault("poll_max", "want poll_first to 24h")
	}
	if r.Patience < r.PollMax || r.Patience > 60*24*time.Hour {
		fault("patience", "want poll_max to 1440h")
	}
	return errors.Join(faults...)
}

type incomes struct{ wire *wire.Client }

func openIncomes(ctx context.Context, cfg Redditi, env contracts.Env) (*incomes, error) {
	w, err := wire.Open(ctx, cfg.HTTP, env)
	if err != nil {
		return nil, err
	}
	return &incomes{w}, nil
}

func (i *incomes) bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(tax.OpIncome, i.Income)}
}

// Income gives what was declared for a year.
func (i *incomes) Income(ctx context.Context, _ tax.IncomeQuery) (tax.Income, error) {
	return tax.Income{}, i.wire.Fail(ctx, contracts.Errorf(contracts.Internal, "not spoken yet"))
}

func (i *incomes) check(context.Context) error { return nil }

func (i *incomes) close() { i.wire.Close() }
