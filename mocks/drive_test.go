package mocks

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"raccordo/mocks/inad"
	"raccordo/mocks/inipec"
	"raccordo/mocks/lab"
	"raccordo/mocks/pdnd"
	"raccordo/mocks/registroimprese"
)

// drive makes every mock give every kind of answer it has, and returns the exchanges by mock.
func drive(t *testing.T) map[string][]taken {
	t.Helper()
	p, i, c, r := pdnd.New(), inad.New(), inipec.New(), registroimprese.New()
	b := lab.Start(t, p, i, c, r)
	client := b.Client(t)
	at := func(base string) *taker { return &taker{t: t, base: base, http: client} }
	to := func(mock string) *taker { return at(b.URL(mock)) }
	return map[string][]taken{
		"pdnd":   drivePDND(b, p, to("pdnd")),
		"inad":   driveINAD(b, p, i, to("inad")),
		"inipec": driveINIPEC(b, c, to("inipec")),

		"registroimprese over wspa": driveRegisterOverWSPA(b, r, at(r.WSPAURL())),
		"registroimprese over pdnd": driveRegisterOverPDND(b, p, r, at(r.PDNDURL())),
	}
}

func compact(t *testing.T, key any, header, claims map[string]any) string {
	t.Helper()
	opts := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	for k, v := range header {
		opts.ExtraHeaders[jose.HeaderKey(k)] = v
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func drivePDND(b *lab.Bench, p *pdnd.Mock, k *taker) []taken {
	now := b.Clock().Now()
	names := b.Names("drive")
	form := func() string {
		return url.Values{
			"grant_type": {"client_credentials"}, "client_id": {p.ClientID()},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion": {compact(k.t, p.ClientKey(), map[string]any{"kid": p.KeyID()}, map[string]any{
				"iss": p.ClientID(), "sub": p.ClientID(), "aud": pdnd.AssertionAudience, "jti": names.UUID(), "iat": now.Unix(),
				"exp": now.Add(time.Minute).Unix(), "purposeId": p.Purposes("inad")[pdnd.Activation],
			})},
		}.Encode()
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	k.send("token", "POST", "/token.oauth2", header, form())
	k.send("token refused", "POST", "/token.oauth2", header, "grant_type=client_credentials")
	b.Inject(lab.Fault{Match: "pdnd *", Times: 1, Do: lab.Status, Status: 500})
	k.send("token 500", "POST", "/token.oauth2", header, form())
	p.Set(func(s *pdnd.Settings) { s.RateLimit = 0 })
	k.send("token throttled", "POST", "/token.oauth2", header, form())
	p.Set(func(s *pdnd.Settings) { s.RateLimit = 1000 })
	k.send("status", "GET", "/status", nil, "")
	k.send("keys", "GET", "/.well-known/jwks.json", nil, "")
	return k.kept
}

func driveINAD(b *lab.Bench, p *pdnd.Mock, m *inad.Mock, k *taker) []taken {
	voucher, err := p.Voucher("inad", pdnd.Activation)
	if err != nil {
		k.t.Fatal(err)
	}
	header := http.Header{"Authorization": {"Bearer " + voucher}, "Content-Type": {"application/json"}}
	code := lab.Who("personal-domicile").CodiceFiscale
	extract := func(name, code string) {
		k.t.Helper()
		k.send(name, "GET", "/extract/"+code+"?practicalReference=P-1", header, "")
	}
	for _, story := range lab.Stories(lab.Cast()) { // whoever INAD knows, and everybody else
		if member := lab.Who(story); member.Quirk != lab.QuirkReset && member.Quirk != lab.QuirkSlow {
			extract("extract "+story, member.CodiceFiscale)
		}
	}
	for name, do := range map[string]string{
		"503": "503", "500": "500", "403": "denied", "401": "stale-voucher",
		"throttled by a proxy": "throttle",
	} {
		if err := b.Misbehave("inad:"+do, 1); err != nil {
			k.t.Fatal(err)
		}
		extract("extract "+name, code)
	}
	k.send("extract without a voucher", "GET", "/extract/"+code+"?practicalReference=P-1", nil, "")
	k.send("extract without a reference", "GET", "/extract/"+code, header, "")
	const day = "&since=2026-11-20&practicalReference=P-1"
	for name, q := range map[string]string{
		"theirs":     "bruno.marescotti%40" + lab.DomainCitizens + day,
		"not theirs": "a%40b.it" + day, "refused": "nobody" + day,
	} {
		k.send("verify "+name, "GET", "/verify/"+code+"?digital_address="+q, header, "")
	}
	k.send("verify nobody", "GET", "/verify/"+lab.Who("no-domicile").CodiceFiscale+"?digital_address=a%40b.it"+day, header, "")

	k.send("order refused", "POST", "/listDigitalAddress", header, `{}`)
	list := func(name string, codes ...string) {
		k.t.Helper()
		body, err := json.Marshal(map[string]any{"codiciFiscali": codes, "praticalReference": "P-1"})
		if err != nil {
			k.t.Fatal(err)
		}
		var out struct{ ID string }
		if err := json.Unmarshal(k.send("order", "POST", "/listDigitalAddress", header, string(body)).body, &out); err != nil {
			k.t.Fatal(err)
		}
		k.send("response too soon", "GET", "/listDigitalAddress/response/"+out.ID, header, "")
		for range 3 {
			k.send("state", "GET", "/listDigitalAddress/state/"+out.ID, header, "")
		}
		k.send(name, "GET", "/listDigitalAddress/response/"+out.ID, header, "")
	}
	list("response", code, lab.Who("no-domicile").CodiceFiscale, lab.Who("ceased-domicile").CodiceFiscale)
	list("response absent-in-list", lab.Who("absent-in-list").CodiceFiscale)
	m.Set(func(s *inad.Settings) { s.EmptyAbsent, s.Usage = true, lab.UsageOmitted })
	list("response with EmptyAbsent", lab.Who("no-domicile").CodiceFiscale)
	extract("extract with Usage omitted", code)
	return k.kept
}

