package contracts_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

func TestAddress(t *testing.T) {
	long := strings.Repeat("a", 60)
	for name, c := range map[string]struct {
		in, want string // want empty: refused
	}{
		"plain":                        {"ditta@pec.example", "ditta@pec.example"},
		"domain in capitals":           {"Ditta@PEC.Example", "Ditta@pec.example"},
		"blanks around":                {" ditta@pec.example\t", "ditta@pec.example"},
		"every character of an atom":   {"a!#$%&'*+-/=?^_`{|}~1@pec.example", "a!#$%&'*+-/=?^_`{|}~1@pec.example"},
		"dots":                         {"a.b.c@d.e.f.example", "a.b.c@d.e.f.example"},
		"a hyphen inside a label":      {"a@pec-1.example", "a@pec-1.example"},
		"longest local part":           {strings.Repeat("a", 64) + "@pec.example", strings.Repeat("a", 64) + "@pec.example"},
		"empty":                        {"", ""},
		"no at":                        {"ditta.pec.example", ""},
		"two ats":                      {"a@b@pec.example", ""},
		"no local part":                {"@pec.example", ""},
		"no domain":                    {"a@", ""},
		"domain without a dot":         {"a@localhost", ""},
		"dot at the start":             {".a@pec.example", ""},
		"dot at the end":               {"a.@pec.example", ""},
		"two dots":                     {"a..b@pec.example", ""},
		"domain with two dots":         {"a@pec..example", ""},
		"domain with a dot at the end": {"a@pec.example.", ""},
		"label that is an option":      {"a@-pec.example", ""},
		"label that ends in a hyphen":  {"a@pec-.example", ""},
		"label too long":               {"a@" + strings.Repeat("a", 64) + ".example", ""},
		"local part too long":          {strings.Repeat("a", 65) + "@pec.example", ""},
		"too long in all":              {"a@" + strings.Repeat(long+".", 5) + "example", ""},
		"quoted":                       {`"a b"@pec.example`, ""},
		"a comment":                    {"a(b)@pec.example", ""},
		"angle brackets":               {"<a@pec.example>", ""},
		"a second recipient":           {"a@pec.example,b@pec.example", ""},
		"a header":                     {"a@pec.example\r\nBcc: b@pec.example", ""},
		"a NUL":                        {"a\x00@pec.example", ""},
		"letters beyond ASCII":         {"città@pec.example", ""},
		"domain beyond ASCII":          {"a@città.example", ""},
		"a number for a domain":        {"a@[127.0.0.1]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := contracts.ParseAddress(c.in)
			if c.want == "" {
				if err == nil {
					t.Fatal("accepted")
				}
				if len(c.in) > 3 && strings.Contains(err.Error(), c.in) {
					t.Error("the error shows the address")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.Reveal() != c.want {
				t.Error("not in canonical form")
			}
			if _, domain, _ := strings.Cut(c.want, "@"); a.Domain() != domain {
				t.Error("another domain")
			}
		})
	}
}

func TestAddressesAreEqualWithoutRegardToCase(t *testing.T) {
	a, err := contracts.ParseAddress("Ditta@pec.example")
	if err != nil {
		t.Fatal(err)
	}
	b, err := contracts.ParseAddress("ditta@PEC.example")
	if err != nil {
		t.Fatal(err)
	}
	if !a.Equal(b) || a.Equal(contracts.Address{}) || a.IsZero() {
		t.Error("equality is wrong")
	}
}

func TestPrivateThingsTravelWhole(t *testing.T) {
	h := held(t)
	type wire struct {
		Text    contracts.Private
		Blob    contracts.Blob
		Mailbox contracts.Address
		Dom     contracts.DigitalDomicile
	}
	in := wire{h.Text, h.Blob, h.Mailbox, contracts.DigitalDomicile{Address: h.Mailbox, Register: "INAD", Since: time.Unix(1, 0).UTC()}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out wire
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if out.Text.Reveal() != aText || string(out.Blob.Reveal()) != aText || out.Mailbox != h.Mailbox || out.Dom != in.Dom {
		t.Error("something was lost on the way")
	}
	if out.Text.Len() != len(aText) || out.Text.IsZero() || out.Blob.IsZero() || !(contracts.Blob{}).IsZero() || !(contracts.Private{}).IsZero() {
		t.Error("lengths or emptiness are wrong")
	}
	for name, bad := range map[string]string{"blob": `{"Blob":"%%%"}`, "address": `{"Mailbox":"x"}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s: nonsense accepted", name)
		}
	}
	if err := json.Unmarshal([]byte(`{"Mailbox":""}`), &out); err != nil || !out.Mailbox.IsZero() {
		t.Errorf("an empty address: %v", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@pec.example", "A.B+c@PEC.Example", "<a@b.c>", "a@b.c\r\nX: y", `"a b"@c.d`, "a@[1.2.3.4]", "@", "a@-b.c", "è@b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := contracts.ParseAddress(s)
		if err != nil {
			if !a.IsZero() {
				t.Fatal("an error and an address")
			}
			return
		}
		out := a.Reveal()
		if len(out) > 254 || strings.ContainsAny(out, " \t\r\n\x00<>(),;:\\\"[]") || strings.Count(out, "@") != 1 {
			t.Fatal("accepted what no header may hold")
		}
		again, err := contracts.ParseAddress(out)
		if err != nil || again != a {
			t.Fatal("the canonical form is not its own")
		}
	})
}
