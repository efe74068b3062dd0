package main

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raccordo/adapters/pec"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub"
	"raccordo/hub/ledger"
)

const (
	maxAnchorFiles = 200_000  // in the folder; receipts of several hundred years
	maxAnchorFile  = 64 << 20 // of one file
	maxMailDepth   = 8        // multipart in message in multipart …
	maxMailParts   = 64       // of one multipart
)

// A vouching is what a message file says about heads, as a carrier signed it.
type vouching struct {
	believed bool
	why      string // where it is not
	ticket   string // of the message that it is about; empty: not one of a hub's
	at       time.Time
	heads    []ledger.Head // shown in the signed part
}

// An inspector reads a message file of one scheme.
type inspector func(raw []byte) vouching

// inspectPEC is the inspector of PEC, with the authorities that are believed and the instant at which (zero: now).
func inspectPEC(roots *x509.CertPool, at time.Time) inspector {
	return func(raw []byte) (v vouching) {
		seen := pec.Inspect(raw, roots, at)
		v.believed, v.ticket = seen.Believed(), ticketOf(seen.MsgID)
		v.why = strings.TrimSpace(string(seen.Verdict) + " " + seen.Reason)
		v.heads = headsIn(raw)
		at, err := time.Parse(time.RFC3339, seen.Data)
		if err != nil && v.believed {
			v.believed, v.why = false, "it tells no time"
		}
		v.at = at
		return v
	}
}

// ticketOf is the ticket in a Message-ID that the hub made: <h1.TICKET.GENERATION@DOMAIN>.
func ticketOf(id string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(strings.TrimSpace(id), "<"), "h1.")
	ticket, _, more := strings.Cut(rest, ".")
	if !ok || !more {
		return ""
	}
	return ticket
}

// anchorsIn reads a folder as another administrator keeps it: the hub's anchor files, and messages and receipts one to a
// file. What bears on other things is passed over and counted.
func anchorsIn(dir string, heads []ledger.Head, inspect inspector) (anchors []ledger.Anchor, seen []ledger.Witness, doubts []string, other int, err error) {
	tickets := map[string]string{} // the heads' keys by the tickets of their messages
	for i := range heads {
		key := heads[i].AnchorKey()
		tickets[contracts.TicketID("hub", delivery.OpSend.Name, key)] = key
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if files++; files > maxAnchorFiles {
			return contracts.Errorf(contracts.Invalid, "anchors: %s holds more than %d files", dir, maxAnchorFiles)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		raw, err := readUpTo(path, maxAnchorFile)
		if err != nil {
			return err
		}
		if raw == nil {
			doubts = append(doubts, fmt.Sprintf("%s has more than %d bytes and was not read", name, maxAnchorFile))
			return nil
		}
		if ext := filepath.Ext(path); ext == ".jsonl" || ext == ".json" {
			found, bad, err := ledger.ReadAnchors(bytes.NewReader(raw))
			for _, h := range found {
				anchors = append(anchors, ledger.Anchor{Head: h, Source: name})
			}
			for _, n := range bad {
				doubts = append(doubts, fmt.Sprintf("%s, line %d: cannot be read", name, n))
			}
			return err
		}
		v := inspect(raw)
		key, ours := tickets[v.ticket]
		switch {
		case len(v.heads) == 0 && !ours:
			other++
		case !v.believed:
			doubts = append(doubts, fmt.Sprintf("%s cannot be believed: %s", name, v.why))
		case len(v.heads) > 0:
			for _, h := range v.heads {
				anchors = append(anchors, ledger.Anchor{Head: h, Source: name, At: v.at})
			}
		default:
			seen = append(seen, ledger.Witness{Key: key, Source: name, At: v.at})
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = contracts.Errorf(contracts.Invalid, "anchors: %w", err)
	}
	return anchors, seen, doubts, other, err
}

// readUpTo gives nil for a file that is larger.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || int64(len(raw)) > most {
		return nil, err
	}
	return raw, nil
}

