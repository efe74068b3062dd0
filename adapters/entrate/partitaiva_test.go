package entrate

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

// entryJSON is an answer about someNumber, assigned, with more fields.
func entryJSON(more map[string]any) string {
	fields := map[string]any{"partitaIva": someNumber.Reveal(), "valida": true}
	for name, value := range more {
		if value == left {
			delete(fields, name)
			continue
		}
		fields[name] = value
	}
	return string(contracttest.Sure(json.Marshal(fields)))
}

// left takes a field out.
const left = "\x00"

func TestEachVATAnswerOfTheContract(t *testing.T) {
	t.Parallel()
	group := contracttest.Sure(contracts.ParsePartitaIVA("06363391001"))
	name := contracts.NewPrivate("AGENZIA DELLE ENTRATE")
	for _, tc := range []struct {
		rule      string
		fields    map[string]any
		want      tax.VAT
		operating contracts.Finding
	}{
		{
			"not assigned", map[string]any{"valida": false}, tax.VAT{}, contracts.No,
		}, {
			"not assigned, and every other field empty", map[string]any{
				"valida": false, "stato": nil, "denominazione": "", "dataInizioAttivita": "1001-01-01", "dataCessazioneAttivita": "9999-12-31",
				"isGruppoIva": false, "isPartecipanteGruppoIva": false, "partitaIvaGruppo": nil,
			}, tax.VAT{}, contracts.No,
		}, {
			"active",
			map[string]any{"stato": "ATTIVA", "denominazione": "AGENZIA DELLE ENTRATE", "dataInizioAttivita": "2001-01-02"},
			tax.VAT{Assigned: true, Status: tax.VATActive, Name: name, Since: "2001-01-02"},
			contracts.Yes,
		}, {
			"suspended",
			map[string]any{"stato": "SOSPESA", "dataInizioAttivita": "2001-01-02", "dataInizioSospensione": "2013-03-15"},
			tax.VAT{Assigned: true, Status: tax.VATSuspended, Since: "2001-01-02", Suspended: "2013-03-15"},
			contracts.No,
		}, {
			"ceased",
			map[string]any{"stato": "CESSATA", "dataInizioAttivita": "1980-05-01", "dataCessazioneAttivita": "1989-01-01"},
			tax.VAT{Assigned: true, Status: tax.VATCeased, Since: "1980-05-01", Ceased: "1989-01-01"},
			contracts.No,
		}, {
			"a VAT group's own number",
			map[string]any{"stato": "ATTIVA", "isGruppoIva": true},
			tax.VAT{Assigned: true, Status: tax.VATActive, Group: true},
			contracts.CannotTell,
		}, {
			"a member of a VAT group",
			map[string]any{
				"stato": "ATTIVA", "isGruppoIva": false, "isPartecipanteGruppoIva": true,
				"dataInizioPartecipazioneGruppoIva": "2018-10-27", "partitaIvaGruppo": "06363391001",
			},
			tax.VAT{Assigned: true, Status: tax.VATActive, Member: &tax.Membership{Group: group, Since: "2018-10-27"}},
			contracts.Yes,
		}, {
			"a member whose flag is left out",
			map[string]any{"stato": "ATTIVA", "partitaIvaGruppo": "06363391001"},
			tax.VAT{Assigned: true, Status: tax.VATActive, Member: &tax.Membership{Group: group}},
			contracts.Yes,
		}, {
			"no member by the flag's own word",
			map[string]any{"stato": "ATTIVA", "isPartecipanteGruppoIva": false, "partitaIvaGruppo": "06363391001"},
			tax.VAT{Assigned: true, Status: tax.VATActive},
			contracts.Yes,
		}, {
			"days that are not known",
			map[string]any{"stato": "CESSATA", "dataInizioAttivita": "1001-01-01", "dataCessazioneAttivita": "9999-12-31"},
			tax.VAT{Assigned: true, Status: tax.VATCeased},
			contracts.No,
		}, {
			"a suspension that began nobody knows when",
			map[string]any{"stato": "SOSPESA", "dataInizioSospensione": "1001-01-01"},
			tax.VAT{Assigned: true, Status: tax.VATSuspended},
			contracts.No,
		}, {
			"a membership that began nobody knows when",
			map[string]any{
				"stato": "ATTIVA", "isPartecipanteGruppoIva": true, "dataInizioPartecipazioneGruppoIva": "1001-01-01", "partitaIvaGruppo": "06363391001",
			},
			tax.VAT{Assigned: true, Status: tax.VATActive, Member: &tax.Membership{Group: group}},
			contracts.Yes,
		}, {
			"the end that an open business has",
			map[string]any{"stato": "ATTIVA", "dataCessazioneAttivita": "9999-12-31"},
			tax.VAT{Assigned: true, Status: tax.VATActive},
			contracts.Yes,
		}, {
			"days of other states stay out",
			map[string]any{"stato": "SOSPESA", "dataCessazioneAttivita": "1989-01-01", "dataInizioSospensione": "2025-01-01"},
			tax.VAT{Assigned: true, Status: tax.VATSuspended, Suspended: "2025-01-01"},
			contracts.No,
		}, {
			"case and blanks of the state do not count",
			map[string]any{"stato": " attiva "},
			tax.VAT{Assigned: true, Status: tax.VATActive},
			contracts.Yes,
		}, {
			"the echo may have the country before it",
			map[string]any{"partitaIva": "IT" + someNumber.Reveal(), "stato": "ATTIVA"},
			tax.VAT{Assigned: true, Status: tax.VATActive},
			contracts.Yes,
		}, {
			"a field of tomorrow",
			map[string]any{"stato": "ATTIVA", "dataVariazione": "2026-01-01"},
			tax.VAT{Assigned: true, Status: tax.VATActive},
			contracts.Yes,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			_, a := answering(t, saying(entryJSON(tc.fields)), func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
			got, err := checkVAT(t, a)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Register, tc.want.AsOf = "Anagrafe tributaria", noon
			if !reflect.DeepEqual(got, tc.want) || got.Operating() != tc.operating {
				t.Errorf("%+v, operating %s, want %+v, %s", got, got.Operating(), tc.want, tc.operating)
			}
			if len(capture.Leaks([]string{"level=ERROR"})) > 0 {
				t.Error("an alarm for words that are agreed")
			}
		})
	}
}

