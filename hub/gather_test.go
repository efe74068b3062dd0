package hub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/domicile"
	"raccordo/mocks/lab"
)

// unlimited takes the limits off what one service may ask at once.
var unlimited = with("routes:\n", "calls: {others: {places: 0, per_second: 0, burst: 0}}\nroutes:\n")

const (
	inadList    = "inad POST /listDigitalAddress"
	inadExtract = "inad GET /extract/*"
	inipecList  = "inipec POST /richiestaElencoPec"
)

// submitted puts every look-up in as a ticket, from many callers at once, and gives the tickets in the same order. A due
// instant that is not zero is each one's deadline.
func (r *rig) submitted(qs []domicile.Query, due time.Time) []string {
	r.t.Helper()
	ids := make([]string, len(qs))
	var wg sync.WaitGroup
	next := make(chan int)
	for range 256 { // as many as share one commit
		wg.Go(func() {
			for i := range next {
				ctx := r.as(fmt.Sprintf("G-%05d", i))
				if !due.IsZero() {
					ctx = contracts.WithDue(ctx, due)
				}
				t, err := contracts.Submit(ctx, r.hub, domicile.OpLookup, qs[i])
				if err != nil {
					r.t.Errorf("submit %d: %v", i, err)
				}
				ids[i] = t.ID
			}
		})
	}
	for i := range qs {
		next <- i
	}
	close(next)
	wg.Wait()
	return ids
}

// followed waits, on the jumping clock, until every ticket is settled.
func (r *rig) followed(ids []string) []contracts.Ticket {
	r.t.Helper()
	defer r.pump()()
	ctx, cancel := context.WithTimeout(r.as(""), 4*time.Minute) // ten thousand, under the race detector
	defer cancel()
	out := make([]contracts.Ticket, len(ids))
	for i, id := range ids {
		var err error
		if out[i], err = r.hub.Tickets().Wait(ctx, id); err != nil {
			r.t.Fatalf("wait: %v", err)
		}
		if !out[i].State.Settled() {
			r.t.Fatalf("ticket %d of %d is still %s: %v", i, len(ids), out[i].State, out[i].Err)
		}
	}
	return out
}

func TestTenThousandLookUpsOfPersonsAreTenListsAtINAD(t *testing.T) {
	t.Parallel()
	heavy(t)
	r := newRig(t, unlimited)
	qs := strangers(t, 9_700, person)
	for _, m := range prompt(10_000) {
		if m.Capacity == lab.Person && len(qs) < 10_000 {
			qs = append(qs, query(t, m))
		}
	}
	known := len(qs) - 9_700
	qs = append(qs, strangers(t, 10_000-len(qs), otherPerson)...)
	tickets := r.followed(r.submitted(qs, time.Time{}))

	found, none := outcomes(t, tickets)
	if found != known || found+none != len(qs) {
		t.Errorf("%d found and %d not, want %d found of %d", found, none, known, len(qs))
	}
	lists, extracts := r.bench.Sent(inadList), r.bench.Sent(inadExtract)
	t.Logf("%d tickets, %d of them of the cast: %d list requests, %d extracts", len(qs), known, lists, extracts)
	if lists > 10 || extracts > 100 || lists == 0 {
		t.Errorf("%d list requests and %d extracts, want at most 10 and 100", lists, extracts)
	}
	for _, x := range r.bench.Journal() {
		if x.Refused != "" {
			t.Errorf("%s %s was refused: %s", x.Mock, x.Label, x.Refused)
		}
	}
}

