package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"raccordo/contracts"
	"raccordo/hub/backup"
	"raccordo/hub/evidence"
	"raccordo/hub/feed"
	"raccordo/hub/ledger"
	"raccordo/hub/outbox"
)

// An Operator is what a person may look at and repair: the hub itself, or a running one behind its socket.
type Operator interface {
	// List gives a page of tickets, without answers.
	List(ctx context.Context, q outbox.Query) ([]contracts.Ticket, error)
	// Show gives one ticket with its story.
	Show(ctx context.Context, id string) (contracts.Ticket, error)
	// Settle ends a ticket by a person's decision, which goes into the ledger.
	Settle(ctx context.Context, id string, to contracts.State, result json.RawMessage, operator, reason string) error
	// Retry puts a ticket back in the queue: the person takes it on themselves that it may happen twice.
	Retry(ctx context.Context, id, operator, reason string) error
	// VerifyLedger verifies the whole chain. With an error, the Report lists what was found until there.
	VerifyLedger(ctx context.Context) (ledger.Report, error)
	// Heads gives the signed heads of closed segments behind a number, oldest first, a page at a time.
	Heads(ctx context.Context, after uint64) ([]ledger.Head, error)
	// ExportLedger writes the entries of the days (UTC) from one instant's to another's, both included, with their signed
	// heads; a zero instant: no bound.
	ExportLedger(ctx context.Context, w io.Writer, from, to time.Time) error
	// ExportEvidence writes the evidence of a ticket or a case as a stream for evidence.Unpack; it is entered in the ledger.
	ExportEvidence(ctx context.Context, w io.Writer, q evidence.Request) error
	// HeldEvents gives the events that moved no ticket, oldest first behind a number: those that could not be understood,
	// or with unmatched those that name no ticket that is here.
	HeldEvents(ctx context.Context, unmatched bool, after uint64, max int) ([]feed.Held, error)
	// RetryEvent folds an event that had been set aside once more, after the adapter was mended.
	RetryEvent(ctx context.Context, seq uint64, operator, reason string) error
	// ReadProof writes the bytes of a proof, which may name people; who wanted them and why goes into the ledger.
	ReadProof(ctx context.Context, w io.Writer, sum contracts.Sum, operator, reason string) error
	// Backup makes a backup while the hub is at work.
	Backup(ctx context.Context, order BackupOrder, progress func(backup.Progress)) (BackupResult, error)
	// Switches tells how each instance's breaker stands.
	Switches(ctx context.Context) ([]Switch, error)
	// Isolate keeps an instance from being asked until Rejoin, with a reason in the ledger.
	Isolate(ctx context.Context, instance, operator, reason string) error
	// Rejoin lets an instance be asked again at once.
	Rejoin(ctx context.Context, instance, operator, reason string) error
}

// A Switch is how one instance's breaker stands.
type Switch struct {
	Instance string    `json:"instance"`
	State    string    `json:"state"` // closed, open, half_open, isolated
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"`   // with open: when it is asked again
	Reason   string    `json:"reason,omitempty"` // with isolated: the operator's
	Counted  int       `json:"counted"`          // exchanges in the window, and how many of them failed or were slow
	Failed   int       `json:"failed"`
	Slow     int       `json:"slow"`
}

// operatorTime bounds one request of an operator; an export of a large ledger is the longest.
const operatorTime = 10 * time.Minute

// maxOperatorBody is the most that is read of a request: a ticket's result at most.
const maxOperatorBody = 4 << 20

var _ Operator = (*Hub)(nil)

// List gives a page of tickets.
func (h *Hub) List(ctx context.Context, q outbox.Query) ([]contracts.Ticket, error) {
	return h.box.List(ctx, q)
}

// Show gives one ticket with its story.
func (h *Hub) Show(ctx context.Context, id string) (contracts.Ticket, error) {
	t, err := h.box.Ticket(ctx, "", id)
	if err != nil {
		return t, err
	}
	t.Story, err = h.feed.Story(ctx, id)
	return t, err
}

// Settle ends a ticket by a person's decision.
func (h *Hub) Settle(ctx context.Context, id string, to contracts.State, result json.RawMessage, operator, reason string) error {
	return h.box.Settle(ctx, id, to, result, operator, reason)
}

// Retry puts a ticket back in the queue.
func (h *Hub) Retry(ctx context.Context, id, operator, reason string) error {
	return h.box.Retry(ctx, id, operator, reason)
}

// VerifyLedger verifies the whole chain.
func (h *Hub) VerifyLedger(ctx context.Context) (ledger.Report, error) { return h.ledger.Verify(ctx) }

