//go:build !race

package outbox_test

const (
	lookUps = 10_000
	checks  = "30" // of each property; -rapid.checks raises it
)
