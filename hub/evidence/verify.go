package evidence

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/hub/ledger"
)

// A Scheme reads the receipts of one scheme of registered mail, without a hub and without its configuration.
type Scheme struct {
	// Read checks the signature of a receipt as of an instant, and tells what the receipt says.
	Read func(raw []byte, at time.Time) (contracts.Evidence, error)
	// Match compares what a receipt returns of a message with the bytes that were sent. Nil: the scheme returns none.
	Match func(raw, message []byte) Match
}

// A Match is whether a receipt returns the message that was sent.
type Match struct {
	Result string // MATCH, MISMATCH; empty: it returns no message
	Detail string // where they differ, or in which form they agree
	// Fault tells a difference that puts the evidence in doubt from one that providers may make.
	Fault bool
}

// Trust is what a verification believes.
type Trust struct {
	Schemes map[string]Scheme   // by Evidence.Scheme
	Keys    []ed25519.PublicKey // of the ledger; none: the folder's own key, and a note says so
}

// A Report is what a verification found.
type Report struct {
	Of       string        `json:"of"`
	Made     time.Time     `json:"made,omitzero"`
	Chain    string        `json:"chain"`
	Key      string        `json:"key"` // with which the heads are signed
	Files    int           `json:"files"`
	Tickets  int           `json:"tickets"`
	Receipts int           `json:"receipts"`        // whose signatures were checked
	Heads    []ledger.Head `json:"heads,omitempty"` // of the segments, as far as they verify; for comparison with anchors
	Faults   []string      `json:"faults,omitempty"`
	More     int           `json:"more,omitempty"` // faults beyond those listed
	Notes    []string      `json:"notes,omitempty"`
}

// maxFaults bounds a report.
const maxFaults = 200

// OK reports whether everything holds.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

// Fault adds what does not hold, within bounds.
func (r *Report) Fault(format string, args ...any) {
	if len(r.Faults) >= maxFaults {
		r.More++
		return
	}
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

// Note adds what is worth knowing, within bounds.
func (r *Report) Note(format string, args ...any) {
	if len(r.Notes) < maxFaults {
		r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
	}
}

// Bounds of what a verifier takes into memory.
const (
	maxText    = 256 << 20 // manifest, sums, story
	maxReceipt = 1 << 30
)

// A verifier looks through one folder.
type verifier struct {
	Report
	trust   Trust
	root    *os.Root
	there   map[string]bool
	sums    map[string]contracts.Sum // of SHA256SUMS, and of what was found
	list    contracts.Sum            // digest of SHA256SUMS
	m       Manifest
	entries map[uint64]contracts.Entry // of the ledger, those that matter
	named   map[string]string          // ticket by the carrier's name of the submission, as acceptances tell
}

// Verify examines a folder that Export filled. The Report's faults say what does not hold; the error, why it could not be
// examined at all.
func Verify(ctx context.Context, dir string, trust Trust) (Report, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, contracts.Errorf(contracts.Invalid, "verify evidence: %w", err)
	}
	v := &verifier{trust: trust, root: root, there: map[string]bool{}, sums: map[string]contracts.Sum{}, entries: map[uint64]contracts.Entry{}, named: map[string]string{}}
	err = v.run(ctx)
	return v.Report, errors.Join(err, root.Close())
}

func (v *verifier) run(ctx context.Context) error {
	if err := v.walk(); err != nil {
		return err
	}
	v.compare(ctx)
	if !v.manifest() {
		return ctx.Err()
	}
	v.ledger()
	v.bound()
	for i := range v.m.Tickets {
		if err := ctx.Err(); err != nil {
			return err
		}
		v.ticket(&v.m.Tickets[i])
	}
	v.Tickets = len(v.m.Tickets)
	return ctx.Err()
}

