package pec

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/pec"
)

// newPool is a world whose role has n mailboxes, prefettura-001 and on. Everybody's password is what the mock wants.
func newPool(t *testing.T, n int, change func(*Config), opts ...mock.Option) (*world, *journal) {
	t.Helper()
	told := &journal{}
	w := &world{mock: mock.New(append(opts, mock.WithAccounts(n))...)}
	w.bench = lab.Start(t, w.mock)
	all := w.mock.Accounts()
	passwords := map[contracts.Secret]string{}
	w.box = all[len(all)-n]
	c := w.settings(t)
	like := c.Mailboxes[0]
	c.Mailboxes = nil
	for _, a := range all[len(all)-n:] {
		m := like
		m.Name, m.Address, m.User = a.Name, a.Address, a.User
		m.Password = contracts.Secret("secret://env/" + a.Name)
		m.PerMinute = 1000
		passwords[m.Password] = a.Password
		c.Mailboxes = append(c.Mailboxes, m)
	}
	if change != nil {
		change(c)
	}
	env := w.env(slog.New(slog.NewTextHandler(told, nil)))
	env.Secret = func(_ context.Context, ref contracts.Secret) ([]byte, error) { return []byte(passwords[ref]), nil }
	w.Adapter = contracttest.Open(t, c, env).(*Adapter)
	w.run = contracttest.Direct(w.Adapter, w.bench.Clock(), contracttest.Advancing(w.bench.Advance))
	return w, told
}

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// times is how often something was told.
func (j *journal) times(words string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), words)
}

// box is the name of a place's mailbox.
func box(p contracts.Place) string {
	name, _, _ := strings.Cut(p.Name, "#")
	return name
}

func fresh(i int) *hold {
	h := newHold()
	h.id = fmt.Sprintf("m%025d", i)
	return h
}

// sendAs does what an outbox does: reserve a place, send from it, give it back.
func (w *world) sendAs(t *testing.T, h *hold, m delivery.Message) (delivery.Dispatch, error) {
	t.Helper()
	place, next, ok := w.Reserve("centrale")
	if !ok {
		t.Fatalf("no place; next %v", next)
	}
	defer place.Release(true)
	return w.Send(contracts.WithPlace(contracts.WithHold(t.Context(), h), place.Name), m)
}

// at is a context with a place at one mailbox.
func (w *world) at(ctx context.Context, t *testing.T, b *mailbox) context.Context {
	t.Helper()
	p := w.pools["centrale"]
	if one, _ := p.reserve(w.bench.Clock().Now(), func(one *mailbox) bool { return one == b }); one == nil {
		t.Fatalf("%s is not free", b.Name)
	}
	return contracts.WithPlace(ctx, p.place(b))
}

// sendFrom sends from one mailbox, as if its place had been the reserved one.
func (w *world) sendFrom(t *testing.T, b *mailbox, h *hold, m delivery.Message) (delivery.Dispatch, error) {
	t.Helper()
	ctx := w.at(contracts.WithHold(t.Context(), h), t, b)
	defer w.pools["centrale"].release(b)
	return w.Send(ctx, m)
}

// from is the mailbox of the last message that the mock took.
func (w *world) from() string {
	all := w.mock.Accepted()
	if len(all) == 0 {
		return ""
	}
	local, _, _ := strings.Cut(all[len(all)-1].Mailbox, "@")
	return local
}

func TestMailboxesOfARoleShareItsMessages(t *testing.T) {
	w, _ := newPool(t, 4, func(c *Config) {
		for i := range c.Mailboxes {
			c.Mailboxes[i].PerMinute = 3
		}
	})
	for i := range 12 {
		if _, err := w.sendAs(t, fresh(i), to("rossi@pec.cittadini.test")); err != nil {
			t.Fatal(err)
		}
	}
	count := map[string]int{}
	for _, s := range w.mock.Accepted() {
		count[s.Mailbox]++
	}
	for box, n := range count {
		if n != 3 {
			t.Errorf("%s sent %d, want 3 each", box, n)
		}
	}
	if len(count) != 4 {
		t.Errorf("%d mailboxes sent, want all 4", len(count))
	}
	now := w.bench.Clock().Now()
	if _, next, ok := w.Reserve("centrale"); ok || !next.Equal(now.Add(time.Minute)) {
		t.Errorf("a thirteenth place: %t, next %v, want it in a minute", ok, next.Sub(now))
	}
}

