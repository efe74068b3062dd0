package adapters

import (
	"errors"
	"testing"

	"raccordo/contracts"
)

func TestEveryKindIsReadyToBeConfigured(t *testing.T) {
	t.Parallel()
	for name, make := range Kinds() {
		cfg := make()
		if cfg == nil || cfg == make() {
			t.Errorf("%s: want a fresh configuration each time", name)
			continue
		}
		if len(cfg.Operations()) == 0 {
			t.Errorf("%s: declares no operation", name)
		}
		var fault *contracts.Fault
		if err := cfg.Validate(contracts.Produzione); !errors.As(err, &fault) {
			t.Errorf("%s: %v: the empty configuration must be at fault, by path", name, err)
		}
	}
}
