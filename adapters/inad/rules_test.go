package inad

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/domicile"
	mock "raccordo/mocks/inad"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

func wantKind(t testing.TB, err error, want contracts.Kind) *contracts.Error {
	t.Helper()
	return contracttest.ErrorOf(t, err, want, "")
}

// chosen is what answers for a body of the wire, in a capacity and under a preference.
func chosen(capacity domicile.Capacity, preference, body string) (domicile.Answer, error) {
	var x extraction
	if err := decodeBody([]byte(body), &x); err != nil {
		return domicile.Answer{}, err
	}
	a := &Adapter{cfg: Config{Preference: preference}, env: contracts.Env{Clock: contracttest.NewClock(benchNow), Log: quiet()}}
	return a.answer(context.Background(), capacity, &x)
}

func TestWhichAddressAnswers(t *testing.T) {
	t.Parallel()
	const (
		p1, p2 = `{"digitalAddress":"p1@pec.test"}`, `{"digitalAddress":"p2@pec.test"}`
		w1, w2 = `{"digitalAddress":"w1@pec.test","practicedProfession":"Grafico"}`, `{"digitalAddress":"w2@pec.test","practicedProfession":"Fotografo"}`
	)
	for _, tc := range []struct {
		name       string
		capacity   domicile.Capacity
		preference string
		held, want string
	}{
		{"a person at the personal one", domicile.Person, Personale, w1 + "," + p1, "p1"},
		{"a person with two personal ones", domicile.Person, Personale, p1 + "," + w1 + "," + p2, "p1 p2"},
		{"a person not at a professional one", domicile.Person, Personale, w1, ""},
		{"a person at a professional one where preferred", domicile.Person, Professionale, p1 + "," + w1, "w1"},
		{"a person at any, personal first", domicile.Person, Qualsiasi, w1 + "," + p1, "p1 w1"},
		{"a professional at professional ones", domicile.Professional, Personale, w1 + "," + p1 + "," + w2, "w1 w2"},
		{"a professional not at the personal one", domicile.Professional, Qualsiasi, p1, ""},
		{"a body at its only one", domicile.Body, Personale, p1, "p1"},
		{"a body with a professional one", domicile.Body, Personale, p1 + "," + w1, "w1"},
		{"a body with two without profession", domicile.Body, Personale, p1 + "," + p2, ""},
		{"a body with a single professional one", domicile.Body, Personale, w1, "w1"},
		{"the same address twice", domicile.Person, Personale, p1 + "," + `{"digitalAddress":"P1@PEC.test"}`, "p1"},
		{"nothing", domicile.Person, Qualsiasi, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, err := chosen(tc.capacity, tc.preference, `{"since":"2026-11-21T08:00:00Z","digitalAddress":[`+tc.held+`]}`)
			if tc.want == "" {
				wantKind(t, err, contracts.NotFound)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range a.Domiciles {
				local, _, _ := strings.Cut(d.Address.Reveal(), "@")
				got = append(got, local)
				if (d.Role == professional) != (d.Profession != "") || d.Register != Register {
					t.Errorf("role %q, register %q", d.Role, d.Register)
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("%v, want %s", got, tc.want)
			}
		})
	}
}

func TestWhichAddressIsUsable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, usage string
		kind        contracts.Kind // Internal: usable
		until       time.Time
	}{
		{"without usageInfo", ``, 0, time.Time{}},
		{"usageInfo null", `,"usageInfo":null`, 0, time.Time{}},
		{"no end", `,"usageInfo":{"motivation":"CESSAZIONE_VOLONTARIA"}`, 0, time.Time{}},
		{"end null", `,"usageInfo":{"dateEndValidity":null}`, 0, time.Time{}},
		{"end ahead", `,"usageInfo":{"dateEndValidity":"2026-11-21T08:00:01Z"}`, 0, benchNow.Add(time.Second)},
		{"its last valid instant", `,"usageInfo":{"dateEndValidity":"2026-11-21T08:00:00Z"}`, 0, benchNow},
		{"just ended", `,"usageInfo":{"dateEndValidity":"2026-11-21T07:59:59Z"}`, contracts.NotFound, time.Time{}},
		{"an end in Italian time", `,"usageInfo":{"dateEndValidity":"2026-11-21T08:59:59+0100"}`, contracts.NotFound, time.Time{}},
		{"no end, written as the last year", `,"usageInfo":{"dateEndValidity":"9999-12-31T23:59:59Z"}`, 0, time.Time{}},
		{"an end that cannot be read", `,"usageInfo":{"dateEndValidity":"soon"}`, contracts.Malformed, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, err := chosen(domicile.Person, Personale,
				`{"since":"2026-11-21T08:00:00Z","digitalAddress":[{"digitalAddress":"a@pec.test"`+tc.usage+`}]}`)
			if tc.kind != contracts.Internal {
				wantKind(t, err, tc.kind)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !a.Domiciles[0].Until.Equal(tc.until) || !a.AsOf.Equal(benchNow) || !a.Domiciles[0].Since.IsZero() {
				t.Errorf("until %v as of %v since %v: since is the extraction's instant, not the election's",
					a.Domiciles[0].Until, a.AsOf, a.Domiciles[0].Since)
			}
		})
	}
}