// walk lists the files: plain ones alone, in folders of plain names.
func (v *verifier) walk() error {
	return fs.WalkDir(v.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return contracts.Errorf(contracts.Invalid, "verify evidence: %w", err)
		case name == ".":
		case len(v.there) > maxFiles:
			return contracts.Errorf(contracts.Invalid, "verify evidence: more than %d files", maxFiles)
		case !validName(name):
			v.Fault("%q: not a name of an export's", name)
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
		case !d.Type().IsRegular():
			v.Fault("%s: not a plain file", name)
		default:
			v.there[name] = true
		}
		return nil
	})
}

// read takes a file into memory.
func (v *verifier) read(name string, most int64) ([]byte, error) {
	f, err := v.root.Open(name)
	if err != nil {
		return nil, errors.New("is missing")
	}
	defer f.Close() // only read from
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("is larger than %d bytes", most)
	}
	return b, err
}

func (v *verifier) digest(name string) (contracts.Sum, error) {
	f, err := v.root.Open(name)
	if err != nil {
		return contracts.Sum{}, err
	}
	defer f.Close() // only read from
	m := meter{w: io.Discard, h: sha256.New()}
	_, err = io.Copy(&m, f)
	return m.sum(), err
}

// compare checks every file against the sums, and that there is no other.
func (v *verifier) compare(ctx context.Context) {
	known := map[string]bool{sumsName: true, chainSums: true}
	for _, list := range []string{sumsName, chainSums} {
		text, err := v.read(list, maxText)
		if err != nil {
			v.Fault("%s: %v", list, err)
			continue
		}
		if list == sumsName {
			v.list = contracts.SumOf(text)
		}
		files, ok := parseSums(text)
		if !ok {
			v.Fault("%s: not as an export writes it", list)
		}
		for _, f := range files {
			if ctx.Err() != nil {
				return
			}
			known[f.Path] = true
			if (list == chainSums) != strings.HasPrefix(f.Path, chainDir+"/") {
				v.Fault("%s: names %s", list, f.Path)
			}
			if !v.there[f.Path] {
				v.Fault("%s: is missing", f.Path)
				continue
			}
			sum, err := v.digest(f.Path)
			switch {
			case err != nil:
				v.Fault("%s: cannot be read: %v", f.Path, err)
			case sum != f.Sum:
				v.Fault("%s: was changed: its digest is not the one in %s", f.Path, list)
			}
			v.sums[f.Path] = sum
			v.Files++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.there)) {
		if !known[name] {
			v.Fault("%s: does not belong to the export", name)
		}
	}
}

// parseSums reads what sums writes, and reports whether it is just that.
func parseSums(text []byte) (files []File, ok bool) {
	for line := range strings.Lines(string(text)) {
		digest, name, two := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		var f File
		if !two || f.Sum.UnmarshalText([]byte(digest)) != nil || !validName(name) {
			return files, false
		}
		f.Path = name
		files = append(files, f)
	}
	return files, bytes.Equal(sums(files), text)
}

// manifest reads the manifest, and reports whether there is something to go on with.
func (v *verifier) manifest() bool {
	text, err := v.read(manifestName, maxText)
	if err != nil {
		v.Fault("%s: %v", manifestName, err)
		return false
	}
	if err := json.Unmarshal(text, &v.m); err != nil {
		v.Fault("%s: cannot be read: %v", manifestName, err)
		return false
	}
	if v.m.Format != Format {
		v.Fault("%s: is of format %d; this program reads format %d", manifestName, v.m.Format, Format)
		return false
	}
	v.Of, v.Made = v.m.Of, v.m.Made
	listed := map[string]bool{}
	for _, f := range v.m.Files {
		listed[f.Path] = true
		if sum, ok := v.sums[f.Path]; !ok {
			v.Fault("%s: names %s, which is not there", manifestName, f.Path)
		} else if sum != f.Sum {
			v.Fault("%s: is not the file of which %s tells", f.Path, manifestName)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.sums)) {
		if !listed[name] && name != manifestName && !strings.HasPrefix(name, chainDir+"/") {
			v.Fault("%s: %s does not tell of it", name, manifestName)
		}
	}
	return true
}

