package evidence_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/evidence"
)

// reseal makes sums and ledger agree with a changed folder, as somebody could who has the hub's key as well: what is still
// found is found by comparing the evidence with itself.
func (d *desk) reseal(dir string) {
	d.t.Helper()
	resum(d.t, dir)
	var m evidence.Manifest
	if err := json.Unmarshal([]byte(read(d.t, dir, "manifest.json")), &m); err != nil {
		d.t.Fatal(err)
	}
	begun := m.Begun
	written := d.enter(contracts.Entry{
		Phase: begun.Phase, Outcome: "written", Op: begun.Op, Ref: begun.Ref, Caller: begun.Caller, Reason: begun.Reason,
		Proof: []contracts.Sum{contracts.SumOf([]byte(read(d.t, dir, "SHA256SUMS")))},
	})
	h, err := d.Segment(d.t.Context(), written.Seq)
	if err != nil {
		d.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := d.ExportSegment(d.t.Context(), &out, h); err != nil {
		d.t.Fatal(err)
	}
	put(d.t, dir, "ledger/segment-000002.jsonl", out.String())
	put(d.t, dir, "ledger/head-000002.bin", string(h.Signed()))
	put(d.t, dir, "ledger/head-000002.sig", string(h.Signature))
	resum(d.t, dir)
}

func TestAHubThatLiesIsFound(t *testing.T) {
	manifest := func(change func(*evidence.Manifest)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			var m evidence.Manifest
			if err := json.Unmarshal([]byte(read(t, dir, "manifest.json")), &m); err != nil {
				t.Fatal(err)
			}
			change(&m)
			text, err := evidence.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			put(t, dir, "manifest.json", string(text))
		}
	}
	// file changes a file and what the manifest says of its bytes.
	file := func(name, old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			was := read(t, dir, name)
			if !strings.Contains(was, old) {
				t.Fatalf("%s does not hold %q", name, old)
			}
			text := strings.ReplaceAll(was, old, new)
			put(t, dir, name, text)
			manifest(func(m *evidence.Manifest) {
				for i := range m.Files {
					if m.Files[i].Path == name {
						m.Files[i].Sum = contracts.SumOf([]byte(text))
					}
				}
			})(t, dir)
		}
	}
	d := newDesk(t)
	whole := d.export(d.delivered("k1", "P-1"))
	for _, c := range []struct {
		name string
		lie  func(*testing.T, string)
		says string
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"why it was exported", manifest(func(m *evidence.Manifest) { m.Begun.Reason = "x" }), "does not tell of the export as entry"},
		{"who exported", manifest(func(m *evidence.Manifest) { m.Operator = "x" }), "who made the export"},
		{"the entry of the export", manifest(func(m *evidence.Manifest) { m.Begun.Seq = 999 }), "by which the export was begun, is not there"},
		{"a file left out", manifest(func(m *evidence.Manifest) { m.Files = m.Files[1:] }), "manifest.json does not tell of it"},
		{"a file too many", manifest(func(m *evidence.Manifest) { m.Files = append(m.Files, evidence.File{Path: "x"}) }), "names x, which is not there"},
		{"other bytes", manifest(func(m *evidence.Manifest) { m.Files[0].Sum[0]++ }), "is not the file of which manifest.json tells"},
		{"a story of another ticket", file("story.json", `"ref": "`, `"ref": "x`), "is about another ticket"},
		{"a story of another kind", file("story.json", `"kind": "pec.errore`, `"kind": "pec.errure`), "the ledger does not know event 3"},
		{"a story that is none", file("story.json", "[", "{"), "story.json: cannot be read"},
		{"another message", manifest(func(m *evidence.Manifest) { m.Tickets[0].Messages[0].Sum[0]++ }), "is not the message of which manifest.json tells"},
		{"a message that was not sent", manifest(func(m *evidence.Manifest) { m.Tickets[0].Messages[0].Sum[0]++ }), "the ledger does not say that the message"},
		{"no message", manifest(func(m *evidence.Manifest) { m.Tickets[0].Messages = nil }), "which is not mentioned"},
		{"its subject", manifest(func(m *evidence.Manifest) { m.Tickets[0].Messages[0].Subject = "x" }), "its Message-ID or subject"},
		{"a receipt left out", manifest(func(m *evidence.Manifest) { m.Tickets[0].Receipts = m.Tickets[0].Receipts[:2] }), "the ledger knows 3 receipts, manifest.json 2"},
		{"what it is evidence of", manifest(func(m *evidence.Manifest) { m.Tickets[0].Receipts[2].Evidence.Counts = true }), "is not the one of ledger and story"},
		{"which file it is", manifest(func(m *evidence.Manifest) { m.Tickets[0].Receipts[1].File = m.Tickets[0].Receipts[0].File }), "is not the receipt that the ledger knows"},
		{"a file that is not there", manifest(func(m *evidence.Manifest) { m.Tickets[0].Receipts[1].File = "receipts/x.eml" }), "receipts/x.eml: is missing"},
		{"what is inside", manifest(func(m *evidence.Manifest) { m.Tickets[0].Receipts[0].Inside = []evidence.File{{Path: "x"}} }), "says is inside is not"},
		{"a command", manifest(func(m *evidence.Manifest) { m.Tickets[0].Receipts[0].Commands[0] = "x" }), "are not ours"},
		{"an entry", manifest(func(m *evidence.Manifest) { m.Tickets[0].Entries[0].Caller.Case = "P-9" }), "are not those of the ledger"},
		{"entries left out", manifest(func(m *evidence.Manifest) { m.Tickets[0].Entries = nil }), "are not those of the ledger"},
		{"a folder of another name", manifest(func(m *evidence.Manifest) { m.Tickets[0].Dir = "../x" }), "its folder has no name of ours"},
		{"something that is said to be missing", manifest(func(m *evidence.Manifest) {
			m.Tickets[0].Missing = append(m.Tickets[0].Missing, evidence.Missing{What: "receipt", Sum: contracts.Sum{9}, Why: evidence.Returned})
		}), "is said to be missing, and is not"},
		{"something missing and not said", manifest(func(m *evidence.Manifest) { m.Tickets[0].Receipts[1].File = "" }), "not said to be missing"},
		{"the timeline", file("timeline.txt", "DELIVERY", "FAILURE"), "does not tell what the evidence says"},
		{"the ticket's state", manifest(func(m *evidence.Manifest) { m.Tickets[0].State = "failed" }), "does not tell what the evidence says"},
		{"sums out of order", func(t *testing.T, dir string) {
			lines := strings.SplitAfter(read(t, dir, "SHA256SUMS"), "\n")
			lines[0], lines[1] = lines[1], lines[0]+"\n"
			put(t, dir, "SHA256SUMS", strings.ReplaceAll(strings.Join(lines, ""), "\n\n", "\n"))
		}, ""}, // the order is nobody's evidence
		{"sums of the ledger's files", func(t *testing.T, dir string) {
			put(t, dir, "SHA256SUMS", read(t, dir, "SHA256SUMS")+strings.Repeat("0", 64)+"  ledger/key.pem\n")
		}, "SHA256SUMS: names ledger/key.pem"},
		{"another key", func(t *testing.T, dir string) { put(t, dir, "ledger/key.pem", "x") }, "ledger/key.pem: want an Ed25519 public key"},
		{"no key", func(t *testing.T, dir string) { gone(t, dir, "ledger/key.pem") }, "ledger/key.pem: is missing"},
		{"a segment under another name", func(t *testing.T, dir string) {
			put(t, dir, "ledger/segment-000009.jsonl", read(t, dir, "ledger/segment-000001.jsonl"))
			gone(t, dir, "ledger/segment-000001.jsonl")
			put(t, dir, "ledger/SHA256SUMS", strings.ReplaceAll(read(t, dir, "ledger/SHA256SUMS"), "segment-000001", "segment-000009"))
		}, "segment-000009.jsonl: holds segment 1"},
		{"no segments", func(t *testing.T, dir string) { gone(t, dir, "ledger/segment-000001.jsonl") }, "the beginning of its entries is missing"},
		{"a segment that is none", func(t *testing.T, dir string) { put(t, dir, "ledger/segment-000001.jsonl", "x\n") }, "not a line of an export"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			c.lie(t, dir)
			d.reseal(dir)
			faults := strings.Join(verify(t, dir, trust()).Faults, "\n")
			if !strings.Contains(faults, c.says) || c.says == "" && faults != "" {
				t.Errorf("want %q among\n%s", c.says, faults)
			}
		})
	}
}

func gone(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// A receipt must be about this ticket's message, whoever signed it.
func TestAReceiptOfAnotherMessageIsFound(t *testing.T) {
	d := newDesk(t)
	id := d.send("k1", "P-1", letter)
	d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1", Message: "h1.another.1@pec.example"}, "")
	faults := strings.Join(verify(t, d.export(id), trust()).Faults, "\n")
	for _, want := range []string{"is about a message that is not this ticket's", "is about none of the messages here"} {
		if !strings.Contains(faults, want) {
			t.Errorf("want %q among\n%s", want, faults)
		}
	}
}

// One that names no message is about the ticket's only where an acceptance has named the submission.
func TestAReceiptThatNamesNoMessageNeedsItsAcceptance(t *testing.T) {
	d := newDesk(t)
	id := d.send("k1", "P-1", letter)
	d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "1", Message: namesNone}, "")
	faults := strings.Join(verify(t, d.export(id), trust()).Faults, "\n")
	if want := "a submission that no acceptance here has named"; !strings.Contains(faults, want) {
		t.Errorf("want %q among\n%s", want, faults)
	}
}
