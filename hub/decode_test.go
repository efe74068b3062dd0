package hub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"raccordo/adapters"
)

// What is no YAML is one finding: nothing behind it can be trusted.
func TestWhatIsNoYAMLIsOneFinding(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule, text string
		line       int
		want       string
	}{
		{"nothing", "", 1, "empty"},
		{"a tab indents", "store:\n\tpath: x\n", 2, "a tab indents this line"},
		{"a bracket stays open", "routes:\n  domicile: [inad\nstore: x\n", 2, "not YAML"},
		{"a quotation stays open", "environment: \"collaudo\n", 1, "not YAML"},
		{"a colon too many", "environment: a: b\n", 1, "mapping values are not allowed"},
		{"a value like an alias", "ledger:\n  key: *hunter2\n", 2, "put it in quotes"},
		{"an unknown tag handle", "ledger:\n  key: !h!hunter2 x\n", 2, "not YAML"},
		{"two documents", "environment: collaudo\n---\nenvironment: produzione\n", 1, "more than one document"},
		{"not UTF-8", "environment: collaudo\nstore: {path: caff\xe8.db}\n", 2, "not UTF-8"},
		{"UTF-16", "\xff\xfee\x00n\x00v\x00", 1, "not UTF-8"},
		{"a program", "\x7fELF\x02\x01\x01\x00", 1, "control character"},
		{"a zero in the text", "environment: collaudo\nstore: {path: \"a\x00b\"}\n", 2, "control character"},
		{"an escape sequence", "environment: \x1b[31mcollaudo\n", 1, "control character"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			found := findingsOf(t, c.text)
			if len(found) != 1 || found[0].Line != c.line || !strings.Contains(found[0].Text, c.want) {
				t.Errorf("%v\nwant one finding on line %d: …%s…", found, c.line, c.want)
			}
			if strings.Contains(found.Error(), "hunter2") {
				t.Errorf("%v: quotes a secret", found)
			}
		})
	}
}

func TestByteOrderMarkAndWindowsLineEndsPass(t *testing.T) {
	t.Parallel()
	text := "\ufeff" + strings.ReplaceAll(example(t, "dev.yaml"), "\n", "\r\n")
	if _, err := parseConfig("hub.yaml", []byte(text), adapters.Kinds()); err != nil {
		t.Error(err)
	}
}

func TestAliasesAreFollowed(t *testing.T) {
	t.Parallel()
	text := strings.Replace(example(t, "dev.yaml"), "timeout: 2s}\n    voucher", "timeout: &short 3s}\n    voucher", 1)
	text = strings.Replace(text, "timeout: 2s}\n    client", "timeout: *short}\n    client", 1)
	if _, err := parseConfig("hub.yaml", []byte(text), adapters.Kinds()); err != nil {
		t.Error(err)
	}
}

// Small files that unfold into huge ones, or into themselves, are refused in time.
func TestAliasBombsAreDefused(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	many.WriteString("calls:\n  others: &o {places: 1, per_second: 1, burst: 1}\napi:\n  callers:\n    a: &a {tokens: [" + strings.Repeat("secret://env/T,", 20_000) + "]}\n")
	for i := range 20_000 {
		fmt.Fprintf(&many, "    c%d: *a\n", i)
	}
	laughs := "api:\n  callers:\n    a: {tokens: &a [x, x, x, x, x, x, x, x, x]}\n"
	for i := range 20 {
		laughs += fmt.Sprintf("    c%d: {tokens: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]}\n", i, 'b'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i)
	}
	for rule, text := range map[string]string{
		"one large list, aliased often": many.String(),
		"lists of lists of lists":       laughs,
		"a list that holds itself":      "routes: {domicile: &r [*r]}\n",
		"a mapping that holds itself":   "store: &s {path: *s, key: *s}\n",
		"a stanza that holds itself":    "adapters:\n  inad: &i {kind: inad, http: *i, policy: *i}\n",
		"ten thousand unknown keys":     strings.Repeat("x: 1\n", 10_000),
		"nested a thousand deep":        "routes: " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "\n",
	} {
		start := time.Now()
		found := findingsOf(t, text)
		if found == nil || len(found) > maxFindings+1 {
			t.Errorf("%s: %d findings", rule, len(found))
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s took %s", rule, took)
		}
	}
}

func TestManyFaultsAreCut(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "x%d: 1\n", i)
	}
	found := findingsOf(t, text.String())
	if len(found) != maxFindings+1 || !strings.Contains(found[maxFindings].Text, "more faults") {
		t.Errorf("%d findings, the last: %v", len(found), found[len(found)-1])
	}
}

// Findings stand on one line and steer no terminal, whatever the keys hold.
func TestFindingsArePrintable(t *testing.T) {
	t.Parallel()
	for _, key := range []string{`"a\nb"`, `"\e[31mred"`, `"a\0b"`, "\"\u202ereversed\"", `"` + strings.Repeat("k", 10_000) + `"`} {
		for _, text := range []string{key + ": 1\n", "adapters: {" + key + ": {kind: x}}\n", "api: {callers: {" + key + ": {}}}\n"} {
			for _, f := range findingsOf(t, text) {
				if line := f.Error(); strings.ContainsAny(line, "\n\x1b\x00\u202e") || len(f.Path) > 200 {
					t.Errorf("%.300q", line)
				}
			}
		}
	}
}

func TestFindingsComeInTheOrderOfTheLines(t *testing.T) {
	t.Parallel()
	text := "zzz: 1\naaa: 2\nstore: {nope: 1}\n"
	last := 0
	for _, f := range findingsOf(t, text) {
		if f.Line < last {
			t.Fatalf("line %d behind line %d", f.Line, last)
		}
		last = f.Line
	}
}
