package evidence_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/evidence"
	"raccordo/hub/ledger"
)

func ledgerQuery(ref string) ledger.Query { return ledger.Query{Ref: ref} }

// resum makes the sums agree with the files again, as somebody would who can change all of the folder.
func resum(t testing.TB, dir string) {
	t.Helper()
	for _, list := range []string{"SHA256SUMS", "ledger/SHA256SUMS"} {
		var out strings.Builder
		for line := range strings.Lines(read(t, dir, list)) {
			name := strings.TrimSuffix(line[66:], "\n")
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				out.WriteString(contracts.SumOf(b).String() + "  " + name + "\n")
			}
		}
		put(t, dir, list, out.String())
	}
}

func TestAFlippedByteIsFoundInEveryFile(t *testing.T) {
	d := newDesk(t)
	dir := d.export(d.delivered("k1", "P-1"))
	for _, name := range files(t, dir) {
		was := read(t, dir, name)
		for _, at := range []int{0, len(was) / 3, len(was) - 1} {
			b := []byte(was)
			b[at] ^= 1
			put(t, dir, name, string(b))
			if r := verify(t, dir, trust()); r.OK() {
				t.Errorf("%s: byte %d flipped, and nothing is said", name, at)
			}
		}
		put(t, dir, name, was)
	}
	if r := verify(t, dir, trust()); !r.OK() {
		t.Errorf("put back: %+v", r)
	}
}

