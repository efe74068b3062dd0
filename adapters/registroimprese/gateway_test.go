package registroimprese

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
	"raccordo/mocks/lab"
	mock "raccordo/mocks/registroimprese"
)

// says makes the far side answer the next question on a route with a body of the test's own.
func (s *stage) says(route, body string) {
	s.Clear()
	s.Inject(lab.Fault{Match: route, Do: lab.Garbage, Body: []byte(body)})
}

// sent counts the exchanges on a route that do makes.
func (s *stage) sent(route string, do func()) int {
	before := s.Sent(route)
	do()
	return s.Sent(route) - before
}

func TestExistenceIsAskedOnlyWhereTheSeatTellsNothing(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	for story, want := range map[string]int{
		"ri-active": 0, "ri-null-seat": 0, "ri-name-absent": 0, "ri-ceased": 0,
		"ri-seat-not-found": 1, "ri-unknown": 1, "ri-exists-false": 1,
	} {
		if n := s.sent(existsCall, func() { _, _ = find(t, g, s.query(story)) }); n != want {
			t.Errorf("%s: existence was asked about %d times, want %d", story, n, want)
		}
	}
	code := s.query("ri-active").Subject.CodiceFiscale.Reveal()
	s.says(seatCall, `{"cf":"`+code+`","denominazione":null,"indirizzoLocalizzazione":null}`)
	if n := s.sent(existsCall, func() { _, _ = find(t, g, s.query("ri-active")) }); n != 1 {
		t.Errorf("an answer that tells nothing: existence was asked about %d times, want 1", n)
	}
}

func TestAnEnterpriseThatExistsWithoutASeat(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	q := s.query("ri-seat-not-found")
	c, err := find(t, g, q)
	if err != nil || len(c.Unknown) != len(company.Attributes()) || c.CodiceFiscale != q.Subject.CodiceFiscale {
		t.Errorf("%v, %d attributes unknown, want an enterprise of which nothing is known", err, len(c.Unknown))
	}
}

func TestNothingFoundInsideStatus200(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	_, err := find(t, g, s.query("ri-unknown"))
	wantKind(t, err, contracts.NotFound)
	_, err = find(t, g, s.query("ri-exists-false"))
	wantKind(t, err, contracts.NotFound)
	_, err = represents(t, g, s.mandate("ri-represents-not-found"))
	wantKind(t, err, contracts.NotFound)
	_, err = represented(t, g, companytest.Holder(s.Who("ri-represents-not-found").Representative))
	wantKind(t, err, contracts.NotFound)
	const none = `{"code":"WSPA_ERR_04","description":"RI Not found","appName":"wspa-sede","timestamp":"2023-03-10T15:40:01.598877+01:00"}`
	s.Clear()
	s.Inject(lab.Fault{Match: seatCall + "|" + existsCall, Do: lab.Garbage, Body: []byte(none)})
	_, err = find(t, g, s.query("ri-active"))
	wantKind(t, err, contracts.NotFound) // either service may say so
}

func TestAnotherCodeInsideStatus200IsAFailure(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	for body, code := range map[string]string{
		`{"code":"WSPA_ERR_01","description":"RSSMRA85T10A562S","appName":"wspa-lrpf","timestamp":"x"}`: "WSPA_ERR_01",
		`{"code":"WSPA_ERR_05"}`: "WSPA_ERR_05", `{"description":"LR Not found"}`: "", `{"timestamp":"x"}`: "", `{"appName":"wspa-lrpf"}`: "",
	} {
		for _, route := range []string{seatCall, representsCall, representedCall} {
			s.says(route, body)
			for _, err := range askAll(t, s, g, route) {
				if e := wantKind(t, err, contracts.Unavailable); e.Code != code || strings.Contains(e.Error(), "RSSMRA") {
					t.Errorf("%s: %v, want code %q and no text of theirs", route, e, code)
				}
			}
		}
	}
	s.Clear()
	for _, err := range []error{second(find(t, g, s.query("ri-error-inside"))), second(represents(t, g, s.mandate("ri-error-inside")))} {
		wantKind(t, err, contracts.Unavailable)
	}
	s.says(existsCall, `{"code":"WSPA_ERR_01"}`)
	wantKind(t, second(find(t, g, s.query("ri-seat-not-found"))), contracts.Unavailable)
}