func TestPlaceIsReservedOnceAndGivenBack(t *testing.T) {
	w, _ := newPool(t, 2, nil)
	a, _, ok := w.Reserve("centrale")
	b, _, also := w.Reserve("centrale")
	if !ok || !also || box(a) == box(b) {
		t.Fatalf("places %q %t and %q %t", a.Name, ok, b.Name, also)
	}
	if _, next, ok := w.Reserve("centrale"); ok || !next.IsZero() {
		t.Errorf("a third place of two: %t, next %v, want none until one is given back", ok, next)
	}
	a.Release(false)
	a.Release(false)
	c, _, ok := w.Reserve("centrale")
	if !ok || box(c) != box(a) || c.Name == a.Name {
		t.Errorf("after %s was given back: %q %t, want its mailbox under another name", a.Name, c.Name, ok)
	}
	a.Release(false) // must not give back what another has now
	if _, _, ok := w.Reserve("centrale"); ok {
		t.Error("a place given back twice is two places")
	}
	stale := contracts.WithPlace(contracts.WithHold(t.Context(), fresh(1)), a.Name)
	if _, err := w.Send(stale, to("rossi@pec.cittadini.test")); contracts.KindOf(err) != contracts.Internal || w.bench.Sent("pec smtp message") != 0 {
		t.Errorf("from a place that was given back: %v", err)
	}
	if _, next, ok := w.Reserve("altro"); ok || !next.IsZero() {
		t.Error("a role that nobody speaks for has a place")
	}
}

func TestLockedMailboxStopsNoOther(t *testing.T) {
	w, told := newPool(t, 3, nil)
	if err := w.mock.SetMailbox(w.box.Address, func(c *mock.Condition) { c.Locked = true }); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		h := fresh(i)
		if _, err := w.sendAs(t, h, to("rossi@pec.cittadini.test")); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if w.from() == w.box.Name || h.departed != 1 || h.rendered != 1 {
			t.Fatalf("message %d left from %s, departed %d times, frozen %d times", i, w.from(), h.departed, h.rendered)
		}
	}
	if n := told.times("mailbox does not send"); n != 1 {
		t.Errorf("alarmed %d times, want once", n)
	}
	if err := w.mock.SetMailbox(w.box.Address, func(c *mock.Condition) { c.Locked = false }); err != nil {
		t.Fatal(err)
	}
	w.bench.Advance(20 * time.Minute)
	for i := range 3 {
		if _, err := w.sendAs(t, fresh(100+i), to("rossi@pec.cittadini.test")); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.ContainsFunc(w.mock.Accepted(), func(s mock.Submitted) bool { return s.Mailbox == w.box.Address }) {
		t.Error("the mailbox never came back")
	}
	if n := told.times("mailbox sends again"); n != 1 {
		t.Errorf("the end was told %d times, want once", n)
	}
}

func TestSlowMailboxHoldsUpNoOther(t *testing.T) {
	w, _ := newPool(t, 2, nil)
	hold := func(on bool) {
		if err := w.mock.SetMailbox(w.box.Address, func(c *mock.Condition) { c.Hold = on }); err != nil {
			t.Fatal(err)
		}
	}
	hold(true)
	slow := make(chan error, 1)
	place, _, _ := w.Reserve("centrale")
	if box(place) != w.box.Name {
		t.Fatalf("the first place is %s", place.Name)
	}
	go func() {
		_, err := w.Send(contracts.WithPlace(contracts.WithHold(context.WithoutCancel(t.Context()), fresh(0)), place.Name), to("rossi@pec.cittadini.test"))
		place.Release(true)
		slow <- err
	}()
	for i := range 10 {
		if _, err := w.sendAs(t, fresh(1+i), to("rossi@pec.cittadini.test")); err != nil || w.from() == w.box.Name {
			t.Fatalf("beside a slow mailbox: %v from %s", err, w.from())
		}
	}
	hold(false)
	if err := <-slow; err != nil {
		t.Errorf("the slow one: %v", err)
	}
}

