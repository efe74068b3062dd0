package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"raccordo/contracts"
	"raccordo/hub/call"
	"raccordo/hub/feed"
	"raccordo/hub/ledger"
)

// A MetricsConfig is where Prometheus reads. The operators' socket serves the same page.
type MetricsConfig struct {
	// Address is host:port of a listener of its own, without TLS and open to whoever reaches it: nothing on it names
	// anybody. Empty: none.
	Address string `yaml:"address"`
}

// Validate gives every fault at once.
func (m MetricsConfig) Validate() error {
	if m.Address == "" {
		return nil
	}
	if _, err := hostOf(m.Address); err != nil {
		return contracts.Faultf("address", "%v", err)
	}
	return nil
}

const (
	metricsPath = "/metrics"
	// countFor bounds the reading of the store for one page.
	countFor = 5 * time.Second
)

// meter holds what is counted as it happens; the rest is read when a page is asked for. Labels are names of operations
// and instances, and Kinds: never anything of a request.
type meter struct {
	registry  *prometheus.Registry
	calls     *prometheus.CounterVec
	exchanges *prometheus.HistogramVec
	refused   *prometheus.CounterVec
}

func newMeter(h *Hub) *meter {
	m := &meter{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "raccordo_calls_total",
			Help: "Calls and submissions, by operation and what came of them.",
		}, []string{"operation", "kind"}),
		exchanges: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "raccordo_exchange_seconds",
			Help:    "Exchanges with suppliers, their repeats on the wire included.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"operation", "instance", "kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "raccordo_refused_total",
			Help: "Calls and exchanges that the hub's own limits or breakers refused; nobody was asked.",
		}, []string{"operation", "instance", "kind"}),
	}
	m.registry.MustRegister(m.calls, m.exchanges, m.refused, stand{h})
	return m
}

// kindLabel is "ok" or the Kind's name.
func kindLabel(err error) string {
	if err == nil {
		return "ok"
	}
	return contracts.KindOf(err).String()
}

// call counts what came of a call or a submission.
func (m *meter) call(op string, err error) {
	m.calls.WithLabelValues(op, kindLabel(err)).Inc()
	if err != nil && call.Refused(err) && contracts.AsError(err).System == "hub" {
		m.refused.WithLabelValues(op, "hub", kindLabel(err)).Inc()
	}
}

// exchange is the stage that times exchanges, outside Limit and Break.
func (m *meter) exchange(instance string) call.Stage {
	return func(next call.Func) call.Func {
		return func(ctx context.Context, c *contracts.Call) (any, error) {
			start := time.Now()
			out, err := next(ctx, c)
			if err != nil && call.Refused(err) {
				m.refused.WithLabelValues(c.Op.Name, instance, kindLabel(err)).Inc()
			} else {
				m.exchanges.WithLabelValues(c.Op.Name, instance, kindLabel(err)).Observe(time.Since(start).Seconds())
			}
			return out, err
		}
	}
}

// stand reads how the hub stands, when asked.
type stand struct{ h *Hub }

type gauge struct {
	name, help string
	labels     []string
}

func (g gauge) desc() *prometheus.Desc { return prometheus.NewDesc(g.name, g.help, g.labels, nil) }

var (
	gTickets    = gauge{"raccordo_tickets", "Tickets, by state; settled ones within their retention.", []string{"state"}}
	gOldest     = gauge{"raccordo_ticket_oldest_seconds", "Age of the oldest unsettled ticket.", nil}
	gDue        = gauge{"raccordo_tickets_due", "Unsettled tickets whose callers' deadline is near, or has passed.", []string{"when"}}
	gLots       = gauge{"raccordo_lists", "Lists handed over, or about to be.", nil}
	gWorkers    = gauge{"raccordo_workers", "Workers, busy and in all.", []string{"which"}}
	gBreaker    = gauge{"raccordo_breaker", "1 for the phase in which each instance's breaker is.", []string{"instance", "phase"}}
	gPlaces     = gauge{"raccordo_places", "Exchanges in flight and at most (0: no limit), by instance.", []string{"instance", "which"}}
	gCallers    = gauge{"raccordo_calls_in_flight", "Calls in flight, by calling service.", []string{"service"}}
	gHeard      = gauge{"raccordo_events_heard_timestamp_seconds", "Beginning of the last reading that went through, by instance and configured source (a mailbox).", []string{"instance", "source"}}
	gLag        = gauge{"raccordo_events_lag_seconds", "How long ago that was; since the start where there was none.", []string{"instance", "source"}}
	gFailing    = gauge{"raccordo_events_failures", "Readings in a row that failed.", []string{"instance", "source"}}
	gRead       = gauge{"raccordo_events_read_total", "Events read that were not known.", []string{"instance", "source"}}
	gAside      = gauge{"raccordo_events_set_aside_total", "Of these, set aside as faulty.", []string{"instance", "source"}}
	gWAL        = gauge{"raccordo_store_wal_bytes", "Size of the write-ahead log.", nil}
	gFree       = gauge{"raccordo_store_free_bytes", "Free disk.", nil}
	gLow        = gauge{"raccordo_store_low", "1 while new work is refused for want of free disk.", nil}
	gBroken     = gauge{"raccordo_store_broken", "1 after a flush failed: nothing is written until the hub is started again.", nil}
	gQueue      = gauge{"raccordo_store_queue", "Writes that wait for the writer.", nil}
	gRecovered  = gauge{"raccordo_recovering", "1 while the store counts as a restored copy.", nil}
	gBackup     = gauge{"raccordo_backup_timestamp_seconds", "Beginning of the last backup that was completed; 0: there was none.", nil}
	gUnanchored = gauge{"raccordo_ledger_unanchored", "Closed days whose head has not gone the configured way yet.", []string{"way"}}
	gLost       = gauge{"raccordo_ledger_undelivered", "Heads sent that did not arrive, as heard since the start.", nil}
	gUnreadable = gauge{"raccordo_stand_unreadable", "1 when the store could not be read for this page.", nil}
)