func second[T any](_ T, err error) error { return err }

// askAll asks the question of a route about an enterprise that is there and well represented.
func askAll(t *testing.T, s *stage, g *Gateway, route string) (errs []error) {
	t.Helper()
	ask := map[string]func() error{
		seatCall:        func() error { return second(find(t, g, s.query("ri-active"))) },
		existsCall:      func() error { return second(find(t, g, s.query("ri-seat-not-found"))) },
		representsCall:  func() error { return second(represents(t, g, s.mandate("ri-active"))) },
		representedCall: func() error { return second(represented(t, g, companytest.Holder(s.Who("ri-active").Representative))) },
	}
	for of, fn := range ask {
		if of == route || route == "" {
			errs = append(errs, fn())
		}
	}
	return errs
}

func TestBothSpellingsOfTheStreetNumber(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	var streets []string
	for _, spelling := range []mock.Spelling{mock.NCivico, mock.GetNCivico} {
		s.m.Set(func(x *mock.Settings) { x.Number = spelling })
		c, err := find(t, g, s.query("ri-active"))
		if err != nil {
			t.Fatal(err)
		}
		streets = append(streets, c.Seat.Street.Reveal())
	}
	if streets[0] != streets[1] || !strings.HasPrefix(streets[0], "VIA ") || strings.Trim(streets[0][len(streets[0])-1:], "0123456789") != "" {
		t.Errorf("streets of %d and %d bytes, want one with its number", len(streets[0]), len(streets[1]))
	}
}

func TestBothPlacesOfTheName(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	for _, inside := range []bool{false, true} {
		s.m.Set(func(x *mock.Settings) { x.NameInside = inside })
		if c, err := find(t, g, s.query("ri-active")); err != nil || c.Name.Reveal() != "FERRAMENTA CHIODOLUNGO S.R.L." {
			t.Errorf("inside %t: %v, a name of %d bytes", inside, err, c.Name.Len())
		}
	}
	if c, err := find(t, g, s.query("ri-name-absent")); err != nil || c.Knows(company.Name) || !c.Knows(company.Office) {
		t.Errorf("%v: a name that is nowhere is unknown, and takes the seat away from nobody", err)
	}
}

