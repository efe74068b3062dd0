package registroimprese

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/mocks/lab"
)

func TestEveryEnterpriseOfTheCastIsEnrolled(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	seen := 0
	for _, member := range lab.Cast() {
		known := member.Capacity == lab.Enterprise
		for _, other := range lab.Cast() { // who asks in two capacities is one subject
			known = known || other.CodiceFiscale == member.CodiceFiscale && other.Capacity == lab.Enterprise
		}
		a := s.record(member.CodiceFiscale, "completo")
		if !known {
			if a.Status != 404 || a.Body["type"] != NoSuchEnterprise {
				t.Fatalf("%s, not an enterprise: %d %s", member.Story, a.Status, a.Raw)
			}
			if e := s.exists(member.CodiceFiscale); e.Body["esito"] != false {
				t.Errorf("%s, not an enterprise, exists: %s", member.Story, e.Raw)
			}
			continue
		}
		seen++
		if a.Status != 200 || a.at("statoAttivita", "codice") != "A" || a.Body["codiceFiscale"] != member.CodiceFiscale ||
			!strings.EqualFold(fmt.Sprint(a.Body["denominazione"]), member.Name) && member.Capacity == lab.Enterprise ||
			len(a.Body["attivita"].([]any)) == 0 {
			t.Fatalf("%s: %d %s", member.Story, a.Status, a.Raw)
		}
		pec := any(nil)
		if member.INIPEC != nil && member.INIPEC.Enterprise != "" {
			pec = member.INIPEC.Enterprise
		}
		if a.Body["pec"] != pec {
			t.Errorf("%s: PEC %v, want %v", member.Story, a.Body["pec"], pec)
		}
		speaker := member.Representative
		if speaker == "" {
			speaker = member.CodiceFiscale
		}
		if r := s.represents(speaker, member.CodiceFiscale); r.Body["esitoVerifica"] != "OK" {
			t.Errorf("%s is not represented by its own: %s", member.Story, r.Raw)
		}
	}
	if seen < 100 {
		t.Errorf("only %d enterprises", seen)
	}
}

func TestBothCodesOfAnEnterpriseLeadToIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, story := range []string{"company-codes-differ", "sole-trader-as-enterprise"} {
		member := s.who(story)
		for _, code := range []string{member.CodiceFiscale, member.PartitaIVA, strings.ToLower(member.CodiceFiscale)} {
			if a := s.seat(code); a.Status != 200 || a.Body["cf"] != member.CodiceFiscale {
				t.Errorf("%s: seat %s", story, a.Raw)
			}
			if a := s.record(code, "sintetico"); a.Status != 200 || a.Body["partitaIva"] != member.PartitaIVA {
				t.Errorf("%s: record %s", story, a.Raw)
			}
		}
	}
}

func TestBothRoadsTellTheSameSeat(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := s.who("ri-active").CodiceFiscale
	one, two := s.seat(code).at("indirizzoLocalizzazione"), s.record(code, "completo").at("sede")
	if one == nil || fmt.Sprint(one) != fmt.Sprint(two) {
		t.Errorf("%v, and over PDND %v", one, two)
	}
}

func TestProfilesDifferByTheFullOnesFields(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := s.who("ri-active").CodiceFiscale
	short, full := s.record(code, "sintetico"), s.record(code, "completo")
	for _, field := range []string{"formaGiuridica", "tipoSoggetto", "dataIscrizione", "dataAtto", "attivita"} {
		if short.Body[field] != nil || full.Body[field] == nil {
			t.Errorf("%s: short %v, full %v", field, short.Body[field], full.Body[field])
		}
	}
	trader := s.record(s.who("sole-trader-as-enterprise").CodiceFiscale, "completo")
	if trader.at("naturaGiuridica", "codice") != "DI" || trader.Body["dataAtto"] != nil ||
		trader.Body["tipoSoggetto"] != "IMPRESA INDIVIDUALE" {
		t.Errorf("a sole trader: %s", trader.Raw)
	}
}

