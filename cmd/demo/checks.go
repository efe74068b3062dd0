package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A tally is what became of the facts on one topic.
type tally struct {
	by      [noSource + 1]int // facts, by what is known
	open    int               // of those not known yet, the ones whose answer may still come
	late    int               // answers that came after the check
	after   int               // of those, the ones that say "no" and came after the code was sent
	notes   int               // what a person should look at
	sources []string          // registers that vouched
	slowest time.Duration     // the longest that a check waited for it, in real time
}

func tallies(rows []*row) map[topic]*tally {
	all := map[topic]*tally{}
	for _, one := range rows {
		for i := range one.facts {
			f := &one.facts[i]
			if all[f.topic] == nil {
				all[f.topic] = &tally{}
			}
			all[f.topic].add(one, f)
		}
	}
	return all
}

func (t *tally) add(one *row, f *fact) {
	t.by[f.known]++
	t.slowest = max(t.slowest, f.took)
	if f.pending() {
		t.open++
	}
	if f.late {
		t.late++
	}
	if f.late && f.known == against && one.message != "" {
		t.after++
	}
	if f.noteworthy() != "" {
		t.notes++
	}
	if f.register != "" && !slices.Contains(t.sources, f.register) {
		t.sources = append(t.sources, f.register)
	}
}

// pending reports whether the answer may still come.
func (f *fact) pending() bool { return f.known == notYet && !f.over && f.ticket != "" }

// noteworthy is what a person should look at although nothing stands against the employer; empty: nothing.
func (f *fact) noteworthy() string {
	switch {
	case f.note != "":
		return f.note
	case f.known == cannotTell:
		return f.why
	}
	return ""
}

// says tells a fact in words: what is known by whom and when, or why it is not.
func (f *fact) says() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", f.topic)
	switch {
	case f.known == notYet && f.pending():
		fmt.Fprintf(&b, "not known yet: %s", f.why)
	case f.known == notYet:
		fmt.Fprintf(&b, "not known: %s", f.why)
	case f.noteworthy() != "":
		b.WriteString(f.noteworthy())
	case f.known == noSource:
		b.WriteString(f.why)
	default:
		b.WriteString(f.text)
	}
	if f.register != "" {
		fmt.Fprintf(&b, " (%s, %s)", f.register, f.asOf.UTC().Format(time.RFC3339))
	}
	if f.late {
		b.WriteString(", late")
	}
	return b.String()
}

// checks tells what the checks found: facts by what is known, who vouched, the slowest, and what is still open. With verbose,
// every fact that is not simply as it should be, by the number of its row.
func (s *summary) checks(w io.Writer, verbose bool) {
	all := tallies(s.rows)
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\nChecks: %d employers, %d refused, %d with something not known in time. %d facts came later.\n",
		s.Checked, s.CheckFailed, s.CheckIncomplete, s.LateFacts)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "  FACT\tYES\tNO\tCANNOT TELL\tOPEN\tNO ANSWER\tNO SOURCE\tLATE\tSLOWEST\tSOURCES")
	after := 0
	for _, name := range topics() {
		n := all[name]
		if n == nil {
			continue
		}
		after += n.after
		fmt.Fprintf(t, "  %s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", name, n.by[holds], n.by[against], n.by[cannotTell],
			n.open, n.by[notYet]-n.open, n.by[noSource], n.late, waitedFor(n.slowest), strings.Join(n.sources, ", "))
	}
	_ = t.Flush() // a terminal that is gone needs no table
	if after > 0 {
		fmt.Fprintf(w, "  %d late answers say \"no\" after the code was sent: people decide what follows.\n", after)
	}
	s.noted(w)
	if !verbose {
		return
	}
	for _, one := range s.rows {
		for i := range one.facts {
			if f := &one.facts[i]; f.known != holds && f.known != noSource || f.note != "" || f.late && !f.slow {
				fmt.Fprintf(w, "  %s: %s\n", one.describe(), f.says())
			}
		}
	}
}

// noted lists what people should look at, and how often.
func (s *summary) noted(w io.Writer) {
	count := map[string]int{}
	for _, one := range s.rows {
		for i := range one.facts {
			if note := one.facts[i].noteworthy(); note != "" {
				count[string(one.facts[i].topic)+": "+note]++
			}
		}
	}
	if len(count) == 0 {
		return
	}
	fmt.Fprintln(w, "  For a person to look at:")
	notes := sortedByCount(count)
	for _, note := range notes[:min(len(notes), shownReasons)] {
		fmt.Fprintf(w, "  %4d  %s\n", count[note], note)
	}
}

func waitedFor(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(time.Millisecond).String()
}
