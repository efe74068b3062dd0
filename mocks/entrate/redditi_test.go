package entrate

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/mocks/lab"
)

func ready(s *stage, codes ...string) said {
	s.Helper()
	id := fmt.Sprintf("req-%d", s.b.Sent("*"))
	a := s.order(id, codes...)
	if a.codes() != (Codes{"00", "XX00"}) || a.Protocol == "" {
		s.Fatalf("order: %s", a.reply.Raw)
	}
	s.b.Advance(s.m.Settings().Delay)
	return s.fetch(a.Protocol)
}

func (a said) of(n int) esito {
	for _, e := range a.Esiti {
		if e.N == n {
			return e
		}
	}
	return esito{}
}

func TestIncomesAreReadyAfterTheirDelayAndKept30Days(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.m.Set(func(x *Settings) { x.Delay = 5 * 24 * time.Hour })
	code := s.b.Who("company-with-pec").CodiceFiscale
	a := s.order("r-1", code)
	for _, c := range []struct {
		after time.Duration
		want  Codes
		state string
		n     int
	}{
		{0, Codes{"04", "XXXX"}, "IN_ELABORAZIONE", 0},
		{5*24*time.Hour - time.Second, Codes{"04", "XXXX"}, "IN_ELABORAZIONE", 0},
		{time.Second, Codes{"00", "XX00"}, "ELABORATA", 1},
		{0, Codes{"00", "XX00"}, "ELABORATA", 1},
		{25*24*time.Hour - time.Second, Codes{"00", "XX00"}, "ELABORATA", 1},
		{time.Second, Codes{"05", "XXXX"}, "", 0},
	} {
		s.b.Advance(c.after)
		if f := s.fetch(a.Protocol); f.codes() != c.want || f.State != c.state || len(f.Esiti) != c.n {
			t.Errorf("after another %v: %s", c.after, f.reply.Raw)
		}
	}
	if f := s.fetch("R-altro"); f.Ritorno != "05" {
		t.Errorf("a protocollo of nobody's: %s", f.reply.Raw)
	}
}

func TestAnIDNamesOneRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	one, other := s.b.Who("company-with-pec").CodiceFiscale, s.b.Who("entrate-body").CodiceFiscale
	first, again := s.order("r-1", one), s.order("r-1", one)
	if first.Protocol == "" || again.Protocol != first.Protocol {
		t.Errorf("the same again: %q, then %q", first.Protocol, again.Protocol)
	}
	if a := s.order("r-1", other); a.codes() != (Codes{"02", "XX06"}) || a.Protocol != "" || a.reply.Reason() != ruleOther {
		t.Errorf("another under the same name: %s", a.reply.Raw)
	}
	if a := s.order("r-2", one); a.Protocol == first.Protocol {
		t.Error("the same under another name is another request")
	}
	s.b.Advance(Kept)
	if a := s.order("r-1", other); a.Ritorno != "00" {
		t.Errorf("after 30 days a name is free: %s", a.reply.Raw)
	}
}

func TestIncomesByDefault(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	firm, person := s.b.Who("company-with-pec").CodiceFiscale, s.b.Who("personal-domicile").CodiceFiscale
	a := ready(s, firm, person, "RSSMRA85T10A562S")
	if e := a.of(1); e.Code != firm || e.Year != 2025 || e.Dettaglio != "XX00" || e.Income == "" || e.Turnover == "" || !strings.HasPrefix(e.Presented, "2026-10-") {
		t.Errorf("a firm: %+v", e)
	}
	if e := a.of(2); e.Dettaglio != "XX00" || e.Income == "" || e.Turnover != "" {
		t.Errorf("a person: %+v", e)
	}
	if e := a.of(3); e.Dettaglio != "XX01" || e.Income != "" {
		t.Errorf("nobody: %+v", e)
	}
	if b := ready(s, firm); b.of(1).Income != a.of(1).Income {
		t.Error("asked again, the income is another")
	}
	d := told(t, s.call(s.orderDraft("r-now", subjects(2026, firm))))
	s.b.Advance(s.m.Settings().Delay)
	if e := s.fetch(d.Protocol).of(1); e.Dettaglio != "XX05" || e.Year != 2026 {
		t.Errorf("a year that is not over: %+v", e)
	}
}

