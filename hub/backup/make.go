package backup

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/hub/archive"
	"raccordo/hub/store"
)

// A Source is what is backed up: a hub's store, open, and the folder of its archive.
type Source struct {
	Store   *store.Store
	Archive string
	Chain   string // of its ledger
	Now     time.Time
	// Step, in tests, hears the name of each step just before it is taken; an error ends the backup there, as a crash
	// would. Nil: nobody listens.
	Step func(name string) error
}

func (s Source) step(name string) error {
	if s.Step == nil {
		return nil
	}
	return s.Step(name)
}

// Make makes a backup in a folder of backups, which it begins where there is nothing yet. Who calls it sees to it that no
// other backup of the same chain is made meanwhile. It holds everything that the store had acknowledged before. A failure
// leaves nothing but files of proofs that the next backup uses or clears away; a crash leaves no completed backup, and the
// next Make clears it away. progress may be nil.
func Make(ctx context.Context, dir string, src Source, progress func(Progress)) (Backup, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	m := &maker{ctx: ctx, dir: dir, src: src, progress: progress, manifest: Manifest{Format: format, At: src.Now.UTC(), Chain: src.Chain}}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"folder", m.folder},
		{"database", m.database},
		{"examine", m.examine},
		{"proofs", m.proofs},
		{"list", m.list},
		{"manifest", m.finish},
	} {
		if err := src.step(step.name); err != nil {
			return Backup{}, errors.Join(err, m.close())
		}
		if err := step.do(); err != nil {
			return Backup{}, errors.Join(disk(err), m.close(), m.clear())
		}
	}
	if err := src.step("done"); err != nil {
		return Backup{}, err
	}
	return Load(m.here)
}

// A maker is one backup under way.
type maker struct {
	ctx      context.Context
	dir      string
	here     string // the backup's own folder
	src      Source
	progress func(Progress)
	manifest Manifest

	out      *os.File // the list
	lines    *bufio.Writer
	old      *lister // of the latest backup
	oldLine  line
	oldEnded bool
}

// folder takes the folder of backups and makes the backup's own.
func (m *maker) folder() error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	if err := m.mark(); err != nil {
		return err
	}
	names, err := instants(m.dir)
	if err != nil {
		return err
	}
	latest := ""
	for _, name := range names {
		here := filepath.Join(m.dir, name)
		switch _, err := Load(here); {
		case errors.Is(err, contracts.NotFound): // left by one that was not completed
			if err := os.RemoveAll(here); err != nil {
				return err
			}
		case err == nil:
			latest = here
		}
	}
	temp := filepath.Join(m.dir, proofsName, tempName)
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	for _, folder := range []string{filepath.Join(m.dir, proofsName), temp} {
		if err := mkdir(folder); err != nil {
			return err
		}
	}
	if latest != "" {
		if m.old, err = openList(filepath.Join(latest, listName)); err != nil {
			return err
		}
	}
	name := m.manifest.At.Format(instantForm)
	m.here = filepath.Join(m.dir, name)
	for n := 2; ; n++ { // a clock that stands, or was set back
		err := os.Mkdir(m.here, 0o700)
		if err == nil {
			return syncFolder(m.dir)
		}
		if !errors.Is(err, os.ErrExist) || n > 1000 {
			return err
		}
		m.here = filepath.Join(m.dir, fmt.Sprintf("%s-%d", name, n))
	}
}

// mark sees to it that the folder is one of this chain's backups and of nothing else.
func (m *maker) mark() error {
	file := filepath.Join(m.dir, markerName)
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		there, err := os.ReadDir(m.dir)
		if err != nil {
			return err
		}
		for _, e := range there {
			if e.Name() != "lost+found" && e.Name() != markerName+".new" {
				return contracts.Errorf(contracts.Conflict, "backup: %s holds other things and no %s; name an empty folder", m.dir, markerName)
			}
		}
		b, err := json.Marshal(marker{Format: format, Chain: m.src.Chain})
		if err != nil {
			return err
		}
		return replaceFile(file, append(b, '\n'))
	}
	if err != nil {
		return err
	}
	var have marker
	if json.Unmarshal(b, &have) != nil || have.Format != format {
		return contracts.Errorf(contracts.Malformed, "backup: %s cannot be read by this program", file)
	}
	if have.Chain != m.src.Chain {
		return contracts.Errorf(contracts.Conflict, "backup: %s holds backups of chain %s, this hub's is %s; name another folder", m.dir, have.Chain, m.src.Chain)
	}
	return nil
}

// database copies the database; the hub goes on.
func (m *maker) database() error {
	file := filepath.Join(m.here, databaseName)
	if err := m.src.Store.Copy(m.ctx, file, func(done, all int64) { m.progress(Progress{"database", done, all}) }); err != nil {
		return err
	}
	if err := m.src.step("digest"); err != nil {
		return err
	}
	sum, size, err := digestFile(m.ctx, file, nil)
	m.manifest.Database = File{databaseName, size, sum}
	return err
}

