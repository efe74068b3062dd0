package soap

import (
	"context"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

// between cuts the text out between two marks.
func between(t testing.TB, text, from, to string) string {
	t.Helper()
	_, rest, ok1 := strings.Cut(text, from)
	got, _, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatalf("no %s…%s in %s", from, to, text)
	}
	return got
}

func TestEachAttemptBearsAFreshHeaderAndSignature(t *testing.T) {
	t.Parallel()
	p := newParty(t, p256(t), nil, nil)
	clock := contracttest.NewClock(noon)
	s := serve(t, func(n int, w http.ResponseWriter) {
		if n == 1 {
			clock.Advance(time.Minute)
			w.WriteHeader(503)
			return
		}
		write(w, 200, body(yes))
	})
	var made atomic.Int32
	c := New(Options{
		Wire: dial(t, s.URL, nil), Clock: clock, Sign: &Signer{Key: p.key, Certificate: p.cert, Blocks: []xml.Name{addressing("MessageID")}},
		Headers: func(context.Context) ([]byte, error) {
			return fmt.Appendf(nil, `<w:MessageID xmlns:w="%s">m-%d</w:MessageID>`, NSAddressing, made.Add(1)), nil
		},
	})
	if _, _, err := Call[told](with(t.Context(), contracts.Read), c, operation, &ask{Who: "è"}); err != nil {
		t.Fatal(err)
	}
	if len(s.requests) != 2 {
		t.Fatalf("%d requests", len(s.requests))
	}
	v := &Verifier{Certificates: []*x509.Certificate{p.cert}, Parts: []xml.Name{addressing("MessageID")}}
	first, second := s.requests[0], s.requests[1]
	for i, text := range s.requests {
		if sig, _, err := verify(v, noon.Add(time.Duration(i)*time.Minute), text); err != nil || !sig.Created.Equal(noon.Add(time.Duration(i)*time.Minute)) {
			t.Errorf("attempt %d: %+v, %v", i+1, sig, err)
		}
		if !strings.Contains(text, fmt.Sprintf("m-%d<", i+1)) {
			t.Errorf("attempt %d has another's MessageID", i+1)
		}
	}
	for _, marks := range [][2]string{{`<wsu:Created>`, `<`}, {`<soap:Body xmlns:soap="` + NSEnvelope + `" xmlns:wsu="` + NSUtility + `" wsu:Id="`, `"`}, {`<ds:SignatureValue>`, `<`}} {
		if a, b := between(t, first, marks[0], marks[1]), between(t, second, marks[0], marks[1]); a == b {
			t.Errorf("both attempts have %s%s", marks[0], a)
		}
	}
	if a, b := between(t, first, "<ask", "</ask>"), between(t, second, "<ask", "</ask>"); a != b {
		t.Errorf("the question changed: %s, %s", a, b)
	}
}

func TestHeaderBlocksGoOutAsTheyAreMade(t *testing.T) {
	t.Parallel()
	const block = "<w:Security xmlns:w='urn:w'><a b='1'/>\n</w:Security>"
	p := newParty(t, p256(t), nil, nil)
	for name, sign := range map[string]*Signer{"unsigned": nil, "signed": {Key: p.key, Certificate: p.cert}} {
		s := serve(t, func(_ int, w http.ResponseWriter) { write(w, 200, body(yes)) })
		headers := func(context.Context) ([]byte, error) { return []byte(block), nil }
		c := New(Options{Wire: dial(t, s.URL, nil), Clock: contracttest.NewClock(noon), Headers: headers, Sign: sign})
		if _, _, err := Call[told](with(t.Context(), contracts.Read), c, operation, &ask{}); err != nil {
			t.Fatal(err)
		}
		if sign == nil && !strings.HasPrefix(s.requests[0], declaration+envelopeHead+"<soap:Header>"+block+"</soap:Header>"+bodyHead+"<ask") {
			t.Errorf("%s: %s", name, s.requests[0])
		}
		if sign != nil && len(sign.Blocks) == 0 && !strings.Contains(s.requests[0], block) {
			t.Errorf("%s: %s", name, s.requests[0])
		}
	}
}

