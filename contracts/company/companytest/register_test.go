package companytest_test

import (
	"context"
	"slices"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
)

var today = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// A mistake is one thing that a register's adapter may get wrong. Each is the least that turns its case red.
type mistake string

const (
	active, inactive, suspended, liquidation = "12345678903", "01234567897", "02345678904", "06363391001"
	insolvent, ceased, odd, none             = "00743110157", "70000000011", "70000000029", "70000000037"
	brokenFirm, unaskable, abroad            = "70000000045", "70000000052", "90012345675"
	byNumber, holding                        = "70000000060", "70000000078"
	bare, seatless                           = "70000000086", "70000000094" // of the first the story tells nothing
	rossi, bianchi, verdi, nobody            = "RSSMRA85T10A562S", "KMRRJN90C15Z222U", "RHMTNM96S47Z249R", "HSSHMD84A31Z336W"
	cryptic                                  = "FOXLIX00E49Z210Q"
)

// A register is an adapter and its far side in one, in memory. With no mistake it is right.
type register struct {
	*contracttest.Mistaken[mistake]
}

func (r *register) Bindings() []contracts.Binding {
	return []contracts.Binding{
		contracts.Bind(company.OpFind, r.find, contracts.Covers(company.OpFind, func(q company.Query) error {
			return r.covers(q.Subject.CodiceFiscale)
		})),
		contracts.Bind(company.OpRepresents, r.represents, contracts.Covers(company.OpRepresents, func(m company.Mandate) error {
			return r.covers(m.Subject.CodiceFiscale)
		})),
		contracts.Bind(company.OpRepresented, r.represented, contracts.Covers(company.OpRepresented, func(h company.Holder) error {
			return r.covers(h.Person)
		})),
	}
}

// covers: this register holds nobody whose code is that of a body.
func (r *register) covers(c contracts.CodiceFiscale) error {
	if c.Reveal() == abroad && !r.Wrong("looks up everybody") {
		return contracts.Errorf(contracts.NotFound, "the register holds no bodies")
	}
	return nil
}

// firm is what the register holds of one code; what is wrong is what the adapter makes of it.
func firm(cf string) company.Company {
	c := company.Company{
		CodiceFiscale: companytest.Query(cf, "").Subject.CodiceFiscale, Name: contracts.NewPrivate("Cantine " + cf[5:]),
		Status: company.Active, LegalForm: company.Coded{Code: "SR", Text: "SOCIETA' A RESPONSABILITA' LIMITATA"},
		Seat:     company.Seat{Comune: "Roma", Province: "RM", CAP: "00184", Street: contracts.NewPrivate("Via dei Serpenti " + cf[8:])},
		Domicile: contracttest.Sure(contracts.ParseAddress("firma" + cf[6:] + "@pec.memory.test")),
		REA:      company.REA{Chamber: "RM", Number: cf[4:]}, Register: "MEMORY",
		Unknown: []company.Attribute{company.Registered, company.Activity},
	}
	if cf == byNumber {
		c.PartitaIVA = companytest.Query("", cf).Subject.PartitaIVA
	}
	return c
}

var standings = map[string]company.Status{
	inactive: company.Inactive, suspended: company.Suspended, liquidation: company.Liquidation, insolvent: company.Insolvent, ceased: company.Ceased,
}

func (r *register) find(ctx context.Context, q company.Query) (company.Company, error) {
	op, cf := company.OpFind.OpInfo, q.Subject.CodiceFiscale.Reveal()
	if cf == unaskable && !r.Wrong("unaskable is not found") {
		return company.Company{}, r.Fails(contracts.Invalid, op, "400")
	}
	if err := r.Ask(ctx, op); err != nil {
		return company.Company{}, err
	}
	if r.Wrong("logs the subject") {
		r.Log.Info("find", "subject", cf)
	}
	n := r.Nth()
	switch {
	case cf == brokenFirm && !r.Wrong("broken is not found"):
		return company.Company{}, r.Fails(contracts.Malformed, op, "")
	case cf == none || cf == unaskable || cf == brokenFirm || cf == "" && r.Wrong("forgets the partita iva"):
		if r.Wrong("none is an empty answer") {
			return company.Company{Register: "MEMORY", AsOf: r.Now()}, nil
		}
		return company.Company{}, r.Fails(contracts.NotFound, op, "404")
	case cf == ceased && r.Wrong("ceased is not found"):
		return company.Company{}, r.Fails(contracts.NotFound, op, "404")
	case cf == "":
		cf = q.Subject.PartitaIVA.Reveal()
	}
	return r.told(cf, n), nil
}