func TestAWholeSeat(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	q := s.query("ri-active")
	code := q.Subject.CodiceFiscale.Reveal()
	seat := func(address string) company.Company {
		s.says(seatCall, `{"dataOraEstrazione":"2026-11-21T09:00:00.123+01:00","cf":"`+strings.ToLower(code)+`","denominazione":" A \n B ","indirizzoLocalizzazione":`+address+`}`)
		c, err := find(t, g, q)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := seat(`{"comune":"ROMA","provincia":" rm ","toponimo":"VIA","via":"DELLE PROVE","nCivico":"12","cap":"00184"}`)
	want := company.Seat{Comune: "ROMA", Province: "RM", CAP: "00184", Street: contracts.NewPrivate("VIA DELLE PROVE 12")}
	if c.Seat != want || c.Name.Reveal() != "A B" || !c.AsOf.Equal(time.Date(2026, 11, 21, 8, 0, 0, 123e6, time.UTC)) || c.Register != Register {
		t.Errorf("%+v at %v", c.Seat, c.AsOf)
	}
	for _, address := range []string{
		`null`, `{}`, `{"comune":"ROMA"}`, `{"provincia":"RM"}`, `{"comune":"ROMA","provincia":"ROMA"}`, `{"comune":" ","provincia":"RM"}`,
	} {
		if c := seat(address); c.Knows(company.Office) || !c.Seat.IsZero() || !c.Knows(company.Name) {
			t.Errorf("%s: a seat that decides nothing is unknown", address)
		}
	}
	if c := seat(`{"comune":"ROMA","provincia":"RM","cap":"184"}`); c.Seat.CAP != "" || !c.Knows(company.Office) {
		t.Error("a CAP that is none is left out, and the seat stays")
	}
}

func TestOutcomesOfAVerification(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s, g := overGateway(t, func(_ *Config, env *contracts.Env) { env.Log = capture.Logger() })
	m := s.mandate("ri-active")
	answer := func(outcome string) string {
		return `{"dataOraEstrazione":"2026-11-21T09:00:00","cfPersona":"` + m.Person.Reveal() + `","cfImpresa":"` + m.Subject.CodiceFiscale.Reveal() + `"` + outcome + `}`
	}
	for outcome, want := range map[string]contracts.Finding{
		`,"esitoVerifica":"OK"`: contracts.Yes, `,"esitoVerifica":"ok"`: contracts.Yes, `,"esitoVerifica":" Ok "`: contracts.Yes,
		`,"esitoVerifica":"VerificaOk"`: contracts.Yes, `,"esitoVerifica":"VERIFICAOK"`: contracts.Yes,
		`,"esitoVerifica":"KO"`: contracts.No, `,"esitoVerifica":" ko "`: contracts.No, `,"esitoVerifica":"VerificaKo"`: contracts.No,
		`,"esitoVerifica":"NON OK"`: contracts.CannotTell, `,"esitoVerifica":"Success"`: contracts.CannotTell, `,"esitoVerifica":"qualcosa"`: contracts.CannotTell,
		`,"esitoVerifica":""`: contracts.CannotTell, `,"esitoVerifica":" "`: contracts.CannotTell,
		`,"esitoVerifica":null`: contracts.CannotTell, ``: contracts.CannotTell,
	} {
		s.says(representsCall, answer(outcome))
		r, err := represents(t, g, m)
		if err != nil || r.Represents != want || (r.Reason != "") != (want == contracts.CannotTell) || r.Register != Register {
			t.Errorf("%s: %v with reason %q, %v, want %v", outcome, r.Represents, r.Reason, err, want)
		}
		if !r.AsOf.Equal(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)) {
			t.Errorf("as of %v: an instant without a zone is Italian", r.AsOf)
		}
	}
	s.says(representsCall, answer(`,"esitoVerifica":true`))
	wantKind(t, second(represents(t, g, m)), contracts.Malformed)
	s.Clear()
	for story, want := range map[string]contracts.Finding{
		"ri-represents-lowercase": contracts.Yes, "ri-represents-verificaok": contracts.Yes, "ri-represents-other": contracts.No,
		"ri-represents-odd": contracts.CannotTell,
	} {
		if r, err := represents(t, g, s.mandate(story)); err != nil || r.Represents != want {
			t.Errorf("%s: %v, %v, want %v", story, r.Represents, err, want)
		}
	}
}

// The record at the level of errors is what an operator's alarm is tied to.
func TestAVerificationWithoutAnAgreedOutcomeIsAnAlarm(t *testing.T) {
	t.Parallel()
	log := &alarms{}
	s, g := overGateway(t, func(_ *Config, env *contracts.Env) { env.Log = slog.New(log) })
	m := s.mandate("ri-active")
	s.says(representsCall, `{"cfPersona":"`+m.Person.Reveal()+`","cfImpresa":"`+m.Subject.CodiceFiscale.Reveal()+`"}`)
	if _, err := represents(t, g, m); err != nil || len(log.all) != 1 {
		t.Errorf("%v, %d alarms, want one", err, len(log.all))
	}
}

func TestALegalPersonMayRepresent(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	holding := companytest.Mandate(s.Who("ri-suspended").CodiceFiscale, s.Who("ri-active").CodiceFiscale, "")
	s.says(representsCall, `{"cfPersona":"`+holding.Person.Reveal()+`","cfImpresa":"`+holding.Subject.CodiceFiscale.Reveal()+`","esitoVerifica":"OK"}`)
	if r, err := represents(t, g, holding); err != nil || r.Represents != contracts.Yes {
		t.Errorf("%v, %v", r.Represents, err)
	}
	s.says(representedCall, `{"cfPersona":"`+holding.Person.Reveal()+`","elencoImpreseRappresentate":[{"cfImpresa":"`+holding.Subject.CodiceFiscale.Reveal()+`"}]}`)
	if p, err := represented(t, g, company.Holder{Person: holding.Person}); err != nil || len(p.Enterprises) != 1 || !p.Enterprises[0].Name.IsZero() {
		t.Errorf("%d enterprises, %v", len(p.Enterprises), err)
	}
}

