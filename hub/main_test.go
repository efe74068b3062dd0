package hub_test

import (
	"os"
	"testing"
)

// childEnv names what this binary is to do instead of running tests: it is then a hub in a process of its own, which
// tests can kill.
const childEnv = "RACCORDO_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	if err := os.Setenv("RACCORDO_TEST_OTHER", otherToken); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
