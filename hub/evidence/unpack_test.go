package evidence_test

import (
	"bytes"
	"mime/multipart"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/evidence"
)

// stream packs files of any name: name, text, name, text …
func stream(t testing.TB, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for i := 0; i+1 < len(files); i += 2 {
		part, err := w.CreatePart(textproto.MIMEHeader{"Name": {files[i]}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestNothingIsUnpackedOutside(t *testing.T) {
	good := stream(t, "a/b/c.eml", "x", "d", "--x\r\n--\r\n")
	for _, c := range []struct {
		name string
		in   []byte
		kind contracts.Kind
	}{
		{"up", stream(t, "../x", "x"), contracts.Malformed},
		{"up in between", stream(t, "a/../../x", "x"), contracts.Malformed},
		{"absolute", stream(t, "/tmp/x", "x"), contracts.Malformed},
		{"a drive", stream(t, `C:\x`, "x"), contracts.Malformed},
		{"a backslash", stream(t, `a\b`, "x"), contracts.Malformed},
		{"hidden", stream(t, ".ssh/x", "x"), contracts.Malformed},
		{"an option", stream(t, "-rf", "x"), contracts.Malformed},
		{"a blank", stream(t, "a b", "x"), contracts.Malformed},
		{"too deep", stream(t, "a/b/c/d", "x"), contracts.Malformed},
		{"too long", stream(t, strings.Repeat("a", 101), "x"), contracts.Malformed},
		{"none", stream(t, "", "x"), contracts.Malformed},
		{"twice", stream(t, "a", "x", "a", "y"), contracts.Malformed},
		{"twice, but for case", stream(t, "a", "x", "A", "y"), contracts.Malformed},
		{"a file for a folder", stream(t, "a", "x", "a/b", "y"), contracts.Unavailable},
		{"cut short", good[:len(good)-10], contracts.Unavailable},
		{"cut at once", good[:20], contracts.Malformed},
		{"something behind it", append(bytes.Clone(good), make([]byte, 100_000)...), contracts.Malformed},
		{"nothing", nil, contracts.Malformed},
		{"something else", []byte("HTTP/1.1 200 OK\r\n\r\n"), contracts.Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "in", "out")
			err := evidence.Unpack(bytes.NewReader(c.in), dir, func(evidence.File) {})
			if contracts.KindOf(err) != c.kind || err == nil {
				t.Errorf("%v", err)
			}
			for _, f := range files(t, outer) {
				if !strings.HasPrefix(f, "in/out/") {
					t.Errorf("%s was written outside", f)
				}
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "out")
	if err := evidence.Unpack(bytes.NewReader(good), dir, func(evidence.File) {}); err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "a/b/c.eml") != "x" || read(t, dir, "d") != "--x\r\n--\r\n" {
		t.Error("other bytes came out")
	}
	if err := evidence.Unpack(bytes.NewReader(good), dir, func(evidence.File) {}); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("a folder with something in it: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "d")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(stream(f, "manifest.json", "{}", "receipts/001-x.eml", "x"))
	f.Add(stream(f, "../x", "x"))
	f.Add([]byte("--x\r\nName: a\r\n\r\ny\r\n--x--\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		outer := t.TempDir()
		_ = evidence.Unpack(bytes.NewReader(in), filepath.Join(outer, "in", "out"), func(evidence.File) {})
		for _, name := range files(t, outer) {
			if !strings.HasPrefix(name, "in/out/") {
				t.Errorf("%s was written outside", name)
			}
		}
	})
}

// Whatever stands in a folder's manifest, looking at it ends with a report and without a panic.
func FuzzVerify(f *testing.F) {
	d := newDesk(f)
	whole := d.export(d.delivered("k1", "P-1"))
	f.Add([]byte(read(f, whole, "manifest.json")), []byte(read(f, whole, "story.json")), []byte(read(f, whole, "SHA256SUMS")))
	f.Add([]byte(`{"format":1,"tickets":[{"id":"x","dir":"..","entries":null}]}`), []byte(`[{"proof":[null]}]`), []byte("x"))
	f.Fuzz(func(t *testing.T, manifest, story, sums []byte) {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		same := string(manifest) == read(t, dir, "manifest.json") && string(story) == read(t, dir, "story.json") && string(sums) == read(t, dir, "SHA256SUMS")
		put(t, dir, "manifest.json", string(manifest))
		put(t, dir, "story.json", string(story))
		put(t, dir, "SHA256SUMS", string(sums))
		r, err := evidence.Verify(t.Context(), dir, trust())
		if err != nil {
			t.Fatal(err)
		}
		if r.OK() != same {
			t.Errorf("changed: %v, faults: %q", !same, r.Faults)
		}
	})
}
