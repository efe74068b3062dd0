package inipec

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	mock "raccordo/mocks/inipec"
	"raccordo/mocks/lab"
)

const (
	loginRoute = "inipec POST /authentication"
	askRoute   = "inipec POST /richiestaElencoPec"
	getRoute   = "inipec GET /getElencoPec/*"
)

func order(t *testing.T, a *Adapter, qs []domicile.Query) []byte {
	t.Helper()
	h, err := a.start(asking(t.Context()), qs)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func gather(t *testing.T, a *Adapter, h []byte, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error) {
	t.Helper()
	return a.collect(asking(t.Context()), h, qs)
}

// at once: the mock's lists are ready when asked for.
func promptly(s *mock.Settings) { s.Polls = 0 }

func texts(r contracts.Result[domicile.Answer]) string {
	var out []string
	for _, d := range r.Value.Domiciles {
		out = append(out, d.Address.Reveal()+" "+d.Role)
	}
	return strings.Join(out, ", ")
}

func TestBothShapesOfTheProfessionals(t *testing.T) {
	t.Parallel()
	_, m, a := open(t, nil)
	m.Set(promptly)
	q := query("lawyer-as-professional")
	want := "avv.torregiani@pec.studi.test professional, l.torregiani@pec.imprese.test professional"
	for _, shape := range []mock.Shape{mock.ShapeOfficial, mock.Shape2024} {
		m.Set(func(s *mock.Settings) { s.Professionals = shape })
		got, err := gather(t, a, order(t, a, []domicile.Query{q}), []domicile.Query{q})
		if err != nil || got[0].Err != nil || texts(got[0]) != want {
			t.Errorf("%s: %v, %v, want both addresses in order", shape, err, got)
		}
	}
}

func TestWhoseAddressAnswers(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, nil)
	m.Set(promptly)
	trader := query("sole-trader-as-enterprise")
	person := trader
	person.Capacity = domicile.Person
	order2 := query("sole-trader-as-enterprise")
	order2.Capacity = domicile.Professional
	qs := []domicile.Query{
		query("company-with-pec"), trader, order2, person, query("company-without-pec"), query("company-unknown"),
		query("company-codes-differ"), query("company-with-pec"),
	}
	h := order(t, a, qs)
	asked := lastAsked(t, b)
	seen := map[string]bool{}
	for _, c := range asked.Codes {
		if seen[c] {
			t.Error("a code was asked twice")
		}
		seen[c] = true
	}
	differ := query("company-codes-differ").Subject
	if !seen[differ.CodiceFiscale.Reveal()] || !seen[differ.PartitaIVA.Reveal()] {
		t.Error("not both codes of a company were asked")
	}
	got, err := gather(t, a, h, qs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"officine-tormalina@pec.imprese.test enterprise", "ristoro-zanforlin@pec.imprese.test enterprise", "", "",
		"", "", "cantieri-ventomare@pec.imprese.test enterprise", "officine-tormalina@pec.imprese.test enterprise",
	} {
		if texts(got[i]) != want {
			t.Errorf("question %d: %d domiciles, want %q", i, len(got[i].Value.Domiciles), want)
		}
		if want == "" {
			wantKind(t, got[i].Err, contracts.NotFound)
		} else if d := got[i].Value.Domiciles[0]; d.Register != Register || !got[i].Value.AsOf.Equal(b.Clock().Now()) {
			t.Errorf("question %d: register %q as of %v", i, d.Register, got[i].Value.AsOf)
		}
	}
}

func lastAsked(t *testing.T, b *lab.Bench) mock.Asked {
	t.Helper()
	all := b.Journal()
	for i := len(all) - 1; i >= 0; i-- {
		if asked, ok := all[i].Parsed.(mock.Asked); ok && asked.Codes != nil {
			return asked
		}
	}
	t.Fatal("INI-PEC was not asked")
	return mock.Asked{}
}