func TestAnInvalidAddressIsLeftOut(t *testing.T) {
	t.Parallel()
	_, a := open(t, nil)
	_, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), query("invalid-email"))
	wantKind(t, err, contracts.Malformed)
	const broken, sound, professional = `{"digitalAddress":"not an address"}`, `{"digitalAddress":"a@pec.test"}`, `{"digitalAddress":"neither","practicedProfession":"Fotografo"}`
	for _, tc := range []struct {
		name, addresses string
		kind            contracts.Kind // Internal: an answer
	}{
		{"the only one is no answer, and no \"none\" either", broken, contracts.Malformed},
		{"beside a sound one", broken + "," + sound, 0},
		{"that would not have answered anyway", professional, contracts.NotFound},
		{"not valued", `{"digitalAddress":""}`, contracts.NotFound},
		{"ended", `{"digitalAddress":"not an address","usageInfo":{"dateEndValidity":"2020-11-21T07:59:59Z"}}`, contracts.NotFound},
	} {
		_, err := chosen(domicile.Person, Personale, `{"since":"2026-11-21T08:00:00Z","digitalAddress":[`+tc.addresses+`]}`)
		if (err == nil) != (tc.kind == contracts.Internal) || err != nil && contracts.KindOf(err) != tc.kind {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.kind)
		}
	}
}

func TestAnswersThatBreakTheContract(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	code := query("personal-domicile").Subject.CodiceFiscale.Reveal()
	good := `"digitalAddress":[{"digitalAddress":"a@pec.test"}]`
	for name, body := range map[string]string{
		"somebody else":      `{"codiceFiscale":"` + query("two-addresses").Subject.CodiceFiscale.Reveal() + `","since":"2026-11-21T08:00:00Z",` + good + `}`,
		"nobody":             `{"since":"2026-11-21T08:00:00Z",` + good + `}`,
		"no instant":         `{"codiceFiscale":"` + code + `",` + good + `}`,
		"an unreadable one":  `{"codiceFiscale":"` + code + `","since":"yesterday",` + good + `}`,
		"addresses no array": `{"codiceFiscale":"` + code + `","since":"2026-11-21T08:00:00Z","digitalAddress":"a@pec.test"}`,
		"a problem in a 200": `{"status":"404","type":"NOT_FOUND","detail":"CF non trovato"}`,
		"an array":           `[]`,
		"null":               `null`,
		"two values":         `{}{}`,
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: "inad GET /extract/*", Do: lab.Garbage, Body: []byte(body)})
		_, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), query("personal-domicile"))
		if contracts.KindOf(err) != contracts.Malformed {
			t.Errorf("%s: %v, want malformed", name, err)
		}
	}
}

