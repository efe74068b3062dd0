package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

func (b *bench) closedHeads(t testing.TB) []ledger.Head {
	t.Helper()
	heads, err := b.Closed(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return heads
}

func anchorsOf(heads []ledger.Head) (out []ledger.Anchor) {
	for _, h := range heads {
		out = append(out, ledger.Anchor{Head: h, Source: "anchors.jsonl"})
	}
	return out
}

// Whoever has the signing key and the database can write another history that verifies, and only what others hold tells.
func TestAHistoryWrittenAnewWithTheKeyIsCaughtByAnchorsAndByNothingElse(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*testing.T, *bench)
		want   string
	}{
		{"an entry changed", func(t *testing.T, b *bench) {
			if err := b.Rewrite(t.Context(), 6, func(e *contracts.Entry) { e.Caller.Case = "2026/2" }); err != nil {
				t.Fatal(err)
			}
		}, "the head of segment 2 (2026-03-02) is not the one in"},
		{"the first entry changed", func(t *testing.T, b *bench) {
			if err := b.Rewrite(t.Context(), 1, func(e *contracts.Entry) { e.Outcome = "not_found" }); err != nil {
				t.Fatal(err)
			}
		}, "the head of segment 1 (2026-03-01) is not the one in"},
		{"the last days cut off", func(t *testing.T, b *bench) {
			b.sql(t, "DELETE FROM ledger_entry WHERE seq > 4", "DELETE FROM ledger_segment WHERE id > 1", "UPDATE ledger_segment SET head = NULL", "DELETE FROM store_head")
			if err := b.Rewrite(t.Context(), 0, nil); err != nil {
				t.Fatal(err)
			}
		}, "holds a head of segment 1, which the chain has not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, func(s *store.Config, _ *ledger.Config) { s.Head = "" }) // the head file lies with the same administrator
			b.days(t, 4, 4)
			anchors := anchorsOf(b.closedHeads(t))
			if r := ledger.CompareAnchors(b.Chain(), b.closedHeads(t), anchors, nil, b.clock.Now()); r.Err() != nil || r.Covered != 3 || len(r.Bare) != 0 {
				t.Fatalf("before: %+v", r)
			}
			c.change(t, b)
			if report, err := b.Verify(t.Context()); err != nil {
				t.Fatalf("the forgery shows by itself: %q", report.Problems)
			}
			r := ledger.CompareAnchors(b.Chain(), b.closedHeads(t), anchors, nil, b.clock.Now())
			if r.Err() == nil || !strings.Contains(r.Problems[0], c.want) {
				t.Errorf("problems %q, want %q", r.Problems, c.want)
			}
			if r.Covered != 0 && c.name != "an entry changed" || c.name == "an entry changed" && r.Covered != 1 {
				t.Errorf("covered up to segment %d", r.Covered)
			}
		})
	}
}

// What the present day holds, and the days after the last anchor, an administrator can still write anew.
func TestWhatNoAnchorCoversYetIsSaid(t *testing.T) {
	b := newBench(t, func(s *store.Config, _ *ledger.Config) { s.Head = "" })
	b.days(t, 4, 4)
	heads := b.closedHeads(t)
	some := []ledger.Anchor{{Head: heads[1], Source: "a", At: heads[1].At.Add(time.Minute)}}
	r := ledger.CompareAnchors(b.Chain(), heads, some, nil, b.clock.Now())
	if r.Err() != nil || r.Covered != 2 || !slices.Equal(r.Bare, []uint64{1, 3}) {
		t.Errorf("soon: %+v", r)
	}
	if r = ledger.CompareAnchors(b.Chain(), heads, some, nil, b.clock.Now().Add(72*time.Hour)); r.Err() == nil || !strings.Contains(r.Problems[0], "segments 3,") {
		t.Errorf("three days later: %+v", r)
	}
	if err := b.Rewrite(t.Context(), 10, func(e *contracts.Entry) { e.Outcome = "ok?" }); err != nil {
		t.Fatal(err)
	}
	if r := ledger.CompareAnchors(b.Chain(), b.closedHeads(t), some, nil, b.clock.Now()); r.Err() != nil {
		t.Errorf("a change behind the last anchor cannot be seen, and something is: %q", r.Problems)
	}
}