// tellings are what each of the mock's own people shows. Whoever has none fails TestEveryStoryIsTold.
func tellings() map[string]func(s *stage, m lab.Member) bool {
	standing := func(code string) func(*stage, lab.Member) bool {
		return func(s *stage, m lab.Member) bool {
			a := s.record(m.CodiceFiscale, "sintetico")
			return a.Status == 200 && a.at("statoAttivita", "codice") == code && a.Body["pec"] == m.INIPEC.Enterprise &&
				m.INIPEC.Enterprise != "" && s.seat(m.CodiceFiscale).Body["cf"] == m.CodiceFiscale
		}
	}
	verdict := func(want string) func(*stage, lab.Member) bool {
		return func(s *stage, m lab.Member) bool {
			a := s.represents(m.Representative, m.CodiceFiscale)
			return a.Status == 200 && a.Body["esitoVerifica"] == want && a.Body["cfPersona"] == m.Representative
		}
	}
	everywhere := func(check func(answer) bool) func(*stage, lab.Member) bool {
		return func(s *stage, m lab.Member) bool {
			for op, ask := range s.questions(m) {
				if a := ask(); !check(a) {
					s.Errorf("%s: %d %s", op, a.Status, a.Raw)
					return false
				}
			}
			return true
		}
	}
	return map[string]func(*stage, lab.Member) bool{
		"ri-active": standing("A"),
		"ri-ceased": func(s *stage, m lab.Member) bool {
			return standing("C")(s, m) && s.exists(m.CodiceFiscale).Body["esito"] == false
		},
		"ri-inactive": func(s *stage, m lab.Member) bool {
			return standing("I")(s, m) && len(s.record(m.CodiceFiscale, "completo").Body["attivita"].([]any)) == 0
		},
		"ri-suspended": standing("S"), "ri-liquidation": standing("L"), "ri-insolvent": standing("P"),
		"ri-odd-status": standing("Q"), "ri-no-status": standing(""),
		"ri-unknown": func(s *stage, m lab.Member) bool {
			a := s.record(m.CodiceFiscale, "sintetico")
			return a.Status == 404 && a.Body["type"] == NoSuchEnterprise && s.seat(m.CodiceFiscale).says(appSeat, "Sede Not found") &&
				s.exists(m.CodiceFiscale).Body["esito"] == false && m.INIPEC.Enterprise != "" &&
				s.represents(m.Representative, m.CodiceFiscale).says(appSpeaks, "LR Not found") &&
				s.represented(m.Representative).says(appSpeaks, "LR Not found")
		},
		"ri-without-pec": func(s *stage, m lab.Member) bool {
			a := s.record(m.CodiceFiscale, "completo")
			_, there := a.Body["pec"]
			return a.Status == 200 && !there && m.INIPEC.Enterprise == ""
		},
		"ri-odd-pec": func(s *stage, m lab.Member) bool {
			pec, _ := s.record(m.CodiceFiscale, "completo").Body["pec"].(string)
			return pec != "" && !strings.Contains(pec, "@")
		},
		"ri-null-seat": func(s *stage, m lab.Member) bool {
			a := s.seat(m.CodiceFiscale)
			return strings.Contains(a.Raw, `"indirizzoLocalizzazione":null`) && a.Body["denominazione"] != nil
		},
		"ri-seat-not-found": func(s *stage, m lab.Member) bool {
			return s.seat(m.CodiceFiscale).says(appSeat, "Sede Not found") && s.exists(m.CodiceFiscale).Body["esito"] == true
		},
		"ri-getncivico": func(s *stage, m lab.Member) bool {
			a := s.seat(m.CodiceFiscale)
			return a.at("indirizzoLocalizzazione", "getnCivico") != nil && a.at("indirizzoLocalizzazione", "nCivico") == nil
		},
		"ri-name-inside": func(s *stage, m lab.Member) bool {
			a := s.seat(m.CodiceFiscale)
			return a.at("indirizzoLocalizzazione", "denominazione") != nil && a.Body["denominazione"] == nil
		},
		"ri-name-absent": func(s *stage, m lab.Member) bool {
			a := s.seat(m.CodiceFiscale)
			return a.Body["cf"] == m.CodiceFiscale && !strings.Contains(a.Raw, "denominazione")
		},
		"ri-exists-false": func(s *stage, m lab.Member) bool {
			return s.exists(m.CodiceFiscale).Body["esito"] == false && s.seat(m.CodiceFiscale).says(appSeat, "Sede Not found") &&
				s.represents(m.Representative, m.CodiceFiscale).says(appSpeaks, "LR Not found") &&
				s.record(m.CodiceFiscale, "sintetico").at("statoAttivita", "codice") == "C"
		},
		"ri-represents-lowercase": verdict("ok"), "ri-represents-verificaok": verdict("VerificaOk"),
		"ri-represents-other": verdict("KO"), "ri-represents-odd": verdict("DA VERIFICARE"),
		"ri-represents-not-found": func(s *stage, m lab.Member) bool {
			return s.represents(m.Representative, m.CodiceFiscale).says(appSpeaks, "LR Not found") &&
				s.represented(m.Representative).says(appSpeaks, "LR Not found") && s.exists(m.CodiceFiscale).Body["esito"] == true
		},
		"ri-holder-of-three": func(s *stage, m lab.Member) bool {
			var codes []string
			list, _ := s.represented(m.Representative).Body["elencoImpreseRappresentate"].([]any)
			for _, e := range list {
				codes = append(codes, e.(map[string]any)["cfImpresa"].(string))
			}
			return len(codes) == 3 && slices.Contains(codes, m.CodiceFiscale)
		},
		"ri-holder-null-list": func(s *stage, m lab.Member) bool {
			return strings.Contains(s.represented(m.Representative).Raw, `"elencoImpreseRappresentate":null`) && verdict("OK")(s, m)
		},
		"ri-holder-empty-list": func(s *stage, m lab.Member) bool {
			return strings.Contains(s.represented(m.Representative).Raw, `"elencoImpreseRappresentate":[]`) && verdict("OK")(s, m)
		},
		"ri-broken": everywhere(func(a answer) bool { return a.Status == 500 }),
		"ri-busy": func(s *stage, m lab.Member) bool {
			for _, ask := range s.questions(m) {
				if first, second, third := ask(), ask(), ask(); first.Status != 503 || second.Status != 503 || third.Status != 200 {
					return false
				}
			}
			return true
		},
		"ri-reset": func(s *stage, m lab.Member) bool {
			url := s.m.WSPAURL() + "/sede/" + m.CodiceFiscale + query
			_, err := s.try("POST", url, s.token, "", nil)
			return err != nil && s.seat(m.CodiceFiscale).Status == 200
		},
		"ri-slow": func(s *stage, m lab.Member) bool {
			const wait = 30 * time.Millisecond
			s.m.Set(func(x *Settings) { x.Slow = wait })
			begun := time.Now()
			return s.seat(m.CodiceFiscale).Status == 200 && time.Since(begun) >= wait
		},
		"ri-html": everywhere(func(a answer) bool {
			return a.Status == 200 && strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") && strings.HasPrefix(a.Raw, "<!DOCTYPE")
		}),
		"ri-empty": everywhere(func(a answer) bool { return a.Status == 200 && strings.TrimSpace(a.Raw) == "{}" }),
		"ri-misrouted": everywhere(func(a answer) bool {
			return a.Status == 404 && a.Body["type"] != NoSuchEnterprise && a.Body["code"] != "WSPA_ERR_04"
		}),
		"ri-error-inside": func(s *stage, m lab.Member) bool {
			for op, ask := range s.questions(m) {
				if a := ask(); op != "record" && (a.Status != 200 || a.Body["code"] != "WSPA_ERR_99") || op == "record" && a.Body["code"] != nil {
					return false
				}
			}
			return true
		},
		"ri-wrong-members": everywhere(func(a answer) bool { return a.Status == 200 && strings.Contains(a.Raw, `"ieri"`) }),
	}
}

