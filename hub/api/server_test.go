package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	del := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	twice := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Add(name, "x"); r.Header.Add(name, "x") }
	}
	ticket := contracts.TicketID("other", "test.read", "k")
	const read, once, good = "/v1/test/read", "/v1/test/once", `{"n":1}`
	for _, tt := range []struct {
		rule         string
		method, path string
		body         string
		edit         func(*http.Request)
		status       int
		kind         contracts.Kind
	}{
		{"a path is known", "POST", "/v1/test/unknown", good, nil, 404, contracts.Invalid},
		{"a path is not guessed", "POST", "/v1/test/read/", good, nil, 404, contracts.Invalid},
		{"a path is not cleaned", "POST", "/v1//test/read", good, nil, 404, contracts.Invalid},
		{"a path has its case", "POST", "/v1/Test/read", good, nil, 404, contracts.Invalid},
		{"nothing lies at the root", "GET", "/", "", nil, 404, contracts.Invalid},
		{"an operation is asked by POST", "GET", read, "", nil, 405, contracts.Invalid},
		{"an operation is not put", "PUT", read, good, nil, 405, contracts.Invalid},
		{"a ticket is read", "POST", "/v1/tickets/" + ticket, good, nil, 405, contracts.Invalid},
		{"events are read", "POST", "/v1/events", good, nil, 405, contracts.Invalid},
		{"an acknowledgement is posted", "GET", "/v1/events/ack", "", nil, 405, contracts.Invalid},
		{"health is read", "POST", "/healthz", good, nil, 405, contracts.Invalid},
		{"a caller shows a token", "POST", read, good, del("Authorization"), 401, contracts.Denied},
		{"a token is known", "POST", read, good, set("Authorization", "Bearer core-token-0123456780"), 401, contracts.Denied},
		{"a token is whole", "POST", read, good, set("Authorization", "Bearer core-token"), 401, contracts.Denied},
		{"a token is borne", "POST", read, good, set("Authorization", "Basic "+coreToken), 401, contracts.Denied},
		{"a token is shown once", "POST", read, good, func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+otherToken) }, 401, contracts.Denied},
		{"tickets want a token", "GET", "/v1/tickets/" + ticket, "", del("Authorization"), 401, contracts.Denied},
		{"events want a token", "GET", "/v1/events", "", del("Authorization"), 401, contracts.Denied},
		{"an operation is allowed to the caller", "POST", "/v1/other/read", good, nil, 403, contracts.Denied},
		{"a purpose is named", "POST", read, good, del("Hub-Purpose"), 403, contracts.Denied},
		{"a purpose is allowed to the caller", "POST", read, good, set("Hub-Purpose", "curiosity"), 403, contracts.Denied},
		{"the answer may be JSON", "POST", read, good, set("Accept", "text/html"), 406, contracts.Invalid},
		{"JSON is not excluded", "POST", read, good, set("Accept", "*/*, application/json;q=0"), 406, contracts.Invalid},
		{"a body has a type", "POST", read, good, del("Content-Type"), 415, contracts.Invalid},
		{"a body is JSON", "POST", read, good, set("Content-Type", "text/plain"), 415, contracts.Invalid},
		{"a body is in UTF-8", "POST", read, good, set("Content-Type", "application/json; charset=iso-8859-1"), 415, contracts.Invalid},
		{"a body is not packed", "POST", read, good, set("Content-Encoding", "gzip"), 415, contracts.Invalid},
		{"a body has an end", "POST", read, `{"n":` + strings.Repeat(" ", 5000) + `1}`, nil, 413, contracts.Invalid},
		{"a body is well formed", "POST", read, `{"n":1`, nil, 400, contracts.Invalid},
		{"a body is there", "POST", read, "", set("Content-Type", "application/json"), 400, contracts.Invalid},
		{"a body is one value", "POST", read, good + good, nil, 400, contracts.Invalid},
		{"a key is known", "POST", read, `{"n":1,"m":2}`, nil, 422, contracts.Invalid},
		{"a key stands once", "POST", read, `{"n":1,"n":2}`, nil, 422, contracts.Invalid},
		{"a key has its case", "POST", read, `{"N":1}`, nil, 422, contracts.Invalid},
		{"a value has its type", "POST", read, `{"n":"1"}`, nil, 422, contracts.Invalid},
		{"a request finds no fault with itself", "POST", read, `{"n":-1}`, nil, 422, contracts.Invalid},
		{"an identifier is one", "POST", read, `{"n":1,"subject":"RSSMRA85T10A562X"}`, nil, 422, contracts.Invalid},
		{"an instant is one", "POST", read, `{"n":1,"at":"` + someone + `"}`, nil, 422, contracts.Invalid},
		{"what has effects has a key", "POST", once, good, nil, 400, contracts.Invalid},
		{"what has effects has a key as a ticket too", "POST", once, good, set("Prefer", "respond-async"), 400, contracts.Invalid},
		{"a key stands once in the headers", "POST", once, good, twice("Idempotency-Key"), 400, contracts.Invalid},
		{"a key is short", "POST", once, good, set("Idempotency-Key", strings.Repeat("k", 129)), 400, contracts.Invalid},
		{"a key is ASCII", "POST", once, good, set("Idempotency-Key", "chiàve"), 400, contracts.Invalid},
		{"a case stands once", "POST", read, good, twice("Hub-Case"), 400, contracts.Invalid},
		{"a case is short", "POST", read, good, set("Hub-Case", strings.Repeat("9", 129)), 400, contracts.Invalid},
		{"a deadline is an instant", "POST", read, good, set("Hub-Due", "tomorrow"), 400, contracts.Invalid},
		{"a ticket has an id", "GET", "/v1/tickets/", "", nil, 404, contracts.NotFound},
		{"a ticket's id has its form", "GET", "/v1/tickets/" + strings.ToUpper(ticket), "", nil, 404, contracts.NotFound},
		{"a ticket exists", "GET", "/v1/tickets/" + contracts.TicketID("core", "x", "y"), "", nil, 404, contracts.NotFound},
		{"a ticket is the caller's", "GET", "/v1/tickets/" + ticket, "", nil, 404, contracts.NotFound},
		{"an answer is the caller's", "GET", "/v1/tickets/" + ticket + "/answer", "", nil, 404, contracts.NotFound},
		{"events are counted in numbers", "GET", "/v1/events?after=x", "", nil, 400, contracts.Invalid},
		{"events are asked for once", "GET", "/v1/events?after=1&after=2", "", nil, 400, contracts.Invalid},
		{"at least one event is asked for", "GET", "/v1/events?max=0", "", nil, 400, contracts.Invalid},
		{"no event is waited for in words", "GET", "/v1/events?wait=long", "", nil, 400, contracts.Invalid},
		{"nothing else is asked of events", "GET", "/v1/events?subject=x", "", nil, 400, contracts.Invalid},
		{"an acknowledgement has a number", "POST", "/v1/events/ack", `{"seq":"1"}`, nil, 400, contracts.Invalid},
		{"an acknowledgement is that alone", "POST", "/v1/events/ack", `{"seq":1,"x":1}`, nil, 400, contracts.Invalid},
		{"an acknowledgement is JSON", "POST", "/v1/events/ack", `{"seq":1}`, set("Content-Type", "text/plain"), 415, contracts.Invalid},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.put(contracts.Ticket{ID: ticket, Owner: "other", State: contracts.StateDone, Result: []byte(`{"twice":2}`)})
			resp, body := r.send(t, tt.method, tt.path, tt.body, tt.edit)
			p := problem(t, resp, body)
			equal(t, "status", p.Status, tt.status)
			equal(t, "kind", p.Kind, tt.kind.String())
			equal(t, "calls that went through", len(r.calls), 0)
			if p.Detail == "" {
				t.Fatal("the problem does not say what is wrong")
			}
			if p.Status == 405 && resp.Header.Get("Allow") == "" || p.Status == 401 && resp.Header.Get("WWW-Authenticate") == "" {
				t.Fatalf("headers %v", resp.Header)
			}
			if all := string(body) + r.logged(); strings.Contains(all, "RSSMRA") || strings.Contains(all, ticket) || strings.Contains(all, "-token-") {
				t.Fatalf("answer or log tell what they must not: %s", all)
			}
		})
	}
}

func TestACallArrivesWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	resp, body := r.send(t, "POST", "/v1/test/once", `{"n":21}`, func(q *http.Request) {
		for name, value := range map[string]string{
			"Idempotency-Key": `"a \"quoted\" key"`, "Hub-User": "u7", "Hub-Case": "C-1", "Hub-Site": "PR-MI", "Hub-IP": "192.0.2.1", "Hub-LoA": "LoA3",
			"Hub-Due": "2026-03-31T12:00:00+02:00", "Hub-At": "pec", "Traceparent": trace, "Authorization": "bearer " + coreNext,
			"Accept": "text/html;q=0.5, application/*", "Content-Type": `application/json; charset="utf-8"`,
		} {
			q.Header.Set(name, value)
		}
	})
	equal(t, "status", resp.StatusCode, 200)
	equal(t, "content type", resp.Header.Get("Content-Type"), "application/json")
	equal(t, "caching", resp.Header.Get("Cache-Control"), "no-store")
	equal(t, "answer", strings.TrimSpace(string(body)), `{"twice":42}`)
	c := r.calls[0]
	equal(t, "caller", c.Caller, contracts.Caller{Service: "core", Purpose: "flussi", User: "u7", Case: "C-1", Site: "PR-MI", IP: "192.0.2.1", LoA: "LoA3"})
	equal(t, "key", c.Key, `a "quoted" key`)
	equal(t, "at", c.At, "pec")
	equal(t, "due", c.Due.Equal(time.Date(2026, 3, 31, 10, 0, 0, 0, time.UTC)), true)
	equal(t, "trace", r.traces[0], trace)
	for _, want := range []string{`"route":"/v1/test/once"`, `"service":"core"`, `"traceparent":"` + trace + `"`, `"status":200`} {
		if !strings.Contains(r.logged(), want) {
			t.Errorf("log %s lacks %s", r.logged(), want)
		}
	}
}