// What one mailbox's server refuses before a recipient was named, or answers with going away, is that mailbox's trouble.
func TestMailboxInTroubleHandsTheMessageOn(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*testing.T, *world)
	}{
		{"log-in refused", func(t *testing.T, w *world) {
			_ = w.mock.SetMailbox(w.box.Address, func(c *mock.Condition) { c.Locked = true })
		}},
		{"421 at MAIL", func(t *testing.T, w *world) {
			_ = w.mock.SetMailbox(w.box.Address, func(c *mock.Condition) { c.Drop421 = 9 })
		}},
		{"421 at RCPT", func(t *testing.T, w *world) { _ = w.mock.Order(mock.Order{Story: "busy", Mailbox: w.box.Address}) }},
		{"the rate limit dressed as 550", func(t *testing.T, w *world) { _ = w.mock.Order(mock.Order{Story: "toomuch", Mailbox: w.box.Address}) }},
		{"the rate limit as 451", func(t *testing.T, w *world) {
			_ = w.mock.SetMailbox(w.box.Address, func(c *mock.Condition) { c.PerMinute, c.RateReply = 1, 451 })
			_, _ = w.sendFrom(t, w.boxes[0], fresh(77), to("rossi@pec.cittadini.test"))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, _ := newPool(t, 2, nil)
			tc.spoil(t, w)
			h := fresh(1)
			d, err := w.sendFrom(t, w.boxes[0], h, to("rossi@pec.cittadini.test"))
			if err != nil || d.Mailbox == w.box.Name || w.from() == w.box.Name || h.departed != 1 || h.rendered != 1 {
				t.Errorf("%v, sent from %q (%s), departed %d times", err, d.Mailbox, w.from(), h.departed)
			}
			if p, _, ok := w.Reserve("centrale"); !ok || box(p) == w.box.Name {
				t.Errorf("the next place is %q %t", p.Name, ok)
			}
		})
	}
}

