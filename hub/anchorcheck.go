package hub

import (
	"maps"
	"slices"
	"strings"

	"raccordo/contracts"
)

// A Speaker is an adapter's settings that can tell who speaks through it: the addresses of the mailboxes of each role.
type Speaker interface{ Senders() map[string][]string }

// validateAnchor compares ledger.anchor with the adapters: the role that sends must be somebody's, and in produzione the
// other administrator must be another.
func (c *Config) validateAnchor(d *document) {
	a := c.Ledger.Anchor
	if !a.Sends() || a.Sender == "" {
		return
	}
	if _, taken := c.API.Callers[anchorService]; taken {
		d.faults("", contracts.Faultf(join("api.callers", anchorService), "this name is the hub's own, in which it sends the ledger's heads; name the caller otherwise"))
	}
	known, own := false, false
	for _, name := range slices.Sorted(maps.Keys(c.Adapters)) {
		s, ok := c.Adapters[name].Config.(Speaker)
		if !ok {
			continue
		}
		for role, addresses := range s.Senders() {
			known = known || role == a.Sender
			own = own || slices.ContainsFunc(addresses, func(at string) bool { return strings.EqualFold(at, a.To) })
		}
	}
	if !known {
		d.faults("", contracts.Faultf("ledger.anchor.sender", "no adapter has a mailbox of this role"))
	}
	if own && c.Environment == contracts.Produzione {
		d.faults("", contracts.Faultf("ledger.anchor.to", "is a mailbox of this hub: name one that another administrator keeps"))
	}
}
