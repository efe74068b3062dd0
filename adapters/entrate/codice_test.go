package entrate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
)

// The four messages of the contract, letter by letter.
const (
	saidValid           = "Codice fiscale valido"
	saidValidSuperseded = "Codice fiscale valido, non più utilizzabile in quanto aggiornato in altro codice fiscale"
	saidSuperseded      = "Codice fiscale non utilizzabile in quanto aggiornato in altro codice fiscale"
	saidInvalid         = "Codice fiscale non valido"
)

func verdictJSON(code string, valid bool, message string) string {
	return string(contracttest.Sure(json.Marshal(map[string]any{"codiceFiscale": code, "valido": valid, "messaggio": message})))
}

func TestEachOfTheFourMessagesHasItsState(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule    string
		valid   bool
		message string
		want    tax.CodeState
		usable  contracts.Finding
	}{
		{"registered and in use", true, saidValid, tax.CodeValid, contracts.Yes},
		{"registered and superseded", true, saidValidSuperseded, tax.CodeValidSuperseded, contracts.Yes},
		{"superseded and not to be used", false, saidSuperseded, tax.CodeSuperseded, contracts.No},
		{"unknown to the registry", false, saidInvalid, tax.CodeInvalid, contracts.No},
		{"blanks around and between words do not count", true, "  Codice  fiscale\u00a0valido\n", tax.CodeValid, contracts.Yes},
		{"case does not count", false, "CODICE FISCALE NON VALIDO", tax.CodeInvalid, contracts.No},
		{"an accent may be left out", true, strings.Replace(saidValidSuperseded, "ù", "u", 1), tax.CodeValidSuperseded, contracts.Yes},
		{"an accent may be a mark of its own", true, strings.Replace(saidValidSuperseded, "ù", "u\u0300", 1), tax.CodeValidSuperseded, contracts.Yes},
		{"an accent may be an apostrophe", true, strings.Replace(saidValidSuperseded, "ù", "u'", 1), tax.CodeValidSuperseded, contracts.Yes},
		{"an accent may lean the other way", true, strings.Replace(saidValidSuperseded, "ù", "ú", 1), tax.CodeValidSuperseded, contracts.Yes},
		{"an accent may be a capital", true, strings.ToUpper(saidValidSuperseded), tax.CodeValidSuperseded, contracts.Yes},
		{"punctuation does not count", true, strings.Replace(saidValidSuperseded, ",", " -", 1) + ".", tax.CodeValidSuperseded, contracts.Yes},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			_, a := answering(t, saying(verdictJSON(someCode.Reveal(), tc.valid, tc.message)), func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
			got, err := checkCode(t, a)
			if err != nil {
				t.Fatal(err)
			}
			if got.State != tc.want || got.Usable() != tc.usable || !got.Text.IsZero() || got.Register != "Anagrafe tributaria" {
				t.Errorf("%+v, want %s without a text", got, tc.want)
			}
			if log := capture.Leaks([]string{"level=ERROR"}); len(log) > 0 {
				t.Error("an alarm for words that are agreed")
			}
		})
	}
}

