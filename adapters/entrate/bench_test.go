package entrate

import (
	"crypto/sha256"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/tax"
	"raccordo/contracts/tax/taxtest"
	mock "raccordo/mocks/entrate"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
)

// The far side's names in the journal.
const (
	codeCall   = "entrate POST /govway/rest/in/AgenziaEntrate/vcf2-verifica-cf/v1/verifica"
	numberCall = "entrate POST /govway/rest/in/AgenziaEntrate/verifica-piva/v3/verifica"
	restCalls  = codeCall + "|" + numberCall
)

// A stage is the agency on one bench, and the adapter's two REST services in front of it.
type stage struct {
	*lab.Bench
	m *mock.Mock
	a *Adapter
}

func onBench(t testing.TB, change func(*Config, *contracts.Env)) *stage {
	t.Helper()
	m := mock.New()
	b := lab.Start(t, pdnd.New(), m)
	platform := b.Mock("pdnd").(*pdnd.Mock)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, b.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default().(*Config)
	for _, s := range []struct {
		section       *REST
		url, eservice string
	}{{&cfg.CodiceFiscale, m.VCFURL(), mock.VCFService}, {&cfg.PartitaIVA, m.PIVAURL(), mock.PIVAService}} {
		s.section.HTTP.Endpoint, s.section.HTTP.CA = s.url, ca
		s.section.Voucher.Endpoint, s.section.Voucher.CA = b.URL("pdnd")+"/token.oauth2", ca
		s.section.Voucher.Client, s.section.Voucher.Purposes = platform.ClientID(), platform.Purposes(s.eservice)
		s.section.Voucher.Key = contracts.Secret("secret://file/" + platform.KeyPath())
	}
	env := contracts.Env{Instance: "entrate", Environment: contracts.Collaudo, Clock: b.Clock(), Secret: contracttest.SecretFile}
	if change != nil {
		change(cfg, &env)
	}
	return &stage{b, m, contracttest.Open(t, cfg, env).(*Adapter)}
}

// both changes the settings of both services' HTTP.
func both(c *Config, change func(*REST)) {
	change(&c.CodiceFiscale)
	change(&c.PartitaIVA)
}

// hasty gives up soon, since some stories are slow, and repeats at will.
func hasty(c *Config, _ *contracts.Env) {
	both(c, func(r *REST) {
		r.HTTP.Timeout, r.HTTP.RetryAfterMax, r.HTTP.RetryBurst = 500*time.Millisecond, 0, 1000
	})
}

func (s *stage) code(story string) tax.CodeQuery { return taxtest.Code(s.Who(story).CodiceFiscale) }
func (s *stage) vat(story string) tax.VATQuery   { return taxtest.VAT(s.Who(story).PartitaIVA) }

// holds is what the mock tells of an assigned number, but for what a story changes.
func (s *stage) holds(story string, change func(*tax.VAT)) taxtest.VATStory {
	q := s.vat(story)
	v := tax.VAT{Assigned: true, Status: tax.VATActive, Name: contracts.NewPrivate(s.Who(story).Name), Since: begun(q.PartitaIVA.Reveal())}
	if change != nil {
		change(&v)
	}
	return taxtest.VATStory{Query: q, Holds: v}
}

// begun is the mock's rule for the first day of an activity.
func begun(number string) contracts.Date {
	h := sha256.Sum256([]byte(number))
	return contracts.DateOf(time.Date(1985+int(h[0])%38, time.Month(1+h[1]%12), 1+int(h[2])%28, 0, 0, 0, 0, time.UTC))
}

