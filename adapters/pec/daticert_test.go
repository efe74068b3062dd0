package pec

import (
	"errors"
	"strings"
	"testing"

	"raccordo/contracts/delivery"
)

func TestDocumentIsReadTolerantlyInForm(t *testing.T) {
	plain := xmlOf(tipoConsegna, "a@b.test")
	for name, doc := range map[string]string{
		"as providers write it":    plain,
		"byte order mark":          "\xef\xbb\xbf" + plain,
		"blank lines at the end":   plain + "\n\r\n\n",
		"comment before the root":  strings.Replace(plain, "<postacert", "<!-- x --><postacert", 1),
		"a DOCTYPE":                strings.Replace(plain, "<postacert", `<!DOCTYPE postacert SYSTEM "http://x.test/postacert.dtd"><postacert`, 1),
		"blanks around values":     strings.ReplaceAll(strings.ReplaceAll(plain, "<identificativo>", "<identificativo>\n  "), "</giorno>", " </giorno>"),
		"unknown elements":         strings.Replace(plain, "<dati>", "<dati><nuovo><identificativo>x</identificativo></nuovo>", 1),
		"data before heading":      swapHalves(plain),
		"ISO-8859-1":               strings.Replace(strings.Replace(plain, "UTF-8", "ISO-8859-1", 1), "Prova", "\xe8", 1),
		"character data in blocks": strings.Replace(plain, "<oggetto>Prova", "<oggetto><![CDATA[Prova <b>]]>", 1),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := readDaticert([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if d.Tipo != tipoConsegna || d.ID != "mock1.20261121103000.00042@gestore-uno.test" || unbracket(d.MsgID) != "a@b.test" || d.Consegna != "protocollo@pec.azienda.test" {
				t.Errorf("read %+v", d)
			}
		})
	}
}

func swapHalves(doc string) string {
	head, dati, _ := strings.Cut(doc, "<dati>")
	open, heading, _ := strings.Cut(head, "<intestazione>")
	dati, _ = strings.CutSuffix(dati, "</postacert>")
	return open + "<dati>" + dati + "<intestazione>" + heading + "</postacert>"
}

func TestDocumentIsRefused(t *testing.T) {
	plain := xmlOf(tipoConsegna, "a@b.test")
	swap := func(old, new string) string { return strings.Replace(plain, old, new, 1) }
	for _, tc := range []struct {
		name, doc string
		want      unreadable
	}{
		{"empty", "", unreadableXML},
		{"no XML", "ciao", unreadableXML},
		{"another root", strings.ReplaceAll(plain, "postacert", "ricevuta"), unreadableXML},
		{"two roots", plain + plain[strings.Index(plain, "<postacert"):], unreadableXML},
		{"cut off", plain[:len(plain)-20], unreadableXML},
		{"ends that do not match", swap("</mittente>", "</oggetto>"), unreadableXML},
		{"text after the root", plain + "x", unreadableXML},
		{"bytes that are no text", swap("Prova", "\xff\xfe"), unreadableXML},
		{"another encoding", strings.Replace(plain, "UTF-8", "UTF-7", 1), unreadableXML},
		{"more than a mebibyte", swap("Prova", strings.Repeat("x", maxDaticert)), unreadableXML},
		{"elements without end", swap("<dati>", "<dati>"+strings.Repeat("<x>", maxDepth)), unreadableXML},
		{"too many elements", swap("<dati>", "<dati>"+strings.Repeat("<x/>", maxElements)), unreadableXML},
		{"an entity of its own", swap("<postacert", `<!DOCTYPE postacert [<!ENTITY a "x">]><postacert`), unreadableEntity},
		{"an entity used and not declared", swap("Prova", "&a;"), unreadableXML},
		{"an unknown type", swap(tipoConsegna, "consegna-forse"), unreadableTipo},
		{"no type", swap(` tipo="avvenuta-consegna"`, ""), unreadableTipo},
		{"no identificativo", swap("identificativo>mock1.20261121103000.00042@gestore-uno.test</identificativo", "x></x"), unreadableID},
		{"an empty identificativo", swap("mock1.20261121103000.00042@gestore-uno.test", "<![CDATA[ ]]>"), unreadableID},
		{"two identificativi", swap("<identificativo>", "<identificativo>x</identificativo><identificativo>"), unreadableID},
		{"two Message-IDs", swap("<msgid>", "<msgid>x</msgid><msgid>"), unreadableField},
		{"two senders", swap("<mittente>", "<mittente>x</mittente><mittente>"), unreadableField},
		{"a delivery to nobody", swap("<consegna>protocollo@pec.azienda.test</consegna>", ""), unreadableField},
		{"no sender", swap("<mittente>ufficio@pec.ente.test</mittente>", ""), unreadableField},
		{"a day that does not exist", swap("21/11/2026", "31/11/2026"), unreadableDate},
		{"a day in another order", swap("21/11/2026", "2026-11-21"), unreadableDate},
		{"no zone", swap(` zona="+0100"`, ""), unreadableDate},
		{"no hour", swap("<ora>10:30:00</ora>", ""), unreadableDate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := readDaticert([]byte(tc.doc))
			if !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

func TestZoneOfTheDocumentCounts(t *testing.T) {
	for zona, hour := range map[string]int{"+0100": 9, "+0200": 8, "-0530": 16} {
		d, err := readDaticert([]byte(strings.Replace(xmlOf(tipoConsegna, "a@b"), "+0100", zona, 1)))
		if err != nil || d.Data.UTC().Hour() != hour {
			t.Errorf("%s: %v %v, want %d o'clock", zona, d, err, hour)
		}
	}
}

func TestReasons(t *testing.T) {
	for _, tc := range []struct{ tipo, errore, extended, reason, code string }{
		{tipoErrore, "virus", "", delivery.ReasonVirus, ""},
		{tipoErrore, "no-dest", "", delivery.ReasonUnknownMailbox, ""},
		{tipoErrore, "altro", "5.1.1 - X - y", delivery.ReasonUnknownMailbox, "5.1.1"},
		{tipoErrore, "no-dominio", "", delivery.ReasonUnknownDomain, ""},
		{tipoErrore, "altro", "5.1.2", delivery.ReasonUnknownDomain, "5.1.2"},
		{tipoErrore, "altro", "5.2.2 x", delivery.ReasonMailboxFull, "5.2.2"},
		{tipoErrore, "altro", "5.2.3 x", delivery.ReasonTooBig, "5.2.3"},
		{tipoErrore, "altro", "5.3.4 x", delivery.ReasonTooBig, "5.3.4"},
		{tipoErrore, "altro", "5.4.1 x", delivery.ReasonOther, "5.4.1"}, // a time-out only on a notice of delay
		{tipoErrore, "boh", "indirizzo 5.1.1", delivery.ReasonOther, ""},
		{tipoPreavviso, "no-dest", "5.4.1 x", delivery.ReasonTimeout, "5.4.1"},
		{tipoPreavviso, "altro", "4.4.7 x", delivery.ReasonTimeout, "4.4.7"},
		{tipoPreavviso, "nessuno", "", delivery.ReasonTimeout, ""},
	} {
		d := daticert{Tipo: tc.tipo, Errore: tc.errore, Esteso: tc.extended}
		if reason, code := d.cause(); reason != tc.reason || code != tc.code {
			t.Errorf("%s %s %q: %s [%s], want %s [%s]", tc.tipo, tc.errore, tc.extended, reason, code, tc.reason, tc.code)
		}
	}
}
