package hub_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/tax"
	"raccordo/mocks/entrate"
	"raccordo/mocks/lab"
)

// A draft is one application that waits for what its employer declared.
type draft struct {
	id, code string
	year     int
	ticket   string
	want     contracts.Kind // of the failure; Internal: the amount must come
	cents    int64
}

// declared is what the agency's stand-in derives from a code and a year.
func declared(code string, year int) int64 {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d", code, year))
	return 1_500_000 + int64(binary.BigEndian.Uint32(h[:4])%8_000_000)
}

// wait lets time pass, as little as it must at a time, until done.
func (r *rig) wait(what string, done func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for !done() {
		if r.step() {
			continue
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("%s: not after a minute, at %s", what, r.bench.Clock().Now())
		}
	}
}

// settledEvents counts, by ticket, how often the core was told of its end, from an event onwards; last is the newest event.
func (r *rig) settledEvents(from uint64) (told map[string]int, last uint64) {
	r.t.Helper()
	told, last = map[string]int{}, from
	for {
		page, err := r.hub.Feed().After(r.t.Context(), "core", last, 500)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range page {
			if e.Kind == contracts.EventSettled {
				told[e.Ref]++
			}
			last = e.Seq
		}
		if len(page) < 500 {
			return told, last
		}
	}
}

// What an employer declared takes five days to come. It comes once, for the draft that asked, whatever happened to the
// hub in between, and nobody's income comes for somebody else's draft.
func TestIncomesThatTakeFiveDaysArriveOnceForTheRightDraft(t *testing.T) {
	t.Parallel()
	heavy(t)
	seldom := with("    kind: pec\n", "    kind: pec\n    poll: 1h\n") // nobody writes
	r := newRig(t, seldom)
	agency := r.bench.Mock("entrate").(*entrate.Mock)
	agency.Set(func(s *entrate.Settings) { s.Delay = 5 * 24 * time.Hour })
	began := r.bench.Clock().Now()

	var drafts []*draft
	add := func(m lab.Member, year int, want contracts.Kind) *draft {
		d := &draft{id: fmt.Sprintf("DRAFT-%03d", len(drafts)), code: m.CodiceFiscale, year: year, want: want, cents: declared(m.CodiceFiscale, year)}
		drafts = append(drafts, d)
		return d
	}
	crowd := 0
	for _, m := range r.bench.Cast() {
		if (m.Story == "crowd-company" || m.Story == "crowd-person" || m.Story == "crowd-body") && crowd < 120 {
			add(m, 2024, contracts.Internal)
			crowd++
		}
	}
	twice := r.bench.Who("company-with-pec")
	add(twice, 2024, contracts.Internal)
	add(twice, 2024, contracts.Internal) // two drafts of one employer: each is answered
	add(twice, 2023, contracts.Internal) // and another year is another answer
	add(r.bench.Who("entrate-income-none"), 2024, contracts.NotFound)
	add(r.bench.Who("entrate-income-wrong-code"), 2024, contracts.Invalid)
	add(r.bench.Who("entrate-income-another"), 2024, contracts.Malformed) // the agency answers about somebody else
	add(r.bench.Who("entrate-income-zero"), 2024, contracts.Internal).cents = 0
	lost := add(r.bench.Who("entrate-income-lost"), 2024, contracts.Internal) // its lot is forgotten once

	// The answer to the first order is lost: ordered again under its name, it is the same order.
	const orders = "entrate POST /redditi/v1 RichiediRedditi"
	r.bench.Inject(lab.Fault{Match: orders, Do: lab.DropAfterAccept, Times: 1})
	for _, d := range drafts {
		cf, err := contracts.ParseCodiceFiscale(d.code)
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := contracts.Submit(contracts.WithKey(r.as(d.id), "income/"+d.id), r.hub, tax.OpIncome, tax.IncomeQuery{CodiceFiscale: cf, Year: d.year})
		if err != nil {
			t.Fatalf("%s: %v", d.id, err)
		}
		d.ticket = ticket.ID
	}
	r.wait("the lots are ordered", func() bool { return r.bench.Sent(orders) >= 2 })
	r.stop() // while the lots are out
	r.open(seldom)
	r.until(began.Add(48 * time.Hour))
	r.stop()
	r.open(seldom)
	r.until(began.Add(119 * time.Hour))
	told, _ := r.settledEvents(0)
	if len(told) != 0 {
		early, _ := r.hub.Ticket(r.as(drafts[0].id), drafts[0].ticket)
		t.Fatalf("%d tickets were settled before the agency had answered, %s at %s: %v", len(told), early.State, r.bench.Clock().Now(), early.Failure())
	}
	ordered := r.bench.Sent(orders)
	r.wait("everybody is told", func() bool {
		told, _ := r.settledEvents(0)
		return len(told) == len(drafts)
	})
	if took := r.bench.Clock().Now().Sub(began); took < 120*time.Hour || took > 12*24*time.Hour {
		t.Errorf("told after %s", took)
	}
	names := map[string]bool{}
	for _, e := range r.bench.Journal() {
		if asked, ok := e.Parsed.(entrate.Asked); ok && asked.Request != "" {
			names[asked.Request] = true
		}
	}
	if n := r.bench.Sent(orders); n <= len(names) {
		t.Errorf("%d orders under %d names: the lost one was not ordered again under its own", n, len(names))
	}
	told, last := r.settledEvents(0)
	for _, d := range drafts {
		if told[d.ticket] != 1 {
			t.Errorf("%s: told %d times", d.id, told[d.ticket])
		}
		r.right(d)
	}
	if again := r.bench.Sent(orders); again > ordered+1 {
		t.Errorf("%d orders, %d of them after the first answers: only the lot that the agency forgot is ordered anew (%s)", again, again-ordered, lost.id)
	}

	// What was acknowledged is told no more, also not by a hub that starts again.
	if err := r.hub.Feed().Ack(t.Context(), "core", last); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.open(seldom)
	r.until(r.bench.Clock().Now().Add(48 * time.Hour))
	if told, _ := r.settledEvents(last); len(told) != 0 {
		t.Errorf("%d tickets were told again", len(told))
	}
}

// right checks what came for a draft: its own employer's income, or why there is none, under its own case.
func (r *rig) right(d *draft) {
	r.t.Helper()
	ticket, err := r.hub.Ticket(r.as(d.id), d.ticket)
	if err != nil || ticket.Case != d.id {
		r.t.Errorf("%s: the ticket is of another draft (%v)", d.id, err)
	}
	income, err := contracts.Answer(r.as(d.id), r.hub, tax.OpIncome, d.ticket)
	if d.want != contracts.Internal {
		if !errors.Is(err, d.want) {
			r.t.Errorf("%s: %v, want %s", d.id, err, d.want)
		}
		return
	}
	if err != nil {
		r.t.Errorf("%s: %v", d.id, err)
		return
	}
	if cents, known := income.Income.Cents(); !known || cents != d.cents || income.Year != d.year {
		r.t.Errorf("%s: the income is not that of its employer and year", d.id)
	}
}