func TestIncomesTellTheirStories(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	truth := func(story string) outcome {
		return s.m.declared(subject{1, s.b.Who(story).CodiceFiscale, 2025})
	}
	for _, c := range []struct {
		story string
		want  func(*outcome)
	}{
		{"entrate-income-none", func(o *outcome) { o.detail, o.income, o.turnover, o.presented = "XX05", "", "", "" }},
		{"entrate-income-zero", func(o *outcome) { o.income, o.turnover = "0", "0.00" }},
		{"entrate-income-loss", func(o *outcome) { o.income = "-40321.5" }},
		{"entrate-income-big", func(o *outcome) { o.income, o.turnover = "987654321098.76", "999999999999.99" }},
		{"entrate-income-odd-number", func(o *outcome) { o.income, o.turnover = "+0041000", ".50" }},
		{"entrate-income-no-turnover", func(o *outcome) { o.turnover = "" }},
		{"entrate-income-undated", func(o *outcome) { o.presented = "" }},
		{"entrate-income-wrong-code", func(o *outcome) { o.detail, o.income, o.turnover, o.presented = "XX01", "", "", "" }},
		{"entrate-income-timeout", func(o *outcome) { o.detail, o.income, o.turnover, o.presented = "XX03", "", "", "" }},
		{"entrate-income-timeout-once", func(o *outcome) { o.detail, o.income, o.turnover, o.presented = "XX03", "", "", "" }},
		{"entrate-income-timeout-once", func(*outcome) {}},
		{"entrate-income-error", func(o *outcome) { o.detail, o.income, o.turnover, o.presented = "XX0A", "", "", "" }},
		{"entrate-income-uncoded", func(o *outcome) { o.detail, o.income, o.turnover, o.presented = "XXXX", "", "", "" }},
		{"entrate-income-no-amount", func(o *outcome) { o.income, o.turnover, o.presented = "", "", "" }},
		{"entrate-income-another", func(o *outcome) { o.code = groupNumber() }},
		{"entrate-income-another-year", func(o *outcome) { o.year = 2024 }},
	} {
		want := truth(c.story)
		c.want(&want)
		a := ready(s, s.b.Who(c.story).CodiceFiscale)
		if got := a.of(1); len(a.Esiti) != 1 || got != (esito{1, want.code, want.year, want.detail, want.income, want.turnover, want.presented}) {
			t.Errorf("%s: %s, want %+v", c.story, a.reply.Raw, want)
		}
	}
	if a := ready(s, s.b.Who("entrate-income-missing").CodiceFiscale); a.Ritorno != "00" || len(a.Esiti) != 0 {
		t.Errorf("missing: %s", a.reply.Raw)
	}
	if a := ready(s, s.b.Who("entrate-income-twice").CodiceFiscale); len(a.Esiti) != 2 || a.Esiti[0].N != a.Esiti[1].N || a.Esiti[0].Income == a.Esiti[1].Income {
		t.Errorf("twice: %s", a.reply.Raw)
	}
	code := s.b.Who("entrate-income-fault-once").CodiceFiscale
	for i, want := range []int{500, 200} {
		if r := s.call(s.orderDraft("r-fault", subjects(2025, code))); r.Status != want {
			t.Errorf("fault-once, call %d: %d", i+1, r.Status)
		}
	}
}

