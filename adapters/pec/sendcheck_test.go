package pec

import (
	"archive/zip"
	"bytes"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/mocks/lab"
)

func attach(m delivery.Message, name string, content []byte) delivery.Message {
	m.Attachments = append(slices.Clone(m.Attachments), delivery.Attachment{
		Name: contracts.NewPrivate(name), MediaType: "application/octet-stream", Content: contracts.NewBlob(content),
	})
	return m
}

func zipOf(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFilesThatProvidersRefuseNeverLeave(t *testing.T) {
	w, _ := newPool(t, 1, nil)
	plain := to("rossi@pec.cittadini.test")
	many := make([]string, maxZipped+1)
	for i := range many {
		many[i] = "a.txt"
	}
	for _, tc := range []struct {
		name, says string // empty: taken
		m          delivery.Message
	}{
		{"a document", "", attach(plain, "atto.pdf", nil)},
		{"a signed document", "", attach(plain, "atto.pdf.p7m", nil)},
		{"no extension", "", attach(plain, "exe", nil)},
		{"a program", "attachments[0].name: providers refuse .exe", attach(plain, "rossi.exe", nil)},
		{"the second file", "attachments[1].name: providers refuse .js", attach(attach(plain, "a.pdf", nil), "rossi.js", nil)},
		{"in capitals", ".bat", attach(plain, "ROSSI.BAT", nil)},
		{"behind another extension", ".scr", attach(plain, "rossi.pdf.scr", nil)},
		{"with a dot and a blank behind", ".vbs", attach(plain, "rossi.vbs. ", nil)},
		{"a zip of documents", "", attach(plain, "atti.zip", zipOf(t, "a.pdf", "cartella/b.xml"))},
		{"a program in a zip", "attachments[0]: holds a .lnk file", attach(plain, "rossi.zip", zipOf(t, "a.pdf", "cartella/rossi.LNK"))},
		{"in a zip of another name", "holds a .msi file", attach(plain, "rossi.dat", zipOf(t, "rossi.msi"))},
		{"in a zip behind other bytes", "holds a .ps1 file", attach(plain, "rossi.dat", append([]byte("%PDF-1.7 "), zipOf(t, "rossi.ps1")...))},
		{"an office document, which is a zip", "", attach(plain, "a.docx", zipOf(t, "[Content_Types].xml", "word/document.xml"))},
		{"a zip of very many files", "more than 10000 files", attach(plain, "rossi.zip", zipOf(t, many...))},
		{"a broken zip", "", attach(plain, "a.zip", zipOf(t, "rossi.exe")[:60])},
		{"a name as long as may be", "", attach(plain, strings.Repeat("è", maxFileName/2), nil)},
		{"a longer one", "attachments[0].name: more than 200 bytes", attach(plain, strings.Repeat("r", maxFileName+1), nil)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := w.covers(tc.m)
			if tc.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if contracts.KindOf(err) != contracts.Invalid || !strings.Contains(err.Error(), tc.says) || strings.Contains(strings.ToLower(err.Error()), "rossi") {
				t.Errorf("%v, want %q and no name", err, tc.says)
			}
			h := fresh(1)
			if _, err := w.Send(contracts.WithHold(t.Context(), h), tc.m); contracts.KindOf(err) != contracts.Invalid || h.departed+h.rendered != 0 {
				t.Errorf("sent: %v, departed %d times", err, h.departed)
			}
		})
	}
	if n := w.bench.Sent("pec *"); n != 0 {
		t.Errorf("%d exchanges", n)
	}
	w.Adapter.blocked = map[string]bool{}
	if err := w.covers(attach(plain, "a.exe", nil)); err != nil {
		t.Errorf("with an empty list: %v", err)
	}
}

func FuzzZipped(f *testing.F) {
	f.Add(zipOf(f, "a.exe", "b.pdf"))
	f.Add(append([]byte("MZ"), zipOf(f)...))
	f.Add([]byte("PK\x05\x06"))
	f.Add(append(bytes.Repeat([]byte("PK\x01\x02"), 30), bytes.Repeat([]byte("PK\x05\x06"), 8)...))
	f.Fuzz(func(t *testing.T, content []byte) {
		names := 0
		zipped(content, func(string) string { names++; return "" })
		if names > maxZipped || names > len(content) {
			t.Fatalf("%d names in %d bytes", names, len(content))
		}
	})
}

// Texts that try to break out of where they stand. Some cannot be submitted at all; those that can must stay text.
var breakouts = []string{
	"a\r\nBcc: x@evil.test", "a\nBcc: x@evil.test", "a\rBcc: x@evil.test", "a\r\n\r\nbody", "\r\n.\r\nMAIL FROM:<x@evil.test>", "\n.\n",
	"a\u0085Bcc: x", "a\u2028Bcc: x", "=?utf-8?Q?=0D=0ABcc:_x=40evil.test?=", "=?utf-8?b?DQpCY2M6IHg=?=", `"; filename=x.exe; x="`, "a\x00b",
	"a;b\\\"c", "\xff\xfe", strings.Repeat("x", 400), strings.Repeat("è", 200), "=cmd|'/c calc'!A0", "\x1b[2J", "%0d%0aBcc:%20x", "名前 \U0001F600",
}

