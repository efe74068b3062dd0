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

	gauge gauge

	mu     sync.Mutex
	turns  []time.Time   // the last PerMinute submissions begun, oldest first
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
	if m.Receipt == "" {
		m.Receipt = formComplete
	}
	box := &mailbox{
		Mailbox: m, address: address, clock: env.Clock, pause: c.DeniedPause,
		reader: reader{mailbox: m.Name, address: address, signer: m.Signer, roots: roots},
		secret: func(ctx context.Context) ([]byte, error) { return env.Secret(ctx, m.Password) },
	}
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
	if left := b.denied.Add(b.pause).Sub(b.clock.Now()); !b.denied.IsZero() && left > 0 && b.refuse == contracts.SumOf(secret) {
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

// turn takes a place among the PerMinute submissions of any minute, or says when there will be one. A token bucket
// would let twice as many pass in its first minute, and providers count every minute.
func (b *mailbox) turn() (after time.Duration) {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.turns) == b.PerMinute {
		if after = b.turns[0].Add(time.Minute).Sub(now); after > 0 {
			return min(after, time.Minute) // a clock that was set back must not stop the mailbox
		}
		b.turns = b.turns[1:]
	}
	b.turns = append(b.turns, now)
	return 0
}