func TestAnswersThatAreOddButTrue(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	code := strings.ToLower(query("personal-domicile").Subject.CodiceFiscale.Reveal())
	b.Inject(lab.Fault{Match: "inad GET /extract/*", Do: lab.Garbage, Body: []byte(
		`{"unknown":1,"codiceFiscale":"` + code + `","since":"2026-11-21T09:00:00+0100","digitalAddress":[{"digitalAddress":"a@PEC.test","more":{}}]}`)})
	got, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), query("personal-domicile"))
	if err != nil || !got.AsOf.Equal(benchNow) || got.Domiciles[0].Address.Reveal() != "a@pec.test" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheTwoMeaningsOf404(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	for _, tc := range []struct {
		name, body string
		want       contracts.Kind
	}{
		{"no domicile", `{"status":"404","type":"NOT_FOUND","detail":"CF non trovato"}`, contracts.NotFound},
		{"no domicile, in capitals", `{"status":"404","type":"NOT_FOUND","detail":"ATTENZIONE: CF NON TROVATO in archivio"}`, contracts.NotFound},
		{"a wrong path", `{"status":"404","type":"NOT_FOUND","detail":"Risorsa non trovata"}`, contracts.Malformed},
		{"a problem without detail", `{"status":"404","type":"NOT_FOUND"}`, contracts.Malformed},
		{"a gateway's page", `<html>CF non trovato</html>`, contracts.Malformed},
		{"nothing", ``, contracts.Malformed},
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: "inad GET *", Do: lab.Status, Status: 404, Body: []byte(tc.body)})
		_, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), query("personal-domicile"))
		if contracts.KindOf(err) != tc.want {
			t.Errorf("look-up, %s: %v, want %q", tc.name, err, tc.want)
		}
		_, err = a.Verify(asking(t.Context(), domicile.OpVerify.OpInfo), claim("personal-domicile", 0, benchNow))
		if contracts.KindOf(err) != tc.want {
			t.Errorf("verification, %s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestStatusesOfTheContract(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	for status, want := range map[int]contracts.Kind{
		400: contracts.Invalid, 401: contracts.Denied, 403: contracts.Denied, 500: contracts.Unavailable, 503: contracts.Unavailable,
		204: contracts.Malformed, 302: contracts.Malformed,
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: "inad GET /extract/*", Do: lab.Status, Status: status})
		_, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), query("personal-domicile"))
		e := wantKind(t, err, want)
		if status == 400 && e.Code != "BAD_REQUEST" {
			t.Errorf("code %q, want the peer's own", e.Code)
		}
	}
}

// A verdict that is not told is not "no".
func TestAVerdictNeedsItsOutcome(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	const at = `,"dateTimeCheck":"2026-11-21T08:00:00Z"}`
	for _, tc := range []struct {
		name, body string
		theirs     bool
		kind       contracts.Kind // Internal: an answer
	}{
		{"true is theirs", `{"outcome":true` + at, true, 0},
		{"false is not theirs", `{"outcome":false` + at, false, 0},
		{"no outcome", `{"x":1` + at, false, contracts.Malformed},
		{"outcome null", `{"outcome":null` + at, false, contracts.Malformed},
		{"outcome twice", `{"outcome":false,"Outcome":true` + at, false, contracts.Malformed},
		{"outcome as a text", `{"outcome":"false"` + at, false, contracts.Malformed},
		{"no instant", `{"outcome":false}`, false, contracts.Malformed},
		{"an instant that is none", `{"outcome":false,"dateTimeCheck":"ieri"}`, false, contracts.Malformed},
		{"a page", `<html>false</html>`, false, contracts.Malformed},
		{"nothing", ``, false, contracts.Malformed},
	} {
		b.Clear()
		b.Inject(lab.Fault{Match: "inad GET /verify/*", Do: lab.Garbage, Body: []byte(tc.body)})
		got, err := a.Verify(asking(t.Context(), domicile.OpVerify.OpInfo), claim("personal-domicile", 0, benchNow))
		switch {
		case tc.kind != contracts.Internal:
			if contracts.KindOf(err) != tc.kind || got != (domicile.Verdict{}) {
				t.Errorf("%s: %+v, %v, want %s", tc.name, got, err, tc.kind)
			}
		case err != nil || got.Theirs != tc.theirs || !got.CheckedAt.Equal(benchNow):
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}

func TestWhatCannotBeAskedIsNotSent(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	person := query("personal-domicile").Subject
	firm := query("company-with-pec").Subject
	odd := claim("personal-domicile", 0, benchNow)
	odd.Address = address("o'brien@pec.test")
	vatOnly := contracts.Subject{PartitaIVA: firm.PartitaIVA}
	ctx := asking(t.Context(), domicile.OpLookup.OpInfo)
	lookup := func(q domicile.Query) error { _, err := a.Lookup(ctx, q); return err }
	for _, tc := range []struct {
		name string
		err  error
		kind contracts.Kind
		code string
	}{
		{"an omocodic code", lookup(query("omocodic-code")), contracts.Invalid, "INAD_CF_OMOCODICO"},
		{"a fully omocodic code", lookup(query("omocodic-code-full")), contracts.Invalid, "INAD_CF_OMOCODICO"},
		{"an enterprise", lookup(domicile.Query{Subject: firm, Capacity: domicile.Enterprise}), contracts.NotFound, ""},
		{"a body with a person's code", lookup(domicile.Query{Subject: person, Capacity: domicile.Body}), contracts.Invalid, "INAD_BODY"},
		{"a body without a code", lookup(domicile.Query{Capacity: domicile.Body}), contracts.Invalid, "INAD_CF"},
		{"a person by partita IVA", lookup(domicile.Query{Subject: vatOnly, Capacity: domicile.Person}), contracts.Invalid, "INAD_CF"},
		{"no capacity", lookup(domicile.Query{Subject: person}), contracts.Invalid, "INAD_CAPACITY"},
		{"an address that the pattern refuses", func() error { _, err := a.Verify(ctx, odd); return err }(), contracts.Invalid, "INAD_ADDRESS"},
		{"no proceeding", func() error {
			who := contracts.Caller{Service: "core", Purpose: pdnd.Activation}
			_, err := a.Lookup(contracts.WithCaller(t.Context(), who), query("personal-domicile"))
			return err
		}(), contracts.Invalid, "INAD_REFERENCE"},
		{"a purpose that is not mapped", func() error {
			who := contracts.Caller{Service: "core", Purpose: "curiosity", Case: "C"}
			_, err := a.Lookup(contracts.WithCaller(t.Context(), who), query("personal-domicile"))
			return err
		}(), contracts.Denied, "PURPOSE"},
	} {
		if e := wantKind(t, tc.err, tc.kind); e.Code != tc.code || e.System != "inad" {
			t.Errorf("%s: code %q, system %q, want %q and inad", tc.name, e.Code, e.System, tc.code)
		}
	}
	if n := b.Sent("*"); n != 0 {
		t.Errorf("%d exchanges, want none", n)
	}
}

func TestAProvisionalCodeAsksAsAPerson(t *testing.T) {
	t.Parallel()
	_, a := open(t, nil)
	got, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), query("provisional-code"))
	if err != nil || len(got.Domiciles) != 1 {
		t.Errorf("%d domiciles, %v, want one", len(got.Domiciles), err)
	}
}

