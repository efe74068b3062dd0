package audit

import (
	"strings"

	"raccordo/cmd/demo/input"
	"raccordo/contracts/domicile"
	"raccordo/mocks/entrate"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
	"raccordo/mocks/registroimprese"
)

// A refusal is a register's "no" about an employer: which mock says it, to which question, and under which code it is asked.
type refusal struct{ mock, question, code string }

// The questions, by what stands in the labels of the exchanges that answer them.
const (
	ofCompany = "/imprese/"
	ofMandate = "Rappresentante"
	ofCode    = "/vcf"
	ofVAT     = "-piva/"
)

// question tells which one an exchange answers; empty: none that refuses anybody.
func question(label string) string {
	for _, q := range []string{ofCompany, ofMandate, ofCode, ofVAT} {
		if strings.Contains(label, q) {
			return q
		}
	}
	return ""
}

// refused reports whether a register refuses an employer, and whether it had told so when the row's message was taken: no
// code is due, and one that was sent after that is a fault. A register that was down when it was asked has told nothing.
func (run Run) refused(row input.Row, seen sight) (no, told bool) {
	all := run.refusals(row)
	taken, sent := seen.taken[row.ID]
	for _, r := range all {
		at, answered := seen.told[r]
		told = told || answered && (!sent || at < taken)
	}
	return len(all) > 0, told
}

// A sight is what the journal shows, by the numbers of its lines: when each register first answered about each code,
// untroubled, and when the first message of each row was taken.
type sight struct {
	told  map[refusal]uint64
	taken map[string]uint64
}

func look(journal []lab.Exchange) sight {
	s := sight{map[refusal]uint64{}, map[string]uint64{}}
	for _, e := range journal {
		switch asked := e.Parsed.(type) {
		case pec.Submitted:
			note(s.taken, caseOf(asked.Subject), e.N)
		case registroimprese.Asked:
			if answered(e) {
				note(s.told, refusal{e.Mock, question(e.Label), asked.Company}, e.N)
			}
		case entrate.Asked:
			if answered(e) {
				for _, code := range asked.Codes {
					note(s.told, refusal{e.Mock, question(e.Label), code}, e.N)
				}
			}
		}
	}
	return s
}

func note[K comparable](first map[K]uint64, key K, n uint64) {
	if _, known := first[key]; !known {
		first[key] = n
	}
}

// business is the business register on the bench; nil where there is none.
func (run Run) business() *registroimprese.Mock {
	m, _ := run.Bench.Mock("registroimprese").(*registroimprese.Mock)
	return m
}

// agency is the tax agency on the bench; nil where there is none.
func (run Run) agency() *entrate.Mock {
	m, _ := run.Bench.Mock("entrate").(*entrate.Mock)
	return m
}

// refusals lists what the registers really hold against an employer, by what each capacity is checked for.
func (run Run) refusals(row input.Row) (all []refusal) {
	code, vat := row.Query.Subject.CodiceFiscale.Reveal(), row.Query.Subject.PartitaIVA.Reveal()
	firm := code
	if firm == "" {
		firm = vat
	}
	enterprise, body := row.Query.Capacity == domicile.Enterprise, row.Query.Capacity == domicile.Body
	ri, ade := run.business(), run.agency()
	if ri != nil && enterprise && !ri.Trades(firm) {
		all = append(all, refusal{ri.Name(), ofCompany, firm})
	}
	if who := row.Representative.Reveal(); who != "" && (enterprise || body) {
		if mock, no := run.denied(who, firm, enterprise); no {
			all = append(all, refusal{mock, ofMandate, firm})
		}
	}
	if ade != nil && code != "" && !ade.Usable(code) {
		all = append(all, refusal{ade.Name(), ofCode, code})
	}
	if ade != nil && vat != "" && row.Query.Capacity != domicile.Person && !ade.Operates(vat) {
		all = append(all, refusal{ade.Name(), ofVAT, vat})
	}
	return all
}

// denied tells which register says that a person does not represent a firm or a body. The agency is asked about whom the
// business register does not know; where there is no agency, the register's not knowing is the last word on an enterprise.
func (run Run) denied(who, firm string, enterprise bool) (mock string, no bool) {
	ri, ade := run.business(), run.agency()
	if ri != nil {
		yes, known := ri.Speaks(who, firm)
		if known || ade == nil {
			return ri.Name(), !yes && (known || enterprise)
		}
	}
	if ade == nil {
		return "", false
	}
	yes, known := ade.Speaks(who, firm)
	return ade.Name(), known && !yes
}

// answered reports whether an exchange brought an answer: whole, in time, and not a failure.
func answered(e lab.Exchange) bool {
	return e.Fault == "" && e.Refused == "" && (e.Status == "200" || e.Status == "404")
}