func TestTamperingIsFound(t *testing.T) {
	const (
		acceptance = "receipts/001-pec.accettazione.eml"
		delivery   = "receipts/002-pec.avvenuta-consegna.eml"
	)
	edit := func(name, old, new string) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			was := read(t, dir, name)
			if !strings.Contains(was, old) {
				t.Fatalf("%s does not hold %q", name, old)
			}
			put(t, dir, name, strings.Replace(was, old, new, 1))
		}
	}
	remove := func(name string) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	both := func(steps ...func(testing.TB, string)) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			for _, s := range steps {
				s(t, dir)
			}
		}
	}
	resummed := func(t testing.TB, dir string) { resum(t, dir) }
	swap := func(t testing.TB, dir string) {
		a, b := read(t, dir, acceptance), read(t, dir, delivery)
		put(t, dir, acceptance, b)
		put(t, dir, delivery, a)
	}
	// inManifest makes the manifest agree with a file again.
	inManifest := func(name string) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			b := []byte(read(t, dir, name))
			text := read(t, dir, "SHA256SUMS")
			at := strings.Index(text, "  "+name+"\n")
			old := text[at-64 : at]
			put(t, dir, "manifest.json", strings.ReplaceAll(read(t, dir, "manifest.json"), old, contracts.SumOf(b).String()))
		}
	}
	d := newDesk(t)
	whole := d.export(d.delivered("k1", "P-1"))
	for _, c := range []struct {
		name   string
		tamper func(testing.TB, string)
		says   string
	}{
		{"a receipt removed", remove(delivery), delivery + ": is missing"},
		{"the message removed, and its sum", both(remove("message.eml"), resummed), "the ledger does not name these sums"},
		{"a file added", func(t testing.TB, dir string) { put(t, dir, "receipts/004-pec.avvenuta-consegna.eml", "x") }, "does not belong to the export"},
		{"a file added with a foreign name", func(t testing.TB, dir string) { put(t, dir, "a b", "x") }, "not a name of an export's"},
		{"a link added", func(t testing.TB, dir string) {
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, "passwd")); err != nil {
				t.Skip(err)
			}
		}, "not a plain file"},
		{"receipts swapped", swap, "was changed"},
		{"receipts swapped, and their sums", both(swap, resummed), "is not the receipt that the ledger knows"},
		{"the timeline edited", edit("timeline.txt", "DELIVERY", "FAILURE"), "timeline.txt: does not tell what the evidence says"},
		{"the timeline edited, and its sums", both(edit("cronologia.txt", "CONSEGNA", "RIFIUTO"), inManifest("cronologia.txt"), resummed), "cronologia.txt: does not tell"},
		{"the message edited, with manifest and sums", both(edit("message.eml", "4711", "4712"), inManifest("message.eml"), resummed), "the ledger does not say that the message"},
		{"a receipt edited, with manifest and sums", both(edit(delivery, "mario.rossi", "mario.bossi"), inManifest(delivery), resummed), "is not the receipt that the ledger knows"},
		{"a receipt edited: its signature", both(edit(delivery, "mario.rossi", "mario.bossi"), inManifest(delivery), resummed), "its signature check gives BAD_SIGNATURE"},
		{"the story edited, with sums", both(edit("story.json", "opec1", "opec2"), inManifest("story.json"), resummed), "is not the one of ledger and story"},
		{"the verdict in manifest and story", both(edit("story.json", `BAD_SIGNATURE`, `VALID`), edit("story.json", `counts": false`, `counts": true`),
			edit("manifest.json", `BAD_SIGNATURE`, `VALID`), edit("manifest.json", `counts": false`, `counts": true`), inManifest("story.json"), resummed), "its signature check gives BAD_SIGNATURE"},
		{"an instant in the manifest", both(edit("manifest.json", `"issued_at": "2026-03-02T00`, `"issued_at": "2026-03-02T01`), resummed), "is not the one of ledger and story"},
		{"an instant everywhere", both(edit("manifest.json", `"issued_at": "2026-03-02T00`, `"issued_at": "2026-03-02T01`), edit("story.json", `"issued_at": "2026-03-02T00`, `"issued_at": "2026-03-02T01`),
			inManifest("story.json"), resummed), "says otherwise than manifest.json: instant"},
		{"who exported", both(edit("manifest.json", `"operator": "g.operatrice"`, `"operator": "h.operatore"`), resummed), "who made the export"},
		{"a command", both(edit("manifest.json", "openssl cms", "rm -rf"), resummed), "commands"},
		{"the subject", both(edit("manifest.json", "Preavviso", "Annullo"), resummed), "its Message-ID or subject"},
		{"an attempt in the manifest", both(edit("manifest.json", `"status": "250`, `"status": "550`), resummed), "are not those of the ledger"},
		{"an entry in the ledger", both(edit("ledger/segment-000001.jsonl", `"250 2.0.0"`, `"550 5.7.1"`), resummed), "was changed: its digest does not fit"},
		{"an entry removed from the ledger", both(func(t testing.TB, dir string) {
			lines := strings.SplitAfter(read(t, dir, "ledger/segment-000001.jsonl"), "\n")
			put(t, dir, "ledger/segment-000001.jsonl", strings.Join(append(lines[:3:3], lines[4:]...), ""))
		}, resummed), "missing"},
		{"a segment removed", both(remove("ledger/segment-000001.jsonl"), resummed), "are not those of the ledger"},
		{"a head", both(edit("ledger/segment-000001.jsonl", `"closed":true`, `"closed":false`), resummed), "signature does not fit"},
		{"a head's signature", both(func(t testing.TB, dir string) { put(t, dir, "ledger/head-000001.sig", "x") }, resummed), "is not of the head of"},
		{"another key", both(func(t testing.TB, dir string) {
			text, err := ledger.MarshalPublicKey(make([]byte, 32))
			if err != nil {
				t.Fatal(err)
			}
			put(t, dir, "ledger/key.pem", string(text))
		}, resummed), "is not trusted here"},
		{"no manifest", remove("manifest.json"), "manifest.json: is missing"},
		{"a manifest of the future", both(edit("manifest.json", `"format": 1`, `"format": 2`), resummed), "this program reads format 1"},
		{"a manifest that is none", both(func(t testing.TB, dir string) { put(t, dir, "manifest.json", "[") }, resummed), "cannot be read"},
		{"a manifest with blanks", both(edit("manifest.json", `"format": 1`, `"format":  1`), resummed), "the ledger does not name these sums"},
		{"a line of the sums", edit("SHA256SUMS", "  ", " "), "SHA256SUMS: not as an export writes it"},
		{"a timeline removed", remove("timeline.txt"), "timeline.txt: is missing"},
		{"no sums", remove("SHA256SUMS"), "SHA256SUMS: is missing"},
		{"a missing thing unsaid", both(edit("manifest.json", `"file": "message.eml",`, ``), resummed), "not said to be missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			c.tamper(t, dir)
			r := verify(t, dir, trust())
			if !strings.Contains(strings.Join(r.Faults, "\n"), c.says) {
				t.Errorf("want %q among\n%s", c.says, strings.Join(r.Faults, "\n"))
			}
		})
	}
}

// Whoever has no key known from elsewhere is told so; whoever has one is not deceived by another's ledger.
func TestAnotherLedgerDoesNotPassForOurs(t *testing.T) {
	d := newDesk(t)
	dir := d.export(d.delivered("k1", "P-1"))
	if r := verify(t, dir, trust()); len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "compare it") {
		t.Errorf("%q", r.Notes)
	}
	with := trust()
	with.Keys = append(with.Keys, make([]byte, 32))
	if r := verify(t, dir, with); r.OK() || !strings.Contains(strings.Join(r.Faults, "\n"), "is not trusted here") {
		t.Errorf("%q", r.Faults)
	}
	none := evidence.Trust{}
	if r := verify(t, dir, none); r.OK() || !strings.Contains(strings.Join(r.Faults, "\n"), "cannot check the scheme «TOY»") {
		t.Errorf("%q", r.Faults)
	}
}
