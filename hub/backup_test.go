package hub_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/hub"
	"raccordo/hub/backup"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// A backup is made while sixteen callers submit, messages leave and receipts are read; the hub goes on, its disk is lost,
// the backup is put in place, and the core, which does not know what the hub has forgotten, submits everything again.
func TestABackupMadeUnderLoadLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	heavy(t)
	const (
		done   = 20  // settled before
		before = 40  // accepted before the backup began
		during = 100 // submitted meanwhile
		fresh  = 110 // new after the restore
	)
	people := mixed(40)
	r := newRig(t)
	r.stop()
	head := filepath.Join(t.TempDir(), "head.json")
	settings := []setting{massive, unlimited, with(
		"store:\n", fmt.Sprintf("store:\n  head: %q\n", head),
		"    kind: pec\n", "    kind: pec\n    poll: 10m\n")}
	r.open(settings...)
	proofs := r.proofs(r.followed(r.sent(people, 0, done)))
	acknowledged := r.sent(people, done, before)

	dir := filepath.Join(t.TempDir(), "backups")
	var load sync.WaitGroup
	pump := r.pump()
	load.Go(func() { r.sent(people, before, during) })
	var stages []string
	made, err := r.hub.Backup(t.Context(), hub.BackupOrder{Dir: dir, Operator: "operator-7"}, func(p backup.Progress) {
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
	})
	load.Wait()
	pump()
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) == 0 || stages[0] != "database" {
		t.Errorf("progress %q", stages)
	}
	for _, sum := range proofs {
		if ok, err := r.hub.Backed(t.Context(), sum); err != nil || !ok {
			t.Errorf("a receipt that was there before counts as not backed up: %v", err)
		}
	}
	if ok, err := r.hub.Backed(t.Context(), contracts.SumOf([]byte("no proof"))); err != nil || ok {
		t.Errorf("what was never kept counts as backed up: %v", err)
	}
	entry := r.lastEntry("backup")
	if len(entry.Proof) != 1 || entry.Proof[0] != made.Digest || entry.Caller.User != "operator-7" {
		t.Errorf("the ledger says %+v", entry)
	}
	r.arrived(during)
	r.stop()
	r.once(0, during)

	cfg, opt := r.load(settings...)
	if _, _, err := hub.Restore(t.Context(), cfg, hub.RestoreOrder{Dir: dir}, nil); contracts.KindOf(err) != contracts.Conflict {
		t.Errorf("restored over a store with %v", err)
	}
	for _, lost := range []string{cfg.Store.Path, cfg.Archive} {
		if err := os.RemoveAll(lost); err != nil {
			t.Fatal(err)
		}
	}
	check, _, err := hub.Restore(t.Context(), cfg, hub.RestoreOrder{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if check.Ledger.Entries == 0 || check.Ledger.Last != made.Manifest.Seq || len(check.LostKeys) != 0 {
		t.Errorf("checked %+v", check)
	}
	if h, err := hub.Open(t.Context(), cfg, adapters.Kinds(), opt); err == nil {
		_ = h.Close(t.Context())
		t.Fatal("a restored store was opened as if nothing had been")
	} else if !strings.Contains(err.Error(), "-recovered") {
		t.Errorf("refused with %v, want what to do", err)
	}
	r.open(append(settings, options(func(o *hub.Options) { o.Recovered = true }))...)
	for _, id := range acknowledged {
		if _, err := r.hub.Ticket(r.as(""), id); err != nil {
			t.Errorf("a ticket accepted before the backup began is lost: %v", err)
		}
	}
	for _, sum := range proofs {
		if p, err := r.hub.Proof(sum); err != nil {
			t.Errorf("a proof kept before the backup began: %v", err)
		} else {
			p.Close()
		}
	}
	if report, err := r.hub.Ledger().Verify(t.Context()); err != nil {
		t.Errorf("the restored ledger: %v, %q", err, report.Problems)
	}
	ids := r.sent(people, 0, fresh)
	r.until(r.bench.Clock().Now().Add(23 * time.Hour))
	for i, x := range r.followed(ids) {
		if x.State != contracts.StateDone {
			t.Errorf("message %d ended %s: %v", i, x.State, x.Err)
		}
	}
	r.once(0, fresh)
	if n := len(r.provider().Accepted()); n != fresh {
		t.Errorf("the provider took %d messages, want %d", n, fresh)
	}
	if e := r.lastEntry("recovered"); e.Seq != made.Manifest.Seq+1 {
		t.Errorf("the start as a restored copy is entry %d, want the first after the backup's %d", e.Seq, made.Manifest.Seq)
	}
}

// proofs gives the digests of the receipts in the tickets' stories.
func (r *rig) proofs(tickets []contracts.Ticket) (sums []contracts.Sum) {
	r.t.Helper()
	for _, t := range tickets {
		shown, err := r.hub.Ticket(r.as(""), t.ID)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range shown.Story {
			sums = append(sums, e.Proof...)
		}
	}
	if len(sums) == 0 {
		r.t.Fatal("there are no proofs")
	}
	return sums
}

// lastEntry gives the latest entry of an outcome.
func (r *rig) lastEntry(outcome string) (last contracts.Entry) {
	r.t.Helper()
	for after := uint64(0); ; {
		page, err := r.hub.Ledger().Entries(r.t.Context(), ledger.Query{After: after})
		if err != nil {
			r.t.Fatal(err)
		}
		if len(page) == 0 {
			return last
		}
		for _, e := range page {
			after = e.Seq
			if e.Outcome == outcome {
				last = e
			}
		}
	}
}

func TestABackupGoesThroughTheOperatorsSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := operated(t, r)
	dir := filepath.Join(t.TempDir(), "backups")
	made, err := o.Backup(t.Context(), hub.BackupOrder{Dir: dir, Keep: 1, Operator: "operator-7"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := o.Backup(t.Context(), hub.BackupOrder{Dir: dir, Keep: 1, Operator: "operator-7"}, nil)
	if err != nil || len(again.Removed) != 1 || again.Removed[0] != filepath.Base(made.Path) {
		t.Errorf("%+v, %v; want the first one removed", again, err)
	}
	cfg, _ := r.load()
	if check, err := hub.CheckBackup(t.Context(), cfg, dir, nil); err != nil || check.Backup.Digest != again.Digest {
		t.Errorf("%+v, %v", check, err)
	}
	for what, order := range map[string]hub.BackupOrder{
		"nobody":          {Dir: dir},
		"a relative path": {Dir: "backups", Operator: "operator-7"},
		"less than none":  {Dir: dir, Operator: "operator-7", Keep: -1},
	} {
		if _, err := o.Backup(t.Context(), order, nil); contracts.KindOf(err) != contracts.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Backup(ctx, hub.BackupOrder{Dir: dir, Operator: "operator-7"}, nil); err == nil {
		t.Error("an operator who is gone got a backup")
	}
}

func TestABackupWithoutItsKeysIsRestoredOnlyWhenTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := filepath.Join(t.TempDir(), "backups")
	if _, err := r.hub.Backup(t.Context(), hub.BackupOrder{Dir: dir, Operator: "operator-7"}, nil); err != nil {
		t.Fatal(err)
	}
	r.stop()
	cfg, _ := r.load()
	cfg.Store.Path, cfg.Archive = filepath.Join(t.TempDir(), "hub.db"), filepath.Join(t.TempDir(), "proofs")
	other := filepath.Join(t.TempDir(), "other.key")
	if err := os.WriteFile(other, []byte(store.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Store.Key = contracts.Secret("secret://file/" + other)
	check, _, err := hub.Restore(t.Context(), cfg, hub.RestoreOrder{Dir: dir}, nil)
	if contracts.KindOf(err) != contracts.Conflict || len(check.LostKeys) != 1 || !strings.Contains(err.Error(), check.LostKeys[0]) {
		t.Errorf("without its keys: %v", err)
	}
	if _, err := os.Stat(cfg.Store.Path); !errors.Is(err, os.ErrNotExist) {
		t.Error("it was put in place all the same")
	}
	if _, _, err := hub.Restore(t.Context(), cfg, hub.RestoreOrder{Dir: dir, WithoutKeys: true}, nil); err != nil {
		t.Error(err)
	}
}