// What is not one of the four rows is no answer to the question: a guess by valido alone, or by the nearest message,
// would shut somebody out or let a dead code pass.
func TestWordsThatAreNotAgreedAreAnAlarmAndNoGuess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule    string
		valid   bool
		message string
	}{
		{"a new message, true", true, "Codice fiscale in corso di verifica"},
		{"a new message, false", false, "Codice fiscale in corso di verifica"},
		{"a message that names somebody", false, "Il codice " + someCode.Reveal() + " non è registrato"},
		{"a known message with more behind it", true, saidValid + " salvo verifica"},
		{"a known message cut off", true, saidValidSuperseded[:40]},
		{"words run together", false, "Codicefiscale non valido"},
		{"a letter that was lost on the way", true, strings.Replace(saidValidSuperseded, "ù", "\ufffd", 1)},
		{"valido denies: in use", false, saidValid},
		{"valido denies: registered and superseded", false, saidValidSuperseded},
		{"valido denies: not to be used", true, saidSuperseded},
		{"valido denies: unknown", true, saidInvalid},
		{"punctuation alone", false, "…"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			_, a := answering(t, saying(verdictJSON(someCode.Reveal(), tc.valid, tc.message)), func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
			got, err := checkCode(t, a)
			if err != nil {
				t.Fatal(err)
			}
			if got.State != tax.CodeUnclear || got.Usable() != contracts.CannotTell || got.Text.Reveal() != tc.message {
				t.Errorf("%s, usable %s, %d bytes of text: want unclear, with the words kept", got.State, got.Usable(), got.Text.Len())
			}
			for what, want := range map[string]string{
				"level": "level=ERROR", "text": "contract drift: ", "digest": contracts.SumOf([]byte(strings.ReplaceAll(tc.message, someCode.Reveal(), "#"))).String(), "valido": fmt.Sprintf("valido=%v", tc.valid),
			} {
				if len(capture.Leaks([]string{want})) == 0 {
					t.Errorf("the log does not tell the %s", what)
				}
			}
			capture.Show("answer", fmt.Sprintf("%v | %+v | %#v", got, got, got))
			nobodyNamed(t, capture, tc.message)
		})
	}
}

func TestWhatIsKeptOfAMessageIsBounded(t *testing.T) {
	t.Parallel()
	_, a := answering(t, saying(verdictJSON(someCode.Reveal(), true, strings.Repeat("ù", 5000))), nil)
	got, err := checkCode(t, a)
	if err != nil || got.State != tax.CodeUnclear || got.Text.Len() > 1000 {
		t.Errorf("%d bytes kept, %v", got.Text.Len(), err)
	}
}

// The contract's own examples of superseded codes show asterisks where the code stands.
func TestACodeOfAsterisksNamesNobodyElse(t *testing.T) {
	t.Parallel()
	_, a := answering(t, saying(verdictJSON("***********", false, saidSuperseded)), nil)
	if got, err := checkCode(t, a); err != nil || got.State != tax.CodeSuperseded {
		t.Errorf("%s, %v", got.State, err)
	}
}

func TestTheEchoMayDifferInCase(t *testing.T) {
	t.Parallel()
	_, a := answering(t, saying(verdictJSON(strings.ToLower(someCode.Reveal())+" ", true, saidValid)), nil)
	if got, err := checkCode(t, a); err != nil || got.State != tax.CodeValid {
		t.Errorf("%s, %v", got.State, err)
	}
}

