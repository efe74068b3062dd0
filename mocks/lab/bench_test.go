package lab

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// admin does one call of the admin endpoint.
func admin(t *testing.T, b *Bench, method, what, body string) (status int, out map[string]any, raw string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.AdminURL()+what, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	json.Unmarshal(text, &out)
	return resp.StatusCode, out, string(text)
}

func TestAdminDrivesFaultsClockAndJournal(t *testing.T) {
	t.Parallel()
	b := Start(t, &toy{name: "toy"})
	if status, _, raw := admin(t, b, "POST", "faults", `{"match":"toy POST *","times":1,"do":"status","status":503,"wait":"1ms"}`); status != 200 ||
		!strings.Contains(raw, `"wait":"1ms"`) {
		t.Errorf("inject: %d %s", status, raw)
	}
	if status, _, _ := ask(t, b.Client(t), b, "/task/1"); status != 503 {
		t.Errorf("the injected fault gave %d", status)
	}
	if status, _, raw := admin(t, b, "POST", "faults", `{"misbehave":"toy:garbage","times":2}`); status != 200 || !strings.Contains(raw, "garbage") {
		t.Errorf("misbehave: %d %s", status, raw)
	}
	if status, _, raw := admin(t, b, "DELETE", "faults", ""); status != 200 || strings.TrimSpace(raw) != "[]" {
		t.Errorf("clear: %d %s", status, raw)
	}
	if _, out, raw := admin(t, b, "GET", "journal?match=toy+*&after=0&max=10", ""); len(out["exchanges"].([]any)) != 1 ||
		!strings.Contains(raw, `"fault":"status"`) {
		t.Errorf("journal: %s", raw)
	}
	if _, out, _ := admin(t, b, "GET", "journal?after=1", ""); len(out["exchanges"].([]any)) != 0 {
		t.Error("journal: after is not obeyed")
	}
	for _, c := range []struct{ body, want string }{
		{`{"advance":"90m"}`, "2026-11-21T09:30:00Z"},
		{`{"to":"2026-11-22T00:00:00Z"}`, "2026-11-22T00:00:00Z"},
		{`{"step":"-1h"}`, "2026-11-21T23:00:00Z"},
	} {
		if _, out, raw := admin(t, b, "POST", "clock", c.body); out["now"] != c.want {
			t.Errorf("%s: %s", c.body, raw)
		}
	}
	if _, out, _ := admin(t, b, "GET", "seed", ""); out["seed"] != 1.0 {
		t.Errorf("seed: %v", out)
	}
	if _, _, raw := admin(t, b, "GET", "cast", ""); !strings.Contains(raw, "lawyer-hiring-a-carer") {
		t.Error("cast: not told")
	}
}

func TestAdminRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	b := Start(t, &toy{name: "toy"})
	for _, c := range []struct{ what, body string }{
		{"faults", `{`},
		{"faults", `{"unknown":1}`},
		{"faults", `{"misbehave":"explode"}`},
		{"faults", `{"match":"*","do":"explode"}`},
		{"faults", `{"do":"drop"}`},
		{"faults", `{"match":"*","do":"status"}`},
		{"faults", `{"match":"*","do":"drop","wait":"long"}`},
		{"faults", `{"match":"*","do":"drop","chance":2}`},
		{"clock", `{}`},
		{"clock", `{"advance":"-1h"}`},
		{"clock", `{"step":"soon"}`},
	} {
		if status, _, raw := admin(t, b, "POST", c.what, c.body); status != 400 {
			t.Errorf("%s %s: %d %s", c.what, c.body, status, raw)
		}
	}
	if status, _, _ := admin(t, b, "GET", "journal?max=many", ""); status != 400 {
		t.Errorf("journal: %d", status)
	}
}

func TestBenchOnTheSameFolderGoesOnWithTheSameRootsAndKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func() (ca []byte, modulus string) {
		b, err := New(Options{Clock: NewClock(dawn), Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		key, file, err := b.Key("some")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key's file: %v", err)
		}
		return b.CA().PEM(), key.N.String()
	}
	ca1, n1 := open()
	ca2, n2 := open()
	if !bytes.Equal(ca1, ca2) || n1 != n2 {
		t.Error("roots or keys were made anew")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("a folder that was given was removed")
	}
}