func TestNoTextBreaksOutOfItsPlace(t *testing.T) {
	w, _ := newPool(t, 1, nil)
	b := w.boxes[0]
	now := w.bench.Clock().Now()
	tried := 0
	try := func(m delivery.Message) {
		t.Helper()
		if m.Validate() != nil || w.inspect(m) != nil {
			return // it never comes so far
		}
		tried++
		raw, err := b.compose("h1.abc.1@pec.ministero.test", m, now, 5<<20)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		if err := preflight(raw, "h1.abc.1@pec.ministero.test", b, m); err != nil {
			t.Errorf("%v", err)
		}
		msg, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		for name := range msg.Header {
			if !slices.Contains([]string{
				"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Transfer-Encoding", "X-Tiporicevuta", "X-Riferimento-Protocollo",
			}, name) {
				t.Errorf("a field %s", name)
			}
		}
		if i := bytes.Index(raw, []byte("\r\n.\r\n")); i >= 0 && m.Text.Reveal() != "\n.\n" && !strings.Contains(m.Text.Reveal(), ".") {
			t.Error("a line of one dot")
		}
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") || slices.ContainsFunc(line, func(c byte) bool { return c >= 0x80 }) {
				t.Fatalf("a line that cannot travel, of %d bytes", len(line))
			}
		}
	}
	for _, text := range breakouts {
		m := to("rossi@pec.cittadini.test")
		m.Subject = contracts.NewPrivate(text)
		try(m)
		m = to("rossi@pec.cittadini.test")
		m.Text = contracts.NewPrivate(text)
		try(m)
		try(attach(to("rossi@pec.cittadini.test"), text, []byte(text)))
		m = attach(to("rossi@pec.cittadini.test"), "a.txt", nil)
		m.Attachments[0].MediaType = "text/plain; name=" + text
		try(m)
		m = to("rossi@pec.cittadini.test")
		m.Protocol = &delivery.Protocol{Register: text, Number: text, Day: "2026-11-23"}
		if len(text) < 100 {
			try(m)
		}
		if _, err := contracts.ParseAddress(text + "@pec.cittadini.test"); err == nil && !strings.HasPrefix(text, "=") {
			t.Errorf("%q is half of an address", text)
		}
	}
	if tried < len(breakouts) {
		t.Errorf("%d messages were made", tried)
	}
}

func FuzzCompose(f *testing.F) {
	for _, text := range breakouts {
		f.Add(text, text, text)
	}
	b := &mailbox{Mailbox: Mailbox{Receipt: formComplete}, address: to("a@pec.ministero.test").To[0].Address}
	f.Fuzz(func(t *testing.T, subject, text, name string) {
		m := to("rossi@pec.cittadini.test")
		m.Subject, m.Text = contracts.NewPrivate(subject), contracts.NewPrivate(text)
		m = attach(m, name, []byte(text))
		if m.Validate() != nil || len(name) > maxFileName {
			return
		}
		raw, err := b.compose("h1.abc.1@pec.ministero.test", m, opening, 5<<20)
		if err != nil {
			if contracts.KindOf(err) != contracts.Invalid {
				t.Fatal(err)
			}
			return
		}
		if err := preflight(raw, "h1.abc.1@pec.ministero.test", b, m); err != nil {
			t.Fatal(err)
		}
		msg, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if kind, _, err := mime.ParseMediaType(msg.Header.Get("Content-Type")); err != nil || kind != "multipart/mixed" || len(msg.Header) != 8 {
			t.Fatalf("%s: %v, %d fields", kind, err, len(msg.Header))
		}
	})
}

