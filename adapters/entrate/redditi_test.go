package entrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
	"raccordo/contracts/tax/taxtest"
	mock "raccordo/mocks/entrate"
	"raccordo/mocks/lab"
)

// told is what the mock tells of a taxpayer by default, but for what a story changes.
func (s *stage) told(story string, year int, change func(*tax.Income)) taxtest.IncomeStory {
	q := s.incomeOf(story, year)
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d", q.CodiceFiscale.Reveal(), year))
	cents := 1_500_000 + int64(binary.BigEndian.Uint32(h[:4])%8_000_000)
	in := tax.Income{Year: year, Income: tax.Euro(cents), Presented: contracts.DateOf(time.Date(year+1, 10, 1+int(h[8])%30, 0, 0, 0, 0, time.UTC))}
	if s.Who(story).PartitaIVA != "" {
		in.Turnover = tax.Euro(3*cents + int64(binary.BigEndian.Uint32(h[4:8])%50_000_000))
	}
	if change != nil {
		change(&in)
	}
	return taxtest.IncomeStory{Query: q, Holds: in}
}

// A still adapter is one under whose requests the clock does not jump: an assertion would end in flight, which no time that
// passes by itself can bring about.
type still struct {
	contracts.Adapter
	sync.RWMutex
}

func (s *still) Bindings() []contracts.Binding {
	all := s.Adapter.Bindings()
	for i, b := range all {
		if b.List == nil {
			continue
		}
		list := *b.List
		list.Start = func(ctx context.Context, reqs []any) ([]byte, error) {
			s.RLock()
			defer s.RUnlock()
			return b.List.Start(ctx, reqs)
		}
		list.Collect = func(ctx context.Context, handle []byte, reqs []any) ([]contracts.Result[any], error) {
			s.RLock()
			defer s.RUnlock()
			return b.List.Collect(ctx, handle, reqs)
		}
		all[i].List = &list
	}
	return all
}

// The conformance of the bare adapter against the mock, as far as incomes go. There is only a list form, so that every
// question is a ticket, and a lasting fault may leave it pending.
func TestConformanceOfTheIncomeService(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s := onSOAP(t, func(c *Config, env *contracts.Env) {
		env.Log = capture.Logger()
		soaps(c, func(h *wire.Config) {
			h.Timeout, h.RetryAfterMax, h.RetryBurst = 500*time.Millisecond, time.Second, 1000
		})
	})
	calm := &still{Adapter: s.a}
	direct := contracttest.Direct(calm, s.Clock(), contracttest.Advancing(func(d time.Duration) {
		calm.Lock()
		defer calm.Unlock()
		s.Advance(d)
	}))
	taxtest.Run(t, taxtest.Harness{
		Harness: contracttest.Harness{
			Runner: direct, Far: s.Bench, Wire: "entrate POST /redditi/*", Capture: capture, Reset: s.reset, Ticketed: true,
			// The mock's 500 is a Fault, and a fault is an answer: it is not repeated.
			Known:  []string{"income-500-once"},
			Caller: contracts.Caller{Service: "suite", Purpose: "activation", User: "system", Case: "SUITE-1"},
		},
		Register: Register, Ops: []*contracts.OpInfo{tax.OpIncome.OpInfo},
		Declared:   s.told("company-with-pec", 2024, nil),
		Zero:       s.told("entrate-income-zero", 2024, func(i *tax.Income) { i.Income, i.Turnover = tax.Euro(0), tax.Euro(0) }),
		Loss:       s.told("entrate-income-loss", 2024, func(i *tax.Income) { i.Income = tax.Euro(-4_032_150) }),
		NoTurnover: s.told("entrate-income-no-turnover", 2024, func(i *tax.Income) { i.Turnover = tax.Money{} }),
		OtherYear:  s.told("company-with-pec", 2023, nil),
		OtherIncome: []taxtest.IncomeStory{
			s.told("entrate-income-big", 2024, func(i *tax.Income) { i.Income, i.Turnover = tax.Euro(98_765_432_109_876), tax.Euro(99_999_999_999_999) }),
			s.told("entrate-income-odd-number", 2024, func(i *tax.Income) { i.Income, i.Turnover = tax.Euro(4_100_000), tax.Euro(50) }),
			s.told("entrate-income-undated", 2024, func(i *tax.Income) { i.Presented = "" }),
			s.told("personal-domicile", 2024, nil),
			s.told("provisional-code", 2024, nil),
			s.told("omocodic-code-full", 2024, nil),
		},
		NoneDeclared:    s.incomeOf("entrate-income-none", 2024),
		UnaskableIncome: s.incomeOf("entrate-income-wrong-code", 2024),
		BrokenIncome:    s.incomeOf("entrate-income-error", 2024),
		List: func(ctx context.Context, qs []tax.IncomeQuery) ([]contracts.Result[tax.Income], error) {
			return contracttest.List(ctx, direct, tax.OpIncome, qs)
		},
	})
}

