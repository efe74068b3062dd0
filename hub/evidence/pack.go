package evidence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime/multipart"
	"net/textproto"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"raccordo/contracts"
)

// An export travels as a multipart stream: unlike tar it needs no size in advance, and a stream that is cut short is
// known by its missing end. The boundary is random, so that no receipt can hold it.

// Bounds of a folder. A case of a thousand tickets with a hundred receipts each stays below.
const (
	maxFiles    = 1_000_000
	maxFile     = int64(4) << 30 // a ledger segment of a very busy day
	maxBoundary = 80
)

const nameHeader = "Name"

// packer writes files into a stream and keeps account of them.
type packer struct {
	w     *multipart.Writer
	files []File
}

func newPacker(w io.Writer) *packer { return &packer{w: multipart.NewWriter(w)} }

// file writes one file.
func (p *packer) file(name string, write func(io.Writer) error) (File, error) {
	part, err := p.w.CreatePart(textproto.MIMEHeader{nameHeader: {name}})
	if err != nil {
		return File{}, err
	}
	m := meter{w: part, h: sha256.New()}
	if err := write(&m); err != nil {
		return File{}, err
	}
	f := File{Path: name, Size: m.n, Sum: m.sum()}
	p.files = append(p.files, f)
	return f, nil
}

func (p *packer) bytes(name string, b []byte) (File, error) {
	return p.file(name, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// take gives the files written since the last take, by name.
func (p *packer) take() []File {
	files := p.files
	p.files = nil
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

// sums is the text that sha256sum writes and checks.
func sums(files []File) []byte {
	var out bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&out, "%s  %s\n", f.Sum, f.Path)
	}
	return out.Bytes()
}

// A meter counts and digests what goes through.
type meter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.h.Write(b[:n])
	m.n += int64(n)
	return n, err
}

func (m *meter) sum() (sum contracts.Sum) {
	m.h.Sum(sum[:0])
	return sum
}

// Names are ours: words, digests and ids, never what a far side wrote.
var segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// validName reports whether a name can stand in a folder: up to three plain segments, whatever the system.
func validName(name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) > 3 || len(name) > 200 {
		return false
	}
	for _, p := range parts {
		if !segment.MatchString(p) || strings.HasSuffix(p, ".") {
			return false
		}
	}
	return true
}

// word is a name of ours or of a far side's as a part of a file's name.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '_'
	}, s)
	if s = strings.Trim(s, "._-"); s == "" {
		return "x"
	}
	return s[:min(len(s), 60)]
}

// Unpack writes a stream's files into a folder, which is made and must not be there yet, or be empty. Nothing is
// written outside of it. progress hears of each file. An error leaves what was written so far.
func Unpack(r io.Reader, dir string, progress func(File)) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return contracts.Errorf(contracts.Invalid, "evidence: %w", err)
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		return contracts.Errorf(contracts.Invalid, "evidence: %s is not an empty folder; name another", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return contracts.Errorf(contracts.Invalid, "evidence: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	in := bufio.NewReaderSize(r, 64<<10)
	boundary, err := boundaryOf(in)
	if err != nil {
		return err
	}
	parts := multipart.NewReader(in, boundary)
	seen := map[string]bool{}
	for len(seen) < maxFiles {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return drained(in)
		}
		if err != nil {
			return contracts.Errorf(contracts.Unavailable, "evidence: the export was cut short: %w", err)
		}
		name := part.Header.Get(nameHeader)
		if !validName(name) || seen[strings.ToLower(name)] {
			return contracts.Errorf(contracts.Malformed, "evidence: the export names a file %q", name)
		}
		seen[strings.ToLower(name)] = true
		f, err := write(root, name, part)
		if err != nil {
			return err
		}
		progress(f)
	}
	return contracts.Errorf(contracts.Malformed, "evidence: the export has more than %d files", maxFiles)
}

// drained reads to the end, so that whoever writes comes to its own.
func drained(in io.Reader) error {
	const most = 1 << 10 // the line end behind the last boundary, at most
	n, err := io.Copy(io.Discard, io.LimitReader(in, most))
	switch {
	case err != nil:
		return contracts.Errorf(contracts.Unavailable, "evidence: the export was cut short: %w", err)
	case n == most:
		return contracts.Errorf(contracts.Malformed, "evidence: something stands behind the end of the export")
	}
	return nil
}

func boundaryOf(in *bufio.Reader) (string, error) {
	head, err := in.Peek(maxBoundary)
	line, _, ok := strings.Cut(string(head), "\r\n")
	if !ok || !strings.HasPrefix(line, "--") || len(line) < 4 {
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return "", contracts.Errorf(contracts.Malformed, "evidence: not the beginning of an export")
	}
	return line[2:], nil
}

func write(root *os.Root, name string, from io.Reader) (out File, err error) {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return out, unavailable(err)
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return out, unavailable(err)
	}
	m := meter{w: f, h: sha256.New()}
	_, err = io.Copy(&m, io.LimitReader(from, maxFile+1))
	if err == nil && m.n > maxFile {
		err = contracts.Errorf(contracts.Malformed, "evidence: %s is larger than %d bytes", name, maxFile)
	}
	if err = errors.Join(err, f.Close()); err != nil { // not forced to the disk: it can be made again, and verify tells
		return out, unavailable(err)
	}
	return File{Path: name, Size: m.n, Sum: m.sum()}, nil
}

func unavailable(err error) error {
	return contracts.Errorf(contracts.Unavailable, "evidence: write: %w", err)
}