// told is what the adapter makes of what the register holds.
func (r *register) told(cf string, n int64) company.Company {
	if r.Wrong("mixes firms up") && n%7 == 0 {
		cf = inactive
	}
	c := firm(cf)
	c.AsOf = r.Now()
	if st, ok := standings[cf]; ok && !r.Wrong("everybody is active") {
		c.Status = st
	}
	unknown := func(a company.Attribute) { c.Unknown = append(c.Unknown, a) }
	if cf == odd {
		if c.Status = ""; r.Wrong("odd is ceased") {
			c.Status = company.Ceased
		} else {
			unknown(company.Standing)
		}
	}
	if cf == liquidation { // the one without a domicile
		if c.Domicile = (contracts.Address{}); r.Wrong("none is unknown") {
			unknown(company.Domicile)
		}
	}
	switch {
	case r.Wrong("finds a stranger"):
		c = firm(suspended)
		c.AsOf = r.Now()
	case r.Wrong("everything is unknown"):
		c = company.Company{CodiceFiscale: c.CodiceFiscale, Register: c.Register, AsOf: c.AsOf, Unknown: company.Attributes()}
	case r.Wrong("forgets the street") && cf == byNumber:
		c.Seat.Street = contracts.Private{}
	case r.Wrong("tires of a question") && n%2 == 0:
		c.Name = contracts.Private{}
	}
	if cf == seatless {
		if c.Seat = (company.Seat{}); !r.Wrong("null seat is none") {
			unknown(company.Office)
		}
	}
	if spoil := spoils[r.Mistake]; spoil != nil {
		spoil(&c)
	}
	if spoil := malformations[r.Mistake]; spoil != nil && cf == bare {
		spoil(&c)
	}
	return c
}

// spoils are mistakes about what is told of every enterprise.
var spoils = map[mistake]func(*company.Company){
	"another status": func(c *company.Company) { c.Status = company.Inactive },
	"another name":   func(c *company.Company) { c.Name = contracts.NewPrivate("Cantine") },
	"another form":   func(c *company.Company) { c.LegalForm.Code = "SP" },
	"another seat":   func(c *company.Company) { c.Seat.Comune = "Milano" },
	"another REA":    func(c *company.Company) { c.REA.Number = "1" },
	"another domicile": func(c *company.Company) {
		c.Domicile = contracttest.Sure(contracts.ParseAddress("altra@pec.memory.test"))
	},
	"marks nothing unknown": func(c *company.Company) {
		c.Unknown = slices.DeleteFunc(c.Unknown, func(a company.Attribute) bool { return a != company.Standing })
	},
}

// malformations are mistakes that can be seen without knowing what the register holds: they are made of one enterprise of
// which the harness says nothing.
var malformations = map[mistake]func(*company.Company){
	"does not say when":        func(c *company.Company) { c.AsOf = time.Time{} },
	"does not say who vouches": func(c *company.Company) { c.Register = "" },
	"does not say who it is":   func(c *company.Company) { c.CodiceFiscale = contracts.CodiceFiscale{} },
	"tells another's code":     func(c *company.Company) { c.CodiceFiscale = firm(active).CodiceFiscale },
	"tells another's number":   func(c *company.Company) { c.PartitaIVA = companytest.Query("", active).Subject.PartitaIVA },
	"register's own words":     func(c *company.Company) { c.Status = "ATTIVA" },
	"no status, and known":     func(c *company.Company) { c.Status = "" },
	"province in words":        func(c *company.Company) { c.Seat.Province = "Roma" },
	"CAP without its zeros":    func(c *company.Company) { c.Seat.CAP = "184" },
	"CAP of a foreigner":       func(c *company.Company) { c.Seat.CAP = "EC1A1" },
	"chamber in the number":    func(c *company.Company) { c.REA.Number = "RM-123456" },
	"REA without a chamber":    func(c *company.Company) { c.REA.Chamber = "" },
	"activity without a code": func(c *company.Company) {
		c.Activities, c.Unknown = []company.Coded{{Text: "uva"}}, []company.Attribute{company.Registered}
	},
	"the register's day": func(c *company.Company) {
		c.Registered, c.Unknown = "20010203", []company.Attribute{company.Activity}
	},
	"tells what is unknown":     func(c *company.Company) { c.Registered = "2001-02-03" },
	"unknown twice":             func(c *company.Company) { c.Unknown = append(c.Unknown, company.Registered) },
	"unknown, and no attribute": func(c *company.Company) { c.Unknown = append(c.Unknown, "colour") },
}

