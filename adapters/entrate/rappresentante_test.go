package entrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"raccordo/adapters/entrate/internal/rappresentante"
	"raccordo/adapters/internal/soap"
	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax/taxtest"
	mock "raccordo/mocks/entrate"
	"raccordo/mocks/lab"
)

// The conformance of the bare adapter against the mock, as far as representatives go.
func TestConformanceOfTheRepresentativesCheck(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s := onSOAP(t, func(c *Config, env *contracts.Env) {
		env.Log = capture.Logger()
		soaps(c, func(h *wire.Config) {
			h.Timeout, h.RetryAfterMax, h.RetryBurst = 500*time.Millisecond, time.Second, 1000
		})
	})
	body, trader := s.Who("entrate-body"), s.Who("sole-trader-as-enterprise")
	stranger := s.Who("entrate-code-unknown").CodiceFiscale
	companytest.Run(t, companytest.Harness{
		Harness: contracttest.Harness{
			Runner: contracttest.Direct(s.a, s.Clock(), contracttest.Advancing(s.Advance)), Far: s.Bench, Wire: represents,
			Capture: capture, Reset: s.reset,
			// The mock's 500 is a Fault, and a fault is an answer: it is not repeated.
			Known:  []string{"represents-500-once"},
			Caller: contracts.Caller{Service: "suite", Purpose: "activation", User: "system", Case: "SUITE-1", IP: "203.0.113.1"},
		},
		Register: Register, Ops: []*contracts.OpInfo{company.OpRepresents.OpInfo},
		Speaks:           s.mandate("entrate-body"),
		SpeaksNot:        companytest.Mandate(s.Who("personal-domicile").CodiceFiscale, body.CodiceFiscale, ""),
		CannotTell:       s.mandate("entrate-body-no-verdict"),
		NotHeld:          companytest.Mandate(body.Representative, s.Who("provisional-code").CodiceFiscale, ""),
		BrokenMandate:    s.mandate("entrate-body-fault"),
		UnaskableMandate: companytest.Mandate(stranger, body.CodiceFiscale, ""),
		NotCoveredMandates: []company.Mandate{
			companytest.Mandate(body.Representative, trader.CodiceFiscale, trader.PartitaIVA),
			companytest.Mandate(body.Representative, s.Who("personal-domicile").CodiceFiscale, ""),
		},
	})
}

