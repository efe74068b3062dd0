package ledger_test

import (
	"bytes"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/ledger"
)

// Three days with four entries each: segments 1 (entries 1-4), 2 (5-8) and 3 (9-12, growing).
func TestOneSegmentProvesItsEntries(t *testing.T) {
	b := newBench(t)
	b.days(t, 3, 4)
	for _, c := range []struct{ entry, segment, first, last uint64 }{{1, 1, 1, 4}, {6, 2, 5, 8}, {8, 2, 5, 8}, {12, 3, 9, 12}} {
		var out bytes.Buffer
		head, err := b.Segment(t.Context(), c.entry)
		if err == nil {
			err = b.ExportSegment(t.Context(), &out, head)
		}
		if err != nil || head.Segment != c.segment || head.Closed != (c.segment < 3) {
			t.Fatalf("entry %d: %+v, %v", c.entry, head, err)
		}
		var seen []uint64
		report, err := ledger.WalkExport(bytes.NewReader(out.Bytes()), func(h ledger.Head, e contracts.Entry) {
			if h.Digest() != head.Digest() {
				t.Error("an entry is shown under another head")
			}
			seen = append(seen, e.Seq)
		}, b.PublicKey())
		if err != nil || report.Segments != 1 || len(seen) != 4 || seen[0] != c.first || seen[3] != c.last {
			t.Errorf("entry %d: %+v, %v, saw %v", c.entry, report, err, seen)
		}
		spoiled := bytes.Replace(out.Bytes(), []byte(`"t1"`), []byte(`"t2"`), 1)
		seen = nil
		_, err = ledger.WalkExport(bytes.NewReader(spoiled), func(_ ledger.Head, e contracts.Entry) { seen = append(seen, e.Seq) }, b.PublicKey())
		if err == nil || len(seen) != 3 {
			t.Errorf("an altered entry was shown, or nothing was said: %v, saw %v", err, seen)
		}
	}
	if _, err := b.Segment(t.Context(), 13); contracts.KindOf(err) != contracts.NotFound {
		t.Errorf("an entry that is not there: %v", err)
	}
	if _, err := b.Drop(t.Context(), 1, contracts.Caller{Service: "hub", Purpose: "operation"}, "retention"); err != nil {
		t.Fatal(err)
	}
	h, err := b.Segment(t.Context(), 1)
	if contracts.KindOf(err) != contracts.NotFound {
		t.Errorf("a dropped segment: %v", err)
	}
	if err := b.ExportSegment(t.Context(), &bytes.Buffer{}, h); err == nil {
		t.Error("a segment without its entries is exported")
	}
}

func TestPublicKeyInPEM(t *testing.T) {
	b := newBench(t)
	text, err := ledger.MarshalPublicKey(b.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ledger.UnmarshalPublicKey(text)
	if err != nil || !pub.Equal(b.PublicKey()) {
		t.Errorf("%v, %v", pub, err)
	}
	for name, bad := range map[string]string{
		"nothing": "", "a private key": signKey, "no key inside": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		if _, err := ledger.UnmarshalPublicKey([]byte(bad)); err == nil {
			t.Errorf("%s is taken for a public key", name)
		}
	}
}