// Every story of the mock's cast that is about incomes ends as it must, all of them in one order.
func TestEveryStoryOfTheIncomeService(t *testing.T) {
	t.Parallel()
	const answered = contracts.Internal
	type end struct {
		kind contracts.Kind
		code string
	}
	wants := map[string]end{
		"company-with-pec":              {answered, ""},
		"entrate-income-none":           {contracts.NotFound, "XX05"},
		"entrate-income-zero":           {answered, ""},
		"entrate-income-loss":           {answered, ""},
		"entrate-income-big":            {answered, ""},
		"entrate-income-odd-number":     {answered, ""},
		"entrate-income-no-turnover":    {answered, ""},
		"entrate-income-undated":        {answered, ""},
		"entrate-income-wrong-code":     {contracts.Invalid, "XX01"},
		"entrate-code-unknown":          {contracts.Invalid, "XX01"},
		"entrate-income-timeout":        {contracts.Unavailable, "XX03"},
		"entrate-income-timeout-once":   {contracts.Unavailable, "XX03"},
		"entrate-income-error":          {contracts.Unavailable, "XX0A"},
		"entrate-income-uncoded":        {contracts.Unavailable, "XXXX"},
		"entrate-income-no-amount":      {contracts.Malformed, ""},
		"entrate-income-another":        {contracts.Malformed, ""},
		"entrate-income-another-year":   {contracts.Malformed, ""},
		"entrate-income-missing":        {contracts.Malformed, ""},
		"entrate-income-twice":          {contracts.Malformed, ""},
		"entrate-vat-group":             {answered, ""}, // about whom another row says that it is theirs
		"entrate-body":                  {answered, ""},
		"entrate-code-valid-superseded": {answered, ""},
	}
	capture := contracttest.NewCapture()
	var log bytes.Buffer
	s := onSOAP(t, func(_ *Config, env *contracts.Env) {
		env.Log = slog.New(slog.NewTextHandler(io.MultiWriter(&log, capture.Writer("log")), nil))
	})
	for _, story := range lab.Stories(s.Cast()) {
		apart := story == "entrate-income-lost" || story == "entrate-income-fault-once" // orders of their own, below
		if _, told := wants[story]; !told && !apart && strings.HasPrefix(story, "entrate-income") {
			t.Errorf("%s is told by the mock, and nothing is expected of it", story)
		}
	}
	var stories []string
	var qs []tax.IncomeQuery
	for story := range wants {
		stories, qs = append(stories, story), append(qs, s.incomeOf(story, 2024))
	}
	handle := s.order(t, qs...)
	s.Advance(s.m.Settings().Delay)
	got, err := s.gather(t, handle, qs...)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "modelled") {
		t.Error("nobody is told that the service is modelled")
	}
	for i, story := range stories {
		want := wants[story]
		if want.kind == answered {
			if v := got[i].Value; got[i].Err != nil || v.Year != 2024 || v.Income.IsZero() || v.Register != Register || !v.AsOf.Equal(s.Clock().Now()) {
				t.Errorf("%s: %+v, %v", story, v, got[i].Err)
			}
			continue
		}
		if e := contracttest.ErrorOf(t, got[i].Err, want.kind, "entrate"); e.Code != want.code || e.Operation != "tax.income" {
			t.Errorf("%s: %v, want [%s]", story, e, want.code)
		}
		capture.Error(got[i].Err)
	}
	if n := strings.Count(log.String(), "contract drift"); n != 5 {
		t.Errorf("%d alarms, want one for each row that is not understood", n)
	}
	var secrets []string
	for i := range qs {
		secrets = append(secrets, qs[i].CodiceFiscale.Reveal())
	}
	for _, leak := range capture.Leaks(append(secrets, "40321", "987654321098", "41000")) {
		t.Errorf("secret %d stands in %s, as %s", leak.Secret, leak.Source, leak.As)
	}
}