// Every row of the two tables of codes, and every contradiction between them, ends as it must.
func TestWhatTheCodesOfTheCheckMean(t *testing.T) {
	t.Parallel()
	const answered = contracts.Internal
	type want struct {
		kind  contracts.Kind
		found contracts.Finding
		code  string
	}
	fails := func(kind contracts.Kind, code string) want { return want{kind, contracts.CannotTell, code} }
	finds := func(f contracts.Finding, reason string) want { return want{answered, f, reason} }
	for _, tc := range []struct {
		rule, ritorno, dettaglio, valido string
		want                             want
	}{
		{"00 processed, valido true is yes", "00", "XX00", "true", finds(contracts.Yes, "")},
		{"00 processed, valido false is no", "00", "XX00", "false", finds(contracts.No, "")},
		{"00 processed, valido absent is cannot tell", "00", "XX00", "", finds(contracts.CannotTell, "XX00")},
		{"01 processing error may be repeated", "01", "XX00", "", fails(contracts.Unavailable, "01")},
		{"02 badly formed is invalid", "02", "XX00", "", fails(contracts.Invalid, "02")},
		{"03 badly formed is invalid", "03", "XX00", "", fails(contracts.Invalid, "03")},
		{"XX01 representative's code wrong is invalid", "02", "XX01", "", fails(contracts.Invalid, "XX01")},
		{"XX01 with 00 is invalid too", "00", "XX01", "", fails(contracts.Invalid, "XX01")},
		{"XX02 no such body is not found here", "02", "XX02", "", fails(contracts.NotFound, "XX02")},
		{"XX02 with 00 is not found too", "00", "XX02", "", fails(contracts.NotFound, "XX02")},
		{"XX0A processing error may be repeated", "01", "XX0A", "", fails(contracts.Unavailable, "XX0A")},
		{"XX03 time-out inside the agency may be repeated", "01", "XX03", "", fails(contracts.Unavailable, "XX03")},
		{"XX04 not authorised is denied", "01", "XX04", "", fails(contracts.Denied, "XX04")},
		{"XXXX not coded, processed, is cannot tell", "00", "XXXX", "", finds(contracts.CannotTell, "XXXX")},
		{"XXXX not coded with 01 may be repeated", "01", "XXXX", "", fails(contracts.Unavailable, "01")},
		{"XXXX not coded with 02 is invalid", "02", "XXXX", "", fails(contracts.Invalid, "02")},

		{"XX03 with a false is no no", "00", "XX03", "false", fails(contracts.Unavailable, "XX03")},
		{"XX04 with a false is no no", "00", "XX04", "false", fails(contracts.Denied, "XX04")},
		{"XX02 with a false is no no", "00", "XX02", "false", fails(contracts.NotFound, "XX02")},
		{"XXXX with a false is no no", "00", "XXXX", "false", finds(contracts.CannotTell, "XXXX")},
		{"01 with a false is no no", "01", "XX00", "false", fails(contracts.Unavailable, "01")},
		{"XX0A with a true is believed in neither", "01", "XX0A", "true", fails(contracts.Malformed, "XX0A")},
		{"XX02 with a true is believed in neither", "02", "XX02", "true", fails(contracts.Malformed, "XX02")},
		{"XXXX with a true is no yes", "00", "XXXX", "true", finds(contracts.CannotTell, "XXXX")},

		{"an unknown codiceRitorno is malformed", "07", "XX00", "false", fails(contracts.Malformed, "07")},
		{"an unknown dettaglioEsito is malformed", "00", "XX11", "false", fails(contracts.Malformed, "XX11")},
		{"income's own words are none here", "00", "XX05", "", fails(contracts.Malformed, "XX05")},
		{"income's own returns are none here", "05", "XXXX", "", fails(contracts.Malformed, "05")},
		{"no codiceRitorno is malformed", "", "XX00", "false", fails(contracts.Malformed, "")},
		{"no dettaglioEsito is malformed", "00", "", "false", fails(contracts.Malformed, "")},
		{"a long word is not repeated", "00", "ROSSI MARIO NON TROVATO", "", fails(contracts.Malformed, "")},
		{"somebody's code is not repeated", "00", "RSSMRA85T10A562S", "", fails(contracts.Malformed, "")},
		{"blanks around the words", " 00\n", "\tXX00 ", "true", finds(contracts.Yes, "")},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			found, reason, e := judge(answerOf(tc.ritorno, tc.dettaglio, tc.valido))
			if e != nil {
				if e.Kind != tc.want.kind || e.Code != tc.want.code || found != contracts.CannotTell {
					t.Errorf("%v with %s", e, found)
				}
				return
			}
			if tc.want.kind != answered || found != tc.want.found || reason != tc.want.code {
				t.Errorf("%s, reason %q", found, reason)
			}
		})
	}
}

func answerOf(ritorno, dettaglio, valido string) *rappresentante.CheckValidityRappresentanteRespType {
	a := &rappresentante.CheckValidityRappresentanteRespType{CodiceRitorno: ritorno, DettaglioEsito: dettaglio}
	if valido != "" {
		v := rappresentante.Boolean(valido == "true")
		a.Valido = &v
	}
	return a
}

// Of all answers that can be made of known and unknown words, one is a no and one is a yes.
func TestOneAnswerIsNo(t *testing.T) {
	t.Parallel()
	findings := map[contracts.Finding][]string{}
	for _, ritorno := range []string{"", "00", "01", "02", "03", "04", "05", "07", "0", "OK"} {
		for _, dettaglio := range []string{"", "XX00", "XX01", "XX02", "XX03", "XX04", "XX05", "XX06", "XX0A", "XX11", "XXXX", "xx00"} {
			for _, valido := range []string{"", "true", "false"} {
				if found, _, err := judge(answerOf(ritorno, dettaglio, valido)); err == nil {
					findings[found] = append(findings[found], ritorno+" "+dettaglio+" "+valido)
				}
			}
		}
	}
	if no, yes := findings[contracts.No], findings[contracts.Yes]; fmt.Sprint(no) != "[00 XX00 false]" || fmt.Sprint(yes) != "[00 XX00 true]" {
		t.Errorf("no: %q, yes: %q", no, yes)
	}
}