func TestAFactThatIsNotUnderstoodIsAnAlarmAndNoGuess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule   string
		fields map[string]any
		field  string // that the alarm names
		text   string // whose digest it tells: never that of a number, which could be tried out
		want   tax.VAT
	}{
		{"a state that is not agreed", map[string]any{"stato": "IN LIQUIDAZIONE"}, "stato", "IN LIQUIDAZIONE", tax.VAT{Assigned: true}},
		{
			"active, and ceased on a day",
			map[string]any{"stato": "ATTIVA", "dataCessazioneAttivita": "2019-12-31"},
			"stato", "ATTIVA",
			tax.VAT{Assigned: true},
		},
		{
			"active, and suspended since a day",
			map[string]any{"stato": "ATTIVA", "dataInizioSospensione": "2019-12-31"},
			"stato", "ATTIVA",
			tax.VAT{Assigned: true},
		},
		{"no state", nil, "stato", "", tax.VAT{Assigned: true}},
		{
			"a state that is not agreed, with a day of cessation",
			map[string]any{"stato": "CESSATA D'UFFICIO", "dataCessazioneAttivita": "1989-01-01"},
			"stato", "CESSATA D'UFFICIO",
			tax.VAT{Assigned: true},
		},
		{
			"a day that is none",
			map[string]any{"stato": "ATTIVA", "dataInizioAttivita": "2001-02-30"},
			"dataInizioAttivita", "#",
			tax.VAT{Assigned: true, Status: tax.VATActive},
		},
		{
			"a day written otherwise",
			map[string]any{"stato": "CESSATA", "dataCessazioneAttivita": "01/02/2003"},
			"dataCessazioneAttivita", "#",
			tax.VAT{Assigned: true, Status: tax.VATCeased},
		},
		{
			"a group's number that is none",
			map[string]any{"stato": "ATTIVA", "isPartecipanteGruppoIva": true, "partitaIvaGruppo": "12345678901"},
			"partitaIvaGruppo", "#",
			tax.VAT{Assigned: true, Status: tax.VATActive, Member: &tax.Membership{}},
		},
		{
			"a group without its number",
			map[string]any{"stato": "ATTIVA", "isPartecipanteGruppoIva": true},
			"partitaIvaGruppo", "",
			tax.VAT{Assigned: true, Status: tax.VATActive, Member: &tax.Membership{}},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			_, a := answering(t, saying(entryJSON(tc.fields)), func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
			got, err := checkVAT(t, a)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Register, tc.want.AsOf = "Anagrafe tributaria", noon
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
			if got.Status == "" && got.Operating() != contracts.CannotTell {
				t.Errorf("operating %s without a state", got.Operating())
			}
			for _, want := range []string{"level=ERROR", "contract drift: ", "field=" + tc.field, contracts.SumOf([]byte(tc.text)).String(), "valida=true"} {
				if len(capture.Leaks([]string{want})) == 0 {
					t.Errorf("the log lacks %s", want)
				}
			}
			for _, said := range tc.fields {
				if text, ok := said.(string); ok && text != "ATTIVA" && text != "CESSATA" {
					nobodyNamed(t, capture, text)
				}
			}
		})
	}
}

