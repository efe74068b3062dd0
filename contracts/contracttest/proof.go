package contracttest

import (
	"slices"
	"strings"
	"testing"
)

// A Proof shows that each case of a suite can fail: it runs the cases one by one on adapters with one mistake each. The
// suite of every need has one, beside the adapter without mistakes on which all cases pass.
type Proof[Mistake ~string] struct {
	// Cases is the suite on an adapter with one mistake; the zero Mistake is none.
	Cases func(Mistake) []Case
	// Reds names, for each case, a mistake that it must see.
	Reds map[string]Mistake
	// Else is what the cases that Reds does not name must see.
	Else Mistake
	// Further are more mistakes, and for each the name of a case that must see it.
	Further map[Mistake]string
}

// EachCase runs every case on an adapter with the mistake that it must see. A case without a reason fails, and so does a
// name in Reds that no case bears.
func (p Proof[Mistake]) EachCase(t *testing.T) {
	unused := map[string]bool{}
	for name := range p.Reds {
		unused[name] = true
	}
	for _, c := range p.Cases("") {
		delete(unused, c.Name)
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			m, ok := p.Reds[c.Name]
			if !ok {
				m = p.Else
			}
			if c.Why == "" {
				t.Error("the case does not say why it matters")
			}
			p.sees(t, m, c.Name)
		})
	}
	for name := range unused {
		t.Errorf("no case is named %s", name)
	}
}

// FurtherMistakes runs the cases that Further names.
func (p Proof[Mistake]) FurtherMistakes(t *testing.T) {
	for m, name := range p.Further {
		t.Run(strings.ReplaceAll(string(m), " ", "-"), func(t *testing.T) {
			t.Parallel()
			p.sees(t, m, name)
		})
	}
}

// sees runs the named case alone on an adapter with one mistake.
func (p Proof[Mistake]) sees(t *testing.T, m Mistake, name string) {
	t.Helper()
	cases := p.Cases(m)
	i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no case is named %s", name)
	}
	if o := Try(t.Context(), cases[i]); len(o.Failures) == 0 {
		t.Errorf("%s does not see the mistake %q", name, m)
	}
}
