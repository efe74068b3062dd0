package hub_test

import (
	"runtime"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/mocks/lab"
)

// The agency is told who asks. While one user's question is under way, the same question of another is no twin of it: it
// neither goes under the first one's name nor is spared what the agency's rules have against the second.
func TestNobodyAsksTheAgencyUnderAnothersName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	question := mandate(r.bench.Who("entrate-body"))
	ask := func(user string) (company.Representation, error) {
		who := contracts.Caller{Service: "core", Purpose: "activation", Case: "C-1", User: user}
		return contracts.Do(contracts.WithCaller(t.Context(), who), r.hub.At("entrate"), company.OpRepresents, question)
	}
	r.bench.Inject(lab.Fault{Match: "entrate POST /SPCBooleanoRappWS/*", Do: lab.Slow, Wait: 300 * time.Millisecond})
	first := make(chan error, 1)
	go func() {
		answer, err := ask("sportello-07")
		if err == nil && answer.Represents != contracts.Yes {
			t.Errorf("the first was told %v", answer.Represents)
		}
		first <- err
	}()
	for r.bench.InFlight() == 0 {
		runtime.Gosched()
	}
	if _, err := ask("a-user-whose-name-is-too-long"); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("the second was given %v, want the refusal of a name that the agency does not take", err)
	}
	if _, err := ask("sportello-08"); err != nil {
		t.Error(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	if n := r.bench.Sent("entrate POST /SPCBooleanoRappWS/*"); n != 2 {
		t.Errorf("%d questions were asked, want one for each user who may", n)
	}
}
