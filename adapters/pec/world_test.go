package pec

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/pec"
)

// A world is the adapter on the mock, with the clock they share.
type world struct {
	*Adapter
	bench *lab.Bench
	mock  *mock.Mock
	run   *contracttest.Runner
	kept  [][]byte // what was archived, in order
	box   mock.Account
}

func newWorld(t *testing.T, change func(*Config, *lab.Bench), opts ...mock.Option) *world {
	t.Helper()
	w := &world{mock: mock.New(opts...)}
	w.bench = lab.Start(t, w.mock)
	w.box = w.mock.Accounts()[0]
	c := w.settings(t)
	c.DeniedPause = 0
	c.Mailboxes[0].PerMinute = 1000
	if change != nil {
		change(c, w.bench)
	}
	w.Adapter = contracttest.Open(t, c, w.env(slog.New(slog.DiscardHandler))).(*Adapter)
	w.run = contracttest.Direct(w.Adapter, w.bench.Clock(), contracttest.Advancing(w.bench.Advance))
	return w
}

func (w *world) settings(t *testing.T) *Config {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := Default().(*Config)
	c.Roots, c.CA = file("roots.pem", w.mock.RootsPEM()), file("ca.pem", w.bench.CA().PEM())
	c.Timeout = 5 * time.Second
	c.Mailboxes = []Mailbox{{
		Name: w.box.Name, Role: "centrale", Address: w.box.Address, SMTPS: w.bench.Endpoint("pec", "smtps"),
		IMAPS: w.bench.Endpoint("pec", "imaps"), User: w.box.User, Password: "secret://env/PEC", Signer: "gestore-uno.test",
	}}
	return c
}

func (w *world) env(log *slog.Logger) contracts.Env {
	return contracts.Env{
		Instance: "pec", Environment: contracts.Attestazione, Log: log, Clock: w.bench.Clock(),
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(w.box.Password), nil },
		Keep: func(_ context.Context, r io.Reader, most int64) (contracts.Sum, error) {
			b, err := io.ReadAll(io.LimitReader(r, most+1))
			if err == nil && int64(len(b)) > most {
				err = errors.New("too big")
			}
			w.kept = append(w.kept, b)
			return contracts.SumOf(b), err
		},
	}
}

func to(addresses ...string) delivery.Message {
	m := delivery.Message{Sender: "centrale", Subject: contracts.NewPrivate("Codice di accesso è pronto"), Text: contracts.NewPrivate("Buongiorno.\nIl codice è 1234.\n")}
	for _, s := range addresses {
		m.To = append(m.To, delivery.Recipient{Address: contracttest.Sure(contracts.ParseAddress(s)), Basis: delivery.Basis{Kind: delivery.Elected}})
	}
	return m
}

func caller(ctx context.Context, key string) context.Context {
	return contracts.WithKey(contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "test"}), key)
}

// submit leaves a message and gives its ticket's id.
func (w *world) submit(t *testing.T, key string, m delivery.Message) string {
	t.Helper()
	ticket, err := contracts.Submit(caller(t.Context(), key), w.run, delivery.OpSend, m)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return ticket.ID
}

// follow looks at a ticket until it is as wanted, at most a thousand times.
func (w *world) follow(t *testing.T, id string, until func(contracts.Ticket) bool) (contracts.Ticket, delivery.Dispatch) {
	t.Helper()
	var ticket contracts.Ticket
	for range 1000 {
		var err error
		if ticket, err = w.run.Ticket(caller(t.Context(), ""), id); err != nil {
			t.Fatalf("ticket: %v", err)
		}
		if until(ticket) {
			raw := ticket.Detail
			if ticket.State.Settled() {
				raw = ticket.Result
			}
			if raw == nil {
				return ticket, delivery.Dispatch{}
			}
			d, err := delivery.OpSend.Response(raw)
			if err != nil {
				t.Fatal(err)
			}
			return ticket, d.(delivery.Dispatch)
		}
	}
	t.Fatalf("ticket stays %s (%v), faults %v", ticket.State, ticket.Err, w.run.Faults())
	return ticket, delivery.Dispatch{}
}

func settled(t contracts.Ticket) bool { return t.State.Settled() }

func kinds(story []contracts.Event) string {
	words := make([]string, len(story))
	for i, e := range story {
		words[i] = strings.TrimPrefix(e.Kind, kindPrefix)
	}
	return strings.Join(words, " ")
}

// sketch prints statuses with their flags, then the message's flags.
func sketch(d delivery.Dispatch) string {
	var words []string
	for _, r := range d.Recipients {
		words = append(words, strings.Join(append([]string{string(r.Status)}, r.Flags...), ":"))
	}
	return strings.Join(append(words, d.Flags...), " ")
}
