package pec

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

// DefaultDeliveryDelay is the virtual time between acceptance and delivery, as within one provider in fair weather.
const DefaultDeliveryDelay = 2 * time.Second

// An Option changes how a Mock is made.
type Option func(*Mock)

// WithDeliveryDelay sets the virtual time between acceptance and delivery; 0 delivers before the 250 is written.
func WithDeliveryDelay(d time.Duration) Option { return func(m *Mock) { m.delay = max(d, 0) } }

// WithAccount adds mailboxes; one with an address that is there already takes its place.
func WithAccount(accounts ...Account) Option {
	return func(m *Mock) {
		added := make(map[string]bool, len(accounts))
		for _, a := range accounts {
			added[strings.ToLower(a.Address)] = true
		}
		m.accounts = slices.DeleteFunc(m.accounts, func(x Account) bool { return added[strings.ToLower(x.Address)] })
		m.accounts = append(m.accounts, accounts...)
	}
}

// WithLimits replaces [DefaultLimits]; a zero field keeps its default.
func WithLimits(l Limits) Option {
	return func(m *Mock) {
		d := DefaultLimits()
		if l.MaxMessage == 0 {
			l.MaxMessage = d.MaxMessage
		}
		if l.MaxProduct == 0 {
			l.MaxProduct = d.MaxProduct
		}
		if l.MaxRecipients == 0 {
			l.MaxRecipients = d.MaxRecipients
		}
		if l.MaxAccepted == 0 {
			l.MaxAccepted = d.MaxAccepted
		}
		if l.MaxLog == 0 {
			l.MaxLog = d.MaxLog
		}
		m.limits = l
	}
}

// WithCertificate is [Mock.SetCertificate] from the start.
func WithCertificate(c Certificate) Option { return func(m *Mock) { m.sw.certificate = c } }

// WithQuirks is [Mock.SetQuirks] from the start.
func WithQuirks(q Quirks) Option { return func(m *Mock) { m.sw.quirks = q } }

// WithRateLimit is [Mock.LimitRate] from the start.
func WithRateLimit(perMinute int) Option { return func(m *Mock) { m.sw.rate = perMinute } }

// A Mock plays both providers. Make one with [New], attach it to a bench. Its methods are safe for concurrent use once it
// is attached.
type Mock struct {
	delay     time.Duration
	limits    Limits
	accounts  []Account
	byAddress map[string]Account // in lower case
	byUser    map[string]Account // in lower case

	bench *lab.Bench
	clock *lab.Clock
	zone  *time.Location
	pki   *authority
	store *store

	mu         sync.Mutex
	sw         switches
	sent       map[string][]time.Time          // per mailbox, the last minute's messages
	conditions map[string]*condition           // of mailboxes that have one
	logins     map[string]int                  // open IMAP sessions per account
	sessions   map[string]map[*access]struct{} // of either protocol, per account
	orders     orders
	extras     int     // receipts issued by hand
	faulty     []error // what went wrong where nobody could be told; Close tells
	closed     bool

	agenda agenda
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	conns  connSet
	smtp   *smtp.Server
	imap   *imapserver.Server
	doors  []net.Listener
	takes  sync.WaitGroup // accept loops
	serves sync.WaitGroup // IMAP sessions
}

// New makes the mock; nothing is opened before Attach.
func New(opts ...Option) *Mock {
	m := &Mock{
		delay: DefaultDeliveryDelay, limits: DefaultLimits(), accounts: defaultAccounts(), zone: rome(),
		sw:         switches{certificate: Sound, stage: AtDot, imapSessions: DefaultIMAPSessions},
		sent:       make(map[string][]time.Time),
		conditions: make(map[string]*condition),
		logins:     make(map[string]int),
		sessions:   make(map[string]map[*access]struct{}),
		orders:     orders{turns: make(map[string]uint64), tries: make(map[string]int64)},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	for _, o := range opts {
		o(m)
	}
	return m
}

// Name is "pec".
func (m *Mock) Name() string { return "pec" }

// Business tells the bench which exchanges Misbehave spoils: submissions. IMAP is spoiled by name only, through
// Bench.Inject with "pec imap fetch" and the like, or by the switches here.
func (m *Mock) Business() []string { return []string{"pec " + labelMessage} }

// Attach opens the store in the bench's folder, resumes what a former life left undone, and listens.
func (m *Mock) Attach(b *lab.Bench) error {
	if m.bench != nil {
		return errors.New("pec: attach: the mock is on a bench already; make a new one")
	}
	m.bench, m.clock = b, b.Clock()
	if !m.sw.certificate.known() {
		return fmt.Errorf("pec: attach: no certificate variant is called %q", m.sw.certificate)
	}
	m.byAddress, m.byUser = make(map[string]Account, len(m.accounts)), make(map[string]Account, len(m.accounts))
	for _, a := range m.accounts {
		if _, ok := hostOf(a.Address); !ok {
			return fmt.Errorf("pec: attach: account %s is in no domain of the two providers", a.Name)
		}
		if _, ok := profileOf(a.Profile); !ok {
			return fmt.Errorf("pec: attach: account %s: no profile is called %q", a.Name, a.Profile)
		}
		m.byAddress[strings.ToLower(a.Address)], m.byUser[strings.ToLower(a.User)] = a, a
	}
	dir := filepath.Join(b.Dir(), "pec")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("pec: attach: %w", err)
	}
	now := m.clock.Now()
	var err error
	if m.pki, err = openAuthority(dir, now); err != nil {
		return err
	}
	if m.store, err = openStore(dir, m.accounts, now, m.limits.MaxLog); err != nil {
		return err
	}
	for address := range m.byAddress {
		m.store.setQuota(address, m.quotaLocked(address)) // nobody else is here yet
	}
	b.OnClose(m.Close)
	m.resume()
	m.desk(b)
	return m.listen(b)
}

