package ledger_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Three days with four entries each: segments 1 (entries 1-4), 2 (5-8) and 3 (9-12, growing).
func TestVerifyNamesWhatWasChanged(t *testing.T) {
	for _, c := range []struct {
		name string
		sql  []string
		want []string // the problems, as far as their beginning
	}{
		{"nothing", nil, nil},
		{"a byte of an entry", []string{flip("ledger_entry", "data", "seq = 6")}, []string{"entry 6 was changed: its digest does not fit"}},
		{
			"a byte of a digest",
			[]string{flip("ledger_entry", "sum", "seq = 6")},
			[]string{"entry 6 was changed: its digest does not fit", "the link from entry 7 back to entry 6 is broken"},
		},
		{
			"two entries swapped",
			[]string{
				"UPDATE ledger_entry SET seq = -6 WHERE seq = 6", "UPDATE ledger_entry SET seq = 6 WHERE seq = 7", "UPDATE ledger_entry SET seq = 7 WHERE seq = -6",
			},
			[]string{"entry 6 was swapped: in its place stands entry 7", "entry 7 was swapped: in its place stands entry 6"},
		},
		{"the middle dropped", []string{"DELETE FROM ledger_entry WHERE seq IN (6, 7)"}, []string{"entries 6 to 7 are missing"}},
		{"one entry dropped", []string{"DELETE FROM ledger_entry WHERE seq = 6"}, []string{"entry 6 is missing"}},
		{"the last of a day dropped", []string{"DELETE FROM ledger_entry WHERE seq = 8"}, []string{"entry 8 is missing"}},
		{"the first entry dropped", []string{"DELETE FROM ledger_entry WHERE seq = 1"}, []string{"entry 1 is missing"}},
		{
			"the tail dropped",
			[]string{"DELETE FROM ledger_entry WHERE seq > 10"},
			[]string{"the tail is cut: the chain ends with entry 10, its running head states 12", "the tail is cut: the head file remembers entry 12, the chain ends with entry 10"},
		},
		{"a day's entries dropped", []string{"DELETE FROM ledger_entry WHERE segment = 2"}, []string{"segment 2 (2026-03-02) is missing: entries 5 to 8"}},
		{
			"a day dropped, its head too",
			[]string{"DELETE FROM ledger_entry WHERE segment = 2", "DELETE FROM ledger_segment WHERE id = 2"},
			[]string{"segment 2 is missing, entries 5 to 8 with it"},
		},
		{
			"the last day dropped, its row too",
			[]string{"DELETE FROM ledger_entry WHERE segment = 3", "DELETE FROM ledger_segment WHERE id = 3"},
			[]string{"segment 3 is missing at the end: the running head states entry 12", "the tail is cut: the head file remembers entry 12, the chain ends with entry 8"},
		},
		{
			"a head altered",
			[]string{"UPDATE ledger_segment SET head = replace(head, '\"last\":8', '\"last\":7') WHERE id = 2"},
			[]string{
				"head of segment 2 was changed: its signature does not fit", "entry 7, the last of segment 2, is not the one that its head states",
				"running head of segment 3 does not follow the head of segment 2",
			},
		},
		{
			"a head's time altered",
			[]string{"UPDATE ledger_segment SET head = replace(head, '2026-03-03T', '2026-03-04T') WHERE id = 2"},
			[]string{"head of segment 2 was changed: its signature does not fit", "running head of segment 3 does not follow the head of segment 2"},
		},
		{
			"a head taken away",
			[]string{"UPDATE ledger_segment SET head = NULL WHERE id = 2"},
			[]string{"head of segment 2 is missing", "segment 2 is missing, entries 5 to 8 with it"},
		},
		{
			"a head garbled",
			[]string{"UPDATE ledger_segment SET head = '{' WHERE id = 2"},
			[]string{"head of segment 2 cannot be read", "segment 2 is missing, entries 5 to 8 with it"},
		},
		{
			"another segment's head",
			[]string{"UPDATE ledger_segment SET head = (SELECT head FROM ledger_segment WHERE id = 1) WHERE id = 2"},
			[]string{
				"the row of segment 2 does not agree with its head", "head of segment 1 stands behind that of segment 1",
				"segment 2 is missing, entries 5 to 8 with it",
			},
		},
		{
			"the running head altered",
			[]string{"UPDATE store_head SET proof = CAST(replace(CAST(proof AS TEXT), '\"last\":12', '\"last\":11') AS BLOB)"},
			[]string{"running head of segment 3 was changed: its signature does not fit", "entry 12 was added behind the end that the head states"},
		},
		{"the running head taken away", []string{"DELETE FROM store_head"}, []string{"the running head is missing"}},
		{
			"an entry filed under another ticket",
			[]string{"UPDATE ledger_entry SET ref = 't2' WHERE seq = 6"},
			[]string{"entry 6 is filed wrongly: the columns of its row are not what it says"},
		},
		{
			"an entry added behind the end",
			[]string{"INSERT INTO ledger_entry SELECT 13, segment, ref, op, kase, sum, data FROM ledger_entry WHERE seq = 12"},
			[]string{"entry 13 was swapped: in its place stands entry 12", "entry 13 was added behind the end that the head states"},
		},
		{
			"a segment marked as dropped",
			[]string{"UPDATE ledger_segment SET dropped = 1 WHERE id = 1", "DELETE FROM ledger_entry WHERE segment = 1"},
			[]string{"segment 1 is dropped, and no operator's entry says so"},
		},
		{
			"a segment in the middle marked as dropped",
			[]string{"UPDATE ledger_segment SET dropped = 1 WHERE id = 2"},
			[]string{"segment 2 is dropped and one before it is not", "segment 2 is dropped, and no operator's entry says so"},
		},
		{
			"everything",
			[]string{"DELETE FROM ledger_entry", "DELETE FROM ledger_segment"},
			[]string{"segments 1 to 3 are missing: the running head states entry 12", "the tail is cut: the head file remembers entry 12, the chain ends with entry 0"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.days(t, 3, 4)
			b.waitHeadFile(t, 12)
			b.sql(t, c.sql...)
			r, err := b.Verify(t.Context())
			if (err == nil) != (len(c.want) == 0) || r.OK() != (err == nil) {
				t.Errorf("error is %v", err)
			}
			if !match(r.Problems, c.want) {
				t.Errorf("have\n\t%s\nwant\n\t%s", strings.Join(r.Problems, "\n\t"), strings.Join(c.want, "\n\t"))
			}
			t.Logf("%-45s %s", c.name, strings.Join(r.Problems, "; "))
		})
	}
}

