package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"raccordo/adapters"
	"raccordo/cmd/demo/audit"
	"raccordo/cmd/demo/input"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// horizon is how long, on the virtual clock, receipts are waited for.
const horizon = 72 * time.Hour

// start is the virtual instant at which a run begins: a Saturday morning, so that days change on the way.
var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// A job is one run: the list, the mocks and the hub in a folder of their own, and the core that plays.
type job struct {
	opt   options
	list  *os.File
	dir   string
	bench *lab.Bench
	hub   *hub.Hub
	core  *core
	show  *progress
	sum   *summary
}

// do does the whole job. The summary is nil when it could not begin or cannot be told.
func do(ctx context.Context, opt options, errOut io.Writer) (_ *summary, code int, err error) {
	began := time.Now()
	list, rows, err := openList(opt.input)
	if err != nil {
		return nil, exitUsage, err
	}
	defer list.Close()
	if opt.out != "" {
		if err := prepareOut(opt.out); err != nil {
			return nil, exitUsage, err
		}
	}
	j := &job{opt: opt, list: list}
	defer func() {
		if opt.keep && j.dir != "" {
			fmt.Fprintln(errOut, "demo: the working folder is", j.dir)
		}
		if cerr := j.close(); cerr != nil && err == nil {
			code, err = max(code, exitFault), cerr
		}
	}()
	if err := j.open(ctx, rows, errOut); err != nil {
		if ctx.Err() != nil {
			return nil, exitInterrupted, errors.New("interrupted before it began")
		}
		return nil, exitFault, err
	}
	if err := j.play(ctx); err != nil {
		return nil, exitFault, err
	}
	return j.tell(ctx, began)
}

// open starts mocks and hub in a fresh folder.
func (j *job) open(ctx context.Context, rows *input.Reader, errOut io.Writer) (err error) {
	if j.dir, err = os.MkdirTemp("", "raccordo-demo-"); err != nil {
		return err
	}
	j.bench, err = lab.New(lab.Options{Clock: lab.NewClock(start), Seed: j.opt.seed, Dir: filepath.Join(j.dir, "mocks")})
	if err != nil {
		return err
	}
	if err := j.bench.Attach(mocks.All()...); err != nil {
		return err
	}
	var cfg *hub.Config
	if j.hub, cfg, err = openHub(ctx, j.bench, j.dir); err != nil {
		return err
	}
	j.core = newCore(j.hub, rows, j.opt.seed, j.bench.Clock().Now)
	j.core.checker.serves, j.core.checker.pace = served(j.hub), paces(cfg)
	j.show = newProgress(errOut, j.core, j.bench, j.opt.json)
	j.core.tick = j.show.tick
	if j.opt.probe != nil {
		j.opt.probe(j)
	}
	return nil
}

// close ends what open started, in the order in which things stand on each other. The hub must have finished working.
func (j *job) close() error {
	var errs []error
	if j.hub != nil {
		errs = append(errs, j.hub.Close(context.Background())) // what was promised is on disk by now: nothing to hurry
	}
	if j.bench != nil {
		errs = append(errs, j.bench.Close())
	}
	if j.dir != "" && !j.opt.keep {
		errs = append(errs, os.RemoveAll(j.dir))
	}
	return errors.Join(errs...)
}

// play takes the list in and lets time pass, until every row is settled, the horizon is reached or ctx ends. An
// interruption is no error. The hub rests when it returns.
func (j *job) play(ctx context.Context) error {
	// What is in flight at an interruption is finished by the hub's own drain, not broken off.
	work, rest := context.WithCancel(context.WithoutCancel(ctx))
	run, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	worked := make(chan error, 1)
	go func() {
		err := j.hub.Work(work)
		fail(err) // nobody waits for a hub that has stopped
		worked <- err
	}()
	d := &driver{hub: j.hub, bench: j.bench, core: j.core, horizon: start.Add(horizon), tick: j.show.tick}
	err := d.run(run)
	j.show.clear()
	j.core.checker.wait()
	rest()
	if werr := <-worked; werr != nil {
		return fmt.Errorf("the hub stopped working: %w", werr)
	}
	if ctx.Err() != nil {
		err = nil // whatever was broken off, it was by the interruption
	}
	if err != nil {
		return err
	}
	return j.core.finish(context.WithoutCancel(ctx))
}

// tell leaves the evidence, judges the run and sums it up, whatever the interruption.
func (j *job) tell(ctx context.Context, began time.Time) (*summary, int, error) {
	interrupted := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	found, err := j.judge(interrupted)
	if err != nil {
		return nil, exitFault, err
	}
	sum := j.summarise(ctx, found)
	j.sum = sum
	sum.Seconds = float64(time.Since(began).Milliseconds()) / 1000
	if j.opt.out != "" {
		if err := j.writeEvidence(ctx, j.opt.out); err != nil {
			return sum, exitFault, err
		}
	}
	switch {
	case len(found.Unexpected) > 0:
		return sum, exitFault, fmt.Errorf("messages that were not due: %s", strings.Join(found.Unexpected, ", "))
	case !found.OK() || !sum.LedgerOK:
		return sum, exitFault, nil
	case interrupted:
		return sum, exitInterrupted, errors.New("interrupted: this is what was settled")
	case j.core.cut != nil:
		return sum, exitUsage, fmt.Errorf("%s: %w; what stands behind it was not read", j.opt.input, j.core.cut)
	}
	return sum, exitOK, nil
}

