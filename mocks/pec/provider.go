package pec

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // receipts carry Rome's time also where the machine has no zone files
)

// A provider is one certified-mail house: its own name, key and domains.
type provider struct {
	index   int
	name    string   // as written in gestore-emittente
	domain  string   // the house's own domain, in identifiers and in the receipts' From
	domains []string // the certified domains it hosts
}

func (p provider) from() string { return "posta-certificata@" + p.domain }

// providers is the whole of the certified world as the mock knows it. Any other domain but [OrdinaryDomain] does not exist.
func providers() []provider {
	return []provider{
		{0, "Gestore Uno S.p.A.", "gestore-uno.test", []string{"pec.ministero.test", "pec.imprese.test"}},
		{1, "Gestore Due S.p.A.", "gestore-due.test", []string{"pec.cittadini.test", "pec.studi.test"}},
	}
}

// OrdinaryDomain is the one domain of ordinary mail: a recipient there is "esterno" in the acceptance and yields no
// delivery receipt.
const OrdinaryDomain = "posta.test"

// hostOf finds the provider of a domain; ok is false for ordinary and unknown domains.
func hostOf(address string) (p provider, ok bool) {
	domain := domainOf(address)
	for _, p := range providers() {
		for _, d := range p.domains {
			if d == domain {
				return p, true
			}
		}
	}
	return provider{}, false
}

func domainOf(address string) string {
	_, domain, _ := strings.Cut(address, "@")
	return strings.ToLower(domain)
}

// An Account is a mailbox that can be logged into, by SMTP and by IMAP.
type Account struct {
	Name     string // short, for configuration files: "centrale"
	Address  string // the certified address, also the only one it may send from
	User     string
	Password string // synthetic
	Profile  string // the manner of its house; see [Profiles]
}

func defaultAccounts() []Account {
	var out []Account
	for _, a := range []struct{ name, address string }{
		{"centrale", "centrale@pec.ministero.test"},
		{"prefettura-mi", "prefettura.mi@pec.ministero.test"},
		{"prefettura-rm", "prefettura.rm@pec.ministero.test"},
		{"studio", "studio@pec.studi.test"},
	} {
		out = append(out, Account{Name: a.name, Address: a.address, User: a.address, Password: fmt.Sprintf("casella-%s-di-prova", a.name)})
	}
	return out
}

// rome gives the zone that every date of a provider is written in.
func rome() *time.Location {
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic("pec: no zone data although it is linked in: " + err.Error())
	}
	return zone
}
