package evidence_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/evidence"
)

func TestAnExportVerifiesWithoutAHub(t *testing.T) {
	d := newDesk(t)
	id := d.delivered("k1", "P-1")
	d.delivered("k2", "P-2") // another's, in the same segments
	dir := d.export(id)
	r := verify(t, dir, trust())
	if !r.OK() || r.Tickets != 1 || r.Receipts != 3 {
		t.Errorf("%+v", r)
	}
	want := []string{
		"LEGGIMI.txt", "README.txt", "SHA256SUMS", "cronologia.txt", "ledger/SHA256SUMS", "ledger/head-000001.bin", "ledger/head-000001.sig",
		"ledger/head-000002.bin", "ledger/head-000002.sig", "ledger/key.pem", "ledger/segment-000001.jsonl", "ledger/segment-000002.jsonl",
		"manifest.json", "message.eml", "receipts/001-pec.accettazione.eml", "receipts/002-pec.avvenuta-consegna.eml",
		"receipts/003-pec.errore-consegna.eml", "story.json", "timeline.txt",
	}
	if have := files(t, dir); !slices.Equal(have, want) {
		t.Errorf("files %q", have)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "002-pec.avvenuta-consegna.eml: MATCH") }) {
		t.Errorf("the returned message was not compared: %q", r.Notes)
	}
	with := trust()
	with.Keys = append(with.Keys, d.PublicKey())
	if r := verify(t, dir, with); !r.OK() || len(r.Notes) != 2 {
		t.Errorf("with the key known: %+v", r)
	}
}

func TestACaseIsExportedWhole(t *testing.T) {
	d := newDesk(t)
	one, two := d.delivered("k1", "P-1"), d.delivered("k2", "P-1")
	d.delivered("k3", "P-2")
	dir := d.export("P-1")
	if r := verify(t, dir, trust()); !r.OK() || r.Tickets != 2 || r.Of != "P-1" || r.Receipts != 6 {
		t.Errorf("%+v", r)
	}
	for _, id := range []string{one, two} {
		for _, name := range []string{"message.eml", "cronologia.txt", "timeline.txt", "story.json", "receipts/001-pec.accettazione.eml"} {
			read(t, dir, id+"/"+name)
		}
	}
}

func TestEveryExportIsInTheLedger(t *testing.T) {
	d := newDesk(t)
	id := d.delivered("k1", "P-1")
	d.export(id)
	dir := d.export(id)
	var seen []contracts.Entry
	page, err := d.Entries(t.Context(), ledgerQuery(id))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		if e.Op == evidence.OpExport {
			seen = append(seen, e)
		}
	}
	if len(seen) != 4 {
		t.Fatalf("%d entries for two exports", len(seen))
	}
	last := seen[3]
	if last.Phase != contracts.PhaseOperator || last.Caller.User != "g.operatrice" || last.Reason != "richiesta del TAR" ||
		len(last.Proof) != 1 || last.Proof[0] != contracts.SumOf([]byte(read(t, dir, "SHA256SUMS"))) {
		t.Errorf("%+v", last)
	}
	var odd bytes.Buffer
	if err := evidence.Export(t.Context(), &odd, d, d.Ledger, evidence.Request{Of: id, Operator: "g\xff", Reason: "\x1b[2J\xff"}); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := evidence.Unpack(&odd, dir, func(evidence.File) {}); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, dir, trust()); !r.OK() {
		t.Errorf("asked for in odd bytes: %+v", r)
	}
	for what, q := range map[string]evidence.Request{
		"nobody":    {Of: id, Operator: " ", Reason: "x"},
		"no reason": {Of: id, Operator: "x"},
		"nothing":   {Operator: "x", Reason: "x"},
		"an essay":  {Of: id, Operator: "x", Reason: strings.Repeat("x", 501)},
	} {
		var out bytes.Buffer
		if err := evidence.Export(t.Context(), &out, d, d.Ledger, q); contracts.KindOf(err) != contracts.Invalid || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", what, err, out.Len())
		}
	}
	var out bytes.Buffer
	if err := evidence.Export(t.Context(), &out, d, d.Ledger, evidence.Request{Of: "nosuch", Operator: "x", Reason: "x"}); contracts.KindOf(err) != contracts.NotFound || out.Len() > 0 {
		t.Errorf("nothing of that name: %v", err)
	}
}

func TestNoExportHoldsASecret(t *testing.T) {
	settled := func(d *desk, id string) { // what the outbox does: bytes erased, digest in the entry of the settlement
		sum := d.frozen[id][0].Sum
		delete(d.frozen, id)
		d.secrets[id] = false
		d.enter(contracts.Entry{Phase: contracts.PhaseOperator, Outcome: "waiting to done", Ref: id, Reason: "r", Proof: []contracts.Sum{sum}})
	}
	for name, state := range map[string]func(*desk, string){
		"while it waits": func(*desk, string) {}, "when it is settled": settled,
		"when the ticket is gone": func(d *desk, id string) { settled(d, id); delete(d.tickets, id) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			id := d.send("k1", "P-1", letter)
			d.secrets[id] = true
			d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1"}, "")
			d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "1"},
				strings.Repeat("x", 100_000)+"content-type: MESSAGE/Rfc822\r\nCANARINO-4711")
			state(d, id)
			dir := d.export(id)
			all := ""
			for _, f := range files(t, dir) {
				all += f + read(t, dir, f)
			}
			if strings.Contains(all, "CANARINO") || strings.Contains(all, "message.eml\"") {
				t.Error("the export holds the secret")
			}
			if !strings.Contains(all, string(evidence.Withheld)) || !strings.Contains(all, string(evidence.Returned)) {
				t.Error("the export does not say what it leaves out")
			}
			r := verify(t, dir, trust())
			if gone := strings.Contains(name, "gone"); r.OK() == gone {
				t.Errorf("%+v", r)
			}
		})
	}
	d := newDesk(t)
	dir := d.export(d.delivered("k1", "P-1"))
	if !strings.Contains(read(t, dir, "message.eml"), "CANARINO") {
		t.Error("the canary does not sing where it may")
	}
}