func TestAnswersAboutSomebodyElseAreNone(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	asked, other := s.mandate("ri-active"), s.mandate("ri-inactive")
	mine, theirs := asked.Subject.CodiceFiscale.Reveal(), other.Subject.CodiceFiscale.Reveal()
	for route, bodies := range map[string][]string{
		seatCall: {
			`{"cf":"` + theirs + `","denominazione":"X","indirizzoLocalizzazione":{"comune":"ROMA","provincia":"RM"}}`,
			`{"denominazione":"X"}`, `{"cf":null}`, `{"cf":""}`, `{}`,
		},
		representsCall: {
			`{"cfPersona":"` + other.Person.Reveal() + `","cfImpresa":"` + mine + `","esitoVerifica":"KO"}`,
			`{"cfPersona":"` + asked.Person.Reveal() + `","cfImpresa":"` + theirs + `","esitoVerifica":"OK"}`,
			`{"esitoVerifica":"KO"}`, `{"esitoVerifica":"OK"}`,
		},
		representedCall: {
			`{"cfPersona":"` + other.Person.Reveal() + `","elencoImpreseRappresentate":[]}`, `{"elencoImpreseRappresentate":null}`, `{}`,
		},
	} {
		for _, body := range bodies {
			s.says(route, body)
			for _, err := range askAll(t, s, g, route) {
				wantKind(t, err, contracts.Malformed)
			}
		}
	}
}

func TestAnswersThatAreNoneOfTheContract(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	for _, body := range []string{``, `null`, `[]`, `7`, `"OK"`, `{"cf":`, `{"cf":{}}`, `{"cfPersona":7}`, `{"esito":"true"}`, `{"esito":null}`, `{}`} {
		for _, route := range []string{seatCall, existsCall, representsCall, representedCall} {
			s.says(route, body)
			for _, err := range askAll(t, s, g, route) {
				wantKind(t, err, contracts.Malformed)
			}
		}
	}
	s.Clear()
	for _, story := range []string{"ri-html", "ri-empty", "ri-misrouted", "ri-wrong-members"} {
		wantKind(t, second(find(t, g, s.query(story))), contracts.Malformed)
		wantKind(t, second(represents(t, g, s.mandate(story))), contracts.Malformed)
		wantKind(t, second(represented(t, g, companytest.Holder(s.Who(story).Representative))), contracts.Malformed)
	}
}

func TestNullAndEmptyListsAreNobody(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	for _, story := range []string{"ri-holder-null-list", "ri-holder-empty-list"} {
		wantKind(t, second(represented(t, g, companytest.Holder(s.Who(story).Representative))), contracts.NotFound)
	}
}

func TestAListThatIsLeftOutIsNobodysNo(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	h := companytest.Holder(s.Who("ri-active").Representative)
	for more, want := range map[string]contracts.Kind{
		``: contracts.Malformed, `,"elencoImpreseRappresentate":null`: contracts.NotFound, `,"elencoImpreseRappresentate":[]`: contracts.NotFound,
	} {
		s.says(representedCall, `{"cfPersona":"`+h.Person.Reveal()+`"`+more+`}`)
		wantKind(t, second(represented(t, g, h)), want)
	}
}

func TestEntriesOfAListWithoutACode(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	h := companytest.Holder(s.Who("ri-active").Representative)
	code := s.Who("ri-active").CodiceFiscale
	list := func(entries string) (company.Portfolio, error) {
		s.says(representedCall, `{"cfPersona":"`+h.Person.Reveal()+`","elencoImpreseRappresentate":[`+entries+`]}`)
		return represented(t, g, h)
	}
	p, err := list(`{"cfImpresa":"1"},null,{"cfImpresa":"` + code + `","denominazione":"X"},{"cfImpresa":"` + code + `"}`)
	if err != nil || len(p.Enterprises) != 1 || p.Enterprises[0].Name.Reveal() != "X" || p.Unreadable != 2 {
		t.Errorf("%d enterprises and %d unreadable, %v, want the one that has a code, once, and that there are two more", len(p.Enterprises), p.Unreadable, err)
	}
	_, err = list(`{"cfImpresa":"1"},{"cfImpresa":null}`)
	wantKind(t, err, contracts.Malformed) // the register does not say "none"
}

