package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"raccordo/adapters"
	"raccordo/adapters/pec"
	"raccordo/contracts"
	"raccordo/hub"
)

type planCmd struct {
	Messages   int    `required:"" help:"How many messages there are to send."`
	By         string `help:"When the last delivery receipt shall be in: RFC 3339, or \"2006-01-02 15:04\" in Italy. Not given: whenever."`
	From       string `help:"When sending begins; now, if not given."`
	Config     string `help:"Configuration file whose mailboxes are to carry them."`
	Role       string `help:"Sender role; needed where the configuration has several."`
	Size       int    `default:"50000" help:"Bytes of one message, encoded: the attachments times 1.37."`
	Recipients int    `default:"1" help:"Recipients of one message."`
	Used       int    `help:"How full the mailboxes are now, in percent of their quota."`
	Mailboxes  int    `default:"1" help:"Without a configuration: how many mailboxes."`
	PerMinute  int    `default:"6" help:"Without a configuration: messages a minute from one mailbox."`
	Quota      int64  `help:"Bytes that one mailbox holds, where the configuration does not say."`
	Receipt    string `default:"completa" enum:"completa,breve,sintetica" help:"Without a configuration: form of receipts (completa, breve, sintetica)."`
	JSON       bool   `name:"json" help:"Print one JSON object."`
}

// A planReport is what `pec plan -json` prints.
type planReport struct {
	Role       string          `json:"role,omitempty"`
	Messages   int             `json:"messages"`
	Size       int             `json:"size"`
	Recipients int             `json:"recipients"`
	From       time.Time       `json:"from"`
	By         time.Time       `json:"by,omitzero"`
	Fits       bool            `json:"fits"`
	Carried    int             `json:"carried"`
	Done       time.Time       `json:"done,omitzero"`
	Hours      float64         `json:"hours,omitempty"`
	PerHour    float64         `json:"per_hour"`
	Receipts   int64           `json:"receipt_bytes"`
	Bottleneck string          `json:"bottleneck,omitempty"`
	Mailboxes  []plannedReport `json:"mailboxes"`
	Advice     []string        `json:"advice"`
	Assumed    []string        `json:"assumed"`
}

type plannedReport struct {
	Name     string  `json:"name"`
	Messages int     `json:"messages"`
	Receipts int64   `json:"receipt_bytes"`
	Fill     float64 `json:"fill,omitempty"`
	Brief    int     `json:"brief,omitempty"`
}

const (
	maxPlanned = 10_000_000
	maxPool    = 10_000
)

// Run foretells. A load that does not fit is a failure.
func (c planCmd) Run(s *session) error {
	load, role, err := c.load(contracts.SystemClock{}.Now())
	if err != nil {
		return err
	}
	f := pec.Plan(load)
	report := planReport{
		Role: role, Messages: load.Messages, Size: load.Size, Recipients: load.Recipients, From: load.From, By: load.By,
		Fits: f.Fits, Carried: f.Carried, Done: f.Done, PerHour: f.PerHour, Receipts: f.Receipts, Bottleneck: f.Bottleneck,
		Mailboxes: []plannedReport{}, Advice: append([]string{}, f.Advice...), Assumed: assumed(load),
	}
	if !f.Done.IsZero() {
		report.Hours = f.Done.Sub(load.From).Hours()
	}
	for _, m := range f.Mailboxes {
		report.Mailboxes = append(report.Mailboxes, plannedReport(m))
	}
	if c.JSON {
		err = printJSON(s.out, report)
	} else {
		err = report.print(s)
	}
	if err == nil && !f.Fits {
		return errors.New("pec plan: the mailboxes cannot carry it")
	}
	return err
}

func assumed(l pec.Load) []string {
	return []string{
		fmt.Sprintf("one message takes %v on the wire", l.Submission),
		fmt.Sprintf("its delivery receipt is there %v later and read within %v; recipients of slow providers come later, up to 24 h", l.Delivery, l.Poll),
		"a receipt weighs 13 KiB, and with form completa the message besides",
		"nobody else sends from these mailboxes",
	}
}