func match(have, want []string) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range have {
		if !strings.HasPrefix(have[i], want[i]) {
			return false
		}
	}
	return true
}

// flip changes one byte in the middle of a blob.
func flip(table, column, where string) string {
	half := "length(" + column + ") / 2"
	return "UPDATE " + table + " SET " + column + " = CAST(substr(" + column + ", 1, " + half + ") || CASE hex(substr(" + column + ", " + half + " + 1, 1)) WHEN '00' THEN x'01' ELSE x'00' END || substr(" +
		column + ", " + half + " + 2) AS BLOB) WHERE " + where
}

// waitHeadFile waits until the store has written its head file, which lags behind the commits: closing the store does it.
func (b *bench) waitHeadFile(t testing.TB, seq uint64) {
	t.Helper()
	if err := b.st.Close(); err != nil {
		t.Fatal(err)
	}
	b.reopen(t)
	if h, ok, err := b.st.HeadFile(); err != nil || !ok || h.Seq != seq {
		t.Fatalf("head file states %d (%v, %v), want %d", h.Seq, ok, err, seq)
	}
}

func (b *bench) reopen(t testing.TB) {
	t.Helper()
	lc := ledger.Default()
	lc.Key = "secret://env/SIGN"
	b.open(t, lc, store.Options{})
}

func TestTheChainGoesOnFromTheRunningHeadWhenTheTailWasCut(t *testing.T) {
	b := newBench(t)
	b.days(t, 1, 5)
	b.sql(t, "DELETE FROM ledger_entry WHERE seq > 3")
	if e := b.append(t, entry("domicile.lookup", "t1")); e.Seq != 6 {
		t.Errorf("the next entry has number %d, want 6", e.Seq)
	}
	r, err := b.Verify(t.Context())
	if err == nil || !match(r.Problems, []string{"entries 4 to 5 are missing"}) {
		t.Errorf("have %q, want that entries 4 to 5 are missing", r.Problems)
	}
}

func TestARewrittenHistoryIsBetrayedByTheHeadFile(t *testing.T) {
	b := newBench(t)
	b.days(t, 1, 3)
	b.waitHeadFile(t, 3)
	b.sql(t, "DELETE FROM ledger_entry WHERE seq = 3", "DELETE FROM store_head")
	if err := b.st.Close(); err != nil {
		t.Fatal(err)
	}
	// Whoever has the signing key writes another third entry, and the running head fits it.
	head := b.cfg.Head
	b.cfg.Head = ""
	b.reopen(t)
	if e := b.append(t, entry("domicile.lookup", "another")); e.Seq != 3 {
		t.Fatalf("the forged entry has number %d, want 3", e.Seq)
	}
	if _, err := b.Verify(t.Context()); err != nil {
		t.Fatalf("without the head file the forgery should fit: %v", err)
	}
	if err := b.st.Close(); err != nil {
		t.Fatal(err)
	}
	b.cfg.Head = head
	_, err := store.Open(t.Context(), b.cfg, store.Options{Clock: b.clock, Secret: secret})
	if contracts.KindOf(err) != contracts.Conflict || !strings.Contains(err.Error(), "the ledger had gone on otherwise") {
		t.Errorf("opened beside its head file: %v", err)
	}
}

