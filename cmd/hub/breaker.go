package main

import (
	"fmt"
	"text/tabwriter"

	"raccordo/adapters"
	"raccordo/hub"
)

type breakerCmd struct {
	List    breakerListCmd    `cmd:"" help:"Tell how each instance's breaker stands."`
	Isolate breakerIsolateCmd `cmd:"" help:"Ask an instance nothing more until it rejoins or the hub is started again; tickets wait."`
	Rejoin  breakerRejoinCmd  `cmd:"" help:"Let an instance be asked again at once."`
}

// served runs fn with the hub that serves: breakers live in its memory.
func served(s *session, file string, fn func(o hub.Operator) error) error {
	cfg, err := hub.Load(file, adapters.Kinds())
	if err != nil {
		return err
	}
	o, hangUp, err := hub.DialOperator(s.ctx, cfg)
	if err != nil {
		return err
	}
	defer hangUp()
	return fn(o)
}

type breakerListCmd struct {
	File string `arg:"" help:"Configuration file."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c breakerListCmd) Run(s *session) error {
	return served(s, c.File, func(o hub.Operator) error {
		all, err := o.Switches(s.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, all)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "INSTANCE\tSTATE\tSINCE\tUNTIL\tCOUNTED\tFAILED\tSLOW\tREASON")
		for _, b := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", b.Instance, b.State, stamp(b.Since), stamp(b.Until), b.Counted, b.Failed, b.Slow, shown(b.Reason))
		}
		return w.Flush()
	})
}

type breakerIsolateCmd struct {
	File     string `arg:"" help:"Configuration file."`
	Instance string `arg:"" help:"Adapter instance."`
	Reason   string `required:"" help:"Why; it goes into the ledger and reaches callers: name nobody."`
	As       string `help:"Who decides; default: the user of this machine."`
}

func (c breakerIsolateCmd) Run(s *session) error {
	return served(s, c.File, func(o hub.Operator) error { return o.Isolate(s.ctx, c.Instance, whoever(c.As), c.Reason) })
}

type breakerRejoinCmd struct {
	File     string `arg:"" help:"Configuration file."`
	Instance string `arg:"" help:"Adapter instance."`
	Reason   string `required:"" help:"Why; it goes into the ledger."`
	As       string `help:"Who decides; default: the user of this machine."`
}

func (c breakerRejoinCmd) Run(s *session) error {
	return served(s, c.File, func(o hub.Operator) error { return o.Rejoin(s.ctx, c.Instance, whoever(c.As), c.Reason) })
}
