package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"raccordo/contracts"
	"raccordo/hub"
)

type eventCmd struct {
	List  eventListCmd  `cmd:"" help:"List events that moved no ticket: set aside because they could not be understood or, with -unmatched, of no ticket that is here."`
	Retry eventRetryCmd `cmd:"" help:"Fold an event that was set aside once more, after the adapter was mended."`
	Proof eventProofCmd `cmd:"" help:"Write the bytes of a proof into a file, for hub pec inspect; it goes into the ledger."`
}

type eventListCmd struct {
	File      string `arg:"" help:"Configuration file."`
	Unmatched bool   `help:"Those that name no ticket, or none that is here."`
	After     uint64 `help:"Go on after this number."`
	Max       int    `default:"100" help:"At most so many."`
	JSON      bool   `name:"json" help:"Print JSON, the events' data included: personal data may show."`
}

func (c eventListCmd) Run(s *session) error {
	return with(s, c.File, func(o hub.Operator) error {
		page, err := o.HeldEvents(s.ctx, c.Unmatched, c.After, c.Max)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, page)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "EVENT\tINSTANCE\tKIND\tAT\tTICKET\tWHY")
		for _, e := range page {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", e.Seq, e.Source, shown(e.Kind), stamp(e.At), shown(e.Ref), shown(e.Reason))
			for _, sum := range e.Proof {
				fmt.Fprintf(w, "\tproof\t%s\n", sum)
			}
		}
		return w.Flush()
	})
}

type eventRetryCmd struct {
	File   string `arg:"" help:"Configuration file."`
	Event  uint64 `arg:"" help:"Number of the event, as list shows it."`
	Reason string `required:"" help:"Why; it goes into the ledger."`
	As     string `help:"Who decides; default: the user of this machine."`
}

func (c eventRetryCmd) Run(s *session) error {
	return with(s, c.File, func(o hub.Operator) error { return o.RetryEvent(s.ctx, c.Event, whoever(c.As), c.Reason) })
}

type eventProofCmd struct {
	File   string `arg:"" help:"Configuration file."`
	Digest string `arg:"" help:"Digest of the proof, as list shows it."`
	Out    string `required:"" help:"File to write; it must not be there yet."`
	Reason string `required:"" help:"Why; it goes into the ledger."`
	As     string `help:"Who wants it; default: the user of this machine."`
}

func (c eventProofCmd) Run(s *session) error {
	var sum contracts.Sum
	if err := sum.UnmarshalText([]byte(c.Digest)); err != nil || sum.IsZero() {
		return contracts.Errorf(contracts.Invalid, "event proof: want a digest of 64 hexadecimal characters")
	}
	return with(s, c.File, func(o hub.Operator) error {
		f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // it may name people
		if err != nil {
			return contracts.Errorf(contracts.Invalid, "event proof: %w", err)
		}
		err = o.ReadProof(s.ctx, f, sum, whoever(c.As), c.Reason)
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = os.Remove(c.Out) // half a proof is none
		}
		return err
	})
}
