package contracts_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

// TestTicketIDGolden: the id is promised for ever. A core submits again after years, and a restored store must recognise
// what it had sent.
func TestTicketIDGolden(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "ticket_ids.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Service, Op, Key, ID string }
	if err := json.Unmarshal(golden, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 5 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		if got := contracts.TicketID(v.Service, v.Op, v.Key); got != v.ID {
			t.Errorf("(%q, %q, %q) gives %s, want %s", v.Service, v.Op, v.Key, got, v.ID)
		}
	}
}

func TestTicketIDsAreSafeAndApart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := [3]string{rapid.String().Draw(rt, "service"), rapid.String().Draw(rt, "op"), rapid.String().Draw(rt, "key")}
		b := [3]string{rapid.String().Draw(rt, "service"), rapid.String().Draw(rt, "op"), rapid.String().Draw(rt, "key")}
		if rapid.Bool().Draw(rt, "shifted") && len(a[1]) > 0 { // the same letters, cut elsewhere
			b = [3]string{a[0] + a[1][:1], a[1][1:], a[2]}
		}
		x, y := contracts.TicketID(a[0], a[1], a[2]), contracts.TicketID(b[0], b[1], b[2])
		if (a == b) != (x == y) {
			rt.Fatal("two triples share an id, or one has two")
		}
		if len(x) != 26 || strings.Trim(x, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			rt.Fatal("the id does not fit a Message-ID, a file name and a URL")
		}
	})
}

func TestTicketFailure(t *testing.T) {
	own := contracts.Errorf(contracts.Denied, "no")
	for name, c := range map[string]struct {
		ticket contracts.Ticket
		want   contracts.Kind
		none   bool
	}{
		"done":                     {contracts.Ticket{State: contracts.StateDone}, 0, true},
		"failed for its own cause": {contracts.Ticket{State: contracts.StateFailed, Err: own}, contracts.Denied, false},
		"failed without a cause":   {contracts.Ticket{State: contracts.StateFailed}, contracts.Internal, false},
		"given up":                 {contracts.Ticket{State: contracts.StateAbandoned}, contracts.Conflict, false},
		"queued":                   {contracts.Ticket{State: contracts.StateQueued}, contracts.Pending, false},
		"running":                  {contracts.Ticket{State: contracts.StateRunning}, contracts.Pending, false},
		"waiting":                  {contracts.Ticket{State: contracts.StateWaiting}, contracts.Pending, false},
		"uncertain":                {contracts.Ticket{State: contracts.StateUncertain, Err: own}, contracts.Pending, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.ticket.ID, c.ticket.Op = "id", "need.verb"
			err := c.ticket.Failure()
			if c.none {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *contracts.Error
			if !errors.As(err, &e) || e.Kind != c.want {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if c.want == contracts.Pending && (e.Ticket != "id" || c.ticket.State.Settled()) {
				t.Error("pending without the ticket to ask, or settled")
			}
			if e != own && e.Operation != "need.verb" {
				t.Error("the operation is missing")
			}
		})
	}
}

func TestTicketTravels(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	in := contracts.Ticket{
		ID: "id", Op: "need.verb", Owner: "core", Lane: contracts.Lane{Name: "l", Rule: contracts.Keyed}, State: contracts.StateFailed,
		Tries: 2, Since: at, Err: contracts.Errorf(contracts.Throttled, "slow down"),
		Story: []contracts.Event{{ID: "1", Kind: "k", At: at, Data: json.RawMessage(`{"a":1}`), Proof: []contracts.Sum{contracts.SumOf([]byte("x"))}}},
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out contracts.Ticket
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(out)
	if err != nil || string(again) != string(b) {
		t.Errorf("%s came back as %s (%v)", b, again, err)
	}
	if out.Err.Kind != contracts.Throttled || out.Story[0].Proof[0] != in.Story[0].Proof[0] {
		t.Error("the error or the proof was lost")
	}
	for _, absent := range []string{"next", "due", "lane\":{}", "result"} {
		if strings.Contains(string(b), `"`+absent) {
			t.Errorf("%s is written although it is empty", absent)
		}
	}
}

func TestSum(t *testing.T) {
	s := contracts.SumOf([]byte("abc"))
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, appendix B.1
	if s.String() != want || s.IsZero() || !(contracts.Sum{}).IsZero() {
		t.Error("not the digest of the standard's example")
	}
	if b, err := (contracts.Sum{}).MarshalText(); err != nil || len(b) != 0 {
		t.Error("no digest must be written as nothing")
	}
	for name, bad := range map[string]string{"short": want[2:], "long": want + "00", "not hexadecimal": strings.Repeat("g", 64)} {
		var v contracts.Sum
		if err := v.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzSumText(f *testing.F) {
	for _, s := range []string{"", contracts.SumOf(nil).String(), strings.ToUpper(contracts.SumOf(nil).String()), strings.Repeat("0", 64), "00", strings.Repeat("g", 64)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s contracts.Sum
		if s.UnmarshalText(text) != nil {
			return
		}
		out, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if !s.IsZero() && !strings.EqualFold(string(out), string(text)) {
			t.Fatal("another digest came out")
		}
	})
}
