package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"raccordo/adapters/pec"
	"raccordo/contracts"
)

type pecCmd struct {
	Inspect pecInspectCmd `cmd:"" help:"Read PEC message files, and tell what they say and whether they can be believed. Needs no configuration."`
	Compare pecCompareCmd `cmd:"" help:"Tell whether the message that a delivery receipt returns is the one that was sent."`
	Plan    planCmd       `cmd:"" help:"Foretell whether a role's mailboxes can carry a number of messages by an instant, and what would help."`
}

// maxInspected is the largest file that is read: more than any provider takes, half as much again for its encoding.
const maxInspected = 256 << 20

type pecInspectCmd struct {
	Files []string  `arg:"" name:"file" help:"Message files as fetched or saved (.eml), or daticert.xml alone."`
	Roots string    `help:"PEM file of the authorities that are believed; without it nobody is, and the exit status tells only whether the files could be read."`
	At    time.Time `help:"Judge the certificates as of this instant (RFC 3339), best that of first sight; now, if not given."`
	JSON  bool      `name:"json" help:"Print one JSON object a line for each file. Addresses stand there in full."`
}

// Run looks at each file. With roots, a file that cannot be believed is a failure.
func (c pecInspectCmd) Run(s *session) error {
	var roots *x509.CertPool
	if c.Roots != "" {
		pem, err := os.ReadFile(c.Roots)
		if err != nil {
			return contracts.Errorf(contracts.Invalid, "roots: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return contracts.Errorf(contracts.Invalid, "roots: %s holds no PEM certificate", c.Roots)
		}
	}
	unread, doubtful := 0, 0
	for _, name := range c.Files {
		seen, err := inspected(name, roots, c.At)
		if err != nil {
			unread++
			fmt.Fprintln(s.errOut, "hub:", shown(err.Error()))
			continue
		}
		if !seen.Believed() {
			doubtful++
		}
		if c.JSON {
			err = printLine(s.out, seen)
		} else {
			err = printInspection(s.out, seen)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case unread > 0:
		return fmt.Errorf("pec inspect: %d of %d files could not be read", unread, len(c.Files))
	case roots != nil && doubtful > 0:
		return fmt.Errorf("pec inspect: %d of %d files cannot be believed", doubtful, len(c.Files))
	}
	return nil
}

func inspected(name string, roots *x509.CertPool, at time.Time) (pec.Inspection, error) {
	f, err := os.Open(name)
	if err != nil {
		return pec.Inspection{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxInspected+1))
	if err != nil {
		return pec.Inspection{}, err
	}
	seen := pec.Oversize()
	if len(raw) <= maxInspected {
		seen = pec.Inspect(raw, roots, at)
	}
	seen.File = name
	return seen, nil
}

// printLine writes a value as one line of JSON in which no character can work upon a terminal.
func printLine(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	var line strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		switch hi, lo := utf16.EncodeRune(r); {
		case unicode.IsGraphic(r) && r != unicode.ReplacementChar:
			line.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&line, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&line, `\u%04x`, r)
		}
	}
	_, err := fmt.Fprintln(w, line.String())
	return err
}

func printInspection(out io.Writer, i pec.Inspection) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, shown(value))
		}
	}
	line("file", i.File)
	line("verdict", string(i.Verdict))
	line("reason", i.Reason)
	line("signer", i.Signer)
	line("tipo", i.Tipo)
	line("errore", i.Errore)
	line("data", i.Data)
	line("gestore", i.Gestore)
	line("identificativo", i.Identificativo)
	line("msgid", i.MsgID)
	line("header msgid", i.HeaderMsgID)
	line("mittente", i.Mittente.Reveal())
	for _, p := range i.Destinatari {
		line("destinatario", p.Address.Reveal()+"  ("+p.Tipo+")")
	}
	line("consegna", i.Consegna.Reveal())
	line("ricevuta", i.Ricevuta)
	line("anomalies", strings.Join(i.Anomalies, " "))
	fmt.Fprintln(w)
	return w.Flush()
}
