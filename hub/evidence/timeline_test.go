package evidence_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"raccordo/contracts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What a timeline says belongs to the format: with other words, exports of before would no longer verify.
func TestTheWordsOfFormat1Stay(t *testing.T) {
	d := newDesk(t)
	id := d.delivered("k1", "P-1")
	for _, kind := range []contracts.EvidenceKind{
		contracts.SubmissionRejection, contracts.RelayAcceptance, contracts.RelayRejection, contracts.ContentConsignmentFailure, contracts.ConsignmentDelay,
	} {
		d.hear(id, "pec.x", contracts.Evidence{Kind: kind, ID: "opec1", About: address(t, "mario.rossi@pec.example"), Reason: "OTHER", Generation: 2}, "")
	}
	d.enter(contracts.Entry{Phase: contracts.PhaseEvent, Outcome: "pec.avvenuta-consegna", Ref: id, System: "pec", Reason: "faulty", Proof: []contracts.Sum{{1}}})
	d.enter(contracts.Entry{Phase: contracts.PhaseEvent, Outcome: "pec.note", Ref: id, System: "pec"})
	d.enter(contracts.Entry{Phase: contracts.PhaseOutcome, Outcome: "uncertain", Ref: id, System: "pec", Attempts: []contracts.Attempt{{At: d.clock.Now(), Status: "no reply"}}})
	d.enter(contracts.Entry{Phase: contracts.PhaseOutcome, Outcome: "denied", Ref: id, System: "pec"})
	dir := d.export(id)
	for _, name := range []string{"cronologia.txt", "timeline.txt"} {
		have := read(t, dir, name)
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, []byte(have), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if have != string(want) {
			t.Errorf("%s: have\n%s\nwant\n%s", name, have, want)
		}
	}
}

func TestForeignTextDoesNoHarmInATimeline(t *testing.T) {
	d := newDesk(t)
	bad := "=cmd|' /C calc'!A1"
	text := "Message-ID: <h1.TICKET.1@pec.example>\r\nSubject: =?utf-8?q?=1B]0;x=07=0A" + strings.ReplaceAll(bad, "=", "=3D") + "_=E2=80=AE=C2=BB_|_2026?=\r\n\r\n"
	text = strings.ReplaceAll(text, " /C", "_/C")
	id := d.send("k1", "@SUM(1)\t+1\u2028", text)
	d.hear(id, "pec.accettazione", contracts.Evidence{
		Kind: contracts.SubmissionAcceptance, ID: "-1+1\r\n=2", Issuer: "\x1b[2J»|«=1+1", Signer: "\u202e\u0000\xff", Verdict: "VALID", Counts: true,
		Reason: strings.Repeat("x", 10_000),
	}, "")
	dir := d.export(id)
	for _, name := range []string{"cronologia.txt", "timeline.txt"} {
		told := read(t, dir, name)
		for _, r := range told {
			if r != '\n' && (!unicode.IsGraphic(r) || r == unicode.ReplacementChar) {
				t.Errorf("%s holds %U", name, r)
			}
		}
		for line := range strings.Lines(told) {
			if strings.ContainsAny(line[:1], "=+-@\t") && !strings.HasPrefix(line, "- ") {
				t.Errorf("%s: a line begins with a formula: %q", name, line)
			}
			for cell := range strings.SplitSeq(line, "|") {
				if cell = strings.TrimLeft(cell, " "); cell != "" && strings.ContainsAny(cell[:1], "=+@") {
					t.Errorf("%s: a column begins with a formula: %q", name, line)
				}
			}
			if len(line) > 3000 {
				t.Errorf("%s: a line of %d bytes", name, len(line))
			}
		}
		if !strings.Contains(told, `«\x1b]0;x\a\n=cmd\x7c' /C calc'!A1 \u202e\u00bb \x7c 2026»`) {
			t.Errorf("%s does not show the subject as it is written:\n%s", name, told)
		}
	}
	for _, name := range []string{"manifest.json", "story.json"} {
		for _, r := range read(t, dir, name) {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Errorf("%s holds %U", name, r)
			}
		}
	}
	if r := verify(t, dir, trust()); !r.OK() {
		t.Errorf("%+v", r)
	}
}

// A receipt tells the second alone: it must not stand before the attempt that it answers.
func TestWithinOneSecondFactsStandInTheOrderOfTheLedger(t *testing.T) {
	d := newDesk(t)
	d.clock.Advance(500 * time.Millisecond)
	id := d.send("k1", "P-1", letter)
	at := d.clock.Now().UTC().Truncate(time.Second)
	d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1", IssuedAt: at}, "")
	told := read(t, d.export(id), "timeline.txt")
	if attempt, accepted := strings.Index(told, "Attempt through"), strings.Index(told, "ACCEPTANCE"); attempt < 0 || accepted < attempt {
		t.Errorf("the acceptance stands before the attempt:\n%s", told)
	}
}