func TestARequestIsForgottenOnceAndMayBeMadeAnewUnderItsName(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := s.b.Who("entrate-income-lost").CodiceFiscale
	first := s.order("r-1", code)
	if f := s.fetch(first.Protocol); f.Ritorno != "04" {
		t.Errorf("before it is ready: %s", f.reply.Raw)
	}
	s.b.Advance(s.m.Settings().Delay)
	for range 2 {
		if f := s.fetch(first.Protocol); f.Ritorno != "05" {
			t.Errorf("when it should be ready: %s", f.reply.Raw)
		}
	}
	second := s.order("r-1", code)
	if second.Protocol == first.Protocol || second.Protocol == "" {
		t.Errorf("made anew: %s", second.reply.Raw)
	}
	s.b.Advance(s.m.Settings().Delay)
	if f := s.fetch(second.Protocol); f.Ritorno != "00" || len(f.Esiti) != 1 {
		t.Errorf("the second time: %s", f.reply.Raw)
	}
}

func TestAnswersAreShuffledAndReplayFromTheSeed(t *testing.T) {
	t.Parallel()
	var runs [2][]int
	for i := range runs {
		s := newStage(t)
		codes := slices.Repeat([]string{s.b.Who("company-with-pec").CodiceFiscale}, MaxSubjects)
		for _, e := range ready(s, codes...).Esiti {
			runs[i] = append(runs[i], e.N)
		}
	}
	if len(runs[0]) != MaxSubjects || slices.IsSorted(runs[0]) {
		t.Errorf("in the order of the request: %v", runs[0])
	}
	if !slices.Equal(runs[0], runs[1]) {
		t.Error("the same seed gave another order")
	}
}

func TestTheSameRequestManyTimesAtOnceIsOneRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := s.b.Who("company-with-pec").CodiceFiscale
	protocols := make([]string, 16)
	var wg sync.WaitGroup
	for i := range protocols {
		wg.Go(func() {
			o, rule := s.m.take("r-1", []subject{{1, code, 2025}})
			if rule == "" {
				protocols[i] = o.protocol
			}
		})
	}
	wg.Wait()
	if protocols = slices.Compact(protocols); len(protocols) != 1 || protocols[0] == "" {
		t.Errorf("%d protocols", len(protocols))
	}
}

func TestTheSameSeedGivesTheSameAnswers(t *testing.T) {
	t.Parallel()
	var runs [2][]string
	for i := range runs {
		s := newStage(t)
		s.code("x")
		s.code(s.b.Who("entrate-code-503").CodiceFiscale)
		m := s.b.Who("entrate-body-gateway")
		s.call(s.checkDraft(m.Representative, m.CodiceFiscale))
		ready(s, m.CodiceFiscale, s.b.Who("entrate-income-twice").CodiceFiscale)
		for _, e := range s.b.Journal() {
			runs[i] = append(runs[i], string(e.Response))
		}
	}
	if !slices.Equal(runs[0], runs[1]) {
		t.Errorf("%q\n%q", runs[0], runs[1])
	}
}

