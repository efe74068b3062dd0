package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"raccordo/contracts"
)

// version of the encoding of an entry.
const version = 1

// maxEntry bounds an encoded entry, in bytes: a thousand attempts and as many proofs stay far below.
const maxEntry = 512 << 10

const (
	entryMark = "raccordo ledger entry\n"
	headMark  = "raccordo ledger head 1\n"
)

// An encoder appends fields in the notation of the package comment.
type encoder struct{ b []byte }

func (e *encoder) number(n int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(n)) }
func (e *encoder) count(n int)    { e.b = binary.BigEndian.AppendUint32(e.b, uint32(n)) }
func (e *encoder) text(s string)  { e.count(len(s)); e.b = append(e.b, s...) }
func (e *encoder) sum(s [32]byte) { e.b = append(e.b, s[:]...) }
func (e *encoder) time(t time.Time) {
	e.number(t.Unix())
	e.count(t.Nanosecond())
}

func (e *encoder) flag(on bool) {
	if on {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

// encode gives the canonical encoding of an entry.
func encode(x *contracts.Entry) []byte {
	e := encoder{make([]byte, 0, 512)}
	e.number(int64(x.Version))
	e.text(x.Chain)
	e.number(int64(x.Seq))
	e.sum(x.Prev)
	e.time(x.At)
	e.text(x.Phase)
	e.text(x.Outcome)
	for _, s := range callerTexts(&x.Caller) {
		e.text(*s)
	}
	e.text(x.Op)
	e.text(x.System)
	e.text(x.Ref)
	e.sum(x.Subject)
	e.text(x.SubjectKey)
	e.text(x.Reason)
	e.count(len(x.Attempts))
	for i := range x.Attempts {
		a := &x.Attempts[i]
		e.time(a.At)
		e.number(int64(a.Took))
		e.flag(a.Sent)
		e.text(a.Status)
		e.text(a.RemoteID)
		e.sum(a.RequestSum)
		e.sum(a.ResponseSum)
	}
	e.count(len(x.Proof))
	for _, p := range x.Proof {
		e.sum(p)
	}
	return e.b
}

// callerTexts lists the caller's fields in the order in which they are encoded.
func callerTexts(c *contracts.Caller) [7]*string {
	return [7]*string{&c.Service, &c.Purpose, &c.User, &c.Case, &c.Site, &c.IP, &c.LoA}
}

// sumOf is the Sum of an encoded entry.
func sumOf(encoded []byte) (sum contracts.Sum) {
	h := sha256.New()
	h.Write([]byte(entryMark))
	h.Write(encoded)
	h.Sum(sum[:0])
	return sum
}

var errEncoding = errors.New("not the encoding of an entry")

// A decoder takes fields off; the first failure stays.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) number() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) count() int {
	if b := d.take(4); b != nil {
		return int(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) text() string { return string(d.take(d.count())) }

func (d *decoder) sum() (s contracts.Sum) {
	copy(s[:], d.take(len(s)))
	return s
}

func (d *decoder) time() time.Time {
	sec, nsec := d.number(), d.count()
	if nsec >= int(time.Second) {
		d.bad = true
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

func (d *decoder) flag() bool {
	b := d.take(1)
	if b == nil || b[0] > 1 {
		d.bad = true
		return false
	}
	return b[0] == 1
}

// list reads how many items of at least size bytes follow; no more than can be there.
func (d *decoder) list(size int) int {
	n := d.count()
	if d.bad || n > len(d.b)/size {
		d.bad = true
		return 0
	}
	return n
}

const attemptSize = 12 + 8 + 1 + 4 + 4 + 32 + 32

// decode reads what encode writes, and nothing else. The Sum is that of the bytes.
func decode(b []byte) (x contracts.Entry, err error) {
	d := decoder{b: b}
	x.Version = int(d.number())
	if !d.bad && x.Version != version {
		return x, errEncoding
	}
	x.Chain = d.text()
	x.Seq = uint64(d.number())
	x.Prev = d.sum()
	x.At = d.time()
	x.Phase = d.text()
	x.Outcome = d.text()
	for _, s := range callerTexts(&x.Caller) {
		*s = d.text()
	}
	x.Op = d.text()
	x.System = d.text()
	x.Ref = d.text()
	x.Subject = d.sum()
	x.SubjectKey = d.text()
	x.Reason = d.text()
	for range d.list(attemptSize) {
		x.Attempts = append(x.Attempts, contracts.Attempt{
			At: d.time(), Took: time.Duration(d.number()), Sent: d.flag(), Status: d.text(), RemoteID: d.text(),
			RequestSum: d.sum(), ResponseSum: d.sum(),
		})
	}
	for range d.list(len(contracts.Sum{})) {
		x.Proof = append(x.Proof, d.sum())
	}
	if d.bad || len(d.b) != 0 {
		return x, errEncoding
	}
	x.Sum = sumOf(b)
	return x, nil
}

// normal gives an entry that reads the same after JSON: UTC, valid UTF-8, no monotonic clock, lists of its own.
func normal(x contracts.Entry) contracts.Entry {
	clean := func(s *string) { *s = strings.ToValidUTF8(*s, "\uFFFD") }
	x.At = x.At.Round(0).UTC()
	for _, s := range callerTexts(&x.Caller) {
		clean(s)
	}
	for _, s := range []*string{&x.Phase, &x.Outcome, &x.Op, &x.System, &x.Ref, &x.SubjectKey, &x.Reason} {
		clean(s)
	}
	x.Attempts = append([]contracts.Attempt(nil), x.Attempts...)
	for i := range x.Attempts {
		a := &x.Attempts[i]
		a.At = a.At.Round(0).UTC()
		clean(&a.Status)
		clean(&a.RemoteID)
	}
	return x
}
