package contracttest_test

import (
	"errors"
	"testing"

	"raccordo/contracts/contracttest"
)

func TestStoredWholeSeesWhatIsLostAndWhatIsPrinted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		v    contracttest.Stored
		fits bool
	}{
		"a masked request":   {contracttest.Stored{Value: ask(hush), Decode: opRead.StoredRequest}, true},
		"a printed one":      {contracttest.Stored{Value: naked{hush}, Decode: func([]byte) (any, error) { return naked{hush}, nil }}, false},
		"a changed one":      {contracttest.Stored{Value: ask(hush), Decode: func([]byte) (any, error) { return ask("another"), nil }}, false},
		"one nobody reads":   {contracttest.Stored{Value: ask(hush), Decode: func([]byte) (any, error) { return nil, errors.New("no") }}, false},
		"one without a text": {contracttest.Stored{Value: func() {}, Decode: opRead.StoredRequest}, false},
	} {
		r := &recorder{}
		contracttest.StoredWhole(r, []string{hush}, map[string]contracttest.Stored{name: c.v})
		if (len(r.said) == 0) != c.fits {
			t.Errorf("%s: said %q", name, r.said)
		}
	}
}