func TestAnOrderIsPendingAndAskedAfterMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	s.m.Set(func(x *mock.Settings) { x.Delay = 5 * 24 * time.Hour })
	q := s.incomeOf("company-with-pec", 2024)
	handle := s.order(t, q)
	for _, step := range []struct{ age, after time.Duration }{
		{0, 10 * time.Minute},
		{10 * time.Minute, 10 * time.Minute},
		{25 * time.Minute, 25 * time.Minute},
		{time.Hour, time.Hour},
		{3 * 24 * time.Hour, time.Hour},
	} {
		s.Advance(step.age - s.age(t, handle))
		_, err := s.gather(t, handle, q)
		if e := wantKind(t, err, contracts.Pending); e.After != step.after || e.Code != "04" {
			t.Errorf("at %v: after %v [%s], want %v", step.age, e.After, e.Code, step.after)
		}
	}
	s.Advance(2 * 24 * time.Hour)
	got, err := s.gather(t, handle, q)
	if err != nil || got[0].Err != nil || got[0].Value.Income != s.told("company-with-pec", 2024, nil).Holds.Income {
		t.Errorf("after five days: %+v, %v", got, err)
	}
}

// age is how old an order is.
func (s *stage) age(t *testing.T, handle []byte) time.Duration {
	t.Helper()
	var c claim
	if err := json.Unmarshal(handle, &c); err != nil {
		t.Fatal(err)
	}
	return s.Clock().Now().Sub(c.Since)
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	s.m.Set(func(x *mock.Settings) { x.Delay = 20 * 24 * time.Hour })
	qs := []tax.IncomeQuery{s.incomeOf("company-with-pec", 2024), {Year: 1}}
	handle := s.order(t, qs...)
	s.Advance(10 * 24 * time.Hour)
	if _, err := s.gather(t, handle, qs...); contracts.KindOf(err) != contracts.Pending {
		t.Fatalf("on the last day: %v", err)
	}
	s.Advance(time.Second)
	got, err := s.gather(t, handle, qs...)
	if err != nil {
		t.Fatal(err)
	}
	if e := wantKind(t, got[0].Err, contracts.Unavailable); e.Code != "ENTRATE_LATE" {
		t.Errorf("code %q", e.Code)
	}
	wantKind(t, got[1].Err, contracts.Invalid)
}

// A hub that ended between the order and its own note of it orders again, and again after a restart: it is one order.
func TestTheSameOrderAgainIsTheSameOrder(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	q, other := s.incomeOf("company-with-pec", 2024), s.incomeOf("company-with-pec", 2023)
	first := s.order(t, q, other, q)
	if _, asked := s.last(t, ordering); asked.Request != "lot-1" || len(asked.Codes) != 2 || asked.Years[0] != 2024 || asked.User != "system" || asked.IP != "192.0.2.10" {
		t.Errorf("%d subjects under %q by %q, want two, the lot and the system", len(asked.Codes), asked.Request, asked.User)
	}
	s.Advance(time.Hour)
	again := s.order(t, q, other, q)
	var a, b claim
	if json.Unmarshal(first, &a) != nil || json.Unmarshal(again, &b) != nil || a.Protocollo != b.Protocollo || a.Protocollo == "" {
		t.Errorf("protocollo %q and %q", a.Protocollo, b.Protocollo)
	}
	got, err := s.gather(t, again, q, other, q)
	if err != nil || got[0].Value != got[2].Value || got[0].Value == got[1].Value || got[1].Value.Year != 2023 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = startIncomes(t.Context(), s.a, "lot-1", other) // another order under the name
	if e := wantKind(t, err, contracts.Conflict); e.Code != "XX06" {
		t.Errorf("code %q", e.Code)
	}
}

