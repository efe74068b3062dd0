// Command demo is the README's first command: every mock and a hub in one process, on free loopback ports, and one real
// job over real sockets. For every employer of a list it asks the business register, the tax agency and the register of
// digital domiciles side by side, as if the person waited; to who passes it sends the activation code by PEC, follows the
// message to its certified delivery receipt, and keeps proof of each step. What a register does not tell in time is left
// with the hub and comes later, as an event.
//
// Hub and mocks share one clock that jumps, so that three days of receipts pass in seconds.
//
// Exit status: 0 when nothing was lost, nothing was sent twice and the ledger verifies; 1 when not; 2 when the list, or
// its rest behind a line, cannot be read, or the command line is wrong; 130 when interrupted.
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
	"syscall"
	_ "time/tzdata" // days are Italian days, on any machine
)

// Exit statuses.
const (
	exitOK          = 0
	exitFault       = 1
	exitUsage       = 2
	exitInterrupted = 130 // as shells say it of SIGINT
)

// castList is the list of the mocks' cast: one row at least for each story.
const castList = "configs/demo/employers.csv"

type options struct {
	input   string
	json    bool
	keep    bool
	verbose bool
	out     string
	seed    uint64

	probe func(*job) // in tests: hears of a job that is about to begin
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	opt, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitUsage
	}
	return perform(ctx, opt, out, errOut)
}

// perform does the job and prints what it came to.
func perform(ctx context.Context, opt options, out, errOut io.Writer) int {
	sum, code, err := do(ctx, opt, errOut)
	if sum != nil {
		if opt.json {
			if err := json.NewEncoder(out).Encode(sum); err != nil {
				fmt.Fprintln(errOut, "demo:", err)
				code = max(code, exitFault)
			}
		} else {
			sum.print(out, opt.verbose)
		}
	}
	if err != nil {
		fmt.Fprintln(errOut, "demo:", err)
	}
	return code
}

// parse reads the command line. What is wrong with it has been told when it returns.
func parse(args []string, errOut io.Writer) (opt options, err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&opt.input, "input", castList, "list of employers: a CSV `file`")
	flags.BoolVar(&opt.json, "json", false, "print exactly one JSON object")
	flags.BoolVar(&opt.keep, "keep", false, "keep the working folder: the hub's store and the mocks' state")
	flags.StringVar(&opt.out, "out", "", "leave the evidence in this `folder`, new or empty")
	flags.Uint64Var(&opt.seed, "seed", 1, "`seed` of everything that is drawn")
	flags.BoolVar(&opt.verbose, "v", false, "show errors as the hub gives them, and what the checks found, by row")
	if err := flags.Parse(args); err != nil {
		return opt, err
	}
	if flags.NArg() > 0 {
		err = errors.New("no arguments are taken; the list goes behind -input")
		fmt.Fprintln(errOut, "demo:", err)
	}
	return opt, err
}