func TestNobodyLeftSaysWhenToComeAgain(t *testing.T) {
	w, _ := newPool(t, 2, func(c *Config) { c.DeniedPause = 5 * time.Minute })
	for _, b := range w.boxes {
		if err := w.mock.SetMailbox(b.Address, func(c *mock.Condition) { c.Locked = true }); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.sendAs(t, fresh(1), to("rossi@pec.cittadini.test"))
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Denied || e.After < 5*time.Minute || e.After > 15*time.Minute {
		t.Fatalf("%v, want denied, to come again when the pause is over", err)
	}
	now := w.bench.Clock().Now()
	if _, next, ok := w.Reserve("centrale"); ok || next.Before(now.Add(5*time.Minute)) {
		t.Errorf("a place %t, next in %v", ok, next.Sub(now))
	}
	if n := w.bench.Sent("pec smtp message"); n > 2 {
		t.Errorf("%d submissions were begun", n)
	}
}

func TestRoleWithoutAVoiceIsAlarmedOnce(t *testing.T) {
	w, told := newPool(t, 2, func(c *Config) { c.Mailboxes[0].PerMinute, c.Mailboxes[1].PerMinute = 1, 1 })
	for i := range 2 {
		if _, err := w.sendAs(t, fresh(i), to("rossi@pec.cittadini.test")); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := w.Reserve("centrale"); ok || told.times("no mailbox of the role sends") != 0 {
		t.Error("alarmed for a rate that is kept")
	}
	w.bench.Advance(time.Minute)
	for _, b := range w.boxes {
		w.lock(t, b, true)
	}
	if _, err := w.sendAs(t, fresh(3), to("rossi@pec.cittadini.test")); err == nil {
		t.Fatal("sent")
	}
	for range 5 {
		if _, _, ok := w.Reserve("centrale"); ok {
			t.Fatal("a place")
		}
	}
	for _, b := range w.boxes {
		w.lock(t, b, false)
	}
	w.bench.Advance(16 * time.Minute)
	if _, err := w.sendAs(t, fresh(4), to("rossi@pec.cittadini.test")); err != nil {
		t.Fatal(err)
	}
	if a, b := told.times("no mailbox of the role sends"), told.times("a mailbox of the role sends again"); a != 1 || b != 1 {
		t.Errorf("alarmed %d times, called off %d times", a, b)
	}
}

func TestMessageThatMayHaveLeftStaysWithItsMailbox(t *testing.T) {
	w, _ := newPool(t, 2, nil)
	if err := w.mock.Order(mock.Order{Story: "tempfail", Mailbox: w.box.Address, Times: 1}); err != nil {
		t.Fatal(err)
	}
	h, m := fresh(1), to("rossi@pec.cittadini.test")
	if _, err := w.sendFrom(t, w.boxes[0], h, m); contracts.KindOf(err) != contracts.Unavailable || h.departed != 1 {
		t.Fatalf("451 at the dot: %v, departed %d times", err, h.departed)
	}
	frozen := h.kept[keptMessage]
	d, err := w.sendFrom(t, w.boxes[1], h, m)
	if err != nil || d.Mailbox != w.box.Name || w.from() != w.box.Name || d.Sum != contracts.SumOf(frozen) || h.rendered != 1 {
		t.Errorf("%v, sent from %q (%s), frozen %d times", err, d.Mailbox, w.from(), h.rendered)
	}
	if p := w.pools["centrale"]; len(p.busy) != 0 {
		t.Errorf("%d mailboxes are still in use", len(p.busy))
	}
}

func TestMessageThatNeverLeftMayMove(t *testing.T) {
	w, _ := newPool(t, 2, nil)
	if err := w.mock.Order(mock.Order{Story: "greylist", Mailbox: w.box.Address, Times: 1}); err != nil {
		t.Fatal(err)
	}
	h, m := fresh(1), to("rossi@pec.cittadini.test")
	_, err := w.sendFrom(t, w.boxes[0], h, m)
	if contracts.KindOf(err) != contracts.Unavailable || h.departed != 0 || h.rendered != 0 {
		t.Fatalf("450 at RCPT: %v, departed %d times, frozen %d times", err, h.departed, h.rendered)
	}
	if after := contracts.AsError(err).After; after < 4*time.Minute || after > 8*time.Minute {
		t.Errorf("to come again after %v", after)
	}
	if p, _, ok := w.Reserve("centrale"); !ok {
		t.Error("a greylisted recipient keeps the mailbox out")
	} else {
		p.Release(false)
	}
	d, err := w.sendFrom(t, w.boxes[1], h, m)
	if err != nil || d.Mailbox != w.boxes[1].Name || !strings.Contains(string(h.kept[keptMessage]), w.boxes[1].Address) {
		t.Errorf("%v, sent from %q", err, d.Mailbox)
	}
}

// The provider counts at MAIL, whatever becomes of the message.
func TestRefusedMessagesCountAgainstTheRate(t *testing.T) {
	w, _ := newPool(t, 1, func(c *Config) { c.Mailboxes[0].PerMinute = 6 })
	if err := w.mock.Order(mock.Order{Story: "refused", Mailbox: w.box.Address}); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if _, err := w.sendAs(t, fresh(i), to("rossi@pec.cittadini.test")); contracts.KindOf(err) != contracts.Invalid {
			t.Fatal(err)
		}
	}
	now := w.bench.Clock().Now()
	if _, next, ok := w.Reserve("centrale"); ok || !next.Equal(now.Add(time.Minute)) {
		t.Errorf("a seventh place in a minute: %t, next %v", ok, next)
	}
}

func TestMailboxesOfOneDomainNameTheSameMessage(t *testing.T) {
	w, _ := newPool(t, 2, func(c *Config) { c.Mailboxes[1].Address = "x@pec.imprese.test" })
	a, _ := messageID("abc", w.boxes[0].address)
	b, _ := messageID("abc", w.boxes[1].address)
	if a == b || a != "h1.abc.1@pec.ministero.test" {
		t.Errorf("%q and %q: the domain is part of the name", a, b)
	}
	w, _ = newPool(t, 2, nil)
	a, _ = messageID("abc", w.boxes[0].address)
	b, _ = messageID("abc", w.boxes[1].address)
	if a != b {
		t.Errorf("%q and %q: the mailbox is no part of the name", a, b)
	}
}

func TestDrainedMailboxIsReadAndDoesNotSend(t *testing.T) {
	w, _ := newPool(t, 2, func(c *Config) { c.Mailboxes[0].Drain = true })
	for i := range 4 {
		if _, err := w.sendAs(t, fresh(i), to("rossi@pec.cittadini.test")); err != nil || w.from() != w.boxes[1].Name {
			t.Fatalf("%v from %s", err, w.from())
		}
	}
	if _, ok := w.Sources()[w.boxes[0].Name]; !ok {
		t.Error("it is not read")
	}
	// A message that may have left from it is not sent by another, nor by itself.
	h, m := fresh(9), to("rossi@pec.cittadini.test")
	raw, err := w.boxes[0].compose("h1."+h.id+".1@pec.ministero.test", m, w.bench.Clock().Now(), w.config.BreveAbove)
	if err != nil {
		t.Fatal(err)
	}
	h.kept[keptMessage] = raw
	if _, err := w.sendAs(t, h, m); contracts.KindOf(err) != contracts.Conflict || h.departed != 0 {
		t.Errorf("bound to it: %v, departed %d times", err, h.departed)
	}
	h.kept[keptMessage] = []byte(strings.ReplaceAll(string(raw), w.boxes[0].Address, "weg@pec.ministero.test"))
	if _, err := w.sendAs(t, h, m); contracts.KindOf(err) != contracts.Conflict || contracts.AsError(err).Code != "NO_MAILBOX" {
		t.Errorf("bound to one that is not configured: %v", err)
	}
}

func TestRoleWithoutASenderTakesNothing(t *testing.T) {
	w, _ := newPool(t, 1, func(c *Config) { c.Mailboxes[0].Drain = true })
	if err := w.covers(to("rossi@pec.cittadini.test")); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("%v", err)
	}
}

