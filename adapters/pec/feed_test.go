package pec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/pec"
)

// Feed reads the first mailbox.
func (w *world) Feed(ctx context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	return w.Sources()[w.box.Name].Feed(ctx, from)
}

// drain feeds until nothing new comes.
func (w *world) drain(t *testing.T, from contracts.Cursor) (all []contracts.Event, at contracts.Cursor) {
	t.Helper()
	for range 100 {
		events, next, err := w.Feed(t.Context(), from)
		if err != nil {
			t.Fatalf("feed: %v", err)
		}
		all, from = append(all, events...), next
		for _, e := range events {
			w.kept = append(w.kept, e.Raw...)
		}
		if len(events) == 0 {
			return all, from
		}
	}
	t.Fatal("the feed does not come to an end")
	return nil, nil
}

func data(t *testing.T, e contracts.Event) Receipt {
	t.Helper()
	var r Receipt
	if err := json.Unmarshal(e.Data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFeedTellsEachMessageOnceAndProvesIt(t *testing.T) {
	w := newWorld(t, nil)
	ctx := contracts.WithHold(t.Context(), newHold())
	if _, err := w.Send(ctx, to("rossi@pec.cittadini.test", "nodest.a@pec.studi.test")); err != nil {
		t.Fatal(err)
	}
	events, at := w.drain(t, nil)
	if kinds(events) != "accettazione" {
		t.Fatalf("at once: %s", kinds(events))
	}
	w.bench.Advance(time.Minute)
	more, at := w.drain(t, at)
	if len(more) != 2 {
		t.Fatalf("a minute later: %s", kinds(more))
	}
	if none, _ := w.drain(t, at); len(none) != 0 {
		t.Errorf("told again: %s", kinds(none))
	}
	again, _ := w.drain(t, nil)
	for i, e := range append(events, more...) {
		if e.ID == "" || e.ID != again[i].ID || e.Ref != "abcdefghijklmnopqrstuvwxyz" || len(e.Proof) != 1 || len(e.Raw) != 1 || e.Proof[0] != contracts.SumOf(e.Raw[0]) || e.At.IsZero() {
			t.Errorf("event %d: %+v; read again %s", i, e, again[i].ID)
		}
		if r := data(t, e); r.Verdict() != Valid || r.Evidence.Mailbox != w.box.Name || !r.Evidence.IssuedAt.Equal(e.At) || r.Received.IsZero() {
			t.Errorf("event %d: %+v", i, r)
		}
		if bytes.Contains(e.Data, []byte("MIME-Version")) {
			t.Errorf("event %d carries the message's bytes", i)
		}
	}
}

func TestFeedReadsARenumberedMailboxAnew(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("rossi@pec.cittadini.test")); err != nil {
		t.Fatal(err)
	}
	w.bench.Advance(time.Minute)
	before, at := w.drain(t, nil)
	if err := w.mock.BumpUIDValidity(w.box.Address, "INBOX"); err != nil {
		t.Fatal(err)
	}
	again, at := w.drain(t, at)
	if len(again) != len(before) || len(again) != 2 || again[0].ID != before[0].ID || again[1].ID != before[1].ID {
		t.Errorf("before %s, after %s", kinds(before), kinds(again))
	}
	if none, _ := w.drain(t, at); len(none) != 0 {
		t.Errorf("told once more: %s", kinds(none))
	}
	if lost, _ := w.drain(t, contracts.Cursor("no cursor")); len(lost) != 2 {
		t.Errorf("a cursor that cannot be read: %s", kinds(lost))
	}
}

func TestFeedGoesOnAfterAFailure(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*world)
		kinds []contracts.Kind
	}{
		{"no connection", func(w *world) { w.bench.Inject(lab.Fault{Match: "pec imap login", Times: 1, Do: lab.Drop}) }, []contracts.Kind{contracts.Unavailable}},
		{"too many connections", func(w *world) { w.mock.RefuseLogins(1) }, []contracts.Kind{contracts.Throttled}},
		{"away", func(w *world) {
			w.bench.Inject(lab.Fault{Match: "pec imap select", Times: 1, Do: lab.Status, Status: 503})
		}, []contracts.Kind{contracts.Unavailable}},
		{"not let in", func(w *world) {
			w.bench.Inject(lab.Fault{Match: "pec imap login", Times: 1, Do: lab.Status, Status: 401})
		}, []contracts.Kind{contracts.Denied}},
		{"cut in the search", func(w *world) { w.bench.Inject(lab.Fault{Match: "pec imap search", Times: 1, Do: lab.Drop}) }, []contracts.Kind{contracts.Unavailable}},
		{"noise", func(w *world) { w.bench.Inject(lab.Fault{Match: "pec imap search", Times: 1, Do: lab.Garbage}) }, []contracts.Kind{contracts.Malformed, contracts.Unavailable}},
		{"cut amid a message", func(w *world) { w.mock.CutFetches(1) }, []contracts.Kind{contracts.Unavailable, contracts.Malformed}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("rossi@pec.cittadini.test")); err != nil {
				t.Fatal(err)
			}
			tc.spoil(w)
			events, at, err := w.Feed(t.Context(), nil)
			var e *contracts.Error
			if !errors.As(err, &e) || len(events) != 0 || len(at) != 0 || e.System != "pec" || strings.ContainsAny(e.Error(), "@\n") {
				t.Fatalf("%d events, %v", len(events), err)
			}
			if !contains(tc.kinds, e.Kind) {
				t.Errorf("kind %s, want %v: %v", e.Kind, tc.kinds, err)
			}
			if all, _ := w.drain(t, at); kinds(all) != "accettazione" {
				t.Errorf("afterwards: %s", kinds(all))
			}
		})
	}
}

