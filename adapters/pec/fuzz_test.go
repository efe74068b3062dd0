package pec

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"mime/multipart"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"pgregory.net/rapid"
)

// Every target here checks, beside what it says, that an input of up to 1 MiB costs at most a second of one processor and
// 64 MiB of memory in all (bounded).

// seeds adds what real messages are like: one of each kind, and the reference samples where they are.
func seeds(f *testing.F) {
	f.Helper()
	for _, tipo := range tipi {
		f.Add(receiptOf(tipo).seal(f, usual()))
	}
	whole := receiptOf(tipoConsegna)
	whole.original, whole.daticert = within(tipoAccettazione), strings.Replace(whole.daticert, formShort, formComplete, 1)
	f.Add(whole.seal(f, usual()))
	f.Add(bytes.ReplaceAll(whole.seal(f, usual()), []byte("\r\n"), []byte("\n")))
	f.Add(receiptOf(tipoErrore).wrap(receiptOf(tipoErrore).body(), toBER(f, usual().sign(f, receiptOf(tipoErrore).body()))))
	f.Add(nested(200))
	f.Add([]byte("From: a@b.test\r\nX-Trasporto: errore\r\n\r\nhello"))
	f.Add([]byte("X-Ricevuta: accettazione\r\nContent-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n\r\n--x--"))
	for _, file := range samples("third-party/*.eml") {
		f.Add(file)
	}
}

func samples(pattern string) (all [][]byte) {
	files, _ := filepath.Glob(referencePath(pattern))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			all = append(all, b)
		}
	}
	return all
}

func FuzzReader(f *testing.F) {
	seeds(f)
	r := office(usual())
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got reading
		bounded(t, raw, func() { got = r.read(raw, seenAt, seenAt) })
		e := got.receipt.Evidence
		if got.kind == "" || e.Verdict == "" {
			t.Fatal("a message without kind or verdict")
		}
		if got.receipt.Verdict().Counts() && e.Signer != signing {
			t.Fatal("believed somebody else")
		}
		if e.Counts && (got.receipt.Reason != "" || got.ref != "" && got.kind != kindPrefix+got.receipt.Tipo) {
			t.Fatalf("counts as %s with reason %q", got.kind, got.receipt.Reason)
		}
		if strings.HasPrefix(got.kind, kindPrefix) && got.receipt.Reason == "" && got.kind != KindEnvelope && got.ref == "" {
			t.Fatalf("%s without ticket and reason", got.kind)
		}
		if _, err := event(&mailbox{}, got, "x"); err != nil {
			t.Fatalf("its data cannot be stored: %v", err)
		}
	})
}

func FuzzInspect(f *testing.F) {
	seeds(f)
	for _, file := range samples("*.xml") {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got Inspection
		bounded(t, raw, func() { got = Inspect(raw, usual().pool, seenAt) })
		if got.Verdict == "" || got.Anomalies == nil || got.Destinatari == nil || !got.Verdict.Counts() && got.Reason == "" {
			t.Fatalf("%+v", got)
		}
		if without := Inspect(raw, nil, seenAt); without.Verdict.Counts() || without.Tipo != got.Tipo {
			t.Fatalf("without roots: %+v", without)
		}
	})
}

func FuzzSignature(f *testing.F) {
	body := receiptOf(tipoAccettazione).body()
	der := usual().sign(f, body)
	f.Add(der)
	f.Add(toBER(f, der))
	f.Add([]byte{0x30, 0x80, 0x06, 0x01, 0x00, 0x00, 0x00})
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 50))
	for _, file := range samples("third-party/*.eml") {
		if o, _ := open(file); o.sealed {
			if p7s, err := o.p7s.decoded(maxSignature); err == nil {
				f.Add(p7s)
			}
		}
	}
	r := office(usual())
	f.Fuzz(func(t *testing.T, p7s []byte) {
		var p proof
		bounded(t, p7s, func() { p = r.verify(body, p7s, signing, seenAt) })
		if p.verdict == "" {
			t.Fatal("no verdict")
		}
		if p.doubt == "P7S_PANIC" {
			t.Fatal("the library panics; its input must be checked before")
		}
		if r.verify(append([]byte("x"), body...), p7s, signing, seenAt).verdict.Counts() {
			t.Fatal("believed bytes that were not signed")
		}
	})
}

func FuzzCompare(f *testing.F) {
	sent := frozen(f)
	f.Add(delivered(sent))
	f.Add(brief(f, delivered(sent), ofDecoded))
	f.Add(nested(200))
	f.Fuzz(func(t *testing.T, returned []byte) {
		var c Comparison
		bounded(t, returned, func() { c = Compare(returned, sent) })
		if (c.Result == Match) != (len(c.Differ) == 0) {
			t.Fatalf("%+v", c)
		}
		if same := Compare(returned, returned); same.Result != Match && same.Differ[0] != "structure" && !bytes.Contains(bytes.ToLower(returned), []byte("encoding")) {
			t.Fatalf("it is not what it is: %+v", same)
		}
	})
}

