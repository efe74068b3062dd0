package registroimprese

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	"raccordo/contracts/domicile/domiciletest"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/registroimprese"
)

// whole is a full profile, as the wire that we model has it.
const whole = `{
	"progressivo": 1, "codiceFiscale": "CODE", "partitaIva": "CODE", "denominazione": "FERRAMENTA  CHIODOLUNGO\nS.R.L.",
	"rea": {"cciaa": "RM", "numero": "123456"}, "naturaGiuridica": {"codice": "SR", "descrizione": "SOCIETA' A RESPONSABILITA' LIMITATA"},
	"statoAttivita": {"codice": "A", "descrizione": "ATTIVA"},
	"sede": {"comune": "ROMA", "provincia": "RM", "toponimo": "VIA", "via": "DELLE PROVE", "nCivico": "12", "cap": "00184"},
	"pec": "chiodolungo@PEC.imprese.test", "dataOraEstrazione": "2026-11-21T09:00:00+01:00",
	"formaGiuridica": "societa' a responsabilita' limitata", "tipoSoggetto": "SOCIETA'", "dataIscrizione": "2001-02-28", "dataAtto": "2001-02-01",
	"attivita": [
		{"codiceAteco": "46.90.00", "descrizione": "COMMERCIO", "importanza": "S"},
		{"codiceAteco": "25.99.99", "descrizione": "FABBRICAZIONE", "importanza": "P"},
		{"codiceAteco": "47.52.10", "descrizione": "FERRAMENTA", "importanza": "S"}
	]
}`

// profileWith is the whole profile of a code with some members changed; null takes a member away.
func profileWith(t *testing.T, code string, change map[string]string) string {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(strings.ReplaceAll(whole, "CODE", code)), &all); err != nil {
		t.Fatal(err)
	}
	for name, value := range change {
		all[name] = json.RawMessage(value)
		if value == "" {
			delete(all, name)
		}
	}
	return string(contracttest.Sure(json.Marshal(all)))
}

func lookup(t *testing.T, e *EService, q domicile.Query) (domicile.Answer, error) {
	t.Helper()
	return e.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), q)
}

func (s *stage) domicile(story string) domicile.Query {
	m := s.Who(story)
	return domiciletest.Query(m.CodiceFiscale, m.PartitaIVA, domicile.Enterprise)
}

func TestTheWholeProfile(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	q := s.query("ri-active")
	s.says(profileCall, profileWith(t, q.Subject.CodiceFiscale.Reveal(), nil))
	c, err := find(t, e, q)
	if err != nil {
		t.Fatal(err)
	}
	want := company.Company{
		CodiceFiscale: q.Subject.CodiceFiscale, PartitaIVA: q.Subject.PartitaIVA, Name: contracts.NewPrivate("FERRAMENTA CHIODOLUNGO S.R.L."),
		Status: company.Active, LegalForm: company.Coded{Code: "SR", Text: "SOCIETA' A RESPONSABILITA' LIMITATA"},
		Activities: []company.Coded{{Code: "25.99.99", Text: "FABBRICAZIONE"}, {Code: "46.90.00", Text: "COMMERCIO"}, {Code: "47.52.10", Text: "FERRAMENTA"}},
		Seat:       company.Seat{Comune: "ROMA", Province: "RM", CAP: "00184", Street: contracts.NewPrivate("VIA DELLE PROVE 12")},
		Domicile:   mailbox("chiodolungo@pec.imprese.test"), REA: company.REA{Chamber: "RM", Number: "123456"}, Registered: "2001-02-28",
		Register: Register, AsOf: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
	}
	if !c.AsOf.Equal(want.AsOf) {
		t.Errorf("as of %v", c.AsOf)
	}
	c.AsOf = want.AsOf
	got, wanted := contracttest.Sure(contracts.Encode(c)), contracttest.Sure(contracts.Encode(want))
	if string(got) != string(wanted) {
		t.Errorf("have %s\nwant %s", got, wanted) // synthetic, so that it may be printed
	}
}