func TestTenThousandLookUpsOfEnterprisesAreFewListsAtINIPEC(t *testing.T) {
	t.Parallel()
	heavy(t)
	r := newRig(t, unlimited)
	qs := strangers(t, 9_900, enterprise)
	for _, m := range prompt(10_000) {
		if m.Capacity == lab.Enterprise && len(qs) < 10_000 {
			qs = append(qs, query(t, m))
		}
	}
	known := len(qs) - 9_900
	qs = append(qs, strangers(t, 10_000-len(qs), otherEnterprise)...)
	tickets := r.followed(r.submitted(qs, time.Time{}))

	found, none := outcomes(t, tickets)
	if found != known || found+none != len(qs) {
		t.Errorf("%d found and %d not, want %d found of %d", found, none, known, len(qs))
	}
	lists := r.bench.Sent(inipecList)
	t.Logf("%d tickets, %d of them of the cast: %d list requests", len(qs), known, lists)
	if lists > 10 || lists == 0 {
		t.Errorf("%d list requests, want at most 10", lists)
	}
}

// mixed is prompt's choice, enterprises and persons in turn.
func mixed(n int) []lab.Member {
	by := map[string][]lab.Member{}
	for _, m := range prompt(10_000) {
		by[m.Capacity] = append(by[m.Capacity], m)
	}
	var out []lab.Member
	for i := range n {
		side := by[[]string{lab.Enterprise, lab.Person}[i%2]]
		out = append(out, side[i/2])
	}
	return out
}

// outcomes counts what was found and what was not there; anything else is a failure.
func outcomes(t *testing.T, tickets []contracts.Ticket) (found, none int) {
	t.Helper()
	other := map[string]int{}
	for _, x := range tickets {
		switch {
		case x.State == contracts.StateDone:
			found++
		case x.Err != nil && x.Err.Kind == contracts.NotFound:
			none++
		default:
			other[fmt.Sprint(x.State, ": ", x.Err)]++
		}
	}
	for what, n := range other {
		t.Errorf("%d tickets ended otherwise: %s", n, what)
	}
	return found, none
}

// Whoever waits, and whoever says when the answer is needed, is not kept waiting for others.
func TestALookUpWithANearDeadlineNeverGathers(t *testing.T) {
	t.Parallel()
	var people []domicile.Query
	for _, m := range prompt(10_000) {
		if m.Capacity == lab.Person && len(people) < 40 {
			people = append(people, query(t, m))
		}
	}
	for _, c := range []struct {
		name            string
		ask             func(r *rig)
		lists, extracts int
	}{
		{"a run with a deadline asks at once", func(r *rig) {
			ctx, cancel := context.WithTimeout(r.as("N"), 10*time.Second)
			defer cancel()
			for _, q := range people {
				if _, err := domicile.Via(r.hub).Lookup(ctx, q); err != nil {
					r.t.Fatal(err)
				}
			}
		}, 0, 40},
		{"tickets that are due within a second go alone", func(r *rig) {
			r.followed(r.submitted(people, r.bench.Clock().Now().Add(time.Second)))
		}, 0, 40},
		{"tickets that are due before a list would be answered go alone", func(r *rig) {
			r.followed(r.submitted(people, r.bench.Clock().Now().Add(10*time.Minute)))
		}, 0, 40},
		{"tickets that are due tomorrow gather", func(r *rig) {
			r.followed(r.submitted(people, r.bench.Clock().Now().Add(24*time.Hour)))
		}, 1, 0},
		{"tickets that are overdue go alone", func(r *rig) {
			r.followed(r.submitted(people, r.bench.Clock().Now().Add(-time.Hour)))
		}, 0, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			start := r.bench.Clock().Now()
			c.ask(r)
			lists, extracts := r.bench.Sent(inadList), r.bench.Sent(inadExtract)
			if lists != c.lists || extracts != c.extracts {
				t.Errorf("%d lists and %d extracts, want %d and %d", lists, extracts, c.lists, c.extracts)
			}
			for _, x := range r.bench.Journal() {
				if c.lists == 0 && strings.HasPrefix(x.Label, "GET /extract") && !x.At.Equal(start) {
					t.Fatalf("an extract came after %s of the clock's time, want none: nobody is waited for", x.At.Sub(start))
				}
			}
		})
	}
}