func TestABodyIsAskedByItsOnlyCode(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	q := query("company-with-pec") // a partita IVA that is a codice fiscale too
	q.Capacity, q.Subject.CodiceFiscale = domicile.Body, contracts.CodiceFiscale{}
	_, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), q)
	wantKind(t, err, contracts.NotFound)
	if asked := lastAsked(t, b); len(asked.Codes) != 1 || asked.Codes[0] != q.Subject.PartitaIVA.Reveal() {
		t.Error("not asked by the partita IVA")
	}
}

func lastAsked(t *testing.T, b *lab.Bench) mock.Asked {
	t.Helper()
	all := b.Journal()
	for i := len(all) - 1; i >= 0; i-- {
		if asked, ok := all[i].Parsed.(mock.Asked); ok {
			return asked
		}
	}
	t.Fatal("INAD was not asked")
	return mock.Asked{}
}

func TestTheProceedingIsNamed(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	if _, err := a.Lookup(asking(t.Context(), domicile.OpLookup.OpInfo), query("personal-domicile")); err != nil {
		t.Fatal(err)
	}
	if got := lastAsked(t, b).Reference; got != "CASE-7" {
		t.Errorf("reference %q, want the caller's case", got)
	}
	who := contracts.Caller{Service: "core", Purpose: pdnd.Activation}
	ctx := contracts.WithHold(contracts.WithCaller(t.Context(), who), hold("ticket-1"))
	if _, err := a.Lookup(ctx, query("personal-domicile")); err != nil {
		t.Fatal(err)
	}
	if got := lastAsked(t, b).Reference; got != "ticket-1" {
		t.Errorf("reference %q, want the ticket", got)
	}
}

func TestTheDayOfAClaimIsItaly(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	for at, day := range map[time.Time]string{
		time.Date(2026, 6, 30, 21, 59, 59, 0, time.UTC):  "2026-06-30",
		time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC):    "2026-07-01", // summer time
		time.Date(2026, 11, 20, 22, 59, 59, 0, time.UTC): "2026-11-20",
		time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC):   "2026-11-21",
		time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC):   "2026-10-25", // the night the clocks go back
		time.Date(2026, 10, 25, 22, 59, 0, 0, time.UTC):  "2026-10-25",
	} {
		if _, err := a.Verify(asking(t.Context(), domicile.OpVerify.OpInfo), claim("personal-domicile", 0, at)); err != nil {
			t.Fatal(err)
		}
		if got := lastAsked(t, b).Day; got != day {
			t.Errorf("%v is %s in the question, want %s", at, got, day)
		}
	}
}

func TestPlusSignsSurviveTheQuery(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	c := claim("personal-domicile", 0, benchNow)
	c.Address = address("a+b.c@pec.cittadini.test")
	if _, err := a.Verify(asking(t.Context(), domicile.OpVerify.OpInfo), c); err != nil {
		t.Fatal(err)
	}
	if got := lastAsked(t, b).Address; got != "a+b.c@pec.cittadini.test" {
		t.Error("the address arrived changed")
	}
}