func (m *Mock) listen(b *lab.Bench) error {
	cert := b.CA().ServerTLS()
	quiet := log.New(io.Discard, "", 0)
	m.smtp = smtp.NewServer(smtp.BackendFunc(m.newSMTPSession))
	m.smtp.Domain = "smtps." + providers()[0].domain
	m.smtp.TLSConfig = cert
	m.smtp.MaxMessageBytes = m.limits.MaxMessage
	m.smtp.MaxRecipients = m.limits.MaxRecipients
	m.smtp.ReadTimeout, m.smtp.WriteTimeout = 5*time.Minute, time.Minute
	m.smtp.ErrorLog = quiet
	m.imap = imapserver.New(&imapserver.Options{
		NewSession: m.newIMAPSession,
		Caps:       imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}, imap.CapMove: {}, imap.CapESearch: {}, imap.CapStatusSize: {}},
		Logger:     quiet,
		// TLS is ours, below the library: see the line. It must not think that there is none.
		InsecureAuth: true,
	})
	for _, s := range []struct {
		name           string
		implicit, imap bool
		serve          func(net.Listener) error
	}{
		{"smtps", true, false, m.smtp.Serve},
		{"smtp", false, false, m.smtp.Serve},
		{"imaps", true, true, m.imap.Serve},
		{"imap", false, true, m.imap.Serve},
	} {
		l, err := b.Listen(m.Name(), s.name)
		if err != nil {
			return fmt.Errorf("pec: attach: %w", err)
		}
		l = &tracked{Listener: l, m: m, service: s.name, set: &m.conns}
		switch {
		case s.imap:
			l = &lines{Listener: l, m: m, tls: cert, implicit: s.implicit}
		case s.implicit:
			l = tls.NewListener(l, cert)
		}
		m.doors = append(m.doors, l)
		m.takes.Go(func() { _ = s.serve(l) }) // ends with the listener; there is nothing to do about its error
	}
	return nil
}

// Close ends every session, waits for what the mock started and closes its files. The bench calls it; calling it earlier
// is how a test kills the providers alone. It tells what could not be told elsewhere. Closing again is harmless.
func (m *Mock) Close() error {
	m.mu.Lock()
	if m.closed || m.store == nil {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.agenda.end()
	for _, l := range m.doors {
		_ = l.Close() // the bench may have closed it already
	}
	m.takes.Wait() // the SMTP library must not be shut down while it begins a session
	m.conns.close()
	var errs []error
	if m.smtp != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.smtp.Shutdown(ctx); err != nil && ctx.Err() != nil {
			errs = append(errs, fmt.Errorf("pec: close: sessions did not end: %w", err))
		}
		_ = m.imap.Close() // its listeners may be closed already, which is no fault
		m.serves.Wait()
	}
	m.mu.Lock()
	errs = append(errs, m.faulty...)
	m.mu.Unlock()
	return errors.Join(append(errs, m.store.close())...)
}

// RootsPEM is the certificate that receipts chain to; it is the same for every life on one folder. Call it after Attach.
func (m *Mock) RootsPEM() []byte { return m.pki.rootsPEM() }

// Accounts lists the mailboxes that can be logged into; the first is the ministry's central one.
func (m *Mock) Accounts() []Account { return slices.Clone(m.accounts) }

// Accepted lists every message ever taken with 250 on this folder, oldest first, also those answered by a non-acceptance
// (Accepted false). It is bounded by Limits.MaxAccepted, beyond which messages are refused rather than forgotten.
func (m *Mock) Accepted() []Submitted {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	out := make([]Submitted, 0, len(m.store.submissions))
	for _, s := range m.store.submissions {
		out = append(out, s.submitted())
	}
	return out
}

func (m *Mock) account(user string) (Account, bool) {
	a, ok := m.byUser[strings.ToLower(user)]
	return a, ok
}

// known is reads, also before Attach.
func (m *Mock) known(address string) bool {
	return slices.ContainsFunc(m.accounts, func(a Account) bool { return strings.EqualFold(a.Address, address) })
}

// report keeps an error that has no caller to go to.
func (m *Mock) report(err error) {
	if err == nil || errors.Is(err, errClosed) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.faulty) < 16 {
		m.faulty = append(m.faulty, err)
	}
}