func TestBothWaysOfNotBeingReady(t *testing.T) {
	t.Parallel()
	for _, style := range []mock.Style{mock.InsideOK, mock.Status} {
		t.Run(string(style), func(t *testing.T) {
			t.Parallel()
			b, m, a := open(t, nil)
			m.Set(func(s *mock.Settings) { s.NotReady = style; s.Polls = 1 })
			qs := []domicile.Query{query("company-with-pec")}
			h := order(t, a, qs)
			_, err := gather(t, a, h, qs)
			wantKind(t, err, contracts.Pending)
			b.Advance(time.Minute)
			if got, err := gather(t, a, h, qs); err != nil || got[0].Err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestPollsGrowWithTheListsAge(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, nil)
	m.Set(func(s *mock.Settings) { s.Delay = 100 * time.Hour })
	qs := []domicile.Query{query("company-with-pec")}
	h := order(t, a, qs)
	var total time.Duration
	polls := 0
	for total <= 72*time.Hour {
		_, err := gather(t, a, h, qs)
		e := wantKind(t, err, contracts.Pending)
		if want := min(max(total, time.Minute), 30*time.Minute); e.After != want {
			t.Fatalf("after %v, the next poll in %v, want %v", total, e.After, want)
		}
		b.Advance(e.After)
		total += e.After
		polls++
	}
	if polls > 160 {
		t.Errorf("%d polls in three days", polls)
	}
	got, err := gather(t, a, h, qs)
	if err != nil {
		t.Fatal(err)
	}
	if e := wantKind(t, got[0].Err, contracts.Unavailable); e.Code != "INIPEC_LATE" {
		t.Errorf("code %q", e.Code)
	}
}

func TestErrorsInsideAnswers(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, nil)
	m.Set(promptly)
	qs := []domicile.Query{query("company-with-pec")}
	for _, tc := range []struct {
		name, body string
		kind       contracts.Kind // of the list, or of its only answer
		code       string
	}{
		{"not ready", `{"code":"WSPA_ERR_05","appName":"wspa-pedf","description":"List PEC in progress","timestamp":"x"}`, contracts.Pending, ""},
		{"nothing found", `{"code":"WSPA_ERR_04","description":"x"}`, contracts.NotFound, ""},
		{"another code", `{"code":"WSPA_ERR_01","description":"RSSMRA85T10A562S non valido"}`, contracts.Unavailable, "WSPA_ERR_01"},
		{"a description alone", `{"description":"x"}`, contracts.Unavailable, ""},
		{"a timestamp alone", `{"timestamp":"x"}`, contracts.Unavailable, ""},
		{"an application alone", `{"appName":"x"}`, contracts.Unavailable, ""},
		{"a code that is no text", `{"code":5}`, contracts.Unavailable, ""},
		{"descrizioneErrore", `{"identificativoRichiesta":"ID","descrizioneErrore":"RSSMRA85T10A562S","elencoPec":null}`, contracts.Unavailable, "descrizioneErrore"},
		{"a null list", `{"identificativoRichiesta":"ID","elencoPec":null}`, contracts.NotFound, ""},
		{"an absent code", `{"identificativoRichiesta":"ID","elencoPec":[]}`, contracts.NotFound, ""},
		{"nulls", `{"identificativoRichiesta":"ID","elencoPec":[{"cf":"CODE","pecImpresa":null,"pecProfessionistas":null,"pecProfessionista":null}]}`, contracts.NotFound, ""},
		{"an element of nobody's", `{"identificativoRichiesta":"ID","elencoPec":[{"cf":null,"pecImpresa":null,"pecProfessionistas":null,"pecProfessionista":null}]}`, contracts.Malformed, ""},
		{"a code that nobody asked about", `{"identificativoRichiesta":"ID","elencoPec":[{"cf":"12345678903","pecImpresa":"ditta@pec.example"}]}`, contracts.Malformed, ""},
		{"the receipt of an order", `{"identificativoRichiesta":"ID","dataOraRichiesta":"2026-11-21T10:10:00+01:00"}`, contracts.Malformed, ""},
		{"two lists in one", `{"identificativoRichiesta":"ID","elencoPec":[{"cf":"CODE","pecImpresa":"ditta@pec.example"}],"elencoPec":[]}`, contracts.Malformed, ""},
		{"another's list", `{"identificativoRichiesta":"another","elencoPec":[]}`, contracts.Malformed, ""},
		{"an address that is none", `{"identificativoRichiesta":"ID","elencoPec":[{"cf":"CODE","pecImpresa":"not an address"}]}`, contracts.Malformed, ""},
		{"an address that is blank", `{"identificativoRichiesta":"ID","elencoPec":[{"cf":"CODE","pecImpresa":" "}]}`, contracts.NotFound, ""},
		{"nothing at all", `{}`, contracts.Malformed, ""},
		{"null", `null`, contracts.Malformed, ""},
		{"an array", `[]`, contracts.Malformed, ""},
		{"a list that is none", `{"identificativoRichiesta":"ID","elencoPec":{}}`, contracts.Malformed, ""},
	} {
		h := order(t, a, qs)
		var of handle
		if err := json.Unmarshal(h, &of); err != nil {
			t.Fatal(err)
		}
		body := strings.NewReplacer("ID\"", of.IDs[0]+"\"", "CODE", qs[0].Subject.CodiceFiscale.Reveal()).Replace(tc.body)
		b.Inject(lab.Fault{Match: getRoute, Do: lab.Garbage, Body: []byte(body)})
		got, err := gather(t, a, h, qs)
		b.Clear()
		if err == nil {
			err = got[0].Err
		}
		e := wantKind(t, err, tc.kind)
		if e.Code != tc.code || strings.Contains(e.Error(), "RSSMRA") {
			t.Errorf("%s: %v, want code %q and no text of theirs", tc.name, e, tc.code)
		}
	}
}

// Of all statuses that are no 200 only 404 says something of a list: that it is not ready.
func TestStatusesOfTheContract(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, func(c *Config, _ *contracts.Env) { c.HTTP.Attempts = 1 })
	m.Set(promptly)
	qs := []domicile.Query{query("company-with-pec")}
	h := order(t, a, qs)
	for status, want := range map[int][2]contracts.Kind{ // of an order, of its answer
		400: {contracts.Malformed, contracts.Invalid}, 401: {contracts.Denied, contracts.Denied}, 403: {contracts.Denied, contracts.Denied},
		404: {contracts.Malformed, contracts.Pending}, 429: {contracts.Throttled, contracts.Throttled},
		500: {contracts.Unavailable, contracts.Unavailable}, 503: {contracts.Unavailable, contracts.Unavailable},
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: askRoute + "|" + getRoute, Do: lab.Status, Status: status})
		_, err := a.start(asking(t.Context()), qs)
		wantKind(t, err, want[0])
		_, err = gather(t, a, h, qs)
		wantKind(t, err, want[1])
	}
}

