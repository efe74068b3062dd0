package api

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/contracts"
)

var (
	_ contracts.Submitter = (*Client)(nil)
	_ http.Handler        = (*Server)(nil)
)

// A core service that links the client must link nothing but the standard library.
func TestThePackageNeedsTheStandardLibraryAndContractsOnly(t *testing.T) {
	t.Parallel()
	p, err := build.ImportDir(".", 0)
	ok(t, err)
	for _, path := range p.Imports {
		first, _, _ := strings.Cut(path, "/")
		if strings.Contains(first, ".") || first == "raccordo" && path != "raccordo/contracts" {
			t.Errorf("imports %s", path)
		}
	}
}

func TestARoundTrip(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.client(t, coreToken)
	code, err := contracts.ParseCodiceFiscale(someone)
	ok(t, err)
	caller := contracts.Caller{Service: "core", Purpose: "flussi", User: "u", Case: "c 1", Site: "s", IP: "192.0.2.1", LoA: "3"}
	due := time.Date(2026, 3, 31, 12, 0, 0, 123, time.UTC)
	ctx := WithTrace(contracts.WithDue(contracts.WithKey(contracts.WithCaller(t.Context(), caller), ` "odd\ key `), due), trace)
	got, err := contracts.Do(ctx, c.At("inad"), opOnce, question{Subject: code, N: 4})
	ok(t, err)
	equal(t, "answer", got.Twice, 8)
	call := r.calls[0]
	equal(t, "caller", call.Caller, caller)
	equal(t, "key", call.Key, ` "odd\ key `)
	equal(t, "at", call.At, "inad")
	equal(t, "due", call.Due.Equal(due), true)
	equal(t, "request", call.Request.(question).Subject, code)
	equal(t, "trace", r.traces[0], trace)
	if strings.Contains(r.logged(), someone) {
		t.Fatal("the log tells the codice fiscale")
	}
}

func TestASubmissionIsFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.client(t, coreToken)
	ctx := contracts.WithKey(coreContext(t.Context()), "k")
	ticket, err := contracts.Submit(ctx, c, opOnce, question{N: 1})
	ok(t, err)
	equal(t, "id", ticket.ID, contracts.TicketID("core", "test.once", "k"))
	again, err := contracts.Submit(ctx, c.At("inad"), opOnce, question{N: 1})
	ok(t, err)
	equal(t, "the same again", again.ID, ticket.ID)
	equal(t, "at", r.calls[1].At, "inad")

	_, err = contracts.Answer(ctx, c, opOnce, ticket.ID)
	equal(t, "ticket", wantKind(t, err, contracts.Pending).Ticket, ticket.ID)
	r.move(ticket.ID, func(t *contracts.Ticket) { t.State, t.Result = contracts.StateDone, []byte(`{"twice":2}`) })
	got, err := contracts.Answer(ctx, c, opOnce, ticket.ID)
	ok(t, err)
	equal(t, "answer", got.Twice, 2)
	r.move(ticket.ID, func(t *contracts.Ticket) {
		t.State, t.Err = contracts.StateFailed, contracts.Errorf(contracts.Conflict, "gone")
	})
	_, err = contracts.Answer(ctx, c, opOnce, ticket.ID)
	wantKind(t, err, contracts.Conflict)

	_, err = r.client(t, otherToken).Ticket(coreContext(t.Context()), ticket.ID)
	wantKind(t, err, contracts.NotFound)
	_, err = c.Ticket(ctx, "../events")
	wantKind(t, err, contracts.NotFound)
	_, err = contracts.Submit(contracts.WithKey(coreContext(t.Context()), ""), c, opOnce, question{})
	wantKind(t, err, contracts.Invalid)
}

func TestAWaitThatTheHubCutsShortGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := contracts.TicketID("core", "test.once", "k")
	var looks atomic.Int32
	r.run = func(context.Context, *contracts.Call) (any, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.put(contracts.Ticket{ID: id, Owner: "core", State: contracts.StateWaiting, Since: time.Now()})
		time.AfterFunc(150*time.Millisecond, func() {
			looks.Add(1)
			r.move(id, func(t *contracts.Ticket) { t.State, t.Result = contracts.StateDone, []byte(`{"twice":6}`) })
		})
		return nil, &contracts.Error{Kind: contracts.Pending, Ticket: id}
	}
	c := r.client(t, coreToken)
	ctx, cancel := context.WithTimeout(contracts.WithKey(coreContext(t.Context()), "k"), time.Minute)
	defer cancel()
	got, err := contracts.Do(ctx, c, opOnce, question{N: 3})
	ok(t, err)
	equal(t, "answer", got.Twice, 6)
	equal(t, "settled while followed", looks.Load(), 1)

	r.run = func(context.Context, *contracts.Call) (any, error) {
		r.move(id, func(t *contracts.Ticket) { t.State = contracts.StateWaiting })
		return nil, &contracts.Error{Kind: contracts.Pending, Ticket: id}
	}
	short, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancel()
	_, err = contracts.Do(short, c, opOnce, question{N: 3})
	equal(t, "ticket", wantKind(t, err, contracts.Pending).Ticket, id)
}

func TestTheDeadlineTravelsAsAPreference(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var left time.Duration
	r.run = func(ctx context.Context, _ *contracts.Call) (any, error) {
		d, _ := ctx.Deadline()
		left = time.Until(d)
		return reply{}, nil
	}
	ctx, cancel := context.WithTimeout(coreContext(t.Context()), 2*time.Second)
	defer cancel()
	_, err := contracts.Do(ctx, r.client(t, coreToken), opRead, question{})
	ok(t, err)
	if left > 1800*time.Millisecond || left < time.Second {
		t.Fatalf("the hub has %s of the caller's 2s", left)
	}
}