func FuzzSplitParts(f *testing.F) {
	f.Add([]byte("preamble\r\n--x\r\na\r\n--x\r\nb\r\n--x--\r\n"), "x")
	f.Add([]byte("------=_Part_1\r\nContent-Type: text/plain\r\n\r\nhello\r\n------=_Part_1--"), "----=_Part_1")
	f.Add([]byte("--a\n--ab\n--a--\n"), "a")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		if boundary == "" || strings.ContainsAny(boundary, "\r\n") {
			t.Skip()
		}
		var parts [][]byte
		var err error
		bounded(t, body, func() { parts, err = splitParts(body, boundary) })
		if err != nil && parts != nil {
			t.Fatal("parts together with an error")
		}
		total := 0
		for _, p := range parts {
			total += len(p)
			if bytes.HasPrefix(p, []byte("--"+boundary+"\r\n")) {
				t.Fatal("a boundary was taken for content")
			}
		}
		if total > len(body) || len(parts) > maxParts {
			t.Fatalf("%d bytes in %d parts of %d bytes", total, len(parts), len(body))
		}
	})
}

// FuzzPartsRoundTrip: what the standard library's writer puts together comes apart as it was.
func FuzzPartsRoundTrip(f *testing.F) {
	f.Add("hello\r\n", "--x\r\n", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var buf bytes.Buffer
		w := multipart.NewWriter(&buf)
		for _, text := range []string{a, b, c} {
			if strings.Contains(text, w.Boundary()) {
				t.Skip()
			}
			p, err := w.CreatePart(textproto.MIMEHeader{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		parts, err := splitParts(buf.Bytes(), w.Boundary())
		if err != nil || len(parts) != 3 {
			t.Fatalf("%d parts, %v", len(parts), err)
		}
		for i, text := range []string{a, b, c} {
			if got := strings.TrimPrefix(string(parts[i]), "\r\n"); got != text {
				t.Fatalf("part %d is %q, want %q", i, got, text)
			}
		}
	})
}

// FuzzEntity: a header block and its end are found, and nothing of the body is lost.
func FuzzEntity(f *testing.F) {
	seeds(f)
	f.Add([]byte("Subject: a\r\n b\r\n\tc\r\nContent-Type: a/b; c=\"d; e=f\r\n\r\nbody"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e entity
		var err error
		bounded(t, raw, func() {
			if e, err = readEntity(raw); err == nil {
				e.kindAndName()
				sender(e)
				mark(e)
				subjectTipo(e.get("subject"))
				_, _ = e.parts()
				_, _ = e.decoded(fuzzLimit)
			}
		})
		if err == nil && !bytes.HasSuffix(raw, e.body) {
			t.Fatal("the body is not the end of the message")
		}
	})
}

func documents(f *testing.F) {
	f.Helper()
	for _, tipo := range tipi {
		f.Add([]byte(xmlOf(tipo, forgedID)))
	}
	for _, doc := range []string{
		"\xef\xbb\xbf<!DOCTYPE postacert [<!ENTITY a \"b\">]><postacert tipo=\"accettazione\">&a;</postacert>",
		`<?xml version="1.0" encoding="ISO-8859-1"?><postacert><dati><data zona="+0200"/></dati></postacert>`,
		"<?xml version='1.0'?>\r\n<!-- a --><postacert tipo='accettazione' ><intestazione><mittente>a&#64;b.test<!-- c -->&amp;</mittente>\r\n</intestazione><?x y?>" +
			"<dati><identificativo><![CDATA[a]]>b</identificativo><data zona='+0100'><giorno>21/11/2026</giorno><ora>10:30:00</ora></data><x:y xmlns:x='z'/></dati></postacert>\n",
	} {
		f.Add([]byte(doc))
	}
	for _, file := range append(samples("*.xml"), samples("third-party/*.xml")...) {
		f.Add(file)
	}
}

func FuzzDaticert(f *testing.F) {
	documents(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var d *daticert
		var err error
		bounded(t, b, func() { d, err = readDaticert(b) })
		if err != nil {
			var why unreadable
			if d != nil || !errors.As(err, &why) {
				t.Fatalf("%v with %v", d, err)
			}
			return
		}
		if d.ID == "" || d.Mittente == "" || d.Data.IsZero() {
			t.Fatalf("read %+v", d)
		}
		if reason, _ := d.cause(); reason == "" {
			t.Fatal("no reason")
		}
	})
}

// FuzzDaticertAgainstXML: what our scanner reads, encoding/xml reads too, and to the same values.
func FuzzDaticertAgainstXML(f *testing.F) {
	documents(f)
	f.Fuzz(func(t *testing.T, b []byte) { sameAsXML(t, b) })
}

// TestDocumentsAreReadAsByEncodingXML: the same of documents that are put together at random from what documents are made
// of, most of them whole and some with a piece too many.
func TestDocumentsAreReadAsByEncodingXML(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"a@b.test", " ", "\r\n", "\n\t", "&lt;x&gt;", "&amp;", "&#233;", "&#xE8;", "\u00e8", "<!-- c -->", "<![CDATA[<&]]>", "<?p i?>", "]]", ">", "'", "\"", "<y/>", "<y>z</y>", "\u00a0",
	})
	odd := rapid.SampledFrom([]string{"", "", "", "", "", "", "", "", "&", "<", "]]>", "&x;", "</dati>", "<dati>", "\x01", "--", "<!-- -- -->", "<mittente>x</mittente>"})
	text := func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(t, "text"), "") }
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		shuffled := func(parts []string) string { return strings.Join(rapid.Permutation(parts).Draw(t, "order"), text(t)) }
		element := func(name, attributes, value string) string {
			return "<" + name + attributes + ">" + value + "</" + name + ">"
		}
		tipo := rapid.SampledFrom(append(tipi[:len(tipi):len(tipi)], "boh")).Draw(t, "tipo")
		head := []string{element("mittente", "", "a@b.test"+text(t)), element("destinatari", ` tipo = 'esterno'`, text(t)), element("destinatari", "", text(t)), element("oggetto", "", text(t))}
		data := element("data", ` zona="+0100"`, element("giorno", "", " 21/11/2026 ")+element("ora", "", "10:30:00"))
		dati := []string{data, element("identificativo", "", "x"+text(t)), element("msgid", "", text(t)), element("consegna", "", "y"+text(t)), element("ricezione", "", text(t)), `<ricevuta tipo="breve"/>`, element("errore-esteso", "", text(t)+odd.Draw(t, "odd"))}
		doc := rapid.SampledFrom([]string{"", "\xef\xbb\xbf", `<?xml version="1.0" encoding="UTF-8"?>`, "<!DOCTYPE postacert>"}).Draw(t, "prolog") +
			element("postacert", ` tipo="`+tipo+`" errore="altro"`, shuffled([]string{element("intestazione", "", shuffled(head)), element("dati", "", shuffled(dati))})) + odd.Draw(t, "odd")
		if sameAsXML(t, []byte(doc)) {
			read++
		}
	})
	if read < 20 {
		t.Errorf("%d documents were read: nothing was compared", read)
	}
}

