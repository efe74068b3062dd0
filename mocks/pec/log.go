package pec

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A span is where some bytes lie in the log.
type span struct {
	off  int64
	size int64
}

// A record is one line of the append-only log: exactly one of its fields is set. Whatever the mock remembers is the fold
// of its records.
type record struct {
	Submit      *submission  `json:"submit,omitempty"`
	Step        *stepDone    `json:"step,omitempty"`
	Flags       *flagsSet    `json:"flags,omitempty"`
	Remove      *removed     `json:"remove,omitempty"`
	Copy        *copied      `json:"copy,omitempty"`
	Folder      *folderEvent `json:"folder,omitempty"`
	UIDValidity *newValidity `json:"uid_validity,omitempty"`
	Attempt     *attempt     `json:"attempt,omitempty"`
}

// A wal is the log on disk: a header of 12 bytes (length of the JSON, length of the raw bytes, checksum), JSON, raw bytes.
// A record is one write, so a killed process leaves whole records and at most one torn tail, which replay cuts off. It is
// not flushed to the platter: it survives the process, not a power cut.
type wal struct {
	file *os.File
	end  int64
	max  int64
}

const (
	walHeader = 12
	maxJSON   = 16 << 20
)

var errFull = errors.New("pec: the log has reached its limit")

// openLog opens the file; replay must follow before anything is appended.
func openLog(path string, limit int64) (*wal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pec: open log: %w", err)
	}
	return &wal{file: file, max: limit}, nil
}

// replay calls each with every record and the place of its raw bytes, and cuts a torn tail off.
func (w *wal) replay(each func(record, span) error) error {
	for {
		r, raw, next, err := w.read(w.end)
		if errors.Is(err, errTorn) {
			return w.file.Truncate(w.end)
		}
		if err != nil {
			return err
		}
		if err := each(r, raw); err != nil {
			return err
		}
		w.end = next
	}
}

// errTorn means that no whole record begins here: the end of the log.
var errTorn = errors.New("torn record")

func (w *wal) read(at int64) (r record, raw span, next int64, err error) {
	var head [walHeader]byte
	if _, err := w.file.ReadAt(head[:], at); err != nil {
		if errors.Is(err, io.EOF) {
			err = errTorn
		}
		return r, raw, 0, err
	}
	textSize := int64(binary.BigEndian.Uint32(head[0:]))
	raw = span{off: at + walHeader + textSize, size: int64(binary.BigEndian.Uint32(head[4:]))}
	if textSize > maxJSON {
		return r, raw, 0, errTorn
	}
	body := make([]byte, textSize)
	sum := crc32.NewIEEE()
	if _, err := w.file.ReadAt(body, at+walHeader); err != nil {
		return r, raw, 0, errTorn
	}
	sum.Write(body)
	if n, err := io.Copy(sum, io.NewSectionReader(w.file, raw.off, raw.size)); err != nil || n != raw.size {
		return r, raw, 0, errTorn
	}
	if sum.Sum32() != binary.BigEndian.Uint32(head[8:]) {
		return r, raw, 0, errTorn
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, raw, 0, err
	}
	return r, raw, raw.off + raw.size, nil
}

// append writes one record and tells where its raw bytes lie.
func (w *wal) append(r record, raw []byte) (span, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return span{}, fmt.Errorf("pec: write log: %w", err)
	}
	if len(body) > maxJSON || w.end+int64(walHeader+len(body)+len(raw)) > w.max {
		return span{}, errFull
	}
	buf := make([]byte, walHeader, walHeader+len(body)+len(raw))
	binary.BigEndian.PutUint32(buf[0:], uint32(len(body)))
	binary.BigEndian.PutUint32(buf[4:], uint32(len(raw)))
	buf = append(append(buf, body...), raw...)
	binary.BigEndian.PutUint32(buf[8:], crc32.ChecksumIEEE(buf[walHeader:]))
	if _, err := w.file.WriteAt(buf, w.end); err != nil {
		return span{}, errors.Join(fmt.Errorf("pec: write log: %w", err), w.file.Truncate(w.end))
	}
	at := span{off: w.end + walHeader + int64(len(body)), size: int64(len(raw))}
	w.end += int64(len(buf))
	return at, nil
}

// reader gives the bytes of a span.
func (w *wal) reader(s span) *io.SectionReader { return io.NewSectionReader(w.file, s.off, s.size) }

func (w *wal) bytes(s span) ([]byte, error) {
	out := make([]byte, s.size)
	if _, err := w.file.ReadAt(out, s.off); err != nil {
		return nil, fmt.Errorf("pec: read log: %w", err)
	}
	return out, nil
}
