package wire_test

import (
	"strings"
	"testing"

	"raccordo/adapters/internal/wire"
)

func TestAnIdOfThePeersIsShortPlainAndNobodysCode(t *testing.T) {
	for said, want := range map[string]string{
		"": "", "WSPA_ERR_04": "WSPA_ERR_04", "0000-7": "0000-7", strings.Repeat("a", 200): strings.Repeat("a", 128),
		"a b": "", "a\n": "", "\u00e8": "",
		"RSSMRA85T10A562S": "", "rssmra85t10a562s": "", "12345678903": "",
		"12345678901": "12345678901", // a number of eleven digits that no office gives
	} {
		if got := wire.Clip(said); got != want {
			t.Errorf("%.20q: %q, want %q", said, got, want)
		}
	}
}