func TestCheckConsultsNobody(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	if err := a.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Sent("inad *") != 1 || b.Sent("inad GET /listDigitalAddress/state/*") != 1 {
		t.Errorf("%d exchanges, want one after a list that cannot exist", b.Sent("inad *"))
	}
	for status, want := range map[int]contracts.Kind{403: contracts.Denied, 401: contracts.Denied, 500: contracts.Unavailable} {
		b.Clear()
		b.Inject(lab.Fault{Match: "inad *", Do: lab.Status, Status: status})
		if e := wantKind(t, a.Check(t.Context()), want); e.Operation != "check" || e.System != "inad" {
			t.Errorf("operation %q, system %q", e.Operation, e.System)
		}
	}
	b.Clear()
	b.Inject(lab.Fault{Match: "inad *", Do: lab.Status, Status: http.StatusNotFound, Body: []byte("<html>")})
	wantKind(t, a.Check(t.Context()), contracts.Malformed)
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	bad := Default().(*Config)
	bad.HTTP.Endpoint = "https://api.inad.gov.it/rest/inad/v1/domiciliodigitale"
	bad.Preference, bad.ListEvery, bad.ListPatience = "x", 0, -1
	err := bad.Validate(contracts.Collaudo)
	for _, path := range []string{"http.endpoint", "voucher.client", "voucher.key", "voucher.purposes", "preference", "list_every", "list_patience"} {
		if err == nil || !strings.Contains(err.Error(), path+": ") {
			t.Errorf("no fault at %s in %v", path, err)
		}
	}
	if err := Default().Validate(contracts.Collaudo); err == nil {
		t.Error("the empty configuration is valid")
	}
	bad.HTTP.Endpoint = "http://127.0.0.1:1"
	if err := bad.Validate(contracts.Produzione); err == nil || !strings.Contains(err.Error(), "https only") {
		t.Errorf("production speaks with loopback: %v", err)
	}
}

func TestOperationsAreWhatIsBound(t *testing.T) {
	t.Parallel()
	_, a := open(t, nil)
	declared := Default().Operations()
	bound := a.Bindings()
	if len(declared) != len(bound) {
		t.Fatalf("%d declared, %d bound", len(declared), len(bound))
	}
	for i := range bound {
		if bound[i].Op != declared[i] {
			t.Errorf("%s declared, %s bound", declared[i].Name, bound[i].Op.Name)
		}
	}
}

func FuzzExtraction(f *testing.F) {
	for _, seed := range []string{
		`{"codiceFiscale":"KMRRJN90C15Z222U","since":"2026-11-21T08:00:00Z","digitalAddress":[{"digitalAddress":"nome@pec.example","practicedProfession":"Fotografo","usageInfo":{"motivation":"CESSAZIONE_VOLONTARIA","dateEndValidity":"2027-01-10T00:00:00Z"}}]}`,
		`{"codiceFiscale":"x","since":"2026-11-21T08:00:00+0100","digitalAddress":[{"digitalAddress":"a@b.c","usageInfo":null},{}]}`,
		`{"since":"0000-00-00T00:00:00Z"}`, `null`, `[]`, "{", `{"digitalAddress":[null]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, capacity := range []domicile.Capacity{domicile.Person, domicile.Body, domicile.Professional} {
			a, err := chosen(capacity, Qualsiasi, body)
			if err == nil && len(a.Domiciles) == 0 {
				t.Error("an answer without a domicile")
			}
			for _, d := range a.Domiciles {
				if d.Address.IsZero() || !d.Until.IsZero() && d.Until.Before(benchNow) || len(d.Profession) > 200 {
					t.Error("an unusable domicile")
				}
			}
		}
	})
}

func FuzzList(f *testing.F) {
	for _, seed := range []string{
		`{"list":[{"codiceFiscale":"KMRRJN90C15Z222U","since":"2026-11-21T08:00:00Z","digitalAddress":[{"digitalAddress":"nome@pec.example"}]},{"codiceFiscale":"kmrrjn90c15z222u"}]}`,
		`{"list":null}`, `{"list":[null,{}]}`, "<html>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var l listAnswer
		if decodeBody([]byte(body), &l) != nil {
			return
		}
		for code, x := range byCode(l.List) {
			if x == nil || code != strings.ToUpper(code) {
				t.Errorf("code %q joins nothing", code)
			}
		}
		if _, err := json.Marshal(l); err != nil {
			t.Error(err)
		}
	})
}