// Every story of the mock's cast that is about the check ends as it must.
func TestEveryStoryOfTheCheck(t *testing.T) {
	t.Parallel()
	const answered = contracts.Internal
	type end struct {
		kind  contracts.Kind
		found contracts.Finding
		code  string
		asked int
	}
	capture := contracttest.NewCapture()
	var log bytes.Buffer
	s := onSOAP(t, func(c *Config, env *contracts.Env) {
		env.Log = slog.New(slog.NewTextHandler(io.MultiWriter(&log, capture.Writer("log")), nil))
		soaps(c, func(h *wire.Config) { h.Timeout, h.RetryBurst = 300*time.Millisecond, 1000 })
	})
	wants := map[string]end{
		"entrate-body":                       {answered, contracts.Yes, "", 1},
		"entrate-body-second-representative": {answered, contracts.Yes, "", 1},
		"entrate-body-prefixed":              {answered, contracts.Yes, "", 1},
		"entrate-body-latin1":                {answered, contracts.Yes, "", 1},
		"entrate-body-slow":                  {answered, contracts.Yes, "", 2},
		"entrate-body-no-verdict":            {answered, contracts.CannotTell, "XX00", 1},
		"entrate-body-error":                 {contracts.Unavailable, 0, "XX0A", 1},
		"entrate-body-timeout":               {contracts.Unavailable, 0, "XX03", 1},
		"entrate-body-denied":                {contracts.Denied, 0, "XX04", 1},
		"entrate-body-uncoded":               {contracts.Unavailable, 0, "01", 1},
		"entrate-body-malformed":             {contracts.Invalid, 0, "02", 1},
		"entrate-body-malformed-03":          {contracts.Invalid, 0, "03", 1},
		"entrate-body-words":                 {contracts.Malformed, 0, "XX11", 1},
		"entrate-body-contradiction":         {contracts.Malformed, 0, "XX0A", 1},
		"entrate-body-done-with-error":       {contracts.Unavailable, 0, "XX03", 1},
		"entrate-body-odd-verdict":           {answered, contracts.Yes, "", 1}, // XML Schema's other word for true
		"entrate-body-fault-200":             {contracts.Unavailable, 0, "Server", 1},
		"entrate-body-fault":                 {contracts.Unavailable, 0, "Server", 1},
		"entrate-body-fault-once":            {contracts.Unavailable, 0, "Server", 1},
		"entrate-body-gateway":               {contracts.Unavailable, 0, "APIUnavailable", 1},
	}
	for _, story := range lab.Stories(s.Cast()) {
		if _, told := wants[story]; !told && strings.HasPrefix(story, "entrate-body") {
			t.Errorf("%s is told by the mock, and nothing is expected of it", story)
		}
	}
	for story, want := range wants {
		before := s.Sent(represents)
		got, err := s.represent(t.Context(), s.mandate(story))
		if n := s.Sent(represents) - before; n != want.asked {
			t.Errorf("%s: asked %d times, want %d", story, n, want.asked)
		}
		if want.kind == answered {
			if err != nil || got.Represents != want.found || got.Reason != want.code || got.Register != Register || !got.AsOf.Equal(s.Clock().Now()) {
				t.Errorf("%s: %+v, %v", story, got, err)
			}
			continue
		}
		var e *contracts.Error
		if !errors.As(err, &e) || e.Kind != want.kind || e.Code != want.code || e.System != "entrate" || e.Operation != "company.represents" {
			t.Errorf("%s: %v, want %s [%s]", story, err, want.kind, want.code)
		}
		if got != (company.Representation{}) {
			t.Errorf("%s: an answer beside the error", story)
		}
	}
	if got, err := s.represent(t.Context(), s.mandate("entrate-body-fault-once")); err != nil || got.Represents != contracts.Yes {
		t.Errorf("after the fault: %+v, %v", got, err)
	}
	second := s.mandate("entrate-body-second-representative")
	second.Person = contracttest.Sure(contracts.ParseCodiceFiscale(mock.SecondRepresentative()))
	if got, err := s.represent(t.Context(), second); err != nil || got.Represents != contracts.Yes {
		t.Errorf("another of the representatives: %+v, %v", got, err)
	}
	var codes []string
	for story := range wants {
		codes = append(codes, s.Who(story).CodiceFiscale, s.Who(story).Representative)
	}
	for _, leak := range capture.Leaks(codes) {
		t.Errorf("secret %d stands in %s, as %s", leak.Secret, leak.Source, leak.As)
	}
	if n := strings.Count(log.String(), "contract drift"); n != 2 {
		t.Errorf("%d alarms, want one for each answer that nobody agreed on", n)
	}
}

