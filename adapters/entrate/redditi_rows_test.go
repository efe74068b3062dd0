package entrate

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raccordo/adapters/entrate/internal/redditi"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
	"raccordo/contracts/tax/taxtest"
)

// taxpayers are whom these tests ask about.
func taxpayers() []string {
	return []string{"RSSMRA85T10A562S", "KMRRJN90C15Z222U", "12345678903", "01234567897", "02345678904", "80012345676", "00743110157"}
}

// amountOf is the one amount that is true of a taxpayer and a year.
func amountOf(k rowKey) tax.Money {
	return tax.Euro(int64(slices.Index(taxpayers(), k.code)+1)*1_000_000 + int64(k.year))
}

// rowOf is the true row.
func rowOf(n int, k rowKey) *redditi.EsitoType {
	text, _ := amountOf(k).MarshalText()
	amount := redditi.ImportoType(text)
	return &redditi.EsitoType{
		Progressivo: redditi.ProgressivoType(n), CodiceFiscale: redditi.CodiceFiscaleType(k.code), AnnoImposta: redditi.AnnoType(k.year),
		DettaglioEsito: esitoDone, RedditoComplessivo: &amount,
	}
}

// Rows in any order, left out, said twice, about strangers, under another's number, about another year, or with another
// taxpayer's name on them: each question gets its own row or none, and never another's.
func TestRowsAreGivenToNobodyElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.Custom(func(rt *rapid.T) rowKey {
			return rowKey{rapid.SampledFrom(taxpayers()).Draw(rt, "code"), rapid.IntRange(2000, 2004).Draw(rt, "year")}
		})
		asked := rapid.SliceOfN(key, 1, 12).Draw(rt, "asked")
		qs := make([]tax.IncomeQuery, len(asked))
		for i, k := range asked {
			qs[i] = taxtest.Income(k.code, k.year)
		}
		keys, numbers := number(qs)
		var rows []*redditi.EsitoType
		honest := map[int]bool{} // numbers under which the true row stands, and nothing else
		for n, k := range keys {
			rows = append(rows, rowOf(n+1, k))
			honest[n+1] = true
		}
		strangers := 0
		for range rapid.IntRange(0, 6).Draw(rt, "lies") {
			i := rapid.IntRange(0, len(keys)-1).Draw(rt, "which")
			n := i + 1
			switch rapid.SampledFrom([]string{"left out", "twice", "stranger", "number", "year", "code", "swap"}).Draw(rt, "lie") {
			case "left out":
				rows = slices.DeleteFunc(rows, func(r *redditi.EsitoType) bool { return int(r.Progressivo) == n })
				delete(honest, n)
			case "twice":
				rows = append(rows, rowOf(n, keys[i]))
				delete(honest, n)
			case "stranger":
				far := rapid.SampledFrom([]int{0, -1, len(keys) + 1, 1 << 30}).Draw(rt, "far")
				rows = append(rows, rowOf(far, key.Draw(rt, "whom")))
				strangers++
			case "number":
				rows = append(rows, rowOf(n, key.Draw(rt, "whom")))
				delete(honest, n)
			case "year":
				k := keys[i]
				k.year++
				rows = append(slices.DeleteFunc(rows, func(r *redditi.EsitoType) bool { return int(r.Progressivo) == n }), rowOf(n, k))
				delete(honest, n)
			case "code":
				k := rowKey{rapid.SampledFrom(taxpayers()).Draw(rt, "other"), keys[i].year}
				rows = append(slices.DeleteFunc(rows, func(r *redditi.EsitoType) bool { return int(r.Progressivo) == n }), rowOf(n, k))
				if delete(honest, n); k == keys[i] {
					honest[n] = true
				}
			case "swap":
				j := rapid.IntRange(0, len(keys)-1).Draw(rt, "with")
				for _, r := range rows {
					switch int(r.Progressivo) {
					case i + 1:
						r.Progressivo = redditi.ProgressivoType(j + 1)
					case j + 1:
						r.Progressivo = redditi.ProgressivoType(i + 1)
					}
				}
				if i != j {
					delete(honest, i+1)
					delete(honest, j+1)
				}
			}
		}
		rows = rapid.Permutation(rows).Draw(rt, "order")
		got, lost := join(qs, rows, noon)
		if len(got) != len(qs) || lost != strangers {
			rt.Fatalf("%d answers to %d questions, %d strangers of %d", len(got), len(qs), lost, strangers)
		}
		for i, k := range asked {
			right := got[i].Err == nil && got[i].Value.Income == amountOf(k) && got[i].Value.Year == k.year
			if got[i].Err == nil && !right {
				rt.Fatalf("question %d is answered with another's row", i)
			}
			if got[i].Err != nil && contracts.KindOf(got[i].Err) != contracts.Malformed {
				rt.Fatalf("question %d: %v", i, got[i].Err)
			}
			under := 0
			for _, r := range rows {
				if int(r.Progressivo) == numbers[k] {
					under++
				}
			}
			if under != 1 && got[i].Err == nil {
				rt.Fatalf("question %d is answered, and %d rows bear its number", i, under)
			}
			if honest[numbers[k]] && !right {
				rt.Fatalf("question %d: its own row stands there, alone, and was not given: %v", i, got[i].Err)
			}
		}
	})
}

