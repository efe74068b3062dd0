package hub_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/hub/store"
	"raccordo/mocks/lab"
)

// The ledger as a working hub writes it, over three days, and what somebody with the database in hand may do to it: each
// is named. The cases of the chain itself stand in hub/ledger; here they meet real entries.
func TestTheLedgerOfAWorkingHubBetraysEveryChange(t *testing.T) {
	t.Parallel()
	heavy(t)
	r := newRig(t, massive, unlimited, with("    kind: pec\n", "    kind: pec\n    poll: 10m\n"))
	people := mixed(20)
	var tickets []string
	for day := range 3 {
		for i, m := range people[5*day : 5*day+5] {
			if m.Capacity == lab.Person {
				if _, err := domicile.Via(r.hub).Lookup(r.as(fmt.Sprintf("L-%d-%d", day, i)), query(t, m)); err != nil {
					t.Fatal(err)
				}
			}
		}
		tickets = append(tickets, r.sent(people, 10*day, 10*day+10)...)
		r.until(time.Date(2026, 11, 22+day, 8, 0, 0, 0, time.UTC))
	}
	r.followed(tickets)
	for range 5 { // the last may be a day that has only just begun
		if err := r.hub.Rejoin(t.Context(), "inad", "operator-7", "nothing was wrong"); err != nil {
			t.Fatal(err)
		}
	}
	sound, err := r.hub.VerifyLedger(t.Context())
	if err != nil || sound.Segments < 3 || sound.Entries < 100 {
		t.Fatalf("the untouched ledger: %+v, %v; want three days with a hundred entries", sound, err)
	}
	r.stop()
	cfg, opt := r.load(massive)
	original := cfg.Store.Path
	var first, last, count uint64 // of the second day
	tamper(t, r, original, func(tx *store.Tx) error {
		return tx.QueryRow("SELECT min(seq), max(seq), count(*) FROM ledger_entry WHERE segment = 2").Scan(&first, &last, &count)
	})
	if count < 20 {
		t.Fatalf("the second day has %d entries, want more", count)
	}
	middle := (first + last) / 2
	for _, c := range []struct {
		name string
		sql  []string
		want []string // somewhere among the problems
	}{
		{"untouched", nil, nil},
		{
			"a byte flipped",
			[]string{fmt.Sprintf(`UPDATE ledger_entry SET data = CAST(substr(data, 1, 60) ||
			CASE hex(substr(data, 61, 1)) WHEN '2A' THEN x'2B' ELSE x'2A' END || substr(data, 62) AS BLOB) WHERE seq = %d`, middle)},
			[]string{fmt.Sprintf("entry %d was changed", middle)},
		},
		{
			"two entries swapped",
			[]string{
				fmt.Sprintf("UPDATE ledger_entry SET seq = -1 WHERE seq = %d", middle),
				fmt.Sprintf("UPDATE ledger_entry SET seq = %d WHERE seq = %d", middle, middle+3),
				fmt.Sprintf("UPDATE ledger_entry SET seq = %d WHERE seq = -1", middle+3),
			},
			[]string{
				fmt.Sprintf("entry %d was swapped: in its place stands entry %d", middle, middle+3),
				fmt.Sprintf("entry %d was swapped: in its place stands entry %d", middle+3, middle),
			},
		},
		{
			"the middle dropped",
			[]string{fmt.Sprintf("DELETE FROM ledger_entry WHERE seq BETWEEN %d AND %d", middle, middle+4)},
			[]string{fmt.Sprintf("entries %d to %d are missing", middle, middle+4)},
		},
		{
			"the tail dropped",
			[]string{fmt.Sprintf("DELETE FROM ledger_entry WHERE seq > %d", sound.Last-3)},
			[]string{fmt.Sprintf("the tail is cut: the chain ends with entry %d, its running head states %d", sound.Last-3, sound.Last)},
		},
		{
			"a day dropped, with its head",
			[]string{"DELETE FROM ledger_entry WHERE segment = 2", "DELETE FROM ledger_segment WHERE id = 2"},
			[]string{fmt.Sprintf("segment 2 is missing, entries %d to %d with it", first, last)},
		},
		{
			"who asked, rewritten",
			[]string{fmt.Sprintf("UPDATE ledger_entry SET data = CAST(replace(CAST(data AS TEXT), 'activation', 'curiosity!') AS BLOB) WHERE seq = %d", middle)},
			[]string{fmt.Sprintf("entry %d was changed", middle)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			copied := *cfg
			copied.Store.Path = filepath.Join(t.TempDir(), "hub.db")
			copyStore(t, original, copied.Store.Path)
			tamper(t, r, copied.Store.Path, func(tx *store.Tx) error {
				for _, text := range c.sql {
					if _, err := tx.Exec(text); err != nil {
						return err
					}
				}
				return nil
			})
			h, err := hub.Open(t.Context(), &copied, adapters.Kinds(), opt)
			if err != nil {
				t.Fatalf("a hub with a touched ledger does not start: %v", err)
			}
			defer func() {
				if err := h.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			report, err := h.VerifyLedger(t.Context())
			if (err == nil) != (c.want == nil) || report.OK() != (err == nil) {
				t.Errorf("verified with %v", err)
			}
			all := strings.Join(report.Problems, "\n\t")
			for _, want := range c.want {
				if !strings.Contains(all, want) {
					t.Errorf("nothing says %q; said is\n\t%s", want, all)
				}
			}
			if c.want != nil && len(report.Problems) > 3 {
				t.Errorf("one change is told %d times:\n\t%s", len(report.Problems), all)
			}
		})
	}
}

// tamper opens a database as whoever has the machine could, and does something to it.
func tamper(t testing.TB, r *rig, path string, fn func(*store.Tx) error) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(r.dir, "store.key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = path, "secret://env/UNUSED", 0
	s, err := store.Open(context.Background(), cfg, store.Options{
		Clock: r.bench.Clock(), Secret: func(context.Context, contracts.Secret) ([]byte, error) { return key, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), store.Settle, fn); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
