package pec

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/pec"
)

// The mock is written by others from the same rules: what it makes in all its forms is read here as it is meant.

func TestEveryCertificateOfTheMockHasItsVerdict(t *testing.T) {
	want := map[mock.Certificate]struct {
		verdict Verdict
		doubt   string
		note    string
	}{
		mock.Sound:          {Valid, "", ""},
		mock.Expired:        {UntrustedChain, "SIGNED_OUTSIDE_VALIDITY", ""},
		mock.ExpiredChain:   {UntrustedChain, "CHAIN", ""},
		mock.ValidAtSigning: {ValidAtSigning, "EXPIRED", ""},
		mock.WrongSAN:       {UntrustedChain, "SIGNER_ADDRESS", ""},
		mock.WrongEKU:       {UntrustedChain, "KEY_USAGE", ""},
		mock.UnknownCA:      {UntrustedChain, "CHAIN", ""},
		mock.NoPolicy:       {Valid, "", NoteNoPolicy},
		mock.NameConstraint: {UntrustedChain, "CHAIN", ""},
		mock.SHA1:           {Valid, "", NoteSHA1},
	}
	for _, variant := range mock.Certificates() {
		t.Run(string(variant), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, mock.WithCertificate(variant))
			if _, err := w.Send(contracts.WithHold(t.Context(), newHold()), to("rossi@pec.cittadini.test")); err != nil {
				t.Fatal(err)
			}
			w.bench.Advance(time.Minute)
			all, _ := w.drain(t, nil)
			if kinds(all) != "accettazione avvenuta-consegna" {
				t.Fatalf("told %s", kinds(all))
			}
			for _, e := range all {
				r := data(t, e)
				x, known := want[variant]
				if !known || r.Verdict() != x.verdict || r.Doubt != x.doubt || strings.Join(r.Notes, " ") != x.note || r.Evidence.Counts != x.verdict.Counts() {
					t.Errorf("%s: %s (%s) notes %v, want %+v", e.Kind, r.Verdict(), r.Doubt, r.Notes, x)
				}
			}
		})
	}
}

func TestEveryFormOfTheMockIsRead(t *testing.T) {
	all := mock.Quirks{
		NoPreamble: true, SwapParts: true, Unquoted: true, Folded: true, BareText: true, DateComment: true, ExtraHeaders: true, NoReplyTo: true,
		OldNoDest: true, OnlyFailed: true, BER: true, EncodedHashes: true, BadAccents: true,
	}
	for name, quirks := range map[string]mock.Quirks{
		"as the rules have it": {}, "no preamble": {NoPreamble: true}, "swapped parts": {SwapParts: true}, "unquoted": {Unquoted: true}, "folded": {Folded: true},
		"bare text": {BareText: true}, "date with a comment": {DateComment: true}, "headers of REM": {ExtraHeaders: true}, "no answers": {NoReplyTo: true},
		"altro for an unknown mailbox": {OldNoDest: true}, "only the one that failed": {OnlyFailed: true}, "BER": {BER: true},
		"hashes of the encoded text": {EncodedHashes: true}, "broken accents": {BadAccents: true}, "all of it": all,
	} {
		for _, form := range []string{formComplete, formBrief, formShort} {
			t.Run(name+", "+form, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, func(c *Config, _ *lab.Bench) { c.Mailboxes[0].Receipt = form }, mock.WithQuirks(quirks))
				hold := newHold()
				m := to("rossi@pec.cittadini.test", "nodest.a@pec.studi.test", "timeout24.a@pec.studi.test")
				m.Attachments = []delivery.Attachment{{
					Name: contracts.NewPrivate("atto.pdf"), MediaType: "application/pdf", Content: contracts.NewBlob(bytes.Repeat([]byte("%PDF\x00\xff"), 500)),
				}}
				ctx := contracts.WithHold(t.Context(), hold)
				d, err := w.Send(ctx, m)
				if err != nil {
					t.Fatal(err)
				}
				w.bench.Advance(25 * time.Hour)
				events, _ := w.drain(t, nil)
				sent, err := hold.Keep(ctx, keptMessage, func() ([]byte, error) { return nil, errors.New("not kept") })
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					r := data(t, e)
					if r.Verdict() != Valid || !r.Evidence.Counts || len(r.Notes) != 0 {
						t.Errorf("%s: %s (%s), reason %q, notes %v", e.Kind, r.Verdict(), r.Doubt, r.Reason, r.Notes)
					}
					if e.Kind == kindPrefix+tipoConsegna {
						w.bound(t, e, sent, form, quirks.EncodedHashes)
					}
					if d, _, err = w.fold(m, d, e); err != nil {
						t.Errorf("%s: %v", e.Kind, err)
					}
				}
				if got := sketch(d); got != "delivered failed timed_out" || d.Recipients[1].Reason != delivery.ReasonUnknownMailbox {
					t.Errorf("%s, reason %s, from %s", got, d.Recipients[1].Reason, kinds(events))
				}
			})
		}
	}
}

// bound checks that a delivery receipt returns what was sent, in its form.
func (w *world) bound(t *testing.T, e contracts.Event, sent []byte, form string, encoded bool) {
	t.Helper()
	raw := slices.Concat(e.Raw...)
	if len(raw) == 0 {
		t.Fatal("the event carries no bytes")
	}
	returned := Returned(raw)
	if form == formShort {
		if returned != nil {
			t.Error("a short receipt returns a message")
		}
		return
	}
	c := Compare(returned, sent)
	var hashes []string
	if form == formBrief {
		hashes = []string{HashDecoded}
		if encoded {
			hashes = []string{HashEncoded}
		}
	}
	if c.Result != Match || !slices.Equal(c.Hashes, hashes) || c.Parts != 2 {
		t.Errorf("%+v, want hashes %v", c, hashes)
	}
}