func TestTheTokenNamesTheService(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	caller := contracts.Caller{Service: "core", Purpose: "anything"} // which is not believed
	_, err := contracts.Do(contracts.WithCaller(t.Context(), caller), r.client(t, otherToken), opElse, question{})
	ok(t, err)
	equal(t, "service", r.calls[0].Caller.Service, "other")
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	pending := func(ctx context.Context, c *contracts.Call) (any, error) {
		<-ctx.Done()
		return nil, &contracts.Error{Kind: contracts.Pending, Ticket: contracts.TicketID(c.Caller.Service, c.Op.Name, c.Key)}
	}
	for _, tt := range []struct {
		rule, path string
		prefer     []string
		run        func(context.Context, *contracts.Call) (any, error)
		status     int
		submitted  bool
	}{
		{"without one the caller waits", "/v1/test/once", nil, nil, 200, false},
		{"respond-async is a ticket at once", "/v1/test/once", []string{"respond-async"}, nil, 202, true},
		{"and of a question, which needs no key", "/v1/test/read", []string{"Respond-Async; x=y"}, nil, 202, true},
		{"no time to wait is a ticket at once", "/v1/test/once", []string{"wait=0"}, nil, 202, true},
		{"time to wait is waited for", "/v1/test/once", []string{"wait=60"}, nil, 200, false},
		{"time that runs out is a ticket", "/v1/test/once", []string{"wait=0.01"}, pending, 202, false},
		{"both together wait first", "/v1/test/once", []string{"respond-async", "wait=0.01"}, pending, 202, false},
		{"both together are a ticket at once for a question", "/v1/test/read", []string{"respond-async, wait=10"}, nil, 202, true},
		{"what is not understood is ignored", "/v1/test/once", []string{`wait=long, return="minimal; wait=0"`}, nil, 200, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.run = tt.run
			resp, body := r.send(t, "POST", tt.path, `{"n":1}`, func(q *http.Request) {
				q.Header["Prefer"] = tt.prefer
				if tt.path == "/v1/test/once" {
					q.Header.Set("Idempotency-Key", "k")
				}
			})
			equal(t, "status", resp.StatusCode, tt.status)
			equal(t, "applied", resp.Header.Get("Preference-Applied") == "respond-async", tt.submitted)
			if tt.status == 202 {
				var ticket contracts.Ticket
				ok(t, json.Unmarshal(body, &ticket))
				equal(t, "location", resp.Header.Get("Location"), "/v1/tickets/"+ticket.ID)
				equal(t, "state", ticket.State, contracts.StateQueued)
				equal(t, "retry after", resp.Header.Get("Retry-After"), "1")
			}
		})
	}
}

