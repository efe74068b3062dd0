//go:build race

package outbox_test

// The database is pure Go and pays dearly for being watched: fewer of the same.
const (
	lookUps = 2_000
	checks  = "4"
)
