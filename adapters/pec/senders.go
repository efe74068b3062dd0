package pec

// Senders gives the addresses of the mailboxes of each role: who can speak through this instance, and who is itself.
func (c *Config) Senders() map[string][]string {
	roles := map[string][]string{}
	for _, m := range c.Mailboxes {
		roles[m.Role] = append(roles[m.Role], m.Address)
	}
	return roles
}
