package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/domicile"
	"raccordo/contracts/tax"
)

// A topic is one thing that is asked about an employer.
type topic string

// The topics, in the order in which they are told.
const (
	aboutCompany  topic = "company"    // the business register: is it enrolled, and trading?
	aboutMandate  topic = "represents" // who applies: do they speak for it?
	aboutCode     topic = "code"       // the tax registry: is the codice fiscale in use?
	aboutVAT      topic = "vat"        // the tax registry: does the partita IVA stand for a business that goes on?
	aboutDomicile topic = "domicile"   // where the activation code goes
	aboutIncome   topic = "income"     // what was declared for last year
)

func topics() []topic {
	return []topic{aboutCompany, aboutMandate, aboutCode, aboutVAT, aboutDomicile, aboutIncome}
}

// decides reports whether a "no" on the topic fails the check. The others have ends of their own: who has no digital
// domicile must elect one and may then come back, and what an income means is decided later, by people.
func (t topic) decides() bool { return t != aboutDomicile && t != aboutIncome }

// A knowledge is how far a fact is known.
type knowledge uint8

// The kinds of knowledge. The zero value is notYet: what was forgotten, lost or not understood is never a "no".
const (
	notYet     knowledge = iota // no answer: a technical fault, or an answer that takes its time
	holds                       // known, and nothing in it stands against the employer
	against                     // known with the register's authority, and a "no"
	cannotTell                  // the source answered, and its answer decides nothing: a person looks at it
	noSource                    // nobody is configured who could be asked
)

// A meaning is what an answer says about the employer.
type meaning struct {
	finding  contracts.Finding
	text     string          // in words of ours; never a person's data
	note     string          // what a person should look at, although nothing stands against the employer
	register string          // that vouches for it
	asOf     time.Time       // the instant it answers for
	reach    domicile.Answer // with aboutDomicile alone
}

// A question asks one topic about one employer. It holds the employer's codes, and so it lives no longer than the asking.
type question struct {
	topic topic
	class string // with aboutDomicile: the capacity, which chooses the register
	op    string // the operation's name
	// none says what it means when the register holds nothing, which is an answer with authority. Empty: the topic's "no"
	// is an answer of its own, and nothing is concluded from finding none.
	none   string
	ask    func(context.Context, contracts.Runner) (meaning, error)
	submit func(context.Context, contracts.Submitter) (contracts.Ticket, error)
}

func about[Req, Resp any](t topic, op contracts.Op[Req, Resp], req Req, none string, read func(Resp) (meaning, error)) question {
	return question{
		topic: t, op: op.Name, none: none,
		ask: func(ctx context.Context, r contracts.Runner) (m meaning, err error) {
			answer, err := contracts.Do(ctx, r, op, req)
			if err != nil {
				return m, err
			}
			return read(answer)
		},
		submit: func(ctx context.Context, s contracts.Submitter) (contracts.Ticket, error) {
			return contracts.Submit(ctx, s, op, req)
		},
	}
}

// questions says what is asked about an employer, by the capacity in which they apply. An enterprise known by its partita
// IVA alone has no codice fiscale to ask about.
func questions(r input.Row, lastYear int) []question {
	subject, capacity := r.Query.Subject, r.Query.Capacity
	enterprise, body := capacity == domicile.Enterprise, capacity == domicile.Body
	var all []question
	if enterprise {
		all = append(all, about(aboutCompany, company.OpFind, company.Query{Subject: subject},
			"the enterprise was never enrolled in the business register", ofCompany))
	}
	if (enterprise || body) && !r.Representative.IsZero() {
		all = append(all, about(aboutMandate, company.OpRepresents, company.Mandate{Person: r.Representative, Subject: subject},
			noMandate(capacity), ofMandate))
	}
	if !subject.CodiceFiscale.IsZero() {
		all = append(all, about(aboutCode, tax.OpCode, tax.CodeQuery{CodiceFiscale: subject.CodiceFiscale}, "", ofCode))
	}
	if capacity != domicile.Person && !subject.PartitaIVA.IsZero() { // a private person applies without it
		all = append(all, about(aboutVAT, tax.OpVAT, tax.VATQuery{PartitaIVA: subject.PartitaIVA}, "", ofVAT))
	}
	where := about(aboutDomicile, domicile.OpLookup, r.Query, "the register holds no digital domicile in that capacity", ofDomicile)
	where.class = string(capacity)
	all = append(all, where)
	if !subject.CodiceFiscale.IsZero() {
		all = append(all, about(aboutIncome, tax.OpIncome, tax.IncomeQuery{CodiceFiscale: subject.CodiceFiscale, Year: lastYear},
			"nothing was declared for last year", ofIncome))
	}
	return all
}