// What the agency wants of a client, refused where it is missing: the errors say what to look at, and none is an answer.
func TestWhoMayNotAskIsDenied(t *testing.T) {
	t.Parallel()
	other := identity(t)
	for name, tc := range map[string]struct {
		change  func(*Config)
		setting func(*mock.Settings)
		code    string
		kind    contracts.Kind
	}{
		"another signer is XX04": {func(c *Config) {
			c.Rappresentante.SAML.Key, c.Rappresentante.SAML.Certificate = other.Key, other.Certificate
		}, nil, "XX04", contracts.Denied},
		"another issuer is XX04":                  {func(c *Config) { c.Rappresentante.SAML.Issuer = "altro" }, nil, "XX04", contracts.Denied},
		"another office is XX04":                  {func(c *Config) { c.Rappresentante.SAML.Office = "R02" }, nil, "XX04", contracts.Denied},
		"another office by a fault":               {func(c *Config) { c.Rappresentante.SAML.Office = "R02" }, func(s *mock.Settings) { s.SecurityFaults = true }, "Client", contracts.Invalid},
		"another certificate on the channel: 403": {func(c *Config) { channelOf(c, other) }, nil, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onSOAP(t, func(c *Config, _ *contracts.Env) {
				tc.change(c)
				c.Rappresentante.HTTP.Attempts = 1
			})
			if tc.setting != nil {
				s.m.Set(tc.setting)
			}
			_, err := s.represent(t.Context(), s.mandate("entrate-body"))
			if tc.kind == 0 { // the handshake ends before a page could be sent
				if k := contracts.KindOf(err); k != contracts.Denied && k != contracts.Unavailable {
					t.Errorf("%v, want denied or unavailable", err)
				}
				return
			}
			if e := wantKind(t, err, tc.kind); e.Code != tc.code {
				t.Errorf("code %q, want %q", e.Code, tc.code)
			}
			if contracts.KindOf(s.a.Check(t.Context())) == contracts.Internal {
				t.Error("the check lets it pass")
			}
		})
	}
}

func channelOf(c *Config, s SAML) {
	c.Rappresentante.HTTP.ClientCertificate, c.Rappresentante.HTTP.ClientKey = s.Certificate, s.Key
}

func TestTheUserIsNamedOrNothingIsSent(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	ask := func(who contracts.Caller) error {
		call := &contracts.Call{Op: company.OpRepresents.OpInfo, Caller: who}
		_, err := s.a.Bindings()[0].Do(contracts.WithCall(contracts.WithCaller(t.Context(), who), call), s.mandate("entrate-body"))
		return err
	}
	if err := ask(contracts.Caller{Service: "core", User: "u-1234", IP: "203.0.113.77"}); err != nil {
		t.Fatal(err)
	}
	if _, asked := s.last(t, represents); asked.User != "u-1234" || asked.IP != "203.0.113.77" {
		t.Errorf("user %q from %q", asked.User, asked.IP)
	}
	if err := ask(contracts.Caller{Service: "core"}); err != nil {
		t.Fatal(err)
	}
	if _, asked := s.last(t, represents); asked.User != "system" || asked.IP != "192.0.2.10" {
		t.Errorf("user %q from %q, want the system and the configured address", asked.User, asked.IP)
	}
	before := s.Sent("*")
	err := ask(contracts.Caller{Service: "core", User: "mario.rossi@ministero.example"})
	if e := wantKind(t, err, contracts.Invalid); e.Code != "ENTRATE_USER" || s.Sent("*") != before || strings.Contains(err.Error(), "rossi") {
		t.Errorf("%v, %d exchanges: want a refusal before the wire", err, s.Sent("*")-before)
	}
}