// The conformance of the bare adapter against the mock, as far as the REST services go.
func TestConformanceOfTheRESTServices(t *testing.T) {
	t.Parallel()
	capture := contracttest.NewCapture()
	s := onBench(t, func(c *Config, env *contracts.Env) {
		hasty(c, env)
		env.Log = capture.Logger()
	})
	group := s.vat("entrate-vat-group").PartitaIVA
	taxtest.Run(t, taxtest.Harness{
		Harness: contracttest.Harness{
			Runner: contracttest.Direct(s.a, s.Clock(), contracttest.Advancing(s.Advance)), Far: s.Bench, Wire: restCalls, Capture: capture,
			Reset: func() { // a refusal concerns new connections: each case begins without idle ones
				for _, p := range s.a.parts {
					switch p := p.part.(type) {
					case *codes:
						p.wire.Close()
					case *numbers:
						p.wire.Close()
					}
				}
			},
			// The gateway's 503 asks for five seconds, as the contract has it: that is for whoever holds the call.
			Known:  []string{"code-503-once", "vat-503-once"},
			Caller: contracts.Caller{Service: "suite", Purpose: pdnd.Activation, User: "system", Case: "SUITE-1"},
		},
		Register: Register,
		Ops:      []*contracts.OpInfo{tax.OpCode.OpInfo, tax.OpVAT.OpInfo},

		Valid: s.code("personal-domicile"), ValidSuperseded: s.code("entrate-code-valid-superseded"),
		Superseded: s.code("entrate-code-superseded"), InvalidCode: s.code("entrate-code-unknown"),
		Unclear: s.code("entrate-code-words-no"), BrokenCode: s.code("entrate-code-500"), UnaskableCode: s.code("entrate-code-400"),

		Active:      s.holds("company-with-pec", nil),
		Ceased:      s.holds("entrate-vat-ceased", func(v *tax.VAT) { v.Status, v.Ceased = tax.VATCeased, "2024-06-30" }),
		Suspended:   s.holds("entrate-vat-suspended", func(v *tax.VAT) { v.Status, v.Suspended = tax.VATSuspended, "2025-09-15" }),
		Unassigned:  taxtest.VATStory{Query: s.vat("entrate-vat-unassigned")},
		Group:       s.holds("entrate-vat-group", func(v *tax.VAT) { v.Group = true }),
		Member:      s.holds("entrate-vat-group-member", func(v *tax.VAT) { v.Member = &tax.Membership{Group: group, Since: "2019-01-01"} }),
		UnknownDays: s.holds("entrate-vat-undated", func(v *tax.VAT) { v.Since = "" }),
		OddStatus:   s.holds("entrate-vat-words", func(v *tax.VAT) { v.Status = "" }),
		OtherVAT: []taxtest.VATStory{
			s.holds("entrate-vat-group-member-undated", func(v *tax.VAT) { v.Member = &tax.Membership{Group: group} }),
			s.holds("entrate-vat-ceased-undated", func(v *tax.VAT) { v.Status = tax.VATCeased }),
			s.holds("entrate-vat-suspended-undated", func(v *tax.VAT) { v.Status = tax.VATSuspended }),
			s.holds("entrate-vat-no-state", func(v *tax.VAT) { v.Status = "" }),
			s.holds("entrate-vat-odd-day", func(v *tax.VAT) { v.Since = "" }),
			s.holds("entrate-vat-500-once", nil),
			s.holds("entrate-vat-slow", nil),
		},
		BrokenVAT: s.vat("entrate-vat-503"),
	})
}

// Every story of the mock's cast that is about one of these services ends as it must.
func TestEveryStoryOfTheCast(t *testing.T) {
	t.Parallel()
	const answered = contracts.Internal
	type end struct {
		kind  contracts.Kind
		code  string // of the error, or the state or status of the answer
		asked int    // 0: not counted
	}
	s := onBench(t, hasty)
	patient := onBench(t, hasty) // an exchange that was given up is counted when it ends, among the next ones
	wants := map[string]end{
		"entrate-code-valid-superseded":    {answered, "valid_superseded", 1},
		"entrate-code-superseded":          {answered, "superseded", 1},
		"entrate-code-unknown":             {answered, "invalid", 1},
		"entrate-code-words":               {answered, "unclear", 1},
		"entrate-code-words-no":            {answered, "unclear", 1},
		"entrate-code-contradiction":       {answered, "unclear", 1},
		"entrate-code-contradiction-yes":   {answered, "unclear", 1},
		"entrate-code-no-verdict":          {contracts.Malformed, "", 1},
		"entrate-code-no-message":          {contracts.Malformed, "", 1},
		"entrate-code-nothing":             {contracts.Malformed, "", 1},
		"entrate-code-another":             {contracts.Malformed, "", 1},
		"entrate-code-400":                 {contracts.Invalid, "InvalidRequestContent", 1},
		"entrate-code-401":                 {contracts.Denied, "TokenExpired", 2},
		"entrate-code-401-once":            {answered, "valid", 2},
		"entrate-code-403":                 {contracts.Denied, "AuthorizationDeny", 1},
		"entrate-code-429":                 {contracts.Throttled, "LimitExceeded", 1},
		"entrate-code-429-once":            {contracts.Throttled, "TooManyRequests", 1}, // it asks for a second, and is given back
		"entrate-code-500":                 {contracts.Unavailable, "GatewayError", 3},
		"entrate-code-502":                 {contracts.Unavailable, "InvalidResponse", 3},
		"entrate-code-502-wrapped":         {contracts.Unavailable, "BadResponse", 3},
		"entrate-code-503":                 {contracts.Unavailable, "APIUnavailable", 1}, // it asks for five
		"entrate-code-503-once":            {contracts.Unavailable, "APIUnavailable", 1},
		"entrate-code-504":                 {contracts.Unavailable, "EndpointReadTimeout", 3},
		"entrate-code-slow":                {answered, "valid", 0},
		"entrate-vat-group":                {answered, "active", 1},
		"entrate-vat-group-member":         {answered, "active", 1},
		"entrate-vat-group-member-undated": {answered, "active", 1},
		"entrate-vat-ceased":               {answered, "ceased", 1},
		"entrate-vat-ceased-undated":       {answered, "ceased", 1},
		"entrate-vat-suspended":            {answered, "suspended", 1},
		"entrate-vat-suspended-undated":    {answered, "suspended", 1},
		"entrate-vat-undated":              {answered, "active", 1},
		"entrate-vat-unassigned":           {answered, "", 1},
		"entrate-vat-words":                {answered, "", 1},
		"entrate-vat-no-state":             {answered, "", 1},
		"entrate-vat-no-verdict":           {contracts.Malformed, "", 1},
		"entrate-vat-contradiction":        {contracts.Malformed, "", 1},
		"entrate-vat-another":              {contracts.Malformed, "", 1},
		"entrate-vat-odd-day":              {answered, "active", 1},
		"entrate-vat-nothing":              {contracts.Malformed, "", 1},
		"entrate-vat-429":                  {contracts.Throttled, "LimitExceeded", 1},
		"entrate-vat-500":                  {contracts.Unavailable, "GatewayError", 3},
		"entrate-vat-500-once":             {answered, "active", 2},
		"entrate-vat-502":                  {contracts.Unavailable, "InvalidResponse", 3},
		"entrate-vat-503":                  {contracts.Unavailable, "APIUnavailable", 1},
		"entrate-vat-slow":                 {answered, "active", 0},
	}
	for _, who := range s.m.Cast() {
		aboutCode := strings.HasPrefix(who.Story, "entrate-code-")
		if !aboutCode && !strings.HasPrefix(who.Story, "entrate-vat-") {
			continue // of the other services
		}
		want, known := wants[who.Story]
		if !known {
			t.Errorf("%s: the cast has a story that no test tells", who.Story)
			continue
		}
		delete(wants, who.Story)
		s := s
		if want.asked == 0 {
			s = patient
		}
		before := s.Sent(restCalls)
		var (
			err error
			got string
		)
		if aboutCode {
			var c tax.CodeCheck
			c, err = do(t.Context(), s.a, tax.OpCode, s.code(who.Story))
			got = string(c.State)
		} else {
			var v tax.VAT
			v, err = do(t.Context(), s.a, tax.OpVAT, s.vat(who.Story))
			got = string(v.Status)
		}
		if err != nil {
			got = contracts.AsError(err).Code
		}
		if (err == nil) != (want.kind == answered) || err != nil && contracts.KindOf(err) != want.kind || got != want.code {
			t.Errorf("%s: %q, %v, want %q %q", who.Story, got, err, want.kind, want.code)
		}
		if n := s.Sent(restCalls) - before; want.asked > 0 && n != want.asked {
			t.Errorf("%s: asked %d times, want %d", who.Story, n, want.asked)
		}
	}
	for story := range wants {
		t.Errorf("%s is not in the cast", story)
	}
}