func TestWhatAProfileLeavesOutIsUnknown(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	q := s.query("ri-active")
	for _, tc := range []struct {
		name    string
		change  map[string]string
		unknown []company.Attribute // the others stay
	}{
		{"no name", map[string]string{"denominazione": ""}, []company.Attribute{company.Name}},
		{"a blank name", map[string]string{"denominazione": `" "`}, []company.Attribute{company.Name}},
		{"no legal form", map[string]string{"naturaGiuridica": ""}, []company.Attribute{company.Form}},
		{"a null legal form", map[string]string{"naturaGiuridica": "null"}, []company.Attribute{company.Form}},
		{"no activities, which is not none", map[string]string{"attivita": ""}, []company.Attribute{company.Activity}},
		{"activities without a code", map[string]string{"attivita": `[{"descrizione":"X"}]`}, []company.Attribute{company.Activity}},
		{"none, which is an answer", map[string]string{"attivita": "[]"}, nil},
		{"no seat", map[string]string{"sede": ""}, []company.Attribute{company.Office}},
		{"a seat without a province", map[string]string{"sede": `{"comune":"ROMA"}`}, []company.Attribute{company.Office}},
		{"no REA", map[string]string{"rea": ""}, []company.Attribute{company.Number}},
		{"an REA that is none", map[string]string{"rea": `{"cciaa":"RM","numero":"1234567890"}`}, []company.Attribute{company.Number}},
		{"no day of enrolment", map[string]string{"dataIscrizione": ""}, []company.Attribute{company.Registered}},
		{"a day that is none", map[string]string{"dataIscrizione": `"2001-02-30"`}, []company.Attribute{company.Registered}},
		{"no PEC, which is an answer", map[string]string{"pec": ""}, nil},
		{"a PEC that is none", map[string]string{"pec": `"in corso di attribuzione"`}, []company.Attribute{company.Domicile}},
		{"no standing", map[string]string{"statoAttivita": ""}, []company.Attribute{company.Standing}},
		{"an instant that cannot be read", map[string]string{"dataOraEstrazione": `"ieri"`}, nil},
		{"members that nobody knows", map[string]string{"capitale": `{"euro":1}`}, nil},
	} {
		s.says(profileCall, profileWith(t, q.Subject.CodiceFiscale.Reveal(), tc.change))
		c, err := find(t, e, q)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if len(c.Unknown) != len(tc.unknown) || len(tc.unknown) > 0 && c.Unknown[0] != tc.unknown[0] {
			t.Errorf("%s: unknown %v, want %v", tc.name, c.Unknown, tc.unknown)
		}
		if c.AsOf.IsZero() {
			t.Errorf("%s: as of nothing", tc.name)
		}
	}
}

func TestStandings(t *testing.T) {
	t.Parallel()
	log := &alarms{}
	s, e := overPDND(t, func(_ *Config, env *contracts.Env) { env.Log = slog.New(log) })
	q := s.query("ri-active")
	for code, want := range map[string]company.Status{
		"A": company.Active, "I": company.Inactive, "S": company.Suspended, "L": company.Liquidation, "P": company.Insolvent, "C": company.Ceased, " c ": company.Ceased,
	} {
		s.says(profileCall, profileWith(t, q.Subject.CodiceFiscale.Reveal(), map[string]string{"statoAttivita": `{"codice":"` + code + `","descrizione":"QUALCOSA"}`}))
		if c, err := find(t, e, q); err != nil || c.Status != want {
			t.Errorf("%q: %q, %v, want %q", code, c.Status, err, want)
		}
	}
	if len(log.all) != 0 {
		t.Errorf("alarms about words that are known: %q", log.all)
	}
}

func TestAStandingThatNobodyAgreedOnIsAnAlarmAndNoConclusion(t *testing.T) {
	t.Parallel()
	log := &alarms{}
	s, e := overPDND(t, func(_ *Config, env *contracts.Env) { env.Log = slog.New(log) })
	for code, shown := range map[string]string{
		"Q": "code=Q", "attiva": "code=(no short code)", "": "code=(none)", "RSSMRA85T10A562S": "code=(no short code)", "X Y": "code=(no short code)",
	} {
		log.all = nil
		q := s.query("ri-active")
		s.says(profileCall, profileWith(t, q.Subject.CodiceFiscale.Reveal(), map[string]string{"statoAttivita": `{"codice":"` + code + `","descrizione":"CESSATA"}`}))
		c, err := find(t, e, q)
		if err != nil || c.Status != "" || c.Knows(company.Standing) || c.Trading() != contracts.CannotTell {
			t.Errorf("%q: status %q, %v, want nothing concluded", code, c.Status, err)
		}
		if len(log.all) != 1 || !strings.HasPrefix(log.all[0], "contract drift: ") || !strings.HasSuffix(log.all[0], shown) {
			t.Errorf("%q: alarms %q, want one with %s", code, log.all, shown)
		}
	}
}