func TestTemporaryFolderGoesWithTheBench(t *testing.T) {
	t.Parallel()
	b, err := New(Options{Clock: NewClock(dawn)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.Dir()); !os.IsNotExist(err) {
		t.Error("the temporary folder is still there")
	}
}

func TestNamesReplayFromTheSeedAndDifferByName(t *testing.T) {
	t.Parallel()
	b1, b2 := Start(t), Start(t)
	if a, b := b1.Names("x").UUID(), b2.Names("x").UUID(); a != b || len(a) != 36 || a[14] != '4' {
		t.Errorf("%s and %s", a, b)
	}
	if b1.Names("x").UUID() == b1.Names("y").UUID() {
		t.Error("two names drew the same")
	}
}

func TestOnceMeansOnce(t *testing.T) {
	t.Parallel()
	var o Once
	if !o.Use("a", dawn, dawn.Add(time.Minute)) || o.Use("a", dawn, dawn.Add(time.Minute)) || !o.Use("b", dawn, dawn) {
		t.Error("not once")
	}
}

func TestTwoMocksOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	b := Start(t, &toy{name: "toy"})
	if err := b.Attach(&toy{name: "toy"}); err == nil {
		t.Error("taken")
	}
}

func TestRefuseReachesPlainListeners(t *testing.T) {
	t.Parallel()
	b := Start(t)
	l, err := b.Listen("post", "smtp")
	if err != nil {
		t.Fatal(err)
	}
	if b.Endpoint("post", "smtp") != l.Addr().String() {
		t.Error("the endpoint is not registered")
	}
	b.Inject(Fault{Match: "post smtp connect", Times: 1, Do: Refuse})
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Write([]byte("220 "))
			c.Close()
		}
		accepted <- err
	}()
	read := func() string {
		c, err := dial(t, l.Addr().String())
		if err != nil {
			return ""
		}
		defer c.Close()
		raw, _ := io.ReadAll(c)
		return string(raw)
	}
	if got := read(); got != "" {
		t.Errorf("the refused connection was greeted: %q", got)
	}
	if got := read(); got != "220 " {
		t.Errorf("the next connection read %q", got)
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, address string) (net.Conn, error) {
	t.Helper()
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
}

func TestAMockAddsItsOwnSwitchesToTheAdminEndpoint(t *testing.T) {
	b := Start(t)
	b.Admin("POST toy/switch", func(w http.ResponseWriter, r *http.Request) { reply(w, map[string]string{"path": r.URL.Path}) })
	if status, out, raw := admin(t, b, "POST", "toy/switch", "{}"); status != 200 || out["path"] != "/_lab/toy/switch" {
		t.Errorf("%d %s", status, raw)
	}
	if status, _, _ := admin(t, b, "GET", "toy/switch", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("the other method: %d", status)
	}
}

func TestAMockMayAfflictAnExchangeItself(t *testing.T) {
	b := Start(t)
	for _, chosen := range []bool{false, true} {
		if chosen {
			b.Inject(Fault{Match: "toy x", Times: 1, Do: Garbage})
		}
		o := b.Begin("toy", "x")
		o.Afflict(Fault{Do: "greylist"})
		o.Record("450", nil, nil, nil, "")
		o.End()
	}
	lines := b.Journal()
	if lines[0].Fault != "greylist" || lines[1].Fault != string(Garbage) {
		t.Errorf("%q, %q", lines[0].Fault, lines[1].Fault)
	}
}

// mutual answers the common name of whoever shows a certificate.
type mutual struct{ base string }

func (m *mutual) Name() string { return "mutual" }

func (m *mutual) Attach(b *Bench) (err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /who", func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		io.WriteString(w, name)
	})
	m.base, err = b.ServeMutual(m.Name(), mux)
	return err
}

func TestMutualListenersTakeThisBenchesCertificatesAndNone(t *testing.T) {
	t.Parallel()
	m := &mutual{}
	b, other := Start(t, m), Start(t)
	key, _, err := b.Key("mutual-client")
	if err != nil {
		t.Fatal(err)
	}
	who := func(authority *Bench) string {
		transport := &http.Transport{TLSClientConfig: b.CA().ClientTLS(), DisableKeepAlives: true}
		if authority != nil {
			der, err := authority.CA().Issue(&x509.Certificate{
				Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}, key.Public())
			if err != nil {
				t.Fatal(err)
			}
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
			}
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", m.base+"/who", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return "no connection"
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			return "no connection"
		}
		return string(raw)
	}
	for _, c := range []struct {
		authority *Bench
		want      string
	}{{nil, "nobody"}, {b, "client"}, {other, "no connection"}} {
		if got := who(c.authority); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