// The gateway goes by its other name, and refuses what is made out to the first.
func TestTheOtherNameOfTheGatewayIsExplained(t *testing.T) {
	t.Parallel()
	s := onBench(t, nil)
	s.m.Set(func(x *mock.Settings) { x.Host = mock.OtherHost })
	_, err := do(t.Context(), s.a, tax.OpCode, s.code("personal-domicile"))
	if e := wantKind(t, err, contracts.Denied); e.Code != "TokenAuthenticationFailed" || !strings.Contains(e.Error(), "made out to "+mock.Host) {
		t.Errorf("%v: want both names", err)
	}
}

func TestTheQuotaOfTheGatewayIsKept(t *testing.T) {
	t.Parallel()
	for form, want := range map[mock.Form]time.Duration{
		mock.Seconds: 40 * time.Second, mock.Date: 40 * time.Second, mock.ResetOnly: 40 * time.Second, mock.Silent: 10 * time.Second,
	} {
		s := onBench(t, hasty)
		s.m.Set(func(x *mock.Settings) { x.Quota, x.Windowed, x.Retry = 2, true, form })
		ask := func() error {
			_, err := do(t.Context(), s.a, tax.OpCode, s.code("personal-domicile"))
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		s.Advance(20 * time.Second)
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		e := wantKind(t, ask(), contracts.Throttled)
		if e.Code != "LimitExceeded" || e.After != want {
			t.Errorf("%s: code %q, after %v, want %v", form, e.Code, e.After, want)
		}
		s.Advance(40 * time.Second)
		if err := ask(); err != nil {
			t.Errorf("%s: after the wait: %v", form, err)
		}
	}
}

func TestCheckOnTheBench(t *testing.T) {
	t.Parallel()
	s := onBench(t, nil)
	if err := s.a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.Sent(restCalls); n != 0 {
		t.Errorf("%d questions about somebody", n)
	}
	s.Inject(lab.Fault{Match: "entrate GET *", Do: lab.Status, Status: http.StatusServiceUnavailable})
	if e := wantKind(t, s.a.Check(t.Context()), contracts.Unavailable); e.Operation != "check" {
		t.Errorf("operation %q", e.Operation)
	}
}

// The agency's pattern knows omocodia, and natural persons of eleven digits.
func TestOmocodicAndProvisionalCodesAreAsked(t *testing.T) {
	t.Parallel()
	s := onBench(t, nil)
	for _, story := range []string{"omocodic-code", "omocodic-code-full", "provisional-code", "body-with-domicile"} {
		if got, err := do(t.Context(), s.a, tax.OpCode, s.code(story)); err != nil || got.State != tax.CodeValid {
			t.Errorf("%s: %s, %v", story, got.State, err)
		}
	}
}