func TestNobodyIsFoundByTheRegistersOwnWordAlone(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	wantKind(t, second(find(t, e, s.query("ri-unknown"))), contracts.NotFound)
	wantKind(t, second(lookup(t, e, s.domicile("ri-unknown"))), contracts.NotFound)
	wantKind(t, second(find(t, e, s.query("ri-misrouted"))), contracts.Malformed)
	for body, want := range map[string]contracts.Kind{
		`{"type":"https://registroimprese.test/problemi/impresa-non-trovata","title":"x","status":404}`:     contracts.NotFound,
		`{"type":"https://registroimprese.test/problemi/risorsa-non-trovata","title":"x","status":404}`:     contracts.Malformed,
		`{"type":"about:blank","title":"impresa-non-trovata","status":404,"detail":"/impresa-non-trovata"}`: contracts.Malformed,
		`{"title":"Impresa non trovata"}`: contracts.Malformed, `<html>impresa-non-trovata</html>`: contracts.Malformed, ``: contracts.Malformed, `{}`: contracts.Malformed,
	} {
		s.Clear()
		s.Inject(lab.Fault{Match: profileCall, Do: lab.Status, Status: 404, Body: []byte(body)})
		wantKind(t, second(find(t, e, s.query("ri-active"))), want)
		wantKind(t, second(lookup(t, e, s.domicile("ri-active"))), want)
	}
	for _, status := range []int{200, 400, 410, 500} { // the word counts with its status only
		s.Clear()
		s.Inject(lab.Fault{Match: profileCall, Do: lab.Status, Status: status, Body: []byte(`{"type":"x/impresa-non-trovata"}`)})
		if err := second(find(t, e, s.query("ri-active"))); err == nil || contracts.KindOf(err) == contracts.NotFound {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestProfilesOfSomebodyElseAreNone(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	mine, theirs := s.Who("company-codes-differ"), s.Who("ri-active")
	for _, q := range []company.Query{companytest.Query(mine.CodiceFiscale, mine.PartitaIVA), companytest.Query("", mine.PartitaIVA)} {
		s.says(profileCall, profileWith(t, theirs.CodiceFiscale, nil))
		wantKind(t, second(find(t, e, q)), contracts.Malformed)
	}
	s.says(profileCall, profileWith(t, mine.CodiceFiscale, map[string]string{"partitaIva": `"` + mine.PartitaIVA + `"`}))
	if c, err := find(t, e, companytest.Query("", mine.PartitaIVA)); err != nil || c.CodiceFiscale.Reveal() != mine.CodiceFiscale {
		t.Errorf("%v, or another codice fiscale: the partita IVA is the one asked for", err)
	}
}

func TestProfilesThatAreNoneOfTheContract(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	code := s.Who("ri-active").CodiceFiscale
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `"A"`, `{"codiceFiscale":7}`, `{"codiceFiscale":"` + code + `"`,
		profileWith(t, code, map[string]string{"codiceFiscale": `"12345678901"`}), profileWith(t, code, map[string]string{"partitaIva": `"1"`}),
		profileWith(t, code, map[string]string{"sede": `"ROMA"`}), profileWith(t, code, map[string]string{"attivita": `{}`}),
		profileWith(t, code, map[string]string{"statoAttivita": `"A"`}), profileWith(t, code, map[string]string{"pec": `["a@b.it"]`}),
	} {
		s.says(profileCall, body)
		wantKind(t, second(find(t, e, s.query("ri-active"))), contracts.Malformed)
		wantKind(t, second(lookup(t, e, s.domicile("ri-active"))), contracts.Malformed)
	}
	s.Clear()
	for _, story := range []string{"ri-html", "ri-empty", "ri-wrong-members"} {
		wantKind(t, second(find(t, e, s.query(story))), contracts.Malformed)
	}
}

// Who needs an address is given the synthetic profile, and no more.
func TestALookUpAsksForTheSyntheticProfile(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	if _, err := lookup(t, e, s.domicile("ri-active")); err != nil {
		t.Fatal(err)
	}
	if _, err := find(t, e, s.query("ri-active")); err != nil {
		t.Fatal(err)
	}
	var profiles []string
	for _, x := range s.Journal() {
		if a, ok := x.Parsed.(mock.Asked); ok {
			profiles = append(profiles, a.Profile)
		}
	}
	if strings.Join(profiles, " ") != "sintetico completo" {
		t.Errorf("profiles %q", profiles)
	}
}

func TestWhoseDomicileAnswers(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	for story, want := range map[string]contracts.Kind{
		"ri-without-pec": contracts.NotFound,
		"ri-ceased":      contracts.NotFound,  // struck off: none is in force
		"ri-odd-status":  contracts.Malformed, // whether one is in force cannot be told
		"ri-no-status":   contracts.Malformed,
		"ri-odd-pec":     contracts.Malformed,
		"ri-unknown":     contracts.NotFound,
	} {
		wantKind(t, second(lookup(t, e, s.domicile(story))), want)
	}
	for _, story := range []string{"ri-active", "ri-inactive", "ri-suspended", "ri-liquidation", "ri-insolvent"} {
		a, err := lookup(t, e, s.domicile(story))
		if err != nil || len(a.Domiciles) != 1 {
			t.Errorf("%s: %d domiciles, %v: enrolled, it has the duty to have one", story, len(a.Domiciles), err)
			continue
		}
		if d := a.Domiciles[0]; d.Address.Reveal() != s.Who(story).INIPEC.Enterprise || d.Role != "enterprise" || d.Register != Register {
			t.Errorf("%s: another's address, or role %q of %q", story, d.Role, d.Register)
		}
	}
}

func TestOtherCapacitiesTouchNoWire(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	q := s.domicile("sole-trader-as-enterprise")
	for _, capacity := range []domicile.Capacity{domicile.Person, domicile.Professional, domicile.Body} {
		q.Capacity = capacity
		wantKind(t, second(lookup(t, e, q)), contracts.NotFound)
	}
	q.Capacity = "pope"
	wantKind(t, second(lookup(t, e, q)), contracts.Invalid)
	wantKind(t, second(find(t, e, company.Query{})), contracts.Invalid)
	if n := s.Sent("*"); n != 0 {
		t.Errorf("%d exchanges", n)
	}
}

func TestFailuresOfTheEServiceAreNeverAnswers(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, func(c *Config, _ *contracts.Env) { c.HTTP.Attempts = 1 })
	for _, tc := range []struct {
		name  string
		fault lab.Fault
		kind  contracts.Kind
	}{
		{"400, a request that is not valid", lab.Fault{Do: lab.Status, Status: 400}, contracts.Invalid},
		{"401 twice", lab.Fault{Do: lab.StaleVoucher}, contracts.Denied},
		{"403", lab.Fault{Do: lab.Status, Status: 403}, contracts.Denied},
		{"404 of something that stands between", lab.Fault{Do: lab.Status, Status: 404}, contracts.Malformed},
		{"405", lab.Fault{Do: lab.Status, Status: 405}, contracts.Malformed},
		{"429 that says until when", lab.Fault{Do: lab.Throttle}, contracts.Throttled},
		{"429 that does not", lab.Fault{Do: lab.Status, Status: 429}, contracts.Throttled},
		{"500", lab.Fault{Do: lab.Status, Status: 500}, contracts.Unavailable},
		{"503", lab.Fault{Do: lab.Status, Status: 503}, contracts.Unavailable},
		{"a lost connection", lab.Fault{Do: lab.Drop}, contracts.Unavailable},
		{"a page", lab.Fault{Do: lab.WrongType}, contracts.Malformed},
		{"half an answer", lab.Fault{Do: lab.Truncate}, contracts.Malformed},
		{"a redirect", lab.Fault{Do: lab.Status, Status: 302}, contracts.Malformed},
	} {
		s.Clear()
		tc.fault.Match = profileCall
		s.Inject(tc.fault)
		for _, err := range []error{second(find(t, e, s.query("ri-active"))), second(lookup(t, e, s.domicile("ri-active")))} {
			if k := wantKind(t, err, tc.kind); k.Kind == contracts.Throttled && (k.After == 0 || !strings.Contains(k.Error(), "finalità")) {
				t.Errorf("%s: after %v: %v", tc.name, k.After, k)
			}
		}
	}
}

func TestATimeOutOfTheEServiceIsNeverAnAnswer(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, func(c *Config, _ *contracts.Env) { c.HTTP.Attempts, c.HTTP.Timeout = 1, 200*time.Millisecond })
	s.Inject(lab.Fault{Match: profileCall, Do: lab.Slow})
	wantKind(t, second(find(t, e, s.query("ri-active"))), contracts.Unavailable)
	wantKind(t, second(lookup(t, e, s.domicile("ri-active"))), contracts.Unavailable)
}

