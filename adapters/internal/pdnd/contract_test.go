package pdnd

import (
	"strings"
	"testing"

	"raccordo/adapters/internal/oracle"
	mock "raccordo/mocks/pdnd"
)

// What the client sends is valid by the platform's own file.
func TestTokenRequestsAreValidByTheOfficialContract(t *testing.T) {
	t.Parallel()
	contract := oracle.Load(t, "pdnd-modi/authorizationServerApi.yml")
	b, _, c := platform(t, nil)
	if _, err := authorize(t, c, mock.Activation); err != nil {
		t.Fatal(err)
	}
	for _, x := range b.Journal() {
		if err := contract.Request(x.Request, ""); err != nil {
			t.Error(err)
		}
		if contract.Request([]byte(strings.Replace(string(x.Request), "grant_type=client_credentials", "grant_type=password", 1)), "") == nil {
			t.Error("the contract takes another grant type: the oracle is blind")
		}
	}
}