// stranger is a far side that is not our server.
func stranger(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := NewClient(ClientConfig{URL: s.URL, Token: coreToken, MaxBody: 1000})
	ok(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	answer := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	html := "text/html"
	for _, tt := range []struct {
		rule        string
		h           http.HandlerFunc
		read, write contracts.Kind
	}{
		{"a redirect is not followed", answer(307, html, ""), contracts.Malformed, contracts.Malformed},
		{"a page that is not there is no absence", answer(404, html, "<p>no"), contracts.Invalid, contracts.Invalid},
		{"nor is a problem of somebody else's", answer(404, problemType, `{"title":"Not Found","status":404}`), contracts.Invalid, contracts.Invalid},
		{"a problem has its own media type", answer(404, jsonType, `{"kind":"not_found"}`), contracts.Invalid, contracts.Invalid},
		{"a kind that is none is not believed", answer(403, problemType, `{"kind":"maybe"}`), contracts.Denied, contracts.Denied},
		{"a gateway's error leaves a write uncertain", answer(502, html, ""), contracts.Unavailable, contracts.Uncertain},
		{"a gateway's patience too", answer(504, html, ""), contracts.Unavailable, contracts.Uncertain},
		{"a proxy that throttles is heard", answer(429, html, ""), contracts.Throttled, contracts.Throttled},
		{"an answer is JSON", answer(200, html, `{"twice":1}`), contracts.Malformed, contracts.Malformed},
		{"an answer is what was asked for", answer(200, jsonType, `[]`), contracts.Malformed, contracts.Malformed},
		{"an answer has an end", answer(200, jsonType, `{"twice":1}`+strings.Repeat(" ", 1000)), contracts.Malformed, contracts.Malformed},
		{"a ticket has an id", answer(202, jsonType, `{"state":"queued"}`), contracts.Malformed, contracts.Malformed},
		{"a ticket's id is safe in a path", answer(202, jsonType, `{"id":"../../x"}`), contracts.Malformed, contracts.Malformed},
		{"an answer that breaks off is lost", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"twice":`)
		}, contracts.Unavailable, contracts.Uncertain},
		{"a connection that breaks off is lost", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, contracts.Unavailable, contracts.Uncertain},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			c := stranger(t, tt.h)
			ctx := contracts.WithKey(coreContext(t.Context()), "k")
			_, err := contracts.Do(ctx, c, opRead, question{})
			e := wantKind(t, err, tt.read)
			equal(t, "operation", e.Operation, "test.read")
			if tt.read == contracts.Throttled {
				equal(t, "after", e.After, 7*time.Second)
			}
			_, err = contracts.Do(ctx, c, opOnce, question{})
			e = wantKind(t, err, tt.write)
			if strings.Contains(tt.rule, "is lost") {
				equal(t, "the ticket to ask", e.Ticket, contracts.TicketID("core", "test.once", "k"))
				_, err = contracts.Submit(ctx, c, opOnce, question{})
				wantKind(t, err, contracts.Unavailable)
			}
			if _, err := c.Events(ctx, 0, 0, 0); err == nil {
				t.Fatal("events were understood")
			}
			if err := c.Ack(ctx, 1); err == nil {
				t.Fatal("an acknowledgement was understood")
			}
			if _, err := c.Ticket(ctx, contracts.TicketID("core", "test.once", "k")); err == nil {
				t.Fatal("a ticket was understood")
			}
		})
	}
}

func TestAHubThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	addr := l.Addr().String()
	ok(t, l.Close())
	c, err := NewClient(ClientConfig{URL: "http://" + addr, Token: coreToken})
	ok(t, err)
	defer c.Close()
	_, err = contracts.Do(contracts.WithKey(coreContext(t.Context()), "k"), c, opOnce, question{})
	e := wantKind(t, err, contracts.Unavailable) // nothing left: no doubt
	if strings.Contains(e.Error(), "/v1/") {
		t.Fatalf("error %v", e)
	}
}

func TestACallerWhoLeaves(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	arrived := make(chan struct{}, 2)
	c := stranger(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hold) })
	for _, tt := range []struct {
		op   contracts.Op[question, reply]
		want contracts.Kind
	}{{opRead, contracts.Canceled}, {opOnce, contracts.Uncertain}} {
		ctx, cancel := context.WithCancel(contracts.WithKey(coreContext(t.Context()), "k"))
		go func() { <-arrived; cancel() }()
		_, err := contracts.Do(ctx, c, tt.op, question{})
		wantKind(t, err, tt.want)
		cancel()
	}
	ctx, cancel := context.WithCancel(coreContext(t.Context()))
	cancel()
	_, err := contracts.Do(ctx, c, opOnce, question{})
	wantKind(t, err, contracts.Canceled) // before anything left
}

func TestWhatCannotTravelIsRefusedHere(t *testing.T) {
	t.Parallel()
	c := stranger(t, func(http.ResponseWriter, *http.Request) { t.Error("something travelled") })
	for _, edit := range []func(*contracts.Call){
		func(c *contracts.Call) { c.Caller.Case = "a\r\nHub-Purpose: other" },
		func(c *contracts.Call) { c.Caller.User = "è" },
		func(c *contracts.Call) { c.Caller.Site = " blank" },
		func(c *contracts.Call) { c.Key = strings.Repeat("k", 200) },
		func(c *contracts.Call) { c.Op = contracts.NewOp[question, reply]("../x.y", contracts.Read).OpInfo },
	} {
		call := contracts.NewCall(coreContext(t.Context()), opRead.OpInfo, question{})
		edit(call)
		_, err := c.Run(t.Context(), call)
		wantKind(t, err, contracts.Invalid)
	}
}

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []ClientConfig{
		{URL: "http://hub.example", Token: "t"},
		{URL: "ftp://hub.example", Token: "t"},
		{URL: "hub.example", Token: "t"},
		{URL: "https://user:pw@hub.example", Token: "t"},
		{URL: "https://hub.example?x=y", Token: "t"},
		{URL: "https://hub.example#x", Token: "t"},
		{URL: "https://hub.example"},
		{URL: "https://hub.example", Token: "a\nb"},
		{URL: "https://hub.example", Token: " t"},
		{URL: "://", Token: "t"},
	} {
		if _, err := NewClient(tt); err == nil {
			t.Errorf("%s was accepted", tt.URL)
		}
	}
	for _, u := range []string{"https://hub.example/api/", "http://localhost:1", "http://[::1]:1", "http://127.0.0.2:1"} {
		if _, err := NewClient(ClientConfig{URL: u, Token: "t", HTTP: &http.Client{}}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestErrorsOfAClientTellNoToken(t *testing.T) {
	t.Parallel()
	c := stranger(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := contracts.Do(coreContext(t.Context()), c, opRead, question{})
	var none *contracts.Error
	if !errors.As(err, &none) || strings.Contains(fmt.Sprintf("%v %+v", err, err), coreToken) {
		t.Fatalf("error %v", err)
	}
}