// Whoever asks, an order is gathered from many and names none of them.
func TestAnOrderNamesTheSystem(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	who := contracts.Caller{Service: "core", User: "a-user-of-more-than-sixteen", IP: "203.0.113.77"}
	ctx := contracts.WithHold(contracts.WithCall(t.Context(), &contracts.Call{Op: tax.OpIncome.OpInfo, Caller: who}), lot("lot-7"))
	if _, err := incomesOf(s.a).Start(ctx, anys([]tax.IncomeQuery{s.incomeOf("company-with-pec", 2024)})); err != nil {
		t.Fatal(err)
	}
	if _, asked := s.last(t, ordering); asked.User != "system" || asked.IP != "192.0.2.10" {
		t.Errorf("user %q from %q", asked.User, asked.IP)
	}
}

// What the agency says of an order as a whole.
func TestWhatTheCodesOfAnOrderMean(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		order, fetch mock.Codes
		kind         contracts.Kind
		code         string
	}{
		"order 00 without a protocollo":          {order: mock.Codes{Ritorno: "00", Dettaglio: "XX00"}, kind: contracts.Malformed},
		"order 01 processing error":              {order: mock.Codes{Ritorno: "01", Dettaglio: "XX0A"}, kind: contracts.Unavailable, code: "XX0A"},
		"order 01 time-out":                      {order: mock.Codes{Ritorno: "01", Dettaglio: "XX03"}, kind: contracts.Unavailable, code: "XX03"},
		"order 02 blames no member":              {order: mock.Codes{Ritorno: "02", Dettaglio: "XXXX"}, kind: contracts.Malformed, code: "02"},
		"order XX01 blames no member":            {order: mock.Codes{Ritorno: "02", Dettaglio: "XX01"}, kind: contracts.Malformed, code: "XX01"},
		"order XX04 not authorised":              {order: mock.Codes{Ritorno: "01", Dettaglio: "XX04"}, kind: contracts.Denied, code: "XX04"},
		"order XX06 name already used":           {order: mock.Codes{Ritorno: "02", Dettaglio: "XX06"}, kind: contracts.Conflict, code: "XX06"},
		"order of unknown words":                 {order: mock.Codes{Ritorno: "09", Dettaglio: "XX00"}, kind: contracts.Malformed, code: "09"},
		"order said to be pending":               {order: mock.Codes{Ritorno: "04", Dettaglio: "XXXX"}, kind: contracts.Malformed, code: "04"},
		"fetch 01 processing error":              {fetch: mock.Codes{Ritorno: "01", Dettaglio: "XX0A"}, kind: contracts.Unavailable, code: "XX0A"},
		"fetch 02 badly formed":                  {fetch: mock.Codes{Ritorno: "02", Dettaglio: "XXXX"}, kind: contracts.Malformed, code: "02"},
		"fetch 03 badly formed":                  {fetch: mock.Codes{Ritorno: "03", Dettaglio: "XX00"}, kind: contracts.Malformed, code: "03"},
		"fetch 04 not ready":                     {fetch: mock.Codes{Ritorno: "04", Dettaglio: "XXXX"}, kind: contracts.Pending, code: "04"},
		"fetch 05 unknown, it is ordered anew":   {fetch: mock.Codes{Ritorno: "05", Dettaglio: "XXXX"}, kind: contracts.NotFound, code: "05"},
		"fetch XX03 time-out":                    {fetch: mock.Codes{Ritorno: "01", Dettaglio: "XX03"}, kind: contracts.Unavailable, code: "XX03"},
		"fetch XX04 not authorised":              {fetch: mock.Codes{Ritorno: "01", Dettaglio: "XX04"}, kind: contracts.Denied, code: "XX04"},
		"fetch XX05 is no answer about an order": {fetch: mock.Codes{Ritorno: "00", Dettaglio: "XX05"}, kind: contracts.Malformed, code: "XX05"},
		"fetch 00 not coded":                     {fetch: mock.Codes{Ritorno: "00", Dettaglio: "XXXX"}, kind: contracts.Unavailable, code: "XXXX"},
		"fetch of unknown words":                 {fetch: mock.Codes{Ritorno: "00", Dettaglio: "XX11"}, kind: contracts.Malformed, code: "XX11"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onSOAP(t, nil)
			q := s.incomeOf("company-with-pec", 2024)
			s.m.Set(func(x *mock.Settings) { x.Order, x.Fetch = tc.order, tc.fetch })
			handle, err := startIncomes(t.Context(), s.a, "lot-1", q)
			if tc.order == (mock.Codes{}) {
				if err != nil {
					t.Fatal(err)
				}
				_, err = s.gather(t, handle, q)
			}
			if e := wantKind(t, err, tc.kind); e.Code != tc.code {
				t.Errorf("%v, want [%s]", e, tc.code)
			}
			if s.Sent(ordering)+s.Sent(fetching) > 2 {
				t.Error("an answer was repeated")
			}
		})
	}
}