// The hub may stop between departure and answer: then no attempt stands in the ledger, and what is erased is named beside
// the receipt that settles the ticket.
func TestASecretInDoubtStaysOne(t *testing.T) {
	d := newDesk(t)
	id := contracts.TicketID("core", "delivery.send", "k9")
	d.enter(contracts.Entry{Phase: contracts.PhaseSubmitted, Outcome: "ok", Op: "delivery.send", Ref: id})
	d.enter(contracts.Entry{Phase: contracts.PhaseIntent, Op: "delivery.send", Ref: id, System: "pec"})
	d.tickets[id] = &contracts.Ticket{ID: id, Op: "delivery.send", State: contracts.StateDone}
	d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1"}, "")
	raw := d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "1"}, "postacert.eml CANARINO")
	d.enter(contracts.Entry{
		Phase: contracts.PhaseEvent, Outcome: "pec.avvenuta-consegna", Ref: id, System: "pec",
		Proof: []contracts.Sum{contracts.SumOf(raw), contracts.SumOf([]byte("the message"))},
	})
	dir := d.export(id)
	for _, f := range files(t, dir) {
		if strings.Contains(read(t, dir, f), "CANARINO") {
			t.Errorf("%s holds the secret", f)
		}
	}
	if r := verify(t, dir, trust()); !r.OK() {
		t.Errorf("%+v", r)
	}
}

// What is frozen beside the message, such as a mark of when it left again, is neither message nor receipt, also when the
// event that settles the ticket erases it.
func TestOtherFrozenBytesAreNoMessages(t *testing.T) {
	mark := evidence.Frozen{Name: "resent", Bytes: []byte("2026-03-01T23:00:00Z"), Sum: contracts.SumOf([]byte("2026-03-01T23:00:00Z"))}
	for name, secret := range map[string]bool{"open": false, "secret": true} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			id := d.send("k1", "P-1", letter)
			message := d.frozen[id][0]
			d.frozen[id] = append(d.frozen[id], mark)
			d.secrets[id] = secret
			d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1"}, "")
			if secret {
				raw := d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "1"}, "")
				d.enter(contracts.Entry{
					Phase: contracts.PhaseEvent, Outcome: "pec.avvenuta-consegna", Ref: id, System: "pec",
					Proof: []contracts.Sum{contracts.SumOf(raw), message.Sum, mark.Sum},
				})
				delete(d.frozen, id)
			}
			dir := d.export(id)
			if r := verify(t, dir, trust()); !r.OK() {
				t.Errorf("%+v", r)
			}
			if strings.Contains(read(t, dir, "SHA256SUMS"), "resent") {
				t.Error("the mark is taken for a message")
			}
		})
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*desk, string)
		why   evidence.Why
		whole bool
	}{
		{"a receipt erased", func(d *desk, id string) { delete(d.proofs, d.tickets[id].Story[1].Proof[0]) }, evidence.Erased, false},
		{"a receipt changed in the archive", func(d *desk, id string) {
			d.proofs[d.tickets[id].Story[1].Proof[0]] = []byte("altered")
		}, evidence.Damaged, false},
		{"the message erased", func(d *desk, id string) { delete(d.frozen, id) }, evidence.Erased, false},
		{"the message changed", func(d *desk, id string) { d.frozen[id][0].Bytes = []byte("altered") }, evidence.Damaged, false},
		{"the ticket beyond its retention", func(d *desk, id string) { delete(d.tickets, id) }, evidence.Gone, false},
		{"no acceptance", func(d *desk, id string) { d.tickets[id].Story = d.tickets[id].Story[1:] }, evidence.Unheard, true},
		{"an event without bytes", func(d *desk, id string) {
			e := d.tickets[id].Story[0]
			e.Proof = nil
			d.tickets[id].Story = append(d.tickets[id].Story, e)
		}, evidence.NoFile, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			id := d.delivered("k1", "P-1")
			c.spoil(d, id)
			dir := d.export(id)
			if !strings.Contains(read(t, dir, "manifest.json"), `"`+string(c.why)+`"`) {
				t.Errorf("the manifest does not say %s", c.why)
			}
			if r := verify(t, dir, trust()); r.OK() != c.whole {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestAReceiptThatReturnsAnotherMessageIsFound(t *testing.T) {
	d := newDesk(t)
	id := d.send("k1", "P-1", letter)
	d.hear(id, "pec.accettazione", contracts.Evidence{Kind: contracts.SubmissionAcceptance, ID: "1"}, "")
	d.hear(id, "pec.avvenuta-consegna", contracts.Evidence{Kind: contracts.ContentConsignment, ID: "1"}, "returns: another")
	r := verify(t, d.export(id), trust())
	if len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "002-pec.avvenuta-consegna.eml: MISMATCH") {
		t.Errorf("%q", r.Faults)
	}
}
