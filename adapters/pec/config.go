package pec

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"raccordo/adapters/internal/mail"
	"raccordo/adapters/internal/peers"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// A Config is what a person writes about PEC mailboxes.
type Config struct {
	// Roots is a PEM file of the authorities whose receipts are believed. Name the authority that certifies PEC
	// providers alone (AgID CA1), not a root above it that also certifies the public's e-mail.
	Roots string `yaml:"roots"`
	// CA is a PEM file of the authorities of the servers' TLS certificates; empty: the system's.
	CA        string    `yaml:"ca,omitempty"`
	Mailboxes []Mailbox `yaml:"mailboxes"`
	// Poll is how long to leave a mailbox alone when it brought nothing.
	Poll time.Duration `yaml:"poll,omitempty"`
	// AcceptanceWithin is how long an uncertain message may go without any receipt before its error says that a person
	// must settle it. It is not sent again by itself, unless InDoubt says so.
	AcceptanceWithin time.Duration `yaml:"acceptance_within,omitempty"`
	// MaxReceipt is the largest message, in bytes, that is fetched; a larger one becomes an anomaly. A receipt of form
	// "completa" returns the whole message: 1.5 times the provider's limit and 2 MiB is safe.
	MaxReceipt int64 `yaml:"max_receipt,omitempty"`
	// BreveAbove is the size in bytes, times recipients, beyond which a message asks for receipts that do not return it
	// whole: each recipient's receipt would lay another copy of it into our mailbox.
	BreveAbove int `yaml:"breve_above,omitempty"`
	// Blocked lists the extensions of attachments that providers refuse, also inside a zip file. Empty: none is refused.
	Blocked []string `yaml:"blocked,omitempty"`
	// InDoubt is what becomes of a message of which nothing was heard within AcceptanceWithin, though its mailbox could
	// be searched: "hold" leaves it to a person; "resend_once" hands the same bytes over once more, under the same
	// Message-ID, which may be a second legal sending.
	InDoubt string `yaml:"in_doubt,omitempty"`
	// Transient lists SMTP replies that look permanent and are a rate limit.
	Transient []Transient `yaml:"transient,omitempty"`
	// DeniedPause is how long a mailbox whose password was refused is left alone, unless the secret changes: providers
	// lock accounts.
	DeniedPause time.Duration `yaml:"denied_pause,omitempty"`
	// Timeout is the longest wait for one answer of a server, in real time.
	Timeout time.Duration `yaml:"timeout,omitempty"`
}

// A Mailbox is one PEC mailbox: it sends for a role, and its folder is read for receipts.
type Mailbox struct {
	Name    string `yaml:"name"`            // stands in cursors, logs and dispatches; changing it reads the mailbox anew
	Role    string `yaml:"role"`            // the sender role of messages; its mailboxes are one pool, of any providers
	Address string `yaml:"address"`         // the certified address
	SMTPS   string `yaml:"smtps,omitempty"` // host:port with TLS from the first byte (465)
	SMTP    string `yaml:"smtp,omitempty"`  // host:port with STARTTLS (587), instead of smtps
	IMAPS   string `yaml:"imaps,omitempty"` // host:port with TLS from the first byte (993)
	IMAP    string `yaml:"imap,omitempty"`  // host:port with STARTTLS (143), instead of imaps
	User    string `yaml:"user"`
	// Password is read at every log-in, so that it can be replaced without a restart.
	Password contracts.Secret `yaml:"password"`
	// PerMinute is how many messages the provider takes in a minute; zero: 6.
	PerMinute int `yaml:"per_minute,omitempty"`
	// Quota is how many bytes the mailbox holds, where the server does not tell; zero: unknown. At 85 % receipts that
	// return the message whole are not asked for any more, at 95 % the mailbox does not send.
	Quota int64 `yaml:"quota,omitempty"`
	// MaxSize is how many bytes, encoded and times recipients, the provider takes; zero: 30 million, the law's floor.
	MaxSize int64 `yaml:"max_size,omitempty"`
	// Drain ends a mailbox's sending: it is read until its last receipts are in.
	Drain bool `yaml:"drain,omitempty"`
	// Folders are read for receipts, by their names on the server ("/" stands for whatever parts the names there); the
	// first is listened to. Name those that rules file receipts into. Empty: INBOX.
	Folders []string `yaml:"folders,omitempty"`
	// PurgeAfter is the age at which receipts are deleted from the mailbox, once they are archived and in a completed
	// backup; for mailboxes that nobody else reads. Zero: never.
	PurgeAfter time.Duration `yaml:"purge_after,omitempty"`
	// Receipt is the form of receipts asked for (X-TipoRicevuta): completa, breve or sintetica; empty: completa.
	// Secret messages always ask for sintetica.
	Receipt string `yaml:"receipt,omitempty"`
	// Signer is the address, or its domain, with which this mailbox's provider signs. Acceptances, refusals and notices
	// of delay signed by another are not believed. Empty: any provider's.
	Signer string `yaml:"signer,omitempty"`
}

