package evidence_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/hub/evidence"
)

// An export beside the least that could be done: the same receipts and messages into a tar, each digested once. The
// ratio is of one run; bytes are those of receipts and messages.
func BenchmarkExport(b *testing.B) {
	d := newDesk(b)
	padding := strings.Repeat("x", 20<<10)
	var files [][]byte
	for i := range 100 {
		id := d.send(fmt.Sprintf("k%d", i), "P-1", letter+padding)
		files = append(files, d.frozen[id][0].Bytes,
			d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1"}, padding),
			d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "1"}, padding))
	}
	size := 0
	for _, f := range files {
		size += len(f)
	}
	b.SetBytes(int64(size))
	q := evidence.Request{Of: "P-1", Operator: "x", Reason: "y"}
	var floor, export time.Duration
	for b.Loop() {
		begun := time.Now()
		w := tar.NewWriter(io.Discard)
		for i, f := range files {
			sum := sha256.Sum256(f)
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d-%x", i, sum[:4]), Size: int64(len(f)), Mode: 0o600}); err != nil {
				b.Fatal(err)
			}
			if _, err := w.Write(f); err != nil {
				b.Fatal(err)
			}
		}
		floor += time.Since(begun)
		begun = time.Now()
		if err := evidence.Export(b.Context(), io.Discard, d, d.Ledger, q); err != nil {
			b.Fatal(err)
		}
		export += time.Since(begun)
	}
	b.ReportMetric(export.Seconds()/floor.Seconds(), "x_tar")
}

// A verification beside sha256sum's work on the same folder.
func BenchmarkVerify(b *testing.B) {
	d := newDesk(b)
	padding := strings.Repeat("x", 20<<10)
	for i := range 100 {
		id := d.send(fmt.Sprintf("k%d", i), "P-1", letter+padding)
		d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1"}, padding)
		d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "1"}, padding)
	}
	var out bytes.Buffer
	if err := evidence.Export(b.Context(), &out, d, d.Ledger, evidence.Request{Of: "P-1", Operator: "x", Reason: "y"}); err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "out")
	if err := evidence.Unpack(&out, dir, func(evidence.File) {}); err != nil {
		b.Fatal(err)
	}
	names := files(b, dir)
	var floor, verified time.Duration
	for b.Loop() {
		begun := time.Now()
		for _, n := range names {
			_ = sha256.Sum256([]byte(read(b, dir, n)))
		}
		floor += time.Since(begun)
		begun = time.Now()
		if r := verify(b, dir, trust()); !r.OK() {
			b.Fatal(r.Faults[0])
		}
		verified += time.Since(begun)
	}
	b.ReportMetric(verified.Seconds()/floor.Seconds(), "x_sha256")
}
