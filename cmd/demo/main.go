// Command demo is the README's first command: every mock and a hub in one process, on free loopback ports, and one real
// job over real sockets. For every employer of a list it finds the digital domicile where the law says it is kept, sends
// the activation code there by PEC, follows the message to its certified delivery receipt, and keeps proof of each step.
//
// Hub and mocks share one clock that jumps, so that three days of receipts pass in seconds.
//
// Exit status: 0 when nothing was lost, nothing was sent twice and the ledger verifies; 1 when not; 2 when the list cannot
// be read; 130 when interrupted.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
	_ "time/tzdata" // days are Italian days, on any machine

	"raccordo/adapters"
	"raccordo/cmd/demo/audit"
	"raccordo/cmd/demo/input"
	"raccordo/hub"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// horizon is how long, on the virtual clock, receipts are waited for.
const horizon = 72 * time.Hour

// start is the virtual instant at which a run begins: a Saturday morning, so that days change on the way.
var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// castList is the list of the mocks' cast: one row at least for each story.
const castList = "configs/demo/employers.csv"

type options struct {
	input string
	json  bool
	keep  bool
	out   string
	seed  uint64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var opt options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&opt.input, "input", castList, "list of employers (CSV)")
	flags.BoolVar(&opt.json, "json", false, "print exactly one JSON object")
	flags.BoolVar(&opt.keep, "keep", false, "keep the working folder: the hub's store and the mocks' state")
	flags.StringVar(&opt.out, "out", "", "leave the evidence in this folder")
	flags.Uint64Var(&opt.seed, "seed", 1, "seed of everything that is drawn")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintln(errOut, "demo: no arguments are taken; the list goes behind -input")
		return 2
	}
	sum, code, err := job(ctx, opt, errOut)
	if err != nil {
		fmt.Fprintln(errOut, "demo:", err)
	}
	if sum != nil {
		if opt.json {
			if err := json.NewEncoder(out).Encode(sum); err != nil {
				fmt.Fprintln(errOut, "demo:", err)
				return 1
			}
		} else {
			sum.print(out)
		}
	}
	return code
}

// job does the whole job. The summary is nil when it could not begin.
func job(ctx context.Context, opt options, errOut io.Writer) (_ *summary, code int, err error) {
	began := time.Now()
	list, reader, err := openList(opt.input)
	if err != nil {
		return nil, 2, err
	}
	defer list.Close()

	dir, err := os.MkdirTemp("", "raccordo-demo-")
	if err != nil {
		return nil, 1, err
	}
	defer func() {
		if opt.keep {
			fmt.Fprintln(errOut, "demo: the working folder is", dir)
			return
		}
		_ = os.RemoveAll(dir) // a temporary folder
	}()

	bench, err := lab.New(lab.Options{Clock: lab.NewClock(start), Seed: opt.seed, Dir: filepath.Join(dir, "mocks")})
	if err != nil {
		return nil, 1, err
	}
	defer bench.Close()
	if err := bench.Attach(mocks.All()...); err != nil {
		return nil, 1, err
	}
	h, err := openHub(ctx, bench, dir)
	if err != nil {
		return nil, 1, err
	}
	defer h.Close(context.WithoutCancel(ctx))

	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	worked := make(chan error, 1)
	go func() { worked <- h.Work(work) }()
	defer stopWork()

	c := newCore(h, opt.seed, bench.Clock().Now)
	show := newProgress(errOut, c, bench, opt.json)
	err = c.accept(ctx, reader)
	if err == nil {
		d := &driver{hub: h, bench: bench, core: c, horizon: start.Add(horizon), tick: show.tick}
		err = d.run(ctx)
	}
	show.clear()
	interrupted := errors.Is(err, context.Canceled)
	if err != nil && !interrupted {
		return nil, 1, err
	}
	stopWork()
	if err := <-worked; err != nil {
		return nil, 1, err
	}
	ctx = context.WithoutCancel(ctx) // what was settled is told, whatever the interruption
	if err := c.finish(ctx); err != nil {
		return nil, 1, err
	}
	if opt.out != "" {
		if err := writeEvidence(ctx, h, c, opt.out); err != nil {
			return nil, 1, err
		}
	}
	found, err := judge(opt.input, c, bench, interrupted)
	if err != nil {
		return nil, 1, err
	}
	sum, err := summarise(ctx, h, c, bench, found, time.Since(began))
	if err != nil {
		return nil, 1, err
	}
	switch {
	case len(found.Unexpected) > 0:
		return sum, 1, fmt.Errorf("messages that were not due: %v", found.Unexpected)
	case !found.OK() || !sum.LedgerOK:
		return sum, 1, nil
	case interrupted:
		return sum, 130, errors.New("interrupted: this is what was settled")
	}
	return sum, 0, nil
}

// openList opens a list and reads its header.
func openList(name string) (io.Closer, *input.Reader, error) {
	f, err := os.Open(name)
	if err != nil {
		if name == castList {
			err = fmt.Errorf("%w (run this in the repository's folder, or name a list with -input)", err)
		}
		return nil, nil, err
	}
	r, err := input.NewReader(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, r, nil
}

func openHub(ctx context.Context, bench *lab.Bench, dir string) (*hub.Hub, error) {
	text, err := mocks.Configuration(bench, dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "hub.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	cfg, err := hub.Load(file, adapters.Kinds())
	if err != nil {
		return nil, err
	}
	return hub.Open(ctx, cfg, adapters.Kinds(), hub.Options{Clock: bench.Clock()})
}

// judge reads the list again and compares it with what the providers took.
func judge(name string, c *core, bench *lab.Bench, interrupted bool) (audit.Report, error) {
	list, reader, err := openList(name)
	if err != nil {
		return audit.Report{}, err
	}
	defer list.Close()
	var rows []input.Row
	for {
		row, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			rows = append(rows, row)
		}
	}
	var unfinished map[string]bool
	if interrupted {
		unfinished = map[string]bool{}
		accepted := map[string]bool{}
		for _, one := range c.rows {
			accepted[one.id] = true
			unfinished[one.id] = one.outcome == pending || one.outcome == uncertain
		}
		for _, row := range rows {
			unfinished[row.ID] = unfinished[row.ID] || !accepted[row.ID]
		}
	}
	provider, ok := bench.Mock("pec").(*pec.Mock)
	if !ok {
		return audit.Report{}, errors.New("no PEC provider on the bench")
	}
	return audit.Messages(rows, provider.Accepted(), start, unfinished), nil
}