// yes are the mandates that the register knows.
var yes = map[[2]string]bool{
	{rossi, active}: true, {rossi, inactive}: true, {holding, active}: true, {bianchi, suspended}: true,
}

func (r *register) represents(ctx context.Context, m company.Mandate) (company.Representation, error) {
	op := company.OpRepresents.OpInfo
	person, firm := m.Person.Reveal(), m.Subject.CodiceFiscale.Reveal()
	if firm == unaskable && !r.Wrong("unaskable is not found") {
		return company.Representation{}, r.Fails(contracts.Invalid, op, "XX01")
	}
	if err := r.Ask(ctx, op); err != nil {
		if r.Wrong("faults are no") {
			return company.Representation{Represents: contracts.No, Register: "MEMORY", AsOf: r.Now()}, nil
		}
		return company.Representation{}, err
	}
	if r.Wrong("logs the subject") {
		r.Log.Info("represents", "person", person)
	}
	n := r.Nth()
	out := company.Representation{Represents: contracts.FindingOf(yes[[2]string{person, firm}]), Register: "MEMORY", AsOf: r.Now()}
	switch {
	case firm == brokenFirm && !r.Wrong("broken is not found"):
		return out, r.Fails(contracts.Unavailable, op, "500")
	case person == nobody, firm == unaskable, firm == brokenFirm:
		if !r.Wrong("not held is no") {
			return out, r.Fails(contracts.NotFound, op, "WSPA_ERR_04")
		}
	case person == cryptic:
		out.Represents, out.Reason = contracts.CannotTell, "00"
		if r.Wrong("cannot tell is no") {
			out.Represents, out.Reason = contracts.No, ""
		}
	case person == holding && r.Wrong("knows no legal persons"):
		out.Represents = contracts.No
	}
	switch {
	case r.Wrong("everybody speaks"):
		out.Represents = contracts.Yes
	case r.Wrong("nobody speaks"), r.Wrong("mixes firms up") && n%7 == 0, r.Wrong("tires of a question") && n%2 == 0:
		out.Represents = contracts.No
	case r.Wrong("no is not found") && out.Represents == contracts.No:
		return out, r.Fails(contracts.NotFound, op, "404")
	case r.Wrong("gives no reason"):
		out.Reason = ""
	case r.Wrong("gives a reason for a yes"):
		out.Reason = "00"
	case r.Wrong("finding without an instant"):
		out.AsOf = time.Time{}
	case r.Wrong("finding vouched for by nobody"):
		out.Register = ""
	}
	return out, nil
}

var portfolios = map[string][]string{rossi: {active, inactive}, bianchi: {suspended}}

func (r *register) represented(ctx context.Context, h company.Holder) (company.Portfolio, error) {
	op := company.OpRepresented.OpInfo
	if err := r.Ask(ctx, op); err != nil {
		return company.Portfolio{}, err
	}
	n := r.Nth()
	firms := slices.Clone(portfolios[h.Person.Reveal()])
	switch {
	case r.Wrong("leaves one out"):
		firms = firms[:len(firms)/2]
	case r.Wrong("lists one twice") && len(firms) > 0:
		firms = append(firms[:len(firms)-1], firms[0])
	case r.Wrong("lists a firm of another"), r.Wrong("mixes firms up") && n%7 == 0:
		firms = []string{liquidation}
	case r.Wrong("lists in any order") && n%2 == 0, r.Wrong("tires of a question") && n%2 == 0:
		slices.Reverse(firms)
	}
	if len(firms) == 0 && !r.Wrong("none is an empty list") {
		return company.Portfolio{}, r.Fails(contracts.NotFound, op, "404")
	}
	out := company.Portfolio{Register: "MEMORY", AsOf: r.Now()}
	for _, cf := range firms {
		out.Enterprises = append(out.Enterprises, company.Represented{CodiceFiscale: firm(cf).CodiceFiscale, Name: firm(cf).Name})
	}
	switch {
	case r.Wrong("portfolio without an instant"):
		out.AsOf = time.Time{}
	case r.Wrong("portfolio vouched for by nobody"):
		out.Register = ""
	case r.Wrong("one name for all") && len(out.Enterprises) > 1:
		out.Enterprises[1].Name = out.Enterprises[0].Name
	}
	return out, nil
}