// examine has SQLite look at the copy, and reads from it what the manifest says.
func (m *maker) examine() error {
	c, err := store.OpenCopy(m.ctx, filepath.Join(m.here, databaseName))
	if err != nil {
		return err
	}
	err = c.Check(m.ctx)
	if err == nil {
		var head store.Head
		head, _, err = c.Head(m.ctx)
		m.manifest.Seq, m.manifest.Sum = head.Seq, head.Sum
	}
	if err == nil {
		m.manifest.Generation, err = c.Generation(m.ctx)
	}
	if err == nil {
		m.manifest.Keys, err = c.Keys(m.ctx)
	}
	if err == nil {
		err = archive.Rows(m.ctx, c, func(page []contracts.Sum) error {
			m.manifest.Rows += int64(len(page))
			return nil
		})
	}
	return errors.Join(err, c.Close())
}

// proofs lists the files of the archive and copies those that no backup holds yet.
func (m *maker) proofs() (err error) {
	if m.out, err = os.OpenFile(filepath.Join(m.here, listName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	m.lines = bufio.NewWriter(m.out)
	if err := (line{databaseName, m.manifest.Database.Sum}).write(m.lines); err != nil {
		return err
	}
	return archive.Files(m.ctx, m.src.Archive, func(sum contracts.Sum, path string) error {
		one, size, err := m.proof(sum, path)
		if errors.Is(err, os.ErrNotExist) {
			return nil // erased meanwhile
		}
		if err != nil {
			return err
		}
		m.manifest.Files++
		m.manifest.FileBytes += size
		m.progress(Progress{Stage: "proofs", Done: m.manifest.Files})
		return one.write(m.lines)
	})
}

// proof gives the line of a proof, and copies its file unless the latest backup holds it already.
func (m *maker) proof(sum contracts.Sum, path string) (line, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return line{}, 0, err
	}
	if was, ok, err := m.before(sum); err != nil {
		return line{}, 0, err
	} else if ok {
		have, err := os.Stat(filepath.Join(m.dir, was.name))
		if err == nil && have.Size() == info.Size() && have.ModTime().Equal(info.ModTime()) {
			return was, info.Size(), nil
		}
	}
	if err := m.src.step("proof"); err != nil {
		return line{}, 0, err
	}
	temp := filepath.Join(m.dir, proofsName, tempName, sum.String())
	file, size, err := copyFile(m.ctx, path, temp)
	if err != nil {
		return line{}, 0, err
	}
	one := line{proofName(sum, file), file}
	target := filepath.Join(m.dir, one.name)
	if err := mkdir(filepath.Dir(target)); err != nil {
		return line{}, 0, err
	}
	err = os.Chtimes(temp, info.ModTime(), info.ModTime())
	if err == nil {
		err = os.Rename(temp, target)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(target))
	}
	return one, size, err
}

// before gives the line of a proof in the latest backup's list. It is asked in the order of the digests.
func (m *maker) before(sum contracts.Sum) (line, bool, error) {
	for m.old != nil && !m.oldEnded {
		if plain, ok := m.oldLine.proof(); ok {
			switch strings.Compare(plain.String(), sum.String()) {
			case 0:
				return m.oldLine, true, nil
			case 1:
				return line{}, false, nil
			}
		}
		next, err := m.old.next()
		if errors.Is(err, io.EOF) {
			m.oldEnded = true
		} else if err != nil {
			return line{}, false, err
		}
		m.oldLine = next
	}
	return line{}, false, nil
}

// list forces the list to the disk.
func (m *maker) list() error {
	err := errors.Join(m.lines.Flush(), m.out.Sync())
	if err != nil {
		return err
	}
	m.manifest.List.Name = listName
	m.manifest.List.Sum, m.manifest.List.Size, err = digestFile(m.ctx, m.out.Name(), nil)
	return errors.Join(err, m.close())
}

// finish writes the manifest: from here on the backup is complete.
func (m *maker) finish() error {
	b, err := json.MarshalIndent(m.manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := syncFolder(m.here); err != nil {
		return err
	}
	return replaceFile(filepath.Join(m.here, manifestName), append(b, '\n'))
}

// clear takes away what a failure left: the disk may be full.
func (m *maker) clear() error {
	if m.here == "" {
		return nil
	}
	return os.RemoveAll(m.here)
}

func (m *maker) close() error {
	var errs []error
	if m.out != nil {
		errs = append(errs, m.out.Close())
		m.out = nil
	}
	if m.old != nil {
		errs = append(errs, m.old.close())
		m.old = nil
	}
	return errors.Join(errs...)
}