func TestEveryAttemptBearsAnAssertionOfItsOwn(t *testing.T) {
	t.Parallel()
	program := tool(t, "xmlsec1", "xmlsec1")
	s := onSOAP(t, func(c *Config, _ *contracts.Env) { c.Rappresentante.HTTP.RetryBurst = 100 })
	s.Inject(lab.Fault{Match: represents, Do: lab.DropAfterAccept, Times: 1})
	s.Inject(lab.Fault{Match: represents, Do: lab.Status, Status: 502, Times: 1})
	if got, err := s.represent(t.Context(), s.mandate("entrate-body")); err != nil || got.Represents != contracts.Yes {
		t.Fatalf("%+v, %v", got, err)
	}
	ids := map[string]bool{}
	for _, x := range s.all(represents) {
		envelope := envelopeOf(t, x)
		if err := xmlsec(t, program, s.m.SigningCertificatePath(), envelope); err != nil {
			t.Errorf("xmlsec1 refuses what was sent: %v", err)
		}
		changed := bytes.Replace(envelope, []byte(s.m.Ufficio()), []byte("R99"), 1)
		if bytes.Equal(changed, envelope) || xmlsec(t, program, s.m.SigningCertificatePath(), changed) == nil {
			t.Error("xmlsec1 accepts it with one byte changed")
		}
		ids[readHeader(t, headerOf(t, envelope)).ID] = true
	}
	if n := s.Sent(represents); n != 3 || len(ids) != 3 {
		t.Errorf("%d attempts with %d assertions, want 3 and 3", n, len(ids))
	}
}

func TestAFaultIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	_, err := s.represent(t.Context(), s.mandate("entrate-body-fault"))
	var fault *soap.Fault
	if e := wantKind(t, err, contracts.Unavailable); !errors.As(err, &fault) || e.Code != "Server" || s.Sent(represents) != 1 {
		t.Errorf("%v after %d attempts", err, s.Sent(represents))
	}
}

func TestARefusedAssertionIsMadeAnewOnce(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	s.Inject(lab.Fault{Match: represents, Do: lab.Status, Status: 401, Times: 1})
	if got, err := s.represent(t.Context(), s.mandate("entrate-body")); err != nil || got.Represents != contracts.Yes || s.Sent(represents) != 2 {
		t.Errorf("%+v, %v after %d attempts", got, err, s.Sent(represents))
	}
	s.Inject(lab.Fault{Match: represents, Do: lab.Status, Status: 401})
	_, err := s.represent(t.Context(), s.mandate("entrate-body"))
	if wantKind(t, err, contracts.Denied); s.Sent(represents) != 4 {
		t.Errorf("%d attempts, want two more", s.Sent(represents))
	}
}

// Between signing and answer a machine can be suspended, or its clock set: what is said of an assertion that has ended in
// the meantime says nothing of who may ask.
func TestARefusalAfterTheAssertionsEndIsAskedAgain(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]contracts.Kind{
		leastLife - early - time.Second: contracts.Denied, leastLife - early: contracts.Unavailable, time.Hour: contracts.Unavailable,
	} {
		clock := contracttest.NewClock(noon)
		far, a := speaking(t, func(_ *Config, env *contracts.Env) { env.Clock = clock })
		answer := func(body string) {
			far.say(enveloped(body))
			says := far.says
			far.says = func(w http.ResponseWriter) { clock.Advance(took); says(w) }
		}
		answer("<checkValidityRappresentanteResp " + nsCheck + "><dettaglioEsito>XX04</dettaglioEsito><codiceRitorno>01</codiceRitorno></checkValidityRappresentanteResp>")
		_, err := do(t.Context(), a, company.OpRepresents, companytest.Mandate("RSSMRA85T10A562S", "80012345676", ""))
		wantKind(t, err, want)
		answer(`<richiediRedditiResp xmlns="` + nsRedditi + `"><dettaglioEsito>XX04</dettaglioEsito><codiceRitorno>01</codiceRitorno></richiediRedditiResp>`)
		_, err = startIncomes(t.Context(), a, "lot-1", taxtest.Income("12345678903", 2024))
		wantKind(t, err, want)
		if want == contracts.Denied {
			continue
		}
		answer("<checkValidityRappresentanteResp " + nsCheck + "><dettaglioEsito>XX04</dettaglioEsito><codiceRitorno>01</codiceRitorno></checkValidityRappresentanteResp>")
		refuse, refused := far.says, false
		far.says = func(w http.ResponseWriter) {
			if refused {
				w.Header().Set("Content-Type", "text/xml; charset=utf-8")
				_, _ = io.WriteString(w, enveloped("<checkValidityRappresentanteResp "+nsCheck+"><valido>true</valido><dettaglioEsito>XX00</dettaglioEsito><codiceRitorno>00</codiceRitorno></checkValidityRappresentanteResp>"))
				return
			}
			refused = true
			refuse(w)
		}
		if got, err := do(t.Context(), a, company.OpRepresents, companytest.Mandate("RSSMRA85T10A562S", "80012345676", "")); err != nil || got.Represents != contracts.Yes {
			t.Errorf("with a new assertion: %+v, %v", got, err)
		}
	}
}

