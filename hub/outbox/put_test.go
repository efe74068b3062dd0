package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/store"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// absent fails when text stands in any file of the store.
func absent(t testing.TB, r *rig, text string) {
	t.Helper()
	files, err := filepath.Glob(r.path + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("%s holds %q in clear", filepath.Base(name), text)
		}
	}
}

func TestTheSameKeyIsTheSameTicketForEver(t *testing.T) {
	r := newRig(t)
	b, n := says(opWrite, answers)
	r.desk.bind("x", b)
	r.open()
	first := r.submit(newCall(opWrite, "k", ask{Who: "a"}))
	equal(t, "id", first.ID, contracts.TicketID("core", "test.write", "k"))
	equal(t, "again, queued", r.submit(newCall(opWrite, "k", ask{Who: "a"})).ID, first.ID)
	r.start()
	r.settled(first.ID)
	again := r.submit(newCall(opWrite, "k", ask{Who: "a"}))
	equal(t, "again, done", again.State, contracts.StateDone)
	equal(t, "its result", string(again.Result), `{"who":"a"}`)
	r.quiet()
	equal(t, "exchanges", n.Load(), 1)

	_, err := r.box.Submit(t.Context(), newCall(opWrite, "k", ask{Who: "b"}))
	kind(t, "another request under the key", err, contracts.Conflict)
	other := newCall(opWrite, "k", ask{Who: "b"})
	other.Caller.Service = "another"
	if r.submit(other).ID == first.ID {
		t.Error("another service's key is the same ticket")
	}
}

func TestWhatIsNotACallIsNotAccepted(t *testing.T) {
	r := newRig(t)
	b, _ := says(opWrite, answers, contracts.Covers(opWrite, func(a ask) error {
		if a.Who == "stranger" {
			return contracts.NotFound
		}
		return nil
	}))
	r.desk.bind("x", b)
	s, _ := says(opStrict, answers)
	r.desk.bind("x", s)
	read, _ := says(opRead, answers)
	r.desk.bind("x", read)
	r.open()
	for _, c := range []struct {
		rule string
		call func() *contracts.Call
		want contracts.Kind
	}{
		{"no operation", func() *contracts.Call { return &contracts.Call{} }, contracts.Invalid},
		{"no service", func() *contracts.Call {
			c := newCall(opWrite, "k", ask{})
			c.Caller.Service = ""
			return c
		}, contracts.Invalid},
		{"no purpose", func() *contracts.Call {
			c := newCall(opWrite, "k", ask{})
			c.Caller.Purpose = ""
			return c
		}, contracts.Invalid},
		{"a write without a key", func() *contracts.Call { return newCall(opWrite, "", ask{}) }, contracts.Invalid},
		{"nobody may hold it", func() *contracts.Call { return newCall(opWrite, "k", ask{Who: "stranger"}) }, contracts.NotFound},
		{"position zero", func() *contracts.Call { return newCall(opStrict, "k", ask{Lane: "l"}) }, contracts.Invalid},
	} {
		_, err := r.box.Submit(t.Context(), c.call())
		kind(t, c.rule, err, c.want)
	}
	equal(t, "entries", len(r.ledger.all()), 0)
	one, two := r.submit(newCall(opRead, "", ask{Who: "a"})), r.submit(newCall(opRead, "", ask{Who: "a"}))
	if one.ID == two.ID {
		t.Error("two reads without a key are one ticket")
	}
}

func TestAPositionIsNeverUsedTwice(t *testing.T) {
	r := newRig(t)
	s, _ := says(opStrict, answers)
	r.desk.bind("x", s)
	r.open().start()
	id := r.submit(newCall(opStrict, "one", ask{Lane: "l", Pos: 1})).ID
	_, err := r.box.Submit(t.Context(), newCall(opStrict, "other", ask{Lane: "l", Pos: 1}))
	kind(t, "taken", err, contracts.Conflict)
	r.settled(id)
	_, err = r.box.Submit(t.Context(), newCall(opStrict, "late", ask{Lane: "l", Pos: 1}))
	kind(t, "passed", err, contracts.Conflict)
	r.submit(newCall(opStrict, "elsewhere", ask{Lane: "m", Pos: 1}))
}

func TestAFullBoxRefusesAndRecovers(t *testing.T) {
	r := newRig(t)
	r.cfg.MaxTickets = 3
	b, _ := says(opWrite, answers)
	r.desk.bind("x", b)
	r.open()
	for i := range 3 {
		r.submit(newCall(opWrite, fmt.Sprint(i), ask{}))
	}
	_, err := r.box.Submit(t.Context(), newCall(opWrite, "3", ask{}))
	kind(t, "beyond", err, contracts.Throttled)
	r.submit(newCall(opWrite, "2", ask{})) // what was promised is still known
	r.reopen()
	_, err = r.box.Submit(t.Context(), newCall(opWrite, "3", ask{}))
	kind(t, "beyond, after a restart", err, contracts.Throttled)
	r.start()
	r.quiet()
	r.submit(newCall(opWrite, "3", ask{}))
}

func TestAnotherServicesTicketIsNotFound(t *testing.T) {
	r := newRig(t)
	b, _ := says(opWrite, answers)
	r.desk.bind("x", b)
	r.open()
	id := r.submit(newCall(opWrite, "k", ask{})).ID
	for owner, want := range map[string]bool{"core": true, "": true, "another": false} {
		_, err := r.box.Ticket(t.Context(), owner, id)
		if want && err != nil {
			t.Errorf("owner %q: %v", owner, err)
		}
		if !want {
			kind(t, "another owner", err, contracts.NotFound)
		}
	}
	_, err := r.box.Ticket(t.Context(), "", "nothing")
	kind(t, "unknown id", err, contracts.NotFound)
}

func TestPutStandsAndFallsWithItsTransaction(t *testing.T) {
	r := newRig(t)
	b, _ := says(opWrite, answers)
	r.desk.bind("x", b)
	r.open()
	var id string
	failed := fmt.Errorf("the caller's own part failed")
	put := func(fail error) error {
		return r.store.Write(t.Context(), store.Accept, func(tx *store.Tx) error {
			got, err := r.box.Put(tx, newCall(opWrite, "k", ask{}))
			id = got.ID
			if err != nil {
				return err
			}
			return fail
		})
	}
	if err := put(failed); err != failed {
		t.Fatal(err)
	}
	_, err := r.box.Ticket(t.Context(), "", id)
	kind(t, "rolled back", err, contracts.NotFound)
	if err := put(nil); err != nil {
		t.Fatal(err)
	}
	equal(t, "state", r.ticket(id).State, contracts.StateQueued)
}

func TestNothingOfAPersonStandsInTheStoreInClear(t *testing.T) {
	r := newRig(t)
	b, _ := says(opWrite, func(context.Context, int, ask) (reply, error) { return reply{Who: "BNCLRA90A41F205X"}, nil })
	r.desk.bind("x", b)
	r.open().start()
	c := newCall(opWrite, "RSSMRA85T10A562S", ask{Who: "VRDGPP13A10Z133Q"})
	c.Caller.Case = "case with a name"
	r.settled(r.submit(c).ID)
	r.stop()
	for _, text := range []string{"RSSMRA85T10A562S", "VRDGPP13A10Z133Q", "BNCLRA90A41F205X"} {
		absent(t, r, text)
	}
}