// heavy marks a test that costs seconds.
func heavy(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
}

// A breed is a sort of synthetic codes, apart from the cast's.
type breed struct {
	surname string // three letters; with digits: of an enterprise, the leading ones
	digits  bool
}

var (
	person          = breed{surname: "QZW"}
	otherPerson     = breed{surname: "QZX"}
	enterprise      = breed{surname: "74", digits: true}
	otherEnterprise = breed{surname: "75", digits: true}
)

// strangers makes n different queries about nobody. The codes are computed here, from the published tables, and share no
// line with what parses them.
func strangers(t testing.TB, n int, b breed) []domicile.Query {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 16))
	seen := map[string]bool{}
	qs := make([]domicile.Query, 0, n)
	for len(qs) < n {
		var code string
		q := domicile.Query{Capacity: domicile.Person}
		if b.digits {
			code = strangerNumber(b.surname, r)
			q.Capacity = domicile.Enterprise
		} else {
			code = strangerCode(b.surname, r)
		}
		if _, cast := lab.ByCode(code); cast || seen[code] {
			continue
		}
		seen[code] = true
		var err error
		if q.Subject.CodiceFiscale, err = contracts.ParseCodiceFiscale(code); err != nil {
			t.Fatalf("a code made by the published tables is refused: %v", err)
		}
		qs = append(qs, q)
	}
	return qs
}

// strangerCode follows the tables of D.M. 23 December 1976: values of characters in odd places, then modulo 26.
func strangerCode(surname string, r *rand.Rand) string {
	const consonants = "BCDFGLMNPRST"
	name := ""
	for range 3 {
		name += string(consonants[r.IntN(len(consonants))])
	}
	day := 1 + r.IntN(28) + 40*r.IntN(2)
	code := fmt.Sprintf("%s%s%02d%c%02d%c%03d", surname, name, r.IntN(100), "ABCDEHLMPRST"[r.IntN(12)], day, 'A'+r.IntN(12), 1+r.IntN(999))
	odd := map[rune]int{
		'0': 1, '1': 0, '2': 5, '3': 7, '4': 9, '5': 13, '6': 15, '7': 17, '8': 19, '9': 21,
		'A': 1, 'B': 0, 'C': 5, 'D': 7, 'E': 9, 'F': 13, 'G': 15, 'H': 17, 'I': 19, 'J': 21, 'K': 2, 'L': 4, 'M': 18,
		'N': 20, 'O': 11, 'P': 3, 'Q': 6, 'R': 8, 'S': 12, 'T': 14, 'U': 16, 'V': 10, 'W': 22, 'X': 25, 'Y': 24, 'Z': 23,
	}
	sum := 0
	for i, c := range code {
		switch {
		case i%2 == 0:
			sum += odd[c]
		case c >= 'A':
			sum += int(c - 'A')
		default:
			sum += int(c - '0')
		}
	}
	return code + string(rune('A'+sum%26))
}

// strangerNumber is ten digits and their Luhn digit.
func strangerNumber(first string, r *rand.Rand) string {
	ten := first + fmt.Sprintf("%05d%03d", r.IntN(100_000), 1+r.IntN(100))
	sum := 0
	for i, c := range ten {
		d := int(c - '0')
		if i%2 == 1 {
			d = []int{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}[d]
		}
		sum += d
	}
	return ten + fmt.Sprint((10-sum%10)%10)
}

func TestStrangersAreNobodyOfTheCast(t *testing.T) {
	t.Parallel()
	for _, b := range []breed{person, enterprise} {
		qs := strangers(t, 100, b)
		for _, q := range qs {
			code := q.Subject.CodiceFiscale.Reveal()
			if _, ok := lab.ByCode(code); ok || !strings.HasPrefix(code, b.surname) {
				t.Fatal("a stranger belongs to the cast")
			}
		}
	}
}
