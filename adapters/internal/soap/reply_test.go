package soap

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

// latin1 and wide write text as old systems do.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func wide(s string, big bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

const (
	envOpen  = `<S:Envelope xmlns:S="` + NSEnvelope + `">`
	envShut  = `</S:Envelope>`
	accented = `<told xmlns="urn:example:thing"><valid>1</valid><note>Società è</note></told>`
)

func body(content string) string { return envOpen + "<S:Body>" + content + "</S:Body>" + envShut }

func header(blocks string) string {
	return envOpen + "<S:Header>" + blocks + "</S:Header><S:Body>" + yes + "</S:Body>" + envShut
}

// replies are all the ways in which an answer may come, with what must become of it: the note it brings, or the rule it
// breaks.
var replies = []struct {
	name, media, text string
	note              string
	want              error
}{
	{name: "a prefixed body", text: body(`<x:told xmlns:x="urn:example:thing"><x:valid>true</x:valid><x:note>n</x:note></x:told>`), note: "n"},
	{name: "a default namespace in a prefixed envelope", text: body(yes), note: "n"},
	{name: "a default namespace for the envelope", text: `<Envelope xmlns="` + NSEnvelope + `"><Body>` + yes + `</Body></Envelope>`, note: "n"},
	{name: "unusual prefixes, blanks, comments and quotes", text: "\n <a-b.c:Envelope\n xmlns:a-b.c = '" + NSEnvelope + "' ><!-- x --> <a-b.c:Body >\n" + yes + "\n</a-b.c:Body\t></a-b.c:Envelope>\n<!-- y -->\n", note: "n"},
	{name: "the envelope's prefix means another thing inside", text: body(`<S:told xmlns:S="urn:example:thing"><S:valid>1</S:valid><S:note>n</S:note></S:told>`), note: "n"},
	{name: "unknown elements are passed over", text: body(`<told xmlns="urn:example:thing"><new><valid>x</valid></new><note>n</note><new/></told>`), note: "n"},
	{name: "children without a namespace", text: body(`<x:told xmlns:x="urn:example:thing"><note>n</note></x:told>`), note: "n"},
	{name: "CDATA", text: body(`<told xmlns="urn:example:thing"><note><![CDATA[<n>]]></note></told>`), note: "<n>"},
	{name: "a header block that need not be understood", text: header(`<x:T xmlns:x="urn:x" S:mustUnderstand="0">t</x:T><y xmlns=""/>`), note: "n"},
	{name: "a header block for somebody else", text: header(`<x:T xmlns:x="urn:x" S:mustUnderstand="1" S:actor="urn:gateway"/>`), note: "n"},
	{name: "a header block that is known here", text: header(`<k:Known xmlns:k="urn:k" S:mustUnderstand="1"/>`), note: "n"},
	{name: "white space in an attribute value", text: strings.Replace(body(yes), "<told ", "<told a='x\n y' ", 1), note: "n"},

	{name: "no Content-Type", media: "-", text: body(yes), note: "n"},
	{name: "application/soap+xml", media: "application/soap+xml; charset=utf-8", text: body(yes), note: "n"},
	{name: "application/xml in capitals", media: `Application/XML; Charset="UTF-8"`, text: body(accented), note: "Società è"},
	{name: "UTF-8 without a word about it", media: "text/xml", text: body(accented), note: "Società è"},
	{name: "UTF-8 with a byte order mark", media: "text/xml", text: "\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>" + body(accented), note: "Società è"},
	{name: "ISO-8859-1 by declaration", media: "text/xml", text: latin1(`<?xml version="1.0" encoding="ISO-8859-1" standalone="yes" ?>` + body(accented)), note: "Società è"},
	{name: "ISO-8859-1 by Content-Type", media: "text/xml; charset=iso-8859-1", text: latin1(body(accented)), note: "Società è"},
	{name: "ISO-8859-15", media: "text/xml; charset=ISO-8859-15", text: strings.Replace(body(yes), ">n<", ">\xa4<", 1), note: "€"},
	{name: "windows-1252", media: "text/xml", text: `<?xml version="1.0" encoding="windows-1252"?>` + strings.Replace(body(yes), ">n<", ">\x80<", 1), note: "€"},
	{name: "UTF-16, big end first", media: "text/xml", text: wide("\ufeff"+`<?xml version="1.0" encoding="UTF-16"?>`+body(accented), true), note: "Società è"},
	{name: "UTF-16, little end first", media: "text/xml; charset=utf-16", text: wide("\ufeff"+body(accented), false), note: "Società è"},
	{name: "charsets that differ where it does not matter", media: "text/xml; charset=ISO-8859-1", text: `<?xml version="1.0" encoding="UTF-8"?>` + body(yes), note: "n"},
	{name: "charsets that differ where it matters", media: "text/xml; charset=ISO-8859-1", text: `<?xml version="1.0" encoding="UTF-8"?>` + body(accented), want: errCharsets},
	{name: "a charset nobody reads", media: "text/xml; charset=ebcdic-it", text: body(yes), want: errCharset},
	{name: "bytes that are not UTF-8", media: "text/xml; charset=utf-8", text: latin1(body(accented)), want: errEncoding},
	{name: "bytes that are not in windows-1252", media: "text/xml; charset=windows-1252", text: strings.Replace(body(yes), ">n<", ">\x81<", 1), want: errEncoding},
	{name: "bytes above ASCII in ASCII", media: "text/xml; charset=us-ascii", text: latin1(body(accented)), want: errEncoding},
	{name: "half a UTF-16 letter", media: "text/xml", text: wide("\ufeff"+body(yes), true) + "\xd8", want: errEncoding},

	{name: "HTML with status 200", media: "text/html", text: "<html><body>Servizio non disponibile</body></html>", want: errMedia},
	{name: "HTML that calls itself XML", text: "<html><body>Servizio non disponibile</body></html>", want: errEnvelope},
	{name: "JSON", media: "application/json", text: "{}", want: errMedia},
	{name: "a Content-Type that is none", media: "text/xml; ;;", text: body(yes), want: errMedia},
	{name: "attachments", media: "multipart/related; type=\"text/xml\"; boundary=x", text: "--x--", want: errAttachments},
	{name: "nothing", text: "", want: errEmpty},
	{name: "blanks", text: " \n", want: errEnvelope},
	{name: "text", text: "OK", want: errEnvelope},
	{name: "SOAP 1.2", text: strings.ReplaceAll(body(yes), NSEnvelope, nsEnvelope12), want: errVersion},
	{name: "an Envelope of no namespace", text: `<Envelope><Body>` + yes + `</Body></Envelope>`, want: errEnvelope},
	{name: "an XML declaration of version 1.1", text: `<?xml version="1.1"?>` + body(yes), want: errDeclaration},
	{name: "an XML declaration without an end", text: `<?xml version="1.0"` + body(yes), want: errDeclaration},
	{name: "an XML declaration with more in it", text: `<?xml version="1.0" more="x"?>` + body(yes), want: errDeclaration},
	{name: "an XML declaration without a version", text: `<?xml encoding="UTF-8"?>` + body(yes), want: errDeclaration},
	{name: "an XML declaration without a sign", text: `<?xml version "1.0"?>` + body(yes), want: errDeclaration},
	{name: "an XML declaration without quotes", text: `<?xml version=1.0 ?>` + body(yes), want: errDeclaration},
	{name: "an XML declaration that is not at the beginning", text: ` <?xml version="1.0"?>` + body(yes), want: errInstruction},

	{name: "two roots", text: body(yes) + body(yes), want: errRoots},
	{name: "text behind the root", text: body(yes) + "x", want: errRoots},
	{name: "text before the root", text: "x" + body(yes), want: errEnvelope},
	{name: "a zero byte behind the root", text: body(yes) + "\x00", want: errRoots},
	{name: "a document type", text: `<!DOCTYPE S:Envelope SYSTEM "http://peer.example/x.dtd">` + body(yes), want: errDoctype},
	{name: "a document type with entities", text: `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + body(`<told xmlns="urn:example:thing"><note>&b;</note></told>`), want: errDoctype},
	{name: "an element declaration", text: body(`<!ELEMENT x ANY>` + yes), want: errSyntax},
	{name: "a processing instruction", text: `<?xml-stylesheet href="x"?>` + body(yes), want: errInstruction},
	{name: "a processing instruction in the Body", text: body(`<?x y?>` + yes), want: errInstruction},
	{name: "an entity that nobody declared", text: strings.Replace(body(yes), ">n<", ">&n;<", 1), want: errTypes},
	{name: "an undeclared prefix", text: body(`<x:told><note>n</note></x:told>`), want: errPrefix},
	{name: "an undeclared prefix on an attribute", text: body(`<told xmlns="urn:example:thing" x:a="1"><note>n</note></told>`), want: errPrefix},
	{name: "a prefix whose declaration is over", text: body(`<told xmlns="urn:example:thing"><new xmlns:x="urn:x"/><x:note>n</x:note></told>`), want: errPrefix},
	{name: "a prefix that is undeclared again", text: body(`<told xmlns="urn:example:thing"><new xmlns:S=""/></told>`), want: errReserved},
	{name: "the prefix xml for another namespace", text: strings.Replace(body(yes), "<told ", `<told xmlns:xml="urn:x" `, 1), want: errReserved},
	{name: "another prefix for the namespace of xml", text: strings.Replace(body(yes), "<told ", `<told xmlns:l="`+nsXML+`" `, 1), want: errReserved},
	{name: "the prefix xmlns", text: strings.Replace(body(yes), "<told ", `<told xmlns:xmlns="urn:x" `, 1), want: errReserved},
	{name: "a reference in a namespace", text: body(`<told xmlns="urn:example:&#116;hing"><note>n</note></told>`), want: errReserved},
	{name: "white space in a namespace", text: body("<told xmlns='urn:example:\rthing'><note>n</note></told>"), want: errReserved},
	{name: "an attribute twice", text: strings.Replace(body(yes), "<told ", `<told a="1" a="2" `, 1), want: errAttribute},
	{name: "an attribute twice by two prefixes", text: strings.Replace(body(yes), "<told ", `<told xmlns:p="u" xmlns:q="u" p:a="1" q:a="2" `, 1), want: errAttribute},
	{name: "a prefix declared twice", text: strings.Replace(body(yes), "<told ", `<told xmlns:p="u" xmlns:p="v" `, 1), want: errAttribute},
	{name: "nested too deeply", text: body(strings.Repeat("<a>", 200) + strings.Repeat("</a>", 200)), want: errTooDeep},
	{name: "too many attributes", text: strings.Replace(body(yes), "<told ", "<told "+many(`a%="1" `, 65), 1), want: errTooMany},
	{name: "too many prefixes", text: strings.Replace(body(yes), "<told ", "<told "+many(`xmlns:a%="u" `, 300), 1), want: errTooMany},
	{name: "too many header blocks", text: header(strings.Repeat("<a/>", 65)), want: errTooMany},
	{name: "truncated in the Body", text: body(yes)[:120], want: errTruncated},
	{name: "truncated before the last tag", text: strings.TrimSuffix(body(yes), envShut), want: errTruncated},
	{name: "truncated in a tag", text: strings.TrimSuffix(body(yes), ">"), want: errTruncated},
	{name: "truncated in a comment", text: envOpen + "<!-- x", want: errTruncated},
	{name: "truncated behind a lone bracket", text: body(yes) + "<", want: errTruncated},
	{name: "truncated in a CDATA section", text: envOpen + "<S:Body><told><![CDATA[ x", want: errTruncated},
	{name: "truncated behind a tag's name", text: envOpen + "<S:Body", want: errTruncated},
	{name: "truncated behind a tag's slash", text: envOpen + "<S:Body/", want: errTruncated},
	{name: "truncated behind an attribute's name", text: envOpen + "<S:Body a", want: errTruncated},
	{name: "truncated behind an attribute's sign", text: envOpen + "<S:Body a=", want: errTruncated},
	{name: "truncated in an attribute's value", text: envOpen + "<S:Body a='x", want: errTruncated},
	{name: "a slash in the midst of a tag", text: body("<a/b>"), want: errSyntax},
	{name: "attributes without a blank between them", text: strings.Replace(body(yes), "<told ", `<told a="1"b="2" `, 1), want: errSyntax},
	{name: "an attribute's name with a colon too many, declared", text: strings.Replace(body(yes), "<told ", `<told xmlns:a="u" a:b:c="" `, 1), want: errSyntax},
	{name: "a bracket in an attribute's value", text: strings.Replace(body(yes), "<told ", `<told a="<" `, 1), want: errSyntax},
	{name: "an element's name with a colon too many", text: strings.Replace(body(`<x:y:z/>`), "<S:Body>", `<S:Body xmlns:x="u">`, 1), want: errSyntax},
	{name: "an element's name that ends in its colon", text: body(`<S:/>`), want: errSyntax},
	{name: "CDATA between the elements of SOAP", text: body("<![CDATA[ ]]>" + yes), want: errStructure},
	{name: "tags that cross", text: body(`<told xmlns="urn:example:thing"><new><a></new></a></told>`), want: errSyntax},
	{name: "two dashes in a comment", text: body("<!-- a -- b -->" + yes), want: errSyntax},
	{name: "an attribute without a value", text: strings.Replace(body(yes), "<told ", "<told a ", 1), want: errSyntax},
	{name: "an attribute without quotes", text: strings.Replace(body(yes), "<told ", "<told a=1 ", 1), want: errSyntax},
	{name: "a name with two colons", text: strings.Replace(body(yes), "<told ", `<told a:b:c="" `, 1), want: errSyntax},
	{name: "a name that begins with a digit", text: body("<1a/>"), want: errSyntax},

	{name: "no Body", text: envOpen + envShut, want: errNoBody},
	{name: "an empty Body", text: body(""), want: errBodyEmpty},
	{name: "an empty Body in one tag", text: envOpen + "<S:Body/>" + envShut, want: errBodyEmpty},
	{name: "two elements in the Body", text: body(yes + yes), want: errBodyMany},
	{name: "text in the Body", text: body("x" + yes), want: errStructure},
	{name: "text in the Envelope", text: envOpen + "x<S:Body>" + yes + "</S:Body>" + envShut, want: errStructure},
	{name: "two Bodies", text: envOpen + "<S:Body>" + yes + "</S:Body><S:Body>" + yes + "</S:Body>" + envShut, want: errStructure},
	{name: "a Header behind the Body", text: envOpen + "<S:Body>" + yes + "</S:Body><S:Header/>" + envShut, want: errStructure},
	{name: "two Headers", text: envOpen + "<S:Header/><S:Header/><S:Body>" + yes + "</S:Body>" + envShut, want: errStructure},
	{name: "something else behind the Body", text: envOpen + "<S:Body>" + yes + "</S:Body><attachments/>" + envShut, want: errStructure},
	{name: "a Body of another namespace", text: envOpen + `<Body xmlns="urn:x">` + yes + "</Body>" + envShut, want: errStructure},
	{name: "a header block that must be understood", text: header(`<x:T xmlns:x="urn:x" S:mustUnderstand="1"/>`), want: errMustUnderstand},
	{name: "a header block that must be understood by whoever comes next", text: header(`<x:T xmlns:x="urn:x" S:mustUnderstand="1" S:actor="` + actorNext + `"/>`), want: errMustUnderstand},
	{name: "Security, which is not looked at", text: header(`<o:Security xmlns:o="` + NSSecurity + `" S:mustUnderstand="1"/>`), want: errMustUnderstand},
	{name: "another element than the answer", text: body(`<other xmlns="urn:example:thing"/>`), want: errAnswer},
	{name: "the answer's name in another namespace", text: body(`<told xmlns="urn:example:other"><note>n</note></told>`), want: errAnswer},
	{name: "the question itself", text: body(`<ask xmlns="urn:example:thing"/>`), want: errAnswer},
	{name: "an element of the answer in another namespace", text: body(`<told xmlns="urn:example:thing"><valid xmlns="urn:x">false</valid><note>n</note></told>`), want: errForeign},
	{name: "an element of the answer twice", text: body(`<told xmlns="urn:example:thing"><valid>true</valid><valid>false</valid></told>`), want: errRepeated},
	{name: "an element in the midst of text", text: body(`<told xmlns="urn:example:thing"><valid>fal<x/>se</valid></told>`), want: errInsertion},
	{name: "a word that is no boolean", text: body(`<told xmlns="urn:example:thing"><valid>VERO</valid></told>`), want: errTypes},
	{name: "a boolean without a word", text: body(`<told xmlns="urn:example:thing"><valid> <!-- x --></valid></told>`), want: errVacant},
	{name: "a number that is nil, and cannot be", text: body(`<told xmlns="urn:example:thing"><count xmlns:i="` + nsInstance + `" i:nil="true"/></told>`), want: errVacant},
	{name: "a nil that is not empty", text: body(`<told xmlns="urn:example:thing"><valid xmlns:i="` + nsInstance + `" i:nil="true">true</valid></told>`), want: errNil},
	{name: "a nil that is none", text: body(`<told xmlns="urn:example:thing"><valid xmlns:i="` + nsInstance + `" i:nil="false"/></told>`), want: errVacant},
	{name: "a number without a digit", text: body(`<told xmlns="urn:example:thing"><count></count></told>`), want: errVacant},
	{name: "a control character", text: strings.Replace(body(yes), ">n<", ">\x01<", 1), want: errTypes},
}

// many repeats a pattern with a number in it.
func many(pattern string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Replace(pattern, "%", strings.Repeat("i", i+1), 1))
	}
	return b.String()
}

func TestRepliesAreReadOrRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range replies {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(_ int, w http.ResponseWriter) {
				switch tc.media {
				case "-":
					w.Header()["Content-Type"] = nil
				case "":
					w.Header().Set("Content-Type", "text/xml; charset=utf-8")
				default:
					w.Header().Set("Content-Type", tc.media)
				}
				_, _ = w.Write([]byte(tc.text))
			})
			c := New(Options{Wire: dial(t, s.URL, nil), Understands: []xml.Name{{Space: "urn:k", Local: "Known"}}})
			answer, reply, err := Call[told](with(t.Context(), contracts.Read), c, operation, &ask{})
			if reply == nil || reply.Status != 200 {
				t.Errorf("reply %+v", reply)
			}
			if tc.want == nil {
				if err != nil || answer.Note != tc.note {
					t.Errorf("%+v, %v, want %q", answer, err, tc.note)
				}
				return
			}
			e := contracttest.ErrorOf(t, err, contracts.Malformed, "peer")
			if e.Err == nil || !strings.HasSuffix(e.Err.Error(), tc.want.Error()) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if len(s.requests) != 1 {
				t.Errorf("%d requests", len(s.requests))
			}
		})
	}
}

func TestABrokenReplyAfterAnEffectIsUncertain(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"not SOAP": "<html/>", "another element": body(`<other xmlns="urn:example:thing"/>`), "wrong types": body(`<told xmlns="urn:example:thing"><valid>x</valid></told>`),
	} {
		s := serve(t, func(_ int, w http.ResponseWriter) { write(w, 200, text) })
		c := New(Options{Wire: dial(t, s.URL, nil)})
		_, _, err := Call[told](with(t.Context(), contracts.Once), c, operation, &ask{})
		if !errors.Is(err, contracts.Uncertain) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAbsentIsNotFalse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "absent", "<valid>false</valid>": "false", "<valid> 0\n</valid>": "false", "<valid>1</valid>": "true",
		`<valid xmlns:i="` + nsInstance + `" i:nil="true"/>`: "absent", `<x/><valid i:nil="1" xmlns:i="` + nsInstance + `">` + "\n</valid>": "absent",
	} {
		s := serve(t, func(_ int, w http.ResponseWriter) {
			write(w, 200, body(`<told xmlns="urn:example:thing">`+text+`</told>`))
		})
		answer, _, err := Call[told](with(t.Context(), contracts.Read), New(Options{Wire: dial(t, s.URL, nil)}), operation, &ask{})
		got := "absent"
		if err != nil {
			got = err.Error()
		} else if answer.Valid != nil {
			got = map[boolean]string{true: "true", false: "false"}[*answer.Valid]
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestALargeReplyIsReadWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	large := body(`<told xmlns="urn:example:thing"><note>` + strings.Repeat("parole ", 1_500_000) + `</note></told>`)
	s := serve(t, func(_ int, w http.ResponseWriter) { write(w, 200, large) })
	ctx := with(t.Context(), contracts.Read)
	answer, _, err := Call[told](ctx, New(Options{Wire: dial(t, s.URL, func(c *wire.Config) { c.MaxBody = 16 << 20 })}), operation, &ask{})
	if err != nil || len(answer.Note) != 10_500_000 {
		t.Errorf("%v", err)
	}
	_, reply, err := Call[told](ctx, New(Options{Wire: dial(t, s.URL, nil)}), operation, &ask{})
	if !errors.Is(err, contracts.Malformed) || reply != nil {
		t.Errorf("beyond the limit: %v", err)
	}
}