func contains(all []contracts.Kind, k contracts.Kind) bool {
	for _, x := range all {
		if x == k {
			return true
		}
	}
	return false
}

func TestOneMailboxDoesNotStopTheOthers(t *testing.T) {
	var log bytes.Buffer
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	w := newWorld(t, func(c *Config, _ *lab.Bench) {
		locked, mute := c.Mailboxes[0], c.Mailboxes[0]
		locked.Name, locked.Role, locked.Address, locked.User = "altra", "altra", "altra@pec.ministero.test", "altra"
		mute.Name, mute.Role, mute.Address, mute.IMAPS = "muta", "muta", "muta@pec.ministero.test", silent.Addr().String()
		c.Mailboxes = append(c.Mailboxes, locked, mute)
	})
	w.Adapter.env.Log = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("rossi@pec.cittadini.test")); err != nil {
		t.Fatal(err)
	}
	sources := w.Sources()
	if len(sources) != 3 {
		t.Fatalf("%d sources", len(sources))
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() {
		_, _, err := sources["muta"].Feed(ctx, nil)
		waits <- err
	}()
	for range 2 {
		if _, at, err := sources["altra"].Feed(t.Context(), nil); contracts.KindOf(orNone(err)) != contracts.Denied || len(at) != 0 {
			t.Errorf("the locked mailbox: %v", err)
		}
	}
	if all, _ := w.drain(t, nil); kinds(all) != "accettazione" {
		t.Errorf("told %s", kinds(all))
	}
	if n := strings.Count(log.String(), "mailbox cannot be read"); n != 1 {
		t.Errorf("%d lines tell of the mailbox that fails, want one: %s", n, log.String())
	}
	cancel()
	if err := <-waits; contracts.KindOf(orNone(err)) != contracts.Unavailable {
		t.Errorf("the mute server: %v", err)
	}
}

func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func TestFeedOfWhatIsNoReceipt(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *lab.Bench) { c.MaxReceipt = 64 << 10 })
	put := func(raw string) {
		t.Helper()
		if err := w.mock.Put(w.box.Address, "INBOX", []byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	put("From: a@b.test\r\nSubject: x\r\n\r\nhello\r\n")
	put("no header at all")
	put("From: a@b.test\r\nX-Ricevuta: accettazione\r\n\r\n" + strings.Repeat("too much of it\r\n", 8<<10))
	put("From: a@b.test\r\nSubject: x\r\n\r\n" + strings.Repeat("somebody's holiday\r\n", 8<<10))
	if err := w.mock.DeliverAnomaly(w.box.Address, []byte("From: mailer-daemon@posta.test\r\nSubject: bounce\r\n\r\nno\r\n")); err != nil {
		t.Fatal(err)
	}
	all, _ := w.drain(t, nil)
	if kinds(all) != "foreign anomaly anomaly foreign anomaly" {
		t.Fatalf("told %s", kinds(all))
	}
	for i, want := range []string{ReasonOrdinary, string(unreadableMIME), ReasonOversize, ReasonOrdinary, ReasonAnomalyEnv} {
		if r := data(t, all[i]); r.Reason != want || all[i].Ref != "" || all[i].At.IsZero() || all[i].ID == "" {
			t.Errorf("event %d: reason %s, ref %q; want %s", i, r.Reason, all[i].Ref, want)
		}
		// What is too big is not fetched, and other people's letters are not ours to keep.
		if proofs := len(all[i].Proof); (proofs == 1) != (want != ReasonOversize && want != ReasonOrdinary) || len(all[i].Raw) != proofs {
			t.Errorf("event %d has %d proofs and %d raw", i, proofs, len(all[i].Raw))
		}
	}
	if r := data(t, all[4]); r.Verdict() != Valid { // signed by our own provider all the same
		t.Errorf("anomaly envelope: %s (%s)", r.Verdict(), r.Doubt)
	}
}

func TestArchiveThatIsFullHoldsTheCursor(t *testing.T) {
	w := newWorld(t, nil)
	m := to("rossi@pec.cittadini.test")
	m.Attachments = []delivery.Attachment{{Name: contracts.NewPrivate("a.bin"), MediaType: "application/octet-stream", Content: contracts.NewBlob(bytes.Repeat([]byte("0123456789abcdef"), 32<<10))}}
	if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), m); err != nil {
		t.Fatal(err)
	}
	w.bench.Advance(time.Minute)
	keep := w.Adapter.env.Keep
	w.Adapter.env.Keep = func(context.Context, io.Reader, int64) (contracts.Sum, error) {
		return contracts.Sum{}, contracts.Errorf(contracts.Unavailable, "disk full")
	}
	first, at, err := w.Feed(t.Context(), nil)
	if err != nil || kinds(first) != "accettazione" {
		t.Fatalf("told %s, %v", kinds(first), err)
	}
	for range 2 * maxCuts { // that is no fault of the message's
		if _, _, err := w.Feed(t.Context(), at); contracts.KindOf(orNone(err)) != contracts.Unavailable {
			t.Fatalf("feed: %v", err)
		}
	}
	w.Adapter.env.Keep = keep
	all, _ := w.drain(t, at)
	if kinds(all) != "avvenuta-consegna" {
		t.Fatalf("afterwards: %s", kinds(all))
	}
	if e := all[0]; len(e.Raw) != 0 || len(e.Proof) != 1 || len(w.kept) == 0 || e.Proof[0] != contracts.SumOf(w.kept[0]) || len(w.kept[0]) <= contracts.MaxRaw {
		t.Errorf("proof %v of %d kept", e.Proof, len(w.kept))
	}
}

