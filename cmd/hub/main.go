// Command hub is the integration hub: it serves core services, checks configurations, and lets operators look at and
// repair what is owed.
//
// Exit status: 0 when all is well, 1 when something failed, 2 when the command line or the configuration is wrong, 3
// when `check -live` found a supplier that does not answer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // days are Italian days, on any machine

	"github.com/alecthomas/kong"

	"raccordo/contracts"
	"raccordo/hub"
)

type commands struct {
	Serve   serveCmd   `cmd:"" help:"Carry out calls: workers, feeds and the HTTP API, until SIGTERM or Ctrl-C."`
	Check   checkCmd   `cmd:"" help:"Check a configuration file; with -live, also whether each supplier answers."`
	Call    callCmd    `cmd:"" help:"Ask one operation of a running hub; the request is JSON on standard input."`
	Ticket  ticketCmd  `cmd:"" help:"Look at and repair what the hub owes."`
	Ledger  ledgerCmd  `cmd:"" help:"Verify or export the evidence."`
	Schema  schemaCmd  `cmd:"" help:"Print the JSON Schema of the configuration file."`
	Version versionCmd `cmd:"" help:"Print the version."`
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
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) (code int) {
	defer func() { // kong leaves by a panic when it has printed help
		if status, ok := recover().(exitStatus); ok {
			code = int(status)
		} else if r := recover(); r != nil {
			panic(r)
		}
	}()
	var cmds commands
	parser, err := kong.New(&cmds, kong.Name("hub"), kong.Description("Raccordo: integration hub for Italian work-permit proceedings."),
		kong.UsageOnError(), kong.Writers(out, errOut), kong.Exit(func(code int) { panic(exitStatus(code)) }))
	if err != nil {
		fmt.Fprintln(errOut, "hub:", err)
		return 1
	}
	kctx, err := parser.Parse(singleDashes(args))
	if err != nil {
		fmt.Fprintln(errOut, "hub:", err)
		return 2
	}
	if err := kctx.Run(&session{ctx: ctx, in: in, out: out, errOut: errOut}); err != nil {
		fmt.Fprintln(errOut, "hub:", err)
		return statusOf(err)
	}
	return 0
}

type exitStatus int

func statusOf(err error) int {
	var e exit
	if errors.As(err, &e) {
		return e.code
	}
	var findings hub.Findings
	if errors.As(err, &findings) || contracts.KindOf(err) == contracts.Invalid {
		return 2
	}
	return 1
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
		fmt.Fprintf(s.out, "raccordo hub %s%s %s\n", version, revision, info.GoVersion)
	}
	return nil
}