func TestFullMailboxIsPassedOverAndANearlyFullOneAsksForLess(t *testing.T) {
	w, _ := newPool(t, 2, func(c *Config) { c.Mailboxes[0].Quota, c.Mailboxes[1].Quota = 1<<30, 1<<30 })
	m := to("rossi@pec.cittadini.test")
	form := func() string {
		h := fresh(1)
		if _, err := w.sendAs(t, h, m); err != nil {
			t.Fatal(err)
		}
		return w.from() + " " + formAsked(h.kept[keptMessage])
	}
	a, b := w.boxes[0], w.boxes[1]
	if got := []string{form(), form()}; !slices.Contains(got, a.Name+" completa") || !slices.Contains(got, b.Name+" completa") {
		t.Errorf("with room: %v", got)
	}
	a.gate.measured(86<<20, 100<<20)
	if got := []string{form(), form()}; got[0] != b.Name+" completa" || got[1] != got[0] {
		t.Errorf("one nearly full: %v, want the other one used", got)
	}
	b.gate.measured(96<<20, 100<<20)
	if got := []string{form(), form()}; got[0] != a.Name+" breve" || got[1] != got[0] {
		t.Errorf("one nearly full, one full: %v, want breve from the first", got)
	}
	a.gate.measured(95<<20, 100<<20)
	now := w.bench.Clock().Now()
	if _, next, ok := w.Reserve("centrale"); ok || !next.Equal(now.Add(time.Minute)) {
		t.Errorf("both full: a place %t, next %v", ok, next)
	}
	a.gate.measured(1<<20, 0) // the server does not tell its limit: the configured one counts
	if got := form(); got != a.Name+" completa" {
		t.Errorf("emptied: %s", got)
	}
}

func TestReceiptsOnTheirWayCountAgainstTheQuota(t *testing.T) {
	g := newGate(Mailbox{PerMinute: 6, Quota: 1 << 20})
	for range 8 {
		g.took(100 << 10)
	}
	if g.tight() {
		t.Errorf("at %.2f", g.fill())
	}
	g.took(100 << 10)
	if !g.tight() || g.full() {
		t.Errorf("at %.2f: want it tight before the server has measured it", g.fill())
	}
	if g.took(100 << 10); !g.full() {
		t.Errorf("at %.2f", g.fill())
	}
	if g.measured(1<<10, 1<<20); g.tight() {
		t.Error("measured anew, and still tight")
	}
}

func TestRefusalsInARowAreTheMailboxes(t *testing.T) {
	w, told := newPool(t, 2, nil)
	w.mock.RefuseAt(mock.AtDot)
	w.bench.Inject(lab.Fault{Match: "pec smtp message", Do: lab.Status, Status: 554})
	refused := 0
	for i := range 20 {
		p, _, ok := w.Reserve("centrale")
		if !ok {
			break
		}
		_, err := w.Send(contracts.WithPlace(contracts.WithHold(t.Context(), fresh(i)), p.Name), to("rossi@pec.cittadini.test"))
		p.Release(true)
		if contracts.KindOf(err) != contracts.Invalid {
			t.Fatal(err)
		}
		refused++
	}
	if refused != 2*refusedInRow || told.times("mailbox does not send") != 2 {
		t.Errorf("%d messages were lost to mailboxes that refuse everything, want %d of each at most", refused, refusedInRow)
	}
}