func TestReceiptsInEveryDress(t *testing.T) {
	for name, q := range map[string]mock.Quirks{
		"as the rules have it": {}, "no preamble": {NoPreamble: true}, "parts swapped": {SwapParts: true}, "unquoted": {Unquoted: true}, "one text": {BareText: true},
		"date with a comment": {DateComment: true}, "extra headers": {ExtraHeaders: true}, "no reply-to": {NoReplyTo: true}, "old unknown mailbox": {OldNoDest: true},
		"only the failed recipient": {OnlyFailed: true}, "BER": {BER: true}, "broken accents": {BadAccents: true},
		"all at once": {NoPreamble: true, SwapParts: true, Unquoted: true, BareText: true, DateComment: true, ExtraHeaders: true, NoReplyTo: true, OldNoDest: true, OnlyFailed: true, BER: true, BadAccents: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, mock.WithQuirks(q))
			id := w.submit(t, "1", to("rossi@pec.cittadini.test", "nodest.a@pec.studi.test"))
			ticket, d := w.follow(t, id, settled)
			if sketch(d) != "delivered failed" || ticket.Err.Code != delivery.ReasonUnknownMailbox || len(w.run.Faults()) != 0 {
				t.Errorf("%q %v, faults %v", sketch(d), ticket.Err, w.run.Faults())
			}
		})
	}
}

func TestCertificatesThatMoveNothing(t *testing.T) {
	for variant, want := range map[mock.Certificate]Verdict{
		mock.Sound: Valid, mock.SHA1: Valid, mock.Expired: UntrustedChain, mock.WrongSAN: UntrustedChain, mock.WrongEKU: UntrustedChain, mock.UnknownCA: UntrustedChain,
	} {
		t.Run(string(variant), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, mock.WithCertificate(variant))
			m := to("rossi@pec.cittadini.test")
			d, err := w.Send(contracts.WithHold(t.Context(), newHold()), m)
			if err != nil {
				t.Fatal(err)
			}
			w.bench.Advance(time.Minute)
			all, _ := w.drain(t, nil)
			if kinds(all) != "accettazione avvenuta-consegna" {
				t.Fatalf("told %s", kinds(all))
			}
			for _, e := range all {
				if r := data(t, e); r.Verdict() != want {
					t.Errorf("%s: %s (%s), want %s", e.Kind, r.Verdict(), r.Doubt, want)
				}
				d, _, err = w.fold(m, d, e)
				if (err == nil) != want.Counts() {
					t.Errorf("%s: folded with %v", e.Kind, err)
				}
			}
			if d.Delivered() != want.Counts() {
				t.Errorf("delivered %t", d.Delivered())
			}
		})
	}
}