func TestALostOrderIsNotFoundAndOrderedAnew(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	q := s.incomeOf("entrate-income-lost", 2024)
	handle := s.order(t, q)
	s.Advance(s.m.Settings().Delay)
	_, err := s.gather(t, handle, q)
	wantKind(t, err, contracts.NotFound)
	handle = s.order(t, q) // the same lot, as the outbox does it
	s.Advance(s.m.Settings().Delay)
	if got, err := s.gather(t, handle, q); err != nil || got[0].Err != nil || got[0].Value.Income.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAFaultOfTheIncomeServiceIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	q := s.incomeOf("entrate-income-fault-once", 2024)
	_, err := startIncomes(t.Context(), s.a, "lot-1", q)
	if e := wantKind(t, err, contracts.Unavailable); e.Code != "Server" || s.Sent(ordering) != 1 {
		t.Errorf("%v after %d attempts", e, s.Sent(ordering))
	}
	if _, err := startIncomes(t.Context(), s.a, "lot-1", q); err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func TestAnOrderOfNobodyTouchesNoWire(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	qs := []tax.IncomeQuery{{Year: 2024}, {CodiceFiscale: someCode, Year: 1999}}
	handle := s.order(t, qs...)
	got, err := s.gather(t, handle, qs...)
	if err != nil || s.Sent("*") != 0 {
		t.Fatalf("%v, %d exchanges", err, s.Sent("*"))
	}
	for i := range qs {
		if e := wantKind(t, got[i].Err, contracts.Invalid); e.Code != "ENTRATE_INCOME" {
			t.Errorf("%v", e)
		}
		if err := s.a.Bindings()[1].Covers(qs[i]); contracts.KindOf(err) != contracts.Invalid {
			t.Errorf("covers: %v", err)
		}
	}
}

func TestIncomesAreBoundAsAListAlone(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	b := s.a.Bindings()[1]
	if b.Op != tax.OpIncome.OpInfo || b.Do != nil || b.List == nil || b.List.Max != 100 || b.Expected < time.Hour {
		t.Errorf("%+v", b)
	}
	many := make([]tax.IncomeQuery, MaxIncomes+1)
	_, err := startIncomes(t.Context(), s.a, "lot-1", many...)
	wantKind(t, err, contracts.Invalid)
	_, err = b.List.Start(t.Context(), anys([]tax.IncomeQuery{s.incomeOf("company-with-pec", 2024)}))
	wantKind(t, err, contracts.Internal) // an order without a lot could not be ordered again
	_, err = b.List.Collect(t.Context(), []byte("x"), nil)
	wantKind(t, err, contracts.Internal)
	if n := s.Sent("*"); n != 0 {
		t.Errorf("%d exchanges", n)
	}
}

func TestAFullOrderIsTakenAndAnswered(t *testing.T) {
	t.Parallel()
	s := onSOAP(t, nil)
	var qs []tax.IncomeQuery
	for year := 2000; year < 2000+MaxIncomes; year++ {
		qs = append(qs, s.incomeOf("company-with-pec", year))
	}
	handle := s.order(t, qs...)
	s.Advance(s.m.Settings().Delay)
	got, err := s.gather(t, handle, qs...)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range qs {
		if over := q.Year < 2026; over != (got[i].Err == nil) || over && got[i].Value.Income != s.told("company-with-pec", q.Year, nil).Holds.Income {
			t.Errorf("%d: %+v, %v", q.Year, got[i].Value, got[i].Err)
		}
	}
}