func TestAnchorsAreJudgedByTimeAndByWhatTheyAre(t *testing.T) {
	b := newBench(t)
	b.days(t, 3, 2)
	heads := b.closedHeads(t)
	strange := heads[0]
	strange.Chain = "another"
	running := heads[1]
	running.Closed = false
	beyond := heads[1]
	beyond.Segment = 9
	soon := func(i int) time.Time { return heads[i].At.Add(time.Minute) }
	for name, c := range map[string]struct {
		anchors []ledger.Anchor
		seen    []ledger.Witness
		want    string // the problem
		check   func(ledger.AnchorReport) bool
	}{
		"receipts in time":         {nil, []ledger.Witness{{Key: heads[0].AnchorKey(), At: soon(0)}, {Key: heads[1].AnchorKey(), At: soon(1)}}, "", func(r ledger.AnchorReport) bool { return r.Covered == 2 && r.Segments[1].Carried == 1 }},
		"the earliest time counts": {[]ledger.Anchor{{Head: heads[1], At: soon(1).Add(time.Hour)}}, []ledger.Witness{{Key: heads[1].AnchorKey(), At: soon(1)}}, "", func(r ledger.AnchorReport) bool { return r.Segments[0].At.Equal(soon(1)) }},
		"before the head was made": {[]ledger.Anchor{{Head: heads[1], Source: "x", At: heads[1].At.Add(-time.Hour)}}, nil, "before the head says", nil},
		"a clock a little behind":  {[]ledger.Anchor{{Head: heads[1], At: heads[1].At.Add(-time.Minute)}}, nil, "", nil},
		"a week later":             {[]ledger.Anchor{{Head: heads[1], At: heads[1].At.Add(7 * 24 * time.Hour)}}, nil, "", func(r ledger.AnchorReport) bool { return len(r.Late) == 1 }},
		"another chain's":          {append(anchorsOf(heads), ledger.Anchor{Head: strange}), nil, "", func(r ledger.AnchorReport) bool { return r.Other == 1 }},
		"a running head":           {append(anchorsOf(heads), ledger.Anchor{Head: running, Source: "x"}), nil, "is no anchor", nil},
		"an anchor without a head": {append(anchorsOf(heads), ledger.Anchor{Head: beyond, Source: "x"}), nil, "which the chain has not", nil},
		"a receipt without a head": {anchorsOf(heads), []ledger.Witness{{Key: "anchor/x", Source: "x"}}, "that the chain has not", nil},
		"nothing, and time left":   {nil, nil, "", func(r ledger.AnchorReport) bool { return len(r.Bare) == 2 && r.Covered == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			r := ledger.CompareAnchors(b.Chain(), heads, c.anchors, c.seen, heads[1].At.Add(time.Hour))
			if (r.Err() == nil) != (c.want == "") || c.want != "" && !strings.Contains(r.Problems[0], c.want) {
				t.Errorf("problems %q, want %q", r.Problems, c.want)
			}
			if c.check != nil && !c.check(r) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestAHeadsKeyNamesItAsNoOther(t *testing.T) {
	b := newBench(t)
	b.days(t, 2, 2)
	h := b.closedHeads(t)[0]
	other := h
	other.Sum = contracts.Sum{1}
	if h.AnchorKey() == other.AnchorKey() || !strings.HasPrefix(h.AnchorKey(), fmt.Sprintf("anchor/%s/1/", b.Chain())) {
		t.Errorf("keys %s and %s", h.AnchorKey(), other.AnchorKey())
	}
}

func TestADayIsClosedWithoutTraffic(t *testing.T) {
	b := newBench(t)
	if err := b.Turn(t.Context()); err != nil || len(b.closedHeads(t)) != 0 {
		t.Errorf("an empty chain: %v", err)
	}
	b.days(t, 1, 3)
	if err := b.Turn(t.Context()); err != nil || len(b.closedHeads(t)) != 0 {
		t.Errorf("the day is not over: %v", err)
	}
	b.clock.Advance(14 * time.Hour) // midnight (UTC) is past: it began at ten
	for range 3 {
		if err := b.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	heads := b.closedHeads(t)
	if len(heads) != 1 || heads[0].Last != 3 || heads[0].Day != "2026-03-01" {
		t.Fatalf("heads %+v", heads)
	}
	entries, err := b.Entries(t.Context(), ledger.Query{Op: ledger.OpClose})
	if err != nil || len(entries) != 1 || entries[0].Seq != 4 {
		t.Errorf("entries %+v, %v; want one, the first of the new day", entries, err)
	}
	b.clock.Advance(3 * 24 * time.Hour) // days on which nobody was there have no segment
	if err := b.Turn(t.Context()); err != nil || len(b.closedHeads(t)) != 2 {
		t.Errorf("after days of silence: %v", err)
	}
	if r, err := b.Verify(t.Context()); err != nil {
		t.Errorf("%v: %q", err, r.Problems)
	}
}

func TestAnAnchorFileIsOnlyAppendedTo(t *testing.T) {
	b := newBench(t)
	b.days(t, 5, 2)
	heads := b.closedHeads(t)
	dir := t.TempDir()
	file := filepath.Join(dir, b.Chain()+".jsonl")
	read := func() (string, []ledger.Head, []int) {
		t.Helper()
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		have, bad, err := ledger.ReadAnchors(f)
		text, rerr := os.ReadFile(file)
		if err = errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		return string(text), have, bad
	}
	if err := ledger.AppendAnchors(dir, heads[:2]); err != nil {
		t.Fatal(err)
	}
	first, have, bad := read()
	if len(have) != 2 || len(bad) != 0 || have[1].Digest() != heads[1].Digest() {
		t.Fatalf("%d heads, bad lines %v", len(have), bad)
	}
	if err := ledger.AppendAnchors(dir, heads[:3]); err != nil {
		t.Fatal(err)
	}
	text, have, _ := read()
	if !strings.HasPrefix(text, first) || len(have) != 3 {
		t.Errorf("%d heads, or what stood there was changed", len(have))
	}
	// A crash cuts the fourth line short.
	line, err := heads[3].AnchorLine()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte(text), line[:len(line)/2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, have, bad := read(); len(have) != 3 || !slices.Equal(bad, []int{4}) {
		t.Errorf("cut short: %d heads, bad lines %v", len(have), bad)
	}
	if err := ledger.AppendAnchors(dir, heads); err != nil {
		t.Fatal(err)
	}
	text, have, bad = read()
	if len(have) != 4 || len(bad) != 0 || !strings.HasPrefix(text, first) {
		t.Errorf("after it: %d heads, bad lines %v\n%s", len(have), bad, text)
	}
	// The chain is written anew: the file notices at the next head.
	if err := b.Rewrite(t.Context(), 1, func(e *contracts.Entry) { e.Op = "domicile.other" }); err != nil {
		t.Fatal(err)
	}
	if err := ledger.AppendAnchors(dir, b.closedHeads(t)); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("another history was appended: %v", err)
	}
	if err := ledger.AppendAnchors(filepath.Join(dir, "not", "there"), heads); contracts.KindOf(err) != contracts.Unavailable {
		t.Errorf("no folder: %v", err)
	}
}

func FuzzReadAnchors(f *testing.F) {
	f.Add("{\"head\":{\"chain\":\"c\",\"segment\":1,\"day\":\"2026-03-01\",\"closed\":true}}\n{\"head\":")
	f.Add("\n\n{}\n[]\nnull\n")
	f.Fuzz(func(t *testing.T, text string) {
		heads, bad, err := ledger.ReadAnchors(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(heads)+len(bad) > strings.Count(text, "\n")+1 {
			t.Errorf("%d heads and %d bad lines in %d lines", len(heads), len(bad), strings.Count(text, "\n")+1)
		}
	})
}

func TestAnchorSettingsAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  ledger.AnchorConfig
		want string
	}{
		"none":           {ledger.AnchorConfig{}, ""},
		"a file":         {ledger.AnchorConfig{Folder: "/srv"}, ""},
		"a message":      {ledger.AnchorConfig{To: "a@pec.example", Sender: "centrale"}, ""},
		"nobody sends":   {ledger.AnchorConfig{To: "a@pec.example"}, "go together"},
		"nobody gets it": {ledger.AnchorConfig{Sender: "centrale"}, "go together"},
		"no address":     {ledger.AnchorConfig{To: "nobody", Sender: "centrale"}, "want the address"},
	} {
		lc := ledger.Default()
		lc.Key, lc.Anchor = "secret://env/SIGN", c.cfg
		if err := lc.Validate(); (err == nil) != (c.want == "") || c.want != "" && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