// Describe names every gauge.
func (s stand) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range []gauge{
		gTickets, gOldest, gDue, gLots, gWorkers, gBreaker, gPlaces, gCallers, gHeard, gLag, gFailing, gRead, gAside,
		gWAL, gFree, gLow, gBroken, gQueue, gRecovered, gBackup, gUnanchored, gLost, gUnreadable,
	} {
		ch <- g.desc()
	}
}

// Collect reads the rooms.
func (s stand) Collect(ch chan<- prometheus.Metric) {
	h := s.h
	set := func(g gauge, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(g.desc(), prometheus.GaugeValue, v, labels...)
	}
	for _, name := range slices.Sorted(maps.Keys(h.instances)) {
		in := h.instances[name]
		now := in.breaker.State().Phase
		for _, phase := range []call.BreakPhase{call.Closed, call.Open, call.HalfOpen, call.Isolated} {
			set(gBreaker, oneIf(phase == now), name, string(phase))
		}
		places := in.limiter.State()
		set(gPlaces, float64(places.Taken), name, "taken")
		set(gPlaces, float64(places.Places), name, "limit")
	}
	s.sources(ch)
	for service, n := range h.admission.InFlight() {
		set(gCallers, float64(n), service)
	}
	st := h.store.Stats()
	set(gWAL, float64(st.WAL))
	if st.Free >= 0 {
		set(gFree, float64(st.Free))
	}
	set(gLow, oneIf(st.Low))
	set(gBroken, oneIf(st.Broken))
	set(gQueue, float64(st.Waiting))
	set(gRecovered, oneIf(h.store.Recovered()))

	ctx, cancel := context.WithTimeout(context.Background(), countFor)
	defer cancel()
	t, err := h.box.Stats(ctx)
	if err == nil {
		err = s.evidence(ctx, set)
	}
	set(gUnreadable, oneIf(err != nil))
	if err != nil {
		return
	}
	for _, state := range []contracts.State{
		contracts.StateQueued, contracts.StateRunning, contracts.StateWaiting,
		contracts.StateUncertain, contracts.StateDone, contracts.StateFailed, contracts.StateAbandoned,
	} {
		set(gTickets, float64(t.States[state]), string(state))
	}
	set(gOldest, t.Oldest.Seconds())
	set(gDue, float64(t.DueSoon), "soon")
	set(gDue, float64(t.Overdue), "missed")
	set(gLots, float64(t.Lots))
	set(gWorkers, float64(t.InFlight), "busy")
	set(gWorkers, float64(t.Workers), "all")
}

// evidence tells how far backups and anchors have come.
func (s stand) evidence(ctx context.Context, set func(g gauge, v float64, labels ...string)) error {
	at, err := s.h.marks.Latest(ctx)
	if err != nil {
		return err
	}
	set(gBackup, max(float64(at.UnixMilli())/1000, 0)) // no time is long before 1970
	anchor := s.h.cfg.Ledger.Anchor
	for way, on := range map[string]bool{ledger.AnchorFile: anchor.Folder != "", ledger.AnchorMessage: anchor.Sends()} {
		if !on {
			continue
		}
		n, err := s.h.ledger.Unanchored(ctx, way)
		if err != nil {
			return err
		}
		set(gUnanchored, float64(n), way)
	}
	if anchor.Sends() {
		set(gLost, float64(s.h.undelivered.Load()))
	}
	return nil
}

// sources tells how the reading of each mailbox stands. Their names are configured, so that there are not more of them
// than somebody has written down.
func (s stand) sources(ch chan<- prometheus.Metric) {
	tell := func(g gauge, kind prometheus.ValueType, v float64, of feed.Stat) {
		ch <- prometheus.MustNewConstMetric(g.desc(), kind, v, of.Instance, of.Source)
	}
	now := s.h.clock.Now()
	for _, of := range s.h.feed.Stats() {
		heard := of.Since
		if !of.Heard.IsZero() {
			heard = of.Heard
			tell(gHeard, prometheus.GaugeValue, float64(heard.UnixMilli())/1000, of)
		}
		tell(gLag, prometheus.GaugeValue, max(now.Sub(heard), 0).Seconds(), of)
		tell(gFailing, prometheus.GaugeValue, float64(of.Failures), of)
		tell(gRead, prometheus.CounterValue, float64(of.Read), of)
		tell(gAside, prometheus.CounterValue, float64(of.Aside), of)
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Metrics is the page that Prometheus reads. Nothing on it names a person.
func (h *Hub) Metrics() http.Handler {
	return promhttp.HandlerFor(h.meter.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 2 * countFor})
}

// ServeMetrics serves the page on the listener until ctx ends, and closes the listener.
func (h *Hub) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, h.Metrics())
	return serveUntil(ctx, l, &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 4 * countFor, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	})
}

// serveUntil serves until ctx ends or serving fails, and then lets what is under way finish for a few seconds.
func serveUntil(ctx context.Context, l net.Listener, srv *http.Server) error {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // whoever is still there is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
