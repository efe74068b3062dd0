// Package audit counts what was lost and what was doubled, from the list that went in and from what the strangers at the
// other end saw. It imports nothing of the hub: what is judged does not judge itself.
package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"raccordo/cmd/demo/input"
	"raccordo/contracts/domicile"
	"raccordo/mocks/inad"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// A Run is what an audit looks at.
type Run struct {
	Rows    []input.Row     // the list, as it was read
	Taken   []pec.Submitted // every message that the provider took with 250
	Journal []lab.Exchange  // what every mock saw
	Bench   *lab.Bench      // whose registers hold the truth
	Began   time.Time       // the instant for which they are asked
	// Unfinished tells, of a run that was broken off, which rows it had not come to: nothing is due for them yet. nil: the
	// run went on to its end.
	Unfinished func(id string) bool
}

// A Report is what an audit found. Every list holds row numbers, never subjects.
type Report struct {
	Lost       []string // a message was due and the provider took none
	Duplicates []string // the provider took more than one for a row
	Unexpected []string // the provider took one that was not due: wrong register, wrong address, or nobody's row
	Unanswered []string // a message may be due, but the register never gave an answer
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Lost)+len(r.Duplicates)+len(r.Unexpected) == 0 }

// Messages compares the rows with what the provider took.
func Messages(run Run) Report {
	var r Report
	by := map[string][]pec.Submitted{}
	for _, m := range run.Taken {
		id := caseOf(m.Subject)
		by[id] = append(by[id], m)
	}
	seen := look(run.Journal)
	for _, row := range run.Rows {
		if row.Repeated {
			continue // its first row stands for it
		}
		got := by[row.ID]
		delete(by, row.ID)
		due := run.dueAddress(row.Query)
		no, told := run.refused(row, seen)
		if told {
			due = ""
		}
		switch {
		case len(got) > 1:
			r.Duplicates = append(r.Duplicates, row.ID)
		case len(got) == 1 && (due == "" || len(got[0].Recipients) != 1 || !strings.EqualFold(got[0].Recipients[0], due)):
			r.Unexpected = append(r.Unexpected, row.ID)
		case len(got) == 1 || due == "" || no || run.Unfinished != nil && run.Unfinished(row.ID):
		case run.unanswered(row.Query):
			r.Unanswered = append(r.Unanswered, row.ID)
		default:
			r.Lost = append(r.Lost, row.ID)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(by), cmp.Compare[string]) {
		r.Unexpected = append(r.Unexpected, fmt.Sprintf("%s (%d messages of no row)", id, len(by[id])))
	}
	return r
}

// unanswered reports whether the register never gave an answer: INAD answers single questions about some with 500 for
// ever, and these were asked about alone; the business register's answers about some have no meaning.
func (run Run) unanswered(q domicile.Query) bool {
	code := cmp.Or(q.Subject.CodiceFiscale.Reveal(), q.Subject.PartitaIVA.Reveal())
	if ri := run.business(); ri != nil && q.Capacity == domicile.Enterprise && !ri.Tells(code) {
		return true
	}
	m, ok := run.Bench.ByCode(code)
	if !ok || m.Quirk != lab.QuirkBroken {
		return false
	}
	alone := false
	for _, e := range run.Journal {
		asked, ok := e.Parsed.(inad.Asked)
		if !ok || !slices.Contains(asked.Codes, m.CodiceFiscale) {
			continue
		}
		if len(asked.Codes) > 1 || asked.List != "" {
			return false
		}
		alone = true
	}
	return alone
}

// caseOf reads the row's number from a subject line.
func caseOf(subject string) string {
	_, id, ok := strings.Cut(subject, "pratica ")
	if !ok {
		return "?"
	}
	return strings.TrimSpace(id)
}

// dueAddress says where the law sends the code: an enterprise's address in INI-PEC and nowhere else; a body's or a
// person's own in INAD; a professional's from the order, then the professional one in INAD. Empty: nowhere.
func (run Run) dueAddress(q domicile.Query) string {
	m, known := run.Bench.ByCode(cmp.Or(q.Subject.CodiceFiscale.Reveal(), q.Subject.PartitaIVA.Reveal()))
	if !known {
		return ""
	}
	switch q.Capacity {
	case domicile.Enterprise:
		if m.INIPEC == nil {
			return ""
		}
		return m.INIPEC.Enterprise // nobody slides from there to INAD
	case domicile.Professional:
		if m.INIPEC != nil && len(m.INIPEC.Professionals) > 0 {
			return m.INIPEC.Professionals[0]
		}
	}
	if q.Subject.CodiceFiscale.Omocodic() {
		return "" // INAD's own pattern refuses the code: it cannot be asked
	}
	for _, d := range m.InForce(run.Began) {
		if (d.Profession != "") == (q.Capacity == domicile.Professional) && usable(d.Address) {
			return d.Address
		}
	}
	return ""
}

func usable(address string) bool {
	return strings.Count(address, "@") == 1 && !strings.ContainsAny(address, " ,;")
}
