package contracts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

const (
	aCode    = "RSSMRA85T10A562S"
	aNumber  = "12345678903"
	aMailbox = "mario.rossi@pec.impresa.test"
	aText    = "codice di attivazione"
)

// A holder holds identifiers in every way in which fmt can call their masks. A pointer below the first level prints as
// an address.
type holder struct {
	Code    contracts.CodiceFiscale
	Number  contracts.PartitaIVA
	Mailbox contracts.Address
	Text    contracts.Private
	Blob    contracts.Blob
	Pointer *contracts.CodiceFiscale
	Any     any
	Slice   []contracts.Address
	Array   [1]contracts.PartitaIVA
	Map     map[contracts.CodiceFiscale]contracts.Private
	Nested  contracts.DigitalDomicile
	Subject contracts.Subject
}

func held(t testing.TB) holder {
	t.Helper()
	c := mustCode(t, aCode)
	p, err := contracts.ParsePartitaIVA(aNumber)
	if err != nil {
		t.Fatal(err)
	}
	a, err := contracts.ParseAddress(aMailbox)
	if err != nil {
		t.Fatal(err)
	}
	text := contracts.NewPrivate(aText)
	return holder{
		Code: c, Number: p, Mailbox: a, Text: text, Blob: contracts.NewBlob([]byte(aText)), Pointer: &c, Any: c,
		Slice: []contracts.Address{a}, Array: [1]contracts.PartitaIVA{p}, Map: map[contracts.CodiceFiscale]contracts.Private{c: text},
		Nested: contracts.DigitalDomicile{Address: a}, Subject: contracts.Subject{CodiceFiscale: c, PartitaIVA: p},
	}
}

// reveals names the secret that a text shows, or nothing.
func reveals(text string) string {
	low := strings.ToLower(text)
	for _, secret := range []string{aCode, aNumber, "mario.rossi", "impresa.test", aText} {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]")} {
			if strings.Contains(low, strings.ToLower(form)) {
				return secret
			}
		}
	}
	return ""
}

func values(h holder) map[string]any {
	return map[string]any{
		"code": h.Code, "number": h.Number, "address": h.Mailbox, "private": h.Text, "blob": h.Blob,
		"pointer to a code": &h.Code, "pointer to an address": &h.Mailbox, "slice": h.Slice, "array": h.Array, "map": h.Map,
		"struct": h, "pointer to a struct": &h, "slice of structs": []holder{h}, "slice of any": []any{h.Code, h.Text},
		"subject": h.Subject, "domicile": h.Nested, "call": &contracts.Call{Request: h},
	}
}

func TestEveryVerbMasks(t *testing.T) {
	for name, v := range values(held(t)) {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%e", "%b", "%o", "%30v", "%-30s", "%.40s", "%T", "%!"} {
				if s := reveals(fmt.Sprintf(format, v)); s != "" {
					t.Errorf("%s shows %q", format, s)
				}
			}
			if s := reveals(fmt.Sprint(v) + fmt.Sprintln(v)); s != "" {
				t.Errorf("Sprint shows %q", s)
			}
			if s := reveals(fmt.Errorf("wrapped: %v", v).Error()); s != "" {
				t.Errorf("an error shows %q", s)
			}
		})
	}
}

func TestLogsMask(t *testing.T) {
	h := held(t)
	var text, strict bytes.Buffer
	direct := map[string]any{
		"code": h.Code, "number": h.Number, "address": h.Mailbox, "private": h.Text, "blob": h.Blob,
		"pointer": &h.Code, "subject": h.Subject, "domicile": h.Nested, "call": &contracts.Call{Op: &contracts.OpInfo{Name: "n.v"}, Request: h},
		"error": contracts.Errorf(contracts.NotFound, "no %v", h.Code),
	}
	for name, v := range direct { // these mask under any handler
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", name, v)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("m", name, v)
		slog.New(slog.NewJSONHandler(&text, nil)).With(name, v).WithGroup("g").Info("m")
	}
	if s := reveals(text.String()); s != "" {
		t.Errorf("a plain handler shows %q", s)
	}
	opt := &slog.HandlerOptions{ReplaceAttr: contracts.MaskAttr, AddSource: true}
	for name, v := range values(h) { // composites need the handler's help
		slog.New(slog.NewTextHandler(&strict, opt)).Info("m", name, v)
		slog.New(slog.NewJSONHandler(&strict, opt)).Info("m", name, v, slog.Group("g", "v", v))
	}
	if s := reveals(strict.String()); s != "" {
		t.Errorf("a handler with MaskAttr shows %q", s)
	}
	if !strings.Contains(strict.String(), "mask_test.go") {
		t.Error("MaskAttr spoils the source")
	}
}

// TestMaskAttrIsNeeded: without it slog's JSON handler writes a slice as the wire does.
func TestMaskAttrIsNeeded(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "all", held(t).Slice)
	if reveals(out.String()) == "" {
		t.Error("slog masks slices by itself now: MaskAttr may go")
	}
}

func TestTicketsAndEventsShowNoContent(t *testing.T) {
	raw, err := json.Marshal(aCode)
	if err != nil {
		t.Fatal(err)
	}
	ticket := contracts.Ticket{
		ID: "id", Op: "need.verb", State: contracts.StateDone, Result: raw, Detail: raw,
		Story: []contracts.Event{{ID: "1", Kind: "k", Data: raw}},
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("m", "ticket", ticket, "event", ticket.Story[0])
	shown := fmt.Sprintf("%v %+v %#v %v %#v", ticket, ticket, &ticket, ticket.Story, ticket.Story[0]) + log.String()
	if s := reveals(shown); s != "" {
		t.Error("the content is shown")
	}
	if !strings.Contains(shown, "need.verb") || !strings.Contains(shown, "done") {
		t.Error("nobody can tell which ticket it is")
	}
}

func TestMasksKeepTheirShape(t *testing.T) {
	h := held(t)
	for name, c := range map[string]struct{ got, want string }{
		"code":          {h.Code.String(), "R**************S"},
		"number":        {h.Number.String(), "1*********3"},
		"address":       {h.Mailbox.String(), "***@***"},
		"private":       {h.Text.String(), "[private, 21 bytes]"},
		"blob":          {h.Blob.String(), "[21 bytes]"},
		"no code":       {contracts.CodiceFiscale{}.String(), ""},
		"no address":    {contracts.Address{}.String(), ""},
		"nobody's text": {contracts.Private{}.String(), "[private, 0 bytes]"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

func TestMaskNeverShowsTheMiddle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		code := validCode(rt)
		c, err := contracts.ParseCodiceFiscale(code)
		if err != nil {
			rt.Fatal(err)
		}
		shown := fmt.Sprintf("%v %#v %s %x", c, contracts.Subject{CodiceFiscale: c}, c, c)
		for i := 1; i+4 < len(code); i++ {
			if strings.Contains(shown, code[i:i+4]) {
				rt.Fatalf("four characters of the code can be read")
			}
		}
	})
}