func TestSilenceIsNoNo(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, func(c *Config, _ *contracts.Env) { c.Rappresentante.HTTP.Timeout = 50 * time.Millisecond })
	m := companytest.Mandate(s.Who("personal-domicile").CodiceFiscale, s.Who("entrate-body").CodiceFiscale, "") // the answer is no
	s.Inject(lab.Fault{Match: represents, Do: lab.Slow, Wait: 10 * time.Second})
	_, err := s.represent(t.Context(), m)
	wantKind(t, err, contracts.Unavailable)
	if n := s.Sent(represents); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.represent(ctx, m)
	wantKind(t, err, contracts.Canceled)
	s.Clear()
	if got, err := s.represent(t.Context(), m); err != nil || got.Represents != contracts.No {
		t.Errorf("%+v, %v: want the no that was true all the time", got, err)
	}
}

func TestNobodyIsAskedAboutWhereTheAgencyCannotAnswer(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	trader, firm := s.Who("sole-trader-as-enterprise"), s.Who("company-with-pec")
	for name, tc := range map[string]struct {
		m    company.Mandate
		kind contracts.Kind
	}{
		"a sole trader":          {companytest.Mandate(trader.CodiceFiscale, trader.CodiceFiscale, trader.PartitaIVA), contracts.NotFound},
		"a person":               {companytest.Mandate(firm.Representative, trader.CodiceFiscale, ""), contracts.NotFound},
		"nobody":                 {company.Mandate{Person: contracttest.Sure(contracts.ParseCodiceFiscale(firm.Representative))}, contracts.Invalid},
		"without representative": {company.Mandate{Subject: s.mandate("company-with-pec").Subject}, contracts.Invalid},
	} {
		if err := s.a.Bindings()[0].Covers(tc.m); contracts.KindOf(err) != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
		_, err := s.represent(t.Context(), tc.m)
		wantKind(t, err, tc.kind)
	}
	if n := s.Sent("*"); n != 0 {
		t.Errorf("%d exchanges", n)
	}
}

// The service wants the body's codice fiscale, and is asked with it wherever there is one.
func TestTheBodysCodeIsAskedAbout(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	firm := s.Who("company-codes-differ")
	for name, tc := range map[string]struct {
		m    company.Mandate
		want string
	}{
		"both":               {companytest.Mandate(firm.Representative, firm.CodiceFiscale, firm.PartitaIVA), firm.CodiceFiscale},
		"codice fiscale":     {companytest.Mandate(firm.Representative, firm.CodiceFiscale, ""), firm.CodiceFiscale},
		"partita IVA, alone": {companytest.Mandate(firm.Representative, "", firm.PartitaIVA), firm.PartitaIVA},
	} {
		got, err := s.represent(t.Context(), tc.m)
		if tc.want == firm.CodiceFiscale && (err != nil || got.Represents != contracts.Yes) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if tc.want == firm.PartitaIVA && contracts.KindOf(err) != contracts.NotFound { // it is nobody's codice fiscale
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, asked := s.last(t, represents); len(asked.Codes) != 2 || asked.Codes[0] != firm.Representative || asked.Codes[1] != tc.want {
			t.Errorf("%s: asked about %d codes, not the ones expected", name, len(asked.Codes))
		}
	}
}

func TestTheCheckAsksAboutNobodyElse(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	if err := s.a.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, asked := s.last(t, represents); asked.Codes[0] != s.m.Ente() || asked.Codes[1] != s.m.Ente() || asked.User != "system" {
		t.Error("the check asks about somebody")
	}
	if _, asked := s.last(t, fetching); asked.Protocol != nobodysOrder || s.Sent(ordering) != 0 {
		t.Error("the check asks for somebody's order")
	}
	s.Inject(lab.Fault{Match: represents, Do: lab.Status, Status: 500})
	if e := wantKind(t, s.a.Check(t.Context()), contracts.Unavailable); e.Operation != "check" || !strings.Contains(e.Error(), "rappresentante") {
		t.Errorf("%v, want the section named", e)
	}
}
