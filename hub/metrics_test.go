package hub_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/contracts/domicile"
	"raccordo/hub"
	"raccordo/mocks/lab"
)

// page is what Prometheus reads.
func page(h *hub.Hub) string {
	w := httptest.NewRecorder()
	h.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	r := newRig(t, with("routes:\n", "calls: {others: {places: 1, per_second: 1, burst: 4}}\nroutes:\n"))
	ask := func(story string) error {
		stop := r.pump()
		defer stop()
		_, err := domicile.Via(r.hub).Lookup(r.as("M-1"), query(t, lab.Who(story)))
		return err
	}
	if err := ask("personal-domicile"); err != nil {
		t.Fatal(err)
	}
	if err := ask("no-domicile"); contracts.KindOf(err) != contracts.NotFound {
		t.Fatalf("%v, want NotFound", err)
	}
	sent, err := contracts.Submit(contracts.WithKey(r.as("M-2"), "m/1"), r.hub, delivery.OpSend, message(t, "rossi@pec.cittadini.test", "M-2"))
	if err != nil {
		t.Fatal(err)
	}
	r.settled(sent.ID)
	for range 10 { // the bucket runs dry
		_, _ = domicile.Via(r.hub).Lookup(r.as("M-3"), query(t, lab.Who("personal-domicile")))
	}
	if err := r.hub.Isolate(t.Context(), "inipec", "g", "why"); err != nil {
		t.Fatal(err)
	}
	text := page(r.hub)
	for _, want := range []string{
		`raccordo_calls_total\{kind="not_found",operation="domicile\.lookup"\} 1`,
		`raccordo_calls_total\{kind="ok",operation="delivery\.send"\} 1`,
		`raccordo_exchange_seconds_count\{instance="inad",kind="ok",operation="domicile\.lookup"\} [1-9]`,
		`raccordo_exchange_seconds_count\{instance="inad",kind="not_found",operation="domicile\.lookup"\} 1`,
		`raccordo_exchange_seconds_count\{instance="pec",kind="ok",operation="delivery\.send"\} 1`,
		`raccordo_refused_total\{instance="hub",kind="throttled",operation="domicile\.lookup"\} [1-9]`,
		`raccordo_breaker\{instance="inipec",phase="isolated"\} 1`,
		`raccordo_breaker\{instance="inad",phase="closed"\} 1`,
		`raccordo_places\{instance="inad",which="limit"\} 8`,
		`raccordo_tickets\{state="done"\} 1`,
		`raccordo_ticket_oldest_seconds 0`,
		`raccordo_events_heard_timestamp_seconds\{instance="pec",source=".*"\} [1-9]`,
		`raccordo_events_lag_seconds\{instance="pec",source=".*"\} [0-9]`,
		`raccordo_events_read_total\{instance="pec",source=".*"\} [1-9]`,
		`raccordo_events_set_aside_total\{instance="pec",source=".*"\} 0`,
		`raccordo_events_failures\{instance="pec",source=".*"\} 0`,
		`raccordo_store_wal_bytes [1-9]`, `raccordo_store_free_bytes [1-9]`,
		`raccordo_store_low 0`, `raccordo_store_broken 0`, `raccordo_recovering 0`, `raccordo_stand_unreadable 0`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// A restored copy counts as one until every doubt is settled and the hold is over; then it ends by itself.
func TestRecoveryEndsByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stop()
	r.open(with("    kind: pec\n", "    kind: pec\n    poll: 1h\n"), options(func(o *hub.Options) { o.Recovered = true }))
	if !strings.Contains(page(r.hub), "raccordo_recovering 1") {
		t.Error("a restored copy is not told as one")
	}
	r.until(r.bench.Clock().Now().Add(25 * time.Hour)) // tickets.recover_hold is a day
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(page(r.hub), "raccordo_recovering 0") {
		select {
		case <-tick.C:
			r.step()
		case <-deadline.C:
			t.Fatal("the recovery does not end")
		}
	}
}

func TestMetricsListenerServesOnePage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.hub.ServeMetrics(ctx, l) }()
	wire := &http.Transport{}
	defer wire.CloseIdleConnections()
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/": http.StatusNotFound, "/tickets": http.StatusNotFound, "/v1/status": http.StatusNotFound} {
		resp, err := (&http.Client{Transport: wire}).Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("%s: %s, %v", path, resp.Status, err)
		}
		resp.Body.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Who is told to stop before it began has nothing to say about it: a supervisor's SIGTERM is no failure.
func TestAHubThatIsToldToStopAtOnceEndsInPeace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stop()
	cfg, opt := r.load()
	opt.Recovered = true
	h, err := hub.Open(t.Context(), cfg, adapters.Kinds(), opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Work(ctx); err != nil {
		t.Errorf("work: %v", err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}
