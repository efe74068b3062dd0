package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"raccordo/cmd/demo/audit"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/mocks/lab"
)

// A summary is what a run came to; -json prints it as it is.
type summary struct {
	Rows       int `json:"rows"`
	Invalid    int `json:"invalid"`
	Repeated   int `json:"repeated"`
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

	UpstreamCalls map[string]int `json:"upstream_calls"`
	// AccessToCode is the median number of virtual seconds from asking for a code to its certified delivery.
	AccessToCode struct {
		Enterprise float64 `json:"enterprise"`
		Person     float64 `json:"person"`
	} `json:"access_to_code"`
	Seconds float64 `json:"seconds"` // real

	ledgerFault string
	rows        []*row
}

func summarise(ctx context.Context, h *hub.Hub, c *core, bench *lab.Bench, found audit.Report, took time.Duration) (*summary, error) {
	s := &summary{
		Rows: len(c.rows), Lost: len(found.Lost), Duplicates: len(found.Duplicates),
		UpstreamCalls: map[string]int{}, Seconds: took.Round(time.Millisecond).Seconds(), rows: c.rows,
	}
	for _, one := range c.rows {
		switch one.outcome {
		case invalidRow:
			s.Invalid++
		case repeated:
			s.Repeated++
		case noDomicile:
			s.NoDomicile++
		case delivered:
			s.Delivered++
		case failed:
			s.Failed++
		case uncertain:
			s.Uncertain++
		default:
			s.Pending++
		}
		if !one.dispatch.Submitted.IsZero() {
			s.Sent++
			// A delivery proves that the message was accepted, even where the acceptance receipt never came.
			if !one.dispatch.AcceptedAt.IsZero() || one.outcome == delivered {
				s.Accepted++
			}
		}
	}
	for _, e := range bench.Journal() {
		s.UpstreamCalls[e.Mock+" "+e.Label]++
	}
	s.AccessToCode.Enterprise = c.access(func(in domicile.Capacity) bool { return in == domicile.Enterprise })
	s.AccessToCode.Person = c.access(func(in domicile.Capacity) bool { return in == domicile.Person })
	report, err := h.Ledger().Verify(ctx)
	s.LedgerOK, s.LedgerEntries = err == nil, report.Entries
	if err != nil {
		s.ledgerFault = err.Error()
	}
	return s, nil
}

// print shows a table per outcome, the reasons of what went otherwise, and the verdict.
func (s *summary) print(w io.Writer) {
	fmt.Fprintf(w, "%d rows in %.1f s\n\n", s.Rows, s.Seconds)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "OUTCOME\tROWS\t")
	for _, line := range []struct {
		name string
		n    int
	}{
		{"delivered", s.Delivered}, {"failed", s.Failed}, {"no domicile", s.NoDomicile}, {"pending", s.Pending},
		{"uncertain", s.Uncertain}, {"invalid", s.Invalid}, {"repeated", s.Repeated},
	} {
		fmt.Fprintf(t, "%s\t%d\t\n", line.name, line.n)
	}
	_ = t.Flush() // a terminal that is gone needs no table
	for _, o := range []outcome{failed, pending, uncertain, invalidRow} {
		s.reasons(w, o)
	}
	fmt.Fprintf(w, "\nMessages: %d sent, %d accepted, %d delivered. Median wait for a code: %s an enterprise, %s a person.\n",
		s.Sent, s.Accepted, s.Delivered, span(s.AccessToCode.Enterprise), span(s.AccessToCode.Person))
	fmt.Fprintln(w, "\nWhat the suppliers saw:")
	t = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, op := range slices.Sorted(maps.Keys(s.UpstreamCalls)) {
		fmt.Fprintf(t, "  %s\t%d\n", op, s.UpstreamCalls[op])
	}
	_ = t.Flush() // as above
	ledger := "verifies"
	if !s.LedgerOK {
		ledger = "DOES NOT VERIFY: " + s.ledgerFault
	}
	fmt.Fprintf(w, "\nLost: %d. Sent twice: %d. Ledger: %d entries, %s.\n", s.Lost, s.Duplicates, s.LedgerEntries, ledger)
}

const shownReasons = 8

// reasons lists why rows came to an outcome, the most frequent first.
func (s *summary) reasons(w io.Writer, o outcome) {
	count, example := map[string]int{}, map[string]string{}
	for _, one := range s.rows {
		if one.outcome == o {
			why := one.reason
			if o == invalidRow {
				why = fault(why)
			}
			count[why]++
			if example[why] == "" {
				example[why] = one.describe()
			}
		}
	}
	if len(count) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", o)
	whys := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	for i, why := range whys {
		if i == shownReasons {
			fmt.Fprintf(w, "  … and %d further reasons\n", len(whys)-i)
			break
		}
		fmt.Fprintf(w, "  %4d  %s (%s)\n", count[why], why, example[why])
	}
}

// fault drops the place from "line N, column C: text", so that equal faults are counted together.
func fault(text string) string {
	for i := range text {
		if i+1 < len(text) && text[i] == ':' {
			return text[i+2:]
		}
	}
	return text
}

func span(seconds float64) string {
	return (time.Duration(seconds) * time.Second).String()
}

// A progress is one live line on a terminal; elsewhere it is silent.
type progress struct {
	w     io.Writer
	core  *core
	bench *lab.Bench
	on    bool
	last  time.Time
}

func newProgress(w io.Writer, c *core, bench *lab.Bench, quiet bool) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, core: c, bench: bench, on: !quiet && ok && term.IsTerminal(int(f.Fd()))}
}

func (p *progress) tick() {
	if !p.on || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	open, all := p.core.open(), len(p.core.rows)
	virtual := p.bench.Clock().Now().Sub(start).Truncate(time.Minute)
	fmt.Fprintf(p.w, "\r\x1b[K%d of %d rows settled, %s of %s virtual time", all-open, all, virtual, horizon)
}

func (p *progress) clear() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
