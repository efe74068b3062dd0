package pec

import (
	"reflect"
	"testing"

	"raccordo/contracts"
)

// Whoever verifies elsewhere, without our configuration, must find what the feed found.
func TestAttestFindsWhatTheFeedFound(t *testing.T) {
	stranger := newHouse(t, nil)
	mismatch := receiptOf(tipoAccettazione)
	mismatch.marker = "X-Ricevuta: avvenuta-consegna"
	for name, raw := range map[string][]byte{
		"acceptance":         receiptOf(tipoAccettazione).seal(t, usual()),
		"delivery":           receiptOf(tipoConsegna).seal(t, usual()),
		"failure":            receiptOf(tipoErrore).seal(t, usual()),
		"notice":             receiptOf(tipoPreavviso).seal(t, usual()),
		"a stranger's":       receiptOf(tipoConsegna).seal(t, stranger),
		"a false header":     mismatch.seal(t, usual()),
		"not signed at all":  []byte("Subject: x\r\n\r\ny"),
		"no message":         []byte("\x00"),
		"nothing whatsoever": nil,
	} {
		fed := office(usual()).read(raw, seenAt, seenAt).receipt.Evidence
		fed.Mailbox = ""
		if got := Attest(raw, usual().pool, seenAt); !reflect.DeepEqual(got, fed) {
			t.Errorf("%s: %+v, and the feed %+v", name, got, fed)
		}
		if got := Attest(raw, nil, seenAt); got.Counts {
			t.Errorf("%s: believed without roots", name)
		}
	}
	if fed := Attest(receiptOf(tipoConsegna).seal(t, usual()), usual().pool, seenAt); fed.Kind != contracts.ContentConsignment || !fed.Counts {
		t.Errorf("%+v", fed)
	}
}
