package pec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"raccordo/contracts/delivery"
)

func TestDocumentIsReadTolerantlyInForm(t *testing.T) {
	plain := xmlOf(tipoConsegna, "a@b.test")
	for name, doc := range map[string]string{
		"as providers write it":              plain,
		"byte order mark":                    "\xef\xbb\xbf" + plain,
		"blank lines at the end":             plain + "\n\r\n\n",
		"comment before the root":            strings.Replace(plain, "<postacert", "<!-- x --><postacert", 1),
		"a DOCTYPE":                          strings.Replace(plain, "<postacert", `<!DOCTYPE postacert SYSTEM "http://x.test/postacert.dtd"><postacert`, 1),
		"blanks around values":               strings.ReplaceAll(strings.ReplaceAll(plain, "<identificativo>", "<identificativo>\n  "), "</giorno>", " </giorno>"),
		"unknown elements":                   strings.Replace(plain, "<dati>", "<dati><nuovo><identificativo>x</identificativo></nuovo>", 1),
		"data before heading":                swapHalves(plain),
		"ISO-8859-1":                         strings.Replace(strings.Replace(plain, "UTF-8", "ISO-8859-1", 1), "Prova", "\xe8", 1),
		"blank lines before the declaration": "\r\n \n" + plain,
		"a style sheet":                      `<?xml-stylesheet href="x"?>` + plain[strings.Index(plain, "<postacert"):],
		"no declaration":                     plain[strings.Index(plain, "<postacert"):],
		"a declaration that stands alone":    strings.Replace(plain, `encoding="UTF-8"?>`, `encoding='utf-8' standalone="yes" ?>`, 1),
		"line ends of the wire":              strings.ReplaceAll(plain, "><", ">\r\n\t<"),
		"single quotes and blanks in tags":   strings.NewReplacer(`tipo="sintetica"/>`, "tipo = 'sintetica'\n/>", "</msgid>", "</msgid\t>").Replace(plain),
		"references by number":               strings.NewReplacer("mock1", "&#109;&#x6f;ck1", "&lt;", "&#60;").Replace(plain),
		"comments and instructions within":   strings.NewReplacer("mock1", "mo<!-- & <x> -->ck<?x ?>1", "<dati>", "<?a?><dati><!---->").Replace(plain),
		"a value in pieces":                  strings.Replace(plain, "mock1", "m<![CDATA[oc]]>k<![CDATA[1]]>", 1),
		"a DOCTYPE of its own":               strings.Replace(plain, "<postacert", `<!DOCTYPE postacert [<!ELEMENT postacert ANY><!ATTLIST postacert tipo CDATA ">">]><postacert`, 1),
		"a namespace":                        strings.NewReplacer("<postacert", `<p:postacert xmlns:p="urn:x"`, "</postacert", "</p:postacert").Replace(plain),
		"markup in the subject":              strings.Replace(plain, "Prova", "a<b>c</b>d", 1),
		"unknown attributes":                 strings.Replace(plain, "<dati>", `<dati a="1" b='2'>`, 1),
		"Windows-1252":                       strings.Replace(strings.Replace(plain, "UTF-8", "windows-1252", 1), "Prova", "\x80", 1),
		"no errore":                          strings.Replace(plain, ` errore="nessuno"`, "", 1),
		"character data in blocks":           strings.Replace(plain, "<oggetto>Prova", "<oggetto><![CDATA[Prova <b>]]>", 1),
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

func manyAttributes() (s string) {
	for i := range maxAttributes + 1 {
		s += fmt.Sprintf(` a%d="x"`, i)
	}
	return s
}

func swapHalves(doc string) string {
	head, dati, _ := strings.Cut(doc, "<dati>")
	open, heading, _ := strings.Cut(head, "<intestazione>")
	dati, _ = strings.CutSuffix(dati, "</postacert>")
	return open + "<dati>" + dati + "<intestazione>" + heading + "</postacert>"
}

func TestCharacterDataIsTakenAsItStands(t *testing.T) {
	doc := strings.Replace(xmlOf(tipoConsegna, "a@b.test"), "Prova", "a<![CDATA[ &amp; <b>\r\n]] ]]>c", 1)
	d, err := readDaticert([]byte(doc))
	if err != nil || d.Oggetto != "a &amp; <b>\n]] c" {
		t.Errorf("%+v, %v", d, err)
	}
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
		{"an attribute that stands twice", swap(`tipo="`, `tipo="accettazione" tipo="`), unreadableXML},
		{"an attribute that stands twice, once with a prefix", swap(`tipo="`, `x:tipo="accettazione" tipo="`), unreadableXML},
		{"an attribute without quotes", swap(`zona="+0100"`, `zona=+0100`), unreadableXML},
		{"an attribute without value", swap(`zona="+0100"`, `zona`), unreadableXML},
		{"attributes without a blank between", swap(`" errore`, `"errore`), unreadableXML},
		{"a tag in an attribute", swap(`zona="+0100"`, `zona="<"`), unreadableXML},
		{"too many attributes", swap("<dati>", "<dati"+manyAttributes()+">"), unreadableXML},
		{"the end of CDATA in text", swap("Prova", "a]]>b"), unreadableXML},
		{"CDATA without end", swap("Prova", "<![CDATA[x"), unreadableXML},
		{"two dashes in a comment", swap("Prova", "<!-- a -- b -->"), unreadableXML},
		{"a comment without end", swap("Prova", "<!-- a "), unreadableXML},
		{"a declaration within", swap("Prova", `<?xml encoding="UTF-7"?>`), unreadableXML},
		{"a declaration of another version", swap(`version="1.0"`, `version="1.1"`), unreadableXML},
		{"a declaration without end", `<?xml version="1.0" `, unreadableXML},
		{"a DOCTYPE behind the root", swap("Prova", "<!DOCTYPE x>"), unreadableXML},
		{"two DOCTYPEs", swap("<postacert", "<!DOCTYPE x><!DOCTYPE x><postacert"), unreadableXML},
		{"a DOCTYPE without end", swap("<postacert", "<!DOCTYPE x [ <postacert"), unreadableXML},
		{"a name with two prefixes", swap("<dati>", "<dati><a:b:c/>"), unreadableXML},
		{"a name of other letters", swap("<dati>", "<dati><\u00e8/>"), unreadableXML},
		{"a reference without end", swap("Prova", "&lt Prova"), unreadableXML},
		{"a reference to nothing", swap("Prova", "&#0;"), unreadableXML},
		{"a reference to half a character", swap("Prova", "&#xD800;"), unreadableXML},
		{"a reference beyond all characters", swap("Prova", "&#x110000;"), unreadableXML},
		{"a reference of capital X", swap("Prova", "&#X41;"), unreadableXML},
		{"a character that is none", swap("Prova", "\ufffe"), unreadableXML},
		{"a control character", swap("Prova", "\x0b"), unreadableXML},
		{"two headings", swap("<dati>", "<intestazione/><dati>"), unreadableField},
		{"an identificativo without end", swap("<identificativo>", "<identificativo>"+strings.Repeat("x", maxIdentifier)), unreadableID},
		{"a Message-ID without end", swap("<msgid>", "<msgid>"+strings.Repeat("x", maxIdentifier)), unreadableField},
		{"an hour that does not exist", swap("10:30:00", "24:00:00"), unreadableDate},
		{"a zone that does not exist", swap("+0100", "+2500"), unreadableDate},
		{"a zone without sign", swap("+0100", "00100"), unreadableDate},
		{"a zone with a letter", swap("+0100", "+01a0"), unreadableDate},
		{"a zone in words", swap("+0100", "CEST"), unreadableDate},
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

// TestMatrixOfElements: each type has the elements that it must have in practice (pec.md section 5); what is beside the
// point may be missing, and what it is about may not.
func TestMatrixOfElements(t *testing.T) {
	must := map[string][]string{
		tipoConsegna: {"consegna"}, tipoErrore: {"consegna"}, tipoPreavviso: {"consegna"},
		tipoAccettazione: nil, tipoRifiuto: nil, tipoPresaInCarico: nil, tipoBusta: nil, tipoVirus: nil,
	}
	for _, tipo := range tipi {
		for _, element := range []string{"msgid", "consegna", "ricezione", "errore-esteso", "risposte", "oggetto", "gestore-emittente", "destinatari", "mittente", "identificativo", "data"} {
			doc := swapped("</dati>", "<ricezione>a@b.test</ricezione><errore-esteso>5.1.1</errore-esteso></dati>")(xmlOf(tipo, forgedID))
			without := regexp.MustCompile(`(?s)<`+element+`[ >].*</`+element+`>`).ReplaceAllString(doc, "")
			_, err := readDaticert([]byte(without))
			want := slices.Contains(must[tipo], element) || slices.Contains([]string{"mittente", "identificativo", "data"}, element)
			if (err != nil) != want {
				t.Errorf("%s without %s: %v", tipo, element, err)
			}
		}
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