// Of what a taken list answers the files name the second field in two ways; only the identifier is needed.
func TestATakenListNeedsItsIdentifierAlone(t *testing.T) {
	t.Parallel()
	b, _, a := open(t, nil)
	for body, want := range map[string]contracts.Kind{ // Internal: taken
		`{"identificativoRichiesta":"1","dataOraEstrazione":"2026-11-21T09:00:00"}`: 0,
		`{"identificativoRichiesta":"1","dataOraRichiesta":"2026-11-21T09:00:00"}`:  0,
		`{"identificativoRichiesta":"1"}`:                                           0,
		`{"dataOraEstrazione":"2026-11-21T09:00:00"}`:                               contracts.Malformed,
		`{"identificativoRichiesta":7}`:                                             contracts.Malformed,
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: askRoute, Do: lab.Garbage, Body: []byte(body)})
		_, err := a.start(asking(t.Context()), []domicile.Query{query("company-with-pec")})
		if want == contracts.Internal && err != nil || want != contracts.Internal && contracts.KindOf(err) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestCodesOfAListAreJoinedInAnyLetters(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, nil)
	m.Set(promptly)
	qs := []domicile.Query{query("sole-trader-as-enterprise")}
	h := order(t, a, qs)
	b.Inject(lab.Fault{Match: getRoute, Do: lab.Garbage, Body: []byte(`{"elencoPec":[{"cf":" ` +
		strings.ToLower(qs[0].Subject.CodiceFiscale.Reveal()) + `","pecImpresa":"a@pec.test"}]}`)})
	if got, err := gather(t, a, h, qs); err != nil || texts(got[0]) != "a@pec.test enterprise" {
		t.Errorf("%v, %v", err, got)
	}
}

