package pec

import (
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// A mailbox may be given another name while receipts are due: they are found anew under that name, and count.
func TestReceiptsCountWhenTheirMailboxWasRenamed(t *testing.T) {
	w, _ := newPool(t, 2, nil)
	h, m := fresh(1), to("rossi@pec.cittadini.test")
	sent, err := w.sendFrom(t, w.boxes[0], h, m)
	if err != nil {
		t.Fatal(err)
	}
	w.bench.Advance(time.Minute)
	events, _, err := w.Sources()[w.boxes[0].Name].Feed(t.Context(), nil)
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events: %v", len(events), err)
	}
	sofar := sent
	sofar.Mailbox = "before"
	for _, e := range events {
		if sofar, _, err = w.fold(m, sofar, e); err != nil {
			t.Fatal(err)
		}
	}
	if !sofar.Delivered() || sofar.Mailbox != w.boxes[0].Name {
		t.Errorf("%+v", sofar)
	}
	sofar = sent
	sofar.Mailbox = w.boxes[1].Name // that is there, and did not get them
	if _, _, err := w.fold(m, sofar, events[0]); contracts.KindOf(err) != contracts.Malformed {
		t.Errorf("found in another mailbox that is configured: %v", err)
	}
	sofar = sent
	sofar.Mailbox, sofar.MessageID = "before", "<h1.other.1@pec.ente.test>"
	if _, _, err := w.fold(m, sofar, events[0]); contracts.KindOf(err) != contracts.Malformed {
		t.Errorf("about another message: %v", err)
	}
}

// A receipt that nobody can read, or that is not given, is no silence: the message that its header names was heard of.
func TestAnUnreadableReceiptIsNoSilence(t *testing.T) {
	t.Parallel()
	id := "h1." + ticketOf(1) + ".1@pec.ente.test"
	l := receiptOf(tipoAccettazione)
	l.rif, l.daticert = "<"+id+">", strings.Replace(xmlOf(tipoAccettazione, id), tipoAccettazione, "altro-tipo", 1)
	unreadable := l.seal(t, usual())
	for _, c := range []struct {
		name, mood string
		raw        []byte
		want       contracts.Kind
	}{
		{"of a type that nobody knows", "", unreadable, contracts.Conflict},
		{"cut short", "", receiptFor(t, tipoAccettazione, ticketOf(1))[:1500], contracts.Conflict},
		{"given without its bytes", "empty", receiptFor(t, tipoAccettazione, ticketOf(1)), contracts.Unavailable},
		{"somebody else's", "", receiptFor(t, tipoAccettazione, ticketOf(2)), contracts.Uncertain},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMoody(t, "INBOX")
			in := m.inbox(t, nil)
			m.put("INBOX", c.mood, c.raw)
			h := newHold()
			h.id = ticketOf(1)
			_, err := in.resolve(contracts.WithHold(t.Context(), h), delivery.Message{Sender: office1})
			if contracts.KindOf(err) != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}