func TestAlteredReceiptMovesNothing(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.bench.Misbehave("bad-signature", 1); err != nil {
		t.Fatal(err)
	}
	id := w.submit(t, "1", to("rossi@pec.cittadini.test"))
	n := 0
	ticket, d := w.follow(t, id, func(contracts.Ticket) bool { n++; return n > 30 })
	if ticket.State != contracts.StateWaiting || d.Recipients[0].Status != delivery.Sent || len(ticket.Story) != 0 {
		t.Errorf("state %s, %+v", ticket.State, d)
	}
	if faults := w.run.Faults(); len(faults) < 2 || !strings.Contains(faults[0].Error(), string(BadSignature)) {
		t.Errorf("nobody is told: %v", faults)
	}
	if all, _ := w.drain(t, nil); len(all) == 0 || len(w.kept) != len(all) {
		t.Errorf("of %d that were not believed %d were archived", len(all), len(w.kept))
	}
}

func TestDisorderOfReceipts(t *testing.T) {
	for _, tc := range []struct {
		name  string
		more  func(id, other string) []mock.Extra
		want  string
		state contracts.State
	}{
		{"an error after the delivery", func(id, _ string) []mock.Extra {
			return []mock.Extra{{Identificativo: id, Kind: mock.DeliveryError, Recipient: "rossi@pec.cittadini.test", Reason: mock.Other, Code: "5.0.0"}}
		}, "delivered:CONFLICT", contracts.StateDone},
		{"a second acceptance", func(id, other string) []mock.Extra {
			return []mock.Extra{{Identificativo: id, Kind: mock.Acceptance, As: other}}
		}, "delivered DOUBLE_SUBMISSION", contracts.StateDone},
		{"a refusal after all", func(id, _ string) []mock.Extra {
			return []mock.Extra{{Identificativo: id, Kind: mock.NonAcceptance, Reason: mock.Other, Code: "5.0.0"}}
		}, "delivered CONFLICT", contracts.StateDone},
		{"a notice of virus between providers", func(id, _ string) []mock.Extra {
			return []mock.Extra{{Identificativo: id, Kind: mock.VirusFound, Recipient: "rossi@pec.cittadini.test", Reason: mock.Virus, Code: "5.7.1"}}
		}, "delivered", contracts.StateDone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			ticket := w.submit(t, "1", to("rossi@pec.cittadini.test"))
			w.follow(t, ticket, settled)
			w.bench.Advance(time.Minute)
			for _, e := range tc.more(w.mock.Accepted()[0].Identificativo, "mock1.20261121100000.99999@gestore-uno.test") {
				if err := w.mock.Issue(e); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			got, d := w.follow(t, ticket, func(contracts.Ticket) bool { n++; return n > 3 })
			if sketch(d) != tc.want || got.State != tc.state || len(w.run.Faults()) != 0 {
				t.Errorf("%q and %s, want %q and %s; faults %v", sketch(d), got.State, tc.want, tc.state, w.run.Faults())
			}
		})
	}
}

func TestMessageToOurselvesIsOneDeliveryAndOneEnvelope(t *testing.T) {
	w := newWorld(t, nil)
	id := w.submit(t, "1", to(w.box.Address))
	ticket, d := w.follow(t, id, settled)
	if sketch(d) != "delivered" || kinds(ticket.Story) != "accettazione avvenuta-consegna" {
		t.Errorf("%q, story %q", sketch(d), kinds(ticket.Story))
	}
	strays := w.run.Strays()
	if len(strays) != 1 || strays[0].Kind != KindEnvelope || data(t, strays[0]).Verdict() != Valid {
		t.Errorf("strays %s", kinds(strays))
	}
}

func TestReplayedReceiptWithOtherHeadersIsAnAnomaly(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("never.a@pec.cittadini.test")); err != nil {
		t.Fatal(err)
	}
	events, at := w.drain(t, nil)
	raw := w.kept[0]
	for _, swap := range [][2]string{
		{"X-Ricevuta: accettazione", "X-Ricevuta: avvenuta-consegna"},
		{"X-Riferimento-Message-ID: <h1.", "X-Riferimento-Message-ID: <h1.z"},
	} {
		if err := w.mock.Put(w.box.Address, "INBOX", bytes.Replace(raw, []byte(swap[0]), []byte(swap[1]), 1)); err != nil {
			t.Fatal(err)
		}
	}
	more, _ := w.drain(t, at)
	if kinds(events) != "accettazione" || kinds(more) != "anomaly anomaly" {
		t.Fatalf("told %s then %s", kinds(events), kinds(more))
	}
	m := to("never.a@pec.cittadini.test")
	for _, e := range more {
		if r := data(t, e); r.Reason != ReasonMismatch || r.Verdict() != Valid || e.Ref == "" {
			t.Errorf("%+v", r)
		}
		if _, _, err := w.fold(m, delivery.Dispatch{}, e); err == nil {
			t.Error("an anomaly moved a ticket")
		}
	}
}