func TestAProfessionalAsASingleObject(t *testing.T) {
	t.Parallel()
	l, err := parseAnswer([]byte(`{"elencoPec":[{"cf":"x","pecProfessionista":{"pec":"a@b.it"},"pecProfessionistas":[{"pecProfessionista":"c@d.it"}]}]}`))
	if err != nil || strings.Join(l.Elenco[0].professional(), " ") != "c@d.it a@b.it" {
		t.Errorf("%v", err)
	}
}

func TestOneLoginServesEveryoneUntilItsEnd(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, nil) // a token lives 10 minutes
	m.Set(promptly)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { order(t, a, []domicile.Query{query("company-with-pec")}) })
	}
	wg.Wait()
	if n := b.Sent(loginRoute); n != 1 {
		t.Errorf("%d logins for 20 lists at once, want 1", n)
	}
	b.Advance(8 * time.Minute)
	order(t, a, []domicile.Query{query("company-with-pec")})
	if n := b.Sent(loginRoute); n != 2 {
		t.Errorf("%d logins, want a renewal with two minutes left", n)
	}
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	b, _, a := open(t, nil)
	qs := []domicile.Query{query("company-with-pec")}
	order(t, a, qs)
	b.Inject(lab.Fault{Match: askRoute, Do: lab.StaleVoucher, Times: 1})
	order(t, a, qs)
	if n := b.Sent(loginRoute); n != 2 {
		t.Errorf("%d logins, want one more", n)
	}
	b.Inject(lab.Fault{Match: askRoute, Do: lab.StaleVoucher})
	_, err := a.start(asking(t.Context()), qs)
	if e := wantKind(t, err, contracts.Denied); e.Code != "401" {
		t.Errorf("code %q, want the gateway's", e.Code)
	}
	if n := b.Sent(loginRoute); n != 3 {
		t.Errorf("%d logins, want exactly one more", n)
	}
}

func TestLoginFailures(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, nil)
	for _, style := range []mock.Style{mock.Gateway, mock.BackEnd} {
		m.Set(func(s *mock.Settings) { s.Unauthorized = style })
		b.Clear()
		b.Inject(lab.Fault{Match: loginRoute, Do: lab.Status, Status: 401})
		if e := wantKind(t, a.Check(t.Context()), contracts.Denied); e.Code != "401" || e.Operation != "check" {
			t.Errorf("%s: code %q, operation %q", style, e.Code, e.Operation)
		}
	}
	for body, want := range map[string]contracts.Kind{
		`{"httpCode":"401","httpMessage":"Unauthorized"}`: contracts.Denied,
		`{"status":401,"error":"Unauthorized"}`:           contracts.Denied,
		`<html>`:                                          contracts.Malformed,
		`a.b`:                                             contracts.Malformed,
		`e30.e30.e30`:                                     contracts.Malformed, // says not when it ends
		``:                                                contracts.Malformed,
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: loginRoute, Do: lab.Garbage, Body: []byte(body)})
		if err := a.Check(t.Context()); contracts.KindOf(err) != want {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	b.Clear()
	b.Inject(lab.Fault{Match: loginRoute, Do: lab.Status, Status: 500})
	wantKind(t, a.Check(t.Context()), contracts.Unavailable)
	b.Clear()
	if err := a.Check(t.Context()); err != nil || b.Sent(askRoute)+b.Sent(getRoute) != 0 {
		t.Errorf("%v, %d questions about somebody", err, b.Sent(askRoute))
	}
}

// The sum of a list is what was really asked; of a list of one code there is none, since trying all codes would undo it.
func TestTheTrackingIdStandsInTheTrail(t *testing.T) {
	t.Parallel()
	_, _, a := open(t, nil)
	for n, all := range map[int][]domicile.Query{
		1: {query("company-with-pec")}, 2: {query("company-with-pec"), query("company-without-pec")},
	} {
		tr := &contracttest.Trail{}
		ctx := contracts.WithTrail(asking(t.Context()), tr)
		if _, err := a.start(ctx, all); err != nil {
			t.Fatal(err)
		}
		sent := tr.Attempts()
		if len(sent) != 1 {
			t.Fatalf("%d attempts, want the list's own and no login", len(sent))
		}
		if last := sent[0]; last.RemoteID == "" || !last.Sent || last.RequestSum.IsZero() != (n == 1) {
			t.Errorf("a list of %d: %+v", n, last)
		}
	}
}

