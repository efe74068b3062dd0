package pec

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/mail"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/smallstep/pkcs7"

	"raccordo/mocks/lab"
)

// A mailed message is one of a mailbox, as a reader finds it.
type mailed struct {
	uid uint32
	at  time.Time
	raw []byte
}

func mailsOf(t *testing.T, b *lab.Bench, a Account) []mailed {
	t.Helper()
	c := login(t, b, a)
	defer c.Close()
	data, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if data.NumMessages == 0 {
		return nil
	}
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{
		BodySection: []*imap.FetchItemBodySection{section}, UID: true, InternalDate: true,
	}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var out []mailed
	for _, msg := range msgs {
		out = append(out, mailed{uint32(msg.UID), msg.InternalDate, msg.FindBodySection(section)})
	}
	return out
}

// judge reads a receipt by the book and gives the first reason for which it does not count, empty when it counts. It is
// written from the rules, not from the mock. Known is whether an acceptance has tied the identificativo to the message.
func judge(t *testing.T, m *Mock, got mailed, sent Submitted, known bool) string {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(got.raw))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(msg.Header.Get("Content-Type"), "multipart/signed") {
		return "unsigned"
	}
	p7, err := verify(t, got.raw, m.RootsPEM(), got.at)
	if p7 == nil {
		return "malformed signature"
	}
	leaf := p7.GetOnlySigner()
	if err != nil {
		var signed time.Time
		if !strings.Contains(err.Error(), "expired or is not yet valid") || p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &signed) != nil {
			return "bad signature or chain"
		}
		if _, err := verify(t, got.raw, m.RootsPEM(), signed); err != nil {
			return "expired at signing"
		}
	}
	from, err := mail.ParseAddress(msg.Header.Get("From"))
	if err != nil || !slices.Equal(leaf.EmailAddresses, []string{from.Address}) || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageEmailProtection) {
		return "not the sender's certificate"
	}
	r := open(t, got.raw)
	own := slices.Contains([]string{"accettazione", "non-accettazione", "preavviso-errore-consegna"}, r.cert.Tipo)
	shown := msg.Header.Get("X-Ricevuta")
	at, err := time.Parse("02/01/2006 15:04:05 -0700", r.cert.Dati.Data.Giorno+" "+r.cert.Dati.Data.Ora+" "+r.cert.Dati.Data.Zona)
	switch {
	case err != nil:
		return "no date"
	case own && from.Address != "posta-certificata@gestore-uno.test":
		return "another provider's"
	case shown != r.cert.Tipo:
		return "header and daticert differ"
	case !slices.Contains([]string{"accettazione", "non-accettazione", "presa-in-carico", "avvenuta-consegna", "errore-consegna", "preavviso-errore-consegna", "rilevazione-virus"}, r.cert.Tipo):
		return "unknown tipo"
	case r.cert.Dati.MsgID != sent.MessageID && (r.cert.Dati.MsgID != "" || !known || r.cert.Dati.Identificativo != sent.Identificativo):
		return "not ours"
	case r.cert.Intestazione.Mittente != sent.Mailbox:
		return "not from us"
	case at.After(got.at.Add(5*time.Minute)) || at.Before(got.at.Add(-48*time.Hour)):
		return "dated wrongly"
	}
	return ""
}

// expected is what each story about receipts puts into the mailbox within two days: the kinds, R for the recipient, with a
// mark before those that do not count.
func expected() map[string]string {
	plain := "accettazione/nessuno; avvenuta-consegna/nessuno R"
	spoiled := "!accettazione/nessuno; !avvenuta-consegna/nessuno R"
	out := map[string]string{
		"nodest":          "accettazione/nessuno; errore-consegna/no-dest R",
		"full":            "accettazione/nessuno; errore-consegna/altro R",
		"toobig":          "accettazione/nessuno; errore-consegna/altro R",
		"virus":           "accettazione/nessuno; errore-consegna/virus R",
		"slow":            plain,
		"timeout12":       "accettazione/nessuno; preavviso-errore-consegna/altro R; avvenuta-consegna/nessuno R",
		"timeout24":       "accettazione/nessuno; preavviso-errore-consegna/altro R; preavviso-errore-consegna/altro R",
		"only24":          "accettazione/nessuno; preavviso-errore-consegna/altro R",
		"late":            "accettazione/nessuno; preavviso-errore-consegna/altro R; avvenuta-consegna/nessuno R",
		"never":           "accettazione/nessuno",
		"errafter":        "accettazione/nessuno; avvenuta-consegna/nessuno R; errore-consegna/altro R",
		"delafter":        "accettazione/nessuno; errore-consegna/altro R; avvenuta-consegna/nessuno R",
		"unknowntipo":     "accettazione/nessuno; !consegna-dubbia/nessuno R",
		"unknownerrore":   "accettazione/nessuno; errore-consegna/mistero R",
		"pecinpec":        plain,
		"charge":          "accettazione/nessuno; presa-in-carico/nessuno; avvenuta-consegna/nessuno R",
		"strayvirus":      "accettazione/nessuno; rilevazione-virus/virus R; errore-consegna/virus R",
		"noaccept":        "non-accettazione/altro",
		"noacceptvirus":   "non-accettazione/virus",
		"noacceptreceipt": "avvenuta-consegna/nessuno R",
		"dup":             "accettazione/nessuno; accettazione/nessuno; avvenuta-consegna/nessuno R; avvenuta-consegna/nessuno R",
		"reorder":         "avvenuta-consegna/nessuno R; accettazione/nessuno",
		"mute":            "",
		"twoaccept":       "accettazione/nessuno; accettazione/nessuno; avvenuta-consegna/nessuno R",
		"foreign":         "accettazione/nessuno; !accettazione/nessuno; !avvenuta-consegna/nessuno R; avvenuta-consegna/nessuno R",
		"replay":          "accettazione/nessuno; !accettazione/nessuno; avvenuta-consegna/nessuno R",
		"othersigner":     "!accettazione/nessuno; avvenuta-consegna/nessuno R",
		"header":          "accettazione/nessuno; !avvenuta-consegna/nessuno R",
		"bump":            plain, "cutfetch": plain, "nologin": plain, "lockout": plain,
		"fullbox": "", "reader": "",
	}
	for _, s := range Stories() {
		if s.Scope != OfReceipts {
			continue
		}
		out[s.Name] = plain
		if !s.Sound {
			out[s.Name] = spoiled
		}
	}
	return out
}