func TestRetentionDropsWholeDaysAndTheRestVerifies(t *testing.T) {
	b := newBench(t)
	b.days(t, 5, 3)
	who := contracts.Caller{Service: "ops", Purpose: "conservazione", User: "op-7"}
	n, err := b.Drop(t.Context(), 2, who, "retention of two days")
	if err != nil || n != 2 {
		t.Fatalf("dropped %d segments (%v), want 2", n, err)
	}
	if n, err := b.Drop(t.Context(), 2, who, "again"); err != nil || n != 0 {
		t.Fatalf("dropped %d segments (%v), want none the second time", n, err)
	}
	r, err := b.Verify(t.Context())
	if err != nil || r.Dropped != 2 || r.Entries != 10 || r.Last != 16 {
		t.Errorf("report %+v, error %v; want 2 dropped, 10 entries (one of them the operator's), last 16", r, err)
	}
	b.clock.Advance(24 * time.Hour)
	b.append(t, entry("domicile.lookup", "t1"))
	b.clock.Advance(72 * time.Hour)
	b.append(t, entry("domicile.lookup", "t1"))
	if n, err := b.Drop(t.Context(), 1, who, "the operator's entry of the first time goes too"); err != nil || n != 4 {
		t.Fatalf("dropped %d segments (%v), want 4", n, err)
	}
	if r, err := b.Verify(t.Context()); err != nil || r.Dropped != 6 || r.Entries != 2 {
		t.Errorf("report %+v, error %v; want 6 dropped and 2 entries", r, err)
	}
	b.sql(t, "DELETE FROM ledger_entry WHERE op = 'ledger.drop'")
	if r, err := b.Verify(t.Context()); err == nil || !strings.Contains(strings.Join(r.Problems, ";"), "no operator's entry says so") {
		t.Errorf("without the operator's entry: %q", r.Problems)
	}
}

func TestAnExportVerifiesWithoutTheHub(t *testing.T) {
	b := newBench(t)
	b.days(t, 3, 4)
	var out bytes.Buffer
	if err := b.Export(t.Context(), &out, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n") // 1 start, 3 heads, 12 entries, 1 end
	if len(lines) != 17 {
		t.Fatalf("export has %d lines, want 17", len(lines))
	}
	without := func(from, to int) string { // lines by index, to excluded
		return strings.Join(lines[:from], "") + strings.Join(lines[to:], "")
	}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"as written", out.String(), nil},
		{"an entry altered", strings.Replace(out.String(), `"t1"`, `"t2"`, 1), []string{"entry 1 was changed"}},
		{"an entry dropped", without(8, 9), []string{"entry 6 is missing", "the export states"}},
		{
			"two entries swapped", strings.Join(lines[:8], "") + lines[9] + lines[8] + strings.Join(lines[10:], ""),
			[]string{"entry 6 is missing", "entry 6 stands behind entry 7"},
		},
		{"a segment dropped", without(6, 11), []string{"segment 2 is missing, entries 5 to 8 with it", "the export states"}},
		{"a segment's entries dropped", without(7, 11), []string{"segment 2 (2026-03-02) is missing", "the export states"}},
		{"the end dropped", without(16, 17), []string{"the export is cut short"}},
		{"the tail dropped", without(14, 17), []string{"the tail is cut: the chain ends with entry 10, its running head states 12", "the export is cut short"}},
		{"a head altered", strings.Replace(out.String(), `"last":8`, `"last":7`, 1), []string{"head of segment 2 was changed", "entry 8 was added"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ledger.VerifyExport(strings.NewReader(c.text), b.PublicKey())
			if (err == nil) != (len(c.want) == 0) {
				t.Errorf("error is %v", err)
			}
			if len(r.Problems) < len(c.want) || !match(r.Problems[:len(c.want)], c.want) {
				t.Errorf("have %q, want %q", r.Problems, c.want)
			}
		})
	}
	t.Run("under another key", func(t *testing.T) {
		other := make([]byte, 32)
		if r, err := ledger.VerifyExport(strings.NewReader(out.String()), other); err == nil || !strings.Contains(r.Problems[0], "not trusted here") {
			t.Errorf("have %q", r.Problems)
		}
	})
	t.Run("of two days", func(t *testing.T) {
		var out bytes.Buffer
		day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		if err := b.Export(t.Context(), &out, day, day); err != nil {
			t.Fatal(err)
		}
		if r, err := ledger.VerifyExport(&out, b.PublicKey()); err != nil || r.First != 5 || r.Last != 8 || r.Entries != 4 {
			t.Errorf("report %+v, error %v", r, err)
		}
	})
}
