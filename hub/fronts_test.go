package hub_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery/deliverytest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
	"raccordo/hub"
	"raccordo/hub/api"
	"raccordo/hub/outbox"
	"raccordo/mocks/lab"
)

// A front is a way to ask: the hub in this process, or its API across the network. The bare adapter is the first front;
// its suite stands beside each adapter.
type front struct {
	name string
	at   func(r *rig, instance string, c *contracttest.Capture) contracts.Submitter
}

var fronts = []front{
	{"pipeline", func(r *rig, instance string, _ *contracttest.Capture) contracts.Submitter { return r.hub.At(instance) }},
	{"api", func(r *rig, instance string, c *contracttest.Capture) contracts.Submitter {
		return r.client(c).At(instance)
	}},
}

// client serves the hub's API on a loopback port and gives a client of it for each service; every URL served is captured.
func (r *rig) client(c *contracttest.Capture) services {
	r.t.Helper()
	handler, err := r.hub.Handler()
	if err != nil {
		r.t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if c != nil {
			c.URL(req.URL.String())
		}
		handler.ServeHTTP(w, req)
	}))
	r.t.Cleanup(srv.Close)
	all := services{}
	for service, token := range map[string]string{"core": r.secret("core.token"), "core-other": otherToken, "": "a-token-that-nobody-was-given"} {
		one, err := api.NewClient(api.ClientConfig{URL: srv.URL, Token: token})
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(one.Close)
		all[service] = one
	}
	return all
}

func (r *rig) secret(name string) string {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

const otherToken = "the-token-of-another-service"

// secondService lets another service ask as well.
var secondService = with("  callers:\n", "  callers:\n    core-other: {tokens: [\"secret://env/RACCORDO_TEST_OTHER\"], operations: [\"*\"], purposes: [\"activation\"]}\n")

// services asks in the name of each call's service, by the token that proves it.
type services map[string]contracts.Submitter

func (s services) as(service string) contracts.Submitter {
	if one, ok := s[service]; ok {
		return one
	}
	return s[""]
}

func (s services) Run(ctx context.Context, c *contracts.Call) (any, error) {
	return s.as(c.Caller.Service).Run(ctx, c)
}

func (s services) Submit(ctx context.Context, c *contracts.Call) (contracts.Ticket, error) {
	return s.as(c.Caller.Service).Submit(ctx, c)
}

func (s services) Ticket(ctx context.Context, id string) (contracts.Ticket, error) {
	return s.as(contracts.CallerFrom(ctx).Service).Ticket(ctx, id)
}

// At is the same, insisting on one instance.
func (s services) At(instance string) contracts.Submitter {
	at := services{}
	for service, one := range s {
		at[service] = one.(*api.Client).At(instance)
	}
	return at
}

// hasty makes faults show within a test's patience: short attempts, few tries, quick polls.
var hasty = with(
	"\n    http:\n", "\n    http:\n      timeout: 500ms\n      retry_after_max: 1s\n      retry_burst: 1000\n",
	"\n      http:\n", "\n      http:\n        timeout: 500ms\n        retry_after_max: 1s\n        retry_burst: 1000\n", // of a service
	"    kind: inipec\n", "    kind: inipec\n    poll_max: 1m\n",
	"    kind: pec\n", "    kind: pec\n    denied_pause: 0s\n    poll: 20m\n",
	"routes:\n", "tickets: {backoff: {first: 1s, max: 10s}, attempts: 6, resolve_every: 1m}\nroutes:\n",
)

func suiteRig(t *testing.T) (*rig, *contracttest.Capture) {
	capture := contracttest.NewCapture()
	r := newRig(t, massive, hasty, secondService, options(func(o *hub.Options) { o.Log = capture.Logger() }))
	capture.Source("metrics", func() string { return page(r.hub) })
	return r, capture
}

// harness is what both suites need to know of a front.
func (r *rig) harness(f front, instance string, c *contracttest.Capture) contracttest.Harness {
	return contracttest.Harness{
		Runner: f.at(r, instance, c), Far: r.bench, Wire: instance + " *", Capture: c, Pump: r.pump,
		Patience: 20 * time.Second, // three virtual days of polls, also under the race detector
		Caller:   contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: "SUITE-1"},
		Reset: func() {
			if err := r.hub.Rejoin(r.t.Context(), instance, "suite", "the next case begins with a closed breaker"); err != nil {
				r.t.Errorf("rejoin: %v", err)
			}
			r.drain()
		},
	}
}

// drain carries out what an earlier case's caller did not wait for: the hub keeps its promises, and the next case counts
// what reaches the far side.
func (r *rig) drain() {
	stop := r.pump()
	defer stop()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		open := 0
		for _, state := range []contracts.State{contracts.StateQueued, contracts.StateRunning} {
			page, err := r.hub.List(r.t.Context(), outbox.Query{State: state})
			if err != nil {
				r.t.Fatal(err)
			}
			open += len(page)
		}
		if _, quiet := r.hub.Idle(); open == 0 && quiet && r.bench.InFlight() == 0 {
			return
		}
		runtime.Gosched()
	}
}

