package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery"
)

func address(t testing.TB, s string) contracts.Address {
	t.Helper()
	a, err := contracts.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func message(t testing.TB) delivery.Message {
	t.Helper()
	return delivery.Message{
		Sender:   "centrale",
		To:       []delivery.Recipient{{Address: address(t, "mario.rossi@pec.example"), Basis: delivery.Basis{Kind: delivery.FromRegister, Register: "INAD", At: time.Unix(1, 0).UTC()}}},
		Protocol: &delivery.Protocol{Register: "AOO", Number: "17", Day: "2026-11-21"},
		Subject:  contracts.NewPrivate("oggetto riservato"),
		Text:     contracts.NewPrivate("codice 4711\r\nsegue\t."),
		Attachments: []delivery.Attachment{{
			Name: contracts.NewPrivate("atto di rossi.pdf"), MediaType: "application/pdf",
			Content: contracts.NewBlob([]byte("contenuto 4711")),
		}},
	}
}

func TestMessageNamesWhatIsWrong(t *testing.T) {
	many := func(n int) func(*delivery.Message) {
		return func(m *delivery.Message) {
			to := m.To[0]
			m.To = nil
			for i := range n {
				to.Address = address(t, fmt.Sprintf("a%d@pec.example", i))
				m.To = append(m.To, to)
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*delivery.Message)
		says  string // empty: valid
	}{
		"a good message":            {func(*delivery.Message) {}, ""},
		"no protocol":               {func(m *delivery.Message) { m.Protocol = nil }, ""},
		"no text":                   {func(m *delivery.Message) { m.Text = contracts.Private{} }, ""},
		"no attachments":            {func(m *delivery.Message) { m.Attachments = nil }, ""},
		"elected":                   {func(m *delivery.Message) { m.To[0].Basis = delivery.Basis{Kind: delivery.Elected} }, ""},
		"an office":                 {func(m *delivery.Message) { m.To[0].Basis = delivery.Basis{Kind: delivery.Office} }, ""},
		"as many as may be":         {many(delivery.MaxRecipients), ""},
		"letters beyond ASCII":      {func(m *delivery.Message) { m.Subject = contracts.NewPrivate("così è") }, ""},
		"a media type with charset": {func(m *delivery.Message) { m.Attachments[0].MediaType = "text/csv; charset=utf-8" }, ""},
		"no sender":                 {func(m *delivery.Message) { m.Sender = "" }, "sender"},
		"nobody":                    {func(m *delivery.Message) { m.To = nil }, "1 to 50"},
		"one too many":              {many(delivery.MaxRecipients + 1), "1 to 50"},
		"no address":                {func(m *delivery.Message) { m.To[0].Address = contracts.Address{} }, "to[0].address: missing"},
		"the same twice": {func(m *delivery.Message) {
			twin := m.To[0]
			twin.Address = address(t, "MARIO.ROSSI@pec.example")
			m.To = append(m.To, twin)
		}, "to[1].address: stands twice"},
		"no basis":                  {func(m *delivery.Message) { m.To[0].Basis = delivery.Basis{} }, "to[0].basis.kind"},
		"a register without a name": {func(m *delivery.Message) { m.To[0].Basis.Register = "" }, "to[0].basis: want register and at"},
		"a register without a day":  {func(m *delivery.Message) { m.To[0].Basis.At = time.Time{} }, "to[0].basis: want register and at"},
		"no subject":                {func(m *delivery.Message) { m.Subject = contracts.Private{} }, "subject"},
		"an endless subject":        {func(m *delivery.Message) { m.Subject = contracts.NewPrivate(strings.Repeat("x", 501)) }, "500 bytes"},
		"a line in the subject":     {func(m *delivery.Message) { m.Subject = contracts.NewPrivate("a\r\nBcc: b") }, "subject: control"},
		"a tab in the subject":      {func(m *delivery.Message) { m.Subject = contracts.NewPrivate("a\tb") }, "subject: control"},
		"a DEL in the subject":      {func(m *delivery.Message) { m.Subject = contracts.NewPrivate("a\x7f") }, "subject: control"},
		"a NUL in the text":         {func(m *delivery.Message) { m.Text = contracts.NewPrivate("a\x00b") }, "text: control"},
		"an endless text":           {func(m *delivery.Message) { m.Text = contracts.NewPrivate(strings.Repeat("x", delivery.MaxText+1)) }, "text: more than"},
		"too many files":            {func(m *delivery.Message) { m.Attachments = make([]delivery.Attachment, 21) }, "attachments: more than 20"},
		"a file without a name":     {func(m *delivery.Message) { m.Attachments[0].Name = contracts.Private{} }, "attachments[0].name"},
		"a line in a file's name":   {func(m *delivery.Message) { m.Attachments[0].Name = contracts.NewPrivate("a\nb") }, "attachments[0].name"},
		"no media type":             {func(m *delivery.Message) { m.Attachments[0].MediaType = "" }, "attachments[0].media_type"},
		"a line in a media type":    {func(m *delivery.Message) { m.Attachments[0].MediaType = "text/plain\r\nX: y" }, "attachments[0].media_type"},
		"a media type that is none": {func(m *delivery.Message) { m.Attachments[0].MediaType = "pdf; =" }, "attachments[0].media_type"},
		"too much in all": {func(m *delivery.Message) {
			m.Attachments[0].Content = contracts.NewBlob(make([]byte, delivery.MaxContent+1))
		}, "bytes in all"},
		"a protocol without a day":   {func(m *delivery.Message) { m.Protocol.Day = "21/11/2026" }, "protocol"},
		"a protocol without number":  {func(m *delivery.Message) { m.Protocol.Number = "" }, "protocol"},
		"a line in the protocol":     {func(m *delivery.Message) { m.Protocol.Number = "1\nX: y" }, "protocol"},
		"a digest given by a caller": {func(m *delivery.Message) { m.Digest = contracts.SumOf(nil) }, "digest: leave it empty"},
		"a file's digest given":      {func(m *delivery.Message) { m.Attachments[0].Digest = contracts.SumOf(nil) }, "attachments[0].digest"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(t)
			c.spoil(&m)
			err := m.Validate()
			if (err == nil) != (c.says == "") {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %q, want it to speak of %q", err, c.says)
			}
			for _, value := range []string{"rossi", "ROSSI", "4711", "Bcc", "oggetto"} {
				if strings.Contains(err.Error(), value) {
					t.Errorf("the error shows a value: %q", err)
				}
			}
		})
	}
}

// Folds are spared the files; and what is erased in the end is the same, whichever form it is made from.
func TestSlimIsTheMessageWithoutItsFiles(t *testing.T) {
	m := message(t)
	m.Secret = true
	v, had := m.Slim()
	slim := v.(delivery.Message)
	if !had || len(slim.Attachments[0].Content.Reveal()) != 0 || slim.Attachments[0].Digest != contracts.SumOf(m.Attachments[0].Content.Reveal()) {
		t.Errorf("the file: %v", slim.Attachments)
	}
	if len(m.Attachments[0].Content.Reveal()) == 0 || slim.Text.Reveal() != m.Text.Reveal() {
		t.Error("the message itself was changed, or its text is missing")
	}
	want, _ := m.Redacted()
	got, _ := slim.Redacted()
	a, aerr := contracts.Encode(want)
	b, berr := contracts.Encode(got)
	if aerr != nil || berr != nil || !bytes.Equal(a, b) {
		t.Error("the redacted forms differ")
	}
	m.Attachments = nil
	if _, had := m.Slim(); had {
		t.Error("a message without files was made slim")
	}
}

func TestRedactedKeepsDigestsOnly(t *testing.T) {
	m := message(t)
	if _, had := m.Redacted(); had {
		t.Error("a message that is no secret was redacted")
	}
	m.Secret = true
	v, had := m.Redacted()
	if !had {
		t.Fatal("a secret message was not redacted")
	}
	r := v.(delivery.Message)
	raw, err := contracts.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := m.Attachments[0].Content.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{[]byte("4711"), []byte("oggetto"), blob} {
		if bytes.Contains(raw, secret) {
			t.Errorf("%q is still there", secret)
		}
	}
	if r.Digest != contracts.SumOf([]byte(m.Text.Reveal())) || r.Attachments[0].Digest != contracts.SumOf(m.Attachments[0].Content.Reveal()) {
		t.Error("the digests are not those of what was erased")
	}
	if r.To[0] != m.To[0] || r.Protocol != m.Protocol || r.Sender != m.Sender {
		t.Error("what is needed to follow the message is gone")
	}
	if m.Text.IsZero() || m.Attachments[0].Content.IsZero() {
		t.Error("the original was changed")
	}
	back, err := delivery.OpSend.StoredRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, again := back.(delivery.Message).Redacted(); again {
		t.Error("what is redacted can be redacted again: its digests would be those of nothing")
	}
}

func TestStatuses(t *testing.T) {
	for s, final := range map[delivery.Status]bool{
		delivery.Sent: false, delivery.Accepted: false, delivery.Delayed: false, delivery.Delivered: true, delivery.Failure: true,
		delivery.TimedOut: true, delivery.Uncertified: true, delivery.NotAccepted: true, "": false,
	} {
		if s.Final() != final {
			t.Errorf("%q is final: %t", s, s.Final())
		}
	}
	of := func(all ...delivery.Status) delivery.Dispatch {
		var d delivery.Dispatch
		for _, s := range all {
			d.Recipients = append(d.Recipients, delivery.Delivery{Status: s})
		}
		return d
	}
	for name, c := range map[string]struct {
		d                delivery.Dispatch
		delivered, final bool
	}{
		"nobody":             {of(), false, false},
		"one delivered":      {of(delivery.Delivered), true, true},
		"one of two":         {of(delivery.Delivered, delivery.Accepted), false, false},
		"one failed":         {of(delivery.Delivered, delivery.Failure), false, true},
		"both delivered":     {of(delivery.Delivered, delivery.Delivered), true, true},
		"timed out":          {of(delivery.TimedOut), false, true},
		"not even accepted":  {of(delivery.Sent), false, false},
		"no proof will come": {of(delivery.Uncertified), false, true},
	} {
		if c.d.Delivered() != c.delivered || c.d.Final() != c.final {
			t.Errorf("%s: delivered %t, final %t", name, c.d.Delivered(), c.d.Final())
		}
	}
}

func TestSendIsOnceAndInItsSendersLane(t *testing.T) {
	if len(delivery.Ops()) != 1 || delivery.OpSend.Effect != contracts.Once {
		t.Error("sending may be repeated, or is not listed")
	}
	if l := delivery.OpSend.LaneOf(message(t)); l != (contracts.Lane{Name: "centrale", Rule: contracts.Pooled}) {
		t.Errorf("lane %v", l)
	}
}

func TestMessageIsStoredWholeAndPrintsMasked(t *testing.T) {
	m := message(t)
	raw, err := contracts.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := delivery.OpSend.Request(raw)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(got); err != nil || !bytes.Equal(again, raw) {
		t.Error("the message came back changed")
	}
	d := delivery.Dispatch{Recipients: []delivery.Delivery{{Address: m.To[0].Address}}}
	shown := fmt.Sprintf("%v %+v %#v %v %+v %#v %v", m, m, m, d, d, d, m.LogValue())
	for _, value := range []string{"rossi", "4711", "oggetto"} {
		if strings.Contains(shown, value) {
			t.Errorf("%q can be read", value)
		}
	}
}

func TestViaSendsThroughTheRunner(t *testing.T) {
	c := delivery.Via(contracttest.RunnerFunc(func(_ context.Context, call *contracts.Call) (any, error) {
		if call.Op != delivery.OpSend.OpInfo {
			t.Errorf("asked for %s", call.Op.Name)
		}
		return delivery.Dispatch{MessageID: "<x@y>"}, nil
	}))
	if d, err := c.Send(t.Context(), message(t)); err != nil || d.MessageID != "<x@y>" {
		t.Errorf("%v, %v", d, err)
	}
}
