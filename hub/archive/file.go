package archive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"

	"raccordo/contracts"
)

const (
	mark      = "raccordo archive 1\n"
	idSize    = 16
	chunkSize = 64 << 10
	// maxSealed bounds a frame that is read: a sealer adds far less than this to a chunk.
	maxSealed = chunkSize + 1024
)

// place is what the n-th chunk of a file is sealed for.
func place(id []byte, n uint64) (table, row string) {
	return "archive", hex.EncodeToString(id) + "/" + strconv.FormatUint(n, 10)
}

// write seals r into f. Its errors have their Kind, but for those of r, which are the caller's own.
func (a *Archive) write(ctx context.Context, f *os.File, r io.Reader, limit int64) (sum contracts.Sum, err error) {
	id := make([]byte, idSize)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	if err := a.put(ctx, f, append([]byte(mark), id...)); err != nil {
		return sum, unavailable("keep", err)
	}
	var (
		h     = sha256.New()
		chunk = make([]byte, chunkSize)
		frame = make([]byte, 0, 4+maxSealed)
		total int64
	)
	for n := uint64(0); ; n++ {
		if err := ctx.Err(); err != nil {
			return sum, contracts.Errorf(contracts.Canceled, "archive: keep: %w", context.Cause(ctx))
		}
		size, err := io.ReadFull(r, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return sum, fmt.Errorf("archive: keep: read: %w", err)
		}
		if size == 0 {
			break
		}
		if total += int64(size); total > limit {
			return sum, contracts.Errorf(contracts.Invalid, "archive: keep: more than %d bytes", limit)
		}
		h.Write(chunk[:size])
		table, row := place(id, n)
		sealed, err := a.store.Seal(table, row, chunk[:size])
		if err != nil {
			return sum, err
		}
		frame = binary.BigEndian.AppendUint32(frame[:0], uint32(len(sealed)))
		frame = append(frame, sealed...)
		if err := a.put(ctx, f, frame); err != nil {
			return sum, unavailable("keep", err)
		}
	}
	h.Sum(sum[:0])
	return sum, nil
}

// put writes all of b.
func (a *Archive) put(ctx context.Context, f *os.File, b []byte) error {
	return a.try(ctx, func() error {
		n, err := f.Write(b)
		b = b[n:]
		return err
	})
}

// A reader opens chunk after chunk.
type reader struct {
	sealer Sealer
	f      *os.File
	want   contracts.Sum
	id     []byte
	n      uint64
	h      hash.Hash
	rest   []byte // of the present chunk
	err    error  // from here on
}

func newReader(sealer Sealer, f *os.File, sum contracts.Sum) (*reader, error) {
	head := make([]byte, len(mark)+idSize)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(mark)]) != mark {
		_ = f.Close() // only read from
		return nil, changed(sum, "it is no file of this archive")
	}
	return &reader{sealer: sealer, f: f, want: sum, id: head[len(mark):], h: sha256.New()}, nil
}

// Read gives plain bytes, or io.EOF once all of them have been given and are proof.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.next()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *reader) next() ([]byte, error) {
	var size [4]byte
	_, err := io.ReadFull(r.f, size[:])
	if errors.Is(err, io.EOF) {
		if contracts.Sum(r.h.Sum(nil)) != r.want {
			return nil, changed(r.want, "its bytes have another digest")
		}
		return nil, io.EOF
	}
	length := binary.BigEndian.Uint32(size[:])
	if err == nil && (length == 0 || length > maxSealed) {
		return nil, changed(r.want, "a frame has an impossible length")
	}
	sealed := make([]byte, length)
	if err == nil {
		_, err = io.ReadFull(r.f, sealed)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, changed(r.want, "it is cut short")
	}
	if err != nil {
		return nil, unavailable("read proof", err)
	}
	table, row := place(r.id, r.n)
	plain, err := r.sealer.Unseal(table, row, sealed)
	if err != nil {
		return nil, contracts.Errorf(contracts.KindOf(err), "archive: read proof %s: %w", r.want, err)
	}
	r.n++
	r.h.Write(plain)
	return plain, nil
}

// Close closes the file.
func (r *reader) Close() error { return r.f.Close() }

func changed(sum contracts.Sum, how string) error {
	return contracts.Errorf(contracts.Internal, "archive: read proof %s: the file was changed: %s", sum, how)
}