type failing interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func sameAsXML(t failing, b []byte) bool {
	d, err := readDaticert(b)
	if err != nil {
		return false
	}
	in := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	in.CharsetReader = charset
	var x xmlDaticert
	if err := in.Decode(&x); err != nil {
		t.Fatalf("encoding/xml refuses it: %v", err)
	}
	for {
		if _, err := in.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("encoding/xml refuses what follows: %v", err)
		}
	}
	trim := strings.TrimSpace
	same := func(name, ours, theirs string) {
		if ours != trim(theirs) {
			t.Errorf("%s is %q, to encoding/xml %q", name, ours, theirs)
		}
	}
	same("tipo", d.Tipo, x.Tipo)
	if d.Errore != "nessuno" {
		same("errore", d.Errore, x.Errore)
	}
	same("mittente", d.Mittente, x.Intestazione.Mittente)
	same("oggetto", d.Oggetto, x.Intestazione.Oggetto)
	same("gestore-emittente", d.Gestore, x.Dati.Gestore)
	same("data", d.Data.Format("02/01/2006 15:04:05"), trim(x.Dati.Data.Giorno)+" "+trim(x.Dati.Data.Ora))
	same("identificativo", d.ID, unbracket(x.Dati.Identificativo))
	same("msgid", d.MsgID, x.Dati.MsgID)
	same("ricevuta", d.Ricevuta, x.Dati.Ricevuta.Tipo)
	same("consegna", d.Consegna, x.Dati.Consegna)
	same("errore-esteso", d.Esteso, x.Dati.Esteso)
	if len(d.Destinatari) != len(x.Intestazione.Destinatari) || len(d.Ricezione) != len(x.Dati.Ricezione) {
		t.Fatalf("%d recipients and %d taken, to encoding/xml %d and %d", len(d.Destinatari), len(d.Ricezione), len(x.Intestazione.Destinatari), len(x.Dati.Ricezione))
	}
	for i, p := range d.Destinatari {
		same("destinatari", p.address, x.Intestazione.Destinatari[i].Address)
		if p.esterno != (trim(x.Intestazione.Destinatari[i].Tipo) == "esterno") {
			t.Errorf("certificato and esterno are confused")
		}
	}
	for i, a := range d.Ricezione {
		same("ricezione", a, x.Dati.Ricezione[i])
	}
	return true
}

// charset reads for encoding/xml the encodings that our scanner reads.
func charset(name string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "us-ascii", "utf8":
		return in, nil
	case "iso-8859-1", "latin1":
		return charmap.ISO8859_1.NewDecoder().Reader(in), nil
	case "windows-1252":
		return charmap.Windows1252.NewDecoder().Reader(in), nil
	}
	return nil, errors.New("unknown encoding")
}