func driveINIPEC(b *lab.Bench, m *inipec.Mock, k *taker) []taken {
	names, query := b.Names("drive"), "?client_id="+m.ClientID()
	login := func(name string) string {
		k.t.Helper()
		assertion := compact(k.t, m.ClientKey(), map[string]any{
			"typ": "JWT", "use": "sig",
			"x5c": []string{base64.StdEncoding.EncodeToString(m.Certificate().Raw)},
		}, map[string]any{
			"aud": k.base,
			"iss": m.ClientID(), "sub": m.ClientID(), "jti": names.UUID(), "scope": "pec-pa",
			"exp": b.Clock().Now().Add(time.Minute).Unix(),
		})
		return string(k.send(name, "POST", "/authentication"+query, http.Header{"Content-Type": {"text/plain"}}, assertion).body)
	}
	header := http.Header{"Authorization": {"Bearer " + login("login")}, "Content-Type": {"application/json"}}
	for _, style := range []inipec.Style{inipec.Gateway, inipec.BackEnd} {
		m.Set(func(s *inipec.Settings) { s.Unauthorized = style })
		k.send("login refused "+string(style), "POST", "/authentication", http.Header{"Content-Type": {"text/plain"}}, "x")
		k.send("order without a token "+string(style), "POST", "/richiestaElencoPec"+query, nil, "{}")
	}
	for status, name := range map[int]string{500: "login 500", 503: "login 503"} {
		b.Inject(lab.Fault{Match: "inipec POST /authentication", Times: 1, Do: lab.Status, Status: status})
		login(name)
	}
	const path = "/richiestaElencoPec"
	k.send("order refused", "POST", path+query, header, "{}")
	for _, fault := range []string{"500", "503", "stale-voucher"} {
		if err := b.Misbehave("inipec:"+fault, 1); err != nil {
			k.t.Fatal(err)
		}
		k.send("order "+fault, "POST", path+query, header, "{}")
	}
	body := `{"dataOraRichiesta":"2026-11-21T09:00:00","elencoCf":[{"cf":"` + lab.Who("company-with-pec").CodiceFiscale +
		`"},{"cf":"` + lab.Who("lawyer-as-professional").CodiceFiscale + `"},{"cf":"` + lab.Who("company-unknown").CodiceFiscale + `"}]}`
	fetch := func(name string, set func(*inipec.Settings)) {
		k.t.Helper()
		m.Set(func(s *inipec.Settings) { s.Polls = 0 })
		m.Set(set)
		var out struct {
			ID string `json:"identificativoRichiesta"`
		}
		if err := json.Unmarshal(k.send("order", "POST", path+query, header, body).body, &out); err != nil {
			k.t.Fatal(err)
		}
		k.send(name, "GET", "/getElencoPec/"+out.ID+query, header, "")
	}
	fetch("list", func(*inipec.Settings) {})
	fetch("list in the shape of 2024", func(s *inipec.Settings) { s.Professionals = inipec.Shape2024 })
	fetch("list without the unknown", func(s *inipec.Settings) { s.MissingCodes = true })
	fetch("list that failed", func(s *inipec.Settings) { s.ListError = "Errore" })
	fetch("list null", func(s *inipec.Settings) { s.NullList = true })
	fetch("not ready inside 200", func(s *inipec.Settings) { s.Polls = 1 })
	fetch("not ready as 404", func(s *inipec.Settings) { s.Polls, s.NotReady = 1, inipec.Status })
	k.send("list unknown", "GET", "/getElencoPec/x"+query, header, "")
	attest := func(name, story, q string) {
		k.send(name, "GET", "/attestazioniPec/"+lab.Who(story).CodiceFiscale+query+q, header, "")
	}
	attest("attestation", "company-with-pec", "&data=2026-11-20")
	attest("attestation, none", "company-unknown", "&data=2026-11-20")
	attest("attestation refuse", "company-with-pec", "")
	return k.kept
}