func TestAVATAnswerThatIsNoneIsMalformed(t *testing.T) {
	t.Parallel()
	for rule, body := range map[string]string{
		"about another number":                entryJSON(map[string]any{"partitaIva": "06363391001", "stato": "ATTIVA"}),
		"not assigned, another number":        entryJSON(map[string]any{"partitaIva": "06363391001", "valida": false}),
		"partitaIva left out":                 entryJSON(map[string]any{"partitaIva": left, "stato": "ATTIVA"}),
		"valida left out":                     entryJSON(map[string]any{"valida": left, "stato": "ATTIVA"}),
		"valida null":                         entryJSON(map[string]any{"valida": nil}),
		"valida as a text":                    entryJSON(map[string]any{"valida": "false"}),
		"valida twice":                        `{"partitaIva":"12345678903","valida":true,"valida":false}`,
		"not assigned, and active":            entryJSON(map[string]any{"valida": false, "stato": "ATTIVA"}),
		"not assigned, and ceased":            entryJSON(map[string]any{"valida": false, "stato": "CESSATA"}),
		"not assigned, with a group's number": entryJSON(map[string]any{"valida": false, "isPartecipanteGruppoIva": false, "partitaIvaGruppo": "06363391001"}),
		"not assigned, and named":             entryJSON(map[string]any{"valida": false, "denominazione": "AGENZIA DELLE ENTRATE"}),
		"not assigned, and begun":             entryJSON(map[string]any{"valida": false, "dataInizioAttivita": "2001-01-02"}),
		"not assigned, begun who knows":       entryJSON(map[string]any{"valida": false, "dataInizioAttivita": "2001"}),
		"not assigned, and ended":             entryJSON(map[string]any{"valida": false, "dataCessazioneAttivita": "2001-01-02"}),
		"not assigned, and a group":           entryJSON(map[string]any{"valida": false, "isGruppoIva": true}),
		"not assigned, and of a group":        entryJSON(map[string]any{"valida": false, "isPartecipanteGruppoIva": true}),
		"stato as a number":                   entryJSON(map[string]any{"stato": 1}),
		"isGruppoIva as a text":               entryJSON(map[string]any{"stato": "ATTIVA", "isGruppoIva": "false"}),
		"denominazione as an object":          entryJSON(map[string]any{"stato": "ATTIVA", "denominazione": map[string]any{}}),
		"an empty object":                     `{}`,
		"null":                                `null`,
		"a list":                              `[]`,
		"cut off":                             entryJSON(map[string]any{"stato": "ATTIVA"})[:20],
		"a problem with status 200":           `{"type":"https://govway.org/handling-errors/502/InvalidResponse.html","title":"InvalidResponse","status":502}`,
		"the fiscal-code check's answer":      verdictJSON(someNumber.Reveal(), false, saidInvalid),
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			_, a := answering(t, saying(body), func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
			_, err := checkVAT(t, a)
			wantKind(t, err, contracts.Malformed)
			capture.Error(err)
			nobodyNamed(t, capture)
		})
	}
}

