package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/hub/evidence"
	"raccordo/hub/ledger"
)

func addressed(to, subject string) string {
	text, _ := json.Marshal(map[string]any{ // strings alone always encode
		"sender": "centrale", "subject": subject, "text": "CANARINO-4711",
		"to": []any{map[string]any{"address": to, "basis": map[string]any{"kind": "elected"}}},
	})
	return string(text)
}

// An operator exports from a hub that serves and from one that does not; a lawyer's expert verifies with neither.
func TestEvidence(t *testing.T) {
	t.Parallel()
	s := newStand(t, quick...)
	p := s.serve(t)
	const subject = `=HYPERLINK("http://x") | pratica`
	must(t, 0, addressed("mario.rossi@pec.studi.test", subject), "call", "delivery.send", "-url", p.url, "-token-file", filepath.Join(s.dir, "core.token"),
		"-purpose", "activation", "-key", "letter/1", "-case", "2026-0007", "-wait", "60s")
	roots := filepath.Join(s.dir, "pec-roots.pem")
	dir := filepath.Join(t.TempDir(), "deep", "prove")
	out, _ := must(t, 0, "", "evidence", "export", "2026-0007", "-out", dir, "-config", s.file, "-reason", "richiesta del TAR", "-as", "g.operatrice")
	if !strings.Contains(out, "cronologia.txt") {
		t.Errorf("%s", out)
	}
	out, _ = must(t, 0, "", "evidence", "verify", dir, "-roots", roots)
	if !strings.Contains(out, "the evidence verifies: 1 tickets, 2 receipts") || !strings.Contains(out, "avvenuta-consegna.eml: MATCH with") {
		t.Errorf("%s", out)
	}
	var m evidence.Manifest
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil || m.Operator != "g.operatrice" || m.Reason != "richiesta del TAR" || len(m.Tickets) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	id := m.Tickets[0].ID
	told, err := os.ReadFile(filepath.Join(dir, id, "cronologia.txt"))
	if err != nil || !strings.Contains(string(told), `Oggetto: «=HYPERLINK("http://x") \x7c pratica»`) || strings.Count(string(told), "CONSEGNA.") != 1 {
		t.Errorf("%v\n%s", err, told)
	}

	t.Run("a folder with something in it", func(t *testing.T) {
		must(t, statusWrong, "", "evidence", "export", id, "-out", dir, "-config", s.file)
	})
	t.Run("nothing of that name", func(t *testing.T) {
		none := filepath.Join(t.TempDir(), "none")
		_, errOut := must(t, statusFailed, "", "evidence", "export", "2026-0099", "-out", none, "-config", s.file)
		if _, err := os.Stat(none); !os.IsNotExist(err) || !strings.Contains(errOut, "no ticket and no case") {
			t.Errorf("%v\n%s", err, errOut)
		}
		if left, _ := os.ReadDir(filepath.Dir(none)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	p.stop(t)
	again := filepath.Join(t.TempDir(), "again")
	must(t, 0, "", "evidence", "export", id, "-out", again, "-config", s.file)
	out, _ = must(t, 0, "", "evidence", "verify", again, "-roots", roots, "-json", "-key", filepath.Join(dir, "ledger", "key.pem"))
	var report struct {
		evidence.Report
		OK bool `json:"ok"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || !report.OK || report.Receipts != 2 || report.Of != id {
		t.Errorf("%v\n%s", err, out)
	}

	t.Run("a receipt altered", func(t *testing.T) {
		name := filepath.Join(again, m.Tickets[0].Receipts[1].File[len(id)+1:])
		was, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(was, "\r\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errOut := must(t, statusFailed, "", "evidence", "verify", again, "-roots", roots)
		if !strings.Contains(out, "FAULT: receipts/002-pec.avvenuta-consegna.eml: was changed") || !strings.Contains(errOut, "does not verify") {
			t.Errorf("%s%s", out, errOut)
		}
		out, _ = must(t, statusFailed, "", "evidence", "verify", again, "-roots", roots, "-json")
		if !strings.Contains(out, `"ok": false`) {
			t.Errorf("%s", out)
		}
	})
	t.Run("another message with the same identifier", func(t *testing.T) {
		read := func(name string) []byte {
			b, err := os.ReadFile(filepath.Join(dir, id, name))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		receipt, sent := read("receipts/002-pec.avvenuta-consegna.eml"), read("message.eml")
		if m := matchPEC(receipt, sent); m.Result != "MATCH" || m.Fault {
			t.Errorf("%+v", m)
		}
		if m := matchPEC(receipt, bytes.Replace(sent, []byte("4711"), []byte("4712"), 1)); m.Result != "MISMATCH" || !m.Fault || m.Detail == "" {
			t.Errorf("%+v", m)
		}
		if m := matchPEC(read("receipts/001-pec.accettazione.eml"), sent); m.Result != "" || m.Fault {
			t.Errorf("%+v", m)
		}
	})
	t.Run("no roots that would do", func(t *testing.T) {
		out, _ := must(t, statusFailed, "", "evidence", "verify", dir)
		if !strings.Contains(out, "UNTRUSTED_CHAIN") {
			t.Errorf("%s", out)
		}
	})
	t.Run("what is no export", func(t *testing.T) {
		must(t, statusFailed, "", "evidence", "verify", s.dir)
		must(t, statusWrong, "", "evidence", "verify", filepath.Join(dir, "nosuch"))
		must(t, statusWrong, "", "evidence", "verify", dir, "-roots", s.file)
		must(t, statusWrong, "", "evidence", "verify", dir, "-key", "nosuch")
	})
}

func TestEvidenceIsComparedWithAnchors(t *testing.T) {
	t.Parallel()
	one := ledger.Head{Chain: "c", Segment: 1, Day: "2026-11-20", First: 1, Last: 9, Closed: true}
	two := ledger.Head{Chain: "c", Segment: 2, Day: "2026-11-21", First: 10, Last: 19, Closed: true, Before: one.Digest()}
	other := one
	other.Last = 8
	after := two
	after.Before = other.Digest()
	grows := ledger.Head{Chain: "c", Segment: 3, Day: "2026-11-22"}
	for name, c := range map[string]struct {
		held  []ledger.Head
		notes string
		fault bool
	}{
		"its own head":       {[]ledger.Head{one}, "segment 1 (2026-11-20) is as it was when a.jsonl was made", false},
		"the next one's":     {[]ledger.Head{two}, "segment 1 (2026-11-20) is as it was when a.jsonl was made", false},
		"none":               {nil, "segment 1 (2026-11-20) is covered by no anchor", false},
		"another history's":  {[]ledger.Head{other}, "", true},
		"another, by next":   {[]ledger.Head{after}, "", true},
		"one that grows":     {[]ledger.Head{one}, "segment 3 (2026-11-22) was still growing", false},
		"another's chain":    {[]ledger.Head{{Chain: "d", Segment: 1, Closed: true}}, "covered by no anchor", false},
		"a head of tomorrow": {[]ledger.Head{{Chain: "c", Segment: 9, Closed: true}}, "covered by no anchor", false},
	} {
		dir := t.TempDir()
		var lines []byte
		for _, h := range c.held {
			line, err := h.AnchorLine()
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line...)
		}
		if err := os.WriteFile(filepath.Join(dir, "a.jsonl"), lines, 0o600); err != nil {
			t.Fatal(err)
		}
		r := evidence.Report{Heads: []ledger.Head{one, grows}}
		if err := anchored(&r, dir, inspectPEC(nil, time.Time{})); err != nil {
			t.Fatal(err)
		}
		if r.OK() == c.fault || !strings.Contains(strings.Join(r.Notes, "\n"), c.notes) {
			t.Errorf("%s: %q, %q", name, r.Faults, r.Notes)
		}
	}
	if err := anchored(&evidence.Report{}, filepath.Join(t.TempDir(), "nosuch"), inspectPEC(nil, time.Time{})); err == nil {
		t.Error("a folder that is not there passes")
	}
}
