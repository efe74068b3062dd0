package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raccordo/adapters/pec"
	"raccordo/contracts"
	"raccordo/hub"
	"raccordo/hub/evidence"
	"raccordo/hub/ledger"
)

type evidenceCmd struct {
	Export evidenceExportCmd `cmd:"" help:"Write the evidence of a ticket, or of all tickets of a case, into a folder that stands alone."`
	Verify evidenceVerifyCmd `cmd:"" help:"Verify such a folder; no hub and no configuration is needed."`
}

type evidenceExportCmd struct {
	Of     string `arg:"" name:"ticket-or-case" help:"Ticket or case."`
	Out    string `required:"" help:"Folder to make; it must not be there yet, or be empty."`
	Config string `default:"hub.yaml" help:"Configuration file."`
	Reason string `default:"evidence asked for" help:"Why; it goes into the ledger."`
	As     string `help:"Who asks; default: the user of this machine."`
	Quiet  bool   `help:"Do not tell how far it has come."`
}

func (c evidenceExportCmd) Run(s *session) error {
	out, err := filepath.Abs(c.Out)
	if err != nil {
		return contracts.Errorf(contracts.Invalid, "evidence export: %w", err)
	}
	if there, err := os.ReadDir(out); err == nil && len(there) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return contracts.Errorf(contracts.Invalid, "evidence export: %s is not an empty folder; name another", c.Out)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		return contracts.Errorf(contracts.Invalid, "evidence export: %w", err)
	}
	half, err := os.MkdirTemp(filepath.Dir(out), ".evidence-*") // a folder of the name asked for is always whole
	if err != nil {
		return contracts.Errorf(contracts.Unavailable, "evidence export: %w", err)
	}
	defer os.RemoveAll(half)
	p := progress{to: s.errOut, quiet: c.Quiet, next: time.Now().Add(progressEvery)}
	err = with(s, c.Config, func(o hub.Operator) error {
		r, w := io.Pipe()
		exported := make(chan error, 1)
		go func() {
			err := o.ExportEvidence(s.ctx, w, evidence.Request{Of: c.Of, Operator: whoever(c.As), Reason: c.Reason})
			w.CloseWithError(err)
			exported <- err
		}()
		err := evidence.Unpack(r, half, p.file)
		r.CloseWithError(errors.New("the export cannot be stored"))
		if first := <-exported; first != nil && (err == nil || contracts.KindOf(first) != contracts.Unavailable) {
			return first // what could not be unpacked follows from it
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return contracts.Errorf(contracts.Unavailable, "evidence export: %w", err)
	}
	if err := os.Rename(half, out); err != nil {
		return contracts.Errorf(contracts.Unavailable, "evidence export: %w", err)
	}
	fmt.Fprintf(s.out, "%s: %d files, %d bytes; begin with cronologia.txt or timeline.txt\n", shown(c.Out), p.files, p.size)
	return nil
}

const progressEvery = 2 * time.Second

// progress tells of long exports.
type progress struct {
	to    io.Writer
	quiet bool
	next  time.Time
	files int
	size  int64
}

func (p *progress) file(f evidence.File) {
	p.files++
	p.size += f.Size
	if now := time.Now(); !p.quiet && now.After(p.next) {
		p.next = now.Add(progressEvery)
		fmt.Fprintf(p.to, "hub: %d files, %d MiB\n", p.files, p.size>>20)
	}
}

type evidenceVerifyCmd struct {
	Dir   string   `arg:"" help:"Folder that export made."`
	Roots string   `help:"Root certificates to trust for receipts, PEM; default: those of this machine."`
	Key   []string `help:"The ledger's public key: base64 as in ledger.trusted, or a PEM file. Without it the key in the folder is used."`
	// Anchors are heads of the ledger that others hold.
	Anchors string `help:"Folder of anchors, as another administrator keeps it: compare the ledger's heads with them."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// errUnproved ends a verification that found faults.
var errUnproved = errors.New("the evidence does not verify")

func (c evidenceVerifyCmd) Run(s *session) error {
	roots, named, err := rootsOf(c.Roots)
	if err != nil {
		return err
	}
	trust := evidence.Trust{Schemes: schemes(roots)}
	for _, k := range c.Key {
		pub, err := publicKey(k)
		if err != nil {
			return contracts.Errorf(contracts.Invalid, "evidence verify: %w", err)
		}
		trust.Keys = append(trust.Keys, pub)
	}
	report, err := evidence.Verify(s.ctx, c.Dir, trust)
	report.Note("receipts are judged by the roots of %s", named)
	if err == nil && c.Anchors != "" {
		err = anchored(&report, c.Anchors, inspectPEC(roots, time.Time{}))
	}
	if c.JSON {
		err = errors.Join(err, printJSON(s.out, struct {
			evidence.Report
			OK bool `json:"ok"`
		}{report, err == nil && report.OK()}))
	} else {
		tellReport(s.out, report)
	}
	if err == nil && !report.OK() {
		err = exit{statusFailed, fmt.Errorf("%w: %d faults", errUnproved, len(report.Faults)+report.More)}
	}
	return err
}

func tellReport(w io.Writer, r evidence.Report) {
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", shown(n))
	}
	for _, f := range r.Faults {
		fmt.Fprintln(w, "FAULT:", shown(f))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "FAULT: and %d more\n", r.More)
	}
	if r.OK() && r.Files > 0 {
		fmt.Fprintf(w, "the evidence verifies: %d tickets, %d receipts, %d files; ledger %s, key %s\n",
			r.Tickets, r.Receipts, r.Files, shown(r.Chain), shown(r.Key))
	}
}

// publicKey reads a ledger's key: base64, or a PEM file.
func publicKey(s string) (ed25519.PublicKey, error) {
	if pub, err := ledger.ParsePublicKey(s); err == nil {
		return pub, nil
	}
	text, err := os.ReadFile(s)
	if err != nil {
		return nil, errors.New("key: neither an Ed25519 public key in base64 nor a file")
	}
	if pub, err := ledger.ParsePublicKey(strings.TrimSpace(string(text))); err == nil {
		return pub, nil
	}
	return ledger.UnmarshalPublicKey(text)
}

// rootsOf are the authorities of a file, or this machine's, and how a report names them.
func rootsOf(file string) (roots *x509.CertPool, named string, err error) {
	if file == "" {
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, "", contracts.Errorf(contracts.Invalid, "evidence verify: this machine has no root certificates, name some with -roots: %w", err)
		}
		return roots, "this machine", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", contracts.Errorf(contracts.Invalid, "evidence verify: roots: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, "", contracts.Errorf(contracts.Invalid, "evidence verify: roots: %s holds no PEM certificate", file)
	}
	return roots, fmt.Sprintf("%s, sha256 %s", file, contracts.SumOf(text)), nil
}

// schemes are those whose receipts this program can read.
func schemes(roots *x509.CertPool) map[string]evidence.Scheme {
	return map[string]evidence.Scheme{"PEC": {
		Read:  func(raw []byte, at time.Time) (contracts.Evidence, error) { return pec.Attest(raw, roots, at), nil },
		Match: matchPEC,
	}}
}

// anchored compares the heads of an export with those that others hold. A closed head that another's next head names as
// the one before it is covered too.
func anchored(r *evidence.Report, dir string, inspect inspector) error {
	anchors, seen, doubts, _, err := anchorsIn(dir, r.Heads, inspect)
	if err != nil {
		return err
	}
	for _, d := range doubts {
		r.Note("anchors: %s", d)
	}
	for i := range r.Heads {
		h := &r.Heads[i]
		if !h.Closed {
			r.Note("segment %d (%s) was still growing when the export was made: no anchor can cover it", h.Segment, h.Day)
			continue
		}
		by := ""
		for _, a := range anchors {
			switch {
			case a.Head.Chain != h.Chain || !a.Head.Closed:
			case a.Head.Segment == h.Segment && a.Head.Digest() != h.Digest(), a.Head.Segment == h.Segment+1 && a.Head.Before != h.Digest():
				r.Fault("the head of segment %d (%s) is not the one in %s: the ledger was written anew, or the anchor", h.Segment, h.Day, a.Source)
			case a.Head.Segment == h.Segment, a.Head.Segment == h.Segment+1 && by == "":
				by = a.Source + instantOf(a.At)
			}
		}
		for _, w := range seen {
			if w.Key == h.AnchorKey() {
				by = w.Source + instantOf(w.At)
			}
		}
		if by == "" {
			r.Note("segment %d (%s) is covered by no anchor in %s", h.Segment, h.Day, dir)
		} else {
			r.Note("segment %d (%s) is as it was when %s was made", h.Segment, h.Day, by)
		}
	}
	return nil
}

func instantOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " (" + t.UTC().Format(time.RFC3339) + ")"
}

// matchPEC compares what a receipt returns with what was sent. Of a receipt "breve" the hashes are information alone: the
// rules can be read in more than one way (pec.md section 4).
func matchPEC(raw, message []byte) evidence.Match {
	returned := pec.Returned(raw)
	if returned == nil {
		return evidence.Match{}
	}
	c := pec.Compare(returned, message)
	m := evidence.Match{Result: c.Result, Fault: c.Result != pec.Match && pec.Inspect(raw, nil, time.Time{}).Ricevuta != "breve"}
	var words []string
	for _, w := range []struct {
		name string
		list []string
	}{{"parts that differ", c.Differ}, {"header fields that differ", c.Headers}, {"hashes", c.Hashes}} {
		if len(w.list) > 0 {
			words = append(words, w.name+": "+strings.Join(w.list, ", "))
		}
	}
	if len(words) > 0 {
		m.Detail = "(" + strings.Join(words, "; ") + ")"
	}
	return m
}