func TestACodeAnswerThatIsNoneIsMalformed(t *testing.T) {
	t.Parallel()
	code := someCode.Reveal()
	for rule, body := range map[string]string{
		"about another code":        verdictJSON("RSSMRA85T10A562S", true, saidValid),
		"about part of the code":    verdictJSON(code[:11], true, saidValid),
		"about nobody":              verdictJSON("", true, saidValid),
		"in use, about asterisks":   verdictJSON("***********", true, saidValid),
		"unknown, about asterisks":  verdictJSON("****************", false, saidInvalid),
		"codiceFiscale left out":    `{"valido":true,"messaggio":"` + saidValid + `"}`,
		"valido left out":           `{"codiceFiscale":"` + code + `","messaggio":"` + saidInvalid + `"}`,
		"valido null":               `{"codiceFiscale":"` + code + `","valido":null,"messaggio":"` + saidInvalid + `"}`,
		"valido as a text":          `{"codiceFiscale":"` + code + `","valido":"false","messaggio":"` + saidInvalid + `"}`,
		"valido as a number":        `{"codiceFiscale":"` + code + `","valido":0,"messaggio":"` + saidInvalid + `"}`,
		"valido twice":              `{"codiceFiscale":"` + code + `","valido":true,"valido":false,"messaggio":"` + saidInvalid + `"}`,
		"valido in other letters":   `{"codiceFiscale":"` + code + `","VALIDO":false,"messaggio":"` + saidInvalid + `"}`,
		"messaggio left out":        `{"codiceFiscale":"` + code + `","valido":false}`,
		"messaggio null":            `{"codiceFiscale":"` + code + `","valido":false,"messaggio":null}`,
		"messaggio blank":           verdictJSON(code, false, "  "),
		"messaggio as a list":       `{"codiceFiscale":"` + code + `","valido":false,"messaggio":["` + saidInvalid + `"]}`,
		"an empty object":           `{}`,
		"null":                      `null`,
		"a list":                    `[` + verdictJSON(code, true, saidValid) + `]`,
		"two objects":               verdictJSON(code, true, saidValid) + verdictJSON(code, false, saidInvalid),
		"cut off":                   verdictJSON(code, true, saidValid)[:40],
		"not JSON":                  saidInvalid,
		"a problem with status 200": `{"type":"https://govway.org/handling-errors/503/APIUnavailable.html","title":"APIUnavailable","status":503}`,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			capture := contracttest.NewCapture()
			_, a := answering(t, saying(body), func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
			_, err := checkCode(t, a)
			wantKind(t, err, contracts.Malformed)
			capture.Error(err)
			nobodyNamed(t, capture)
		})
	}
}

// The service tells no instant: the answer says when we heard it.
func TestTheInstantOfACodeAnswerIsThatOfOurClock(t *testing.T) {
	t.Parallel()
	clock := contracttest.NewClock(noon)
	_, a := answering(t, saying(verdictJSON(someCode.Reveal(), true, saidValid)), func(_ *Config, env *contracts.Env) { env.Clock = clock })
	clock.Advance(90 * time.Minute)
	if got, err := checkCode(t, a); err != nil || !got.AsOf.Equal(noon.Add(90*time.Minute)) {
		t.Errorf("as of %v, %v", got.AsOf, err)
	}
}

func TestTheCodeIsAskedAsTheContractWantsIt(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"KMRRJN90C15Z222U", "12345678903"} {
		far, a := answering(t, saying(verdictJSON(code, true, saidValid)), nil)
		cf := contracttest.Sure(contracts.ParseCodiceFiscale(strings.ToLower(code)))
		if _, err := do(t.Context(), a, tax.OpCode, tax.CodeQuery{CodiceFiscale: cf}); err != nil {
			t.Fatal(err)
		}
		if want := `{"codiceFiscale":"` + code + `"}`; far.last != want {
			t.Errorf("a body of %d bytes, want %d", len(far.last), len(want))
		}
	}
}

func FuzzVerdict(f *testing.F) {
	for _, seed := range []string{
		verdictJSON("06363391001", true, saidValid), verdictJSON("***********", true, saidValidSuperseded),
		verdictJSON("***********", false, saidSuperseded), verdictJSON("AAAZZZ00H00T000Z", false, saidInvalid),
		`{"codiceFiscale":"x","valido":true,"valido":false,"messaggio":"x"}`, `{"valido":null}`, `{"a":{"b":[{}]}}`, `null`, `[]`, `{`, ``, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseObject(body)
		if err != nil {
			return
		}
		v, err := parseVerdict(o)
		if err != nil {
			return
		}
		if v.code == "" || v.message == "" {
			t.Error("a verdict on nobody, or without words")
		}
		switch s := v.state(); s {
		case tax.CodeUnclear:
		case tax.CodeValid, tax.CodeValidSuperseded:
			if !v.valid {
				t.Errorf("%s against valido", s)
			}
		case tax.CodeSuperseded, tax.CodeInvalid:
			if v.valid {
				t.Errorf("%s against valido", s)
			}
		default:
			t.Errorf("state %q", s)
		}
		if w := words(v.message); words(w) != w {
			t.Error("words of words are others")
		}
	})
}