// openList opens a list and reads its header.
func openList(name string) (*os.File, *input.Reader, error) {
	f, err := os.Open(name)
	if err != nil {
		if name == castList {
			err = fmt.Errorf("%w (run this in the repository's folder, or name a list with -input)", err)
		}
		return nil, nil, err
	}
	r, err := readList(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, r, nil
}

// readList reads a list from its beginning; it is read twice, the second time by the audit.
func readList(f *os.File) (*input.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is not a file: save the list as one, since it is read twice")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return input.NewReader(f)
}

var httpSection = regexp.MustCompile(`(?m)^( +)http:\n`)

// openHub opens a hub for the mocks, which shares their clock.
func openHub(ctx context.Context, bench *lab.Bench, dir string) (*hub.Hub, *hub.Config, error) {
	text, err := mocks.Configuration(bench, dir)
	if err != nil {
		return nil, nil, err
	}
	// The clock stands still while the employers who came together are checked, so that calls a second are no measure.
	const calls = "calls:\n  callers:\n    core: {places: 200}\n"
	// Receipts carry their own instants: reading the mailbox every five minutes costs 72 virtual hours a fifth of the
	// log-ins, and no row a second.
	const kind = "    kind: pec\n"
	if !strings.Contains(string(text), kind) {
		return nil, nil, errors.New("the mocks' configuration has no PEC adapter")
	}
	yaml := calls + strings.Replace(string(text), kind, kind+"    poll: 5m\n", 1)
	// A supplier who says "in two seconds" is waited for within the call, in real time: here the outbox does that, by the
	// clock.
	yaml = httpSection.ReplaceAllString(yaml, "${0}${1}  retry_after_max: 50ms\n")
	file := filepath.Join(dir, "hub.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return nil, nil, err
	}
	cfg, err := hub.Load(file, adapters.Kinds())
	if err != nil {
		return nil, nil, err
	}
	h, err := hub.Open(ctx, cfg, adapters.Kinds(), hub.Options{Clock: bench.Clock()})
	return h, cfg, err
}

// served tells which operations have a source.
func served(h *hub.Hub) func(op string) bool {
	has := map[string]bool{}
	for _, op := range h.Ops() {
		has[op.Name] = true
	}
	return func(op string) bool { return has[op] }
}

// paces tells which questions nobody waits for: those about income, and those about the domiciles of a capacity whose
// registers answer in lists. Core teams know the latter from what "hub check" says of their hub.
func paces(cfg *hub.Config) func(question) pace {
	of := map[string]pace{}
	for _, capacity := range []domicile.Capacity{domicile.Enterprise, domicile.Body, domicile.Person, domicile.Professional} {
		of[string(capacity)] = domiciles(cfg, string(capacity))
	}
	return func(q question) pace {
		switch q.topic {
		case aboutIncome:
			return pace{slow: true}
		case aboutDomicile:
			return of[q.class]
		}
		return pace{}
	}
}

// domiciles tells how soon the registers on the route answer for a capacity.
func domiciles(cfg *hub.Config, capacity string) (p pace) {
	first := ""
	for _, name := range cfg.Routes["domicile"] {
		pacer, ok := cfg.Adapters[name].Config.(contracts.Pacer)
		if !ok {
			continue // it answers everything at once
		}
		for _, of := range pacer.Paces() {
			switch {
			case of.Op != domicile.OpLookup.OpInfo || of.For != capacity:
			case of.AtOnce:
				first = cmp.Or(first, name)
			case first == "":
				return pace{slow: true}
			default:
				return pace{at: first}
			}
		}
	}
	return pace{}
}

// judge reads the list again and compares it with what the provider took.
func (j *job) judge(interrupted bool) (audit.Report, error) {
	reader, err := readList(j.list)
	if err != nil {
		return audit.Report{}, err
	}
	var rows []input.Row
	for {
		row, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil { // rows that are wrong are nobody's
			rows = append(rows, row)
		}
	}
	provider, ok := j.bench.Mock("pec").(*pec.Mock)
	if !ok {
		return audit.Report{}, errors.New("no PEC provider on the bench")
	}
	run := audit.Run{Rows: rows, Taken: provider.Accepted(), Journal: j.bench.Journal(), Bench: j.bench, Began: start}
	if interrupted {
		run.Unfinished = j.core.unfinished
	}
	return audit.Messages(run), nil
}
