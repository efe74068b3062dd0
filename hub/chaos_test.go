package hub_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub/api"
	"raccordo/mocks"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

var (
	chaosMessages = flag.Int("messages", 600, "messages of the chaos test")
	chaosKills    = flag.Int("kills", 10, "deaths of the hub in the chaos test")
	chaosSeed     = flag.Uint64("seed", 0, "seed of the chaos test; 0 draws one")
)

// trouble is how often each story is told: of a message's receipts, of a recipient, of the mailbox that sent it, of an
// attempt on the wire, of an IMAP command.
func trouble() pec.Rates {
	rates := pec.Rates{
		"dup": .05, "reorder": .05, "noaccept": .01, "noacceptvirus": .005, "noacceptreceipt": .01, "mute": .005,
		"twoaccept": .003, "foreign": .01, "replay": .01, "othersigner": .005, "header": .01,
		"nodest": .01, "full": .01, "virus": .005, "slow": .01, "timeout12": .01, "timeout24": .01, "late": .01, "never": .003,
		"errafter": .005, "delafter": .005, "unknowntipo": .005, "unknownerrore": .005, "pecinpec": .01, "charge": .01, "strayvirus": .005,
		"fullbox": .003, "reader": .003, "bump": .001, "cutfetch": .01, "nologin": .001,
		"greylist": .01, "refused": .005, "busy": .01, "toomuch": .003, "tempfail": .01, "cutbefore": .01, "cutafter": .02, "lateanswer": .01,
		"imapdrop": .002, "imaplost": .002, "imapcut": .002, "imapno": .002, "imaplimit": .01,
	}
	for _, s := range pec.Stories() {
		if s.Scope == pec.OfReceipts && s.Sound {
			rates[s.Name] = .01
		} else if s.Scope == pec.OfReceipts {
			rates[s.Name] = .004
		}
	}
	return rates
}