func TestTheGrantOfTheEServiceIsObeyed(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	s.m.Set(func(x *mock.Settings) { x.Granted = 1 })
	if _, err := find(t, e, s.query("ri-active")); err != nil {
		t.Fatal(err)
	}
	if k := wantKind(t, second(find(t, e, s.query("ri-active"))), contracts.Throttled); k.After <= 0 || k.After > time.Minute {
		t.Errorf("after %v, want the rest of the minute", k.After)
	}
}

func TestPurposesOfTheEService(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	who := contracts.Caller{Service: "core", Purpose: "curiosity"}
	ctx := contracts.WithCall(contracts.WithCaller(t.Context(), who), &contracts.Call{Op: company.OpFind.OpInfo, Caller: who})
	_, err := e.Find(ctx, s.query("ri-active"))
	if k := wantKind(t, err, contracts.Denied); k.Code != "PURPOSE" || s.Sent("*") != 0 {
		t.Errorf("code %q, %d exchanges: a purpose without a purposeId may not ask", k.Code, s.Sent("*"))
	}
}

func TestCheckConsultsTheRegisterAboutNobody(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, func(c *Config, _ *contracts.Env) { c.HTTP.Attempts = 1 })
	if err := e.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, x := range s.Journal() {
		if a, ok := x.Parsed.(mock.Asked); ok && a.Company != nobody {
			t.Error("the register was asked about somebody")
		}
	}
	for status, want := range map[int]contracts.Kind{403: contracts.Denied, 404: contracts.Malformed, 503: contracts.Unavailable} {
		s.Clear()
		s.Inject(lab.Fault{Match: profileCall, Do: lab.Status, Status: status})
		if k := wantKind(t, e.Check(t.Context()), want); k.Operation != "check" {
			t.Errorf("operation %q", k.Operation)
		}
	}
	s.says(profileCall, profileWith(t, s.Who("ri-active").CodiceFiscale, nil))
	wantKind(t, e.Check(t.Context()), contracts.Malformed)
	s.Clear()
	s.Inject(lab.Fault{Match: "pdnd *", Do: lab.Status, Status: 503})
	fresh := contracttest.Open(t, s.cfg, s.env).(*EService)
	wantKind(t, fresh.Check(t.Context()), contracts.Unavailable)
}