// ExportLedger writes entries and signed heads.
func (h *Hub) ExportLedger(ctx context.Context, w io.Writer, from, to time.Time) error {
	return h.ledger.Export(ctx, w, from, to)
}

// ListenOperators takes the operators' socket.
func (h *Hub) ListenOperators() (net.Listener, error) { return listenOperators(h.cfg) }

// ServeOperators serves operators on the listener until ctx ends, and closes it.
func (h *Hub) ServeOperators(ctx context.Context, l net.Listener) error {
	return serveUntil(ctx, l, &http.Server{
		Handler: h.operatorRoutes(ctx), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: operatorTime, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
	})
}

type decision struct {
	To       contracts.State `json:"to,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Operator string          `json:"operator"`
	Reason   string          `json:"reason"`
}

// operatorRoutes serves until ctx ends; the longest request then ends too.
func (h *Hub) operatorRoutes(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxOperatorBody)
			out, err := fn(r)
			w.Header().Set("Content-Type", "application/json")
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				out = contracts.AsError(err)
			}
			_ = json.NewEncoder(w).Encode(out) // the operator has hung up
		})
	}
	decide := func(pattern string, fn func(ctx context.Context, name string, d decision) error) {
		handle(pattern, func(r *http.Request) (any, error) {
			var d decision
			if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
				return nil, contracts.Errorf(contracts.Invalid, "operator: the decision is not JSON, or larger than %d bytes", maxOperatorBody)
			}
			return struct{}{}, fn(r.Context(), r.PathValue("name"), d)
		})
	}
	handle("GET /tickets", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		most, _ := strconv.Atoi(q.Get("max")) // none: the default
		return h.List(r.Context(), outbox.Query{
			State: contracts.State(q.Get("state")), Op: q.Get("op"), Lane: q.Get("lane"), After: q.Get("after"), Max: most,
		})
	})
	handle("GET /tickets/{name}", func(r *http.Request) (any, error) { return h.Show(r.Context(), r.PathValue("name")) })
	decide("POST /tickets/{name}/settle", func(ctx context.Context, id string, d decision) error {
		return h.Settle(ctx, id, d.To, d.Result, d.Operator, d.Reason)
	})
	decide("POST /tickets/{name}/retry", func(ctx context.Context, id string, d decision) error {
		return h.Retry(ctx, id, d.Operator, d.Reason)
	})
	handle("GET /switches", func(r *http.Request) (any, error) { return h.Switches(r.Context()) })
	decide("POST /switches/{name}/isolate", func(ctx context.Context, name string, d decision) error {
		return h.Isolate(ctx, name, d.Operator, d.Reason)
	})
	decide("POST /switches/{name}/rejoin", func(ctx context.Context, name string, d decision) error {
		return h.Rejoin(ctx, name, d.Operator, d.Reason)
	})
	handle("GET /ledger/verify", func(r *http.Request) (any, error) {
		report, err := h.VerifyLedger(r.Context())
		if err != nil {
			return verification{report, contracts.AsError(err)}, nil
		}
		return verification{Report: report}, nil
	})
	handle("GET /ledger/heads", func(r *http.Request) (any, error) {
		after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64) // none: from the first
		return h.Heads(r.Context(), after)
	})
	handle("GET /events", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		after, _ := strconv.ParseUint(q.Get("after"), 10, 64) // none: from the first
		most, _ := strconv.Atoi(q.Get("max"))                 // none: the default
		return h.HeldEvents(r.Context(), q.Get("unmatched") == "true", after, most)
	})
	decide("POST /events/{name}/retry", func(ctx context.Context, name string, d decision) error {
		seq, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return contracts.Errorf(contracts.Invalid, "retry event: want the event's number")
		}
		return h.RetryEvent(ctx, seq, d.Operator, d.Reason)
	})
	mux.HandleFunc("POST /proofs/{name}", h.serveProof)
	mux.HandleFunc("GET /ledger/export", h.export)
	mux.HandleFunc("POST /evidence/export", h.serveEvidence)
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) { h.serveBackup(ctx, w, r) })
	mux.Handle("GET "+metricsPath, h.Metrics())
	return mux
}

type verification struct {
	Report ledger.Report    `json:"report"`
	Err    *contracts.Error `json:"error,omitempty"`
}

// export streams the ledger. What goes wrong midway stands in a trailer: the status has gone out already.
func (h *Hub) export(w http.ResponseWriter, r *http.Request) {
	from, to := instant(r.URL.Query().Get("from")), instant(r.URL.Query().Get("to"))
	w.Header().Set("Trailer", exportFault)
	w.Header().Set("Content-Type", "application/x-ndjson")
	if err := h.ExportLedger(r.Context(), w, from, to); err != nil {
		w.Header().Set(exportFault, strconv.QuoteToASCII(err.Error()))
	}
}

const exportFault = "Raccordo-Fault"

func instant(text string) time.Time {
	t, _ := time.Parse(time.RFC3339, text) // none: no bound
	return t
}

// DialOperator gives a running hub behind its socket. It fails with Unavailable when none is running there. close lets
// go of the connections.
func DialOperator(ctx context.Context, cfg *Config) (o Operator, close func(), err error) {
	socket, err := operatorSocket(cfg)
	if err != nil {
		return nil, nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "operator", Err: err}
	}
	_ = conn.Close() // it was there
	wire := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}
	return &remote{http.Client{Transport: wire, Timeout: operatorTime}}, wire.CloseIdleConnections, nil
}

// remote is a running hub, for operators.
type remote struct{ http http.Client }

// maxRemote bounds what is read of an answer: a page of tickets.
const maxRemote = 64 << 20

func (r *remote) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://operator"+path, body)
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "operator", Err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxRemote))
	if err != nil {
		return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "operator", Err: err}
	}
	if resp.StatusCode != http.StatusOK {
		var e contracts.Error
		if err := json.Unmarshal(b, &e); err != nil {
			return contracts.Errorf(contracts.Internal, "operator: the hub answered %s", resp.Status)
		}
		return &e
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

func (r *remote) List(ctx context.Context, q outbox.Query) (page []contracts.Ticket, err error) {
	v := url.Values{"state": {string(q.State)}, "op": {q.Op}, "lane": {q.Lane}, "after": {q.After}, "max": {strconv.Itoa(q.Max)}}
	return page, r.call(ctx, http.MethodGet, "/tickets?"+v.Encode(), nil, &page)
}

func (r *remote) Show(ctx context.Context, id string) (t contracts.Ticket, err error) {
	return t, r.call(ctx, http.MethodGet, "/tickets/"+url.PathEscape(id), nil, &t)
}

func (r *remote) Settle(ctx context.Context, id string, to contracts.State, result json.RawMessage, operator, reason string) error {
	return r.call(ctx, http.MethodPost, "/tickets/"+url.PathEscape(id)+"/settle", decision{to, result, operator, reason}, nil)
}

func (r *remote) Retry(ctx context.Context, id, operator, reason string) error {
	return r.call(ctx, http.MethodPost, "/tickets/"+url.PathEscape(id)+"/retry", decision{Operator: operator, Reason: reason}, nil)
}

func (r *remote) VerifyLedger(ctx context.Context) (ledger.Report, error) {
	var v verification
	if err := r.call(ctx, http.MethodGet, "/ledger/verify", nil, &v); err != nil {
		return ledger.Report{}, err
	}
	if v.Err != nil {
		return v.Report, v.Err
	}
	return v.Report, nil
}

func (r *remote) Heads(ctx context.Context, after uint64) (heads []ledger.Head, err error) {
	return heads, r.call(ctx, http.MethodGet, "/ledger/heads?after="+strconv.FormatUint(after, 10), nil, &heads)
}

func (r *remote) Switches(ctx context.Context) (out []Switch, err error) {
	return out, r.call(ctx, http.MethodGet, "/switches", nil, &out)
}

func (r *remote) Isolate(ctx context.Context, instance, operator, reason string) error {
	return r.call(ctx, http.MethodPost, "/switches/"+url.PathEscape(instance)+"/isolate", decision{Operator: operator, Reason: reason}, nil)
}

func (r *remote) Rejoin(ctx context.Context, instance, operator, reason string) error {
	return r.call(ctx, http.MethodPost, "/switches/"+url.PathEscape(instance)+"/rejoin", decision{Operator: operator, Reason: reason}, nil)
}

func (r *remote) ExportLedger(ctx context.Context, w io.Writer, from, to time.Time) error {
	v := url.Values{}
	for name, at := range map[string]time.Time{"from": from, "to": to} {
		if !at.IsZero() {
			v.Set(name, at.Format(time.RFC3339))
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://operator/ledger/export?"+v.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "operator", Err: err}
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil { // w may be a full disk as well
		return &contracts.Error{Kind: contracts.Unavailable, System: "hub", Operation: "export", Err: err}
	}
	if fault := resp.Trailer.Get(exportFault); fault != "" {
		return contracts.Errorf(contracts.Internal, "export: %s", fault)
	}
	return nil
}