func TestEnterprisesAreAskedAboutByCodiceFiscaleFirst(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	m := s.Who("company-codes-differ")
	asked := func() (out []mock.Asked) {
		for _, x := range s.Journal() {
			if a, ok := x.Parsed.(mock.Asked); ok {
				out = append(out, a)
			}
		}
		return out
	}
	both, vat := companytest.Query(m.CodiceFiscale, m.PartitaIVA), companytest.Query("", m.PartitaIVA)
	for i, tc := range []struct {
		q    company.Query
		code string
	}{{both, m.CodiceFiscale}, {vat, m.PartitaIVA}} {
		c, err := find(t, g, tc.q)
		if got := asked(); err != nil || got[i].Company != tc.code || c.CodiceFiscale != both.Subject.CodiceFiscale {
			t.Errorf("question %d: %v, or asked by the wrong code, or answered with another", i, err)
		}
	}
	if _, err := represents(t, g, companytest.Mandate(m.Representative, "", m.PartitaIVA)); err != nil || asked()[2].Company != m.PartitaIVA {
		t.Errorf("represents: %v, or asked by the wrong code", err)
	}
}

func TestEveryServiceHasItsScope(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	askAll(t, s, g, "")
	for _, x := range s.Journal() {
		want := scopeSpeaks
		if strings.Contains(x.Label, "/sede/") || strings.Contains(x.Label, "/esistenzari/") {
			want = scopeSeat
		}
		if strings.Contains(x.Label, "/authentication") {
			continue
		}
		if !strings.Contains(string(x.Request), "Scope: "+want+"\r\n") || !strings.Contains(string(x.Request), "client_id=") {
			t.Errorf("%s: without the scope %s, or without the client", x.Label, want)
		}
	}
	if n := s.Sent(loginCall); n != 2 {
		t.Errorf("%d log-ins, want one for each scope", n)
	}
	if err := g.Check(t.Context()); err != nil || s.Sent(loginCall) != 4 {
		t.Errorf("check: %v, %d log-ins, want both scopes proved anew", err, s.Sent(loginCall))
	}
}

func TestTheTrackingIdStandsInTheTrail(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	trail := &contracttest.Trail{}
	ctx := contracts.WithTrail(asking(t.Context(), company.OpFind.OpInfo), trail)
	if _, err := g.Find(ctx, s.query("ri-unknown")); contracts.KindOf(err) != contracts.NotFound {
		t.Fatal(err)
	}
	all := trail.Attempts()
	if len(all) != 2 || all[0].RemoteID == "" || all[1].RemoteID == "" || all[0].RemoteID == all[1].RemoteID {
		t.Errorf("%d attempts: want both questions, each with InfoCamere's id", len(all))
	}
}

func TestQuestionsThatAreNoneTouchNoWire(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	wantKind(t, second(find(t, g, company.Query{})), contracts.Invalid)
	wantKind(t, second(represents(t, g, company.Mandate{Person: s.mandate("ri-active").Person})), contracts.Invalid)
	wantKind(t, second(represented(t, g, company.Holder{})), contracts.Invalid)
	if n := s.Sent("*"); n != 0 {
		t.Errorf("%d exchanges", n)
	}
}

func TestAnswersWithAFieldTwiceAreNone(t *testing.T) {
	t.Parallel()
	s, g := overGateway(t, nil)
	m := s.mandate("ri-active")
	person, firm := `"cfPersona":"`+m.Person.Reveal()+`"`, `"cfImpresa":"`+m.Subject.CodiceFiscale.Reveal()+`"`
	for route, bodies := range map[string][]string{
		existsCall: {`{"esito":true,"esito":false}`, `{"esito":true,"Esito":false}`},
		representsCall: {
			`{` + person + `,` + firm + `,"esitoVerifica":"OK","esitoVerifica":"KO"}`,
			`{` + person + `,` + firm + `,"esitoVerifica":"OK","ESITOVERIFICA":"KO"}`,
			`{"code":"WSPA_ERR_01","code":"WSPA_ERR_04","appName":"x"}`,
		},
		representedCall: {`{` + person + `,"elencoImpreseRappresentate":[{` + firm + `}],"elencoImpreseRappresentate":[]}`},
	} {
		for _, body := range bodies {
			s.says(route, body)
			for _, err := range askAll(t, s, g, route) {
				wantKind(t, err, contracts.Malformed)
			}
		}
	}
}