func TestWaitingEndsWithTheServersPatience(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var left time.Duration
	r.run = func(ctx context.Context, _ *contracts.Call) (any, error) {
		d, _ := ctx.Deadline()
		left = time.Until(d)
		return reply{}, nil
	}
	for _, prefer := range []string{"", "wait=86400", "wait=2"} {
		resp, _ := r.send(t, "POST", "/v1/test/read", `{"n":1}`, func(q *http.Request) { q.Header.Set("Prefer", prefer) })
		equal(t, "status", resp.StatusCode, 200)
		if most := testConfig().MaxWait; left > most || left < time.Second || prefer == "wait=2" && left > 2*time.Second {
			t.Fatalf("%q: deadline in %s", prefer, left)
		}
	}
}

func TestATicketIsPulled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, body := r.send(t, "POST", "/v1/test/read", `{"n":1}`, func(q *http.Request) {
		q.Header.Set("Prefer", "respond-async")
		q.Header.Set("Idempotency-Key", "k")
	})
	var ticket contracts.Ticket
	ok(t, json.Unmarshal(body, &ticket))
	path := "/v1/tickets/" + ticket.ID

	r.move(ticket.ID, func(t *contracts.Ticket) {
		t.State, t.Next, t.Tries = contracts.StateQueued, time.Now().Add(time.Minute), 2
	})
	resp, body := r.send(t, "GET", path, "", nil)
	equal(t, "status while pending", resp.StatusCode, 200)
	equal(t, "retry after", resp.Header.Get("Retry-After"), "60")
	ok(t, json.Unmarshal(body, &ticket))
	equal(t, "tries", ticket.Tries, 2)
	resp, _ = r.send(t, "GET", path+"/answer", "", nil)
	equal(t, "status of an answer that is not there yet", resp.StatusCode, 202)
	equal(t, "location", resp.Header.Get("Location"), path)

	r.move(ticket.ID, func(t *contracts.Ticket) { t.State, t.Result = contracts.StateDone, []byte(`{"twice":2}`) })
	resp, _ = r.send(t, "GET", path, "", nil)
	equal(t, "status when settled", resp.StatusCode, 303)
	equal(t, "location", resp.Header.Get("Location"), path+"/answer")
	resp, body = r.send(t, "GET", path+"/answer", "", nil)
	equal(t, "status of the answer", resp.StatusCode, 200)
	equal(t, "answer", strings.TrimSpace(string(body)), `{"twice":2}`)
	resp, body = r.send(t, "HEAD", path+"/answer", "", nil)
	equal(t, "status of HEAD", resp.StatusCode, 200)
	equal(t, "body of HEAD", len(body), 0)

	r.move(ticket.ID, func(t *contracts.Ticket) {
		t.State, t.Err = contracts.StateFailed, &contracts.Error{Kind: contracts.Conflict, System: "silen", Err: errors.New("quota gone")}
	})
	resp, _ = r.send(t, "GET", path, "", nil)
	equal(t, "status when failed", resp.StatusCode, 303)
	resp, body = r.send(t, "GET", path+"/answer", "", nil)
	p := problem(t, resp, body)
	equal(t, "status of the failure", p.Status, 409)
	equal(t, "system", p.System, "silen")
}

func TestEventsAreTheReadersOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		owner := "core"
		if i == 2 {
			owner = "other"
		}
		r.events = append(r.events, contracts.Event{ID: "e", Kind: "test", Owner: owner, Seq: uint64(i + 1), At: time.Now()})
	}
	c := r.client(t, coreToken)
	page, err := c.Events(t.Context(), 1, 2, time.Hour)
	ok(t, err)
	equal(t, "events", len(page.Events), 2)
	equal(t, "first", page.Events[0].Seq, 2)
	equal(t, "next", page.Next, 4)
	page, err = c.Events(t.Context(), page.Next, 0, 0)
	ok(t, err)
	equal(t, "events", len(page.Events), 1)
	ok(t, c.Ack(t.Context(), 5))
	equal(t, "acknowledged", r.acked["core"], 5)

	resp, body := r.send(t, "GET", "/v1/events?after=99", "", nil)
	equal(t, "status", resp.StatusCode, 200)
	equal(t, "an empty page", strings.TrimSpace(string(body)), `{"events":[],"next":99}`)
}

func TestStatusAndHealth(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	noToken := func(q *http.Request) { q.Header.Del("Authorization") }
	resp, body := r.send(t, "GET", "/healthz", "", noToken)
	equal(t, "health", string(body), "ok\n")
	equal(t, "status", resp.StatusCode, 200)
	resp, body = r.send(t, "GET", "/v1/status", "", noToken)
	equal(t, "status", problem(t, resp, body).Status, 200)
	r.down = errors.New("disk full at /var/lib/hub")
	resp, body = r.send(t, "GET", "/v1/status", "", noToken)
	equal(t, "status", problem(t, resp, body).Status, 503)
	if strings.Contains(string(body), "/var/lib") {
		t.Fatal("strangers are told of the inside")
	}
	resp, _ = r.send(t, "GET", "/healthz", "", noToken)
	equal(t, "alive all the same", resp.StatusCode, 200)
}

func TestAPanicIsAProblem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run = func(context.Context, *contracts.Call) (any, error) { panic(someone) }
	resp, body := r.send(t, "POST", "/v1/test/read", `{"n":1}`, nil)
	equal(t, "kind", problem(t, resp, body).Kind, "internal")
	if strings.Contains(r.logged(), someone) || !strings.Contains(r.logged(), "stack") {
		t.Fatal("the log tells the panic's value, or no stack")
	}
}

func TestAnAnswerThatCannotBeEncodedIsOurFault(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run = func(context.Context, *contracts.Call) (any, error) { return func() {}, nil }
	resp, body := r.send(t, "POST", "/v1/test/read", `{"n":1}`, nil)
	equal(t, "kind", problem(t, resp, body).Kind, "internal")
}

func TestNewServerRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule   string
		tokens map[string][]contracts.Secret
	}{
		{"a token that cannot be had", map[string][]contracts.Secret{"a": {"secret://env/NONE"}}},
		{"a token that is no secret", map[string][]contracts.Secret{"a": {"secret://env/SHORT"}}},
		{"a token of two services", map[string][]contracts.Secret{"a": {"secret://env/CORE"}, "b": {"secret://env/CORE"}}},
	} {
		cfg := Config{Callers: map[string]CallerConfig{}}
		for service, refs := range tt.tokens {
			cfg.Callers[service] = CallerConfig{Tokens: refs}
		}
		if _, err := NewServer(cfg, Options{Secret: testSecret}, &fake{}); err == nil {
			t.Errorf("%s was accepted", tt.rule)
		}
	}
	for _, name := range []string{"test", "Test.read", "tickets.read", "test.read.more", "test.", "a/b.c"} {
		if _, err := opPath(name); err == nil {
			t.Errorf("operation %q was accepted", name)
		}
	}
}

func TestEveryFaultOfTheConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	var c Config
	c.Default()
	ok(t, c.Validate("api"))
	c = testConfig()
	ok(t, c.Validate("api"))
	c = Config{Callers: map[string]CallerConfig{"a\n": {Tokens: []contracts.Secret{"inline"}, Operations: []string{"test"}}, "b": {}}}
	err := c.Validate("api")
	for _, want := range []string{
		"api.max_body", "api.max_wait", "api.callers.a\n: ", "api.callers.a\n.tokens", "api.callers.a\n.operations", "api.callers.a\n.purposes",
		"api.callers.b.tokens", "api.callers.b.operations", "api.callers.b.purposes",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("faults %v lack %s", err, want)
		}
	}
}
