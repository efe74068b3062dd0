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
)

func aReader(t testing.TB) reader {
	t.Helper()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return reader{
		env:  contracts.Env{Clock: contracttest.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)), Log: slog.New(slog.DiscardHandler)},
		rome: rome,
	}
}

const (
	aFirm   = "07643520567" // nobody's: no office has given a number that begins with 0764352
	aPerson = "RSSMRA85T10A562S"
)

// FuzzGatewayAnswers: whatever comes as an answer of road wspa is refused, or keeps every rule of the contract.
func FuzzGatewayAnswers(f *testing.F) {
	m := companytest.Mandate(aPerson, aFirm, "")
	for _, seed := range []string{
		`{"dataOraEstrazione":"2026-11-21T09:00:00.123+01:00","cf":"` + aFirm + `","denominazione":"X","indirizzoLocalizzazione":{"comune":"ROMA","provincia":"RM","toponimo":"VIA","via":"DELLE PROVE","nCivico":"1","cap":"00184"}}`,
		`{"cf":"` + aFirm + `","indirizzoLocalizzazione":{"comune":"ROMA","provincia":"RM","getnCivico":"1","denominazione":"X"}}`,
		`{"cf":"` + aFirm + `","denominazione":null,"indirizzoLocalizzazione":null}`,
		`{"esito":true}`, `{"esito":false}`, `{"esito":null}`,
		`{"dataOraEstrazione":"2026-11-21T09:00:00","cfPersona":"` + aPerson + `","cfImpresa":"` + aFirm + `","esitoVerifica":"VerificaOk"}`,
		`{"cfPersona":"` + aPerson + `","elencoImpreseRappresentate":[{"cfImpresa":"` + aFirm + `","denominazione":"X"},null]}`,
		`{"cfPersona":"` + aPerson + `","elencoImpreseRappresentate":null}`,
		`{"code":"WSPA_ERR_04","description":"LR Not found","appName":"wspa-lrpf","timestamp":"2023-03-10T15:40:01.598877+01:00"}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	r := aReader(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if a, cf, err := parseSeat(body, m.Subject); err == nil {
			if cf != m.Subject.CodiceFiscale {
				t.Error("somebody else's seat")
			}
			seat, ok := a.Address.seat()
			if ok != !seat.IsZero() || ok && (seat.Comune == "" || !letters(seat.Province, 2) || seat.CAP != "" && !digits(seat.CAP, 5, 5)) {
				t.Errorf("%t: a seat out of its notation", ok)
			}
			if r.instant(a.At).IsZero() || len(line(a.name())) > longest {
				t.Error("no instant, or a name without an end")
			}
		}
		if enrolled, err := parseExistence(body); err != nil && enrolled {
			t.Error("an error that says yes")
		}
		if v, err := parseVerification(body, m); err == nil {
			switch finding(v.Outcome) {
			case contracts.No:
				if !strings.HasSuffix(strings.ToUpper(strings.TrimSpace(v.Outcome)), "KO") {
					t.Error("no out of a word that does not say so")
				}
			}
		}
		if l, err := parsePortfolio(body, company.Holder{Person: m.Person}); err == nil {
			all, unusable := l.enterprises()
			if len(all)+unusable > len(l.List.entries) {
				t.Error("more enterprises than the list holds")
			}
			for _, e := range all {
				if e.CodiceFiscale.IsZero() {
					t.Error("an enterprise without a code")
				}
			}
		}
	})
}

// FuzzProfile: whatever comes as an answer of road pdnd is refused, or keeps every rule of the contract.
func FuzzProfile(f *testing.F) {
	full := strings.ReplaceAll(whole, "CODE", aFirm)
	for _, seed := range []string{
		full, strings.Replace(full, `"codice": "A"`, `"codice": "Q"`, 1), strings.Replace(full, `"SR"`, `null`, 1),
		`{"codiceFiscale":"` + aFirm + `"}`, `{"codiceFiscale":"` + aFirm + `","attivita":[null],"rea":null,"sede":null,"pec":null}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	s := &EService{reader: aReader(f)}
	asked := companytest.Query(aFirm, "").Subject
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parseProfile(body, asked)
		if err != nil {
			return
		}
		c := s.company(t.Context(), p)
		for a, empty := range map[company.Attribute]bool{
			company.Name: c.Name.IsZero(), company.Standing: c.Status == "", company.Form: c.LegalForm.IsZero(), company.Office: c.Seat.IsZero(),
			company.Number: c.REA.IsZero(), company.Registered: c.Registered.IsZero(),
		} {
			if c.Knows(a) == empty {
				t.Errorf("%s is told and unknown, or neither", a)
			}
		}
		if c.CodiceFiscale != asked.CodiceFiscale || c.Status != "" && !c.Status.Valid() || c.AsOf.IsZero() {
			t.Error("somebody else's profile, a status that is none, or no instant")
		}
		if !c.Knows(company.Domicile) && !c.Domicile.IsZero() || !c.Knows(company.Activity) && len(c.Activities) > 0 {
			t.Error("told, and unknown")
		}
		raw, err := contracts.Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		var back company.Company
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Errorf("the answer does not survive storage: %v", err)
		}
		if text := shown(p.Status.Code); len(text) > 20 {
			t.Error("a code too long for a log")
		}
	})
}
