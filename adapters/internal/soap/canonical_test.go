package soap

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

func tree(t testing.TB, text string) *etree.Document {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return doc
}

// canonicalCases are documents with their exclusive canonical form, each for the rule that it shows.
var canonicalCases = []struct{ name, in, want string }{
	{"an empty element gets an end tag", `<a/>`, `<a></a>`},
	{
		"attributes are sorted by namespace, then name", `<a z="1" b="2" y:c="3" x:d="4" xmlns:x="u:z" xmlns:y="u:a"/>`,
		`<a xmlns:x="u:z" xmlns:y="u:a" b="2" z="1" y:c="3" x:d="4"></a>`,
	},
	{"an unused declaration goes", `<a xmlns:x="u:x" xmlns="u:d"><b/></a>`, `<a xmlns="u:d"><b></b></a>`},
	{"a declaration moves to its first use", `<p:a xmlns:p="u:p" xmlns="u:d"><b/></p:a>`, `<p:a xmlns:p="u:p"><b xmlns="u:d"></b></p:a>`},
	{"no default namespace is undone where none was written", `<p:a xmlns:p="u:p" xmlns="u:d"><b xmlns=""/></p:a>`, `<p:a xmlns:p="u:p"><b></b></p:a>`},
	{"a default namespace that was written is undone", `<a xmlns="u:d"><b xmlns=""><c xmlns=""/></b></a>`, `<a xmlns="u:d"><b xmlns=""><c></c></b></a>`},
	{"an empty default at the top is nothing", `<a xmlns=""><b/></a>`, `<a><b></b></a>`},
	{
		"a prefix that changes its meaning is written again", `<p:a xmlns:p="u:1"><p:b xmlns:p="u:2"><p:c xmlns:p="u:1"/></p:b></p:a>`,
		`<p:a xmlns:p="u:1"><p:b xmlns:p="u:2"><p:c xmlns:p="u:1"></p:c></p:b></p:a>`,
	},
	{"a sibling declares for itself", `<a xmlns:p="u:p"><p:b/><p:b/></a>`, `<a><p:b xmlns:p="u:p"></p:b><p:b xmlns:p="u:p"></p:b></a>`},
	{"comments go", `<a>x<!-- c -->y</a>`, `<a>xy</a>`},
	{"CDATA becomes text", `<a><![CDATA[<&>]]></a>`, `<a>&lt;&amp;&gt;</a>`},
	{"references in text", "<a>&#13;&#9;\"'&gt;</a>", "<a>&#xD;\t\"'&gt;</a>"},
	{"references in values", `<a b="&#13;&#10;&#9;&quot;&apos;&lt;>&amp;"/>`, `<a b="&#xD;&#xA;&#x9;&quot;'&lt;>&amp;"></a>`},
	{"line ends", "<a>\r\n<b/>\r</a>", "<a>\n<b></b>\n</a>"},
	{"xml attributes keep their prefix", `<a xml:lang="it" z="1" a="2"><b xml:space="preserve"/></a>`, `<a a="2" z="1" xml:lang="it"><b xml:space="preserve"></b></a>`},
	{"letters outside ASCII stay", `<a b="è">€&#xe8;</a>`, `<a b="è">€è</a>`},
}

func TestCanonicalForm(t *testing.T) {
	t.Parallel()
	for _, tc := range canonicalCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := Canonical(tree(t, tc.in).Root())
			if err != nil || string(got) != tc.want {
				t.Errorf("%s, %v, want %s", got, err, tc.want)
			}
			again, err := Canonical(tree(t, string(got)).Root())
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("a second time %s", again)
			}
		})
	}
}

func TestCanonicalFormIsLibxml2s(t *testing.T) {
	t.Parallel()
	lint := tool(t, "xmllint")
	for _, tc := range canonicalCases {
		cmd := exec.CommandContext(t.Context(), lint, "--exc-c14n", "-")
		cmd.Stdin = strings.NewReader(tc.in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		want := out // with comments, which is another algorithm
		if tc.name == "comments go" {
			want = bytes.ReplaceAll(out, []byte("<!-- c -->"), nil)
		}
		got, err := Canonical(tree(t, tc.in).Root())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s, %v, and libxml2 has %s", tc.name, got, err, want)
		}
	}
}

// goxmldsigs are the cases in which goxmldsig writes another form than libxml2 and we do: why it is not used.
var goxmldsigs = map[string]bool{
	"no default namespace is undone where none was written": true,
	"an empty default at the top is nothing":                true,
}