// A Transient is an SMTP reply that looks permanent and is not: its code and a regular expression for its text.
type Transient struct {
	Code int    `yaml:"code"`
	Text string `yaml:"text"`
}

// Forms of delivery receipts (RFC 6109 section 2.2, X-TipoRicevuta).
const (
	formComplete = "completa"
	formBrief    = "breve"
	formShort    = "sintetica"
)

const (
	defaultPerMinute = 6          // the tightest limit that a provider is known to set
	defaultMaxSize   = 30_000_000 // what every provider must take, recipients included
	defaultFolder    = "INBOX"
	maxMailboxes     = 1000
	maxDomain        = 40 // characters of a mailbox's domain, so that our Message-ID stays within 120
)

// What becomes of a message in doubt of which nothing was heard.
const (
	inDoubtHold   = "hold"
	inDoubtResend = "resend_once"
)

// Default gives the settings but for roots and mailboxes.
func Default() contracts.Config {
	return &Config{
		Poll: time.Minute, AcceptanceWithin: time.Hour, MaxReceipt: 48 << 20, BreveAbove: 5 << 20,
		DeniedPause: 5 * time.Minute, Timeout: 30 * time.Second,
		Transient: []Transient{{Code: 550, Text: `(?i)too much traffic|class of service`}},
		Blocked:   blockedByProviders(), InDoubt: inDoubtHold,
	}
}

// Operations is sending.
func (*Config) Operations() []*contracts.OpInfo { return delivery.Ops() }

// Validate gives every fault at once.
func (c *Config) Validate(env contracts.Environment) error {
	v := validation{env: env}
	v.file("roots", c.Roots, true)
	v.file("ca", c.CA, false)
	v.span("poll", c.Poll, time.Second, time.Hour)
	v.span("acceptance_within", c.AcceptanceWithin, time.Minute, 7*24*time.Hour)
	v.span("denied_pause", c.DeniedPause, 0, 24*time.Hour)
	v.span("timeout", c.Timeout, 10*time.Millisecond, 10*time.Minute)
	if c.MaxReceipt < 64<<10 || c.MaxReceipt > 1<<30 {
		v.fault("max_receipt", "want 65536 to 1073741824 bytes")
	}
	if c.BreveAbove < 1 {
		v.fault("breve_above", "want a number of bytes above 0")
	}
	for i, t := range c.Transient {
		at := fmt.Sprintf("transient[%d]", i)
		if t.Code < 500 || t.Code > 599 {
			v.fault(at+".code", "want a permanent SMTP code, 500 to 599")
		}
		if _, err := regexp.Compile(t.Text); err != nil || t.Text == "" {
			v.fault(at+".text", "want a regular expression")
		}
	}
	for i, ext := range c.Blocked {
		if !extension.MatchString(ext) {
			v.fault(fmt.Sprintf("blocked[%d]", i), "want an extension in small letters and digits, without its dot")
		}
	}
	if c.InDoubt != inDoubtHold && c.InDoubt != inDoubtResend {
		v.fault("in_doubt", "want %s or %s", inDoubtHold, inDoubtResend)
	}
	if len(c.Mailboxes) == 0 || len(c.Mailboxes) > maxMailboxes {
		v.fault("mailboxes", "want 1 to %d", maxMailboxes)
	}
	for i := range c.Mailboxes {
		v.mailbox(c.Mailboxes, i)
	}
	return errors.Join(v.faults...)
}

type validation struct {
	env    contracts.Environment
	faults []error
}

func (v *validation) fault(path, format string, args ...any) {
	v.faults = append(v.faults, contracts.Faultf(path, format, args...))
}

func (v *validation) file(path, name string, required bool) {
	if name == "" {
		if required {
			v.fault(path, "missing: want a PEM file of certificates")
		}
		return
	}
	if _, err := peers.Authorities(name); err != nil {
		v.fault(path, "%v", err)
	}
}

func (v *validation) span(path string, d, least, most time.Duration) {
	if d < least || d > most {
		v.fault(path, "want %v to %v", least, most)
	}
}

