package hub

import (
	"testing"

	"raccordo/contracts"
)

func TestARouteIsWalkedFromWhereATicketStands(t *testing.T) {
	t.Parallel()
	op := contracts.NewOp[string, string]("test.ask", contracts.Read).OpInfo
	h := &Hub{cfg: &Config{Routes: map[string][]string{"test": {"one", "two"}}}, instances: map[string]*instance{}}
	for _, name := range []string{"one", "two", "former"} {
		h.instances[name] = &instance{name: name, bindings: map[string]*contracts.Binding{op.Name: {Op: op}}}
	}
	for _, tt := range []struct{ rule, at, after, want string }{
		{"it begins with the first", "", "", "one"},
		{"behind one comes two", "", "one", "two"},
		{"behind the last comes nobody", "", "two", ""},
		{"behind one that has left the route nobody has been asked", "", "former", "one"},
		{"a pinned call is for one instance", "former", "", "former"},
		{"and for no other", "former", "former", ""},
	} {
		got := ""
		if in, _, ok := h.next(&contracts.Call{Op: op, At: tt.at}, tt.after); ok {
			got = in.name
		}
		if got != tt.want {
			t.Errorf("%s: have %q, want %q", tt.rule, got, tt.want)
		}
	}
}
