package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"raccordo/cmd/demo/audit"
	"raccordo/contracts/domicile"
)

// A summary is what a run came to; -json prints it as it is.
type summary struct {
	Rows     int `json:"rows"`
	Invalid  int `json:"invalid"`
	Repeated int `json:"repeated"`
	// Checked counts employers who were checked, whatever came of it; CheckFailed those who got no code for it.
	Checked     int `json:"checked"`
	CheckFailed int `json:"check_failed"`
	// CheckIncomplete counts checks in which something was not known in time; they stop nobody.
	CheckIncomplete int `json:"check_incomplete"`
	// LateFacts counts answers that came after their check: those that take days by nature, and those of sources that did
	// not answer in time.
	LateFacts  int `json:"late_facts"`
	NoDomicile int `json:"no_domicile"`
	Sent       int `json:"sent"`
	Accepted   int `json:"accepted"`
	Delivered  int `json:"delivered"`
	Failed     int `json:"failed"`
	Uncertain  int `json:"uncertain"`
	Pending    int `json:"pending"`
	Lost       int `json:"lost"`
	Duplicates int `json:"duplicates"`

	LedgerEntries uint64 `json:"ledger_entries"`
	LedgerOK      bool   `json:"ledger_ok"`

	// UpstreamCalls counts what every mock saw, refused requests included.
	UpstreamCalls map[string]int `json:"upstream_calls"`
	// AccessToCode is the median number of virtual seconds from asking for a code to its certified delivery.
	AccessToCode struct {
		Enterprise float64 `json:"enterprise"`
		Person     float64 `json:"person"`
	} `json:"access_to_code"`
	Seconds float64 `json:"seconds"` // real

	late        int
	virtual     time.Duration
	found       audit.Report
	ledgerFault string
	rows        []*row
}

func (j *job) summarise(ctx context.Context, found audit.Report) *summary {
	rows := j.core.rows
	s := &summary{
		Rows: len(rows), Lost: len(found.Lost), Duplicates: len(found.Duplicates),
		UpstreamCalls: j.bench.Counts(), found: found, rows: rows, virtual: j.bench.Clock().Now().Sub(start),
	}
	count := map[outcome]*int{
		invalid: &s.Invalid, repeated: &s.Repeated, checkFailed: &s.CheckFailed, noDomicile: &s.NoDomicile, delivered: &s.Delivered,
		failed: &s.Failed, uncertain: &s.Uncertain, pending: &s.Pending,
	}
	var enterprises, persons []time.Duration
	for _, one := range rows {
		*count[one.outcome]++
		if len(one.facts) > 0 {
			s.Checked++
		}
		if one.verdict == incomplete {
			s.CheckIncomplete++
		}
		for i := range one.facts {
			if one.facts[i].late {
				s.LateFacts++
			}
		}
		if one.sent() {
			s.Sent++
		}
		if one.accepted() {
			s.Accepted++
		}
		if one.late() {
			s.late++
		}
		switch {
		case one.outcome != delivered:
		case one.capacity == domicile.Enterprise:
			enterprises = append(enterprises, one.waited())
		case one.capacity == domicile.Person:
			persons = append(persons, one.waited())
		}
	}
	s.AccessToCode.Enterprise, s.AccessToCode.Person = median(enterprises), median(persons)
	report, err := j.hub.Ledger().Verify(ctx)
	s.LedgerOK, s.LedgerEntries = err == nil, report.Entries
	if err != nil {
		s.ledgerFault = err.Error()
	}
	return s
}

// median is in seconds; 0 of nothing.
func median(took []time.Duration) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2].Seconds()
}

// A line is one outcome in the table.
type line struct {
	name    string
	n       int
	meaning string
	of      outcome
}

func (s *summary) lines() []line {
	sent := "the recipient's provider certified the delivery"
	if s.late > 0 {
		sent = fmt.Sprintf("%s, %d times after it was given up", sent, s.late)
	}
	return []line{
		{"delivered", s.Delivered, sent, delivered},
		{"failed", s.Failed, "no code was delivered", failed},
		{"check failed", s.CheckFailed, "a register says with authority that something is not as declared: no code", checkFailed},
		{"no domicile", s.NoDomicile, "the register has no address: the employer must elect one first", noDomicile},
		{"pending", s.Pending, "waits for an answer or a receipt that may still come", pending},
		{"uncertain", s.Uncertain, "nobody knows whether the message left; it is not sent again", uncertain},
		{"invalid", s.Invalid, "refused as written, nobody was asked", invalid},
		{"repeated", s.Repeated, "the same employer in the same capacity again: one code is enough", repeated},
	}
}