func (v *validation) mailbox(all []Mailbox, i int) {
	m, at := all[i], fmt.Sprintf("mailboxes[%d].", i)
	if !mailboxName.MatchString(m.Name) {
		v.fault(at+"name", "want a word of letters, digits, dots, dashes or underscores, at most 40")
	}
	if m.Role == "" {
		v.fault(at+"role", "missing: want the role that this mailbox speaks for")
	}
	for j, other := range all[:i] {
		if other.Name == m.Name {
			v.fault(at+"name", "is mailboxes[%d]'s too", j)
		}
		if strings.EqualFold(other.Address, m.Address) {
			v.fault(at+"address", "is mailboxes[%d]'s too", j)
		}
	}
	if a, err := contracts.ParseAddress(m.Address); err != nil {
		v.fault(at+"address", "want the certified address, name@domain")
	} else if len(a.Domain()) > maxDomain {
		v.fault(at+"address", "its domain is longer than %d characters", maxDomain)
	}
	v.server(at, "smtps", m.SMTPS, "smtp", m.SMTP)
	v.server(at, "imaps", m.IMAPS, "imap", m.IMAP)
	if m.User == "" {
		v.fault(at+"user", "missing")
	}
	if err := m.Password.Fault(at + "password"); err != nil {
		v.faults = append(v.faults, err)
	}
	if m.PerMinute < 0 || m.PerMinute > 10_000 {
		v.fault(at+"per_minute", "want 1 to 10000, or 0 for %d", defaultPerMinute)
	}
	if m.Quota < 0 || (m.Quota > 0 && m.Quota < 1<<20) {
		v.fault(at+"quota", "want a number of bytes from %d, or 0 where it is not known", 1<<20)
	}
	if m.MaxSize < 0 || (m.MaxSize > 0 && m.MaxSize < 1<<20) {
		v.fault(at+"max_size", "want a number of bytes from %d, or 0 for %d", 1<<20, defaultMaxSize)
	}
	v.reading(at, m)
	switch m.Receipt {
	case "", formComplete, formBrief, formShort:
	default:
		v.fault(at+"receipt", "want %s, %s or %s", formComplete, formBrief, formShort)
	}
}

var extension = regexp.MustCompile(`^[a-z0-9]{1,10}$`)

var mailboxName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,40}$`)

// server checks that exactly one of the two spellings is there, and that it is a place.
func (v *validation) server(at, implicit, a, starttls, b string) {
	if (a == "") == (b == "") {
		v.fault(at+implicit, "want %s (TLS from the first byte) or %s (STARTTLS), one of them", implicit, starttls)
		return
	}
	path, addr := at+implicit, a
	if a == "" {
		path, addr = at+starttls, b
	}
	host, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || host == "" || n < 1 || n > 65535 {
		v.fault(path, "want host:port")
		return
	}
	if err := peers.HostFault(v.env, path, host); err != nil {
		v.faults = append(v.faults, err)
	}
}

// Open makes the adapter. It reads the certificate files and does no network I/O.
func (c *Config) Open(_ context.Context, env contracts.Env) (contracts.Adapter, error) {
	roots, err := peers.Authorities(c.Roots)
	if err != nil {
		return nil, contracts.Errorf(contracts.Invalid, "open: roots: %w", err)
	}
	store, err := os.ReadFile(c.Roots)
	if err != nil {
		return nil, contracts.Errorf(contracts.Invalid, "open: roots: cannot read the file")
	}
	servers := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		if servers.RootCAs, err = peers.Authorities(c.CA); err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "open: ca: %w", err)
		}
	}
	a := &Adapter{env: env, config: *c, blocked: map[string]bool{}}
	for _, ext := range c.Blocked {
		a.blocked[ext] = true
	}
	for i, t := range c.Transient {
		text, err := regexp.Compile(t.Text)
		if err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "open: transient[%d].text: not a regular expression", i)
		}
		a.transient = append(a.transient, mail.Pattern{Code: t.Code, Text: text})
	}
	for i, m := range c.Mailboxes {
		box, err := newMailbox(m, c, env, roots, servers)
		if err != nil {
			return nil, contracts.Errorf(contracts.Invalid, "open: mailboxes[%d]: %w", i, err)
		}
		box.reader.trust = contracts.SumOf(store)
		a.boxes = append(a.boxes, box)
	}
	a.pools = newPools(a.boxes)
	a.intake = newIntake(a)
	return a, nil
}
