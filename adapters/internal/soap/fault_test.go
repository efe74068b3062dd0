package soap

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
)

func faultOf(code, rest string) string {
	return body(`<S:Fault><faultcode>` + code + `</faultcode><faultstring>SECRET</faultstring>` + rest + `</S:Fault>`)
}

func govway(status, kind string) string {
	return faultOf("S:Server", `<detail><problem xmlns="urn:ietf:rfc:7807"><type>https://govway.org/handling-errors/`+status+`/`+kind+
		`.html</type><title>`+kind+`</title><status>`+status+`</status><detail>SECRET</detail><govway_id>g-1</govway_id></problem></detail>`)
}

func TestFaultsAreTyped(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		status int
		text   string
		effect contracts.Effect
		kind   contracts.Kind
		code   string
		after  time.Duration
	}{
		{"Client with 500", 500, faultOf("S:Client", ""), contracts.Read, contracts.Invalid, "Client", 0},
		{"Client with 200", 200, faultOf("S:Client", ""), contracts.Once, contracts.Invalid, "Client", 0},
		{"Client with 400", 400, faultOf("S:Client", ""), contracts.Read, contracts.Invalid, "Client", 0},
		{"Client.Authentication", 500, faultOf("S:Client.Authentication", ""), contracts.Read, contracts.Denied, "Client.Authentication", 0},
		{"Server, to a read", 500, faultOf("S:Server", ""), contracts.Read, contracts.Unavailable, "Server", 3 * time.Second},
		{"Server, after an effect: the peer has told", 500, faultOf("S:Server", ""), contracts.Once, contracts.Unavailable, "Server", 3 * time.Second},
		{"VersionMismatch", 500, faultOf("S:VersionMismatch", ""), contracts.Read, contracts.Malformed, "VersionMismatch", 0},
		{"MustUnderstand", 500, faultOf("S:MustUnderstand", ""), contracts.Read, contracts.Malformed, "MustUnderstand", 0},
		{"SOAP's word without a prefix", 500, faultOf("Server", ""), contracts.Read, contracts.Unavailable, "Server", 3 * time.Second},
		{"SOAP's word in another namespace", 500, strings.Replace(faultOf("x:Client", ""), "<faultcode", `<faultcode xmlns:x="urn:x"`, 1), contracts.Read, contracts.Malformed, "Client", 0},
		{"SOAP's word by a prefix declared on the spot", 500, strings.Replace(faultOf(" q:Client\n", ""), "<faultcode", `<faultcode xmlns:q="`+NSEnvelope+`"`, 1), contracts.Read, contracts.Invalid, "Client", 0},
		{"a code of the supplier's own", 500, faultOf("E-77", ""), contracts.Read, contracts.Malformed, "E-77", 0},
		{"WS-Security's FailedAuthentication", 500, strings.Replace(faultOf("w:FailedAuthentication", ""), "<S:Fault", `<S:Fault xmlns:w="`+NSSecurity+`"`, 1), contracts.Read, contracts.Denied, "FailedAuthentication", 0},
		{"a fault without a code", 500, body(`<S:Fault/>`), contracts.Read, contracts.Malformed, "", 0},
		{"a code that is no name stays out", 500, faultOf("E 77 Rossi", ""), contracts.Read, contracts.Malformed, "", 0},
		{"a gateway's status decides", 503, faultOf("S:Client", ""), contracts.Once, contracts.Unavailable, "Client", 3 * time.Second},
		{"401 with a fault", 401, faultOf("S:Client", ""), contracts.Read, contracts.Denied, "Client", 0},
		{"429 with a fault", 429, faultOf("S:Server", ""), contracts.Once, contracts.Throttled, "Server", 3 * time.Second},
		{"GovWay: TooManyRequests", 500, govway("429", "TooManyRequests"), contracts.Read, contracts.Throttled, "TooManyRequests", 3 * time.Second},
		{"GovWay: LimitExceeded", 500, govway("429", "LimitExceeded"), contracts.Read, contracts.Throttled, "LimitExceeded", 3 * time.Second},
		{"GovWay: AuthorizationDeny", 500, govway("403", "AuthorizationDeny"), contracts.Read, contracts.Denied, "AuthorizationDeny", 0},
		{"GovWay: InvalidRequestContent", 500, govway("400", "InvalidRequestContent"), contracts.Once, contracts.Invalid, "InvalidRequestContent", 0},
		{"GovWay: APIUnavailable", 500, govway("503", "APIUnavailable"), contracts.Once, contracts.Unavailable, "APIUnavailable", 3 * time.Second},
		{"GovWay: InvalidResponse to a read", 500, govway("502", "InvalidResponse"), contracts.Read, contracts.Unavailable, "InvalidResponse", 3 * time.Second},
		{"GovWay: InvalidResponse after an effect", 500, govway("502", "InvalidResponse"), contracts.Once, contracts.Uncertain, "InvalidResponse", 0},
		{"GovWay: a problem without a type", 500, strings.Replace(govway("503", "APIUnavailable"), "https://govway.org/handling-errors/503/APIUnavailable.html", "about:blank", 1), contracts.Read, contracts.Unavailable, "APIUnavailable", 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(_ int, w http.ResponseWriter) {
				w.Header().Set("Retry-After", "3")
				write(w, tc.status, tc.text)
			})
			_, reply, err := Call[told](with(t.Context(), tc.effect), New(Options{Wire: dial(t, s.URL, nil)}), operation, &ask{})
			e := contracttest.ErrorOf(t, err, tc.kind, "peer")
			var fault *Fault
			if !errors.As(err, &fault) || e.Code != tc.code || e.After != tc.after || reply == nil {
				t.Errorf("%v, code %q, after %v, fault %+v", err, e.Code, e.After, fault)
			}
			if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "Rossi") {
				t.Errorf("the peer's text is quoted: %v", err)
			}
			if len(s.requests) != 1 && tc.status == 500 {
				t.Errorf("a fault with 500 was repeated: %d requests", len(s.requests))
			}
		})
	}
}

