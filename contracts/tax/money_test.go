package tax_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raccordo/contracts"
	"raccordo/contracts/tax"
)

const most = 100_000_000_000_000 // cents

func TestMoneyIsReadAsXMLSchemaWritesIt(t *testing.T) {
	t.Parallel()
	for text, cents := range map[string]int64{
		"0": 0, "0.00": 0, "-0": 0, "1": 100, "1.5": 150, "1.05": 105, "1.50": 150, "-1250.00": -125_000, "0.01": 1, "-0.01": -1,
		"00012.30": 1230, "1000000000000": most, "-1000000000000.00": -most, "999999999999.99": most - 1,
	} {
		m, err := tax.ParseMoney(text)
		got, known := m.Cents()
		if err != nil || got != cents || !known || m.IsZero() {
			t.Errorf("%q is read as %d cents, known %t, %v", text, got, known, err)
		}
	}
	for _, text := range []string{
		"", "-", ".", "-.", ".5", "1.", "1.234", "1,50", "1.5.0", "1e3", "+1", " 1", "1 ", "--1", "1-", "0x10", "1_000", "١", "NaN", "INF", "€1",
		"1000000000000.01", "-1000000000000.01", "9999999999999", "10000000000000", "92233720368547758.08", strings.Repeat("9", 400), "1." + strings.Repeat("0", 400),
	} {
		m, err := tax.ParseMoney(text)
		if cents, known := m.Cents(); err == nil || known || cents != 0 {
			t.Errorf("%q is read as %d cents, want an error and no amount", text, cents)
		}
		if err != nil && len(text) > 4 && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes the amount")
		}
	}
}

// Against exact arithmetic of somebody else's.
func TestMoneyComesBackToTheCent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64Range(-most, most).Draw(t, "cents")
		text, err := tax.Euro(cents).MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		exact, ok := new(big.Rat).SetString(string(text))
		if !ok || exact.Cmp(big.NewRat(cents, 100)) != 0 {
			t.Fatalf("%d cents are written %s", cents, text)
		}
		back, err := tax.ParseMoney(string(text))
		if err != nil || back != tax.Euro(cents) {
			t.Fatalf("%s comes back as another amount, or not: %v", text, err)
		}
	})
}

// What could not be read again is not written.
func TestMoneyBeyondBoundsIsNotWritten(t *testing.T) {
	t.Parallel()
	for _, cents := range []int64{most + 1, -most - 1, math.MaxInt64, math.MinInt64} {
		if text, err := tax.Euro(cents).MarshalText(); err == nil {
			t.Errorf("%d cents are written %s", cents, text)
		}
	}
	for _, cents := range []int64{most, -most} {
		if _, err := tax.Euro(cents).MarshalText(); err != nil {
			t.Errorf("%d cents are not written: %v", cents, err)
		}
	}
}

// Whatever is read is worth what exact arithmetic says, or is refused.
func TestMoneyReadsDecimalsExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,14}(\.[0-9]{1,3})?`).Draw(t, "text")
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%s is no decimal", text)
		}
		m, err := tax.ParseMoney(text)
		hundredfold := new(big.Rat).Mul(exact, big.NewRat(100, 1))
		whole, part, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
		fits := len(part) <= 2 && len(whole) <= 13 && new(big.Rat).Abs(hundredfold).Cmp(big.NewRat(most, 1)) <= 0
		if (err == nil) != fits {
			t.Fatalf("%s: %v, want it read: %t", text, err, fits)
		}
		if cents, _ := m.Cents(); err == nil && hundredfold.Cmp(big.NewRat(cents, 1)) != 0 {
			t.Fatalf("%s is read as %d cents", text, cents)
		}
	})
}

func FuzzParseMoney(f *testing.F) {
	for _, seed := range []string{"0", "-1250.00", "41200.55", "1.", ".5", "1e3", "1000000000000", "-", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := tax.ParseMoney(text)
		cents, known := m.Cents()
		if (err == nil) != known || cents > most || cents < -most {
			t.Fatalf("%q: %d cents, known %t, %v", text, cents, known, err)
		}
		if err != nil {
			return
		}
		out, _ := m.MarshalText()
		if back, err := tax.ParseMoney(string(out)); err != nil || back != m {
			t.Fatalf("%q is written %q, which is read otherwise", text, out)
		}
	})
}

func TestNoAmountIsNotZeroEuro(t *testing.T) {
	t.Parallel()
	var none tax.Money
	if none == tax.Euro(0) || !none.IsZero() || tax.Euro(0).IsZero() {
		t.Error("no amount and zero euro are one")
	}
	type with struct {
		M tax.Money `json:"m,omitzero"`
	}
	for text, want := range map[string]tax.Money{`{}`: none, `{"m":""}`: none, `{"m":"0.00"}`: tax.Euro(0), `{"m":"-12.34"}`: tax.Euro(-1234)} {
		v := with{tax.Euro(77)}
		if text == `{}` {
			v.M = none
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil || v.M != want {
			t.Errorf("%s is read otherwise: %v", text, err)
		}
	}
	for m, want := range map[tax.Money]string{none: `{}`, tax.Euro(0): `{"m":"0.00"}`, tax.Euro(-5): `{"m":"-0.05"}`} {
		if b, err := json.Marshal(with{m}); err != nil || string(b) != want {
			t.Errorf("written %s, want %s: %v", b, want, err)
		}
	}
	var v with
	if err := json.Unmarshal([]byte(`{"m":12.5}`), &v); err == nil {
		t.Error("a number of JSON, which many read as a float, is read as an amount")
	}
	v.M = tax.Euro(1)
	if err := v.M.UnmarshalText([]byte("1.234")); err == nil || !v.M.IsZero() {
		t.Error("an amount that cannot be read leaves another behind")
	}
}

func TestMoneyTellsNobody(t *testing.T) {
	t.Parallel()
	m := tax.Euro(4_120_055)
	pointer := &m
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%08.3f", "%t"} {
		for _, v := range []any{m, pointer, struct{ M tax.Money }{m}, []tax.Money{m}, map[string]tax.Money{"a": m}} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, "41200") || strings.Contains(s, "4120055") || strings.Contains(s, "3ede17") {
				t.Errorf("%s of %T tells the amount", format, v)
			}
		}
	}
	if s := fmt.Sprint(tax.Money{}); s != "" {
		t.Errorf("no amount prints %q", s)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: contracts.MaskAttr})).Info("m", "amount", m, "in", tax.Income{Income: m})
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "amount", m, "in", tax.Income{Income: m})
	if strings.Contains(log.String(), "41200") || !strings.Contains(log.String(), "[private amount]") {
		t.Errorf("the log tells the amount:\n%s", log.String())
	}
}

// A float would lose cents: none may come near an amount.
func TestMoneyKnowsNoFloat(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "money.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && (strings.HasPrefix(id.Name, "float") || id.Name == "ParseFloat") {
			t.Errorf("money.go speaks of %s", id.Name)
		}
		return true
	})
}