// ledger verifies the segments and takes out the entries that matter.
func (v *verifier) ledger() {
	keys := v.keys()
	if len(keys) == 0 {
		return
	}
	refs := map[string]bool{}
	for _, t := range v.m.Tickets {
		refs[t.ID] = true
	}
	for _, name := range slices.Sorted(maps.Keys(v.there)) {
		if !strings.HasPrefix(name, chainDir+"/segment-") {
			continue
		}
		f, err := v.root.Open(name)
		if err != nil {
			v.Fault("%s: cannot be read: %v", name, err)
			continue
		}
		var head ledger.Head
		report, err := ledger.WalkExport(f, func(h ledger.Head, e contracts.Entry) {
			head = h
			if refs[e.Ref] || e.Op == OpExport {
				v.entries[e.Seq] = e
			}
		}, keys...)
		_ = f.Close() // only read from
		for _, p := range report.Problems {
			v.Fault("%s: %s", name, p)
		}
		if err != nil && len(report.Problems) == 0 {
			v.Fault("%s: %v", name, err)
		}
		v.head(name, head)
	}
}

// head compares a segment with the rest of ledger/.
func (v *verifier) head(name string, h ledger.Head) {
	switch {
	case name != segmentName(h.Segment):
		v.Fault("%s: holds segment %d", name, h.Segment)
	case v.Chain != "" && h.Chain != v.Chain:
		v.Fault("%s: is of another chain", name)
	}
	v.Chain, v.Key = h.Chain, h.Key
	v.Heads = append(v.Heads, h)
	for file, want := range map[string][]byte{headName(h.Segment): h.Signed(), signatureName(h.Segment): h.Signature} {
		if b, err := v.read(file, maxText); err != nil || !bytes.Equal(b, want) {
			v.Fault("%s: is not of the head of %s", file, name)
		}
	}
}

// keys are those whose signatures count.
func (v *verifier) keys() []ed25519.PublicKey {
	text, err := v.read(keyName, maxText)
	if err != nil {
		v.Fault("%s: %v", keyName, err)
		return v.trust.Keys
	}
	own, err := ledger.UnmarshalPublicKey(text)
	if err != nil {
		v.Fault("%s: %v", keyName, err)
		return v.trust.Keys
	}
	if len(v.trust.Keys) == 0 {
		v.Note("the ledger is signed with key %s, which came with the folder: compare it with the one that the administration publishes, or name that", ledger.KeyID(own))
		return []ed25519.PublicKey{own}
	}
	if !slices.ContainsFunc(v.trust.Keys, func(k ed25519.PublicKey) bool { return k.Equal(own) }) {
		v.Fault("%s: is not a key that is trusted here", keyName)
	}
	return v.trust.Keys
}

// bound checks that the ledger speaks of this export: who made it, why, and which files it has.
func (v *verifier) bound() {
	begun, ok := v.entries[v.m.Begun.Seq]
	switch {
	case !ok:
		v.Fault("ledger: the entry %d, by which the export was begun, is not there", v.m.Begun.Seq)
	case !same(begun, v.m.Begun) || begun.Op != OpExport || begun.Outcome != outcomeBegun || begun.Phase != contracts.PhaseOperator:
		v.Fault("%s: does not tell of the export as entry %d does", manifestName, begun.Seq)
	case v.m.Operator != begun.Caller.User || v.m.Reason != begun.Reason || !v.m.Made.Equal(begun.At) || v.m.Of != begun.Ref+begun.Caller.Case:
		v.Fault("%s: who made the export, when or why is not what entry %d says", manifestName, begun.Seq)
	}
	for _, e := range v.entries {
		if e.Op == OpExport && e.Outcome == outcomeWritten && e.Phase == contracts.PhaseOperator && e.Seq > begun.Seq &&
			slices.Contains(e.Proof, v.list) && e.Ref == begun.Ref && e.Caller == begun.Caller {
			return
		}
	}
	v.Fault("%s: the ledger does not name these sums: files were changed together with them", sumsName)
}

// same compares by what JSON says.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
