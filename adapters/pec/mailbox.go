package pec

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/contracts"
)

// A mailbox is a configured one at work: the connection it sends over, its rate, and what it is told apart by.
type mailbox struct {
	Mailbox
	address contracts.Address
	reader  reader
	out     *mail.Submitter
	in      mail.Server
	secret  func(context.Context) ([]byte, error)
	clock   contracts.Clock
	pause   time.Duration

	gate     gate
	provider string // who runs its server, as far as we can tell

	asking chan struct{} // holds one token: one search for uncertain messages at a time

	mu     sync.Mutex
	denied time.Time     // when the password was refused; zero: it was not
	refuse contracts.Sum // digest of the refused password
}

func newMailbox(m Mailbox, c *Config, env contracts.Env, roots *x509.CertPool, servers *tls.Config) (*mailbox, error) {
	address, err := contracts.ParseAddress(m.Address)
	if err != nil {
		return nil, err
	}
	if m.PerMinute == 0 {
		m.PerMinute = defaultPerMinute
	}
	if m.MaxSize == 0 {
		m.MaxSize = defaultMaxSize
	}
	if m.Receipt == "" {
		m.Receipt = formComplete
	}
	box := &mailbox{
		Mailbox: m, address: address, clock: env.Clock, pause: c.DeniedPause, gate: newGate(m), provider: provider(m),
		asking: make(chan struct{}, 1),
		reader: reader{mailbox: m.Name, address: address, signer: m.Signer, roots: roots},
		secret: func(ctx context.Context) ([]byte, error) { return env.Secret(ctx, m.Password) },
	}
	box.asking <- struct{}{}
	server := func(implicit, starttls string) mail.Server {
		s := mail.Server{Addr: implicit, TLS: servers, User: m.User, Password: box.password, Command: c.Timeout, Final: 10 * c.Timeout}
		if implicit == "" {
			s.Addr, s.StartTLS = starttls, true
		}
		return s
	}
	box.out, box.in = mail.NewSubmitter(server(m.SMTPS, m.SMTP)), server(m.IMAPS, m.IMAP)
	return box, nil
}

// password reads the secret, and refuses to try one that the provider refused a short while ago.
func (b *mailbox) password(ctx context.Context) ([]byte, error) {
	secret, err := b.secret(ctx)
	if err != nil {
		return nil, contracts.Errorf(contracts.Denied, "log in: the password's reference cannot be read")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denied.IsZero() {
		return secret, nil
	}
	if b.refuse != contracts.SumOf(secret) { // it was replaced
		b.denied = time.Time{}
		b.gate.pardon()
		return secret, nil
	}
	if left := b.denied.Add(b.pause).Sub(b.clock.Now()); left > 0 {
		e := contracts.Errorf(contracts.Denied, "log in: left alone for %v, since the password was refused; replace it, or wait", left.Round(time.Second))
		e.After = left
		return nil, e
	}
	return secret, nil
}

// refused remembers that the provider would not let us in.
func (b *mailbox) refused(ctx context.Context, err error) {
	if contracts.KindOf(err) != contracts.Denied {
		return
	}
	secret, serr := b.secret(ctx)
	if serr != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if sum := contracts.SumOf(secret); b.denied.IsZero() || b.refuse != sum || b.denied.Add(b.pause).Before(b.clock.Now()) {
		b.denied, b.refuse = b.clock.Now(), sum
	}
}

// admitted forgets that the provider had not let us in.
func (b *mailbox) admitted() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.denied = time.Time{}
}

// opens tells when the mailbox may send: now or before, then at once; zero when nobody knows. why is what keeps it.
func (b *mailbox) opens(now time.Time) (at time.Time, why contracts.Kind) {
	at, why = b.gate.opens(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denied.After(now) { // the clock was set back
		b.denied = now
	}
	if until := b.denied.Add(b.pause); !b.denied.IsZero() && !at.IsZero() && until.After(at) {
		return until, contracts.Denied
	}
	return at, why
}

// reconsider reads the secret of a mailbox whose password was refused: it may be another by now.
func (b *mailbox) reconsider(ctx context.Context) {
	b.mu.Lock()
	shut := !b.denied.IsZero()
	b.mu.Unlock()
	if shut {
		_, _ = b.password(ctx) // what it finds out, it remembers
	}
}
