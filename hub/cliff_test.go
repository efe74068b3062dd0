package hub_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	adapter "raccordo/adapters/pec"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

var cliffNotices = flag.Int("notices", 1500, "notices of the cliff day; 43300 is the real one")

// A day is a load on a pool of mailboxes, played on a clock that jumps.
type day struct {
	notices, boxes int
	attached       int   // bytes of each notice's attachment
	quota          int64 // of each mailbox
}

// newDay is a hub and a provider with the pool that a day is for: six messages a minute from each mailbox.
func newDay(t *testing.T, d day) *rig {
	t.Helper()
	bench, err := lab.New(lab.Options{
		Clock: lab.NewClock(time.Date(2026, 2, 12, 8, 0, 0, 0, time.UTC)), Dir: filepath.Join(t.TempDir(), "mocks"),
		JournalBytes: 1 << 20, JournalLines: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bench.Close() })
	list := mocks.All()
	for i, m := range list {
		if _, ok := m.(*pec.Mock); ok {
			list[i] = pec.New(pec.WithAccounts(d.boxes), pec.WithRateLimit(6), pec.WithLimits(pec.Limits{MaxAccepted: 100_000, MaxLog: 64 << 30}))
		}
	}
	if err := bench.Attach(list...); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bench: bench, dir: t.TempDir()}
	for _, a := range r.pool() {
		if err := r.provider().SetMailbox(a.Address, func(c *pec.Condition) { c.Quota = d.quota }); err != nil {
			t.Fatal(err)
		}
	}
	r.open(mailboxes(r, "prefettura-", "per_minute: 6", ""), with("role: centrale\n", "role: altra\n"), atOneInstant)
	t.Cleanup(func() { r.stop() })
	return r
}

// atOneInstant lets a core submit as many as it likes while the clock stands still.
var atOneInstant = with("routes:\n", "calls:\n  others: {places: 200, per_second: 0, burst: 0}\nroutes:\n")

// pool gives the accounts of the role.
func (r *rig) pool() (all []pec.Account) {
	for _, a := range r.provider().Accounts() {
		if number, ok := strings.CutPrefix(a.Name, "prefettura-"); ok && strings.Trim(number, "0123456789") == "" {
			all = append(all, a)
		}
	}
	return all
}

// foretold is what `hub pec plan` says of the day.
func (r *rig) foretold(d day) adapter.Forecast {
	r.t.Helper()
	cfg, _ := r.load(mailboxes(r, "prefettura-", "per_minute: 6", ""), with("role: centrale\n", "role: altra\n"))
	load, ok := cfg.Adapters["pec"].Config.(*adapter.Config).Load("centrale")
	if !ok {
		r.t.Fatal("the role has no mailbox")
	}
	for i := range load.Pool {
		load.Pool[i].Quota = d.quota
	}
	load.Messages, load.From, load.Size = d.notices, r.bench.Clock().Now(), 2000+d.attached*137/100
	return adapter.Plan(load)
}

// notices submits a day's notices, all of the same minute.
func (r *rig) notices(d day) {
	r.t.Helper()
	var wg sync.WaitGroup
	places := make(chan struct{}, 64)
	for i := range d.notices {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			to, err := contracts.ParseAddress(fmt.Sprintf("datore-%d@pec.cittadini.test", i))
			if err != nil {
				r.t.Error(err)
				return
			}
			m := delivery.Message{
				Sender: "centrale", Subject: contracts.NewPrivate("Nulla osta"), Text: contracts.NewPrivate("Il nulla osta si scarica dal portale.\r\n"),
				To: []delivery.Recipient{{Address: to, Basis: delivery.Basis{Kind: delivery.Elected}}},
			}
			if d.attached > 0 {
				m.Attachments = []delivery.Attachment{{
					Name: contracts.NewPrivate("atto.pdf"), MediaType: "application/pdf", Content: contracts.NewBlob(make([]byte, d.attached)),
				}}
			}
			if _, err := contracts.Submit(contracts.WithKey(r.as("cliff"), fmt.Sprintf("cliff/%d", i)), r.hub, delivery.OpSend, m); err != nil {
				r.t.Errorf("submit: %v", err)
			}
		})
	}
	wg.Wait()
}

