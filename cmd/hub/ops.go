package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/hub"
	"raccordo/hub/ledger"
	"raccordo/hub/outbox"
)

// operator gives the hub of a configuration to a person: the running one behind its socket, or, where none runs, the
// store itself, opened for the length of the command.
func operator(ctx context.Context, file string) (hub.Operator, func() error, error) {
	cfg, err := hub.Load(file, adapters.Kinds())
	if err != nil {
		return nil, nil, err
	}
	o, hangUp, err := hub.DialOperator(ctx, cfg)
	if err == nil {
		return o, func() error { hangUp(); return nil }, nil
	}
	if contracts.KindOf(err) != contracts.Unavailable {
		return nil, nil, err
	}
	h, err := hub.Open(ctx, cfg, adapters.Kinds(), hub.Options{})
	if err != nil {
		return nil, nil, err
	}
	return h, func() error { return h.Close(ctx) }, nil
}

// with runs fn with the operator's view of a configuration.
func with(s *session, file string, fn func(o hub.Operator) error) error {
	o, done, err := operator(s.ctx, file)
	if err != nil {
		return err
	}
	return errors.Join(fn(o), done())
}

type ticketCmd struct {
	List   ticketListCmd   `cmd:"" help:"List tickets."`
	Show   ticketShowCmd   `cmd:"" help:"Show one ticket and its story."`
	Settle ticketSettleCmd `cmd:"" help:"End a ticket by a person's decision; it goes into the ledger."`
	Retry  ticketRetryCmd  `cmd:"" help:"Put a ticket back in the queue; whoever does takes it on themselves that it may happen twice."`
}

