package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raccordo/adapters"
	"raccordo/hub"
	"raccordo/hub/backup"
)

type backupCmd struct {
	Dir    string `arg:"" help:"Folder of backups, begun where there is nothing yet; a running hub writes there itself."`
	Config string `default:"hub.yaml" help:"Configuration file."`
	Keep   int    `help:"Remove the oldest backups beyond so many; default: none."`
	As     string `help:"Who orders it; default: the user of this machine."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c backupCmd) Run(s *session) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	return with(s, c.Config, func(o hub.Operator) error {
		bar := progressOn(s.errOut)
		out, err := o.Backup(s.ctx, hub.BackupOrder{Dir: dir, Keep: c.Keep, Operator: whoever(c.As)}, bar.show)
		bar.clear()
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, out)
		}
		m := out.Manifest
		fmt.Fprintf(s.out, "%s: complete: ledger up to entry %d, %s of database with %d proofs, %d files of proofs with %s\n",
			out.Path, m.Seq, amount(m.Database.Size), m.Rows, m.Files, amount(m.FileBytes))
		fmt.Fprintf(s.out, "it opens only with the keys %s of store.key, which are not in it: keep them elsewhere\n", strings.Join(m.Keys, ", "))
		for _, name := range out.Removed {
			fmt.Fprintf(s.out, "removed: %s\n", name)
		}
		return nil
	})
}

type restoreCmd struct {
	Dir         string `arg:"" help:"A backup, or a folder of backups: then the latest that was completed."`
	Config      string `default:"hub.yaml" help:"Configuration file: it says where the store and the proofs belong."`
	Check       bool   `help:"Only verify the backup: every digest, the database and the ledger. Writes nothing."`
	Aside       bool   `help:"Move away what lies there; without this flag a store that is there is never touched."`
	WithoutKeys bool   `help:"Go on although store.key lacks keys that the backup needs."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// A restoreReport is what restore -json prints.
type restoreReport struct {
	Check    hub.BackupCheck  `json:"check"`
	Restored *backup.Restored `json:"restored,omitempty"`
}

func (c restoreCmd) Run(s *session) error {
	cfg, err := hub.Load(c.Config, adapters.Kinds())
	if err != nil {
		return err
	}
	bar := progressOn(s.errOut)
	var report restoreReport
	if c.Check {
		report.Check, err = hub.CheckBackup(s.ctx, cfg, c.Dir, bar.show)
	} else {
		var out backup.Restored
		report.Check, out, err = hub.Restore(s.ctx, cfg, hub.RestoreOrder{Dir: c.Dir, Aside: c.Aside, WithoutKeys: c.WithoutKeys}, bar.show)
		if err == nil {
			report.Restored = &out
		}
	}
	bar.clear()
	if c.JSON {
		if printed := printJSON(s.out, report); err == nil {
			err = printed
		}
		return err
	}
	for _, problem := range report.Check.Problems {
		fmt.Fprintln(s.out, shown(problem))
	}
	if report.Check.More > 0 {
		fmt.Fprintf(s.out, "and %d more\n", report.Check.More)
	}
	if err != nil {
		return err
	}
	m := report.Check.Backup.Manifest
	fmt.Fprintf(s.out, "%s verifies: ledger up to entry %d, %d proofs in the database, %d in files\n", report.Check.Backup.Path, m.Seq, m.Rows, m.Files)
	for _, key := range report.Check.LostKeys {
		fmt.Fprintf(s.out, "store.key lacks key %s: what it sealed will not open\n", key)
	}
	if report.Restored == nil {
		return nil
	}
	for _, away := range report.Restored.Aside {
		fmt.Fprintf(s.out, "moved away: %s\n", away)
	}
	fmt.Fprintf(s.out, "restored to %s; now start it with: hub serve -recovered %s\n", cfg.Store.Path, c.Config)
	return nil
}

// A progressBar tells on a terminal how far long work has come; elsewhere it is silent.
type progressBar struct {
	w    io.Writer // nil: silent
	told time.Time
	wide int
}

func progressOn(w io.Writer) *progressBar {
	f, ok := w.(*os.File)
	if !ok {
		return &progressBar{}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progressBar{}
	}
	return &progressBar{w: w}
}

func (b *progressBar) show(p backup.Progress) {
	if b.w == nil || p.Stage == "" || time.Since(b.told) < 100*time.Millisecond {
		return
	}
	b.told = time.Now()
	text := fmt.Sprintf("%s: %d", p.Stage, p.Done)
	if p.All > 0 {
		text = fmt.Sprintf("%s: %d %%", p.Stage, 100*p.Done/p.All)
	}
	fmt.Fprintf(b.w, "\r%-*s", b.wide, text)
	b.wide = max(b.wide, len(text))
}

func (b *progressBar) clear() {
	if b.w != nil && b.wide > 0 {
		fmt.Fprintf(b.w, "\r%*s\r", b.wide, "")
	}
}

// amount prints bytes as people read them.
func amount(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