func TestProfilesWithAFieldTwiceAreNone(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	whole := profileWith(t, s.Who("ri-active").CodiceFiscale, nil)
	for _, more := range []string{`"statoAttivita":{"codice":"C"}`, `"STATOATTIVITA":{"codice":"C"}`, `"pec":""`} {
		s.says(profileCall, `{`+more+`,`+strings.TrimPrefix(strings.TrimSpace(whole), `{`))
		wantKind(t, second(find(t, e, s.query("ri-active"))), contracts.Malformed)
		wantKind(t, second(lookup(t, e, s.domicile("ri-active"))), contracts.Malformed)
	}
}

func TestAProblemWithTwoTypesIsNoNo(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	none := `"type":"https://registroimprese.example/problemi/` + typeNone + `"`
	for body, want := range map[string]contracts.Kind{
		`{` + none + `}`:                      contracts.NotFound,
		`{"type":"about:blank",` + none + `}`: contracts.Malformed,
		`{` + none + `,"Type":"about:blank"}`: contracts.Malformed,
	} {
		s.Clear()
		s.Inject(lab.Fault{Match: profileCall, Do: lab.Status, Status: 404, Body: []byte(body)})
		wantKind(t, second(find(t, e, s.query("ri-active"))), want)
	}
}

// A profile that is cut to its code says nothing, and least of all that there is no address.
func TestAProfileThatTellsNothingIsNoNo(t *testing.T) {
	t.Parallel()
	s, e := overPDND(t, nil)
	s.says(profileCall, `{"codiceFiscale":"`+s.Who("ri-active").CodiceFiscale+`"}`)
	wantKind(t, second(lookup(t, e, s.domicile("ri-active"))), contracts.Malformed)
}
