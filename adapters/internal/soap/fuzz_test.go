package soap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	gowsdl "github.com/hooklift/gowsdl/soap"
)

// What the scanner lets pass, encoding/xml must read in the same way, or not at all.
func FuzzScan(f *testing.F) {
	for _, tc := range replies {
		if tc.media == "" {
			f.Add([]byte(tc.text))
		}
	}
	f.Add([]byte(faultOf("S:Client", `<detail><a/></detail>`)))
	form := shapeOf(reflect.TypeFor[told](), map[reflect.Type]*shape{})
	f.Fuzz(func(t *testing.T, in []byte) {
		text, err := decode("text/xml", in)
		if err != nil {
			if !errors.As(err, new(rule)) {
				t.Fatalf("not a rule: %v", err)
			}
			return
		}
		env, err := scan(text, operation.Answer, form, nil)
		if err != nil {
			if !errors.As(err, new(rule)) {
				t.Fatalf("not a rule: %v", err)
			}
			return
		}
		if env.fault {
			_, _ = parseFault(env)
			return
		}
		child, ok := outline(t, text)
		if ok && child != env.child {
			t.Fatalf("the scanner found %v, and encoding/xml %v", env.child, child)
		}
		var answer told
		out := gowsdl.SOAPEnvelopeResponse{Body: gowsdl.SOAPBodyResponse{Content: &answer, Fault: &gowsdl.SOAPFault{}}}
		err = xml.NewDecoder(bytes.NewReader(without(text, env.cuts))).Decode(&out)
		if err == nil && out.Attachments != nil {
			t.Fatal("gowsdl found attachments, and would fail on them")
		}
		if err == nil && out.Body.ErrorFromFault() != nil {
			t.Fatal("gowsdl found a fault")
		}
	})
}

// outline reads a document with encoding/xml, and gives the element in its Body; not ok where that finds the document
// broken.
func outline(t *testing.T, text []byte) (child xml.Name, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(text))
	depth, roots, inBody := 0, 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return child, false
		}
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth == 1:
				if roots++; roots > 1 || e.Name != (xml.Name{Space: NSEnvelope, Local: "Envelope"}) {
					t.Fatalf("root %v", e.Name)
				}
			case depth == 2 && e.Name == xml.Name{Space: NSEnvelope, Local: "Body"}:
				inBody++
			case depth == 3 && inBody > 0:
				child = e.Name
				inBody++
			}
			seen := map[xml.Name]bool{}
			for _, a := range e.Attr {
				if seen[a.Name] {
					t.Fatalf("attribute twice: %v", a.Name)
				}
				seen[a.Name] = true
			}
		case xml.EndElement:
			depth--
		case xml.Directive, xml.ProcInst:
			t.Fatalf("let pass: %T", token)
		}
	}
	if roots != 1 || inBody != 2 {
		t.Fatalf("%d roots, %d in the Body", roots, inBody)
	}
	return child, true
}

// fixedParty is the same in every process, so that seeds made in one verify in another.
func fixedParty(f testing.TB) *party {
	f.Helper()
	ca := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	issuer := newParty(f, ca, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}, nil)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	return newParty(f, key, nil, issuer)
}

// Whatever is done to a signed message, what is decoded is what was signed.
func FuzzVerify(f *testing.F) {
	p := fixedParty(f)
	good := p.answer(f, yes)
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, "true", "false", 1)))
	f.Add([]byte(strings.Replace(good, "<soap:Body ", `<soap:Body><x/></soap:Body><soap:Body `, 1)))
	f.Add([]byte(template(f, p, "ecdsa-sha256", `<ds:Transform Algorithm="`+ExclusiveC14N+`"/>`, yes)))
	_, want, err := verify(p.verifier(), noon, good)
	if err != nil {
		f.Fatal(err)
	}
	_, want, _ = strings.Cut(want, "<told")
	f.Fuzz(func(t *testing.T, in []byte) {
		_, got, err := verify(p.verifier(), noon, string(in))
		if err != nil {
			if !errors.As(err, new(rule)) {
				t.Fatalf("not a rule: %v", err)
			}
			return
		}
		if _, content, _ := strings.Cut(got, "<told"); content != want {
			t.Fatalf("accepted: %s", got)
		}
	})
}

func FuzzCharset(f *testing.F) {
	for _, tc := range replies {
		f.Add(tc.media, []byte(tc.text))
	}
	f.Fuzz(func(t *testing.T, media string, in []byte) {
		out, err := decode(media, in)
		if err != nil && !errors.As(err, new(rule)) {
			t.Fatalf("not a rule: %v", err)
		}
		if !bytes.Equal(bytes.ToValidUTF8(out, nil), out) {
			t.Fatal("not UTF-8")
		}
	})
}
