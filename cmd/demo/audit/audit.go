// Package audit counts what was lost and what was doubled, from the list that went in and from what the stranger at the
// other end took. It imports nothing of the hub: what is judged does not judge itself.
package audit

import (
	"fmt"
	"strings"
	"time"

	"raccordo/cmd/demo/input"
	"raccordo/contracts/domicile"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// A Report is what an audit found. Every list holds row numbers, never subjects.
type Report struct {
	Lost       []string // a message was due and no provider took one
	Duplicates []string // a provider took more than one for a row
	Unexpected []string // a provider took one that was not due: wrong register, wrong address, or nobody's row
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return len(r.Lost)+len(r.Duplicates)+len(r.Unexpected) == 0 }

// Messages compares rows with what providers took. at is the instant for which the registers are asked; unfinished names
// the rows that a run which was broken off had not come to: nothing is due for them yet.
func Messages(rows []input.Row, taken []pec.Submitted, at time.Time, unfinished map[string]bool) Report {
	var r Report
	by := map[string][]pec.Submitted{}
	for _, m := range taken {
		id := caseOf(m.Subject)
		by[id] = append(by[id], m)
	}
	for _, row := range rows {
		if row.Repeated {
			continue // its first row stands for it
		}
		got := by[row.ID]
		delete(by, row.ID)
		due := dueAddress(row.Query, at)
		switch {
		case len(got) > 1:
			r.Duplicates = append(r.Duplicates, row.ID)
		case len(got) == 0 && due != "" && !unfinished[row.ID]:
			r.Lost = append(r.Lost, row.ID)
		case len(got) == 1 && (due == "" || len(got[0].Recipients) != 1 || !strings.EqualFold(got[0].Recipients[0], due)):
			r.Unexpected = append(r.Unexpected, row.ID)
		}
	}
	for id, got := range by {
		r.Unexpected = append(r.Unexpected, fmt.Sprintf("%s (%d messages of no row)", id, len(got)))
	}
	return r
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
func dueAddress(q domicile.Query, at time.Time) string {
	codes := []string{q.Subject.CodiceFiscale.Reveal(), q.Subject.PartitaIVA.Reveal()}
	switch q.Capacity {
	case domicile.Enterprise, domicile.Professional:
		for _, code := range codes {
			m, ok := lab.ByCode(code)
			if !ok || code == "" || m.INIPEC == nil {
				continue
			}
			if q.Capacity == domicile.Enterprise && m.INIPEC.Enterprise != "" {
				return m.INIPEC.Enterprise
			}
			if q.Capacity == domicile.Professional && len(m.INIPEC.Professionals) > 0 {
				return m.INIPEC.Professionals[0]
			}
		}
		if q.Capacity == domicile.Enterprise {
			return ""
		}
	}
	if q.Subject.CodiceFiscale.Omocodic() {
		return "" // INAD's own pattern refuses the code: it cannot be asked
	}
	m, ok := lab.ByCode(codes[0])
	if !ok {
		return ""
	}
	for _, d := range m.InForce(at) {
		professional := d.Profession != ""
		if professional == (q.Capacity == domicile.Professional) && strings.Count(d.Address, "@") == 1 && !strings.ContainsAny(d.Address, " ,;") {
			return d.Address
		}
	}
	return ""
}
