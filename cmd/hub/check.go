package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"raccordo/adapters"
	"raccordo/configs"
	"raccordo/hub"
)

type checkCmd struct {
	File    string        `arg:"" help:"Configuration file."`
	Live    bool          `help:"Also make each supplier's one cheap honest call."`
	JSON    bool          `name:"json" help:"Print one JSON object."`
	Timeout time.Duration `default:"30s" help:"With -live: how long to wait for each supplier."`
}

// A checkReport is what `check -json` prints.
type checkReport struct {
	File     string        `json:"file"`
	OK       bool          `json:"ok"`
	Findings []jsonFinding `json:"findings"`
	Warnings []jsonFinding `json:"warnings"` // what an operator should know of a file without faults; it is OK all the same
	Live     []jsonHealth  `json:"live,omitempty"`
}

type jsonFinding struct {
	Line int    `json:"line"`
	Path string `json:"path,omitempty"`
	Text string `json:"text"`
}

type jsonHealth struct {
	Instance string `json:"instance"`
	Kind     string `json:"kind"`
	State    string `json:"state"` // works, fails, unknown
	Error    string `json:"error,omitempty"`
}

func (c checkCmd) Run(s *session) error {
	report := checkReport{File: c.File, OK: true, Findings: []jsonFinding{}, Warnings: []jsonFinding{}}
	cfg, err := hub.Load(c.File, adapters.Kinds())
	var findings hub.Findings
	switch {
	case errors.As(err, &findings):
		report.OK = false
		report.Findings = asJSON(findings)
	case err != nil:
		return err
	default:
		report.Warnings = asJSON(cfg.Warnings)
	}
	if c.Live && cfg != nil {
		report.Live = c.live(s.ctx, cfg)
		for _, one := range report.Live {
			report.OK = report.OK && one.State != "fails"
		}
	}
	if c.JSON {
		if err := printJSON(s.out, report); err != nil {
			return err
		}
	} else {
		c.print(s, report, findings)
	}
	switch {
	case len(findings) > 0:
		return exit{statusWrong, fmt.Errorf("%s: faults: %d", c.File, len(findings))}
	case !report.OK:
		return exit{statusSilent, errors.New("not every supplier answers")}
	}
	return nil
}

func asJSON(findings hub.Findings) []jsonFinding {
	out := make([]jsonFinding, len(findings))
	for i, f := range findings {
		out[i] = jsonFinding{Line: f.Line, Path: f.Path, Text: f.Text}
	}
	return out
}

func (c checkCmd) live(ctx context.Context, cfg *hub.Config) []jsonHealth {
	health := hub.CheckLive(ctx, cfg, adapters.Kinds(), c.Timeout)
	out := make([]jsonHealth, len(health))
	for i, one := range health {
		out[i] = jsonHealth{Instance: one.Instance, Kind: one.Kind, State: "works"}
		switch {
		case one.Err != nil:
			out[i].State, out[i].Error = "fails", one.Err.Error()
		case !one.Checked:
			out[i].State = "unknown"
		}
	}
	return out
}

func (c checkCmd) print(s *session, report checkReport, findings hub.Findings) {
	for _, f := range findings {
		fmt.Fprintln(s.out, f.Error())
	}
	if len(findings) > 0 {
		return
	}
	for _, w := range report.Warnings {
		fmt.Fprintf(s.out, "%s:%d: warning: %s: %s\n", c.File, w.Line, w.Path, w.Text)
	}
	fmt.Fprintf(s.out, "%s: no faults\n", c.File)
	if len(report.Live) == 0 {
		return
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "INSTANCE\tKIND\tSTATE\tWHY")
	for _, one := range report.Live {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", one.Instance, one.Kind, one.State, shown(one.Error))
	}
	_ = w.Flush() // a terminal that is gone needs no table
}

type schemaCmd struct{}

func (schemaCmd) Run(s *session) error {
	_, err := s.out.Write(configs.Schema())
	return err
}
