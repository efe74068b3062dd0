// Command hub is the integration hub: it serves core services, checks configurations, and lets operators look at and
// repair what is owed.
//
// Exit status: 0 when all is well, 1 when something failed, 2 when the command line, the configuration or a request is
// wrong, 3 when `check -live` found a supplier that does not answer, 4 when `call` has no answer yet.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	_ "time/tzdata" // days are Italian days, on any machine
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"raccordo/contracts"
	"raccordo/hub"
)

type commands struct {
	Serve    serveCmd    `cmd:"" help:"Carry out calls: workers, feeds and the HTTP API, until SIGTERM or Ctrl-C."`
	Check    checkCmd    `cmd:"" help:"Check a configuration file; with -live, also whether each supplier answers."`
	Call     callCmd     `cmd:"" help:"Ask one operation of a running hub; the request is JSON on standard input."`
	Ticket   ticketCmd   `cmd:"" help:"Look at and repair what the hub owes."`
	Event    eventCmd    `cmd:"" help:"Look at events that moved no ticket, and at their bytes."`
	Breaker  breakerCmd  `cmd:"" help:"Look at the breakers of a running hub, isolate an instance and let it rejoin."`
	Ledger   ledgerCmd   `cmd:"" help:"Verify or export the ledger."`
	Evidence evidenceCmd `cmd:"" help:"Export what a ticket or a case can prove, and verify such a folder without a hub."`
	PEC      pecCmd      `cmd:"" help:"Look at PEC messages."`
	Backup   backupCmd   `cmd:"" help:"Back up a hub while it serves: database, proofs, manifest."`
	Restore  restoreCmd  `cmd:"" help:"Verify a backup and put it in place, or only verify it (-check)."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON Schema of the configuration file."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// An exit is an error with an exit status of its own.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// A session is what every command is given.
type session struct {
	ctx         context.Context
	in          io.Reader
	out, errOut io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var (
		cmds   commands
		helped bool
	)
	parser, err := kong.New(&cmds, kong.Name("hub"), kong.Description("Raccordo: integration hub for Italian work-permit proceedings."),
		kong.Writers(out, errOut), kong.Exit(func(int) { helped = true })) // it calls this when it has printed help, and goes on
	if err != nil {
		fmt.Fprintln(errOut, "hub:", err)
		return statusFailed
	}
	kctx, err := parser.Parse(singleDashes(args))
	if helped {
		return 0
	}
	if err != nil {
		var wrong *kong.ParseError
		if errors.As(err, &wrong) {
			parser.Stdout = errOut
			_ = wrong.Context.PrintUsage(true) // the fault itself comes below
		}
		fmt.Fprintln(errOut, "hub:", shown(err.Error()))
		return statusWrong
	}
	if err := kctx.Run(&session{ctx: ctx, in: in, out: out, errOut: errOut}); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(errOut, "hub:", shown(strings.TrimPrefix(strings.TrimRight(line, "\n"), "hub: ")))
		}
		return statusOf(err)
	}
	return 0
}

// Exit statuses.
const (
	statusFailed  = 1
	statusWrong   = 2 // the command line, the configuration or a request
	statusSilent  = 3 // a supplier does not answer
	statusPending = 4 // the answer is not there yet
)

func statusOf(err error) int {
	var e exit
	if errors.As(err, &e) {
		return e.code
	}
	var findings hub.Findings
	switch kind := contracts.KindOf(err); {
	case errors.As(err, &findings) || kind == contracts.Invalid:
		return statusWrong
	case kind == contracts.Pending:
		return statusPending
	}
	return statusFailed
}

// shown is foreign text as a terminal may show it: whatever is not printable is written out.
func shown(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	quoted := strconv.QuoteToGraphic(s)
	return quoted[1 : len(quoted)-1]
}

// singleDashes lets flags be written with one dash, as Go programs do: -json and --json are the same.
func singleDashes(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if arg == "--" {
			copy(out[i:], args[i:])
			break
		}
		if len(arg) > 2 && arg[0] == '-' && arg[1] != '-' {
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

type versionCmd struct{}

func (versionCmd) Run(s *session) error {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		for _, kv := range info.Settings {
			if kv.Key == "vcs.revision" {
				revision = " " + kv.Value
			}
		}
	}
	_, err := fmt.Fprintf(s.out, "raccordo hub %s%s %s\n", version, revision, runtime.Version())
	return err
}
