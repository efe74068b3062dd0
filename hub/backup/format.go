package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
)

const (
	format       = 1
	markerName   = "raccordo-backups.json"
	manifestName = "manifest.json"
	databaseName = "hub.db"
	listName     = "files.sha256"
	proofsName   = "proofs"
	tempName     = "tmp"
	instantForm  = "20060102T150405.000Z"
	maxManifest  = 64 << 10
)

// A Manifest says what a backup holds. It is written last.
type Manifest struct {
	Format     int           `json:"format"`
	At         time.Time     `json:"at"` // when it was begun, by the hub's clock
	Chain      string        `json:"chain"`
	Seq        uint64        `json:"seq"`        // the last entry of the ledger in it
	Sum        contracts.Sum `json:"sum"`        // that entry's
	Generation uint64        `json:"generation"` // how often the store had been opened
	Keys       []string      `json:"keys"`       // ids of the keys in store.key that it needs
	Database   File          `json:"database"`
	List       File          `json:"list"`        // digests of every file
	Rows       int64         `json:"rows"`        // small proofs, in the database
	Files      int64         `json:"files"`       // proofs that are files
	FileBytes  int64         `json:"files_bytes"` // theirs
}

// A File is one file of a backup.
type File struct {
	Name string        `json:"name"`
	Size int64         `json:"size"`
	Sum  contracts.Sum `json:"sha256"`
}

// A Backup is a completed backup and where it lies.
type Backup struct {
	Path     string        `json:"path"`
	Manifest Manifest      `json:"manifest"`
	Digest   contracts.Sum `json:"digest"` // of manifest.json
}

// A Progress is how far long work has come. All is zero while nobody knows.
type Progress struct {
	Stage string `json:"stage"` // "database", "proofs", "verify" …
	Done  int64  `json:"done"`  // bytes, or files with stage "proofs"
	All   int64  `json:"all,omitempty"`
}

type marker struct {
	Format int    `json:"format"`
	Chain  string `json:"chain"`
}

// instantName is the name of a backup's folder: its instant, and a number where several began in one millisecond.
var instantName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z(-\d+)?$`)

// Load reads the manifest of the backup in a folder. NotFound: there is none, so it is no backup or not complete.
func Load(dir string) (Backup, error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return Backup{}, contracts.Errorf(contracts.NotFound, "backup %s: there is no %s: it is no backup, or was not completed", dir, manifestName)
	}
	if err != nil {
		return Backup{}, contracts.Errorf(contracts.Unavailable, "backup: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return Backup{}, contracts.Errorf(contracts.Unavailable, "backup: %w", err)
	}
	out := Backup{Path: dir, Digest: contracts.SumOf(b)}
	if len(b) > maxManifest || json.Unmarshal(b, &out.Manifest) != nil {
		return Backup{}, contracts.Errorf(contracts.Malformed, "backup %s: the manifest cannot be read", dir)
	}
	if out.Manifest.Format != format {
		return Backup{}, contracts.Errorf(contracts.Malformed, "backup %s: of format %d, this program reads %d", dir, out.Manifest.Format, format)
	}
	return out, nil
}

// List gives the completed backups in a folder of backups, the oldest first.
func List(dir string) ([]Backup, error) {
	names, err := instants(dir)
	if err != nil {
		return nil, err
	}
	var all []Backup
	for _, name := range names {
		b, err := Load(filepath.Join(dir, name))
		if errors.Is(err, contracts.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// Find gives the backup in dir, or the latest completed one where dir is a folder of backups.
func Find(dir string) (Backup, error) {
	b, err := Load(dir)
	if !errors.Is(err, contracts.NotFound) {
		return b, err
	}
	all, listed := List(dir)
	if listed != nil || len(all) == 0 {
		return Backup{}, errors.Join(listed, err)
	}
	return all[len(all)-1], nil
}

func instants(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "backup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && instantName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, older)
	return names, nil
}

// older orders names of one millisecond by their number.
func older(a, b string) int {
	if len(a) != len(b) && a[:len(instantForm)] == b[:len(instantForm)] {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// A line of a list: a file, by its name below the folder of backups, with the digest of its bytes.
type line struct {
	name string
	sum  contracts.Sum
}

func (l line) proof() (sum contracts.Sum, ok bool) {
	plain, _, cut := strings.Cut(path.Base(l.name), ".")
	return sum, cut && sum.UnmarshalText([]byte(plain)) == nil && l.name == proofName(sum, l.sum)
}

// proofName is the name of a proof's file below the folder of backups.
func proofName(plain, file contracts.Sum) string {
	name := plain.String()
	return path.Join(proofsName, name[:2], name+"."+file.String()[:8])
}

// write writes a line as sha256sum does; names are told from the backup's own folder.
func (l line) write(w io.Writer) error {
	name := l.name
	if name != databaseName {
		name = "../" + name
	}
	_, err := io.WriteString(w, hex.EncodeToString(l.sum[:])+"  "+name+"\n")
	return err
}

// maxLine bounds a line of a list that is read.
const maxLine = 4096

// A lister reads a list line by line.
type lister struct {
	f    *os.File
	scan *bufio.Scanner
	n    int
}

func openList(file string) (*lister, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "backup: %w", err)
	}
	l := &lister{f: f, scan: bufio.NewScanner(f)}
	l.scan.Buffer(make([]byte, maxLine), maxLine)
	return l, nil
}

// next gives the next line; io.EOF at the end.
func (l *lister) next() (out line, err error) {
	if !l.scan.Scan() {
		if err := l.scan.Err(); err != nil {
			return out, contracts.Errorf(contracts.Malformed, "backup: list, line %d: %w", l.n+1, err)
		}
		return out, io.EOF
	}
	l.n++
	digest, name, ok := strings.Cut(l.scan.Text(), "  ")
	if !ok || digest == "" || out.sum.UnmarshalText([]byte(digest)) != nil {
		return out, contracts.Errorf(contracts.Malformed, "backup: list, line %d: want a digest and a name", l.n)
	}
	out.name = strings.TrimPrefix(name, "../")
	if _, proof := out.proof(); !proof && (l.n != 1 || name != databaseName) { // so no line leads out of the folder
		return out, contracts.Errorf(contracts.Malformed, "backup: list, line %d: names a file that is no part of a backup", l.n)
	}
	return out, nil
}

func (l *lister) close() error { return l.f.Close() }

// digestFile reads a file whole.
func digestFile(ctx context.Context, file string, heard func(n int64)) (sum contracts.Sum, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, &hearing{&untilDone{ctx, f}, heard})
	h.Sum(sum[:0])
	return sum, size, err
}

// hearing tells of each part that is read.
type hearing struct {
	io.Reader
	heard func(n int64)
}

func (h *hearing) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if h.heard != nil {
		h.heard(int64(n))
	}
	return n, err
}