func TestIncomeRefusals(t *testing.T) {
	t.Parallel()
	code := lab.Who("company-with-pec").CodiceFiscale
	ordered := func(id, subjects string) func(*stage) draft {
		return func(s *stage) draft { return s.orderDraft(id, subjects) }
	}
	edited := func(old, with string) func(*stage) draft {
		return ordered("r-1", strings.Replace(subjects(2025, code), old, with, 1))
	}
	for _, c := range []struct {
		rule, how string
		ask       func(*stage) draft
	}{
		{"richiediRedditi: idRichiesta is missing", fault, func(s *stage) draft {
			d := s.orderDraft("x", "")
			d.payload = strings.Replace(d.payload, "<r:idRichiesta>x</r:idRichiesta>", "", 1)
			return d
		}},
		{"richiediRedditi: soggetto is missing", fault, ordered("r-1", "")},
		{"richiediRedditi: want soggetto of its own namespace next", fault, ordered("r-1", "<soggetto/>")},
		{"soggetto: progressivo is missing", fault, ordered("r-1", "<r:soggetto/>")},
		{"soggetto: want codiceFiscale of its own namespace next", fault, edited("<r:codiceFiscale>", "<r:annoImposta>2025</r:annoImposta><r:codiceFiscale>")},
		{"soggetto: more than the schema allows", fault, edited("</r:soggetto>", "<r:altro/></r:soggetto>")},
		{"SOAPAction: another operation's", fault, func(s *stage) draft {
			d := s.orderDraft("r-1", subjects(2025, code))
			d.action = fetchAction
			return d
		}},
		{"body: not an element of this service, in its namespace", fault, func(s *stage) draft {
			d := s.checkDraft(code, code)
			d.url = s.m.RedditiURL()
			return d
		}},
		{"ritiraRedditi: want protocollo of its own namespace next", fault, func(s *stage) draft {
			d := s.fetchDraft("x")
			d.payload = strings.ReplaceAll(d.payload, "protocollo>", "numero>")
			return d
		}},
		{"Issuer: not the one that was agreed", denied, func(s *stage) draft {
			d := s.fetchDraft("x")
			d.issuer = "altri"
			return d
		}},
		{"idRichiesta: against the schema's pattern", badly, ordered(strings.Repeat("x", 65), subjects(2025, code))},
		{"idRichiesta: against the schema's pattern", badly, ordered("", subjects(2025, code))},
		{"soggetto: more than 100", badly, ordered("r-1", subjects(2025, slices.Repeat([]string{code}, 101)...))},
		{"progressivo: want a whole number from 1", badly, edited(">1<", ">0<")},
		{"progressivo: want a whole number from 1", badly, edited(">1<", ">uno<")},
		{"progressivo: given twice", badly, ordered("r-1", subjects(2025, code)+subjects(2025, code))},
		{"codiceFiscale: against the schema's pattern", badly, ordered("r-1", subjects(2025, strings.ToLower("RSSMRA85T10A562S")))},
		{"annoImposta: want a year, 1974 to 2199", badly, ordered("r-1", subjects(25, code))},
		{"protocollo: against the schema's pattern", badly, func(s *stage) draft { return s.fetchDraft("a b") }},
		{ruleFull, "01 XX0A", func(s *stage) draft {
			for i := range maxOrders {
				s.m.orders.Put(fmt.Sprint(i), &order{})
			}
			return s.orderDraft("r-1", subjects(2025, code))
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			r := s.call(c.ask(s))
			j := s.b.Journal()
			if got := j[len(j)-1].Refused; got != c.rule || r.Reason() != c.rule {
				t.Errorf("refused for %q (%q), want %q", got, r.Reason(), c.rule)
			}
			if c.how == fault {
				if r.Status != 500 || !strings.Contains(r.Raw, "<faultcode>soapenv:Client</faultcode>") {
					t.Errorf("%d %s", r.Status, r.Raw)
				}
				return
			}
			if a := told(t, r); r.Status != 200 || a.Ritorno+" "+a.Dettaglio != c.how || a.Protocol != "" || a.Esiti != nil {
				t.Errorf("%d %s", r.Status, r.Raw)
			}
		})
	}
}

func TestIncomeSwitchesSayCodesInsteadOfWorking(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := s.b.Who("company-with-pec").CodiceFiscale
	s.m.Set(func(x *Settings) { x.Order, x.Fetch = Codes{"01", "XX03"}, Codes{"01", "XX0A"} })
	if a := s.order("r-1", code); a.codes() != (Codes{"01", "XX03"}) || a.Protocol != "" {
		t.Errorf("order: %s", a.reply.Raw)
	}
	if a := s.fetch("R-1"); a.codes() != (Codes{"01", "XX0A"}) {
		t.Errorf("fetch: %s", a.reply.Raw)
	}
}

func TestLabelsTellTheIncomeOperationsApart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.order("r-1", s.b.Who("company-with-pec").CodiceFiscale)
	s.fetch(a.Protocol)
	d := s.fetchDraft(a.Protocol)
	d.noAction = true
	s.call(d)
	for label, want := range map[string]int{"POST /redditi/v1 RichiediRedditi": 1, "POST /redditi/v1 RitiraRedditi": 1, "POST /redditi/v1": 1} {
		if got := s.b.Sent("entrate " + label); got != want {
			t.Errorf("%s: %d exchanges, want %d", label, got, want)
		}
	}
}