func TestDomicileSuiteOnINAD(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			before := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) // in the days of the first of two addresses
			now := r.bench.Clock().Now()
			other := claim(t, "personal-domicile", 0, now)
			other.Address = claim(t, "two-addresses", 0, now).Address
			domiciletest.Run(t, domiciletest.Harness{
				Harness:  r.harness(f, "inad", capture),
				Register: "INAD",
				Found:    told(t, "personal-domicile", now), None: query(t, lab.Who("no-domicile")),
				Ceased: query(t, lab.Who("ceased-domicile")), Ceasing: told(t, "ceasing-domicile", now),
				Several: told(t, "two-addresses", now), OtherCapacity: query(t, lab.Who("professional-only")),
				Unaskable:  query(t, lab.Who("omocodic-code")),
				NotCovered: []domicile.Query{query(t, lab.Who("company-with-pec")), query(t, lab.Who("sole-trader-as-enterprise"))},
				Theirs:     claim(t, "personal-domicile", 0, now), NotTheirs: other,
				PastTheirs: claim(t, "changed-domicile", 0, before), PastNotTheirs: claim(t, "changed-domicile", 1, before),
			})
		})
	}
}

func TestDomicileSuiteOnINIPEC(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			h := r.harness(f, "inipec", capture)
			h.Ticketed = true
			professional := query(t, lab.Who("company-with-pec"))
			professional.Capacity = domicile.Professional
			domiciletest.Run(t, domiciletest.Harness{
				Harness: h, Register: "INI-PEC",
				Found: told(t, "company-with-pec", time.Time{}), None: query(t, lab.Who("company-unknown")),
				Several: told(t, "lawyer-as-professional", time.Time{}), OtherCapacity: professional,
				NotCovered: []domicile.Query{
					query(t, lab.Who("personal-domicile")), query(t, lab.Who("lawyer-hiring-a-carer")), query(t, lab.Who("body-with-domicile")),
				},
			})
		})
	}
}

func TestDeliverySuiteOnPEC(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r, capture := suiteRig(t)
			h := r.harness(f, "pec", capture)
			h.Ticketed = true
			// "500" is 550 on this wire: a refusal for good, which is Invalid by RFC 5321 section 4.2.1, no breakdown.
			h.Faults = slices.DeleteFunc(contracttest.AllFaults(), func(f string) bool { return f == contracttest.Status500 })
			who := func(s string) contracts.Address { return message(t, s, "").To[0].Address }
			deliverytest.Run(t, deliverytest.Harness{
				Harness: h, Sender: "centrale", Message: "pec smtp message",
				Delivered: who("rossi@pec.cittadini.test"), DeliveredToo: who("ditta@pec.imprese.test"),
				Refused: who("nodest.a@pec.studi.test"), Full: who("full.a@pec.studi.test"), Virus: who("virus.a@pec.studi.test"),
				TooBig: who("toobig.a@pec.studi.test"), UnknownDomain: who("a@nowhere.test"), Uncertified: who("persona@posta.test"),
				NotAccepted: who("noaccept.a@pec.studi.test"), NoAcceptance: who("noacceptreceipt.a@pec.studi.test"),
				Slow: who("slow.a@pec.studi.test"), Timeout12: who("timeout12.a@pec.studi.test"), Timeout24: who("timeout24.a@pec.studi.test"),
				Late: who("late.a@pec.studi.test"), Never: who("never.a@pec.studi.test"), Mute: who("mute.a@pec.studi.test"),
				Duplicated: who("dup.a@pec.studi.test"), Reordered: who("reorder.a@pec.studi.test"),
			})
		})
	}
}

// told is a member's story with the addresses that must answer for them in their capacity.
func told(t *testing.T, story string, at time.Time) domiciletest.Story {
	t.Helper()
	m := lab.Who(story)
	out := domiciletest.Story{Query: query(t, m)}
	add := func(address string) { out.Addresses = append(out.Addresses, message(t, address, "").To[0].Address) }
	switch {
	case m.Capacity == lab.Enterprise:
		add(m.INIPEC.Enterprise)
	case m.Capacity == lab.Professional && m.INIPEC != nil:
		for _, a := range m.INIPEC.Professionals {
			add(a)
		}
	default:
		for _, d := range m.InForce(at) {
			if (d.Profession != "") == (m.Capacity == lab.Professional) {
				add(d.Address)
				if len(out.Addresses) == 1 {
					out.Until = d.Until
				}
			}
		}
	}
	return out
}

// claim is that the member's n-th address in INAD was theirs at an instant.
func claim(t *testing.T, story string, n int, at time.Time) domicile.Claim {
	t.Helper()
	m := lab.Who(story)
	q := query(t, m)
	return domicile.Claim{Subject: q.Subject, Capacity: q.Capacity, Address: message(t, m.INAD[n].Address, "").To[0].Address, At: at}
}
