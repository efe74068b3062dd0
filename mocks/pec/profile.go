package pec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Profile is how one real house differs from another. An account has one ([Account.Profile], [Condition.Profile]);
// whatever is written about its messages is written in its manner, also by the recipient's provider.
type Profile struct {
	Name        string        `json:"name"`
	Basis       string        `json:"basis"` // where the facts come from, and how sure they are
	Certificate Certificate   `json:"certificate"`
	Quirks      Quirks        `json:"quirks"`
	MaxProduct  int64         `json:"max_product,omitempty"` // bytes times recipients; 0: the mock's
	Recipients  int           `json:"recipients,omitempty"`  // of one message; 0: the mock's
	PerMinute   int           `json:"per_minute,omitempty"`  // messages; 0: unlimited
	Quota       int64         `json:"quota,omitempty"`       // bytes of one mailbox; 0: unlimited
	Sessions    int           `json:"sessions,omitempty"`    // IMAP, of one mailbox; 0: the mock's
	IdleLag     time.Duration `json:"idle_lag,omitempty"`    // real time that an IDLE push is late
	NoticeError Reason        `json:"notice_error,omitempty"`
	NoticeCode  string        `json:"notice_code,omitempty"` // of both notices; empty: 4.4.7 after 12 hours, 5.4.1 after 24

	names func(p provider, stamp string, n int) string
}

// identificativo names the n-th message in the house's manner.
func (p Profile) identificativo(by provider, at time.Time, n int) string {
	stamp := at.Format("20060102150405")
	if p.names != nil {
		return p.names(by, stamp, n)
	}
	return fmt.Sprintf("mock%d.%s.%05d@%s", by.index+1, stamp, n, by.domain)
}

func opec(prefix string) func(p provider, stamp string, n int) string {
	return func(p provider, stamp string, n int) string {
		return fmt.Sprintf("%s21010.%s.%05d.%d.1.1@%s", prefix, stamp, n, 4000+n%1000, p.domain)
	}
}

// Profiles lists the houses that were observed. The empty name is the plain form, as the rules have it.
func Profiles() []Profile {
	return []Profile{
		{Name: "", Basis: "RFC 6109", Certificate: Sound},
		{
			Name: "aruba-2023", Basis: "receipts of 2023: SHA-1, opec identifiers, no-dest; help pages: 100 MB for size times recipients",
			Certificate: SHA1, MaxProduct: 100_000_000, names: opec("opec"),
		},
		{
			Name: "aruba-2026", Basis: "two receipts of September 2026: SHA-256, BER, jpec identifiers, altro with 5.1.1, a field of REM, folded micalg, empty risposte, broken accents",
			Certificate: Sound, MaxProduct: 100_000_000, names: opec("jpec"),
			Quirks: Quirks{
				BER: true, OldNoDest: true, ExtraHeaders: true, Folded: true, DateComment: true, OnlyFailed: true, NoReplyTo: true, BadAccents: true,
			},
		},
		{
			Name: "namirial", Basis: "receipts of December 2024: SHA-1; a public client: the notice of 24 hours begins with 5.4.1",
			Certificate: SHA1, NoticeCode: "5.4.1", Quirks: Quirks{ExtraHeaders: true},
		},
		{
			Name: "poste-2012", Basis: "one envelope of 2012: errore nessuno, identifiers ending in posta-certificata",
			Certificate: SHA1, NoticeError: NoError,
			names: func(p provider, stamp string, n int) string {
				return fmt.Sprintf("E82D%s.%08X.%s.8520A581.posta-certificata@%s", stamp[:4], n, stamp[6:], p.domain)
			},
		},
		{
			Name: "legalmail", Basis: "help pages and contracts: 6 messages a minute, 2 GB, 50 MB, 500 recipients",
			Certificate: Sound, PerMinute: 6, Quota: 2 << 30, MaxProduct: 50_000_000, Recipients: 500,
		},
		{
			Name: "dovecot", Basis: "a Dovecot server of our own: 10 sessions, IDLE half a second late",
			Certificate: Sound, Sessions: 10, IdleLag: 500 * time.Millisecond,
		},
	}
}

func profileOf(name string) (Profile, bool) {
	all := Profiles()
	i := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return all[i], true
}

// Mailboxes makes n accounts of one certified domain, named stem-001 and on: a pool of senders.
func Mailboxes(domain, stem string, n int) []Account {
	out := make([]Account, 0, n)
	for i := range n {
		name := fmt.Sprintf("%s-%03d", stem, i+1)
		address := strings.ToLower(name + "@" + domain)
		out = append(out, Account{Name: name, Address: address, User: address, Password: "casella-" + name + "-di-prova"})
	}
	return out
}

// WithAccounts adds a pool of n mailboxes of the ministry, prefettura-001@pec.ministero.test and on, behind those that are
// always there.
func WithAccounts(n int) Option {
	return WithAccount(Mailboxes("pec.ministero.test", "prefettura", n)...)
}

// WithProfile gives the accounts that are on the mock so far a profile.
func WithProfile(name string) Option {
	return func(m *Mock) {
		for i := range m.accounts {
			m.accounts[i].Profile = name
		}
	}
}
