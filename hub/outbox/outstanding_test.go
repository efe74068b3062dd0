package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"raccordo/contracts"
)

func TestWhatIsOutstandingIsListedByInstancePageByPage(t *testing.T) {
	r := newRig(t).open()
	b, _ := says(opOnce, func(_ context.Context, n int, _ ask) (reply, error) { return reply{Who: "sofar"}, nil })
	b.Fold = func(_, sofar any, _ contracts.Event) (any, contracts.Move, error) {
		return sofar, contracts.Move{To: contracts.StateDone}, nil
	}
	r.desk.bind("pec", b)
	r.start()
	var want []string
	for i := range 5 {
		id := r.submit(newCall(opOnce, fmt.Sprint(i), ask{})).ID
		equal(t, "state", r.state(id), contracts.StateWaiting)
		want = append(want, id)
	}
	slices.Sort(want)
	r.tell("pec", event("1", "delivered", want[2]))
	want = slices.Delete(want, 2, 3)
	var got []string
	for after, pages := "", 0; ; pages++ {
		page, err := r.box.Outstanding(t.Context(), "pec", after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			equal(t, "pages", pages, 2)
			break
		}
		for _, tk := range page {
			after = tk.ID
			got = append(got, tk.ID)
			equal(t, "answer so far", string(tk.Detail), `{"who":"sofar"}`)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("have %v, want %v", got, want)
	}
	if page, err := r.box.Outstanding(t.Context(), "another", "", 0); err != nil || len(page) != 0 {
		t.Errorf("of another instance: %v, %v", page, err)
	}
}
