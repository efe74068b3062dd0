package pec

import (
	"errors"
	"strings"
	"testing"
)

func TestPartsAreCutExactly(t *testing.T) {
	for _, tc := range []struct {
		name, boundary, body string
		want                 []string
		err                  error
	}{
		{name: "plain", boundary: "x", body: "--x\r\na\r\n--x\r\nb\r\n--x--\r\n", want: []string{"a", "b"}},
		{name: "preamble and epilogue", boundary: "x", body: "hello --x\r\n--x\r\na\r\n--x--\r\nbye\r\n--x\r\n", want: []string{"a"}},
		{name: "a part's own line end is part of it", boundary: "x", body: "--x\r\na\r\n\r\n--x--", want: []string{"a\r\n"}},
		{name: "empty parts", boundary: "x", body: "--x\r\n\r\n--x\r\n--x--", want: []string{"", ""}},
		{name: "bare line feeds", boundary: "x", body: "--x\na\n--x--\n", want: []string{"a"}},
		{name: "blanks behind a boundary", boundary: "x", body: "--x \t\r\na\r\n--x-- \r\n", want: []string{"a"}},
		{name: "a longer boundary is another", boundary: "x", body: "--x\r\n--x1\r\na\r\n--x1--\r\n--x--\r\n", want: []string{"--x1\r\na\r\n--x1--"}},
		{name: "a boundary within a line is none", boundary: "x", body: "--x\r\na --x\r\n>--x--\r\n--x--\r\n", want: []string{"a --x\r\n>--x--"}},
		{name: "not closed", boundary: "x", body: "--x\r\na\r\n", err: errTruncated},
		{name: "not begun", boundary: "x", body: "a\r\n", err: errTruncated},
		{name: "closed at once", boundary: "x", body: "--x--\r\n", want: nil},
		{name: "too many", boundary: "x", body: strings.Repeat("--x\r\n\r\n", maxParts+2) + "--x--", err: errParts},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parts, err := splitParts([]byte(tc.body), tc.boundary)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if len(parts) != len(tc.want) {
				t.Fatalf("%d parts %q, want %q", len(parts), parts, tc.want)
			}
			for i := range parts {
				if string(parts[i]) != tc.want[i] {
					t.Errorf("part %d is %q, want %q", i, parts[i], tc.want[i])
				}
			}
		})
	}
}

func TestBoundariesThatAreNone(t *testing.T) {
	for _, boundary := range []string{"", strings.Repeat("a", 201)} {
		e, err := readEntity([]byte("Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n--" + boundary + "\r\n\r\na\r\n--" + boundary + "--\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.parts(); !errors.Is(err, errBoundary) {
			t.Errorf("%d characters: %v", len(boundary), err)
		}
	}
}

func TestHeadersOfTheWire(t *testing.T) {
	e, err := readEntity([]byte("Subject: a\r\n b\r\n\tc\r\nX-TipoRicevuta : breve\r\nEmpty:\r\nContent-Type: multipart/signed; micalg=sha-256; \r\n\tboundary=\"----=_P\"\r\n\r\nbody"))
	if err != nil {
		t.Fatal(err)
	}
	_, params := e.contentType()
	if e.get("subject") != "a b c" || e.get("x-tiporicevuta") != "breve" || e.get("empty") != "" || params["boundary"] != "----=_P" || string(e.body) != "body" {
		t.Errorf("read %+v", e)
	}
	for _, bad := range []string{" folded first: x\r\n\r\n", "no colon\r\n\r\n", ": no name\r\n\r\n", "a b: blank in name\r\n\r\n"} {
		if _, err := readEntity([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestNamesOfParts(t *testing.T) {
	for header, want := range map[string]string{
		"Content-Type: application/xml; name=\"DatiCert.xml\"":                                    "daticert.xml",
		"Content-Type: application/xml; name=daticert.xml":                                        "daticert.xml",
		"Content-Type: application/xml; name = daticert.xml ;":                                    "daticert.xml",
		"Content-Type: application/xml; name=dati cert.xml":                                       "dati cert.xml",
		"Content-Type: application/xml; name=daticert.xml; name=evil.xml":                         "daticert.xml",
		"Content-Type: application/xml\r\nContent-Disposition: inline; filename=\"daticert.xml\"": "daticert.xml",
		"Content-Type: application/xml; name=a\r\nContent-Disposition: inline; filename=b":        "b",
		"Content-Type: application/xml":                                                           "",
		"Content-Type: ;;;===":                                                                    "",
	} {
		e, err := readEntity([]byte(header + "\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, got := e.kindAndName(); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func TestTransferEncodings(t *testing.T) {
	for _, tc := range []struct{ encoding, text, want string }{
		{"base64", "Y2lh\r\n  bw==\r\n", "ciao"},
		{"BASE64", "Y2lhbw==", "ciao"},
		{"quoted-printable", "=E8 vero=\r\n!", "\xe8 vero!"},
		{"8bit", "ciao", "ciao"},
		{"", "ciao", "ciao"},
	} {
		e := entity{fields: []field{{"content-transfer-encoding", tc.encoding}}, body: []byte(tc.text)}
		if got, err := e.decoded(100); err != nil || string(got) != tc.want {
			t.Errorf("%s: %q %v, want %q", tc.encoding, got, err, tc.want)
		}
	}
	for name, e := range map[string]entity{
		"noise in base64": {fields: []field{{"content-transfer-encoding", "base64"}}, body: []byte("a*b")},
		"too much":        {body: []byte(strings.Repeat("x", 101))},
	} {
		if _, err := e.decoded(100); err == nil {
			t.Errorf("%s was decoded", name)
		}
	}
}

// A header block of nothing but continuation lines is within its limit, and must cost no more than its size.
func TestManyFoldedLinesCostTheirSize(t *testing.T) {
	block := []byte("Subject: x\r\n" + strings.Repeat(" a\n", (maxHeader-100)/3) + "\r\n")
	var e entity
	var err error
	cost := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			e, err = readEntity(block)
		}
	}).AllocedBytesPerOp()
	if err != nil || !strings.HasPrefix(e.get("subject"), "x a a") || cost > 64*maxHeader {
		t.Errorf("%d bytes allocated for %d, %v", cost, len(block), err)
	}
}