func TestAFullLotIsSplitWhereItNeedsMoreCodes(t *testing.T) {
	t.Parallel()
	b, m, a := open(t, nil)
	m.Set(promptly)
	qs := crowd(MaxList, true) // 20,000 codes
	h := order(t, a, qs)
	if n := b.Sent(askRoute); n != 2 {
		t.Errorf("%d lists for 20,000 codes, want 2", n)
	}
	got, err := gather(t, a, h, qs)
	if err != nil || len(got) != len(qs) {
		t.Fatalf("%d answers, %v", len(got), err)
	}
	if _, err := a.start(asking(t.Context()), crowd(MaxList+1, false)); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("%v, want invalid", err)
	}
}

func TestAListOfNobodyTouchesNoWire(t *testing.T) {
	t.Parallel()
	b, _, a := open(t, nil)
	qs := []domicile.Query{query("personal-domicile"), {Capacity: domicile.Enterprise}, {Subject: query("company-with-pec").Subject}}
	got, err := gather(t, a, order(t, a, qs), qs)
	if err != nil || b.Sent("*") != 0 {
		t.Fatalf("%v, %d exchanges", err, b.Sent("*"))
	}
	wantKind(t, got[0].Err, contracts.NotFound)
	wantKind(t, got[1].Err, contracts.Invalid)
	wantKind(t, got[2].Err, contracts.Invalid)
}

func TestOnlyTheListFormIsBound(t *testing.T) {
	t.Parallel()
	_, _, a := open(t, nil)
	bound := a.Bindings()
	if len(bound) != 1 || bound[0].Do != nil || bound[0].List == nil || bound[0].List.Max != MaxList || bound[0].Expected != 24*time.Hour {
		t.Errorf("%+v", bound)
	}
	if ops := Default().Operations(); len(ops) != 1 || ops[0] != bound[0].Op {
		t.Error("what is declared is not what is bound")
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	bad := &Config{PollMax: time.Hour}
	bad.Login.Key, bad.Login.RenewBefore = "inline", -1
	bad.HTTP.Endpoint, bad.Login.Audience = "https://icapis.infocamere.it/x", "https://icapis.infocamere.it/x"
	err := bad.Validate(contracts.Collaudo)
	for _, path := range []string{"http.endpoint", "http.timeout", "login.audience", "login.client", "login.key", "login.certificate", "login.renew_before", "poll_first", "patience"} {
		if err == nil || !strings.Contains(err.Error(), path+": ") {
			t.Errorf("no fault at %s in %v", path, err)
		}
	}
	if err := Default().Validate(contracts.Collaudo); err == nil {
		t.Error("the empty configuration is valid")
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"dataOraDownload":"2026-11-21T10:10:00.123+01:00","identificativoRichiesta":"1","descrizioneErrore":null,"elencoPec":[{"cf":"12345678903","pecImpresa":"ditta@pec.example","pecProfessionistas":[{"pecProfessionista":"prof@pec.example"}]}]}`,
		`{"elencoPec":[{"cf":"x","pecProfessionista":[{"pec":"a@b.it"}]}]}`, `{"elencoPec":[{"pecProfessionista":{"pec":1}}]}`,
		`{"code":"WSPA_ERR_05","appName":"wspa-pedf","description":"List PEC in progress","timestamp":"2026-11-21T10:00:01.598877+01:00"}`,
		`{"elencoPec":[null]}`, `null`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := parseAnswer(body)
		if err != nil {
			return
		}
		for code, elements := range byCode([]*listAnswer{l}) {
			if code != strings.ToUpper(code) {
				t.Errorf("code %q joins nothing", code)
			}
			for _, el := range elements {
				all, _ := domiciles(append(el.professional(), el.PecImpresa), "enterprise")
				for _, d := range all {
					if d.Address.IsZero() {
						t.Error("a domicile without an address")
					}
				}
			}
		}
		if _, err := json.Marshal(l); err != nil {
			t.Error(fmt.Errorf("answer: %w", err))
		}
	})
}