func TestCanonicalFormIsGoxmldsigsButForItsFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range canonicalCases {
		theirs, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(tree(t, tc.in).Root())
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		switch same := string(theirs) == tc.want; {
		case !same && !goxmldsigs[tc.name]:
			t.Errorf("%s: %s, and goxmldsig has %s", tc.name, tc.want, theirs)
		case same && goxmldsigs[tc.name]:
			t.Errorf("%s: goxmldsig has it right now: take it off the list", tc.name)
		}
	}
	long := tree(t, "<a>"+strings.Repeat("<b/>", 1000)+"</a>").Root()
	if _, err := etreeutils.NSDetatch(etreeutils.NewDefaultNSContext(), long); err == nil {
		t.Error("goxmldsig takes more than a thousand elements now")
	}
	if _, err := Canonical(long); err != nil {
		t.Error(err)
	}
}

// thicket writes documents whose prefixes, default namespaces and attributes get in each other's way.
type thicket struct {
	*rand.Rand
	strings.Builder
}

func (w *thicket) element(depth int, scope map[string]bool) {
	inner := maps.Clone(scope)
	var decls []string
	for _, p := range []string{"", "a", "b", "c"} {
		if w.IntN(3) > 0 {
			continue
		}
		uri := []string{"urn:1", "urn:2", "urn:3"}[w.IntN(3)]
		if p == "" && w.IntN(3) == 0 {
			uri = ""
		}
		decls = append(decls, strings.TrimSuffix(" xmlns:"+p, ":")+`="`+uri+`"`)
		inner[p] = true
	}
	pick := func() string {
		prefixes := slices.Sorted(maps.Keys(inner))
		if p := prefixes[w.IntN(len(prefixes))]; p != "" {
			return p + ":"
		}
		return ""
	}
	name := pick() + "e"
	w.WriteString("<" + name)
	parts := decls
	for i := range w.IntN(3) {
		parts = append(parts, " "+pick()+"k"+string(rune('0'+i))+`="v&quot;&#10;"`)
	}
	w.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	w.WriteString(strings.Join(parts, "") + ">t&gt;")
	for range w.IntN(3) {
		if depth < 5 {
			w.element(depth+1, inner)
		}
	}
	w.WriteString("</" + name + ">")
}

func TestCanonicalFormOfThicketsIsLibxml2s(t *testing.T) {
	t.Parallel()
	lint := tool(t, "xmllint")
	w := &thicket{Rand: rand.New(rand.NewPCG(7, 7))}
	for range 150 {
		w.Reset()
		w.element(0, map[string]bool{"": true})
		cmd := exec.CommandContext(t.Context(), lint, "--exc-c14n", "-")
		cmd.Stdin = strings.NewReader(w.String())
		want, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", w.String(), err)
		}
		if got, err := Canonical(tree(t, w.String()).Root()); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s\n%s, %v\nlibxml2: %s", w.String(), got, err, want)
		}
	}
}

func TestCanonicalFormOfAPart(t *testing.T) {
	t.Parallel()
	doc := tree(t, `<e:E xmlns:e="u:e" xmlns="u:d" xmlns:l="u:l" xmlns:un="u:un"><e:B a="1"><x l:y="1"/></e:B></e:E>`)
	part := doc.Root().ChildElements()[0]
	for list, want := range map[string]string{
		"":            `<e:B xmlns:e="u:e" a="1"><x xmlns="u:d" xmlns:l="u:l" l:y="1"></x></e:B>`,
		"l":           `<e:B xmlns:e="u:e" xmlns:l="u:l" a="1"><x xmlns="u:d" l:y="1"></x></e:B>`,
		"#default un": `<e:B xmlns="u:d" xmlns:e="u:e" xmlns:un="u:un" a="1"><x xmlns:l="u:l" l:y="1"></x></e:B>`,
		"absent":      `<e:B xmlns:e="u:e" a="1"><x xmlns="u:d" xmlns:l="u:l" l:y="1"></x></e:B>`,
	} {
		before, _ := doc.WriteToString()
		got, err := Canonical(part, strings.Fields(list)...)
		if err != nil || string(got) != want {
			t.Errorf("with %q: %s, %v, want %s", list, got, err, want)
		}
		if after, _ := doc.WriteToString(); after != before {
			t.Errorf("with %q: the document was changed", list)
		}
	}
}

func TestCanonicalFormRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an undeclared prefix":                 `<x:a/>`,
		"an undeclared prefix on an attribute": `<a x:b="1"/>`,
		"a processing instruction":             `<a><?x y?></a>`,
		"a directive":                          `<a><!ELEMENT x ANY></a>`,
	} {
		if out, err := Canonical(tree(t, text).Root()); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// tool gives the path of a program that another project wrote, or skips the test.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian: xmlsec1, libxml2-utils)", name)
	}
	return path
}
