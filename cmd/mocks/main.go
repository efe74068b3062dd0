// Command mocks is the test bench: every mock supplier in one process, on free loopback ports. It prints where each one
// listens, a ready-made hub configuration and the stories of the people and firms that the registers know; with -cast,
// all of them.
//
// It is never shipped: nothing that can forge an answer is.
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
	"text/tabwriter"
	_ "time/tzdata" // days are Italian days, on any machine

	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// An endpoint is where one mock listens, and how to log in where one must; what a mock does not have is empty.
type endpoint struct {
	URL      string `json:"url"`
	SMTP     string `json:"smtp"`
	SMTPS    string `json:"smtps"`
	IMAP     string `json:"imap"`
	IMAPS    string `json:"imaps"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// An announcement is what -json prints before the mocks serve.
type announcement struct {
	Mocks  map[string]endpoint `json:"mocks"`
	CA     string              `json:"ca"`     // PEM file of the authority behind every TLS certificate
	Config string              `json:"config"` // YAML file of a hub that talks to these mocks
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("mocks", flag.ContinueOnError)
	flags.SetOutput(errOut)
	asJSON := flags.Bool("json", false, "print one JSON object with every endpoint before serving")
	cast := flags.Bool("cast", false, "print the cast and leave")
	dir := flags.String("dir", "", "`folder` for the mocks' state and the hub's configuration, of one process at a time; default: a temporary one, removed at the end")
	seed := flags.Uint64("seed", 1, "`seed` of everything that is drawn")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintln(errOut, "mocks: no arguments are taken; see -h")
		return 2
	}
	if *cast {
		list(out, mocks.Cast())
		return 0
	}
	if err := serve(ctx, out, *asJSON, *dir, *seed); err != nil {
		fmt.Fprintln(errOut, "mocks:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, out io.Writer, asJSON bool, dir string, seed uint64) (err error) {
	if dir == "" {
		temp, err := os.MkdirTemp("", "raccordo-mocks-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		dir = temp
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	bench, err := lab.New(lab.Options{Seed: seed, Dir: filepath.Join(dir, "mocks")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bench.Close()) }()
	if err := bench.Attach(mocks.All()...); err != nil {
		return err
	}
	text, err := mocks.Hasty(bench, dir)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "hub.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	a := announcement{Mocks: map[string]endpoint{}, CA: filepath.Join(dir, "ca.pem"), Config: config}
	for _, m := range mocks.All() {
		name := m.Name()
		e := endpoint{
			URL: bench.URL(name), SMTP: bench.Endpoint(name, "smtp"), SMTPS: bench.Endpoint(name, "smtps"),
			IMAP: bench.Endpoint(name, "imap"), IMAPS: bench.Endpoint(name, "imaps"),
		}
		if p, ok := bench.Mock(name).(*pec.Mock); ok && len(p.Accounts()) > 0 {
			e.User, e.Password = p.Accounts()[0].User, p.Accounts()[0].Password
		}
		a.Mocks[name] = e
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return err
		}
	} else {
		announce(out, bench, a, text)
	}
	<-ctx.Done()
	return nil
}

func announce(out io.Writer, bench *lab.Bench, a announcement, config []byte) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "MOCK\tWHERE")
	for _, m := range mocks.All() {
		e := a.Mocks[m.Name()]
		if e.URL != "" {
			fmt.Fprintf(w, "%s\t%s\n", m.Name(), e.URL)
		}
		for _, s := range []struct{ name, at string }{{"smtps", e.SMTPS}, {"smtp", e.SMTP}, {"imaps", e.IMAPS}, {"imap", e.IMAP}} {
			if s.at != "" {
				fmt.Fprintf(w, "%s\t%s on %s\n", m.Name(), s.name, s.at)
			}
		}
		if e.User != "" {
			fmt.Fprintf(w, "%s\tuser %s, password %s\n", m.Name(), e.User, e.Password)
		}
	}
	fmt.Fprintf(w, "bench\t%s (faults, journal, clock)\n", bench.AdminURL())
	_ = w.Flush() // a terminal that is gone needs no table
	cast := bench.Cast()
	fmt.Fprintf(out, "\nThe cast is %d people, firms and bodies (-cast lists them all). One of each story:\n\n", len(cast))
	var firsts []lab.Member
	for _, story := range lab.Stories(cast) {
		firsts = append(firsts, bench.Who(story))
	}
	list(out, firsts)
	fmt.Fprintf(out, "\nA hub that talks to these mocks:\n\n  go run ./cmd/hub serve %s\n\n%s\nServing until Ctrl-C.\n", a.Config, config)
}

// list prints members of the cast, who are nobody: codes, names and addresses are made up.
func list(out io.Writer, members []lab.Member) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "STORY\tCAPACITY\tCODICE FISCALE\tPARTITA IVA\tNAME")
	for _, m := range members {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.Story, m.Capacity, m.CodiceFiscale, m.PartitaIVA, m.Name)
	}
	_ = w.Flush() // a terminal that is gone needs no table
}
