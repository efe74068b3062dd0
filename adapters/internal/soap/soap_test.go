package soap

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"raccordo/adapters/internal/cost"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func TestMain(m *testing.M) {
	cost.Play(farSide())
	goleak.VerifyTestMain(m)
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const nsThing = "urn:example:thing"

// ask and told are as gowsdl generates them, after fixup.
type ask struct {
	XMLName xml.Name `xml:"urn:example:thing ask"`

	Who   string `xml:"who"`
	Count *int32 `xml:"count,omitempty"`
}

type told struct {
	XMLName xml.Name `xml:"urn:example:thing told"`

	Valid *boolean `xml:"valid,omitempty"`
	Note  string   `xml:"note"`
	Count int32    `xml:"count"`
}

// boolean is what fixup puts in place of bool.
type boolean bool

func (b *boolean) UnmarshalText(text []byte) error {
	switch strings.TrimSpace(string(text)) {
	case "true", "1":
		*b = true
	case "false", "0":
		*b = false
	default:
		return errors.New("not an xs:boolean")
	}
	return nil
}

var operation = Operation{
	Action: "Ask", Route: "Ask", Answer: xml.Name{Space: nsThing, Local: "told"},
}

func dial(t testing.TB, endpoint string, change func(*wire.Config)) *wire.Client {
	t.Helper()
	cfg := wire.Default()
	cfg.Endpoint = endpoint
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(contracts.Collaudo, "http"); err != nil {
		t.Fatal(err)
	}
	w, err := wire.Open(t.Context(), cfg, contracts.Env{Instance: "peer", Clock: contracttest.NewClock(noon)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// A far side answers what it is told, and keeps what it was sent.
type far struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	headers  []http.Header
	conns    map[string]bool
}

func serve(t testing.TB, answer func(n int, w http.ResponseWriter)) *far {
	t.Helper()
	f := &far{conns: map[string]bool{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.requests = append(f.requests, string(b))
		f.headers = append(f.headers, r.Header)
		f.conns[r.RemoteAddr] = true
		n := len(f.requests)
		f.mu.Unlock()
		answer(n, w)
	}))
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(f.Close)
	return f
}

func with(ctx context.Context, effect contracts.Effect) context.Context {
	op := &contracts.OpInfo{Name: "need.verb", Effect: effect}
	return contracts.WithCall(ctx, &contracts.Call{Op: op, Caller: contracts.Caller{Service: "s", Purpose: "p", Case: "c-1"}})
}

func write(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func enveloped(body string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><S:Envelope xmlns:S="` + NSEnvelope + `"><S:Body>` + body + `</S:Body></S:Envelope>`
}

const yes = `<told xmlns="urn:example:thing"><valid>true</valid><note>n</note></told>`

func TestOneCallOverTheWire(t *testing.T) {
	t.Parallel()
	s := serve(t, func(_ int, w http.ResponseWriter) { write(w, 200, enveloped(yes)) })
	c := New(Options{Wire: dial(t, s.URL+"/service", nil), Path: "/v1"})
	answer, reply, err := Call[told](with(t.Context(), contracts.Read), c, operation, &ask{Who: "a<b"})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Valid == nil || !*answer.Valid || answer.Note != "n" || reply.Status != 200 {
		t.Errorf("%+v", answer)
	}
	want := declaration + envelopeHead + bodyHead + `<ask xmlns="urn:example:thing"><who>a&lt;b</who></ask></soap:Body></soap:Envelope>`
	if s.requests[0] != want {
		t.Errorf("sent %s", s.requests[0])
	}
	h := s.headers[0]
	if h.Get("SOAPAction") != "Ask" || h.Get("Content-Type") != "text/xml; charset=utf-8" || h.Get("User-Agent") != "Go-http-client/1.1" {
		t.Errorf("headers %v", h)
	}
}

func TestAFaultIsTypedAndNotRepeated(t *testing.T) {
	t.Parallel()
	s := serve(t, func(_ int, w http.ResponseWriter) {
		write(w, 500, enveloped(`<S:Fault><faultcode>S:Server</faultcode><faultstring>SECRET</faultstring></S:Fault>`))
	})
	c := New(Options{Wire: dial(t, s.URL, nil)})
	_, reply, err := Call[told](with(t.Context(), contracts.Read), c, operation, &ask{})
	e := contracttest.ErrorOf(t, err, contracts.Unavailable, "peer")
	var fault *Fault
	if !errors.As(err, &fault) || fault.Code != "Server" || !fault.Standard || fault.String != "SECRET" || e.Code != "Server" {
		t.Errorf("%+v, %+v", e, fault)
	}
	if strings.Contains(err.Error(), "SECRET") || reply == nil || len(s.requests) != 1 {
		t.Errorf("%v, %d requests", err, len(s.requests))
	}
}
