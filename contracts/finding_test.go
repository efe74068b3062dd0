package contracts

import (
	"encoding/json"
	"testing"
)

func TestFindingsHaveStableNames(t *testing.T) {
	t.Parallel()
	for f, name := range map[Finding]string{CannotTell: "cannot_tell", Yes: "yes", No: "no"} {
		if f.String() != name {
			t.Errorf("%d is %q, want %q", f, f, name)
		}
		text, err := f.MarshalText()
		if err != nil || string(text) != name {
			t.Errorf("%s is written %q, %v", name, text, err)
		}
		back := Finding(7)
		if err := back.UnmarshalText([]byte(name)); err != nil || back != f {
			t.Errorf("%s is read as %s, %v", name, back, err)
		}
	}
	if got := Finding(7).String(); got != "finding(7)" {
		t.Errorf("a finding that is none prints %q", got)
	}
}

// What was forgotten, lost, or written by somebody newer is never a no.
func TestWhatIsMissingIsNeverANo(t *testing.T) {
	t.Parallel()
	var zero Finding
	if zero != CannotTell {
		t.Errorf("the zero finding is %s", zero)
	}
	for _, text := range []string{`{}`, `{"f":null}`, `{"f":""}`, `{"f":"perhaps"}`, `{"f":"NO"}`, `{"f":"no "}`, `{"f":2}`, `{"f":false}`} {
		var v struct {
			F Finding `json:"f"`
		}
		if err := json.Unmarshal([]byte(text), &v); v.F == No || v.F == Yes {
			t.Errorf("%s is read as %s, %v", text, v.F, err)
		}
	}
	var f Finding
	if err := f.UnmarshalText([]byte("perhaps")); err == nil {
		t.Error("an unknown word is read without an error")
	}
}

func TestFindingOfIsYesOrNo(t *testing.T) {
	t.Parallel()
	if FindingOf(true) != Yes || FindingOf(false) != No {
		t.Errorf("true is %s, false is %s", FindingOf(true), FindingOf(false))
	}
}