// questions are all that can be asked about an enterprise.
func (s *stage) questions(m lab.Member) map[string]func() answer {
	return map[string]func() answer{
		"seat":        func() answer { return s.seat(m.CodiceFiscale) },
		"exists":      func() answer { return s.exists(m.CodiceFiscale) },
		"represents":  func() answer { return s.represents(m.Representative, m.CodiceFiscale) },
		"represented": func() answer { return s.represented(m.Representative) },
		"record":      func() answer { return s.record(m.CodiceFiscale, "completo") },
	}
}

func TestEveryStoryIsTold(t *testing.T) {
	t.Parallel()
	stories := tellings()
	for _, story := range lab.Stories(New().Cast()) {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			check := stories[story]
			if check == nil {
				t.Fatal("nothing is expected of this story")
			}
			m := s.who(story)
			if m.Capacity != lab.Enterprise || m.INIPEC == nil || m.Representative == "" {
				t.Errorf("cannot stand in a list of employers: %+v", m.Capacity)
			}
			if !check(s, m) {
				t.Error("not what the story says")
			}
		})
	}
}

func TestTheCastSharesNoCodeWithAnybody(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, m := range lab.Cast() {
		seen[m.CodiceFiscale], seen[m.Representative] = m.Story, m.Story
	}
	for i, m := range New().Cast() {
		if story, ok := seen[m.CodiceFiscale]; ok {
			t.Errorf("%s has the code of %s", m.Story, story)
		}
		if story, ok := seen[m.Representative]; ok && story != m.Story {
			t.Errorf("%s has the representative of %s", m.Story, story)
		}
		seen[m.CodiceFiscale], seen[m.Representative] = m.Story, m.Story
		if m.CodiceFiscale[:3] != "710" {
			t.Errorf("number %d is outside the mock's own serials", i)
		}
	}
}

func TestWhoRepresentsAnotherEnterpriseDoesNotRepresentThisOne(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	company := s.who("ri-active").CodiceFiscale
	if a := s.represents(s.who("ri-ceased").Representative, company); a.Body["esitoVerifica"] != "KO" {
		t.Errorf("somebody else's representative: %s", a.Raw)
	}
	if a := s.represents(s.who("personal-domicile").CodiceFiscale, company); !a.says(appSpeaks, "LR Not found") {
		t.Errorf("nobody's representative: %s", a.Raw)
	}
	body := s.who("body-with-domicile")
	if a := s.represents(body.Representative, body.CodiceFiscale); !a.says(appSpeaks, "LR Not found") {
		t.Errorf("a body's representative: %s", a.Raw)
	}
}