// print shows a table of outcomes, the reasons of what did not end well, and the verdict. Everything printed is of our
// own making: no name, code or address of the list reaches a terminal.
func (s *summary) print(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "%d rows, %s of virtual time in %.1f s\n\n", s.Rows, hours(s.virtual), s.Seconds)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "OUTCOME\tROWS\tMEANING")
	for _, l := range s.lines() {
		fmt.Fprintf(t, "%s\t%4d\t%s\n", l.name, l.n, l.meaning)
	}
	_ = t.Flush() // a terminal that is gone needs no table
	for _, l := range s.lines() {
		if l.of != delivered && l.of != repeated {
			s.reasons(w, l, verbose)
		}
	}
	s.checks(w, verbose)
	fmt.Fprintf(w, "\nMessages: %d sent, %d accepted, %d delivered. Median wait for a code: %s an enterprise, %s a person.\n",
		s.Sent, s.Accepted, s.Delivered, span(s.AccessToCode.Enterprise), span(s.AccessToCode.Person))
	fmt.Fprintln(w, "\nWhat the suppliers saw:")
	t = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, op := range slices.Sorted(maps.Keys(s.UpstreamCalls)) {
		fmt.Fprintf(t, "  %s\t%5d\n", op, s.UpstreamCalls[op])
	}
	_ = t.Flush() // as above
	s.verdict(w)
}

// verdict is what the exit status goes by.
func (s *summary) verdict(w io.Writer) {
	ledger := "verifies"
	if !s.LedgerOK {
		ledger = "DOES NOT VERIFY: " + s.ledgerFault
	}
	fmt.Fprintf(w, "\nLost: %d. Sent twice: %d. Ledger: %d entries, %s.\n", s.Lost, s.Duplicates, s.LedgerEntries, ledger)
	for _, f := range []struct {
		what string
		ids  []string
	}{{"Lost", s.found.Lost}, {"Sent twice", s.found.Duplicates}} {
		if len(f.ids) > 0 {
			fmt.Fprintf(w, "%s: rows %v\n", f.what, f.ids[:min(len(f.ids), shownReasons)])
		}
	}
}

// shownReasons bounds what is listed of one kind.
const shownReasons = 12

// A cause is why some rows came to an outcome.
type cause struct {
	why     string
	n       int
	example *row
}

// reasons lists why rows came to an outcome, the most frequent first.
func (s *summary) reasons(w io.Writer, l line, verbose bool) {
	by := map[string]*cause{}
	for _, one := range s.rows {
		if one.outcome != l.of {
			continue
		}
		c := by[one.reason]
		if c == nil {
			c = &cause{why: one.reason, example: one}
			by[one.reason] = c
		}
		c.n++
	}
	if len(by) == 0 {
		return
	}
	all := slices.SortedFunc(maps.Values(by), func(a, b *cause) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.example.line, b.example.line))
	})
	fmt.Fprintf(w, "\n%s:\n", l.name)
	for _, c := range all[:min(len(all), shownReasons)] {
		first := "first "
		if c.n == 1 {
			first = ""
		}
		fmt.Fprintf(w, "  %4d  %s (%s%s)\n", c.n, c.why, first, c.example.describe())
		if verbose && c.example.detail != "" {
			fmt.Fprintf(w, "        %s\n", c.example.detail)
		}
	}
	if more := len(all) - shownReasons; more > 0 {
		fmt.Fprintf(w, "        … and %d other reasons\n", more)
	}
}

// sortedByCount lists the keys, the most frequent first.
func sortedByCount(count map[string]int) []string {
	return slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
}

func span(seconds float64) string {
	if seconds == 0 {
		return "none yet for"
	}
	return (time.Duration(seconds) * time.Second).String()
}