// Bytes that are not those of the message, or of another mailbox, do not leave, wherever they came from.
func TestFrozenBytesAreCheckedBeforeTheyLeave(t *testing.T) {
	w, _ := newPool(t, 2, nil)
	b, m := w.boxes[0], to("rossi@pec.cittadini.test", "ditta@pec.imprese.test")
	h := fresh(1)
	id := "h1." + h.id + ".1@pec.ministero.test"
	raw, err := b.compose(id, m, w.bench.Clock().Now(), 5<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := preflight(raw, id, b, m); err != nil {
		t.Fatal(err)
	}
	if preflight(raw, id, w.boxes[1], m) == nil {
		t.Error("the From of one mailbox leaves from another")
	}
	swap := func(old, next string) func() []byte {
		return func() []byte {
			out := bytes.Replace(raw, []byte(old), []byte(next), 1)
			if bytes.Equal(out, raw) {
				t.Fatalf("%q is not there", old)
			}
			return out
		}
	}
	for _, tc := range []struct {
		name string
		make func() []byte
	}{
		{"another From", swap("From: <"+b.Address, "From: <x@pec.ministero.test")},
		{"two From", swap("From: <"+b.Address+">", "From: <"+b.Address+">, <x@pec.ministero.test>")},
		{"From twice", swap("From:", "From: <"+b.Address+">\r\nFrom:")},
		{"a Sender", swap("From:", "Sender: <x@pec.ministero.test>\r\nFrom:")},
		{"a Bcc", swap("From:", "Bcc: <x@pec.ministero.test>\r\nFrom:")},
		{"an empty Bcc", swap("From:", "bcc:\r\nFrom:")},
		{"a Cc", swap("From:", "Cc: <x@pec.ministero.test>\r\nFrom:")},
		{"one recipient less", swap("To: <rossi@pec.cittadini.test>, ", "To: ")},
		{"one more", swap("To: ", "To: <x@pec.ministero.test>, ")},
		{"another one", swap("To: <rossi", "To: <bianchi")},
		{"no To", swap("To: ", "X-To: ")},
		{"another Message-ID", swap("<h1.", "<h1.x")},
		{"no Date", swap("Date: ", "X-Date: ")},
		{"no MIME-Version", swap("MIME-Version: ", "X-MIME-Version: ")},
		{"a header that is none", swap("From:", "what is this\r\nFrom:")},
		{"a bare line feed", swap("\r\nFrom:", "\nFrom:")},
		{"a bare carriage return", swap("\r\nFrom:", "\rX: y\r\nFrom:")},
		{"a smuggled end", swap("\r\n\r\n", "\r\n\r\n\n.\nMAIL FROM:<x@evil.test>\r\n")},
		{"8 bits", swap("\r\n\r\n", "\r\n\r\nperch\xe9\r\n")},
		{"a line that is too long", swap("\r\n\r\n", "\r\n\r\n"+strings.Repeat("x", 999)+"\r\n")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := fresh(1)
			h.kept[keptMessage] = tc.make()
			if _, err := w.Send(contracts.WithHold(t.Context(), h), m); err == nil || h.departed != 0 {
				t.Errorf("%v, departed %d times", err, h.departed)
			}
		})
	}
	if n := len(w.mock.Accepted()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}

func TestFormOfReceiptsFollowsSizeRecipientsRouteAndSecrecy(t *testing.T) {
	w, _ := newPool(t, 1, nil)
	b := w.boxes[0]
	one, three := to("a@pec.cittadini.test"), to("a@pec.cittadini.test", "b@pec.cittadini.test", "c@pec.cittadini.test")
	for _, tc := range []struct {
		name, route string
		m           delivery.Message
		bytes       int
		secret      bool
		used        int64 // of 100
		want        string
	}{
		{"small", formComplete, one, 100_000, false, 0, formComplete},
		{"as large as may be, encoded", formComplete, one, 700_000, false, 0, formComplete},
		{"large", formComplete, one, 800_000, false, 0, formBrief},
		{"small, times three recipients", formComplete, three, 300_000, false, 0, formBrief},
		{"by the route", formBrief, one, 10, false, 0, formBrief},
		{"by the route, shortest", formShort, one, 10, false, 0, formShort},
		{"large, and shortest by the route", formShort, one, 800_000, false, 0, formShort},
		{"a secret", formComplete, one, 10, true, 0, formShort},
		{"a large secret", formBrief, one, 800_000, true, 0, formShort},
		{"nearly full", formComplete, one, 10, false, 85, formBrief},
		{"not quite", formComplete, one, 10, false, 84, formComplete},
		{"nearly full, and shortest by the route", formShort, one, 10, false, 90, formShort},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := attach(tc.m, "a.pdf", make([]byte, tc.bytes))
			m.Secret = tc.secret
			b.Receipt = tc.route
			b.gate.measured(tc.used, 100)
			if got := b.form(m, 1_000_000); got != tc.want {
				t.Errorf("asks for %s, want %s", got, tc.want)
			}
		})
	}
}

// Nothing of a secret message comes back: not even where a person made the route ask for it.
func TestSecretMessageAsksForNothingBack(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *lab.Bench) { c.Mailboxes[0].Receipt = formComplete })
	m := to("rossi@pec.cittadini.test")
	m.Secret = true
	h := newHold()
	if _, err := w.Send(contracts.WithHold(t.Context(), h), m); err != nil {
		t.Fatal(err)
	}
	w.bench.Advance(time.Minute)
	if got := formAsked(h.kept[keptMessage]); got != formShort {
		t.Errorf("asked for %q", got)
	}
	for _, f := range w.Sources() {
		events, _, err := f.Feed(t.Context(), nil)
		if err != nil || len(events) < 2 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		for _, e := range events {
			for _, raw := range e.Raw {
				if bytes.Contains(raw, []byte("1234")) || bytes.Contains(raw, []byte("message/rfc822")) {
					t.Errorf("%s brings the message back", e.Kind)
				}
			}
		}
	}
}

func TestOurOwnLimitOfRecipientsIsBelowTheProviders(t *testing.T) {
	if delivery.MaxRecipients > 500 {
		t.Errorf("%d recipients, and providers take 500", delivery.MaxRecipients)
	}
}
