package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"raccordo/mocks/lab"
)

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

// tick draws the line anew, ten times a second at most.
func (p *progress) tick() {
	if !p.on || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	virtual := p.bench.Clock().Now().Sub(start).Truncate(time.Minute)
	taken := len(p.core.rows)
	fmt.Fprintf(p.w, "\r\x1b[K%d rows read, %d settled; %s of %s of virtual time", taken, taken-p.core.left, hours(virtual), hours(horizon))
}

// clear leaves an empty line for what comes next.
func (p *progress) clear() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// hours is a span in hours and minutes: "1h05m".
func hours(d time.Duration) string {
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
