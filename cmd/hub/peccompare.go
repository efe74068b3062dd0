package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"raccordo/adapters/pec"
	"raccordo/contracts"
)

type pecCompareCmd struct {
	Receipt string `arg:"" help:"Delivery receipt that returns the message, of form completa or breve (.eml)."`
	Sent    string `arg:"" help:"The message as it was sent (.eml): in an export, the message that was kept."`
	JSON    bool   `name:"json" help:"Print one JSON object."`
}

// Run tells whether the message that a receipt returns is the one that was sent. That it is not is told, and no failure:
// providers may rewrite what they carry.
func (c pecCompareCmd) Run(s *session) error {
	receipt, err := small(c.Receipt)
	if err != nil {
		return err
	}
	sent, err := small(c.Sent)
	if err != nil {
		return err
	}
	returned := pec.Returned(receipt)
	if returned == nil {
		return contracts.Errorf(contracts.Invalid, "pec compare: %s returns no message: only receipts of form completa or breve do", c.Receipt)
	}
	got := pec.Compare(returned, sent)
	if c.JSON {
		return printLine(s.out, got)
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "result\t%s\nparts\t%d\n", got.Result, got.Parts)
	for _, line := range []struct {
		name  string
		words []string
	}{{"hashes of", got.Hashes}, {"parts that differ", got.Differ}, {"headers that differ", got.Headers}} {
		if len(line.words) > 0 {
			fmt.Fprintf(w, "%s\t%s\n", line.name, shown(strings.Join(line.words, " ")))
		}
	}
	return w.Flush()
}

// small reads a file that a provider would carry.
func small(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxInspected {
		return nil, contracts.Errorf(contracts.Invalid, "%s has more than %d bytes", name, int64(maxInspected))
	}
	return os.ReadFile(name)
}
