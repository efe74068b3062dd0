package hub_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/adapters/pec"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub/evidence"
)

// Whatever a provider may send, the evidence of it verifies: what was believed then is believed by whoever looks again
// with nothing but the folder and the roots, and what was not, is not.
func TestTheEvidenceOfEveryStoryVerifies(t *testing.T) {
	t.Parallel()
	heavy(t)
	r := newRig(t, massive)
	people := map[string]string{} // story by ticket
	for _, story := range []string{
		"plain", "nodest", "full", "virus", "slow", "timeout12", "timeout24", "late", "never", "errafter", "delafter", "unknowntipo",
		"unknownerrore", "pecinpec", "charge", "noaccept", "noacceptvirus", "noacceptreceipt", "dup", "reorder", "mute", "twoaccept",
		"foreign", "replay", "othersigner", "header", "unsigned", "badsig", "altered", "nomsgid", "expired", "expiredchain",
		"validatsigning", "wrongsan", "wrongeku", "unknownca", "nopolicy", "nameconstraint", "sha1", "ber", "nopreamble", "swapped",
		"unquoted", "folded", "datecomment", "accents", "baretext", "extraheaders", "skewfast", "zona", "greylist", "refused", "cutafter",
	} {
		m := message(t, story+".rossi@pec.cittadini.test", "EV-ALL")
		m.Secret = false
		sent, err := contracts.Submit(contracts.WithKey(r.as("EV-ALL"), "story/"+story), r.hub, delivery.OpSend, m)
		if err != nil {
			t.Fatal(err)
		}
		people[sent.ID] = story
	}
	r.until(r.bench.Clock().Now().Add(40 * time.Hour))

	dir := r.exported(t, r.hub, "EV-ALL")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.provider().RootsPEM())
	report, err := evidence.Verify(t.Context(), dir, evidence.Trust{Schemes: map[string]evidence.Scheme{"PEC": {
		Read: func(raw []byte, at time.Time) (contracts.Evidence, error) { return pec.Attest(raw, roots, at), nil },
		Match: func(raw, message []byte) evidence.Match {
			if returned := pec.Returned(raw); returned != nil {
				c := pec.Compare(returned, message)
				return evidence.Match{Result: c.Result, Detail: strings.Join(c.Differ, " "), Fault: c.Result != pec.Match}
			}
			return evidence.Match{}
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	named := func(line string) string {
		for id, story := range people {
			line = strings.ReplaceAll(line, id, story)
		}
		return line
	}
	mismatch := 0
	for _, f := range report.Faults {
		if f = named(f); strings.Contains(f, "pecinpec/receipts/002-pec.avvenuta-consegna.eml: MISMATCH") {
			mismatch++ // what that provider returns is indeed another message
			continue
		}
		t.Errorf("fault: %s", f)
	}
	if mismatch != 1 {
		t.Error("that a receipt returns another message than was sent is not said")
	}
	if report.Tickets != len(people) || report.Receipts < len(people) {
		t.Errorf("%d tickets, %d receipts", report.Tickets, report.Receipts)
	}
	notes := named(strings.Join(report.Notes, "\n"))
	for _, want := range []string{
		"ticket noacceptreceipt: acceptance", "ticket mute: acceptance", "badsig/receipts/", "altered/receipts/", "plain/receipts/002-pec.avvenuta-consegna.eml: MATCH",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q:\n%s", want, notes)
		}
	}
	m := manifestOf(t, dir)
	if !slices.ContainsFunc(m.Tickets, func(t evidence.Ticket) bool { return people[t.ID] == "late" && len(t.Receipts) == 3 }) {
		t.Error("of the late delivery not all three receipts are there")
	}
}