// A pool of mailboxes, whatever befalls them and their messages, and a hub that dies again and again: nothing is lost,
// nothing is sent twice, and each message is settled as its receipts say, or stands in the operator's list with a reason.
func TestChaosLosesNothingAndDoublesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("many processes are started and killed")
	}
	t.Parallel() // it waits more than it works
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay with -seed=%d -messages=%d -kills=%d", seed, *chaosMessages, *chaosKills)
	dir := t.TempDir()
	bench, err := lab.New(lab.Options{Clock: lab.RunningClock(), Seed: seed, Dir: filepath.Join(dir, "mocks")})
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Close()
	list := mocks.All()
	for i, m := range list {
		if _, ok := m.(*pec.Mock); ok {
			list[i] = pec.New(pec.WithAccounts(8), pec.WithDeliveryDelay(20*time.Millisecond),
				pec.WithLimits(pec.Limits{MaxAccepted: 100_000, MaxLog: 16 << 30}))
		}
	}
	if err := bench.Attach(list...); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bench: bench, dir: dir}
	pool := mailboxes(r, "prefettura-", "per_minute: 10000", "")
	// What providers and people do in days happens in seconds here; but a mailbox must be heard of before a doubt is old.
	swift := with("    mailboxes:\n", "    poll: 5s\n    acceptance_within: 1m\n    mailboxes:\n")
	r.load(massive, swift, pool)
	token, err := os.ReadFile(filepath.Join(dir, "core.token"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.provider().Chaos(seed, trouble()); err != nil {
		t.Fatal(err)
	}
	g := &graveyard{
		t: t, bench: bench, config: filepath.Join(dir, "hub.yaml"), flag: filepath.Join(dir, "die"),
		next: violentDeaths(seed, *chaosKills, *chaosMessages),
	}
	defer bench.Watch(g.watch)()
	patience := 2*time.Minute + time.Duration(*chaosMessages)*60*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lives, end := context.WithCancel(ctx)
	lived := make(chan error, 1)
	go func() { lived <- g.live(lives) }()
	tickets := sendAll(ctx, t, g, string(token), *chaosMessages)
	g.outlive(ctx)
	g.mu.Lock()
	g.over = true
	died, left := len(g.died), len(g.next)
	g.mu.Unlock()
	end()
	if err := <-lived; err != nil {
		t.Errorf("last life: %v", err)
	}
	if left > 0 {
		t.Errorf("%d of %d deaths did not come about", left, *chaosKills)
	}

	// The last life has all the time that notices of 24 hours and operators need.
	began := time.Now()
	calm := with("    mailboxes:\n", "    poll: 15m\n    acceptance_within: 1h\n    mailboxes:\n")
	r.open(massive, calm, pool)
	defer r.stop()
	r.runFor(ctx, 40*time.Hour)
	t.Logf("the last life's 40 hours took %v", time.Since(began).Round(time.Second))
	c := court{t: t, truth: r.verdicts()}
	for _, x := range tickets {
		c.judge(r, x)
	}
	t.Logf("%d deaths; %s", died, c.String())
	if c.sum != len(tickets) {
		t.Errorf("%d messages are accounted for, want %d", c.sum, len(tickets))
	}
	if report, err := r.hub.Ledger().Verify(t.Context()); err != nil {
		t.Errorf("ledger after %d lives: %v", died+1, err)
	} else {
		t.Logf("%d entries verify", report.Entries)
	}
}

// violentDeaths draws as many deaths as there are to be, spread over the work: at the final dot of a message, at any
// exchange of a mailbox, at any commit.
func violentDeaths(seed uint64, n, messages int) []death {
	r := rand.New(rand.NewPCG(seed, 50))
	share := max(2*messages/(3*max(n, 1)), 2)
	var all []death
	for i := range n {
		d := death{kind: [...]string{"dot", "exchange", "commit"}[i%3]}
		switch d.kind {
		case "dot":
			d.n = 1 + r.IntN(share)
		case "exchange":
			d.n = 1 + r.IntN(3*share)
		default:
			d.n = 2 + r.IntN(share)
		}
		all = append(all, d)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// outlive waits until every death has come about.
func (g *graveyard) outlive(ctx context.Context) {
	for {
		g.mu.Lock()
		left := len(g.next)
		g.mu.Unlock()
		if left == 0 {
			return
		}
		wait := time.NewTimer(50 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}
	}
}

// mailboxes is a setting that gives the role "centrale" every account of the mock whose name begins so.
func mailboxes(r *rig, prefix, settings, otherwise string) setting {
	r.t.Helper()
	provider := r.bench.Mock("pec").(*pec.Mock)
	var text strings.Builder
	for _, a := range provider.Accounts() {
		number, ok := strings.CutPrefix(a.Name, prefix)
		if !ok || strings.Trim(number, "0123456789") != "" {
			continue
		}
		file := filepath.Join(r.dir, a.Name+".password")
		if err := os.WriteFile(file, []byte(a.Password), 0o600); err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(&text, "      - {name: %s, role: centrale, address: %s, smtps: %q, imaps: %q, user: %s, password: %q, %s}\n",
			a.Name, a.Address, r.bench.Endpoint("pec", "smtps"), r.bench.Endpoint("pec", "imaps"), a.User, "secret://file/"+file, settings)
	}
	if text.Len() == 0 {
		r.t.Fatalf("no account's name begins with %s", prefix)
	}
	return with("routes:\n", text.String()+otherwise+"routes:\n")
}

// A sent is a message that the hub has taken on, and to whom.
type sent struct {
	ticket string
	to     []string
}

// sendAll submits n messages to whichever hub lives, until each was taken on.
func sendAll(ctx context.Context, t *testing.T, g *graveyard, token string, n int) []sent {
	all := make([]sent, n)
	var wg sync.WaitGroup
	places := make(chan struct{}, 32)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			m, to := chaosMessage(t, i)
			ctx := contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: fmt.Sprintf("C-%d", i)})
			x, err := patient(ctx, g, token, func(ctx context.Context, c *api.Client) (contracts.Ticket, error) {
				return contracts.Submit(contracts.WithKey(ctx, fmt.Sprintf("chaos/%d", i)), c, delivery.OpSend, m)
			})
			if err != nil {
				t.Errorf("message %d was not taken on: %v", i, err)
				return
			}
			all[i] = sent{x.ID, to}
		})
	}
	wg.Wait()
	return slices.DeleteFunc(all, func(x sent) bool { return x.ticket == "" })
}

// chaosMessage is the i-th message: one in ten goes to three, one in twenty besides to an ordinary mailbox, one in three
// is secret.
func chaosMessage(t *testing.T, i int) (delivery.Message, []string) {
	to := []string{fmt.Sprintf("datore-%d@pec.cittadini.test", i)}
	if i%10 == 0 {
		to = append(to, fmt.Sprintf("ditta-%d@pec.imprese.test", i), fmt.Sprintf("studio-%d@pec.studi.test", i))
	}
	if i%20 == 5 {
		to = append(to, fmt.Sprintf("persona-%d@posta.test", i))
	}
	m := delivery.Message{
		Sender: "centrale", Secret: i%3 == 0,
		Subject: contracts.NewPrivate(fmt.Sprintf("Comunicazione %d", i)), Text: contracts.NewPrivate("Il testo.\r\n"),
	}
	for _, text := range to {
		a, err := contracts.ParseAddress(text)
		if err != nil {
			t.Error(err)
		}
		m.To = append(m.To, delivery.Recipient{Address: a, Basis: delivery.Basis{Kind: delivery.Elected}})
	}
	return m, to
}

// runFor lets as much virtual time pass, jump by jump.
func (r *rig) runFor(ctx context.Context, d time.Duration) {
	r.t.Helper()
	end := r.bench.Clock().Now().Add(d)
	stop := r.pump()
	defer stop()
	for r.bench.Clock().Now().Before(end) {
		wait := time.NewTimer(20 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			r.t.Fatalf("%v of virtual time were left when the real time was over", end.Sub(r.bench.Clock().Now()))
		}
	}
}