func FuzzRows(f *testing.F) {
	row := func(n, code, year, rest string) string {
		return "<esito><progressivo>" + n + "</progressivo><codiceFiscale>" + code + "</codiceFiscale><annoImposta>" + year + "</annoImposta>" + rest + "</esito>"
	}
	done := "<dettaglioEsito>XX00</dettaglioEsito><redditoComplessivo>%s</redditoComplessivo>"
	for _, seed := range []string{
		row("1", "RSSMRA85T10A562S", "2024", fmt.Sprintf(done, "1.10")),
		row("2", "12345678903", "2023", fmt.Sprintf(done, "-0.5")+"<volumeAffari>7</volumeAffari><dataPresentazione>2024-10-01Z</dataPresentazione>"),
		row("1", "RSSMRA85T10A562S", "2024", "<dettaglioEsito>XX05</dettaglioEsito>"),
		row("2", "RSSMRA85T10A562S", "2024", fmt.Sprintf(done, "1e9")), row("1", "", "", ""), row("x", "", "", ""),
		row("3", "12345678903", "2023", fmt.Sprintf(done, "1")) + row("2", "12345678903", "2024", fmt.Sprintf(done, "1")),
	} {
		f.Add(seed)
	}
	far, a := speaking(f, nil)
	qs := []tax.IncomeQuery{taxtest.Income("RSSMRA85T10A562S", 2024), taxtest.Income("12345678903", 2023)}
	handle := contracttest.Sure(contracts.Encode(claim{Protocollo: "R-1", Since: noon}))
	f.Fuzz(func(t *testing.T, rows string) {
		far.say(enveloped(`<ritiraRedditiResp xmlns="` + nsRedditi + `">` + rows + "<dettaglioEsito>XX00</dettaglioEsito><codiceRitorno>00</codiceRitorno></ritiraRedditiResp>"))
		got, err := collectIncomes(t.Context(), a, handle, qs...)
		if err != nil {
			if k := contracts.KindOf(err); k == contracts.Internal || k == contracts.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		for i := range got {
			if got[i].Err == nil && (got[i].Value.Year != qs[i].Year || got[i].Value.Income.IsZero() || !strings.Contains(strings.ToUpper(rows), qs[i].CodiceFiscale.Reveal())) {
				t.Errorf("question %d is answered out of nothing", i)
			}
			if got[i].Err != nil && contracts.KindOf(got[i].Err) == contracts.NotFound && !strings.Contains(rows, esitoNone) {
				t.Error("nothing declared, and nobody said so")
			}
		}
	})
}

// Every row of the table of a row's codes, and what amounts beside them make of it.
func TestWhatARowMeans(t *testing.T) {
	t.Parallel()
	const answered = contracts.Internal
	amount := func(s string) *redditi.ImportoType {
		if s == "" {
			return nil
		}
		a := redditi.ImportoType(s)
		return &a
	}
	k := rowKey{"12345678903", 2024}
	for _, tc := range []struct {
		rule, dettaglio, income, turnover string
		kind                              contracts.Kind
		code                              string
	}{
		{"XX00 with an amount is an answer", "XX00", "12.30", "100", answered, ""},
		{"XX00 with zero is an answer", "XX00", "0", "0.00", answered, ""},
		{"XX00 without turnover is an answer", "XX00", "1", "", answered, ""},
		{"XX00 without an amount is malformed", "XX00", "", "", contracts.Malformed, ""},
		{"XX00 with an amount of words is malformed", "XX00", "molto", "", contracts.Malformed, ""},
		{"XX00 with a turnover of words is malformed, not without turnover", "XX00", "1", "n.d.", contracts.Malformed, ""},
		{"XX00 with tenths of a cent is malformed", "XX00", "1.001", "", contracts.Malformed, ""},
		{"XX00 with a float is malformed", "XX00", "1E3", "", contracts.Malformed, ""},
		{"XX00 with a comma is malformed", "XX00", "1,50", "", contracts.Malformed, ""},
		{"XX00 with infinity is malformed", "XX00", "INF", "", contracts.Malformed, ""},
		{"XX01 code wrong is invalid", "XX01", "", "", contracts.Invalid, "XX01"},
		{"XX05 nothing declared is not found", "XX05", "", "", contracts.NotFound, "XX05"},
		{"XX05 with an amount is malformed", "XX05", "1", "", contracts.Malformed, ""},
		{"XX05 with a turnover is malformed", "XX05", "", "0", contracts.Malformed, ""},
		{"XX03 time-out may be asked again", "XX03", "", "", contracts.Unavailable, "XX03"},
		{"XX03 with an amount is no answer", "XX03", "1", "", contracts.Unavailable, "XX03"},
		{"XX0A error may be asked again", "XX0A", "", "", contracts.Unavailable, "XX0A"},
		{"XX04 not authorised is denied", "XX04", "", "", contracts.Denied, "XX04"},
		{"XXXX not coded may be asked again", "XXXX", "1", "", contracts.Unavailable, "XXXX"},
		{"XX02 is a word of the other service", "XX02", "", "", contracts.Malformed, "XX02"},
		{"an unknown word is malformed", "XX11", "1", "", contracts.Malformed, "XX11"},
		{"no word is malformed", "", "1", "", contracts.Malformed, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			r := rowOf(1, k)
			r.DettaglioEsito, r.RedditoComplessivo, r.VolumeAffari = tc.dettaglio, amount(tc.income), amount(tc.turnover)
			got, err := one(k, []*redditi.EsitoType{r})
			if tc.kind == answered {
				if err != nil || got.Income.IsZero() || got.Turnover.IsZero() != (tc.turnover == "") {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if e := contracttest.ErrorOf(t, err, tc.kind, ""); e.Code != tc.code || got != (tax.Income{}) {
				t.Errorf("%v with %+v", e, got)
			}
		})
	}
}

// What XML Schema lets a decimal look like is read to the cent.
func TestAmountsAreReadToTheCent(t *testing.T) {
	t.Parallel()
	for text, cents := range map[string]int64{
		"0": 0, "-0": 0, "+0.0": 0, "1": 100, "1.": 100, ".5": 50, "-.05": -5, "0.10": 10, "0.1": 10, "+0041000": 4_100_000, "12.300": 1230,
		"-40321.5": -4_032_150, " 7\n": 700, "0000000000000000000007": 700, "999999999999.99": 99_999_999_999_999, "0.10000000000000000": 10,
	} {
		got, err := tax.ParseMoney(shortest(text))
		if c, known := got.Cents(); err != nil || !known || c != cents {
			t.Errorf("%q: %d, %v, want %d", text, c, err, cents)
		}
	}
	for _, text := range []string{"", ".", "-", "+", "-.", "--1", "+-1", "-+1", "1.2.3", "1 000", "0x10", "1_000", "NaN", "1.005", "99999999999999999", "٣"} {
		if got, err := tax.ParseMoney(shortest(text)); err == nil {
			c, _ := got.Cents()
			t.Errorf("%q is read as %d", text, c)
		}
	}
}

// Rows as they come over the wire: what one of them says about itself, and what spoils them all.
func TestRowsOverTheWire(t *testing.T) {
	t.Parallel()
	far, a := speaking(t, nil)
	q := taxtest.Income("12345678903", 2024)
	handle := contracttest.Sure(contracts.Encode(claim{Protocollo: "R-1", Since: noon}))
	head := "<esito><progressivo>1</progressivo><codiceFiscale>12345678903</codiceFiscale><annoImposta>2024</annoImposta><dettaglioEsito>XX00</dettaglioEsito>"
	const codes = "<dettaglioEsito>XX00</dettaglioEsito><codiceRitorno>00</codiceRitorno>"
	for name, tc := range map[string]struct {
		body      string
		kind      contracts.Kind // Internal: answered
		presented contracts.Date
	}{
		"a day":                         {head + "<redditoComplessivo>1</redditoComplessivo><dataPresentazione>2025-10-01</dataPresentazione></esito>" + codes, contracts.Internal, "2025-10-01"},
		"a day in its zone":             {head + "<redditoComplessivo>1</redditoComplessivo><dataPresentazione>2025-10-01+02:00</dataPresentazione></esito>" + codes, contracts.Internal, "2025-10-01"},
		"no day":                        {head + "<redditoComplessivo>1</redditoComplessivo></esito>" + codes, contracts.Internal, ""},
		"an empty day":                  {head + "<redditoComplessivo>1</redditoComplessivo><dataPresentazione/></esito>" + codes, contracts.Internal, ""},
		"a nil day":                     {head + `<redditoComplessivo>1</redditoComplessivo><dataPresentazione xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/></esito>` + codes, contracts.Internal, ""},
		"a day that is none":            {head + "<redditoComplessivo>1</redditoComplessivo><dataPresentazione>2025-13-45</dataPresentazione></esito>" + codes, contracts.Internal, ""},
		"two amounts":                   {head + "<redditoComplessivo>1</redditoComplessivo><redditoComplessivo>2</redditoComplessivo></esito>" + codes, contracts.Malformed, ""},
		"an amount of another language": {head + `<x:redditoComplessivo xmlns:x="urn:x">1</x:redditoComplessivo></esito>` + codes, contracts.Malformed, ""},
		"an empty amount":               {head + "<redditoComplessivo/></esito>" + codes, contracts.Malformed, ""},
		"codes twice":                   {head + "<redditoComplessivo>1</redditoComplessivo></esito>" + codes + codes, contracts.Malformed, ""},
		"no rows":                       {codes, contracts.Malformed, ""},
		"still at work":                 {"<stato>IN_ELABORAZIONE</stato>" + codes, contracts.Pending, ""},
		"a row without a name":          {"<esito/>" + codes, contracts.Malformed, ""},
		"a progressivo of words":        {strings.Replace(head, ">1<", ">primo<", 1) + "</esito>" + codes, contracts.Malformed, ""},
	} {
		far.say(enveloped(`<ritiraRedditiResp xmlns="` + nsRedditi + `">` + tc.body + "</ritiraRedditiResp>"))
		got, err := collectIncomes(t.Context(), a, handle, q)
		if err == nil {
			err = got[0].Err
		}
		if tc.kind == contracts.Internal {
			if err != nil || got[0].Value.Presented != tc.presented || got[0].Value.Income != tax.Euro(100) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		if contracts.KindOf(err) != tc.kind {
			t.Errorf("%s: %v, want %s", name, err, tc.kind)
		}
	}
}

// What is not understood of a row is told to an operator once, and so is a row about nobody who was asked about: neither
// names anybody.
func TestRowsThatAreNotUnderstoodAreAnAlarm(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	far, a := speaking(t, func(_ *Config, env *contracts.Env) { env.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	q := taxtest.Income("12345678903", 2024)
	handle := contracttest.Sure(contracts.Encode(claim{Protocollo: "R-1", Since: noon}))
	row := func(n int, code, word string) string {
		return fmt.Sprintf("<esito><progressivo>%d</progressivo><codiceFiscale>%s</codiceFiscale><annoImposta>2024</annoImposta><dettaglioEsito>%s</dettaglioEsito>"+
			"<redditoComplessivo>1</redditoComplessivo></esito>", n, code, word)
	}
	mine := row(1, "12345678903", "XX00")
	for _, tc := range []struct {
		name, rows string
		kind       contracts.Kind // Internal: answered
		alarms     int
	}{
		{"what is agreed", mine, contracts.Internal, 0},
		{"a row about a stranger", mine + row(7, "RSSMRA85T10A562S", "XX00"), contracts.Internal, 1},
		{"several of them", mine + row(7, "RSSMRA85T10A562S", "XX00") + row(8, "RSSMRA85T10A562S", "XX00"), contracts.Internal, 1},
		{"a word that nobody agreed on", row(1, "12345678903", "XX11"), contracts.Malformed, 1},
		{"no word", row(1, "12345678903", ""), contracts.Malformed, 1},
		{"another's row", row(1, "RSSMRA85T10A562S", "XX00"), contracts.Malformed, 1},
	} {
		log.Reset()
		far.say(enveloped(`<ritiraRedditiResp xmlns="` + nsRedditi + `">` + tc.rows + "<dettaglioEsito>XX00</dettaglioEsito><codiceRitorno>00</codiceRitorno></ritiraRedditiResp>"))
		got, err := collectIncomes(t.Context(), a, handle, q)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if (got[0].Err == nil) != (tc.kind == contracts.Internal) || got[0].Err != nil && contracts.KindOf(got[0].Err) != tc.kind {
			t.Errorf("%s: %v, want %s", tc.name, got[0].Err, tc.kind)
		}
		if n := strings.Count(log.String(), "contract drift: "); n != tc.alarms || strings.Contains(log.String(), "RSSMRA") || strings.Contains(log.String(), "12345678903") {
			t.Errorf("%s: %d alarms, want %d, naming nobody", tc.name, n, tc.alarms)
		}
	}
}

func TestNumbersOutliveARestart(t *testing.T) {
	t.Parallel()
	qs := []tax.IncomeQuery{
		taxtest.Income("12345678903", 2024), {Year: 7}, taxtest.Income("12345678903", 2023), taxtest.Income("12345678903", 2024), taxtest.Income("01234567897", 2024),
	}
	keys, numbers := number(qs)
	if len(keys) != 3 || numbers[keyOf(qs[0])] != 1 || numbers[keyOf(qs[2])] != 2 || numbers[keyOf(qs[4])] != 3 {
		t.Errorf("%d keys", len(keys))
	}
	for range 20 {
		if again, _ := number(slices.Clone(qs)); !slices.Equal(again, keys) {
			t.Fatal("the same questions get other numbers")
		}
	}
}