func TestEveryStoryAsALabelAsAnOrderAndOverHTTP(t *testing.T) {
	want := expected()
	for _, s := range Stories() {
		if s.Scope == OnWire || s.Scope == InSession || s.Scope == OnConnect || s.Name == "huge" || s.Name == "bounce" { // these have tests of their own
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			list, ok := want[s.Name]
			if !ok {
				t.Fatal("no expectation")
			}
			b, m := bench(t)
			c := dial(t, b, m)
			box := m.Accounts()[0]
			for i, how := range []string{"label", "order", "http"} {
				to := "rossi@pec.cittadini.test"
				switch how {
				case "label":
					to = s.Name + "." + to
				case "order":
					if err := m.Order(Order{Story: s.Name, Mailbox: box.Address, Times: 1}); err != nil {
						t.Fatal(err)
					}
				case "http":
					if status, body := desk(t, b, "POST", "orders", fmt.Sprintf(`{"story":%q,"times":1}`, s.Name)); status != 200 {
						t.Fatal(body)
					}
				}
				if err := submit(c, sender, []string{to}, text(fmt.Sprintf("m%d@x", i), []string{to})); err != nil {
					t.Fatal(err)
				}
				b.Advance(48 * time.Hour)
				c.Close()
				c = dial(t, b, m)
				heal(t, m, box.Address)
				final, special := finals()[s.Name]
				if !special {
					final = Delivery
				}
				if got := m.Truth()[i].Final(strings.ToUpper(to)); got != final {
					t.Errorf("message %d: in the end %q, want %q", i, got, final)
				}
				checkStory(t, b, m, i, s.Name, strings.ReplaceAll(list, " R", " "+to))
			}
			if left := m.Orders(); len(left) != 0 {
				t.Errorf("orders are left: %v", left)
			}
		})
	}
}

// finals is what becomes of a recipient by a story, where it is not the delivery.
func finals() map[string]Kind {
	out := map[string]Kind{
		"nodest": DeliveryError, "full": DeliveryError, "toobig": DeliveryError, "virus": DeliveryError, "strayvirus": DeliveryError,
		"unknownerrore": DeliveryError, "delafter": DeliveryError, "timeout24": Notice, "only24": Notice,
		"noaccept": NonAcceptance, "noacceptvirus": NonAcceptance,
		"never": "", "mute": "", "unknowntipo": "", "header": "", "fullbox": "", "reader": "",
	}
	for _, s := range Stories() {
		if s.Scope == OfReceipts && !s.Sound {
			out[s.Name] = ""
		}
	}
	return out
}

// heal ends what a story left behind in the mailbox's condition.
func heal(t *testing.T, m *Mock, address string) {
	t.Helper()
	if err := m.SetMailbox(address, func(c *Condition) { *c = Condition{} }); err != nil {
		t.Fatal(err)
	}
}

// checkStory compares the mailbox, the truth and the rules about the i-th message.
func checkStory(t *testing.T, b *lab.Bench, m *Mock, i int, story, want string) {
	t.Helper()
	sent, fate := m.Accepted()[i], m.Truth()[i]
	found := make(map[string]mailed)
	var got []string
	known := false
	box := m.Accounts()[0]
	mails := mailsOf(t, b, box)
	for _, x := range mails {
		r := open(t, x.raw)
		if strings.TrimPrefix(strings.TrimPrefix(r.cert.Dati.Identificativo, "9"), "1") != sent.Identificativo {
			continue
		}
		name := fmt.Sprintf("%s/%s", r.cert.Tipo, r.cert.Errore)
		if r.cert.Dati.Consegna != "" {
			name += " " + r.cert.Dati.Consegna
		}
		if why := judge(t, m, x, sent, known); why != "" {
			name = "!" + name
		} else if r.cert.Tipo == "accettazione" {
			known = true
		}
		got = append(got, name)
		found[fmt.Sprint(x.uid)] = x
	}
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("message %d: the mailbox holds\n %s\nwant\n %s", i, s, want)
	}
	var sound []string
	for _, p := range fate.Placed {
		if p.Mailbox != box.Address || !p.Reached() {
			continue
		}
		mark := ""
		if !p.Sound {
			mark = "!"
		}
		sound = append(sound, mark)
	}
	for k, mark := range sound {
		if k >= len(got) || strings.HasPrefix(got[k], "!") != (mark == "!") {
			t.Errorf("message %d: the truth says %q of receipt %d, the rules %v", i, mark, k, got)
			break
		}
	}
	if !slices.Contains(sent.Stories, story) {
		t.Errorf("message %d: told of it was %v", i, sent.Stories)
	}
}

func TestThePackageDocumentNamesEveryStory(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.FieldsFunc(string(doc), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') })
	for _, s := range Stories() {
		if !slices.Contains(words, s.Name) {
			t.Errorf("%s is missing", s.Name)
		}
	}
	for _, p := range Profiles() {
		if !strings.Contains(string(doc), p.Name) {
			t.Errorf("%s is missing", p.Name)
		}
	}
}