type ticketListCmd struct {
	File  string `arg:"" help:"Configuration file."`
	State string `help:"Only tickets in this state: queued, running, waiting, uncertain, done, failed or abandoned."`
	Op    string `help:"Only tickets of this operation."`
	Lane  string `help:"Only tickets of this lane."`
	After string `help:"Go on after this ticket."`
	Max   int    `default:"100" help:"At most so many."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

func (c ticketListCmd) Run(s *session) error {
	return with(s, c.File, func(o hub.Operator) error {
		page, err := o.List(s.ctx, outbox.Query{State: contracts.State(c.State), Op: c.Op, Lane: c.Lane, After: c.After, Max: c.Max})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, page)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "TICKET\tOPERATION\tSTATE\tTRIES\tSINCE\tNEXT\tCASE\tWHY")
		for _, t := range page {
			why := ""
			if t.Err != nil {
				why = t.Err.Error()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", t.ID, t.Op, t.State, t.Tries, stamp(t.Since), stamp(t.Next), shown(t.Case), shown(why))
		}
		return w.Flush()
	})
}

type ticketShowCmd struct {
	File   string `arg:"" help:"Configuration file."`
	Ticket string `arg:"" help:"Ticket."`
	JSON   bool   `name:"json" help:"Print JSON, the story's data included: personal data may show."`
}

func (c ticketShowCmd) Run(s *session) error {
	return with(s, c.File, func(o hub.Operator) error {
		t, err := o.Show(s.ctx, c.Ticket)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, t)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		fmt.Fprintf(w, "ticket\t%s\noperation\t%s\nowner\t%s\ncase\t%s\ninstance\t%s\nstate\t%s\ntries\t%d\nsince\t%s\nnext\t%s\n",
			t.ID, t.Op, shown(t.Owner), shown(t.Case), t.At, t.State, t.Tries, stamp(t.Since), stamp(t.Next))
		if t.Err != nil {
			fmt.Fprintf(w, "error\t%s\n", shown(t.Err.Error()))
		}
		for _, e := range t.Story {
			fmt.Fprintf(w, "%s\t%s\n", stamp(e.At), shown(e.Kind))
		}
		return w.Flush()
	})
}

type ticketSettleCmd struct {
	File   string `arg:"" help:"Configuration file."`
	Ticket string `arg:"" help:"Ticket."`
	To     string `required:"" enum:"done,failed,abandoned" help:"How it ended: done, failed or abandoned."`
	Result string `help:"With done: a file that holds the answer as JSON; - for standard input."`
	Reason string `required:"" help:"Why; it goes into the ledger."`
	As     string `help:"Who decides; default: the user of this machine."`
}

func (c ticketSettleCmd) Run(s *session) error {
	result, err := c.result(s.in)
	if err != nil {
		return err
	}
	return with(s, c.File, func(o hub.Operator) error {
		return o.Settle(s.ctx, c.Ticket, contracts.State(c.To), result, whoever(c.As), c.Reason)
	})
}

// maxResult is the most that is read of a result.
const maxResult = 4 << 20

func (c ticketSettleCmd) result(in io.Reader) (json.RawMessage, error) {
	if c.Result == "" {
		return nil, nil
	}
	if c.Result != "-" {
		f, err := os.Open(c.Result)
		if err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "ticket settle: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxResult+1))
	if err != nil {
		return nil, fmt.Errorf("ticket settle: %w", err)
	}
	if len(b) > maxResult || !json.Valid(b) {
		return nil, contracts.Errorf(contracts.Invalid, "ticket settle: the result is not JSON of at most %d bytes", maxResult)
	}
	return b, nil
}

type ticketRetryCmd struct {
	File   string `arg:"" help:"Configuration file."`
	Ticket string `arg:"" help:"Ticket."`
	Reason string `required:"" help:"Why; it goes into the ledger."`
	As     string `help:"Who decides; default: the user of this machine."`
}

func (c ticketRetryCmd) Run(s *session) error {
	return with(s, c.File, func(o hub.Operator) error {
		return o.Retry(s.ctx, c.Ticket, whoever(c.As), c.Reason)
	})
}

// whoever is the name that goes into the ledger.
func whoever(named string) string {
	if named != "" {
		return named
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "operator"
}

type ledgerCmd struct {
	Verify ledgerVerifyCmd `cmd:"" help:"Verify the whole chain: links, segments, signed heads, the tail."`
	Export ledgerExportCmd `cmd:"" help:"Write entries and signed heads as JSON lines."`
}

type ledgerVerifyCmd struct {
	File    string    `arg:"" help:"Configuration file."`
	Anchors string    `help:"Also compare the heads with what this folder holds: anchor files, and messages and receipts (.eml) as another administrator keeps them."`
	Roots   string    `help:"With -anchors: PEM file of the authorities that sign receipts; default: those of the configured adapters."`
	At      time.Time `help:"With -anchors: judge certificates and what is due as of this instant (RFC 3339); now, if not given."`
	JSON    bool      `name:"json" help:"Print JSON."`
}

// An anchoredReport is what ledger verify -anchors -json prints.
type anchoredReport struct {
	Ledger  ledger.Report       `json:"ledger"`
	Anchors ledger.AnchorReport `json:"anchors"`
}

func (c ledgerVerifyCmd) Run(s *session) error {
	return with(s, c.File, func(o hub.Operator) error {
		report, err := o.VerifyLedger(s.ctx)
		if c.JSON && c.Anchors == "" {
			return errors.Join(err, printJSON(s.out, report))
		}
		if !c.JSON {
			printVerified(s.out, report, err)
		}
		if c.Anchors == "" {
			return err
		}
		cfg, loaded := hub.Load(c.File, adapters.Kinds())
		if loaded != nil {
			return errors.Join(err, loaded)
		}
		anchored, wrong := verifyAnchors(s, o, cfg, report, c)
		if c.JSON {
			return errors.Join(err, wrong, printJSON(s.out, anchoredReport{report, anchored}))
		}
		if anchored.Chain != "" {
			printAnchors(s.out, anchored)
		}
		return errors.Join(err, wrong)
	})
}

func printVerified(w io.Writer, report ledger.Report, err error) {
	for _, problem := range report.Problems {
		fmt.Fprintln(w, shown(problem))
	}
	if report.More > 0 {
		fmt.Fprintf(w, "and %d more\n", report.More)
	}
	if err == nil {
		fmt.Fprintf(w, "the ledger verifies: %d entries in %d segments\n", report.Entries, report.Segments)
	}
}

type ledgerExportCmd struct {
	File string    `arg:"" help:"Configuration file."`
	From time.Time `help:"From the day (UTC) of this instant, RFC 3339."`
	To   time.Time `help:"To the day (UTC) of this instant, RFC 3339."`
}

func (c ledgerExportCmd) Run(s *session) error {
	return with(s, c.File, func(o hub.Operator) error { return o.ExportLedger(s.ctx, s.out, c.From, c.To) })
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
