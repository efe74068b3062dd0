package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

var update = flag.Bool("update", false, "rewrite testdata")

// A vector is an entry, its canonical encoding and its sum, for whoever writes another verifier.
type vector struct {
	Entry    contracts.Entry `json:"entry"`
	Encoding string          `json:"encoding"`
}

func vectors() []contracts.Entry {
	full := contracts.Entry{
		Version: 1, Chain: "0011223344556677", Seq: 2, At: time.Date(2026, 3, 1, 10, 0, 0, 123456789, time.UTC),
		Phase: contracts.PhaseOutcome, Outcome: "not_found",
		Caller: contracts.Caller{Service: "core", Purpose: "attivazione", User: "u-1", Case: "2026/77", Site: "Torino", IP: "192.0.2.1", LoA: "LoA3"},
		Op:     "domicile.lookup", System: "inad", Ref: "abc", Subject: contracts.SumOf([]byte("s")), SubjectKey: "01020304", Reason: "perché sì",
		Attempts: []contracts.Attempt{
			{At: time.Date(2026, 3, 1, 9, 59, 59, 0, time.UTC), Took: 1500 * time.Millisecond, Status: "timeout"},
			{At: time.Date(2026, 3, 1, 9, 59, 59, 5, time.UTC), Took: 3, Sent: true, Status: "404", RemoteID: "r", RequestSum: contracts.Sum{1}, ResponseSum: contracts.Sum{2}},
		},
		Proof: []contracts.Sum{{3}, {4}},
	}
	first := contracts.Entry{Version: 1, Chain: full.Chain, Seq: 1, At: full.At, Phase: contracts.PhaseSubmitted, Attempts: []contracts.Attempt{{}}}
	first.Sum = sumOf(encode(&first))
	full.Prev = first.Sum
	full.Sum = sumOf(encode(&full))
	return []contracts.Entry{first, full}
}

func TestTheEncodingIsTheDocumentedOne(t *testing.T) {
	var have []vector
	for _, e := range vectors() {
		have = append(have, vector{e, hex.EncodeToString(encode(&e))})
	}
	text, err := json.MarshalIndent(have, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/vectors.json"
	if *update {
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(bytes.TrimSpace(want), text) {
		t.Errorf("the encoding has changed (%v): existing chains would not verify any more; a change needs a new version", err)
	}
}

// The same encoding, spelled out by hand from the package comment.
func TestTheFirstVectorByHand(t *testing.T) {
	e := vectors()[0]
	zero := make([]byte, 32)
	at := []byte{0, 0, 0, 0, 0x69, 0xa4, 0x0e, 0x20, 0x07, 0x5b, 0xcd, 0x15}
	year1 := []byte{0xff, 0xff, 0xff, 0xf1, 0x88, 0x6e, 0x09, 0x00, 0, 0, 0, 0}
	var w []byte
	w = append(w, 0, 0, 0, 0, 0, 0, 0, 1)                     // version
	w = append(append(w, 0, 0, 0, 16), "0011223344556677"...) // chain
	w = append(w, 0, 0, 0, 0, 0, 0, 0, 1)                     // seq
	w = append(append(w, zero...), at...)                     // prev, at
	w = append(append(w, 0, 0, 0, 9), "submitted"...)         // phase
	w = append(w, make([]byte, 4*11)...)                      // outcome, caller, op, system, ref
	w = append(append(w, zero...), make([]byte, 8)...)        // subject, subject_key, reason
	w = append(append(w, 0, 0, 0, 1), year1...)               // one attempt: at
	w = append(append(w, make([]byte, 8+1+4+4)...), zero...)  // took, sent, status, remote_id, request_sum
	w = append(append(w, zero...), 0, 0, 0, 0)                // response_sum, no proof
	if have := encode(&e); !bytes.Equal(have, w) {
		t.Errorf("have %x\nwant %x", have, w)
	}
}

func anyEntry() *rapid.Generator[contracts.Entry] {
	text := rapid.String()
	sum := rapid.Custom(func(t *rapid.T) contracts.Sum { return contracts.SumOf([]byte(text.Draw(t, "summed"))) })
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "sec"), rapid.Int64Range(0, 999999999).Draw(t, "nsec")).UTC()
	})
	return rapid.Custom(func(t *rapid.T) contracts.Entry {
		e := contracts.Entry{
			Version: 1, Chain: text.Draw(t, "chain"), Seq: rapid.Uint64().Draw(t, "seq"), Prev: sum.Draw(t, "prev"), At: at.Draw(t, "at"),
			Phase: text.Draw(t, "phase"), Outcome: text.Draw(t, "outcome"), Op: text.Draw(t, "op"), System: text.Draw(t, "system"), Ref: text.Draw(t, "ref"),
			Subject: sum.Draw(t, "subject"), SubjectKey: text.Draw(t, "key"), Reason: text.Draw(t, "reason"), Proof: rapid.SliceOf(sum).Draw(t, "proof"),
		}
		for _, s := range callerTexts(&e.Caller) {
			*s = text.Draw(t, "caller")
		}
		for range rapid.IntRange(0, 3).Draw(t, "attempts") {
			e.Attempts = append(e.Attempts, contracts.Attempt{
				At: at.Draw(t, "at"), Took: time.Duration(rapid.Int64().Draw(t, "took")), Sent: rapid.Bool().Draw(t, "sent"),
				Status: text.Draw(t, "status"), RemoteID: text.Draw(t, "remote"), RequestSum: sum.Draw(t, "request"), ResponseSum: sum.Draw(t, "response"),
			})
		}
		if len(e.Proof) == 0 {
			e.Proof = nil
		}
		return normal(e)
	})
}

func TestAnEntrySurvivesItsEncodingAndJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEntry().Draw(t, "entry")
		b := encode(&e)
		e.Sum = sumOf(b)
		back, err := decode(b)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("from its encoding (%v):\nhave %+v\nwant %+v", err, back, e)
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var j contracts.Entry
		if err := json.Unmarshal(text, &j); err != nil {
			t.Fatal(err)
		}
		j = normal(j)
		if !bytes.Equal(encode(&j), b) {
			t.Fatalf("from JSON:\nhave %+v\nwant %+v", j, e)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, e := range vectors() {
		f.Add(encode(&e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err == nil && !bytes.Equal(encode(&e), b) {
			t.Errorf("two encodings of one entry: %x", b)
		}
	})
}

func FuzzVerifyExport(f *testing.F) {
	_, key, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, 64)))
	if err != nil {
		f.Fatal(err)
	}
	pub := key.Public().(ed25519.PublicKey)
	k := signer{key: key, id: KeyID(pub)}
	all := vectors()
	h := Head{Chain: all[0].Chain, Segment: 1, Day: "2026-03-01", First: 1, Last: 2, Sum: all[1].Sum, At: all[1].At}
	k.sign(&h)
	var seed bytes.Buffer
	enc := json.NewEncoder(&seed)
	for _, line := range []exportLine{
		{Ledger: &exportStart{Format: 1, Chain: h.Chain}}, {Head: &h}, {Entry: &all[0]}, {Entry: &all[1]}, {End: &exportEnd{1, 2}},
	} {
		if err := enc.Encode(line); err != nil {
			f.Fatal(err)
		}
	}
	if r, err := VerifyExport(bytes.NewReader(seed.Bytes()), pub); err != nil {
		f.Fatalf("the seed does not verify: %v %+v", err, r)
	}
	f.Add(seed.Bytes())
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := VerifyExport(bytes.NewReader(b), pub)
		if err == nil && !r.OK() || len(r.Problems) > maxProblems {
			t.Errorf("report %+v without an error", r)
		}
	})
}