// verdicts gives what really happened to the messages of each ticket, from whichever mailboxes they went.
func (r *rig) verdicts() map[string][]pec.Fate {
	all := map[string][]pec.Fate{}
	for _, f := range r.provider().Truth() {
		ticket, _, ok := strings.Cut(strings.TrimPrefix(f.MessageID, "<h1."), ".")
		if !ok {
			r.t.Errorf("the provider has a message that no ticket can have made")
			continue
		}
		all[ticket] = append(all[ticket], f)
	}
	return all
}

// A court holds the hub's word against the truth.
type court struct {
	t                          *testing.T
	truth                      map[string][]pec.Fate
	sum                        int
	done, failed, open, doubts int
}

func (c *court) String() string {
	return fmt.Sprintf("%d delivered, %d failed, %d open for a reason, %d in doubt for a reason", c.done, c.failed, c.open, c.doubts)
}

// judge asks for a ticket and for the truth about its message.
func (c *court) judge(r *rig, x sent) {
	ticket, err := r.hub.Show(context.Background(), x.ticket)
	if err != nil {
		c.t.Errorf("ticket %s: %v", x.ticket, err)
		return
	}
	fates := c.truth[x.ticket]
	taken, sendings := 0, 0
	var fate pec.Fate
	for _, f := range fates {
		taken += len(f.Taken)
		sendings += f.Sent()
		if len(f.Taken) > 0 {
			fate = f
		}
	}
	if taken > 1 {
		c.t.Errorf("ticket %s: the providers took its message %d times", x.ticket, taken)
	}
	c.sum++
	word := fmt.Sprintf("ticket %s (%s) is %s (%v)", x.ticket, receiptsOf(fate), ticket.State, ticket.Err)
	switch ticket.State {
	case contracts.StateDone:
		c.done++
		for i, to := range x.to {
			if !has(fate, pec.Delivery, to) {
				c.t.Errorf("%s, but recipient %d was not told to be reached", word, i)
			}
		}
	case contracts.StateFailed:
		c.failed++
		if sendings == 0 {
			return
		}
		reason := slices.ContainsFunc(x.to, func(to string) bool {
			return has(fate, pec.DeliveryError, to) || has(fate, pec.Notice, to) || strings.HasSuffix(to, pec.OrdinaryDomain)
		})
		if !reason {
			c.t.Errorf("%s, but its message was taken and no receipt says that a recipient was not reached", word)
		}
	case contracts.StateWaiting:
		c.open++
		c.missed(word, fate, x, ticket)
	case contracts.StateUncertain:
		c.doubts++
		if ticket.Err == nil || ticket.Err.Code == "" {
			c.t.Errorf("%s, and the operator is not told why", word)
		}
		if has(fate, pec.Acceptance, "") || has(fate, pec.NonAcceptance, "") {
			c.t.Errorf("%s, but its mailbox holds what tells that it was taken or not", word)
		}
	default:
		c.t.Errorf("%s after all this time", word)
	}
}

// has tells whether the mailbox held a receipt of a kind about a recipient (empty: any) that a careful reader counts. One
// that names the message nowhere counts with nobody. One whose issuer's
// clock was wrong counts, for its signature is right.
func has(f pec.Fate, kind pec.Kind, recipient string) bool {
	named := f
	named.Placed = nil
	for _, p := range f.Placed {
		p.Sound = p.Sound && !slices.Contains(p.Stories, "noids") || onlyLate(p.Stories)
		named.Placed = append(named.Placed, p)
	}
	return named.Has(kind, recipient)
}

// onlyLate tells whether nothing is wrong with a receipt but its issuer's clock.
func onlyLate(stories []string) bool {
	return slices.Contains(stories, "skewfar") && !slices.ContainsFunc(pec.Stories(), func(s pec.Story) bool {
		wrong := !s.Sound || slices.Contains([]string{"foreign", "replay", "othersigner", "header"}, s.Name)
		return wrong && s.Name != "skewfar" && slices.Contains(stories, s.Name)
	})
}

// receiptsOf lists what the provider did about a message, receipt by receipt, with the stories that shaped each.
func receiptsOf(f pec.Fate) string {
	var all []string
	for _, p := range f.Placed {
		all = append(all, strings.Join(append([]string{string(p.Kind)}, p.Stories...), "+"))
	}
	return strings.Join(all, ", ")
}

// missed checks that a message which still waits has a recipient of whom no receipt tells.
func (c *court) missed(word string, fate pec.Fate, x sent, ticket contracts.Ticket) {
	if has(fate, pec.NonAcceptance, "") {
		c.t.Errorf("%s, but its mailbox holds the non-acceptance", word)
	}
	if strings.Contains(receiptsOf(fate), "nomsgid") { // it counts where the acceptance was read before it, and only there
		return
	}
	for _, to := range x.to {
		if strings.HasSuffix(to, pec.OrdinaryDomain) { // the acceptance alone tells that no receipt will come of it
			if !has(fate, pec.Acceptance, "") {
				return
			}
			continue
		}
		if !has(fate, pec.Delivery, to) && !has(fate, pec.DeliveryError, to) {
			return
		}
	}
	var story []string
	for _, e := range ticket.Story {
		story = append(story, e.Kind)
	}
	c.t.Errorf("%s, but its mailbox holds every recipient's outcome; told so far: %v", word, story)
}