// load is what the command line asks to plan for.
func (c planCmd) load(now time.Time) (l pec.Load, role string, err error) {
	wrong := func(format string, args ...any) (pec.Load, string, error) {
		return l, "", contracts.Errorf(contracts.Invalid, "pec plan: "+format, args...)
	}
	switch {
	case c.Messages < 1 || c.Messages > maxPlanned:
		return wrong("-messages: want 1 to %d", maxPlanned)
	case c.Size < 1 || c.Size > 1<<30:
		return wrong("-size: want 1 to %d", 1<<30)
	case c.Recipients < 1 || c.Recipients > 500:
		return wrong("-recipients: want 1 to 500")
	case c.Used < 0 || c.Used > 100:
		return wrong("-used: want 0 to 100")
	case c.Mailboxes < 1 || c.Mailboxes > maxPool:
		return wrong("-mailboxes: want 1 to %d", maxPool)
	case c.PerMinute < 1 || c.PerMinute > 10_000:
		return wrong("-per-minute: want 1 to 10000")
	case c.Quota < 0:
		return wrong("-quota: want a number of bytes")
	}
	if c.Config == "" {
		l = pec.Default().(*pec.Config).PoolOf(c.Mailboxes, c.PerMinute, c.Receipt)
	} else if l, role, err = c.configured(); err != nil {
		return l, "", err
	}
	for i := range l.Pool {
		m := &l.Pool[i]
		if m.Quota == 0 {
			m.Quota = c.Quota
		}
		m.Used = m.Quota / 100 * int64(c.Used)
	}
	l.Messages, l.Size, l.Recipients, l.From = c.Messages, c.Size, c.Recipients, now.Truncate(time.Second)
	if c.From != "" {
		if l.From, err = instant(c.From); err != nil {
			return wrong("-from: %w", err)
		}
	}
	if c.By != "" {
		if l.By, err = instant(c.By); err != nil {
			return wrong("-by: %w", err)
		}
	}
	return l, role, nil
}

// configured finds the role's mailboxes in the configuration file.
func (c planCmd) configured() (l pec.Load, role string, err error) {
	cfg, err := hub.Load(c.Config, adapters.Kinds())
	if err != nil {
		return l, "", err
	}
	found, roles := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Adapters)) {
		kind, ok := cfg.Adapters[name].Config.(*pec.Config)
		if !ok {
			continue
		}
		roles = append(roles, kind.Roles()...)
		wanted := c.Role
		if wanted == "" && len(kind.Roles()) == 1 {
			wanted = kind.Roles()[0]
		}
		if one, known := kind.Load(wanted); known {
			l, role = one, wanted
			found++
		}
	}
	if found != 1 || c.Role == "" && len(roles) > 1 {
		return l, "", contracts.Errorf(contracts.Invalid, "pec plan: -role: want one of %s", strings.Join(roles, ", "))
	}
	return l, role, nil
}

// instant reads RFC 3339, or a day and an hour in Italy.
func instant(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	italy, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, italy); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New(`want an instant: 2026-11-23T18:00:00+01:00 or "2026-11-23 18:00"`)
}

func (r planReport) print(s *session) error {
	const gigabyte = 1e9
	fmt.Fprintf(s.out, "%d messages of %d bytes to %d recipients each: %.0f an hour, %.2f GB of receipts\n", r.Messages, r.Size, r.Recipients, r.PerHour, float64(r.Receipts)/gigabyte)
	switch {
	case r.Done.IsZero():
		fmt.Fprintf(s.out, "not carried: %d of them; bottleneck: %s\n", r.Messages-r.Carried, r.Bottleneck)
	case r.By.IsZero():
		fmt.Fprintf(s.out, "done after %.1f hours, at %s\n", r.Hours, r.Done.Format(time.RFC3339))
	case r.Fits:
		fmt.Fprintf(s.out, "fits: done after %.1f hours, at %s, before %s\n", r.Hours, r.Done.Format(time.RFC3339), r.By.Format(time.RFC3339))
	default:
		fmt.Fprintf(s.out, "does not fit: done after %.1f hours, at %s, and wanted by %s; bottleneck: %s\n", r.Hours, r.Done.Format(time.RFC3339), r.By.Format(time.RFC3339), r.Bottleneck)
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "MAILBOX\tMESSAGES\tRECEIPTS GB\tQUOTA\tWITHOUT THE MESSAGE")
	for _, m := range r.Mailboxes {
		fill := "-"
		if m.Fill > 0 {
			fill = fmt.Sprintf("%.0f %%", 100*m.Fill)
		}
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%s\t%d\n", m.Name, m.Messages, float64(m.Receipts)/gigabyte, fill, m.Brief)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, line := range r.Advice {
		fmt.Fprintln(s.out, "advice:", line)
	}
	for _, line := range r.Assumed {
		fmt.Fprintln(s.out, "assumed:", line)
	}
	return nil
}
