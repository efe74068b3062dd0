package mocks

import (
	"encoding/base64"
	"net/http"
	"slices"
	"time"

	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/registroimprese"
	"raccordo/mocks/wspa"
)

// garbled are the stories of a register that breaks every contract, or gives no whole answer.
var garbled = []string{"ri-reset", "ri-slow", "ri-html", "ri-empty", "ri-wrong-members"}

func driveRegisterOverWSPA(b *lab.Bench, m *registroimprese.Mock, k *taker) []taken {
	const query = "?client_id=ministero-collaudo"
	names := b.Names("drive register")
	login := func(name string, claims map[string]any) string {
		k.t.Helper()
		assertion := compact(k.t, m.ClientKey(), map[string]any{
			"typ": "JWT", "use": "sig", "x5c": []string{base64.StdEncoding.EncodeToString(m.Certificate().Raw)},
		}, claims)
		return string(k.send(name, "POST", "/authentication"+query, http.Header{"Content-Type": {"text/plain"}}, assertion).body)
	}
	login("login refused", map[string]any{"aud": "elsewhere"})
	header := http.Header{"Authorization": {"Bearer " + login("login", map[string]any{
		"aud": k.base, "iss": m.ClientID(), "sub": m.ClientID(), "jti": names.UUID(), "scope": "sede-impresa-pa lr-pa",
		"exp": b.Clock().Now().Add(time.Minute).Unix(),
	})}}
	about := func(name string, member lab.Member, header http.Header) {
		k.t.Helper()
		code, speaker := member.CodiceFiscale, member.Representative
		if speaker == "" {
			speaker = code
		}
		k.send("seat "+name, "POST", "/sede/"+code+query, header, "")
		k.send("existence "+name, "GET", "/esistenzari/"+code+query, header, "")
		k.send("represents "+name, "GET", "/legaleRappresentante/"+speaker+query+"&cfImpresa="+code, header, "")
		k.send("represented "+name, "GET", "/listaLegaleRappresentante/"+speaker+query, header, "")
	}
	firm := lab.Who("company-with-pec")
	for _, member := range append(m.Cast(), firm, lab.Who("sole-trader-as-enterprise"), lab.Who("body-with-domicile"), lab.Who("personal-domicile")) {
		if !slices.Contains(garbled, member.Story) {
			about(member.Story, member, header)
		}
	}
	about("without a token", firm, nil)
	m.Set(func(s *registroimprese.Settings) { s.Unauthorized = wspa.BackEnd })
	about("without a token, told by the back end", firm, nil)
	for _, fault := range []string{"500", "503"} {
		if err := b.Misbehave("registroimprese:"+fault, 4); err != nil {
			k.t.Fatal(err)
		}
		about(fault, firm, header)
	}
	m.Set(func(s *registroimprese.Settings) {
		s.Number, s.NameInside, s.Yes = registroimprese.GetNCivico, true, "VerificaOk"
	})
	about("in the other shape", firm, header)
	about("of a code that is none", lab.Member{CodiceFiscale: "123"}, header)
	m.Set(func(s *registroimprese.Settings) { s.PerMinute = 2 }) // the seat and the existence, both representations
	about("within the quota", firm, header)
	about("throttled", firm, header)
	m.Set(func(s *registroimprese.Settings) { s.PerMinute = 0 })
	return k.kept
}

func driveRegisterOverPDND(b *lab.Bench, p *pdnd.Mock, m *registroimprese.Mock, k *taker) []taken {
	voucher, err := p.Voucher("registroimprese", pdnd.Activation)
	if err != nil {
		k.t.Fatal(err)
	}
	header := http.Header{"Authorization": {"Bearer " + voucher}}
	about := func(name, code string, header http.Header) {
		k.t.Helper()
		k.send(name+", in short", "GET", "/imprese/"+code+"?profilo=sintetico", header, "")
		k.send(name, "GET", "/imprese/"+code+"?profilo=completo", header, "")
	}
	for _, member := range slices.Concat(lab.Cast(), m.Cast()) {
		if !slices.Contains(garbled, member.Story) {
			about(member.Story, member.CodiceFiscale, header)
		}
	}
	code := lab.Who("company-with-pec").CodiceFiscale
	about("without a voucher", code, nil)
	about("of a code that is none", "123", header)
	for _, fault := range []string{"500", "503", "denied", "stale-voucher"} {
		if err := b.Misbehave("registroimprese:"+fault, 2); err != nil {
			k.t.Fatal(err)
		}
		about(fault, code, header)
	}
	k.send("status", "GET", "/status", nil, "")
	m.Set(func(s *registroimprese.Settings) { s.Granted = 1 })
	about("throttled", code, header)
	return k.kept
}