// noMandate: the business register holds every enterprise's representatives, so that finding none is its "no". Of bodies
// only a register that holds the body can say so, and it then says No.
func noMandate(c domicile.Capacity) string {
	if c == domicile.Enterprise {
		return "who applies does not represent it"
	}
	return ""
}

// answer reads what a ticket has come to.
func answer(ctx context.Context, s contracts.Submitter, t topic, ticket string) (meaning, error) {
	switch t {
	case aboutCompany:
		return answered(ctx, s, company.OpFind, ticket, ofCompany)
	case aboutMandate:
		return answered(ctx, s, company.OpRepresents, ticket, ofMandate)
	case aboutCode:
		return answered(ctx, s, tax.OpCode, ticket, ofCode)
	case aboutVAT:
		return answered(ctx, s, tax.OpVAT, ticket, ofVAT)
	case aboutDomicile:
		return answered(ctx, s, domicile.OpLookup, ticket, ofDomicile)
	case aboutIncome:
		return answered(ctx, s, tax.OpIncome, ticket, ofIncome)
	}
	return meaning{}, fmt.Errorf("nobody asks about %q", t)
}

func answered[Req, Resp any](ctx context.Context, s contracts.Submitter, op contracts.Op[Req, Resp], ticket string, read func(Resp) (meaning, error)) (m meaning, err error) {
	got, err := contracts.Answer(ctx, s, op, ticket)
	if err != nil {
		return m, err
	}
	return read(got)
}

func ofCompany(c company.Company) (meaning, error) {
	m := meaning{finding: c.Trading(), text: string(c.Status), register: c.Register, asOf: c.AsOf}
	switch {
	case m.finding == contracts.No:
		m.text = "the enterprise has ceased"
	case c.Status == "":
		m.text, m.note = "enrolled", "the enterprise is enrolled; whether it trades is not known"
	case m.finding == contracts.CannotTell:
		m.note = "the enterprise is enrolled, and not simply active: " + m.text
	}
	return m, nil
}

func ofMandate(r company.Representation) (meaning, error) {
	m := meaning{finding: r.Represents, text: r.Represents.String(), register: r.Register, asOf: r.AsOf}
	switch r.Represents {
	case contracts.No:
		m.text = "who applies does not represent it"
	case contracts.CannotTell:
		m.note = withCode("the register cannot tell who represents it", r.Reason)
	}
	return m, nil
}

func ofCode(c tax.CodeCheck) (meaning, error) {
	m := meaning{finding: c.Usable(), text: string(c.State), register: c.Register, asOf: c.AsOf}
	switch {
	case m.finding == contracts.No && c.State == tax.CodeSuperseded:
		m.text = "the codice fiscale was replaced by another, and is not to be used"
	case m.finding == contracts.No:
		m.text = "the codice fiscale is unknown to the tax registry"
	case c.State == tax.CodeValidSuperseded:
		m.note = "the codice fiscale was replaced by another: ask for the new one"
	case m.finding == contracts.CannotTell:
		m.note = "the registry's words on the codice fiscale are not those agreed"
	}
	return m, nil
}

func ofVAT(v tax.VAT) (meaning, error) {
	m := meaning{finding: v.Operating(), text: string(v.Status), register: v.Register, asOf: v.AsOf}
	switch {
	case !v.Assigned:
		m.text = "the partita IVA is nobody's"
	case m.finding == contracts.No:
		m.text = "the partita IVA is not in use: " + m.text
	case v.Group:
		m.text, m.note = "a group's", "the partita IVA is a VAT group's: ask for the employer's own"
	case m.finding == contracts.CannotTell:
		m.text, m.note = "assigned", "the registry does not say how the partita IVA stands"
	}
	return m, nil
}

func ofDomicile(a domicile.Answer) (meaning, error) {
	if len(a.Domiciles) == 0 {
		return meaning{}, &contracts.Error{
			Kind: contracts.Malformed, System: "the register", Operation: domicile.OpLookup.Name, Err: errors.New("an answer without an address"),
		}
	}
	return meaning{finding: contracts.Yes, text: "known", register: a.Domiciles[0].Register, asOf: a.AsOf, reach: a}, nil
}

func ofIncome(i tax.Income) (meaning, error) {
	return meaning{finding: contracts.Yes, text: "declared", register: i.Register, asOf: i.AsOf}, nil
}
