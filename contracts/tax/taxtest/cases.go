package taxtest

import (
	"slices"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

type (
	trial = contracttest.T
	rule  = contracttest.Case
)

var (
	code   = tax.OpCode.OpInfo
	vat    = tax.OpVAT.OpInfo
	income = tax.OpIncome.OpInfo
)

// Cases lists the suite's cases for a harness, in the order in which they run.
func Cases(h Harness) []contracttest.Case {
	s := suite{h}
	return slices.Concat(
		s.served(code, s.codes()), s.coding().Cases(h.Harness),
		s.served(vat, s.numbers()), s.numbering().Cases(h.Harness),
		s.served(income, s.incomes()), s.served(income, s.lists()), s.declaring().Cases(h.Harness),
		[]rule{h.NeverAnAnswer(s.truths()...), h.SecrecyCase(s.secrets(), s.everything)},
	)
}

type suite struct{ Harness }

// unserved says why the cases of an operation do not apply; empty: it is served.
func (s suite) unserved(op *contracts.OpInfo) string {
	if s.Ops == nil || slices.Contains(s.Ops, op) {
		return ""
	}
	return "the harness declares that " + op.Name + " is not served"
}

// served are the cases of an operation, declared absent where it is not served.
func (s suite) served(op *contracts.OpInfo, cases []rule) []rule {
	if why := s.unserved(op); why != "" {
		for i := range cases {
			cases[i].Absent = why
		}
	}
	return cases
}

const noStory = "the harness declares that the registry has no such story: "

// absent gives the reason why a case does not apply, where a story is missing.
func absent(missing bool, story string) string {
	if missing {
		return noStory + story
	}
	return ""
}

// broken is what becomes of a far side that fails about one subject.
var broken = []contracts.Kind{contracts.Unavailable, contracts.Malformed, contracts.Denied, contracts.Throttled, contracts.Pending}

func (s suite) codes() []rule {
	one := func(name, field, why string, q tax.CodeQuery, want tax.CodeState) rule {
		return rule{Name: name, Why: why, Absent: absent(q == tax.CodeQuery{}, field), Run: func(x *trial) {
			c, err := s.checkCode(x, q)
			if err != nil {
				x.Fatalf("code: %v, want a state: that a code is invalid is an answer too", err)
			}
			if c.State != want {
				x.Errorf("state %q, want %q", c.State, want)
			}
			s.vouched(x, c.Register, c.AsOf)
			if told := !c.Text.IsZero(); told != (c.State == tax.CodeUnclear) {
				x.Errorf("state %q, text told: %t: the registry's words stand with an unclear answer, and with no other", c.State, told)
			}
		}}
	}
	return []rule{
		one("code-in-use-is-valid", "Valid", "who has a right to apply must be let in", s.Valid, tax.CodeValid),
		one("code-replaced-and-in-use-is-told-apart", "ValidSuperseded", "the person is asked for the new code, and not turned away", s.ValidSuperseded, tax.CodeValidSuperseded),
		one("code-replaced-is-told-apart", "Superseded", "the person has another code; it is not unknown", s.Superseded, tax.CodeSuperseded),
		one("code-unknown-is-invalid", "InvalidCode", "that a code is invalid is an answer, not a failure", s.InvalidCode, tax.CodeInvalid),
		one("code-of-odd-words-is-unclear", "Unclear", "words that nobody agreed on, guessed at, become somebody's yes or no", s.Unclear, tax.CodeUnclear),
		fails("code-that-the-far-side-breaks-on-is-no-answer", "BrokenCode", "a fault that concerns one person alone looks most like an answer about them",
			s.BrokenCode, s.checkCode, code, broken...),
		fails("code-that-is-unaskable-is-no-answer", "UnaskableCode", "that a registry cannot be asked about a code is no answer about the person",
			s.UnaskableCode, s.checkCode, code, contracts.Invalid),
	}
}

// fails is the case of a subject about whom there is no answer.
func fails[Req comparable, Resp any](name, field, why string, req Req, ask func(*trial, Req) (Resp, error), op *contracts.OpInfo, kinds ...contracts.Kind) rule {
	var zero Req
	return rule{Name: name, Why: why, Absent: absent(req == zero, field), Run: func(x *trial) {
		_, err := ask(x, req)
		contracttest.WantKind(x, err, op.Name, kinds...)
	}}
}

func (s suite) numbers() []rule {
	one := func(name, field, why string, st VATStory, want contracts.Finding) rule {
		return rule{Name: name, Why: why, Absent: absent(st.isZero(), field), Run: func(x *trial) {
			if got := s.number(x, st).Operating(); got != want {
				x.Errorf("operating: %s, want %s", got, want)
			}
		}}
	}
	return []rule{
		one("vat-active-is-told", "Active", "only a business that is going on may employ", s.Active, contracts.Yes),
		one("vat-ceased-is-told", "Ceased", "assigned is not active", s.Ceased, contracts.No),
		one("vat-suspended-is-told", "Suspended", "assigned is not active", s.Suspended, contracts.No),
		one("vat-unassigned-is-told", "Unassigned", "that nobody bears a number is an answer, not a failure", s.Unassigned, contracts.No),
		one("vat-of-a-group-is-no-employer", "Group", "a group's number stands for none of its members: the employer's own must be asked for", s.Group, contracts.CannotTell),
		one("vat-of-a-member-names-the-group", "Member", "invoices and debts run under the group's number", s.Member, contracts.Yes),
		one("vat-of-an-odd-status-is-not-guessed", "OddStatus", "a word that nobody agreed on is neither active nor ceased", s.OddStatus, contracts.CannotTell),
		{
			Name: "vat-leaves-unknown-days-empty", Why: "a day before or beyond all time is not a day on which something was or will be",
			Absent: absent(s.UnknownDays.isZero(), "UnknownDays"),
			Run:    func(x *trial) { s.number(x, s.UnknownDays) },
		},
		{
			Name: "vat-tells-every-other-story", Why: "fields that are null or missing are still the registry's",
			Absent: absent(len(s.OtherVAT) == 0, "OtherVAT"),
			Run: func(x *trial) {
				for _, st := range s.OtherVAT {
					s.number(x, st)
				}
			},
		},
		fails("vat-that-the-far-side-breaks-on-is-no-answer", "BrokenVAT", "a fault that concerns one number alone looks most like an answer about it",
			s.BrokenVAT, s.checkVAT, vat, broken...),
		fails("vat-that-is-unaskable-is-no-answer", "UnaskableVAT", "that a registry cannot be asked about a number is no answer about it",
			s.UnaskableVAT, s.checkVAT, vat, contracts.Invalid),
	}
}

func (s suite) incomes() []rule {
	one := func(name, field, why string, st IncomeStory) rule {
		return rule{Name: name, Why: why, Absent: absent(st.isZero(), field), Run: func(x *trial) { s.declared(x, st) }}
	}
	return []rule{
		one("income-tells-what-was-declared", "Declared", "the capacity to employ is decided upon it", s.Declared),
		one("income-of-zero-is-zero", "Zero", "zero was declared; nothing declared would be another answer", s.Zero),
		one("income-of-a-loss-is-negative", "Loss", "a loss without its sign is an income", s.Loss),
		one("income-without-turnover-is-not-a-turnover-of-zero", "NoTurnover", "who need not declare one has not declared zero", s.NoTurnover),
		{
			Name: "income-goes-by-the-year", Why: "last year's income decides nothing about the year that was asked for",
			Absent: absent(s.OtherYear.isZero(), "OtherYear"),
			Run: func(x *trial) {
				s.declared(x, s.OtherYear)
				s.declared(x, s.Declared)
			},
		},
		{
			Name: "income-tells-every-other-story", Why: "fields that are null or missing are still the registry's",
			Absent: absent(len(s.OtherIncome) == 0, "OtherIncome"),
			Run: func(x *trial) {
				for _, st := range s.OtherIncome {
					s.declared(x, st)
				}
			},
		},
		fails("income-of-none-declared-is-not-found", "NoneDeclared", "only the registry's own word says that nothing was declared",
			s.NoneDeclared, s.income, income, contracts.NotFound),
		fails("income-that-the-far-side-breaks-on-is-no-answer", "BrokenIncome", "a fault that concerns one person alone looks most like an answer about them",
			s.BrokenIncome, s.income, income, broken...),
		fails("income-that-is-unaskable-is-no-answer", "UnaskableIncome", "that a registry cannot be asked about a code is no answer about the person",
			s.UnaskableIncome, s.income, income, contracts.Invalid),
	}
}