func TestAHeaderThatCannotBeMadeEndsTheCallUnsent(t *testing.T) {
	t.Parallel()
	s := serve(t, func(int, http.ResponseWriter) { t.Error("a request arrived") })
	c := New(Options{Wire: dial(t, s.URL, nil), Headers: func(context.Context) ([]byte, error) {
		return nil, contracts.Errorf(contracts.Denied, "assertion: no agreement")
	}})
	_, reply, err := Call[told](with(t.Context(), contracts.Once), c, operation, &ask{})
	if contracttest.ErrorOf(t, err, contracts.Denied, "peer"); reply != nil {
		t.Errorf("%+v", reply)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	s := serve(t, func(n int, w http.ResponseWriter) {
		if n%2 == 0 {
			write(w, 500, faultOf("S:Client", ""))
			return
		}
		write(w, 200, body(yes))
	})
	c := New(Options{Wire: dial(t, s.URL, nil)})
	for range 6 {
		_, _, _ = Call[told](with(t.Context(), contracts.Read), c, operation, &ask{})
	}
	if len(s.conns) != 1 || len(s.requests) != 6 {
		t.Errorf("%d connections for %d requests", len(s.conns), len(s.requests))
	}
	for _, h := range s.headers {
		if h.Get("Connection") != "" {
			t.Errorf("Connection: %s", h.Get("Connection"))
		}
	}
}

func TestTheActionIsSentAsGiven(t *testing.T) {
	t.Parallel()
	s := serve(t, func(_ int, w http.ResponseWriter) { write(w, 200, body(yes)) })
	c := New(Options{Wire: dial(t, s.URL, nil)})
	for i, action := range []string{"Ask", `"Ask"`, `""`, ""} {
		op := operation
		op.Action = action
		if _, _, err := Call[told](with(t.Context(), contracts.Read), c, op, &ask{}); err != nil {
			t.Fatal(err)
		}
		if got, there := s.headers[i]["Soapaction"]; there != (action != "") || there && got[0] != action {
			t.Errorf("%q went out as %q", action, got)
		}
	}
}

func TestCallsDoNotMeet(t *testing.T) {
	t.Parallel()
	s := serve(t, func(_ int, w http.ResponseWriter) { write(w, 200, body(yes)) })
	c := New(Options{Wire: dial(t, s.URL, nil), Headers: func(ctx context.Context) ([]byte, error) {
		return []byte(`<h xmlns="urn:h">` + ctx.Value(whoKey{}).(string) + `</h>`), nil
	}})
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			who := fmt.Sprint("who-", i, ";")
			if _, _, err := Call[told](context.WithValue(with(t.Context(), contracts.Read), whoKey{}, who), c, operation, &ask{Who: who}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, text := range s.requests {
		if who := between(t, text, "<who>", "</who>"); strings.Count(text, who) != 2 {
			t.Errorf("another's header: %s", text)
		}
	}
}

type whoKey struct{}

func TestOurOwnFaultsAreInternal(t *testing.T) {
	t.Parallel()
	s := serve(t, func(int, http.ResponseWriter) { t.Error("a request arrived") })
	c := New(Options{Wire: dial(t, s.URL, nil)})
	_, _, err := Call[told](t.Context(), c, Operation{Route: "Ask"}, &ask{})
	contracttest.ErrorOf(t, err, contracts.Internal, "peer")
	_, _, err = Call[told](t.Context(), c, operation, &struct {
		SECRET func()
	}{func() {}})
	if e := contracttest.ErrorOf(t, err, contracts.Internal, "peer"); strings.Contains(e.Error(), "SECRET") {
		t.Error(e)
	}
	p := newParty(t, p256(t), nil, nil)
	c = New(Options{Wire: dial(t, s.URL, nil), Sign: &Signer{Key: p.key, Certificate: p.cert, Blocks: []xml.Name{addressing("To")}}})
	_, _, err = Call[told](t.Context(), c, operation, &ask{})
	contracttest.ErrorOf(t, err, contracts.Internal, "peer")
}

func TestOnlyWhatWasVerifiedIsDecoded(t *testing.T) {
	t.Parallel()
	p := newParty(t, p256(t), nil, nil)
	good := p.answer(t, yes)
	for name, tc := range map[string]struct {
		status int
		text   string
		rule   string
	}{
		"signed":                {200, good, ""},
		"signed, with a nil":    {200, p.answer(t, `<told xmlns="urn:example:thing"><valid xmlns:i="`+nsInstance+`" i:nil="true"></valid><note>n</note></told>`), ""},
		"changed":               {200, strings.Replace(good, "<valid>true", "<valid>false", 1), errDigest.Error()},
		"not signed":            {200, body(yes), errUnsigned.Error()},
		"a fault is not signed": {500, faultOf("S:Client", ""), "fault"},
		"a signed fault":        {500, p.answer(t, `<soap:Fault><faultcode>soap:Client</faultcode></soap:Fault>`), "verified fault"},
	} {
		s := serve(t, func(_ int, w http.ResponseWriter) { write(w, tc.status, tc.text) })
		c := New(Options{Wire: dial(t, s.URL, nil), Clock: contracttest.NewClock(noon), Verify: p.verifier()})
		answer, reply, err := Call[told](with(t.Context(), contracts.Read), c, operation, &ask{})
		var fault *Fault
		switch {
		case tc.rule == "":
			if err != nil || answer.Note != "n" || reply.Signer == nil || strings.Contains(string(reply.Envelope), "Security") {
				t.Errorf("%s: %+v, %v", name, answer, err)
			}
		case strings.HasSuffix(tc.rule, "fault"):
			if !errors.As(err, &fault) || fault.Verified != (tc.rule == "verified fault") {
				t.Errorf("%s: %+v, %v", name, fault, err)
			}
		default:
			if e := contracttest.ErrorOf(t, err, contracts.Malformed, "peer"); !strings.HasSuffix(e.Err.Error(), tc.rule) || answer != nil {
				t.Errorf("%s: %v", name, e)
			}
		}
	}
}

func TestTheReplyIsBoundedInTime(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, func(_ int, w http.ResponseWriter) {
		write(w, 200, body(yes)[:50])
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	defer close(release)
	w := dial(t, s.URL, func(c *wire.Config) { c.Timeout, c.Attempts = 50*time.Millisecond, 1 })
	_, reply, err := Call[told](with(t.Context(), contracts.Read), New(Options{Wire: w}), operation, &ask{})
	if contracttest.ErrorOf(t, err, contracts.Unavailable, "peer"); reply != nil {
		t.Error("a reply without an end")
	}
}