// headsIn gives the heads attached inside the signed part of a message, as far as it can be read.
func headsIn(raw []byte) (heads []ledger.Head) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/signed" {
		return nil // what nobody signed vouches for nothing
	}
	signed, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		return nil
	}
	walkMail(signed.Header.Get, signed, 0, &heads)
	return heads
}

func walkMail(header func(string) string, body io.Reader, depth int, heads *[]ledger.Head) {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil || depth > maxMailDepth {
		return
	}
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		parts := multipart.NewReader(body, params["boundary"])
		for range maxMailParts {
			p, err := parts.NextRawPart()
			if err != nil {
				return
			}
			walkMail(p.Header.Get, p, depth+1, heads)
		}
	case kind == "message/rfc822":
		inner, err := mail.ReadMessage(decoded(header, body))
		if err != nil {
			return
		}
		walkMail(inner.Header.Get, inner.Body, depth+1, heads)
	case kind == "application/json":
		found, _, err := ledger.ReadAnchors(io.LimitReader(decoded(header, body), 64<<10))
		if err == nil {
			*heads = append(*heads, found...)
		}
	}
}

func decoded(header func(string) string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(header("Content-Transfer-Encoding"))) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// anchorRoots are the authorities that the configured PEC adapters believe, or those of a file.
func anchorRoots(cfg *hub.Config, file string) (*x509.CertPool, error) {
	files := []string{file}
	if file == "" {
		files = nil
		for _, in := range cfg.Adapters {
			if c, ok := in.Config.(*pec.Config); ok {
				files = append(files, c.Roots)
			}
		}
	}
	roots := x509.NewCertPool()
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "roots: %w", err)
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, contracts.Errorf(contracts.Invalid, "roots: %s holds no PEM certificate", name)
		}
	}
	return roots, nil
}

// verifyAnchors compares the heads of a hub with what a folder holds.
func verifyAnchors(s *session, o hub.Operator, cfg *hub.Config, report ledger.Report, c ledgerVerifyCmd) (ledger.AnchorReport, error) {
	roots, err := anchorRoots(cfg, c.Roots)
	if err != nil {
		return ledger.AnchorReport{}, err
	}
	var heads []ledger.Head
	for after := uint64(0); ; {
		page, err := o.Heads(s.ctx, after)
		if err != nil {
			return ledger.AnchorReport{}, err
		}
		if len(page) == 0 {
			break
		}
		heads, after = append(heads, page...), page[len(page)-1].Segment
	}
	anchors, seen, doubts, other, err := anchorsIn(c.Anchors, heads, inspectPEC(roots, c.At))
	if err != nil {
		return ledger.AnchorReport{}, err
	}
	now := c.At
	if now.IsZero() {
		now = time.Now()
	}
	out := ledger.CompareAnchors(report.Chain, heads, anchors, seen, now)
	out.Other += other
	for _, doubt := range doubts {
		out.Problem("%s", doubt)
	}
	return out, out.Err()
}

func printAnchors(w io.Writer, r ledger.AnchorReport) {
	for _, problem := range r.Problems {
		fmt.Fprintln(w, shown(problem))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	for _, late := range r.Late {
		fmt.Fprintf(w, "late: %s\n", late)
	}
	for _, m := range r.Segments {
		fmt.Fprintf(w, "segment %d (%s): in %d files, vouched for by %d messages and receipts, since %s\n", m.Segment, m.Day, m.Files, m.Carried, stamp(m.At))
	}
	for _, n := range r.Bare {
		by := "covered by a later head"
		if n > r.Covered {
			by = "covered by none"
		}
		fmt.Fprintf(w, "segment %d: nobody has its own head; %s\n", n, by)
	}
	if r.Other > 0 {
		fmt.Fprintf(w, "%d files and heads bear on other things\n", r.Other)
	}
	if len(r.Problems) == 0 {
		fmt.Fprintf(w, "the anchors agree: %d closed segments, covered up to segment %d\n", r.Closed, r.Covered)
	}
}
