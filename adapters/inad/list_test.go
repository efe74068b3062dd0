package inad

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/domicile"
	mock "raccordo/mocks/inad"
	"raccordo/mocks/lab"
)

const (
	listRoute     = "inad POST /listDigitalAddress"
	stateRoute    = "inad GET /listDigitalAddress/state/*"
	responseRoute = "inad GET /listDigitalAddress/response/*"
)

// order hands a list over as a lot.
func order(t *testing.T, a *Adapter, qs []domicile.Query) []byte {
	t.Helper()
	ctx := contracts.WithHold(asking(t.Context(), domicile.OpLookup.OpInfo), hold("lot-1"))
	h, err := a.start(ctx, qs)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func gather(t *testing.T, a *Adapter, h []byte, qs []domicile.Query) ([]contracts.Result[domicile.Answer], error) {
	t.Helper()
	return a.collect(asking(t.Context(), domicile.OpLookup.OpInfo), h, qs)
}

func never(t *testing.T, b *lab.Bench) *mock.Mock {
	t.Helper()
	m := b.Mock("inad").(*mock.Mock)
	m.Set(func(s *mock.Settings) { s.Polls = 0 })
	return m
}

func TestAListIsAskedOnceAndJoinedByCode(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	never(t, b)
	qs := []domicile.Query{
		query("personal-domicile"), query("no-domicile"), query("personal-domicile"), query("omocodic-code"),
		query("company-with-pec"), query("body-with-domicile"), query("absent-in-list"),
	}
	h := order(t, a, qs)
	asked := lastAsked(t, b)
	if asked.Reference != "lot-1" || len(asked.Codes) != 4 {
		t.Errorf("reference %q, %d codes, want the lot's and 4: each once, none that cannot be asked", asked.Reference, len(asked.Codes))
	}
	got, err := gather(t, a, h, qs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []contracts.Kind{0, contracts.NotFound, 0, contracts.Invalid, contracts.NotFound, 0, contracts.NotFound} {
		switch {
		case want == 0 && got[i].Err != nil:
			t.Errorf("answer %d: %v, want a domicile", i, got[i].Err)
		case want != 0:
			if e := wantKind(t, got[i].Err, want); e.System != "inad" || e.Operation != "domicile.lookup" {
				t.Errorf("answer %d: %q %q", i, e.System, e.Operation)
			}
		}
	}
	if b.Sent(listRoute) != 1 || b.Sent(stateRoute) != 1 || b.Sent(responseRoute) != 1 || b.Sent("inad GET /extract/*") != 0 {
		t.Errorf("%d exchanges, want one each", b.Sent("inad *"))
	}
}

func TestAListIsPendingUntilItIsReady(t *testing.T) {
	t.Parallel()
	_, a := open(t, nil) // the mock is ready at the third question
	qs := []domicile.Query{query("personal-domicile")}
	h := order(t, a, qs)
	for range 2 {
		_, err := gather(t, a, h, qs)
		if e := wantKind(t, err, contracts.Pending); e.After != 15*time.Minute {
			t.Errorf("after %v, want a quarter of an hour", e.After)
		}
	}
	if got, err := gather(t, a, h, qs); err != nil || got[0].Err != nil {
		t.Errorf("%v", err)
	}
}

func TestAListSurvivesARestart(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	never(t, b)
	qs := []domicile.Query{query("personal-domicile")}
	h := order(t, a, qs)
	again, err := a.cfg.Open(t.Context(), a.env) // another process, the same handle
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if got, err := gather(t, again.(*Adapter), h, qs); err != nil || got[0].Err != nil {
		t.Errorf("%v", err)
	}
}

func TestACodeThatTheListOmitsIsUnknown(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	never(t, b)
	qs := []domicile.Query{query("personal-domicile"), query("two-addresses")}
	h := order(t, a, qs)
	b.Inject(lab.Fault{Match: responseRoute, Do: lab.Garbage, Body: []byte(`{"list":[{"codiceFiscale":"` +
		strings.ToLower(qs[0].Subject.CodiceFiscale.Reveal()) + `","since":"2026-11-21T08:00:00Z","digitalAddress":[{"digitalAddress":"a@pec.test"}]}]}`)})
	got, err := gather(t, a, h, qs)
	if err != nil || got[0].Err != nil {
		t.Fatalf("%v, %v: a code in lower case is the same code", err, got)
	}
	wantKind(t, got[1].Err, contracts.Malformed) // never NotFound: INAD has said nothing about it
}

func TestAHalfListIsNotAShorterList(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	never(t, b)
	qs := []domicile.Query{query("personal-domicile")}
	h := order(t, a, qs)
	for name, body := range map[string]string{"no list": `{}`, "null": `{"list":null}`, "a problem": `{"status":"500","type":"x"}`, "cut": `{"list":[`, "html": "<html>"} {
		b.Clear()
		b.Inject(lab.Fault{Match: responseRoute, Do: lab.Garbage, Body: []byte(body)})
		if _, err := gather(t, a, h, qs); contracts.KindOf(err) != contracts.Malformed {
			t.Errorf("%s: %v, want malformed", name, err)
		}
	}
	for name, body := range map[string]string{"no state": `{}`, "another state": `{"state":"BOH"}`} {
		b.Clear()
		b.Inject(lab.Fault{Match: stateRoute, Do: lab.Status, Status: 200, Body: []byte(body)})
		if _, err := gather(t, a, h, qs); contracts.KindOf(err) != contracts.Malformed {
			t.Errorf("%s: %v, want malformed", name, err)
		}
	}
}

func TestADeletedListIsStartedAnew(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	never(t, b)
	qs := []domicile.Query{query("personal-domicile")}
	h := order(t, a, qs)
	b.Advance(48 * time.Hour)
	_, err := gather(t, a, h, qs)
	wantKind(t, err, contracts.NotFound)

	h = order(t, a, qs)
	b.Inject(lab.Fault{Match: stateRoute, Do: lab.Status, Status: 404, Body: []byte("<html>not here</html>")})
	_, err = gather(t, a, h, qs)
	wantKind(t, err, contracts.Malformed) // a gateway's 404 deletes nothing
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	b, a := open(t, func(c *Config, _ *contracts.Env) { c.ListPatience = time.Hour })
	b.Mock("inad").(*mock.Mock).Set(func(s *mock.Settings) { s.Delay = 40 * time.Hour })
	qs := []domicile.Query{query("personal-domicile")}
	h := order(t, a, qs)
	b.Advance(time.Hour)
	_, err := gather(t, a, h, qs)
	wantKind(t, err, contracts.Pending)
	b.Advance(time.Second)
	_, err = gather(t, a, h, qs)
	wantKind(t, err, contracts.NotFound)
}

func TestALocationElsewhereIsNotFollowed(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b, a := open(t, func(_ *Config, env *contracts.Env) { env.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	m := never(t, b)
	qs := []domicile.Query{query("personal-domicile")}
	if _, err := gather(t, a, order(t, a, qs), qs); err != nil || log.Len() != 0 {
		t.Fatalf("%v, log %q: our own base is no news", err, log.String())
	}
	m.Set(func(s *mock.Settings) { s.Location = "https://elsewhere.test" })
	if got, err := gather(t, a, order(t, a, qs), qs); err != nil || got[0].Err != nil {
		t.Errorf("%v: the id must do", err)
	}
	if !strings.Contains(log.String(), "Location leads elsewhere") || strings.Contains(log.String(), "elsewhere.test") {
		t.Errorf("log %q, want a warning that quotes nothing", log.String())
	}
}

func TestAListWithoutAnIDInTheBodyTakesTheLocations(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	never(t, b)
	for body, want := range map[string]contracts.Kind{`{"state":"PRESA_IN_CARICO"}`: 0, `{"id":"../../x"}`: contracts.Malformed} {
		b.Clear()
		b.Inject(lab.Fault{Match: listRoute, Do: lab.Garbage, Body: []byte(body), Times: 1})
		_, err := a.start(asking(t.Context(), domicile.OpLookup.OpInfo), []domicile.Query{query("personal-domicile")})
		if want == 0 && err != nil || want != 0 && contracts.KindOf(err) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestAListOfNobodyTouchesNoWire(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	qs := []domicile.Query{query("omocodic-code"), query("company-with-pec")}
	got, err := gather(t, a, order(t, a, qs), qs)
	if err != nil || b.Sent("*") != 0 {
		t.Fatalf("%v, %d exchanges", err, b.Sent("*"))
	}
	wantKind(t, got[0].Err, contracts.Invalid)
	wantKind(t, got[1].Err, contracts.NotFound)
}

func TestAThousandCodesFitOneList(t *testing.T) {
	t.Parallel()
	b, a := open(t, nil)
	never(t, b)
	qs := crowd(1000)
	h := order(t, a, qs)
	if n := len(lastAsked(t, b).Codes); n != 1000 {
		t.Errorf("%d codes, want 1000", n)
	}
	got, err := gather(t, a, h, qs)
	if err != nil || len(got) != 1000 {
		t.Fatalf("%d answers, %v", len(got), err)
	}
	if _, err := a.start(asking(t.Context(), domicile.OpLookup.OpInfo), crowd(1001)); contracts.KindOf(err) != contracts.Invalid {
		t.Errorf("1001 codes: %v, want invalid", err)
	}
}

func TestABrokenHandleIsOurFault(t *testing.T) {
	t.Parallel()
	_, a := open(t, nil)
	for _, h := range []string{"", "null{", `{"id":"../x"}`} {
		_, err := gather(t, a, []byte(h), nil)
		wantKind(t, err, contracts.Internal)
	}
}