// play lets time pass until n notices are settled, and tells how many are delivered and when the last was.
func (r *rig) play(ctx context.Context, n int) (delivered int, last time.Time) {
	r.t.Helper()
	stop := r.pump()
	defer stop()
	for after, settled := uint64(0), 0; settled < n; {
		if err := r.hub.Feed().Wait(ctx, "core", after); err != nil {
			for _, a := range r.pool() {
				used, quota := r.provider().Used(a.Address)
				r.t.Logf("%s is at %d %%", a.Name, 100*used/max(quota, 1))
			}
			r.t.Fatalf("%d of %d notices are settled at %v: %v", settled, n, r.bench.Clock().Now(), err)
		}
		events, err := r.hub.Feed().After(ctx, "core", after, 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range events {
			after = e.Seq
			if e.Kind != contracts.EventSettled {
				continue
			}
			settled++
			if strings.Contains(string(e.Data), string(contracts.StateDone)) {
				delivered++
			}
			if e.At.After(last) {
				last = e.At
			}
		}
	}
	return delivered, last
}

// lost counts the mails that came when a mailbox of the pool was full.
func (r *rig) lost() (n int) {
	for _, a := range r.pool() {
		n += r.provider().Lost(a.Address)
	}
	return n
}

// The day on which a quota's notices are all due: a role's pool carries them by the hour that the plan foretold, and no
// receipt finds a full mailbox.
func TestTheCliffDayEndsAtTheHourForetold(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of messages")
	}
	t.Parallel()
	d := day{notices: *cliffNotices, boxes: 24, quota: 2 << 30}
	r := newDay(t, d)
	plan := r.foretold(d)
	began := r.bench.Clock().Now()
	real := time.Now()
	r.notices(d)
	submitted := time.Since(real)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Duration(d.notices)*50*time.Millisecond)
	defer cancel()
	delivered, last := r.play(ctx, d.notices)
	t.Logf("%d notices over %d mailboxes: foretold %v, settled after %v; %v of real time, of which submitting %v",
		d.notices, d.boxes, plan.Done.Sub(began), last.Sub(began), time.Since(real).Round(time.Second), submitted.Round(time.Millisecond))
	if delivered != d.notices {
		t.Errorf("%d of %d notices are delivered", delivered, d.notices)
	}
	if n := r.lost(); n > 0 {
		t.Errorf("%d receipts were lost to a full mailbox", n)
	}
	if !plan.Fits || hours(last.Sub(began)) != hours(plan.Done.Sub(began)) || last.After(plan.Done) {
		t.Errorf("settled after %v, foretold %v (fits: %v)", last.Sub(began), plan.Done.Sub(began), plan.Fits)
	}
}

// hours is the hour, counted from the beginning, in which something ends.
func hours(d time.Duration) int { return int(math.Ceil(d.Hours())) }

// A pool whose mailboxes fill up asks for shorter receipts in time: none is lost, and the plan knows.
func TestMailboxesThatFillUpLoseNoReceipt(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes of receipts")
	}
	t.Parallel()
	d := day{notices: 480, boxes: 4, attached: 150 << 10, quota: 24 << 20}
	r := newDay(t, d)
	plan := r.foretold(d)
	if !plan.Fits || plan.Mailboxes[0].Brief == 0 {
		t.Fatalf("the day is too easy, or too hard: %+v", plan)
	}
	began := r.bench.Clock().Now()
	r.notices(d)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	delivered, last := r.play(ctx, d.notices)
	for _, a := range r.pool() {
		used, quota := r.provider().Used(a.Address)
		t.Logf("%s is at %d %%", a.Name, 100*used/quota)
	}
	if n := r.lost(); delivered != d.notices || n > 0 {
		t.Errorf("%d of %d notices are delivered, %d receipts lost", delivered, d.notices, n)
	}
	if hours(last.Sub(began)) != hours(plan.Done.Sub(began)) {
		t.Errorf("settled after %v, foretold %v", last.Sub(began), plan.Done.Sub(began))
	}
}
