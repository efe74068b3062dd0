package contracts_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
)

func TestEvidenceIsFoundInAnEventAndPrintsMasked(t *testing.T) {
	about, err := contracts.ParseAddress("mario.rossi@pec.esempio.test")
	if err != nil {
		t.Fatal(err)
	}
	want := contracts.Evidence{
		Scheme: "PEC", Kind: contracts.ContentConsignment, Message: "h1.x.1@pec.test", Generation: 1, ID: "opec1@pec.test",
		IssuedAt: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Verdict: "VALID", Counts: true, About: about,
	}
	data, err := json.Marshal(map[string]any{"evidence": want, "more": 1})
	if err != nil {
		t.Fatal(err)
	}
	got, ok := contracts.EvidenceOf(contracts.Event{Data: data})
	if !ok || got.Kind != want.Kind || !got.About.Equal(about) || !got.IssuedAt.Equal(want.IssuedAt) || !got.Counts {
		t.Errorf("got %v, %v", got, ok)
	}
	if text := fmt.Sprintf("%v %+v %s", got, got, got.LogValue()); strings.Contains(text, "rossi") {
		t.Errorf("it prints the address: %s", text)
	}
}

func TestAnEventWithoutEvidenceHasNone(t *testing.T) {
	for name, data := range map[string]string{"none": "", "no JSON": "{", "other": `{"state":"done"}`, "null": `{"evidence":null}`} {
		if _, ok := contracts.EvidenceOf(contracts.Event{Data: json.RawMessage(data)}); ok {
			t.Errorf("%s: some was found", name)
		}
	}
}
