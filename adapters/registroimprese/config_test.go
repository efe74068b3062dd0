package registroimprese

import (
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/domicile"
)

func TestOperationsFollowTheRoad(t *testing.T) {
	t.Parallel()
	sg, g := overGateway(t, nil)
	se, e := overPDND(t, nil)
	for road, x := range map[string]struct {
		cfg   *Config
		bound []contracts.Binding
		want  []*contracts.OpInfo
	}{
		RoadWSPA: {sg.cfg, g.Bindings(), []*contracts.OpInfo{company.OpFind.OpInfo, company.OpRepresents.OpInfo, company.OpRepresented.OpInfo}},
		RoadPDND: {se.cfg, e.Bindings(), []*contracts.OpInfo{company.OpFind.OpInfo, domicile.OpLookup.OpInfo}},
	} {
		var bound []*contracts.OpInfo
		for _, b := range x.bound {
			bound = append(bound, b.Op)
		}
		if !slices.Equal(x.cfg.Operations(), x.want) || !slices.Equal(bound, x.want) {
			t.Errorf("road %s: declared and bound are not what it offers", road)
		}
	}
}

func TestPacesFollowTheRoad(t *testing.T) {
	t.Parallel()
	if p := (&Config{Road: RoadWSPA}).Paces(); len(p) != 0 {
		t.Errorf("road wspa: %v, and it looks up no domicile", p)
	}
	p := (&Config{Road: RoadPDND}).Paces()
	if len(p) != 1 || p[0] != (contracts.Pace{Op: domicile.OpLookup.OpInfo, For: "enterprise", AtOnce: true}) {
		t.Errorf("road pdnd: %v", p)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*Config)
		env    contracts.Environment
		paths  []string
	}{
		{"the empty configuration", func(*Config) {}, contracts.Collaudo, []string{"road", "http.endpoint"}},
		{"an unknown road", func(c *Config) { c.Road = "parix" }, contracts.Collaudo, []string{"road", "http.endpoint"}},
		{
			"nothing but the road wspa", func(c *Config) { c.Road = RoadWSPA }, contracts.Collaudo,
			[]string{"http.endpoint", "login.client", "login.key", "login.certificate"},
		},
		{
			"nothing but the road pdnd", func(c *Config) { c.Road = RoadPDND }, contracts.Collaudo,
			[]string{"http.endpoint", "voucher.client", "voucher.key", "voucher.purposes"},
		},
		{
			"another environment's gateway", func(c *Config) {
				c.Road, c.HTTP.Endpoint, c.Login.Audience = RoadWSPA, "https://icapis.infocamere.it/ic/pe/wspa/wspa/rest", "https://icapis.infocamere.it/x"
			}, contracts.Collaudo, []string{"http.endpoint", "login.audience", "login.client", "login.key", "login.certificate"},
		},
		{
			"another environment's e-service",
			func(c *Config) { c.Road, c.HTTP.Endpoint = RoadPDND, "https://eservices.att.interop.pagopa.it/ri" },
			contracts.Produzione,
			[]string{"http.endpoint", "voucher.client", "voucher.key", "voucher.purposes"},
		},
		{
			"a voucher and evidence on road wspa", func(c *Config) { c.Road, c.Voucher.Client, c.Audit = RoadWSPA, "x", "x" }, contracts.Collaudo,
			[]string{"http.endpoint", "login.client", "login.key", "login.certificate", "voucher", "audit"},
		},
		{
			"a log-in on road pdnd", func(c *Config) { c.Road, c.Login.RenewBefore = RoadPDND, time.Second }, contracts.Collaudo,
			[]string{"http.endpoint", "voucher.client", "voucher.key", "voucher.purposes", "login"},
		},
		{
			"numbers out of bounds", func(c *Config) { c.Road, c.HTTP.Timeout, c.Login.RenewBefore = RoadWSPA, 0, -1 }, contracts.Collaudo,
			[]string{"http.endpoint", "http.timeout", "login.client", "login.key", "login.certificate", "login.renew_before"},
		},
	} {
		c := Default().(*Config)
		tc.change(c)
		var paths []string
		for fault := range strings.SplitSeq(c.Validate(tc.env).Error(), "\n") {
			path, _, _ := strings.Cut(fault, ": ")
			paths = append(paths, path)
		}
		slices.Sort(paths)
		slices.Sort(tc.paths)
		if !slices.Equal(paths, tc.paths) {
			t.Errorf("%s: faults at %v, want %v", tc.name, paths, tc.paths)
		}
	}
}

func TestOpenTellsWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, road := range []string{RoadWSPA, RoadPDND} {
		s := newStage(t, road, nil)
		s.cfg.Login.Key, s.cfg.Voucher.Key = "secret://file//nowhere", "secret://file//nowhere"
		_, err := s.cfg.Open(t.Context(), s.env)
		if e := wantKind(t, err, contracts.Invalid); e.Operation != "open" || !strings.Contains(e.Error(), ".key: cannot be read") {
			t.Errorf("road %s: %v", road, e)
		}
	}
}