func TestTooManyWithoutATimeWaitsSomeTime(t *testing.T) {
	t.Parallel()
	s := serve(t, func(_ int, w http.ResponseWriter) { write(w, 500, govway("429", "TooManyRequests")) })
	_, _, err := Call[told](with(t.Context(), contracts.Read), New(Options{Wire: dial(t, s.URL, nil)}), operation, &ask{})
	if e := contracttest.ErrorOf(t, err, contracts.Throttled, "peer"); e.After != throttled {
		t.Errorf("after %v", e.After)
	}
}

func TestAFaultsDetailStandsAlone(t *testing.T) {
	t.Parallel()
	text := strings.Replace(faultOf("S:Client", `<faultactor>urn:peer</faultactor><detail xmlns:d="urn:d-x"><d:Code>7</d:Code><o:Other/><S:x/></detail>`),
		"<S:Fault", `<S:Fault xmlns:o="urn:o"`, 1)
	env, err := scan([]byte(text), operation.Answer, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseFault(env)
	if err != nil || f.Actor != "urn:peer" || f.String != "SECRET" {
		t.Fatalf("%+v, %v", f, err)
	}
	var in struct {
		Code  string    `xml:"urn:d-x Code"`
		Other *struct{} `xml:"urn:o Other"`
		X     *struct{} `xml:"http://schemas.xmlsoap.org/soap/envelope/ x"`
	}
	if err := xml.Unmarshal(f.Detail, &in); err != nil || in.Code != "7" || in.Other == nil || in.X == nil {
		t.Errorf("%s: %+v, %v", f.Detail, in, err)
	}
	if big, err := scan([]byte(faultOf("S:Client", "<detail>"+strings.Repeat("x", maxDetail+1)+"</detail>")), operation.Answer, nil, nil); err != nil {
		t.Error(err)
	} else if f, err := parseFault(big); err != nil || f.Detail != nil || f.Code != "Client" {
		t.Errorf("a large detail: %v, %d bytes", err, len(f.Detail))
	}
}

func TestOtherFailuresFollowTheirStatus(t *testing.T) {
	t.Parallel()
	const page = "<html><body>SECRET</body></html>"
	for _, tc := range []struct {
		name   string
		status int
		media  string
		text   string
		effect contracts.Effect
		kind   contracts.Kind
		tries  int
	}{
		{"HTML with 500, to a read", 500, "text/html", page, contracts.Read, contracts.Unavailable, 3},
		{"HTML with 500, after an effect", 500, "text/html", page, contracts.Once, contracts.Uncertain, 1},
		{"nothing with 500", 500, "text/xml", "", contracts.Read, contracts.Unavailable, 3},
		{"nothing with 503", 503, "", "", contracts.Read, contracts.Unavailable, 3},
		{"a fault in HTML's clothes", 500, "text/html", faultOf("S:Client", ""), contracts.Read, contracts.Unavailable, 3},
		{"half a fault with 500", 500, "text/xml", faultOf("S:Client", "")[:150], contracts.Read, contracts.Unavailable, 3},
		{"an answer with 500", 500, "text/xml", body(yes), contracts.Read, contracts.Unavailable, 3},
		{"a fault of SOAP 1.2 with 500", 500, "text/xml", strings.ReplaceAll(faultOf("S:Client", ""), NSEnvelope, nsEnvelope12), contracts.Read, contracts.Unavailable, 3},
		{"a fault with 503 is repeated as the status has it", 503, "text/xml", faultOf("S:Server", ""), contracts.Read, contracts.Unavailable, 3},
		{"403 in HTML", 403, "text/html", page, contracts.Read, contracts.Denied, 1},
		{"404 in HTML", 404, "text/html", page, contracts.Read, contracts.Malformed, 1},
		{"a redirect to a login", 302, "text/html", page, contracts.Read, contracts.Malformed, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(_ int, w http.ResponseWriter) {
				w.Header().Set("Content-Type", tc.media)
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.text))
			})
			_, _, err := Call[told](with(t.Context(), tc.effect), New(Options{Wire: dial(t, s.URL, nil)}), operation, &ask{})
			contracttest.ErrorOf(t, err, tc.kind, "peer")
			if len(s.requests) != tc.tries || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v, %d requests, want %d", err, len(s.requests), tc.tries)
			}
		})
	}
}
