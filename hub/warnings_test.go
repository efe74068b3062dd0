package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"raccordo/contracts"
)

var (
	opAsk  = contracts.NewOp[struct{}, struct{}]("toy.ask", contracts.Read)
	opTell = contracts.NewOp[struct{}, struct{}]("toy.tell", contracts.Read)
	opElse = contracts.NewOp[struct{}, struct{}]("other.ask", contracts.Read)
)

// A swift is an adapter's settings that tell no pace.
type swift struct{ ops []*contracts.OpInfo }

func (s *swift) Operations() []*contracts.OpInfo      { return s.ops }
func (s *swift) Validate(contracts.Environment) error { return nil }
func (s *swift) Open(context.Context, contracts.Env) (contracts.Adapter, error) {
	return nil, errors.New("not opened here")
}

// A paced tells its own.
type paced struct {
	*swift
	paces []contracts.Pace
}

func (p *paced) Paces() []contracts.Pace { return p.paces }

func lists(op *contracts.OpInfo, class string) contracts.Pace {
	return contracts.Pace{Op: op, For: class}
}

func atOnce(op *contracts.OpInfo, class string) contracts.Pace {
	return contracts.Pace{Op: op, For: class, AtOnce: true}
}

const pacedHub = `environment: collaudo
store: {path: hub.db, key: secret://env/K}
ledger: {key: secret://env/L}
api: {callers: {core: {tokens: [secret://env/T], operations: ["*"], purposes: ["*"]}}}
adapters:
%sroutes:
  toy: [%s]
`

func warned(t *testing.T, kinds map[string]contracts.Config, route ...string) Findings {
	t.Helper()
	all, stanzas := contracts.Kinds{}, ""
	for _, name := range route {
		all[name] = func() contracts.Config { return kinds[name] }
		stanzas += fmt.Sprintf("  %s: {kind: %s}\n", name, name)
	}
	cfg, err := parseConfig("hub.yaml", []byte(fmt.Sprintf(pacedHub, stanzas, strings.Join(route, ", "))), all)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Warnings
}

func TestWhoeverWaitsForListsIsForetold(t *testing.T) {
	t.Parallel()
	ask, tell, other := opAsk.OpInfo, opTell.OpInfo, opElse.OpInfo
	both := &swift{[]*contracts.OpInfo{ask, tell}}
	cases := map[string]struct {
		first, second contracts.Config
		want          []string // beginnings of the warnings
	}{
		"who tells no pace answers everything at once": {both, nil, nil},
		"a class in lists only":                        {&paced{both, []contracts.Pace{lists(ask, "firm")}}, nil, []string{"toy.ask for firm: answered in lists only, by first: "}},
		"each operation and class alone": {
			&paced{both, []contracts.Pace{lists(tell, "firm"), lists(ask, "person"), lists(ask, "firm"), atOnce(ask, "body")}}, nil,
			[]string{"toy.ask for firm: ", "toy.ask for person: ", "toy.tell for firm: "},
		},
		"two that answer in lists":                         {&paced{both, []contracts.Pace{lists(ask, "firm")}}, &paced{both, []contracts.Pace{lists(ask, "firm")}}, []string{"toy.ask for firm: answered in lists only, by first, second: "}},
		"another answers the class at once":                {&paced{both, []contracts.Pace{lists(ask, "firm")}}, &paced{both, []contracts.Pace{atOnce(ask, "firm")}}, nil},
		"the same answers the class by its single form":    {&paced{both, []contracts.Pace{lists(ask, "firm"), atOnce(ask, "firm")}}, nil, nil},
		"another answers another class at once":            {&paced{both, []contracts.Pace{lists(ask, "firm")}}, &paced{both, []contracts.Pace{atOnce(ask, "person")}}, []string{"toy.ask for firm: answered in lists only, by first: "}},
		"another serves the operation and tells no pace":   {&paced{both, []contracts.Pace{lists(ask, "firm")}}, both, nil},
		"another tells the pace of another operation only": {&paced{both, []contracts.Pace{lists(ask, "firm")}}, &paced{both, []contracts.Pace{lists(tell, "firm")}}, nil},
		"another does not serve the operation":             {&paced{both, []contracts.Pace{lists(ask, "firm")}}, &swift{[]*contracts.OpInfo{tell}}, []string{"toy.ask for firm: "}},
		"the pace of another need":                         {&paced{&swift{[]*contracts.OpInfo{ask, other}}, []contracts.Pace{lists(other, "firm")}}, nil, nil},
	}
	for rule, c := range cases {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			kinds, route := map[string]contracts.Config{"first": c.first}, []string{"first"}
			if c.second != nil {
				kinds["second"], route = c.second, append(route, "second")
			}
			got := warned(t, kinds, route...)
			if len(got) != len(c.want) {
				t.Fatalf("%d warnings, want %d:\n%v", len(got), len(c.want), got)
			}
			for i, w := range got {
				if w.Path != "routes.toy" || w.File != "hub.yaml" || w.Line != 6+len(route)+1 {
					t.Errorf("%v: stands at the wrong place", w)
				}
				if !strings.HasPrefix(w.Text, c.want[i]) || !strings.Contains(w.Text, "add an instance that answers at once") {
					t.Errorf("%q, want %q …", w.Text, c.want[i])
				}
			}
		})
	}
}