func TestTheCountryBeforeANumberIsDropped(t *testing.T) {
	t.Parallel()
	far, a := answering(t, saying(entryJSON(map[string]any{"stato": "ATTIVA"})), nil)
	number := contracttest.Sure(contracts.ParsePartitaIVA("it" + someNumber.Reveal()))
	if _, err := do(t.Context(), a, tax.OpVAT, tax.VATQuery{PartitaIVA: number}); err != nil {
		t.Fatal(err)
	}
	if want := `{"partitaIva":"` + someNumber.Reveal() + `"}`; far.last != want {
		t.Errorf("a body of %d bytes, want %d", len(far.last), len(want))
	}
}

func TestTheInstantOfAVATAnswerIsThatOfOurClock(t *testing.T) {
	t.Parallel()
	clock := contracttest.NewClock(noon)
	_, a := answering(t, saying(entryJSON(map[string]any{"valida": false})), func(_ *Config, env *contracts.Env) { env.Clock = clock })
	clock.Advance(time.Hour)
	if got, err := checkVAT(t, a); err != nil || !got.AsOf.Equal(noon.Add(time.Hour)) {
		t.Errorf("as of %v, %v", got.AsOf, err)
	}
}

func FuzzEntry(f *testing.F) {
	for _, seed := range []string{
		`{"partitaIva":"01043931007","valida":false}`,
		`{"partitaIva":"06363391001","valida":true,"stato":"ATTIVA","denominazione":"AGENZIA DELLE ENTRATE","dataInizioAttivita":"2001-01-02"}`,
		`{"partitaIva":"06363391001","valida":true,"stato":"CESSATA","dataCessazioneAttivita":"1989-01-01"}`,
		`{"partitaIva":"06363391001","valida":true,"stato":"SOSPESA","dataInizioSospensione":"1001-01-01"}`,
		`{"partitaIva":"IT06363391001","valida":true,"isPartecipanteGruppoIva":true,"dataInizioPartecipazioneGruppoIva":"9999-12-31","partitaIvaGruppo":"06363391001"}`,
		`{"valida":true,"valida":false}`, `{"isGruppoIva":null}`, `null`, `{`, ``, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseObject(body)
		if err != nil {
			return
		}
		e, err := parseEntry(o)
		if err != nil {
			return
		}
		switch {
		case e.number == "":
			t.Error("an entry of no number")
		case !e.Assigned && (e.Status != "" || e.described() || e.Ceased != "" || e.Suspended != ""):
			t.Error("facts of a number that is not assigned")
		case e.Ceased != "" && e.Status != tax.VATCeased, e.Suspended != "" && e.Status != tax.VATSuspended:
			t.Error("a day of another state")
		case e.Name.Len() > 1000 || len(e.strange) > 6:
			t.Error("unbounded")
		}
		for _, d := range []contracts.Date{e.Since, e.Ceased, e.Suspended} {
			if _, err := contracts.ParseDate(string(d)); d != "" && err != nil || strings.HasPrefix(string(d), "1001-01-01") {
				t.Errorf("day %q", d)
			}
		}
	})
}