// 535 to the dot: the message was not taken, and it is the mailbox that is refused. The message waits for it.
func TestPasswordRefusedAtTheDotFailsNoMessage(t *testing.T) {
	w, _ := newPool(t, 2, func(c *Config) { c.DeniedPause = time.Minute })
	w.mock.RefuseAt(mock.AtDot)
	w.bench.Inject(lab.Fault{Match: "pec smtp message", Times: 1, Do: lab.Status, Status: 535})
	h, m := fresh(1), to("rossi@pec.cittadini.test")
	_, err := w.sendAs(t, h, m)
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Throttled || e.Code != "535 5.0.0" || e.After < time.Minute || h.departed != 1 {
		t.Fatalf("%v, want it to wait for its mailbox", err)
	}
	if _, err := w.sendAs(t, h, m); contracts.KindOf(err) != contracts.Throttled {
		t.Errorf("at once again: %v", err)
	}
	w.bench.Advance(2 * time.Minute)
	if d, err := w.sendAs(t, h, m); err != nil || d.Mailbox != w.box.Name || h.rendered != 1 {
		t.Errorf("%v from %q", err, d.Mailbox)
	}
}

func TestTooBigForOneMailboxGoesToAnother(t *testing.T) {
	w, _ := newPool(t, 2, func(c *Config) { c.Mailboxes[0].MaxSize, c.Mailboxes[1].MaxSize = 1<<20, 4<<20 })
	m := to("rossi@pec.cittadini.test", "ditta@pec.imprese.test")
	big := func(n int) {
		m.Attachments = []delivery.Attachment{{Name: contracts.NewPrivate("a.pdf"), MediaType: "application/pdf", Content: contracts.NewBlob(make([]byte, n))}}
	}
	big(500 << 10) // encoded 685 KB, to two
	d, err := w.sendFrom(t, w.boxes[0], fresh(1), m)
	if err != nil || d.Mailbox != w.boxes[1].Name {
		t.Errorf("%v from %q", err, d.Mailbox)
	}
	big(1500 << 10)
	h := fresh(2)
	if err := w.covers(m); err != nil {
		t.Errorf("just below the limit by its contents: %v", err)
	}
	_, err = w.sendFrom(t, w.boxes[0], h, m)
	if e := contracts.AsError(err); e == nil || e.Kind != contracts.Invalid || e.Code != "5.3.4" || h.rendered != 0 {
		t.Errorf("too big for all: %v", err)
	}
	big(2 << 20)
	if err := w.covers(m); contracts.KindOf(err) != contracts.Invalid || contracts.AsError(err).Code != "5.3.4" {
		t.Errorf("too big by its contents alone, and taken: %v", err)
	}
	if n := w.bench.Sent("pec smtp message"); n != 1 {
		t.Errorf("%d submissions", n)
	}
}

func TestHundredAndTenMailboxesAreOneRole(t *testing.T) {
	c := good(t)
	like := c.Mailboxes[0]
	c.Mailboxes = nil
	for i := range 110 {
		m := like
		m.Name, m.Address = fmt.Sprintf("prefettura-%d", i), fmt.Sprintf("p%d@pec.interno.it", i)
		c.Mailboxes = append(c.Mailboxes, m)
	}
	if err := c.Validate(contracts.Produzione); err != nil {
		t.Fatal(err)
	}
	clock := lab.NewClock(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))
	a, err := c.Open(t.Context(), contracts.Env{Instance: "pec", Log: slog.New(slog.DiscardHandler), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	seen := map[string]bool{}
	for range 110 {
		p, _, ok := a.(*Adapter).Reserve("centrale")
		if !ok || seen[box(p)] {
			t.Fatalf("place %q %t", p.Name, ok)
		}
		seen[box(p)] = true
	}
	if _, _, ok := a.(*Adapter).Reserve("centrale"); ok {
		t.Error("a 111th place")
	}
}
